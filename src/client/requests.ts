/**
 * Requests: commands that wait for an answer (history, presence, ping, and the calls of the full client). They wait for a connection, are asked
 * again after its loss unless they say why not, and end within their time in any case.
 */
import { RelayError } from '../protocol/errors.ts';
import { encodeTail } from './codec.ts';
import type { Connection, Reply } from './connection.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { FilledOptions } from './options.ts';
import { aborted } from './outbox.ts';

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** From the call to the answer, waiting for a connection included. Default `commandTimeoutMs`. */
  readonly timeoutMs?: number;
}

/** Where a command went: what else is said about it must go there too. */
export interface Sent {
  readonly link: Connection;
  readonly id: number;
}

/** What some commands do that plain questions do not. */
export interface CommandTraits {
  /** The connection ended before the answer. Null asks again on the next one, an error ends it. Absent: asks again. */
  cut?(): RelayError | null;
  /** An error gives the command up. */
  part?(payload: unknown, sent: Sent): RelayError | undefined;
  /** Given up, by the caller or for want of time, while the relay was at it. */
  abandoned?(sent: Sent): void;
}

/** Called at once, where what cannot be encoded can still be told to the caller; what it returns is called for each sending. */
export type Encoder = () => (leftMs: number) => Uint8Array;

interface Request {
  readonly type: number;
  /** Encoded for each sending, with the time that is left. */
  readonly tail: (leftMs: number) => Uint8Array;
  readonly outcome: Deferred<unknown>;
  readonly untilMs: number;
  readonly traits: CommandTraits;
  readonly release: (() => void)[];
  /** On the present connection; null: not yet. */
  sent: Sent | null;
  sentMs: number;
}

export class Requests {
  readonly #options: FilledOptions;
  readonly #link: () => Connection | null;
  readonly #settled: () => void;
  readonly #requests = new Set<Request>();
  #ended: RelayError | null = null;

  constructor(options: FilledOptions, link: () => Connection | null, settled: () => void) {
    this.#options = options;
    this.#link = link;
    this.#settled = settled;
  }

  get count(): number {
    return this.#requests.size;
  }

  /** `read` makes the caller's result of the relay's, and gets the round trip's time. */
  run<T>(
    type: number,
    values: readonly unknown[] | Encoder,
    read: (result: never, roundTripMs: number) => T,
    options: RequestOptions = {},
    traits: CommandTraits = {},
  ): Promise<T> {
    const { signal, timeoutMs = this.#options.commandTimeoutMs } = options;
    const { timers, clock } = this.#options.platform;
    const outcome = deferred<T>();
    try {
      if (this.#ended !== null) throw this.#ended;
      if (signal?.aborted) throw aborted(signal);
      const readNow = (result: unknown) => outcome.resolve(read(result as never, clock.monotonicMs() - request.sentMs));
      const request: Request = {
        type,
        tail: typeof values === 'function' ? values() : encodedOnce(values),
        outcome: { ...outcome, resolve: readNow },
        untilMs: clock.monotonicMs() + timeoutMs,
        traits,
        release: [],
        sent: null,
        sentMs: 0,
      };
      const timer = timers.setTimeout(
        () => this.#giveUp(request, new RelayError('TIMEOUT', 'no answer', { timeoutMs })),
        timeoutMs,
      );
      request.release.push(() => timers.clearTimeout(timer));
      if (signal) {
        const onAbort = () => this.#giveUp(request, aborted(signal));
        signal.addEventListener('abort', onAbort);
        request.release.push(() => signal.removeEventListener('abort', onAbort));
      }
      this.#requests.add(request);
      this.#ask(request);
    } catch (error) {
      outcome.reject(unencodable(error));
    }
    return outcome.promise;
  }

  /** A connection is open: asks what waited for it. */
  opened(): void {
    for (const request of this.#requests) if (request.sent === null) this.#ask(request);
  }

  end(error: RelayError): void {
    this.#ended = error;
    for (const request of this.#requests) this.#settle(request, error);
  }

  #ask(request: Request): void {
    const link = this.#link();
    if (link === null) return;
    const { traits, untilMs } = request;
    const nowMs = this.#options.platform.clock.monotonicMs();
    const leftMs = Math.max(1, Math.floor(untilMs - nowMs));
    const reply: Reply = {
      ok: (result) => this.#settle(request, result),
      failed: (error) => this.#settle(request, error),
      part: (payload) => {
        if (!this.#requests.has(request)) return; // It was given up meanwhile.
        const error = traits.part?.(payload, request.sent as Sent);
        if (error) this.#giveUp(request, error);
      },
      cut: () => {
        request.sent = null;
        const error = traits.cut?.();
        if (error) this.#settle(request, error);
      },
    };
    try {
      request.sentMs = nowMs;
      request.sent = { link, id: link.request(request.type, request.tail(leftMs), reply, leftMs) };
    } catch (error) {
      this.#settle(request, unencodable(error));
    }
  }

  #giveUp(request: Request, error: RelayError): void {
    const { sent, traits } = request;
    if (sent !== null) traits.abandoned?.(sent);
    this.#settle(request, error);
  }

  #settle(request: Request, outcome: unknown): void {
    if (!this.#requests.delete(request)) return;
    for (const release of request.release) release();
    if (outcome instanceof RelayError) request.outcome.reject(outcome);
    else {
      try {
        request.outcome.resolve(outcome);
      } catch (cause) {
        request.outcome.reject(new RelayError('INTERNAL', 'the answer is not what it should be', {}, { cause }));
      }
    }
    this.#settled();
  }
}

function encodedOnce(values: readonly unknown[]): () => Uint8Array {
  const tail = encodeTail(...values);
  return () => tail;
}

function unencodable(error: unknown): RelayError {
  return error instanceof RelayError ? error : new RelayError('BAD_REQUEST', 'cannot be encoded', {}, { cause: error });
}
