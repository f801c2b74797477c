/**
 * What a lane thread does when it has nothing to do: look again, nap, or park until it is rung.
 *
 *   spin    ─► look again, always                      a whole core; a record is seen after ~5 us
 *   yield   ─► nap, always                             a third of a core, no bells; ~60 us
 *   park    ─► park                                    nothing while idle, a bell per batch; 27-47 us
 *   auto    ─► by core count: up to 2 cores park; 3-4 nap a few times, then park; more spin briefly, nap, park
 *
 * Thread: the lane's. All of them end in bounded waits: the caller gets control back, beats its heartbeat and asks again.
 *
 * Yielding. A thread in Node has no sched_yield and, up to Node 22, no Atomics.pause. What there is is Atomics.wait with a
 * timeout on a word that nobody notifies, and it is a nap, not a yield: a timeout of 1 us took 88 us of wall time and 33 us of
 * CPU on a virtual machine with 2 cores (5 us: 109, 50 us: 148), against 27-47 us to wake a parked thread by its bell.
 * With timeout 0 it returns at once and yields to nobody. So on few cores parking beats yielding at everything but one thing:
 * a napping thread needs no bell, which spares the front the system call. bench/shm/idle.bench.ts compares them.
 */

import { availableParallelism } from 'node:os';
import type { ThreadDoorbell } from './doorbell.ts';

/** retry: look again now. parked-woken: was rung, or found something while lying down. parked-timeout: slept for the whole time. */
export type IdleOutcome = 'retry' | 'parked-woken' | 'parked-timeout';

export interface IdleStrategy {
  /** Called when a look at the ring gave nothing. May block, up to `timeoutMs`, and never longer than the park timeout. */
  idle(timeoutMs?: number): IdleOutcome;
  /** Called when it gave something: the next idle() starts from the lively end again. */
  reset(): void;
}

export const IDLE_STRATEGY_NAMES = ['auto', 'park', 'yield', 'spin'] as const;
export type IdleStrategyName = (typeof IDLE_STRATEGY_NAMES)[number];

export interface IdleStrategyOptions {
  readonly doorbell: ThreadDoorbell;
  /** Longest park, so that stop flags, heartbeats and port messages get their turn. Default 1 000. */
  readonly parkTimeoutMs?: number;
  /** Default: what this machine offers to the process. */
  readonly coreCount?: number;
}

interface BackoffPlan {
  /** Looks without a pause to speak of, in a row. */
  readonly spinCount: number;
  /** Naps in a row, after the spins. */
  readonly napCount: number;
}

const FOREVER = Number.POSITIVE_INFINITY;
const PARK_TIMEOUT_MS_DEFAULT = 1000;
const SPIN_PAUSE_TURNS = 50;
const NAP_MS = 0.001; // The shortest that sleeps at all; see above for what it really takes.

const PLANS = {
  spin: { spinCount: FOREVER, napCount: 0 },
  yield: { spinCount: 0, napCount: FOREVER },
  park: { spinCount: 0, napCount: 0 },
} as const satisfies Record<Exclude<IdleStrategyName, 'auto'>, BackoffPlan>;

export function createIdleStrategy(name: IdleStrategyName, options: IdleStrategyOptions): IdleStrategy {
  const { doorbell, parkTimeoutMs = PARK_TIMEOUT_MS_DEFAULT, coreCount = availableParallelism() } = options;
  return new BackoffIdleStrategy(name === 'auto' ? autoPlan(coreCount) : PLANS[name], doorbell, parkTimeoutMs);
}

function autoPlan(coreCount: number): BackoffPlan {
  if (coreCount <= 2) return PLANS.park; // The front needs the core that an idle lane would burn.
  if (coreCount <= 4) return { spinCount: 0, napCount: 4 };
  return { spinCount: 200, napCount: 4 }; // Around 10 us of looking, less than a wake-up costs.
}

class BackoffIdleStrategy implements IdleStrategy {
  readonly #plan: BackoffPlan;
  readonly #doorbell: ThreadDoorbell;
  readonly #parkTimeoutMs: number;
  readonly #napWord = new Int32Array(new SharedArrayBuffer(4)); // Nobody else has it, so nobody wakes it.
  #spinsLeft: number;
  #napsLeft: number;

  constructor(plan: BackoffPlan, doorbell: ThreadDoorbell, parkTimeoutMs: number) {
    this.#plan = plan;
    this.#doorbell = doorbell;
    this.#parkTimeoutMs = parkTimeoutMs;
    this.#spinsLeft = plan.spinCount;
    this.#napsLeft = plan.napCount;
  }

  idle(timeoutMs = this.#parkTimeoutMs): IdleOutcome {
    if (this.#spinsLeft > 0) {
      this.#spinsLeft--;
      this.#pause();
      return 'retry';
    }
    if (this.#napsLeft > 0) {
      this.#napsLeft--;
      Atomics.wait(this.#napWord, 0, 0, NAP_MS);
      return 'retry';
    }
    const outcome = this.#doorbell.park(Math.min(timeoutMs, this.#parkTimeoutMs));
    return outcome === 'timeout' ? 'parked-timeout' : 'parked-woken';
  }

  /** Hot. */
  reset(): void {
    this.#spinsLeft = this.#plan.spinCount;
    this.#napsLeft = this.#plan.napCount;
  }

  /** ~50 ns in which this core leaves the ring's index lines alone: a look per pause, not one per cycle. */
  #pause(): void {
    for (let turn = 0; turn < SPIN_PAUSE_TURNS; turn++) Atomics.load(this.#napWord, 0);
  }
}
