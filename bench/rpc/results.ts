/**
 * Results of bench:rpc: runs to medians per server and kind, and what a call costs beside the others. One file per rate.
 */
import { median, rounded } from '../support/figures.ts';
import { leastDisturbed } from '../support/quiet.ts';
import { type CellReport, KINDS, type Kind } from './plan.ts';
import type { CellRun, RpcSettings } from './run-cells.ts';

/** A call may cost this many publishes of the server's CPU. */
export const CALL_TO_PUBLISH_MAX = 2.5;

const FIGURES = {
  'operations/s': (report: CellReport) => report.operationsPerSecond,
  'cpu us/operation': (report: CellReport) => report.serverCpuUsPerOperation,
  'p50 ms': (report: CellReport) => report.latencyMs.p50,
  'p99 ms': (report: CellReport) => report.latencyMs.p99,
  'p99.9 ms': (report: CellReport) => report.latencyMs.p999,
  'max ms': (report: CellReport) => report.latencyMs.max,
  'RSS MB': (report: CellReport) => report.serverRssMb,
  'lag p99 ms': (report: CellReport) => report.generatorLagMs.p99,
  'generator cpu us/operation': (report: CellReport) => report.generatorCpuUsPerOperation,
} as const;
/** Added up over all runs, repeated ones too: what went wrong once is no less wrong for a median of 0. */
const COUNTS = {
  unanswered: (report: CellReport) => report.unanswered,
  lost: (report: CellReport) => report.lost,
  duplicated: (report: CellReport) => report.duplicated,
  'wrong payloads': (report: CellReport) => report.wrongPayloads,
  errors: (report: CellReport) => Object.values(report.errorsByCode).reduce((sum, count) => sum + count, 0),
} as const;
export type Figure = keyof typeof FIGURES | keyof typeof COUNTS;
export const FIGURE_NAMES = [...Object.keys(FIGURES), ...Object.keys(COUNTS)] as readonly Figure[];
export const COUNT_NAMES = Object.keys(COUNTS) as readonly (keyof typeof COUNTS)[];

export interface CallCost {
  readonly server: string;
  /** Medians of the rounds' ratios of server CPU. */
  readonly callToPublish: number;
  readonly callToPing: number;
  /** The same when what the idle connections alone cost is taken away from both. */
  readonly callToPublishLessIdle: number;
  readonly callToPublishMax: number;
}

export interface RateResults {
  readonly name: string;
  /** null: saturation, closed loop. */
  readonly rate: number | null;
  readonly rounds: number;
  readonly load: RpcSettings['load'];
  /** What the idle connections alone cost the server, by server. */
  readonly idleCpuMsPerSecond: Readonly<Record<string, number>>;
  readonly medians: Readonly<Record<string, Readonly<Record<Kind, Readonly<Record<Figure, number>>>>>>;
  readonly costs: readonly CallCost[];
  readonly runs: readonly CellRun[];
}

export function resultsOf(out: string, settings: RpcSettings, all: readonly CellRun[], rate: number | null): RateResults {
  const runs = all.filter(({ result }) => result.kind === null || result.rate === rate);
  const perServer = <Value>(value: (server: string) => Value): Record<string, Value> =>
    Object.fromEntries(settings.servers.map((server) => [server, value(server)]));
  return {
    name: `${out}-${rate ?? 'saturation'}`,
    rate,
    rounds: settings.rounds,
    load: settings.load,
    idleCpuMsPerSecond: perServer((server) => rounded(median(counted(runs, server, null, settings.rounds).map(idleCpuMs)), 2)),
    medians: perServer(
      (server) =>
        Object.fromEntries(
          KINDS.map((kind) => [kind, summaryOf(runs, server, kind, settings.rounds)]),
        ) as RateResults['medians'][string],
    ),
    costs: settings.servers.map((server) => costOf(runs, server, settings.rounds)),
    runs,
  };
}

/** Nothing unanswered, lost, doubled or wrong in any run. */
export function problemsOf(runs: readonly CellRun[]): string[] {
  return runs.flatMap(({ round, server, result }) =>
    COUNT_NAMES.filter((name) => COUNTS[name](result) > 0).map(
      (name) =>
        `round ${round + 1}, ${server}, ${result.kind} at ${result.rate ?? 'saturation'}: ${name} ${COUNTS[name](result)} ${JSON.stringify(result.errorsByCode)}`,
    ),
  );
}

/** The run of each round that counts. */
function counted(runs: readonly CellRun[], server: string, kind: Kind | null, rounds: number): CellReport[] {
  return Array.from({ length: rounds }, (_, round) =>
    leastDisturbed(
      runs.filter((run) => run.round === round && run.server === server && run.result.kind === kind).map(({ result }) => result),
    ),
  ).filter((result) => result !== undefined);
}

function summaryOf(runs: readonly CellRun[], server: string, kind: Kind, rounds: number): Record<Figure, number> {
  const reports = counted(runs, server, kind, rounds);
  const all = runs.filter((run) => run.server === server && run.result.kind === kind);
  return Object.fromEntries([
    ...Object.entries(FIGURES).map(([name, figure]) => [name, rounded(median(reports.map(figure)), 3)]),
    ...Object.entries(COUNTS).map(([name, count]) => [name, all.reduce((sum, { result }) => sum + count(result), 0)]),
  ]) as Record<Figure, number>;
}

function costOf(runs: readonly CellRun[], server: string, rounds: number): CallCost {
  const cpuUs = (kind: Kind, less: readonly number[] = []): number[] =>
    counted(runs, server, kind, rounds).map(
      (report, round) => report.serverCpuUsPerOperation - ((less[round] ?? 0) * 1000 * report.elapsedSeconds) / report.operations,
    );
  const ratio = (above: readonly number[], below: readonly number[]): number =>
    rounded(median(above.map((value, round) => value / (below[round] ?? Number.NaN))), 3);
  const idle = counted(runs, server, null, rounds).map(idleCpuMs);
  return {
    server,
    callToPublish: ratio(cpuUs('call'), cpuUs('publish')),
    callToPing: ratio(cpuUs('call'), cpuUs('ping')),
    callToPublishLessIdle: ratio(cpuUs('call', idle), cpuUs('publish', idle)),
    callToPublishMax: CALL_TO_PUBLISH_MAX,
  };
}

/** Of server CPU, a second. */
function idleCpuMs(report: CellReport): number {
  return (report.serverCpuSeconds * 1000) / report.elapsedSeconds;
}
