/** Time comes in through this port, so that lanes, sessions and the simulator agree on what "now" is. */
export interface Clock {
  /** Milliseconds since the Unix epoch. May step when the machine's clock is set. */
  nowMs(): number;
  /** Milliseconds on a clock that never steps back; only differences mean anything. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** A clock that stands still until told: tests and the simulator. */
export class ManualClock implements Clock {
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
  advance(ms: number): void {
    this.#nowMs += ms;
  }
}
