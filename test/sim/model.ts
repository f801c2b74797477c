/**
 * The oracle's half that knows what should be: every lane as docs/protocol.md describes it, without rings, slabs, sockets or speed.
 *
 * It handles the same records in the same order and at the same times as the real lanes (sim-lanes.ts tells it), keeps every message
 * for ever, and writes down the answer that each command must get. Clients' views (subscription-view.ts) are held against it.
 * What decides is the text of the protocol; where it leaves room, what the lane does is written here too, so that a change shows.
 */
import { seededId } from '../../src/base/ids.ts';
import { Prng } from '../../src/base/prng.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';
import { DEFAULT_TOPIC_CONFIG, OWN_TOPIC_RULES, type TopicConfig, type TopicRule } from '../../src/lane/topic-config.ts';
import { pack, unpack, unpackMany } from '../../src/protocol/codec.ts';
import { WIRE_ERRORS, type WireErrorName, wireErrorName } from '../../src/protocol/codes.ts';
import {
  COMMAND_HEAD_BYTES,
  IngressKind,
  PAIR_HEAD_BYTES,
  RESTORE_HEAD_BYTES,
  RESUME_HEAD_BYTES,
  SESSION_HEAD_BYTES,
} from '../../src/protocol/records.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { type GroupAsked, type GroupItem, type GroupLane, GroupModel, type PendingModel, type SimTimer } from './group-model.ts';
import {
  type CallAsked,
  CallRefused,
  type HeartbeatAsked,
  type RegisterAsked,
  type ReturnAsked,
  type ServiceItem,
  type ServiceLane,
  ServiceModel,
} from './service-model.ts';
import type { LaneTap } from './sim-lanes.ts';

const EPOCH_LENGTH = 10;
/** More than a world has topics: a look goes all the way round. */
const SWEEP_TOPICS_MAX = 256;
const NOBODY = 0;
/** Numbers of the PUBLISHes by which lanes send dead letters elsewhere. */
const FIRST_BURIAL_ID = 2 ** 52;
const BURIAL_RETRY_MS = 250;

export interface Entry {
  /** Place in the topic's stream, from 1; the offset, where the topic keeps history. */
  readonly ordinal: number;
  readonly uid: number;
  /** Session that does not get it live: its publisher, if it said `echo: false`. 0: nobody. */
  readonly excluded: number;
  readonly bytes: number;
  readonly payloadBytes: number;
  /** A dead letter: published elsewhere first. */
  readonly isLetter: boolean;
  readonly atMs: number;
  readonly expiresAtMs: number;
  readonly meta: object | null;
  /** When it was handled, among all records of all lanes. */
  readonly order: number;
}

export interface PresenceEvent {
  readonly kind: 'join' | 'leave' | 'update';
  readonly data: object;
  readonly causedBy: number;
}

interface PresenceMember {
  readonly id: string;
  data: unknown;
  readonly sessions: Set<number>;
  graceEndsAtMs: number;
}

export type ReplayItem =
  | { readonly kind: 'message'; readonly ordinal: number }
  | { readonly kind: 'expired'; readonly from: number; readonly to: number };

/** What a SUBSCRIBE to a topic must lead to. */
export interface JoinPlan {
  readonly topic: TopicModel;
  readonly order: number;
  /** Newest ordinal then: live messages begin behind it. */
  readonly ordinal: number;
  readonly script: readonly ReplayItem[];
  readonly watch: boolean;
  /** Presence events from this index on are the watcher's. */
  readonly presenceIndex: number;
  /** The queue group; null for a plain subscription. */
  readonly group: GroupModel | null;
  /** Of what queue groups have given the session on this topic, what stood in front of the OK. */
  readonly itemIndex: number;
}

/** What a paused subscription must be sent when it resumes. */
export interface ResumePlan {
  readonly topic: TopicModel;
  readonly lost: readonly [from: number, to: number] | null;
  readonly lagged: readonly [from: number, to: number] | null;
  readonly script: readonly ReplayItem[];
}

/** A subscription that was carried over into a new lane: a `lost` event is due. */
export interface Restored {
  /** Null for a pattern. */
  readonly topic: TopicModel | null;
  readonly order: number;
  /** Its lane died without publishing everything: the event may never have left it. */
  mayBeUnsaid: boolean;
}

export type Expected =
  | {
      readonly kind: 'ok';
      readonly result: object | null;
      readonly join?: JoinPlan;
      readonly entry?: Entry;
      readonly topic?: TopicModel;
    }
  | { readonly kind: 'error'; readonly code: number };

export class TopicModel {
  readonly name: string;
  readonly config: TopicConfig;
  readonly epoch: string;
  readonly lane: number;
  readonly log: Entry[] = [];
  readonly sessions = new Set<number>();
  readonly presence = new Map<string, PresenceMember>();
  readonly presenceLog: PresenceEvent[] = [];
  readonly dedup = new Map<string, { readonly ordinal: number; readonly expiresAtMs: number }>();
  readonly groups = new Map<string, GroupModel>();
  /** By session; it is in `sessions` too. */
  readonly groupOf = new Map<number, GroupModel>();
  /** Oldest kept ordinal; `log.length + 1` when none is. */
  first = 1;
  keptBytes = 0;
  lastUsedMs: number;
  /** Its lane has died. */
  isDead = false;

  constructor(name: string, config: TopicConfig, epoch: string, lane: number, nowMs: number) {
    this.name = name;
    this.config = config;
    this.epoch = epoch;
    this.lane = lane;
    this.lastUsedMs = nowMs;
  }

  get hasHistory(): boolean {
    return this.config.history.count > 0 && this.config.history.bytes > 0;
  }

  /** What OK says: 0 where there is no history. */
  get offset(): number {
    return this.hasHistory ? this.log.length : 0;
  }

  entry(ordinal: number): Entry {
    return this.log[ordinal - 1] as Entry;
  }

  evictExpired(nowMs: number): void {
    while (this.first <= this.log.length && this.entry(this.first).atMs < nowMs - this.config.history.ageMs) this.evictOldest();
  }

  evictOldest(): void {
    this.keptBytes -= this.entry(this.first).bytes;
    this.first++;
  }

  bytesFrom(ordinal: number): number {
    let bytes = 0;
    for (let at = Math.max(ordinal, this.first); at <= this.log.length; at++) bytes += this.entry(at).bytes;
    return bytes;
  }

  isIdle(nowMs: number): boolean {
    this.evictExpired(nowMs);
    for (const [key, { expiresAtMs }] of this.dedup) if (expiresAtMs <= nowMs) this.dedup.delete(key);
    const nothingKept = !this.hasHistory || this.first > this.log.length;
    return this.sessions.size === 0 && this.groups.size === 0 && nothingKept && this.dedup.size === 0 && this.presence.size === 0;
  }
}

interface ModelSession {
  readonly session: number;
  readonly name: string;
  readonly topics: Set<TopicModel>;
}

interface LaneModel {
  readonly index: number;
  readonly options: LaneOptions;
  /** Of the record or tick that is handled. */
  nowMs: number;
  readonly groups: GroupLane;
  timers: SimTimer[];
  timerSequence: number;
  groupOrder: number;
  readonly burials: Map<number, { readonly group: GroupModel; readonly pending: PendingModel; readonly reason: string }>;
  nextBurialId: number;
  readonly prng: Prng;
  /** Insertion order is age order, as in the lane's table. */
  readonly topics: Map<string, TopicModel>;
  /** Goes round the topics, looking for some to forget: on from where the last look ended. */
  sweep: Iterator<TopicModel>;
  readonly sessions: Map<number, ModelSession>;
  readonly restored: Set<TopicModel>;
  readonly restoredPatterns: { readonly session: number; readonly name: string }[];
  readonly announced: Restored[];
  readonly services: ServiceModel;
}

interface PublishOptions {
  readonly key?: string;
  readonly headers?: object;
  readonly ttlMs?: number;
  readonly echo?: boolean;
}

interface SubscribeOptions {
  readonly since?: { readonly epoch: string; readonly offset: number };
  readonly last?: number;
  readonly presence?: unknown;
  readonly policy?: string;
  readonly group?: string;
}

interface AckOptions {
  readonly offset?: number;
  readonly offsets?: readonly number[];
  readonly epoch?: string;
  readonly requeue?: boolean;
  readonly delayMs?: number;
}

class Refused extends Error {
  readonly code: number;
  constructor(name: WireErrorName) {
    super(name);
    this.code = WIRE_ERRORS[name].code;
  }
}

export class Model implements LaneTap {
  /** Counts handled records and ticks of all lanes. */
  order = 0;
  /** Every stream there ever was under a name, oldest first. */
  readonly streams = new Map<string, TopicModel[]>();
  readonly #lanes: LaneModel[] = [];
  readonly #expected = new Map<string, Expected>();
  readonly #lost = new Set<string>();
  readonly #resumes = new Map<string, ResumePlan[]>();
  readonly #restores = new Map<string, Restored[]>();
  /** By topic's name and uid. A dead letter may come more than once, from several groups. */
  readonly #places = new Map<string, { readonly topic: TopicModel; readonly ordinal: number }[]>();
  readonly #given = new Map<string, GroupItem[]>();
  /** By session: what callers and instances must get. */
  readonly #served = new Map<number, ServiceItem[]>();
  /** By session and number of the call: RETURNs that a lane has handled. */
  readonly #returned = new Map<string, number>();
  /** By lane: registrations that the front may know of. */
  readonly #stored: Map<string, string[]>[] = [];
  /** By SERVICES, by lane: its part of the answer. */
  readonly #reports = new Map<string, object[][]>();
  /** By topic and event: what stands for it in the stream. */
  readonly #ownUids = new Map<string, number>();
  readonly #lives: { life: number; isDead: boolean }[] = [];
  readonly #isBad: (session: number, id: number) => boolean;
  /** False: the lanes' history bound is small, and which topic gives up its history is not foreseen. */
  readonly knowsRetention: boolean;

  /** `isBad`: this command's options are wrong on purpose. */
  constructor(knowsRetention: boolean, isBad: (session: number, id: number) => boolean) {
    this.knowsRetention = knowsRetention;
    this.#isBad = isBad;
  }

  // ---- what views ask

  /** The answer that a command must get, once it was handled; taken away by the question. */
  takeExpected(session: number, id: number): Expected | undefined {
    const expected = this.#expected.get(key(session, id));
    this.#expected.delete(key(session, id));
    return expected;
  }

  /** LANE_RESTARTED is a right answer. */
  wasLost(session: number, id: number): boolean {
    return this.#lost.has(key(session, id));
  }

  /**
   * Where a payload stands. Of several places the one of this offset: in the stream that we are in if it may still come there, or in a later one. `hasLost`: a
   * lane has died before our eyes, so that a stream that lives is likelier than one that died before anybody saw it.
   */
  locate(
    name: string,
    uid: number,
    offset: number,
    hasLost: boolean,
    at?: { readonly topic: TopicModel; readonly position: number },
  ): { topic: TopicModel; ordinal: number } | undefined {
    const places = this.#places.get(key(uid, name)) ?? [];
    const fitting = places.filter(({ ordinal }) => ordinal === offset);
    const streams = this.streams.get(name) as TopicModel[];
    const age = ({ topic }: { readonly topic: TopicModel }): number =>
      at === undefined ? 1 : streams.indexOf(topic) - streams.indexOf(at.topic);
    const coming = fitting.filter((place) => age(place) > 0 || (age(place) === 0 && offset > (at?.position ?? 0)));
    const here = coming.find((place) => age(place) === 0 && !place.topic.isDead);
    const living = hasLost ? coming.find(({ topic }) => !topic.isDead) : undefined;
    return here ?? living ?? coming[0] ?? fitting.find((place) => age(place) === 0) ?? fitting[0] ?? places[0];
  }

  /** What queue groups have given the session on this topic, in the order of its coming. */
  given(session: number, topic: string): GroupItem[] {
    const items = this.#given.get(key(session, topic)) ?? [];
    this.#given.set(key(session, topic), items);
    return items;
  }

  /** What services and callers of this session must be sent, in the order of each lane. */
  served(session: number): ServiceItem[] {
    const items = this.#served.get(session) ?? [];
    this.#served.set(session, items);
    return items;
  }

  /** How often a lane was replaced. */
  livesOf(lane: number): number {
    return (this.#lives[lane] as { life: number }).life;
  }

  get lifeCount(): number {
    return this.#lives.reduce((sum, { life }) => sum + life, 0);
  }

  /** How often a lane was replaced, or is about to be. */
  deathsOf(lane: number): number {
    const { life, isDead } = this.#lives[lane] as { life: number; isDead: boolean };
    return life + (isDead ? 1 : 0);
  }

  get deathCount(): number {
    return this.#lives.reduce((sum, _, lane) => sum + this.deathsOf(lane), 0);
  }

  /** RETURNs for a call that a lane has handled. */
  returnsHandled(session: number, callId: number): number {
    return this.#returned.get(key(session, callId)) ?? 0;
  }

  /** What SERVICES must be answered, once every lane has handled it. */
  takeReport(session: number, id: number): object[] {
    const parts = this.#reports.get(key(session, id)) ?? [];
    this.#reports.delete(key(session, id));
    return parts.flat();
  }

  servicesOf(lane: number): ServiceModel {
    return this.#lane(lane).services;
  }

  /** Dead letters on their way to another topic that no answer has come for. */
  get burialCount(): number {
    return this.#lanes.reduce((sum, { burials }) => sum + burials.size, 0);
  }

  isOwn(topic: string): boolean {
    return topic.startsWith('$service.');
  }

  /** Of an event of the relay's own; undefined: it was never published. */
  ownUid(topic: string, event: unknown): number | undefined {
    return this.#ownUids.get(`${topic} ${JSON.stringify(event)}`);
  }

  nextResume(session: number, topic: string): ResumePlan | undefined {
    return this.#resumes.get(key(session, topic))?.[0];
  }

  takeResume(session: number, topic: string): void {
    this.#resumes.get(key(session, topic))?.shift();
  }

  restores(session: number, name: string): Restored[] {
    return this.#restores.get(key(session, name)) ?? [];
  }

  topicOf(name: string): TopicModel | undefined {
    for (const lane of this.#lanes) {
      const topic = lane.topics.get(name);
      if (topic !== undefined) return topic;
    }
    return undefined;
  }

  /** Streams of lanes that live. */
  *liveTopics(): Iterable<TopicModel> {
    for (const lane of this.#lanes) yield* lane.topics.values();
  }

  // ---- LaneTap

  laneStarted(lane: number, options: LaneOptions): void {
    const topics = new Map<string, TopicModel>();
    this.#lives[lane] = { life: options.life, isDead: false };
    const stored = (this.#stored[lane] ??= new Map());
    this.#lanes[lane] = {
      index: lane,
      options,
      nowMs: 0,
      groups: this.#groupLane(lane),
      timers: [],
      timerSequence: 0,
      groupOrder: 0,
      burials: new Map(),
      nextBurialId: FIRST_BURIAL_ID,
      prng: new Prng(options.seed, options.index),
      topics,
      sweep: topics.values(),
      sessions: new Map(),
      restored: new Set(),
      restoredPatterns: [],
      announced: [],
      services: new ServiceModel(this.#serviceLane(lane, options), stored),
    };
  }

  laneDied(lane: number): void {
    (this.#lives[lane] as { isDead: boolean }).isDead = true;
    for (const topic of this.#lane(lane).topics.values()) topic.isDead = true;
    for (const restored of this.#lane(lane).announced) restored.mayBeUnsaid = true;
    this.#lane(lane).topics.clear();
  }

  commandLost(_lane: number, record: Uint8Array): void {
    const session = numberAt(record, 0);
    const [type, id] = unpack(record.subarray(COMMAND_HEAD_BYTES)) as [number, number];
    if (type !== MessageType.RETURN) this.#lost.add(key(session, id)); // Its number is no id of the session's.
  }

  laneTicked(laneIndex: number, nowMs: number): void {
    const lane = this.#lane(laneIndex);
    lane.nowMs = nowMs;
    this.order++;
    runTimers(lane);
    lane.services.settle();
    for (const topic of lane.topics.values()) {
      const expired = [...topic.presence.values()].filter((member) => member.graceEndsAtMs <= nowMs);
      for (const { id } of expired) topic.presence.delete(id);
      for (const { id } of expired) {
        topic.presenceLog.push({ kind: 'leave', data: { id, count: topic.presence.size }, causedBy: NOBODY });
      }
    }
    for (let topic = nextSwept(lane); topic !== undefined; topic = nextSwept(lane)) {
      if (topic.lastUsedMs + lane.options.topicIdleMs <= nowMs && topic.isIdle(nowMs)) lane.topics.delete(topic.name);
    }
  }

  recordHandled(laneIndex: number, kind: number, record: Uint8Array, nowMs: number): void {
    const lane = this.#lane(laneIndex);
    lane.nowMs = nowMs;
    this.order++;
    this.#record(lane, kind, record, nowMs);
    lane.services.settle();
  }

  #record(lane: LaneModel, kind: number, record: Uint8Array, nowMs: number): void {
    switch (kind) {
      case IngressKind.COMMAND:
        this.#command(lane, record, nowMs);
        return;
      case IngressKind.SESSION_OPEN: {
        const { id, client } = unpack(record.subarray(SESSION_HEAD_BYTES)) as { id: string; client: string | null };
        const session = numberAt(record, 0);
        lane.sessions.set(session, { session, name: client ?? id, topics: new Set() });
        return;
      }
      case IngressKind.SESSION_CLOSE: {
        const session = lane.sessions.get(numberAt(record, 0));
        if (session === undefined) return;
        lane.sessions.delete(session.session);
        const graceEndsAtMs = numberAt(record, 4) === 1 ? nowMs + lane.options.presenceGraceMs : null;
        for (const topic of session.topics) leaveTopic(topic, session, graceEndsAtMs, nowMs);
        lane.services.sessionClosed(session.session);
        return;
      }
      case IngressKind.REPLY:
        for (const message of unpackMany(record.subarray(PAIR_HEAD_BYTES)) as unknown[][]) this.#buriedElsewhere(lane, message);
        return;
      case IngressKind.RESUME:
        this.#resume(lane, record, nowMs);
        return;
      case IngressKind.RESTORE:
        this.#restore(lane, lane.index, record, nowMs);
        return;
      case IngressKind.RESTORE_INSTANCE:
        lane.services.restore(numberAt(record, 0), numberAt(record, 4), record.subarray(PAIR_HEAD_BYTES));
        return;
      case IngressKind.RESTORE_END:
        this.#announce(lane);
        lane.services.announce();
        return;
      case IngressKind.QUERY:
        this.#query(lane, record);
        return;
      default:
        return; // A pattern's commands: the front answers, the views know what follows from that.
    }
  }

  // ---- commands

  #command(lane: LaneModel, record: Uint8Array, nowMs: number): void {
    const session = numberAt(record, 0);
    const message = unpack(record.subarray(COMMAND_HEAD_BYTES)) as [
      type: number,
      id: number,
      name: string,
      options: unknown,
      payload: unknown,
    ];
    const [type, id, name] = message;
    if (type === MessageType.RETURN) return this.#return(lane, session, message);
    let expected: Expected;
    try {
      if (id !== 0 && this.#isBad(session, id)) throw new Refused('BAD_REQUEST');
      if (type === MessageType.CALL || type === MessageType.CANCEL || type === MessageType.CREDIT)
        return this.#call(lane, session, message);
      const options = message[3] ?? {};
      switch (type) {
        case MessageType.PUBLISH:
          expected = this.#publish(lane, session, id, name, options, message[4], nowMs);
          break;
        case MessageType.SUBSCRIBE:
          expected = this.#subscribe(lane, session, name, options, nowMs);
          break;
        case MessageType.UNSUBSCRIBE:
          expected = this.#unsubscribe(lane, session, name, nowMs);
          break;
        case MessageType.ACK:
          expected = this.#ack(lane, session, name, options);
          break;
        case MessageType.HISTORY:
          expected = this.#history(lane, name, options, nowMs);
          break;
        case MessageType.PRESENCE:
          expected = this.#presence(lane, name, options as { countOnly?: boolean }, nowMs);
          break;
        case MessageType.REGISTER:
          expected = { kind: 'ok', result: lane.services.register(session, name, options as RegisterAsked) };
          break;
        case MessageType.DEREGISTER:
          lane.services.deregister(session, name);
          expected = { kind: 'ok', result: null };
          break;
        case MessageType.HEARTBEAT:
          expected = { kind: 'ok', result: lane.services.heartbeat(session, name, options as HeartbeatAsked) };
          break;
        default:
          throw new Refused('BAD_REQUEST');
      }
    } catch (error) {
      if (!(error instanceof Refused || error instanceof CallRefused)) throw error;
      expected = { kind: 'error', code: error.code };
    }
    if (id !== 0) this.#expected.set(key(session, id), expected);
  }

  #publish(
    lane: LaneModel,
    session: number,
    id: number,
    name: string,
    options: PublishOptions,
    payload: unknown,
    nowMs: number,
  ): Expected {
    const topic = this.#topic(lane, name, nowMs);
    if (name.startsWith('$')) throw new Refused('FORBIDDEN');
    const payloadBytes = pack(payload).length;
    const { maxPayloadBytes, echo, stampPublisher, stampTime } = topic.config;
    if (payloadBytes > maxPayloadBytes) throw new Refused('TOO_LARGE');
    const result = (ordinal: number, more: object): object => ({
      epoch: topic.epoch,
      ...more,
      offset: topic.hasHistory ? ordinal : 0,
    });
    if (options.key !== undefined) {
      const known = topic.dedup.get(options.key);
      if (known !== undefined && known.expiresAtMs > nowMs)
        return { kind: 'ok', result: result(known.ordinal, { duplicate: true }), topic };
    }
    const meta = {
      ...(stampPublisher ? { publisher: lane.sessions.get(session)?.name } : {}),
      ...(stampTime ? { timeUs: nowMs * 1_000 } : {}),
      ...(options.headers === undefined ? {} : { headers: options.headers }),
    };
    const hasMeta = Object.keys(meta).length > 0;
    const metaBytes = hasMeta ? pack(stampTime ? { ...meta, timeUs: BigInt(nowMs * 1_000) } : meta).length : 0;
    const entry = this.#append(topic, {
      uid: (payload as [number])[0],
      excluded: (options.echo ?? echo) ? NOBODY : session,
      bytes: metaBytes + payloadBytes,
      payloadBytes,
      isLetter: id >= FIRST_BURIAL_ID,
      atMs: nowMs,
      expiresAtMs: nowMs + (options.ttlMs ?? Number.POSITIVE_INFINITY),
      meta: hasMeta ? meta : null,
    });
    const { ordinal } = entry;
    if (options.key !== undefined) remember(topic, options.key, ordinal, nowMs, lane.options);
    for (const group of topic.groups.values()) group.published();
    return { kind: 'ok', result: result(ordinal, {}), topic, entry };
  }

  /** Into the stream, with what history gives up for it. */
  #append(topic: TopicModel, facts: Omit<Entry, 'ordinal' | 'order'>): Entry {
    const ordinal = topic.log.length + 1;
    const entry: Entry = { ...facts, ordinal, order: this.order };
    topic.log.push(entry);
    topic.lastUsedMs = entry.atMs;
    push(this.#places, key(entry.uid, topic.name), { topic, ordinal });
    if (!topic.hasHistory) return entry;
    const { count, bytes } = topic.config.history;
    topic.keptBytes += entry.bytes;
    while (topic.first <= ordinal && (ordinal - topic.first + 1 > count || topic.keptBytes > bytes)) topic.evictOldest();
    topic.evictExpired(entry.atMs);
    return entry;
  }

  #subscribe(lane: LaneModel, number: number, name: string, options: SubscribeOptions, nowMs: number): Expected {
    const session = lane.sessions.get(number) as ModelSession;
    const topic = this.#topic(lane, name, nowMs);
    if (options.group !== undefined) return this.#subscribeInGroup(lane, session, topic, options as GroupAsked, nowMs);
    if (options.policy === 'pause' && !topic.hasHistory) throw new Refused('BAD_REQUEST');
    const { presence } = options;
    const isMember = presence === true || typeof presence === 'object';
    const watch = isMember || presence === 'watch';
    if (watch && !topic.config.presence) throw new Refused('BAD_REQUEST');
    if (isMember) enterPresence(topic, session, presence === true ? undefined : presence, lane.options.presenceMembersMax);
    else leavePresence(topic, session, null);
    leaveGroup(topic, number, nowMs);
    topic.sessions.add(number);
    session.topics.add(topic);
    topic.lastUsedMs = nowMs;
    topic.evictExpired(nowMs);
    const { since } = options;
    const recovery = since === undefined ? {} : this.#judge(topic, since, lane.options);
    let from = topic.log.length + 1;
    if ('recovered' in recovery && recovery.recovered === true) from = (since as { offset: number }).offset + 1;
    else if ((options.last ?? 0) > 0 && topic.hasHistory) {
      from = Math.max(topic.first, topic.log.length - Math.min(options.last as number, lane.options.recoveryMessagesMax) + 1);
      while (from <= topic.log.length && topic.bytesFrom(from) > lane.options.recoveryBytesMax) from++;
    }
    const script = replay(topic, from, topic.log.length, nowMs);
    const replayCount = script.filter((item) => item.kind === 'message').length;
    const join: JoinPlan = {
      topic,
      order: this.order,
      ordinal: topic.log.length,
      script,
      watch,
      presenceIndex: topic.presenceLog.length,
      group: null,
      itemIndex: this.given(number, name).length,
    };
    return { kind: 'ok', result: { epoch: topic.epoch, offset: topic.offset, ...recovery, replay: replayCount }, join, topic };
  }

  // ---- services

  #call(lane: LaneModel, session: number, message: readonly unknown[]): void {
    const [type, id, name] = message as [number, number, string];
    const { services } = lane;
    if (type === MessageType.CANCEL) return services.cancel(session, name, message[3] as number);
    if (type === MessageType.CREDIT) return services.credit(session, name, message[3] as number, message[4] as number);
    try {
      const [, , , method, asked, payload] = message as [number, number, string, string, CallAsked | null, unknown];
      services.call(session, id, name, method, asked ?? {}, payload);
    } catch (error) {
      if (!(error instanceof CallRefused)) throw error;
      const frame = [MessageType.ERROR, id, error.code, error.details];
      this.served(session).push({ lane: lane.index, life: lane.options.life, frame });
    }
  }

  #return(lane: LaneModel, session: number, message: readonly unknown[]): void {
    const [, callId, asked, payload] = message as [number, number, ReturnAsked | null, unknown];
    this.#returned.set(key(session, callId), this.returnsHandled(session, callId) + 1);
    lane.services.return(session, callId, asked, payload);
  }

  #query(lane: LaneModel, record: Uint8Array): void {
    const [type, id, name, options] = unpack(record.subarray(COMMAND_HEAD_BYTES)) as [
      number,
      number,
      string,
      { instances?: boolean } | null,
    ];
    if (type !== MessageType.SERVICES) return;
    const at = key(numberAt(record, 0), id);
    const parts = this.#reports.get(at) ?? [];
    parts[lane.index] = lane.services.report((service) => matchesPattern(name, service), options?.instances === true);
    this.#reports.set(at, parts);
  }

  #serviceLane(index: number, options: LaneOptions): ServiceLane {
    const lane = (): LaneModel => this.#lane(index);
    return {
      index,
      options,
      get nowMs() {
        return lane().nowMs;
      },
      nameOf: (session) => lane().sessions.get(session)?.name ?? '',
      give: (session, item) => void this.served(session).push(item),
      at: (dueMs, act) => lane().groups.after(dueMs - lane().nowMs, act),
      publish: (topic, event) => this.#publishOwn(lane(), topic, event as { atMs: number }),
      hasRoomFor: (topic) =>
        lane().topics.has(topic) || lane().topics.size < options.topicsMax || dropOneIdle(lane(), lane().nowMs),
      fail: (what) => {
        throw new Error(`the model contradicts itself: ${what}`);
      },
    };
  }

  #publishOwn(lane: LaneModel, name: string, event: { readonly atMs: number }): void {
    const topic = lane.topics.get(name) ?? this.#makeTopic(lane, lane.index, name, lane.nowMs);
    const text = `${name} ${JSON.stringify(event)}`;
    const uid = this.#ownUids.get(text) ?? -1 - this.#ownUids.size;
    this.#ownUids.set(text, uid);
    const payloadBytes = pack({ ...event, atMs: BigInt(event.atMs) }).length;
    this.#append(topic, {
      uid,
      excluded: NOBODY,
      bytes: payloadBytes,
      payloadBytes,
      isLetter: false,
      atMs: lane.nowMs,
      expiresAtMs: Number.POSITIVE_INFINITY,
      meta: null,
    });
    for (const group of topic.groups.values()) group.published();
  }

  // ---- queue groups

  #subscribeInGroup(lane: LaneModel, session: ModelSession, topic: TopicModel, asked: GroupAsked, nowMs: number): Expected {
    const { session: number } = session;
    const { groupsPerTopicMax } = lane.options.groups;
    const endsWithUs = (group: GroupModel | undefined): boolean =>
      group !== undefined && !group.ack && group.members.size === 1 && group.members.has(number);
    const known = topic.groups.get(asked.group);
    if (known !== undefined && known.ack !== (asked.ack === true) && !endsWithUs(known)) throw new Refused('CONFLICT');
    if (asked.ack === true && (!topic.hasHistory || asked.deadLetter === topic.name)) throw new Refused('BAD_REQUEST');
    if (asked.ack === true && topic.name.startsWith('$') && asked.deadLetter === undefined) throw new Refused('BAD_REQUEST');
    const size = topic.groups.size - (endsWithUs(topic.groupOf.get(number)) ? 1 : 0);
    if (known === undefined && size >= groupsPerTopicMax) throw new Refused('LIMIT');
    leavePresence(topic, session, null);
    topic.sessions.add(number);
    session.topics.add(topic);
    topic.lastUsedMs = nowMs;
    const group = this.#enterGroup(lane, topic, number, asked, ++lane.groupOrder);
    const join: JoinPlan = {
      topic,
      order: this.order,
      ordinal: topic.log.length,
      script: [],
      watch: false,
      presenceIndex: topic.presenceLog.length,
      group,
      itemIndex: this.given(number, topic.name).length,
    };
    if (group.ack) group.pump();
    return { kind: 'ok', result: { epoch: topic.epoch, offset: topic.offset, replay: 0 }, join, topic };
  }

  #enterGroup(lane: LaneModel, topic: TopicModel, session: number, asked: GroupAsked, order: number): GroupModel {
    const current = topic.groupOf.get(session);
    if (current !== undefined && (current.name !== asked.group || current.ack !== (asked.ack === true)))
      leaveGroup(topic, session, lane.nowMs);
    let group = topic.groups.get(asked.group);
    if (group === undefined) topic.groups.set(asked.group, (group = new GroupModel(topic, asked, order, lane.groups)));
    topic.groupOf.set(session, group);
    group.join(session, asked, order);
    return group;
  }

  #ack(lane: LaneModel, session: number, name: string, options: AckOptions): Expected {
    const topic = lane.topics.get(name);
    const group = topic?.groupOf.get(session);
    if (topic === undefined || group === undefined || !group.ack) throw new Refused('NOT_FOUND');
    if (options.epoch !== undefined && options.epoch !== topic.epoch) throw new Refused('NOT_FOUND');
    const offsets = options.offsets ?? [options.offset as number];
    if (group.settle(session, offsets, options.requeue === true, options.delayMs ?? 0) > 0) throw new Refused('NOT_FOUND');
    return { kind: 'ok', result: null };
  }

  #groupLane(index: number): GroupLane {
    const lane = (): LaneModel => this.#lane(index);
    return {
      get nowMs() {
        return lane().nowMs;
      },
      get pendingMax() {
        return lane().options.groups.groupPendingMax;
      },
      get idleMs() {
        return lane().options.topicIdleMs;
      },
      give: (session, item) => void this.given(session, item.topic.name).push(item),
      after: (ms, act) => {
        const timer = { dueMs: lane().nowMs + ms, sequence: lane().timerSequence++, act };
        lane().timers.push(timer);
        return timer;
      },
      bury: (group, pending, reason) => this.#bury(lane(), group, pending, reason),
      forgotten: (group) => {
        group.topic.groups.delete(group.name);
        group.topic.lastUsedMs = lane().nowMs;
      },
      fail: (what) => {
        throw new Error(`the model contradicts itself: ${what}`);
      },
    };
  }

  #bury(lane: LaneModel, group: GroupModel, pending: PendingModel, reason: string): void {
    if (group.deadLetter === null) return this.#buryByDefault(lane, group, pending, reason);
    if (!group.isKept(pending.ordinal)) return group.lose(pending);
    lane.burials.set(lane.nextBurialId++, { group, pending, reason });
  }

  #buryByDefault(lane: LaneModel, group: GroupModel, pending: PendingModel, reason: string): void {
    const { topic } = group;
    if (!group.isKept(pending.ordinal) || topic.name.startsWith('$')) return group.lose(pending);
    group.end(pending, 'buried');
    const { uid, payloadBytes, meta } = topic.entry(pending.ordinal);
    const facts = {
      topic: topic.name,
      offset: String(pending.ordinal),
      attempts: String(pending.attempts),
      reason,
      group: group.name,
    };
    const letterMeta = { headers: { ...(meta as { headers?: object } | null)?.headers, ...facts } };
    const name = `$dead.${topic.name}`;
    const letters = lane.topics.get(name) ?? this.#makeTopic(lane, lane.index, name, lane.nowMs);
    this.#append(letters, {
      uid,
      excluded: NOBODY,
      bytes: pack(letterMeta).length + payloadBytes,
      payloadBytes,
      isLetter: true,
      atMs: lane.nowMs,
      expiresAtMs: Number.POSITIVE_INFINITY,
      meta: letterMeta,
    });
    for (const other of letters.groups.values()) other.published();
  }

  /** The answer to a dead letter that was published to another topic. */
  #buriedElsewhere(lane: LaneModel, [type, id, code, , details]: readonly unknown[]): void {
    const burial = lane.burials.get(id as number);
    lane.burials.delete(id as number);
    if (burial === undefined || burial.pending.place !== 'burying') return;
    const { group, pending, reason } = burial;
    if (type === MessageType.OK) group.end(pending, 'buried');
    else if (WIRE_ERRORS[wireErrorName(code as number)].retryable) {
      const { retryAfterMs = BURIAL_RETRY_MS } = (details ?? {}) as { retryAfterMs?: number };
      lane.groups.after(retryAfterMs, () => {
        if (pending.place === 'burying') this.#bury(lane, group, pending, reason);
      });
    } else this.#buryByDefault(lane, group, pending, reason);
    group.pump();
  }

  #judge(topic: TopicModel, since: { readonly epoch: string; readonly offset: number }, options: LaneOptions): object {
    if (!topic.hasHistory) return { recovered: false, reason: 'NO_HISTORY' };
    if (since.epoch !== topic.epoch) return { recovered: false, reason: 'EPOCH_CHANGED' };
    if (since.offset > topic.offset) return { recovered: false, reason: 'OFFSET_AHEAD' };
    if (since.offset === topic.offset) return { recovered: true };
    const lost = [since.offset + 1, topic.offset];
    if (since.offset + 1 < topic.first) return { recovered: false, reason: 'EVICTED', lost };
    const tooMany =
      topic.offset - since.offset > options.recoveryMessagesMax || topic.bytesFrom(since.offset + 1) > options.recoveryBytesMax;
    return tooMany ? { recovered: false, reason: 'TOO_MANY', lost } : { recovered: true };
  }

  #unsubscribe(lane: LaneModel, number: number, name: string, nowMs: number): Expected {
    const topic = lane.topics.get(name);
    const session = lane.sessions.get(number) as ModelSession;
    if (topic === undefined || !topic.sessions.has(number)) throw new Refused('NOT_FOUND');
    session.topics.delete(topic);
    leaveTopic(topic, session, null, nowMs);
    return { kind: 'ok', result: null };
  }

  #history(
    lane: LaneModel,
    name: string,
    options: { since?: { epoch: string; offset: number }; limit?: number; reverse?: boolean },
    nowMs: number,
  ): Expected {
    const topic = this.#topic(lane, name, nowMs);
    if (!topic.hasHistory) throw new Refused('BAD_REQUEST');
    topic.evictExpired(nowMs);
    const { since, limit = lane.options.historyLimitDefault, reverse = false } = options;
    if (since !== undefined && since.epoch !== topic.epoch) throw new Refused('CONFLICT');
    const { first, offset } = topic;
    const from = reverse ? first : Math.max(first, (since?.offset ?? 0) + 1);
    const to = reverse && since !== undefined ? Math.min(offset, since.offset - 1) : offset;
    const alive = topic.log.slice(from - 1, Math.max(from - 1, to)).filter((entry) => entry.expiresAtMs > nowMs);
    if (reverse) alive.reverse();
    const more = alive.length > limit;
    const messages = alive.slice(0, limit).map(({ ordinal, meta, uid }) => [ordinal, meta, uid]);
    return { kind: 'ok', result: { epoch: topic.epoch, first, offset, more, messages }, topic };
  }

  #presence(lane: LaneModel, name: string, options: { countOnly?: boolean }, nowMs: number): Expected {
    const topic = this.#topic(lane, name, nowMs);
    if (!topic.config.presence) throw new Refused('BAD_REQUEST');
    const count = topic.presence.size;
    if (options.countOnly === true) return { kind: 'ok', result: { count }, topic };
    return { kind: 'ok', result: { count, members: [...topic.presence.values()].map(memberFacts) }, topic };
  }

  // ---- records of the front's own

  #resume(lane: LaneModel, record: Uint8Array, nowMs: number): void {
    const session = numberAt(record, 0);
    const after = new DataView(record.buffer, record.byteOffset).getFloat64(8, true);
    const name = new TextDecoder().decode(record.subarray(RESUME_HEAD_BYTES));
    const topic = lane.topics.get(name);
    if (topic === undefined || !topic.sessions.has(session) || topic.groupOf.has(session)) return;
    topic.evictExpired(nowMs);
    const from = Math.max(after + 1, topic.first);
    const lost = after + 1 < topic.first ? ([after + 1, topic.first - 1] as const) : null;
    let to = from - 1;
    let bytes = 0;
    let messages = 0;
    for (let ordinal = from; ordinal <= topic.log.length; ordinal++) {
      bytes += topic.entry(ordinal).bytes;
      if (messages >= lane.options.recoveryMessagesMax || (bytes > lane.options.recoveryBytesMax && messages > 0)) break;
      if (topic.entry(ordinal).expiresAtMs > nowMs) messages++;
      to = ordinal;
    }
    if (lost === null && from > to) return; // Nothing was missed: no event.
    const plan: ResumePlan = { topic, lost, lagged: from <= to ? [from, to] : null, script: replay(topic, from, to, nowMs) };
    push(this.#resumes, key(session, name), plan);
  }

  #restore(lane: LaneModel, laneIndex: number, record: Uint8Array, nowMs: number): void {
    const number = numberAt(record, 0);
    const {
      topic: name,
      pattern,
      presence,
      group,
    } = unpack(record.subarray(RESTORE_HEAD_BYTES)) as {
      topic: string;
      pattern?: boolean;
      presence?: { data: unknown };
      group?: Omit<GroupAsked, 'group'> & { readonly name: string; readonly order: number; readonly deadLetter: string | null };
    };
    if (pattern === true) {
      lane.restoredPatterns.push({ session: number, name });
      return;
    }
    const session = lane.sessions.get(number) as ModelSession;
    const topic = lane.topics.get(name) ?? this.#makeTopic(lane, laneIndex, name, nowMs);
    lane.restored.add(topic);
    topic.sessions.add(number);
    session.topics.add(topic);
    if (group !== undefined) {
      const { name: groupName, order, deadLetter, ...asked } = group;
      lane.groupOrder = Math.max(lane.groupOrder, order);
      const elsewhere = deadLetter === null ? {} : { deadLetter };
      this.#enterGroup(lane, topic, number, { ...asked, ...elsewhere, group: groupName }, order);
    }
    if (presence === undefined) return;
    const { data } = presence;
    enterPresence(topic, session, data ?? undefined, Number.POSITIVE_INFINITY);
    topic.presenceLog.length = 0; // Nobody is told: the lost event says that everything begins anew.
  }

  #announce(lane: LaneModel): void {
    const note = (session: number, name: string, topic: TopicModel | null): void => {
      const restored: Restored = { topic, order: this.order, mayBeUnsaid: false };
      lane.announced.push(restored);
      push(this.#restores, key(session, name), restored);
    };
    for (const topic of lane.restored) for (const session of topic.sessions) note(session, topic.name, topic);
    for (const { session, name } of lane.restoredPatterns) note(session, name, null);
    lane.restored.clear();
    lane.restoredPatterns.length = 0;
  }

  // ---- topics

  #topic(lane: LaneModel, name: string, nowMs: number): TopicModel {
    const known = lane.topics.get(name);
    if (known !== undefined) return known;
    if (lane.topics.size >= lane.options.topicsMax && !dropOneIdle(lane, nowMs)) throw new Refused('LIMIT');
    return this.#makeTopic(lane, this.#lanes.indexOf(lane), name, nowMs);
  }

  #makeTopic(lane: LaneModel, laneIndex: number, name: string, nowMs: number): TopicModel {
    const topic = new TopicModel(
      name,
      resolveConfig(lane.options.topicRules, name),
      seededId(lane.prng, EPOCH_LENGTH),
      laneIndex,
      nowMs,
    );
    lane.topics.set(name, topic);
    push(this.streams, name, topic);
    return topic;
  }

  #lane(index: number): LaneModel {
    return this.#lanes[index] as LaneModel;
  }
}

// ---- rules of one topic

function remember(
  topic: TopicModel,
  name: string,
  ordinal: number,
  nowMs: number,
  { dedupKeysMax, dedupWindowMs }: LaneOptions,
): void {
  for (const [known, { expiresAtMs }] of topic.dedup) if (expiresAtMs <= nowMs) topic.dedup.delete(known);
  topic.dedup.delete(name);
  if (topic.dedup.size >= dedupKeysMax) topic.dedup.delete([...topic.dedup.keys()][0] as string);
  topic.dedup.set(name, { ordinal, expiresAtMs: nowMs + dedupWindowMs });
}

/** Kept messages [from, to] as a subscriber gets them: what has expired by its ttl is named, run by run. */
function replay(topic: TopicModel, from: number, to: number, nowMs: number): ReplayItem[] {
  const items: ReplayItem[] = [];
  if (!topic.hasHistory) return items;
  let expired: { kind: 'expired'; from: number; to: number } | null = null;
  for (let ordinal = from; ordinal <= to; ordinal++) {
    if (topic.entry(ordinal).expiresAtMs > nowMs) {
      items.push({ kind: 'message', ordinal });
      expired = null;
    } else if (expired === null) items.push((expired = { kind: 'expired', from: ordinal, to: ordinal }));
    else expired.to = ordinal;
  }
  return items;
}

function enterPresence(topic: TopicModel, session: ModelSession, data: unknown, membersMax: number): void {
  const member = topic.presence.get(session.name);
  const tell = (kind: 'join' | 'update'): void => {
    const facts = memberFacts(topic.presence.get(session.name) as PresenceMember);
    topic.presenceLog.push({ kind, data: { ...facts, count: topic.presence.size }, causedBy: session.session });
  };
  if (member === undefined) {
    if (topic.presence.size >= membersMax) throw new Refused('LIMIT');
    const sessions = new Set([session.session]);
    topic.presence.set(session.name, { id: session.name, data, sessions, graceEndsAtMs: Number.POSITIVE_INFINITY });
    tell('join');
    return;
  }
  member.sessions.add(session.session);
  member.graceEndsAtMs = Number.POSITIVE_INFINITY;
  if (JSON.stringify(member.data) === JSON.stringify(data)) return;
  member.data = data;
  tell('update');
}

function leavePresence(topic: TopicModel, session: ModelSession, graceEndsAtMs: number | null): void {
  const member = topic.presence.get(session.name);
  if (member === undefined || !member.sessions.delete(session.session) || member.sessions.size > 0) return;
  if (graceEndsAtMs !== null) {
    member.graceEndsAtMs = graceEndsAtMs;
    return;
  }
  topic.presence.delete(session.name);
  topic.presenceLog.push({ kind: 'leave', data: { id: session.name, count: topic.presence.size }, causedBy: session.session });
}

/** The session is in no group of the topic any more. */
function leaveGroup(topic: TopicModel, session: number, nowMs: number): void {
  const group = topic.groupOf.get(session);
  if (group === undefined) return;
  topic.groupOf.delete(session);
  if (!group.leave(session)) return;
  topic.groups.delete(group.name);
  topic.lastUsedMs = nowMs;
}

function runTimers(lane: LaneModel): void {
  for (;;) {
    const due = lane.timers.filter(({ dueMs }) => dueMs <= lane.nowMs);
    const next = due.sort((one, other) => one.dueMs - other.dueMs || one.sequence - other.sequence)[0];
    if (next === undefined) break;
    lane.timers = lane.timers.filter((timer) => timer !== next && timer.act !== null);
    next.act?.();
  }
}

function leaveTopic(topic: TopicModel, session: ModelSession, graceEndsAtMs: number | null, nowMs: number): void {
  topic.sessions.delete(session.session);
  leaveGroup(topic, session.session, nowMs);
  topic.lastUsedMs = nowMs;
  leavePresence(topic, session, graceEndsAtMs);
}

/** Undefined at the end of a round: the next call begins another. */
function nextSwept(lane: LaneModel): TopicModel | undefined {
  const next = lane.sweep.next();
  if (next.done !== true) return next.value;
  lane.sweep = lane.topics.values();
  return undefined;
}

function dropOneIdle(lane: LaneModel, nowMs: number): boolean {
  for (let looked = 0; looked < SWEEP_TOPICS_MAX; looked++) {
    const topic = nextSwept(lane);
    if (topic?.isIdle(nowMs)) return lane.topics.delete(topic.name);
  }
  return false;
}

function memberFacts({ id, data }: { readonly id: string; readonly data: unknown }): object {
  return data === undefined ? { id } : { id, data };
}

/** Last matching rule that has a setting wins. */
function resolveConfig(rules: readonly TopicRule[], topic: string): TopicConfig {
  let config = DEFAULT_TOPIC_CONFIG;
  for (const { match, history, ...settings } of [...OWN_TOPIC_RULES, ...rules]) {
    if (matchesPattern(match, topic)) config = { ...config, ...settings, history: { ...config.history, ...history } };
  }
  return config;
}

/** Written anew, so that the relay's own matcher is held against it. */
export function matchesPattern(pattern: string, topic: string): boolean {
  const [first = ''] = topic.split('.');
  if (first.startsWith('$') && pattern.split('.')[0] !== first) return false;
  const body = pattern
    .split('.')
    .map((token) => (token === '*' ? '[^.]+' : token === '>' ? '.+' : token.replace(/[$^|?+()[\]{}\\]/g, '\\$&')))
    .join('\\.');
  return new RegExp(`^${body}$`).test(topic);
}

function numberAt(record: Uint8Array, at: number): number {
  return new DataView(record.buffer, record.byteOffset).getUint32(at, true);
}

function push<Key, Value>(map: Map<Key, Value[]>, at: Key, value: Value): void {
  const list = map.get(at);
  if (list === undefined) map.set(at, [value]);
  else list.push(value);
}

const key = (session: number, name: number | string): string => `${session}:${name}`;
