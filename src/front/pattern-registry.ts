/**
 * Patterns as the front knows them: their sub numbers, and the joins and leaves that wait until every lane has taken them.
 *
 * Thread: front only. A pattern's commands go to all lanes; the client gets its one answer with the last lane's record. What a lane
 * sends for the pattern before that is not delivered: the subscription begins when it is answered.
 */

interface Pattern {
  readonly name: string;
  readonly sub: number;
  /** Joined or joining. */
  readonly sessions: Set<number>;
}

interface Pending {
  /** Bit k: lane k has not answered yet. */
  lanesLeft: number;
  /** An UNSUBSCRIBE. */
  readonly isLeaving: boolean;
}

export class PatternRegistry {
  readonly #laneCount: number;
  readonly #byName = new Map<string, Pattern>();
  readonly #bySub = new Map<number, Pattern>();
  /** By `session:sub`. */
  readonly #pending = new Map<string, Pending>();
  #nextSub: number;

  constructor(laneCount: number) {
    this.#laneCount = laneCount;
    // Lanes use the residues 0..laneCount-1 modulo laneCount+1, patterns the last one.
    this.#nextSub = laneCount + (laneCount + 1);
  }

  get size(): number {
    return this.#byName.size;
  }

  /** The pattern's number; made at its first session. */
  enter(name: string, session: number): number {
    let pattern = this.#byName.get(name);
    if (pattern === undefined) {
      pattern = { name, sub: this.#nextSub, sessions: new Set() };
      this.#nextSub += this.#laneCount + 1;
      this.#byName.set(name, pattern);
      this.#bySub.set(pattern.sub, pattern);
    }
    pattern.sessions.add(session);
    return pattern.sub;
  }

  /** The number of a pattern that this session is in, or 0. */
  find(name: string, session: number): number {
    const pattern = this.#byName.get(name);
    return pattern?.sessions.has(session) ? pattern.sub : 0;
  }

  leave(sub: number, session: number): void {
    this.#pending.delete(key(session, sub));
    const pattern = this.#bySub.get(sub);
    if (pattern === undefined || !pattern.sessions.delete(session) || pattern.sessions.size > 0) return;
    this.#byName.delete(pattern.name);
    this.#bySub.delete(sub);
  }

  /** A command for the pattern is under way: a client must wait for its answer before it sends another. */
  isPending(sub: number, session: number): boolean {
    return this.#pending.has(key(session, sub));
  }

  /** A command for the pattern goes out to every lane. False: one is under way already. */
  expect(sub: number, session: number, isLeaving = false): boolean {
    if (this.isPending(sub, session)) return false;
    this.#pending.set(key(session, sub), { lanesLeft: 2 ** this.#laneCount - 1, isLeaving });
    return true;
  }

  /** One lane has answered, or died before it could: its successor is taught what is wanted. True with the last. */
  answered(sub: number, session: number, lane: number): boolean {
    const pending = this.#pending.get(key(session, sub));
    if (pending === undefined) return false;
    pending.lanesLeft &= ~(1 << lane);
    if (pending.lanesLeft !== 0) return false;
    this.#pending.delete(key(session, sub));
    return true;
  }

  /** Every session of every pattern, joined or joining but not leaving: what a new lane must know. */
  *all(): Iterable<{ readonly name: string; readonly sub: number; readonly session: number }> {
    for (const { name, sub, sessions } of this.#bySub.values()) {
      for (const session of sessions) if (!this.#pending.get(key(session, sub))?.isLeaving) yield { name, sub, session };
    }
  }

  /** Everything of one session, as it closes. */
  forget(session: number): void {
    for (const pattern of [...this.#bySub.values()]) if (pattern.sessions.has(session)) this.leave(pattern.sub, session);
  }
}

const key = (session: number, sub: number): string => `${session}:${sub}`;
