/** The tiles at the top, rates over time, and the process. */
import type { LatencyWindow, OpsState } from '../ops/ops-state.ts';
import { bytesText, countText, durationText, msText, rateText } from '../ops/words.ts';
import { TimeChart } from './charts.ts';
import { byId, showFacts } from './dom.ts';
import { showLegend } from './latency-view.ts';
import { Series } from './series.ts';

const LINES = [
  { name: 'publishes', color: '--p999', isDashed: true },
  { name: 'deliveries', color: '--p50' },
] as const;

export class TrafficView {
  readonly series = new Series(LINES.length);
  readonly #chart = new TimeChart(byId('rates-chart'), this.series, LINES, 'linear');

  show(state: OpsState, window: LatencyWindow): void {
    const { rates } = state;
    this.series.add(state.nowMs, [rates.publishes, rates.deliveries]);
    this.#chart.update(
      `Rates over the last minutes; now ${rateText(rates.publishes)} publishes and ${rateText(rates.deliveries)} deliveries per second`,
    );
    showLegend(byId('rates-legend'), [
      { name: 'publishes', line: 'p999', value: rateText(rates.publishes) },
      { name: 'deliveries', line: 'p50', value: rateText(rates.deliveries) },
    ]);
    showFacts(byId('rates-list'), [
      { name: 'Bytes in', value: `${bytesText(rates.bytesIn)}/s` },
      { name: 'Bytes out', value: `${bytesText(rates.bytesOut)}/s` },
      { name: 'Calls', value: `${rateText(rates.calls)}/s` },
      { name: 'New connections', value: `${rateText(rates.connects)}/s` },
    ]);
    this.#showTiles(state, window);
    this.#showProcess(state);
  }

  gap(nowMs: number): void {
    this.series.gap(nowMs);
    this.#chart.update('Rates over time: the relay is not reachable');
  }

  repaint(): void {
    this.#chart.repaint();
  }

  #showTiles(state: OpsState, window: LatencyWindow): void {
    const recorded = state.latency.stages.publishToLastWrite?.[window];
    const latency = recorded === undefined || recorded.count === 0 ? undefined : recorded;
    const dropped = Object.values(state.drops).reduce((sum, count) => sum + count, 0);
    showFacts(byId('tiles'), [
      { name: 'P50', line: 'p50', value: msText(latency?.p50), note: 'ms' },
      { name: 'P95', line: 'p95', value: msText(latency?.p95), note: 'ms' },
      { name: 'P99', line: 'p99', value: msText(latency?.p99), note: 'ms' },
      { name: 'P99.9', line: 'p999', value: msText(latency?.p999), note: 'ms' },
      { name: 'Publishes', value: rateText(state.rates.publishes), note: '/s' },
      { name: 'Deliveries', value: rateText(state.rates.deliveries), note: '/s' },
      { name: 'Calls', value: rateText(state.rates.calls), note: '/s' },
      { name: 'Connections', value: countText(state.connections), note: `of ${countText(state.connectionsMax)}` },
      { name: 'Subscriptions', value: countText(state.subscriptions) },
      { name: 'Dropped', value: countText(dropped) },
      { name: 'CPU', value: state.process.cpu.toFixed(2), note: 'cores' },
      { name: 'Memory', value: bytesText(state.process.rssBytes) },
    ]);
  }

  #showProcess({ process: own }: OpsState): void {
    const { eventLoopDelayMs: delay, gcPauseMs: pauses } = own;
    showFacts(byId('process-list'), [
      { name: 'Resident memory', value: bytesText(own.rssBytes) },
      { name: 'JavaScript heap', value: bytesText(own.heapUsedBytes) },
      { name: 'CPU', value: `${own.cpu.toFixed(2)} cores` },
      { name: 'Loop delay P99', value: durationText(delay.p99), note: `max ${durationText(delay.max)}` },
      { name: 'GC pause P99', value: durationText(pauses.p99), note: `max ${durationText(pauses.max)}` },
      { name: 'GC pauses', value: countText(pauses.count) },
    ]);
  }
}
