/** Time comes in through this port, so that lanes, sessions and the simulator agree on what "now" is. */
export interface Clock {
  /** Milliseconds since the Unix epoch. May step when the machine's clock is set. */
  nowMs(): number;
  /** Milliseconds on a clock that never steps back; only differences mean anything. */
  monotonicMs(): number;
}

/** What the relay's own parts have besides. */
export interface RelayClock extends Clock {
  /** Microseconds on the monotonic clock, modulo 2^32: for latencies, whose differences fit by far. The same for all threads of the process. */
  stampUs(): number;
}

/** Microseconds from one stamp to a later one. Below zero by a hair, as two threads' readings may be, reads as 0. */
export function elapsedUs(fromUs: number, toUs: number): number {
  return Math.max(0, (toUs - fromUs) | 0);
}

export const systemClock: RelayClock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  stampUs: () => (performance.now() * 1000) >>> 0,
};

/** A clock that stands still until told: tests and the simulator. */
export class ManualClock implements RelayClock {
  #nowMs: number;
  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }
  nowMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  stampUs(): number {
    return (this.#nowMs * 1000) >>> 0;
  }
  advance(ms: number): void {
    this.#nowMs += ms;
  }
}
