/**
 * The lane: a deterministic state machine over the topics whose names hash to it.
 *
 * `handle(record, now)` in, records out. No clock, no randomness (epochs come from the seed), no thread and no socket of its own, so the
 * same code runs in a worker behind rings, inline on the front, and under the simulator. One owner: nobody else touches its state.
 *
 * Input that a peer can cause is answered with a wire error. Anything else that throws is corrupt state: the pool replaces the lane.
 */
import { assert } from '../base/assert.ts';
import { hashBytes } from '../base/hash.ts';
import { pack, unpack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import { MessageHeader, readHeader } from '../protocol/header.ts';
import {
  decodeOptions,
  hasNoOptions,
  historyOptions,
  type PublishOptions,
  presenceQueryOptions,
  publishOptions,
  type SubscribeOptions,
  subscribeOptions,
} from '../protocol/options.ts';
import {
  COMMAND_HEAD_BYTES,
  type Egress,
  IngressKind,
  JoinFlag,
  RESTORE_HEAD_BYTES,
  RESUME_HEAD_BYTES,
  SESSION_HEAD_BYTES,
  SendFlag,
} from '../protocol/records.ts';
import { skipValue } from '../protocol/skip.ts';
import { MessageType, SLOW_CONSUMER_POLICIES, type SlowConsumerPolicy, SPEC_BY_TYPE } from '../protocol/types.ts';
import { queryHistory, REPLY_BYTES_MAX } from './history-query.ts';
import { LaneMetric } from './lane-metrics.ts';
import type { LaneOptions } from './lane-options.ts';
import { LaneOutput } from './lane-output.ts';
import { PatternTable } from './pattern-table.ts';
import { judgeRecovery, planReplay, type Recovery } from './recovery.ts';
import type { Topic } from './topic.ts';
import { TopicStore } from './topic-store.ts';

interface LaneSession {
  readonly session: number;
  /** Who this is in presence and in `meta.publisher`: HELLO `client`, else the session's id. */
  readonly name: string;
  readonly topics: Topic[];
  readonly patterns: string[];
}

interface RestoreOptions {
  readonly topic: string;
  readonly pattern?: boolean;
  readonly presence?: { readonly data: unknown };
}

const NO_PUBLISH_OPTIONS: PublishOptions = { key: null, headers: null, ttlMs: Number.POSITIVE_INFINITY, echo: null };
const NOBODY = 0;
const EMPTY = new Uint8Array(0);

export class Lane {
  readonly #options: LaneOptions;
  readonly #out: LaneOutput;
  readonly #metrics: Float64Array;
  readonly #topics: TopicStore;
  readonly #patterns = new PatternTable();
  readonly #sessions = new Map<number, LaneSession>();
  /** Topics with presence members in their grace time. */
  readonly #graceTopics = new Set<Topic>();
  readonly #restored = new Set<Topic>();
  readonly #header = new MessageHeader();
  #subscriptionCount = 0;
  #nowMs = 0;
  /** Set per command: where it stands and who sent it. */
  #bytes: Uint8Array = EMPTY;
  #end = 0;
  #session = NOBODY;

  constructor(options: LaneOptions, egress: Egress, metrics: Float64Array) {
    this.#options = options;
    this.#out = new LaneOutput(egress);
    this.#topics = new TopicStore(options, metrics);
    this.#metrics = metrics;
  }

  /** Hot. One ingress record: `bytes[start, start + length)`, valid during the call. */
  handle(kind: number, bytes: Uint8Array, view: DataView, start: number, length: number, nowMs: number): void {
    this.#nowMs = nowMs;
    this.#bytes = bytes;
    this.#end = start + length;
    switch (kind) {
      case IngressKind.COMMAND:
        this.#session = view.getUint32(start, true);
        this.#command(start + COMMAND_HEAD_BYTES, view.getUint32(start + 4, true), 0);
        return;
      case IngressKind.PATTERN_COMMAND:
        this.#session = view.getUint32(start, true);
        this.#command(start + COMMAND_HEAD_BYTES, 0, view.getUint32(start + 4, true));
        return;
      case IngressKind.SESSION_OPEN:
        this.#openSession(view.getUint32(start, true), start + SESSION_HEAD_BYTES);
        return;
      case IngressKind.SESSION_CLOSE:
        this.#closeSession(view.getUint32(start, true), view.getUint32(start + 4, true) === 1);
        return;
      case IngressKind.RESUME:
        this.#resume(
          view.getUint32(start, true),
          view.getUint32(start + 4, true),
          view.getFloat64(start + 8, true),
          start + RESUME_HEAD_BYTES,
        );
        return;
      case IngressKind.RESTORE:
        this.#restore(view.getUint32(start, true), view.getUint32(start + 4, true), start + RESTORE_HEAD_BYTES);
        return;
      case IngressKind.RESTORE_END:
        this.#announceRestored();
        return;
      default:
        assert(false, `unknown ingress record kind ${kind}`);
    }
  }

  /** After each batch: everything up to `ingressPosition` is done. */
  progress(ingressPosition: number): void {
    this.#out.progress(ingressPosition);
  }

  /** Time-driven work, a few times a second: grace times, idle topics, gauges. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const topic of this.#graceTopics) {
      for (const member of topic.presence.expire(nowMs)) {
        this.#metrics[LaneMetric.presenceGraceExpired]!++;
        this.#presenceEvent(topic, NOBODY, 'leave', { id: member.id, count: topic.presence.count });
      }
      let graceLeft = false;
      for (const member of topic.presence.members) if (member.sessions.size === 0) graceLeft = true;
      if (!graceLeft) this.#graceTopics.delete(topic);
    }
    this.#topics.sweepIdle(nowMs);
    const metrics = this.#metrics;
    metrics[LaneMetric.topics] = this.#topics.size;
    metrics[LaneMetric.subscriptions] = this.#subscriptionCount;
    metrics[LaneMetric.patterns] = this.#patterns.size;
    metrics[LaneMetric.sessions] = this.#sessions.size;
    metrics[LaneMetric.historyBytes] = this.#topics.historyBytes;
    metrics[LaneMetric.historyBytesReserved] = this.#topics.historyBytesReserved;
  }

  // ---- commands

  #command(messageStart: number, keyHash: number, patternSub: number): void {
    const header = this.#header;
    assert(readHeader(this.#bytes, messageStart, this.#end, header), 'the front forwarded a message without a header');
    this.#metrics[LaneMetric.commands]!++;
    try {
      switch (header.type) {
        case MessageType.PUBLISH:
          this.#publish(header, keyHash);
          return;
        case MessageType.SUBSCRIBE:
          if (patternSub !== 0) this.#subscribePattern(header, patternSub);
          else this.#subscribe(header, keyHash);
          return;
        case MessageType.UNSUBSCRIBE:
          if (patternSub !== 0) this.#unsubscribePattern(header, patternSub);
          else this.#unsubscribe(header, keyHash);
          return;
        case MessageType.HISTORY:
          this.#history(header, keyHash);
          return;
        case MessageType.PRESENCE:
          this.#presence(header, keyHash);
          return;
        default:
          throw new RelayError('BAD_REQUEST', `${SPEC_BY_TYPE[header.type]?.name ?? header.type} is not supported`);
      }
    } catch (error) {
      if (!(error instanceof RelayError)) throw error; // A bug of ours: the pool replaces the lane.
      this.#metrics[LaneMetric.errors]!++;
      assert(patternSub === 0, `the front let a bad pattern command through: ${error.message}`);
      this.#out.error(this.#session, header.id, error, header.type === MessageType.SUBSCRIBE ? SendFlag.SUBSCRIBE_FAILED : 0);
    }
  }

  /** Hot. */
  #publish(header: MessageHeader, keyHash: number): void {
    const bytes = this.#bytes;
    const optionsStart = header.bodyStart;
    let options = NO_PUBLISH_OPTIONS;
    let payloadStart = optionsStart + 1;
    if (!hasNoOptions(bytes, optionsStart)) {
      payloadStart = skipValue(bytes, optionsStart, this.#end);
      options = publishOptions(decodeOptions(bytes, optionsStart, payloadStart));
    }
    const topic = this.#topicOf(header, keyHash);
    if (topic.isReserved) throw new RelayError('FORBIDDEN', "names that begin with '$' belong to the relay");
    const config = topic.config;
    const payloadBytes = this.#end - payloadStart;
    if (payloadBytes > config.maxPayloadBytes) {
      throw new RelayError('TOO_LARGE', 'payload is too large for its topic', {
        payloadBytes,
        maxPayloadBytes: config.maxPayloadBytes,
      });
    }
    if (options.key !== null) {
      const offset = topic.dedup.find(options.key, this.#nowMs);
      if (offset >= 0) {
        this.#metrics[LaneMetric.publishesDuplicate]!++;
        if (header.id !== 0) this.#out.publishOk(this.#session, header.id, topic.duplicatePrefix, offset);
        return;
      }
    }
    const meta = this.#meta(topic, options);
    topic.lastUsedMs = this.#nowMs;
    if (topic.history !== null) {
      topic.offset++;
      topic.history.append(topic.offset, this.#nowMs, options.ttlMs, meta, bytes, payloadStart, this.#end);
      this.#topics.keepHistoryBound(topic);
    }
    if (options.key !== null) this.#rememberKey(topic, options.key);
    const excluded = (options.echo ?? config.echo) ? NOBODY : this.#session;
    if (topic.sessions.size > 0) this.#out.fanout(topic.sub, excluded, null, topic.offset, meta, bytes, payloadStart, this.#end);
    const patternSubs = topic.patternSubs(this.#patterns);
    for (let index = 0; index < patternSubs.length; index++) {
      this.#out.fanout(
        patternSubs[index] as number,
        excluded,
        topic.nameBytes,
        topic.offset,
        meta,
        bytes,
        payloadStart,
        this.#end,
      );
    }
    this.#metrics[LaneMetric.publishes]!++;
    if (header.id !== 0) this.#out.publishOk(this.#session, header.id, topic.okPrefix, topic.offset);
  }

  #meta(topic: Topic, options: PublishOptions): Uint8Array | null {
    const { stampTime, stampPublisher } = topic.config;
    if (options.headers === null && !stampTime && !stampPublisher) return null;
    const meta: Record<string, unknown> = {};
    if (stampPublisher) meta['publisher'] = this.#sessions.get(this.#session)?.name ?? '';
    if (stampTime) meta['timeUs'] = BigInt(Math.round(this.#nowMs * 1_000)); // BigInt: an integer on the wire, not a float.
    if (options.headers !== null) meta['headers'] = options.headers;
    return pack(meta);
  }

  #rememberKey(topic: Topic, key: string): void {
    const { dedupWindowMs, dedupKeysMax } = this.#options;
    const shortened = topic.dedup.remember(key, topic.offset, this.#nowMs + dedupWindowMs, this.#nowMs, dedupKeysMax);
    if (shortened) this.#metrics[LaneMetric.dedupKeysEvicted]!++;
  }

  #subscribe(header: MessageHeader, keyHash: number): void {
    const options = this.#subscribeOptions(header);
    const session = this.#knownSession();
    const topic = this.#topicOf(header, keyHash);
    const policy = this.#policy(topic, options.policy);
    if (options.presence !== undefined || options.watch) {
      if (!topic.config.presence) throw new RelayError('BAD_REQUEST', 'the topic keeps no presence', { topic: topic.name });
    }
    if (options.presence !== undefined) this.#enterPresence(topic, session, options.presence.data);
    else this.#leavePresence(topic, session, false);
    if (!topic.sessions.has(session.session)) {
      topic.sessions.add(session.session);
      session.topics.push(topic);
      this.#subscriptionCount++;
    }
    topic.lastUsedMs = this.#nowMs;
    topic.history?.evictExpired(this.#nowMs);
    const recovery = options.since === null ? null : judgeRecovery(topic, options.since, this.#options);
    if (recovery !== null) this.#countRecovery(recovery);
    const from = this.#replayFrom(topic, options, recovery);
    const plan = planReplay(topic, from, this.#options, this.#nowMs);
    const flags =
      (options.watch ? JoinFlag.WATCH : 0) |
      (topic.history === null ? 0 : JoinFlag.HISTORY) |
      (SLOW_CONSUMER_POLICIES.indexOf(policy) << JoinFlag.POLICY_SHIFT);
    this.#out.join(
      { session: session.session, sub: topic.sub, flags, topic: topic.nameBytes, restore: restoreBytes(options) },
      header.id,
      { sub: topic.sub, epoch: topic.epoch, offset: topic.offset, ...recoveryFields(recovery), replay: plan.messageCount },
    );
    this.#replay(topic, session.session, plan.from, topic.offset);
  }

  #subscribePattern(header: MessageHeader, sub: number): void {
    const options = this.#subscribeOptions(header);
    // The front has checked name and options: a pattern command runs in every lane, and all of them must take it alike.
    const session = this.#knownSession();
    const name = this.#keyText(header);
    this.#patterns.join(name, sub, session.session);
    if (!session.patterns.includes(name)) session.patterns.push(name);
    const recovery: Recovery | null =
      options.since === null && options.last === 0 ? null : { recovered: false, reason: 'NO_HISTORY' };
    const flags = JoinFlag.PATTERN | (SLOW_CONSUMER_POLICIES.indexOf(options.policy ?? 'disconnect') << JoinFlag.POLICY_SHIFT);
    this.#out.join(
      {
        session: session.session,
        sub,
        flags,
        topic: this.#bytes.slice(header.keyStart, header.keyEnd),
        restore: restoreBytes(options),
      },
      header.id,
      { sub, epoch: null, offset: 0, ...recoveryFields(recovery), replay: 0 },
    );
  }

  #unsubscribe(header: MessageHeader, keyHash: number): void {
    const topic = this.#topics.find(keyHash, this.#bytes, header.keyStart, header.keyEnd);
    const session = this.#knownSession();
    if (topic === undefined || !topic.sessions.has(session.session)) {
      throw new RelayError('NOT_FOUND', 'not subscribed', { topic: this.#keyText(header) });
    }
    this.#leaveTopic(topic, session, false);
    session.topics.splice(session.topics.indexOf(topic), 1);
    this.#out.leave(session.session, topic.sub, header.id);
  }

  #unsubscribePattern(header: MessageHeader, sub: number): void {
    const session = this.#knownSession();
    const name = this.#keyText(header);
    const index = session.patterns.indexOf(name);
    if (index >= 0) session.patterns.splice(index, 1);
    this.#patterns.leave(name, session.session);
    this.#out.leave(session.session, sub, header.id);
  }

  #history(header: MessageHeader, keyHash: number): void {
    const options = historyOptions(this.#optionMap(header), this.#options.historyLimitDefault, this.#options.historyLimitMax);
    const topic = this.#topicOf(header, keyHash);
    const log = topic.history;
    if (log === null) throw new RelayError('BAD_REQUEST', 'the topic keeps no history', { topic: topic.name });
    log.evictExpired(this.#nowMs);
    const { entries, more } = queryHistory(topic, log, options, this.#nowMs);
    this.#out.historyOk(
      this.#session,
      header.id,
      { epoch: topic.epoch, first: topic.first, offset: topic.offset, more },
      entries,
    );
  }

  #presence(header: MessageHeader, keyHash: number): void {
    const { countOnly } = presenceQueryOptions(this.#optionMap(header));
    const topic = this.#topicOf(header, keyHash);
    if (!topic.config.presence) throw new RelayError('BAD_REQUEST', 'the topic keeps no presence', { topic: topic.name });
    const count = topic.presenceKnown?.count ?? 0;
    if (countOnly) {
      this.#out.ok(this.#session, header.id, { count });
      return;
    }
    const members: { id: string; data?: unknown }[] = [];
    let bytes = 0;
    for (const member of topic.presenceKnown?.members ?? []) {
      const facts = memberFacts(member);
      bytes += pack(facts).length; // Bytes, not characters: the reply must fit into a ring record.
      if (bytes > REPLY_BYTES_MAX) break;
      members.push(facts);
    }
    this.#out.ok(this.#session, header.id, members.length < count ? { count, members, truncated: true } : { count, members });
  }

  // ---- sessions

  #openSession(session: number, at: number): void {
    const { id, client } = unpack(this.#bytes.subarray(at, this.#end)) as { id: string; client: string | null };
    this.#sessions.set(session, { session, name: client ?? id, topics: [], patterns: [] });
  }

  #closeSession(number: number, abrupt: boolean): void {
    const session = this.#sessions.get(number);
    if (session === undefined) return;
    this.#sessions.delete(number);
    for (const topic of session.topics) this.#leaveTopic(topic, session, abrupt);
    for (const name of session.patterns) this.#patterns.leave(name, number);
  }

  #leaveTopic(topic: Topic, session: LaneSession, abrupt: boolean): void {
    topic.sessions.delete(session.session);
    topic.lastUsedMs = this.#nowMs;
    this.#subscriptionCount--;
    this.#leavePresence(topic, session, abrupt);
  }

  #knownSession(): LaneSession {
    const session = this.#sessions.get(this.#session);
    assert(session !== undefined, `command of session ${this.#session} before its SESSION_OPEN`);
    return session;
  }

  // ---- presence

  #enterPresence(topic: Topic, session: LaneSession, data: unknown): void {
    const change = topic.presence.enter(session.name, session.session, data, this.#options.presenceMembersMax);
    if (change.kind === 'full') {
      this.#metrics[LaneMetric.presenceMembersRefused]!++;
      throw new RelayError('LIMIT', 'the topic has all the presence members it may have', {
        presenceMembersMax: this.#options.presenceMembersMax,
      });
    }
    if (change.kind === 'none') return;
    this.#presenceEvent(topic, session.session, change.kind, { ...memberFacts(change.member), count: topic.presence.count });
  }

  #leavePresence(topic: Topic, session: LaneSession, abrupt: boolean): void {
    const presence = topic.presenceKnown;
    if (presence === null) return;
    const graceEndsAtMs = abrupt ? this.#nowMs + this.#options.presenceGraceMs : null;
    if (presence.leave(session.name, session.session, graceEndsAtMs)) {
      this.#presenceEvent(topic, session.session, 'leave', { id: session.name, count: presence.count });
    } else if (abrupt) this.#graceTopics.add(topic);
  }

  #presenceEvent(topic: Topic, causedBy: number, kind: 'join' | 'leave' | 'update', data: unknown): void {
    if (topic.sessions.size > 0) this.#out.fanoutEvent(topic.sub, causedBy, null, kind, data, true);
  }

  // ---- recovery

  #replayFrom(topic: Topic, options: SubscribeOptions, recovery: Recovery | null): number {
    if (recovery?.recovered === true) return (options.since as { offset: number }).offset + 1;
    if (options.last > 0) {
      const count = Math.min(options.last, this.#options.recoveryMessagesMax);
      return Math.max(topic.first, topic.offset - count + 1);
    }
    return topic.offset + 1;
  }

  /** Sends kept messages [from, to]; runs that have expired by their ttl are named by a skip in their place. */
  #replay(topic: Topic, session: number, from: number, to: number): void {
    if (topic.history === null || from > to) return;
    let expiredFrom = 0;
    let expiredTo = 0;
    const nameExpired = () => {
      if (expiredFrom === 0) return;
      this.#out.sendEvent(session, topic.sub, 'skip', {
        from: expiredFrom,
        to: expiredTo,
        reason: 'expired',
        count: expiredTo - expiredFrom + 1,
      });
      expiredFrom = 0;
    };
    topic.history.visit(from, to, (message) => {
      if (message.expiresAtMs <= this.#nowMs) {
        if (expiredFrom === 0) expiredFrom = message.offset;
        expiredTo = message.offset;
        return true;
      }
      nameExpired();
      this.#out.replay(session, topic.sub, message);
      this.#metrics[LaneMetric.messagesReplayed]!++;
      return true;
    });
    nameExpired();
  }

  /** Policy `pause`: the front stopped queueing after offset `after` and has room again. A chunk at a time; MORE says that live must wait. */
  #resume(session: number, keyHash: number, after: number, nameStart: number): void {
    const topic = this.#topics.find(keyHash, this.#bytes, nameStart, this.#end);
    if (topic === undefined || !topic.sessions.has(session)) return; // It has unsubscribed meanwhile.
    topic.history?.evictExpired(this.#nowMs);
    let from = after + 1;
    if (from < topic.first) {
      const lostTo = topic.first - 1;
      this.#out.sendEvent(session, topic.sub, 'lost', {
        from,
        to: lostTo,
        reason: 'EVICTED',
        epoch: topic.epoch,
        offset: lostTo,
      });
      from = topic.first;
    }
    const to = Math.min(topic.offset, planReplay(topic, from, this.#options, this.#nowMs, 'chunk').to);
    if (from <= to) this.#out.sendEvent(session, topic.sub, 'lagged', { from, to });
    this.#replay(topic, session, from, to);
    const flags = JoinFlag.RESUMED | (to < topic.offset ? JoinFlag.MORE : 0);
    const reached = new Uint8Array(8); // How far the chunk went: the front asks for what follows.
    new DataView(reached.buffer).setFloat64(0, to, true);
    this.#out.join({ session, sub: topic.sub, flags, topic: EMPTY, restore: reached }, 0, null);
  }

  #countRecovery(recovery: Recovery): void {
    const metric = {
      none: LaneMetric.recoveriesSucceeded,
      NO_HISTORY: LaneMetric.recoveriesNoHistory,
      EPOCH_CHANGED: LaneMetric.recoveriesEpochChanged,
      EVICTED: LaneMetric.recoveriesEvicted,
      TOO_MANY: LaneMetric.recoveriesTooMany,
      OFFSET_AHEAD: LaneMetric.recoveriesOffsetAhead,
    }[recovery.recovered ? 'none' : recovery.reason];
    this.#metrics[metric]!++;
  }

  // ---- restore after this lane took another's place

  #restore(number: number, sub: number, at: number): void {
    const { topic: name, pattern, presence } = unpack(this.#bytes.subarray(at, this.#end)) as RestoreOptions;
    this.#session = number;
    const session = this.#knownSession();
    if (pattern === true) {
      this.#patterns.join(name, sub, number);
      session.patterns.push(name);
      return;
    }
    const nameBytes = new TextEncoder().encode(name);
    const hash = hashBytes(nameBytes, 0, nameBytes.length);
    const topic = this.#topics.restore(hash, nameBytes, sub, this.#nowMs);
    this.#restored.add(topic);
    topic.sessions.add(number);
    session.topics.push(topic);
    this.#subscriptionCount++;
    if (presence !== undefined)
      topic.presence.enter(session.name, number, presence.data ?? undefined, this.#options.presenceMembersMax);
  }

  /** Every restored stream begins anew: its subscribers learn where, and that what lay between is lost. */
  #announceRestored(): void {
    for (const topic of this.#restored) {
      const data = { from: null, to: null, reason: 'LANE_RESTARTED', epoch: topic.epoch, offset: topic.offset };
      this.#out.fanoutEvent(topic.sub, NOBODY, null, 'lost', data, false);
    }
    this.#restored.clear();
    for (const sub of this.#patterns.subs()) {
      this.#out.fanoutEvent(
        sub,
        NOBODY,
        null,
        'lost',
        { from: null, to: null, reason: 'LANE_RESTARTED', epoch: null, offset: 0 },
        false,
      );
    }
  }

  // ---- topics

  #topicOf(header: MessageHeader, keyHash: number): Topic {
    return this.#topics.findOrMake(keyHash, this.#bytes, header.keyStart, header.keyEnd, this.#nowMs);
  }

  #policy(topic: Topic, asked: SlowConsumerPolicy | null): SlowConsumerPolicy {
    const policy = asked ?? topic.config.slowConsumer;
    if (policy !== 'pause' || topic.history !== null) return policy;
    if (asked === 'pause')
      throw new RelayError('BAD_REQUEST', "policy 'pause' needs a topic with history", { topic: topic.name });
    return 'disconnect';
  }

  // ---- reading a command

  #optionMap(header: MessageHeader): Readonly<Record<string, unknown>> {
    return decodeOptions(this.#bytes, header.bodyStart, this.#end);
  }

  #subscribeOptions(header: MessageHeader): SubscribeOptions {
    return subscribeOptions(this.#optionMap(header), this.#options.presenceBytesMax);
  }

  #keyText(header: MessageHeader): string {
    return TEXT.decode(this.#bytes.slice(header.keyStart, header.keyEnd)); // slice: TextDecoder refuses shared memory.
  }
}

/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

function memberFacts(member: { readonly id: string; readonly data: unknown }): { id: string; data?: unknown } {
  return member.data === undefined ? { id: member.id } : { id: member.id, data: member.data };
}

function recoveryFields(recovery: Recovery | null): object {
  if (recovery === null) return {};
  if (recovery.recovered) return { recovered: true };
  const { reason, lost } = recovery;
  return lost === undefined ? { recovered: false, reason } : { recovered: false, reason, lost };
}

/** What must survive this lane; most subscriptions have nothing of the kind. */
function restoreBytes(options: SubscribeOptions): Uint8Array {
  const { presence, conflateBy } = options;
  if (presence === undefined && conflateBy === null) return EMPTY;
  return pack({ ...(presence === undefined ? {} : { presence }), ...(conflateBy === null ? {} : { conflateBy }) });
}
