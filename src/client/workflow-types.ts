/** What the relay says of runs and definitions. Types only. */

/** By name: `input` is the run's, everything else the stage of that name. */
export interface StageDefinition {
  readonly name: string;
  readonly service: string;
  readonly method: string;
  /** What the method is called with: `input` (default), a stage's result, or a map of arguments to these. */
  readonly input?: string | Readonly<Record<string, string>>;
  /** A step for each element of that stage's result, or of the array under `field` of it. */
  readonly forEach?: string | { readonly stage: string; readonly field: string };
  /** Stages that must be done, beyond those it takes data from. */
  readonly after?: readonly string[];
  /** Of a step. Default 30 000. */
  readonly timeoutMs?: number;
  readonly retries?: {
    readonly max?: number;
    readonly backoffMs?: number;
    readonly backoffMsMax?: number;
    readonly factor?: number;
    readonly jitter?: number;
    readonly nonRetryable?: readonly (string | number)[];
  };
  /** Steps of a forEach at a time. Default 16. */
  readonly concurrency?: number;
  readonly join?: 'all' | { readonly quorum: number } | { readonly deadlineMs: number };
  /** A step without a sign of life for this long is tried again. */
  readonly heartbeatTimeoutMs?: number;
  readonly compensate?: { readonly service: string; readonly method: string; readonly timeoutMs?: number };
}

export interface WorkflowDefinition {
  readonly name: string;
  /** From 1. */
  readonly version: number;
  readonly stages: readonly StageDefinition[];
  readonly runsInFlightMax?: number;
  readonly deadlineMs?: number;
}

export type RunState = 'running' | 'paused' | 'cancelling' | 'compensating' | 'succeeded' | 'failed' | 'cancelled';

export interface RunStatus {
  readonly run: string;
  readonly workflow: string;
  readonly version: number;
  readonly state: RunState;
  /** Of a run that has succeeded. */
  readonly result?: unknown;
  /** Of one that has not. */
  readonly reason?: string;
  readonly [fact: string]: unknown;
}

interface EventOf<Kind extends string> {
  readonly kind: Kind;
  /** In the run's topic. */
  readonly offset: number;
  /** By the relay's clock. */
  readonly atMs: number;
}

interface StageEvent<Kind extends string> extends EventOf<Kind> {
  readonly stage: string;
}

interface StepEvent<Kind extends string> extends StageEvent<Kind> {
  /** Of a forEach's element; 0 in a stage without. */
  readonly index: number;
  /** From 1. */
  readonly attempt: number;
}

/** How a run ends. A failed one may be retried. */
export type RunEnd<R = unknown> =
  /** Without the result where that is larger than 64 KiB: `run.result()` gets it all the same. */
  | (EventOf<'succeeded'> & { readonly result?: R })
  | (EventOf<'failed'> & { readonly reason: string; readonly stage?: string })
  | EventOf<'cancelled'>;

/** A transition of a run. Match on `kind`; a newer relay may have more. */
export type RunEvent<R = unknown> =
  | (EventOf<'started'> & { readonly version: number })
  | (StageEvent<'stageStarted'> & { readonly steps?: number })
  | StepEvent<'stepStarted'>
  | StepEvent<'stepHeartbeat'>
  | StepEvent<'stepSucceeded'>
  | (StepEvent<'stepRetried'> & { readonly reason: string; readonly afterMs: number })
  | (StepEvent<'stepFailed'> & { readonly reason: string })
  | StageEvent<'stageSucceeded'>
  | (StageEvent<'stageFailed'> & { readonly reason?: string })
  /** The result of an attempt that is not the present one: dropped. */
  | StepEvent<'lateResult'>
  | EventOf<'paused'>
  | EventOf<'resumed'>
  | EventOf<'cancelling'>
  | EventOf<'compensating'>
  | StageEvent<'compensated'>
  | RunEnd<R>
  | EventOf<'deadLettered'>
  | EventOf<'retried'>
  /** Of the client: the relay's history does not have these events any more. */
  | { readonly kind: 'gap'; readonly offset: number; readonly from: number; readonly to: number };
