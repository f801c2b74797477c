/**
 * Registry: which sessions serve what. REGISTER, DEREGISTER, HEARTBEAT, leases, and what a lane that took another's place is taught.
 *
 * Thread: the lane's. An instance belongs to its session: it leaves with it, at once. One that promised heartbeats also leaves when three have been missed.
 */
import { assert } from '../../base/assert.ts';
import { seededId } from '../../base/ids.ts';
import { pack, unpack } from '../../protocol/codec.ts';
import { RelayError } from '../../protocol/errors.ts';
import { checkNameText, NameKind, nameProblem } from '../../protocol/names.ts';
import { SERVICE_TOPIC_PREFIX } from '../../protocol/placement.ts';
import { parseVersion } from '../../protocol/semver.ts';
import type { Health, HeartbeatOptions, Registration } from '../../protocol/service-options.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import { NameTable } from '../name-table.ts';
import type { CallTable } from './call-table.ts';
import { Instance } from './instance.ts';
import type { Peer } from './peer.ts';
import { Service } from './service.ts';
import { ServiceConfigs } from './service-config.ts';
import type { ServiceEvents } from './service-events.ts';

/** Heartbeats that an instance may miss. */
const LEASE_HEARTBEATS = 3;
/**
 * A registration goes to the front and, after a lane's death, through the new lane's ingress ring: it must fit into the smallest one (an eighth of it takes
 * `messageBytesMax`, which is at least this).
 */
const REGISTRATION_BYTES_MAX = 8_192;
const BIRTH_LENGTH = 4;

/** What the front keeps of an instance, and gives to a new lane. */
interface StoredRegistration {
  readonly service: string;
  readonly id: string;
  readonly sinceMs: number;
  readonly health: Health;
  readonly options: Omit<Registration, 'parsedVersion'>;
}

/** Which service a registration is for, as `registered` gave it to the front. */
export function serviceOf(bytes: Uint8Array): string {
  return (unpack(bytes) as StoredRegistration).service;
}

export class ServiceRegistry {
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;
  readonly #events: ServiceEvents;
  readonly #calls: CallTable;
  readonly #configs: ServiceConfigs;
  readonly #services = new NameTable<Service>();
  #instanceCount = 0;
  #nextNumber = 1;
  /** Of ids: tells the instances of this lane's life from all others. */
  readonly #birth: string;
  readonly #restored: Instance[] = [];

  constructor(lane: LaneContext, topics: OwnTopics, events: ServiceEvents, calls: CallTable) {
    this.#lane = lane;
    this.#topics = topics;
    this.#events = events;
    this.#calls = calls;
    this.#configs = new ServiceConfigs(lane.options.services.rules);
    this.#birth = `${seededId(lane.prng, BIRTH_LENGTH)}-${lane.options.index}-${lane.options.life}`;
  }

  get serviceCount(): number {
    return this.#services.size;
  }
  get instanceCount(): number {
    return this.#instanceCount;
  }
  get services(): Iterable<Service> {
    return this.#services;
  }

  /** Hot. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): Service | undefined {
    return this.#services.find(hash, bytes, start, end);
  }

  // ---- commands

  /** Again by the same session: takes the place of what it registered before, as the same instance. */
  register(peer: Peer, name: string, registration: Registration): Instance {
    const known = peer.instances.get(name);
    if (known === undefined) return this.#registerNew(peer, name, registration);
    const stored = this.#encode(known.id, name, registration, known.sinceMs, known.health);
    known.service.remove(known);
    known.registration = registration;
    known.service.add(known);
    this.#renew(known);
    this.#lane.out.registered(peer.session, known.number, stored);
    this.#events.publish('updated', known, factsOf(known));
    return known;
  }

  #registerNew(peer: Peer, name: string, registration: Registration): Instance {
    this.#checkRoom(name);
    const number = this.#nextNumber;
    const id = `${this.#birth}-${number}`;
    const stored = this.#encode(id, name, registration, this.#lane.nowMs, 'ok');
    this.#nextNumber++;
    const instance = this.#add(number, id, peer, name, registration, this.#lane.nowMs);
    this.#lane.out.registered(peer.session, number, stored);
    this.#events.publish('registered', instance, factsOf(instance));
    return instance;
  }

  /** It gets no new calls; what it is working on may still be returned. */
  deregister(peer: Peer, name: string): void {
    const instance = this.#of(peer, name);
    this.#remove(instance);
    this.#lane.out.unregistered(peer.session, instance.number);
    this.#events.publish('deregistered', instance);
    this.#calls.strand(instance.service);
  }

  heartbeat(peer: Peer, name: string, { load, health }: HeartbeatOptions): Instance {
    const instance = this.#of(peer, name);
    this.#renew(instance);
    if (load !== null) instance.load = load;
    if (health === null || health === instance.health) return instance;
    instance.health = health;
    const { id, registration, sinceMs } = instance;
    this.#lane.out.registered(peer.session, instance.number, this.#encode(id, name, registration, sinceMs, health));
    this.#events.publish('health', instance, { health, load: instance.load });
    return instance;
  }

  /** What is told of the lease: how long the instance is kept without a sign of life. */
  leaseMsOf({ registration }: Instance): number {
    const { heartbeatMs } = registration;
    return heartbeatMs === 0 ? this.#lane.options.services.connectionLeaseMs : LEASE_HEARTBEATS * heartbeatMs;
  }

  /** The session is gone. Its instances leave before anything is done about calls: none of them may be chosen any more. */
  removeAll(peer: Peer): readonly Instance[] {
    const gone = [...peer.instances.values()];
    for (const instance of gone) {
      this.#remove(instance);
      this.#events.publish('lost', instance);
    }
    return gone;
  }

  /** Nothing keeps the service any more, perhaps. */
  dropIfIdle(service: Service): void {
    if (service.isIdle) this.#services.remove(service);
  }

  // ---- a lane takes another's place

  /** `bytes` as `registered` gave them to the front. Says nothing yet: the topic's subscribers are not known. */
  restore(peer: Peer, number: number, bytes: Uint8Array): void {
    const { service, id, sinceMs, health, options } = unpack(bytes) as StoredRegistration;
    const parsedVersion = parseVersion(options.version);
    assert(parsedVersion !== null, 'a registration that was taken once is right');
    const instance = this.#add(number, id, peer, service, { ...options, parsedVersion }, sinceMs);
    instance.health = health;
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
    this.#restored.push(instance);
  }

  /** Everything is known again. The services' topics begin anew: they are told who is there. */
  announceRestored(): void {
    for (const instance of this.#restored.splice(0)) {
      if (instance.isRegistered) this.#events.publish('registered', instance, { ...factsOf(instance), afterRestart: true });
    }
  }

  // ---- instances

  #add(number: number, id: string, peer: Peer, name: string, registration: Registration, sinceMs: number): Instance {
    const service = this.#serviceNamed(name);
    const instance = new Instance(number, id, service, peer, registration, sinceMs);
    peer.instances.set(name, instance);
    service.add(instance);
    this.#instanceCount++;
    this.#calls.watch.added(instance);
    this.#renew(instance);
    return instance;
  }

  #remove(instance: Instance): void {
    instance.isRegistered = false;
    instance.peer.instances.delete(instance.service.name);
    instance.service.remove(instance);
    this.#instanceCount--;
    this.#calls.watch.removed(instance);
  }

  #renew(instance: Instance): void {
    const { nowMs, timers } = this.#lane;
    if (instance.registration.heartbeatMs === 0) {
      timers.cancel(instance.leaseTimer);
      instance.leaseTimer = null;
      return;
    }
    instance.leaseUntilMs = nowMs + this.leaseMsOf(instance);
    // A timer that runs already looks again when it is due, unless the lease has become shorter.
    if (instance.leaseTimer !== null && instance.leaseTimer.dueMs <= instance.leaseUntilMs) return;
    timers.cancel(instance.leaseTimer);
    this.#watchLease(instance);
  }

  #watchLease(instance: Instance): void {
    instance.leaseTimer = this.#lane.timers.set(instance.leaseUntilMs, () => {
      instance.leaseTimer = null;
      if (instance.leaseUntilMs <= this.#lane.nowMs) this.#expire(instance);
      else this.#watchLease(instance);
    });
  }

  #expire(instance: Instance): void {
    this.#lane.metrics[LaneMetric.instancesExpired]!++;
    this.#remove(instance);
    this.#lane.out.unregistered(instance.peer.session, instance.number);
    this.#events.publish('expired', instance, { leaseMs: this.leaseMsOf(instance) });
    this.#calls.instanceGone(instance, true);
  }

  #of(peer: Peer, name: string): Instance {
    const instance = peer.instances.get(name);
    if (instance === undefined) throw new RelayError('NOT_FOUND', 'not registered', { service: name });
    return instance;
  }

  #serviceNamed(name: string): Service {
    const service = new Service(name, this.#configs.resolve(name));
    const known = this.#services.find(service.hash, service.nameBytes, 0, service.nameBytes.length);
    if (known !== undefined) return known;
    this.#services.add(service);
    return service;
  }

  #checkRoom(name: string): void {
    const topic = SERVICE_TOPIC_PREFIX + name;
    // Nobody could watch it otherwise.
    if (checkNameText(topic) !== NameKind.EXACT)
      throw new RelayError('BAD_REQUEST', `bad service: its topic ${SERVICE_TOPIC_PREFIX}… must be a name too: ${nameProblem()}`);
    const { instancesMax } = this.#lane.options.services;
    if (this.#instanceCount >= instancesMax) {
      this.#lane.metrics[LaneMetric.instancesRefused]!++;
      throw new RelayError('LIMIT', 'the lane has all the instances that it may have', { instancesMax });
    }
    if (!this.#topics.hasRoomForOwn(topic)) {
      this.#lane.metrics[LaneMetric.topicsRefused]!++;
      throw new RelayError('LIMIT', 'no more topics', { topicsMax: this.#lane.options.topicsMax });
    }
  }

  #encode(id: string, service: string, registration: Registration, sinceMs: number, health: Health): Uint8Array {
    const { parsedVersion: _parsed, ...options } = registration;
    const stored: StoredRegistration = { service, id, sinceMs, health, options };
    const encoded = pack(stored);
    if (encoded.length > REGISTRATION_BYTES_MAX) {
      const facts = { bytes: encoded.length, bytesMax: REGISTRATION_BYTES_MAX };
      throw new RelayError('TOO_LARGE', 'the registration is too large: fewer or shorter methods and metadata', facts);
    }
    return encoded;
  }
}

function factsOf({ peer, registration }: Instance): object {
  const { version, methods, capacity, weight, metadata } = registration;
  return { client: peer.name, version, methods, capacity, weight, metadata };
}
