/** Tokens and keys that `relay token` makes, and what it says of a token without a key. */
import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { ALGORITHM_NAMES } from '../../../src/auth/algorithms.ts';
import { KeyRing } from '../../../src/auth/key-ring.ts';
import { generateKey, issueToken, readSigningKey, secretSigningKey } from '../../../src/auth/token-issuer.ts';
import { inspectToken } from '../../../src/auth/token-inspection.ts';
import { TokenVerifier } from '../../../src/auth/token-verifier.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { claimsFor, forgeToken, keysOf, NOW_MS, NOW_SECONDS, testKey } from '../../support/tokens.ts';

const RULES = { issuer: '', audience: '', expRequired: true, leewayMs: 0, lifetimeMsMax: 86_400_000 };
const verify = (token: string, ...entries: readonly unknown[]) =>
  new TokenVerifier(RULES, new KeyRing(keysOf(...entries)), null, new ManualClock(NOW_MS)).verify(token);

for (const alg of ALGORITHM_NAMES) {
  t.test(`a key of ${alg}: one half issues, the other verifies, and the private half is in one of them only`, async (t) => {
    const { issuer, relay } = generateKey(alg, 'k');
    const token = await issueToken(claimsFor('ann'), readSigningKey(JSON.stringify(issuer), null));
    t.match(await verify(token, relay), { subject: 'ann' });
    if (!alg.startsWith('HS')) t.notMatch(JSON.stringify(relay), `"d"`);
    t.not(generateKey(alg === 'RS256' || alg === 'PS256' ? 'ES256' : alg).issuer['kid'], generateKey('ES256').issuer['kid']);
  });
}

for (const { name, key, alg, want } of [
  { name: 'a curve', key: generateKeyPairSync('ec', { namedCurve: 'P-256' }), alg: null, want: 'ES256' },
  { name: 'Ed25519', key: generateKeyPairSync('ed25519'), alg: null, want: 'EdDSA' },
  { name: 'RSA', key: generateKeyPairSync('rsa', { modulusLength: 2_048 }), alg: null, want: 'RS256' },
  { name: 'RSA, told otherwise', key: generateKeyPairSync('rsa', { modulusLength: 2_048 }), alg: 'PS256', want: 'PS256' },
] as const) {
  t.test(`a private PEM of ${name} issues ${want}`, async (t) => {
    const pem = key.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
    const signing = readSigningKey(pem, alg);
    t.match(signing, { alg: want, kid: null });
    const publicKeyPem = key.publicKey.export({ format: 'pem', type: 'spki' });
    t.match(await verify(await issueToken(claimsFor('ann'), signing), { alg: want, publicKeyPem }), { subject: 'ann' });
  });
}

const PUBLIC_PEM = generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }) as string;
const ED_PEM = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

for (const { name, text, alg, want } of [
  { name: 'nothing', text: '', alg: null, want: 'the key must be a PEM or a JWK' },
  { name: 'a public key', text: PUBLIC_PEM, alg: null, want: 'it cannot be read as a private key' },
  { name: 'a public JWK', text: JSON.stringify(testKey('ES256').jwk), alg: null, want: 'it cannot be read as a private key' },
  { name: 'a key for another algorithm', text: ED_PEM, alg: 'RS256', want: 'the key does not fit RS256: it is ed25519' },
  { name: 'a key and a secret algorithm', text: ED_PEM, alg: 'HS256', want: 'the key does not fit HS256: it is ed25519' },
  { name: 'a secret without alg', text: '{"kty": "oct", "k": "AAAA"}', alg: null, want: 'a secret must say its alg' },
  { name: 'a short secret', text: '{"kty": "oct", "k": "AAAA", "alg": "HS256"}', alg: null, want: 'the secret has 3 bytes, HS256 needs 32 at least' },
  { name: 'a JWK that says otherwise', text: JSON.stringify(generateKey('ES256').issuer), alg: 'EdDSA', want: 'the JWK is for ES256, not for EdDSA' },
] as const) {
  t.test(`${name} issues nothing`, async (t) => {
    t.throws(() => readSigningKey(text, alg), { name: 'KeyProblem', message: want });
  });
}

t.test('a secret from a variable is text or base64url, as in the relay’s configuration', async (t) => {
  const text = 'an-example-of-a-secret-of-32-bytes';
  const encoded = `base64url:${Buffer.from(text).toString('base64url')}`;
  for (const secret of [text, encoded]) {
    const token = await issueToken(claimsFor('ann'), secretSigningKey(secret, 'HS256'));
    t.match(await verify(token, { alg: 'HS256', secret: text }), { subject: 'ann' });
  }
  t.throws(() => secretSigningKey(text, 'ES256'), { message: 'ES256 needs a private key, not a secret' });
});

// ---- looking at one

t.test('a good token: its claims, its permissions as they come out, and nothing wrong', async (t) => {
  const token = await testKey('ES256').sign(claimsFor('ann', { relay: { sub: ['user.{sub}.>'] } }));
  t.match(inspectToken(token, 'relay', NOW_MS), {
    header: { alg: 'ES256', kid: 'key-ES256' },
    claims: { sub: 'ann' },
    permissions: { sub: ['user.ann.>'] },
    problems: [],
  });
});

t.test('all that is wrong is said at once', async (t) => {
  const claims = { exp: NOW_SECONDS - 60, nbf: NOW_SECONDS + 30, relay: { pub: ['{team}'] } };
  t.same(inspectToken(forgeToken({ alg: 'none' }, claims, 'x'), 'relay', NOW_MS).problems, [
    "the token's algorithm is not accepted",
    'sub is missing',
    'expired 60 s ago',
    'not valid before 30 s from now',
    'iat is missing (tokenLifetimeMsMax)',
    "pub.allow[0]: the claim 'team' must be one token of a name to stand for {team}",
  ]);
});

for (const text of ['', 'abc', 'a.b.c', '..', forgeToken({ alg: 'HS256' }, '[]', 'x')]) {
  t.test(`what is no token is said to be none: '${text.slice(0, 8)}'`, async (t) => {
    const { claims, problems } = inspectToken(text, 'relay', NOW_MS);
    t.equal(claims, null);
    t.equal(problems.at(-1), 'the claims are no JSON object');
  });
}
