/**
 * The lane: a deterministic state machine over the topics, services and workflow runs whose names hash to it.
 *
 * `handle(record, now)` in, records out. No clock, no randomness (epochs come from the seed), no thread and no socket of its own, so the
 * same code runs in a worker behind rings, inline on the front, and under the simulator. One owner: nobody else touches its state.
 *
 * Here: records to the part that they are for. Input that a peer can cause is answered with a wire error. Anything else that throws is corrupt
 * state: the pool replaces the lane.
 */
import { assert } from '../base/assert.ts';
import { unpack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import { MessageHeader, readHeader } from '../protocol/header.ts';
import {
  COMMAND_HEAD_BYTES,
  type Egress,
  IngressKind,
  LANE_SESSION_PREFIX,
  PAIR_HEAD_BYTES,
  RELAY_SESSION_ID,
  RESTORE_HEAD_BYTES,
  RESUME_HEAD_BYTES,
  SESSION_HEAD_BYTES,
  SendFlag,
} from '../protocol/records.ts';
import { MessageType, SPEC_BY_TYPE } from '../protocol/types.ts';
import type { LaneLatencies } from '../telemetry/stages.ts';
import { LaneContext } from './lane-context.ts';
import { LaneMetric } from './lane-metrics.ts';
import type { LaneOptions } from './lane-options.ts';
import { ServiceCommands } from './services/service-commands.ts';
import { SharedGrants } from './session-grants.ts';
import { TopicCommands } from './topic-commands.ts';
import { WorkflowCommands } from './workflows/workflow-commands.ts';

export class Lane {
  readonly #lane: LaneContext;
  readonly #topics: TopicCommands;
  readonly #services: ServiceCommands;
  readonly #workflows: WorkflowCommands;
  readonly #grants = new SharedGrants();
  readonly #header = new MessageHeader();

  constructor(options: LaneOptions, egress: Egress, metrics: Float64Array, latencies?: LaneLatencies) {
    this.#lane = new LaneContext(options, egress, metrics, latencies);
    this.#topics = new TopicCommands(this.#lane);
    this.#services = new ServiceCommands(this.#lane, this.#topics);
    this.#workflows = new WorkflowCommands(this.#lane, this.#topics);
  }

  /** When `runTimers` has something to do; Infinity when nothing is planned. */
  get nextTimerMs(): number {
    return this.#lane.timers.nextDueMs;
  }

  /** Hot. One ingress record: `bytes[start, start + length)`, valid during the call. */
  handle(kind: number, bytes: Uint8Array, view: DataView, start: number, length: number, nowMs: number): void {
    const lane = this.#lane;
    lane.nowMs = nowMs;
    lane.bytes = bytes;
    lane.end = start + length;
    switch (kind) {
      case IngressKind.COMMAND:
        lane.session = view.getUint32(start, true);
        lane.stampUs = view.getUint32(start + 8, true);
        this.#command(start + COMMAND_HEAD_BYTES, view.getUint32(start + 4, true), 0);
        lane.stampUs = 0;
        return;
      case IngressKind.PATTERN_COMMAND:
        lane.session = view.getUint32(start, true);
        this.#command(start + COMMAND_HEAD_BYTES, 0, view.getUint32(start + 4, true));
        return;
      case IngressKind.SESSION_OPEN:
        this.#openSession(view.getUint32(start, true), start + SESSION_HEAD_BYTES);
        return;
      case IngressKind.SESSION_CLOSE:
        this.#closeSession(view.getUint32(start, true), view.getUint32(start + 4, true) === 1);
        return;
      case IngressKind.SESSION_GRANTS:
        this.#changeGrants(view.getUint32(start, true), start + SESSION_HEAD_BYTES);
        return;
      case IngressKind.RESUME:
        this.#topics.resume(
          view.getUint32(start, true),
          view.getUint32(start + 4, true),
          view.getFloat64(start + 8, true),
          start + RESUME_HEAD_BYTES,
        );
        return;
      case IngressKind.RESTORE:
        this.#topics.restore(view.getUint32(start, true), view.getUint32(start + 4, true), start + RESTORE_HEAD_BYTES);
        return;
      case IngressKind.RESTORE_END:
        this.#topics.announceRestored();
        this.#services.restored();
        this.#workflows.restored();
        return;
      case IngressKind.QUERY:
        lane.session = view.getUint32(start, true);
        this.#query(start + COMMAND_HEAD_BYTES, view.getUint32(start + 4, true));
        return;
      case IngressKind.REPLY:
        this.#topics.replies(start + PAIR_HEAD_BYTES);
        this.#workflows.replies(start + PAIR_HEAD_BYTES);
        return;
      case IngressKind.RESTORE_INSTANCE:
        this.#services.restore(view.getUint32(start, true), view.getUint32(start + 4, true), start + PAIR_HEAD_BYTES);
        return;
      case IngressKind.JOURNAL:
        this.#workflows.replay(start + PAIR_HEAD_BYTES);
        return;
      default:
        assert(false, `unknown ingress record kind ${kind}`);
    }
  }

  /** After each batch: everything up to `ingressPosition` is done, at `stampUs`. */
  progress(ingressPosition: number, stampUs: number): void {
    this.#lane.out.progress(ingressPosition, stampUs);
  }

  /** What is due by now. */
  runTimers(nowMs: number): void {
    this.#lane.nowMs = nowMs;
    this.#lane.timers.run(nowMs);
  }

  /** Timers, and what is done a few times a second: grace times, idle topics, gauges. */
  tick(nowMs: number): void {
    this.runTimers(nowMs);
    this.#topics.tick();
    this.#services.tick();
    this.#workflows.tick();
    this.#lane.metrics[LaneMetric.sessions] = this.#lane.sessions.size;
  }

  #command(messageStart: number, keyHash: number, patternSub: number): void {
    const lane = this.#lane;
    const header = this.#header;
    assert(readHeader(lane.bytes, messageStart, lane.end, header), 'the front forwarded a message without a header');
    lane.metrics[LaneMetric.commands]!++;
    try {
      switch (header.type) {
        case MessageType.PUBLISH:
          this.#topics.publish(header, keyHash);
          return;
        case MessageType.SUBSCRIBE:
          if (patternSub !== 0) this.#topics.subscribePattern(header, patternSub);
          else this.#topics.subscribe(header, keyHash);
          return;
        case MessageType.UNSUBSCRIBE:
          if (patternSub !== 0) this.#topics.unsubscribePattern(header, patternSub);
          else this.#topics.unsubscribe(header, keyHash);
          return;
        case MessageType.HISTORY:
          this.#topics.history(header, keyHash);
          return;
        case MessageType.PRESENCE:
          this.#topics.presence(header, keyHash);
          return;
        case MessageType.ACK:
          this.#topics.ack(header, keyHash);
          return;
        case MessageType.CALL:
          this.#services.call(header, keyHash);
          return;
        case MessageType.RETURN:
          this.#services.return(header);
          return;
        case MessageType.CANCEL:
          this.#services.cancel(header, keyHash);
          return;
        case MessageType.CREDIT:
          this.#services.credit(header, keyHash);
          return;
        case MessageType.REGISTER:
          this.#services.register(header);
          return;
        case MessageType.DEREGISTER:
          this.#services.deregister(header);
          return;
        case MessageType.HEARTBEAT:
          this.#services.heartbeat(header);
          return;
        case MessageType.START:
          this.#workflows.start(header);
          return;
        case MessageType.RUN:
          this.#workflows.run(header);
          return;
        case MessageType.DEFINE:
          this.#workflows.define(header);
          return;
        default:
          throw new RelayError('BAD_REQUEST', `${SPEC_BY_TYPE[header.type]?.name ?? header.type} is not supported`);
      }
    } catch (error) {
      if (!(error instanceof RelayError)) throw error; // A bug of ours: the pool replaces the lane.
      lane.metrics[LaneMetric.errors]!++;
      assert(patternSub === 0, `the front let a bad pattern command through: ${error.message}`);
      // A RETURN has no id of its sender's: the call's number would be taken for one.
      const id = header.type === MessageType.RETURN ? 0 : header.id;
      const ends =
        header.type === MessageType.SUBSCRIBE
          ? SendFlag.SUBSCRIBE_FAILED
          : header.type === MessageType.CALL
            ? SendFlag.CALL_DONE
            : 0;
      const isDenial = error.facts['right'] !== undefined;
      if (isDenial) lane.metrics[LaneMetric.denied]!++;
      lane.out.error(lane.session, id, error, ends | (isDenial ? SendFlag.DENIED : 0));
    }
  }

  /** What the front asks of every lane. The front has checked the name; bad options are answered with an empty part. */
  #query(messageStart: number, query: number): void {
    const lane = this.#lane;
    const header = this.#header;
    assert(readHeader(lane.bytes, messageStart, lane.end, header), 'the front forwarded a message without a header');
    if (header.type === MessageType.SERVICES) this.#services.query(header, query);
    else this.#workflows.query(header, query);
  }

  // ---- sessions

  #openSession(session: number, at: number): void {
    const {
      id,
      client,
      grants: claims,
    } = unpack(this.#lane.bytes.subarray(at, this.#lane.end)) as {
      id: string;
      client: string | null;
      grants?: unknown;
    };
    const isLane = id.startsWith(LANE_SESSION_PREFIX);
    const isRelay = id === RELAY_SESSION_ID;
    const grants = claims === undefined ? null : this.#grants.of(claims);
    if (grants !== null) this.#lane.guardedCount++;
    this.#lane.sessions.set(session, { session, name: client ?? id, isLane, isRelay, grants, topics: [], patterns: [] });
  }

  /** What the session may do from now on; what it has and may not have any more is taken from it. */
  #changeGrants(number: number, at: number): void {
    const session = this.#lane.sessions.get(number);
    assert(session !== undefined, `grants of session ${number} before its SESSION_OPEN`);
    if (session.grants !== null) this.#lane.guardedCount--;
    const claims = unpack(this.#lane.bytes.subarray(at, this.#lane.end)) as unknown;
    session.grants = claims === null ? null : this.#grants.of(claims);
    if (session.grants === null) return;
    this.#lane.guardedCount++;
    this.#topics.recheck(session, session.grants);
    this.#services.recheck(session, session.grants);
  }

  #closeSession(number: number, abrupt: boolean): void {
    const session = this.#lane.sessions.get(number);
    if (session === undefined) return;
    this.#lane.sessions.delete(number);
    if (session.grants !== null) this.#lane.guardedCount--;
    this.#topics.sessionClosed(session, abrupt);
    this.#services.sessionClosed(session);
  }
}
