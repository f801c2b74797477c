/** The parts of docs/performance.md that come from more than one scenario, or from no run-pairs at all. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readResults } from '../../bench/support/results.ts';
import type { SloFigures, Verdict } from '../../bench/support/targets.ts';
import { labelOf, loadPairs, markdown, notMeasured } from './pairs.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const whole = (value: number): string => Math.round(value).toLocaleString('en');

const SUITES: Readonly<Record<string, string>> = {
  rooms: 'rooms of 10',
  fanout: 'one room',
  churn: 'churn',
  slow: 'slow consumers',
  reconnect: 'reconnect storm',
};

/** One table for all WebSocket suites: what changes with the number of connections stands below each other. */
export function webSocketSuites(): string {
  const rows: string[][] = [['', 'connections', 'CPU us/delivery', 'P50 ms', 'P99 ms', 'RSS MB', 'deliveries/s', 'lost', '']];
  for (const [suite, title] of Object.entries(SUITES)) {
    for (const size of [1, 5, 10]) {
      const results = loadPairs(`ws-${suite}-${size}k`);
      if (results === null) continue;
      for (const [server, medians] of Object.entries(results.medians)) {
        const { reconnect, churn, slow } = results.runs.findLast((run) => run.server === server)?.result ?? {};
        const figure = (name: string, digits: number): string => (medians[name] ?? Number.NaN).toFixed(digits);
        const more = [
          reconnect &&
            `all back after ${reconnect.backMs ?? '-'} ms, ${whole(reconnect.recovered)} of ${whole(reconnect.cut)} recovered`,
          churn && `${whole(churn.left)} left, ${whole(churn.cameBack)} came back`,
          slow &&
            `${whole(slow.members)} stopped reading, ${whole(Object.values(slow.endedByCode).reduce((a, b) => a + b, 0))} of them closed`,
        ].filter((said) => typeof said === 'string');
        rows.push([
          `${title}, ${labelOf(server)}`,
          whole(size * 1_000),
          figure('cpu us/delivery', 1),
          figure('p50 ms', 2),
          figure('p99 ms', 2),
          figure('RSS MB', 0),
          whole(medians['deliveries/s'] ?? Number.NaN),
          figure('lost', 0),
          more.join(''),
        ]);
      }
    }
  }
  return rows.length === 1 ? notMeasured('npm run bench:suite -- --only ws-') : `${markdown(rows)}\n`;
}

interface HttpResults {
  readonly seconds: number;
  readonly batchMessages: number;
  readonly skipped: Readonly<Record<string, string>>;
  readonly cells: readonly {
    readonly route: string;
    readonly connections: number;
    readonly http: {
      readonly requestsPerSecond: number;
      readonly latencyMs: { readonly p50: number; readonly p99: number };
      readonly refusedByStatus: Readonly<Record<string, number>>;
      readonly errors: number;
      readonly timeouts: number;
    } | null;
    readonly serverCpuUsPerRequest: number | null;
    readonly delivery: { readonly latencyMs: { readonly p50: number; readonly p99: number }; readonly lost: number } | null;
  }[];
}

const ROUTES: Readonly<Record<string, string>> = {
  none: 'no HTTP: the subscribers alone',
  'keep-alive': 'plain uWebSockets.js, connections kept',
  close: 'plain uWebSockets.js, closed after each answer',
  publish: '`POST /v1/publish`',
  'publish-batch': '`POST /v1/publish-batch`',
  call: '`POST /v1/call`',
  metrics: '`GET /metrics`',
  health: '`GET /readyz`',
};

export function httpTable(): string {
  const results = readResults<HttpResults>('http');
  if (results === null) return notMeasured('npm run bench:http');
  const sum = (counts: Readonly<Record<string, number>>): number =>
    Object.values(counts).reduce((total, count) => total + count, 0);
  const rows = results.cells.map(({ route, connections, http, serverCpuUsPerRequest, delivery }) => [
    ROUTES[route] ?? route,
    http === null ? '' : whole(connections),
    http === null ? '' : whole(http.requestsPerSecond),
    serverCpuUsPerRequest === null ? '' : serverCpuUsPerRequest.toFixed(0),
    http === null ? '' : String(http.latencyMs.p50),
    http === null ? '' : String(http.latencyMs.p99),
    http === null ? '' : whole(sum(http.refusedByStatus) + http.errors + http.timeouts),
    delivery === null ? '' : delivery.latencyMs.p50.toFixed(2),
    delivery === null ? '' : delivery.latencyMs.p99.toFixed(2),
    delivery === null ? '' : String(delivery.lost),
  ]);
  const head = [
    '',
    'connections',
    'requests/s',
    'CPU us/request',
    'P50 ms',
    'P99 ms',
    'refused or broken',
    'delivery P50 ms',
    'P99 ms',
    'lost',
  ];
  const skipped = Object.entries(results.skipped).map(
    ([route]) => `\`${route}\` was not measured: this relay does not serve it.`,
  );
  return `${markdown([head, ...rows])}\n${[closingCost(results), ...skipped].filter(Boolean).join(' ')}\n`;
}

/** The price of one connection per request, from the two plain servers. */
function closingCost({ cells }: HttpResults): string {
  const costs = cells
    .filter(({ route }) => route === 'close')
    .map((close) => ({
      close,
      kept: cells.find((cell) => cell.route === 'keep-alive' && cell.connections === close.connections),
    }))
    .filter(({ close, kept }) => close.http !== null && kept?.http != null)
    .map(({ close, kept }) => {
      const cpuUs = (close.serverCpuUsPerRequest ?? Number.NaN) - (kept?.serverCpuUsPerRequest ?? Number.NaN);
      const factor = (kept?.http?.requestsPerSecond ?? Number.NaN) / (close.http?.requestsPerSecond ?? Number.NaN);
      return `${cpuUs.toFixed(0)} us of the server's CPU a request and ${factor.toFixed(1)} times fewer requests a second at ${whole(close.connections)} connections`;
    });
  return costs.length === 0 ? '' : `Closing after each answer costs ${costs.join('; ')} (the generator pays for its half, too).`;
}

export function sloTable(): string {
  const results = readResults<{
    readonly connections: number;
    readonly isDisturbed: boolean;
    readonly figures: Omit<SloFigures, 'connections'>;
    readonly verdicts: readonly Verdict[];
  }>('slo');
  if (results === null) return notMeasured('npm run bench:slo');
  const rows = results.verdicts.map(({ target, weight, measured, isMet }) => [
    target,
    weight,
    measured,
    isMet ? 'met' : '**missed**',
  ]);
  const disturbed = results.isDisturbed ? ' Other processes took more than 3 % of the machine meanwhile.' : '';
  return `${markdown([['target', 'weight', 'measured', ''], ...rows])}\nOne relay, one lane, ${whole(results.connections)} connections in rooms of 10.${disturbed}\n`;
}

export function churnText(): string {
  const results = readResults<{
    readonly minutes: number;
    readonly connections: number;
    readonly delivered: number;
    readonly lost: number;
    readonly churn: { readonly left: number };
    readonly rssMbByQuarter: readonly number[];
    readonly growth: number;
  }>('churn');
  if (results === null) return notMeasured('npm run bench:churn');
  const { minutes, connections, delivered, lost, churn, rssMbByQuarter, growth } = results;
  return (
    `${minutes} minutes, ${whole(connections)} connections, ${whole(churn.left)} times one left and came back, ${whole(delivered)} deliveries, ${lost} lost. ` +
    `RSS by quarter: ${rssMbByQuarter.join(', ')} MB; from the second to the last ${(growth * 100).toFixed(1)} %.\n`
  );
}

export function soakText(): string {
  const results = readResults<Readonly<Record<string, number>> & { readonly deaths: Readonly<Record<string, number>> }>('soak');
  if (results === null) return notMeasured('npm run soak -- --minutes 60');
  const figure = (name: string): string => whole(results[name] ?? Number.NaN);
  const deaths = Object.values(results.deaths).reduce((sum, count) => sum + count, 0);
  return (
    `${figure('minutes')} minutes, ${whole(deaths)} deaths of lanes, ${figure('cuts')} cut connections: ${figure('published')} published, of these ` +
    `${figure('acknowledged')} acknowledged; ${figure('delivered')} delivered, ${figure('skipped')} skipped and said so, ${figure('named')} named as lost, ` +
    `${figure('unreported')} unaccounted for, ${figure('duplicated')} twice.\n`
  );
}

/** What others notice of an attack, each row against an attack of somebody else on the same machine. */
export function attackTable(): string {
  const results = readResults<{
    readonly rounds: number;
    readonly connections: number;
    readonly publishesPerSecond: number;
    readonly rows: readonly {
      readonly attack: string;
      readonly p50Ms: number;
      readonly p99Ms: number;
      readonly p99OverSink: number;
      readonly lost: number;
      readonly rssMb: number;
    }[];
  }>('attack');
  if (results === null) return notMeasured('npm run bench:attack');
  const rows = results.rows.map(({ attack, p50Ms, p99Ms, p99OverSink, lost, rssMb }) => [
    attack,
    p50Ms.toFixed(2),
    p99Ms.toFixed(1),
    `${p99OverSink.toFixed(2)}x`,
    whole(lost),
    rssMb.toFixed(0),
  ]);
  const { rounds, connections, publishesPerSecond } = results;
  return (
    `${markdown([['attack', 'P50 ms', 'P99 ms', 'P99 against `sink`', 'lost', 'RSS MB'], ...rows])}\n` +
    `${rounds} rounds, interleaved; ${whole(connections)} connections in rooms of 10, ${whole(publishesPerSecond)} publishes a second. The attacker is a process of the same machine.\n`
  );
}

const CONFIGURATIONS: Readonly<Record<string, string>> = {
  ws: 'ws-server.ts',
  'socket.io': 'socket-io-server.ts',
  bun: 'bun-server.ts',
  nats: 'nats-config.ts',
};

/** The peers' configuration, out of the files that run. */
export function peerConfigurations(): string {
  return Object.entries(CONFIGURATIONS)
    .map(([peer, file]) => {
      const path = `bench/peers/${file}`;
      if (!existsSync(root + path)) throw new Error(`${path} is not there`);
      const code = /\/\/ configuration:begin\n([\s\S]*?)\/\/ configuration:end/.exec(readFileSync(root + path, 'utf8'))?.[1];
      if (code === undefined) throw new Error(`${path} has no configuration between its marks`);
      return `${labelOf(peer)} ([${file}](../${path})):\n\n\`\`\`ts\n${code.trimEnd()}\n\`\`\`\n`;
    })
    .join('\n');
}
