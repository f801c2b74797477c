/**
 * What the coordinator and its generator processes tell each other, in the order it is said.
 */
import type { BenchOptions } from './options.ts';

export type ToWorker =
  /** First: who you are. Connect everything, then answer `ready`. */
  | { readonly name: 'plan'; readonly options: WorkerOptions; readonly processIndex: number; readonly runId: number }
  /** Publish by the schedule from this moment on; answer `drained` when all is sent and nothing more comes. */
  | { readonly name: 'start'; readonly t0Us: number }
  /** Everybody has drained, and these publishes reached nobody: count up, answer `done`. */
  | { readonly name: 'finish'; readonly refused: readonly Refusal[] };

export type FromWorker =
  | { readonly name: 'ready'; readonly connectHistogram: string; readonly connectRetries: number }
  | { readonly name: 'drained'; readonly refused: readonly Refusal[] }
  | { readonly name: 'done'; readonly report: WorkerReport }
  /** The run cannot go on. */
  | { readonly name: 'failed'; readonly text: string };

/** Functions do not cross processes, and a generator needs no assertions. */
export type WorkerOptions = Omit<BenchOptions, 'assertions'>;

/** A publish that the server refused, or that could not be sent. */
export interface Refusal {
  readonly stream: number;
  readonly sequence: number;
}

export interface WorkerReport {
  readonly published: number;
  readonly expected: number;
  readonly delivered: number;
  readonly lost: number;
  readonly lostInWarmup: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly foreign: number;
  readonly latencyHistogram: string;
  readonly fromSendHistogram: string;
  readonly lagHistogram: string;
  readonly lastReceiptUs: number;
  readonly cpuSeconds: number;
  readonly publishErrorsByCode: Readonly<Record<string, number>>;
  readonly unanswered: number;
  readonly disconnectsByCode: Readonly<Record<string, number>>;
  readonly eventsByKind: Readonly<Record<string, number>>;
  readonly goaways: number;
  readonly cut: number;
  readonly recovered: number;
  readonly nonRecoveredByReason: Readonly<Record<string, number>>;
  readonly replayed: number;
  /** Moment when the last member was back; 0 if none was cut. */
  readonly allBackUs: number;
  readonly cutUs: number;
  readonly notBack: number;
  readonly left: number;
  readonly cameBack: number;
  readonly slowMembers: number;
  readonly slowEndedByCode: Readonly<Record<string, number>>;
}
