/**
 * What one connection has sent and the front has not handled yet: copies of WebSocket messages, in order, in one piece of memory.
 *
 *   | bytes u32 | stamp u32 | message … | bytes u32 | stamp u32 | message … |
 *
 * Thread: front only. Messages keep their borders: one that is cut short must not be read on into the next. Bounded by whoever fills it.
 */

const HEAD_BYTES = 8;
const CAPACITY_MIN = 1_024;
/** What a message counts for beside its own bytes: one that is next to nothing still costs the transport a call. */
export const HELD_MESSAGE_BYTES = 64;

export class HeldMessages {
  /** They wait for something else than the session's turn: whether its token is good, whether it may subscribe. */
  isBlocked = false;
  /** What has come since. */
  blockedBytes = 0;
  #bytes = new Uint8Array(CAPACITY_MIN);
  #view = new DataView(this.#bytes.buffer);
  /** Of the first message's head; it may have been read in part, and its head then stands right before the rest. */
  #start = 0;
  #end = 0;
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** What it counts for against its bounds. */
  get heldBytes(): number {
    return this.#end - this.#start + this.#count * (HELD_MESSAGE_BYTES - HEAD_BYTES);
  }

  /** Copies `bytes[start, end)`, which arrived at `stampUs`. */
  push(bytes: Uint8Array, start: number, end: number, stampUs: number): void {
    const length = end - start;
    this.#reserve(HEAD_BYTES + length);
    this.#view.setUint32(this.#end, length, true);
    this.#view.setUint32(this.#end + 4, stampUs, true);
    this.#bytes.set(bytes.subarray(start, end), this.#end + HEAD_BYTES);
    this.#end += HEAD_BYTES + length;
    this.#count++;
  }

  /** The memory in which the first message stands, until the next `push`. */
  get memory(): Uint8Array {
    return this.#bytes;
  }
  get firstStart(): number {
    return this.#start + HEAD_BYTES;
  }
  get firstEnd(): number {
    return this.firstStart + this.#view.getUint32(this.#start, true);
  }
  get firstStampUs(): number {
    return this.#view.getUint32(this.#start + 4, true);
  }

  /** The first message is handled up to `at`, an offset in `memory`. */
  handledTo(at: number): void {
    const { firstEnd, firstStampUs } = this;
    if (at >= firstEnd) {
      this.#start = firstEnd;
      this.#count--;
      return;
    }
    this.#start = at - HEAD_BYTES; // Over what has been read.
    this.#view.setUint32(this.#start, firstEnd - at, true);
    this.#view.setUint32(this.#start + 4, firstStampUs, true);
  }

  #reserve(bytes: number): void {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    if (this.#end + bytes <= this.#bytes.length) return;
    const used = this.#end - this.#start;
    // Moved where that leaves half of it free: a byte is then moved about once, however long this goes on. The memory is twice what is in it at most.
    if (2 * (used + bytes) <= this.#bytes.length) this.#bytes.copyWithin(0, this.#start, this.#end);
    else {
      const grown = new Uint8Array(2 * (used + bytes));
      grown.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#start = 0;
    this.#end = used;
  }
}
