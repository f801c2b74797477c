/**
 * Options of the client: what may be set, what it is when it is not set, and all that is wrong with it in one error.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import { CONNECT_PATH, type Position, type SlowConsumerPolicy } from '../protocol/types.ts';
import { boundedTimers, type Platform, systemTimers, type Timers, type WebSocketConstructor } from './platform.ts';

export type QueuePolicy = 'reject' | 'dropOldest' | 'dropNewest';
export type BufferPolicy = 'dropOldest' | 'dropNewest' | 'pause';

export interface ReconnectOptions {
  /** Base of the back-off until the relay has named its own (`reconnectJitterMs`). Default 500. */
  readonly baseMs?: number;
  /** No wait is longer, unless the relay asks for it. Default 30 000. */
  readonly capMs?: number;
  /** Retries in a row before the client gives up and closes. Default: none, it tries for ever. */
  readonly attemptsMax?: number;
  /** A connection open for this long counts as good: the back-off begins at its base again. Default 5 000. */
  readonly stableAfterMs?: number;
}

export interface QueueOptions {
  /** Publishes that wait for a connection or for an answer to others. Default 1 000. */
  readonly messagesMax?: number;
  /** Their encoded bytes. Default 1 MiB. */
  readonly bytesMax?: number;
  /** At the bound: `reject` the new one, or drop the oldest or the newest, with an event. Default `reject`. */
  readonly policy?: QueuePolicy;
}

export interface BufferOptions {
  /** Messages that wait for a `for await` loop to ask for them. Default 1 000. */
  readonly messagesMax?: number;
  /** At the bound: drop one with a `continuity-lost` event, or `pause` and catch up from the topic's history. Default `dropOldest`. */
  readonly policy?: BufferPolicy;
}

export interface ClientOptions {
  /** `wss://relay.example` or `http(s)`; without a path `/v1/connect` is meant. */
  readonly url: string;
  /** A name for this client, stable over reconnects: presence knows you by it, unless the relay asks who you are. */
  readonly client?: string;
  /** Sent in HELLO. A function is asked at every connect and before the token expires, for a fresh one each time. */
  readonly token?: string | (() => string | Promise<string>);
  /** Default: the platform's `WebSocket`, or the package `ws` where there is none. */
  readonly webSocket?: WebSocketConstructor;
  readonly reconnect?: ReconnectOptions;
  /** From the beginning of a connect to the relay's answer to HELLO, and of a token's refresh to its answer. Default 10 000. */
  readonly helloTimeoutMs?: number;
  /** How long a command may stay without an answer. Default 10 000. */
  readonly commandTimeoutMs?: number;
  /** How long `close()` may take to flush. Default 2 000. */
  readonly closeTimeoutMs?: number;
  /** Nothing heard for this long: PING. Default twice the relay's `pingIntervalMs`. */
  readonly pingIdleMs?: number;
  /** No answer to that PING for this long: the connection is dead. Default 10 000. */
  readonly pongTimeoutMs?: number;
  readonly offlineQueue?: QueueOptions;
  /** Publishes sent and not answered; more wait in the queue. Default 256. */
  readonly inFlightMax?: number;
  /** Bytes given to the WebSocket and not yet sent; above it publishes wait in the queue. Default 1 MiB. */
  readonly bufferedBytesMax?: number;
  /** Times a publish is sent before a retryable error is given to the caller. Default 5. */
  readonly publishAttemptsMax?: number;
  /** A publish first sent longer ago is not sent again: the relay may have forgotten its key (after 2 minutes by default). Default 110 000. */
  readonly retryWindowMs?: number;
  /** Default for subscriptions. */
  readonly buffer?: BufferOptions;
  /** For tests. */
  readonly clock?: Clock;
  /** For tests. */
  readonly timers?: Timers;
  /** For tests: a number in [0, 1). */
  readonly random?: () => number;
}

export interface PublishOptions {
  /** Idempotency key; made up if absent. */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Not replayed after this time. */
  readonly ttlMs?: number;
  /** False: the own subscriptions on this connection do not get the message. */
  readonly echo?: boolean;
  /** False: fire and forget. Sent once at most, the promise resolves with undefined when it is handed to the WebSocket. Default true. */
  readonly ack?: boolean;
  /** Aborting rejects the promise; what was sent already may still happen. */
  readonly signal?: AbortSignal;
  /** From the call to the outcome, waiting offline included. Default: no bound while waiting to be sent. */
  readonly timeoutMs?: number;
}

export interface SubscribeOptions<T = unknown> {
  /** Go on behind this position (a stored `subscription.position`). Not together with `last`. */
  readonly since?: Position;
  /** Begin with the newest n messages. */
  readonly last?: number;
  /** True or a map: be a member, with this data, and get presence events. 'watch': only get the events. */
  readonly presence?: boolean | 'watch' | Readonly<Record<string, unknown>>;
  /** What the relay does if this connection reads too slowly. Shared by all subscriptions to the topic: the last given counts. */
  readonly policy?: SlowConsumerPolicy;
  readonly conflateBy?: string;
  /** Share the topic's messages with the other members of this queue group. Then it is this client's only subscription to the topic. */
  readonly group?: string;
  /** With `group`: each message is given to somebody else unless its `ack()` is called in time. All of this holds for the whole group but the window. */
  readonly ack?: boolean;
  /** Default 30 000. */
  readonly ackTimeoutMs?: number;
  /** After so many it goes to `deadLetter` (default `$dead.<topic>`). Default 5. */
  readonly maxAttempts?: number;
  readonly deadLetter?: string;
  /** Messages that this member may hold. Default 16. */
  readonly maxInFlight?: number;
  /** What the client does if the `for await` loop is too slow. */
  readonly buffer?: BufferOptions;
  /** The same as `on('message', …)` right away. */
  readonly onMessage?: (message: Message<T>) => unknown;
}

export interface Message<T = unknown> {
  readonly topic: string;
  readonly payload: T;
  /** 0 where the topic keeps no history. */
  readonly offset: number;
  /** Null on patterns. */
  readonly epoch: string | null;
  readonly publisher?: string;
  readonly timeUs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** It came from the history. */
  readonly recovered?: boolean;
  /** In a group with `ack`: how often it was given to somebody, this time included; above 1 it may have been worked on before. */
  readonly attempt?: number;
  /** In a group with `ack`: done. Rejects with NOT_FOUND if it is another's by now. */
  readonly ack?: () => Promise<void>;
  /** In a group with `ack`: not done, somebody shall have it again, after `delayMs`. */
  readonly nack?: (options?: { readonly delayMs?: number }) => Promise<void>;
}

const DEFAULTS = {
  helloTimeoutMs: 10_000,
  commandTimeoutMs: 10_000,
  closeTimeoutMs: 2_000,
  pongTimeoutMs: 10_000,
  inFlightMax: 256,
  bufferedBytesMax: 1_048_576,
  publishAttemptsMax: 5,
  retryWindowMs: 110_000,
};
const RECONNECT_DEFAULTS = { baseMs: 500, capMs: 30_000, attemptsMax: Number.POSITIVE_INFINITY, stableAfterMs: 5_000 };
const QUEUE_DEFAULTS = { messagesMax: 1_000, bytesMax: 1_048_576, policy: 'reject' as QueuePolicy };
const BUFFER_DEFAULTS = { messagesMax: 1_000, policy: 'dropOldest' as BufferPolicy };

/** Nothing would ever be sent, or delivered, with 0 of these. */
const AT_LEAST_ONE = new Set(['inFlightMax', 'publishAttemptsMax', 'buffer.messagesMax']);

export type FilledBuffer = Required<BufferOptions>;

export interface FilledOptions extends Readonly<typeof DEFAULTS> {
  readonly url: string;
  readonly client: string | undefined;
  readonly token: ClientOptions['token'];
  readonly pingIdleMs: number | undefined;
  readonly reconnect: Required<ReconnectOptions>;
  readonly offlineQueue: Required<QueueOptions>;
  readonly buffer: FilledBuffer;
  readonly platform: Platform;
}

/** Throws one error that names everything that is wrong. */
export function fillOptions(options: ClientOptions): FilledOptions {
  const problems: string[] = [];
  const filled = {
    ...fill(DEFAULTS, options, '', problems),
    url: relayUrl(options.url, problems),
    client: options.client,
    token: options.token,
    pingIdleMs: options.pingIdleMs,
    reconnect: fill(RECONNECT_DEFAULTS, options.reconnect, 'reconnect.', problems),
    offlineQueue: fill(QUEUE_DEFAULTS, options.offlineQueue, 'offlineQueue.', problems, ['reject', 'dropOldest', 'dropNewest']),
    buffer: fillBuffer(options.buffer, BUFFER_DEFAULTS, problems),
    platform: {
      clock: options.clock ?? systemClock,
      timers: boundedTimers(options.timers ?? systemTimers),
      random: options.random ?? Math.random,
      webSocket: options.webSocket,
    },
  };
  throwProblems(problems);
  return filled;
}

export function fillBuffer(buffer: BufferOptions | undefined, defaults: FilledBuffer, problems: string[]): FilledBuffer {
  return fill(defaults, buffer, 'buffer.', problems, ['dropOldest', 'dropNewest', 'pause']);
}

export function throwProblems(problems: readonly string[]): void {
  if (problems.length > 0) throw new TypeError(`invalid options:\n  ${problems.join('\n  ')}`);
}

/** The known names of `defaults`, each from `given` where it is set there. */
function fill<T extends object>(
  defaults: T,
  given: object | undefined,
  prefix: string,
  problems: string[],
  policies?: readonly string[],
): T {
  const filled = { ...defaults } as Record<string, unknown>;
  for (const [name, standard] of Object.entries(defaults)) {
    const value = (given as Record<string, unknown> | undefined)?.[name] ?? standard;
    filled[name] = value;
    if (name === 'policy') {
      if (!policies?.includes(value as string))
        problems.push(`${prefix}policy must be one of ${policies?.join(', ')}, got '${value}'`);
    } else {
      const min = AT_LEAST_ONE.has(prefix + name) ? 1 : 0;
      if (typeof value !== 'number' || !(value >= min))
        problems.push(`${prefix}${name} must be a number not below ${min}, got '${value}'`);
    }
  }
  return filled as T;
}

function relayUrl(text: string, problems: string[]): string {
  try {
    const url = new URL(text);
    url.protocol = url.protocol.replace(/^http/, 'ws');
    if (!/^wss?:$/.test(url.protocol)) throw new Error(url.protocol);
    if (url.pathname === '/') url.pathname = CONNECT_PATH;
    url.hash = ''; // A WebSocket URL with a fragment is an error.
    return url.href;
  } catch {
    problems.push(`url must be a ws, wss, http or https URL, got '${text}'`);
    return '';
  }
}
