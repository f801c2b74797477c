/**
 * RawClient: the protocol by hand, on a bare socket. For what a well-behaved client never does: not reading, not answering pings,
 * several commands in one WebSocket message, bytes that are no message.
 *
 * WebSocket framing and MessagePack are not the relay's own code (the latter is @msgpack/msgpack): two implementations must agree.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { decodeMulti, encode } from '@msgpack/msgpack';
import type { Test } from 'tap';

export const HELLO = 1;
export const PUBLISH = 2;
export const SUBSCRIBE = 3;
export const UNSUBSCRIBE = 4;
export const HISTORY = 10;
export const PRESENCE = 11;
export const PING = 14;
export const ACK = 18;
export const OK = 32;
export const ERROR = 33;
export const MESSAGE = 34;
export const EVENT = 35;
export const GOAWAY = 39;

// biome-ignore lint/suspicious/noExplicitAny: a message off the wire; each test says what it expects in it.
export type WireMessage = any[];

/** How the relay refused the upgrade. */
export interface Refusal {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Closed {
  /** 1006: without a close frame. */
  readonly code: number;
  readonly reason: string;
}

export interface RawClientOptions {
  /** Sec-WebSocket-Protocol; null sends none. */
  readonly subprotocol?: string | null;
  readonly path?: string;
  /** Default true. */
  readonly answersPings?: boolean;
  /** Default true. */
  readonly answersClose?: boolean;
  /** False: no HELLO is sent. */
  readonly hello?: boolean;
  /** The name in HELLO. */
  readonly client?: string;
}

const OPCODE_CONTINUATION = 0;
const OPCODE_TEXT = 1;
const OPCODE_BINARY = 2;
const OPCODE_CLOSE = 8;
const OPCODE_PING = 9;
const OPCODE_PONG = 10;
const FINAL = 0x80;
const MASKED = 0x80;

export class RawClient {
  /** Everything that came, in order, HELLO's answer included. */
  readonly messages: WireMessage[] = [];
  readonly closed: Promise<Closed>;
  pingCount = 0;
  readonly #socket: Socket;
  readonly #options: RawClientOptions;
  #received: Buffer = Buffer.alloc(0);
  #isUpgraded = false;
  #lastId = 0;
  #closeFrame: Closed | null = null;
  #isEnded = false;
  readonly #waiters: {
    wanted(message: WireMessage): boolean;
    resolve(message: WireMessage): void;
    reject(error: Error): void;
  }[] = [];
  readonly #upgraded: Promise<Refusal | null>;
  #onUpgraded: (refusal: Refusal | null) => void = () => {};

  /** Connected and, unless told otherwise, greeted. Rejects if refused. */
  static async open(t: Test, port: number, options: RawClientOptions = {}): Promise<RawClient> {
    const client = new RawClient(t, port, options);
    const refusal = await client.#upgraded;
    if (refusal !== null) throw new Error(`refused: ${refusal.status} ${refusal.body}`);
    if (options.hello !== false) {
      const { client: name } = options;
      await client.ask(HELLO, name === undefined ? {} : { client: name });
    }
    return client;
  }

  /** The relay's refusal, or null where it let us in; that connection is gone again. */
  static async knock(t: Test, port: number, options: RawClientOptions = {}): Promise<Refusal | null> {
    const client = new RawClient(t, port, options);
    const refusal = await client.#upgraded;
    client.destroy();
    return refusal;
  }

  private constructor(t: Test, port: number, options: RawClientOptions) {
    this.#options = options;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (data) => this.#read(data));
    this.#upgraded = new Promise((resolve) => {
      this.#onUpgraded = resolve;
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        const closed = this.#closeFrame ?? { code: 1006, reason: '' };
        this.#isEnded = true;
        this.#onUpgraded({ status: 0, headers: new Map(), body: 'the connection was closed' });
        for (const { reject } of this.#waiters.splice(0)) reject(this.#endedWithout(closed));
        resolve(closed);
      });
    });
    t.teardown(() => this.destroy());
    const { path = '/v1/connect', subprotocol = 'relay.v1' } = options;
    const lines = [
      `GET ${path} HTTP/1.1`,
      'Host: relay.test',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      ...(subprotocol === null ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  }

  nextId(): number {
    return ++this.#lastId;
  }

  /** One WebSocket message with these relay messages. */
  send(...messages: readonly unknown[][]): void {
    this.sendBytes(Buffer.concat(messages.map((message) => encode(message))));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#writeFrame(OPCODE_BINARY, bytes);
  }

  sendText(text: string): void {
    this.#writeFrame(OPCODE_TEXT, Buffer.from(text));
  }

  /** Resolves when all that was sent is with the kernel. */
  flushed(): Promise<void> {
    return new Promise((resolve) => void this.#socket.write('', () => resolve()));
  }

  /** Sends a command under an id of its own; resolves with its OK or ERROR. */
  request(type: number, ...rest: unknown[]): Promise<WireMessage> {
    const id = this.nextId();
    this.send([type, id, ...rest]);
    return this.answer(id);
  }

  /** As `request`; resolves with the result in the OK, rejects on ERROR. */
  // biome-ignore lint/suspicious/noExplicitAny: as in WireMessage.
  async ask(type: number, ...rest: unknown[]): Promise<any> {
    const answer = await this.request(type, ...rest);
    if (answer[0] === ERROR) throw new Error(`refused: ${JSON.stringify(answer)}`);
    return answer[2];
  }

  answer(id: number): Promise<WireMessage> {
    return this.find(([type, other]) => (type === OK || type === ERROR) && other === id);
  }

  /** The first such message, past or future. Rejects when the connection ends without it. */
  find(wanted: (message: WireMessage) => boolean): Promise<WireMessage> {
    const known = this.messages.find(wanted);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#isEnded) return this.closed.then((closed) => Promise.reject(this.#endedWithout(closed)));
    return new Promise((resolve, reject) => this.#waiters.push({ wanted, resolve, reject }));
  }

  /** Payloads of MESSAGEs. */
  get payloads(): unknown[] {
    return this.messages.filter(([type]) => type === MESSAGE).map((message) => message[5]);
  }

  /** From now on nothing is read: it stays with the kernel, then with the relay. */
  stopReading(): void {
    this.#socket.pause();
  }

  readOn(): void {
    this.#socket.resume();
  }

  close(code = 1000): Promise<Closed> {
    this.#writeFrame(OPCODE_CLOSE, Buffer.from([code >> 8, code & 0xff]));
    return this.closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #endedWithout({ code, reason }: Closed): Error {
    return new Error(`the connection ended (${code} ${reason}) without the message that was waited for`);
  }

  #read(data: Buffer): void {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    if (!this.#isUpgraded && !this.#readHead()) return;
    while (this.#readFrame());
  }

  #readHead(): boolean {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const [first = '', ...lines] = this.#received.toString('latin1', 0, end).split('\r\n');
    const status = Number(first.split(' ')[1]);
    if (status === 101) {
      this.#received = this.#received.subarray(end + 4);
      this.#isUpgraded = true;
      this.#onUpgraded(null);
      return true;
    }
    const headers = new Map(
      lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    );
    this.#onUpgraded({ status, headers, body: this.#received.toString('utf8', end + 4) });
    return false;
  }

  #readFrame(): boolean {
    const bytes = this.#received;
    if (bytes.length < 2) return false;
    const first = bytes[0] as number;
    let length = (bytes[1] as number) & 0x7f;
    let at = 2;
    if (length === 126) {
      if (bytes.length < 4) return false;
      length = bytes.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return false;
      length = Number(bytes.readBigUInt64BE(2));
      at = 10;
    }
    if (bytes.length < at + length) return false;
    this.#received = bytes.subarray(at + length);
    if ((first & FINAL) === 0 || (first & 0x0f) === OPCODE_CONTINUATION) throw new Error('the relay sent a fragmented message');
    this.#onFrame(first & 0x0f, bytes.subarray(at, at + length));
    return true;
  }

  #onFrame(opcode: number, payload: Buffer): void {
    const { answersPings = true, answersClose = true } = this.#options;
    switch (opcode) {
      case OPCODE_BINARY:
        for (const message of decodeMulti(payload)) this.#onMessage(message as WireMessage);
        return;
      case OPCODE_PING:
        this.pingCount++;
        if (answersPings) this.#writeFrame(OPCODE_PONG, payload);
        return;
      case OPCODE_CLOSE:
        this.#closeFrame = { code: payload.length < 2 ? 1005 : payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
        if (answersClose) {
          this.#writeFrame(OPCODE_CLOSE, payload.subarray(0, 2));
          this.#socket.end();
        }
    }
  }

  #onMessage(message: WireMessage): void {
    this.messages.push(message);
    for (const waiter of this.#waiters.filter(({ wanted }) => wanted(message))) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.resolve(message);
    }
  }

  /** Clients must mask; the key 0 leaves the payload as it is. */
  #writeFrame(opcode: number, payload: Uint8Array): void {
    if (!this.#socket.writable) return;
    const { length } = payload;
    const head = length < 126 ? Buffer.alloc(6) : length < 65_536 ? Buffer.alloc(8) : Buffer.alloc(14);
    head[0] = FINAL | opcode;
    if (length < 126) head[1] = MASKED | length;
    else if (length < 65_536) {
      head[1] = MASKED | 126;
      head.writeUInt16BE(length, 2);
    } else {
      head[1] = MASKED | 127;
      head.writeBigUInt64BE(BigInt(length), 2);
    }
    this.#socket.write(Buffer.concat([head, payload]));
  }
}
