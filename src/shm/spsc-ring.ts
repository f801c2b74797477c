/**
 * The ring between two threads: one producer, one consumer, variable-length records, no locks. Layout and rules R1-R4: ring-layout.ts.
 *
 * Thread: a RingProducer belongs to one thread, a RingConsumer to one other; both may be on the same thread (lanes = 0, tests).
 * Promise: records come out once, whole and in order. Each side re-reads the other's index only when its cached copy says
 * full or empty, and writes its own once per batch: `publish()` and `release()` are the only stores the other side waits for.
 * Not here: waiting and waking (doorbell.ts). A full ring is a value, an empty one a count of 0; neither blocks.
 */

import { assert } from '../base/assert.ts';
import {
  capacityBytesOf,
  HEAD_OFFSET_BYTES,
  PADDING_KIND,
  PROGRESS_OFFSET_BYTES,
  payloadBytesMaxOf,
  RECORD_HEADER_BYTES,
  RECORDS_OFFSET_BYTES,
  recordBytesOf,
  ringWords,
  TAIL_OFFSET_BYTES,
  wordIndex,
} from './ring-layout.ts';
import { copyToShared } from './shared-copy.ts';

/** `claim()` found no room now: the caller decides to wait, drop or refuse. */
export const RING_FULL = -1;

/** `offsetBytes` is where the payload starts in `consumer.bytes`; it is valid until `release()`. Must not keep views past that. */
export type RecordHandler = (kind: number, offsetBytes: number, payloadBytes: number) => void;

const TAIL = wordIndex(TAIL_OFFSET_BYTES);
const HEAD = wordIndex(HEAD_OFFSET_BYTES);
const PROGRESS = wordIndex(PROGRESS_OFFSET_BYTES);
const NO_CLAIM = -1;
/** Up to this size a loop beats `set()`, whose call alone costs as much (bench/shm/copy.bench.ts). */
const COPY_LOOP_BYTES_MAX = 8;

// Positions are kept as i32 and wrap by `| 0`: they stay small integers inside the engine, where u32 above 2^31 would be
// allocated as doubles. Only the getters turn them into u32.

export class RingProducer {
  readonly capacityBytes: number;
  /** Of one record: an eighth of the ring, less the header (R4). */
  readonly payloadBytesMax: number;
  /** The whole record area; `claim()` returns offsets into it. Written only between a claim and its commit. */
  readonly bytes: Uint8Array;
  /** The same area. */
  readonly view: DataView;

  readonly #indexes: Int32Array;
  readonly #records: Int32Array;
  readonly #indexMask: number;
  /** End of the last committed record. */
  #tail: number;
  /** What the consumer can see of it. */
  #tailPublished: number;
  /** Where the next record starts: `#tail`, or the ring's start when the last claim did not fit before the end. */
  #nextStart: number;
  /** Known to be free from there on in one piece. The consumer may have freed more since: only less than enough makes us look. */
  #roomBytes = 0;
  #claimPayloadBytesMax = NO_CLAIM;

  constructor(buffer: SharedArrayBuffer) {
    this.capacityBytes = capacityBytesOf(buffer);
    this.payloadBytesMax = payloadBytesMaxOf(this.capacityBytes);
    this.bytes = new Uint8Array(buffer, RECORDS_OFFSET_BYTES, this.capacityBytes);
    this.view = new DataView(buffer, RECORDS_OFFSET_BYTES, this.capacityBytes);
    this.#indexes = ringWords(buffer);
    this.#records = new Int32Array(buffer, RECORDS_OFFSET_BYTES, wordIndex(this.capacityBytes));
    this.#indexMask = this.capacityBytes - 1;
    this.#tail = Atomics.load(this.#indexes, TAIL);
    this.#tailPublished = this.#tail;
    this.#nextStart = this.#tail;
  }

  /**
   * Hot. Reserves room for up to `payloadBytesMax`; returns the byte offset of the payload inside `bytes`, or RING_FULL.
   * One claim open at a time. On RING_FULL with commits unpublished, publish (and ring) before waiting: the consumer
   * cannot free what it cannot see.
   */
  claim(kind: number, payloadBytesMax: number): number {
    if (payloadBytesMax >>> 0 > this.payloadBytesMax) throwPayloadSize(payloadBytesMax, this.payloadBytesMax);
    if (this.#claimPayloadBytesMax !== NO_CLAIM) throwMisuse('claim() while another claim is open');
    if (kind < 1) throwMisuse('claim() with a kind below 1');
    const recordBytes = recordBytesOf(payloadBytesMax);
    if (recordBytes > this.#roomBytes && !this.#findRoom(recordBytes)) return RING_FULL;
    const indexBytes = this.#nextStart & this.#indexMask;
    this.#claimPayloadBytesMax = payloadBytesMax;
    this.#records[(indexBytes >> 2) + 1] = kind;
    return indexBytes + RECORD_HEADER_BYTES;
  }

  /** Hot. Ends the claim with the real size. The consumer sees it after `publish()`. */
  commit(payloadBytes: number): void {
    // Without an open claim the bound is -1, which is below every size.
    if (!(payloadBytes >= 0 && payloadBytes <= this.#claimPayloadBytesMax))
      throwCommitSize(payloadBytes, this.#claimPayloadBytesMax);
    const start = this.#nextStart;
    if (start !== this.#tail) this.#writePadding();
    this.#records[(start & this.#indexMask) >> 2] = payloadBytes;
    const recordBytes = recordBytesOf(payloadBytes);
    this.#claimPayloadBytesMax = NO_CLAIM;
    this.#tail = this.#nextStart = (start + recordBytes) | 0;
    this.#roomBytes -= recordBytes;
  }

  /** A claim is open: abort() may be called, and claim() would begin anew. */
  get hasClaim(): boolean {
    return this.#claimPayloadBytesMax !== NO_CLAIM;
  }

  /** Gives the claim back. Nothing was written that the consumer could meet, a gap before the end included. */
  abort(): void {
    if (this.#claimPayloadBytesMax === NO_CLAIM) throwMisuse('abort() without a claim');
    this.#claimPayloadBytesMax = NO_CLAIM;
    if (this.#nextStart !== this.#tail) {
      this.#nextStart = this.#tail;
      this.#roomBytes = 0; // Unknown: the next claim looks.
    }
  }

  /** Hot. One index store makes every commit since the last publish visible. Rings nobody: that is the doorbell's. */
  publish(): void {
    if (this.#tail === this.#tailPublished) return;
    this.#tailPublished = this.#tail;
    Atomics.store(this.#indexes, TAIL, this.#tail); // Publishes every plain write above (R3).
  }

  /** Hot. Claim, copy, commit and publish of one record. `false`: full now. */
  tryWrite(kind: number, payload: Uint8Array): boolean {
    const payloadBytes = payload.byteLength;
    const offsetBytes = this.claim(kind, payloadBytes);
    if (offsetBytes === RING_FULL) return false;
    const target = this.bytes;
    if (payloadBytes <= COPY_LOOP_BYTES_MAX) {
      for (let index = 0; index < payloadBytes; index++) target[offsetBytes + index] = payload[index] as number;
    } else {
      copyToShared(target, offsetBytes, payload);
    }
    this.commit(payloadBytes);
    this.publish();
    return true;
  }

  /** u32: end of the last committed record, published or not. */
  get position(): number {
    return this.#tail >>> 0;
  }

  get unpublishedBytes(): number {
    return (this.#tail - this.#tailPublished) | 0;
  }

  /** Racy, can be late: the consumer may have freed more by now. Counts what is committed but not published. */
  get usedBytes(): number {
    return (this.#tail - Atomics.load(this.#indexes, HEAD)) | 0;
  }

  /** Re-reads the head, and moves on to the ring's start if the record does not fit before the end (R2). */
  #findRoom(recordBytes: number): boolean {
    const freeBytes = (Atomics.load(this.#indexes, HEAD) + this.capacityBytes - this.#tail) | 0;
    const bytesToEnd = this.capacityBytes - (this.#tail & this.#indexMask);
    if (recordBytes <= bytesToEnd) {
      this.#nextStart = this.#tail;
      this.#roomBytes = Math.min(freeBytes, bytesToEnd);
      return recordBytes <= this.#roomBytes;
    }
    if (recordBytes > freeBytes - bytesToEnd) return false; // Stay: a smaller record may still fit before the end.
    this.#nextStart = (this.#tail + bytesToEnd) | 0;
    this.#roomBytes = freeBytes - bytesToEnd;
    return true;
  }

  #writePadding(): void {
    const indexBytes = this.#tail & this.#indexMask;
    this.#records[indexBytes >> 2] = this.capacityBytes - indexBytes - RECORD_HEADER_BYTES;
    this.#records[(indexBytes >> 2) + 1] = PADDING_KIND;
  }
}

export class RingConsumer {
  readonly capacityBytes: number;
  /** The whole record area. Read only; what was read stays valid until `release()`. */
  readonly bytes: Uint8Array;
  /** The same area. */
  readonly view: DataView;

  readonly #indexes: Int32Array;
  readonly #records: Int32Array;
  readonly #indexMask: number;
  readonly #payloadBytesMax: number;
  /** How far the records are read. */
  #position: number;
  /** What the producer knows of it. */
  #headReleased: number;
  /** The producer's tail when last looked at; everything before it is readable. */
  #tailCached: number;
  #isReading = false;

  /** Starts at the oldest record not released: a new consumer on an old ring repeats what the last one did not finish. */
  constructor(buffer: SharedArrayBuffer) {
    this.capacityBytes = capacityBytesOf(buffer);
    this.bytes = new Uint8Array(buffer, RECORDS_OFFSET_BYTES, this.capacityBytes);
    this.view = new DataView(buffer, RECORDS_OFFSET_BYTES, this.capacityBytes);
    this.#indexes = ringWords(buffer);
    this.#records = new Int32Array(buffer, RECORDS_OFFSET_BYTES, wordIndex(this.capacityBytes));
    this.#indexMask = this.capacityBytes - 1;
    this.#payloadBytesMax = payloadBytesMaxOf(this.capacityBytes);
    this.#position = Atomics.load(this.#indexes, HEAD);
    this.#headReleased = this.#position;
    this.#tailCached = Atomics.load(this.#indexes, TAIL);
  }

  /**
   * Hot. Calls the handler for up to `recordCountMax` records, and stops after the record that reaches `bytesMax`. Frees
   * nothing. Returns how many; fewer than asked does not mean empty (`isEmpty()` does). If the handler throws, the
   * position stays just before that record. Not to be called from inside the handler.
   */
  read(handler: RecordHandler, recordCountMax: number, bytesMax: number = this.capacityBytes): number {
    if (this.#isReading) throwMisuse('read() inside a handler');
    const first = this.#position;
    let tail = this.#tailCached;
    if (first === tail) {
      tail = Atomics.load(this.#indexes, TAIL);
      this.#tailCached = tail;
      if (first === tail) return 0;
    }
    const records = this.#records;
    const indexMask = this.#indexMask;
    let position = first;
    let recordCount = 0;
    this.#isReading = true;
    try {
      while (recordCount < recordCountMax && position !== tail) {
        const indexBytes = position & indexMask;
        const payloadBytes = records[indexBytes >> 2] as number;
        const kind = records[(indexBytes >> 2) + 1] as number;
        const recordBytes = recordBytesOf(payloadBytes);
        if (
          payloadBytes >>> 0 > this.#payloadBytesMax || // Negative sizes too.
          recordBytes > ((tail - position) | 0) ||
          indexBytes + recordBytes > this.capacityBytes
        ) {
          failCorrupt(position, tail, payloadBytes, kind);
        }
        const end = (position + recordBytes) | 0;
        if (kind < 1) {
          if (kind !== PADDING_KIND) failCorrupt(position, tail, payloadBytes, kind);
          position = end;
          continue;
        }
        this.#position = end; // What the handler sees as `position`.
        handler(kind, indexBytes + RECORD_HEADER_BYTES, payloadBytes);
        position = end;
        recordCount++;
        if (((position - first) | 0) >= bytesMax) break;
      }
    } finally {
      this.#position = position; // After a throw this is one record back.
      this.#isReading = false;
    }
    return recordCount;
  }

  /** Hot. One index store frees everything read so far. Not to be called from inside the handler: its record is not done. */
  release(): void {
    if (this.#isReading) throwMisuse('release() inside a handler');
    if (this.#position === this.#headReleased) return;
    this.#headReleased = this.#position;
    Atomics.store(this.#indexes, HEAD, this.#position);
  }

  /** Hot. Read and release. After a throw, what was handled before it is released. */
  drain(handler: RecordHandler, recordCountMax: number): number {
    try {
      return this.read(handler, recordCountMax);
    } finally {
      this.release();
    }
  }

  /** u32: how far read() has come, released or not. Inside a handler: the position just after its record. */
  get position(): number {
    return this.#position >>> 0;
  }

  /** Nothing unread. Looks at the producer's tail when the cached one says so; a record may come in right after. */
  isEmpty(): boolean {
    if (this.#position !== this.#tailCached) return false;
    this.#tailCached = Atomics.load(this.#indexes, TAIL);
    return this.#position === this.#tailCached;
  }

  /** Racy, can be late: the producer may have published more by now. Counts what is read but not released. */
  get usedBytes(): number {
    return (Atomics.load(this.#indexes, TAIL) - this.#headReleased) | 0;
  }

  /**
   * Hot. Leaves a position for whoever looks in from outside, such as `ringPositions()` after this thread's death. A plain
   * store, not an ordering one: exact once the thread has ended, late by a little while it runs.
   */
  noteProgress(position: number): void {
    this.#indexes[PROGRESS] = position;
  }

  /**
   * Walks the records from an absolute position up to the tail without moving anything. For the post mortem of a dead
   * consumer: only valid while nobody releases, and from a position at or after the head (R3).
   */
  static inspect(
    buffer: SharedArrayBuffer,
    fromPosition: number,
    handler: RecordHandler & ((kind: number, offsetBytes: number, payloadBytes: number, bytes?: Uint8Array) => void),
  ): void {
    const consumer = new RingConsumer(buffer);
    const { head, tail } = ringPositions(buffer);
    const isBetween = (fromPosition - head) >>> 0 <= (tail - head) >>> 0;
    if (!isBetween) throw new RangeError(`position is not in the ring: fromPosition=${fromPosition}, head=${head}, tail=${tail}`);
    consumer.#position = fromPosition | 0;
    const { bytes } = consumer;
    // Never released, so the shared head stays where it was.
    const withBytes: RecordHandler = (kind, offsetBytes, payloadBytes) => handler(kind, offsetBytes, payloadBytes, bytes);
    consumer.read(withBytes, Number.POSITIVE_INFINITY);
  }
}

/** The shared positions as u32, from any thread. Racy while the two sides run; exact for a side that has ended. */
export function ringPositions(buffer: SharedArrayBuffer): { head: number; tail: number; progress: number } {
  const words = ringWords(buffer);
  return {
    head: Atomics.load(words, HEAD) >>> 0,
    tail: Atomics.load(words, TAIL) >>> 0,
    progress: Atomics.load(words, PROGRESS) >>> 0,
  };
}

function throwPayloadSize(payloadBytes: number, payloadBytesMax: number): never {
  throw new RangeError(`payload does not fit: payloadBytes=${payloadBytes}, payloadBytesMax=${payloadBytesMax}`);
}

function throwCommitSize(payloadBytes: number, claimedBytesMax: number): never {
  if (claimedBytesMax === NO_CLAIM) throwMisuse('commit() without a claim');
  throw new RangeError(`commit outside the claim: payloadBytes=${payloadBytes}, claimedBytesMax=${claimedBytesMax}`);
}

function throwMisuse(what: string): never {
  throw new Error(`ring misuse: ${what}`);
}

function failCorrupt(position: number, tail: number, payloadBytes: number, kind: number): never {
  const where = `position=${position >>> 0}, tail=${tail >>> 0}`;
  assert(false, `ring record is corrupt: ${where}, payloadBytes=${payloadBytes}, kind=${kind}`);
}
