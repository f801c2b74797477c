/**
 * A queue group with acknowledgements: a message is some member's until it says that it is done, and somebody else's if it does not.
 *
 *   history ──next──► given ──ACK──► over
 *                      │ ▲
 *      timeout, requeue│ │a member has room
 *      member gone     ▼ │
 *                     ready ◄── delayed (requeue with a delay)
 *                      ╎ after the last attempt
 *                      ▼
 *                     burying ──► over (dead letter)
 *
 * Thread: the lane's. Deterministic: the order of commands and of timers decides everything. Nothing is copied: what is published waits in the topic's
 * history, behind the group's cursor `next`, and what is pending stays there too. What history gives up before it was given out, or before it could be
 * given out again, is named by a `lost` event to the members.
 *
 * Invariants: a pending message is held by at most one member; every offset below `next` is pending or over; `pending.size` never passes
 * groupPendingMax; a member never holds more than its window.
 */
import { assert } from '../../base/assert.ts';
import type { GroupAsked } from '../../protocol/options.ts';
import type { HistoryLog, KeptMessage } from '../history-log.ts';
import { type LaneContext, NOBODY } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import { keptMeta } from '../lane-output.ts';
import type { Timer } from '../timers.ts';
import type { Topic } from '../topic.ts';
import { type GivenBack, Pending } from './pending.ts';
import { type GroupTotals, QueueGroup } from './queue-group.ts';

/** What a group needs from its owner. */
export interface AckGroupHost {
  /** The message has had its last attempt. Calls `buried` or `lost` now or later. */
  bury(group: AckGroup, pending: Pending, reason: GivenBack): void;
  /** It was without members for too long. */
  forgotten(group: AckGroup): void;
}

/** What an ACK came to. `missing` of its offsets are not pending with the session, `firstMissing` the first of them. */
export interface Settled {
  readonly missing: number;
  readonly firstMissing: number;
}

/** Offsets that the members will not get, one behind the other: named in one event. */
interface Unheard {
  readonly kind: 'skip' | 'lost';
  readonly from: number;
  to: number;
}

export class AckGroup extends QueueGroup {
  readonly acknowledges = true;
  readonly #host: AckGroupHost;
  #asked: GroupAsked;
  /** Of the SUBSCRIBE that `#asked` is from: the last one's options are the group's. */
  #order: number;
  /** Whose that was. */
  #askedBy = NOBODY;
  /** The next offset to read from history. */
  #next: number;
  readonly #pending = new Map<number, Pending>();
  /** To be given again, from `#readyStart` on. */
  #ready: Pending[] = [];
  #readyStart = 0;
  /** In front of the next delivery; while there are no members, for the next one. */
  readonly #unheard: Unheard[] = [];
  #forgetTimer: Timer | null = null;
  #isWaiting = false;

  constructor(topic: Topic, lane: LaneContext, totals: GroupTotals, host: AckGroupHost, asked: GroupAsked, order: number) {
    super(asked.name, topic, lane, totals);
    this.#host = host;
    this.#asked = asked;
    this.#order = order;
    this.#next = topic.offset + 1;
  }

  /** The topic of its dead letters; null: the default. */
  get deadLetter(): string | null {
    return this.#asked.deadLetter;
  }

  // ---- members

  /** Enters, or takes new options from, a session. `pump` follows when its JOIN is out. `order`: of all SUBSCRIBEs with options, the newest counts. */
  join(session: number, asked: GroupAsked, order: number): void {
    if (order >= this.#order) {
      this.#order = order;
      this.#asked = asked;
      this.#askedBy = session;
    }
    this.lane.timers.cancel(this.#forgetTimer);
    this.#forgetTimer = null;
    const member = this.members.get(session);
    if (member === undefined) this.enter(session, asked.maxInFlight);
    else {
      member.inFlightMax = asked.maxInFlight;
      this.rotation.keep(member);
    }
  }

  /** The session's rights have changed. The relay publishes nothing any more where who named the topic may not. */
  recheckDeadLetter(session: number, mayPublish: (topic: string) => boolean): void {
    const { deadLetter } = this.#asked;
    if (deadLetter === null || this.#askedBy !== session || mayPublish(deadLetter)) return;
    this.#asked = { ...this.#asked, deadLetter: null };
  }

  /** What it holds goes to others at once. The group stays, without members too, for topicIdleMs. */
  leave(session: number): boolean {
    const member = this.remove(session);
    if (member === undefined) return false;
    for (const pending of [...member.held.values()]) this.#takeBack(pending, 'memberLeft', 0);
    if (this.members.size > 0) this.pump();
    else this.#forgetTimer = this.lane.timers.set(this.lane.nowMs + this.lane.options.topicIdleMs, () => this.#forget());
    return false;
  }

  #forget(): void {
    const { timers } = this.lane;
    for (const pending of this.#pending.values()) {
      if (pending.state.name === 'delayed') timers.cancel(pending.state.timer);
      pending.state = { name: 'over' };
    }
    this.totals.pending -= this.#pending.size;
    this.#pending.clear();
    this.#ready = [];
    this.#readyStart = 0;
    this.#noteWaiting(false);
    this.totals.groups--;
    this.#host.forgotten(this);
  }

  // ---- acknowledgements

  /** ACK. What is pending with the session is done, or to be given again; the rest is counted. */
  settle(session: number, offsets: readonly number[], requeue: boolean, delayMs: number): Settled {
    let missing = 0;
    let firstMissing = 0;
    for (const offset of offsets) {
      const pending = this.members.get(session)?.held.get(offset);
      if (pending === undefined) {
        if (missing++ === 0) firstMissing = offset;
      } else if (requeue) this.#takeBack(pending, 'requeued', delayMs);
      else {
        this.#release(pending);
        this.#over(pending);
      }
    }
    this.pump();
    return { missing, firstMissing };
  }

  // ---- giving out

  published(meta: Uint8Array | null, source: Uint8Array, start: number, end: number): void {
    const { offset } = this.topic;
    if (this.#next === offset && this.#readyStart === this.#ready.length && this.#mayGiveNew) {
      // Everybody is up to date: straight from the command's bytes, without a look into history.
      this.#next = offset + 1;
      this.#give(this.#newPending(offset), meta, source, start, end);
      this.#noteWaiting(this.#isAtBound);
    } else this.pump();
  }

  /** Gives out what can be given, until nothing is left or nobody has room. */
  pump(): void {
    if (this.members.size === 0) return; // Nobody could be told of what is lost.
    const history = this.topic.history as HistoryLog;
    history.evictExpired(this.lane.nowMs);
    const { first, offset } = this.topic;
    if (this.#next < first) {
      this.lane.metrics[LaneMetric.groupMessagesLost]! += first - this.#next;
      this.#note('lost', this.#next, first - 1);
      this.#next = first;
    }
    while (!this.rotation.isEmpty && this.#readyStart < this.#ready.length) this.#giveAgain(history, this.#shiftReady());
    if (this.#next <= offset && this.#mayGiveNew) history.visit(this.#next, offset, (message) => this.#giveNext(message));
    this.#sayUnheard();
    this.#noteWaiting(this.#isAtBound);
  }

  get #mayGiveNew(): boolean {
    return !this.rotation.isEmpty && this.#pending.size < this.lane.options.groups.groupPendingMax;
  }

  /** Messages wait, and not for a member with room. */
  get #isAtBound(): boolean {
    return this.#pending.size >= this.lane.options.groups.groupPendingMax && this.#next <= this.topic.offset;
  }

  #giveNext(message: KeptMessage): boolean {
    if (!this.#mayGiveNew) return false;
    this.#next = message.offset + 1;
    if (message.expiresAtMs <= this.lane.nowMs) this.#expired(message.offset);
    else this.#give(this.#newPending(message.offset), keptMeta(message), message.bytes, message.payloadStart, message.payloadEnd);
    return true;
  }

  #giveAgain(history: HistoryLog, pending: Pending): void {
    let isKept = false;
    history.visit(pending.offset, pending.offset, (message) => {
      isKept = true;
      if (message.expiresAtMs > this.lane.nowMs) {
        this.lane.metrics[LaneMetric.groupRedeliveries]!++;
        this.#give(pending, keptMeta(message), message.bytes, message.payloadStart, message.payloadEnd);
      } else {
        this.#over(pending);
        this.#expired(pending.offset);
      }
      return false;
    });
    if (!isKept) this.#lose(pending);
  }

  #give(pending: Pending, meta: Uint8Array | null, source: Uint8Array, start: number, end: number): void {
    const { lane, topic } = this;
    const member = this.rotation.next(pending.lastMember);
    pending.attempt++;
    pending.lastMember = member;
    const timer = lane.timers.set(lane.nowMs + this.#asked.ackTimeoutMs, () => this.#timedOut(pending));
    pending.state = { name: 'given', member, timer };
    member.held.set(pending.offset, pending);
    this.rotation.place(member);
    this.#sayUnheard();
    lane.out.deliver(member.session, topic.sub, pending.offset, pending.attempt, meta, source, start, end);
    lane.metrics[LaneMetric.groupDeliveries]!++;
  }

  #newPending(offset: number): Pending {
    const pending = new Pending(offset);
    this.#pending.set(offset, pending);
    this.totals.pending++;
    return pending;
  }

  // ---- taking back

  #timedOut(pending: Pending): void {
    this.lane.metrics[LaneMetric.groupAckTimeouts]!++;
    this.#takeBack(pending, 'ackTimeout', 0);
    this.pump();
  }

  /** From the member that has it, for somebody else; or to the dead letters. */
  #takeBack(pending: Pending, reason: GivenBack, delayMs: number): void {
    this.#release(pending);
    if (pending.attempt >= this.#asked.maxAttempts) {
      pending.state = { name: 'burying' };
      this.#host.bury(this, pending, reason);
    } else if (delayMs === 0) this.#makeReady(pending);
    else {
      const again = (): void => {
        this.#makeReady(pending);
        this.pump();
      };
      pending.state = { name: 'delayed', timer: this.lane.timers.set(this.lane.nowMs + delayMs, again) };
    }
  }

  #release(pending: Pending): void {
    const { state } = pending;
    assert(state.name === 'given', `message ${pending.offset} of group ${this.name} is taken from nobody: ${state.name}`);
    this.lane.timers.cancel(state.timer);
    state.member.held.delete(pending.offset);
    if (this.members.get(state.member.session) === state.member) this.rotation.keep(state.member);
  }

  #makeReady(pending: Pending): void {
    pending.state = { name: 'ready' };
    this.#ready.push(pending);
  }

  #shiftReady(): Pending {
    const pending = this.#ready[this.#readyStart++] as Pending;
    if (this.#readyStart === this.#ready.length) {
      this.#ready = [];
      this.#readyStart = 0;
    }
    return pending;
  }

  #over(pending: Pending): void {
    pending.state = { name: 'over' };
    this.#pending.delete(pending.offset);
    this.totals.pending--;
  }

  // ---- dead letters

  /** A copy of a pending message, for its dead letter; null where history has given it up. */
  read(offset: number): { readonly meta: Uint8Array | null; readonly payload: Uint8Array } | null {
    let copy: { meta: Uint8Array | null; payload: Uint8Array } | null = null;
    this.topic.history?.visit(offset, offset, (message) => {
      copy = {
        meta: keptMeta(message)?.slice() ?? null,
        payload: message.bytes.slice(message.payloadStart, message.payloadEnd),
      };
      return false;
    });
    return copy;
  }

  /** It is in the dead-letter topic: its place is free. */
  buried(pending: Pending): void {
    this.lane.metrics[LaneMetric.groupDeadLetters]!++;
    this.#over(pending);
  }

  /** It cannot be given out, nor buried. */
  lost(pending: Pending): void {
    this.#lose(pending);
    this.#sayUnheard();
  }

  // ---- what the members will not get

  #lose(pending: Pending): void {
    this.lane.metrics[LaneMetric.groupMessagesLost]!++;
    this.#over(pending);
    this.#note('lost', pending.offset, pending.offset);
  }

  #expired(offset: number): void {
    this.lane.metrics[LaneMetric.groupMessagesExpired]!++;
    this.#note('skip', offset, offset);
  }

  #note(kind: Unheard['kind'], from: number, to: number): void {
    const last = this.#unheard.at(-1);
    if (last?.kind === kind && last.to === from - 1) last.to = to;
    else this.#unheard.push({ kind, from, to });
  }

  /** To all members: nobody can say whose it would have been. */
  #sayUnheard(): void {
    if (this.#unheard.length === 0 || this.members.size === 0) return;
    const { topic, name: group } = this;
    for (const { kind, from, to } of this.#unheard.splice(0)) {
      const data =
        kind === 'skip'
          ? { from, to, reason: 'expired', count: to - from + 1, group }
          : { from, to, reason: 'EVICTED', epoch: topic.epoch, offset: to, group };
      for (const session of this.members.keys()) this.lane.out.sendEvent(session, topic.sub, kind, data);
    }
  }

  #noteWaiting(isWaiting: boolean): void {
    if (isWaiting === this.#isWaiting) return;
    this.#isWaiting = isWaiting;
    this.totals.waiting += isWaiting ? 1 : -1;
  }
}
