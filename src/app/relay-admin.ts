/**
 * What operators may change in a running relay, behind the admin routes of the ops port: revocation.
 *
 * Thread: main. Answers are statuses and JSON bodies in the form of the HTTP API (docs/http.md); who may ask is the ops port's to judge.
 */
import { parseRevocationRequest } from '../auth/revocations.ts';
import { ERROR_STATUS } from '../front/http-routes.ts';
import { wireErrorName } from '../protocol/codes.ts';
import { RelayError } from '../protocol/errors.ts';
import type { AdminAnswer, AdminSources } from '../transport/ops-admin.ts';
import type { Relay } from './relay.ts';

const AUDIT_RETRY_AFTER_MS = 1_000;

export class RelayAdmin implements AdminSources {
  readonly #relay: Relay;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  /** `{tokenId}`, `{subject, issuedBeforeMs?}` or `{issuedBeforeMs}`; answered when it holds, and is on the disk where it is to be. */
  async revoke(request: unknown): Promise<AdminAnswer> {
    const { auth, audit, front } = this.#relay;
    if (auth === null) return failure(nobody());
    // What cannot be written down is not done (auditOnFailure).
    if (audit?.isBlocked === true)
      return failure(new RelayError('OVERLOADED', 'the audit log cannot be written', { retryAfterMs: AUDIT_RETRY_AFTER_MS }));
    try {
      const { revocation, isRevoked, saved } = auth.revoke(parseRevocationRequest(request));
      const sessionsClosed = front.revoke(isRevoked);
      this.#relay.tellAuth({ kind: 'revoked', revocation, sessions: sessionsClosed });
      this.#record('revoke', 'done', { ...revocation, sessionsClosed });
      return { status: 200, body: { revocation, sessionsClosed, saved: await saved } };
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      if (error.codeName === 'LIMIT') auth.metrics.revocationsRefused++;
      this.#record('revoke', 'refused', { problem: error.text });
      return failure(error);
    }
  }

  /** Who it was is the ops port's token, or somebody on this machine: it knows no names. */
  #record(action: string, outcome: 'done' | 'refused', details: Readonly<Record<string, unknown>>): void {
    const { audit, asksForOpsToken } = this.#relay;
    audit?.record({
      kind: 'adminAction',
      action,
      subject: asksForOpsToken ? 'opsToken' : 'loopback',
      address: '',
      outcome,
      details,
    });
  }

  revocations(): AdminAnswer {
    const { auth, config } = this.#relay;
    if (auth === null) return failure(nobody());
    const revocations = auth.revocations.list();
    return { status: 200, body: { revocations, count: revocations.length, revocationsMax: config.revocationsMax } };
  }
}

function nobody(): RelayError {
  return new RelayError('CONFLICT', 'this relay has no authentication configured: nobody has a token to revoke');
}

function failure({ code, message, facts }: RelayError): AdminAnswer {
  const name = wireErrorName(code);
  const details = Object.keys(facts).length === 0 ? null : facts;
  return { status: ERROR_STATUS[name], body: { error: { code, name, text: message, details } } };
}
