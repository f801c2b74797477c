/** Who comes in: token, permissions, hook, revocations and the anonymous together, as the front asks. */
import t, { type Test } from 'tap';
import { type AuthEvent, AuthMetrics } from '../../../src/auth/auth-events.ts';
import { ConnectHook } from '../../../src/auth/connect-hook.ts';
import { KeyRing } from '../../../src/auth/key-ring.ts';
import { type AuthenticatorOptions, RelayAuthenticator } from '../../../src/auth/relay-authenticator.ts';
import { Revocations } from '../../../src/auth/revocations.ts';
import { TokenVerifier } from '../../../src/auth/token-verifier.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import type { Denial, Identity } from '../../../src/front/ports.ts';
import { type Answering, held, JsonServer, json } from '../../support/json-server.ts';
import { claimsFor, keysOf, NOW_MS, NOW_SECONDS, testKey } from '../../support/tokens.ts';

const key = testKey('HS256', 'main');
const OPTIONS: AuthenticatorOptions = {
  permissionsClaim: 'relay',
  defaultPermissions: null,
  anonymousPermissions: null,
  tokenCacheMax: 10,
  retryAfterMs: 250,
};

async function open(t: Test, options: Partial<AuthenticatorOptions> = {}, hookAnswer: Answering | null = null) {
  const clock = new ManualClock(NOW_MS);
  const metrics = new AuthMetrics();
  const events: AuthEvent[] = [];
  const tell = (event: AuthEvent): void => void events.push(event);
  const ring = new KeyRing(keysOf(key.entry));
  const rules = { issuer: '', audience: '', expRequired: true, leewayMs: 0, lifetimeMsMax: 86_400_000 };
  const verifier = new TokenVerifier(rules, ring, null, clock);
  const revocations = new Revocations({ lifetimeMsMax: 86_400_000, leewayMs: 0, revocationsMax: 100 }, clock);
  const server = hookAnswer === null ? null : await JsonServer.open(t, hookAnswer);
  const hookOptions = { timeoutMs: 5_000, bytesMax: 1_024, inFlightMax: 10, cacheMs: 10_000, cacheMax: 10 };
  const hook = server === null ? null : new ConnectHook({ url: server.url, ...hookOptions }, clock, metrics, tell);
  t.teardown(() => hook?.close());
  const parts = { verifier, ring, revocations, hook, clock, metrics, tell };
  const authenticator = new RelayAuthenticator({ ...OPTIONS, ...options }, parts);
  const at = (token: string | null): ReturnType<RelayAuthenticator['authenticate']> =>
    authenticator.authenticate({ token, address: '10.1.2.3', origin: '', client: null });
  return { at, authenticator, clock, metrics, events, ring, revocations, server: server as JsonServer };
}

const identityOf = async (outcome: Identity | Denial | Promise<Identity | Denial>): Promise<Identity> => {
  const known = await outcome;
  if ('denied' in known) throw new Error(`denied: ${known.denied.message}`);
  return known;
};

t.test('a token’s claims are its permissions, with its own words in the placeholders', async (t) => {
  const { at, metrics } = await open(t);
  const token = await key.sign(
    claimsFor('ann', { jti: 'id', team: 'red', relay: { sub: ['team.{team}.>'], pub: ['user.{sub}'] } }),
  );
  const identity = await identityOf(at(token));
  t.match(identity, { subject: 'ann', tokenId: 'id', expiresAtMs: NOW_MS + 3_600_000 });
  t.ok(identity.grants?.may('sub', 'team.red.1') && identity.grants.may('pub', 'user.ann'));
  t.notOk(identity.grants?.may('sub', 'team.blue.1') || identity.grants?.may('pub', 'user.bob'));
  t.equal(metrics.tokensAccepted, 1);
});

t.test('a token without permissions gets those that are configured, and by default none', async (t) => {
  const token = await key.sign(claimsFor('ann'));
  t.same((await identityOf((await open(t)).at(token))).grants?.claims, {});
  const { at } = await open(t, { defaultPermissions: { sub: ['user.{sub}.>'] } });
  t.same((await identityOf(at(token))).grants?.claims, { sub: ['user.ann.>'] });
  const own = await key.sign(claimsFor('ann', { relay: null }));
  t.same((await identityOf(at(own))).grants?.claims, {}, 'a claim that is there and empty is no missing one');
});

t.test('permissions stand in the claim that is configured', async (t) => {
  const { at } = await open(t, { permissionsClaim: 'https://relay.example/may' });
  const token = await key.sign(claimsFor('ann', { relay: { pub: ['a'] }, 'https://relay.example/may': { pub: ['b'] } }));
  t.same((await identityOf(at(token))).grants?.claims, { pub: ['b'] });
});

for (const { name, relay, want } of [
  { name: 'an unknown right', relay: { publish: ['a'] }, want: /unknown right 'publish'/ },
  { name: 'no pattern', relay: { pub: ['a..b'] }, want: /pub\.allow\[0\] is no pattern/ },
  { name: 'a placeholder that nothing stands for', relay: { pub: ['{nobody}.a'] }, want: /claim 'nobody'/ },
  { name: 'a placeholder that would be a wildcard', relay: { pub: ['user.{evil}'] }, want: /claim 'evil'/ },
  { name: 'a placeholder that would be two tokens', relay: { pub: ['user.{wide}'] }, want: /claim 'wide'/ },
]) {
  t.test(`permissions with ${name} grant nothing of the rest either`, async (t) => {
    const { at, metrics } = await open(t);
    const token = await key.sign(claimsFor('ann', { evil: '>', wide: 'a.b', relay: { sub: ['ok'], ...relay } }));
    t.match(await at(token), { denied: { codeName: 'UNAUTHENTICATED', message: want } });
    t.equal(metrics.denied.permissions, 1);
  });
}

t.test('each refusal has its code: expired is told apart from bad', async (t) => {
  const { at, metrics } = await open(t);
  const expired = await key.sign(claimsFor('ann', { exp: NOW_SECONDS - 1 }));
  t.match(await at(expired), { denied: { codeName: 'TOKEN_EXPIRED' } });
  t.match(await at('junk'), { denied: { codeName: 'UNAUTHENTICATED' } });
  t.match(await at('x'.repeat(100_000)), { denied: { codeName: 'UNAUTHENTICATED' } });
  t.match(at(null), { denied: { codeName: 'UNAUTHENTICATED', message: 'a token is needed' } }, 'without waiting');
  t.match(metrics.denied, { expired: 1, malformed: 2, missing: 1 });
});

t.test('the anonymous come in where they have permissions, and at once', async (t) => {
  const { at, metrics } = await open(t, { anonymousPermissions: { sub: ['news.>'] } });
  const identity = at(null) as Identity;
  t.match(identity, { subject: 'anonymous', tokenId: null, expiresAtMs: Number.POSITIVE_INFINITY });
  t.ok(identity.grants?.may('sub', 'news.1'));
  t.notOk(identity.grants?.may('pub', 'news.1'));
  t.equal(metrics.anonymousAccepted, 1);
  t.match(await at('junk'), { denied: { codeName: 'UNAUTHENTICATED' } }, 'a bad token is not as good as none');
});

// ---- tokens that were verified lately

t.test('a token that was verified is taken at once, until it is over, revoked, or its key is gone', async (t) => {
  const { at, clock, metrics, revocations, ring } = await open(t);
  const token = await key.sign(claimsFor('ann', { jti: 'id', exp: NOW_SECONDS + 60 }));
  await identityOf(at(token));
  t.match(at(token), { subject: 'ann' }, 'without waiting');
  t.equal(metrics.tokensCached, 1);

  ring.replace('configured', keysOf(testKey('HS256', 'other').entry));
  t.match(await at(token), { denied: { codeName: 'UNAUTHENTICATED' } }, 'its key is gone');
  ring.replace('configured', keysOf(key.entry));
  await identityOf(at(token));

  clock.advance(60_000);
  t.match(await at(token), { denied: { codeName: 'TOKEN_EXPIRED' } });
  clock.advance(-60_000);
  await identityOf(at(token));
  revocations.revoke({ tokenId: 'id' });
  t.match(at(token), { denied: { codeName: 'UNAUTHENTICATED', message: 'the token is revoked' } });
  t.equal(metrics.denied.revoked, 1);
});

t.test('no more tokens are kept than the bound says', async (t) => {
  const { at, metrics } = await open(t, { tokenCacheMax: 2 });
  const tokens = await Promise.all(['a', 'b', 'c'].map((subject) => key.sign(claimsFor(subject))));
  for (const token of tokens) await at(token);
  for (const token of tokens) await at(token);
  t.equal(metrics.tokensCached, 0, 'each had gone for the next');
  const { at: without, metrics: counted } = await open(t, { tokenCacheMax: 0 });
  for (let round = 0; round < 2; round++) await without(tokens[0] as string);
  t.equal(counted.tokensCached, 0);
});

// ---- the hook

t.test('the hook may give other permissions, with the token’s words in the placeholders', async (t) => {
  const { at, metrics } = await open(t, {}, json({ allow: true, permissions: { sub: ['of.{sub}'] } }));
  const token = await key.sign(claimsFor('ann', { relay: { pub: ['a'] } }));
  t.same((await identityOf(at(token))).grants?.claims, { sub: ['of.ann'] });
  t.same((at(token) as Identity).grants?.claims, { sub: ['of.ann'] }, 'and at once the next time');
  t.equal(metrics.hooks.connect.allowed, 2);
});

t.test('the hook may leave them as they are, and may say no', async (t) => {
  const { at, server, clock, metrics } = await open(t, {}, json({ allow: true }));
  const token = await key.sign(claimsFor('ann', { relay: { pub: ['a'] } }));
  t.same((await identityOf(at(token))).grants?.claims, { pub: ['a'] });
  server.answer = json({ allow: false, reason: 'no seat' });
  clock.advance(10_000);
  t.match(await at(token), { denied: { codeName: 'FORBIDDEN', facts: { reason: 'no seat' } } });
  t.equal(metrics.denied.hookDenied, 1);
});

t.test('the hook is asked about the anonymous too, and not about who is refused anyway', async (t) => {
  const { at, server, revocations } = await open(
    t,
    { anonymousPermissions: {} },
    json({ allow: true, permissions: { sub: ['a'] } }),
  );
  t.same((await identityOf(at(null))).grants?.claims, { sub: ['a'] });
  t.match(server.asked, [{ body: /"subject":"anonymous"/ }]);
  revocations.revoke({ subject: 'ann' });
  await at(await key.sign(claimsFor('ann')));
  await at('junk');
  t.equal(server.asked.length, 1);
});

t.test('without an answer of the hook nobody comes in: later', async (t) => {
  const { at, metrics } = await open(t, {}, json({ allow: 'yes' }));
  const token = await key.sign(claimsFor('ann'));
  t.match(await at(token), { denied: { codeName: 'OVERLOADED', facts: { retryAfterMs: 250 } } });
  t.equal(metrics.denied.hookUnavailable, 1);
});

t.test('permissions of the hook that cannot be read let nobody in, and are told, but not each time', async (t) => {
  const { at, events, clock } = await open(t, {}, json({ allow: true, permissions: { publish: ['a'] } }));
  const token = await key.sign(claimsFor('ann'));
  for (let round = 0; round < 3; round++) t.match(await at(token), { denied: { codeName: 'OVERLOADED' } });
  t.match(events, [{ kind: 'failed', reason: /unknown right 'publish'/ }]);
  clock.advance(60_000);
  await at(token);
  t.equal(events.length, 2);
});

t.test('a token that is revoked while the hook is asked about it does not come in', async (t) => {
  const answer = held(json({ allow: true }));
  const { at, server, revocations } = await open(t, {}, answer);
  const outcome = at(await key.sign(claimsFor('ann', { jti: 'id' })));
  while (server.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  revocations.revoke({ tokenId: 'id' });
  answer.release();
  t.match(await outcome, { denied: { codeName: 'UNAUTHENTICATED', message: 'the token is revoked' } });
});

t.test('a mistake of our own lets nobody in, and never rejects', async (t) => {
  const { at, events, ring } = await open(t);
  ring.named = () => {
    throw new TypeError('no such thing');
  };
  t.match(await at(await key.sign(claimsFor('ann'))), { denied: { codeName: 'OVERLOADED' } });
  t.match(events, [{ kind: 'failed', reason: 'TypeError: no such thing' }]);
});
