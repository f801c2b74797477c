/**
 * Presence as a lane speaks of it: members come, leave, are asked for, and get a grace time when their session is cut off.
 *
 * Thread: the lane's. Who is in a topic is the topic's own (presence.ts); here are the commands and the events.
 */
import { pack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import type { MessageHeader } from '../protocol/header.ts';
import { presenceQueryOptions } from '../protocol/options.ts';
import { REPLY_BYTES_MAX } from './history-query.ts';
import { type LaneContext, type LaneSession, NOBODY } from './lane-context.ts';
import { LaneMetric } from './lane-metrics.ts';
import type { Topic } from './topic.ts';

export class TopicPresence {
  readonly #lane: LaneContext;
  /** Topics with presence members in their grace time. */
  readonly #graceTopics = new Set<Topic>();

  constructor(lane: LaneContext) {
    this.#lane = lane;
  }

  /** Members whose grace is over leave. A few times a second. */
  tick(): void {
    const { nowMs } = this.#lane;
    for (const topic of this.#graceTopics) {
      for (const member of topic.presence.expire(nowMs)) {
        this.#lane.metrics[LaneMetric.presenceGraceExpired]!++;
        this.#event(topic, NOBODY, 'leave', { id: member.id, count: topic.presence.count });
      }
      let graceLeft = false;
      for (const member of topic.presence.members) if (member.sessions.size === 0) graceLeft = true;
      if (!graceLeft) this.#graceTopics.delete(topic);
    }
  }

  /** PRESENCE. `topicOf` makes the topic if need be: bad options must not. */
  query(header: MessageHeader, topicOf: () => Topic): void {
    const { countOnly } = presenceQueryOptions(this.#lane.optionMap(header));
    const topic = topicOf();
    if (!topic.config.presence) throw new RelayError('BAD_REQUEST', 'the topic keeps no presence', { topic: topic.name });
    const count = topic.presenceKnown?.count ?? 0;
    if (countOnly) {
      this.#lane.out.ok(this.#lane.session, header.id, { count });
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
    this.#lane.out.ok(
      this.#lane.session,
      header.id,
      members.length < count ? { count, members, truncated: true } : { count, members },
    );
  }

  enter(topic: Topic, session: LaneSession, data: unknown): void {
    const change = topic.presence.enter(session.name, session.session, data, this.#lane.options.presenceMembersMax);
    if (change.kind === 'full') {
      this.#lane.metrics[LaneMetric.presenceMembersRefused]!++;
      throw new RelayError('LIMIT', 'the topic has all the presence members it may have', {
        presenceMembersMax: this.#lane.options.presenceMembersMax,
      });
    }
    if (change.kind === 'none') return;
    this.#event(topic, session.session, change.kind, { ...memberFacts(change.member), count: topic.presence.count });
  }

  leave(topic: Topic, session: LaneSession, abrupt: boolean): void {
    const presence = topic.presenceKnown;
    if (presence === null) return;
    const graceEndsAtMs = abrupt ? this.#lane.nowMs + this.#lane.options.presenceGraceMs : null;
    if (presence.leave(session.name, session.session, graceEndsAtMs)) {
      this.#event(topic, session.session, 'leave', { id: session.name, count: presence.count });
    } else if (abrupt) this.#graceTopics.add(topic);
  }

  #event(topic: Topic, causedBy: number, kind: 'join' | 'leave' | 'update', data: unknown): void {
    if (topic.sessions.size > 0) this.#lane.out.fanoutEvent(topic.sub, causedBy, null, kind, data, true);
  }
}

function memberFacts(member: { readonly id: string; readonly data: unknown }): { id: string; data?: unknown } {
  return member.data === undefined ? { id: member.id } : { id: member.id, data: member.data };
}
