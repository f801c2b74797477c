/**
 * Commands on services: REGISTER, DEREGISTER, HEARTBEAT, SERVICES, CALL, CANCEL, RETURN and CREDIT.
 *
 * Thread: the lane's. Here a command is read and checked; what it does is the registry's (service-registry.ts) and the call table's (call-table.ts).
 */
import { RelayError } from '../../protocol/errors.ts';
import type { MessageHeader } from '../../protocol/header.ts';
import { matchesTokens } from '../../protocol/names.ts';
import { decodeOptions, hasNoOptions } from '../../protocol/options.ts';
import { SendFlag } from '../../protocol/records.ts';
import {
  type CallOptions,
  callOptions,
  cancelBody,
  creditBody,
  heartbeatOptions,
  isMoreOnly,
  METHOD_BYTES_MAX,
  MORE,
  registerOptions,
  returnOptions,
  servicesOptions,
  textStart,
} from '../../protocol/service-options.ts';
import { skipValue } from '../../protocol/skip.ts';
import type { LaneContext, LaneSession, OwnTopics } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import { denial, type SessionGrants } from '../session-grants.ts';
import { Call } from './call.ts';
import { CallTable } from './call-table.ts';
import { type Peer, Peers } from './peer.ts';
import type { Service } from './service.ts';
import { ServiceEvents } from './service-events.ts';
import { ServiceRegistry, serviceOf } from './service-registry.ts';
import { reportServices } from './service-report.ts';

/** Of one reply, as of HISTORY and PRESENCE. */
const REPLY_BYTES_MAX = 262_144;

export class ServiceCommands {
  readonly #lane: LaneContext;
  readonly #peers = new Peers();
  readonly #registry: ServiceRegistry;
  readonly #calls: CallTable;
  /** Of a CALL that brings none. */
  readonly #noCallOptions: CallOptions;

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    const events = new ServiceEvents(lane, topics);
    this.#calls = new CallTable(lane, events, (service) => this.#registry.dropIfIdle(service));
    this.#registry = new ServiceRegistry(lane, topics, events, this.#calls);
    const { callDeadlineMsDefault, callDeadlineMsMax } = lane.options.services;
    this.#noCallOptions = callOptions({}, callDeadlineMsDefault, callDeadlineMsMax);
  }

  // ---- who serves

  register(header: MessageHeader): void {
    const registration = registerOptions(this.#lane.optionMap(header));
    const name = this.#lane.keyText(header);
    this.#lane.demand('serve', name);
    const instance = this.#registry.register(this.#peer(), name, registration);
    const result = { instance: instance.id, leaseMs: this.#registry.leaseMsOf(instance) };
    this.#lane.out.ok(this.#lane.session, header.id, result, SendFlag.GOES_ON);
    this.#calls.strand(instance.service); // It may offer less than before.
    this.#calls.serve(instance);
  }

  deregister(header: MessageHeader): void {
    this.#registry.deregister(this.#peer(), this.#lane.keyText(header));
    this.#lane.out.ok(this.#lane.session, header.id, null);
  }

  heartbeat(header: MessageHeader): void {
    const options = heartbeatOptions(this.#lane.optionMap(header));
    const instance = this.#registry.heartbeat(this.#peer(), this.#lane.keyText(header), options);
    this.#lane.out.ok(this.#lane.session, header.id, { leaseMs: this.#registry.leaseMsOf(instance) }, SendFlag.GOES_ON);
    this.#calls.serve(instance);
  }

  /** SERVICES, asked of every lane. The front has checked its options. */
  query(header: MessageHeader, query: number): void {
    const { instances } = servicesOptions(this.#lane.optionMap(header));
    const name = this.#lane.keyText(header);
    const tokens = name.split('.');
    const asked = [...this.#registry.services].filter((service) => matchesTokens(tokens, service.name.split('.')));
    // A pattern is answered by all lanes, each with its share of the reply; a name by the one that has it.
    const isPattern = tokens.includes('*') || tokens.at(-1) === '>';
    const bytesMax = isPattern ? Math.floor(REPLY_BYTES_MAX / this.#lane.options.laneCount) : REPLY_BYTES_MAX;
    const report = reportServices(asked, instances, bytesMax);
    this.#lane.out.answer(query, report.services, report.truncated);
  }

  // ---- calls

  /** Hot. */
  call(header: MessageHeader, keyHash: number): void {
    const { bytes, end, session } = this.#lane;
    const methodAt = header.bodyStart;
    const methodStart = textStart(bytes, methodAt);
    const methodEnd = skipValue(bytes, methodAt, end);
    if (methodStart < 0 || methodEnd === methodStart || methodEnd - methodStart > METHOD_BYTES_MAX)
      throw new RelayError('BAD_REQUEST', `method must be a string of 1 to ${METHOD_BYTES_MAX} bytes`);
    let options = this.#noCallOptions;
    let payloadStart = methodEnd + 1;
    if (!hasNoOptions(bytes, methodEnd)) {
      payloadStart = skipValue(bytes, methodEnd, end);
      const { callDeadlineMsDefault, callDeadlineMsMax } = this.#lane.options.services;
      options = callOptions(decodeOptions(bytes, methodEnd, payloadStart), callDeadlineMsDefault, callDeadlineMsMax);
    }
    this.#checkPayload(end - payloadStart);
    const service = this.#registry.find(keyHash, bytes, header.keyStart, header.keyEnd);
    const grants = this.#lane.grants();
    if (grants !== null) {
      if (service === undefined) this.#lane.demand('call', this.#lane.keyText(header));
      else if (!grants.mayUse('call', service)) throw denial('call', service.name);
    }
    if (service === undefined) {
      this.#lane.metrics[LaneMetric.callsWithoutResponders]!++;
      const { retryAfterMs } = this.#lane.options.services;
      throw new RelayError('NO_RESPONDERS', undefined, { service: this.#lane.keyText(header), retryAfterMs });
    }
    const caller = this.#peers.find(session) ?? this.#peer();
    if (header.id === 0) this.#checkUnanswered(caller);
    else if (caller.calls.has(header.id)) throw new RelayError('CONFLICT', 'a call of that id is in flight');
    const method = this.#methodBytes(service, methodStart, methodEnd);
    const call = new Call(caller, header.id, service, method, options, this.#lane.nowMs, this.#lane.stampUs);
    this.#calls.begin(call, bytes, payloadStart, end);
  }

  /** Hot. Of a known method the bytes are there already. */
  #methodBytes(service: Service, start: number, end: number): Uint8Array {
    const { bytes } = this.#lane;
    const pool = service.poolOf(bytes, start, end);
    return service.isAnyPool(pool) ? bytes.slice(start, end) : pool.nameBytes;
  }

  cancel(header: MessageHeader, keyHash: number): void {
    const call = this.#own(header, keyHash, cancelBody(this.#lane.bytes, header.bodyStart));
    if (call !== undefined) this.#calls.cancel(call);
  }

  credit(header: MessageHeader, keyHash: number): void {
    const { id, count } = creditBody(this.#lane.bytes, header.bodyStart, this.#lane.end);
    const call = this.#own(header, keyHash, id);
    if (call !== undefined) this.#calls.credit(call, count);
  }

  /** The session's own call of that id, if it is one to that service. It may just have ended: that is no mistake of the caller's. */
  #own(header: MessageHeader, keyHash: number, id: number): Call | undefined {
    const call = this.#peers.find(this.#lane.session)?.calls.get(id);
    const service = this.#registry.find(keyHash, this.#lane.bytes, header.keyStart, header.keyEnd);
    return call !== undefined && call.service === service ? call : undefined;
  }

  /** Hot. */
  return(header: MessageHeader): void {
    const { bytes, end, session, metrics } = this.#lane;
    const callId = header.id;
    const call = this.#calls.find(callId);
    if (call === undefined) {
      metrics[LaneMetric.returnsLate]!++; // Its deadline, its caller or its lane was faster: nothing that the instance did wrong.
      return;
    }
    if (call.instance?.peer.session !== session) {
      metrics[LaneMetric.returnsForbidden]!++;
      throw new RelayError('FORBIDDEN', 'RETURN for a call that this session was not given', { callId });
    }
    const optionsAt = header.bodyStart;
    try {
      if (hasNoOptions(bytes, optionsAt)) {
        this.#checkPayload(end - optionsAt - 1);
        this.#calls.result(call, bytes, optionsAt + 1, end);
      } else if (isMoreOnly(bytes, optionsAt)) {
        this.#checkPayload(end - optionsAt - MORE.length);
        this.#calls.part(call, bytes, optionsAt + MORE.length, end);
      } else this.#returnWith(call, optionsAt);
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      // Whoever made it cannot be trusted to make a better one: its caller would wait until the deadline.
      this.#calls.badReturn(call, error);
      throw new RelayError(error.codeName, error.text, { callId, ...error.facts });
    }
  }

  #returnWith(call: Call, optionsAt: number): void {
    const { bytes, end } = this.#lane;
    const payloadStart = skipValue(bytes, optionsAt, end);
    const options = returnOptions(decodeOptions(bytes, optionsAt, payloadStart));
    switch (options.kind) {
      case 'heartbeat':
        this.#calls.heartbeat(call);
        return;
      case 'error':
        this.#calls.failed(call, options.error);
        return;
      case 'part':
        this.#checkPayload(end - payloadStart);
        this.#calls.part(call, bytes, payloadStart, end);
        return;
      case 'result':
        this.#checkPayload(end - payloadStart);
        this.#calls.result(call, bytes, payloadStart, end);
        return;
      default:
        return options satisfies never;
    }
  }

  // ---- sessions and time

  /** The session's rights have changed: calls that it may not make any more are cancelled, instances that it may not be are gone. */
  recheck(session: LaneSession, grants: SessionGrants): void {
    const peer = this.#peers.find(session.session);
    if (peer === undefined) return;
    for (const call of [...peer.calls.values(), ...peer.unanswered]) {
      // One that has ended meanwhile, with another's end, has had its answer.
      const goesOn = peer.calls.get(call.id) === call || peer.unanswered.has(call);
      if (goesOn && !grants.mayUse('call', call.service)) this.#calls.cancel(call, 'the right to call was taken away');
    }
    for (const name of [...peer.instances.keys()]) {
      if (grants.may('serve', name)) continue;
      this.#registry.deregister(peer, name);
      this.#lane.out.error(session.session, 0, denial('serve', name)); // It would wait for calls that do not come.
    }
  }

  sessionClosed(session: LaneSession): void {
    const peer = this.#peers.find(session.session);
    if (peer === undefined) return;
    this.#peers.remove(session.session);
    const gone = this.#registry.removeAll(peer);
    this.#calls.callerGone(peer);
    this.#calls.holderGone(peer);
    for (const { service } of gone) this.#calls.strand(service);
  }

  /** RESTORE_INSTANCE: `bytes[at, end)` is a registration as REGISTERED carried it. */
  restore(session: number, instance: number, at: number): void {
    this.#lane.session = session;
    const registration = this.#lane.bytes.subarray(at, this.#lane.end);
    const name = serviceOf(registration);
    if (this.#lane.grants()?.may('serve', name) === false) {
      // The right to it was taken away while no lane was there to see it.
      this.#lane.out.unregistered(session, instance);
      this.#lane.out.error(session, 0, denial('serve', name));
      return;
    }
    this.#registry.restore(this.#peer(), instance, registration);
  }

  /** RESTORE_END. */
  restored(): void {
    this.#registry.announceRestored();
  }

  tick(): void {
    const { metrics } = this.#lane;
    metrics[LaneMetric.services] = this.#registry.serviceCount;
    metrics[LaneMetric.instances] = this.#registry.instanceCount;
    metrics[LaneMetric.callsInFlight] = this.#calls.inFlightCount;
    metrics[LaneMetric.callsWaiting] = this.#calls.waitingCount;
  }

  // ---- parts of commands

  #peer(): Peer {
    return this.#peers.of(this.#lane.knownSession());
  }

  #checkPayload(payloadBytes: number): void {
    const { payloadBytesMax } = this.#lane.options.services;
    if (payloadBytes > payloadBytesMax)
      throw new RelayError('TOO_LARGE', 'payload is too large', { payloadBytes, payloadBytesMax });
  }

  #checkUnanswered({ unanswered }: Peer): void {
    const { callsPendingMax } = this.#lane.options.services;
    if (unanswered.size < callsPendingMax) return;
    this.#lane.metrics[LaneMetric.callsRefused]!++;
    throw new RelayError('LIMIT', 'the session has all the calls without an answer in flight that it may have', {
      callsPendingMax,
    });
  }
}
