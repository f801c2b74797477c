/**
 * Commands on topics: PUBLISH, SUBSCRIBE, UNSUBSCRIBE, HISTORY, PRESENCE and ACK, and what a replaced lane must know of subscriptions.
 *
 * Thread: the lane's. Presence and replays have rooms of their own (topic-presence.ts, topic-replay.ts), queue groups too (groups/).
 */
import { hashBytes } from '../base/hash.ts';
import { pack, unpack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import type { Right } from '../protocol/grants.ts';
import type { MessageHeader } from '../protocol/header.ts';
import {
  decodeOptions,
  type GroupAsked,
  hasNoOptions,
  historyOptions,
  type PublishOptions,
  publishOptions,
  type SubscribeOptions,
  subscribeOptions,
} from '../protocol/options.ts';
import { JoinFlag } from '../protocol/records.ts';
import { skipValue } from '../protocol/skip.ts';
import { type Position, SLOW_CONSUMER_POLICIES, type SlowConsumerPolicy } from '../protocol/types.ts';
import { GroupCommands, type RestoredGroup } from './groups/group-commands.ts';
import { queryHistory } from './history-query.ts';
import { type LaneContext, type LaneSession, NOBODY, type OwnPublish, type OwnTopics } from './lane-context.ts';
import { LaneMetric } from './lane-metrics.ts';
import { PatternTable } from './pattern-table.ts';
import { judgeRecovery, planReplay, type Recovery } from './recovery.ts';
import { denial, type SessionGrants } from './session-grants.ts';
import type { Topic } from './topic.ts';
import { TopicPresence } from './topic-presence.ts';
import { TopicReplay } from './topic-replay.ts';
import { TopicStore } from './topic-store.ts';

interface RestoreOptions {
  readonly topic: string;
  readonly pattern?: boolean;
  readonly presence?: { readonly data: unknown };
  readonly group?: RestoredGroup;
}

const NO_PUBLISH_OPTIONS: PublishOptions = { key: null, headers: null, ttlMs: Number.POSITIVE_INFINITY, echo: null };
const EMPTY = new Uint8Array(0);
const TEXT = new TextEncoder();

export class TopicCommands implements OwnTopics {
  readonly #lane: LaneContext;
  readonly #topics: TopicStore;
  readonly #patterns = new PatternTable();
  readonly #presence: TopicPresence;
  readonly #replay: TopicReplay;
  readonly #groups: GroupCommands;
  readonly #restored = new Set<Topic>();
  #subscriptionCount = 0;

  constructor(lane: LaneContext) {
    this.#lane = lane;
    this.#topics = new TopicStore(lane.options, lane.metrics);
    this.#presence = new TopicPresence(lane);
    this.#replay = new TopicReplay(lane);
    this.#groups = new GroupCommands(lane, this);
  }

  // ---- commands

  /** Hot. */
  publish(header: MessageHeader, keyHash: number): void {
    const bytes = this.#lane.bytes;
    const optionsStart = header.bodyStart;
    let options = NO_PUBLISH_OPTIONS;
    let payloadStart = optionsStart + 1;
    if (!hasNoOptions(bytes, optionsStart)) {
      payloadStart = skipValue(bytes, optionsStart, this.#lane.end);
      options = publishOptions(decodeOptions(bytes, optionsStart, payloadStart));
    }
    const topic = this.#topicFor('pub', header, keyHash);
    if (topic.isReserved && this.#lane.sessions.get(this.#lane.session)?.isRelay !== true)
      throw new RelayError('FORBIDDEN', "names that begin with '$' belong to the relay");
    const config = topic.config;
    const payloadBytes = this.#lane.end - payloadStart;
    if (payloadBytes > config.maxPayloadBytes) {
      throw new RelayError('TOO_LARGE', 'payload is too large for its topic', {
        payloadBytes,
        maxPayloadBytes: config.maxPayloadBytes,
      });
    }
    if (options.key !== null) {
      const offset = topic.dedup.find(options.key, this.#lane.nowMs);
      if (offset >= 0) {
        this.#lane.metrics[LaneMetric.publishesDuplicate]!++;
        if (header.id !== 0) this.#lane.out.publishOk(this.#lane.session, header.id, topic.duplicatePrefix, offset);
        return;
      }
    }
    const meta = this.#meta(topic, options);
    this.#append(topic, meta, options.ttlMs, this.#lane.bytes, payloadStart, this.#lane.end);
    if (options.key !== null) this.#rememberKey(topic, options.key);
    const excluded = (options.echo ?? config.echo) ? NOBODY : this.#lane.session;
    this.#fanout(topic, excluded, meta, this.#lane.bytes, payloadStart, this.#lane.end);
    this.#lane.metrics[LaneMetric.publishes]!++;
    if (header.id !== 0) this.#lane.out.publishOk(this.#lane.session, header.id, topic.okPrefix, topic.offset);
  }

  /** Hot. Into the stream, if the topic is one. */
  #append(topic: Topic, meta: Uint8Array | null, ttlMs: number, bytes: Uint8Array, start: number, end: number): void {
    topic.lastUsedMs = this.#lane.nowMs;
    if (topic.history === null) return;
    topic.offset++;
    topic.history.append(topic.offset, this.#lane.nowMs, ttlMs, meta, bytes, start, end);
    this.#topics.keepHistoryBound(topic);
  }

  /** Hot. To the topic's subscribers, those of the patterns that match it, and its queue groups. */
  #fanout(topic: Topic, excluded: number, meta: Uint8Array | null, bytes: Uint8Array, start: number, end: number): void {
    const { out, stampUs } = this.#lane;
    if (topic.sessions.size > 0) out.fanout(topic.sub, excluded, null, topic.offset, meta, bytes, start, end, stampUs);
    const patternSubs = topic.patternSubs(this.#patterns);
    for (let index = 0; index < patternSubs.length; index++) {
      out.fanout(patternSubs[index] as number, excluded, topic.nameBytes, topic.offset, meta, bytes, start, end, stampUs);
    }
    if (topic.groups !== null) topic.groups.published(meta, bytes, start, end);
  }

  subscribe(header: MessageHeader, keyHash: number): void {
    const options = this.#subscribeOptions(header);
    const session = this.#lane.knownSession();
    const topic = this.#topicFor('sub', header, keyHash);
    if (options.presence !== undefined || options.watch) this.#demand('pres', topic);
    if (options.group !== null) return this.#subscribeInGroup(header, session, topic, options, options.group);
    const policy = this.#policy(topic, options.policy);
    if (options.presence !== undefined || options.watch) {
      if (!topic.config.presence) throw new RelayError('BAD_REQUEST', 'the topic keeps no presence', { topic: topic.name });
    }
    if (options.presence !== undefined) this.#presence.enter(topic, session, options.presence.data);
    else this.#presence.leave(topic, session, false);
    const isNew = !topic.sessions.has(session.session) && !this.#groups.leave(topic, session.session);
    topic.sessions.add(session.session);
    if (isNew) this.#subscribed(topic, session);
    topic.lastUsedMs = this.#lane.nowMs;
    topic.history?.evictExpired(this.#lane.nowMs);
    const recovery = this.#judgeRecovery(topic, options);
    if (recovery !== null) this.#replay.count(recovery);
    const from = this.#replay.firstOffset(topic, options, recovery);
    const plan = planReplay(topic, from, this.#lane.options, this.#lane.nowMs);
    const flags =
      (options.watch ? JoinFlag.WATCH : 0) |
      (topic.history === null ? 0 : JoinFlag.HISTORY) |
      (SLOW_CONSUMER_POLICIES.indexOf(policy) << JoinFlag.POLICY_SHIFT);
    this.#lane.out.join(
      { session: session.session, sub: topic.sub, flags, topic: topic.nameBytes, restore: restoreBytes(options) },
      header.id,
      { sub: topic.sub, epoch: topic.epoch, offset: topic.offset, ...recoveryFields(recovery), replay: plan.messageCount },
    );
    this.#replay.send(topic, session.session, plan.from, topic.offset);
  }

  #subscribeInGroup(
    header: MessageHeader,
    session: LaneSession,
    topic: Topic,
    options: SubscribeOptions,
    asked: GroupAsked,
  ): void {
    this.#groups.check(topic, session.session, asked);
    // The relay itself will publish there: not for somebody who may not.
    if (asked.deadLetter !== null) this.#lane.demand('pub', asked.deadLetter);
    const isNew = !topic.sessions.delete(session.session) && topic.groups?.of(session.session) === undefined;
    if (isNew) this.#subscribed(topic, session);
    this.#presence.leave(topic, session, false);
    topic.lastUsedMs = this.#lane.nowMs;
    const group = this.#groups.join(topic, session.session, asked);
    const policy = SLOW_CONSUMER_POLICIES.indexOf(this.#groupPolicy(topic, options.policy, asked));
    const flags = JoinFlag.GROUP | (topic.history === null ? 0 : JoinFlag.HISTORY) | (policy << JoinFlag.POLICY_SHIFT);
    this.#lane.out.join(
      { session: session.session, sub: topic.sub, flags, topic: topic.nameBytes, restore: pack({ group }) },
      header.id,
      { sub: topic.sub, epoch: topic.epoch, offset: topic.offset, replay: 0 },
    );
    this.#groups.start(topic, session.session);
  }

  subscribePattern(header: MessageHeader, sub: number): void {
    const options = this.#subscribeOptions(header);
    // The front has checked name and options: a pattern command runs in every lane, and all of them must take it alike.
    const session = this.#lane.knownSession();
    const name = this.#lane.keyText(header);
    this.#patterns.join(name, sub, session.session);
    if (!session.patterns.includes(name)) session.patterns.push(name);
    const recovery: Recovery | null =
      options.since === null && options.last === 0 ? null : { recovered: false, reason: 'NO_HISTORY' };
    const flags = JoinFlag.PATTERN | (SLOW_CONSUMER_POLICIES.indexOf(options.policy ?? 'disconnect') << JoinFlag.POLICY_SHIFT);
    this.#lane.out.join(
      {
        session: session.session,
        sub,
        flags,
        topic: this.#lane.bytes.slice(header.keyStart, header.keyEnd),
        restore: restoreBytes(options),
      },
      header.id,
      { sub, epoch: null, offset: 0, ...recoveryFields(recovery), replay: 0 },
    );
  }

  unsubscribe(header: MessageHeader, keyHash: number): void {
    const topic = this.#topics.find(keyHash, this.#lane.bytes, header.keyStart, header.keyEnd);
    const session = this.#lane.knownSession();
    if (topic === undefined || !session.topics.includes(topic)) {
      throw new RelayError('NOT_FOUND', 'not subscribed', { topic: this.#lane.keyText(header) });
    }
    this.#leaveTopic(topic, session, false);
    session.topics.splice(session.topics.indexOf(topic), 1);
    this.#lane.out.leave(session.session, topic.sub, header.id);
  }

  unsubscribePattern(header: MessageHeader, sub: number): void {
    const session = this.#lane.knownSession();
    const name = this.#lane.keyText(header);
    const index = session.patterns.indexOf(name);
    if (index >= 0) session.patterns.splice(index, 1);
    this.#patterns.leave(name, session.session);
    this.#lane.out.leave(session.session, sub, header.id);
  }

  history(header: MessageHeader, keyHash: number): void {
    const options = historyOptions(
      this.#lane.optionMap(header),
      this.#lane.options.historyLimitDefault,
      this.#lane.options.historyLimitMax,
    );
    const topic = this.#topicFor('hist', header, keyHash);
    const log = topic.history;
    if (log === null) throw new RelayError('BAD_REQUEST', 'the topic keeps no history', { topic: topic.name });
    log.evictExpired(this.#lane.nowMs);
    const { entries, more } = queryHistory(topic, log, options, this.#lane.nowMs);
    this.#lane.out.historyOk(
      this.#lane.session,
      header.id,
      { epoch: topic.epoch, first: topic.first, offset: topic.offset, more },
      entries,
    );
  }

  ack(header: MessageHeader, keyHash: number): void {
    this.#groups.ack(header, this.#topics.find(keyHash, this.#lane.bytes, header.keyStart, header.keyEnd));
  }

  /** REPLY: `bytes[at, end)` holds one message or more that answer this lane's REQUESTs, dead letters among them. */
  replies(at: number): void {
    this.#groups.replies(at);
  }

  presence(header: MessageHeader, keyHash: number): void {
    this.#presence.query(header, () => this.#topicFor('pres', header, keyHash));
  }

  /** Policy `pause`: the front stopped queueing after offset `after` and has room again. */
  resume(session: number, keyHash: number, after: number, nameStart: number): void {
    const topic = this.#topics.find(keyHash, this.#lane.bytes, nameStart, this.#lane.end);
    if (topic === undefined || !topic.sessions.has(session)) return; // It has unsubscribed meanwhile.
    this.#replay.resume(topic, session, after);
  }

  // ---- the relay's own topics (OwnTopics)

  /** Publishes for the relay itself, to a name under `$` that placement.ts puts into this lane. `payload` is one encoded value. */
  publishOwn(name: string, payload: Uint8Array, { headers, last }: OwnPublish = {}): Position {
    const topic = this.#ownTopic(name, last?.epoch);
    if (last !== undefined && topic.offset < last.offset) topic.offset = last.offset;
    const meta = headers === undefined ? null : pack({ headers });
    this.#append(topic, meta, Number.POSITIVE_INFINITY, payload, 0, payload.length);
    this.#fanout(topic, NOBODY, meta, payload, 0, payload.length);
    return { epoch: topic.epoch, offset: topic.offset };
  }

  /** Where the stream of that name stands; made if need be. */
  ownPosition(name: string): Position {
    const { epoch, offset } = this.#ownTopic(name);
    return { epoch, offset };
  }

  hasRoomForOwn(name: string): boolean {
    const bytes = TEXT.encode(name);
    return this.#topics.hasRoomFor(hashBytes(bytes, 0, bytes.length), bytes, this.#lane.nowMs);
  }

  /**
   * The stream of a dead lane again, from its journal: `payloads` as the next offsets, from 1 on, under the same epoch (null: not all of it is known, so
   * it is another stream). Before any subscription is restored, or the topic would be there already, with an epoch of its own.
   */
  rebuildOwn(name: string, epoch: string | null, payloads: readonly Uint8Array[]): void {
    const topic = this.#ownTopic(name, epoch ?? undefined);
    for (const payload of payloads) this.#append(topic, null, Number.POSITIVE_INFINITY, payload, 0, payload.length);
  }

  #ownTopic(name: string, epoch?: string): Topic {
    const bytes = TEXT.encode(name);
    return this.#topics.own(hashBytes(bytes, 0, bytes.length), bytes, this.#lane.nowMs, epoch);
  }

  // ---- sessions and time

  /**
   * The session's rights have changed: subscriptions that it may not have any more end, each with a `lost` event; and so does presence, without one. The
   * front sees to it that it is told of no others' any more.
   */
  recheck(session: LaneSession, grants: SessionGrants): void {
    for (const topic of [...session.topics]) {
      this.#groups.recheck(topic, session.session, grants);
      if (grants.mayUse('sub', topic)) {
        if (!grants.mayUse('pres', topic)) this.#presence.leave(topic, session, false);
        continue;
      }
      session.topics.splice(session.topics.indexOf(topic), 1);
      this.#leaveTopic(topic, session, false);
      const { epoch, offset } = topic;
      this.#lane.out.sendEvent(session.session, topic.sub, 'lost', { from: null, to: null, reason: 'FORBIDDEN', epoch, offset });
      this.#lane.out.leave(session.session, topic.sub, 0);
    }
    // The front, which answers for patterns, tells the client.
    for (const name of [...session.patterns]) {
      if (grants.covers('sub', name)) continue;
      session.patterns.splice(session.patterns.indexOf(name), 1);
      this.#patterns.leave(name, session.session);
    }
  }

  sessionClosed(session: LaneSession, abrupt: boolean): void {
    for (const topic of session.topics) this.#leaveTopic(topic, session, abrupt);
    for (const name of session.patterns) this.#patterns.leave(name, session.session);
  }

  tick(): void {
    this.#presence.tick();
    this.#groups.tick();
    this.#topics.sweepIdle(this.#lane.nowMs);
    const { metrics } = this.#lane;
    metrics[LaneMetric.topics] = this.#topics.size;
    metrics[LaneMetric.subscriptions] = this.#subscriptionCount;
    metrics[LaneMetric.patterns] = this.#patterns.size;
    metrics[LaneMetric.historyBytes] = this.#topics.historyBytes;
    metrics[LaneMetric.historyBytesReserved] = this.#topics.historyBytesReserved;
  }

  // ---- restore after this lane took another's place

  restore(number: number, sub: number, at: number): void {
    const { topic: name, pattern, presence, group } = unpack(this.#lane.bytes.subarray(at, this.#lane.end)) as RestoreOptions;
    this.#lane.session = number;
    const session = this.#lane.knownSession();
    if (pattern === true) {
      if (session.grants?.covers('sub', name) === false) return; // It was joining; the front refuses it.
      this.#patterns.join(name, sub, number);
      session.patterns.push(name);
      return;
    }
    const nameBytes = new TextEncoder().encode(name);
    const hash = hashBytes(nameBytes, 0, nameBytes.length);
    const topic = this.#topics.restore(hash, nameBytes, sub, this.#lane.nowMs);
    if (session.grants?.mayUse('sub', topic) === false) {
      // The right to it was taken away while no lane was there to see it.
      this.#lane.out.sendEvent(number, sub, 'lost', {
        from: null,
        to: null,
        reason: 'FORBIDDEN',
        epoch: topic.epoch,
        offset: topic.offset,
      });
      this.#lane.out.leave(number, sub, 0);
      return;
    }
    this.#restored.add(topic);
    this.#subscribed(topic, session);
    if (group === undefined) topic.sessions.add(number);
    else this.#groups.restore(topic, number, group, session.grants);
    if (presence !== undefined && session.grants?.mayUse('pres', topic) !== false)
      topic.presence.enter(session.name, number, presence.data ?? undefined, this.#lane.options.presenceMembersMax);
  }

  /** Every restored stream begins anew: its subscribers learn where, and that what lay between is lost. */
  announceRestored(): void {
    for (const topic of this.#restored) {
      const data = { from: null, to: null, reason: 'LANE_RESTARTED', epoch: topic.epoch, offset: topic.offset };
      this.#lane.out.fanoutEvent(topic.sub, NOBODY, null, 'lost', data, false);
    }
    this.#restored.clear();
    for (const sub of this.#patterns.subs()) {
      this.#lane.out.fanoutEvent(
        sub,
        NOBODY,
        null,
        'lost',
        { from: null, to: null, reason: 'LANE_RESTARTED', epoch: null, offset: 0 },
        false,
      );
    }
  }

  // ---- parts of commands

  #meta(topic: Topic, options: PublishOptions): Uint8Array | null {
    const { stampTime, stampPublisher } = topic.config;
    if (options.headers === null && !stampTime && !stampPublisher) return null;
    const meta: Record<string, unknown> = {};
    if (stampPublisher) meta['publisher'] = this.#lane.sessions.get(this.#lane.session)?.name ?? '';
    if (stampTime) meta['timeUs'] = BigInt(Math.round(this.#lane.nowMs * 1_000)); // BigInt: an integer on the wire, not a float.
    if (options.headers !== null) meta['headers'] = options.headers;
    return pack(meta);
  }

  #rememberKey(topic: Topic, key: string): void {
    const { dedupWindowMs, dedupKeysMax } = this.#lane.options;
    const shortened = topic.dedup.remember(key, topic.offset, this.#lane.nowMs + dedupWindowMs, this.#lane.nowMs, dedupKeysMax);
    if (shortened) this.#lane.metrics[LaneMetric.dedupKeysEvicted]!++;
  }

  #subscribed(topic: Topic, session: LaneSession): void {
    session.topics.push(topic);
    this.#subscriptionCount++;
  }

  #leaveTopic(topic: Topic, session: LaneSession, abrupt: boolean): void {
    if (!topic.sessions.delete(session.session)) this.#groups.leave(topic, session.session);
    topic.lastUsedMs = this.#lane.nowMs;
    this.#subscriptionCount--;
    this.#presence.leave(topic, session, abrupt);
  }

  /** Hot. The command's topic, for a sender that has the right to it. For one that has not, nothing is made. */
  #topicFor(right: Right, header: MessageHeader, keyHash: number): Topic {
    const { bytes, nowMs } = this.#lane;
    const grants = this.#lane.grants();
    if (grants !== null) {
      const known = this.#topics.find(keyHash, bytes, header.keyStart, header.keyEnd);
      if (known === undefined) this.#lane.demand(right, this.#lane.keyText(header));
      else if (!grants.mayUse(right, known)) throw denial(right, known.name);
      else return known;
    }
    return this.#topics.findOrMake(keyHash, bytes, header.keyStart, header.keyEnd, nowMs);
  }

  #demand(right: Right, topic: Topic): void {
    if (this.#lane.grants()?.mayUse(right, topic) === false) throw denial(right, topic.name);
  }

  /** Replays are reading from history, and ask for that right each time. Without it a subscription is live only, and told so. */
  #judgeRecovery(topic: Topic, { since, last }: SubscribeOptions): Recovery | null {
    if (since === null && last === 0) return null;
    if (this.#lane.grants()?.mayUse('hist', topic) === false) return { recovered: false, reason: 'FORBIDDEN' };
    return since === null ? null : judgeRecovery(topic, since, this.#lane.options);
  }

  #policy(topic: Topic, asked: SlowConsumerPolicy | null): SlowConsumerPolicy {
    const policy = asked ?? topic.config.slowConsumer;
    if (policy !== 'pause' || topic.history !== null) return policy;
    if (asked === 'pause')
      throw new RelayError('BAD_REQUEST', "policy 'pause' needs a topic with history", { topic: topic.name });
    return 'disconnect';
  }

  /** A topic's own policy is meant for readers who get everything. With ack the window bounds what waits, and nothing may be dropped. */
  #groupPolicy(topic: Topic, asked: SlowConsumerPolicy | null, { ack }: GroupAsked): SlowConsumerPolicy {
    const policy = asked ?? topic.config.slowConsumer;
    return ack || policy === 'conflate' || policy === 'pause' ? 'disconnect' : policy;
  }

  #subscribeOptions(header: MessageHeader): SubscribeOptions {
    return subscribeOptions(this.#lane.optionMap(header), this.#lane.options.presenceBytesMax);
  }
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
