/**
 * Client: the state machine around one connection at a time, and the public face of the SDK.
 *
 *   idle ─connect()─► connecting ─► greeting ─► open ──GOAWAY or close()──► draining
 *                         ▲             │         │                            │
 *                         └── waiting ◄─┴─────────┴────────────────────────────┤
 *                                                                              ▼
 *   from every state, by close(), by a close code that says never, or out of attempts:  closed (the end)
 *
 * Promises: nothing here ends in an unhandled rejection, and a listener that throws is reported and breaks nothing.
 */
import { CLOSE_CODES, reconnectAdvice } from '../protocol/codes.ts';
import { RelayError } from '../protocol/errors.ts';
import { MessageType, type Position } from '../protocol/types.ts';
import { fullJitterMs, retryAfterMsIn } from './backoff.ts';
import { Connection, type Limits, type Loss, type Welcome } from './connection.ts';
import type { ContinuityLoss } from './cursor.ts';
import { type Deferred, deferred } from './deferred.ts';
import { Emitter, type Listener } from './emitter.ts';
import { Feeds } from './feeds.ts';
import {
  type ClientOptions,
  type FilledOptions,
  fillOptions,
  type Message,
  type PublishOptions,
  type SubscribeOptions,
} from './options.ts';
import { Outbox, type PublishResult, type QueueDrop } from './outbox.ts';
import { type CommandTraits, type RequestOptions, Requests } from './requests.ts';
import type { AnySubscription, Subscription } from './subscription.ts';
import { type TokenProblem, Tokens } from './tokens.ts';

/** Times are milliseconds since the epoch, by the client's clock. `attempt` counts connects in a row since the last good connection, from 0. */
export type ClientState =
  | { readonly name: 'idle' }
  /** Fetching the token and opening the WebSocket. */
  | { readonly name: 'connecting'; readonly attempt: number }
  /** HELLO is sent. */
  | { readonly name: 'greeting'; readonly attempt: number }
  | { readonly name: 'open'; readonly session: string }
  /** Nothing new is sent (on `goaway`) or accepted (on `close`); left when nothing is in flight, or at `untilMs`. */
  | { readonly name: 'draining'; readonly cause: 'goaway' | 'close'; readonly reason: string; readonly untilMs: number }
  | {
      readonly name: 'waiting';
      readonly attempt: number;
      readonly retryAtMs: number;
      readonly closeCode: number;
      readonly reason: string;
    }
  /** For good. `final`: not by the application's `close()`; the reason says why, `error` is what commands were rejected with. */
  | {
      readonly name: 'closed';
      readonly code: number;
      readonly reason: string;
      readonly final: boolean;
      readonly error: RelayError;
    };

export type ClientEvents = {
  state: [state: ClientState, previous: ClientState];
  /** What no promise and no subscription could be told: failures without an id, and what listeners threw. */
  error: [error: unknown];
  'continuity-lost': [loss: ContinuityLoss & { readonly topic: string; readonly subscription: AnySubscription }];
  'queue-drop': [drop: QueueDrop];
  /** The token function failed, or the relay refused what it brought. It is tried again by itself; until then the old token counts. */
  'token-problem': [problem: TokenProblem];
  /** The session has a fresh token; `tokenExpiresAtMs` says until when. */
  'token-refreshed': [];
  /** After publishes had to wait: the next one goes out at once again. */
  drain: [];
};

export interface HistoryOptions extends RequestOptions {
  readonly since?: Position;
  readonly limit?: number;
  readonly reverse?: boolean;
}

export interface HistoryPage {
  readonly epoch: string;
  /** Oldest offset kept; `offset + 1` when none is. */
  readonly first: number;
  /** Newest offset given out. */
  readonly offset: number;
  readonly messages: readonly Message[];
  readonly more: boolean;
}

export interface Presence {
  readonly count: number;
  readonly members: readonly { readonly id: string; readonly data?: unknown }[];
  /** The reply would have been too long: not all members are listed. */
  readonly truncated?: boolean;
}

/** What an extension of the client (full-client.ts) is given. */
export interface ClientCore {
  readonly options: FilledOptions;
  /** The connection that takes new commands, or null. */
  link(): Connection | null;
  /** Waits for a connection, asks, answers with what `read` makes of the result. Rejects once the client is closing. */
  run: Requests['run'];
  /** Something it was busy with is done. */
  settled(): void;
  report(error: unknown): void;
}

/** What the client tells an extension. */
export interface ClientExtension {
  /** Work in progress for others; the client does not close, nor leave a relay that sends it away, before it is none. */
  readonly busyCount: number;
  opened(link: Connection): void;
  /** A message of a type that the client itself does not read. */
  message(message: readonly unknown[]): void;
  /** This connection will end soon and in order: take on nothing new. */
  leaving(): void;
  cut(): void;
  end(error: RelayError): void;
}

export class Client {
  readonly #options: FilledOptions;
  readonly #extension: ClientExtension | undefined;
  readonly #events = new Emitter<ClientEvents>((error, name) => this.#report(error, name));
  readonly #feeds: Feeds;
  readonly #outbox: Outbox;
  readonly #requests: Requests;
  readonly #tokens: Tokens;
  #state: ClientState = { name: 'idle' };
  #connection: Connection | null = null;
  #limits: Limits | null = null;
  #attempt = 0;
  /** Fresh tokens in a row that the relay has closed with 4501 for. */
  #badTokenCount = 0;
  #backoffBaseMs: number;
  #openedMs: number | null = null;
  /** When the last GOAWAY wants us back, on the monotonic clock. */
  #slotMs: number | null = null;
  /** The next connect, or the end of a draining connection. */
  #timer: unknown;
  #closeTimer: unknown;
  #connecting: Deferred<void> | null = null;
  #closing: Deferred<void> | null = null;

  /** `extend` is for full-client.ts. */
  constructor(options: ClientOptions, extend?: (core: ClientCore) => ClientExtension) {
    this.#options = fillOptions(options);
    this.#backoffBaseMs = this.#options.reconnect.baseMs;
    const link = () => this.#link();
    const settled = () => this.#settled();
    const continuityLost = (subscription: AnySubscription, loss: ContinuityLoss) => {
      this.#events.emit('continuity-lost', { ...loss, topic: subscription.topic, subscription });
    };
    const report = (error: unknown) => this.#report(error);
    const acknowledge = (topic: string, how: object) => this.#run(MessageType.ACK, [topic, how], () => undefined);
    this.#feeds = new Feeds(this.#options, { link, continuityLost, acknowledge, report });
    this.#outbox = new Outbox(this.#options, {
      link,
      settled,
      limits: () => this.#limits,
      hasSubscription: (topic) => this.#feeds.has(topic),
      ownPublish: (topic, epoch, offset) => this.#feeds.ownPublish(topic, epoch, offset),
      dropped: (drop) => this.#events.emit('queue-drop', drop),
      failed: report,
      drained: () => this.#events.emit('drain'),
    });
    this.#requests = new Requests(this.#options, link, settled);
    this.#tokens = new Tokens(this.#options, this.#events);
    const run: Requests['run'] = (...command) => this.#run(...command);
    this.#extension = extend?.({ options: this.#options, link, run, settled, report });
  }

  get state(): ClientState {
    return this.#state;
  }
  /** What the relay allows, once it has said so. */
  get limits(): Limits | null {
    return this.#limits;
  }
  /** Who this client is to the relay, where that authenticates. */
  get subject(): string | undefined {
    return this.#tokens.subject;
  }
  /** When the session's token expires, by the relay's clock; undefined: never. */
  get tokenExpiresAtMs(): number | undefined {
    return this.#tokens.expiresAtMs;
  }
  /** Bytes that have not left: queued publishes and what the WebSocket holds. */
  get bufferedAmount(): number {
    return this.#outbox.queuedBytes + (this.#connection?.bufferedBytes ?? 0);
  }
  /** Publishes without an outcome: queued and in flight. */
  get pendingPublishes(): number {
    return this.#outbox.pendingCount;
  }
  /** Publishes that wait to be sent. */
  get queuedPublishes(): number {
    return this.#outbox.queuedCount;
  }
  /** Publishes dropped by the queue's policy so far. */
  get droppedPublishes(): number {
    return this.#outbox.droppedCount;
  }

  /** Returns the function that takes the listener off. */
  on<Name extends keyof ClientEvents>(name: Name, listener: Listener<ClientEvents[Name]>): () => void {
    return this.#events.on(name, listener);
  }

  /** Resolves when the connection is open, rejects when the client is closed. Until then it keeps trying. */
  connect(): Promise<void> {
    this.#connecting ??= deferred<void>();
    const { promise, resolve, reject } = this.#connecting;
    if (this.#state.name === 'closed') reject(this.#state.error);
    else if (this.#state.name === 'open') {
      this.#connecting = null;
      resolve();
    } else if (this.#state.name === 'idle') this.#connectNow();
    return promise;
  }

  /**
   * Sends what is queued, waits for the answers, closes: for `timeoutMs` at most (default `closeTimeoutMs`). What has no answer by then is
   * rejected with CANCELLED. Loops over subscriptions end. Never rejects. A closed client stays closed: make a new one.
   */
  close({ timeoutMs = this.#options.closeTimeoutMs }: { timeoutMs?: number } = {}): Promise<void> {
    if (this.#closing === null) {
      this.#closing = deferred<void>();
      this.#extension?.leaving();
      if (this.#state.name === 'closed') this.#closing.resolve();
      else {
        const { timers, clock } = this.#options.platform;
        this.#closeTimer = timers.setTimeout(() => this.#finish(1000, CLOSED_BY_APPLICATION), timeoutMs);
        if (this.#state.name === 'open')
          this.#enter({ name: 'draining', cause: 'close', reason: CLOSED_BY_APPLICATION, untilMs: clock.nowMs() + timeoutMs });
        this.#closeIfIdle();
      }
    }
    return this.#closing.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Publishes. Resolves with the position the relay gave it; rejects with a RelayError. Sent again after a lost connection or a retryable error,
   * under the same key, so that it happens once. Waits in the queue while offline, also before `connect()`.
   */
  publish(topic: string, payload: unknown, options: PublishOptions & { readonly ack: false }): Promise<undefined>;
  publish(topic: string, payload: unknown, options?: PublishOptions & { readonly ack?: true }): Promise<PublishResult>;
  publish(topic: string, payload: unknown, options: PublishOptions = {}): Promise<PublishResult | undefined> {
    if (this.#closing !== null) return rejected(closedError());
    return this.#outbox.publish(topic, payload, options);
  }

  /** Resolves when a publish would go out at once: connected, nothing queued, room in flight. */
  ready(): Promise<void> {
    return this.#outbox.ready();
  }

  subscribe<T = unknown>(topic: string, options: SubscribeOptions<T> = {}): Subscription<T> {
    const subscription = this.#feeds.subscribe<T>(topic, options);
    if (this.#closing !== null || this.#state.name === 'closed') {
      const error = this.#state.name === 'closed' ? this.#state.error : closedError();
      queueMicrotask(() => this.#feeds.endOne(subscription, error)); // Not at once: the caller's listeners come first.
    }
    return subscription;
  }

  history(topic: string, { since, limit, reverse, ...options }: HistoryOptions = {}): Promise<HistoryPage> {
    const read = (page: Omit<HistoryPage, 'messages'> & { messages: [number, object | null, unknown][] }): HistoryPage => ({
      ...page,
      messages: page.messages.map(([offset, meta, payload]) => ({ topic, payload, offset, epoch: page.epoch, ...meta })),
    });
    return this.#run(MessageType.HISTORY, [topic, { since, limit, reverse }], read, options);
  }

  presence(topic: string, { countOnly, ...options }: RequestOptions & { readonly countOnly?: boolean } = {}): Promise<Presence> {
    return this.#run(
      MessageType.PRESENCE,
      [topic, { countOnly }],
      (result: Presence) => ({ ...result, members: result.members ?? [] }),
      options,
    );
  }

  /** The round trip to the relay and back, in microseconds. */
  ping(options?: RequestOptions): Promise<number> {
    return this.#run(MessageType.PING, [], (_: unknown, roundTripMs) => Math.round(roundTripMs * 1_000), options);
  }

  // ---- connection

  #link(): Connection | null {
    const isUsable = this.#state.name === 'open' || (this.#state.name === 'draining' && this.#state.cause === 'close');
    return isUsable ? this.#connection : null;
  }

  #run<T>(
    type: number,
    values: Parameters<Requests['run']>[1],
    read: (result: never, roundTripMs: number) => T,
    options?: RequestOptions,
    traits?: CommandTraits,
  ): Promise<T> {
    return this.#closing === null ? this.#requests.run(type, values, read, options, traits) : rejected(closedError());
  }

  #connectNow(): void {
    const attempt = this.#attempt;
    this.#openedMs = null;
    this.#slotMs = null;
    // The connection first: a listener of the state may close the client.
    this.#connection = new Connection(this.#options, {
      greeting: () => this.#enter({ name: 'greeting', attempt }),
      opened: (welcome) => this.#opened(welcome),
      message: (message) => this.#message(message),
      failed: (error) => this.#report(error),
      expired: () => this.#tokens.expired(),
      frameDone: () => this.#frameDone(),
      lost: (loss) => this.#lost(loss),
    });
    this.#enter({ name: 'connecting', attempt });
  }

  #opened(welcome: Welcome): void {
    const { clock } = this.#options.platform;
    this.#limits = welcome.limits ?? null;
    this.#backoffBaseMs = welcome.reconnectJitterMs || this.#options.reconnect.baseMs;
    this.#openedMs = clock.monotonicMs();
    this.#tokens.opened(this.#connection as Connection, welcome);
    this.#enter(
      this.#closing === null
        ? { name: 'open', session: welcome.session }
        : {
            name: 'draining',
            cause: 'close',
            reason: CLOSED_BY_APPLICATION,
            untilMs: clock.nowMs() + this.#options.closeTimeoutMs,
          },
    );
    // Subscriptions first: what is published next should find us subscribed. Each does nothing if a listener has closed the client meanwhile.
    this.#feeds.opened();
    if (this.#closing === null && this.#connection !== null) this.#extension?.opened(this.#connection);
    this.#requests.opened();
    this.#outbox.pump();
    this.#connecting?.resolve();
    this.#connecting = null;
    this.#closeIfIdle();
  }

  #message(message: readonly unknown[]): void {
    switch (message[0]) {
      case MessageType.MESSAGE:
        this.#feeds.message(message);
        return;
      case MessageType.EVENT:
        this.#feeds.event(message);
        return;
      case MessageType.GOAWAY:
        this.#goAway((message[1] ?? {}) as { reason?: string; deadlineMs?: number; reconnectAfterMs?: number });
        return;
      default:
        this.#extension?.message(message);
    }
  }

  #goAway({
    reason = '',
    deadlineMs = 0,
    reconnectAfterMs,
  }: {
    reason?: string;
    deadlineMs?: number;
    reconnectAfterMs?: number;
  }): void {
    const { clock } = this.#options.platform;
    if (reconnectAfterMs !== undefined) this.#slotMs = clock.monotonicMs() + reconnectAfterMs;
    if (this.#state.name !== 'open') return;
    this.#after(deadlineMs, () => this.#connection?.end(1000, 'goaway'));
    this.#extension?.leaving();
    this.#enter({ name: 'draining', cause: 'goaway', reason, untilMs: clock.nowMs() + deadlineMs });
  }

  #frameDone(): void {
    this.#feeds.frameDone();
    this.#leaveIfIdle();
  }

  /** The end of a connection that the relay has sent away, as soon as nothing is in flight on it. */
  #leaveIfIdle(): void {
    const isAway = this.#state.name === 'draining' && this.#state.cause === 'goaway';
    if (isAway && this.#connection?.inFlightCount === 0 && !this.#extension?.busyCount) this.#connection.end(1000, 'goaway');
  }

  #settled(): void {
    this.#closeIfIdle();
    this.#leaveIfIdle();
  }

  #lost({ code, reason, error, isFatal }: Loss): void {
    this.#connection = null;
    this.#tokens.cut();
    if (this.#state.name === 'closed') return;
    const { clock, random } = this.#options.platform;
    const { capMs, attemptsMax, stableAfterMs } = this.#options.reconnect;
    this.#feeds.cut();
    this.#extension?.cut();
    if (this.#closing !== null && this.#isIdle()) {
      this.#finish(1000, CLOSED_BY_APPLICATION);
      return;
    }
    const nowMs = clock.monotonicMs();
    const isAged = this.#openedMs !== null && nowMs - this.#openedMs >= stableAfterMs;
    if (isAged) this.#attempt = this.#badTokenCount = 0;
    let advice = reconnectAdvice(code);
    if (code === CLOSE_CODES.BAD_TOKEN.code && typeof this.#options.token === 'function') {
      // An aged token may have expired; every connect asks for a fresh one. Two of those in a row say that there will be no good one.
      if (isAged || ++this.#badTokenCount < BAD_TOKENS_MAX) advice = 'now';
      else error = finalError(code, (reason = `${BAD_TOKENS_MAX} fresh tokens in a row were refused: ${reason}`), error);
    }
    if (isFatal || advice === 'never') {
      this.#finish(code, reason, error instanceof RelayError ? error : finalError(code, reason, error));
      return;
    }
    if (this.#attempt >= attemptsMax) {
      this.#finish(code, `gave up after ${attemptsMax} retries: ${reason}`, finalError(code, reason, error));
      return;
    }
    let delayMs = fullJitterMs(this.#attempt, this.#backoffBaseMs, capMs, random);
    // The relay's own figure is a lower bound: all who were refused in one second must not return in one.
    if (advice === 'after-delay') delayMs += retryAfterMsIn(reason) ?? this.#backoffBaseMs;
    // A slot is ours alone, so it takes no jitter.
    if (this.#slotMs !== null) delayMs = Math.max(0, this.#slotMs - nowMs);
    this.#after(delayMs, () => this.#connectNow());
    const attempt = this.#attempt;
    if (this.#slotMs === null) this.#attempt++; // To be sent away is no failure.
    this.#enter({ name: 'waiting', attempt, retryAtMs: clock.nowMs() + delayMs, closeCode: code, reason });
  }

  #isIdle(): boolean {
    return this.#outbox.pendingCount === 0 && this.#requests.count === 0 && !this.#extension?.busyCount;
  }

  /** The end of an orderly close, as soon as everything has its outcome. */
  #closeIfIdle(): void {
    if (this.#closing === null || !this.#isIdle()) return;
    const { name } = this.#state;
    if (name === 'open' || name === 'draining') this.#connection?.end(1000, CLOSED_BY_APPLICATION);
    else this.#finish(1000, CLOSED_BY_APPLICATION);
  }

  /** `error` undefined: by the application. */
  #finish(code: number, reason: string, error?: RelayError): void {
    if (this.#state.name === 'closed') return;
    const { timers } = this.#options.platform;
    timers.clearTimeout(this.#timer);
    timers.clearTimeout(this.#closeTimer);
    const previous = this.#state;
    const cause = error ?? closedError();
    this.#state = { name: 'closed', code, reason, final: error !== undefined, error: cause };
    this.#requests.end(cause); // Before the connection: a call would be told that it was lost, not why.
    this.#connection?.drop();
    this.#outbox.end(cause);
    this.#extension?.end(cause);
    this.#feeds.end(error ?? null);
    this.#connecting?.reject(cause);
    this.#closing?.resolve();
    this.#events.emit('state', this.#state, previous);
  }

  #after(delayMs: number, callback: () => void): void {
    const { timers } = this.#options.platform;
    timers.clearTimeout(this.#timer);
    this.#timer = timers.setTimeout(callback, delayMs);
  }

  #enter(state: ClientState): void {
    if (this.#state.name === 'closed') return;
    const previous = this.#state;
    this.#state = state;
    this.#events.emit('state', state, previous);
  }

  #report(error: unknown, name?: keyof ClientEvents): void {
    // What an error listener throws goes to the console: it must not come back to that listener.
    if (name !== 'error' && this.#events.has('error')) this.#events.emit('error', error);
    else console.error('relay client:', error);
  }
}

const BAD_TOKENS_MAX = 2;
const CLOSED_BY_APPLICATION = 'closed by the application';

function closedError(): RelayError {
  return new RelayError('CANCELLED', 'the client is closed');
}

/** Why a connection will not be tried again, as an error that commands and loops get. */
function finalError(closeCode: number, reason: string, cause: unknown): RelayError {
  const isDenied = closeCode === CLOSE_CODES.FORBIDDEN.code || closeCode === CLOSE_CODES.REVOKED.code;
  const name =
    closeCode === CLOSE_CODES.BAD_TOKEN.code
      ? 'UNAUTHENTICATED'
      : isDenied
        ? 'FORBIDDEN'
        : closeCode >= 4_500
          ? 'BAD_REQUEST'
          : 'TIMEOUT';
  return new RelayError(
    name,
    'the connection ended for good',
    { closeCode, reason },
    cause === undefined ? undefined : { cause },
  );
}

function rejected(error: RelayError): Promise<never> {
  const outcome = deferred<never>();
  outcome.reject(error);
  return outcome.promise;
}

export function createClient(options: ClientOptions): Client {
  return new Client(options);
}
