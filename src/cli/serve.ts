/** `relay serve`: runs a relay until SIGTERM or SIGINT, then drains it. Thread: main. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { logAuthEvent, startWarnings } from '../app/auth-log.ts';
import { loadConfig } from '../app/config.ts';
import { Relay } from '../app/relay.ts';
import type { TlsEvent } from '../app/relay-tls.ts';
import { leaveOutStacks } from '../protocol/errors.ts';
import { createLog, type Log } from '../telemetry/log.ts';

export async function serve(argv: string[]): Promise<number> {
  const { config, problems, help, origins } = loadConfig({
    argv,
    env: process.env,
    readFile: (path) => readFileSync(path, 'utf8'),
  });
  if (help !== null) {
    process.stdout.write(help);
    return 0;
  }
  if (config === null) {
    process.stderr.write(`relay: invalid configuration:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
    return 2;
  }
  leaveOutStacks();
  const format = config.logFormat === 'auto' ? (process.stderr.isTTY === true ? 'text' : 'json') : config.logFormat;
  const log = createLog(config.logLevel, format, (line) => process.stderr.write(line));
  // From here on, not only once it listens: in a container this is process 1, from which the kernel keeps signals that it does not handle.
  const onEarlySignal = (signal: NodeJS.Signals): void => {
    log.info('stopped while starting', { signal });
    process.exit(0);
  };
  process.on('SIGTERM', onEarlySignal);
  process.on('SIGINT', onEarlySignal);
  log.debug('starting', { node: process.version, process: process.pid });
  let relay: Relay;
  try {
    relay = new Relay(config, {
      onLaneEvent: (event) => {
        if (event.kind === 'lost') log.error('lane lost', { lane: event.lane, cause: event.cause });
        else log.warn('lane replaced', { lane: event.lane, afterMs: Math.round(event.afterMs) });
      },
      onLoadChange: ({ from, to, delayMs, memoryBytes }) => {
        const facts = { from, to, delayMs, memoryMb: Math.round(memoryBytes / 1_048_576) };
        if (to > from) log.warn('load level rises: new work is refused', facts);
        else log.info('load level falls', facts);
      },
      onLogFailure: (path, error) => log.error('a log file cannot be written and is given up', { path, cause: error.message }),
      onAuditNotice: (level, text, facts) => log[level](text, facts),
      configOrigins: origins,
      onAuthEvent: (event) => logAuthEvent(log, event),
      onTls: (event) => logTls(log, event),
      // A line per connection would be most of a busy relay's log, and asking for an address costs more than a small send.
      ...(config.logLevel === 'debug' ? { onSession: ({ kind, ...facts }) => log.debug(`connection ${kind}`, facts) } : {}),
    });
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
    process.off('SIGTERM', onEarlySignal);
    process.off('SIGINT', onEarlySignal);
    process.on('SIGHUP', () => {
      void relay.reload().then((problems) => {
        if (problems.length === 0) log.info('reloaded', { signal: 'SIGHUP' });
        else log.error('reloaded in part: what is not valid was not taken over', { problems });
      });
    });
    for (const warning of startWarnings(config)) log.warn(warning);
    // Only now: who reads this line may send a signal at once.
    const lanes = relay.laneCount === 0 ? 'lanes inline' : `${relay.laneCount} ${relay.laneCount === 1 ? 'lane' : 'lanes'}`;
    log.info(`listening on ${relay.url}`, { lanes });
    if (relay.opsPort !== 0)
      log.info(`ops on http://${config.opsHost}:${relay.opsPort}`, { paths: '/ops/ /livez /readyz /metrics' });
  });
}

function logTls(log: Log, event: TlsEvent): void {
  switch (event.kind) {
    case 'expiring':
      log.warn('a certificate ends soon', { problem: event.problem });
      return;
    case 'replaced':
      log.info('certificates replaced: new connections get them', { files: event.files });
      return;
    case 'unchanged':
      log.info('certificates read again: nothing has changed');
      return;
    case 'refused':
      log.error('new certificates cannot be used, the old ones stay', { problems: event.problems });
      return;
    default:
      event satisfies never;
  }
}
