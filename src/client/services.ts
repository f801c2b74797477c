/**
 * Services: what this client serves, and the messages of the relay that concern it.
 */
import type { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import type { ClientCore, ClientExtension } from './client.ts';
import { encodeTail } from './codec.ts';
import type { Connection } from './connection.ts';
import { Service, type ServiceHost, type ServiceOptions } from './service.ts';
import { InvokedCall, type ServiceHandlers } from './service-call.ts';

export interface InstanceInfo {
  readonly instance: string;
  readonly client: string;
  readonly version: string;
  readonly methods: readonly string[];
  readonly capacity: number;
  readonly weight: number;
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
  readonly health: 'ok' | 'degraded' | 'failing';
  readonly load: number | null;
  readonly inFlight: number;
  readonly calls: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly breaker: 'closed' | 'open' | 'halfOpen';
  readonly ejected: boolean;
  /** When it registered, milliseconds since the epoch. */
  readonly sinceMs: number;
}

export interface ServiceInfo {
  readonly service: string;
  readonly instances: number;
  readonly methods: readonly string[];
  readonly versions: readonly string[];
  /** Instances by health. */
  readonly ok: number;
  readonly degraded: number;
  readonly failing: number;
  readonly inFlight: number;
  /** Calls that wait for an instance with room. */
  readonly waiting: number;
  readonly calls: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Where instances were asked for. */
  readonly list?: readonly InstanceInfo[];
}

export class Services implements ClientExtension, ServiceHost {
  readonly #core: ClientCore;
  readonly #services = new Map<string, Service>();
  /** In flight here, by the relay's number. */
  readonly #calls = new Map<number, InvokedCall>();
  #connection: Connection | null = null;
  #isLeaving = false;
  #ended: RelayError | null = null;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  add(name: string, handlers: ServiceHandlers, options: ServiceOptions): Service {
    if (this.#services.has(name)) throw new Error(`this client has a service '${name}' already: stop it first`);
    const service = new Service(this.#core, this, name, handlers, options);
    if (this.#ended !== null) service.end(this.#ended);
    else {
      this.#services.set(name, service);
      service.register();
    }
    return service;
  }

  // ---- ServiceHost

  link(): Connection | null {
    return this.#isLeaving ? null : this.#connection;
  }

  forget(service: Service): void {
    if (this.#services.get(service.name) === service) this.#services.delete(service.name);
  }

  /** The rights may be others: an instance without the right to serve has been deregistered in silence. Its heartbeat is answered NOT_FOUND. */
  refreshed(): void {
    for (const service of this.#services.values()) service.beat();
  }

  // ---- ClientExtension

  get busyCount(): number {
    return this.#calls.size;
  }

  opened(link: Connection): void {
    this.#connection = link;
    this.#isLeaving = false;
    for (const service of this.#services.values()) service.register();
  }

  message(message: readonly unknown[]): void {
    const [type, callId, rest] = message as [number, number, unknown];
    if (type === MessageType.INVOKE) this.#invoke(message);
    else if (type === MessageType.CANCELLED) this.#calls.get(callId)?.abandon('cancelled');
    else if (type === MessageType.CREDITED) this.#calls.get(callId)?.credited(rest as number);
  }

  leaving(): void {
    const link = this.link();
    this.#isLeaving = true;
    if (link !== null) for (const service of this.#services.values()) service.leave(link);
  }

  cut(): void {
    this.#connection = null;
    for (const service of [...this.#services.values()]) service.cut();
  }

  end(error: RelayError): void {
    this.#ended = error;
    // By the application's own close there is nothing to complain about.
    for (const service of [...this.#services.values()]) service.end(error.codeName === 'CANCELLED' ? null : error);
  }

  // ----

  /** `[36, callId, service, method, options, payload]` */
  #invoke(message: readonly unknown[]): void {
    const [, callId, name, method, , payload] = message as [number, number, string, string, object, unknown];
    const link = this.#connection;
    if (link === null) return;
    const service = this.#services.get(name);
    const handlers = service?.handlers ?? {};
    const handler = [method, '*'].filter((candidate) => Object.hasOwn(handlers, candidate)).map((known) => handlers[known])[0];
    if (service === undefined || handler === undefined) {
      const error = { code: 'NOT_FOUND', text: 'this instance does not offer it (any more)' };
      link.send(MessageType.RETURN, encodeTail({ error }, null), callId);
      return;
    }
    const call = new InvokedCall(this.#core, link, message, () => {
      this.#calls.delete(callId);
      service.done(call);
      this.#core.settled();
    });
    this.#calls.set(callId, call);
    service.begun(call);
    if (this.#calls.has(callId)) void call.serve(handler, payload);
  }
}
