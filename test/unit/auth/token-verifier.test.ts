/** Tokens, good ones of every algorithm and bad ones of every kind: nothing that a stranger can write proves anything. */
import { generateKeyPairSync } from 'node:crypto';
import { SignJWT } from 'jose';
import t from 'tap';
import { ALGORITHM_NAMES } from '../../../src/auth/algorithms.ts';
import type { DenialReason } from '../../../src/auth/auth-events.ts';
import { KeyRing } from '../../../src/auth/key-ring.ts';
import { issueToken } from '../../../src/auth/token-issuer.ts';
import { type TokenRules, TokenVerifier, type VerifiedToken } from '../../../src/auth/token-verifier.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { Prng } from '../../../src/base/prng.ts';
import { claimsFor, forgeToken, keysOf, NOW_MS, NOW_SECONDS, testKey } from '../../support/tokens.ts';

const RULES: TokenRules = { issuer: '', audience: '', expRequired: true, leewayMs: 5_000, lifetimeMsMax: 86_400_000 };
const key = testKey('HS256', 'main');

function verifierOf(
  rules: Partial<TokenRules> = {},
  ...entries: readonly unknown[]
): { verifier: TokenVerifier; clock: ManualClock } {
  const clock = new ManualClock(NOW_MS);
  const ring = new KeyRing(keysOf(...(entries.length === 0 ? [key.entry] : entries)));
  return { verifier: new TokenVerifier({ ...RULES, ...rules }, ring, null, clock), clock };
}

for (const alg of ALGORITHM_NAMES) {
  t.test(`a good token of ${alg} says who it is for`, async (t) => {
    const { entry, sign } = testKey(alg);
    const { verifier } = verifierOf({}, entry);
    const token = await sign(claimsFor('ann', { jti: 'id-1', team: 'red' }));
    t.match(await verifier.verify(token), {
      subject: 'ann',
      tokenId: 'id-1',
      issuedAtMs: NOW_MS - 10_000,
      expiresAtMs: NOW_MS + 3_600_000 + 5_000,
      claims: { team: 'red' },
    });
  });
}

// ---- the head

const rsa = testKey('RS256', 'rsa');
const RSA_PEM = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey.export({ format: 'pem', type: 'spki' }) as string;
const CLAIMS = claimsFor('mallory');

for (const { name, token, want } of [
  { name: 'nothing', token: '', want: 'malformed' },
  { name: 'no three parts', token: 'a.b', want: 'malformed' },
  { name: 'five parts, which is an encrypted one', token: 'a.b.c.d.e', want: 'malformed' },
  { name: 'a head that is no JSON', token: forgeToken('{', CLAIMS, 'x'), want: 'malformed' },
  { name: 'a head that is a list', token: forgeToken([], CLAIMS, 'x'), want: 'malformed' },
  { name: 'no alg', token: forgeToken({ kid: 'main' }, CLAIMS, 'x'), want: 'algorithm' },
  { name: 'alg none and no signature', token: forgeToken({ alg: 'none' }, CLAIMS, null), want: 'malformed' },
  { name: 'alg none and some signature', token: forgeToken({ alg: 'none' }, CLAIMS, 'x'), want: 'algorithm' },
  { name: 'alg NONE', token: forgeToken({ alg: 'NONE' }, CLAIMS, 'x'), want: 'algorithm' },
  { name: 'an alg of every object', token: forgeToken({ alg: 'constructor' }, CLAIMS, 'x'), want: 'algorithm' },
  { name: 'an alg that is no text', token: forgeToken({ alg: ['HS256'] }, CLAIMS, 'x'), want: 'algorithm' },
  {
    name: 'critical extensions',
    token: forgeToken({ alg: 'HS256', kid: 'main', crit: ['b64'], b64: true }, CLAIMS, 'x'),
    want: 'malformed',
  },
  { name: 'a kid that is no text', token: forgeToken({ alg: 'HS256', kid: { $ne: '' } }, CLAIMS, 'x'), want: 'malformed' },
  { name: 'an empty kid', token: forgeToken({ alg: 'HS256', kid: '' }, CLAIMS, 'x'), want: 'malformed' },
  { name: 'a kid of 257 bytes', token: forgeToken({ alg: 'HS256', kid: 'k'.repeat(257) }, CLAIMS, 'x'), want: 'malformed' },
  { name: 'a kid that is a path', token: forgeToken({ alg: 'HS256', kid: '../../../dev/null' }, CLAIMS, ''), want: 'unknownKey' },
  {
    name: 'a kid that is a query',
    token: forgeToken({ alg: 'HS256', kid: "x' UNION SELECT 'a" }, CLAIMS, 'a'),
    want: 'unknownKey',
  },
  { name: 'a kid of every object', token: forgeToken({ alg: 'HS256', kid: '__proto__' }, CLAIMS, 'x'), want: 'unknownKey' },
  { name: 'another key of the same name', token: forgeToken({ alg: 'HS256', kid: 'main' }, CLAIMS, 'x'), want: 'signature' },
  {
    name: 'a known key and another algorithm',
    token: forgeToken({ alg: 'HS512', kid: 'main' }, CLAIMS, 'x'),
    want: 'unknownKey',
  },
  {
    name: 'an ID of something else',
    token: forgeToken({ alg: 'HS256', kid: 'main', typ: 'logout+jwt' }, CLAIMS, 'x'),
    want: 'malformed',
  },
  // Algorithm confusion: what is public must not do for a secret, in whichever form it is had.
  {
    name: 'the RSA key’s PEM for a secret',
    token: forgeToken({ alg: 'HS256', kid: 'rsa' }, CLAIMS, RSA_PEM),
    want: 'unknownKey',
  },
  {
    name: 'the RSA key’s modulus for a secret',
    token: forgeToken({ alg: 'HS256' }, CLAIMS, rsa.jwk['n'] as string),
    want: 'signature',
  },
  {
    name: 'a key of its own, brought along',
    token: forgeToken({ alg: 'HS256', kid: 'main', jwk: { kty: 'oct', k: 'eA' } }, CLAIMS, 'x'),
    want: 'signature',
  },
  { name: '16,385 characters', token: `${'a'.repeat(16_381)}.b.c`, want: 'malformed' },
] satisfies { name: string; token: string; want: DenialReason }[]) {
  t.test(`a token with ${name} proves nothing`, async (t) => {
    const { verifier } = verifierOf({}, key.entry, rsa.entry);
    t.match(await verifier.verify(token), { fault: want });
  });
}

t.test('what is signed cannot be changed, cut or put together anew', async (t) => {
  const { verifier } = verifierOf();
  const [head, claims, signature] = (await key.sign(claimsFor('ann'))).split('.') as [string, string, string];
  const other = (await key.sign(claimsFor('bob'))).split('.')[1] as string;
  t.match(await verifier.verify(`${head}.${claims}.${signature}`), { subject: 'ann' });
  for (const forged of [
    `${head}.${other}.${signature}`,
    `${head}.${claims}.${signature.slice(0, -4)}`,
    `${head}.${claims.slice(0, -4)}.${signature}`,
    `${Buffer.from('{"alg":"HS256", "kid":"main","typ":"JWT"}').toString('base64url')}.${claims}.${signature}`,
  ])
    t.match(await verifier.verify(forged), { fault: /signature|malformed/ }, forged);
});

t.test('a token with any other character in its head or claims proves nothing', async (t) => {
  const prng = new Prng(2026);
  const { verifier } = verifierOf();
  const token = await key.sign(claimsFor('ann'));
  const signed = token.lastIndexOf('.');
  for (let round = 0; round < 1_000; round++) {
    const at = prng.nextInt(0, signed - 1);
    const character = prng.pick([...'ABCxyz019-_.={"'].filter((other) => other !== token[at]));
    const outcome = await verifier.verify(token.slice(0, at) + character + token.slice(at + 1));
    if (!('fault' in outcome)) t.fail(`accepted with ${character} at ${at}`);
  }
});

t.test('16,384 characters are read', async (t) => {
  const { verifier } = verifierOf();
  const short = await key.sign(claimsFor('ann', { filler: '' }));
  const token = await key.sign(claimsFor('ann', { filler: 'x'.repeat(Math.floor(((16_384 - short.length) * 3) / 4)) }));
  t.ok(token.length <= 16_384 && token.length > 16_380, `${token.length}`);
  t.match(await verifier.verify(token), { subject: 'ann' });
});

for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt']) {
  t.test(`typ ${typ} is an access token`, async (t) => {
    const token = await new SignJWT(claimsFor('ann'))
      .setProtectedHeader({ alg: 'HS256', kid: 'main', typ })
      .sign(key.signing.key);
    t.match(await verifierOf().verifier.verify(token), { subject: 'ann' });
  });
}

t.test('a token without kid is tried against the only key of its algorithm, and against nameless ones one by one', async (t) => {
  const token = await issueToken(claimsFor('ann'), { ...key.signing, kid: null });
  t.match(await verifierOf().verifier.verify(token), { subject: 'ann' });
  const nameless = { alg: 'HS256', secret: key.entry['secret'] };
  const stranger = { alg: 'HS256', secret: 'another-secret-with-more-than-32-bytes' };
  t.match(await verifierOf({}, stranger, nameless).verifier.verify(token), { subject: 'ann' });
  t.match(await verifierOf({}, stranger).verifier.verify(token), { fault: 'signature' });
  t.match(await verifierOf({}, testKey('HS256', 'one').entry, key.entry).verifier.verify(token), { fault: 'unknownKey' });
});

// ---- the claims

for (const { name, claims, rules = {}, want } of [
  { name: 'no sub', claims: { sub: undefined }, want: 'claims' },
  { name: 'an empty sub', claims: { sub: '' }, want: 'claims' },
  { name: 'a sub that is no text', claims: { sub: 7 }, want: 'claims' },
  { name: 'a sub of 129 bytes', claims: { sub: `${'é'.repeat(64)}x` }, want: 'claims' },
  { name: 'a line end in its sub', claims: { sub: 'ann\nroot' }, want: 'claims' },
  { name: 'the name of those without a token', claims: { sub: 'anonymous' }, want: 'claims' },
  { name: 'the name of the HTTP gateway', claims: { sub: 'http' }, want: 'claims' },
  { name: 'the name of a lane', claims: { sub: '$lane-0' }, want: 'claims' },
  { name: 'a jti that is no text', claims: { jti: 7 }, want: 'claims' },
  { name: 'a jti of 257 bytes', claims: { jti: 'x'.repeat(257) }, want: 'claims' },
  { name: 'no exp', claims: { exp: undefined }, want: 'claims' },
  { name: 'an exp in quotes', claims: { exp: `${NOW_SECONDS + 60}` }, want: 'claims' },
  { name: 'an exp that is no time', claims: { exp: 1e300 }, want: 'claims' },
  { name: 'an exp before 1970', claims: { exp: -1 }, want: 'expired' },
  { name: 'an exp that has passed by more than the leeway', claims: { exp: NOW_SECONDS - 6 }, want: 'expired' },
  { name: 'an nbf that is further off than the leeway', claims: { nbf: NOW_SECONDS + 6 }, want: 'notYetValid' },
  { name: 'an iat that is further off than the leeway', claims: { iat: NOW_SECONDS + 6 }, want: 'notYetValid' },
  { name: 'no iat, where its life is bounded by it', claims: { iat: undefined }, want: 'claims' },
  { name: 'an iat that is no time', claims: { iat: -1e300 }, want: 'claims' },
  { name: 'an iat longer ago than any token lives', claims: { iat: NOW_SECONDS - 86_406 }, want: 'expired' },
  { name: 'no iss where one is wanted', claims: {}, rules: { issuer: 'https://id.example' }, want: 'issuer' },
  { name: 'another iss', claims: { iss: 'https://id.example.evil' }, rules: { issuer: 'https://id.example' }, want: 'issuer' },
  { name: 'no aud where one is wanted', claims: {}, rules: { audience: 'relay' }, want: 'audience' },
  { name: 'another aud', claims: { aud: ['billing', 'relay2'] }, rules: { audience: 'relay' }, want: 'audience' },
] satisfies { name: string; claims: object; rules?: Partial<TokenRules>; want: DenialReason }[]) {
  t.test(`a token with ${name} is refused, well signed as it is`, async (t) => {
    const { verifier } = verifierOf(rules);
    t.match(await verifier.verify(await key.sign(claimsFor('ann', claims))), { fault: want });
  });
}

for (const { name, claims, rules = {} } of [
  { name: 'an exp that has passed within the leeway', claims: { exp: NOW_SECONDS - 4 } },
  { name: 'an nbf within the leeway', claims: { nbf: NOW_SECONDS + 5 } },
  { name: 'the wanted iss', claims: { iss: 'https://id.example' }, rules: { issuer: 'https://id.example' } },
  { name: 'the wanted aud among others', claims: { aud: ['billing', 'relay'] }, rules: { audience: 'relay' } },
  { name: 'a sub of 128 bytes', claims: { sub: 'é'.repeat(64) } },
  { name: 'no jti', claims: { jti: undefined } },
]) {
  t.test(`a token with ${name} is good`, async (t) => {
    const { verifier } = verifierOf(rules);
    t.match(await verifier.verify(await key.sign(claimsFor('ann', claims))), { subject: String });
  });
}

t.test('a token is good until its exp and the leeway, and not a moment longer', async (t) => {
  const { verifier, clock } = verifierOf();
  const token = await key.sign(claimsFor('ann', { exp: NOW_SECONDS + 60 }));
  clock.advance(64_999);
  const verified = (await verifier.verify(token)) as VerifiedToken;
  t.equal(verified.expiresAtMs, NOW_MS + 65_000);
  clock.advance(1);
  t.match(await verifier.verify(token), { fault: 'expired' });
});

t.test('no token lives longer than the relay says, whatever its exp says', async (t) => {
  const { verifier } = verifierOf({ lifetimeMsMax: 60_000 });
  const token = await key.sign(claimsFor('ann', { exp: NOW_SECONDS + 1e6 }));
  t.match(await verifier.verify(token), { expiresAtMs: NOW_MS - 10_000 + 60_000 + 5_000 });
});

t.test('where exp is not wanted, a token lives as long as the relay lets any', async (t) => {
  const token = await key.sign(claimsFor('ann', { exp: undefined }));
  t.match(await verifierOf({ expRequired: false }).verifier.verify(token), { expiresAtMs: NOW_MS - 10_000 + 86_400_000 + 5_000 });
  const undated = await key.sign({ sub: 'ann' });
  t.match(await verifierOf({ expRequired: false, lifetimeMsMax: 0 }).verifier.verify(undated), {
    expiresAtMs: Number.POSITIVE_INFINITY,
    issuedAtMs: null,
  });
});

t.test('what a refusal says never holds the token or its claims', async (t) => {
  const { verifier } = verifierOf({ issuer: 'https://id.example' });
  const token = await key.sign(claimsFor('ann', { iss: 'SECRET-ISSUER' }));
  const outcome = JSON.stringify(await verifier.verify(token));
  t.notMatch(outcome, 'SECRET-ISSUER');
  t.notMatch(outcome, token.split('.')[1] as string);
});
