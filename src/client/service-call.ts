/**
 * One invoked call at its instance: from INVOKE to the RETURN that ends it.
 *
 * Promise: exactly one last RETURN for each call that is not over for another reason (cancelled, out of time, connection lost); nothing is sent for one that is.
 */
import { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import type { ClientCore } from './client.ts';
import { encodeTail } from './codec.ts';
import type { Connection } from './connection.ts';
import { type Deferred, deferred } from './deferred.ts';

/** What a handler is told of its call, and how it tells that it is still at work. */
export interface CallContext {
  readonly callId: number;
  readonly service: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The caller's name, where it has one. */
  readonly caller: string | undefined;
  /** What is left of the deadline, 0 when it has passed. */
  readonly deadlineMs: number;
  /** Aborts when nobody waits for the result any more: cancelled, out of time, connection lost, service stopped. */
  readonly signal: AbortSignal;
  /** For long work without parts: still there. A workflow's `heartbeatTimeoutMs` waits for it. */
  heartbeat(): void;
}

/** A result, a promise of one, or an async iterable (an async generator's values) whose parts are streamed as fast as the caller takes them. */
// biome-ignore lint/suspicious/noExplicitAny: a payload's type is the handler's own claim.
export type ServiceHandler = (payload: any, context: CallContext) => unknown;
/** By method; `*` takes what no other does. */
export type ServiceHandlers = Readonly<Record<string, ServiceHandler>>;

/** Thrown by a handler: the caller gets SERVICE_ERROR with this code and text in its facts. */
export class ServiceError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: string, text: string, details?: Readonly<Record<string, unknown>>) {
    super(text);
    this.code = code;
    this.details = details;
  }

  override get name(): string {
    return 'ServiceError';
  }
}

/** The protocol's default. */
export const WINDOW_PARTS = 64;

interface InvokeOptions {
  readonly deadlineMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly caller?: string;
  readonly window?: number;
}

export class InvokedCall implements CallContext {
  readonly callId: number;
  readonly service: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly caller: string | undefined;
  readonly #core: ClientCore;
  readonly #link: Connection;
  readonly #done: (call: InvokedCall) => void;
  readonly #controller = new AbortController();
  readonly #untilMs: number;
  readonly #timer: unknown;
  /** Parts that the caller takes. */
  #credit: number;
  #room: Deferred<void> | null = null;
  #isOver = false;

  /** `message` is an INVOKE; `done` is called once. */
  constructor(core: ClientCore, link: Connection, message: readonly unknown[], done: (call: InvokedCall) => void) {
    const [, callId, service, method, options] = message as [number, number, string, string, InvokeOptions];
    const { deadlineMs, headers = {}, caller, window = WINDOW_PARTS } = options;
    const { timers, clock } = core.options.platform;
    this.callId = callId;
    this.service = service;
    this.method = method;
    this.headers = headers;
    this.caller = caller;
    this.#core = core;
    this.#link = link;
    this.#done = done;
    this.#credit = window;
    this.#untilMs = clock.monotonicMs() + deadlineMs;
    // The relay says CANCELLED then; this is for when it cannot.
    this.#timer = timers.setTimeout(() => this.abandon('out of time'), deadlineMs);
  }

  get deadlineMs(): number {
    return Math.max(0, this.#untilMs - this.#core.options.platform.clock.monotonicMs());
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heartbeat(): void {
    if (!this.#isOver) this.#send({ heartbeat: true }, null);
  }

  async serve(handler: ServiceHandler, payload: unknown): Promise<void> {
    try {
      const result = await handler(payload, this);
      if (isAsyncIterable(result)) await this.#stream(result);
      else this.#finish(null, result);
    } catch (error) {
      if (this.#isOver) return; // What an aborted handler throws is the abort's.
      if (error instanceof ServiceError) this.refuse(error.code, error.message, error.details);
      else if (error instanceof RelayError) this.refuse(error.codeName, error.message, error.facts);
      else {
        this.refuse('INTERNAL', error instanceof Error ? error.message : String(error));
        this.#core.report(error);
      }
    }
  }

  /** Ends it with an error of the service. */
  refuse(code: string, text: string, details?: Readonly<Record<string, unknown>>): void {
    this.#finish({ error: { code, text, details } }, null);
    this.abandon(text);
  }

  /** The caller takes so many parts more. */
  credited(count: number): void {
    this.#credit += count;
    this.#room?.resolve();
  }

  /** Nobody waits for it any more. */
  abandon(reason: string): void {
    this.#end();
    this.#controller.abort(new RelayError('CANCELLED', reason, { service: this.service, method: this.method }));
  }

  // ----

  async #stream(parts: AsyncIterable<unknown>): Promise<void> {
    for await (const part of parts) {
      if (!this.#isOver) this.#send({ more: true }, part);
      this.#credit--;
      // Before the next part is asked for: what the handler has not made yet costs nothing to keep back.
      while (this.#credit <= 0 && !this.#isOver) {
        this.#room = deferred<void>();
        await this.#room.promise;
      }
      if (this.#isOver) return; // Ends the handler's generator at its `yield`.
    }
    this.#finish(null, null);
  }

  #finish(options: unknown, payload: unknown): void {
    if (this.#isOver) return;
    this.#send(options, payload);
    this.#end();
  }

  /** Throws what the caller must know: a part or result that cannot be sent. */
  #send(options: unknown, payload: unknown): void {
    const refused = this.#link.send(MessageType.RETURN, encodeTail(options, payload), this.callId);
    if (refused !== null) throw refused;
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#core.options.platform.timers.clearTimeout(this.#timer);
    this.#room?.resolve();
    this.#done(this);
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
