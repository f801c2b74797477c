/**
 * Making tokens and keys: for `relay token`, which is for trying out, for services without an identity provider, and for tests. A running relay makes none.
 *
 * Any thread. Keys are read as they are kept: a PEM, a JWK, or a secret.
 */
import { createPrivateKey, createSecretKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { SignJWT } from 'jose';
import { randomId } from '../base/ids.ts';
import { isMap } from '../base/is-map.ts';
import { type AlgorithmName, algorithmOf, isAlgorithm, RSA_BITS_MIN } from './algorithms.ts';
import { secretBytes } from './key-config.ts';
import { isKid, KeyProblem } from './verification-key.ts';

export interface SigningKey {
  readonly alg: AlgorithmName;
  readonly kid: string | null;
  readonly key: KeyObject;
}

/** From the text of a key file: a private PEM (`BEGIN PRIVATE KEY`) or a JWK. `alg`: where the file does not say, or to choose among RSA's. Throws a KeyProblem. */
export function readSigningKey(text: string, alg: AlgorithmName | null): SigningKey {
  if (text.trimStart().startsWith('-----BEGIN')) return fromPrivateKey(() => createPrivateKey(text), alg, null);
  let jwk: unknown;
  try {
    jwk = JSON.parse(text);
  } catch {
    throw new KeyProblem('the key must be a PEM or a JWK');
  }
  if (!isMap(jwk)) throw new KeyProblem('the key must be a PEM or a JWK');
  const { alg: own, kid = null, kty, k } = jwk;
  if (own !== undefined && !isAlgorithm(own)) throw new KeyProblem('the alg of the JWK is not known here');
  if (alg !== null && own !== undefined && own !== alg) throw new KeyProblem(`the JWK is for ${own}, not for ${alg}`);
  if (kid !== null && !isKid(kid)) throw new KeyProblem('the kid of the JWK is none');
  const said = alg ?? own ?? null;
  if (kty !== 'oct') return fromPrivateKey(() => createPrivateKey({ key: jwk, format: 'jwk' }), said, kid);
  if (said === null) throw new KeyProblem('a secret must say its alg');
  if (typeof k !== 'string') throw new KeyProblem('the JWK has no k');
  return { ...secretSigningKey(`base64url:${k}`, said), kid };
}

/** `base64url:…`, or the text's own bytes, as in the relay's configuration. Throws a KeyProblem. */
export function secretSigningKey(text: string, alg: AlgorithmName): SigningKey {
  const algorithm = algorithmOf(alg);
  if (algorithm.kind !== 'secret') throw new KeyProblem(`${alg} needs a private key, not a secret`);
  const secret = secretBytes(text);
  if (secret.byteLength < algorithm.secretBytesMin)
    throw new KeyProblem(`the secret has ${secret.byteLength} bytes, ${alg} needs ${algorithm.secretBytesMin} at least`);
  return { alg, kid: null, key: createSecretKey(secret) };
}

function fromPrivateKey(read: () => KeyObject, alg: AlgorithmName | null, kid: string | null): SigningKey {
  let key: KeyObject;
  try {
    key = read();
  } catch {
    throw new KeyProblem('it cannot be read as a private key'); // Without the cause: it may quote the key.
  }
  const type = key.asymmetricKeyType;
  const named = alg ?? (type === 'rsa' ? 'RS256' : type === 'ec' ? 'ES256' : 'EdDSA');
  const algorithm = algorithmOf(named);
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  const fits =
    algorithm.kind === 'public' &&
    algorithm.keyType === type &&
    (algorithm.namedCurve === undefined || algorithm.namedCurve === namedCurve) &&
    (type !== 'rsa' || (modulusLength ?? 0) >= RSA_BITS_MIN);
  if (!fits)
    throw new KeyProblem(`the key does not fit ${named}: it is ${[type, namedCurve ?? modulusLength].join(' ').trimEnd()}`);
  return { alg: named, kid, key };
}

/** `claims` as they are: times are seconds. */
export function issueToken(claims: Readonly<Record<string, unknown>>, { alg, kid, key }: SigningKey): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg, typ: 'JWT', ...(kid === null ? {} : { kid }) }).sign(key);
}

export interface GeneratedKey {
  /** For whoever issues tokens. A JWK, and a secret. */
  readonly issuer: Readonly<Record<string, unknown>>;
  /** For the relay's list of keys. With a secret algorithm it is one too. */
  readonly relay: Readonly<Record<string, unknown>>;
}

export function generateKey(alg: AlgorithmName, kid: string = randomId(16)): GeneratedKey {
  const algorithm = algorithmOf(alg);
  if (algorithm.kind === 'secret') {
    const k = randomBytes(algorithm.secretBytesMin).toString('base64url');
    return { issuer: { kty: 'oct', kid, alg, k }, relay: { kid, alg, secret: `base64url:${k}` } };
  }
  const { publicKey, privateKey } =
    algorithm.keyType === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: RSA_BITS_MIN })
      : algorithm.keyType === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('ed25519');
  return {
    issuer: { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' },
    relay: { kid, alg, jwk: { ...publicKey.export({ format: 'jwk' }), use: 'sig' } },
  };
}
