/**
 * Calls: CALL and what becomes of it, as one promise or as a stream of parts.
 *
 * A call is named after its service and is sent with the time that is left of its deadline. After a lost connection nobody knows how far it came: it
 * is sent again only if it is idempotent and none of its parts has been seen.
 */
import { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import type { ClientCore } from './client.ts';
import { encodeTail } from './codec.ts';
import { type Deferred, deferred } from './deferred.ts';
import { Fifo } from './fifo.ts';
import type { CommandTraits, Sent } from './requests.ts';
import { WINDOW_PARTS } from './service-call.ts';

/** The relay's own default (`callDeadlineMsDefault`), so that both ends give up together. */
export const CALL_DEADLINE_MS = 30_000;

export interface CallOptions {
  /** From the call to its end, waiting for a connection and for an instance with room included. Default 30 000. */
  readonly deadlineMs?: number;
  /** The same key goes to the same instance for as long as there is one. */
  readonly hashKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** It may run twice: sent again after a lost connection, and to another instance if one is lost. */
  readonly idempotent?: boolean;
  /** Range of the instance's version: `^1.2`, `1.x`, `>=1 <3`, `1.2 || 2`. */
  readonly version?: string;
  /** What an instance's metadata must equal. */
  readonly select?: Readonly<Record<string, string | number | boolean>>;
  /** How long to wait at most for an instance with room. Default: what the relay has configured for the service. */
  readonly waitMs?: number;
  /** Aborting rejects, and cancels the call at the instance. */
  readonly signal?: AbortSignal;
}

export interface StreamOptions extends CallOptions {
  /** Parts that the instance may be ahead of the loop, 1..1024. Default 64. */
  readonly window?: number;
}

export function call<T>(core: ClientCore, service: string, method: string, payload: unknown, options: CallOptions): Promise<T> {
  return run(core, service, method, payload, options, {
    cut: () => (options.idempotent ? null : interrupted(service, method)),
    part: () => new RelayError('BAD_REQUEST', 'the method streams its result: use callStream', { service, method }),
  });
}

/** The parts of a call's result, in order, and last its final result unless that is nil. One loop; `break` cancels the call. */
export class CallStream<T = unknown> implements AsyncIterable<T> {
  readonly #parts = new Fifo<T>();
  readonly #controller = new AbortController();
  readonly #service: string;
  readonly #window: number;
  #sent: Sent | null = null;
  /** Taken by the loop since the instance was last given credit. */
  #takenCount = 0;
  #waiter: Deferred<IteratorResult<T, undefined>> | null = null;
  #end: { readonly error: unknown } | null = null;
  #iterating = false;

  constructor(core: ClientCore, service: string, method: string, payload: unknown, options: StreamOptions) {
    const { signal, window = WINDOW_PARTS } = options;
    this.#service = service;
    this.#window = window;
    const forward = () => this.#controller.abort(signal?.reason);
    if (signal?.aborted) forward();
    else signal?.addEventListener('abort', forward);
    const traits: CommandTraits = {
      cut: () => (options.idempotent && this.#sent === null ? null : interrupted(service, method)),
      part: (part, sent) => {
        this.#sent = sent;
        this.#push(part as T);
        return undefined;
      },
    };
    void run<T | null>(core, service, method, payload, { ...options, window, signal: this.#controller.signal }, traits)
      .then(
        (last) => {
          if (last !== null) this.#push(last);
          this.#finish({ error: null });
        },
        (error) => this.#finish({ error }),
      )
      .then(() => signal?.removeEventListener('abort', forward));
  }

  /** Parts that wait for the loop. */
  get bufferedCount(): number {
    return this.#parts.length;
  }

  /** Ends the call, in any state; the loop ends too. */
  cancel(): void {
    this.#parts.clear();
    this.#finish({ error: null });
    this.#controller.abort();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    if (this.#iterating) throw new Error('a stream has one reader');
    this.#iterating = true;
    return {
      next: () => this.#next(),
      return: async () => {
        this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  #next(): Promise<IteratorResult<T, undefined>> {
    const waiter: Deferred<IteratorResult<T, undefined>> = deferred();
    this.#waiter = waiter;
    this.#serve();
    return waiter.promise;
  }

  #push(part: T): void {
    if (this.#end !== null) return;
    this.#parts.push(part);
    this.#serve();
  }

  #finish(end: { readonly error: unknown }): void {
    this.#end ??= end;
    this.#serve();
  }

  /** Gives the waiting loop what there is for it. */
  #serve(): void {
    const waiter = this.#waiter;
    if (waiter === null || (this.#parts.length === 0 && this.#end === null)) return;
    this.#waiter = null;
    if (this.#parts.length > 0) {
      waiter.resolve({ done: false, value: this.#parts.shift() as T });
      this.#credit();
    } else if (this.#end?.error) waiter.reject(this.#end.error);
    else waiter.resolve({ done: true, value: undefined });
  }

  /** In halves of the window: the instance never runs dry while the loop keeps up, and few messages say so. */
  #credit(): void {
    if (++this.#takenCount * 2 < this.#window || this.#end !== null || this.#sent === null) return;
    const { link, id } = this.#sent;
    link.send(MessageType.CREDIT, encodeTail(this.#service, id, this.#takenCount));
    this.#takenCount = 0;
  }
}

function run<T>(
  core: ClientCore,
  service: string,
  method: string,
  payload: unknown,
  { signal, deadlineMs = CALL_DEADLINE_MS, hashKey, headers, idempotent, version, select, waitMs, window }: StreamOptions,
  traits: CommandTraits,
): Promise<T> {
  const encoder = () => {
    const payloadBytes = encodeTail(payload); // As it is now, however long the call has to wait.
    const wanted = { hashKey, headers: headers && { ...headers }, idempotent, version, select, wait: waitMs, window };
    return (leftMs: number) => joined(encodeTail(service, method, { deadlineMs: leftMs, ...wanted }), payloadBytes);
  };
  const abandoned = ({ link, id }: Sent) => void link.send(MessageType.CANCEL, encodeTail(service, id));
  const options = { timeoutMs: deadlineMs, ...(signal ? { signal } : {}) };
  return core.run(MessageType.CALL, encoder, (result) => result as T, options, { ...traits, abandoned });
}

function joined(head: Uint8Array, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

function interrupted(service: string, method: string): RelayError {
  return new RelayError('RESPONDER_LOST', 'the connection was lost during the call: it may or may not have happened', {
    service,
    method,
  });
}
