/**
 * Socket.IO 4 over its WebSocket transport, with the MessagePack parser that its documentation advises for binary payloads.
 *
 *   server  text    0{"sid": …}                                      engine.io is open
 *   client  binary  {type: 0, data: {room}, nsp: "/"}                CONNECT, its data is what Socket.IO calls auth
 *   server  binary  {type: 0, data: {sid}, nsp: "/"}                 connected: the server has joined the room by then
 *   both    binary  {type: 2, data: ["m", bin], nsp: "/"}            an event
 *   server  text    2        client  text  3                         engine.io's ping and pong
 *
 * An event is one WebSocket message of one MessagePack map, whose keys may stand in any order.
 */
import { pack } from '../../../protocol/codec.ts';
import { readUint16, readUint32, skipValue } from '../../../protocol/skip.ts';
import { frame, type PublishTemplate } from '../frames.ts';
import { writePayloadConstants } from '../payload.ts';
import type { PeerCodec, PeerSink } from './codec.ts';

/** The event's name: as short as can be, for it travels with every message. */
export const SOCKET_IO_EVENT = 'm';

const TYPE_CONNECT = 0;
const TYPE_EVENT = 2;
const TYPE_CONNECT_ERROR = 4;

const ENGINE_OPEN = 0x30; // '0'
const ENGINE_CLOSE = 0x31;
const ENGINE_PING = 0x32;
const TEXT_FRAME = 0x81;
/** First bytes of MessagePack maps are 0x80 and above, those of engine.io's text packets are digits. */
const FIXMAP = 0x80;

const PONG = frame(Uint8Array.of(0x33));
PONG[0] = TEXT_FRAME;

export class SocketIoCodec implements PeerCodec {
  readonly takesText = true;
  readonly #sink: PeerSink;

  constructor(sink: PeerSink) {
    this.#sink = sink;
  }

  pathOf(path: string): string {
    return path;
  }

  opened(_tag: number, room: string): Uint8Array {
    return frame(pack({ type: TYPE_CONNECT, nsp: '/', data: { room } }));
  }

  publishTemplate(_roomBytes: number, payloadBytes: number, runId: number): PublishTemplate {
    const payload = new Uint8Array(payloadBytes);
    writePayloadConstants(payload, 0, runId);
    // The payload stands last, so that its place is known from the end.
    const bytes = frame(pack({ type: TYPE_EVENT, nsp: '/', data: [SOCKET_IO_EVENT, payload] }));
    return { frame: bytes, idAt: -1, roomAt: -1, payloadAt: bytes.length - payloadBytes };
  }

  /** Hot. */
  read(tag: number, bytes: Uint8Array, start: number, end: number): void {
    const first = bytes[start] as number;
    if ((first & 0xf0) === FIXMAP) this.#readPacket(tag, bytes, start, end);
    else if (first === ENGINE_PING) this.#sink.answer(tag, PONG);
    else if (first !== ENGINE_OPEN && first !== ENGINE_CLOSE)
      this.#sink.fault(`Socket.IO sent something that is no packet of its MessagePack parser (first byte ${first})`);
  }

  /** Hot. Walks over the map's few keys; nothing is decoded but the type. */
  #readPacket(tag: number, bytes: Uint8Array, start: number, end: number): void {
    let type = -1;
    let dataAt = -1;
    let at = start + 1;
    for (let pairs = (bytes[start] as number) & 0x0f; pairs > 0; pairs--) {
      const keyAt = at;
      at = skipValue(bytes, keyAt, end);
      if (at < 0) return this.#sink.fault('Socket.IO sent a packet that is cut');
      // 'type' and 'data' are told apart by their first letters; `nsp` and what newer parsers add is walked over.
      if (bytes[keyAt] === 0xa4 && bytes[keyAt + 1] === 0x74) type = bytes[at] as number;
      else if (bytes[keyAt] === 0xa4 && bytes[keyAt + 1] === 0x64) dataAt = at;
      at = skipValue(bytes, at, end);
      if (at < 0) return this.#sink.fault('Socket.IO sent a packet that is cut');
    }
    if (type === TYPE_EVENT && dataAt >= 0) this.#readEvent(tag, bytes, dataAt, end);
    else if (type === TYPE_CONNECT) this.#sink.joined(tag);
    else if (type === TYPE_CONNECT_ERROR) this.#sink.fault('Socket.IO refused the connection to its namespace');
    else this.#sink.fault(`Socket.IO sent a packet of type ${type}`);
  }

  /** Hot. `[name, bin]`. */
  #readEvent(tag: number, bytes: Uint8Array, dataAt: number, end: number): void {
    const at = bytes[dataAt] === 0x92 ? skipValue(bytes, dataAt + 1, end) : -1;
    if (at >= 0) {
      if (bytes[at] === 0xc4) return this.#sink.payload(tag, bytes, at + 2, bytes[at + 1] as number);
      if (bytes[at] === 0xc5) return this.#sink.payload(tag, bytes, at + 3, readUint16(bytes, at + 1));
      if (bytes[at] === 0xc6) return this.#sink.payload(tag, bytes, at + 5, readUint32(bytes, at + 1));
    }
    this.#sink.fault('Socket.IO sent an event that is not a name and a binary payload');
  }
}
