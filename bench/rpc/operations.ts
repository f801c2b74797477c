/**
 * Operations: the state of one cell's operations, by number: when each was due, and what it still owes.
 *
 * One per cell. An operation is over when all that it owes has come, or when the relay answered it with an error.
 */
import type { Kind } from './plan.ts';

/** What may be owed, as bits. */
export const ANSWER = 1;
export const DELIVERY = 2;
const FAILED = 4;
/** Room for so many is made at first; it doubles. */
const ROOM_FIRST = 1 << 16;

export class Operations {
  /** Sent so far; the number of the next one. */
  count = 0;
  /** Sent and not over. */
  inFlight = 0;
  duplicated = 0;
  readonly #owed: number;
  #got = new Uint8Array(ROOM_FIRST);
  #dueUs = new Float64Array(ROOM_FIRST);

  constructor(kind: Kind) {
    this.#owed = kind === 'publish' ? ANSWER | DELIVERY : ANSWER;
  }

  /** Hot. The number of an operation that is now sent. */
  begin(dueUs: number): number {
    const operation = this.count++;
    if (operation === this.#got.length) this.#grow();
    this.#dueUs[operation] = dueUs;
    this.inFlight++;
    return operation;
  }

  dueUs(operation: number): number {
    return this.#dueUs[operation] as number;
  }

  /** Hot. True: with this it is over. */
  got(operation: number, part: number): boolean {
    const before = this.#got[operation] as number;
    if (operation < 0 || operation >= this.count || (before & part) !== 0) {
      this.duplicated++;
      return false;
    }
    this.#got[operation] = before | part;
    if ((before | part) !== this.#owed) return false;
    this.inFlight--;
    return true;
  }

  /** Answered with an error: over, and not well. */
  failed(operation: number): void {
    if (operation < 0 || operation >= this.count || this.#got[operation] !== 0) {
      this.duplicated++;
      return;
    }
    this.#got[operation] = FAILED;
    this.inFlight--;
  }

  /** What is still owed when nothing more comes. */
  debts(): { readonly unanswered: number; readonly lost: number } {
    let unanswered = 0;
    let lost = 0;
    for (let operation = 0; operation < this.count; operation++) {
      const got = this.#got[operation] as number;
      if (got === FAILED || got === this.#owed) continue;
      if ((got & ANSWER) === 0) unanswered++;
      else lost++;
    }
    return { unanswered, lost };
  }

  #grow(): void {
    const got = new Uint8Array(2 * this.#got.length);
    got.set(this.#got);
    this.#got = got;
    const dueUs = new Float64Array(2 * this.#dueUs.length);
    dueUs.set(this.#dueUs);
    this.#dueUs = dueUs;
  }
}
