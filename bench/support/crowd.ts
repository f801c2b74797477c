/**
 * Crowd: idle connections that a relay carries while something else is measured. Each has said HELLO and is subscribed to a room of ten; nobody publishes
 * there, so all they cost is that they are there: memory, pings, and longer tables.
 */
import { ConnectPacer } from '../../src/cli/bench/connect-pacer.ts';
import { decodeOther, joinFrame, SUBSCRIBE_ID } from '../../src/cli/bench/frames.ts';
import { CONNECT_ATTEMPTS_MAX, CONNECT_BACKOFF_MS, CONNECTS_IN_FLIGHT_MAX } from '../../src/cli/bench/limits.ts';
import { RawWebSocket, type SocketHandler } from '../../src/cli/bench/raw-websocket.ts';
import { type Destination, socketTarget } from '../../src/cli/bench/target.ts';
import { skipValue } from '../../src/protocol/skip.ts';

const MEMBERS_PER_ROOM = 10;

export class Crowd implements SocketHandler {
  readonly #destination: Destination;
  readonly #fail: (text: string) => void;
  readonly #sockets: (RawWebSocket | null)[];
  readonly #isIn: Uint8Array;
  readonly #attempts: Uint8Array;
  readonly #pacer: ConnectPacer;
  #in = 0;
  #onAllIn: (() => void) | null = null;

  /** `fail` is told, once or more, why the crowd is not what it should be. */
  constructor(destination: Destination, count: number, connectsPerSecond: number, fail: (text: string) => void) {
    this.#destination = destination;
    this.#fail = fail;
    this.#sockets = new Array<RawWebSocket | null>(count).fill(null);
    this.#isIn = new Uint8Array(count);
    this.#attempts = new Uint8Array(count);
    this.#pacer = new ConnectPacer(connectsPerSecond, CONNECTS_IN_FLIGHT_MAX, (tag) => this.#open(tag));
  }

  /** Resolves when everybody is subscribed. */
  gather(): Promise<void> {
    if (this.#sockets.length === 0) return Promise.resolve();
    for (let tag = 0; tag < this.#sockets.length; tag++) this.#pacer.add(tag);
    return new Promise((resolve) => {
      this.#onAllIn = resolve;
    });
  }

  close(): void {
    this.#pacer.clear();
    for (const socket of this.#sockets) socket?.destroy();
  }

  #open(tag: number): void {
    this.#sockets[tag] = new RawWebSocket(tag, socketTarget(this.#destination, '', tag), this);
  }

  socketOpened(socket: RawWebSocket): void {
    socket.send(joinFrame(`idle.r${Math.floor(socket.tag / MEMBERS_PER_ROOM)}`, null));
  }

  /** Only the answers to its HELLO and SUBSCRIBE come. */
  socketMessage({ tag }: RawWebSocket, bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const next = skipValue(bytes, at, end);
      if (next < 0) return this.#fail('the relay sent something that is no MessagePack');
      const message = decodeOther(bytes, at, next);
      at = next;
      if (message.name !== 'ok') this.#fail(`an idle connection got what it should not: ${JSON.stringify(message)}`);
      else if (message.id === SUBSCRIBE_ID) this.#entered(tag);
    }
  }

  #entered(tag: number): void {
    this.#pacer.release();
    this.#isIn[tag] = 1;
    if (++this.#in === this.#sockets.length) this.#onAllIn?.();
  }

  socketClosed({ tag }: RawWebSocket, code: number, reason: string): void {
    if (this.#isIn[tag] === 1) return this.#fail(`the relay closed an idle connection: ${code} ${reason}`);
    this.#pacer.release();
    const attempts = (this.#attempts[tag] as number) + 1;
    this.#attempts[tag] = attempts;
    if (attempts >= CONNECT_ATTEMPTS_MAX) return this.#fail(`cannot connect after ${attempts} attempts: ${code} ${reason}`);
    setTimeout(() => this.#pacer.add(tag), CONNECT_BACKOFF_MS * attempts);
  }
}
