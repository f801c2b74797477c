/**
 * MessagePack for the client, in a third of a library's size: all of the format in both directions, the timestamp extension included.
 *
 * The promise that libraries do not make: **every well-formed value decodes**. The relay forwards payloads undecoded, so anybody who may publish
 * chooses what all subscribers decode; a value that throws there (a key `__proto__`, a key that is a map) would cost them the rest of the frame.
 * Here only a cut value or the reserved byte 0xc1 throws, and both mean that the framing is lost.
 *
 *   JavaScript             MessagePack          and back
 *   undefined, null        nil                  null; undefined fields of an object are left out
 *   number                 int or float 64      number; 64-bit integers beyond 2^53 lose their last digits
 *   bigint                 int                  number: a publisher must not be able to slip a bigint into somebody's JSON.stringify
 *   string                 str                  string; what is no UTF-8 reads as U+FFFD
 *   Uint8Array, buffers    bin                  Uint8Array, a view of the WebSocket message it came in
 *   Date                   ext -1               Date
 *   Extension              ext                  Extension
 *   object, Map            map                  object; keys become strings
 */
import { DEPTH_MAX } from '../protocol/skip.ts';
import { writeUint } from '../protocol/uint.ts';

/** An application's own type: MessagePack leaves the numbers 0..127 to it. */
export class Extension {
  readonly type: number;
  readonly data: Uint8Array;
  constructor(type: number, data: Uint8Array) {
    this.type = type;
    this.data = data;
  }
}

const TIMESTAMP = -1;
const TIMESTAMP_BYTES = 12;
const SCRATCH_BYTES = 2_048;
const SCRATCH_BYTES_MAX = 65_536;

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Null while in use: a getter in a payload may publish something itself. */
let idleWriter: Writer | null = null;

/** The values, one after the other. Throws on what MessagePack cannot carry: functions, symbols, cycles, nesting deeper than the relay takes. */
export function encode(...values: readonly unknown[]): Uint8Array<ArrayBuffer> {
  const writer = idleWriter ?? new Writer();
  idleWriter = null;
  writer.at = 0;
  for (const value of values) writer.value(value, 0);
  if (writer.bytes.length <= SCRATCH_BYTES_MAX) idleWriter = writer; // One large message must not be kept for ever.
  return writer.bytes.slice(0, writer.at);
}

class Writer {
  bytes = new Uint8Array(SCRATCH_BYTES);
  at = 0;
  #view = new DataView(this.bytes.buffer);

  value(value: unknown, depth: number): void {
    if (typeof value === 'string') this.#text(value);
    else if (Number.isSafeInteger(value)) this.#integer(value as number);
    else if (value === null || value === undefined) this.#put(0xc0);
    else if (typeof value === 'object') this.#object(value, depth);
    else if (typeof value === 'boolean') this.#put(value ? 0xc3 : 0xc2);
    else if (typeof value === 'number') this.#wide(0xcb, 8).setFloat64(this.at - 8, value);
    else if (typeof value === 'bigint') this.#bigint(value);
    else throw new TypeError(`MessagePack cannot carry a ${typeof value}`);
  }

  #object(value: object, depth: number): void {
    if (value instanceof Date) this.#timestamp(value);
    else if (value instanceof Extension) this.#extension(value);
    else if (ArrayBuffer.isView(value)) this.#binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else if (value instanceof ArrayBuffer) this.#binary(new Uint8Array(value));
    else if (depth === DEPTH_MAX) throw new TypeError(`nested deeper than ${DEPTH_MAX}, or in a circle`);
    else if (Array.isArray(value)) {
      this.#head(value.length, 0x90, 16, 0xdb);
      for (const element of value) this.value(element, depth + 1);
    } else {
      const entries = value instanceof Map ? [...value] : Object.entries(value);
      let count = 0;
      for (const entry of entries) if (entry[1] !== undefined) count++;
      this.#head(count, 0x80, 16, 0xdd);
      for (const entry of entries) {
        if (entry[1] === undefined) continue;
        this.value(entry[0], depth + 1);
        this.value(entry[1], depth + 1);
      }
    }
  }

  #integer(value: number): void {
    if (value >= 0) this.at = writeUint(this.#room(9), this.at, value);
    else if (value >= -32) this.#put(value & 0xff);
    else if (value >= -0x8000_0000) this.#wide(0xd2, 4).setInt32(this.at - 4, value);
    else this.#wide(0xd3, 8).setBigInt64(this.at - 8, BigInt(value));
  }

  #bigint(value: bigint): void {
    if (BigInt.asIntN(53, value) === value) this.#integer(Number(value));
    else if (BigInt.asUintN(64, value) === value) this.#wide(0xcf, 8).setBigUint64(this.at - 8, value);
    else if (BigInt.asIntN(64, value) === value) this.#wide(0xd3, 8).setBigInt64(this.at - 8, value);
    else throw new TypeError('MessagePack integers have 64 bits');
  }

  /** Hot. Short ASCII, which is what names and keys are, in place; the encoder costs more than it does. */
  #text(text: string): void {
    const { length } = text;
    if (length < 32) {
      const bytes = this.#room(length + 1);
      const start = this.at;
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit >= 0x80) break;
        bytes[start + 1 + index] = unit;
      }
      if (index === length) {
        bytes[start] = 0xa0 | length;
        this.at = start + 1 + length;
        return;
      }
    }
    const encoded = utf8Encoder.encode(text);
    this.#head(encoded.length, 0xa0, 32, 0xd9);
    this.#append(encoded);
  }

  #timestamp(date: Date): void {
    const seconds = Math.floor(date.getTime() / 1_000);
    const data = new DataView(new ArrayBuffer(TIMESTAMP_BYTES));
    data.setUint32(0, (date.getTime() - seconds * 1_000) * 1_000_000);
    data.setBigInt64(4, BigInt(seconds)); // Throws on an invalid date.
    this.#extension({ type: TIMESTAMP, data: new Uint8Array(data.buffer) });
  }

  #extension({ type, data }: Extension): void {
    this.#head(data.length, 0, 0, 0xc7);
    this.#put(type & 0xff);
    this.#append(data);
  }

  #binary(bytes: Uint8Array): void {
    this.#head(bytes.length, 0, 0, 0xc4);
    this.#append(bytes);
  }

  /** A length below `fixMax` goes into `fixType`; others stand in 8, 16 or 32 bits behind `type8` and its two successors (arrays and maps have no 8-bit form). */
  #head(length: number, fixType: number, fixMax: number, type8: number): void {
    const isCollection = type8 === 0xdb || type8 === 0xdd;
    if (length < fixMax) this.#put(fixType | length);
    else if (length < 0x100 && !isCollection) this.#wide(type8, 1).setUint8(this.at - 1, length);
    else if (length < 0x1_0000) this.#wide(type8 + 1, 2).setUint16(this.at - 2, length);
    else this.#wide(type8 + 2, 4).setUint32(this.at - 4, length);
  }

  #put(byte: number): void {
    this.#room(1)[this.at++] = byte;
  }

  /** Writes the type and passes over the `bytes` of its value: the caller fills them in, by the view that holds them. */
  #wide(type: number, bytes: number): DataView {
    this.#room(bytes + 1)[this.at] = type;
    this.at += bytes + 1;
    return this.#view;
  }

  #append(bytes: Uint8Array): void {
    this.#room(bytes.length).set(bytes, this.at);
    this.at += bytes.length;
  }

  #room(bytes: number): Uint8Array<ArrayBuffer> {
    if (this.at + bytes > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.at + bytes));
      grown.set(this.bytes);
      this.bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return this.bytes;
  }
}

/** Reads values that stand back to back. Throws where a value is cut or no MessagePack. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Hot. */
  value(): unknown {
    const view = this.#view;
    const type = view.getUint8(this.#at++); // A DataView throws past its end.
    if (type < 0x80) return type;
    if (type < 0x90) return this.#map(type & 0x0f);
    if (type < 0xa0) return this.#array(type & 0x0f);
    if (type < 0xc0) return this.#text(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#length(type - 0xc4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#length(type - 0xc7));
      case 0xca:
        return view.getFloat32(this.#skip(4));
      case 0xcb:
        return view.getFloat64(this.#skip(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#length(type - 0xcc);
      case 0xcf:
        return Number(view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return view.getInt8(this.#skip(1));
      case 0xd1:
        return view.getInt16(this.#skip(2));
      case 0xd2:
        return view.getInt32(this.#skip(4));
      case 0xd3:
        return Number(view.getBigInt64(this.#skip(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (type - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#length(type - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(type - 0xdb));
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(type - 0xdd));
    }
    throw new Error(`byte 0x${type.toString(16)} is no MessagePack`);
  }

  /** Moves on; the offset before. */
  #skip(bytes: number): number {
    const start = this.#at;
    this.#at += bytes;
    return start;
  }

  /** An unsigned integer of 1, 2 or 4 bytes. */
  #length(size: number): number {
    const view = this.#view;
    return size === 0 ? view.getUint8(this.#skip(1)) : size === 1 ? view.getUint16(this.#skip(2)) : view.getUint32(this.#skip(4));
  }

  #binary(length: number): Uint8Array {
    const start = this.#skip(length);
    if (this.#at > this.#bytes.length) throw new RangeError('a MessagePack value runs past the end of the message');
    return this.#bytes.subarray(start, this.#at);
  }

  /** Hot. Short ASCII without the decoder's overhead. */
  #text(length: number): string {
    const bytes = this.#bytes;
    const start = this.#at;
    const end = start + length;
    if (length < 32 && end <= bytes.length) {
      let text = '';
      let at = start;
      for (; at < end; at++) {
        const byte = bytes[at] as number;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (at === end) {
        this.#at = end;
        return text;
      }
    }
    return utf8Decoder.decode(this.#binary(length));
  }

  #array(length: number): unknown[] {
    const array: unknown[] = []; // Grown by what is really there: a length may claim 2^32.
    for (let index = 0; index < length; index++) array.push(this.value());
    return array;
  }

  #map(length: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (let index = 0; index < length; index++) {
      const key = this.value();
      const name = typeof key === 'string' ? key : keyText(key);
      const value = this.value();
      // Plain assignment would set the prototype.
      if (name === '__proto__') Object.defineProperty(map, name, { value, enumerable: true, configurable: true, writable: true });
      else map[name] = value;
    }
    return map;
  }

  #extension(length: number): Date | Extension {
    const type = this.#view.getInt8(this.#skip(1));
    const data = this.#binary(length);
    const date = type === TIMESTAMP ? readTimestamp(new DataView(data.buffer, data.byteOffset, length)) : undefined;
    return date ?? new Extension(type, data);
  }
}

function readTimestamp(data: DataView): Date | undefined {
  switch (data.byteLength) {
    case 4:
      return new Date(data.getUint32(0) * 1_000);
    case 8: {
      const high = data.getUint32(0); // 30 bits of nanoseconds, 34 of seconds.
      return new Date(((high & 3) * 0x1_0000_0000 + data.getUint32(4)) * 1_000 + (high >>> 2) / 1_000_000);
    }
    case TIMESTAMP_BYTES:
      return new Date(Number(data.getBigInt64(4)) * 1_000 + data.getUint32(0) / 1_000_000);
  }
  return undefined;
}

/** JSON in JSON doubles its backslashes with every level: what is longer than this is not spelled out. */
const KEY_TEXT_LENGTH_MAX = 64;

/** `String` throws on an object whose `toString` is its publisher's. */
function keyText(key: unknown): string {
  if (typeof key !== 'object') return String(key);
  const text = JSON.stringify(key);
  return text.length <= KEY_TEXT_LENGTH_MAX ? text : Object.prototype.toString.call(key);
}
