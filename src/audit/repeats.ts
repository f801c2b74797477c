/**
 * Events that one session can cause by the thousand: the first of its kind is a line at once, the rest of that second is one more line that says
 * how many there were. Bounded in sessions and in names, and what is beyond the bounds is counted too.
 */
import type { AuditEvent } from './events.ts';

export type RepeatableEvent = Extract<AuditEvent, { readonly kind: 'denied' | 'authenticationFailed' | 'refreshed' }>;

/** Different ones of one session in one second that have lines of their own. */
export const NAMES_PER_SESSION_MAX = 8;
/** Sessions in one second that have lines of their own. */
export const SESSIONS_MAX = 256;

/** Of all requests over HTTP together: those of many clients. */
const HTTP_SESSION = 0;

/** One line's worth. */
export interface Repeats {
  /** With nulls where there were several. */
  readonly event: { readonly kind: string } & Readonly<Record<string, unknown>>;
  /** How many there were that have no line of their own. */
  readonly repeats: number;
  /** `same`: as the event says. `otherNames`: of this session, over its bound. `otherSessions`: over SESSIONS_MAX. */
  readonly of: 'same' | 'otherNames' | 'otherSessions';
}

interface SessionRepeats {
  readonly byKey: Map<string, { readonly event: RepeatableEvent; repeats: number }>;
  /** By kind. */
  readonly others: Map<string, { readonly event: RepeatableEvent; repeats: number }>;
}

export class RepeatBook {
  #sessions = new Map<number, SessionRepeats>();
  /** By kind. */
  #otherSessions = new Map<string, number>();

  /** True: it gets a line of its own. False: it is counted, and `drain` tells. */
  isFirst(event: RepeatableEvent): boolean {
    let session = this.#sessions.get(event.session);
    if (session === undefined) {
      if (this.#sessions.size >= SESSIONS_MAX) {
        this.#otherSessions.set(event.kind, (this.#otherSessions.get(event.kind) ?? 0) + 1);
        return false;
      }
      session = { byKey: new Map(), others: new Map() };
      this.#sessions.set(event.session, session);
    }
    const key = keyOf(event);
    const known = session.byKey.get(key);
    if (known !== undefined) {
      known.repeats++;
      return false;
    }
    if (session.byKey.size < (event.session === HTTP_SESSION ? SESSIONS_MAX : NAMES_PER_SESSION_MAX)) {
      session.byKey.set(key, { event, repeats: 0 });
      return true;
    }
    const others = session.others.get(event.kind);
    if (others !== undefined) others.repeats++;
    else session.others.set(event.kind, { event, repeats: 1 });
    return false;
  }

  /** What was counted since the last time, which is forgotten. */
  drain(): Repeats[] {
    if (this.#sessions.size === 0) return [];
    const drained: Repeats[] = [];
    for (const { byKey, others } of this.#sessions.values()) {
      for (const { event, repeats } of byKey.values())
        if (repeats > 0) drained.push({ event: { ...event }, repeats, of: 'same' });
      for (const { event, repeats } of others.values())
        drained.push({ event: { kind: event.kind, session: event.session }, repeats, of: 'otherNames' });
    }
    for (const [kind, repeats] of this.#otherSessions)
      drained.push({ event: { kind, session: null }, repeats, of: 'otherSessions' });
    this.#sessions = new Map();
    this.#otherSessions = new Map();
    return drained;
  }
}

/** What makes two of them the same. */
function keyOf(event: RepeatableEvent): string {
  switch (event.kind) {
    case 'denied':
      return `${event.kind} ${event.right} ${event.name} ${event.subject}`;
    case 'authenticationFailed':
      return `${event.kind} ${event.code} ${event.address} ${event.reason}`;
    case 'refreshed':
      return `${event.kind} ${event.subject}`;
    default:
      return event satisfies never;
  }
}
