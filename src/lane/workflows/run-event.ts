/**
 * Events of a run: what its topic carries, one a transition. docs/protocol.md documents them; kinds are never renamed.
 */
import { pack } from '../../protocol/codec.ts';
import { textBytes } from './splice.ts';

/** Why an attempt, a step, a stage or a run failed. */
export interface Reason {
  /** A wire error's name. */
  readonly code: string;
  readonly text: string;
  /** The service's own code, with SERVICE_ERROR. */
  readonly serviceCode?: string;
}

/** How a run ends that does not succeed. */
export type End =
  /** `stage`: the one that failed; none where the run's deadline passed. */
  { readonly outcome: 'failed'; readonly reason: Reason; readonly stage?: string } | { readonly outcome: 'cancelled' };

interface StepName {
  readonly stage: string;
  readonly index: number;
  /** From 1, and never again for the same step: what a service can fence with. */
  readonly attempt: number;
}

export type RunEvent = { readonly atMs: number } & (
  | {
      readonly kind: 'started';
      readonly workflow: string;
      readonly run: string;
      readonly version: number;
      readonly inputBytes: number;
    }
  | { readonly kind: 'stageStarted'; readonly stage: string; readonly steps: number }
  | ({ readonly kind: 'stepStarted' } & StepName)
  | ({ readonly kind: 'stepSucceeded'; readonly bytes: number } & StepName)
  | ({ readonly kind: 'stepRetried'; readonly reason: Reason; readonly afterMs: number } & StepName)
  | ({ readonly kind: 'stepFailed'; readonly reason: Reason } & StepName)
  | {
      readonly kind: 'stageSucceeded';
      readonly stage: string;
      readonly succeeded: number;
      readonly failed: number;
      readonly leftOut: number;
    }
  | { readonly kind: 'stageFailed'; readonly stage: string; readonly reason: Reason }
  | ({ readonly kind: 'lateResult'; readonly bytes: number } & StepName)
  | { readonly kind: 'paused' }
  | { readonly kind: 'resumed' }
  | ({ readonly kind: 'cancelling' } & End)
  | ({ readonly kind: 'compensating'; readonly steps: number } & End)
  | ({ readonly kind: 'compensationStarted' } & StepName)
  | ({ readonly kind: 'compensationRetried'; readonly reason: Reason; readonly afterMs: number } & StepName)
  | ({ readonly kind: 'compensationFailed'; readonly reason: Reason } & StepName)
  | ({ readonly kind: 'compensated' } & StepName)
  /** The topic's message has `result` too, if that is small enough (`RESULT_IN_EVENT_BYTES_MAX`). */
  | { readonly kind: 'succeeded'; readonly resultBytes: number }
  | { readonly kind: 'failed'; readonly reason: Reason; readonly stage?: string; readonly compensationsFailed: number }
  | { readonly kind: 'cancelled'; readonly compensationsFailed: number }
  | { readonly kind: 'deadLettered'; readonly topic: string; readonly epoch: string; readonly offset: number }
  | { readonly kind: 'retried' }
);
export type RunEventKind = RunEvent['kind'];
/** An event before it is known when: what the engine decides. `Omit` would lose the union. */
export type Transition = RunEvent extends infer E ? (E extends { readonly atMs: number } ? Without<E> : never) : never;
type Without<E> = { [Key in keyof E as Key extends 'atMs' ? never : Key]: E[Key] };

/** A result larger than this is left out of `succeeded`; RUN `result` has it. */
export const RESULT_IN_EVENT_BYTES_MAX = 65_536;
const RESULT_KEY = textBytes('result');

/** The topic's message. `result`: encoded already, goes in as `result`. */
export function encodeEvent(event: RunEvent, result: Uint8Array | null): Uint8Array {
  const { kind, atMs, ...rest } = event;
  // BigInt: an integer on the wire, not a float.
  const head = pack({ kind, atMs: BigInt(atMs), ...rest });
  if (result === null) return head;
  const whole = new Uint8Array(head.length + RESULT_KEY.length + result.length);
  whole.set(head);
  whole[0] = (head[0] as number) + 1; // A map of a few pairs: its head byte counts them.
  whole.set(RESULT_KEY, head.length);
  whole.set(result, head.length + RESULT_KEY.length);
  return whole;
}
