/**
 * In-memory transport: the same contract as the uWebSockets.js one, without sockets, for the simulator and for tests.
 *
 * Thread: front only. Every event happens in a step that the injected `schedule` runs, so whoever schedules decides how the connections
 * interleave; the order inside one direction of one connection is kept whatever it does. Bytes are counted as a kernel counts them:
 *
 *   send ─► [ buffer: QUEUED, over bufferBytesMax DROPPED ] ─► [ window: windowBytes ] ─► client reads ─► handler
 *                  └─ shrinks: onDrain, not only when it is empty (uWebSockets.js does the same)
 *
 * What a frame may not be used for is made to fail: a message's bytes are overwritten after `onMessage`, as uWebSockets.js detaches them.
 */

import type { Front } from '../front/front.ts';
import { type Connection, SendResult } from '../front/ports.ts';
import type { Session } from '../front/session.ts';
import { SUBPROTOCOL } from '../protocol/types.ts';

export interface MemoryTransportOptions {
  /** What the kernels on both sides hold of one connection before the transport must buffer. */
  readonly windowBytes: number;
  /** Over this much in the buffer a frame is thrown away: DROPPED. Looked at before the frame is added, so it overshoots by one. */
  readonly bufferBytesMax: number;
  /** A message over it cuts the connection, no close code. */
  readonly messageBytesMax: number;
  /** When the front hears that a connection which it closed is gone: `atOnce` (as uWebSockets.js does), or after the client's answer. */
  readonly closeEvent: 'atOnce' | 'handshake';
  /** Runs a step some time later, never inside the caller. Default: setImmediate. */
  readonly schedule?: (step: () => void) => void;
}

export interface MemoryClientHandler {
  /** One WebSocket message; the bytes are the handler's own. */
  message(bytes: Uint8Array): void;
  /** Once, and last. 1006: without a handshake. */
  closed(code: number, reason: string): void;
}

/** What an HTTP client would see instead of the upgrade. */
export interface MemoryRefusal {
  readonly status: number;
  readonly retryAfterSeconds: number | null;
  readonly text: string;
}

export interface MemoryConnectOptions {
  readonly subprotocol?: string;
  readonly windowBytes?: number;
  /** Starts with `pauseReading`. */
  readonly paused?: boolean;
  /** Default: one of its own. */
  readonly address?: string;
}

const BROKEN = 1006;
const CONTROL_FRAME_BYTES = 2;
/** What a message's memory holds once the front has returned from it. */
const POISON = 0xc1;

export class MemoryTransport {
  readonly #front: Front;
  readonly #options: MemoryTransportOptions;
  #nextPort = 1;

  constructor(options: MemoryTransportOptions, front: Front) {
    this.#options = options;
    this.#front = front;
  }

  connect(handler: MemoryClientHandler, options: MemoryConnectOptions = {}): MemoryClient | MemoryRefusal {
    const { subprotocol = SUBPROTOCOL, windowBytes = this.#options.windowBytes, paused = false } = options;
    if (subprotocol !== SUBPROTOCOL)
      return { status: 400, retryAfterSeconds: null, text: `the subprotocol must be ${SUBPROTOCOL}` };
    const { address = `memory:${this.#nextPort++}` } = options;
    const admission = this.#front.admit(address);
    if (!admission.admitted) {
      const { status, retryAfterSeconds, reason } = admission;
      return { status, retryAfterSeconds, text: reason };
    }
    return new MemoryClient(this.#front, { ...this.#options, windowBytes }, handler, address, paused);
  }
}

type Downlink =
  | { readonly kind: 'message'; readonly endsAt: number; readonly bytes: Uint8Array }
  | { readonly kind: 'ping'; readonly endsAt: number }
  | { readonly kind: 'close'; readonly endsAt: number; readonly code: number; readonly reason: string };

type Uplink =
  | { readonly kind: 'message'; readonly bytes: Uint8Array; readonly isBinary: boolean }
  | { readonly kind: 'pong' }
  | { readonly kind: 'close'; readonly code: number; readonly reason: string }
  | { readonly kind: 'cut' };

/** Both ends of one connection: the client's methods here, the front's in `#connection`. */
export class MemoryClient {
  /** The front's session of this connection: tests look at it. */
  readonly session: Session;
  readonly #front: Front;
  readonly #options: MemoryTransportOptions;
  readonly #handler: MemoryClientHandler;
  readonly #schedule: (step: () => void) => void;
  /** `closing`: the front has said so and waits for the client. */
  #serverState: 'open' | 'closing' | 'closed' = 'open';
  /** `closing`: has said so and waits for the relay. */
  #clientState: 'open' | 'closing' | 'closed' = 'open';

  /** Positions in the stream of bytes to the client: given to `send`, taken by the window, read by the client. */
  #written = 0;
  #sent = 0;
  #read = 0;
  readonly #downlink: Downlink[] = [];
  readonly #uplink: Uplink[] = [];
  #isPaused: boolean;
  #isReadScheduled = false;

  constructor(front: Front, options: MemoryTransportOptions, handler: MemoryClientHandler, address: string, paused: boolean) {
    this.#front = front;
    this.#options = options;
    this.#handler = handler;
    this.#schedule = options.schedule ?? ((step) => void setImmediate(step));
    this.#isPaused = paused;
    const connection: Connection = {
      remoteAddress: address,
      send: (frame) => this.#sendMessage(frame),
      ping: () => this.#sendPing(),
      bufferedBytes: () => (this.#serverState === 'open' ? this.#written - this.#sent : 0),
      close: (code, reason) => this.#closeByFront(code, reason),
      terminate: () => this.#terminate(),
    };
    this.session = front.open(connection);
  }

  // ---- the client's end

  get isOpen(): boolean {
    return this.#clientState === 'open';
  }

  /** Bytes that wait in the transport's buffer for this client. */
  get bufferedBytes(): number {
    return this.#written - this.#sent;
  }

  send(bytes: Uint8Array, isBinary = true): void {
    if (this.#clientState === 'open') this.#sendUp({ kind: 'message', bytes: bytes.slice(), isBinary });
  }

  /** Closing handshake behind what was sent. */
  close(code = 1000, reason = ''): void {
    if (this.#clientState !== 'open') return;
    this.#clientState = 'closing';
    this.#sendUp({ kind: 'close', code, reason });
  }

  /** The network breaks: nothing that is under way arrives, in either direction. */
  cut(): void {
    if (this.#clientState === 'closed') return;
    this.#uplink.length = 0;
    this.#sendUp({ kind: 'cut' });
    this.#endClient(BROKEN, '');
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  pauseReading(): void {
    this.#isPaused = true;
  }

  resumeReading(): void {
    this.#isPaused = false;
    this.#scheduleRead();
  }

  /** While paused: reads this many bytes and no more, at once. A slow reader is one that does this now and then. */
  readSome(bytesMax: number): void {
    this.#readUpTo(bytesMax);
  }

  // ---- the front's end

  #sendMessage(frame: Uint8Array): number {
    if (this.#serverState !== 'open') return SendResult.WRITTEN;
    if (this.#written - this.#sent > this.#options.bufferBytesMax) return SendResult.DROPPED;
    this.#written += frame.length;
    this.#downlink.push({ kind: 'message', endsAt: this.#written, bytes: new Uint8Array(frame) });
    this.#fillWindow();
    return this.#written === this.#sent ? SendResult.WRITTEN : SendResult.QUEUED;
  }

  #sendPing(): void {
    if (this.#serverState !== 'open' || this.#written - this.#sent > this.#options.bufferBytesMax) return;
    this.#written += CONTROL_FRAME_BYTES;
    this.#downlink.push({ kind: 'ping', endsAt: this.#written });
    this.#fillWindow();
  }

  #closeByFront(code: number, reason: string): void {
    if (this.#serverState !== 'open') return;
    this.#pushClose(code, reason);
    if (this.#options.closeEvent === 'handshake') this.#serverState = 'closing';
    else this.#endServer(code);
  }

  #terminate(): void {
    if (this.#serverState === 'closed') return;
    this.#endServer(BROKEN);
    this.#schedule(() => this.#endClient(BROKEN, ''));
  }

  #pushClose(code: number, reason: string): void {
    this.#written += CONTROL_FRAME_BYTES + reason.length;
    this.#downlink.push({ kind: 'close', endsAt: this.#written, code, reason });
    this.#fillWindow();
  }

  // ---- bytes to the client

  /** Moves what fits from the buffer into the window; true if the buffer shrank. */
  #fillWindow(): boolean {
    const room = this.#options.windowBytes - (this.#sent - this.#read);
    const moved = Math.min(room, this.#written - this.#sent);
    if (moved > 0) this.#sent += moved;
    this.#scheduleRead();
    return moved > 0;
  }

  #scheduleRead(): void {
    if (this.#isReadScheduled || this.#isPaused || !this.#hasSomethingToRead) return;
    this.#isReadScheduled = true;
    this.#schedule(() => {
      this.#isReadScheduled = false;
      if (!this.#isPaused) this.#readUpTo(Number.POSITIVE_INFINITY);
    });
  }

  get #hasSomethingToRead(): boolean {
    const next = this.#downlink[0];
    return this.#clientState !== 'closed' && next !== undefined && (this.#sent > this.#read || next.endsAt <= this.#read);
  }

  #readUpTo(bytesMax: number): void {
    if (this.#clientState === 'closed') return;
    this.#read += Math.min(bytesMax, this.#sent - this.#read);
    for (let next = this.#downlink[0]; next !== undefined && next.endsAt <= this.#read; next = this.#downlink[0]) {
      this.#downlink.shift();
      this.#deliver(next);
      if (this.#isClientGone) return;
    }
    if (this.#fillWindow()) this.#schedule(() => this.#onDrain());
  }

  /** A handler may close or cut its connection. */
  get #isClientGone(): boolean {
    return this.#clientState === 'closed';
  }

  #onDrain(): void {
    if (this.#serverState === 'open') this.#front.onDrain(this.session);
  }

  #deliver(frame: Downlink): void {
    switch (frame.kind) {
      case 'message':
        this.#handler.message(frame.bytes);
        return;
      case 'ping':
        this.#sendUp({ kind: 'pong' });
        return;
      case 'close':
        if (this.#serverState === 'closing') this.#sendUp({ kind: 'close', code: frame.code, reason: '' });
        this.#endClient(frame.code, frame.reason);
        return;
      default:
        frame satisfies never;
    }
  }

  #endClient(code: number, reason: string): void {
    if (this.#clientState === 'closed') return;
    this.#clientState = 'closed';
    this.#downlink.length = 0;
    this.#handler.closed(code, reason);
  }

  // ---- messages to the front

  #sendUp(frame: Uplink): void {
    this.#uplink.push(frame);
    this.#schedule(() => this.#receive());
  }

  #receive(): void {
    const frame = this.#uplink.shift();
    if (frame === undefined || this.#serverState === 'closed') return;
    switch (frame.kind) {
      case 'message':
        if (this.#serverState !== 'open') return;
        if (frame.bytes.length > this.#options.messageBytesMax) {
          this.#terminate();
          return;
        }
        this.#front.onMessage(this.session, frame.bytes, frame.isBinary);
        frame.bytes.fill(POISON);
        return;
      case 'pong':
        if (this.#serverState === 'open') this.#front.onPong(this.session);
        return;
      case 'close':
        // The answer to the client's own; behind what waits, like everything to it.
        if (this.#serverState === 'open') this.#pushClose(frame.code, frame.reason);
        this.#endServer(frame.code);
        return;
      case 'cut':
        this.#endServer(BROKEN);
        return;
      default:
        frame satisfies never;
    }
  }

  #endServer(code: number): void {
    if (this.#serverState === 'closed') return;
    this.#serverState = 'closed';
    this.#uplink.length = 0;
    this.#front.onClose(this.session, code);
  }
}

export function isRefusal(result: MemoryClient | MemoryRefusal): result is MemoryRefusal {
  return !(result instanceof MemoryClient);
}
