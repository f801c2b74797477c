/**
 * Harness for the client's unit tests: a clock and timers that stand still, and a WebSocket whose other end is the test.
 *
 * The fake relay's bytes are made and read by protocol/codec.ts (msgpackr), not by the client's own codec: two implementations must agree.
 */
import type { Test } from 'tap';
import type { Clock } from '../../../src/base/clock.ts';
import * as full from '../../../src/client/full.ts';
import { type Client, type ClientOptions, createClient } from '../../../src/client/index.ts';
import type { Timers, WebSocketConstructor, WebSocketLike } from '../../../src/client/platform.ts';
import { pack, unpackMany } from '../../../src/protocol/codec.ts';
import { MessageType } from '../../../src/protocol/types.ts';

/** Everything that is due as microtasks or in the next turn of the event loop. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class ManualTime implements Clock, Timers {
  #nowMs = 1_700_000_000_000;
  #timers: { dueMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  setTimeout(callback: () => void, delayMs: number): unknown {
    const timer = { dueMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return timer;
  }
  clearTimeout(timer: unknown): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }
  /** A leak shows here: timers that nobody took back. */
  get timerCount(): number {
    return this.#timers.length;
  }
  get nextDueInMs(): number | undefined {
    return this.#timers.length === 0 ? undefined : Math.min(...this.#timers.map(({ dueMs }) => dueMs)) - this.#nowMs;
  }
  /** Time goes on and no timer fires: what a laptop does that sleeps. */
  sleep(ms: number): void {
    this.#nowMs += ms;
  }
  /** Fires what comes due, in order, letting promises run in between. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const due = this.#timers.filter(({ dueMs }) => dueMs <= endMs).sort((one, other) => one.dueMs - other.dueMs)[0];
      if (due === undefined) break;
      this.#timers.splice(this.#timers.indexOf(due), 1);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.callback();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

export type Command = [type: number, id: number, ...rest: unknown[]];

/** The test's end of one WebSocket. */
export class FakeSocket implements WebSocketLike {
  binaryType = 'blob';
  bufferedAmount = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  readonly url: string;
  readonly protocols: unknown;
  /** What the client sent, one entry per WebSocket message. */
  readonly frames: Uint8Array[] = [];
  closedByClient: { code: number | undefined; reason: string | undefined } | null = null;
  #readCount = 0;

  constructor(url: string, protocols: unknown) {
    this.url = url;
    this.protocols = protocols;
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    this.frames.push(data);
  }
  close(code?: number, reason?: string): void {
    this.closedByClient ??= { code, reason };
  }

  /** Commands sent since the last call. */
  async read(): Promise<Command[]> {
    await settle();
    const commands = this.frames.slice(this.#readCount).flatMap((frame) => unpackMany(frame) as Command[]);
    this.#readCount = this.frames.length;
    return commands;
  }
  async readOne(type: number): Promise<Command> {
    const commands = await this.read();
    if (commands.length !== 1 || commands[0]?.[0] !== type)
      throw new Error(`expected one command of type ${type}, got ${JSON.stringify(commands)}`);
    return commands[0];
  }

  accept(): void {
    this.onopen?.({} as never);
  }
  /** All in one WebSocket message. */
  async reply(...messages: unknown[][]): Promise<void> {
    await this.replyBytes(Buffer.concat(messages.map((message) => pack(message))));
  }
  async replyBytes(bytes: Uint8Array): Promise<void> {
    this.onmessage?.({ data: Uint8Array.from(bytes).buffer } as never);
    await settle();
  }
  async ok(id: number, result: unknown = null): Promise<void> {
    await this.reply([MessageType.OK, id, result]);
  }
  /** The connection ends; 1006 is what a cut cable looks like. */
  async lose(code = 1006, reason = ''): Promise<void> {
    this.onclose?.({ code, reason } as never);
    await settle();
  }
}

export const LIMITS = { messageBytesMax: 65_536, payloadBytesMax: 60_000, subscriptionsMax: 100, sendQueueBytesMax: 1_048_576 };
export const WELCOME = {
  session: 's1',
  version: 1,
  limits: LIMITS,
  pingIntervalMs: 25_000,
  reconnectJitterMs: 1_000,
  features: [],
};

export class FakeNet {
  readonly time = new ManualTime();
  readonly sockets: FakeSocket[] = [];
  readonly WebSocket: WebSocketConstructor;
  /** What `random()` gives next. */
  randomValue = 0.5;

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols?: unknown) {
        super(url, protocols);
        sockets.push(this);
      }
    };
  }

  /** The newest socket. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('no connect yet');
    return socket;
  }

  client(options: Partial<ClientOptions> = {}): Client {
    return createClient(this.#filled(options));
  }

  #filled(options: Partial<ClientOptions>): ClientOptions {
    return {
      url: 'ws://relay.test',
      webSocket: this.WebSocket,
      clock: this.time,
      timers: this.time,
      random: () => this.randomValue,
      ...options,
    };
  }

  /** Answers the HELLO of the newest socket. */
  async welcome(welcome: object = {}): Promise<FakeSocket> {
    await settle();
    const { socket } = this;
    socket.accept();
    const hello = (await socket.read())[0] as Command;
    await socket.ok(hello[1], { ...WELCOME, ...welcome });
    return socket;
  }

  async open(options: Partial<ClientOptions> = {}, welcome: object = {}): Promise<{ client: Client; socket: FakeSocket }> {
    const client = this.client(options);
    void client.connect();
    return { client, socket: await this.welcome(welcome) };
  }

  /** A client with services and workflows, connected. */
  async openFull(options: Partial<ClientOptions> = {}): Promise<{ client: full.FullClient; socket: FakeSocket }> {
    const client = full.createClient(this.#filled(options));
    void client.connect();
    return { client, socket: await this.welcome() };
  }

  /** Closes without flushing. What is left then is a leak: the count of timers that nobody took back. */
  async end(client: Client): Promise<number> {
    const closed = client.close({ timeoutMs: 0 });
    await this.time.advance(0);
    await closed;
    return this.time.timerCount;
  }

  /** After a loss: the back-off, and the next connection. */
  async reopen(welcome: object = {}): Promise<FakeSocket> {
    const count = this.sockets.length;
    for (let round = 0; round < 100 && this.sockets.length === count; round++)
      await this.time.advance(this.time.nextDueInMs ?? 1);
    return this.welcome(welcome);
  }
}

/** What `rejects` should find; tap's types want an Error there. */
export const code = (codeName: string): Error => ({ codeName }) as unknown as Error;

/** Fails the test on an unhandled rejection while it runs, and at its end looks once more. */
export function forbidUnhandledRejections(t: Test): void {
  const onRejection = (reason: unknown) => t.fail(`unhandled rejection: ${reason}`);
  process.on('unhandledRejection', onRejection);
  t.teardown(async () => {
    await settle();
    await settle();
    process.off('unhandledRejection', onRejection);
  });
}

export const message = (
  sub: number,
  offset: number,
  payload: unknown,
  meta: unknown = null,
  topic: string | null = null,
): unknown[] => [MessageType.MESSAGE, sub, topic, offset, meta, payload];
export const event = (sub: number, kind: string, data: unknown, topic: string | null = null): unknown[] => [
  MessageType.EVENT,
  sub,
  topic,
  kind,
  data,
];
export const error = (id: number, code: number, text = 'no', details: unknown = null): unknown[] => [
  MessageType.ERROR,
  id,
  code,
  text,
  details,
];
export const subscribed = (sub: number, epoch: string | null, offset: number, more: object = {}): object => ({
  sub,
  epoch,
  offset,
  replay: 0,
  ...more,
});
