/**
 * A lane without threads and rings: records go in one at a time, what comes out is a list of decoded records. The clock moves when told.
 */
import { hashBytes } from '../../../src/base/hash.ts';
import { Lane } from '../../../src/lane/lane.ts';
import { LANE_METRICS_BYTES, LaneMetric, type LaneMetricName } from '../../../src/lane/lane-metrics.ts';
import type { LaneOptions } from '../../../src/lane/lane-options.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import { MessageHeader, readHeader } from '../../../src/protocol/header.ts';
import {
  commandRecord,
  type Egress,
  EgressKind,
  FANOUT_HEAD_BYTES,
  IngressKind,
  JOIN_HEAD_BYTES,
  JoinFlag,
  LEAVE_HEAD_BYTES,
  PAIR_HEAD_BYTES,
  RESUME_HEAD_BYTES,
  SEND_HEAD_BYTES,
  withNumbers,
} from '../../../src/protocol/records.ts';
import { LANE_DEFAULTS } from '../../support/options.ts';

export const LANE_OPTIONS: LaneOptions = {
  ...LANE_DEFAULTS,
  topicsMax: 1_000,
  topicIdleMs: 60_000,
  historyBytesMax: 16_777_216,
  dedupKeysMax: 1_000,
  presenceMembersMax: 100,
};

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
type Message = any[];

/** One egress record, decoded. `message` is null where the record carries none. */
export interface Out {
  readonly kind: 'send' | 'fanout' | 'join' | 'leave' | 'answer' | 'registered' | 'unregistered' | 'deliver' | 'request';
  /** 0 for a fan-out. */
  readonly session: number;
  /** Of answers the query, of registrations the instance. */
  readonly sub: number;
  /** Fan-outs: who does not get it. */
  readonly excluded: number;
  readonly flags: number;
  readonly message: Message | null;
  /** The same as bytes; empty for none. */
  readonly frame: Uint8Array;
  /** Joins: what a new lane needs back, decoded; for a resume how far it went. */
  readonly restore: unknown;
}

/** As a ring with one record in it: nothing larger than a ring of 4 MiB would take. */
class ListEgress implements Egress {
  readonly payloadBytesMax = 524_272;
  readonly bytes = new Uint8Array(this.payloadBytesMax + 64);
  readonly view = new DataView(this.bytes.buffer);
  readonly records: { readonly kind: number; readonly payload: Uint8Array }[] = [];
  #kind = 0;
  #bytesMax = -1;
  readonly #start = 8;

  claim(kind: number, bytesMax: number): number {
    if (this.#bytesMax >= 0) throw new Error('claim() while another claim is open');
    if (bytesMax > this.payloadBytesMax) throw new RangeError(`record too large: ${bytesMax}`);
    this.#kind = kind;
    this.#bytesMax = bytesMax;
    return this.#start;
  }

  commit(payloadBytes: number): void {
    if (payloadBytes > this.#bytesMax)
      throw new RangeError(`commit of ${payloadBytes} bytes outside the claim of ${this.#bytesMax}`);
    this.#bytesMax = -1;
    this.records.push({ kind: this.#kind, payload: this.bytes.slice(this.#start, this.#start + payloadBytes) });
  }
}

export class LaneRig {
  nowMs = 1_700_000_000_000;
  readonly metrics = new Float64Array(LANE_METRICS_BYTES / 8);
  readonly #egress = new ListEgress();
  readonly #lane: Lane;
  readonly #known = new Set<number>();

  constructor(options: Partial<LaneOptions> = {}) {
    this.#lane = new Lane({ ...LANE_OPTIONS, ...options }, this.#egress, this.metrics);
  }

  metric(name: LaneMetricName): number {
    return this.metrics[LaneMetric[name]] as number;
  }

  /** One command of a session, which is opened if need be; what the lane answers. */
  command(session: number, message: Message): Out[] {
    this.open(session);
    return this.bytes(session, pack(message));
  }

  /** The same for a message that is encoded already. */
  bytes(session: number, message: Uint8Array): Out[] {
    this.open(session);
    const header = new MessageHeader();
    readHeader(message, 0, message.length, header);
    return this.#handle(
      IngressKind.COMMAND,
      commandRecord(session, hashBytes(message, header.keyStart, header.keyEnd), 0, message),
    );
  }

  patternCommand(session: number, sub: number, message: Message): Out[] {
    this.open(session);
    return this.#handle(IngressKind.PATTERN_COMMAND, commandRecord(session, sub, 0, pack(message)));
  }

  /** The answer's third element, or the code of an error. Fails where there is no answer. */
  // biome-ignore lint/suspicious/noExplicitAny: results have every shape.
  ask(session: number, message: Message): any {
    const reply = this.command(session, message).find(
      (out) => out.session === session && (out.message?.[0] === 32 || out.message?.[0] === 33),
    );
    if (reply?.message === undefined || reply.message === null) throw new Error(`no answer to ${JSON.stringify(message)}`);
    return reply.message[2];
  }

  /** Publishes without wanting a reply; everything that comes of it. */
  publish(topic: string, payload: unknown, options: object | null = null, session = 99): Out[] {
    return this.command(session, [2, 0, topic, options, payload]);
  }

  /** The MESSAGEs and EVENTs that a SUBSCRIBE replays, behind its answer. */
  subscribe(session: number, topic: string, options: object | null = null): { reply: Message; replayed: Message[] } {
    const outs = this.command(session, [3, 1, topic, options]);
    const [join, ...rest] = outs.slice(outs.findIndex(({ kind }) => kind === 'join')); // In front of it others hear of a new member.
    if (join?.kind !== 'join' || join.message === null) throw new Error(`not joined: ${JSON.stringify(join)}`);
    return { reply: join.message[2], replayed: rest.map(({ message }) => message as Message) };
  }

  /** Once a session; `client` null is somebody without a name. */
  open(session: number, client: string | null = `client-${session}`): void {
    if (this.#known.has(session)) return;
    this.#known.add(session);
    this.#handle(IngressKind.SESSION_OPEN, withNumbers(session, null, pack({ id: `session-${session}`, client })));
  }

  close(session: number, abrupt = false): Out[] {
    this.#known.delete(session);
    return this.#handle(IngressKind.SESSION_CLOSE, withNumbers(session, abrupt ? 1 : 0, new Uint8Array(0)));
  }

  resume(session: number, topic: string, after: number): Out[] {
    const name = new TextEncoder().encode(topic);
    const record = new Uint8Array(RESUME_HEAD_BYTES + name.length);
    const view = new DataView(record.buffer);
    view.setUint32(0, session, true);
    view.setUint32(4, hashBytes(name, 0, name.length), true);
    view.setFloat64(8, after, true);
    record.set(name, RESUME_HEAD_BYTES);
    return this.#handle(IngressKind.RESUME, record);
  }

  restore(session: number, sub: number, state: object): Out[] {
    this.open(session);
    return this.#handle(IngressKind.RESTORE, withNumbers(session, sub, pack(state)));
  }

  restoreEnd(): Out[] {
    return this.#handle(IngressKind.RESTORE_END, new Uint8Array(0));
  }

  /** A record of any kind. */
  record(kind: number, payload: Uint8Array): Out[] {
    return this.#handle(kind, payload);
  }

  /** Time passes, then what is due. No tick. */
  wait(ms: number): Out[] {
    this.nowMs += ms;
    this.#lane.runTimers(this.nowMs);
    return this.#take();
  }

  /** Time passes, then the lane's tick. */
  advance(ms: number): Out[] {
    this.nowMs += ms;
    this.#lane.tick(this.nowMs);
    return this.#take();
  }

  #handle(kind: number, payload: Uint8Array): Out[] {
    // In the middle of other bytes, as in a ring; nothing else there may be read.
    const bytes = new Uint8Array(payload.length + 32).fill(0xc1);
    bytes.set(payload, 16);
    this.#lane.handle(kind, bytes, new DataView(bytes.buffer), 16, payload.length, this.nowMs);
    return this.#take();
  }

  #take(): Out[] {
    return this.#egress.records.splice(0).map(({ kind, payload }) => decode(kind, payload));
  }
}

function decode(kind: number, payload: Uint8Array): Out {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const first = view.getUint32(0, true);
  const second = view.getUint32(4, true);
  const none = { session: 0, sub: 0, excluded: 0, flags: 0, restore: null };
  switch (kind) {
    case EgressKind.SEND:
      return { ...none, kind: 'send', session: first, flags: second, ...messageAt(payload, SEND_HEAD_BYTES) };
    case EgressKind.FANOUT:
      return {
        ...none,
        kind: 'fanout',
        sub: first,
        excluded: second,
        flags: view.getUint32(8, true),
        ...messageAt(payload, FANOUT_HEAD_BYTES),
      };
    case EgressKind.DELIVER:
      return { ...none, kind: 'deliver', session: first, sub: second, ...messageAt(payload, PAIR_HEAD_BYTES) };
    case EgressKind.REQUEST:
      return { ...none, kind: 'request', ...messageAt(payload, PAIR_HEAD_BYTES) };
    case EgressKind.LEAVE:
      return { ...none, kind: 'leave', session: first, sub: second, ...messageAt(payload, LEAVE_HEAD_BYTES) };
    case EgressKind.JOIN: {
      const flags = view.getUint32(8, true);
      const restoreStart = JOIN_HEAD_BYTES + view.getUint32(12, true);
      const frameStart = restoreStart + view.getUint32(16, true);
      const restore = payload.slice(restoreStart, frameStart);
      const isResumed = (flags & JoinFlag.RESUMED) !== 0;
      const state = isResumed ? new DataView(restore.buffer).getFloat64(0, true) : restore.length === 0 ? null : unpack(restore);
      return { ...none, kind: 'join', session: first, sub: second, flags, ...messageAt(payload, frameStart), restore: state };
    }
    case EgressKind.ANSWER:
      return { ...none, kind: 'answer', sub: first, flags: second, ...messageAt(payload, PAIR_HEAD_BYTES) };
    case EgressKind.REGISTERED:
      return { ...none, kind: 'registered', session: first, sub: second, ...messageAt(payload, PAIR_HEAD_BYTES) };
    case EgressKind.UNREGISTERED:
      return { ...none, kind: 'unregistered', session: first, sub: second, ...messageAt(payload, PAIR_HEAD_BYTES) };
    default:
      throw new Error(`unexpected egress record ${kind}`);
  }
}

function messageAt(payload: Uint8Array, start: number): { frame: Uint8Array; message: Message | null } {
  const frame = payload.slice(start);
  return { frame, message: frame.length === 0 ? null : (unpack(frame) as Message) };
}

/** MESSAGEs and EVENTs that go to all subscribers of a sub. */
export function fannedOut(outs: readonly Out[], sub: number): Message[] {
  return outs.filter((out) => out.kind === 'fanout' && out.sub === sub).map(({ message }) => message as Message);
}
