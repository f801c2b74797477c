/**
 * MessagePack containers cut into the bytes of their elements: how the gateway takes a batch apart and a reply to pieces without decoding payloads.
 *
 * Thread: front only.
 */
import { RelayError } from '../protocol/errors.ts';
import { describeSkipFault, readUint16, readUint32, SKIP_TOO_DEEP, skipValue } from '../protocol/skip.ts';

const NIL = Uint8Array.of(0xc0);
/** A name may begin with U+FEFF: it is a character like any other, or the right to one topic would do for another. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });
const OPTION_NAMES = ['key', 'headers', 'ttlMs', 'echo'];
const ENTRY_FIELDS = ['topic', 'payload', ...OPTION_NAMES];

interface Container {
  readonly kind: 'array' | 'map';
  /** Elements of an array, pairs of a map. */
  readonly count: number;
  readonly bodyStart: number;
}

/** One message of a batch, as the parts of a PUBLISH. `problem` says why there are none. */
export type BatchEntry =
  | { readonly problem: null; readonly topic: Uint8Array; readonly options: Uint8Array; readonly payload: Uint8Array }
  | { readonly problem: string };

/** Throws BAD_REQUEST unless `body` is exactly one well-formed value. */
export function proveOneValue(body: Uint8Array): void {
  const end = skipValue(body, 0, body.length);
  if (end < 0) throw notMessagePack(end);
  checkNothingBehind(body, end);
}

/**
 * The entries of a batch. What is wrong with the body as a whole is thrown, and nothing of it is published; what is wrong with one entry
 * is said in its place, as it would be for one of several PUBLISHes in a WebSocket message.
 */
export function readBatch(body: Uint8Array, entriesMax: number): BatchEntry[] {
  const list = readContainer(body, 0, body.length);
  if (list === null) {
    proveOneValue(body); // Not MessagePack at all is said first.
    throw new RelayError('BAD_REQUEST', 'the body must be a list of messages {topic, payload, key?, headers?, ttlMs?, echo?}');
  }
  if (list.kind !== 'array') throw new RelayError('BAD_REQUEST', 'the body must be a list of messages, not a map');
  if (list.count > entriesMax) {
    throw new RelayError('TOO_LARGE', 'the batch has too many messages', { count: list.count, httpBatchMessagesMax: entriesMax });
  }
  const entries: BatchEntry[] = [];
  let at = list.bodyStart;
  for (let index = 0; index < list.count; index++) {
    const start = at;
    const map = readContainer(body, start, body.length);
    const fields = new Map<string, Uint8Array>();
    let problem: string | null = null;
    if (map?.kind !== 'map') {
      at = provenEnd(body, start);
      problem = 'a message of a batch must be a map {topic, payload, key?, headers?, ttlMs?, echo?}';
    } else {
      at = map.bodyStart;
      for (let pair = 0; pair < map.count; pair++) {
        const keyStart = at;
        const valueStart = provenEnd(body, keyStart);
        at = provenEnd(body, valueStart);
        const name = readText(body, keyStart, valueStart);
        if (name === null || !ENTRY_FIELDS.includes(name))
          problem ??= `unknown field ${name === null ? '(not a string)' : name.slice(0, 64)}; known: ${ENTRY_FIELDS.join(', ')}`;
        else if (fields.has(name)) problem ??= `field ${name} is given twice`;
        else fields.set(name, body.subarray(valueStart, at));
      }
    }
    entries.push(toEntry(fields, problem));
  }
  checkNothingBehind(body, at);
  return entries;
}

function toEntry(fields: ReadonlyMap<string, Uint8Array>, problem: string | null): BatchEntry {
  if (problem !== null) return { problem };
  const topic = fields.get('topic');
  const payload = fields.get('payload');
  if (topic === undefined) return { problem: 'field topic is missing' };
  if (payload === undefined) return { problem: 'field payload is missing' };
  const pairs: Uint8Array[] = [];
  for (const name of OPTION_NAMES) {
    const value = fields.get(name);
    if (value !== undefined) pairs.push(encodeShortText(name), value);
  }
  const options = pairs.length === 0 ? NIL : joinBytes([Uint8Array.of(0x80 | (pairs.length / 2)), ...pairs]);
  return { problem: null, topic, options, payload };
}

/** End of a value in a message of the relay's own. It may nest a few levels deeper than a client's: the answer around a payload. */
export function endOfRelayValue(bytes: Uint8Array, start: number, end: number): number {
  const valueEnd = skipValue(bytes, start, end);
  if (valueEnd !== SKIP_TOO_DEEP) return valueEnd;
  const { kind, count, bodyStart } = readContainer(bytes, start, end) as Container;
  let at = bodyStart;
  for (let left = kind === 'map' ? 2 * count : count; left > 0 && at >= 0; left--) at = endOfRelayValue(bytes, at, end);
  return at;
}

/** A map with the named pairs only, cut from a map of the relay's own. */
export function pickPairs(map: Uint8Array, names: readonly string[]): Uint8Array {
  const { count, bodyStart } = readContainer(map, 0, map.length) as Container;
  const picked: Uint8Array[] = [];
  let at = bodyStart;
  for (let pair = 0; pair < count; pair++) {
    const keyStart = at;
    const valueStart = endOfRelayValue(map, keyStart, map.length);
    at = endOfRelayValue(map, valueStart, map.length);
    if (names.includes(readText(map, keyStart, valueStart) ?? '')) picked.push(map.subarray(keyStart, at));
  }
  return joinBytes([Uint8Array.of(0x80 | picked.length), ...picked]);
}

/** A list of encoded values. */
export function encodeList(values: readonly Uint8Array[]): Uint8Array {
  const count = values.length;
  const head = count < 16 ? Uint8Array.of(0x90 | count) : Uint8Array.of(0xdd, count >>> 24, count >>> 16, count >>> 8, count);
  return joinBytes([head, ...values]);
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function readContainer(bytes: Uint8Array, start: number, end: number): Container | null {
  const type = start < end ? (bytes[start] as number) : 0;
  if (type >= 0x80 && type <= 0x8f) return { kind: 'map', count: type & 0x0f, bodyStart: start + 1 };
  if (type >= 0x90 && type <= 0x9f) return { kind: 'array', count: type & 0x0f, bodyStart: start + 1 };
  if (type < 0xdc || type > 0xdf) return null;
  const kind = type <= 0xdd ? 'array' : 'map';
  const isShort = type === 0xdc || type === 0xde;
  const bodyStart = start + (isShort ? 3 : 5);
  if (bodyStart > end) return null;
  return { kind, count: isShort ? readUint16(bytes, start + 1) : readUint32(bytes, start + 1), bodyStart };
}

/** The text of a well-formed value, if it is a string. */
export function readText(bytes: Uint8Array, start: number, end: number): string | null {
  const type = bytes[start] as number;
  if (type >= 0xa0 && type <= 0xbf) return TEXT.decode(bytes.subarray(start + 1, end));
  if (type < 0xd9 || type > 0xdb) return null;
  return TEXT.decode(bytes.subarray(start + 1 + (1 << (type - 0xd9)), end));
}

function encodeShortText(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return joinBytes([Uint8Array.of(0xa0 | bytes.length), bytes]);
}

function provenEnd(body: Uint8Array, start: number): number {
  const end = skipValue(body, start, body.length);
  if (end < 0) throw notMessagePack(end);
  return end;
}

function checkNothingBehind(body: Uint8Array, end: number): void {
  if (end === body.length) return;
  throw new RelayError('BAD_REQUEST', 'the body must be one MessagePack value', { valueBytes: end, bodyBytes: body.length });
}

function notMessagePack(fault: number): RelayError {
  return new RelayError('BAD_REQUEST', `the body is not MessagePack: ${describeSkipFault(fault)}`);
}
