/**
 * Keys as they are configured: `authKeys` and the file `authKeysFile`, and the key set that a JWKS endpoint answers with.
 *
 * Any thread. Pure: files are read by the caller. A configuration's problems are all told, with their places and without the keys; what does not fit
 * in a foreign key set is passed over, since it may serve others too.
 */
import { dirname, resolve } from 'node:path';
import { isMap } from '../base/is-map.ts';
import { ALGORITHM_NAMES, isAlgorithm, type RsaAlgorithmName } from './algorithms.ts';
import { isKid, jwkKey, KeyProblem, KID_BYTES_MAX, publicPemKey, secretKey, type VerificationKey } from './verification-key.ts';

/** Configured, and of a key set, each. */
export const KEYS_MAX = 64;
/** A token is tried against each of them: more would be work for nothing, at the wish of a stranger. */
export const NAMELESS_KEYS_MAX = 4;
const FIELDS = ['kid', 'alg', 'secret', 'publicKeyPem', 'publicKeyFile', 'jwk'];
const MATERIALS = ['secret', 'publicKeyPem', 'publicKeyFile', 'jwk'] as const;
const BASE64URL_PREFIX = 'base64url:';

export interface ParsedKeys {
  readonly keys: readonly VerificationKey[];
  readonly problems: readonly string[];
}

export type ReadFile = (path: string) => string;

export interface KeySources {
  /** `authKeys`, and where it was said. */
  readonly entries: readonly unknown[];
  readonly entriesAt: string;
  /** `authKeysFile`: the same list as JSON; empty for none. Paths in it are relative to it. */
  readonly file: string;
}

export function configuredKeys({ entries, entriesAt, file }: KeySources, readFile: ReadFile): ParsedKeys {
  const inline = parseKeys(entries, entriesAt, readFile);
  const fromFile = file === '' ? { keys: [], problems: [] } : readKeysFile(file, readFile);
  const keys = [...inline.keys, ...fromFile.keys];
  const problems = [...inline.problems, ...fromFile.problems];
  keys.forEach(({ kid, alg }, index) => {
    if (kid !== null && keys.findIndex((other) => other.kid === kid && other.alg === alg) < index)
      problems.push(`two keys of ${alg} have the same kid: ${JSON.stringify(kid)}`);
  });
  for (const alg of ALGORITHM_NAMES) {
    const count = keys.filter((key) => key.kid === null && key.alg === alg).length;
    if (count > NAMELESS_KEYS_MAX)
      problems.push(
        `${count} keys of ${alg} have no kid, of which there may be ${NAMELESS_KEYS_MAX}: each token would be tried against all`,
      );
  }
  return { keys, problems };
}

function readKeysFile(path: string, readFile: ReadFile): ParsedKeys {
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    return { keys: [], problems: [`${path} could not be read: ${(error as Error).message}`] };
  }
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    // Not the parser's message: it quotes what it stumbled over, and that may be a secret.
    return { keys: [], problems: [`${path} is no JSON`] };
  }
  if (!Array.isArray(entries) || entries.length === 0)
    return { keys: [], problems: [`${path} must be a list of keys, of one at least`] };
  return parseKeys(entries, path, readFile, dirname(path));
}

/** `folder`: what paths in the list are relative to. */
function parseKeys(entries: readonly unknown[], at: string, readFile: ReadFile, folder = '.'): ParsedKeys {
  const keys: VerificationKey[] = [];
  const problems: string[] = [];
  if (entries.length > KEYS_MAX) problems.push(`${at} must have ${KEYS_MAX} keys at most, got ${entries.length}`);
  entries.slice(0, KEYS_MAX).forEach((entry, index) => {
    try {
      keys.push(keyOf(entry, (path) => readFile(resolve(folder, path))));
    } catch (error) {
      if (!(error instanceof KeyProblem)) throw error;
      problems.push(`${at}[${index}]: ${error.message}`);
    }
  });
  return { keys, problems };
}

export interface ParsedKeySet {
  readonly keys: readonly VerificationKey[];
  /** Members that are no keys for us: for encryption, of other algorithms, broken. */
  readonly passedOver: number;
}

/** Throws a KeyProblem if it is no key set, or none of its keys can be used: then the old keys are better. */
export function parseKeySet(document: unknown, rsaAlgorithm: RsaAlgorithmName): ParsedKeySet {
  const members = isMap(document) ? document['keys'] : undefined;
  if (!Array.isArray(members)) throw new KeyProblem('it is no key set: there is no list `keys`');
  const keys: VerificationKey[] = [];
  let passedOver = 0;
  for (const member of members) {
    const key = keys.length < KEYS_MAX ? setMember(member, rsaAlgorithm) : null;
    const isOneMore =
      key !== null &&
      (key.kid === null
        ? keys.filter(({ kid, alg }) => kid === null && alg === key.alg).length < NAMELESS_KEYS_MAX
        : !keys.some(({ kid, alg }) => kid === key.kid && alg === key.alg));
    if (isOneMore) keys.push(key);
    else passedOver++;
  }
  if (keys.length === 0) throw new KeyProblem(`none of its ${members.length} keys can be used`);
  return { keys, passedOver };
}

function setMember(member: unknown, rsaAlgorithm: RsaAlgorithmName): VerificationKey | null {
  if (!isMap(member)) return null;
  const { kid } = member;
  if (kid !== undefined && !isKid(kid)) return null;
  try {
    return jwkKey(kid ?? null, member, { rsaAlgorithm, mayBeSecret: false });
  } catch (error) {
    if (error instanceof KeyProblem) return null;
    throw error;
  }
}

function keyOf(entry: unknown, readFile: ReadFile): VerificationKey {
  if (!isMap(entry)) throw new KeyProblem('a key must be a map');
  const unknown = Object.keys(entry).filter((field) => !FIELDS.includes(field));
  if (unknown.length > 0) throw new KeyProblem(`unknown field ${unknown.join(', ')}; known are ${FIELDS.join(', ')}`);
  const { alg } = entry;
  if (alg !== undefined && !isAlgorithm(alg)) throw new KeyProblem(`alg must be one of ${ALGORITHM_NAMES.join(', ')}`);
  const given = MATERIALS.filter((name) => entry[name] !== undefined);
  const material = given[0];
  if (given.length !== 1 || material === undefined)
    throw new KeyProblem(`one of ${MATERIALS.join(', ')} must be given, got ${given.join(' and ') || 'none'}`);
  if (material === 'jwk') {
    const { jwk } = entry;
    if (!isMap(jwk)) throw new KeyProblem('jwk must be a map');
    const kid = kidOf(entry['kid'] ?? jwk['kid']);
    return jwkKey(kid, jwk, { ...(alg === undefined ? {} : { alg }), rsaAlgorithm: 'RS256', mayBeSecret: true });
  }
  const kid = kidOf(entry['kid']);
  if (alg === undefined) throw new KeyProblem(`alg must be given, one of ${ALGORITHM_NAMES.join(', ')}`);
  const text = entry[material];
  if (typeof text !== 'string' || text === '') throw new KeyProblem(`${material} must be a text`);
  if (material === 'secret') return secretKey(kid, alg, secretBytes(text));
  return publicPemKey(kid, alg, material === 'publicKeyPem' ? text : readKeyFile(text, readFile));
}

function kidOf(kid: unknown): string | null {
  if (kid === undefined) return null;
  if (!isKid(kid)) throw new KeyProblem(`kid must be a text of 1 to ${KID_BYTES_MAX} bytes`);
  return kid;
}

/** `base64url:…`, or the text's own bytes. */
export function secretBytes(text: string): Uint8Array {
  if (text.startsWith('-----BEGIN'))
    throw new KeyProblem('a PEM is no secret: who knows the public key could make tokens. Use publicKeyPem');
  if (!text.startsWith(BASE64URL_PREFIX)) return Buffer.from(text, 'utf8');
  const encoded = text.slice(BASE64URL_PREFIX.length);
  if (!/^[A-Za-z0-9_-]+$/.test(encoded))
    throw new KeyProblem(`what follows ${BASE64URL_PREFIX} must be base64url, without padding`);
  return Buffer.from(encoded, 'base64url');
}

function readKeyFile(path: string, readFile: ReadFile): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new KeyProblem(`publicKeyFile could not be read: ${(error as Error).message}`);
  }
}
