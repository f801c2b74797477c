/**
 * What was revoked before it expired: single tokens by their `jti`, and everything that was issued before a time, of one subject or of all.
 *
 * Thread: main. Asked for every token that comes in, in constant time. An entry goes when no token that it hits can live any more, which `lifetimeMsMax`
 * bounds; at `revocationsMax` a further one is refused and none is forgotten. A list that is kept in a file (revocation-file.ts) outlives a restart.
 */
import type { Clock } from '../base/clock.ts';
import { isMap } from '../base/is-map.ts';
import { ANONYMOUS, type Identity } from '../front/ports.ts';
import { RelayError } from '../protocol/errors.ts';
import { SUBJECT_BYTES_MAX, TOKEN_ID_BYTES_MAX } from './token-verifier.ts';

export interface RevocationOptions {
  /** Of tokens, from `iat`. 0: unlimited; entries then stay for ever. */
  readonly lifetimeMsMax: number;
  readonly leewayMs: number;
  /** Entries. */
  readonly revocationsMax: number;
}

/** What is to be revoked: a token id alone; or a subject, a time of issue, or both. */
export interface RevocationRequest {
  readonly tokenId?: string;
  readonly subject?: string;
  /** Since the Unix epoch. Without it, for a subject: now. */
  readonly issuedBeforeMs?: number;
}

interface EntryTimes {
  readonly revokedAtMs: number;
  /** No token that it hits lives longer. Null: for ever. */
  readonly expiresAtMs: number | null;
}
export type Revocation =
  | ({ readonly kind: 'token'; readonly tokenId: string } & EntryTimes)
  | ({ readonly kind: 'subject'; readonly subject: string; readonly issuedBeforeMs: number } & EntryTimes)
  | ({ readonly kind: 'all'; readonly issuedBeforeMs: number } & EntryTimes);

type Who = Pick<Identity, 'subject' | 'tokenId' | 'issuedAtMs'>;

/** Entries are looked through this often for those that are over. */
const SWEEP_MS = 60_000;

/** Throws a RelayError BAD_REQUEST in words for whoever revokes. */
export function parseRevocationRequest(request: unknown): RevocationRequest {
  const bad = (text: string): RelayError => new RelayError('BAD_REQUEST', text);
  if (!isMap(request)) throw bad('a revocation must be a map');
  const { tokenId, subject, issuedBeforeMs, ...unknown } = request;
  const others = Object.keys(unknown);
  if (others.length > 0)
    throw bad(`unknown field ${JSON.stringify(others[0]?.slice(0, 64))}; known are tokenId, subject, issuedBeforeMs`);
  if (tokenId === undefined && subject === undefined && issuedBeforeMs === undefined)
    throw bad('one of tokenId, subject and issuedBeforeMs must be given');
  if (tokenId !== undefined && (subject !== undefined || issuedBeforeMs !== undefined))
    throw bad('tokenId names one token: subject and issuedBeforeMs do not go with it');
  checkText('tokenId', tokenId, TOKEN_ID_BYTES_MAX);
  checkText('subject', subject, SUBJECT_BYTES_MAX);
  if (subject === ANONYMOUS) throw bad(`sessions without a token cannot be revoked; unset anonymousPermissions to end them`);
  if (issuedBeforeMs !== undefined && !(Number.isSafeInteger(issuedBeforeMs) && (issuedBeforeMs as number) > 0))
    throw bad('issuedBeforeMs must be milliseconds since 1970, as a whole number');
  return request as RevocationRequest;
}

function checkText(name: string, value: unknown, bytesMax: number): void {
  if (value === undefined || (typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= bytesMax)) return;
  throw new RelayError('BAD_REQUEST', `${name} must be a text of 1 to ${bytesMax} bytes`);
}

export class Revocations {
  readonly #options: RevocationOptions;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Revocation & { readonly kind: 'token' }>();
  readonly #subjects = new Map<string, Revocation & { readonly kind: 'subject' }>();
  #all: (Revocation & { readonly kind: 'all' }) | null = null;
  #sweptAtMs: number;

  constructor(options: RevocationOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#sweptAtMs = clock.monotonicMs();
  }

  get count(): number {
    return this.#tokens.size + this.#subjects.size + (this.#all === null ? 0 : 1);
  }

  /** In no order that means anything. */
  list(): Revocation[] {
    this.#sweep();
    return [...(this.#all === null ? [] : [this.#all]), ...this.#subjects.values(), ...this.#tokens.values()];
  }

  isRevoked(who: Who): boolean {
    if (who.subject === ANONYMOUS) return false;
    const candidates = [
      this.#all,
      this.#subjects.get(who.subject),
      who.tokenId === null ? undefined : this.#tokens.get(who.tokenId),
    ];
    return candidates.some((entry) => entry !== null && entry !== undefined && hits(entry, who));
  }

  /**
   * Takes effect for every token from here on; `isRevoked` of the result says which open sessions it hits. Throws a RelayError: BAD_REQUEST for a time in
   * the future, LIMIT where the list is full.
   */
  revoke(request: RevocationRequest): { readonly revocation: Revocation; readonly isRevoked: (who: Who) => boolean } {
    const nowMs = this.#clock.nowMs();
    const { tokenId, subject } = request;
    // Up to now, this millisecond included. Issuers write whole seconds: what they issue in the rest of this second is hit as well.
    const issuedBeforeMs = request.issuedBeforeMs ?? nowMs + 1;
    // As far ahead as an issuer's clock may be; beyond it the future would be locked out.
    if (issuedBeforeMs > nowMs + 1 + this.#options.leewayMs)
      throw new RelayError('BAD_REQUEST', 'issuedBeforeMs must not be in the future', { issuedBeforeMs, nowMs });
    const times = { revokedAtMs: nowMs, expiresAtMs: this.#lastLife(tokenId === undefined ? issuedBeforeMs : nowMs) };
    const revocation: Revocation =
      tokenId !== undefined
        ? { kind: 'token', tokenId, ...times }
        : subject !== undefined
          ? { kind: 'subject', subject, issuedBeforeMs, ...times }
          : { kind: 'all', issuedBeforeMs, ...times };
    this.#sweep();
    this.#checkRoom(revocation);
    this.#add(revocation);
    return { revocation, isRevoked: (who) => who.subject !== ANONYMOUS && hits(revocation, who) };
  }

  /** From a file of an earlier life. Throws in words for the operator: a list that cannot be read in full is none to go by. */
  restore(entries: unknown): void {
    if (!Array.isArray(entries)) throw new Error('its revocations must be a list');
    const nowMs = this.#clock.nowMs();
    entries.forEach((entry: unknown, index) => {
      if (!isRevocation(entry)) throw new Error(`revocations[${index}] is none`);
      if (entry.expiresAtMs === null || entry.expiresAtMs > nowMs) this.#add(entry);
    });
  }

  /** A few times a second. */
  tick(): void {
    if (this.#clock.monotonicMs() - this.#sweptAtMs >= SWEEP_MS) this.#sweep();
  }

  #checkRoom(revocation: Revocation): void {
    const { revocationsMax } = this.#options;
    const isListed =
      revocation.kind === 'all' || // There is one of it at most, and it may make others needless.
      (revocation.kind === 'token' ? this.#tokens.has(revocation.tokenId) : this.#subjects.has(revocation.subject));
    if (!isListed && this.#tokens.size + this.#subjects.size >= revocationsMax)
      throw new RelayError('LIMIT', 'the list of revocations is full', { revocationsMax });
  }

  /** Of two for the same, the later time of issue hits all that the earlier one does. */
  #add(revocation: Revocation): void {
    switch (revocation.kind) {
      case 'token':
        this.#tokens.set(revocation.tokenId, revocation);
        return;
      case 'subject': {
        const known = this.#subjects.get(revocation.subject);
        if (known === undefined || known.issuedBeforeMs < revocation.issuedBeforeMs)
          this.#subjects.set(revocation.subject, revocation);
        return;
      }
      case 'all':
        if (this.#all === null || this.#all.issuedBeforeMs < revocation.issuedBeforeMs) this.#all = revocation;
        for (const [subject, { issuedBeforeMs }] of this.#subjects)
          if (issuedBeforeMs <= this.#all.issuedBeforeMs) this.#subjects.delete(subject);
        return;
      default:
        revocation satisfies never;
    }
  }

  /** When the last token is over that was issued until then, by a clock that may be ahead, to this one that may be behind. */
  #lastLife(issuedMs: number): number | null {
    const { lifetimeMsMax, leewayMs } = this.#options;
    return lifetimeMsMax === 0 ? null : issuedMs + lifetimeMsMax + 2 * leewayMs;
  }

  #sweep(): void {
    this.#sweptAtMs = this.#clock.monotonicMs();
    const nowMs = this.#clock.nowMs();
    const isOver = ({ expiresAtMs }: Revocation): boolean => expiresAtMs !== null && expiresAtMs <= nowMs;
    for (const [tokenId, entry] of this.#tokens) if (isOver(entry)) this.#tokens.delete(tokenId);
    for (const [subject, entry] of this.#subjects) if (isOver(entry)) this.#subjects.delete(subject);
    if (this.#all !== null && isOver(this.#all)) this.#all = null;
  }
}

/** A token that does not say when it was issued cannot have been issued later. */
function hits(entry: Revocation, { subject, tokenId, issuedAtMs }: Who): boolean {
  if (entry.kind === 'token') return entry.tokenId === tokenId;
  if (entry.kind === 'subject' && entry.subject !== subject) return false;
  return issuedAtMs === null || issuedAtMs < entry.issuedBeforeMs;
}

function isRevocation(entry: unknown): entry is Revocation {
  if (!isMap(entry)) return false;
  const { kind, tokenId, subject, issuedBeforeMs, revokedAtMs, expiresAtMs } = entry;
  const isTime = (value: unknown): boolean => Number.isSafeInteger(value);
  const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
  if (!isTime(revokedAtMs) || !(expiresAtMs === null || isTime(expiresAtMs))) return false;
  if (kind === 'token') return isText(tokenId);
  return isTime(issuedBeforeMs) && (kind === 'all' || (kind === 'subject' && isText(subject)));
}
