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

/** Why an attempt, a step, a stage or a run failed. */
export interface RunReason {
  /** Name of a wire error (docs/errors.md). */
  readonly code: string;
  readonly text: string;
  /** The service's own code, with SERVICE_ERROR. */
  readonly serviceCode?: string;
}

/** A line of a list. */
export interface RunSummary {
  readonly workflow: string;
  readonly run: string;
  readonly version: number;
  readonly state: RunState;
  readonly key?: string;
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
  /** Of a run that has failed, or is about to. */
  readonly reason?: RunReason;
  readonly stage?: string;
  readonly resultBytes?: number;
}

export interface StageStatus {
  readonly stage: string;
  readonly state: string;
  readonly steps: number;
  /** Steps by state. */
  readonly waiting: number;
  readonly inFlight: number;
  readonly backingOff: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly leftOut: number;
  readonly reason?: RunReason;
}

export interface RunStatus extends RunSummary {
  readonly topic: string;
  readonly epoch: string;
  /** Of the newest event. */
  readonly offset: number;
  readonly deadlineAtMs?: number;
  readonly bytes: number;
  readonly lateResults: number;
  readonly compensationsFailed: number;
  readonly stages: readonly StageStatus[];
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

interface Failed {
  readonly reason: RunReason;
}

interface Retried extends Failed {
  /** The next attempt begins after this wait. */
  readonly afterMs: number;
}

/** How a run ends. A failed one may be retried. */
export type RunEnd<R = unknown> =
  /** Without the result where that is larger than 64 KiB: `run.result()` gets it all the same. */
  | (EventOf<'succeeded'> & { readonly resultBytes: number; readonly result?: R })
  | (EventOf<'failed'> & Failed & { readonly stage?: string; readonly compensationsFailed: number })
  | (EventOf<'cancelled'> & { readonly compensationsFailed: number });

/** Of the client: the relay's history does not have these events any more. */
export interface GapEvent {
  readonly kind: 'gap';
  /** Of the last event that is missing. */
  readonly offset: number;
  readonly from: number;
  readonly to: number;
}

/** A transition of a run. Match on `kind`; a newer relay may have more. */
export type RunEvent<R = unknown> =
  | (EventOf<'started'> & {
      readonly workflow: string;
      readonly run: string;
      readonly version: number;
      readonly inputBytes: number;
    })
  | (StageEvent<'stageStarted'> & { readonly steps: number })
  | StepEvent<'stepStarted'>
  | (StepEvent<'stepSucceeded'> & { readonly bytes: number })
  | (StepEvent<'stepRetried'> & Retried)
  | (StepEvent<'stepFailed'> & Failed)
  | (StageEvent<'stageSucceeded'> & { readonly succeeded: number; readonly failed: number; readonly leftOut: number })
  | (StageEvent<'stageFailed'> & Failed)
  /** The result of an attempt that is not the present one: dropped. */
  | (StepEvent<'lateResult'> & { readonly bytes: number })
  | EventOf<'paused'>
  | EventOf<'resumed'>
  | (EventOf<'cancelling'> & { readonly outcome: 'failed' | 'cancelled'; readonly reason?: RunReason; readonly stage?: string })
  | (EventOf<'compensating'> & {
      readonly steps: number;
      readonly outcome: 'failed' | 'cancelled';
      readonly reason?: RunReason;
      readonly stage?: string;
    })
  | StepEvent<'compensationStarted'>
  | (StepEvent<'compensationRetried'> & Retried)
  | (StepEvent<'compensationFailed'> & Failed)
  | StepEvent<'compensated'>
  | RunEnd<R>
  /** Where the letter lies: on the topic of that name. */
  | (EventOf<'deadLettered'> & { readonly topic: string })
  | EventOf<'retried'>
  | GapEvent;
