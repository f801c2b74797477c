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
  const file = `${root}bench/results/${name}.json`;
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : null;
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

const RENDERERS: Readonly<Record<string, () => string>> = { measured: summary, reconnect: reconnectTable, micro: microTable };

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
