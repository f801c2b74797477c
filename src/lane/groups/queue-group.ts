/**
 * A queue group: members that share a topic's messages, each message for one of them. Here what both kinds have in common, and the kind without
 * acknowledgements; ack-group.ts is the other.
 *
 * Thread: the lane's; owned by its topic.
 */
import type { LaneContext } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import type { Topic } from '../topic.ts';
import { GroupMember, Rotation } from './group-member.ts';

/** Over all groups of the lane; gauges are made of them. */
export interface GroupTotals {
  groups: number;
  members: number;
  pending: number;
  waiting: number;
}

export abstract class QueueGroup {
  readonly name: string;
  readonly topic: Topic;
  readonly lane: LaneContext;
  protected readonly totals: GroupTotals;
  protected readonly members = new Map<number, GroupMember>();
  protected readonly rotation = new Rotation();

  constructor(name: string, topic: Topic, lane: LaneContext, totals: GroupTotals) {
    this.name = name;
    this.topic = topic;
    this.lane = lane;
    this.totals = totals;
    totals.groups++;
  }

  abstract readonly acknowledges: boolean;

  get memberCount(): number {
    return this.members.size;
  }

  has(session: number): boolean {
    return this.members.has(session);
  }

  /** Hot. The topic has a new message, the one with its newest offset: `meta` and `source[start, end)`. */
  abstract published(meta: Uint8Array | null, source: Uint8Array, start: number, end: number): void;

  /** True: the group is over with its last member. */
  abstract leave(session: number): boolean;

  protected enter(session: number, inFlightMax: number): GroupMember {
    const member = new GroupMember(session, inFlightMax);
    this.members.set(session, member);
    this.totals.members++;
    this.rotation.place(member);
    return member;
  }

  protected remove(session: number): GroupMember | undefined {
    const member = this.members.get(session);
    if (member === undefined) return undefined;
    this.members.delete(session);
    this.totals.members--;
    this.rotation.remove(member);
    return member;
  }
}

/** Without acknowledgements: the next member gets it, and that is that. Its slow-consumer policy acts on the front. */
export class HandOverGroup extends QueueGroup {
  readonly acknowledges = false;

  join(session: number): void {
    if (!this.members.has(session)) this.enter(session, Number.POSITIVE_INFINITY);
  }

  leave(session: number): boolean {
    this.remove(session);
    if (this.members.size > 0) return false;
    this.totals.groups--;
    return true;
  }

  published(meta: Uint8Array | null, source: Uint8Array, start: number, end: number): void {
    const member = this.rotation.next(null);
    this.rotation.place(member);
    const { topic, lane } = this;
    lane.out.deliver(member.session, topic.sub, topic.offset, 0, meta, source, start, end);
    lane.metrics[LaneMetric.groupDeliveries]!++;
  }
}
