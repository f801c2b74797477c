/**
 * Hub: who is subscribed to what, and sending one frame to all of them.
 *
 * Thread: front only. Owns the member lists and the send queues; nobody else writes to them.
 * Not here: permissions, order and history (lane/), sockets (transport/), commands (front.ts).
 *
 * Own fan-out instead of the transport's publish: every send has a result, so nothing is dropped in silence. Frames of one drain are
 * collected per session and leave as few WebSocket messages at its end: one write for many messages is what saves CPU.
 */
import { unpack } from '../protocol/codec.ts';
import type { MessageHeader } from '../protocol/header.ts';
import { FanoutFlag, JoinFlag } from '../protocol/records.ts';
import { SLOW_CONSUMER_POLICIES, type SlowConsumerPolicy } from '../protocol/types.ts';
import type { DropLedger, FrontMetrics } from './front-metrics.ts';
import { SendResult } from './ports.ts';
import { SendQueue } from './send-queue.ts';
import type { Session } from './session.ts';

const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });
/** Sessions that the list of a drain holds on to until the next one, gone or not. */
const DIRTY_KEPT_MAX = 1_024;

export interface Subscription {
  readonly sub: number;
  readonly topic: string;
  readonly isPattern: boolean;
  /** -1 for a pattern: it is in all of them. */
  readonly lane: number;
  /** Order means nothing; removal swaps the last one in. */
  readonly members: Member[];
}

/** One session's place in one subscription. */
export interface Member {
  readonly session: Session;
  readonly subscription: Subscription;
  index: number;
  policy: SlowConsumerPolicy;
  conflateBy: string | null;
  watchesPresence: boolean;
  /** Member of a queue group: it gets what the group gives it, not what all get. */
  isInGroup: boolean;
  /** Encoded options that a replaced lane needs back; empty for none. */
  restore: Uint8Array;
  /** Policy pause: live messages are not for this member until its lane has replayed what follows this offset. -1: not paused. */
  pausedAfter: number;
  /** A RESUME is under way. */
  resuming: boolean;
}

export interface HubOptions {
  /** Waiting bytes per connection at which policies act. */
  readonly sendQueueBytesMax: number;
  /** Relay messages share a WebSocket message up to this size. */
  readonly mergedFrameBytesMax: number;
}

export interface HubEvents {
  /** The session must go: it reads too slowly. Called at the end of a drain, never inside a loop over members. */
  onSlowConsumer(session: Session): void;
  /** Monotonic, exact to a tick: how long somebody waits. */
  nowMs(): number;
  /** A paused member has room again. */
  onResumable(member: Member): void;
}

export class Hub {
  readonly #options: HubOptions;
  readonly #events: HubEvents;
  readonly #metrics: FrontMetrics;
  readonly #ledger: DropLedger;
  readonly #subscriptions = new Map<number, Subscription>();
  /** Sessions with frames of the current drain. */
  readonly #dirty: Session[] = [];
  /** How many of them count. A short list keeps its length: emptying it would give its memory back and grow it again in every drain. */
  #dirtyCount = 0;
  readonly #tooSlow: Session[] = [];
  readonly #merged: Uint8Array;
  /** Answers of the front itself wait for `sendCollected`. */
  #isCollecting = false;
  /** The last frame that had to be copied for a queue: slow members of one subscription share the copy. */
  #copySource: Uint8Array | null = null;
  #copy: Uint8Array | null = null;
  readonly #onDrop = (reason: Parameters<DropLedger['add']>[0], member: Member, topic: string, count: number): void => {
    this.#ledger.add(reason, topic === '' ? member.subscription.topic : topic, count);
  };

  constructor(options: HubOptions, events: HubEvents, metrics: FrontMetrics, ledger: DropLedger) {
    this.#options = options;
    this.#events = events;
    this.#metrics = metrics;
    this.#ledger = ledger;
    this.#merged = new Uint8Array(options.mergedFrameBytesMax);
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size;
  }

  subscriptionsOfLane(lane: number): Subscription[] {
    return [...this.#subscriptions.values()].filter((subscription) => subscription.lane === lane || subscription.isPattern);
  }

  // ---- members

  /** Adds the session or replaces its options. */
  join(session: Session, sub: number, topic: string, lane: number, flags: number, restore: Uint8Array): Member {
    let subscription = this.#subscriptions.get(sub);
    if (subscription === undefined) {
      subscription = { sub, topic, isPattern: (flags & JoinFlag.PATTERN) !== 0, lane, members: [] };
      this.#subscriptions.set(sub, subscription);
    }
    const policy = SLOW_CONSUMER_POLICIES[flags >> JoinFlag.POLICY_SHIFT] as SlowConsumerPolicy;
    const { conflateBy = null } = restore.length === 0 ? {} : (unpack(restore) as { conflateBy?: string });
    // Its rights may have changed since the lane judged it.
    const watchesPresence = (flags & JoinFlag.WATCH) !== 0 && mayWatch(session, topic);
    const isInGroup = (flags & JoinFlag.GROUP) !== 0;
    if (isInGroup && session.limits !== null) session.limits.hasJoinedGroup = true;
    const known = findMember(session, subscription);
    if (known !== undefined) {
      known.policy = policy;
      known.conflateBy = conflateBy;
      known.watchesPresence = watchesPresence;
      known.isInGroup = isInGroup;
      known.restore = restore;
      session.queue?.breakStreams(known);
      known.pausedAfter = -1; // Its replay, or its own choice of position, follows.
      known.resuming = false;
      return known;
    }
    const index = subscription.members.length;
    const member: Member = {
      session,
      subscription,
      index,
      policy,
      conflateBy,
      watchesPresence,
      isInGroup,
      restore,
      pausedAfter: -1,
      resuming: false,
    };
    subscription.members.push(member);
    session.members.push(member);
    session.limits?.countSubscriptions(1);
    return member;
  }

  /** The session's rights have changed: who is where is told to it no more, where it may not know. */
  recheckWatching(session: Session): void {
    for (const member of session.members) member.watchesPresence &&= mayWatch(session, member.subscription.topic);
  }

  findMember(session: Session, sub: number): Member | undefined {
    return session.members.find((member) => member.subscription.sub === sub);
  }

  /** Is it subscribed to what the header's key names, topic or pattern? */
  isIn(session: Session, bytes: Uint8Array, { keyStart, keyEnd }: MessageHeader): boolean {
    const name = TEXT.decode(bytes.subarray(keyStart, keyEnd));
    return session.members.some(({ subscription }) => subscription.topic === name);
  }

  /** The session leaves one subscription; false if it was not in it. What still waits for it of that sub goes too. */
  leave(session: Session, sub: number): boolean {
    const member = this.findMember(session, sub);
    if (member === undefined) return false;
    session.members.splice(session.members.indexOf(member), 1);
    session.queue?.forget(member);
    this.#remove(member);
    return true;
  }

  /** The session is gone. */
  leaveAll(session: Session, reason: 'disconnect' | 'closed'): void {
    for (const member of session.members) this.#remove(member);
    session.members.length = 0;
    session.queue?.abandon(reason);
    session.queue = null;
    session.firstFrame = null;
    session.moreFrames.length = 0;
  }

  #remove(member: Member): void {
    const { members, sub } = member.subscription;
    member.session.limits?.countSubscriptions(-1);
    const last = members.pop() as Member;
    if (last !== member) {
      members[member.index] = last;
      last.index = member.index;
    }
    if (members.length === 0) this.#subscriptions.delete(sub);
  }

  // ---- sending

  /** Hot. One frame to all members. `frame` is ring memory: used up before `endDrain` returns. */
  fanout(frame: Uint8Array, sub: number, excludedSession: number, flags: number): void {
    const subscription = this.#subscriptions.get(sub);
    if (subscription === undefined) return;
    const members = subscription.members;
    const isEvent = (flags & FanoutFlag.EVENT) !== 0;
    const watchersOnly = (flags & FanoutFlag.WATCHERS_ONLY) !== 0;
    let deliveries = 0;
    for (let index = 0; index < members.length; index++) {
      const member = members[index] as Member;
      const session = member.session;
      if (session.number === excludedSession || (member.isInGroup && !isEvent)) continue;
      if (isEvent ? watchersOnly && !member.watchesPresence : member.pausedAfter >= 0) continue;
      deliveries++;
      if (session.queue !== null) {
        if (isEvent) {
          if (!watchersOnly) session.queue.breakStreams(member); // A lost event: the stream begins anew behind it.
          this.#queueControl(session, frame);
        } else this.#queueMessage(member, frame);
      } else if (session.firstFrame === null) {
        session.firstFrame = frame;
        this.#dirty[this.#dirtyCount++] = session;
      } else session.moreFrames.push(frame);
    }
    this.#metrics.deliveries += deliveries;
  }

  /** A MESSAGE for one member: its queue group has chosen it. */
  deliver(session: Session, sub: number, frame: Uint8Array): void {
    const member = this.findMember(session, sub);
    if (member === undefined || member.pausedAfter >= 0) return;
    this.#metrics.deliveries++;
    if (session.queue !== null) this.#queueMessage(member, frame);
    else this.send(session, frame);
  }

  /** A frame for one session, in order with its fan-outs of this drain. */
  send(session: Session, frame: Uint8Array): void {
    if (session.queue !== null) this.#queueControl(session, frame);
    else if (session.firstFrame === null) {
      session.firstFrame = frame;
      this.#dirty[this.#dirtyCount++] = session;
    } else session.moreFrames.push(frame);
  }

  /** A frame outside any drain (an answer of the front itself): sent at once, or with the others between `collect` and `sendCollected`. */
  sendNow(session: Session, frame: Uint8Array): void {
    if (this.#isCollecting) this.send(session, frame);
    else if (session.queue !== null) {
      this.#queueControl(session, frame);
      this.endDrain();
    } else {
      this.#write(session, frame);
      this.#closeTooSlow();
    }
  }

  /** From now on answers of the front are collected, as records are in a drain: 10,000 answers to one message are then no 10,000 writes. */
  collect(): void {
    this.#isCollecting = true;
  }

  sendCollected(): void {
    this.#isCollecting = false;
    this.endDrain();
  }

  /** What is collected for the session, before it is closed. */
  flushBeforeClose(session: Session): void {
    this.#flush(session);
  }

  /** Hands everything collected to the sockets. After this the drain's ring memory may be reused. */
  endDrain(): void {
    for (let index = 0; index < this.#dirtyCount; index++) this.#flush(this.#dirty[index] as Session);
    if (this.#dirtyCount > DIRTY_KEPT_MAX) this.#dirty.length = 0;
    this.#dirtyCount = 0;
    this.#copySource = this.#copy = null;
    this.#closeTooSlow();
  }

  #closeTooSlow(): void {
    while (this.#tooSlow.length > 0) {
      const session = this.#tooSlow.pop() as Session;
      if (session.isLive) this.#events.onSlowConsumer(session);
    }
  }

  /** The transport's buffer of this connection has shrunk. Once it is empty: send on, as far as it goes. */
  onDrain(session: Session): void {
    const queue = session.queue;
    if (queue === null || !session.isLive) return;
    // Topping up a buffer that still holds something would move the queue into it, where no policy sees it, up to the transport's limit.
    if (session.connection.bufferedBytes() > 0) return;
    let frame = queue.peek();
    while (frame !== null) {
      queue.shift();
      // One message alone goes as it is; several are merged as they would be in a drain.
      let used = 0;
      let next = queue.peek();
      while (next !== null && Math.max(used, frame.length) + next.length <= this.#merged.length) {
        if (used === 0) {
          this.#merged.set(frame, 0);
          used = frame.length;
        }
        this.#merged.set(next, used);
        used += next.length;
        queue.shift();
        next = queue.peek();
      }
      if (!this.#send(session, used === 0 ? frame : this.#merged.subarray(0, used))) {
        this.#closeTooSlow();
        return;
      }
      frame = next;
    }
    session.queue = null;
    this.resumePaused(session);
  }

  /** Nothing waits for the connection any more: paused members may go on. */
  resumePaused(session: Session): void {
    for (const member of session.members) {
      if (member.pausedAfter >= 0 && !member.resuming) this.#events.onResumable(member);
    }
  }

  #flush(session: Session): void {
    const first = session.firstFrame;
    if (first === null) return; // It was closed during this drain.
    session.firstFrame = null;
    const more = session.moreFrames;
    if (more.length === 0) {
      this.#write(session, first);
      return;
    }
    const merged = this.#merged;
    let used = 0;
    if (first.length > merged.length) this.#write(session, first);
    else {
      merged.set(first, 0);
      used = first.length;
    }
    for (let index = 0; index < more.length; index++) {
      const frame = more[index] as Uint8Array;
      if (used + frame.length > merged.length && used > 0) {
        this.#write(session, merged.subarray(0, used));
        used = 0;
      }
      if (frame.length > merged.length) this.#write(session, frame);
      else {
        merged.set(frame, used);
        used += frame.length;
        this.#metrics.framesMerged++;
      }
    }
    if (used > 0) this.#write(session, merged.subarray(0, used));
    more.length = 0;
  }

  /** Sends, or queues behind what waits already (a socket may fill up in the middle of a drain). */
  #write(session: Session, frame: Uint8Array): void {
    if (session.queue !== null) session.queue.pushControl(frame.slice());
    else this.#send(session, frame);
  }

  /** True while the connection takes more. */
  #send(session: Session, frame: Uint8Array): boolean {
    this.#metrics.framesSent++;
    this.#metrics.bytesSent += frame.length;
    const result = session.connection.send(frame);
    if (result === SendResult.WRITTEN) return true;
    if (session.queue === null) {
      session.queue = new SendQueue(this.#onDrop);
      session.queuedSinceMs = this.#events.nowMs();
      this.#metrics.sessionsCongested++;
    }
    // Dropped by the transport although we keep far below its limit: what was sent is not known any more.
    if (result === SendResult.DROPPED) this.#tooSlow.push(session);
    return false;
  }

  #queueControl(session: Session, frame: Uint8Array): void {
    const queue = session.queue as SendQueue;
    if (queue.bytes + frame.length > 2 * this.#options.sendQueueBytesMax) {
      this.#tooSlow.push(session);
      return;
    }
    queue.pushControl(this.#copyOf(frame));
  }

  #queueMessage(member: Member, frame: Uint8Array): void {
    const queue = member.session.queue as SendQueue;
    const outcome = queue.pushMessage(member, this.#copyOf(frame), this.#options.sendQueueBytesMax);
    if (outcome === 'disconnect' || queue.bytes > 2 * this.#options.sendQueueBytesMax) this.#tooSlow.push(member.session);
  }

  #copyOf(frame: Uint8Array): Uint8Array {
    if (this.#copySource !== frame || this.#copy === null) {
      this.#copySource = frame;
      this.#copy = new Uint8Array(frame); // A copy in memory of its own, whatever the frame's.
    }
    return this.#copy;
  }
}

function mayWatch({ grants }: Session, topic: string): boolean {
  return grants === null || grants.may('pres', topic);
}

function findMember(session: Session, subscription: Subscription): Member | undefined {
  return session.members.find((member) => member.subscription === subscription);
}
