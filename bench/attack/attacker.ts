/**
 * Somebody hostile, in a process of its own: does one harmful thing as fast as it is let, for a bounded time, and says what came of it.
 *
 * Loopback only. Every way of it keeps a bounded number of connections, and all end with the process.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mutator } from '../../scripts/fuzz/mutator.ts';
import { frame } from '../../src/cli/bench/frames.ts';
import { pack } from '../../src/protocol/codec.ts';
import { CONNECT_PATH, MessageType, SUBPROTOCOL } from '../../src/protocol/types.ts';
import { answerBench } from '../support/generator-process.ts';

/** sink: what `pings` does, but to a socket that only reads, so that what the attacker takes of the machine can be told from what it does to the relay. */
export const ATTACKS = ['sink', 'pings', 'publishes', 'junk', 'connects', 'loris'] as const;
export type Attack = (typeof ATTACKS)[number];

export interface AttackOrder {
  readonly attack: Attack;
  readonly port: number;
  readonly seconds: number;
  readonly seed: number;
}

export interface AttackReport {
  readonly connections: number;
  readonly megabytes: number;
  /** Connections that the other side ended. */
  readonly ended: number;
}

const HOST = '127.0.0.1';
const FRAME_BYTES = 60_000;
const JUNK_AT_ONCE = 8;
const CONNECTS_AT_ONCE = 32;
const LORIS_CONNECTIONS = 500;
const LORIS_BYTE_MS = 1_000;
/** After being thrown out. */
const PAUSE_MS = 20;
const HANDSHAKE = [
  `GET ${CONNECT_PATH} HTTP/1.1`,
  `Host: ${HOST}`,
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: Y2xhcmktcmVsYXktdGVzdA==',
  `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  '\r\n',
].join('\r\n');

class Attacker {
  readonly #order: AttackOrder;
  readonly #endsAtMs: number;
  readonly #sockets = new Set<Socket>();
  #connections = 0;
  #bytes = 0;
  #ended = 0;

  constructor(order: AttackOrder) {
    this.#order = order;
    this.#endsAtMs = performance.now() + order.seconds * 1_000;
  }

  async run(): Promise<AttackReport> {
    const { attack, port } = this.#order;
    const ping = pack([MessageType.PING, 7]);
    const publish = pack([MessageType.PUBLISH, 0, 'attack', null, 'x']);
    switch (attack) {
      case 'sink': {
        const sink = await startSink();
        await this.#flood(sink.port, ping, false);
        sink.server.close();
        break;
      }
      case 'pings':
        await this.#flood(port, ping, true);
        break;
      case 'publishes':
        await this.#flood(port, publish, true);
        break;
      case 'junk':
        await Promise.all(Array.from({ length: JUNK_AT_ONCE }, (_, index) => this.#junk(index)));
        break;
      case 'connects':
        await Promise.all(Array.from({ length: CONNECTS_AT_ONCE }, () => this.#connectAgain()));
        break;
      case 'loris':
        await Promise.all(Array.from({ length: LORIS_CONNECTIONS }, () => this.#loris()));
        break;
      default:
        attack satisfies never;
    }
    for (const socket of this.#sockets) socket.destroy();
    return { connections: this.#connections, megabytes: Math.round(this.#bytes / 1e6), ended: this.#ended };
  }

  /** Large WebSocket messages full of one small command, as fast as the other side reads. */
  async #flood(port: number, command: Uint8Array, isRelay: boolean): Promise<void> {
    const body = Buffer.concat(Array.from({ length: Math.floor(FRAME_BYTES / command.length) }, () => command));
    const bytes = frame(body);
    while (this.#isOn) {
      const socket = this.#open(port);
      if (isRelay) await greet(socket);
      while (this.#isOn && !socket.destroyed) {
        this.#bytes += bytes.length;
        if (!socket.write(bytes)) await drained(socket);
        else await sleep(0);
      }
      await sleep(PAUSE_MS);
    }
  }

  /** Frames that are bent, until the relay has had enough, and again. */
  async #junk(stream: number): Promise<void> {
    const mutator = new Mutator(this.#order.seed, stream);
    while (this.#isOn) {
      const socket = this.#open(this.#order.port);
      await greet(socket);
      while (this.#isOn && !socket.destroyed) {
        const bytes = frame(mutator.next());
        this.#bytes += bytes.length;
        if (!socket.write(bytes)) await drained(socket);
        else await sleep(0);
      }
    }
  }

  async #connectAgain(): Promise<void> {
    while (this.#isOn) {
      const socket = this.#open(this.#order.port);
      socket.write(HANDSHAKE);
      await new Promise((resolve) => {
        socket.once('data', resolve);
        socket.once('close', resolve);
      });
      socket.destroy();
    }
  }

  /** A request that never ends, a byte now and then. */
  async #loris(): Promise<void> {
    while (this.#isOn) {
      const socket = this.#open(this.#order.port);
      socket.write('POST /v1/publish?topic=attack HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n');
      while (this.#isOn && !socket.destroyed) {
        socket.write('1');
        this.#bytes++;
        await sleep(LORIS_BYTE_MS);
      }
    }
  }

  get #isOn(): boolean {
    return performance.now() < this.#endsAtMs;
  }

  #open(port: number): Socket {
    const socket = connect({ host: HOST, port, noDelay: true });
    this.#connections++;
    this.#sockets.add(socket);
    socket.resume();
    socket.on('error', () => {}); // Being thrown out is what it is here for.
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (this.#isOn) this.#ended++;
    });
    return socket;
  }
}

/** HELLO behind the relay's answer: what comes in one packet with an upgrade is lost. */
async function greet(socket: Socket): Promise<void> {
  socket.write(HANDSHAKE);
  await new Promise((resolve) => {
    socket.once('data', resolve);
    socket.once('close', resolve);
  });
  socket.write(frame(pack([MessageType.HELLO, 1, null])));
}

function drained(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
}

async function startSink(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((socket) => void socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  return { server, port: (server.address() as { port: number }).port };
}

answerBench(async (order) => new Attacker(order as AttackOrder).run());
