/**
 * What the engine keeps beside a run's state while the run is in memory: timers, calls, what is ready to be issued. None of it is in the journal; all
 * of it is made anew from the state when a lane takes another's place.
 *
 * Thread: the lane's.
 */
import { WORKFLOW_TOPIC_PREFIX } from '../../protocol/placement.ts';
import type { Timer } from '../timers.ts';
import type { Run } from './run.ts';
import type { StepCall } from './step-calls.ts';

/** Indexes in the order in which they may go. */
export class ReadyQueue {
  #indexes: number[] = [];
  #head = 0;

  get length(): number {
    return this.#indexes.length - this.#head;
  }

  push(index: number): void {
    this.#indexes.push(index);
  }

  shift(): number {
    const index = this.#indexes[this.#head++] as number;
    if (this.#head === this.#indexes.length) this.clear();
    return index;
  }

  clear(): void {
    this.#indexes = [];
    this.#head = 0;
  }
}

/** Steps of one stage, or what undoes them: what may be issued now, what will be later, and how many are out. */
export class Lot {
  readonly ready = new ReadyQueue();
  readonly backoffs = new Map<number, Timer>();
  readonly calls = new Set<StepCall>();
}

export class LiveStage extends Lot {
  /** Of a forEach, cut out once. */
  elements: readonly Uint8Array[] | null = null;
  /** A join's deadline. */
  joinTimer: Timer | null = null;
}

export class LiveRun {
  readonly run: Run;
  readonly topic: string;
  /** `topic` as bytes: the journal's key. */
  readonly journalKey: Uint8Array;
  readonly stages: readonly LiveStage[];
  /** Of the stage that is being undone. */
  undo: Lot | null = null;
  undoStage = -1;
  deadlineTimer: Timer | null = null;
  /** Steps with a CALL out that counts: not one that has been given up. */
  inFlight = 0;
  /** Stands in the lane's queue for room. */
  isQueued = false;
  /** No status, no topic, no journal any more. */
  isForgotten = false;

  constructor(run: Run) {
    this.run = run;
    this.topic = topicOf(run.plan.name, run.run);
    this.journalKey = new TextEncoder().encode(this.topic);
    this.stages = run.stages.map(() => new LiveStage());
  }
}

export function topicOf(workflow: string, run: string): string {
  return `${WORKFLOW_TOPIC_PREFIX}${workflow}.${run}`;
}
