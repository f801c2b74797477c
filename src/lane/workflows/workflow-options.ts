import type { WorkflowDefinition } from './definition.ts';

/** What a lane is told of workflows. Plain data. Every bound is per lane unless said otherwise. */
export interface WorkflowOptions {
  /** Of the configuration, checked. Each lane uses those whose names hash to it. */
  readonly definitions: readonly WorkflowDefinition[];
  /** Names and versions, those of the configuration among them; over it DEFINE is answered LIMIT. */
  readonly definitionsMax: number;
  /** Runs that have not ended; over it START is answered OVERLOADED. */
  readonly runsInFlightMax: number;
  /** Ended runs whose state is kept for status and retry; the oldest goes. */
  readonly runsEndedMax: number;
  /** Input and results of one run; over it the run fails with TOO_LARGE. */
  readonly runBytesMax: number;
  /** Steps of all runs in memory, ended ones too; over it ended runs are forgotten, then START is answered OVERLOADED and a stage that begins fails. */
  readonly stepsMax: number;
  /** Events of all runs in memory, which is what the journal keeps. At it the same happens, and what fails is not tried again. */
  readonly runEventsMax: number;
  /** Steps with a CALL in flight; over it steps wait. */
  readonly stepsInFlightMax: number;
  /** Largest CALL: a message like any client's. */
  readonly messageBytesMax: number;
  /** A run's input, and one step's result: with the head of a message or of a journal's entry they still fit into one record. */
  readonly partBytesMax: number;
  /** A step is a CALL, and asks for no more time than a CALL may. */
  readonly timeoutMsMax: number;
  /** Told with OVERLOADED. */
  readonly retryAfterMs: number;
}
