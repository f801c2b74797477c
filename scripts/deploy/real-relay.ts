/** What a relay really answers on its ops port: starts one on free ports, reads, ends it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary' | 'untyped';

export interface ExportedMetric {
  readonly type: MetricType;
  /** Of all its samples; a metric whose labels are not known yet has none. */
  readonly labels: ReadonlySet<string>;
}

export interface RealRelay {
  readonly metrics: ReadonlyMap<string, ExportedMetric>;
  /** Of the paths asked for those that answered 200. */
  readonly paths: ReadonlySet<string>;
}

const RELAY = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const START_MS_MAX = 20_000;

export async function askRealRelay(paths: readonly string[]): Promise<RealRelay> {
  const opsPort = await freePort();
  // With one lane: what only lanes in threads have is exported too.
  const args = ['serve', '--port', '0', '--ops-port', `${opsPort}`, '--lanes', '1'];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RELAY_')));
  const relay = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', RELAY, ...args], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stop = (): void => void relay.kill('SIGKILL');
  process.once('exit', stop);
  let said = '';
  relay.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(relay, 'close');
  try {
    const startedMs = performance.now();
    while (!said.includes('ops on ')) {
      if (relay.exitCode !== null || performance.now() - startedMs > START_MS_MAX)
        throw new Error(`the relay did not start (exit code ${relay.exitCode}): ${said}`);
      await sleep(20);
    }
    const metrics = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
    const answered = new Set<string>();
    for (const path of paths) if ((await fetch(`http://127.0.0.1:${opsPort}${path}`)).status === 200) answered.add(path);
    return { metrics: parseExposition(metrics), paths: answered };
  } finally {
    relay.kill('SIGTERM');
    await Promise.race([ended, sleep(5_000, undefined, { ref: false })]);
    stop();
    process.off('exit', stop);
  }
}

/** Prometheus text: names by their TYPE lines, since a metric without samples has only that. */
export function parseExposition(text: string): Map<string, ExportedMetric> {
  const metrics = new Map<string, { type: MetricType; labels: Set<string> }>();
  for (const line of text.split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined) metrics.set(name, { type: type as MetricType, labels: new Set() });
    const [, sample = '', labels = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? /.exec(line) ?? [];
    if (sample === '') continue;
    const family = metrics.get(sample) ?? metrics.get(sample.replace(/_(bucket|sum|count)$/, ''));
    for (const [, label] of labels.matchAll(/(\w+)="/g)) family?.labels.add(label as string);
  }
  return metrics;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
