/**
 * MessagePack as JSON text and back, for HTTP clients without a MessagePack library. Lossless in both directions:
 *
 *   binary              {"$bin": "<base64>"}
 *   extension           {"$ext": [<type>, "<base64>"]}
 *   NaN and infinities  {"$float": "NaN" | "Infinity" | "-Infinity"}
 *   a map of one pair whose key looks like one of these gets one `$` more in front, and loses it on the way back
 *   integers            all digits, up to 64 bit
 *
 * Three things JSON has no form for: a map key that is no string becomes its JSON text (cut where it is long), text that is no UTF-8 gets replacement characters,
 * and a float without a fraction comes back as an integer of the same value.
 *
 * Thread: front only. Bytes to text without objects in between: payloads are any MessagePack, so an extension that a decoder does not know
 * must not fail, and those that it does know must not run.
 */
import { writeUint } from '../protocol/encode.ts';
import { RelayError } from '../protocol/errors.ts';
import { DEPTH_MAX, readUint16, readUint32 } from '../protocol/skip.ts';

/** What a payload may have, and the list and the map of a batch around it. Bounds the recursion; the payload's own depth is proven by skipValue. */
const JSON_DEPTH_MAX = DEPTH_MAX + 2;
/** Of a map key that is no string: JSON in JSON doubles its backslashes with every level, so a longer one is cut. */
const KEY_TEXT_LENGTH_MAX = 256;
const TAG = /^\$+(?:bin|ext|float)$/;
/** With a length that is a multiple of 4. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** Shorter integers are exact as numbers; text without such a run needs no second look at its numbers. */
const LONG_INTEGER = /\d{16}/;
const INTEGER = /^-?\d+$/;
const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;

const ENCODER = new TextEncoder();
/** A byte order mark inside a value is a character like any other. */
const LENIENT = new TextDecoder('utf-8', { ignoreBOM: true });
const STRICT = new TextDecoder('utf-8', { fatal: true });

/** The JSON text of one well-formed value. */
export function messagePackToJson(bytes: Uint8Array): string {
  const writer = new JsonWriter(bytes);
  writer.value();
  return writer.text;
}

/** One value as MessagePack. Throws BAD_REQUEST on anything that is not one JSON value. */
export function jsonToMessagePack(body: Uint8Array): Uint8Array {
  const packer = new Packer();
  packer.value(parseJson(body), 0);
  return packer.bytes.subarray(0, packer.length);
}

class JsonWriter {
  text = '';
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  value(): void {
    const type = this.#bytes[this.#at++] as number;
    if (type <= 0x7f) this.text += type;
    else if (type >= 0xe0) this.text += type - 0x100;
    else if (type <= 0x8f) this.#map(type & 0x0f);
    else if (type <= 0x9f) this.#array(type & 0x0f);
    else if (type <= 0xbf) this.text += JSON.stringify(this.#string(type & 0x1f));
    else this.#typed(type);
  }

  #typed(type: number): void {
    const view = this.#view;
    switch (type) {
      case 0xc2:
        this.text += 'false';
        return;
      case 0xc3:
        this.text += 'true';
        return;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        this.text += `{"$bin":"${this.#base64(this.#length(type - 0xc4))}"}`;
        return;
      case 0xc7:
      case 0xc8:
      case 0xc9:
        this.#extension(this.#length(type - 0xc7));
        return;
      case 0xca:
        this.#float(view.getFloat32(this.#advance(4)));
        return;
      case 0xcb:
        this.#float(view.getFloat64(this.#advance(8)));
        return;
      case 0xcc:
        this.text += view.getUint8(this.#advance(1));
        return;
      case 0xcd:
        this.text += view.getUint16(this.#advance(2));
        return;
      case 0xce:
        this.text += view.getUint32(this.#advance(4));
        return;
      case 0xcf:
        this.text += view.getBigUint64(this.#advance(8));
        return;
      case 0xd0:
        this.text += view.getInt8(this.#advance(1));
        return;
      case 0xd1:
        this.text += view.getInt16(this.#advance(2));
        return;
      case 0xd2:
        this.text += view.getInt32(this.#advance(4));
        return;
      case 0xd3:
        this.text += view.getBigInt64(this.#advance(8));
        return;
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        this.#extension(1 << (type - 0xd4));
        return;
      case 0xd9:
      case 0xda:
      case 0xdb:
        this.text += JSON.stringify(this.#string(this.#length(type - 0xd9)));
        return;
      case 0xdc:
      case 0xdd:
        this.#array(this.#length(type - 0xdb));
        return;
      case 0xde:
      case 0xdf:
        this.#map(this.#length(type - 0xdd));
        return;
      default:
        this.text += 'null';
    }
  }

  #array(count: number): void {
    this.text += '[';
    for (let index = 0; index < count; index++) {
      if (index > 0) this.text += ',';
      this.value();
    }
    this.text += ']';
  }

  #map(pairCount: number): void {
    this.text += '{';
    for (let index = 0; index < pairCount; index++) {
      if (index > 0) this.text += ',';
      const key = this.#key();
      this.text += `${JSON.stringify(pairCount === 1 && TAG.test(key) ? `$${key}` : key)}:`;
      this.value();
    }
    this.text += '}';
  }

  #key(): string {
    const type = this.#bytes[this.#at] as number;
    if (type >= 0xa0 && type <= 0xbf) return this.#string(type & 0x1f, 1);
    if (type >= 0xd9 && type <= 0xdb) {
      this.#at++;
      return this.#string(this.#length(type - 0xd9));
    }
    const before = this.text;
    this.text = '';
    this.value();
    const key = this.text;
    this.text = before;
    return key.length <= KEY_TEXT_LENGTH_MAX ? key : `${key.slice(0, KEY_TEXT_LENGTH_MAX)}…`;
  }

  #float(value: number): void {
    if (!Number.isFinite(value)) this.text += `{"$float":"${value}"}`;
    else this.text += Object.is(value, -0) ? '-0' : value;
  }

  #extension(length: number): void {
    const type = this.#view.getInt8(this.#advance(1));
    this.text += `{"$ext":[${type},"${this.#base64(length)}"]}`;
  }

  #string(length: number, headBytes = 0): string {
    this.#at += headBytes;
    const start = this.#advance(length);
    return LENIENT.decode(this.#bytes.subarray(start, start + length));
  }

  #base64(length: number): string {
    const start = this.#advance(length);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, length).toString('base64');
  }

  /** A length of 1, 2 or 4 bytes: `sizeExponent` 0, 1 or 2. */
  #length(sizeExponent: number): number {
    const start = this.#advance(1 << sizeExponent);
    if (sizeExponent === 0) return this.#bytes[start] as number;
    return sizeExponent === 1 ? readUint16(this.#bytes, start) : readUint32(this.#bytes, start);
  }

  #advance(bytes: number): number {
    const start = this.#at;
    this.#at += bytes;
    return start;
  }
}

function parseJson(body: Uint8Array): unknown {
  try {
    const text = STRICT.decode(body);
    return LONG_INTEGER.test(text) ? JSON.parse(text, keepLongInteger) : JSON.parse(text);
  } catch (error) {
    // SyntaxError: no JSON. TypeError: no UTF-8. RangeError: so deep that the parser's second look at the numbers ran out of stack.
    throw new RelayError('BAD_REQUEST', `the body is not JSON: ${(error as Error).message}`);
  }
}

/** JSON.parse rounds integers beyond 2^53 without a word; ids of other systems are such integers. */
function keepLongInteger(_key: string, value: unknown, context?: { readonly source: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value) || context === undefined || !INTEGER.test(context.source))
    return value;
  const exact = BigInt(context.source);
  return exact >= INT64_MIN && exact <= UINT64_MAX ? exact : value;
}

class Packer {
  bytes = new Uint8Array(1_024);
  length = 0;
  #view = new DataView(this.bytes.buffer);
  #bodyStart = 0;

  value(value: unknown, depth: number): void {
    switch (typeof value) {
      case 'string':
        this.#string(value);
        return;
      case 'number':
        this.#number(value);
        return;
      case 'bigint':
        this.#bigint(value);
        return;
      case 'boolean':
        this.#byte(value ? 0xc3 : 0xc2);
        return;
      default:
        if (value === null) this.#byte(0xc0);
        else if (depth === JSON_DEPTH_MAX) throw new RelayError('BAD_REQUEST', `JSON nested deeper than ${DEPTH_MAX}`);
        else if (Array.isArray(value)) this.#array(value, depth);
        else this.#object(value as Record<string, unknown>, depth);
    }
  }

  #array(items: readonly unknown[], depth: number): void {
    this.#containerHead(0x90, 0xdc, items.length);
    for (const item of items) this.value(item, depth + 1);
  }

  #object(fields: Readonly<Record<string, unknown>>, depth: number): void {
    const keys = Object.keys(fields);
    const onlyKey = keys.length === 1 ? (keys[0] as string) : '';
    const isEscaped = onlyKey.startsWith('$$') && TAG.test(onlyKey);
    if (TAG.test(onlyKey) && !isEscaped) {
      this.#tagged(onlyKey, fields[onlyKey]);
      return;
    }
    this.#containerHead(0x80, 0xde, keys.length);
    for (const key of keys) {
      this.#string(isEscaped ? key.slice(1) : key);
      this.value(fields[key], depth + 1);
    }
  }

  #tagged(tag: string, value: unknown): void {
    if (tag === '$float') {
      if (value !== 'NaN' && value !== 'Infinity' && value !== '-Infinity') {
        throw new RelayError(
          'BAD_REQUEST',
          "$float must be 'NaN', 'Infinity' or '-Infinity' (a key of that name is written $$float)",
        );
      }
      this.#float(Number(value));
    } else if (tag === '$bin') {
      const data = base64Bytes(value);
      if (data === null) throw new RelayError('BAD_REQUEST', '$bin must be base64 text (a key of that name is written $$bin)');
      this.#lengthHead(0xc4, data.length);
      this.#raw(data);
    } else this.#taggedExtension(value);
  }

  #taggedExtension(value: unknown): void {
    const [type, text] = Array.isArray(value) && value.length === 2 ? value : [];
    const data = base64Bytes(text);
    if (!Number.isInteger(type) || type < -128 || type > 127 || data === null) {
      throw new RelayError('BAD_REQUEST', '$ext must be [type in -128..127, base64 text] (a key of that name is written $$ext)');
    }
    const fixed = [1, 2, 4, 8, 16].indexOf(data.length);
    if (fixed >= 0) this.#byte(0xd4 + fixed);
    else this.#lengthHead(0xc7, data.length);
    this.#byte(type & 0xff);
    this.#raw(data);
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) this.#float(value);
    else if (value >= 0) {
      this.#room(9);
      this.length = writeUint(this.bytes, this.length, value);
    } else if (value >= -32) this.#byte(value & 0xff);
    else if (value >= -0x80) this.#typed(0xd0, 1).setInt8(this.#bodyStart, value);
    else if (value >= -0x8000) this.#typed(0xd1, 2).setInt16(this.#bodyStart, value);
    else if (value >= -0x8000_0000) this.#typed(0xd2, 4).setInt32(this.#bodyStart, value);
    else this.#typed(0xd3, 8).setBigInt64(this.#bodyStart, BigInt(value));
  }

  #bigint(value: bigint): void {
    if (value >= 0n) this.#typed(0xcf, 8).setBigUint64(this.#bodyStart, value);
    else this.#typed(0xd3, 8).setBigInt64(this.#bodyStart, value);
  }

  #float(value: number): void {
    this.#typed(0xcb, 8).setFloat64(this.#bodyStart, value);
  }

  #string(text: string): void {
    const encoded = ENCODER.encode(text);
    if (encoded.length < 32) this.#byte(0xa0 | encoded.length);
    else this.#lengthHead(0xd9, encoded.length);
    this.#raw(encoded);
  }

  /** fixarray and fixmap hold up to 15 elements, then lengths have 2 or 4 bytes. */
  #containerHead(fixType: number, type16: number, count: number): void {
    if (count < 16) this.#byte(fixType | count);
    else if (count < 0x1_0000) this.#typed(type16, 2).setUint16(this.#bodyStart, count);
    else this.#typed(type16 + 1, 4).setUint32(this.#bodyStart, count);
  }

  /** Binary, extension and string types stand in threes: lengths of 1, 2 and 4 bytes. */
  #lengthHead(type8: number, length: number): void {
    if (length < 0x100) this.#typed(type8, 1).setUint8(this.#bodyStart, length);
    else if (length < 0x1_0000) this.#typed(type8 + 1, 2).setUint16(this.#bodyStart, length);
    else this.#typed(type8 + 2, 4).setUint32(this.#bodyStart, length);
  }

  #byte(byte: number): void {
    this.#room(1);
    this.bytes[this.length++] = byte;
  }

  #raw(data: Uint8Array): void {
    this.#room(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  /** Writes a type byte and makes room for `bodyBytes` from `#bodyStart` on. Answers the view to write them with: growing replaces it. */
  #typed(type: number, bodyBytes: number): DataView {
    this.#room(1 + bodyBytes);
    this.bytes[this.length] = type;
    this.#bodyStart = this.length + 1;
    this.length = this.#bodyStart + bodyBytes;
    return this.#view;
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.bytes.length) return;
    const larger = new Uint8Array(2 * (this.bytes.length + bytes));
    larger.set(this.bytes);
    this.bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

function base64Bytes(value: unknown): Uint8Array | null {
  return typeof value === 'string' && value.length % 4 === 0 && BASE64.test(value) ? Buffer.from(value, 'base64') : null;
}
