/**
 * Raw WebSocket client: the leanest that node:net allows, because the generator shares the machine with the server it measures.
 *
 * One thread. All sockets of a process read into one buffer (`onread`): libuv fills it and the callback empties it before the next read,
 * so a read allocates nothing. Client frames carry mask key 0, which RFC 6455 permits and which makes masking free.
 * Not here: relay messages (frames.ts), who connects when (connect-pacer.ts).
 */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { CODE_ABSENT, FrameParser, type FrameSink } from './frame-parser.ts';

export interface SocketHandler {
  /** The upgrade is done; `send` works from here on. */
  socketOpened(socket: RawWebSocket): void;
  /** Hot. `bytes` is only valid during the call. */
  socketMessage(socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): void;
  /** Once, and last. Not called after `destroy`: who destroys knows. */
  socketClosed(socket: RawWebSocket, code: number, reason: string): void;
}

export interface SocketTarget {
  readonly host: string;
  readonly port: number;
  /** With the query. */
  readonly path: string;
  readonly subprotocol: string | null;
  /** Text messages are handed on like binary ones; otherwise they are a fault. Default false. */
  readonly takesText?: boolean;
  /** Source address, where one address would run out of ports. */
  readonly localAddress: string | null;
}

/** No close frame came: the connection broke, or never was. The code that browsers report for it. */
export const CODE_BROKEN = 1006;
const CODE_PROTOCOL_FAULT = 1002;

const READ_BUFFER_BYTES = 256 * 1024;
const RESPONSE_HEAD_BYTES_MAX = 16 * 1024;
const MASKED = 0x80;
const CLIENT_PONG = 0x8a;
const CLIENT_CLOSE = 0x88;
const MASK_KEY_BYTES = 4;

/** Shared by every socket of the thread, see above. */
const readBuffer = new Uint8Array(READ_BUFFER_BYTES);

/** Any 16 bytes will do: the key protects against caches, not against attackers. One for all, so its answer is computed once. */
const HANDSHAKE_KEY = Buffer.from('clari-relay-test').toString('base64');
const HANDSHAKE_ANSWER = createHash('sha1').update(`${HANDSHAKE_KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

type SocketState = 'connecting' | 'open' | 'closed';

export class RawWebSocket implements FrameSink {
  /** The owner's number for this socket. */
  readonly tag: number;
  readonly #handler: SocketHandler;
  readonly #target: SocketTarget;
  readonly #parser: FrameParser;
  readonly #socket: Socket;
  #state: SocketState = 'connecting';
  #responseHead = '';
  #closeCode = CODE_BROKEN;
  #closeReason = '';

  constructor(tag: number, target: SocketTarget, handler: SocketHandler) {
    this.tag = tag;
    this.#target = target;
    this.#handler = handler;
    this.#parser = new FrameParser(this);
    this.#socket = connect({
      host: target.host,
      port: target.port,
      ...(target.localAddress === null ? {} : { localAddress: target.localAddress }),
      noDelay: true, // Nagle would hold back small frames until the peer's delayed ACK.
      onread: {
        buffer: readBuffer,
        callback: (bytesRead: number): boolean => {
          if (this.#state === 'open') this.#parser.push(readBuffer, 0, bytesRead);
          else if (this.#state === 'connecting') this.#readResponse(bytesRead);
          return true;
        },
      },
    });
    this.#socket.once('connect', () => this.#sendRequest());
    this.#socket.once('end', () => this.#finish());
    this.#socket.once('close', () => this.#finish());
    this.#socket.on('error', (error) => {
      if (this.#closeReason === '') this.#closeReason = error.message;
      this.#finish();
    });
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Hot. Sends a frame made by `writeFrameHead`. True: all of it is with the kernel, so its buffer may be used again. */
  send(frame: Uint8Array): boolean {
    if (this.#state !== 'open') return true;
    this.#socket.write(frame);
    return this.#socket.writableLength === 0;
  }

  /** Leaves what comes in the kernel's buffers, as a client that hangs would. */
  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }

  /** Says goodbye and is gone: what the server still sends is not read any more. `socketClosed` is not called. */
  leave(): void {
    if (this.#state === 'open') this.#sendControl(CLIENT_CLOSE, Uint8Array.of(1000 >> 8, 1000 & 0xff));
    this.#state = 'closed';
    this.#parser.stop();
    this.#socket.destroySoon();
  }

  /** Cuts the connection with a reset: no goodbye, and no TIME_WAIT that would hold the port. `socketClosed` is not called. */
  destroy(): void {
    this.#state = 'closed';
    this.#parser.stop();
    this.#socket.resetAndDestroy();
  }

  frameMessage(bytes: Uint8Array, start: number, end: number, isText: boolean): void {
    if (isText && this.#target.takesText !== true) this.frameFault('a text message');
    else this.#handler.socketMessage(this, bytes, start, end);
  }

  framePing(bytes: Uint8Array, start: number, end: number): void {
    this.#sendControl(CLIENT_PONG, bytes.subarray(start, end));
  }

  frameClose(code: number, reason: string): void {
    this.#closeCode = code;
    this.#closeReason = reason;
    // The answer repeats the code; 1005 stands for "none" and must not be sent.
    const body = code === CODE_ABSENT ? new Uint8Array(0) : Uint8Array.of(code >> 8, code & 0xff);
    if (this.#state === 'open') this.#sendControl(CLIENT_CLOSE, body);
    this.#socket.end();
    this.#finish();
  }

  frameFault(text: string): void {
    this.#closeCode = CODE_PROTOCOL_FAULT;
    this.#closeReason = `the server sent ${text}`;
    this.#finish();
    this.#socket.destroy();
  }

  #sendRequest(): void {
    const { host, port, path, subprotocol } = this.#target;
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${HANDSHAKE_KEY}\r\nSec-WebSocket-Version: 13\r\n` +
        `${subprotocol === null ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`}\r\n`,
    );
  }

  #readResponse(bytesRead: number): void {
    const headBytesBefore = this.#responseHead.length;
    this.#responseHead += Buffer.from(readBuffer.buffer, 0, bytesRead).toString('latin1'); // One character per byte: indexes stay byte offsets.
    const headEnd = this.#responseHead.indexOf('\r\n\r\n');
    if (headEnd < 0) {
      if (this.#responseHead.length > RESPONSE_HEAD_BYTES_MAX) this.#refuseResponse('a response head without an end');
      return;
    }
    const head = this.#responseHead.slice(0, headEnd);
    this.#responseHead = '';
    const fault = responseFault(head, this.#target.subprotocol);
    if (fault !== null) {
      this.#refuseResponse(fault);
      return;
    }
    this.#state = 'open';
    this.#handler.socketOpened(this);
    // Frames may stand right behind the head.
    const frameAt = headEnd + 4 - headBytesBefore;
    if (frameAt < bytesRead && this.isOpen) this.#parser.push(readBuffer, frameAt, bytesRead);
  }

  #refuseResponse(text: string): void {
    this.#closeReason = text;
    this.#finish();
    this.#socket.destroy();
  }

  #sendControl(firstByte: number, body: Uint8Array): void {
    const frame = new Uint8Array(2 + MASK_KEY_BYTES + body.length);
    frame[0] = firstByte;
    frame[1] = MASKED | body.length;
    frame.set(body, 2 + MASK_KEY_BYTES);
    this.#socket.write(frame);
  }

  #finish(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#parser.stop();
    this.#handler.socketClosed(this, this.#closeCode, this.#closeReason);
  }
}

/** Bytes before the body of a client frame. */
export function frameHeadBytes(bodyBytes: number): number {
  return (bodyBytes < 126 ? 2 : bodyBytes < 0x1_0000 ? 4 : 10) + MASK_KEY_BYTES;
}

/** Writes the head of one whole binary frame with mask key 0; the offset of its body. */
export function writeFrameHead(target: Uint8Array, bodyBytes: number): number {
  target[0] = 0x82;
  let at = 2;
  if (bodyBytes < 126) target[1] = MASKED | bodyBytes;
  else if (bodyBytes < 0x1_0000) {
    target[1] = MASKED | 126;
    target[at++] = bodyBytes >>> 8;
    target[at++] = bodyBytes;
  } else {
    target[1] = MASKED | 127;
    target.fill(0, at, at + 4);
    at += 4;
    for (let shift = 24; shift >= 0; shift -= 8) target[at++] = bodyBytes >>> shift;
  }
  target.fill(0, at, at + MASK_KEY_BYTES);
  return at + MASK_KEY_BYTES;
}

/** Null: a proper answer to our upgrade. Exported for tests. */
export function responseFault(head: string, subprotocol: string | null): string | null {
  const [statusLine = '', ...lines] = head.split('\r\n');
  if (!/^HTTP\/1\.1 101(?: |$)/.test(statusLine)) return `the server refused the upgrade: ${statusLine}`;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colonAt = line.indexOf(':');
    if (colonAt > 0) headers.set(line.slice(0, colonAt).toLowerCase(), line.slice(colonAt + 1).trim());
  }
  if (headers.get('sec-websocket-accept') !== HANDSHAKE_ANSWER)
    return 'the server answered the upgrade with a wrong Sec-WebSocket-Accept';
  if (headers.has('sec-websocket-extensions')) return 'the server switched on an extension that was not asked for';
  if (subprotocol !== null && headers.get('sec-websocket-protocol') !== subprotocol) {
    return `the server speaks subprotocol '${headers.get('sec-websocket-protocol') ?? ''}', wanted '${subprotocol}'`;
  }
  return null;
}
