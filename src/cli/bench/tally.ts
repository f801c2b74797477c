/**
 * Tally: per receiver and stream, what came, and from that what was lost, duplicated or out of order.
 *
 * One per process. A slot is one receiver's view of one stream. The usual message is the one after the last: one comparison and one store.
 * Gaps are kept as ranges until the end: what fills one later was late (reordered), what is in none is a duplicate, and what is
 * still open when the run is over was lost, unless the server had refused that publish to its sender.
 */

/** The next sequence of a slot that will take whatever comes first: a receiver that joined while publishing was on. */
export const SEQUENCE_ANY = 0xffff_ffff;

export interface LossFigures {
  readonly lost: number;
  /** Of these, before the measured part. */
  readonly lostInWarmup: number;
}

export class Tally {
  /** Distinct messages received. */
  delivered = 0;
  duplicated = 0;
  reordered = 0;
  readonly #next: Uint32Array;
  /** Open gaps of a slot: [from, to, from, to …], ascending, `to` excluded. */
  readonly #gaps = new Map<number, number[]>();

  constructor(slots: number) {
    this.#next = new Uint32Array(slots);
  }

  /** Hot. True: new to this slot. */
  receive(slot: number, sequence: number): boolean {
    if (this.#next[slot] === sequence) {
      this.#next[slot] = sequence + 1;
      this.delivered++;
      return true;
    }
    return this.#receiveUnexpected(slot, sequence);
  }

  #receiveUnexpected(slot: number, sequence: number): boolean {
    const next = this.#next[slot] as number;
    if (next === SEQUENCE_ANY || sequence > next) {
      if (next !== SEQUENCE_ANY) this.#openGap(slot, next, sequence);
      this.#next[slot] = sequence + 1;
      this.delivered++;
      return true;
    }
    if (!this.#fillGap(slot, sequence)) {
      this.duplicated++;
      return false;
    }
    this.reordered++;
    this.delivered++;
    return true;
  }

  #openGap(slot: number, from: number, to: number): void {
    const gaps = this.#gaps.get(slot);
    if (gaps === undefined) this.#gaps.set(slot, [from, to]);
    else gaps.push(from, to);
  }

  #fillGap(slot: number, sequence: number): boolean {
    const gaps = this.#gaps.get(slot);
    if (gaps === undefined) return false;
    for (let index = 0; index < gaps.length; index += 2) {
      const from = gaps[index] as number;
      const to = gaps[index + 1] as number;
      if (sequence < from || sequence >= to) continue;
      const rest: number[] = [];
      if (from < sequence) rest.push(from, sequence);
      if (sequence + 1 < to) rest.push(sequence + 1, to);
      gaps.splice(index, 2, ...rest);
      return true;
    }
    return false;
  }

  /** The receiver left or came back on purpose: what came meanwhile is not its business. Gaps from before stay losses. */
  expectNext(slot: number, sequence: number): void {
    this.#next[slot] = sequence;
  }

  /** Slots that have nothing more to come if each stream ends at `endOf(slot)`. */
  isComplete(slot: number, endSequence: number): boolean {
    return (this.#next[slot] as number) >= endSequence && (this.#gaps.get(slot)?.length ?? 0) === 0;
  }

  /**
   * What a slot lost, once nothing more will come. The stream had sequences [0, endSequence), those from `warmupEnd` on are measured,
   * `refused` never reached anybody. With `isTailOwed` false the receiver is away, and owed nothing after its last message.
   */
  lossesOf(
    slot: number,
    warmupEnd: number,
    endSequence: number,
    refused: ReadonlySet<number> | undefined,
    isTailOwed: boolean,
  ): LossFigures {
    let lost = 0;
    let lostInWarmup = 0;
    const count = (from: number, to: number): void => {
      lost += to - from;
      lostInWarmup += Math.max(Math.min(to, warmupEnd) - from, 0);
      if (refused === undefined) return;
      for (const sequence of refused) {
        if (sequence < from || sequence >= to) continue;
        lost--;
        if (sequence < warmupEnd) lostInWarmup--;
      }
    };
    const gaps = this.#gaps.get(slot) ?? [];
    for (let index = 0; index < gaps.length; index += 2) count(gaps[index] as number, gaps[index + 1] as number);
    const next = this.#next[slot] as number;
    if (isTailOwed && next < endSequence) count(next, endSequence);
    return { lost, lostInWarmup };
  }
}
