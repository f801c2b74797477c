/**
 * The human side of a result: aligned lines, only what has something to say.
 */
import type { FailedAssertion } from './assertions.ts';
import type { BenchResult } from './result.ts';

export function summaryText(result: BenchResult): string {
  const { latencyMs, fromSendMs, generatorLagMs, connectMs } = result;
  const ms = (value: number): string => `${value.toFixed(3)} ms`;
  const lines: [string, string][] = [
    [
      'load',
      `${result.mode}, ${result.target}: ${whole(result.connections)} connections, ${whole(result.rooms)} rooms, ${result.rate} publishes/s ` +
        `of ${result.payloadBytes} B for ${result.durationSeconds} s, ${result.processes} processes`,
    ],
    [
      'latency',
      `p50 ${ms(latencyMs.p50)}   p95 ${ms(latencyMs.p95)}   p99 ${ms(latencyMs.p99)}   p99.9 ${ms(latencyMs.p999)}   max ${ms(latencyMs.max)}`,
    ],
    [
      '  from send',
      `p50 ${ms(fromSendMs.p50)}   p95 ${ms(fromSendMs.p95)}   p99 ${ms(fromSendMs.p99)}   p99.9 ${ms(fromSendMs.p999)}   max ${ms(fromSendMs.max)}`,
    ],
    ['generator lag', `p50 ${ms(generatorLagMs.p50)}   p99 ${ms(generatorLagMs.p99)}   max ${ms(generatorLagMs.max)}`],
    [
      'published',
      `${whole(result.published)}${counts('   refused', result.publishErrorsByCode)}${result.unanswered > 0 ? `   unanswered ${result.unanswered}` : ''}`,
    ],
    ['delivered', `${whole(result.delivered)} of ${whole(result.expected)}   ${whole(Math.round(result.deliveriesPerSecond))}/s`],
    [
      'wrong',
      `lost ${whole(result.lost)}${result.lostInWarmup > 0 ? ` (${whole(result.lostInWarmup)} in the warmup)` : ''}   duplicated ${whole(result.duplicated)}` +
        `   reordered ${whole(result.reordered)}${result.foreign > 0 ? `   foreign ${whole(result.foreign)}` : ''}`,
    ],
    [
      'connect',
      `p50 ${ms(connectMs.p50)}   p99 ${ms(connectMs.p99)}   max ${ms(connectMs.max)}${result.connectRetries > 0 ? `   retries ${result.connectRetries}` : ''}`,
    ],
  ];
  if (Object.keys(result.disconnectsByCode).length > 0) lines.push(['disconnects', counts('', result.disconnectsByCode)]);
  if (Object.keys(result.eventsByKind).length > 0) lines.push(['events', counts('', result.eventsByKind)]);
  if (result.goaways > 0) lines.push(['goaways', whole(result.goaways)]);
  if (result.reconnect !== null) {
    const { cut, recovered, nonRecovered, nonRecoveredByReason, replayed, backMs, notBack } = result.reconnect;
    const back = backMs === null ? `${whole(notBack)} not back` : `all back after ${ms(backMs)}`;
    const reasons = nonRecovered > 0 ? ` (${counts('', nonRecoveredByReason)})` : '';
    lines.push([
      'reconnect',
      `cut ${whole(cut)}   recovered ${whole(recovered)}   not recovered ${nonRecovered}${reasons}   replayed ${whole(replayed)}   ${back}`,
    ]);
  }
  if (result.churn !== null)
    lines.push(['churn', `left ${whole(result.churn.left)}   came back ${whole(result.churn.cameBack)}`]);
  if (result.slow !== null)
    lines.push(['slow members', `${whole(result.slow.members)}${counts('   ended', result.slow.endedByCode)}`]);
  if (result.serverCpuSeconds !== null) {
    lines.push([
      'server',
      `${result.serverCpuSeconds.toFixed(2)} s CPU   ${result.cpuUsPerDelivery ?? '-'} us/delivery   RSS ${result.serverRssMb} MB   peak ${result.serverRssPeakMb} MB`,
    ]);
  }
  lines.push(['generator', `${result.generatorCpuSeconds.toFixed(2)} s CPU   ${result.generatorCpuUsPerDelivery} us/delivery`]);
  if (result.machine !== null) {
    const { otherCpuSeconds, interruptSeconds, stolenSeconds, idleSeconds } = result.machine;
    const other = otherCpuSeconds === null ? '' : `   others ${otherCpuSeconds.toFixed(2)} s`;
    lines.push([
      'machine',
      `idle ${idleSeconds.toFixed(2)} s   interrupts ${interruptSeconds.toFixed(2)} s   stolen ${stolenSeconds.toFixed(2)} s${other}   (${result.cores} cores)`,
    ]);
  }
  const width = Math.max(...lines.map(([label]) => label.length));
  return `${lines.map(([label, text]) => `${label.padEnd(width)}  ${text}`).join('\n')}\n`;
}

export function failureText(failed: readonly FailedAssertion[]): string {
  return failed.map(({ text, value }) => `assertion failed: ${text}, got ${value ?? 'no figure'}\n`).join('');
}

function counts(label: string, byKey: Readonly<Record<string, number>>): string {
  const text = Object.entries(byKey)
    .map(([key, count]) => `${key}: ${whole(count)}`)
    .join(', ');
  return text === '' ? '' : label === '' ? text : `${label} ${text}`;
}

function whole(value: number): string {
  return value.toLocaleString('en-US');
}
