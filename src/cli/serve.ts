/** `relay serve`: runs a relay until SIGTERM or SIGINT, then drains it. Thread: main. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { loadConfig } from '../app/config.ts';
import { Relay } from '../app/relay.ts';
import { leaveOutStacks } from '../protocol/errors.ts';
import { lineLog } from '../telemetry/log.ts';

export async function serve(argv: string[]): Promise<number> {
  const { config, problems, help } = loadConfig({ argv, env: process.env, readFile: (path) => readFileSync(path, 'utf8') });
  if (help !== null) {
    process.stdout.write(help);
    return 0;
  }
  if (config === null) {
    process.stderr.write(`relay: invalid configuration:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
    return 2;
  }
  leaveOutStacks();
  const log = lineLog(config.logLevel, (line) => process.stderr.write(line));
  const relay = new Relay(config, {
    onLaneEvent: (event) => {
      if (event.kind === 'lost') log.error('lane lost', { lane: event.lane, cause: event.cause });
      else log.warn('lane replaced', { lane: event.lane, afterMs: Math.round(event.afterMs) });
    },
  });
  try {
    await relay.start();
  } catch (error) {
    process.stderr.write(`relay: ${(error as Error).message}\n`);
    return 1;
  }
  return new Promise((resolve) => {
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (++signals > 1) {
        log.warn('second signal: stopping at once', { signal });
        process.exit(1);
      }
      const startedMs = performance.now();
      log.info('draining', { signal, connections: relay.front.connectionCount, deadlineMs: config.drainDeadlineMs });
      relay.drain().then(() => {
        log.info('stopped', { afterMs: Math.round(performance.now() - startedMs) });
        process.off('SIGTERM', onSignal);
        process.off('SIGINT', onSignal);
        resolve(0);
      });
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    // Only now: who reads this line may send a signal at once.
    const lanes = relay.laneCount === 0 ? 'lanes inline' : `${relay.laneCount} ${relay.laneCount === 1 ? 'lane' : 'lanes'}`;
    log.info(`listening on ws://${config.host}:${relay.port}/v1/connect`, { lanes });
    if (relay.opsPort !== 0) log.info(`ops on http://${config.opsHost}:${relay.opsPort}`, { paths: '/livez /readyz /metrics' });
  });
}
