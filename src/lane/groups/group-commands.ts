/**
 * Queue groups as commands see them: SUBSCRIBE with a group, ACK, leaving, restoring, and what a lane tells of all its groups.
 *
 * Thread: the lane's. A session is subscribed to a topic plainly or in one group; topic-commands.ts knows the plain ones.
 */
import { RelayError } from '../../protocol/errors.ts';
import type { MessageHeader } from '../../protocol/header.ts';
import { ackOptions, type GroupAsked } from '../../protocol/options.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import type { SessionGrants } from '../session-grants.ts';
import type { Topic } from '../topic.ts';
import { AckGroup, type AckGroupHost } from './ack-group.ts';
import { DeadLetters, defaultDeadLetter } from './dead-letters.ts';
import type { GivenBack, Pending } from './pending.ts';
import { type GroupTotals, HandOverGroup, type QueueGroup } from './queue-group.ts';
import { TopicGroups } from './topic-groups.ts';

/** What a replaced lane needs back of a member: what it asked for, and when, among all members of the lane's groups. */
export interface RestoredGroup extends GroupAsked {
  readonly order: number;
}

export class GroupCommands implements AckGroupHost {
  readonly #lane: LaneContext;
  readonly #deadLetters: DeadLetters;
  readonly #totals: GroupTotals = { groups: 0, members: 0, pending: 0, waiting: 0 };
  /** Counts SUBSCRIBEs with a group. */
  #order = 0;

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    this.#deadLetters = new DeadLetters(lane, topics);
  }

  /** May the session be a member? Throws before anything has changed. */
  check(topic: Topic, session: number, asked: GroupAsked): void {
    const known = topic.groups?.find(asked.name);
    if (known !== undefined && known.acknowledges !== asked.ack && !isReplaceable(known, session)) {
      throw new RelayError('CONFLICT', `the group works ${known.acknowledges ? 'with' : 'without'} ack`, {
        topic: topic.name,
        group: known.name,
        ack: known.acknowledges,
      });
    }
    if (asked.ack) checkAck(topic, asked);
    const { groupsPerTopicMax } = this.#lane.options.groups;
    const current = topic.groups?.of(session);
    const size = (topic.groups?.size ?? 0) - (current !== undefined && isReplaceable(current, session) ? 1 : 0);
    if (known === undefined && size >= groupsPerTopicMax) {
      this.#lane.metrics[LaneMetric.groupsRefused]!++;
      throw new RelayError('LIMIT', 'the topic has all the queue groups it may have', { groupsPerTopicMax });
    }
  }

  /** Makes the session a member, out of another group if need be. `start` follows when its JOIN is out. What a replaced lane needs back. */
  join(topic: Topic, session: number, asked: GroupAsked): RestoredGroup {
    const order = ++this.#order;
    this.#enter(topic, session, asked, order);
    return { ...asked, order };
  }

  restore(topic: Topic, session: number, restored: RestoredGroup, grants: SessionGrants | null): void {
    this.#order = Math.max(this.#order, restored.order);
    this.#enter(topic, session, restored, restored.order);
    if (grants !== null) this.recheck(topic, session, grants);
  }

  /** Before the session leaves the topic, if it must: what it holds may be dead letters then. */
  recheck(topic: Topic, session: number, grants: SessionGrants): void {
    const group = topic.groups?.of(session);
    if (group instanceof AckGroup) group.recheckDeadLetter(session, (deadLetter) => grants.may('pub', deadLetter));
  }

  /** Gives a new member what waits for it. */
  start(topic: Topic, session: number): void {
    const group = topic.groups?.of(session);
    if (group instanceof AckGroup) group.pump();
  }

  /** The session is no member of any group of the topic any more. False: it was none. */
  leave(topic: Topic, session: number): boolean {
    const group = topic.groups?.of(session);
    if (group === undefined) return false;
    (topic.groups as TopicGroups).leave(session);
    if (group.leave(session)) this.#remove(group);
    return true;
  }

  /** ACK. `topic` undefined: there is none of that name. */
  ack(header: MessageHeader, topic: Topic | undefined): void {
    const { offsets, epoch, requeue, delayMs } = ackOptions(this.#lane.optionMap(header));
    const { session } = this.#lane;
    const group = topic?.groups?.of(session);
    if (topic === undefined || !(group instanceof AckGroup))
      throw new RelayError('NOT_FOUND', 'no member of a group with ack', { topic: this.#lane.keyText(header) });
    if (epoch !== null && epoch !== topic.epoch)
      throw new RelayError('NOT_FOUND', 'the stream has another epoch: its messages are not pending', {
        ackEpoch: epoch,
        epoch: topic.epoch,
      });
    const { missing, firstMissing } = group.settle(session, offsets, requeue, delayMs);
    if (missing > 0) {
      throw new RelayError('NOT_FOUND', 'not pending with this session', {
        offset: firstMissing,
        missing,
        settled: offsets.length - missing,
      });
    }
    this.#lane.out.ok(session, header.id, null);
  }

  /** REPLY: answers to what was published for dead letters, among others. */
  replies(at: number): void {
    this.#deadLetters.replies(at);
  }

  tick(): void {
    const { metrics } = this.#lane;
    metrics[LaneMetric.groups] = this.#totals.groups;
    metrics[LaneMetric.groupMembers] = this.#totals.members;
    metrics[LaneMetric.groupPending] = this.#totals.pending;
    metrics[LaneMetric.groupsWaiting] = this.#totals.waiting;
  }

  // ---- AckGroupHost

  bury(group: AckGroup, pending: Pending, reason: GivenBack): void {
    this.#deadLetters.bury({ group, pending, reason });
  }

  forgotten(group: AckGroup): void {
    this.#lane.metrics[LaneMetric.groupsForgotten]!++;
    this.#remove(group);
  }

  // ----

  #enter(topic: Topic, session: number, asked: GroupAsked, order: number): void {
    const current = topic.groups?.of(session);
    if (current !== undefined && (current.name !== asked.name || current.acknowledges !== asked.ack)) this.leave(topic, session);
    topic.groups ??= new TopicGroups();
    let group = topic.groups.find(asked.name);
    if (group === undefined) {
      group = asked.ack
        ? new AckGroup(topic, this.#lane, this.#totals, this, asked, order)
        : new HandOverGroup(asked.name, topic, this.#lane, this.#totals);
      topic.groups.add(group);
    }
    topic.groups.enter(session, group);
    if (group instanceof AckGroup) group.join(session, asked, order);
    else (group as HandOverGroup).join(session);
  }

  #remove(group: QueueGroup): void {
    const { topic } = group;
    topic.groups?.remove(group);
    if (topic.groups?.size === 0) topic.groups = null;
    topic.lastUsedMs = this.#lane.nowMs;
  }
}

/** It ends when this session leaves it. */
function isReplaceable(group: QueueGroup, session: number): boolean {
  return !group.acknowledges && group.memberCount === 1 && group.has(session);
}

function checkAck(topic: Topic, { deadLetter }: GroupAsked): void {
  if (topic.history === null) throw new RelayError('BAD_REQUEST', 'ack needs a topic with history', { topic: topic.name });
  if (deadLetter === topic.name) throw new RelayError('BAD_REQUEST', 'deadLetter must be another topic', { topic: topic.name });
  if (deadLetter === null && defaultDeadLetter(topic) === null)
    throw new RelayError('BAD_REQUEST', 'the topic has no dead-letter topic of its own: name a deadLetter', {
      topic: topic.name,
    });
}
