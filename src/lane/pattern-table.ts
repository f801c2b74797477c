/**
 * Pattern subscriptions of a lane: pattern -> sub and sessions, and which of them match a topic.
 *
 * Thread: the lane's. Every lane knows every pattern (they are few); the front gives out their sub numbers. A topic caches its
 * matches until `version` moves.
 */
import { matchesTokens } from '../protocol/names.ts';

export interface Pattern {
  readonly name: string;
  readonly tokens: readonly string[];
  readonly sub: number;
  readonly sessions: Set<number>;
}

export class PatternTable {
  readonly #byName = new Map<string, Pattern>();
  /** Moves with every pattern that comes or goes. */
  version = 1;

  get size(): number {
    return this.#byName.size;
  }

  find(name: string): Pattern | undefined {
    return this.#byName.get(name);
  }

  join(name: string, sub: number, session: number): Pattern {
    let pattern = this.#byName.get(name);
    if (pattern === undefined || pattern.sub !== sub) {
      pattern = { name, tokens: name.split('.'), sub, sessions: new Set() };
      this.#byName.set(name, pattern);
      this.version++;
    }
    pattern.sessions.add(session);
    return pattern;
  }

  leave(name: string, session: number): void {
    const pattern = this.#byName.get(name);
    if (pattern === undefined || !pattern.sessions.delete(session) || pattern.sessions.size > 0) return;
    this.#byName.delete(name);
    this.version++;
  }

  *subs(): Iterable<number> {
    for (const pattern of this.#byName.values()) yield pattern.sub;
  }

  /** Cold: once per topic and version. */
  subsMatching(topic: string): readonly number[] {
    if (this.#byName.size === 0) return NO_SUBS;
    const tokens = topic.split('.');
    const subs: number[] = [];
    for (const pattern of this.#byName.values()) if (matchesTokens(pattern.tokens, tokens)) subs.push(pattern.sub);
    return subs;
  }
}

export const NO_SUBS: readonly number[] = [];
