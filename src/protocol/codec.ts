/**
 * General MessagePack, by msgpackr: everything that is not on the hot path. The only place in the relay that imports it.
 *
 * The settings keep to plain MessagePack (msgpackr's default writes a private record extension), and copy binary fields out:
 * they would otherwise alias the ring's shared memory, which is overwritten later. 64-bit integers read as numbers; what is over 2^32
 * and must go out as an integer is given as BigInt (a plain number would become a float).
 */
import { Packr } from 'msgpackr';
import { writeUint } from './encode.ts';

const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  encodeUndefinedAsNil: true,
  copyBuffers: true,
  int64AsType: 'number',
  useToJSON: false, // Data may have a key of that name: it is no function.
});

/** One value as MessagePack bytes of its own (not a view into a shared buffer). */
export function pack(value: unknown): Uint8Array {
  return Uint8Array.prototype.slice.call(packr.pack(value));
}

/** A message whose second element is an id: an unsigned integer whatever its size, where `pack` alone would make a float of 2^32 and more. */
export function packMessage(type: number, id: number, ...rest: readonly unknown[]): Uint8Array {
  if (id <= 0xffff_ffff) return pack([type, id, ...rest]);
  const packed = pack([type, 0, ...rest]);
  const message = new Uint8Array(packed.length + 8);
  message.set(packed.subarray(0, 2));
  message.set(packed.subarray(3), writeUint(message, 2, id));
  return message;
}

/** Decodes exactly one value. Throws on anything else: prove bytes of a peer with `skipValue` first. */
export function unpack(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}

/** Decodes all values that stand back to back. Throws on a cut value. */
export function unpackMany(bytes: Uint8Array): unknown[] {
  return bytes.length === 0 ? [] : (packr.unpackMultiple(bytes) as unknown[]);
}
