/**
 * The signature algorithms that tokens may have, and what a key must be for each.
 *
 * Any thread. A closed table: what is not in it (`none` above all) is refused before any key is looked for.
 */

/** How WebCrypto is told of it. */
interface SecretAlgorithm {
  readonly kind: 'secret';
  readonly parameters: { readonly name: 'HMAC'; readonly hash: 'SHA-256' | 'SHA-384' | 'SHA-512' };
  /** As long as the hash (RFC 7518, 3.2): a shorter secret can be guessed from one token, offline. */
  readonly secretBytesMin: number;
}

interface PublicAlgorithm {
  readonly kind: 'public';
  readonly parameters: { readonly name: string; readonly hash?: 'SHA-256'; readonly namedCurve?: 'P-256' };
  /** `asymmetricKeyType` and `namedCurve`, as node:crypto names them. */
  readonly keyType: 'rsa' | 'ec' | 'ed25519';
  readonly namedCurve?: 'prime256v1';
}

export const ALGORITHMS = {
  HS256: { kind: 'secret', parameters: { name: 'HMAC', hash: 'SHA-256' }, secretBytesMin: 32 },
  HS384: { kind: 'secret', parameters: { name: 'HMAC', hash: 'SHA-384' }, secretBytesMin: 48 },
  HS512: { kind: 'secret', parameters: { name: 'HMAC', hash: 'SHA-512' }, secretBytesMin: 64 },
  RS256: { kind: 'public', parameters: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, keyType: 'rsa' },
  PS256: { kind: 'public', parameters: { name: 'RSA-PSS', hash: 'SHA-256' }, keyType: 'rsa' },
  ES256: { kind: 'public', parameters: { name: 'ECDSA', namedCurve: 'P-256' }, keyType: 'ec', namedCurve: 'prime256v1' },
  EdDSA: { kind: 'public', parameters: { name: 'Ed25519' }, keyType: 'ed25519' },
} as const satisfies Record<string, SecretAlgorithm | PublicAlgorithm>;

export type AlgorithmName = keyof typeof ALGORITHMS;
export type RsaAlgorithmName = 'RS256' | 'PS256';
export const ALGORITHM_NAMES = Object.keys(ALGORITHMS) as readonly AlgorithmName[];

/** Below it RSA is too weak; above it one verification takes milliseconds of a core. */
export const RSA_BITS_MIN = 2_048;
export const RSA_BITS_MAX = 8_192;

export function isAlgorithm(name: unknown): name is AlgorithmName {
  return typeof name === 'string' && Object.hasOwn(ALGORITHMS, name);
}

export function algorithmOf(name: AlgorithmName): SecretAlgorithm | PublicAlgorithm {
  return ALGORITHMS[name];
}
