/**
 * From a token's text to what it proves, or to why it proves nothing.
 *
 * Thread: main; the signature's arithmetic runs in Node's pool. What a token says about itself decides nothing but which key is looked up: its `alg` must
 * be the key's own, and nothing in it is read before its signature was found to be good, except the head. Never rejects for what a stranger can send.
 */
import { errors, type JWTPayload, jwtVerify } from 'jose';
import type { Clock } from '../base/clock.ts';
import { isMap } from '../base/is-map.ts';
import { ANONYMOUS, isReservedSubject } from '../front/ports.ts';
import { TOKEN_LENGTH_MAX } from '../protocol/options.ts';
import { type AlgorithmName, isAlgorithm } from './algorithms.ts';
import type { DenialReason } from './auth-events.ts';
import type { JwksEndpoint } from './jwks.ts';
import type { KeyRing } from './key-ring.ts';
import { isKid, KID_BYTES_MAX, type VerificationKey } from './verification-key.ts';

export const SUBJECT_BYTES_MAX = 128;
export const TOKEN_ID_BYTES_MAX = 256;
/** What a head's `typ` may be. Issuers sign other things with the same keys (logout tokens, proofs of possession), which are no tokens to come in with. */
const TYPES = ['jwt', 'at+jwt'];
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const CONTROL_CHARACTER = /\p{Cc}/u;
/** Seconds: the year 9999. `1e300` is a number too, and no time. */
const NUMERIC_DATE_MAX = 253_402_300_799;

export interface TokenRules {
  /** Empty: not checked. */
  readonly issuer: string;
  readonly audience: string;
  readonly expRequired: boolean;
  /** By how much the issuer's clock may differ. */
  readonly leewayMs: number;
  /** From `iat`, whatever `exp` says. 0: unlimited, and a token without `iat` is taken. */
  readonly lifetimeMsMax: number;
}

export interface VerifiedToken {
  readonly subject: string;
  readonly tokenId: string | null;
  readonly issuedAtMs: number | null;
  /** Until then it is taken: the leeway is in it, and `lifetimeMsMax`. Infinity: for ever. */
  readonly expiresAtMs: number;
  readonly claims: Readonly<Record<string, unknown>>;
}

export interface TokenFault {
  readonly fault: DenialReason;
  readonly text: string;
  /** With 'keysUnavailable'. */
  readonly retryAfterMs?: number;
}

export interface TokenHead {
  readonly alg: AlgorithmName;
  readonly kid: string | null;
}

/** What a token's head asks for, if it may. */
export function readHead(token: string): TokenHead | TokenFault {
  // Before anything else: who sends more gets no arithmetic for it.
  if (token.length > TOKEN_LENGTH_MAX)
    return { fault: 'malformed', text: `the token has ${token.length} characters, ${TOKEN_LENGTH_MAX} at most are read` };
  if (!COMPACT.test(token)) return { fault: 'malformed', text: 'the token is no JWS in compact form' };
  let head: unknown;
  try {
    head = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString('utf8'));
  } catch {
    head = null;
  }
  if (!isMap(head)) return { fault: 'malformed', text: "the token's head is no JSON object" };
  const { alg, kid = null, typ = 'JWT' } = head;
  if (!isAlgorithm(alg)) return { fault: 'algorithm', text: "the token's algorithm is not accepted" };
  if (Object.hasOwn(head, 'crit'))
    return { fault: 'malformed', text: 'the token has critical extensions, of which none is known here' };
  if (kid !== null && !isKid(kid))
    return { fault: 'malformed', text: `the token's kid is no text of 1 to ${KID_BYTES_MAX} bytes` };
  if (typeof typ !== 'string' || !TYPES.includes(typ.toLowerCase().replace(/^application\//, '')))
    return { fault: 'malformed', text: "the token's typ says that it is something else than an access token" };
  return { alg, kid };
}

export class TokenVerifier {
  readonly #rules: TokenRules;
  readonly #ring: KeyRing;
  readonly #jwks: JwksEndpoint | null;
  readonly #clock: Clock;

  constructor(rules: TokenRules, ring: KeyRing, jwks: JwksEndpoint | null, clock: Clock) {
    this.#rules = rules;
    this.#ring = ring;
    this.#jwks = jwks;
    this.#clock = clock;
  }

  async verify(token: string): Promise<VerifiedToken | TokenFault> {
    const head = readHead(token);
    if ('fault' in head) return head;
    const { alg, kid } = head;
    const named = kid === null ? undefined : this.#ring.named(kid, alg);
    if (named !== undefined) return this.#verifyWith(token, named);

    let fault: TokenFault = { fault: 'unknownKey', text: `no key of ${alg} is known for this token` };
    const tried = this.#ring.unnamed(alg, kid !== null);
    for (const key of tried) {
      const verified = await this.#verifyWith(token, key);
      if (!('fault' in verified) || verified.fault !== 'signature') return verified;
      fault = verified;
    }
    if (this.#jwks === null) return fault;
    const answer = await this.#jwks.find(kid, () => this.#newKey(head, tried));
    switch (answer.kind) {
      case 'found':
        return this.#verifyWith(token, answer.key);
      case 'unknown':
        return fault;
      case 'unavailable':
        return {
          fault: 'keysUnavailable',
          text: 'whether the token is good cannot be told now: the keys cannot be had',
          retryAfterMs: Math.ceil(answer.retryAfterMs),
        };
      default:
        return answer satisfies never;
    }
  }

  #newKey({ kid, alg }: TokenHead, tried: readonly VerificationKey[]): VerificationKey | null {
    const named = kid === null ? undefined : this.#ring.named(kid, alg);
    return named ?? this.#ring.unnamed(alg, kid !== null).find((key) => !tried.includes(key)) ?? null;
  }

  async #verifyWith(token: string, { key, alg }: VerificationKey): Promise<VerifiedToken | TokenFault> {
    const { issuer, audience, leewayMs } = this.#rules;
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [alg],
        currentDate: new Date(this.#clock.nowMs()),
        clockTolerance: leewayMs / 1_000,
        ...(issuer === '' ? {} : { issuer }),
        ...(audience === '' ? {} : { audience }),
      });
      return this.#read(payload);
    } catch (error) {
      if (error instanceof errors.JOSEError) return faultOf(error);
      throw error;
    }
  }

  /** What jose does not ask of claims. */
  #read(claims: JWTPayload): VerifiedToken | TokenFault {
    const { sub, jti, iat, exp } = claims;
    const { expRequired, leewayMs, lifetimeMsMax } = this.#rules;
    if (typeof sub !== 'string' || sub === '' || Buffer.byteLength(sub) > SUBJECT_BYTES_MAX || CONTROL_CHARACTER.test(sub))
      return wrongClaim(`sub must be a text of 1 to ${SUBJECT_BYTES_MAX} bytes without control characters`);
    if (sub === ANONYMOUS) return wrongClaim(`sub must not be '${ANONYMOUS}', which stands for sessions without a token`);
    if (isReservedSubject(sub))
      return wrongClaim("sub must not be 'http', nor begin with '$': those are names of the relay's own");
    if (jti !== undefined && (typeof jti !== 'string' || jti === '' || Buffer.byteLength(jti) > TOKEN_ID_BYTES_MAX))
      return wrongClaim(`jti must be a text of 1 to ${TOKEN_ID_BYTES_MAX} bytes`);
    for (const [name, seconds] of [
      ['exp', exp],
      ['iat', iat],
      ['nbf', claims.nbf],
    ] as const)
      if (seconds !== undefined && !(seconds >= 0 && seconds <= NUMERIC_DATE_MAX))
        return wrongClaim(`${name} must be a time in seconds`);
    if (exp === undefined && expRequired) return wrongClaim('exp is missing');
    if (iat === undefined && lifetimeMsMax > 0) return wrongClaim('iat is missing: how long the token lives cannot be told');
    const nowMs = this.#clock.nowMs();
    const issuedAtMs = iat === undefined ? null : iat * 1_000;
    // One from the future would outlive every revocation by time of issue.
    if (issuedAtMs !== null && issuedAtMs > nowMs + leewayMs)
      return { fault: 'notYetValid', text: 'the token was issued in the future' };
    const lifeEndsAtMs = issuedAtMs === null || lifetimeMsMax === 0 ? Number.POSITIVE_INFINITY : issuedAtMs + lifetimeMsMax;
    const expiresAtMs = Math.min(exp === undefined ? Number.POSITIVE_INFINITY : exp * 1_000, lifeEndsAtMs) + leewayMs;
    if (expiresAtMs <= nowMs) return { fault: 'expired', text: 'the token is older than this relay takes' };
    return { subject: sub, tokenId: jti ?? null, issuedAtMs, expiresAtMs, claims };
  }
}

function wrongClaim(text: string): TokenFault {
  return { fault: 'claims', text };
}

/** In the relay's words: jose's may quote the token. */
function faultOf(error: errors.JOSEError): TokenFault {
  if (error instanceof errors.JWTExpired) return { fault: 'expired', text: 'the token has expired' };
  if (error instanceof errors.JWTClaimValidationFailed) {
    switch (error.claim) {
      case 'iss':
        return { fault: 'issuer', text: 'the token is of another issuer' };
      case 'aud':
        return { fault: 'audience', text: 'the token is for another audience' };
      case 'nbf':
        if (error.reason === 'check_failed') return { fault: 'notYetValid', text: 'the token is not valid yet' };
        break;
    }
    return wrongClaim(`${error.claim} is not what it must be`);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return { fault: 'signature', text: "the token's signature is not good" };
  return { fault: 'malformed', text: 'the token cannot be read' };
}
