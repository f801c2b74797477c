/**
 * Service: one instance of a service at this client. Registers, again after every reconnect, and serves what the relay invokes.
 *
 *   waiting ──opened──► registering ──OK──► registered ──stop()──► stopping ──no call in flight──► stopped
 *      ▲                    │  refused for now      │
 *      └────────────────────┴──── connection lost, GOAWAY
 *
 * Bounded by the relay, which has at most `capacity` calls in flight here. A handler can break nothing but its own call.
 */
import { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import { retryDelayMs } from './backoff.ts';
import type { ClientCore } from './client.ts';
import { encodeTail } from './codec.ts';
import type { Connection } from './connection.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { InvokedCall, ServiceHandlers } from './service-call.ts';

export type ServiceHealth = 'ok' | 'degraded' | 'failing';

export interface ServiceOptions {
  /** Semantic version; callers may ask for a range. */
  readonly version: string;
  /** Calls in flight here at most. Default 64. */
  readonly capacity?: number;
  /** For the balance `weighted`. Default 1. */
  readonly weight?: number;
  /** At most 32 values; callers may select by them. */
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
  /** Methods that may run twice, or true for all: the relay gives their calls to another instance if this one is lost. */
  readonly idempotent?: true | readonly string[];
  /** Promises a sign of life at this interval, and sends it; after three missed ones the relay takes no more calls for us. */
  readonly heartbeatMs?: number;
}

export type ServiceState =
  /** Not on the wire: offline, on the way out of a relay that sends us away, or to be tried again after `error`. */
  | { readonly name: 'waiting'; readonly error?: RelayError }
  | { readonly name: 'registering' }
  | { readonly name: 'registered'; readonly instance: string; readonly leaseMs: number }
  /** Gets no new calls; those in flight finish. */
  | { readonly name: 'stopping' }
  | { readonly name: 'stopped'; readonly error: RelayError | null };

export interface StopOptions {
  /** False: calls in flight are answered with the error STOPPED and their signals abort. Default true. */
  readonly drain?: boolean;
  /** How long calls in flight may take. Default: as long as their own deadlines. */
  readonly timeoutMs?: number;
}

export interface ServiceHost {
  /** The connection that takes registrations, or null. */
  link(): Connection | null;
  forget(service: Service): void;
}

export class Service {
  readonly name: string;
  readonly handlers: ServiceHandlers;
  /** In flight here. */
  readonly calls = new Set<InvokedCall>();
  readonly #core: ClientCore;
  readonly #host: ServiceHost;
  readonly #options: ServiceOptions;
  readonly #registration: Uint8Array;
  #state: ServiceState = { name: 'waiting' };
  #ready: Deferred<void> | null = null;
  #stopped: Deferred<void> | null = null;
  /** The relay may have the registration on this connection. */
  #isKnown = false;
  #isRefusing = false;
  #attempt = 0;
  /** The next try to register, or the next heartbeat. */
  #timer: unknown;
  #stopTimer: unknown;
  #condition: { health?: ServiceHealth; load?: number } = {};

  constructor(core: ClientCore, host: ServiceHost, name: string, handlers: ServiceHandlers, options: ServiceOptions) {
    const methods = Object.keys(handlers);
    for (const method of methods) {
      if (typeof handlers[method] !== 'function') throw new TypeError(`the handler of '${method}' must be a function`);
    }
    const { version, capacity, weight, metadata, idempotent, heartbeatMs } = options;
    this.name = name;
    this.handlers = handlers;
    this.#core = core;
    this.#host = host;
    this.#options = options;
    // Encoded here: what cannot be must throw at the caller, not at some reconnect.
    this.#registration = encodeTail(name, { version, methods, capacity, weight, metadata, idempotent, heartbeatMs });
  }

  get state(): ServiceState {
    return this.#state;
  }

  get inFlightCount(): number {
    return this.calls.size;
  }

  /** Resolves when the relay has taken the registration, rejects if it refuses it or the service ends before. */
  ready(): Promise<void> {
    if (this.#ready === null) {
      this.#ready = deferred<void>();
      if (this.#state.name === 'registered') this.#ready.resolve();
      else if (this.#state.name === 'stopped') this.#ready.reject(this.#state.error ?? this.#endedEarly());
    }
    return this.#ready.promise;
  }

  /** `degraded` gets calls only where no instance is `ok`, `failing` gets none. Told at once, and again after every registration. */
  setHealth(health: ServiceHealth): void {
    this.#condition.health = health;
    this.beat();
  }

  /** 0..1, for whoever looks at the registry. */
  setLoad(load: number): void {
    this.#condition.load = load;
    this.beat();
  }

  /** Gets no new calls from now on; resolves when those in flight are done. Never rejects. */
  stop({ drain = true, timeoutMs }: StopOptions = {}): Promise<void> {
    if (this.#stopped === null) {
      this.#stopped = deferred<void>();
      if (this.#state.name === 'stopped') this.#stopped.resolve();
      else {
        const link = this.#host.link();
        this.#become({ name: 'stopping' });
        if (timeoutMs !== undefined) {
          this.#stopTimer = this.#core.options.platform.timers.setTimeout(() => this.#refuseCalls(), timeoutMs);
        }
        if (!drain) this.#refuseCalls();
        if (this.#isKnown && link !== null) this.#deregister(link);
        this.#finishIfIdle();
      }
    }
    return this.#stopped.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  // ---- for Services only

  register(): void {
    const link = this.#host.link();
    if (link === null || this.#state.name !== 'waiting') return;
    this.#become({ name: 'registering' });
    this.#isKnown = true;
    const reply = {
      ok: (result: unknown) => {
        if (this.#state.name !== 'registering') return;
        const { instance, leaseMs } = result as { instance: string; leaseMs: number };
        this.#attempt = 0;
        this.#become({ name: 'registered', instance, leaseMs });
        if (Object.keys(this.#condition).length > 0) this.beat();
        this.#beatLater();
        this.#ready?.resolve();
        this.#ready = null; // Whoever was told that it is registered is not told by that promise that it is no more.
      },
      failed: (error: RelayError) => {
        if (this.#state.name !== 'registering') return;
        this.#isKnown = error.codeName === 'TIMEOUT'; // Perhaps.
        if (error.retryable) this.#registerLater(error);
        else this.end(error);
      },
      cut() {},
    };
    link.request(MessageType.REGISTER, this.#registration, reply, this.#core.options.commandTimeoutMs);
  }

  /** The connection is on its way out. */
  leave(link: Connection): void {
    const { name } = this.#state;
    if (name !== 'registered' && name !== 'registering') return;
    this.#become({ name: 'waiting' });
    this.#deregister(link);
  }

  cut(): void {
    this.#isKnown = false;
    for (const call of [...this.calls]) call.abandon('the connection was lost');
    if (this.#state.name === 'stopping') this.#finishIfIdle();
    else this.#become({ name: 'waiting' });
  }

  begun(call: InvokedCall): void {
    this.calls.add(call);
    if (this.#isRefusing) this.#refuseCalls(); // It was on its way when we stopped.
  }

  done(call: InvokedCall): void {
    this.calls.delete(call);
    this.#finishIfIdle();
  }

  end(error: RelayError | null): void {
    if (this.#state.name === 'stopped') return;
    for (const call of [...this.calls]) call.abandon('the service was stopped');
    const { timers } = this.#core.options.platform;
    this.#become({ name: 'stopped', error });
    timers.clearTimeout(this.#stopTimer);
    this.#host.forget(this);
    // A registration that fails must not pass in silence.
    if (error !== null && this.#ready === null) this.#core.report(error);
    this.#ready?.reject(error ?? this.#endedEarly());
    this.#stopped?.resolve();
  }

  // ----

  /** Every state has its own timer, or none. */
  #become(state: ServiceState): void {
    this.#core.options.platform.timers.clearTimeout(this.#timer);
    if (this.#state.name !== 'stopped') this.#state = state;
  }

  #registerLater(error: RelayError): void {
    const { timers, random } = this.#core.options.platform;
    this.#become({ name: 'waiting', error });
    this.#timer = timers.setTimeout(() => this.register(), retryDelayMs(error, this.#attempt++, random));
  }

  #beatLater(): void {
    const { heartbeatMs } = this.#options;
    if (heartbeatMs === undefined) return;
    const { timers } = this.#core.options.platform;
    timers.clearTimeout(this.#timer);
    this.#timer = timers.setTimeout(() => {
      this.#beatLater();
      this.beat();
    }, heartbeatMs);
  }

  /** For Services too: a relay that has taken the registration away says so. */
  beat(): void {
    const link = this.#host.link();
    const registered = this.#state;
    if (link === null || registered.name !== 'registered') return;
    const reply = {
      ok() {},
      failed: (error: RelayError) => {
        if (this.#state !== registered) return;
        if (error.codeName === 'NOT_FOUND') {
          this.#become({ name: 'waiting' }); // The lease has expired: this program stood still for too long.
          this.register();
        } else if (!error.retryable) this.#core.report(error);
      },
      cut() {},
    };
    link.request(MessageType.HEARTBEAT, encodeTail(this.name, this.#condition), reply, this.#core.options.commandTimeoutMs);
  }

  #deregister(link: Connection): void {
    const done = () => {
      this.#isKnown = false;
      this.#finishIfIdle();
    };
    const reply = { ok: done, failed: done, cut() {} };
    link.request(MessageType.DEREGISTER, encodeTail(this.name), reply, this.#core.options.commandTimeoutMs);
  }

  #refuseCalls(): void {
    this.#isRefusing = true;
    for (const call of [...this.calls]) call.refuse('STOPPED', 'the service was stopped');
  }

  #finishIfIdle(): void {
    // Not before the relay has heard of the end: until then calls may be on their way here.
    if (this.#state.name === 'stopping' && !this.#isKnown && this.calls.size === 0) this.end(null);
  }

  #endedEarly(): RelayError {
    return new RelayError('CANCELLED', 'the service was stopped', { service: this.name });
  }
}
