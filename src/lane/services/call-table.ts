/**
 * Calls: from CALL to the last answer, over the instance that is chosen, whatever becomes of it, its caller and its time.
 *
 *   begin ──► given to an instance ──► part, part … ──► result, error
 *     │            │        ▲
 *     ▼            ▼ lost   │ room
 *   waits ◄── may run again ┘            every one of them ends at its deadline, with its caller, or when it is cancelled
 *
 * Thread: the lane's. A call has exactly one last answer, with CALL_DONE: the front counts on it.
 * What waits is served as soon as any instance has room that offers what it wants, so that nothing that waits could be served now.
 */
import { elapsedUs } from '../../base/clock.ts';
import { packMessage } from '../../protocol/codec.ts';
import { WIRE_ERRORS } from '../../protocol/codes.ts';
import { type ErrorFacts, RelayError, withFacts } from '../../protocol/errors.ts';
import { SendFlag } from '../../protocol/records.ts';
import type { ServiceFailure } from '../../protocol/service-options.ts';
import { MessageType } from '../../protocol/types.ts';
import type { LaneContext } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import { Balancer, suits } from './balancer.ts';
import type { CallOutcome } from './breaker.ts';
import type { Call } from './call.ts';
import type { Instance } from './instance.ts';
import { InstanceWatch } from './instance-watch.ts';
import type { Peer } from './peer.ts';
import { methodText, type Service } from './service.ts';
import type { ServiceEvents } from './service-events.ts';

/** Credit that a caller may have given at a time: what it asks for beyond is not counted. */
const PARTS_LEFT_MAX = 1_048_576;
/** Numbers of calls that one life of a lane may give out. */
const LIFE_CALLS = 0x1_0000_0000;
/** Names listed in a NO_RESPONDERS. */
const NAMES_TOLD_MAX = 8;

/** `nil`, as a payload. */
const NIL = Uint8Array.of(0xc0);

export class CallTable {
  readonly watch: InstanceWatch;
  readonly #lane: LaneContext;
  readonly #balancer: Balancer;
  readonly #onIdle: (service: Service) => void;
  readonly #byCallId = new Map<number, Call>();
  #waitingCount = 0;
  /** `(life * 2^32 + n) * laneCount + lane`: the lane can be read from it, and no life of a lane uses the numbers of another. */
  #nextNumber: number;

  /** `onIdle`: the service may have nothing left to keep it for. */
  constructor(lane: LaneContext, events: ServiceEvents, onIdle: (service: Service) => void) {
    this.#lane = lane;
    this.#balancer = new Balancer(lane.prng);
    this.#onIdle = onIdle;
    this.watch = new InstanceWatch(lane, events, (instance) => this.serve(instance));
    // Numbers stay exact: after so many replacements that they would not, they begin anew.
    const livesMax = Math.floor(Number.MAX_SAFE_INTEGER / LIFE_CALLS / lane.options.laneCount) - 1;
    this.#nextNumber = (lane.options.life % livesMax) * LIFE_CALLS + 1;
  }

  get inFlightCount(): number {
    return this.#byCallId.size;
  }
  get waitingCount(): number {
    return this.#waitingCount;
  }

  /** Hot. The call that this number stands for now. */
  find(callId: number): Call | undefined {
    return this.#byCallId.get(callId);
  }

  // ---- begin

  /** Hot. The payload is `bytes[from, to)` of the record that is being handled. Throws where the call cannot even wait. */
  begin(call: Call, bytes: Uint8Array, from: number, to: number): void {
    const { service, caller, methodBytes } = call;
    const pool = service.poolOf(methodBytes, 0, methodBytes.length).instances;
    const instance = this.#balancer.choose(pool, call);
    if (instance === null && !pool.some((candidate) => suits(candidate, call.options))) throw this.#noResponders(call);
    if (this.#byCallId.size + this.#waitingCount >= this.#lane.options.services.callsMax) {
      this.#lane.metrics[LaneMetric.callsRefused]!++;
      throw this.#overloaded(call, 'the lane has all the calls that it may have', {
        callsMax: this.#lane.options.services.callsMax,
      });
    }
    if (instance === null) this.#wait(call, bytes.slice(from, to), false);
    if (call.id === 0) caller.unanswered.add(call);
    else caller.calls.set(call.id, call);
    this.#lane.metrics[LaneMetric.calls]!++;
    if (instance !== null) this.#give(call, instance, bytes, from, to);
  }

  /** Hot. */
  #give(call: Call, instance: Instance, bytes: Uint8Array, from: number, to: number): void {
    const { out, timers, nowMs, options } = this.#lane;
    call.callId = this.#nextNumber++ * options.laneCount + options.index;
    call.instance = instance;
    if (call.attempts++ > 0) this.#lane.metrics[LaneMetric.callsRetried]!++;
    call.startedMs = nowMs;
    this.#byCallId.set(call.callId, call);
    instance.peer.held.add(call);
    this.watch.begin(instance, call);
    call.payload = this.#mayRunAgain(call, instance) ? (call.payload ?? bytes.slice(from, to)) : null;
    call.timer ??= timers.set(call.deadlineMs, () => this.#timedOut(call)); // There already where it runs again.
    out.invoke(instance.peer.session, call, Math.max(1, Math.floor(call.deadlineMs - nowMs)), bytes, from, to);
  }

  #mayRunAgain(call: Call, instance: Instance): boolean {
    if (call.attempts > call.service.config.retriesMax) return false;
    const { idempotent } = instance.registration;
    if (call.options.idempotent || idempotent === true) return true;
    return idempotent.length > 0 && idempotent.includes(methodText(call));
  }

  // ---- waiting

  /** `first`: it has been given to an instance before, so it is older than all that wait. */
  #wait(call: Call, payload: Uint8Array, first: boolean): void {
    const { service, options, attempts } = call;
    const { waitMs, waitingMax } = service.config;
    const longestMs = Math.min(options.waitMs, waitMs);
    if (attempts === 0 && longestMs === 0) throw this.#refused(call, 'no instance has room', {});
    if (attempts === 0 && service.waiting.size >= waitingMax)
      throw this.#refused(call, 'no instance has room, and as many calls wait as may', { waitingMax });
    call.payload = payload;
    call.callId = 0;
    call.instance = null;
    if (first) service.waiting = new Set([call, ...service.waiting]);
    else service.waiting.add(call);
    this.#waitingCount++;
    const { timers, nowMs } = this.#lane;
    timers.cancel(call.timer);
    call.timer = timers.set(Math.min(nowMs + longestMs, call.deadlineMs), () => this.#waitedInVain(call));
  }

  #waitedInVain(call: Call): void {
    call.timer = null;
    this.#stopWaiting(call);
    this.#forget(call);
    const waitedMs = Math.min(call.options.waitMs, call.service.config.waitMs);
    if (call.attempts > 0) this.#fail(call, this.#lost(call));
    else this.#fail(call, this.#refused(call, 'no instance had room in time', { waitedMs }));
    this.#onIdle(call.service);
  }

  #stopWaiting(call: Call): void {
    if (call.service.waiting.delete(call)) this.#waitingCount--;
    this.#lane.timers.cancel(call.timer); // That of waiting; the deadline's is another.
    call.timer = null;
  }

  /** The instance may have room: to those that wait, in their order. */
  serve(instance: Instance): void {
    const { waiting } = instance.service;
    if (waiting.size === 0) return;
    for (const call of waiting) {
      if (!instance.canTake) return;
      // Its timer is due, and says so right after this.
      if (call.timer === null || call.timer.dueMs <= this.#lane.nowMs) continue;
      if (!suits(instance, call.options) || !instance.offers(methodText(call))) continue;
      const payload = call.payload as Uint8Array;
      this.#stopWaiting(call);
      this.#give(call, instance, payload, 0, payload.length);
    }
  }

  /** An instance is no longer what it was: whoever waits for something that nobody offers any more is told at once. */
  strand(service: Service): void {
    for (const call of [...service.waiting]) {
      const pool = service.poolOf(call.methodBytes, 0, call.methodBytes.length).instances;
      if (pool.some((instance) => suits(instance, call.options))) continue;
      this.#stopWaiting(call);
      this.#forget(call);
      this.#fail(call, call.attempts > 0 ? this.#lost(call) : this.#noResponders(call));
    }
    this.#onIdle(service);
  }

  // ---- what the instance returns. The caller of these has made sure that it is the instance's session that speaks.

  /** Hot. The last result: `bytes[from, to)`. */
  result(call: Call, bytes: Uint8Array, from: number, to: number): void {
    const instance = this.#done(call, 'ok');
    if (call.id !== 0) this.#lane.out.result(call.caller.session, SendFlag.CALL_DONE, call.id, false, bytes, from, to);
    this.#free(instance);
  }

  /** Hot. One part of the result; others follow. */
  part(call: Call, bytes: Uint8Array, from: number, to: number): void {
    call.payload = null; // It has begun to answer: it will not run again.
    if (call.id === 0) return;
    if (call.partsLeft === 0) {
      this.#lane.metrics[LaneMetric.streamsFlooded]!++;
      const text = 'the instance flooded its stream: it sent a part that the caller had no room for';
      this.#abandon(call, { code: 'FLOOD', text, details: { parts: call.partsSent } });
      return;
    }
    call.partsLeft--;
    call.partsSent++;
    this.#lane.metrics[LaneMetric.callParts]!++;
    this.#lane.out.result(call.caller.session, 0, call.id, true, bytes, from, to);
  }

  /** A sign of life. Only a workflow's lane wants to hear of it. */
  heartbeat(call: Call): void {
    if (call.caller.isLane && call.id !== 0) this.#lane.out.result(call.caller.session, 0, call.id, true, NIL, 0, 1);
  }

  /** The instance says that it failed. */
  failed(call: Call, failure: ServiceFailure): void {
    const instance = this.#done(call, 'error');
    this.#serviceError(call, failure);
    this.#free(instance);
  }

  /** The instance has broken the rules: the call ends, and it is told to stop. */
  #abandon(call: Call, failure: ServiceFailure): void {
    this.#cancelAt(call);
    this.failed(call, failure);
  }

  /** What the instance returned cannot be handed on. */
  badReturn(call: Call, problem: RelayError): void {
    this.#abandon(call, { code: problem.codeName, text: `the instance's answer was refused: ${problem.message}` });
  }

  // ---- what the caller does

  /** The caller does not want it any more, or may not have it any more. */
  cancel(call: Call, why = 'cancelled by the caller'): void {
    this.#drop(call);
    this.#lane.metrics[LaneMetric.callsCancelled]!++;
    this.#fail(call, new RelayError('CANCELLED', why));
    this.#freeOf(call);
  }

  credit(call: Call, count: number): void {
    const added = Math.min(count, PARTS_LEFT_MAX - call.partsLeft);
    if (added <= 0) return;
    call.partsLeft += added;
    const { instance, callId } = call;
    // One that waits says it with its INVOKE.
    if (instance !== null) this.#lane.out.frame(instance.peer.session, packMessage(MessageType.CREDITED, callId, added));
  }

  /** The caller is gone: nobody is there to be answered. */
  callerGone(caller: Peer): void {
    const calls = [...caller.calls.values(), ...caller.unanswered];
    this.#lane.metrics[LaneMetric.callsCancelled]! += calls.length;
    for (const call of calls) this.#drop(call);
    for (const call of calls) this.#freeOf(call); // Now that none of its own waits any more.
  }

  /** Ends it without a merit or fault of its instance's. */
  #drop(call: Call): void {
    if (call.instance === null) {
      this.#stopWaiting(call);
      this.#forget(call);
    } else {
      this.#cancelAt(call);
      this.#done(call, 'neutral');
    }
  }

  // ---- what time and death do

  #timedOut(call: Call): void {
    call.timer = null;
    this.#lane.metrics[LaneMetric.callsTimedOut]!++;
    this.#cancelAt(call);
    const instance = this.#done(call, 'error');
    const facts = { service: call.service.name, method: methodText(call), deadlineMs: call.options.deadlineMs };
    this.#fail(call, new RelayError('TIMEOUT', undefined, facts));
    this.#free(instance);
  }

  /**
   * The instance is gone, and no longer among those that can be chosen: its calls run again where they may, or fail. `isHere`: its session still is,
   * and is told to stop.
   */
  instanceGone(instance: Instance, isHere: boolean): void {
    for (const call of [...instance.peer.held]) {
      if (call.instance !== instance) continue;
      if (isHere) this.#cancelAt(call);
      this.#lostAt(call, instance);
    }
    this.strand(instance.service);
  }

  /** The session is gone, with whatever it was working on, for instances that it had taken back too. */
  holderGone(holder: Peer): void {
    for (const call of [...holder.held]) this.#lostAt(call, call.instance as Instance);
  }

  #lostAt(call: Call, instance: Instance): void {
    this.#lane.metrics[LaneMetric.callsLost]!++;
    const { payload } = call;
    if (payload === null || call.deadlineMs <= this.#lane.nowMs) {
      this.#done(call, 'error');
      this.#fail(call, this.#lost(call));
      this.#onIdle(call.service);
      return;
    }
    this.#leave(call, instance, 'error');
    const { service, methodBytes } = call;
    const pool = service.poolOf(methodBytes, 0, methodBytes.length).instances;
    const next = this.#balancer.choose(pool, call);
    if (next !== null) this.#give(call, next, payload, 0, payload.length);
    else if (pool.some((candidate) => suits(candidate, call.options))) this.#wait(call, payload, true);
    else {
      this.#forget(call);
      this.#fail(call, this.#lost(call));
      this.#onIdle(service);
    }
  }

  // ---- bookkeeping

  /** Hot. The call is over, whatever its caller will be told; the instance it was with. */
  #done(call: Call, outcome: CallOutcome): Instance {
    const instance = call.instance as Instance;
    const { stampUs, latencies } = this.#lane; // Not 0: a RETURN ends it.
    if (stampUs !== 0 && outcome !== 'neutral') latencies.call.record(elapsedUs(call.stampUs, stampUs));
    this.#leave(call, instance, outcome);
    this.#forget(call);
    return instance;
  }

  /** Hot. The instance has nothing to do with it any more. */
  #leave(call: Call, instance: Instance, outcome: CallOutcome): void {
    this.#byCallId.delete(call.callId);
    instance.peer.held.delete(call);
    this.watch.end(instance, call, outcome);
  }

  /** Hot. The caller does not have it any more. */
  #forget(call: Call): void {
    this.#lane.timers.cancel(call.timer);
    call.timer = null;
    call.payload = null;
    if (call.id === 0) call.caller.unanswered.delete(call);
    else call.caller.calls.delete(call.id);
  }

  /** Hot. An instance has one call less. */
  #free(instance: Instance): void {
    this.serve(instance);
    if (instance.service.isIdle) this.#onIdle(instance.service);
  }

  #freeOf({ instance, service }: Call): void {
    if (instance === null) this.#onIdle(service);
    else this.#free(instance);
  }

  #cancelAt({ instance, callId }: Call): void {
    if (instance !== null) this.#lane.out.frame(instance.peer.session, packMessage(MessageType.CANCELLED, callId));
  }

  // ---- answers

  #fail(call: Call, error: RelayError): void {
    this.#lane.out.error(call.caller.session, call.id, error, SendFlag.CALL_DONE);
  }

  /** Its details are the service's own, of any shape: no RelayError carries them. */
  #serviceError(call: Call, { code, text, details }: ServiceFailure): void {
    this.#lane.metrics[LaneMetric.callsFailed]!++;
    const problem = withFacts(text === '' ? WIRE_ERRORS.SERVICE_ERROR.text : text, { code });
    const facts = details === undefined ? { code, text } : { code, text, details };
    const frame = packMessage(MessageType.ERROR, call.id, WIRE_ERRORS.SERVICE_ERROR.code, problem, facts);
    this.#lane.out.frame(call.caller.session, frame, SendFlag.CALL_DONE);
  }

  #lost(call: Call): RelayError {
    const facts = { service: call.service.name, method: methodText(call), attempts: call.attempts };
    return new RelayError('RESPONDER_LOST', undefined, facts);
  }

  #refused(call: Call, text: string, facts: ErrorFacts): RelayError {
    this.#lane.metrics[LaneMetric.callsOverloaded]!++;
    return this.#overloaded(call, text, facts);
  }

  #overloaded({ service }: Call, text: string, facts: ErrorFacts): RelayError {
    const { retryAfterMs } = this.#lane.options.services;
    return new RelayError('OVERLOADED', text, { service: service.name, waiting: service.waiting.size, ...facts, retryAfterMs });
  }

  /** Says what there is instead, so that a wrong version is not taken for a service that is down. */
  #noResponders(call: Call): RelayError {
    this.#lane.metrics[LaneMetric.callsWithoutResponders]!++;
    const { service, options } = call;
    const { retryAfterMs } = this.#lane.options.services;
    const facts = { service: service.name, method: methodText(call), instances: service.instances.size, retryAfterMs };
    const pool = service.poolOf(call.methodBytes, 0, call.methodBytes.length).instances;
    if (service.instances.size === 0) return new RelayError('NO_RESPONDERS', undefined, facts);
    if (pool.length === 0)
      return new RelayError('NO_RESPONDERS', 'no instance of the service offers the method', {
        ...facts,
        methods: someOf(service.methodNames),
      });
    const wanted = options.select === null ? 'version' : options.version === null ? 'metadata' : 'version and metadata';
    const text = `no instance that offers the method has the ${wanted} that the call asks for`;
    return new RelayError('NO_RESPONDERS', text, { ...facts, versions: someOf(service.versions) });
  }
}

function someOf(names: readonly string[]): string {
  const told = names.slice(0, NAMES_TOLD_MAX).join(' ');
  return names.length > NAMES_TOLD_MAX ? `${told} …` : told;
}
