/**
 * Presence of one topic: who is there, as diffs.
 *
 * Thread: the lane's; owned by its topic. A member is a client id (HELLO `client`, else the session's id) and may be there with
 * several sessions. A session that is cut off keeps its member for a grace time, so that a reconnect is no leave and join.
 */

export interface PresenceMember {
  readonly id: string;
  data: unknown;
  /** Compares data without a deep walk. */
  dataKey: string;
  /** Sessions that hold it. Empty: in its grace time. */
  readonly sessions: Set<number>;
  /** When the grace ends; Infinity while a session holds it. */
  graceEndsAtMs: number;
}

export type PresenceChange =
  | { readonly kind: 'join' | 'update' | 'none'; readonly member: PresenceMember }
  | { readonly kind: 'full' };

export class Presence {
  readonly #members = new Map<string, PresenceMember>();

  get count(): number {
    return this.#members.size;
  }

  get members(): Iterable<PresenceMember> {
    return this.#members.values();
  }

  enter(id: string, session: number, data: unknown, membersMax: number): PresenceChange {
    const dataKey = JSON.stringify(data) ?? '';
    const member = this.#members.get(id);
    if (member === undefined) {
      if (this.#members.size >= membersMax) return { kind: 'full' };
      const joined = { id, data, dataKey, sessions: new Set([session]), graceEndsAtMs: Number.POSITIVE_INFINITY };
      this.#members.set(id, joined);
      return { kind: 'join', member: joined };
    }
    member.sessions.add(session);
    member.graceEndsAtMs = Number.POSITIVE_INFINITY;
    if (member.dataKey === dataKey) return { kind: 'none', member };
    member.data = data;
    member.dataKey = dataKey;
    return { kind: 'update', member };
  }

  /** The session is gone. True: the member left with it (no other session, no grace). */
  leave(id: string, session: number, graceEndsAtMs: number | null): boolean {
    const member = this.#members.get(id);
    if (member === undefined || !member.sessions.delete(session) || member.sessions.size > 0) return false;
    if (graceEndsAtMs !== null) {
      member.graceEndsAtMs = graceEndsAtMs;
      return false;
    }
    this.#members.delete(id);
    return true;
  }

  /** Removes and returns the members whose grace is over. */
  expire(nowMs: number): readonly PresenceMember[] {
    const expired: PresenceMember[] = [];
    for (const member of this.#members.values()) if (member.graceEndsAtMs <= nowMs) expired.push(member);
    for (const member of expired) this.#members.delete(member.id);
    return expired;
  }
}
