/** Where a generator's connections go: the relay's path and subprotocol, or a peer's path, with the room in it where the peer wants it there. */
import { SUBPROTOCOL } from '../../protocol/types.ts';
import type { WorkerOptions } from './ipc.ts';
import { CONNECTIONS_PER_ADDRESS_MAX } from './limits.ts';
import type { PeerCodec } from './peers/codec.ts';
import type { SocketTarget } from './raw-websocket.ts';

export interface Destination {
  readonly host: string;
  readonly port: number;
  /** With its query. */
  readonly path: string;
  /** Null: the relay. */
  readonly peer: PeerCodec | null;
  /** More connections than one source address has ports for: they take several. */
  readonly spreadsAddresses: boolean;
}

export function destinationOf(options: WorkerOptions, peer: PeerCodec | null): Destination {
  const url = new URL(options.url);
  return {
    host: url.hostname,
    port: url.port === '' ? 80 : Number(url.port),
    path: url.pathname + url.search,
    peer,
    spreadsAddresses: options.connections > CONNECTIONS_PER_ADDRESS_MAX && url.hostname.startsWith('127.'),
  };
}

/** `place` is the connection's number over all processes. */
export function socketTarget(
  { host, port, path, peer, spreadsAddresses }: Destination,
  room: string,
  place: number,
): SocketTarget {
  return {
    host,
    port,
    path: peer === null ? path : peer.pathOf(path, room),
    subprotocol: peer === null ? SUBPROTOCOL : null,
    takesText: peer?.takesText ?? false,
    localAddress: spreadsAddresses ? `127.0.1.${1 + Math.floor(place / CONNECTIONS_PER_ADDRESS_MAX)}` : null,
  };
}
