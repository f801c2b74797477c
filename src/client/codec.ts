/**
 * Codec: relay messages as bytes. One WebSocket message carries any number of them back to back, in both directions.
 */
import { writeUint } from '../protocol/uint.ts';
import { encode, Reader } from './msgpack.ts';

/**
 * Elements of each command's array, by type. protocol/types.ts has them too, beside much that a client needs not; a test holds the two together.
 */
export const COMMAND_ARITIES: readonly number[] = [0, 3, 5, 4, 3, 6, 4, 4, 4, 3, 4, 4, 5, 4, 2, 3, 4, 5, 4, 4, 5];

/** Array head, type and the longest id. */
export const HEAD_BYTES_MAX = 1 + 1 + 9;

/** What stands behind type and id. Encoded once, while the id changes with every sending. */
export const encodeTail = encode;

/** Writes one command; the caller has made HEAD_BYTES_MAX + tail.length of room. */
export function writeCommand(target: Uint8Array, at: number, type: number, id: number, tail: Uint8Array): number {
  target[at] = 0x90 | (COMMAND_ARITIES[type] as number);
  target[at + 1] = type;
  const tailStart = writeUint(target, at + 2, id);
  target.set(tail, tailStart);
  return tailStart + tail.length;
}

/** Hot. Calls `handle` for each message. Throws where the framing is lost. */
export function readMessages(bytes: Uint8Array, handle: (message: readonly unknown[]) => void): void {
  const reader = new Reader(bytes);
  while (!reader.isAtEnd) {
    const message = reader.value();
    if (!Array.isArray(message)) throw new Error('a message must be an array');
    handle(message);
  }
}
