/**
 * One service: its instances by method, the calls that wait for one of them, and its figures.
 *
 * Thread: the lane's. There from the first instance until the last one, the last call in flight and the last waiting one are gone.
 */
import { hashBytes } from '../../base/hash.ts';
import { compareVersions } from '../../protocol/semver.ts';
import { ANY_METHOD } from '../../protocol/service-options.ts';
import { NameTable } from '../name-table.ts';
import type { Timer } from '../timers.ts';
import type { Call } from './call.ts';
import { CallLatency } from './call-latency.ts';
import type { Instance } from './instance.ts';
import type { ServiceConfig } from './service-config.ts';

const TEXT = new TextEncoder();
/** A name may begin with U+FEFF: it is a character like any other, or two methods would go by one name. */
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });

/** Who offers a method, those that offer any method among them. */
export interface MethodPool {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly hash: number;
  /** In the order in which they came. */
  readonly instances: Instance[];
}

export class Service {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly hash: number;
  readonly config: ServiceConfig;
  /** Registered ones, in the order in which they came. */
  readonly instances = new Set<Instance>();
  readonly #methods = new NameTable<MethodPool>();
  readonly #any: MethodPool = newPool(ANY_METHOD);
  /** In the order in which they are served. */
  waiting = new Set<Call>();
  inFlight = 0;
  calls = 0;
  errors = 0;
  readonly latency = new CallLatency();
  /** Counts the choices of the balancer. */
  choices = 0;
  /** The next look for outliers; null while there are too few instances. */
  outlierTimer: Timer | null = null;

  constructor(name: string, config: ServiceConfig) {
    this.name = name;
    this.nameBytes = TEXT.encode(name);
    this.hash = hashBytes(this.nameBytes, 0, this.nameBytes.length);
    this.config = config;
  }

  /** Nothing would be lost but its figures. */
  get isIdle(): boolean {
    return this.instances.size === 0 && this.inFlight === 0 && this.waiting.size === 0;
  }

  /** Hot. Who offers the method `bytes[start, end)`: its own pool, or that of the instances that offer any. May be empty. */
  poolOf(bytes: Uint8Array, start: number, end: number): MethodPool {
    return this.#methods.find(hashBytes(bytes, start, end), bytes, start, end) ?? this.#any;
  }

  isAnyPool(pool: MethodPool): boolean {
    return pool === this.#any;
  }

  add(instance: Instance): void {
    this.instances.add(instance);
    const isAny = instance.registration.methods.includes(ANY_METHOD);
    for (const name of instance.registration.methods) {
      if (name !== ANY_METHOD) this.#poolNamed(name);
    }
    if (isAny) this.#any.instances.push(instance);
    for (const pool of this.#methods)
      if (isAny || instance.registration.methods.includes(pool.name)) pool.instances.push(instance);
  }

  remove(instance: Instance): void {
    this.instances.delete(instance);
    removeFrom(this.#any.instances, instance);
    for (const pool of [...this.#methods]) {
      removeFrom(pool.instances, instance);
      // Whoever is left offers any method, and is found as such.
      if (pool.instances.length === this.#any.instances.length) this.#methods.remove(pool);
    }
  }

  /** What is offered, sorted. */
  get methodNames(): string[] {
    return [...new Set([...this.instances].flatMap(({ registration }) => registration.methods))].sort();
  }

  /** What is there, the oldest first. */
  get versions(): string[] {
    const byText = new Map([...this.instances].map(({ registration }) => [registration.version, registration.parsedVersion]));
    return [...byText].sort(([, left], [, right]) => compareVersions(left, right)).map(([text]) => text);
  }

  #poolNamed(name: string): void {
    const pool = newPool(name);
    if (this.#methods.find(pool.hash, pool.nameBytes, 0, pool.nameBytes.length) !== undefined) return;
    pool.instances.push(...this.#any.instances);
    this.#methods.add(pool);
  }
}

export function methodText({ methodBytes }: Call): string {
  return DECODER.decode(methodBytes);
}

function newPool(name: string): MethodPool {
  const nameBytes = TEXT.encode(name);
  return { name, nameBytes, hash: hashBytes(nameBytes, 0, nameBytes.length), instances: [] };
}

function removeFrom(list: Instance[], instance: Instance): void {
  const index = list.indexOf(instance);
  if (index >= 0) list.splice(index, 1);
}
