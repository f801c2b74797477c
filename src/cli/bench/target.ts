/** Where a generator's connections go: the relay's path and subprotocol, or the raw server's path with the room in it. */
import { SUBPROTOCOL } from '../../protocol/types.ts';
import { CONNECTIONS_PER_ADDRESS_MAX } from './limits.ts';
import type { SocketTarget } from './raw-websocket.ts';

export interface Destination {
  readonly host: string;
  readonly port: number;
  /** With its query. */
  readonly path: string;
  readonly isRaw: boolean;
  /** More connections than one source address has ports for: they take several. */
  readonly spreadsAddresses: boolean;
}

/** `place` is the connection's number over all processes. */
export function socketTarget(
  { host, port, path, isRaw, spreadsAddresses }: Destination,
  room: string,
  place: number,
): SocketTarget {
  return {
    host,
    port,
    path: isRaw ? `${path}${path.includes('?') ? '&' : '?'}room=${room}` : path,
    subprotocol: isRaw ? null : SUBPROTOCOL,
    localAddress: spreadsAddresses ? `127.0.1.${1 + Math.floor(place / CONNECTIONS_PER_ADDRESS_MAX)}` : null,
  };
}
