/**
 * Connection: one WebSocket from connect to close. HELLO, ids and answers, batching, and noticing that the other side is dead.
 *
 * Knows no reconnect and no subscriptions: it says `lost` exactly once, after it has told every unanswered command that it was cut,
 * in the order of sending. Nothing it calls may throw into it.
 */

import { WIRE_ERRORS, wireErrorName } from '../protocol/codes.ts';
import { type ErrorFacts, RelayError, withFacts } from '../protocol/errors.ts';
import { MessageType, PROTOCOL_VERSION, SUBPROTOCOL } from '../protocol/types.ts';
import { encodeTail, HEAD_BYTES_MAX, readMessages, writeCommand } from './codec.ts';
import type { FilledOptions } from './options.ts';
import { findWebSocket, type WebSocketLike } from './platform.ts';

/** What becomes of a command. Exactly one of `ok`, `failed` and `cut` is called, once. */
export interface Reply {
  ok(result: unknown): void;
  /** Before one of the others: a part of a streamed result. */
  part?(payload: unknown): void;
  failed(error: RelayError): void;
  /** The connection ended before an answer came: it may or may not have happened. */
  cut(): void;
}

export interface Limits {
  readonly messageBytesMax: number;
  readonly payloadBytesMax: number;
  readonly subscriptionsMax: number;
  readonly sendQueueBytesMax: number;
}

/** The relay's answer to HELLO. */
export interface Welcome {
  readonly session: string;
  readonly version: number;
  readonly limits: Limits;
  readonly pingIntervalMs: number;
  readonly reconnectJitterMs?: number;
  readonly features?: unknown;
  /** With authentication: who we are to the relay, and until when, in milliseconds since the epoch by its clock; null for ever. */
  readonly subject?: string;
  readonly expiresAtMs?: number | null;
}

/** How a connection ended. `code` is the WebSocket close code, 1006 where there was none. */
export interface Loss {
  readonly code: number;
  readonly reason: string;
  readonly error?: unknown;
  /** Trying again cannot help: there is no WebSocket here, or it refuses the URL. */
  readonly isFatal?: boolean;
}

export interface ConnectionEvents {
  greeting(): void;
  opened(welcome: Welcome): void;
  /** What answers no command: MESSAGE, EVENT, INVOKE, GOAWAY, and types of a newer relay. */
  message(message: readonly unknown[]): void;
  /** A command without id failed. */
  failed(error: RelayError): void;
  /** A command was refused since the token has expired. True: a fresh one is being fetched, and `resend` will be called. */
  expired(): boolean;
  /** All messages of one WebSocket message have been handled. */
  frameDone(): void;
  lost(loss: Loss): void;
}

type Phase = 'connecting' | 'greeting' | 'open' | 'closing' | 'ended';

interface Pending {
  readonly reply: Reply;
  readonly timer: unknown;
  /** To send it again. */
  readonly type: number;
  readonly tail: Uint8Array;
}

const FIRST_FRAME_BYTES = 4_096;
/** Only until HELLO is answered; what the relay allows by default. */
const MESSAGE_BYTES_MAX = 65_536;
const PING_INTERVAL_MS = 25_000;
/** Node 22's WebSocket fires `error` and never `close` where a connect fails; others fire both, with a code worth waiting for. */
const CLOSE_AFTER_ERROR_MS = 50;

/** What an expired token may still send, and what need not wait for anything else. */
const GOES_ON: ReadonlySet<number> = new Set([
  MessageType.CANCEL,
  MessageType.RETURN,
  MessageType.PING,
  MessageType.REFRESH,
  MessageType.HEARTBEAT,
  MessageType.CREDIT,
  MessageType.ACK,
]);

export class Connection {
  readonly #options: FilledOptions;
  readonly #events: ConnectionEvents;
  #phase: Phase = 'connecting';
  #socket: WebSocketLike | null = null;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #frame = new Uint8Array(FIRST_FRAME_BYTES);
  #frameBytes = 0;
  #flushIsDue = false;
  /** What waits for a fresh token, in order: what was refused for want of it, and what was to be sent since. */
  #held: [type: number, id: number, tail: Uint8Array][] = [];
  #heldBytes = 0;
  #messageBytesMax = MESSAGE_BYTES_MAX;
  #lastHeardMs = 0;
  #pingIdleMs = 0;
  /** One timer at a time: the connect's deadline, then the liveness check, then the close's deadline. */
  #timer: unknown;
  #closeTimer: unknown;
  #helloError: RelayError | undefined;
  #errorText = '';

  constructor(options: FilledOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    const { helloTimeoutMs } = options;
    this.#arm(helloTimeoutMs, () =>
      this.#lose({ code: 1006, reason: `no answer to HELLO in ${helloTimeoutMs} ms`, error: this.#helloError }),
    );
    void this.#connect();
  }

  /** Commands without an answer yet. */
  get inFlightCount(): number {
    return this.#pending.size;
  }

  /** Bytes that have not left for the network. */
  get bufferedBytes(): number {
    return this.#frameBytes + this.#heldBytes + (this.#socket?.bufferedAmount ?? 0);
  }

  /** Sends a command and hears of its end; nothing of `reply` is called before this returns. The command's id. */
  request(type: number, tail: Uint8Array, reply: Reply, timeoutMs?: number): number {
    const id = ++this.#lastId;
    if (this.#phase === 'ended') {
      queueMicrotask(() => reply.cut());
      return id;
    }
    const late = () => this.#take(id)?.failed(new RelayError('TIMEOUT', 'no answer', { timeoutMs: timeoutMs as number }));
    const timer = timeoutMs === undefined ? undefined : this.#options.platform.timers.setTimeout(late, timeoutMs);
    this.#pending.set(id, { reply, timer, type, tail });
    const refused = this.#write(type, id, tail);
    if (refused !== null) queueMicrotask(() => this.#take(id)?.failed(refused));
    return id;
  }

  /** Sends a command that wants no answer. Null, or why it cannot be sent. `id` is for RETURN: the call's number. */
  send(type: number, tail: Uint8Array, id = 0): RelayError | null {
    return this.#write(type, id, tail);
  }

  /** The token is fresh: sends what was held back for want of it, under the same ids. What has been given up meanwhile stays away. */
  resend(): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const [type, id, tail] of held) if (id === 0 || this.#pending.has(id)) this.#write(type, id, tail);
  }

  /** Closes in order: what is written goes out first. `lost` follows. */
  end(code: number, reason: string): void {
    if (this.#phase === 'closing' || this.#phase === 'ended') return;
    this.#flush();
    if (this.#socket === null || this.#phase !== 'open') {
      this.#lose({ code, reason });
      return;
    }
    this.#phase = 'closing';
    this.#arm(1_000, () => this.#lose({ code, reason })); // A dead peer never answers the close.
    this.#socket.close(code, reason);
  }

  /** Ends now: no answers, no closing handshake. `lost` comes before this returns. */
  drop(): void {
    this.#flush();
    this.#lose({ code: 1000, reason: '' });
  }

  async #connect(): Promise<void> {
    const { token, url, platform } = this.#options;
    let isFatal = true;
    try {
      const WebSocket = await findWebSocket(platform.webSocket);
      isFatal = false; // A token server may be down for a while.
      const tokenText = typeof token === 'function' ? await token() : token;
      if (this.#phase !== 'connecting') return;
      const hello = encodeTail({ token: tokenText, client: this.#options.client, version: PROTOCOL_VERSION });
      isFatal = true;
      const socket = new WebSocket(url, [SUBPROTOCOL]);
      this.#socket = socket;
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => this.#hello(hello);
      socket.onmessage = ({ data }: { data: unknown }) => this.#receive(data);
      socket.onerror = (event: { message?: string }) => {
        const reason = (this.#errorText = event.message || 'the connection failed');
        this.#closeTimer = platform.timers.setTimeout(() => this.#lose({ code: 1006, reason }), CLOSE_AFTER_ERROR_MS);
      };
      socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
        this.#lose({ code, reason: reason || this.#errorText, error: this.#helloError });
    } catch (error) {
      this.#lose({ code: 1006, reason: error instanceof Error ? error.message : String(error), error, isFatal });
    }
  }

  #hello(hello: Uint8Array): void {
    if (this.#phase !== 'connecting') return;
    this.#phase = 'greeting';
    this.request(MessageType.HELLO, hello, {
      ok: (result) => this.#open(result as Welcome),
      // The close that follows says what to do; this says why.
      failed: (error) => (this.#helloError = error),
      cut() {},
    });
    this.#events.greeting();
  }

  #open(welcome: Welcome): void {
    if (this.#phase !== 'greeting') return;
    this.#phase = 'open';
    this.#messageBytesMax = welcome.limits?.messageBytesMax ?? MESSAGE_BYTES_MAX;
    this.#pingIdleMs = this.#options.pingIdleMs ?? 2 * (welcome.pingIntervalMs || PING_INTERVAL_MS);
    this.#watch();
    this.#events.opened(welcome);
  }

  #receive(data: unknown): void {
    if (this.#phase === 'ended') return;
    this.#lastHeardMs = this.#nowMs();
    try {
      if (typeof data === 'string') throw new Error('text messages are not the protocol');
      readMessages(new Uint8Array(data as ArrayBuffer), (message) => this.#dispatch(message));
    } catch (error) {
      this.#socket?.close(4500, 'malformed');
      this.#lose({ code: 1006, reason: `malformed message from the relay: ${(error as Error).message}`, error });
    }
    this.#events.frameDone();
  }

  #dispatch(message: readonly unknown[]): void {
    if (this.#phase === 'ended') return;
    const [type, id] = message as [number, number];
    if (type === MessageType.RESULT) {
      const [, , more, payload] = message;
      if (more) this.#pending.get(id)?.reply.part?.(payload);
      else this.#take(id)?.ok(payload);
      return;
    }
    if (type !== MessageType.OK && type !== MessageType.ERROR) {
      this.#events.message(message);
      return;
    }
    if (type === MessageType.ERROR && this.#hold(id, message[2])) return;
    const reply = this.#take(id); // Nobody waits for it any more: an answer that came after its timeout.
    if (type === MessageType.ERROR) {
      const error = errorFromWire(message);
      if (reply !== undefined) reply.failed(error);
      else if (id === 0) this.#events.failed(error);
    } else reply?.ok(message[2]);
  }

  /** An expired token is no reason to fail: the relay has done nothing yet, so the command can wait for a fresh one. */
  #hold(id: number, code: unknown): boolean {
    if (code !== WIRE_ERRORS.TOKEN_EXPIRED.code || this.#phase !== 'open' || !this.#events.expired()) return false;
    const pending = this.#pending.get(id);
    if (pending === undefined || GOES_ON.has(pending.type)) return false;
    this.#keep(pending.type, id, pending.tail);
    return true;
  }

  #keep(type: number, id: number, tail: Uint8Array): void {
    this.#held.push([type, id, tail]);
    this.#heldBytes += tail.length;
  }

  #take(id: number): Reply | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#options.platform.timers.clearTimeout(pending?.timer);
    return pending?.reply;
  }

  /** Hot. Appends to the frame that leaves at the end of this microtask round: many commands, one WebSocket message. */
  #write(type: number, id: number, tail: Uint8Array): RelayError | null {
    const bytes = HEAD_BYTES_MAX + tail.length;
    // The relay would close with 1009, which costs the connection and not just this command.
    if (bytes > this.#messageBytesMax) {
      return new RelayError('TOO_LARGE', 'message is too large for the relay', { bytes, messageBytesMax: this.#messageBytesMax });
    }
    // Behind what is held already, or the two would change places.
    if (this.#heldBytes > 0 && !GOES_ON.has(type)) {
      this.#keep(type, id, tail);
      return null;
    }
    if (this.#frameBytes + bytes > this.#messageBytesMax) this.#flush();
    if (this.#frameBytes + bytes > this.#frame.length) {
      const grown = new Uint8Array(Math.max(this.#frameBytes + bytes, this.#frame.length * 2));
      grown.set(this.#frame);
      this.#frame = grown;
    }
    this.#frameBytes = writeCommand(this.#frame, this.#frameBytes, type, id, tail);
    if (!this.#flushIsDue) {
      this.#flushIsDue = true;
      queueMicrotask(() => this.#flush());
    }
    return null;
  }

  #flush(): void {
    this.#flushIsDue = false;
    if (this.#frameBytes === 0 || this.#phase === 'closing' || this.#phase === 'ended') return;
    const frame = this.#frame.slice(0, this.#frameBytes); // A copy: implementations may read it later.
    this.#frameBytes = 0;
    if (this.#frame.length > MESSAGE_BYTES_MAX) this.#frame = new Uint8Array(FIRST_FRAME_BYTES);
    try {
      this.#socket?.send(frame);
    } catch (error) {
      this.#lose({ code: 1006, reason: `send failed: ${(error as Error).message}`, error });
    }
  }

  /** Browsers answer the relay's pings unseen, so silence is the only sign of a dead connection. A late timer (a sleeping laptop) is no harm: it asks first. */
  #watch(): void {
    const silentMs = this.#nowMs() - this.#lastHeardMs;
    if (silentMs < this.#pingIdleMs) {
      this.#arm(this.#pingIdleMs - silentMs, () => this.#watch());
      return;
    }
    const askedMs = this.#nowMs();
    const { pongTimeoutMs } = this.#options;
    this.request(MessageType.PING, encodeTail(), { ok() {}, failed() {}, cut() {} }, pongTimeoutMs);
    this.#arm(pongTimeoutMs, () => {
      if (this.#lastHeardMs >= askedMs) this.#watch();
      else this.#lose({ code: 1006, reason: `no sign of life for ${Math.round(this.#nowMs() - this.#lastHeardMs)} ms` });
    });
  }

  #arm(delayMs: number, callback: () => void): void {
    const { timers } = this.#options.platform;
    timers.clearTimeout(this.#timer);
    this.#timer = timers.setTimeout(callback, delayMs);
  }

  #lose(loss: Loss): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    const { timers } = this.#options.platform;
    timers.clearTimeout(this.#timer);
    timers.clearTimeout(this.#closeTimer);
    const socket = this.#socket;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {}; // `ws` throws where nobody listens, and closing one that connects is an error there.
      try {
        socket.close(); // Not waited for: over a dead link the close event comes minutes later.
      } catch {}
    }
    for (const { reply, timer } of this.#pending.values()) {
      timers.clearTimeout(timer);
      reply.cut();
    }
    this.#pending.clear();
    this.#events.lost(loss);
  }

  #nowMs(): number {
    return this.#options.platform.clock.monotonicMs();
  }
}

/** `[33, id, code, text, details]`. The relay's text ends in the facts already, and RelayError would append them again. */
function errorFromWire(message: readonly unknown[]): RelayError {
  const [, , code, text, details] = message as [number, number, number, string, ErrorFacts | null];
  const facts = details ?? {};
  const suffix = withFacts('', facts);
  const plain = String(text);
  return new RelayError(
    wireErrorName(code),
    suffix !== '' && plain.endsWith(suffix) ? plain.slice(0, -suffix.length) : plain,
    facts,
  );
}
