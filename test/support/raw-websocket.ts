/**
 * A WebSocket client over node:net that does what a library would not let it: stop reading, cut messages into fragments, write several
 * frames at once, send text, and vanish. For contract tests; nothing here is fast.
 */
import { connect, type Socket } from 'node:net';

export interface RawConnectOptions {
  readonly port: number;
  readonly path: string;
  readonly subprotocol?: string;
  /** Further lines of the request's head, and what is sent before it. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly prologue?: Uint8Array;
}

/** The answer of a server that did not upgrade. */
export interface RawRefusal {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawClose {
  readonly code: number;
  readonly reason: string;
}

const TEXT = 0x1;
const BINARY = 0x2;
const CLOSE = 0x8;
const PING = 0x9;
const PONG = 0xa;
const FINAL = 0x80;
const MASKED = 0x80;
/** RFC 6455 lets a client choose it, and 0 changes nothing. */
const MASK_BYTES = 4;
const NO_CODE = 1005;
const BROKEN = 1006;

export class RawWebSocket {
  readonly closed: Promise<RawClose>;
  readonly subprotocol: string;
  /** WebSocket messages that came; pings are not among them. */
  readonly messages: Uint8Array[] = [];
  pingCount = 0;
  readonly #socket: Socket;
  #unread: Buffer = Buffer.alloc(0);
  #onMessage: (() => void) | null = null;
  #isClosed = false;
  #end: (close: RawClose) => void = () => undefined;

  /** Connects and upgrades. */
  static open(options: RawConnectOptions): Promise<RawWebSocket | RawRefusal> {
    const { port, path, subprotocol, headers: extra = {}, prologue = new Uint8Array(0) } = options;
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      let head = Buffer.alloc(0);
      const onData = (chunk: Buffer): void => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        const { status, headers } = parseHead(head.subarray(0, end).toString('latin1'));
        if (status === 101) {
          socket.off('data', onData);
          socket.off('error', reject);
          resolve(new RawWebSocket(socket, headers.get('sec-websocket-protocol') ?? '', head.subarray(end + 4)));
        } else if (head.length >= end + 4 + Number(headers.get('content-length') ?? 0)) {
          resolve({ status, headers, body: head.subarray(end + 4).toString() });
          socket.destroy();
        }
      };
      socket.on('data', onData);
      socket.on('error', reject);
      socket.on('connect', () => {
        const protocol = subprotocol === undefined ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
        const lines = Object.entries(extra).map(([name, value]) => `${name}: ${value}\r\n`);
        const upgrade = 'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n';
        const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${protocol}${lines.join('')}\r\n`;
        socket.write(Buffer.concat([prologue, Buffer.from(request, 'latin1')]));
      });
    });
  }

  private constructor(socket: Socket, subprotocol: string, first: Buffer) {
    this.#socket = socket;
    this.subprotocol = subprotocol;
    this.closed = new Promise((resolve) => {
      this.#end = (close) => {
        this.#isClosed = true;
        resolve(close);
      };
    });
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => undefined); // 'close' follows.
    socket.on('close', () => this.#end({ code: BROKEN, reason: '' }));
    if (first.length > 0) this.#read(first);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Each argument is one binary message; all in one write. */
  send(...messages: readonly Uint8Array[]): void {
    this.#socket.write(Buffer.concat(messages.map((message) => frame(BINARY | FINAL, message))));
  }

  sendText(text: string): void {
    this.#socket.write(frame(TEXT | FINAL, new TextEncoder().encode(text)));
  }

  /** One binary message in several fragments, with a ping in between, as RFC 6455 allows. */
  sendFragments(...fragments: readonly Uint8Array[]): void {
    fragments.forEach((fragment, index) => {
      const isLast = index === fragments.length - 1;
      this.#socket.write(frame((index === 0 ? BINARY : 0) | (isLast ? FINAL : 0), fragment));
      if (!isLast) this.#socket.write(frame(PING | FINAL, new Uint8Array(0)));
    });
  }

  /** The oldest message that nobody has taken; waits for one. Rejects when the connection ends first. */
  async next(): Promise<Uint8Array> {
    while (this.messages.length === 0) {
      const arrived = new Promise<void>((resolve) => {
        this.#onMessage = resolve;
      });
      await Promise.race([arrived, this.closed]);
      if (this.messages.length === 0 && this.#isClosed) {
        const { code, reason } = await this.closed;
        throw new Error(`closed while waiting for a message: ${code} ${reason}`);
      }
    }
    return this.messages.shift() as Uint8Array;
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  close(code: number): void {
    const payload = new Uint8Array(2);
    new DataView(payload.buffer).setUint16(0, code);
    this.#socket.write(frame(CLOSE | FINAL, payload));
  }

  /** The network breaks. */
  cut(): void {
    this.#socket.resetAndDestroy();
  }

  #read(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    for (;;) {
      const bytes = this.#unread;
      if (bytes.length < 2) return;
      let length = (bytes[1] as number) & 0x7f;
      let start = 2;
      if (length === 126) {
        if (bytes.length < 4) return;
        length = bytes.readUInt16BE(2);
        start = 4;
      } else if (length === 127) {
        if (bytes.length < 10) return;
        length = Number(bytes.readBigUInt64BE(2));
        start = 10;
      }
      if (bytes.length < start + length) return;
      this.#unread = bytes.subarray(start + length);
      this.#onFrame((bytes[0] as number) & 0x0f, bytes.subarray(start, start + length));
    }
  }

  #onFrame(opcode: number, payload: Buffer): void {
    switch (opcode) {
      case BINARY:
        this.messages.push(Uint8Array.from(payload));
        this.#onMessage?.();
        return;
      case PING:
        this.pingCount++;
        this.#socket.write(frame(PONG | FINAL, payload));
        return;
      case CLOSE: {
        const code = payload.length >= 2 ? payload.readUInt16BE(0) : NO_CODE;
        this.#end({ code, reason: payload.subarray(2).toString() });
        if (this.#socket.writable) this.#socket.end(frame(CLOSE | FINAL, payload.subarray(0, 2)));
        return;
      }
      default:
        return;
    }
  }
}

function frame(head: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const size = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const bytes = Buffer.alloc(size + MASK_BYTES + length);
  bytes[0] = head;
  bytes[1] = MASKED | (size === 2 ? length : size === 4 ? 126 : 127);
  if (size === 4) bytes.writeUInt16BE(length, 2);
  if (size === 10) bytes.writeBigUInt64BE(BigInt(length), 2);
  bytes.set(payload, size + MASK_BYTES);
  return bytes;
}

function parseHead(text: string): { status: number; headers: ReadonlyMap<string, string> } {
  const [first = '', ...lines] = text.split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(first.split(' ')[1]), headers };
}
