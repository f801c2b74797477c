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
  /** By `session:sub`, in the order of the commands, which is the order in which each lane answers them. */
  readonly #pending = new Map<string, Pending[]>();
  /** Subs by session. A session that closes must not look through everybody's patterns. Most sessions are not here. */
  readonly #bySession = new Map<number, Set<number>>();
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
    const subs = this.#bySession.get(session);
    if (subs === undefined) this.#bySession.set(session, new Set([pattern.sub]));
    else subs.add(pattern.sub);
    return pattern.sub;
  }

  /** The number of a pattern that this session is in, or 0. */
  find(name: string, session: number): number {
    const pattern = this.#byName.get(name);
    return pattern?.sessions.has(session) ? pattern.sub : 0;
  }

  /** Unless another command is under way: it came later and counts. */
  leave(sub: number, session: number): void {
    if (this.#pending.has(key(session, sub))) return;
    const pattern = this.#bySub.get(sub);
    if (pattern === undefined || !pattern.sessions.delete(session)) return;
    const subs = this.#bySession.get(session);
    subs?.delete(sub);
    if (subs?.size === 0) this.#bySession.delete(session);
    if (pattern.sessions.size > 0) return;
    this.#byName.delete(pattern.name);
    this.#bySub.delete(sub);
  }

  /** A command for the pattern goes out to every lane. */
  expect(sub: number, session: number, isLeaving = false): void {
    const pending = { lanesLeft: 2 ** this.#laneCount - 1, isLeaving };
    const others = this.#pending.get(key(session, sub));
    if (others === undefined) this.#pending.set(key(session, sub), [pending]);
    else others.push(pending);
  }

  /** One lane has answered, or died before it could: its successor is taught what is wanted. True with the last, whose turn it is then. */
  answered(sub: number, session: number, lane: number): boolean {
    const commands = this.#pending.get(key(session, sub));
    const command = commands?.find(({ lanesLeft }) => (lanesLeft & (1 << lane)) !== 0);
    if (commands === undefined || command === undefined) return false;
    command.lanesLeft &= ~(1 << lane);
    if (command.lanesLeft !== 0) return false;
    commands.shift(); // No lane answers a later command first.
    if (commands.length === 0) this.#pending.delete(key(session, sub));
    return true;
  }

  /** Every session of every pattern, joined or joining but not leaving: what a new lane must know. */
  *all(): Iterable<{ readonly name: string; readonly sub: number; readonly session: number }> {
    for (const { name, sub, sessions } of this.#bySub.values()) {
      for (const session of sessions) if (!this.#isLeaving(sub, session)) yield { name, sub, session };
    }
  }

  /** Everything of one session, as it closes. */
  forget(session: number): void {
    for (const sub of [...(this.#bySession.get(session) ?? [])]) {
      this.#pending.delete(key(session, sub));
      this.leave(sub, session);
    }
  }

  #isLeaving(sub: number, session: number): boolean {
    return this.#pending.get(key(session, sub))?.at(-1)?.isLeaving === true;
  }
}

const key = (session: number, sub: number): string => `${session}:${sub}`;
