/**
 * NATS over WebSocket: its text protocol in binary messages. A room is a subject.
 *
 *   server  INFO {…}
 *   client  CONNECT {…}   SUB <room> 1   PING        in one message; the PONG says that all of it is done
 *   client  PUB <room> <bytes>\r\n<payload>\r\n
 *   server  MSG <room> 1 <bytes>\r\n<payload>\r\n
 *   both    PING, PONG    server  -ERR <text>
 *
 * WebSocket messages are pieces of one byte stream: a MSG may end in the next one. What is cut is carried over, by tag.
 */
import { frame, type PublishTemplate } from '../frames.ts';
import { writePayloadConstants } from '../payload.ts';
import { frameHeadBytes, writeFrameHead } from '../raw-websocket.ts';
import type { PeerCodec, PeerSink } from './codec.ts';

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const LETTER_M = 0x4d;
/** INFO is the longest line, well under a kilobyte; NATS itself allows 4 KiB. */
const LINE_BYTES_MAX = 64 * 1024;
const EMPTY = new Uint8Array(0);
const PONG = frame(Buffer.from('PONG\r\n'));
/** No +OK for every command; no headers; echo: the publisher is a member of its room like all others. */
const CONNECT = JSON.stringify({
  verbose: false,
  pedantic: false,
  echo: true,
  headers: false,
  lang: 'bench',
  version: '1',
  protocol: 1,
});

export class NatsCodec implements PeerCodec {
  readonly takesText = false;
  readonly #sink: PeerSink;
  /** Start of a line or message whose rest has not come yet. */
  readonly #carried = new Map<number, Uint8Array>();

  constructor(sink: PeerSink) {
    this.#sink = sink;
  }

  pathOf(path: string): string {
    return path;
  }

  opened(tag: number, room: string): Uint8Array {
    this.#carried.delete(tag); // Of the connection before this one.
    return frame(Buffer.from(`CONNECT ${CONNECT}\r\nSUB ${room} 1\r\nPING\r\n`));
  }

  publishTemplate(roomBytes: number, payloadBytes: number, runId: number): PublishTemplate {
    const sizeText = Buffer.from(` ${payloadBytes}\r\n`);
    const bodyBytes = 4 + roomBytes + sizeText.length + payloadBytes + 2;
    const bytes = new Uint8Array(frameHeadBytes(bodyBytes) + bodyBytes);
    const bodyAt = writeFrameHead(bytes, bodyBytes);
    bytes.set(Buffer.from('PUB '), bodyAt);
    const roomAt = bodyAt + 4;
    bytes.set(sizeText, roomAt + roomBytes);
    const payloadAt = roomAt + roomBytes + sizeText.length;
    writePayloadConstants(bytes, payloadAt, runId);
    bytes.set([CR, LF], payloadAt + payloadBytes);
    return { frame: bytes, idAt: -1, roomAt, payloadAt };
  }

  /** Hot. */
  read(tag: number, bytes: Uint8Array, start: number, end: number): void {
    const carried = this.#carried.get(tag) ?? EMPTY;
    if (carried.length === 0) {
      this.#readStream(tag, bytes, start, end);
      return;
    }
    this.#carried.delete(tag);
    const joined = new Uint8Array(carried.length + end - start);
    joined.set(carried);
    joined.set(bytes.subarray(start, end), carried.length);
    this.#readStream(tag, joined, 0, joined.length);
  }

  /** Hot. */
  #readStream(tag: number, bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const lineEnd = lineEndOf(bytes, at, end);
      if (lineEnd < 0) {
        if (end - at > LINE_BYTES_MAX) return this.#sink.fault(`NATS sent a line longer than ${LINE_BYTES_MAX} bytes`);
        break;
      }
      if (bytes[at] !== LETTER_M) {
        this.#readLine(tag, Buffer.from(bytes.buffer, bytes.byteOffset + at, lineEnd - at).toString('latin1'));
        at = lineEnd + 2;
        continue;
      }
      const payloadBytes = trailingNumber(bytes, at, lineEnd);
      const payloadAt = lineEnd + 2;
      if (payloadAt + payloadBytes + 2 > end) break;
      this.#sink.payload(tag, bytes, payloadAt, payloadBytes);
      at = payloadAt + payloadBytes + 2;
    }
    if (at < end) this.#carried.set(tag, bytes.slice(at, end));
  }

  /** Cold: everything but messages. */
  #readLine(tag: number, line: string): void {
    if (line === 'PONG') this.#sink.joined(tag);
    else if (line === 'PING') this.#sink.answer(tag, PONG);
    else if (!line.startsWith('INFO ') && line !== '+OK') this.#sink.fault(`NATS said: ${line.slice(0, 200)}`);
  }
}

/** Offset of the CR of the line's CRLF; -1 while it has not come. */
function lineEndOf(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at + 1 < end; at++) if (bytes[at] === CR && bytes[at + 1] === LF) return at;
  return -1;
}

/** The line's last token, digits. */
function trailingNumber(bytes: Uint8Array, start: number, lineEnd: number): number {
  let value = 0;
  let scale = 1;
  for (let at = lineEnd - 1; at > start && bytes[at] !== SPACE; at--) {
    value += ((bytes[at] as number) - 0x30) * scale;
    scale *= 10;
  }
  return value;
}
