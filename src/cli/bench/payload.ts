/**
 * What a bench message carries, so that every receiver can tell on its own what it got, whether it is in order and how old it is.
 *
 *   byte 0       4        8         12          16       24         28         payloadBytes
 *        ├ magic ┼ run id ┼ stream ─┼ sequence ─┼ due us ┼ lag us ──┼ zero ────┤      all big-endian
 *
 *   run id    random per run: a message of another run is foreign, not a duplicate
 *   stream    who published where: room = stream % rooms (see plan.ts)
 *   sequence  0, 1, 2 … per stream
 *   due us    when the schedule wanted it sent, on the clock all processes share: latency counts from here
 *   lag us    how much later than that it was really sent
 */
import { readUint32 } from '../../protocol/skip.ts';

export const PAYLOAD_MAGIC = 0xb3_17_c4_a5;
export const PAYLOAD_BYTES_MIN = 32;

export const RUN_ID_OFFSET_BYTES = 4;
export const STREAM_OFFSET_BYTES = 8;
export const SEQUENCE_OFFSET_BYTES = 12;
export const DUE_OFFSET_BYTES = 16;
export const LAG_OFFSET_BYTES = 24;

const UINT32_RANGE = 0x1_0000_0000;

/** What stays the same for a whole run; the rest of the payload is left as it is. */
export function writePayloadConstants(target: Uint8Array, at: number, runId: number): void {
  writeUint32(target, at, PAYLOAD_MAGIC);
  writeUint32(target, at + RUN_ID_OFFSET_BYTES, runId);
}

/** Hot. What differs from message to message. */
export function writePayload(
  target: Uint8Array,
  at: number,
  stream: number,
  sequence: number,
  dueUs: number,
  lagUs: number,
): void {
  writeUint32(target, at + STREAM_OFFSET_BYTES, stream);
  writeUint32(target, at + SEQUENCE_OFFSET_BYTES, sequence);
  writeUint32(target, at + DUE_OFFSET_BYTES, Math.floor(dueUs / UINT32_RANGE));
  writeUint32(target, at + DUE_OFFSET_BYTES + 4, dueUs % UINT32_RANGE);
  writeUint32(target, at + LAG_OFFSET_BYTES, lagUs);
}

/** Hot. */
export function readDueUs(bytes: Uint8Array, payloadAt: number): number {
  return readUint32(bytes, payloadAt + DUE_OFFSET_BYTES) * UINT32_RANGE + readUint32(bytes, payloadAt + DUE_OFFSET_BYTES + 4);
}

/** Hot. Fractions are cut off. */
export function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}
