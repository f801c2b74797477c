/**
 * Circuit breaker of one instance: how many of its latest calls failed or were too slow, and what that means for the next.
 *
 *   closed ──(errorRate or slowRate reached)──► open ──(openMs)──► halfOpen ──(all probes succeed)──► closed
 *                                                ▲──────(one probe fails; openMs doubles)──────┘
 *
 * Thread: the lane's. Pure: time comes in, the owner sets the timer that ends `open`.
 */
import type { BreakerConfig } from './service-config.ts';

export type BreakerState = 'closed' | 'open' | 'halfOpen';
/** Of a call, for its instance. Neutral: neither a merit nor a fault, as when the caller has left. */
export type CallOutcome = 'ok' | 'error' | 'neutral';

/** The window moves on in steps of a tenth. */
const BUCKETS = 10;
const CALLS = 0;
const ERRORS = 1;
const SLOW = 2;
const FIELDS = 3;
/** What `begin` gives to a call that is no probe. */
export const NO_PROBE = 0;

export class Breaker {
  readonly #config: BreakerConfig;
  #state: BreakerState = 'closed';
  /** `[calls, errors, slow]` for each bucket; made at the first call. */
  #buckets: Uint32Array | null = null;
  readonly #totals = [0, 0, 0];
  /** Which step of time the newest bucket stands for. */
  #step = 0;
  #openMs: number;
  #openUntilMs = 0;
  /** Numbers the half-open times: a probe of an earlier one says nothing any more. */
  #trial = 0;
  #probesInFlight = 0;
  #probesSucceeded = 0;

  constructor(config: BreakerConfig) {
    this.#config = config;
    this.#openMs = config.openMs;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** While open: when the first probe may go. */
  get openUntilMs(): number {
    return this.#openUntilMs;
  }

  /** Hot. May a call begin now? */
  get allows(): boolean {
    if (this.#state === 'closed') return true;
    return this.#state === 'halfOpen' && this.#probesInFlight + this.#probesSucceeded < this.#config.probes;
  }

  /** Hot. A call begins. What it answers goes to `end` with the call. */
  begin(): number {
    if (this.#state !== 'halfOpen') return NO_PROBE;
    this.#probesInFlight++;
    return this.#trial;
  }

  /** Hot. A call is over. True: the state has changed. */
  end(probe: number, outcome: CallOutcome, durationMs: number, nowMs: number): boolean {
    const { slowMs } = this.#config;
    const isSlow = slowMs > 0 && durationMs > slowMs;
    if (probe !== NO_PROBE) return probe === this.#trial && this.#state === 'halfOpen' && this.#endProbe(outcome, isSlow, nowMs);
    // Begun before it opened: what made it open has been counted.
    if (this.#state !== 'closed' || outcome === 'neutral') return false;
    return this.#count(outcome === 'error', isSlow, nowMs);
  }

  /** The time of `open` is over. */
  halfOpen(): void {
    this.#state = 'halfOpen';
    this.#trial++;
    this.#probesInFlight = 0;
    this.#probesSucceeded = 0;
  }

  #endProbe(outcome: CallOutcome, isSlow: boolean, nowMs: number): boolean {
    this.#probesInFlight--;
    if (outcome === 'neutral') return false; // Another one takes its place.
    if (outcome === 'error' || isSlow) {
      this.#openMs = Math.min(2 * this.#openMs, this.#config.openMsMax);
      this.#open(nowMs);
      return true;
    }
    if (++this.#probesSucceeded < this.#config.probes) return false;
    this.#state = 'closed';
    this.#openMs = this.#config.openMs;
    return true;
  }

  #open(nowMs: number): void {
    this.#state = 'open';
    this.#openUntilMs = nowMs + this.#openMs;
    this.#buckets?.fill(0);
    this.#totals.fill(0);
  }

  #count(isError: boolean, isSlow: boolean, nowMs: number): boolean {
    const { windowMs, volume, errorRate, slowRate } = this.#config;
    const buckets = (this.#buckets ??= new Uint32Array(BUCKETS * FIELDS));
    this.#moveOn(buckets, Math.floor(nowMs / (windowMs / BUCKETS)));
    const at = (this.#step % BUCKETS) * FIELDS;
    const totals = this.#totals as [number, number, number];
    buckets[at + CALLS]!++;
    totals[CALLS]++;
    if (isError) {
      buckets[at + ERRORS]!++;
      totals[ERRORS]++;
    }
    if (isSlow) {
      buckets[at + SLOW]!++;
      totals[SLOW]++;
    }
    if (totals[CALLS] < volume) return false;
    if (totals[ERRORS] < errorRate * totals[CALLS] && (totals[SLOW] === 0 || totals[SLOW] < slowRate * totals[CALLS]))
      return false;
    this.#open(nowMs);
    return true;
  }

  /** Empties the buckets of the steps that have passed since the last call. A clock that stands or steps back keeps the newest one. */
  #moveOn(buckets: Uint32Array, step: number): void {
    const passed = Math.min(step - this.#step, BUCKETS);
    if (passed <= 0) return;
    this.#step = step;
    const totals = this.#totals as [number, number, number];
    for (let back = 0; back < passed; back++) {
      const at = ((step - back) % BUCKETS) * FIELDS;
      for (let field = 0; field < FIELDS; field++) {
        totals[field]! -= buckets[at + field] as number;
        buckets[at + field] = 0;
      }
    }
  }
}
