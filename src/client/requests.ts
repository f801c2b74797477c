/**
 * Requests: questions to the relay (history, presence, ping). They wait for a connection, are asked again after its loss
 * (they change nothing), and end within their time in any case.
 */
import { RelayError } from '../protocol/errors.ts';
import { encodeTail } from './codec.ts';
import type { Connection } from './connection.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { FilledOptions } from './options.ts';
import { aborted } from './outbox.ts';

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** From the call to the answer, waiting for a connection included. Default `commandTimeoutMs`. */
  readonly timeoutMs?: number;
}

interface Request {
  readonly type: number;
  readonly tail: Uint8Array;
  readonly outcome: Deferred<unknown>;
  readonly timeoutMs: number;
  readonly release: (() => void)[];
  /** On the present connection; NaN: not yet. */
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
    values: readonly unknown[],
    read: (result: never, roundTripMs: number) => T,
    options: RequestOptions = {},
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
        tail: encodeTail(...values),
        outcome: { ...outcome, resolve: readNow },
        timeoutMs,
        release: [],
        sentMs: Number.NaN,
      };
      const timer = timers.setTimeout(
        () => this.#settle(request, new RelayError('TIMEOUT', 'no answer', { timeoutMs })),
        timeoutMs,
      );
      request.release.push(() => timers.clearTimeout(timer));
      if (signal) {
        const onAbort = () => this.#settle(request, aborted(signal));
        signal.addEventListener('abort', onAbort);
        request.release.push(() => signal.removeEventListener('abort', onAbort));
      }
      this.#requests.add(request);
      this.#ask(request);
    } catch (error) {
      outcome.reject(
        error instanceof RelayError ? error : new RelayError('BAD_REQUEST', 'cannot be encoded', {}, { cause: error }),
      );
    }
    return outcome.promise;
  }

  /** A connection is open: asks what waited for it. */
  opened(): void {
    for (const request of this.#requests) if (Number.isNaN(request.sentMs)) this.#ask(request);
  }

  end(error: RelayError): void {
    this.#ended = error;
    for (const request of this.#requests) this.#settle(request, error);
  }

  #ask(request: Request): void {
    const link = this.#link();
    if (link === null) return;
    request.sentMs = this.#options.platform.clock.monotonicMs();
    const reply = {
      ok: (result: unknown) => this.#settle(request, result),
      failed: (error: RelayError) => this.#settle(request, error),
      cut: () => {
        request.sentMs = Number.NaN;
      },
    };
    link.request(request.type, request.tail, reply, request.timeoutMs);
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
