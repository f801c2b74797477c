/**
 * One key that tokens are verified with, made from a secret, a PEM or a JWK, and held to what its algorithm needs.
 *
 * Any thread. Synchronous, so that a configuration's keys are judged together with the rest of it. A key is for one algorithm and no other: which one a
 * token asks for is the token's word, and a stranger's. Throws a KeyProblem, whose text never holds any part of the key.
 */
import { createPublicKey, createSecretKey, type KeyObject, type webcrypto } from 'node:crypto';
import {
  ALGORITHM_NAMES,
  type AlgorithmName,
  algorithmOf,
  isAlgorithm,
  RSA_BITS_MAX,
  RSA_BITS_MIN,
  type RsaAlgorithmName,
} from './algorithms.ts';

export interface VerificationKey {
  /** Null: of a key that has no name. It is tried for tokens whatever key they name, if none has that name. */
  readonly kid: string | null;
  readonly alg: AlgorithmName;
  readonly key: webcrypto.CryptoKey;
}

/** Of `kid`, in a token's head and in a key. It is only ever compared with others: never a path, a query or a property. */
export const KID_BYTES_MAX = 256;
const BASE64URL = /^[A-Za-z0-9_-]+$/;

export class KeyProblem extends Error {
  override name = 'KeyProblem';
}

export function isKid(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= KID_BYTES_MAX;
}

export function secretKey(kid: string | null, alg: AlgorithmName, secret: Uint8Array): VerificationKey {
  const algorithm = algorithmOf(alg);
  if (algorithm.kind !== 'secret') throw new KeyProblem(`a secret cannot be the key for ${alg}, which needs a public key`);
  if (secret.byteLength < algorithm.secretBytesMin)
    throw new KeyProblem(`the secret has ${secret.byteLength} bytes, ${alg} needs ${algorithm.secretBytesMin} at least`);
  return { kid, alg, key: toCryptoKey(createSecretKey(secret), alg) };
}

export function publicPemKey(kid: string | null, alg: AlgorithmName, pem: string): VerificationKey {
  if (pem.includes('PRIVATE KEY'))
    throw new KeyProblem(`${PRIVATE_KEY}: openssl pkey -in private.pem -pubout makes the public one`);
  if (!pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----'))
    throw new KeyProblem('it must be a PEM that begins with -----BEGIN PUBLIC KEY-----');
  return publicKey(kid, alg, () => createPublicKey(pem));
}

export interface JwkExpectation {
  /** What the configuration says that it is for. */
  readonly alg?: AlgorithmName;
  /** For RSA keys of which nobody says. */
  readonly rsaAlgorithm: RsaAlgorithmName;
  /** False: from the network, where a secret would be none. */
  readonly mayBeSecret: boolean;
}

export function jwkKey(kid: string | null, jwk: Readonly<Record<string, unknown>>, expectation: JwkExpectation): VerificationKey {
  const { kty, use, key_ops: operations } = jwk;
  const alg = jwkAlgorithm(jwk, expectation);
  if (use !== undefined && use !== 'sig') throw new KeyProblem(`its use is ${quote(use)}, not 'sig'`);
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    throw new KeyProblem("its key_ops do not have 'verify'");
  if (kty === 'oct') {
    if (!expectation.mayBeSecret) throw new KeyProblem('a secret among public keys is none');
    const { k } = jwk;
    if (typeof k !== 'string' || !BASE64URL.test(k)) throw new KeyProblem('its k must be the secret in base64url');
    return secretKey(kid, alg, Buffer.from(k, 'base64url'));
  }
  if ('d' in jwk) throw new KeyProblem(`${PRIVATE_KEY}: take d and the other private members out`);
  return publicKey(kid, alg, () => createPublicKey({ key: jwk, format: 'jwk' }));
}

const PRIVATE_KEY = 'it is a private key, and who can read the relay’s configuration could make tokens with it';

function jwkAlgorithm(
  { kty, crv, alg: own }: Readonly<Record<string, unknown>>,
  { alg, rsaAlgorithm }: JwkExpectation,
): AlgorithmName {
  if (own !== undefined && !isAlgorithm(own))
    throw new KeyProblem(`its alg must be one of ${ALGORITHM_NAMES.join(', ')}, got ${quote(own)}`);
  if (alg !== undefined && own !== undefined && alg !== own) throw new KeyProblem(`it is for ${own}, not for ${alg}`);
  const said = alg ?? own;
  if (said !== undefined) return said;
  if (kty === 'RSA') return rsaAlgorithm;
  if (kty === 'EC' && crv === 'P-256') return 'ES256';
  if (kty === 'OKP' && crv === 'Ed25519') return 'EdDSA';
  throw new KeyProblem(
    `it says no alg, and none follows from kty ${quote(kty)}${crv === undefined ? '' : ` and crv ${quote(crv)}`}`,
  );
}

function publicKey(kid: string | null, alg: AlgorithmName, read: () => KeyObject): VerificationKey {
  const algorithm = algorithmOf(alg);
  if (algorithm.kind !== 'public') throw new KeyProblem(`a public key cannot be the key for ${alg}, which needs a secret`);
  let key: KeyObject;
  try {
    key = read();
  } catch (error) {
    throw new KeyProblem(`it cannot be read as a public key: ${(error as Error).message}`);
  }
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (
    key.asymmetricKeyType !== algorithm.keyType ||
    (algorithm.namedCurve !== undefined && namedCurve !== algorithm.namedCurve)
  ) {
    const got = [key.asymmetricKeyType, namedCurve].filter((part) => part !== undefined).join(' ');
    throw new KeyProblem(
      `${alg} needs a key of type ${[algorithm.keyType, algorithm.namedCurve].join(' ').trimEnd()}, got ${got}`,
    );
  }
  if (algorithm.keyType === 'rsa' && (modulusLength < RSA_BITS_MIN || modulusLength > RSA_BITS_MAX))
    throw new KeyProblem(`an RSA key must have ${RSA_BITS_MIN} to ${RSA_BITS_MAX} bits, got ${modulusLength}`);
  return { kid, alg, key: toCryptoKey(key, alg) };
}

function toCryptoKey(key: KeyObject, alg: AlgorithmName): webcrypto.CryptoKey {
  return key.toCryptoKey(algorithmOf(alg).parameters, false, ['verify']);
}

function quote(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : String(JSON.stringify(value));
  return text.length <= 64 ? text : `${text.slice(0, 61)}...`;
}
