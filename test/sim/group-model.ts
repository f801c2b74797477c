/**
 * Queue groups as docs/protocol.md describes them, for the oracle: who is given which message, in which order, and what becomes of it.
 *
 * Written with lists where the lane has links and cursors. It keeps an account of every offset: at any time each one that a group has read is with a
 * member, waits to be given again, is delayed, is being buried, or has come to one end: acknowledged, dead letter, expired, lost.
 */
import type { TopicModel } from './model.ts';

export interface GroupAsked {
  readonly group: string;
  readonly ack?: boolean;
  readonly ackTimeoutMs?: number;
  readonly maxAttempts?: number;
  readonly deadLetter?: string;
  readonly maxInFlight?: number;
}

/** What a member must be sent, in this order. */
export type GroupItem =
  /** `attempt` 0: a group without ack. */
  | { readonly kind: 'message'; readonly topic: TopicModel; readonly ordinal: number; readonly attempt: number }
  | { readonly kind: 'skip' | 'lost'; readonly topic: TopicModel; readonly data: object };

/** What a group needs of its lane. */
export interface GroupLane {
  readonly nowMs: number;
  readonly pendingMax: number;
  readonly idleMs: number;
  give(session: number, item: GroupItem): void;
  after(ms: number, act: () => void): SimTimer;
  bury(group: GroupModel, pending: PendingModel, reason: string): void;
  forgotten(group: GroupModel): void;
  fail(what: string): never;
}

export interface SimTimer {
  readonly dueMs: number;
  readonly sequence: number;
  act: (() => void) | null;
}

interface GroupMemberModel {
  readonly session: number;
  window: number;
  held: PendingModel[];
}

export interface PendingModel {
  readonly ordinal: number;
  attempts: number;
  place: 'member' | 'ready' | 'delayed' | 'burying' | 'over';
  holder: GroupMemberModel | null;
  last: GroupMemberModel | null;
  timer: SimTimer | null;
}

type End = 'acknowledged' | 'buried' | 'expired' | 'lost';

export class GroupModel {
  readonly name: string;
  readonly topic: TopicModel;
  readonly ack: boolean;
  readonly members = new Map<number, GroupMemberModel>();
  readonly pending = new Map<number, PendingModel>();
  readonly #lane: GroupLane;
  readonly #start: number;
  readonly #ends = new Map<number, End>();
  #asked: GroupAsked;
  #order: number;
  #next: number;
  #turns: GroupMemberModel[] = [];
  #ready: PendingModel[] = [];
  #unsaid: { kind: 'skip' | 'lost'; from: number; to: number }[] = [];
  #forgetting: SimTimer | null = null;

  constructor(topic: TopicModel, asked: GroupAsked, order: number, lane: GroupLane) {
    this.name = asked.group;
    this.topic = topic;
    this.ack = asked.ack === true;
    this.#lane = lane;
    this.#asked = asked;
    this.#order = order;
    this.#start = this.#next = topic.log.length + 1;
  }

  get deadLetter(): string | null {
    return this.#asked.deadLetter ?? null;
  }

  join(session: number, asked: GroupAsked, order: number): void {
    if (order >= this.#order) {
      this.#order = order;
      this.#asked = asked;
    }
    if (this.#forgetting !== null) this.#forgetting.act = null;
    const window = this.ack ? (asked.maxInFlight ?? 16) : Number.POSITIVE_INFINITY;
    const known = this.members.get(session);
    if (known === undefined) {
      const member = { session, window, held: [] };
      this.members.set(session, member);
      this.#turns.push(member);
    } else {
      known.window = window;
      this.#hasRoomNow(known);
    }
  }

  /** True: the group ends with it. */
  leave(session: number): boolean {
    const member = this.members.get(session) as GroupMemberModel;
    this.members.delete(session);
    this.#turns = this.#turns.filter((other) => other !== member);
    for (const pending of [...member.held]) this.#takeBack(pending, 'memberLeft', 0);
    if (!this.ack) return this.members.size === 0;
    if (this.members.size > 0) this.pump();
    else this.#forgetting = this.#lane.after(this.#lane.idleMs, () => this.#forget());
    return false;
  }

  #forget(): void {
    for (const pending of this.pending.values()) {
      if (pending.timer !== null) pending.timer.act = null;
      pending.place = 'over';
    }
    this.pending.clear();
    this.#lane.forgotten(this);
  }

  /** The number of offsets that are not pending with the session. */
  settle(session: number, offsets: readonly number[], requeue: boolean, delayMs: number): number {
    let missing = 0;
    for (const offset of offsets) {
      const pending = this.members.get(session)?.held.find(({ ordinal }) => ordinal === offset);
      if (pending === undefined) missing++;
      else if (requeue) this.#takeBack(pending, 'requeued', delayMs);
      else {
        this.#release(pending);
        this.end(pending, 'acknowledged');
      }
    }
    this.pump();
    return missing;
  }

  published(): void {
    if (this.ack) this.pump();
    else this.#handOver();
  }

  #handOver(): void {
    const member = this.#turns.shift() as GroupMemberModel;
    this.#turns.push(member);
    const { topic } = this;
    this.#lane.give(member.session, { kind: 'message', topic, ordinal: topic.log.length, attempt: 0 });
  }

  pump(): void {
    if (this.members.size === 0) return;
    const { topic } = this;
    topic.evictExpired(this.#lane.nowMs);
    while (this.#next < topic.first) this.#name('lost', this.#next++);
    while (this.#turns.length > 0 && this.#ready.length > 0) {
      const pending = this.#ready.shift() as PendingModel;
      if (!this.isKept(pending.ordinal)) this.#endNamed(pending, 'lost');
      else if (topic.entry(pending.ordinal).expiresAtMs <= this.#lane.nowMs) this.#endNamed(pending, 'expired');
      else this.#give(pending);
    }
    while (this.#turns.length > 0 && this.pending.size < this.#lane.pendingMax && this.#next <= topic.log.length) {
      const ordinal = this.#next++;
      if (topic.entry(ordinal).expiresAtMs <= this.#lane.nowMs) this.#name('expired', ordinal);
      else this.#give({ ordinal, attempts: 0, place: 'ready', holder: null, last: null, timer: null });
    }
    this.#say();
    this.#check();
  }

  isKept(ordinal: number): boolean {
    return ordinal >= this.topic.first;
  }

  #give(pending: PendingModel): void {
    const [first, second] = this.#turns as [GroupMemberModel, GroupMemberModel | undefined];
    const member = first === pending.last && second !== undefined ? second : first;
    if (pending.holder !== null)
      this.#lane.fail(`message ${pending.ordinal} of group ${this.name} is given while somebody holds it`);
    pending.attempts++;
    pending.holder = pending.last = member;
    pending.place = 'member';
    pending.timer = this.#lane.after(this.#asked.ackTimeoutMs ?? 30_000, () => {
      this.#takeBack(pending, 'ackTimeout', 0);
      this.pump();
    });
    member.held.push(pending);
    this.pending.set(pending.ordinal, pending);
    this.#turns = this.#turns.filter((other) => other !== member);
    if (member.held.length < member.window) this.#turns.push(member);
    this.#say();
    const { ordinal, attempts: attempt } = pending;
    this.#lane.give(member.session, { kind: 'message', topic: this.topic, ordinal, attempt });
  }

  #takeBack(pending: PendingModel, reason: string, delayMs: number): void {
    this.#release(pending);
    const ready = (): void => {
      pending.place = 'ready';
      this.#ready.push(pending);
    };
    if (pending.attempts >= (this.#asked.maxAttempts ?? 5)) {
      pending.place = 'burying';
      this.#lane.bury(this, pending, reason);
    } else if (delayMs === 0) ready();
    else {
      pending.place = 'delayed';
      pending.timer = this.#lane.after(delayMs, () => {
        ready();
        this.pump();
      });
    }
  }

  #release(pending: PendingModel): void {
    const { holder, timer } = pending as { holder: GroupMemberModel; timer: SimTimer };
    timer.act = null;
    holder.held = holder.held.filter((other) => other !== pending);
    pending.holder = null;
    if (this.members.get(holder.session) === holder) this.#hasRoomNow(holder);
  }

  #hasRoomNow(member: GroupMemberModel): void {
    if (member.held.length >= member.window) this.#turns = this.#turns.filter((other) => other !== member);
    else if (!this.#turns.includes(member)) this.#turns.push(member);
  }

  // ---- ends

  end(pending: PendingModel, how: End): void {
    pending.place = 'over';
    this.pending.delete(pending.ordinal);
    this.#note(pending.ordinal, how);
  }

  /** It cannot be buried: history has given it up. */
  lose(pending: PendingModel): void {
    this.#endNamed(pending, 'lost');
    this.#say();
  }

  #endNamed(pending: PendingModel, how: 'lost' | 'expired'): void {
    pending.place = 'over';
    this.pending.delete(pending.ordinal);
    this.#name(how, pending.ordinal);
  }

  #name(how: 'lost' | 'expired', ordinal: number): void {
    this.#note(ordinal, how);
    const kind = how === 'lost' ? 'lost' : 'skip';
    const last = this.#unsaid.at(-1);
    if (last?.kind === kind && last.to === ordinal - 1) last.to = ordinal;
    else this.#unsaid.push({ kind, from: ordinal, to: ordinal });
  }

  #note(ordinal: number, how: End): void {
    const known = this.#ends.get(ordinal);
    if (known !== undefined) this.#lane.fail(`message ${ordinal} of group ${this.name} is ${how}, and was ${known}`);
    this.#ends.set(ordinal, how);
  }

  #say(): void {
    if (this.members.size === 0) return;
    const { topic, name: group } = this;
    for (const { kind, from, to } of this.#unsaid.splice(0)) {
      const data =
        kind === 'skip'
          ? { from, to, reason: 'expired', count: to - from + 1, group }
          : { from, to, reason: 'EVICTED', epoch: topic.epoch, offset: to, group };
      for (const session of this.members.keys()) this.#lane.give(session, { kind, topic, data });
    }
  }

  /** Nothing is nowhere. */
  #check(): void {
    for (let ordinal = this.#start; ordinal < this.#next; ordinal++) {
      const isPending = this.pending.has(ordinal);
      if (isPending === this.#ends.has(ordinal))
        this.#lane.fail(`message ${ordinal} of group ${this.name} is ${isPending ? 'pending and over' : 'nowhere'}`);
    }
    if (this.pending.size > this.#lane.pendingMax)
      this.#lane.fail(`group ${this.name} has ${this.pending.size} messages pending`);
    for (const { held, session, window } of this.members.values()) {
      const newest = held.length > window && held.at(-1);
      if (newest && this.#turns.some((member) => member.session === session))
        this.#lane.fail(`session ${session} holds ${held.length}, its window is ${window}`);
    }
  }
}
