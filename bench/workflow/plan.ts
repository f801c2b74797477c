/**
 * What `npm run bench:workflow` runs: the workflow, what its services answer, and what a run's result must then be.
 *
 *   SIFT(input) -> CAST -> SPAWN (one step per element of CAST's result) -> STITCH
 */
import type { LatencySummaryMs } from '../../src/telemetry/latency-histogram.ts';
import type { WindowFigures } from '../support/window.ts';

export const WORKFLOW = 'bench.weave';
export const STAGES = ['sift', 'cast', 'spawn', 'stitch'] as const;
export type StageName = (typeof STAGES)[number];

/** Steps of one run. */
export function stepsPerRun(width: number): number {
  return STAGES.length - 1 + width;
}

export function serviceOf(stage: StageName): string {
  return `bench.${stage}`;
}

/** `width` is the services' affair: CAST's result has so many elements. Steps of one run go out all at once. */
export function definition(width: number, runsInFlightMax: number): Readonly<Record<string, unknown>> {
  const stage = (name: StageName, more: Readonly<Record<string, unknown>> = {}) => ({
    name,
    service: serviceOf(name),
    method: 'run',
    ...more,
  });
  return {
    name: WORKFLOW,
    version: 1,
    runsInFlightMax,
    stages: [
      stage('sift', { input: 'input' }),
      stage('cast', { input: 'sift' }),
      stage('spawn', { forEach: 'cast', concurrency: width }),
      stage('stitch', { input: 'spawn' }),
    ],
  };
}

/** The answer of a stage's service. Each depends on all of its input, so that a run's result proves every step before it. */
export function answerOf(stage: StageName, input: unknown, width: number): unknown {
  switch (stage) {
    case 'sift':
      return 3 * Number(input) + 1;
    case 'cast':
      return Array.from({ length: width }, (_, index) => Number(input) * width + index);
    case 'spawn':
      return 2 * Number(input) + 1;
    case 'stitch':
      return Array.isArray(input)
        ? input.reduce((digest: number, part: unknown) => (31 * digest + Number(part)) % 1_000_003, 7)
        : -1;
    default:
      return stage satisfies never;
  }
}

/** The result of the run whose input is `input`. */
export function resultOf(input: number, width: number): unknown {
  const parts = answerOf('cast', answerOf('sift', input, width), width) as readonly number[];
  return answerOf(
    'stitch',
    parts.map((part) => answerOf('spawn', part, width)),
    width,
  );
}

export interface WorkflowLoad {
  /** Started at once. */
  readonly runs: number;
  /** Before the measured ones, likewise at once. */
  readonly warmupRuns: number;
  /** One after the other: what a run takes when nobody is in its way. */
  readonly aloneRuns: number;
  /** Steps of SPAWN. */
  readonly width: number;
  /** Connections, each with an instance of every service. */
  readonly instances: number;
}

export type Question =
  | { readonly name: 'connect'; readonly port: number; readonly pid: number; readonly load: WorkflowLoad }
  | { readonly name: 'runAtOnce'; readonly runs: number }
  | { readonly name: 'runAlone'; readonly runs: number };

/** Of one set of runs. */
export interface RunsReport extends WindowFigures {
  readonly runs: number;
  readonly runsPerSecond: number;
  readonly stepsPerSecond: number;
  readonly wallUsPerStep: number;
  readonly wallUsPerStage: number;
  readonly serverCpuUsPerStep: number;
  readonly serverCpuUsPerStage: number;
  readonly generatorCpuUsPerStep: number;
  /** From the moment a run's START was due until its end was known here. */
  readonly durationMs: LatencySummaryMs;
  readonly startedRuns: number;
  readonly succeededRuns: number;
  /** Runs that succeeded with another result than their input leads to. */
  readonly wrongResults: number;
  /** Steps by (run, stage, index) that no instance was given, and those given more often than once. */
  readonly stepsLost: number;
  readonly stepsDoubled: number;
  /** Steps whose success the run's topic does not tell, and those told more often than once. */
  readonly stepsNotAccepted: number;
  readonly stepsAcceptedTwice: number;
  /** INVOKEs and events that belong to no run or step of these. */
  readonly foreign: number;
  /** Of the runs' topics. */
  readonly eventsByKind: Readonly<Record<string, number>>;
  readonly errorsByCode: Readonly<Record<string, number>>;
  /** Attempts at steps that failed and were followed by another. */
  readonly retriesByCode: Readonly<Record<string, number>>;
  readonly cores: number;
}
