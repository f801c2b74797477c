/**
 * Renders the measured tables of docs/performance.md and README.md from bench/results/*.json, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`,
 * and a percentile plot (docs/images/NAME.svg) for each `<!-- plot-NAME:begin -->`: `npm run bench:report`, and part of `npm run docs`.
 * `--check` writes nothing and exits 1 where a page is not current. No figure in the docs is typed by hand.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readResults, resultsFolder } from '../bench/support/results.ts';
import { labelOf, loadPairs, markdown, medianCurve, notMeasured, type PairResults } from './report/pairs.ts';
import { percentilePlot } from './report/percentile-plot.ts';
import { attackTable, churnText, httpTable, peerConfigurations, sloTable, soakText, webSocketSuites } from './report/sections.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const CHECK = process.argv.includes('--check');

type Medians = Readonly<Record<string, number>>;

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
  const results = loadPairs(name);
  if (results === null) return notMeasured(`npm run bench:${name.startsWith('peers-') ? 'peers' : 'suite'} -- --only ${name}`);
  const head = ['', ...COLUMNS.map(([title]) => title)];
  const rows = Object.entries(results.medians).map(([server, medians]) => [
    [labelOf(server), results.versions?.[server]].filter(Boolean).join(' '),
    ...COLUMNS.map(([, figure, digits]) => {
      const value = (medians[figure] ?? Number.NaN).toFixed(digits);
      const ratio = results.comparisons.find((row) => row.server === server && row.figure === figure)?.medianOfRatios;
      return ratio === undefined || !Number.isFinite(ratio) ? value : `${value} (${ratio.toFixed(2)}x)`;
    }),
  ]);
  const disturbed = Object.keys(results.medians).reduce((count, server) => count + disturbedRounds(results, server), 0);
  const note = `${results.rounds} rounds, interleaved; in brackets the median of the rounds' ratios to the first row.${disturbed > 0 ? ` ${disturbed} of ${results.rounds * Object.keys(results.medians).length} counted runs were disturbed by other processes of the machine.` : ''}`;
  const failures = (results.failures ?? []).map(
    ({ round, server, text }) => ` Round ${round + 1} of ${labelOf(server)} could not be measured: ${text}.`,
  );
  return `${markdown([head, ...rows])}\n${note}${failures.join('')}\n`;
}

/** A run that was repeated quietly counts as quiet. */
function disturbedRounds(results: PairResults, server: string): number {
  let count = 0;
  for (let round = 0; round < results.rounds; round++) {
    const runs = results.runs.filter((run) => run.server === server && run.round === round);
    if (runs.length > 0 && runs.every((run) => run.isDisturbed)) count++;
  }
  return count;
}

function reconnectTable(): string {
  const results = loadPairs('reconnect');
  if (results === null) return notMeasured('npm run bench:suite -- --only reconnect');
  const rows = results.runs.map(({ round, server, result }) => {
    const figures = result.reconnect ?? {};
    return [
      String(round + 1),
      labelOf(server),
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
  const results = readResults<RpcResults>(`rpc-${rate}`);
  if (results === null) return notMeasured(`npm run bench:rpc -- --rates ${rate}`);
  const rows = Object.entries(results.medians).flatMap(([server, kinds]) =>
    Object.entries(kinds).map(([kind, medians]) => [
      `${RPC_KINDS[kind]}, ${labelOf(server)}`,
      ...RPC_COLUMNS.map(([, figure, digits]) =>
        // A closed loop has no schedule to be late for.
        results.rate === null && figure === 'lag p99 ms' ? '' : (medians[figure] as number).toFixed(digits),
      ),
    ]),
  );
  const costs = results.costs.map(
    ({ server, callToPublish, callToPing, callToPublishLessIdle, callToPublishMax }) =>
      `A call costs ${callToPublish.toFixed(2)} publishes and ${callToPing.toFixed(2)} pings of CPU (${labelOf(server)}; ${callToPublishLessIdle.toFixed(2)} publishes without the idle connections' ` +
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
  const results = readResults<WorkflowResults>('workflow');
  if (results === null) return notMeasured('npm run bench:workflow');
  const rows = Object.entries(results.medians).map(([server, medians]) => [
    labelOf(server),
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
  const folder = `${resultsFolder()}/`;
  for (const file of readdirSync(folder).filter((name) => name.startsWith('micro-'))) {
    const { results } = JSON.parse(readFileSync(folder + file, 'utf8')) as {
      results: { label: string; nsPerOp?: number; opsPerSecond?: number }[];
    };
    for (const { label: name, nsPerOp, opsPerSecond } of results) {
      if (nsPerOp !== undefined)
        rows.push([name, nsPerOp.toFixed(1), Math.round(opsPerSecond ?? 1e9 / nsPerOp).toLocaleString('en')]);
    }
  }
  return rows.length === 1 ? notMeasured('npm run bench:micro') : `${markdown(rows)}\n`;
}

/** README: the specification's load in one table. */
function summary(): string {
  const rows = [
    ['10,000 connections, 1,000 rooms of 10, 64 B', 'CPU us/delivery', 'against the floor', 'P50 ms', 'P99 ms', 'RSS MB', 'lost'],
  ];
  for (const rate of [1_000, 5_000, 10_000]) {
    const results = loadPairs(`rooms-10k-${rate}`);
    if (results === null) continue;
    for (const [server, medians] of Object.entries(results.medians)) {
      const ratio = results.comparisons.find((row) => row.server === server && row.figure === 'cpu us/delivery')?.medianOfRatios;
      rows.push([
        `${(10 * rate).toLocaleString('en')} deliveries/s, ${labelOf(server)}`,
        (medians['cpu us/delivery'] as number).toFixed(1),
        ratio === undefined ? '' : `${ratio.toFixed(2)}x`,
        (medians['p50 ms'] as number).toFixed(2),
        (medians['p99 ms'] as number).toFixed(2),
        (medians['RSS MB'] as number).toFixed(0),
        String(medians['lost']),
      ]);
    }
  }
  if (rows.length === 1) return notMeasured('npm run bench:suite');
  return `${markdown(rows)}\nMedians of interleaved rounds on 2 shared virtual cores, the load generator among them: the ratios mean something, the absolutes are this machine's. \`npm run bench:suite\` makes them.\n`;
}

/** What was asked for, from the results themselves. */
function plotTitle({ load }: PairResults): string {
  const [connections, rooms, rate] = ['connections', 'rooms', 'rate'].map((key) => Number(load[key])) as [number, number, number];
  const deliveries = Math.round((rate * connections) / rooms).toLocaleString('en');
  return `${deliveries} deliveries a second to ${connections.toLocaleString('en')} connections`;
}

/** A picture for the page, and its file among `images`. Results from before curves were kept have none. */
function plot(name: string): string {
  const results = loadPairs(name);
  if (results === null) return '';
  const lines = Object.keys(results.medians)
    .map((server) => ({ label: labelOf(server).replaceAll('`', ''), curve: medianCurve(results, server) }))
    .filter(({ curve }) => curve.length > 1);
  if (lines.length === 0) return '';
  const title = plotTitle(results);
  images.set(`${name}.svg`, percentilePlot(title, lines));
  const alternative = `Latency by percentile, ${title}: ${lines.map((line) => line.label).join(', ')}`;
  return `![${alternative}](images/${name}.svg)\n`;
}
const images = new Map<string, string>();

const RENDERERS: Readonly<Record<string, () => string>> = {
  measured: summary,
  reconnect: reconnectTable,
  micro: microTable,
  'ws-suites': webSocketSuites,
  http: httpTable,
  slo: sloTable,
  churn: churnText,
  soak: soakText,
  attack: attackTable,
  'peers-configuration': peerConfigurations,
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
    const render = RENDERERS[name] ?? (() => (name.startsWith('plot-') ? plot(name.slice('plot-'.length)) : table(name)));
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
const imagesFolder = `${root}docs/images/`;
mkdirSync(imagesFolder, { recursive: true });
for (const [name, svg] of images) {
  const path = imagesFolder + name;
  if (existsSync(path) && readFileSync(path, 'utf8') === svg) continue;
  if (CHECK) {
    process.stderr.write(`docs/images/${name} is not current: run \`npm run docs\`\n`);
    stale++;
  } else {
    writeFileSync(path, svg);
    process.stdout.write(`docs/images/${name} written\n`);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
