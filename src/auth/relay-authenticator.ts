/**
 * Decides who comes in: token, revocations, hook, and which permissions follow.
 *
 * Thread: main. Fails closed: whatever goes wrong is a denial, and one that says 'later' only where later may be different. At once where nothing has to be
 * waited for (a token that was verified lately, a session without one), since a client's further messages wait for it.
 */
import type { Clock } from '../base/clock.ts';
import { ANONYMOUS, type Authenticator, type Credentials, type Denial, type Identity } from '../front/ports.ts';
import { RelayError } from '../protocol/errors.ts';
import { GrantProblem, Grants } from '../protocol/grants.ts';
import { TOKEN_LENGTH_MAX } from '../protocol/options.ts';
import type { AuthMetrics, DenialReason, TellAuthEvent } from './auth-events.ts';
import type { ConnectDecision, ConnectHook } from './connect-hook.ts';
import type { HookAnswer } from './decision-hook.ts';
import type { KeyRing } from './key-ring.ts';
import type { Revocations } from './revocations.ts';
import { TokenCache } from './token-cache.ts';
import type { TokenFault, TokenVerifier, VerifiedToken } from './token-verifier.ts';

export interface AuthenticatorOptions {
  /** The claim that permissions stand in. */
  readonly permissionsClaim: string;
  /** Of a token without that claim; null: none. */
  readonly defaultPermissions: unknown;
  /** Of a client without a token; null: it is not let in. */
  readonly anonymousPermissions: unknown;
  /** Tokens that need not be verified again. */
  readonly tokenCacheMax: number;
  /** Told where a decision could not be had. */
  readonly retryAfterMs: number;
}

export interface AuthenticatorParts {
  readonly verifier: TokenVerifier;
  readonly ring: KeyRing;
  readonly revocations: Revocations;
  readonly hook: ConnectHook | null;
  readonly clock: Clock;
  readonly metrics: AuthMetrics;
  readonly tell: TellAuthEvent;
}

/** Somebody proven, before the hook and without the expense of proving it again. */
interface Known {
  readonly identity: Identity;
  /** For placeholders in permissions that the hook gives. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly expiresAtMs: number;
}

const TELL_INTERVAL_MS = 60_000;

type Outcome = Identity | Denial;

export class RelayAuthenticator implements Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #parts: AuthenticatorParts;
  readonly #tokens: TokenCache<Known>;
  readonly #anonymous: Known | null;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** Throws a GrantProblem where the configured permissions of anonymous sessions are none; the configuration was checked before. */
  constructor(options: AuthenticatorOptions, parts: AuthenticatorParts) {
    this.#options = options;
    this.#parts = parts;
    this.#tokens = new TokenCache(parts.ring, options.tokenCacheMax);
    this.#anonymous = options.anonymousPermissions === null ? null : anonymousWith(Grants.compile(options.anonymousPermissions));
  }

  authenticate(credentials: Credentials): Outcome | Promise<Outcome> {
    const outcome = this.#identify(credentials);
    return outcome instanceof Promise ? outcome.catch((error: unknown) => this.#failed(error)) : outcome;
  }

  #identify(credentials: Credentials): Outcome | Promise<Outcome> {
    const { token } = credentials;
    if (token === null) {
      if (this.#anonymous !== null) return this.#admit(this.#anonymous, credentials);
      return this.#deny('missing', new RelayError('UNAUTHENTICATED', 'a token is needed'));
    }
    const { clock, metrics } = this.#parts;
    const known = token.length > TOKEN_LENGTH_MAX ? null : this.#tokens.get(token, clock.nowMs());
    if (known === null) return this.#verify(token, credentials);
    metrics.tokensCached++;
    return this.#admit(known, credentials);
  }

  async #verify(token: string, credentials: Credentials): Promise<Outcome> {
    const { verifier, ring } = this.#parts;
    const { version } = ring;
    const verified = await verifier.verify(token);
    if ('fault' in verified) return this.#denyFault(verified);
    const known = this.#known(verified);
    if ('denied' in known) return known;
    this.#tokens.set(token, known, version);
    return this.#admit(known, credentials);
  }

  /** With the permissions of the token. */
  #known({ subject, tokenId, issuedAtMs, expiresAtMs, claims }: VerifiedToken): Known | Denial {
    const { permissionsClaim, defaultPermissions } = this.#options;
    const permissions = Object.hasOwn(claims, permissionsClaim) ? claims[permissionsClaim] : defaultPermissions;
    const grants = this.#compile(permissions, claims);
    if ('denied' in grants) return grants;
    return { identity: { subject, tokenId, issuedAtMs, expiresAtMs, grants }, claims, expiresAtMs };
  }

  #compile(permissions: unknown, claims: Readonly<Record<string, unknown>>): Grants | Denial {
    try {
      return Grants.compile(permissions, claims);
    } catch (error) {
      if (!(error instanceof GrantProblem)) throw error;
      return this.#deny(
        'permissions',
        new RelayError('UNAUTHENTICATED', `the token's permissions cannot be read: ${error.message}`),
      );
    }
  }

  #admit(known: Known, credentials: Credentials): Outcome | Promise<Outcome> {
    const { hook, revocations } = this.#parts;
    if (hook === null || revocations.isRevoked(known.identity)) return this.#accept(known.identity); // Which judges revocations.
    const answer = hook.decide(known.identity, credentials);
    return answer instanceof Promise ? answer.then((late) => this.#afterHook(known, late)) : this.#afterHook(known, answer);
  }

  #afterHook({ identity, claims }: Known, answer: HookAnswer<ConnectDecision>): Outcome {
    if (answer === 'unavailable')
      return this.#later('hookUnavailable', 'the decision cannot be had now', this.#options.retryAfterMs);
    const { hooks } = this.#parts.metrics;
    if (!answer.allow) {
      hooks.connect.denied++;
      return this.#deny(
        'hookDenied',
        new RelayError('FORBIDDEN', undefined, answer.reason === null ? {} : { reason: answer.reason }),
      );
    }
    let { grants } = identity;
    if (answer.permissions !== undefined) {
      try {
        grants = Grants.compile(answer.permissions, claims);
      } catch (error) {
        if (!(error instanceof GrantProblem)) throw error;
        // A mistake of the hook's, not of the client's: it may be mended.
        hooks.connect.failed++;
        this.#tell(`the connect hook's permissions cannot be read: ${error.message}`);
        return this.#later('hookUnavailable', 'the decision cannot be had now', this.#options.retryAfterMs);
      }
    }
    hooks.connect.allowed++;
    return this.#accept({ ...identity, grants });
  }

  /** The last word, with nothing to wait for behind it: what was revoked while the hook was asked is revoked. */
  #accept(identity: Identity): Outcome {
    const { revocations, metrics } = this.#parts;
    if (revocations.isRevoked(identity)) return this.#deny('revoked', new RelayError('UNAUTHENTICATED', 'the token is revoked'));
    if (identity.subject === ANONYMOUS) metrics.anonymousAccepted++;
    else metrics.tokensAccepted++;
    return identity;
  }

  #denyFault({ fault, text, retryAfterMs }: TokenFault): Denial {
    if (fault === 'keysUnavailable') return this.#later(fault, text, retryAfterMs ?? this.#options.retryAfterMs);
    return this.#deny(fault, new RelayError(fault === 'expired' ? 'TOKEN_EXPIRED' : 'UNAUTHENTICATED', text));
  }

  #later(reason: DenialReason, text: string, retryAfterMs: number): Denial {
    return this.#deny(reason, new RelayError('OVERLOADED', text, { retryAfterMs }));
  }

  #deny(reason: DenialReason, denied: RelayError): Denial {
    this.#parts.metrics.denied[reason]++;
    return { denied };
  }

  /** A mistake in here lets nobody in, and is told. */
  #failed(error: unknown): Denial {
    this.#tell(String(error));
    return this.#later('internal', 'the decision cannot be had now', this.#options.retryAfterMs);
  }

  /** Now and then: it may happen with every client that comes. The counters have them all. */
  #tell(reason: string): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs - this.#toldAtMs < TELL_INTERVAL_MS) return;
    this.#toldAtMs = nowMs;
    this.#parts.tell({ kind: 'failed', reason });
  }
}

function anonymousWith(grants: Grants): Known {
  const identity = { subject: ANONYMOUS, tokenId: null, issuedAtMs: null, expiresAtMs: Number.POSITIVE_INFINITY, grants };
  return { identity, claims: {}, expiresAtMs: Number.POSITIVE_INFINITY };
}
