/**
 * The mini relay's services: a registry, calls with deadlines, streams with credit, and what becomes of a call when one of its ends is lost.
 * No balance but the least in flight, no breakers, no waiting: a client cannot tell.
 */
import type { Timers } from '../../../src/client/platform.ts';
import { matches } from '../../../src/protocol/names.ts';
import { MessageType } from '../../../src/protocol/types.ts';

/** One end of a connection, or of the relay's own workflows. */
export interface Peer {
  readonly name: string;
  say(message: unknown[]): void;
}

interface Registration {
  readonly version: string;
  readonly methods: readonly string[];
  readonly capacity?: number;
  readonly idempotent?: true | readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

interface Instance {
  readonly id: string;
  readonly service: string;
  readonly peer: Peer;
  registration: Registration;
  health: string;
  load: number | null;
  isDeregistered: boolean;
}

interface CallWish {
  readonly deadlineMs?: number;
  readonly headers?: object;
  readonly idempotent?: boolean;
  readonly window?: number;
}

interface Call {
  readonly number: number;
  readonly caller: Peer;
  readonly id: number;
  readonly service: string;
  readonly method: string;
  readonly wish: CallWish;
  readonly payload: unknown;
  readonly timer: unknown;
  instance: Instance;
  credit: number;
  partCount: number;
}

const error = (id: number, code: number, text: string, details: object | null = null): unknown[] => [
  MessageType.ERROR,
  id,
  code,
  text,
  details,
];

export class MiniServices {
  readonly #timers: Timers;
  #instances: Instance[] = [];
  readonly #calls = new Map<number, Call>();
  #lastNumber = 0;
  /** Every REGISTER, DEREGISTER and HEARTBEAT, as `name service`. */
  readonly log: string[] = [];

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get callCount(): number {
    return this.#calls.size;
  }

  /** True if the command was of services. */
  handle(peer: Peer, command: readonly unknown[], ok: (result: unknown) => void): boolean {
    const [type, id, service] = command as [number, number, string];
    switch (type) {
      case MessageType.REGISTER: {
        this.log.push(`register ${service}`);
        let instance = this.#of(peer, service);
        if (instance === undefined) {
          instance = {
            id: `i${++this.#lastNumber}`,
            service,
            peer,
            registration: command[3] as Registration,
            health: 'ok',
            load: null,
            isDeregistered: false,
          };
          this.#instances.push(instance);
        }
        instance.registration = command[3] as Registration;
        ok({ instance: instance.id, leaseMs: 30_000 });
        return true;
      }
      case MessageType.DEREGISTER: {
        this.log.push(`deregister ${service}`);
        const instance = this.#of(peer, service);
        if (instance === undefined) peer.say(error(id, 103, 'not registered'));
        else {
          instance.isDeregistered = true;
          this.#instances = this.#instances.filter((other) => other !== instance);
          ok(null);
        }
        return true;
      }
      case MessageType.HEARTBEAT: {
        this.log.push(`heartbeat ${service}`);
        const instance = this.#of(peer, service);
        if (instance === undefined) peer.say(error(id, 103, 'not registered'));
        else {
          Object.assign(instance, command[3]);
          ok({ leaseMs: 30_000 });
        }
        return true;
      }
      case MessageType.SERVICES:
        ok({ services: this.#list(service, (command[3] ?? {}) as { instances?: boolean }) });
        return true;
      case MessageType.CALL:
        this.call(peer, command);
        return true;
      case MessageType.CANCEL:
        this.cancel(peer, command[3] as number);
        return true;
      case MessageType.CREDIT: {
        const call = this.#callOf(peer, command[3] as number);
        if (call !== undefined) {
          call.credit += command[4] as number;
          call.instance.peer.say([MessageType.CREDITED, call.number, command[4]]);
        }
        return true;
      }
      case MessageType.RETURN:
        this.#returned(peer, command);
        return true;
      default:
        return false;
    }
  }

  /** `[5, id, service, method, options, payload]` */
  call(caller: Peer, command: readonly unknown[]): void {
    const [, id, service, method, wish, payload] = command as [number, number, string, string, CallWish | null, unknown];
    const instance = this.#choose(service, method);
    if (instance === undefined) {
      caller.say(error(id, 109, 'no instance of the service', { service, method }));
      return;
    }
    const number = ++this.#lastNumber;
    const { deadlineMs = 30_000, window = 64 } = wish ?? {};
    const timer = this.#timers.setTimeout(() => {
      const call = this.#calls.get(number);
      if (call === undefined) return;
      call.instance.peer.say([MessageType.CANCELLED, number]);
      this.#end(call, error(id, 108, 'timed out', { service, method }));
    }, deadlineMs);
    const call: Call = {
      number,
      caller,
      id,
      service,
      method,
      wish: { ...wish, deadlineMs },
      payload,
      timer,
      instance,
      credit: window,
      partCount: 0,
    };
    this.#calls.set(number, call);
    this.#invoke(call);
  }

  cancel(caller: Peer, id: number): void {
    const call = this.#callOf(caller, id);
    if (call === undefined) return;
    call.instance.peer.say([MessageType.CANCELLED, call.number]);
    this.#end(call, error(id, 111, 'cancelled'));
  }

  /** A lease that nobody kept up: the registry forgets the instance without a word. */
  expire(service: string): void {
    this.#instances = this.#instances.filter((instance) => instance.service !== service);
  }

  gone(peer: Peer): void {
    this.#instances = this.#instances.filter((instance) => instance.peer !== peer);
    for (const call of [...this.#calls.values()]) {
      if (call.caller === peer) {
        call.instance.peer.say([MessageType.CANCELLED, call.number]);
        this.#end(call, null);
      } else if (call.instance.peer === peer) this.#lost(call);
    }
  }

  // ----

  #of(peer: Peer, service: string): Instance | undefined {
    return this.#instances.find((instance) => instance.peer === peer && instance.service === service);
  }

  #callOf(caller: Peer, id: number): Call | undefined {
    return [...this.#calls.values()].find((call) => call.caller === caller && call.id === id);
  }

  #inFlight(instance: Instance): number {
    return [...this.#calls.values()].filter((call) => call.instance === instance).length;
  }

  #choose(service: string, method: string): Instance | undefined {
    return this.#instances
      .filter((instance) => instance.service === service && instance.health !== 'failing')
      .filter(({ registration: { methods } }) => methods.includes(method) || methods.includes('*'))
      .sort((one, other) => this.#inFlight(one) - this.#inFlight(other))[0];
  }

  #invoke({ number, service, method, wish, payload, caller, instance, credit }: Call): void {
    const { deadlineMs, headers } = wish;
    // The default is not said.
    const options = {
      deadlineMs,
      ...(headers ? { headers } : {}),
      caller: caller.name,
      ...(credit === 64 ? {} : { window: credit }),
    };
    instance.peer.say([MessageType.INVOKE, number, service, method, options, payload]);
  }

  #lost(call: Call): void {
    const { idempotent } = call.instance.registration;
    const mayRepeat = call.wish.idempotent || idempotent === true || idempotent?.includes(call.method);
    const other = mayRepeat && call.partCount === 0 ? this.#choose(call.service, call.method) : undefined;
    if (other === undefined) {
      this.#end(call, error(call.id, 110, 'the instance was lost during the call', { service: call.service }));
      return;
    }
    call.instance = other;
    this.#invoke(call);
  }

  /** `[7, callId, options, payload]` */
  #returned(peer: Peer, [, number, options, payload]: readonly unknown[]): void {
    const call = this.#calls.get(number as number);
    if (call === undefined) return; // Late.
    if (call.instance.peer !== peer) {
      peer.say(error(0, 102, 'not permitted', { callId: number as number }));
      return;
    }
    const wanted = (options ?? {}) as { more?: boolean; heartbeat?: boolean; error?: { code: string; text: string } };
    if (wanted.heartbeat) return;
    if (wanted.error) this.#end(call, error(call.id, 120, wanted.error.text, wanted.error));
    else if (!wanted.more) this.#end(call, [MessageType.RESULT, call.id, false, payload]);
    else if (call.credit-- > 0) {
      call.partCount++;
      call.caller.say([MessageType.RESULT, call.id, true, payload]);
    } else {
      peer.say([MessageType.CANCELLED, call.number]);
      this.#end(call, error(call.id, 120, 'flooded its stream'));
    }
  }

  #end(call: Call, answer: unknown[] | null): void {
    this.#timers.clearTimeout(call.timer);
    this.#calls.delete(call.number);
    if (answer !== null && call.id !== 0) call.caller.say(answer);
  }

  #list(pattern: string, { instances = false }: { instances?: boolean }): object[] {
    const names = [...new Set(this.#instances.map(({ service }) => service))].filter(
      (name) => name === pattern || matches(pattern, name),
    );
    return names.sort().map((service) => {
      const own = this.#instances.filter((instance) => instance.service === service);
      const counters = { calls: 0, errors: 0, p50Ms: 0, p99Ms: 0 };
      const healthy = (health: string) => own.filter((instance) => instance.health === health).length;
      return {
        service,
        instances: own.length,
        methods: [...new Set(own.flatMap(({ registration }) => registration.methods))].sort(),
        versions: [...new Set(own.map(({ registration }) => registration.version))].sort(),
        ok: healthy('ok'),
        degraded: healthy('degraded'),
        failing: healthy('failing'),
        inFlight: own.reduce((sum, instance) => sum + this.#inFlight(instance), 0),
        waiting: 0,
        ...counters,
        ...(instances
          ? {
              list: own.map((instance) => ({
                instance: instance.id,
                client: instance.peer.name,
                capacity: 64,
                weight: 1,
                metadata: {},
                ...instance.registration,
                health: instance.health,
                load: instance.load,
                inFlight: this.#inFlight(instance),
                ...counters,
                breaker: 'closed',
                ejected: false,
                sinceMs: 0,
              })),
            }
          : {}),
      };
    });
  }
}
