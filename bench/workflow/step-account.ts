/**
 * Account of steps: for each (run, stage, index) how often an instance was given it and how often its run accepted a result, and what a run came to.
 *
 * One per set of runs. An instance may be given a step before the answer to its run's START is here, so runs are known by the name they come with.
 */
import { STAGES, stepsPerRun } from './plan.ts';

class RunAccount {
  readonly given: Uint8Array;
  readonly accepted: Uint8Array;
  /** Undefined: it has not succeeded. */
  result: unknown = undefined;
  hasEnded = false;

  constructor(steps: number) {
    this.given = new Uint8Array(steps);
    this.accepted = new Uint8Array(steps);
  }
}

export interface StepCounts {
  readonly stepsLost: number;
  readonly stepsDoubled: number;
  readonly stepsNotAccepted: number;
  readonly stepsAcceptedTwice: number;
}

export class StepAccount {
  /** Of no run or step that there is. */
  foreign = 0;
  ended = 0;
  readonly #width: number;
  readonly #runs = new Map<string, RunAccount>();

  constructor(width: number) {
    this.#width = width;
  }

  given(run: string, stage: string, index: number): void {
    const place = this.#place(stage, index);
    if (place < 0) this.foreign++;
    else this.#of(run).given[place]!++;
  }

  accepted(run: string, stage: string, index: number): void {
    const place = this.#place(stage, index);
    if (place < 0) this.foreign++;
    else this.#of(run).accepted[place]!++;
  }

  /** The run has ended, well with a result. True: it had not before. */
  end(run: string, result: unknown): boolean {
    const account = this.#of(run);
    account.result = result;
    if (account.hasEnded) {
      this.foreign++;
      return false;
    }
    account.hasEnded = true;
    this.ended++;
    return true;
  }

  result(run: string): unknown {
    return this.#runs.get(run)?.result;
  }

  /** `runs` are those that were started, and there must be no others. */
  counts(runs: readonly string[]): StepCounts {
    const counts = { stepsLost: 0, stepsDoubled: 0, stepsNotAccepted: 0, stepsAcceptedTwice: 0 };
    for (const name of runs) {
      const { given, accepted } = this.#of(name);
      for (const times of given) {
        if (times === 0) counts.stepsLost++;
        else if (times > 1) counts.stepsDoubled++;
      }
      for (const times of accepted) {
        if (times === 0) counts.stepsNotAccepted++;
        else if (times > 1) counts.stepsAcceptedTwice++;
      }
    }
    this.foreign += this.#runs.size - new Set(runs).size;
    return counts;
  }

  #of(run: string): RunAccount {
    let account = this.#runs.get(run);
    if (account === undefined) {
      account = new RunAccount(stepsPerRun(this.#width));
      this.#runs.set(run, account);
    }
    return account;
  }

  /** SIFT, CAST and STITCH have one step each, in front; then SPAWN's. */
  #place(stage: string, index: number): number {
    if (stage === 'spawn') return index >= 0 && index < this.#width ? STAGES.length - 1 + index : -1;
    return index === 0 ? SINGLE_STAGES.indexOf(stage) : -1;
  }
}

const SINGLE_STAGES: readonly string[] = STAGES.filter((stage) => stage !== 'spawn');
