/**
 * A sleep that another thread can end: exact to fractions of a millisecond, where timers round up to whole ones.
 *
 * `for` blocks its thread, so not on the main one. Both sides build it over the same buffer.
 */
export class InterruptibleSleep {
  readonly buffer: SharedArrayBuffer;
  readonly #word: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.buffer = buffer;
    this.#word = new Int32Array(buffer);
  }

  /** False: it was interrupted, now or earlier. */
  for(ms: number): boolean {
    return Atomics.wait(this.#word, 0, 0, ms) === 'timed-out';
  }

  /** Ends the sleep under way and every later one. */
  interrupt(): void {
    Atomics.store(this.#word, 0, 1);
    Atomics.notify(this.#word, 0);
  }
}
