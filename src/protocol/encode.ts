/**
 * Encoder: writes message heads by hand and splices payload bytes in as they are.
 *
 * Any thread, browsers too. Functions take a target and an offset and return the offset after what they wrote; the caller
 * has made room (the *_BYTES_MAX bounds say how much). Integers take their shortest MessagePack form.
 */
import { MessageType } from './types.ts';
import { writeUint } from './uint.ts';

export { writeUint };

/** Array head, type, sub, offset: everything of a MESSAGE but topic, meta and payload. */
export const MESSAGE_HEAD_BYTES_MAX = 1 + 1 + 9 + 9;
/** Length prefix of a name in its longest form. */
export const NAME_PREFIX_BYTES_MAX = 2;

const NIL = 0xc0;

/** Hot. Copies `source[start, end)`: short pieces by loop, where a `subarray` and `set` would cost more than the copy. */
export function writeBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length <= 24) {
    for (let index = 0; index < length; index++) target[at + index] = source[start + index] as number;
  } else {
    target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at);
  }
  return at + length;
}

/** A name's bytes as a MessagePack string (at most 255 bytes, as names are). */
export function writeName(target: Uint8Array, at: number, name: Uint8Array): number {
  const length = name.length;
  if (length < 32) target[at++] = 0xa0 | length;
  else {
    target[at++] = 0xd9;
    target[at++] = length;
  }
  return writeBytes(target, at, name, 0, length);
}

/**
 * Hot. `[34, sub, topic|nil, offset, meta|nil, payload]`. `topic` null on an exact subscription; `meta` is an encoded map or null;
 * the payload is `source[payloadStart, payloadEnd)`, one MessagePack value already proven.
 */
export function encodeMessage(
  target: Uint8Array,
  start: number,
  sub: number,
  topic: Uint8Array | null,
  offset: number,
  meta: Uint8Array | null,
  source: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
): number {
  let at = start;
  target[at++] = 0x96;
  target[at++] = MessageType.MESSAGE;
  at = writeUint(target, at, sub);
  if (topic === null) target[at++] = NIL;
  else at = writeName(target, at, topic);
  at = writeUint(target, at, offset);
  if (meta === null) target[at++] = NIL;
  else at = writeBytes(target, at, meta, 0, meta.length);
  return writeBytes(target, at, source, payloadStart, payloadEnd);
}

/** Room that encodeMessage needs at most. */
export function messageBytesMax(topicBytes: number, metaBytes: number, payloadBytes: number): number {
  return MESSAGE_HEAD_BYTES_MAX + NAME_PREFIX_BYTES_MAX + topicBytes + 1 + metaBytes + payloadBytes;
}

/** `[32, id, result]` with a result that is encoded already. */
export function encodeOk(target: Uint8Array, start: number, id: number, result: Uint8Array): number {
  let at = start;
  target[at++] = 0x93;
  target[at++] = MessageType.OK;
  at = writeUint(target, at, id);
  return writeBytes(target, at, result, 0, result.length);
}

/** `{epoch: …, offset: ` : the fixed front of a publish's answer; made once per topic, since the epoch is the topic's. */
export function publishResultPrefix(epoch: string, duplicate: boolean): Uint8Array {
  const text = new TextEncoder();
  const parts = [0x80 | (duplicate ? 3 : 2), 0xa5, ...text.encode('epoch'), 0xa0 | epoch.length, ...text.encode(epoch)];
  if (duplicate) parts.push(0xa9, ...text.encode('duplicate'), 0xc3);
  parts.push(0xa6, ...text.encode('offset'));
  return Uint8Array.from(parts);
}

/** Hot. The answer to a PUBLISH: prefix from publishResultPrefix, then the offset. Needs `prefix.length + 20` bytes. */
export function encodePublishOk(target: Uint8Array, start: number, id: number, prefix: Uint8Array, offset: number): number {
  const at = encodeOk(target, start, id, prefix);
  return writeUint(target, at, offset);
}

/** Room that encodeResult needs beside the payload. */
export const RESULT_HEAD_BYTES_MAX = 1 + 1 + 9 + 1;

/** Hot. `[37, id, more, payload]`; the payload is `source[payloadStart, payloadEnd)`. */
export function encodeResult(
  target: Uint8Array,
  start: number,
  id: number,
  more: boolean,
  source: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
): number {
  let at = start;
  target[at++] = 0x94;
  target[at++] = MessageType.RESULT;
  at = writeUint(target, at, id);
  target[at++] = more ? 0xc3 : 0xc2;
  return writeBytes(target, at, source, payloadStart, payloadEnd);
}

/** What an INVOKE says of its call. Names as UTF-8 bytes; `headers` is an encoded map. */
export interface Invocation {
  readonly callId: number;
  readonly serviceBytes: Uint8Array;
  readonly methodBytes: Uint8Array;
  readonly callerBytes: Uint8Array;
  readonly headers: Uint8Array | null;
  /** 0: the default, which goes without saying. */
  readonly window: number;
}

const TEXT = new TextEncoder();
const pairKey = (name: string): Uint8Array => Uint8Array.of(0xa0 | name.length, ...TEXT.encode(name));
const DEADLINE_KEY = pairKey('deadlineMs');
const CALLER_KEY = pairKey('caller');
const HEADERS_KEY = pairKey('headers');
const WINDOW_KEY = pairKey('window');
/** Heads, call id, the options' keys and numbers. */
const INVOKE_HEAD_BYTES_MAX = 1 + 1 + 9 + 3 * NAME_PREFIX_BYTES_MAX + 1 + 11 + 9 + 7 + 8 + 7 + 9;

/** Room that encodeInvoke needs at most. */
export function invokeBytesMax(invocation: Invocation, payloadBytes: number): number {
  const { serviceBytes, methodBytes, callerBytes, headers } = invocation;
  const textBytes = serviceBytes.length + methodBytes.length + callerBytes.length;
  return INVOKE_HEAD_BYTES_MAX + textBytes + (headers === null ? 0 : headers.length) + payloadBytes;
}

/** Hot. `[36, callId, service, method, {deadlineMs, caller, headers?, window?}, payload]`; the payload is `source[payloadStart, payloadEnd)`. */
export function encodeInvoke(
  target: Uint8Array,
  start: number,
  invocation: Invocation,
  deadlineMs: number,
  source: Uint8Array,
  payloadStart: number,
  payloadEnd: number,
): number {
  const { headers, window } = invocation;
  let at = start;
  target[at++] = 0x96;
  target[at++] = MessageType.INVOKE;
  at = writeUint(target, at, invocation.callId);
  at = writeName(target, at, invocation.serviceBytes);
  at = writeName(target, at, invocation.methodBytes);
  target[at++] = 0x82 + (headers === null ? 0 : 1) + (window === 0 ? 0 : 1);
  at = writeBytes(target, at, DEADLINE_KEY, 0, DEADLINE_KEY.length);
  at = writeUint(target, at, deadlineMs);
  at = writeBytes(target, at, CALLER_KEY, 0, CALLER_KEY.length);
  at = writeName(target, at, invocation.callerBytes);
  if (headers !== null) {
    at = writeBytes(target, at, HEADERS_KEY, 0, HEADERS_KEY.length);
    at = writeBytes(target, at, headers, 0, headers.length);
  }
  if (window !== 0) {
    at = writeBytes(target, at, WINDOW_KEY, 0, WINDOW_KEY.length);
    at = writeUint(target, at, window);
  }
  return writeBytes(target, at, source, payloadStart, payloadEnd);
}
