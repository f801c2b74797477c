/**
 * Members of a queue group, and whose turn it is.
 *
 * Thread: the lane's. A rotation holds the members with room in the order in which their turns come: whoever gets a message goes to its end, so that
 * messages go round. Linked by the members themselves: giving one out costs the same among two members and among ten thousand.
 */
import type { Pending } from './pending.ts';

export class GroupMember {
  readonly session: number;
  /** Messages that it may hold unacknowledged. */
  inFlightMax: number;
  /** What it holds, by offset, in the order in which it was given. */
  readonly held = new Map<number, Pending>();
  isInRotation = false;
  before: GroupMember | null = null;
  after: GroupMember | null = null;

  constructor(session: number, inFlightMax: number) {
    this.session = session;
    this.inFlightMax = inFlightMax;
  }

  get hasRoom(): boolean {
    return this.held.size < this.inFlightMax;
  }
}

export class Rotation {
  #first: GroupMember | null = null;
  #last: GroupMember | null = null;

  get isEmpty(): boolean {
    return this.#first === null;
  }

  /** Hot. Whose turn it is; `avoided` only if there is nobody else. Not while empty. */
  next(avoided: GroupMember | null): GroupMember {
    const first = this.#first as GroupMember;
    return first === avoided && first.after !== null ? first.after : first;
  }

  /** Hot. To the end, or out, as its room says. */
  place(member: GroupMember): void {
    if (member.hasRoom) {
      if (member.isInRotation && member === this.#last) return;
      this.remove(member);
      this.#append(member);
    } else this.remove(member);
  }

  /** As `place`, but who waits for its turn already keeps it. */
  keep(member: GroupMember): void {
    if (!member.hasRoom) this.remove(member);
    else if (!member.isInRotation) this.#append(member);
  }

  remove(member: GroupMember): void {
    if (!member.isInRotation) return;
    const { before, after } = member;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    member.before = member.after = null;
    member.isInRotation = false;
  }

  #append(member: GroupMember): void {
    member.before = this.#last;
    if (this.#last === null) this.#first = member;
    else this.#last.after = member;
    this.#last = member;
    member.isInRotation = true;
  }
}
