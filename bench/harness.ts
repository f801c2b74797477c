/**
 * The little that every bench shares: a name and a question, sizes that shrink for a smoke run, and a report.
 *
 *   node bench/shm/ring.bench.ts                    full size
 *   node bench/shm/ring.bench.ts --smoke            smoke size, also by BENCH_SMOKE=1: proves that it runs and does its work
 *   node bench/shm/ring.bench.ts --set rounds=5     one size by hand
 *   node bench/shm/ring.bench.ts --json FILE        also {bench, question, node, cpu, cores, date, results: [...]}
 *
 * A bench asks one question and throws if its checksum is wrong: a figure for work not done is worse than none.
 */

import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  // Also imported by threads of a bench, whose argv is the main thread's.
  options: { smoke: { type: 'boolean' }, json: { type: 'string' }, set: { type: 'string', multiple: true } },
  strict: false,
});

export const isSmoke: boolean = options['smoke'] === true || process.env['BENCH_SMOKE'] === '1';

const overrides = new Map<string, number>(
  ((options['set'] ?? []) as string[]).map((pair) => {
    const [name, value] = pair.split('=');
    if (!name || !Number.isFinite(Number(value ?? 'x'))) throw new RangeError(`--set takes name=number, got '${pair}'`);
    return [name, Number(value)];
  }),
);

export interface BenchResult {
  readonly label: string;
  readonly [figure: string]: string | number;
}

const results: BenchResult[] = [];

/** Names the bench. Call it once, first; the JSON file, if asked for, is written when the process ends well. */
export function bench(name: string, question: string): void {
  console.log(`${name}: ${question}${isSmoke ? ' [smoke]' : ''}`);
  const jsonPath = options['json'];
  if (typeof jsonPath !== 'string') return;
  process.on('exit', (exitCode) => {
    if (exitCode !== 0) return;
    const cpu = cpus()[0]?.model.trim() ?? 'unknown';
    const about = { bench: name, question, isSmoke, node: process.version, cpu, cores: availableParallelism() };
    writeFileSync(jsonPath, `${JSON.stringify({ ...about, date: new Date().toISOString(), results }, null, 2)}\n`);
  });
}

/** A size: small in a smoke run, overridden by `--set name=number`. */
export function param(name: string, sizes: { smoke: number; full: number }): number {
  return overrides.get(name) ?? (isSmoke ? sizes.smoke : sizes.full);
}

/** One line for `opCount` operations in `elapsedMs`: ns per operation and millions per second, and figures of the bench's own. */
export function report(label: string, elapsedMs: number, opCount: number, figures: Record<string, number> = {}): void {
  const nsPerOp = (elapsedMs * 1e6) / opCount;
  const opsPerSecond = Math.round((opCount / elapsedMs) * 1000);
  reportFigures(label, { nsPerOp: round(nsPerOp), opsPerSecond, opCount, ...figures });
}

/** One line of figures; the names carry the units. */
export function reportFigures(label: string, figures: Record<string, number>): void {
  results.push({ label, ...figures });
  const text = Object.entries(figures).map(
    ([name, value]) => `${name}=${round(value).toLocaleString('en-US').replaceAll(',', '_')}`,
  );
  console.log(`  ${label.padEnd(56)} ${text.join('  ')}`);
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** The value that `ratio` of the values do not exceed. */
export function percentile(values: readonly number[], ratio: number): number {
  if (values.length === 0) throw new RangeError('percentile of nothing');
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(ratio * sorted.length) - 1)] ?? (sorted[0] as number);
}

/** The checksum guard. */
export function proveWork(what: string, got: number, want: number): void {
  if (got !== want) throw new Error(`wrong work done: ${what}: got=${got}, want=${want}`);
}

function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}
