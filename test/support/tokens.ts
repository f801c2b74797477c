/** Keys and tokens of tests. Keys are made once for each algorithm and name: RSA's take a while. */
import { createHmac } from 'node:crypto';
import type { AlgorithmName } from '../../src/auth/algorithms.ts';
import { configuredKeys } from '../../src/auth/key-config.ts';
import { generateKey, issueToken, readSigningKey, type SigningKey } from '../../src/auth/token-issuer.ts';
import type { VerificationKey } from '../../src/auth/verification-key.ts';

export interface TestKey {
  readonly alg: AlgorithmName;
  readonly kid: string;
  /** As it stands in a relay's configuration. */
  readonly entry: Readonly<Record<string, unknown>>;
  /** As it stands in a key set; of a secret algorithm there is none. */
  readonly jwk: Readonly<Record<string, unknown>>;
  readonly signing: SigningKey;
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>;
}

const made = new Map<string, TestKey>();

export function testKey(alg: AlgorithmName, kid = `key-${alg}`): TestKey {
  const known = made.get(`${alg} ${kid}`);
  if (known !== undefined) return known;
  const { issuer, relay } = generateKey(alg, kid);
  const signing = readSigningKey(JSON.stringify(issuer), null);
  const jwk = { ...(relay['jwk'] as object), kid, alg };
  const key = {
    alg,
    kid,
    entry: relay,
    jwk,
    signing,
    sign: (claims: Readonly<Record<string, unknown>>) => issueToken(claims, signing),
  };
  made.set(`${alg} ${kid}`, key);
  return key;
}

/** As configured: what must be valid. */
export function keysOf(...entries: readonly unknown[]): readonly VerificationKey[] {
  const { keys, problems } = configuredKeys({ entries, entriesAt: 'keys', file: '' }, () => '');
  if (problems.length > 0) throw new Error(problems.join('; '));
  return keys;
}

/** With any head, and whatever signature needs no library: none, or HMAC-SHA256 with what is given for a secret. */
export function forgeToken(head: unknown, claims: unknown, secret: string | null): string {
  const part = (value: unknown): string =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const signed = `${part(head)}.${part(claims)}`;
  return `${signed}.${secret === null ? '' : createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

export const NOW_MS = 1_700_000_000_000;
export const NOW_SECONDS = NOW_MS / 1_000;

/** Good for an hour from NOW_MS, where ManualClock begins. */
export function claimsFor(subject: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { sub: subject, iat: NOW_SECONDS - 10, exp: NOW_SECONDS + 3_600, ...more };
}
