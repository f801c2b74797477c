/** Keys as they are configured and as a key set brings them: what is taken, and that what is not is told without the key. */
import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { ALGORITHM_NAMES } from '../../../src/auth/algorithms.ts';
import { configuredKeys, parseKeySet } from '../../../src/auth/key-config.ts';
import { KeyRing } from '../../../src/auth/key-ring.ts';
import { keysOf, testKey } from '../../support/tokens.ts';

const SECRET = 'an-example-of-a-secret-of-32-bytes';
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const PEM = ec.publicKey.export({ format: 'pem', type: 'spki' }) as string;
const PRIVATE_PEM = ec.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
const JWK = ec.publicKey.export({ format: 'jwk' });
const WEAK_RSA = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ format: 'jwk' });
const P384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'pem', type: 'spki' }) as string;

function problemsOf(entries: readonly unknown[], files: Readonly<Record<string, string>> = {}, file = ''): readonly string[] {
  const readFile = (path: string): string => {
    const name = Object.keys(files).find((known) => path === known || path.endsWith(`/${known}`));
    if (name === undefined) throw new Error('ENOENT: no such file');
    return files[name] as string;
  };
  return configuredKeys({ entries, entriesAt: 'authKeys', file }, readFile).problems;
}

for (const alg of ALGORITHM_NAMES) {
  t.test(`a generated key of ${alg} is one that can be configured`, async (t) => {
    t.match(keysOf(testKey(alg).entry), [{ alg, kid: `key-${alg}` }]);
  });
}

for (const { name, entry, want } of [
  { name: 'a secret as text', entry: { alg: 'HS256', secret: SECRET }, want: { alg: 'HS256', kid: null } },
  {
    name: 'a secret in base64url',
    entry: { alg: 'HS256', kid: 'a', secret: `base64url:${Buffer.alloc(32, 7).toString('base64url')}` },
    want: { alg: 'HS256', kid: 'a' },
  },
  { name: 'a PEM', entry: { alg: 'ES256', publicKeyPem: PEM }, want: { alg: 'ES256' } },
  { name: 'a PEM in a file', entry: { alg: 'ES256', publicKeyFile: 'es.pem' }, want: { alg: 'ES256' } },
  {
    name: 'a JWK that says its alg and kid',
    entry: { jwk: { ...JWK, alg: 'ES256', kid: 'k' } },
    want: { alg: 'ES256', kid: 'k' },
  },
  { name: 'a JWK whose curve says its alg', entry: { jwk: JWK }, want: { alg: 'ES256', kid: null } },
  { name: 'a kid beside the JWK before the one in it', entry: { kid: 'mine', jwk: { ...JWK, kid: 'k' } }, want: { kid: 'mine' } },
  {
    name: 'a secret as a JWK',
    entry: { alg: 'HS256', jwk: { kty: 'oct', k: Buffer.alloc(32, 7).toString('base64url') } },
    want: { alg: 'HS256' },
  },
]) {
  t.test(`takes ${name}`, async (t) => {
    const { keys, problems } = configuredKeys({ entries: [entry], entriesAt: 'authKeys', file: '' }, () => PEM);
    t.same(problems, []);
    t.match(keys, [want]);
  });
}

for (const { name, entry, want } of [
  { name: 'no map', entry: 'key', want: 'a key must be a map' },
  { name: 'a misspelt field', entry: { alg: 'HS256', secrt: SECRET }, want: 'unknown field secrt; known are kid, alg, secret' },
  { name: 'an unknown alg', entry: { alg: 'none', secret: SECRET }, want: 'alg must be one of HS256, HS384' },
  { name: 'no alg', entry: { secret: SECRET }, want: 'alg must be given' },
  { name: 'no key', entry: { alg: 'HS256' }, want: 'one of secret, publicKeyPem, publicKeyFile, jwk must be given, got none' },
  { name: 'two keys', entry: { alg: 'HS256', secret: SECRET, jwk: JWK }, want: 'must be given, got secret and jwk' },
  {
    name: 'a short secret',
    entry: { alg: 'HS256', secret: SECRET.slice(0, 31) },
    want: 'the secret has 31 bytes, HS256 needs 32 at least',
  },
  {
    name: 'a secret that a longer hash is too long for',
    entry: { alg: 'HS512', secret: SECRET },
    want: 'HS512 needs 64 at least',
  },
  {
    name: 'padding in base64url',
    entry: { alg: 'HS256', secret: 'base64url:AAAA=' },
    want: 'must be base64url, without padding',
  },
  // What is confused in "algorithm confusion" cannot even be configured.
  { name: 'a public key for a secret', entry: { alg: 'HS256', secret: PEM }, want: 'a PEM is no secret' },
  {
    name: 'a public key of a secret algorithm',
    entry: { alg: 'HS256', publicKeyPem: PEM },
    want: 'a public key cannot be the key for HS256',
  },
  {
    name: 'a secret of a public algorithm',
    entry: { alg: 'RS256', secret: SECRET },
    want: 'a secret cannot be the key for RS256',
  },
  {
    name: 'a JWK for another alg',
    entry: { alg: 'RS256', jwk: { ...JWK, alg: 'ES256' } },
    want: 'it is for ES256, not for RS256',
  },
  { name: 'a private PEM', entry: { alg: 'ES256', publicKeyPem: PRIVATE_PEM }, want: 'it is a private key' },
  { name: 'a private JWK', entry: { jwk: ec.privateKey.export({ format: 'jwk' }) }, want: 'it is a private key' },
  {
    name: 'a key of another kind',
    entry: { alg: 'EdDSA', publicKeyPem: PEM },
    want: 'EdDSA needs a key of type ed25519, got ec prime256v1',
  },
  {
    name: 'another curve',
    entry: { alg: 'ES256', publicKeyPem: P384 },
    want: 'ES256 needs a key of type ec prime256v1, got ec secp384r1',
  },
  { name: 'a weak RSA key', entry: { alg: 'RS256', jwk: WEAK_RSA }, want: 'an RSA key must have 2048 to 8192 bits, got 1024' },
  { name: 'a key for encryption', entry: { jwk: { ...JWK, use: 'enc' } }, want: "its use is 'enc', not 'sig'" },
  {
    name: 'a broken PEM',
    entry: { alg: 'ES256', publicKeyPem: '-----BEGIN PUBLIC KEY-----\nAAAA\n' },
    want: 'it cannot be read as a public key',
  },
  { name: 'a JWK of no point on the curve', entry: { jwk: { ...JWK, x: 'AAAA' } }, want: 'it cannot be read as a public key' },
  { name: 'a missing file', entry: { alg: 'ES256', publicKeyFile: 'no.pem' }, want: 'publicKeyFile could not be read: ENOENT' },
  {
    name: 'a long kid',
    entry: { alg: 'HS256', secret: SECRET, kid: 'k'.repeat(257) },
    want: 'kid must be a text of 1 to 256 bytes',
  },
]) {
  t.test(`refuses ${name}, and does not print the key`, async (t) => {
    const [problem = '', ...more] = problemsOf([entry]);
    t.same(more, []);
    t.ok(problem.startsWith('authKeys[0]: ') && problem.includes(want), problem);
    for (const secret of [SECRET, PRIVATE_PEM.split('\n')[1] as string, JWK.x as string])
      t.notOk(problem.includes(secret), problem);
  });
}

t.test('all problems of list and file come at once, each with its place', async (t) => {
  const files = {
    'keys.json': JSON.stringify([
      { alg: 'HS256', secret: SECRET, kid: 'a' },
      { alg: 'HS256', secret: 'short' },
    ]),
  };
  t.match(problemsOf([{ alg: 'RS257' }, { kid: 'a', alg: 'HS256', secret: SECRET }], files, 'keys.json'), [
    /^authKeys\[0\]: alg must be one of/,
    /^keys\.json\[1\]: the secret has 5 bytes/,
    /^two keys of HS256 have the same kid: "a"/,
  ]);
});

t.test('paths in the file are relative to it', async (t) => {
  const paths: string[] = [];
  const readFile = (path: string): string => {
    paths.push(path);
    return path.endsWith('.pem') ? PEM : JSON.stringify([{ alg: 'ES256', publicKeyFile: 'es.pem' }]);
  };
  t.same(configuredKeys({ entries: [], entriesAt: '', file: '/etc/relay/keys.json' }, readFile).problems, []);
  t.same(paths, ['/etc/relay/keys.json', '/etc/relay/es.pem']);
});

for (const { name, text, want } of [
  { name: 'is missing', text: undefined, want: /^keys\.json could not be read: ENOENT/ },
  { name: 'is no JSON', text: `[{"secret": "${SECRET}"`, want: /^keys\.json is no JSON$/ },
  { name: 'is no list', text: '{}', want: /^keys\.json must be a list of keys/ },
  { name: 'is empty', text: '[]', want: /^keys\.json must be a list of keys, of one at least$/ },
]) {
  t.test(`a key file that ${name} is a problem`, async (t) => {
    t.match(problemsOf([], text === undefined ? {} : { 'keys.json': text }, 'keys.json'), [want]);
  });
}

t.test('five keys without a name are too many: each token would be tried against all', async (t) => {
  const entry = { alg: 'HS256', secret: SECRET };
  t.same(problemsOf(Array(4).fill(entry)), []);
  t.match(problemsOf(Array(5).fill(entry)), [/^5 keys of HS256 have no kid, of which there may be 4/]);
});

// ---- key sets

t.test('of a key set the keys for signatures are taken, and the rest is passed over', async (t) => {
  const rsa = testKey('RS256').jwk;
  const { keys, passedOver } = parseKeySet(
    {
      keys: [
        { ...rsa, kid: 'rsa', alg: undefined },
        { ...JWK, kid: 'ec' },
        { ...JWK, kid: 'ec' }, // The same name again.
        { ...rsa, kid: 'encrypts', use: 'enc' },
        { ...rsa, kid: 'other', alg: 'RS512' },
        { kty: 'oct', kid: 'secret', alg: 'HS256', k: Buffer.alloc(32).toString('base64url') },
        { ...ec.privateKey.export({ format: 'jwk' }), kid: 'private' },
        { kty: 'EC', crv: 'P-256', kid: 'broken' },
        { ...JWK, kid: 7 },
        null,
      ],
    },
    'RS256',
  );
  t.match(keys, [
    { kid: 'rsa', alg: 'RS256' },
    { kid: 'ec', alg: 'ES256' },
  ]);
  t.equal(keys.length, 2);
  t.equal(passedOver, 8);
});

t.test('an RSA key that names no algorithm is for the one that is configured, and for no other', async (t) => {
  const set = { keys: [{ ...testKey('RS256').jwk, alg: undefined }] };
  t.match(parseKeySet(set, 'PS256').keys, [{ alg: 'PS256', key: { algorithm: { name: 'RSA-PSS' } } }]);
  t.match(parseKeySet(set, 'RS256').keys, [{ alg: 'RS256', key: { algorithm: { name: 'RSASSA-PKCS1-v1_5' } } }]);
});

for (const { name, document } of [
  { name: 'a list', document: [] },
  { name: 'no list of keys', document: { keys: {} } },
  { name: 'a set without a usable key', document: { keys: [{ kty: 'oct', k: 'AAAA' }] } },
  { name: 'an empty set', document: { keys: [] } },
]) {
  t.test(`${name} is no key set: the old keys are better`, async (t) => {
    t.throws(() => parseKeySet(document, 'RS256'), { name: 'KeyProblem' });
  });
}

t.test('of a set of a hundred keys 64 are taken, and 4 of those without a name', async (t) => {
  const named = Array.from({ length: 100 }, (_, index) => ({ ...JWK, kid: `k${index}` }));
  t.equal(parseKeySet({ keys: named }, 'RS256').keys.length, 64);
  t.equal(parseKeySet({ keys: Array(9).fill(JWK) }, 'RS256').keys.length, 4);
});

// ---- which key a token is tried against

t.test('by name and algorithm, configured keys first; names are only names', async (t) => {
  const ring = new KeyRing(keysOf(testKey('HS256', 'shared').entry));
  ring.replace('jwks', parseKeySet({ keys: [testKey('ES256', 'shared').jwk, testKey('ES256', '__proto__').jwk] }, 'RS256').keys);
  t.match(ring.named('shared', 'HS256'), { alg: 'HS256' });
  t.match(ring.named('shared', 'ES256'), { alg: 'ES256' }, 'each for its own algorithm');
  t.equal(ring.named('shared', 'RS256'), undefined);
  t.match(ring.named('__proto__', 'ES256'), { kid: '__proto__' });
  t.equal(ring.named('constructor', 'ES256'), undefined);
});

t.test('a token without a name: keys without one, or else the only one of its algorithm', async (t) => {
  const ring = new KeyRing(keysOf(testKey('HS256', 'a').entry));
  t.match(ring.unnamed('HS256', false), [{ kid: 'a' }]);
  t.same(ring.unnamed('HS256', true), [], 'a token that names another key is not tried against this one');
  t.same(ring.unnamed('ES256', false), []);
  ring.replace('configured', keysOf(testKey('HS256', 'a').entry, testKey('HS256', 'b').entry));
  t.same(ring.unnamed('HS256', false), [], 'which of two is not guessed');
  ring.replace('configured', keysOf(testKey('HS256', 'a').entry, { alg: 'HS256', secret: SECRET }));
  t.match(ring.unnamed('HS256', false), [{ kid: null }]);
  t.match(ring.unnamed('HS256', true), [{ kid: null }], 'a key without a name is for tokens of any');
});
