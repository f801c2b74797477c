/**
 * The relay's messages, as far as a bench needs them: three written, one read by hand at full speed, the rest decoded in peace.
 *
 * One thread. The layouts are those of docs/protocol.md; any integer width and any well-formed meta is accepted.
 */
import { isMap } from '../../base/is-map.ts';
import { pack, unpack } from '../../protocol/codec.ts';
import { readUint16, readUint32, skipValue } from '../../protocol/skip.ts';
import { MessageType, type Position } from '../../protocol/types.ts';
import { writePayloadConstants, writeUint32 } from './payload.ts';
import { frameHeadBytes, writeFrameHead } from './raw-websocket.ts';

export const HELLO_ID = 1;
export const SUBSCRIBE_ID = 2;
/** Publishes count up from here, so that an id names its message: id - PUBLISH_ID_FIRST is its place in the schedule. */
export const PUBLISH_ID_FIRST = 16;
/** Ids are written as uint 32, whatever their size: the frame's layout never changes. */
export const PUBLISH_ID_MAX = 0xffff_ffff;

const NIL = 0xc0;
const UINT8 = 0xcc;
const UINT16 = 0xcd;
const UINT32 = 0xce;
const UINT64 = 0xcf;

/** Puts a client frame around a body. */
export function frame(body: Uint8Array): Uint8Array {
  const framed = new Uint8Array(frameHeadBytes(body.length) + body.length);
  framed.set(body, writeFrameHead(framed, body.length));
  return framed;
}

/** HELLO and SUBSCRIBE in one WebSocket message: the protocol allows to pipeline them, and it halves the writes of a connect storm. */
export function joinFrame(room: string, since: Position | null, token = ''): Uint8Array {
  const hello = helloMessage(token);
  const subscribe = pack([MessageType.SUBSCRIBE, SUBSCRIBE_ID, room, since === null ? null : { since: { ...since } }]);
  return frame(Buffer.concat([hello, subscribe]));
}

/** For a connection that only publishes. */
export function helloFrame(token = ''): Uint8Array {
  return frame(helloMessage(token));
}

function helloMessage(token: string): Uint8Array {
  return pack([MessageType.HELLO, HELLO_ID, token === '' ? { client: 'bench' } : { client: 'bench', token }]);
}

/** A frame to publish with, made once per room-name length and filled in per message. */
export interface PublishTemplate {
  readonly frame: Uint8Array;
  /** Offset of the id's four bytes; -1 where the target knows no ids. */
  readonly idAt: number;
  /** Offset of the room's UTF-8 bytes; -1 where the connection is bound to its room. */
  readonly roomAt: number;
  readonly payloadAt: number;
}

/** `[2, id, room, nil, bin]`, the id as uint 32. */
export function relayPublishTemplate(roomBytes: number, payloadBytes: number, runId: number): PublishTemplate {
  const binHeadBytes = payloadBytes < 0x100 ? 2 : payloadBytes < 0x1_0000 ? 3 : 5;
  const bodyBytes = 2 + 5 + 2 + roomBytes + 1 + binHeadBytes + payloadBytes;
  const bytes = new Uint8Array(frameHeadBytes(bodyBytes) + bodyBytes);
  let at = writeFrameHead(bytes, bodyBytes);
  bytes[at++] = 0x95;
  bytes[at++] = MessageType.PUBLISH;
  bytes[at++] = UINT32;
  const idAt = at;
  at += 4;
  bytes[at++] = 0xd9; // str 8: room for every name the protocol allows.
  bytes[at++] = roomBytes;
  const roomAt = at;
  at += roomBytes;
  bytes[at++] = NIL;
  if (binHeadBytes === 2) {
    bytes[at++] = 0xc4;
  } else if (binHeadBytes === 3) {
    bytes[at++] = 0xc5;
    bytes[at++] = payloadBytes >>> 8;
  } else {
    bytes[at++] = 0xc6;
    writeUint32(bytes, at, payloadBytes);
    at += 3;
  }
  bytes[at++] = payloadBytes;
  writePayloadConstants(bytes, at, runId);
  return { frame: bytes, idAt, roomAt, payloadAt: at };
}

/** The floor's frame: the payload and nothing else. */
export function rawPublishTemplate(payloadBytes: number, runId: number): PublishTemplate {
  const bytes = new Uint8Array(frameHeadBytes(payloadBytes) + payloadBytes);
  const payloadAt = writeFrameHead(bytes, payloadBytes);
  writePayloadConstants(bytes, payloadAt, runId);
  return { frame: bytes, idAt: -1, roomAt: -1, payloadAt };
}

/** What `readMessage` says when the bytes are no MESSAGE with a binary payload. */
export const READ_OTHER = -1;

/** Reads one MESSAGE after the other without allocating: its fields hold the one read last. */
export class MessageReader {
  offset = 0;
  payloadStart = 0;
  payloadBytes = 0;
  #value = 0;

  /** Hot. `[34, sub, topic|nil, offset, meta|nil, bin]` at `start`: the offset after it, or READ_OTHER for anything else (a cut one too). */
  readMessage(bytes: Uint8Array, start: number, end: number): number {
    if (bytes[start] !== 0x96 || bytes[start + 1] !== MessageType.MESSAGE) return READ_OTHER;
    let at = this.#readUint(bytes, start + 2, end);
    if (at < 0) return READ_OTHER;
    at = bytes[at] === NIL ? at + 1 : skipValue(bytes, at, end);
    if (at < 0) return READ_OTHER;
    at = this.#readUint(bytes, at, end);
    if (at < 0) return READ_OTHER;
    this.offset = this.#value;
    at = bytes[at] === NIL ? at + 1 : skipValue(bytes, at, end);
    if (at < 0 || at >= end) return READ_OTHER;
    const payloadType = bytes[at] as number;
    if (payloadType === 0xc4 && at + 2 <= end) {
      this.payloadBytes = bytes[at + 1] as number;
      at += 2;
    } else if (payloadType === 0xc5 && at + 3 <= end) {
      this.payloadBytes = readUint16(bytes, at + 1);
      at += 3;
    } else if (payloadType === 0xc6 && at + 5 <= end) {
      this.payloadBytes = readUint32(bytes, at + 1);
      at += 5;
    } else return READ_OTHER;
    this.payloadStart = at;
    at += this.payloadBytes;
    return at <= end ? at : READ_OTHER;
  }

  /** The id of the OK `[32, id, result]` at `start`, or -1 if something else stands there. */
  readOkId(bytes: Uint8Array, start: number, end: number): number {
    if (bytes[start] !== 0x93 || bytes[start + 1] !== MessageType.OK) return -1;
    return this.#readUint(bytes, start + 2, end) < 0 ? -1 : this.#value;
  }

  #readUint(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end) return -1;
    const first = bytes[at] as number;
    if (first <= 0x7f) {
      this.#value = first;
      return at + 1;
    }
    switch (first) {
      case UINT8:
        if (at + 2 > end) return -1;
        this.#value = bytes[at + 1] as number;
        return at + 2;
      case UINT16:
        if (at + 3 > end) return -1;
        this.#value = readUint16(bytes, at + 1);
        return at + 3;
      case UINT32:
        if (at + 5 > end) return -1;
        this.#value = readUint32(bytes, at + 1);
        return at + 5;
      case UINT64:
        if (at + 9 > end) return -1;
        this.#value = readUint32(bytes, at + 1) * 0x1_0000_0000 + readUint32(bytes, at + 5);
        return at + 9;
      default:
        return -1;
    }
  }
}

/** A message off the hot path, in the shape the generator acts on. */
export type OtherMessage =
  | { readonly name: 'ok'; readonly id: number; readonly result: Readonly<Record<string, unknown>> }
  | { readonly name: 'error'; readonly id: number; readonly code: number; readonly text: string }
  | { readonly name: 'event'; readonly kind: string }
  | { readonly name: 'goaway' }
  | { readonly name: 'unknown'; readonly text: string };

/** Cold. Decodes the one message in `bytes[start, end)`, which `skipValue` has found to be well formed. */
export function decodeOther(bytes: Uint8Array, start: number, end: number): OtherMessage {
  const message = unpack(bytes.subarray(start, end));
  if (!Array.isArray(message)) return { name: 'unknown', text: 'a value that is no array' };
  switch (message[0]) {
    case MessageType.OK:
      return { name: 'ok', id: Number(message[1]), result: isMap(message[2]) ? message[2] : {} };
    case MessageType.ERROR:
      return { name: 'error', id: Number(message[1]), code: Number(message[2]), text: String(message[3]) };
    case MessageType.EVENT:
      return { name: 'event', kind: String(message[3]) };
    case MessageType.GOAWAY:
      return { name: 'goaway' };
    default:
      return { name: 'unknown', text: `a message of type ${String(message[0])}` };
  }
}
