/**
 * Services and calls of one lane as docs/protocol.md and docs/services.md describe them, for the oracle: who is given which call, and every message that
 * callers and instances must get of it, in order.
 *
 * Written with lists where the lane has tables by bytes and pools. What must hold whatever the rules say is asserted here as well: nobody is given a call after
 * its deadline or beyond his capacity, and nothing waits that could be served.
 */
import { hashBytes } from '../../src/base/hash.ts';
import { seededId } from '../../src/base/ids.ts';
import { Prng } from '../../src/base/prng.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';
import { CallLatency } from '../../src/lane/services/call-latency.ts';
import { type OutlierConfig, type ServiceConfig, ServiceConfigs } from '../../src/lane/services/service-config.ts';
import { pack, unpack } from '../../src/protocol/codec.ts';
import { WIRE_ERRORS, type WireErrorName } from '../../src/protocol/codes.ts';
import { compareVersions, parseRange, parseVersion, satisfies, type Version } from '../../src/protocol/semver.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { BreakerModel, type Outcome, outliersOf } from './breaker-model.ts';
import type { SimTimer } from './group-model.ts';

const CHOICES_STREAM = 0x0c401ce5;
const LIFE_CALLS = 0x1_0000_0000;
const CREDIT_MAX = 1_048_576;
const NAMES_TOLD_MAX = 8;
const WINDOW_DEFAULT = 64;
const OUTLIER_INSTANCES_MIN = 3;

export interface CallAsked {
  readonly deadlineMs?: number;
  readonly hashKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly idempotent?: boolean;
  readonly version?: string;
  readonly select?: Readonly<Record<string, unknown>>;
  readonly window?: number;
  readonly wait?: number;
}

export interface RegisterAsked {
  readonly version: string;
  readonly methods: readonly string[];
  readonly capacity?: number;
  readonly weight?: number;
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
  readonly idempotent?: true | readonly string[];
  readonly heartbeatMs?: number;
}

export interface ReturnAsked {
  readonly more?: unknown;
  readonly error?: { readonly code: string | number; readonly text: string; readonly details?: unknown };
  readonly heartbeat?: boolean;
}

export interface HeartbeatAsked {
  readonly load?: number;
  readonly health?: Health;
}

export type Health = 'ok' | 'degraded' | 'failing';

/** A message that a session must get of this lane, behind those before it. Of an ERROR only what stands here is compared: texts are not. */
export interface ServiceItem {
  readonly lane: number;
  readonly life: number;
  readonly frame: readonly unknown[];
}

/** What the services need of their lane. */
export interface ServiceLane {
  readonly index: number;
  readonly options: LaneOptions;
  readonly nowMs: number;
  nameOf(session: number): string;
  give(session: number, item: ServiceItem): void;
  at(dueMs: number, act: () => void): SimTimer;
  publish(topic: string, event: object): void;
  hasRoomFor(topic: string): boolean;
  fail(what: string): never;
}

/** What a command of a session is refused with, under its own id. */
export class CallRefused extends Error {
  readonly code: number;
  readonly details: object | null;

  constructor(name: WireErrorName, details: object | null = null) {
    super(name);
    this.code = WIRE_ERRORS[name].code;
    this.details = details;
  }
}

interface Registration {
  readonly version: string;
  readonly parsed: Version;
  readonly methods: readonly string[];
  readonly capacity: number;
  readonly weight: number;
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
  readonly idempotent: true | readonly string[];
  readonly heartbeatMs: number;
}

interface PeerModel {
  readonly session: number;
  readonly name: string;
  readonly calls: Map<number, CallModel>;
  readonly unanswered: Set<CallModel>;
  readonly held: Set<CallModel>;
  readonly instances: Map<string, InstanceModel>;
}

interface InstanceModel {
  readonly number: number;
  readonly id: string;
  readonly service: ServiceState;
  readonly peer: PeerModel;
  readonly sinceMs: number;
  readonly breaker: BreakerModel | null;
  registration: Registration;
  isRegistered: boolean;
  health: Health;
  load: number | null;
  leaseUntilMs: number;
  leaseTimer: SimTimer | null;
  breakerTimer: SimTimer | null;
  ejectTimer: SimTimer | null;
  ejections: number;
  inFlight: number;
  calls: number;
  errors: number;
  readonly latency: CallLatency;
  intervalCalls: number;
  intervalErrors: number;
  readonly intervalLatency: CallLatency;
  owed: number;
  chosenAt: number;
}

interface CallModel {
  callId: number;
  readonly caller: PeerModel;
  readonly id: number;
  readonly service: ServiceState;
  readonly method: string;
  readonly asked: CallAsked;
  readonly payload: unknown;
  readonly deadlineMs: number;
  instance: InstanceModel | null;
  /** On another instance, should this one be lost. Not once it has sent a part. */
  mayRunAgain: boolean;
  partsLeft: number;
  partsSent: number;
  attempts: number;
  startedMs: number;
  probe: number;
  timer: SimTimer | null;
}

interface ServiceState {
  readonly name: string;
  readonly config: ServiceConfig;
  /** In the order of their coming; who registers again comes last. */
  instances: InstanceModel[];
  /** By method; under `*` those that offer any. A method's list begins with those, as they were when it was first named. */
  readonly pools: Map<string, InstanceModel[]>;
  waiting: CallModel[];
  inFlight: number;
  calls: number;
  errors: number;
  readonly latency: CallLatency;
  choices: number;
  outlierTimer: SimTimer | null;
}

export class ServiceModel {
  readonly #lane: ServiceLane;
  readonly #prng: Prng;
  readonly #birth: string;
  readonly #configs: ServiceConfigs;
  readonly #peers = new Map<number, PeerModel>();
  readonly #services = new Map<string, ServiceState>();
  readonly #calls = new Map<number, CallModel>();
  readonly #restored: InstanceModel[] = [];
  /** Every registration that the front may have been told of, by instance. */
  readonly #stored: Map<string, string[]>;
  #nextInstance = 1;
  #nextCall: number;

  /** `stored`: shared by the lives of a lane. */
  constructor(lane: ServiceLane, stored: Map<string, string[]>) {
    this.#lane = lane;
    this.#stored = stored;
    const { seed, index, life, services } = lane.options;
    this.#prng = new Prng(seed, CHOICES_STREAM + index);
    this.#birth = `${seededId(this.#prng, 4)}-${index}-${life}`;
    this.#configs = new ServiceConfigs(services.rules);
    this.#nextCall = life * LIFE_CALLS + 1;
  }

  // ---- what the lane's gauges must say

  get serviceCount(): number {
    return this.#services.size;
  }
  get instanceCount(): number {
    return [...this.#services.values()].reduce((sum, { instances }) => sum + instances.length, 0);
  }
  get inFlightCount(): number {
    return this.#calls.size;
  }
  get waitingCount(): number {
    return [...this.#services.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** Null: not registered. */
  instanceOf(session: number, service: string): string | null {
    return this.#peers.get(session)?.instances.get(service)?.id ?? null;
  }

  // ---- who serves

  register(session: number, name: string, asked: RegisterAsked): object {
    const registration = registrationOf(asked);
    const peer = this.#peer(session);
    const { services } = this.#lane.options;
    let instance = peer.instances.get(name);
    if (instance === undefined) {
      if (this.instanceCount >= services.instancesMax) throw new CallRefused('LIMIT');
      if (!this.#lane.hasRoomFor(`$service.${name}`)) throw new CallRefused('LIMIT');
      const number = this.#nextInstance++;
      instance = this.#add(number, `${this.#birth}-${number}`, peer, name, registration, this.#lane.nowMs);
      this.#store(instance);
      this.#tell('registered', instance, factsOf(instance));
    } else {
      leavePools(instance);
      instance.registration = registration;
      enterPools(instance);
      this.#renew(instance);
      this.#store(instance);
      this.#tell('updated', instance, factsOf(instance));
    }
    this.#strand(instance.service);
    this.#serve(instance);
    return { instance: instance.id, leaseMs: this.#leaseMsOf(instance) };
  }

  deregister(session: number, name: string): void {
    const instance = this.#own(session, name);
    this.#remove(instance);
    this.#tell('deregistered', instance);
    this.#strand(instance.service);
  }

  heartbeat(session: number, name: string, { load, health }: HeartbeatAsked): object {
    const instance = this.#own(session, name);
    this.#renew(instance);
    if (load !== undefined) instance.load = load;
    if (health !== undefined && health !== instance.health) {
      instance.health = health;
      this.#store(instance);
      this.#tell('health', instance, { health, load: instance.load });
    }
    this.#serve(instance);
    return { leaseMs: this.#leaseMsOf(instance) };
  }

  /** A registration of a lane's earlier life, from the front's books: one that was made then, by a session that is there. */
  restore(session: number, number: number, bytes: Uint8Array): void {
    const stored = unpack(bytes) as {
      service: string;
      id: string;
      sinceMs: number;
      health: Health;
      options: RegisterAsked;
    };
    if (!(this.#stored.get(stored.id) ?? []).includes(storedText(session, stored.service, stored.health, stored.options)))
      this.#lane.fail(`a registration is restored that was never made: ${stored.service} ${stored.id} of session ${session}`);
    const peer = this.#peer(session);
    if (peer.instances.has(stored.service)) this.#lane.fail(`session ${session} serves ${stored.service} twice`);
    const instance = this.#add(number, stored.id, peer, stored.service, registrationOf(stored.options), stored.sinceMs);
    instance.health = stored.health;
    this.#nextInstance = Math.max(this.#nextInstance, number + 1);
    this.#restored.push(instance);
  }

  announce(): void {
    for (const instance of this.#restored.splice(0)) {
      if (instance.isRegistered) this.#tell('registered', instance, { ...factsOf(instance), afterRestart: true });
    }
  }

  // ---- calls

  /** Throws CallRefused where it ends at once. */
  call(session: number, id: number, name: string, method: string, asked: CallAsked, payload: unknown): void {
    const { services } = this.#lane.options;
    const { retryAfterMs, callsPendingMax, payloadBytesMax } = services;
    const payloadBytes = pack(payload).length;
    if (payloadBytes > payloadBytesMax) throw new CallRefused('TOO_LARGE', { payloadBytes, payloadBytesMax });
    const service = this.#services.get(name);
    if (service === undefined) throw new CallRefused('NO_RESPONDERS', { service: name, retryAfterMs });
    const caller = this.#peer(session);
    if (id === 0 && caller.unanswered.size >= callsPendingMax) throw new CallRefused('LIMIT', { callsPendingMax });
    if (id !== 0 && caller.calls.has(id)) this.#lane.fail(`the front let a second call ${id} of session ${session} through`);
    const call: CallModel = {
      callId: 0,
      caller,
      id,
      service,
      method,
      asked,
      payload,
      deadlineMs: this.#lane.nowMs + (asked.deadlineMs ?? services.callDeadlineMsDefault),
      instance: null,
      mayRunAgain: false,
      partsLeft: asked.window ?? WINDOW_DEFAULT,
      partsSent: 0,
      attempts: 0,
      startedMs: 0,
      probe: 0,
      timer: null,
    };
    const chosen = this.#choose(call);
    if (chosen === null && !poolOf(call).some((instance) => suits(instance, asked))) throw this.#nobody(call);
    if (this.inFlightCount + this.waitingCount >= services.callsMax)
      throw new CallRefused('OVERLOADED', { service: name, callsMax: services.callsMax, retryAfterMs });
    if (chosen === null) this.#wait(call);
    if (id === 0) caller.unanswered.add(call);
    else caller.calls.set(id, call);
    if (chosen !== null) this.#invoke(call, chosen);
  }

  cancel(session: number, name: string, id: number): void {
    const call = this.#peers.get(session)?.calls.get(id);
    if (call === undefined || call.service.name !== name) return;
    const { instance } = call;
    this.#drop(call);
    this.#answer(call, 'CANCELLED', {});
    if (instance !== null) this.#serve(instance);
  }

  credit(session: number, name: string, id: number, count: number): void {
    const call = this.#peers.get(session)?.calls.get(id);
    if (call === undefined || call.service.name !== name) return;
    const added = Math.min(count, CREDIT_MAX - call.partsLeft);
    if (added <= 0) return;
    call.partsLeft += added;
    if (call.instance !== null) this.#give(call.instance.peer.session, [MessageType.CREDITED, call.callId, added]);
  }

  return(session: number, callId: number, asked: ReturnAsked | null, payload: unknown): void {
    const call = this.#calls.get(callId);
    if (call === undefined) return;
    const instance = call.instance as InstanceModel;
    if (instance.peer.session !== session) {
      this.#giveError(session, 0, 'FORBIDDEN', { callId });
      return;
    }
    const { payloadBytesMax } = this.#lane.options.services;
    const isResult = asked === null || asked.more === true;
    const problem: WireErrorName | null =
      asked !== null && asked.more !== undefined && typeof asked.more !== 'boolean'
        ? 'BAD_REQUEST'
        : isResult && pack(payload).length > payloadBytesMax
          ? 'TOO_LARGE'
          : null;
    if (problem !== null) {
      this.#give(session, [MessageType.CANCELLED, callId]);
      this.#failedBy(call, { code: problem });
      this.#giveError(session, 0, problem, { callId });
    } else if (asked === null) {
      this.#done(call, 'ok');
      if (call.id !== 0) this.#give(call.caller.session, [MessageType.RESULT, call.id, false, payload]);
      this.#serve(instance);
    } else if (asked.error !== undefined) this.#failedBy(call, asked.error);
    else if (asked.heartbeat === true) {
      if (call.caller.name.startsWith('$lane-') && call.id !== 0)
        this.#give(call.caller.session, [MessageType.RESULT, call.id, true, null]);
    } else this.#part(call, payload);
  }

  #part(call: CallModel, payload: unknown): void {
    call.mayRunAgain = false;
    if (call.id === 0) return;
    if (call.partsLeft === 0) {
      this.#give((call.instance as InstanceModel).peer.session, [MessageType.CANCELLED, call.callId]);
      this.#failedBy(call, { code: 'FLOOD', details: { parts: call.partsSent } });
      return;
    }
    call.partsLeft--;
    call.partsSent++;
    this.#give(call.caller.session, [MessageType.RESULT, call.id, true, payload]);
  }

  #failedBy(call: CallModel, details: object): void {
    const instance = call.instance as InstanceModel;
    this.#done(call, 'error');
    this.#answer(call, 'SERVICE_ERROR', details);
    this.#serve(instance);
  }

  // ---- sessions

  sessionClosed(session: number): void {
    const peer = this.#peers.get(session);
    if (peer === undefined) return;
    this.#peers.delete(session);
    const gone = [...peer.instances.values()];
    for (const instance of gone) {
      this.#remove(instance);
      this.#tell('lost', instance);
    }
    const calls = [...peer.calls.values(), ...peer.unanswered];
    const held = calls.map(({ instance }) => instance);
    for (const call of calls) this.#drop(call);
    for (const instance of held) if (instance !== null) this.#serve(instance);
    for (const call of [...peer.held]) this.#lostAt(call);
    for (const { service } of gone) this.#strand(service);
  }

  /** After each record and timer: what holds then, whatever happened. */
  settle(): void {
    const { nowMs } = this.#lane;
    for (const service of this.#services.values()) {
      const { instances, inFlight, waiting } = service;
      if (instances.length === 0 && inFlight === 0 && waiting.length === 0) this.#services.delete(service.name);
      for (const call of waiting) {
        if ((call.timer as SimTimer).dueMs <= nowMs) continue;
        const able = poolOf(call).find((instance) => canTake(instance) && suits(instance, call.asked));
        if (able !== undefined) this.#lane.fail(`call ${call.id} of ${service.name} waits, and ${able.id} has room`);
        if (!poolOf(call).some((instance) => suits(instance, call.asked)))
          this.#lane.fail(`call ${call.id} of ${service.name} waits for something that nobody offers`);
      }
    }
  }

  // ---- SERVICES

  report(isAsked: (service: string) => boolean, withInstances: boolean): object[] {
    return [...this.#services.values()]
      .filter(({ name }) => isAsked(name))
      .map((service) => {
        const { instances } = service;
        const count = (health: Health): number => instances.filter((instance) => instance.health === health).length;
        const facts = {
          service: service.name,
          instances: instances.length,
          methods: methodsOf(service),
          versions: versionsOf(service),
          ok: count('ok'),
          degraded: count('degraded'),
          failing: count('failing'),
          inFlight: service.inFlight,
          waiting: service.waiting.length,
          calls: service.calls,
          errors: service.errors,
          p50Ms: service.latency.percentileMs(50),
          p99Ms: service.latency.percentileMs(99),
        };
        return withInstances ? { ...facts, list: instances.map(reportOf) } : facts;
      });
  }

  // ---- a call's way

  #choose(call: CallModel): InstanceModel | null {
    const able = poolOf(call).filter((instance) => canTake(instance) && suits(instance, call.asked));
    const healthy = able.filter(({ health }) => health === 'ok');
    const eligible = healthy.length > 0 ? healthy : able;
    if (eligible.length === 0) return null;
    const least = (rank: (instance: InstanceModel) => readonly number[]): InstanceModel =>
      [...eligible].sort((one, other) => compare(rank(one), rank(other)))[0] as InstanceModel;
    const { hashKey } = call.asked;
    const hashed = (key: string): InstanceModel => {
      const keyHash = hashText(key);
      return least(({ id, number }) => [-mixed(keyHash, hashText(id)), number]);
    };
    if (hashKey !== undefined) return hashed(hashKey);
    switch (call.service.config.balance) {
      case 'roundRobin':
        return least(({ chosenAt }) => [chosenAt]);
      case 'random':
        return this.#prng.pick(eligible);
      case 'sticky':
        return hashed(call.caller.name);
      case 'weighted': {
        for (const instance of eligible) instance.owed += instance.registration.weight;
        const chosen = least(({ owed }) => [-owed]);
        chosen.owed -= eligible.reduce((sum, { registration }) => sum + registration.weight, 0);
        return chosen;
      }
      default:
        return least(({ inFlight, chosenAt }) => [inFlight, chosenAt]);
    }
  }

  #invoke(call: CallModel, instance: InstanceModel): void {
    const { nowMs, options } = this.#lane;
    if (!canTake(instance)) this.#lane.fail(`${instance.id} is given a call, and cannot take it`);
    if (call.deadlineMs <= nowMs) this.#lane.fail(`call ${call.id} of ${call.service.name} is given out after its deadline`);
    call.callId = this.#nextCall++ * options.laneCount + options.index;
    call.instance = instance;
    call.attempts++;
    call.startedMs = nowMs;
    this.#calls.set(call.callId, call);
    instance.peer.held.add(call);
    const { service } = instance;
    instance.inFlight++;
    instance.calls++;
    instance.chosenAt = ++service.choices;
    service.inFlight++;
    service.calls++;
    if (instance.breaker !== null) call.probe = instance.breaker.begin();
    const { idempotent } = instance.registration;
    const isIdempotent = call.asked.idempotent === true || idempotent === true || idempotent.includes(call.method);
    call.mayRunAgain = isIdempotent && call.attempts <= service.config.retriesMax;
    call.timer ??= this.#lane.at(call.deadlineMs, () => this.#timedOut(call));
    const { headers } = call.asked;
    const how = {
      deadlineMs: Math.max(1, Math.floor(call.deadlineMs - nowMs)),
      caller: call.caller.name,
      ...(headers === undefined ? {} : { headers }),
      ...(call.partsLeft === WINDOW_DEFAULT ? {} : { window: call.partsLeft }),
    };
    this.#give(instance.peer.session, [MessageType.INVOKE, call.callId, service.name, call.method, how, call.payload]);
  }

  #wait(call: CallModel): void {
    const { service, asked, attempts } = call;
    const { waitMs, waitingMax } = service.config;
    const { retryAfterMs } = this.#lane.options.services;
    const longestMs = Math.min(asked.wait ?? Number.POSITIVE_INFINITY, waitMs);
    if (attempts === 0 && (longestMs === 0 || service.waiting.length >= waitingMax))
      throw new CallRefused('OVERLOADED', { service: service.name, waiting: service.waiting.length, retryAfterMs });
    call.callId = 0;
    call.instance = null;
    if (attempts > 0) service.waiting.unshift(call);
    else service.waiting.push(call);
    stop(call);
    call.timer = this.#lane.at(Math.min(this.#lane.nowMs + longestMs, call.deadlineMs), () => {
      call.timer = null;
      this.#leaveLine(call);
      this.#forget(call);
      if (call.attempts > 0) this.#answer(call, 'RESPONDER_LOST', this.#lostFacts(call));
      else this.#answer(call, 'OVERLOADED', { service: service.name, retryAfterMs });
    });
  }

  #leaveLine(call: CallModel): void {
    call.service.waiting = call.service.waiting.filter((other) => other !== call);
    stop(call);
  }

  #serve(instance: InstanceModel): void {
    for (const call of instance.service.waiting) {
      if (!canTake(instance)) return;
      if ((call.timer as SimTimer).dueMs <= this.#lane.nowMs) continue;
      if (!suits(instance, call.asked) || !offers(instance, call.method)) continue;
      this.#leaveLine(call);
      this.#invoke(call, instance);
    }
  }

  #strand(service: ServiceState): void {
    for (const call of [...service.waiting]) {
      if (poolOf(call).some((instance) => suits(instance, call.asked))) continue;
      this.#leaveLine(call);
      this.#forget(call);
      if (call.attempts > 0) this.#answer(call, 'RESPONDER_LOST', this.#lostFacts(call));
      else {
        const { code, details } = this.#nobody(call);
        this.#give(call.caller.session, [MessageType.ERROR, call.id, code, details]);
      }
    }
  }

  #timedOut(call: CallModel): void {
    const instance = call.instance as InstanceModel;
    call.timer = null;
    this.#give(instance.peer.session, [MessageType.CANCELLED, call.callId]);
    this.#done(call, 'error');
    const { services } = this.#lane.options;
    this.#answer(call, 'TIMEOUT', {
      service: call.service.name,
      method: call.method,
      deadlineMs: call.asked.deadlineMs ?? services.callDeadlineMsDefault,
    });
    this.#serve(instance);
  }

  #lostAt(call: CallModel): void {
    const mayRunAgain = call.mayRunAgain && call.deadlineMs > this.#lane.nowMs;
    this.#leave(call, 'error');
    if (mayRunAgain) {
      const next = this.#choose(call);
      if (next !== null) return this.#invoke(call, next);
      if (poolOf(call).some((other) => suits(other, call.asked))) return this.#wait(call);
    }
    this.#forget(call);
    this.#answer(call, 'RESPONDER_LOST', this.#lostFacts(call));
  }

  /** Without a merit or fault of its instance's. */
  #drop(call: CallModel): void {
    if (call.instance === null) {
      this.#leaveLine(call);
      this.#forget(call);
      return;
    }
    this.#give(call.instance.peer.session, [MessageType.CANCELLED, call.callId]);
    this.#done(call, 'neutral');
  }

  #done(call: CallModel, outcome: Outcome): void {
    this.#leave(call, outcome);
    this.#forget(call);
  }

  #leave(call: CallModel, outcome: Outcome): void {
    const instance = call.instance as InstanceModel;
    const { service, breaker } = instance;
    const { nowMs } = this.#lane;
    this.#calls.delete(call.callId);
    instance.peer.held.delete(call);
    instance.inFlight--;
    service.inFlight--;
    const tookMs = nowMs - call.startedMs;
    if (outcome === 'error') {
      instance.errors++;
      instance.intervalErrors++;
      service.errors++;
    }
    if (outcome !== 'neutral') {
      instance.intervalCalls++;
      instance.latency.record(tookMs);
      service.latency.record(tookMs);
      if (service.outlierTimer !== null) instance.intervalLatency.record(tookMs);
    }
    if (breaker?.end(call.probe, outcome, tookMs, nowMs) === true && instance.isRegistered)
      this.#breakerChanged(instance, breaker);
  }

  #forget(call: CallModel): void {
    stop(call);
    if (call.id === 0) call.caller.unanswered.delete(call);
    else call.caller.calls.delete(call.id);
  }

  // ---- instances

  #peer(session: number): PeerModel {
    let peer = this.#peers.get(session);
    if (peer === undefined) {
      const name = this.#lane.nameOf(session);
      peer = { session, name, calls: new Map(), unanswered: new Set(), held: new Set(), instances: new Map() };
      this.#peers.set(session, peer);
    }
    return peer;
  }

  #own(session: number, name: string): InstanceModel {
    const instance = this.#peers.get(session)?.instances.get(name);
    if (instance === undefined) throw new CallRefused('NOT_FOUND');
    return instance;
  }

  #add(number: number, id: string, peer: PeerModel, name: string, registration: Registration, sinceMs: number): InstanceModel {
    const service = this.#services.get(name) ?? newService(name, this.#configs.resolve(name));
    this.#services.set(name, service);
    const instance: InstanceModel = {
      number,
      id,
      service,
      peer,
      sinceMs,
      breaker: service.config.breaker === false ? null : new BreakerModel(service.config.breaker),
      registration,
      isRegistered: true,
      health: 'ok',
      load: null,
      leaseUntilMs: Number.POSITIVE_INFINITY,
      leaseTimer: null,
      breakerTimer: null,
      ejectTimer: null,
      ejections: 0,
      inFlight: 0,
      calls: 0,
      errors: 0,
      latency: new CallLatency(),
      intervalCalls: 0,
      intervalErrors: 0,
      intervalLatency: new CallLatency(),
      owed: 0,
      chosenAt: 0,
    };
    peer.instances.set(name, instance);
    enterPools(instance);
    const { outlier } = service.config;
    if (outlier !== false && service.outlierTimer === null && service.instances.length >= OUTLIER_INSTANCES_MIN)
      this.#planLook(service, outlier);
    this.#renew(instance);
    return instance;
  }

  #remove(instance: InstanceModel): void {
    const { service } = instance;
    instance.isRegistered = false;
    instance.peer.instances.delete(service.name);
    leavePools(instance);
    cancelTimer(instance.breakerTimer);
    cancelTimer(instance.ejectTimer);
    cancelTimer(instance.leaseTimer);
    if (service.instances.length >= OUTLIER_INSTANCES_MIN) return;
    cancelTimer(service.outlierTimer);
    service.outlierTimer = null;
  }

  #leaseMsOf({ registration }: InstanceModel): number {
    const { heartbeatMs } = registration;
    return heartbeatMs === 0 ? this.#lane.options.services.connectionLeaseMs : 3 * heartbeatMs;
  }

  #renew(instance: InstanceModel): void {
    if (instance.registration.heartbeatMs === 0) {
      cancelTimer(instance.leaseTimer);
      instance.leaseTimer = null;
      return;
    }
    instance.leaseUntilMs = this.#lane.nowMs + this.#leaseMsOf(instance);
    // The lane lets a timer that is due earlier run, and sets another then: the order among equals depends on it.
    if (instance.leaseTimer !== null && instance.leaseTimer.dueMs <= instance.leaseUntilMs) return;
    cancelTimer(instance.leaseTimer);
    this.#watchLease(instance);
  }

  #watchLease(instance: InstanceModel): void {
    instance.leaseTimer = this.#lane.at(instance.leaseUntilMs, () => {
      instance.leaseTimer = null;
      if (instance.leaseUntilMs > this.#lane.nowMs) return this.#watchLease(instance);
      this.#remove(instance);
      this.#tell('expired', instance, { leaseMs: this.#leaseMsOf(instance) });
      for (const call of [...instance.peer.held]) {
        if (call.instance !== instance) continue;
        this.#give(instance.peer.session, [MessageType.CANCELLED, call.callId]);
        this.#lostAt(call);
      }
      this.#strand(instance.service);
    });
  }

  #breakerChanged(instance: InstanceModel, breaker: BreakerModel): void {
    const { state, openUntilMs } = breaker;
    if (state !== 'open') return this.#tell('breaker', instance, { state });
    instance.breakerTimer = this.#lane.at(openUntilMs, () => {
      breaker.tryAgain();
      this.#tell('breaker', instance, { state: breaker.state });
      this.#serve(instance);
    });
    this.#tell('breaker', instance, { state, openMs: Math.round(openUntilMs - this.#lane.nowMs) });
  }

  #planLook(service: ServiceState, config: OutlierConfig): void {
    for (const instance of service.instances) resetInterval(instance);
    service.outlierTimer = this.#lane.at(this.#lane.nowMs + config.intervalMs, () => {
      this.#look(service, config);
      this.#planLook(service, config);
    });
  }

  #look(service: ServiceState, config: OutlierConfig): void {
    const judged = service.instances.filter(({ ejectTimer }) => ejectTimer === null);
    const outliers = outliersOf(
      judged.map((instance) => ({
        calls: instance.intervalCalls,
        errors: instance.intervalErrors,
        p50Ms: instance.intervalLatency.percentileMs(50),
      })),
      config,
    );
    judged.forEach((instance, index) => {
      if (instance.ejections > 0 && !outliers.some((outlier) => outlier.index === index)) instance.ejections--;
    });
    const { length: count } = service.instances;
    const most = config.maxEjectedPercent === 0 ? 0 : Math.max(1, Math.floor((count * config.maxEjectedPercent) / 100));
    for (const { index, reason, value, median } of outliers.slice(0, Math.max(0, most - (count - judged.length)))) {
      const instance = judged[index] as InstanceModel;
      const ejectMs = Math.min(config.ejectMs * 2 ** instance.ejections, config.ejectMsMax);
      instance.ejections++;
      instance.ejectTimer = this.#lane.at(this.#lane.nowMs + ejectMs, () => {
        instance.ejectTimer = null;
        resetInterval(instance);
        this.#tell('restored', instance);
        this.#serve(instance);
      });
      this.#tell('ejected', instance, { reason, value, median, ejectMs });
    }
  }

  // ---- telling

  #tell(kind: string, instance: InstanceModel, facts: object = {}): void {
    this.#lane.publish(`$service.${instance.service.name}`, { kind, instance: instance.id, atMs: this.#lane.nowMs, ...facts });
  }

  #give(session: number, frame: readonly unknown[]): void {
    this.#lane.give(session, { lane: this.#lane.index, life: this.#lane.options.life, frame });
  }

  #giveError(session: number, id: number, name: WireErrorName, details: object): void {
    this.#give(session, [MessageType.ERROR, id, WIRE_ERRORS[name].code, details]);
  }

  #answer({ caller, id }: CallModel, name: WireErrorName, details: object): void {
    this.#giveError(caller.session, id, name, details);
  }

  #lostFacts({ service, method, attempts }: CallModel): object {
    return { service: service.name, method, attempts };
  }

  #nobody(call: CallModel): CallRefused {
    const { service, method } = call;
    const { retryAfterMs } = this.#lane.options.services;
    const facts = { service: service.name, method, instances: service.instances.length, retryAfterMs };
    if (service.instances.length === 0) return new CallRefused('NO_RESPONDERS', facts);
    const there = poolOf(call).length === 0 ? { methods: someOf(methodsOf(service)) } : { versions: someOf(versionsOf(service)) };
    return new CallRefused('NO_RESPONDERS', { ...facts, ...there });
  }

  #store(instance: InstanceModel): void {
    const { id, peer, service, health, registration } = instance;
    const texts = this.#stored.get(id) ?? [];
    this.#stored.set(id, texts);
    texts.push(storedText(peer.session, service.name, health, registration));
  }
}

// ---- rules of one instance

function canTake({ inFlight, registration, isRegistered, health, ejectTimer, breaker }: InstanceModel): boolean {
  const isShut = ejectTimer !== null || (breaker !== null && !breaker.allows);
  return isRegistered && !isShut && health !== 'failing' && inFlight < registration.capacity;
}

function suits({ registration }: InstanceModel, { version, select }: CallAsked): boolean {
  const range = version === undefined ? null : parseRange(version);
  if (range !== null && !satisfies(registration.parsed, range)) return false;
  return Object.entries(select ?? {}).every(([key, value]) => registration.metadata[key] === value);
}

function offers({ registration }: InstanceModel, method: string): boolean {
  return registration.methods.includes(method) || registration.methods.includes('*');
}

function poolOf({ service, method }: CallModel): readonly InstanceModel[] {
  return service.pools.get(method) ?? service.pools.get('*') ?? [];
}

function enterPools(instance: InstanceModel): void {
  const { service, registration } = instance;
  service.instances.push(instance);
  const any = service.pools.get('*') ?? [];
  for (const method of registration.methods)
    if (!service.pools.has(method)) service.pools.set(method, method === '*' ? [] : [...any]);
  for (const [method, pool] of service.pools)
    if (method === '*' ? registration.methods.includes('*') : offers(instance, method)) pool.push(instance);
}

function leavePools(instance: InstanceModel): void {
  const { service } = instance;
  service.instances = service.instances.filter((other) => other !== instance);
  for (const [method, pool] of service.pools) {
    service.pools.set(
      method,
      pool.filter((other) => other !== instance),
    );
  }
  const anyCount = service.pools.get('*')?.length ?? 0;
  for (const [method, pool] of service.pools) if (method !== '*' && pool.length === anyCount) service.pools.delete(method);
}

function newService(name: string, config: ServiceConfig): ServiceState {
  return {
    name,
    config,
    instances: [],
    pools: new Map(),
    waiting: [],
    inFlight: 0,
    calls: 0,
    errors: 0,
    latency: new CallLatency(),
    choices: 0,
    outlierTimer: null,
  };
}

function registrationOf(asked: RegisterAsked): Registration {
  const { version, methods, capacity = 64, weight = 1, metadata = {}, idempotent = [], heartbeatMs = 0 } = asked;
  return {
    version,
    parsed: parseVersion(version) as Version,
    methods: [...new Set(methods)],
    capacity,
    weight,
    metadata,
    idempotent,
    heartbeatMs,
  };
}

function storedText(session: number, service: string, health: Health, registration: RegisterAsked | Registration): string {
  const { version, methods, capacity, weight, metadata, idempotent, heartbeatMs } = registrationOf(registration);
  return JSON.stringify([session, service, health, version, methods, capacity, weight, metadata, idempotent, heartbeatMs]);
}

function resetInterval(instance: InstanceModel): void {
  instance.intervalCalls = instance.intervalErrors = 0;
  instance.intervalLatency.reset();
}

function factsOf({ peer, registration }: InstanceModel): object {
  const { version, methods, capacity, weight, metadata } = registration;
  return { client: peer.name, version, methods, capacity, weight, metadata };
}

function reportOf(instance: InstanceModel): object {
  const { version, methods, capacity, weight, metadata } = instance.registration;
  return {
    instance: instance.id,
    client: instance.peer.name,
    version,
    methods,
    capacity,
    weight,
    metadata,
    health: instance.health,
    load: instance.load,
    inFlight: instance.inFlight,
    calls: instance.calls,
    errors: instance.errors,
    p50Ms: instance.latency.percentileMs(50),
    p99Ms: instance.latency.percentileMs(99),
    breaker: instance.breaker?.state ?? 'closed',
    ejected: instance.ejectTimer !== null,
    sinceMs: instance.sinceMs,
  };
}

function methodsOf({ instances }: ServiceState): string[] {
  return [...new Set(instances.flatMap(({ registration }) => registration.methods))].sort();
}

function versionsOf({ instances }: ServiceState): string[] {
  const parsed = new Map(instances.map(({ registration }) => [registration.version, registration.parsed]));
  return [...parsed].sort(([, one], [, other]) => compareVersions(one, other)).map(([text]) => text);
}

function someOf(names: readonly string[]): string {
  const told = names.slice(0, NAMES_TOLD_MAX).join(' ');
  return names.length > NAMES_TOLD_MAX ? `${told} …` : told;
}

function stop(call: CallModel): void {
  cancelTimer(call.timer);
  call.timer = null;
}

function cancelTimer(timer: SimTimer | null): void {
  if (timer !== null) timer.act = null;
}

function compare(one: readonly number[], other: readonly number[]): number {
  for (let index = 0; index < one.length; index++) {
    const difference = (one[index] as number) - (other[index] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function mixed(keyHash: number, idHash: number): number {
  let hash = Math.imul(keyHash, 0x9e3779b1) ^ idHash;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hashText(text: string): number {
  const bytes = new TextEncoder().encode(text);
  return hashBytes(bytes, 0, bytes.length);
}
