/**
 * Slabs: fixed-size pieces of a few large buffers, in which topics keep their history.
 *
 * Thread: the lane's. Why not a Buffer per message: an object and a slice per kept message took a relay with 1,000 topics x 100
 * messages of 64 B from 101 to 173 MB. Slabs are handed out and taken back by size class, so churn of topics does not fragment.
 */
import { assert } from '../base/assert.ts';

/** A quiet topic should cost little, a busy one few slabs: a topic's next slab is of the next class. */
export const SLAB_CLASS_BYTES = [512, 2_048, 8_192] as const;
const ARENA_BYTES = 262_144;

export interface Slab {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Index into SLAB_CLASS_BYTES, or -1: made for one message that is larger than the largest class. */
  readonly sizeClass: number;
  /** Bytes in use from the slab's start. */
  usedBytes: number;
  /** Where the oldest kept message begins. */
  firstBytes: number;
  /** Messages kept in it. */
  messageCount: number;
}

export class SlabPool {
  readonly #free: Slab[][] = SLAB_CLASS_BYTES.map(() => []);
  #bytesInUse = 0;
  #bytesReserved = 0;

  /** A slab with room for `bytes`, of `sizeClass` or larger. */
  take(bytes: number, sizeClass: number): Slab {
    let chosen = Math.min(sizeClass, SLAB_CLASS_BYTES.length - 1);
    while (chosen < SLAB_CLASS_BYTES.length && (SLAB_CLASS_BYTES[chosen] as number) < bytes) chosen++;
    if (chosen === SLAB_CLASS_BYTES.length) {
      this.#bytesInUse += bytes;
      this.#bytesReserved += bytes;
      return makeSlab(new ArrayBuffer(bytes), 0, bytes, -1);
    }
    const free = this.#free[chosen] as Slab[];
    if (free.length === 0) this.#carve(chosen);
    this.#bytesInUse += SLAB_CLASS_BYTES[chosen] as number;
    return free.pop() as Slab;
  }

  give(slab: Slab): void {
    assert(slab.messageCount === 0, `slab given back with ${slab.messageCount} messages in it`);
    this.#bytesInUse -= slab.bytes.length;
    if (slab.sizeClass < 0) {
      this.#bytesReserved -= slab.bytes.length; // The collector has it.
      return;
    }
    slab.usedBytes = 0;
    slab.firstBytes = 0;
    (this.#free[slab.sizeClass] as Slab[]).push(slab);
  }

  /** Bytes of slabs that topics hold: what the lane's history bound counts. */
  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** Bytes taken from the system, free slabs included. */
  get bytesReserved(): number {
    return this.#bytesReserved;
  }

  #carve(sizeClass: number): void {
    const slabBytes = SLAB_CLASS_BYTES[sizeClass] as number;
    const arena = new ArrayBuffer(ARENA_BYTES);
    this.#bytesReserved += ARENA_BYTES;
    for (let start = 0; start < ARENA_BYTES; start += slabBytes) {
      (this.#free[sizeClass] as Slab[]).push(makeSlab(arena, start, slabBytes, sizeClass));
    }
  }
}

function makeSlab(buffer: ArrayBuffer, start: number, bytes: number, sizeClass: number): Slab {
  return {
    bytes: new Uint8Array(buffer, start, bytes),
    view: new DataView(buffer, start, bytes),
    sizeClass,
    usedBytes: 0,
    firstBytes: 0,
    messageCount: 0,
  };
}
