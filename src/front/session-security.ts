/**
 * Who a session is and what it may do: HELLO with a token, REFRESH, expiry, revocation, and the guard before a SUBSCRIBE.
 *
 * Thread: front only. Decisions may take a while: the session's messages wait meanwhile (`session.held`), everybody else's do not.
 */
import { pack } from '../protocol/codec.ts';
import type { CloseCodeName } from '../protocol/codes.ts';
import { RelayError } from '../protocol/errors.ts';
import type { Right } from '../protocol/grants.ts';
import type { MessageHeader } from '../protocol/header.ts';
import { TOKEN_LENGTH_MAX } from '../protocol/options.ts';
import { IngressKind, withNumbers } from '../protocol/records.ts';
import { textStart } from '../protocol/service-options.ts';
import { MessageType } from '../protocol/types.ts';
import type { FrontContext } from './front-context.ts';
import type { ConnectRefusal } from './limits/front-limits.ts';
import { type Authenticator, type Denial, type Identity, isReservedSubject, type SubscribeGuard } from './ports.ts';
import type { Session } from './session.ts';

export interface FrontSecurity {
  readonly authenticator: Authenticator;
  readonly subscribeGuard: SubscribeGuard | null;
}

/** What a client with an expired token may still send: what ends or takes back, and what proves it anew. */
const WITHOUT_TOKEN: readonly number[] = [
  MessageType.PING,
  MessageType.REFRESH,
  MessageType.UNSUBSCRIBE,
  MessageType.CANCEL,
  MessageType.RETURN,
  MessageType.CREDIT,
  MessageType.ACK,
  MessageType.DEREGISTER,
  MessageType.HEARTBEAT,
];
const TEXT = new TextDecoder();
/** Of a SESSION_OPEN record, beside the permissions: the session's id, its name, and what is around them. */
const SESSION_FACTS_BYTES_MAX = 512;

/** Nobody's: who comes with one is nobody, by whatever door. */
export function refuseReserved(outcome: Identity | Denial): Identity | Denial {
  if ('denied' in outcome || !isReservedSubject(outcome.subject)) return outcome;
  return { denied: new RelayError('UNAUTHENTICATED', 'the subject is a name of the relay’s own') };
}

export class SessionSecurity {
  readonly #front: FrontContext;
  readonly #security: FrontSecurity | null;

  constructor(front: FrontContext, security: FrontSecurity | null) {
    this.#front = front;
    this.#security = security;
  }

  // ---- coming in

  /** `admitted` is called once the session is known to be somebody, perhaps at once. Otherwise it is told why not, and closed. */
  identify(session: Session, id: number, token: string | null, admitted: () => void): void {
    if (this.#security === null || session.internal) return admitted();
    const { connection, client } = session;
    const credentials = {
      token: token ?? connection.token ?? null,
      address: connection.remoteAddress,
      origin: connection.origin ?? '',
      client,
    };
    const state = session.state;
    const settle = (proven: Identity | Denial): void => {
      const outcome = refuseReserved(proven);
      if ('denied' in outcome) return this.#turnAway(session, id, outcome.denied);
      const tooLarge = this.#tooLargeFor(outcome);
      if (tooLarge !== null) return this.#turnAway(session, id, tooLarge);
      const { limits, clock } = this.#front;
      const refusal = limits.identified(session, outcome.subject, clock.monotonicMs());
      if (refusal !== null) return this.#turnAwayFor(session, id, outcome.subject, refusal);
      this.#front.metrics.sessionsAuthenticated++;
      this.#setIdentity(session, outcome);
      const { subject, tokenId } = outcome;
      this.#front.onSecurity?.({
        kind: 'authenticated',
        session: session.number,
        subject,
        tokenId,
        address: credentials.address,
      });
      admitted();
    };
    this.#decide(session, this.#security.authenticator.authenticate(credentials), settle);
    // Still greeting: the answer is on its way. The time for HELLO goes on to count.
    if (session.held?.isBlocked === true && state.name === 'greeting')
      session.state = { name: 'verifying', deadlineMs: state.deadlineMs };
  }

  #turnAway(session: Session, id: number, denied: RelayError): void {
    this.#front.metrics.authenticationsFailed++;
    this.#front.onSecurity?.({
      kind: 'authenticationFailed',
      session: session.number,
      address: session.connection.remoteAddress,
      code: denied.codeName,
      reason: denied.text,
    });
    this.#front.sendError(session, id, denied);
    this.#front.close(session, closeCodeFor(denied), { problem: denied.text, ...retryFact(denied) });
  }

  /** Somebody, but one connection too many of them, or too soon after the last. */
  #turnAwayFor(session: Session, id: number, subject: string, { reason, retryAfterMs, limit, isRate }: ConnectRefusal): void {
    const { number, connection } = session;
    this.#front.onSecurity?.({ kind: 'rateLimited', session: number, subject, address: connection.remoteAddress, limit });
    const facts = { retryAfterMs, limit };
    this.#front.sendError(session, id, new RelayError(isRate ? 'RATE_LIMITED' : 'LIMIT', reason, facts));
    this.#front.close(session, isRate ? 'RATE_LIMITED' : 'OVER_CAPACITY', facts);
  }

  // ---- staying

  /** REFRESH: another token of the same subject. What is wrong with it changes nothing for the session. */
  refresh(session: Session, header: MessageHeader, bytes: Uint8Array): void {
    const { id } = header;
    // Not decoded in general: what is well formed may be an extension type, on which the decoder throws, or spends gigabytes.
    const start = textStart(bytes, header.bodyStart);
    const token = start < 0 ? '' : TEXT.decode(bytes.slice(start, header.end));
    if (token.length === 0 || token.length > TOKEN_LENGTH_MAX)
      throw new RelayError('BAD_REQUEST', `token must be a string of 1 to ${TOKEN_LENGTH_MAX} characters`);
    const { identity, connection, client } = session;
    if (this.#security === null || identity === null) {
      // A client that has a token for every relay need not know that this one asks for none.
      if (id !== 0) this.#front.reply(session, MessageType.OK, id, { expiresAtMs: null });
      return;
    }
    const credentials = { token, address: connection.remoteAddress, origin: connection.origin ?? '', client };
    this.#decide(session, this.#security.authenticator.authenticate(credentials), (outcome) => {
      const denied =
        'denied' in outcome
          ? outcome.denied
          : outcome.subject !== identity.subject
            ? new RelayError('FORBIDDEN', 'the token is another subject’s', { subject: identity.subject })
            : this.#tooLargeFor(outcome);
      if (denied !== null || 'denied' in outcome) {
        this.#front.metrics.refreshesRefused++;
        this.#front.sendError(session, id, denied as RelayError);
        // Here, since the tick may always meet the next REFRESH of who sends one after the other.
        this.#closeIfOver(session, this.#front.coarseNowMs);
        return;
      }
      this.#front.metrics.refreshes++;
      this.#setIdentity(session, outcome);
      this.#tellLanes(session);
      this.#front.onSecurity?.({
        kind: 'refreshed',
        session: session.number,
        subject: outcome.subject,
        tokenId: outcome.tokenId,
      });
      if (id !== 0) this.#front.reply(session, MessageType.OK, id, { expiresAtMs: expiryOf(outcome) });
    });
  }

  /** TOKEN_EXPIRED for what an expired token may not do any more. */
  checkExpiry(session: Session, type: number): void {
    if (session.expiresMs > this.#front.coarseNowMs || WITHOUT_TOKEN.includes(type)) return;
    this.#front.metrics.commandsExpired++;
    throw new RelayError('TOKEN_EXPIRED', undefined, { expiredAtMs: session.identity?.expiresAtMs ?? 0 });
  }

  /** From the tick. */
  closeExpired(session: Session, nowMs: number): void {
    // A REFRESH under way decides by itself.
    if (session.held?.isBlocked !== true) this.#closeIfOver(session, nowMs);
  }

  #closeIfOver(session: Session, nowMs: number): void {
    const { tokenGraceMs } = this.#front.options;
    if (session.expiresMs + tokenGraceMs > nowMs) return;
    this.#front.metrics.sessionsExpired++;
    this.#front.close(session, 'BAD_TOKEN', { problem: 'token expired', tokenGraceMs });
  }

  /** Closes every session whose identity is revoked; returns how many. */
  revoke(isRevoked: (identity: Identity) => boolean): number {
    let count = 0;
    for (const session of [...this.#front.sessions.values()]) {
      const { identity, number } = session;
      if (identity === null || session.state.name === 'closing' || !isRevoked(identity)) continue;
      count++;
      this.#front.metrics.sessionsRevoked++;
      this.#front.onSecurity?.({ kind: 'revoked', session: number, subject: identity.subject, tokenId: identity.tokenId });
      this.#front.close(session, 'REVOKED');
    }
    this.#front.lanes.flush();
    return count;
  }

  // ---- single commands

  /** For what all lanes must take alike, and so the front judges: FORBIDDEN unless the rights cover all that the name stands for. */
  demandAll(session: Session, right: Right, pattern: string): void {
    const { grants } = session;
    if (grants === null) return;
    const allowed = right === 'sub' || right === 'hist' ? grants.mayRead(right, pattern) : grants.covers(right, pattern);
    if (allowed) return;
    this.#front.metrics.denied++;
    this.tellDenied(session, right, pattern);
    throw new RelayError('FORBIDDEN', undefined, { right, name: pattern });
  }

  tellDenied(session: Session, right: string, name: string): void {
    const subject = session.identity?.subject ?? '';
    this.#front.onSecurity?.({ kind: 'denied', session: session.number, subject, right, name });
  }

  /** Is there somebody to be asked before a SUBSCRIBE of this session? */
  isGuarded(session: Session): boolean {
    return this.#security?.subscribeGuard != null && session.identity !== null;
  }

  /** Asks; `allowed` is called if it may go ahead, `denied` otherwise. Either perhaps at once. */
  guard(session: Session, topic: string, allowed: () => void, denied: (error: RelayError) => void): void {
    const guard = this.#security?.subscribeGuard;
    if (guard == null || session.identity === null) return allowed();
    this.#decide(session, guard.decide(session.identity, topic), (denial) => {
      if (denial === null) return allowed();
      if (denial.denied.codeName === 'FORBIDDEN') this.tellDenied(session, 'sub', topic);
      denied(denial.denied);
    });
  }

  // ---- parts

  /** `settle` once the outcome is there, unless the session is gone by then. Messages that come meanwhile are held, and handled behind it. */
  #decide<T>(session: Session, outcome: T | Promise<T>, settle: (outcome: T) => void): void {
    if (!(outcome instanceof Promise)) return settle(outcome);
    this.#front.turns.block(session);
    void outcome.then((value) => {
      if (session.hasEnded) return;
      settle(value);
      this.#front.turns.release(session);
      this.#front.lanes.flush();
    });
  }

  /** Permissions go to the lanes in one record, which is sure to take as much as the largest message from a client. */
  #tooLargeFor({ grants }: Identity): RelayError | null {
    if (grants === null) return null;
    const permissionsBytes = pack(grants.claims).length;
    const permissionsBytesMax = this.#front.options.messageBytesMax - SESSION_FACTS_BYTES_MAX;
    if (permissionsBytes <= permissionsBytesMax) return null;
    return new RelayError('UNAUTHENTICATED', 'the permissions are too large', { permissionsBytes, permissionsBytesMax });
  }

  #setIdentity(session: Session, identity: Identity): void {
    const { clock } = this.#front;
    session.identity = identity;
    session.expiresMs = clock.monotonicMs() + (identity.expiresAtMs - clock.nowMs());
  }

  #tellLanes(session: Session): void {
    const { lanes, patterns, hub } = this.#front;
    const { grants } = session;
    const record = withNumbers(session.number, null, pack(grants === null ? null : grants.claims));
    for (let lane = 0; lane < lanes.count; lane++) {
      if ((session.lanesKnown & (1 << lane)) !== 0) lanes.write(lane, IngressKind.SESSION_GRANTS, record);
    }
    if (grants === null) return;
    hub.recheckWatching(session);
    // The lanes leave the same patterns, by the same rules. One that is joining is judged when it has joined.
    for (const { subscription } of [...session.members]) {
      if (!subscription.isPattern || grants.mayRead('sub', subscription.topic)) continue;
      this.#front.sendLost(session, subscription.sub);
      hub.leave(session, subscription.sub);
      patterns.leave(subscription.sub, session.number);
    }
  }
}

/** What the OK to HELLO and to REFRESH says; null for never. */
export function expiryOf({ expiresAtMs }: Identity): number | null {
  return Number.isFinite(expiresAtMs) ? expiresAtMs : null;
}

function retryFact({ facts }: RelayError): { retryAfterMs?: number } {
  const { retryAfterMs } = facts;
  return typeof retryAfterMs === 'number' ? { retryAfterMs } : {};
}

function closeCodeFor({ codeName }: RelayError): CloseCodeName {
  if (codeName === 'FORBIDDEN') return 'FORBIDDEN';
  if (codeName === 'OVERLOADED') return 'OVER_CAPACITY';
  return codeName === 'RATE_LIMITED' ? 'RATE_LIMITED' : 'BAD_TOKEN';
}
