/**
 * Renders the measured tables of docs/performance.md and README.md from bench/results/*.json, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
 * `--check` writes nothing and exits 1 where a page is not current. No figure in the docs is typed by hand.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const CHECK = process.argv.includes('--check');

type Medians = Readonly<Record<string, number>>;
interface Comparison {
  readonly server: string;
  readonly figure: string;
  readonly medianOfRatios: number;
}
interface Results {
  readonly rounds: number;
  readonly load: Readonly<Record<string, unknown>>;
  readonly medians: Readonly<Record<string, Medians>>;
  readonly comparisons: readonly Comparison[];
  readonly runs: readonly {
    readonly round: number;
    readonly server: string;
    readonly isDisturbed: boolean;
    readonly result: {
      readonly reconnect: Readonly<Record<string, unknown>> | null;
      readonly lost: number;
      readonly generatorCpuSeconds: number;
    };
  }[];
}

function load(name: string): Results | null {
  return loadAs<Results>(name);
}

function loadAs<Kind>(name: string): Kind | null {
  const file = `${root}bench/results/${name}.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Kind) : null;
}

const LABELS: Readonly<Record<string, string>> = {
  floor: 'plain uWebSockets.js (floor)',
  'relay-1': 'relay, 1 lane',
  'relay-0': 'relay, `--lanes 0`',
};
const label = (server: string): string =>
  LABELS[server] ??
  server
    .replace('relay-1+', '')
    .replaceAll('+', ', ')
    .replace(/topics=.*/, 'no history');

const COLUMNS = [
  ['CPU us/delivery', 'cpu us/delivery', 1],
  ['P50 ms', 'p50 ms', 2],
  ['P99 ms', 'p99 ms', 2],
  ['RSS MB', 'RSS MB', 0],
  ['deliveries/s', 'deliveries/s', 0],
  ['lost', 'lost', 0],
  ['duplicated', 'duplicated', 0],
  ['reordered', 'reordered', 0],
  ['generator lag P99 ms', 'lag p99 ms', 2],
] as const;

/** A row per server: medians, and in brackets the median of the pairs' ratios to the first server. */
function table(name: string): string {
  const results = load(name);
  if (results === null) return `_Not measured yet: \`npm run bench:suite -- --only ${name}\`._\n`;
  const head = ['', ...COLUMNS.map(([title]) => title)];
  const rows = Object.entries(results.medians).map(([server, medians]) => [
    label(server),
    ...COLUMNS.map(([, figure, digits]) => {
      const value = (medians[figure] as number).toFixed(digits);
      const ratio = results.comparisons.find((row) => row.server === server && row.figure === figure)?.medianOfRatios;
      return ratio === undefined || !Number.isFinite(ratio) ? value : `${value} (${ratio.toFixed(2)}x)`;
    }),
  ]);
  const disturbed = Object.keys(results.medians).reduce((count, server) => count + disturbedRounds(results, server), 0);
  const note = `${results.rounds} rounds, interleaved; in brackets the median of the rounds' ratios to the first row.${disturbed > 0 ? ` ${disturbed} of ${results.rounds * Object.keys(results.medians).length} counted runs were disturbed by other processes of the machine.` : ''}`;
  return `${markdown([head, ...rows])}\n${note}\n`;
}

/** A run that was repeated quietly counts as quiet. */
function disturbedRounds(results: Results, server: string): number {
  let count = 0;
  for (let round = 0; round < results.rounds; round++) {
    const runs = results.runs.filter((run) => run.server === server && run.round === round);
    if (runs.length > 0 && runs.every((run) => run.isDisturbed)) count++;
  }
  return count;
}

function reconnectTable(): string {
  const results = load('reconnect');
  if (results === null) return '_Not measured yet: `npm run bench:suite -- --only reconnect`._\n';
  const rows = results.runs.map(({ round, server, result }) => {
    const figures = result.reconnect ?? {};
    return [
      String(round + 1),
      label(server),
      ...Object.values(figures).map((value) => JSON.stringify(value)),
      String(result.lost),
    ];
  });
  const head = ['round', 'server', ...Object.keys(results.runs[0]?.result.reconnect ?? {}), 'lost'];
  return `${markdown([head, ...rows])}\n`;
}

/** What `npm run bench:rpc` and `npm run bench:workflow` write, as far as it is shown. */
interface RpcResults {
  readonly rounds: number;
  readonly rate: number | null;
  readonly load: Readonly<Record<string, number>>;
  readonly idleCpuMsPerSecond: Medians;
  readonly medians: Readonly<Record<string, Readonly<Record<string, Medians>>>>;
  readonly costs: readonly {
    readonly server: string;
    readonly callToPublish: number;
    readonly callToPing: number;
    readonly callToPublishLessIdle: number;
    readonly callToPublishMax: number;
  }[];
  readonly runs: readonly CountedRun[];
}
interface WorkflowResults {
  readonly rounds: number;
  readonly load: Readonly<Record<string, number>>;
  readonly medians: Readonly<Record<string, Medians>>;
  readonly runs: readonly CountedRun[];
}
interface CountedRun {
  readonly round: number;
  readonly server: string;
  readonly isDisturbed: boolean;
  readonly result: { readonly kind?: string | null };
}

const RPC_COLUMNS = [
  ['server CPU us', 'cpu us/operation', 1],
  ['operations/s', 'operations/s', 0],
  ['P50 ms', 'p50 ms', 2],
  ['P99 ms', 'p99 ms', 2],
  ['P99.9 ms', 'p99.9 ms', 2],
  ['max ms', 'max ms', 1],
  ['RSS MB', 'RSS MB', 0],
  ['generator lag P99 ms', 'lag p99 ms', 2],
  ['unanswered', 'unanswered', 0],
  ['lost', 'lost', 0],
  ['doubled', 'duplicated', 0],
  ['wrong payloads', 'wrong payloads', 0],
  ['errors', 'errors', 0],
] as const;
const RPC_KINDS: Readonly<Record<string, string>> = { ping: 'PING', publish: 'PUBLISH', call: 'CALL' };

function rpcTable(rate: string): string {
  const results = loadAs<RpcResults>(`rpc-${rate}`);
  if (results === null) return `_Not measured yet: \`npm run bench:rpc -- --rates ${rate}\`._\n`;
  const rows = Object.entries(results.medians).flatMap(([server, kinds]) =>
    Object.entries(kinds).map(([kind, medians]) => [
      `${RPC_KINDS[kind]}, ${label(server)}`,
      ...RPC_COLUMNS.map(([, figure, digits]) =>
        // A closed loop has no schedule to be late for.
        results.rate === null && figure === 'lag p99 ms' ? '' : (medians[figure] as number).toFixed(digits),
      ),
    ]),
  );
  const costs = results.costs.map(
    ({ server, callToPublish, callToPing, callToPublishLessIdle, callToPublishMax }) =>
      `A call costs ${callToPublish.toFixed(2)} publishes and ${callToPing.toFixed(2)} pings of CPU (${label(server)}; ${callToPublishLessIdle.toFixed(2)} publishes without the idle connections' ` +
      `${results.idleCpuMsPerSecond[server]?.toFixed(1)} ms a second): ${Math.max(callToPublish, callToPublishLessIdle) <= callToPublishMax ? 'within' : 'over'} the ${callToPublishMax} aimed at.`,
  );
  const { idleConnections, callers, payloadBytes, durationSeconds, inFlightMax } = results.load;
  const loop = results.rate === null ? `closed loop, ${inFlightMax} in flight` : 'open loop';
  const note = `${results.rounds} rounds of ${durationSeconds} s, interleaved; ${loop}; ${idleConnections?.toLocaleString('en')} idle connections, ${callers} callers, ${payloadBytes} B.${disturbedNote(results)}`;
  return `${markdown([['', ...RPC_COLUMNS.map(([title]) => title)], ...rows])}\n${costs.join('\n')}\n\n${note}\n`;
}

const WORKFLOW_COLUMNS = [
  ['runs/s', 'runs/s', 0],
  ['steps/s', 'steps/s', 0],
  ['wall us/step', 'wall us/step', 1],
  ['server CPU us/step', 'cpu us/step', 1],
  ['wall us/stage', 'wall us/stage', 0],
  ['server CPU us/stage', 'cpu us/stage', 0],
  ['run P50 ms', 'p50 ms', 0],
  ['run P99 ms', 'p99 ms', 0],
  ['alone P50 ms', 'alone p50 ms', 2],
  ['alone P99 ms', 'alone p99 ms', 2],
  ['RSS MB', 'RSS MB', 0],
  ['attempts again', 'attempts again', 0],
  ['runs missing', 'runs missing', 0],
  ['wrong results', 'wrong results', 0],
  ['steps lost', 'steps lost', 0],
  ['steps doubled', 'steps doubled', 0],
  ['errors', 'errors', 0],
] as const;

function workflowTable(): string {
  const results = loadAs<WorkflowResults>('workflow');
  if (results === null) return '_Not measured yet: `npm run bench:workflow`._\n';
  const rows = Object.entries(results.medians).map(([server, medians]) => [
    label(server),
    ...WORKFLOW_COLUMNS.map(([, figure, digits]) => (medians[figure] as number).toFixed(digits)),
  ]);
  const { runs, width, instances } = results.load;
  const note = `${results.rounds} rounds, interleaved; ${runs?.toLocaleString('en')} runs at once, ${width} parts, ${instances} connections with an instance of each service.${disturbedNote(results)}`;
  return `${markdown([['', ...WORKFLOW_COLUMNS.map(([title]) => title)], ...rows])}\n${note}\n`;
}

/** How many of what was measured no repetition has made quiet. */
function disturbedNote({ runs }: { readonly runs: readonly CountedRun[] }): string {
  const quiet = new Map<string, boolean>();
  for (const { round, server, isDisturbed, result } of runs) {
    const measured = `${round} ${server} ${result.kind}`;
    quiet.set(measured, (quiet.get(measured) ?? false) || !isDisturbed);
  }
  const disturbed = [...quiet.values()].filter((isQuiet) => !isQuiet).length;
  return disturbed > 0 ? ` ${disturbed} of ${quiet.size} counted runs were disturbed by other processes of the machine.` : '';
}

function microTable(): string {
  const rows: string[][] = [['operation', 'ns (median)', 'operations/s']];
  const folder = `${root}bench/results/`;
  for (const file of readdirSync(folder).filter((name) => name.startsWith('micro-'))) {
    const { results } = JSON.parse(readFileSync(folder + file, 'utf8')) as {
      results: { label: string; nsPerOp?: number; opsPerSecond?: number }[];
    };
    for (const { label: name, nsPerOp, opsPerSecond } of results) {
      if (nsPerOp !== undefined)
        rows.push([name, nsPerOp.toFixed(1), Math.round(opsPerSecond ?? 1e9 / nsPerOp).toLocaleString('en')]);
    }
  }
  return rows.length === 1 ? '_Not measured yet: `npm run bench:micro`._\n' : `${markdown(rows)}\n`;
}

/** README: the specification's load in one table. */
function summary(): string {
  const rows = [
    ['10,000 connections, 1,000 rooms of 10, 64 B', 'CPU us/delivery', 'against the floor', 'P50 ms', 'P99 ms', 'RSS MB', 'lost'],
  ];
  for (const rate of [1_000, 5_000, 10_000]) {
    const results = load(`rooms-10k-${rate}`);
    if (results === null) continue;
    for (const [server, medians] of Object.entries(results.medians)) {
      const ratio = results.comparisons.find((row) => row.server === server && row.figure === 'cpu us/delivery')?.medianOfRatios;
      rows.push([
        `${(10 * rate).toLocaleString('en')} deliveries/s, ${label(server)}`,
        (medians['cpu us/delivery'] as number).toFixed(1),
        ratio === undefined ? '' : `${ratio.toFixed(2)}x`,
        (medians['p50 ms'] as number).toFixed(2),
        (medians['p99 ms'] as number).toFixed(2),
        (medians['RSS MB'] as number).toFixed(0),
        String(medians['lost']),
      ]);
    }
  }
  if (rows.length === 1) return '_Not measured yet: `npm run bench:suite`._\n';
  return `${markdown(rows)}\nMedians of interleaved rounds on 2 shared virtual cores, the load generator among them: the ratios mean something, the absolutes are this machine's. \`npm run bench:suite\` makes them.\n`;
}

function markdown(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map((_, column) => (column === 0 ? '---' : '---:'))) + body.map(line).join('');
}

const RENDERERS: Readonly<Record<string, () => string>> = {
  measured: summary,
  reconnect: reconnectTable,
  micro: microTable,
  'rpc-1000': () => rpcTable('1000'),
  'rpc-5000': () => rpcTable('5000'),
  'rpc-saturation': () => rpcTable('saturation'),
  workflow: workflowTable,
};

let stale = 0;
for (const page of ['README.md', 'docs/performance.md', 'docs/decisions/0004-doorbells.md']) {
  const path = root + page;
  const text = readFileSync(path, 'utf8');
  const next = text.replace(/<!-- ([\w-]+):begin -->\n[\s\S]*?<!-- \1:end -->/g, (_whole, name: string) => {
    const render = RENDERERS[name] ?? (() => table(name));
    return `<!-- ${name}:begin -->\n${render()}<!-- ${name}:end -->`;
  });
  if (next === text) continue;
  if (CHECK) {
    process.stderr.write(`${page} is not current: run \`npm run docs\`\n`);
    stale++;
  } else {
    writeFileSync(path, next);
    process.stdout.write(`${page} written\n`);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
