/**
 * One WebSocket of uWebSockets.js as the front sees it. Every socket method but getUserData throws after close: from `closed` on every call does nothing.
 */
import { type Connection, SendResult } from '../front/ports.ts';
import type { Session } from '../front/session.ts';
import type { UwsWebSocket } from './uws-types.ts';

/** What the upgrade said of who comes. */
export interface UpgradeFacts {
  /** From the subprotocols or the Authorization header; null without one. */
  readonly token: string | null;
  /** The browser's Origin header; '' without one. */
  readonly origin: string;
  /** The client's, behind proxies that are believed. */
  readonly address: string;
}

export interface SocketData {
  /** One property, read once per event: uWS's user data object is slow to reach. */
  readonly c: UwsConnection;
}

export class UwsConnection implements Connection {
  readonly remoteAddress: string;
  readonly origin: string;
  /** Until HELLO, which is the first message: a token is large, and there are many connections. */
  token: string | null;
  session: Session | null = null;
  readonly #compress: boolean;
  #socket: UwsWebSocket<SocketData> | null = null;

  constructor(compress: boolean, facts: UpgradeFacts) {
    this.#compress = compress;
    this.remoteAddress = facts.address;
    this.origin = facts.origin;
    this.token = facts.token;
  }

  opened(socket: UwsWebSocket<SocketData>): void {
    this.#socket = socket;
  }

  closed(): void {
    this.#socket = null;
  }

  send(frame: Uint8Array): number {
    return this.#socket === null ? SendResult.WRITTEN : this.#socket.send(frame, true, this.#compress);
  }

  ping(): void {
    this.#socket?.ping();
  }

  bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  close(code: number, reason: string): void {
    this.#socket?.end(code, reason);
  }

  terminate(): void {
    this.#socket?.close();
  }
}
