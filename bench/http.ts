/**
 * Question: what do the HTTP routes carry, and what do WebSocket subscribers notice of it? autocannon on one route after the other, with 10 to 10,000
 * connections, while the generator publishes to 200 subscribers of the same relay and measures their deliveries.
 *
 *   npm run bench:http                                  all routes and sizes, about 8 minutes on 2 cores
 *   npm run bench:http -- --routes publish,health       some routes
 *   npm run bench:http -- --connections 10,1000         some sizes
 *   npm run bench:http -- --seconds 2 --connections 10  does it run?
 *
 * `keep-alive` and `close` are no routes but plain uWebSockets.js that answers the same bytes: their difference is what closing each connection costs, which the relay
 * does (docs/decisions/0002-uwebsockets-traps.md). `none` is the relay without HTTP: what the subscribers see when nobody disturbs them. Writes http.json.
 */
import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { type BenchResult, runBench } from '../src/cli/bench/command.ts';
import { readCpuSeconds, readMemory } from '../src/cli/bench/proc-stat.ts';
import type { HttpFigures, HttpLoad } from './http/load.ts';
import { printTable, rounded } from './support/figures.ts';
import { isDisturbed, waitForQuiet } from './support/quiet.ts';
import { writeResults } from './support/results.ts';
import { buildRelay, freePort, relayArgs, startServer } from './support/server-process.ts';

interface Route {
  readonly method: HttpLoad['method'];
  /** On the ops port; otherwise on the relay's. */
  readonly isOps: boolean;
  readonly path: string;
  readonly body: string | null;
}

const PAYLOAD = JSON.stringify({ text: 'x'.repeat(48) });
const BATCH_MESSAGES = 20;
const BATCH = JSON.stringify(
  Array.from({ length: BATCH_MESSAGES }, (_, index) => ({ topic: `http.batch.${index}`, payload: { text: 'x'.repeat(48) } })),
);
const ROUTES: Readonly<Record<string, Route>> = {
  publish: { method: 'POST', isOps: false, path: '/v1/publish?topic=http.single', body: PAYLOAD },
  'publish-batch': { method: 'POST', isOps: false, path: '/v1/publish-batch', body: BATCH },
  call: { method: 'POST', isOps: false, path: '/v1/call?service=bench.echo&method=echo', body: PAYLOAD },
  metrics: { method: 'GET', isOps: true, path: '/metrics', body: null },
  health: { method: 'GET', isOps: true, path: '/readyz', body: null },
};
/** Servers that are no relay, and the relay left alone. */
const OTHERS = ['none', 'keep-alive', 'close'] as const;
const NAMES = [...OTHERS, ...Object.keys(ROUTES)];
const SUBSCRIBERS = { connections: 200, rooms: 20, rate: 100, payloadBytes: 64, processes: 1, connectRate: 2_000 };
const WARMUP_SECONDS = 1;
const SETTLE_SECONDS_MAX = 2;

const { values } = parseArgs({
  options: {
    routes: { type: 'string', default: NAMES.join(',') },
    connections: { type: 'string', default: '10,100,1000,10000' },
    seconds: { type: 'string', default: '8' },
    settle: { type: 'string', default: String(SETTLE_SECONDS_MAX) },
  },
});
const names = values.routes.split(',');
const sizes = values.connections.split(',').map(Number);
const seconds = Number(values.seconds);
for (const name of names)
  if (!NAMES.includes(name)) throw new RangeError(`--routes: no '${name}', there are ${NAMES.join(', ')}`);
for (const size of sizes)
  if (!Number.isInteger(size) || size < 1 || size > 20_000)
    throw new RangeError(`--connections must be integers in [1, 20000], got '${values.connections}'`);
if (!(seconds >= 1 && seconds <= 600)) throw new RangeError(`--seconds must be in [1, 600], got '${values.seconds}'`);

interface Cell {
  readonly route: string;
  readonly connections: number;
  readonly isDisturbed: boolean;
  /** Null without an HTTP load. */
  readonly http: HttpFigures | null;
  readonly serverCpuUsPerRequest: number | null;
  readonly serverRssPeakMb: number | null;
  /** What the subscribers saw meanwhile; null where the server has none. */
  readonly delivery: BenchResult | null;
}

const loadFile = fileURLToPath(new URL('http/load.ts', import.meta.url));
const run = promisify(execFile);

async function httpLoad(load: HttpLoad): Promise<HttpFigures> {
  const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', loadFile, JSON.stringify(load)]);
  return JSON.parse(stdout) as HttpFigures;
}

async function measure(route: string, connections: number): Promise<Cell | string> {
  await waitForQuiet(Number(values.settle));
  const port = await freePort();
  const opsPort = await freePort();
  const isRelay = route !== 'keep-alive' && route !== 'close';
  const server = await startServer(
    isRelay
      ? {
          args: relayArgs(port, '1', []).map((arg) => (arg === '--ops-port=0' ? `--ops-port=${opsPort}` : arg)),
          readyText: 'ops on ',
        }
      : { args: ['bench/peers/uws-http.ts', '--port', String(port), ...(route === 'close' ? ['--close'] : [])] },
  );
  const echo = route === 'call' ? await startServer(['bench/http/echo.ts', `ws://127.0.0.1:${port}`]) : null;
  try {
    const about = ROUTES[route] ?? { method: 'POST', isOps: false, path: '/v1/publish?topic=http.single', body: PAYLOAD };
    const url = `http://127.0.0.1:${about.isOps ? opsPort : port}${about.path}`;
    if (isRelay && route !== 'none') {
      const probe = await fetch(url, {
        method: about.method,
        ...(about.body === null ? {} : { body: about.body, headers: { 'Content-Type': 'application/json' } }),
      });
      if (!probe.ok) return `answered ${probe.status} ${(await probe.text()).slice(0, 200)}`;
    }
    // The subscribers' measured part covers the HTTP load's: they are there before it begins, and go on until it is over.
    const delivering = isRelay
      ? runBench({
          ...SUBSCRIBERS,
          url: `ws://127.0.0.1:${port}/v1/connect`,
          pid: server.pid,
          warmupSeconds: WARMUP_SECONDS,
          durationSeconds: seconds,
        })
      : null;
    await new Promise((resolve) => setTimeout(resolve, isRelay ? 1_500 : 0));
    const cpuBefore = readCpuSeconds(server.pid) ?? Number.NaN;
    const load = { url, method: about.method, body: about.body, connections, durationSeconds: seconds };
    const http = route === 'none' ? null : await httpLoad(load);
    const cpuSeconds = (readCpuSeconds(server.pid) ?? Number.NaN) - cpuBefore;
    const delivery = await delivering;
    return {
      route,
      connections: http === null ? 0 : connections,
      // The HTTP load is ours as well, and counted as another process by the generator's books.
      isDisturbed:
        delivery !== null &&
        isDisturbed({
          ...delivery,
          machine: delivery.machine && {
            ...delivery.machine,
            otherCpuSeconds: Math.max((delivery.machine.otherCpuSeconds ?? 0) - (http?.cpuSeconds ?? 0), 0),
          },
        }),
      http,
      serverCpuUsPerRequest: http === null || http.requests === 0 ? null : rounded((cpuSeconds * 1e6) / http.requests, 1),
      serverRssPeakMb: rounded(readMemory(server.pid)?.rssPeakMb ?? Number.NaN, 1),
      delivery,
    };
  } finally {
    await echo?.stop();
    await server.stop();
  }
}

buildRelay();
const cells: Cell[] = [];
const skipped: Record<string, string> = {};
for (const route of names) {
  for (const connections of route === 'none' ? [0] : sizes) {
    const cell = await measure(route, connections);
    if (typeof cell === 'string') {
      skipped[route] = cell;
      process.stdout.write(`skipped: ${route}: ${cell}\n`);
      break;
    }
    cells.push(cell);
    const { http, delivery } = cell;
    process.stdout.write(
      `${route.padEnd(14)} ${String(cell.connections).padStart(6)} connections  ${http === null ? '' : `${http.requestsPerSecond} requests/s  p99 ${http.latencyMs.p99} ms  errors ${http.errors + http.timeouts}`}` +
        `${delivery === null ? '' : `  delivery p99 ${delivery.latencyMs.p99} ms  lost ${delivery.lost}`}\n`,
    );
  }
}
const about = cells.find(({ delivery }) => delivery !== null)?.delivery;
writeResults('http', {
  ...{ name: 'http', seconds, batchMessages: BATCH_MESSAGES, subscribers: SUBSCRIBERS, skipped },
  ...{ node: process.version, cpu: about?.cpu ?? null, cores: about?.cores ?? null, date: new Date().toISOString(), cells },
});
process.stdout.write('\n');
const ms = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(2));
printTable([
  [
    'route',
    'connections',
    'requests/s',
    'CPU us/request',
    'p50 ms',
    'p99 ms',
    'refused',
    'errors',
    'delivery p50 ms',
    'p99 ms',
    'lost',
  ],
  ...cells.map(({ route, connections, http, serverCpuUsPerRequest, delivery }) => [
    route,
    String(connections),
    String(http?.requestsPerSecond ?? ''),
    String(serverCpuUsPerRequest ?? ''),
    String(http?.latencyMs.p50 ?? ''),
    String(http?.latencyMs.p99 ?? ''),
    String(Object.values(http?.refusedByStatus ?? {}).reduce((sum, count) => sum + count, 0)),
    String(http === null ? '' : http.errors + http.timeouts),
    ms(delivery?.latencyMs.p50),
    ms(delivery?.latencyMs.p99),
    String(delivery?.lost ?? ''),
  ]),
]);
const lost = cells.reduce((sum, { delivery }) => sum + (delivery?.lost ?? 0), 0);
process.exitCode = lost > 0 ? 1 : 0;
