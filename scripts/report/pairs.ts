/** What run-pairs.ts has written, as far as the pages show it. */
import { leastDisturbed } from '../../bench/support/quiet.ts';
import { readResults } from '../../bench/support/results.ts';
import type { LatencyCurve } from '../../src/cli/bench/curve.ts';
import type { BenchResult } from '../../src/cli/bench/result.ts';

export interface PairResults {
  readonly rounds: number;
  readonly load: Readonly<Record<string, unknown>>;
  readonly medians: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly comparisons: readonly { readonly server: string; readonly figure: string; readonly medianOfRatios: number }[];
  /** Not in results from before there were peers, like the curves. */
  readonly versions?: Readonly<Record<string, string>>;
  readonly failures?: readonly { readonly round: number; readonly server: string; readonly text: string }[];
  readonly runs: readonly PairRun[];
}

export interface PairRun {
  readonly round: number;
  readonly server: string;
  readonly isDisturbed: boolean;
  readonly result: Omit<BenchResult, 'latencyCurve'> & { readonly latencyCurve?: LatencyCurve };
}

export const loadPairs = (name: string): PairResults | null => readResults<PairResults>(name);

const LABELS: Readonly<Record<string, string>> = {
  floor: 'plain uWebSockets.js (floor)',
  'relay-1': 'relay, 1 lane',
  'relay-0': 'relay, `--lanes 0`',
  ws: '`ws`',
  'socket.io': 'Socket.IO',
  bun: "Bun's publish/subscribe",
  nats: 'NATS over WebSocket',
};

export function labelOf(server: string): string {
  return (
    LABELS[server] ??
    server
      .replace('relay-1+', '')
      .replaceAll('+', ', ')
      .replace(/topics=.*/, 'no history')
  );
}

/** The runs that count, one a round. */
export function countedRuns({ runs, rounds }: PairResults, server: string): PairRun[] {
  return Array.from({ length: rounds }, (_, round) => {
    const ofRound = runs.filter((run) => run.server === server && run.round === round);
    const result = leastDisturbed(ofRound.map((run) => run.result));
    return ofRound.find((run) => run.result === result);
  }).filter((run) => run !== undefined);
}

/** Point by point the median of the counted runs; empty where none has a curve. */
export function medianCurve(results: PairResults, server: string): LatencyCurve {
  const curves = countedRuns(results, server)
    .map(({ result }) => result.latencyCurve ?? [])
    .filter((curve) => curve.length > 1);
  const inner = Math.min(...curves.map((curve) => curve.length - 1));
  if (!Number.isFinite(inner)) return [];
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;
  const points = Array.from({ length: inner }, (_, place): [number, number] => [
    median(curves.map((curve) => (curve[place] as readonly [number, number])[0])),
    median(curves.map((curve) => (curve[place] as readonly [number, number])[1])),
  ]);
  // Lengths differ by a point where runs differ in deliveries; the maximum stands last in each.
  points.push([
    100,
    Math.max(median(curves.map((curve) => (curve.at(-1) as readonly [number, number])[1])), points.at(-1)?.[1] ?? 0),
  ]);
  return points;
}

export function markdown(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map((_, column) => (column === 0 ? '---' : '---:'))) + body.map(line).join('');
}

/** What stands where nothing has been measured. */
export const notMeasured = (command: string): string => `_Not measured yet: \`${command}\`._\n`;
