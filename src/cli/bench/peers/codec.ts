/**
 * Peer codec: how the generator speaks to a server that is no relay. One per process; what differs between connections it keeps by their tags.
 *
 * Every peer gets the room semantics of the load: a connection belongs to one room, and what is published there reaches all its members,
 * the publisher too. A codec does the least that the peer's own protocol asks for, so that no peer pays for a lazy client.
 */
import type { PublishTemplate } from '../frames.ts';
import type { BenchOptions } from '../options.ts';
import { NatsCodec } from './nats.ts';
import { RawCodec } from './raw.ts';
import { SocketIoCodec } from './socket-io.ts';

/** What a codec tells the generator about a connection. */
export interface PeerSink {
  /** From here on it gets what is published to its room. */
  joined(tag: number): void;
  /** Hot. `bytes` is only valid during the call. */
  payload(tag: number, bytes: Uint8Array, at: number, payloadBytes: number): void;
  /** To be sent as it is. */
  answer(tag: number, frame: Uint8Array): void;
  /** The run cannot go on. */
  fault(text: string): void;
}

export interface PeerCodec {
  /** The WebSocket has text messages too: `read` is given them like binary ones. */
  readonly takesText: boolean;
  /** Where a member of the room connects; `path` is that of the bench's url, with its query. */
  pathOf(path: string, room: string): string;
  /** The WebSocket is open: what the connection says first, or null where it is a member already. */
  opened(tag: number, room: string): Uint8Array | null;
  publishTemplate(roomBytes: number, payloadBytes: number, runId: number): PublishTemplate;
  /** Hot. One WebSocket message. */
  read(tag: number, bytes: Uint8Array, start: number, end: number): void;
}

/** Null: the relay, whose messages the generator reads itself. */
export function peerCodec(target: BenchOptions['target'], sink: PeerSink): PeerCodec | null {
  switch (target) {
    case 'relay':
      return null;
    case 'raw':
      return new RawCodec(sink);
    case 'socket.io':
      return new SocketIoCodec(sink);
    case 'nats':
      return new NatsCodec(sink);
    default:
      return target satisfies never;
  }
}

/** `room=…` behind a path that may have a query. */
export function withRoom(path: string, room: string): string {
  return `${path}${path.includes('?') ? '&' : '?'}room=${room}`;
}
