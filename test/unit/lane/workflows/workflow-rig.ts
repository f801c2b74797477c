/**
 * A lane with workflows, and everything around it played by the test: the services that its steps call, the front's journal, and its death.
 *
 * Records go in one at a time and come out as a list; the clock moves when told. What a service answers is the test's to say.
 */
import { hashBytes } from '../../../../src/base/hash.ts';
import { Lane } from '../../../../src/lane/lane.ts';
import { LANE_METRICS_BYTES, LaneMetric, type LaneMetricName } from '../../../../src/lane/lane-metrics.ts';
import type { LaneOptions } from '../../../../src/lane/lane-options.ts';
import type { StageDefinition, WorkflowDefinition } from '../../../../src/lane/workflows/definition.ts';
import type { WorkflowOptions } from '../../../../src/lane/workflows/workflow-options.ts';
import { pack, packMessage, unpack } from '../../../../src/protocol/codec.ts';
import { WIRE_ERRORS, type WireErrorName } from '../../../../src/protocol/codes.ts';
import { MessageHeader, readHeader, scanMessage } from '../../../../src/protocol/header.ts';
import {
  commandRecord,
  type Egress,
  EgressKind,
  FANOUT_HEAD_BYTES,
  IngressKind,
  JOIN_HEAD_BYTES,
  JournalOp,
  PAIR_HEAD_BYTES,
  SEND_HEAD_BYTES,
  withNumbers,
} from '../../../../src/protocol/records.ts';
import { LANE_DEFAULTS } from '../../../support/options.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests look into values of every shape.
export type Any = any;

/** One CALL of a step, as the front would see it. */
export interface Call {
  readonly id: number;
  readonly service: string;
  readonly method: string;
  readonly options: Any;
  readonly payload: Any;
  readonly bytes: Uint8Array;
  readonly stage: string;
  readonly index: number;
  readonly attempt: number;
  readonly isUndo: boolean;
}

export interface RawRecord {
  readonly kind: number;
  readonly payload: Uint8Array;
}

class ListEgress implements Egress {
  readonly payloadBytesMax = 524_272;
  readonly bytes = new Uint8Array(this.payloadBytesMax + 64);
  readonly view = new DataView(this.bytes.buffer);
  records: RawRecord[] = [];
  #kind = 0;

  claim(kind: number, bytesMax: number): number {
    if (bytesMax > this.payloadBytesMax) throw new RangeError(`record too large: ${bytesMax}`);
    this.#kind = kind;
    return 8;
  }

  commit(payloadBytes: number): void {
    this.records.push({ kind: this.#kind, payload: this.bytes.slice(8, 8 + payloadBytes) });
  }
}

const EMPTY = new Uint8Array(0);
const SESSION = 1;
const WATCHER = 2;

export class WorkflowRig {
  nowMs = 1_700_000_000_000;
  readonly options: LaneOptions;
  readonly metrics = new Float64Array(LANE_METRICS_BYTES / 8);
  /** As the front keeps it: by key, in the order of the keys' first entries. */
  readonly journal = new Map<string, Uint8Array[]>();
  /** CALLs that no reply was given to, by id. Those of a dead lane are gone. */
  readonly calls = new Map<number, Call>();
  /** CANCEL and CREDIT commands of the lane. */
  readonly commands: Any[][] = [];
  /** Every CALL there ever was. */
  readonly allCalls: Call[] = [];
  /** MESSAGEs and EVENTs that the watcher got, all lives long. */
  readonly watched: Any[][] = [];
  /** Replies to commands of the session, in order. */
  readonly replies: Any[][] = [];
  readonly answers: Any[] = [];
  /** Records after which the front saw nothing more: the lane's death comes after this many. Infinity: none is planned. */
  recordsLeft = Number.POSITIVE_INFINITY;
  life = 0;
  #egress = new ListEgress();
  #lane: Lane;
  #nextId = 1;
  /** What the watcher is subscribed to, for the next life. */
  readonly #subscriptions = new Map<string, number>();
  #firstSub: number;

  constructor(workflows: Partial<WorkflowOptions> = {}, options: Partial<LaneOptions> = {}) {
    this.options = { ...LANE_DEFAULTS, ...options, workflows: { ...LANE_DEFAULTS.workflows, ...workflows } };
    this.#firstSub = this.options.index + this.options.laneCount + 1;
    this.#lane = this.#birth();
  }

  metric(name: LaneMetricName): number {
    return this.metrics[LaneMetric[name]] as number;
  }

  // ---- commands

  /** A command of the session; the answer's third element, or of an error the whole frame. */
  ask(message: Any[]): Any {
    return this.askBytes(packMessage(message[0], this.#nextId, ...message.slice(1)));
  }

  /** The same for a message whose id is `#nextId` already. */
  askBytes(message: Uint8Array): Any {
    const id = this.#nextId++;
    const header = new MessageHeader();
    if (!scanMessage(message, 0, message.length, header) || header.end !== message.length)
      throw new Error('the front would not forward this');
    this.#handle(IngressKind.COMMAND, commandRecord(SESSION, hashBytes(message, header.keyStart, header.keyEnd), 0, message));
    const reply = this.replies.findLast((frame) => frame[1] === id);
    if (reply === undefined) return undefined;
    return reply[0] === 33 ? reply : reply[2];
  }

  get nextId(): number {
    return this.#nextId;
  }

  define(stages: readonly StageDefinition[], more: Partial<WorkflowDefinition> = {}): Any {
    const definition = { name: 'w', version: 1, stages, ...more };
    return this.ask([20, definition.name, null, definition]);
  }

  start(input: unknown = null, options: object | null = null, workflow = 'w'): Any {
    return this.ask([12, workflow, options, input]);
  }

  run(run: string, action: string, more: object = {}, workflow = 'w'): Any {
    return this.ask([13, workflow, { run, action, ...more }]);
  }

  /** Defines, starts and watches in one go. */
  begin(
    stages: readonly StageDefinition[],
    input: unknown = null,
    more: Partial<WorkflowDefinition> = {},
    options: object | null = null,
  ): Any {
    const defined = this.define(stages, more);
    if (Array.isArray(defined)) throw new Error(defined[3]);
    const started = this.start(input, options, more.name ?? 'w');
    if (Array.isArray(started)) throw new Error(started[3]);
    return started;
  }

  query(pattern: string, options: object): Any {
    this.#handle(IngressKind.QUERY, commandRecord(SESSION, 7, 0, pack([13, 5, pattern, options])));
    return this.answers.pop();
  }

  // ---- services

  /** The one CALL that is out. */
  get call(): Call {
    if (this.calls.size !== 1) throw new Error(`${this.calls.size} calls are out`);
    return [...this.calls.values()][0] as Call;
  }

  /** Of a stage, by index. */
  callOf(stage: string, index = 0): Call {
    const call = [...this.calls.values()].find((candidate) => candidate.stage === stage && candidate.index === index);
    if (call === undefined) throw new Error(`no call of ${stage}[${index}] is out`);
    return call;
  }

  result(call: Call, result: unknown): void {
    this.resultBytes(call, pack(result));
  }

  resultBytes(call: Call, result: Uint8Array): void {
    this.calls.delete(call.id);
    this.reply(concat(packMessage(37, call.id, false).with(0, 0x94), result));
  }

  part(call: Call, payload: unknown = null): void {
    this.reply(packMessage(37, call.id, true, payload));
  }

  fail(call: Call, name: WireErrorName, details: object | null = null): void {
    this.calls.delete(call.id);
    this.reply(packMessage(33, call.id, WIRE_ERRORS[name].code, WIRE_ERRORS[name].text, details));
  }

  /** Frames back to back, as the front sends them to the lane's agent. */
  reply(...frames: Uint8Array[]): void {
    this.#handle(IngressKind.REPLY, withNumbers(0, 0, concat(...frames)));
  }

  // ---- topics

  /** Payloads of the run's events, by HISTORY. */
  events(topic: string): Any[] {
    return this.history(topic).messages.map(([, , payload]: Any[]) => payload);
  }

  history(topic: string): Any {
    return this.ask([10, topic, { limit: 1_000 }]);
  }

  kinds(topic: string): string[] {
    return this.events(topic).map(({ kind }) => kind);
  }

  watch(topic: string, since: object | null = null): Any {
    const message = pack([3, this.#nextId++, topic, since === null ? null : { since }]);
    const header = new MessageHeader();
    readHeader(message, 0, message.length, header);
    this.#handle(IngressKind.COMMAND, commandRecord(WATCHER, hashBytes(message, header.keyStart, header.keyEnd), 0, message));
  }

  // ---- time and death

  advance(ms: number): void {
    this.nowMs += ms;
    this.#lane.tick(this.nowMs);
    this.#take();
  }

  /** To the next timer, at most `msMax` away. False: nothing is planned by then. */
  advanceToTimer(msMax: number): boolean {
    const dueMs = this.#lane.nextTimerMs;
    if (dueMs > this.nowMs + msMax) return false;
    this.nowMs = Math.max(this.nowMs, dueMs);
    this.#lane.runTimers(this.nowMs);
    this.#take();
    return true;
  }

  /** True once the planned death has come; nothing of the lane is seen any more. */
  get isDead(): boolean {
    return this.recordsLeft <= 0;
  }

  /** The lane is replaced: journal, sessions and subscriptions go into a new one. */
  replace(recordsLeft = Number.POSITIVE_INFINITY): void {
    this.calls.clear(); // The agent's session died with its lane.
    this.recordsLeft = Number.POSITIVE_INFINITY;
    this.life++;
    this.#firstSub += 1_000 * (this.options.laneCount + 1);
    this.#lane = this.#birth();
    for (const entries of [...this.journal.values()])
      for (const entry of entries) this.#handle(IngressKind.JOURNAL, withNumbers(0, 0, entry));
    for (const [topic, sub] of this.#subscriptions) this.#handle(IngressKind.RESTORE, withNumbers(WATCHER, sub, pack({ topic })));
    this.recordsLeft = recordsLeft;
    this.#handle(IngressKind.RESTORE_END, EMPTY);
  }

  #birth(): Lane {
    this.#egress = new ListEgress();
    const { seed } = this.options;
    const lane = new Lane(
      { ...this.options, seed: seed + this.life, firstSub: this.#firstSub, life: this.life },
      this.#egress,
      this.metrics,
    );
    this.#lane = lane;
    for (const session of [SESSION, WATCHER])
      this.#handle(IngressKind.SESSION_OPEN, withNumbers(session, null, pack({ id: `session-${session}`, client: null })));
    return lane;
  }

  #handle(kind: number, payload: Uint8Array): void {
    if (this.isDead) return;
    // In the middle of other bytes, as in a ring; nothing else there may be read.
    const bytes = new Uint8Array(payload.length + 32).fill(0xc1);
    bytes.set(payload, 16);
    this.#lane.handle(kind, bytes, new DataView(bytes.buffer), 16, payload.length, this.nowMs);
    bytes.fill(0xc1); // Whatever kept a view of it keeps nonsense.
    this.#take();
  }

  #take(): void {
    const { records } = this.#egress;
    this.#egress.records = [];
    for (const record of records) {
      if (this.isDead) return;
      this.recordsLeft--;
      this.#see(record);
    }
  }

  /** What the front does with a record. */
  #see({ kind, payload }: RawRecord): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    switch (kind) {
      case EgressKind.SEND: {
        const session = view.getUint32(0, true);
        const frame = unpack(payload.subarray(SEND_HEAD_BYTES)) as Any[];
        if (session === SESSION) this.replies.push(frame);
        else this.watched.push(frame);
        return;
      }
      case EgressKind.FANOUT: {
        if ([...this.#subscriptions.values()].includes(view.getUint32(0, true)))
          this.watched.push(unpack(payload.subarray(FANOUT_HEAD_BYTES)) as Any[]);
        return;
      }
      case EgressKind.JOIN: {
        const topicEnd = JOIN_HEAD_BYTES + view.getUint32(12, true);
        const topic = new TextDecoder().decode(payload.subarray(JOIN_HEAD_BYTES, topicEnd));
        this.#subscriptions.set(topic, view.getUint32(4, true));
        this.watched.push(unpack(payload.subarray(topicEnd + view.getUint32(16, true))) as Any[]);
        return;
      }
      case EgressKind.ANSWER:
        this.answers.push(unpack(payload.subarray(PAIR_HEAD_BYTES)));
        return;
      case EgressKind.REQUEST:
        this.#request(payload.slice(PAIR_HEAD_BYTES));
        return;
      case EgressKind.JOURNAL: {
        const entryStart = PAIR_HEAD_BYTES + view.getUint32(4, true);
        const key = new TextDecoder().decode(payload.subarray(PAIR_HEAD_BYTES, entryStart));
        if (view.getUint32(0, true) === JournalOp.FORGET) this.journal.delete(key);
        else this.journal.set(key, [...(this.journal.get(key) ?? []), payload.slice(entryStart)]);
        return;
      }
      default:
        throw new Error(`unexpected egress record ${kind}`);
    }
  }

  #request(message: Uint8Array): void {
    const header = new MessageHeader();
    if (!scanMessage(message, 0, message.length, header) || header.end !== message.length)
      throw new Error('a REQUEST is no message');
    const decoded = unpack(message) as Any[];
    if (decoded[0] !== 5) {
      this.commands.push(decoded);
      return;
    }
    const [, id, service, method, options, payload] = decoded;
    const { stage, index, attempt, compensate } = options.headers;
    const call: Call = {
      id,
      service,
      method,
      options,
      payload,
      bytes: message,
      stage,
      index: Number(index),
      attempt: Number(attempt),
      isUndo: compensate === 'true',
    };
    this.calls.set(id, call);
    this.allCalls.push(call);
  }
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A stage of the service `s` whose method has the stage's name. */
export function stage(name: string, more: Partial<StageDefinition> = {}): StageDefinition {
  return { name, service: 's', method: name, ...more };
}
