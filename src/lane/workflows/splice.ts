/**
 * Values out of values and into values, as bytes: elements of an array, the value under a key of a map, arrays and maps of what is there already.
 *
 * Thread: the lane's. Nothing is decoded, so what a service returned reaches the next one byte for byte, whatever its encoder made of it.
 * All input is proven MessagePack (the front has scanned it), so a scan here cannot fail; results are views of the input.
 */
import { writeBytes } from '../../protocol/encode.ts';
import { readUint16, readUint32, skipValue } from '../../protocol/skip.ts';

export const NIL: Uint8Array = Uint8Array.of(0xc0);
const TEXT = new TextEncoder();
const HEAD_BYTES_MAX = 5;

/** A key of a map, and the value that goes under it. */
export type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** Elements of the array that `value` is, or -1 if it is none. */
export function arrayCount(value: Uint8Array): number {
  const type = value[0] as number;
  if (type >= 0x90 && type <= 0x9f) return type & 0x0f;
  return type === 0xdc ? readUint16(value, 1) : type === 0xdd ? readUint32(value, 1) : -1;
}

/** The elements of the array that `value` is; null if it is none. */
export function arrayElements(value: Uint8Array): Uint8Array[] | null {
  const count = arrayCount(value);
  if (count < 0) return null;
  const elements = new Array<Uint8Array>(count);
  let at = headBytes(value[0] as number);
  for (let index = 0; index < count; index++) {
    const end = skipValue(value, at, value.length);
    elements[index] = value.subarray(at, end);
    at = end;
  }
  return elements;
}

/** What stands under the string `key` in the map that `value` is; the last of several, as decoders take it. Null: no map, or no such key. */
export function mapValue(value: Uint8Array, key: string): Uint8Array | null {
  const type = value[0] as number;
  let count = -1;
  if (type >= 0x80 && type <= 0x8f) count = type & 0x0f;
  else if (type === 0xde) count = readUint16(value, 1);
  else if (type === 0xdf) count = readUint32(value, 1);
  const wanted = TEXT.encode(key);
  let found: Uint8Array | null = null;
  let at = headBytes(type);
  for (let pair = 0; pair < count; pair++) {
    const keyEnd = skipValue(value, at, value.length);
    const end = skipValue(value, keyEnd, value.length);
    if (isText(value, at, keyEnd, wanted)) found = value.subarray(keyEnd, end);
    at = end;
  }
  return found;
}

/** `[part, …]`; nil for a part that is not there. */
export function joinArray(parts: readonly (Uint8Array | null)[]): Uint8Array {
  let bytes = HEAD_BYTES_MAX;
  for (const part of parts) bytes += part?.length ?? 1;
  const array = new Uint8Array(bytes);
  let at = writeHead(array, parts.length, 0x90, 0xdc);
  for (const part of parts) at = writeBytes(array, at, part ?? NIL, 0, part?.length ?? 1);
  return array.subarray(0, at);
}

/** `{key: value, …}`; keys as `textBytes` makes them. */
export function joinMap(entries: readonly Entry[]): Uint8Array {
  let bytes = HEAD_BYTES_MAX;
  for (const [key, value] of entries) bytes += key.length + value.length;
  const map = new Uint8Array(bytes);
  let at = writeHead(map, entries.length, 0x80, 0xde);
  for (const [key, value] of entries) {
    at = writeBytes(map, at, key, 0, key.length);
    at = writeBytes(map, at, value, 0, value.length);
  }
  return map.subarray(0, at);
}

/** A text of up to 255 bytes as a MessagePack string. */
export function textBytes(value: string): Uint8Array {
  const bytes = TEXT.encode(value);
  const head = bytes.length < 32 ? [0xa0 | bytes.length] : [0xd9, bytes.length];
  const encoded = new Uint8Array(head.length + bytes.length);
  encoded.set(head);
  encoded.set(bytes, head.length);
  return encoded;
}

function isText(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  const type = bytes[start] as number;
  let at = start;
  if (type >= 0xa0 && type <= 0xbf) at += 1;
  else if (type >= 0xd9 && type <= 0xdb) at += 1 + (1 << (type - 0xd9));
  else return false;
  if (end - at !== wanted.length) return false;
  for (let index = 0; index < wanted.length; index++) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}

/** Bytes before the first element of an array or map. */
function headBytes(type: number): number {
  return type === 0xdc || type === 0xde ? 3 : type === 0xdd || type === 0xdf ? 5 : 1;
}

function writeHead(target: Uint8Array, count: number, short: number, long: number): number {
  if (count < 16) {
    target[0] = short | count;
    return 1;
  }
  if (count < 0x1_0000) {
    target.set([long, count >>> 8, count & 0xff]);
    return 3;
  }
  target.set([long + 1, count >>> 24, (count >>> 16) & 0xff, (count >>> 8) & 0xff, count & 0xff]);
  return 5;
}
