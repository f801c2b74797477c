/**
 * Offences: what a client is told that does more than it may, and when that is the end of its connection.
 *
 * Thread: front only.
 */
import { RelayError } from '../../protocol/errors.ts';
import type { MessageHeader } from '../../protocol/header.ts';
import type { FrontContext } from '../front-context.ts';
import type { Session } from '../session.ts';
import type { RateRefusal } from './front-limits.ts';
import type { TurnBound } from './turns.ts';

/** Told to who is shown out, where no limit of his own says more. */
const CLOSE_RETRY_AFTER_MS = 1_000;

export class Offences {
  readonly #front: FrontContext;

  constructor(front: FrontContext) {
    this.#front = front;
  }

  /** A command over a rate. True: it is not to be handled. */
  refuse(session: Session, header: MessageHeader, refusal: RateRefusal): boolean {
    const { limit, retryAfterMs, isOnCredit } = refusal;
    if (!isOnCredit) {
      const error = new RelayError('RATE_LIMITED', undefined, { retryAfterMs, limit });
      this.#front.sendCommandError(session, header, error);
    }
    if (!this.#front.limits.isOneTooManyRefused(session, this.#front.receivedMs)) return !isOnCredit;
    this.#front.metrics.rateLimitedDisconnected++;
    const { refusalsMax } = this.#front.limits.options;
    this.#end(session, limit, Math.max(retryAfterMs, CLOSE_RETRY_AFTER_MS), { rateRefusalsMax: refusalsMax });
    return true;
  }

  /** A control frame or an empty message: the transport has done what there is to do. */
  trifle(session: Session): void {
    if (session.hasEnded) return;
    const bound = this.#front.turns.noteTrifle(session);
    if (bound !== null) this.overflow(session, bound);
  }

  /** More waits for its turn than may, or more comes in one than can be. */
  overflow(session: Session, bound: TurnBound): void {
    const { options, metrics } = this.#front;
    if (bound === 'heldBytesMax') metrics.heldOverflows++;
    else metrics.floodsDisconnected++;
    this.#end(session, bound, CLOSE_RETRY_AFTER_MS, {
      [bound]: bound === 'heldBytesMax' ? options.heldBytesMax : options.limits[bound],
    });
  }

  /** A message that is none of the protocol, answered already. True: the connection lives. */
  malformed(session: Session): boolean {
    if (session.internal || !this.#front.limits.isOneTooManyMalformed(session, this.#front.coarseNowMs)) return true;
    this.#front.metrics.malformedDisconnected++;
    const { malformedMax } = this.#front.limits.options;
    this.#front.close(session, 'MALFORMED', { problem: 'too many messages that are none', malformedMax });
    return false;
  }

  #end(session: Session, limit: string, retryAfterMs: number, facts: Readonly<Record<string, number>>): void {
    this.#front.onSecurity?.({
      kind: 'rateLimited',
      session: session.number,
      subject: session.identity?.subject ?? '',
      address: session.connection.remoteAddress,
      limit,
    });
    // First, since the reason may be cut.
    this.#front.close(session, 'RATE_LIMITED', { retryAfterMs, limit, ...facts });
  }
}
