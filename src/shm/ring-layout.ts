/**
 * One single-producer single-consumer ring in a SharedArrayBuffer: the layout, and nothing that moves.
 * The algorithm is in spsc-ring.ts, the going to sleep in doorbell.ts. After Agrona's RingBufferDescriptor and RecordDescriptor.
 *
 *   byte 0          128         256          384           512             512 + capacityBytes
 *        ├─ tail ────┼─ head ────┼─ asleep ───┼─ progress ──┼─ records ─────┤
 *   written by: producer  consumer    both         consumer      producer
 *
 *   asleep     0 awake, 1 the consumer is parked (or about to be) and wants to be rung
 *   progress   | position u32 | heartbeat u32 | (free) |    what the consumer says about itself, for whoever looks in from outside
 *   record     | payloadBytes i32 | kind i32 | payload … | pad |    8-byte aligned; kind >= 1, or PADDING
 *
 *   R1  0 <= ((tail - head) | 0) <= capacityBytes; both count bytes, start equal and wrap at 2^32.
 *   R2  A record never wraps: the gap before the end is one PADDING record.
 *   R3  Bytes from head to tail are immutable until head has passed them, so a dead consumer's records can still be read.
 *   R4  A record and the padding in front of it fit into a quarter of the ring: an empty ring takes any record that is allowed at all.
 */

import { assert } from '../base/assert.ts';

const SLOT_BYTES = 128; // Two cache lines: lines are prefetched in pairs, 64 would still be shared.
export const TAIL_OFFSET_BYTES = 0;
export const HEAD_OFFSET_BYTES = TAIL_OFFSET_BYTES + SLOT_BYTES;
export const ASLEEP_OFFSET_BYTES = HEAD_OFFSET_BYTES + SLOT_BYTES;
export const PROGRESS_OFFSET_BYTES = ASLEEP_OFFSET_BYTES + SLOT_BYTES;
export const HEARTBEAT_OFFSET_BYTES = PROGRESS_OFFSET_BYTES + 4; // Same writer as progress, so the same line does no harm.
export const RECORDS_OFFSET_BYTES = PROGRESS_OFFSET_BYTES + SLOT_BYTES;

export const RECORD_HEADER_BYTES = 8;
export const RECORD_ALIGN_BYTES = 8;

/** The kind of the record that fills the gap before the end. Users' kinds start at 1: a zeroed header is never a record. */
export const PADDING_KIND = -1;

export const AWAKE = 0;
export const ASLEEP = 1;

export const RING_CAPACITY_BYTES_MIN = 4096;
/** 2^30: differences of two positions, plus a record, stay inside 31 bits. */
export const RING_CAPACITY_BYTES_MAX = 1024 * 1024 * 1024;

assert(RECORDS_OFFSET_BYTES % RECORD_ALIGN_BYTES === 0, 'records start aligned');
assert(RECORD_HEADER_BYTES % RECORD_ALIGN_BYTES === 0, 'the smallest gap before the end holds a padding header');

/** Atomics wants element indexes, not byte offsets: convert in this one place. */
export const wordIndex = (offsetBytes: number): number => offsetBytes >> 2;

/** Hot. Header and payload, rounded up to the alignment. */
export const recordBytesOf = (payloadBytes: number): number =>
  (RECORD_HEADER_BYTES + payloadBytes + (RECORD_ALIGN_BYTES - 1)) & -RECORD_ALIGN_BYTES;

/** The largest payload of one record: an eighth of the ring with its header, which leaves room for an equally large gap (R4). */
export const payloadBytesMaxOf = (capacityBytes: number): number => capacityBytes / 8 - RECORD_HEADER_BYTES;

/** The record area's size of a ring made by `createRing`; throws for any other buffer. */
export function capacityBytesOf(buffer: SharedArrayBuffer): number {
  const capacityBytes = buffer.byteLength - RECORDS_OFFSET_BYTES;
  if (!isCapacity(capacityBytes)) throw new RangeError(`not a ring: byteLength=${buffer.byteLength}`);
  return capacityBytes;
}

/** `startPosition` is for tests that want to see the positions wrap at 2^32. */
export function createRing(capacityBytes: number, startPosition = 0): SharedArrayBuffer {
  if (!isCapacity(capacityBytes)) {
    const bounds = `min=${RING_CAPACITY_BYTES_MIN}, max=${RING_CAPACITY_BYTES_MAX}`;
    throw new RangeError(`ring capacity must be a power of two: capacityBytes=${capacityBytes}, ${bounds}`);
  }
  if (startPosition % RECORD_ALIGN_BYTES !== 0)
    throw new RangeError(`start position is not aligned: startPosition=${startPosition}`);
  const buffer = new SharedArrayBuffer(RECORDS_OFFSET_BYTES + capacityBytes);
  const words = new Int32Array(buffer, 0, wordIndex(RECORDS_OFFSET_BYTES));
  // Plain stores: the buffer reaches another thread by a message, which orders them.
  words[wordIndex(TAIL_OFFSET_BYTES)] = startPosition;
  words[wordIndex(HEAD_OFFSET_BYTES)] = startPosition;
  words[wordIndex(PROGRESS_OFFSET_BYTES)] = startPosition;
  return buffer;
}

/** The header words of a ring, for doorbells and heartbeats: everything before the records. */
export function ringWords(buffer: SharedArrayBuffer): Int32Array {
  capacityBytesOf(buffer);
  return new Int32Array(buffer, 0, wordIndex(RECORDS_OFFSET_BYTES));
}

function isCapacity(bytes: number): boolean {
  const inBounds = bytes >= RING_CAPACITY_BYTES_MIN && bytes <= RING_CAPACITY_BYTES_MAX;
  return Number.isInteger(bytes) && inBounds && (bytes & (bytes - 1)) === 0;
}
