/** The key set of a real local HTTP server that is well, down, slow or lying: which keys are in use, how often it is asked, and what is told. */
import t, { type Test } from 'tap';
import { type AuthEvent, AuthMetrics } from '../../../src/auth/auth-events.ts';
import { JwksEndpoint, type JwksOptions } from '../../../src/auth/jwks.ts';
import { KeyRing } from '../../../src/auth/key-ring.ts';
import { issueToken } from '../../../src/auth/token-issuer.ts';
import { TokenVerifier } from '../../../src/auth/token-verifier.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { type Answering, held, JsonServer, json, silence, text } from '../../support/json-server.ts';
import { claimsFor, keysOf, NOW_MS, type TestKey, testKey } from '../../support/tokens.ts';

const [one, two] = [testKey('ES256', 'one'), testKey('ES256', 'two')];
const setOf = (...keys: readonly TestKey[]): Answering => json({ keys: keys.map(({ jwk }) => jwk) });
const OPTIONS = {
  refreshMsMin: 30_000,
  ageMsMax: 600_000,
  unknownKidMs: 60_000,
  timeoutMs: 5_000,
  bytesMax: 16_384,
  rsaAlgorithm: 'RS256',
} as const;

class Rig {
  readonly clock = new ManualClock(NOW_MS);
  readonly ring: KeyRing;
  readonly metrics = new AuthMetrics();
  readonly events: AuthEvent[] = [];
  readonly jwks: JwksEndpoint;
  readonly verifier: TokenVerifier;
  readonly server: JsonServer;

  constructor(server: JsonServer, options: Partial<JwksOptions> = {}, ...configured: readonly unknown[]) {
    this.server = server;
    this.ring = new KeyRing(keysOf(...configured));
    const tell = (event: AuthEvent): void => void this.events.push(event);
    this.jwks = new JwksEndpoint({ url: server.url, ...OPTIONS, ...options }, this.ring, this.clock, this.metrics, tell);
    const rules = { issuer: '', audience: '', expRequired: true, leewayMs: 5_000, lifetimeMsMax: 86_400_000 };
    this.verifier = new TokenVerifier(rules, this.ring, this.jwks, this.clock);
  }

  static async open(
    t: Test,
    answer: Answering,
    options: Partial<JwksOptions> = {},
    ...configured: readonly unknown[]
  ): Promise<Rig> {
    const rig = new Rig(await JsonServer.open(t, answer), options, ...configured);
    t.teardown(() => rig.jwks.close());
    return rig;
  }

  async verify({ sign }: TestKey): Promise<string> {
    const outcome = await this.verifier.verify(await sign(claimsFor('ann')));
    return 'fault' in outcome ? outcome.fault : 'good';
  }

  get requests(): number {
    return this.server.asked.length;
  }
}

t.test('keys are read once and then used: tokens cost no further request', async (t) => {
  const rig = await Rig.open(t, setOf(one, two));
  await rig.jwks.refresh();
  t.same([await rig.verify(one), await rig.verify(two), await rig.verify(one)], ['good', 'good', 'good']);
  t.equal(rig.requests, 1);
  t.match(rig.server.asked, [{ method: 'GET', body: '' }]);
  t.same(rig.events, [{ kind: 'jwksRead', keys: 2, passedOver: 0 }]);
});

t.test('many tokens before the first answer wait for one request', async (t) => {
  const answer = held(setOf(one));
  const rig = await Rig.open(t, answer);
  const outcomes = Array.from({ length: 50 }, () => rig.verify(one));
  while (rig.requests === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  answer.release();
  t.same(new Set(await Promise.all(outcomes)), new Set(['good']));
  t.equal(rig.requests, 1);
});

t.test('a key that is new is found when a token names it, without a restart', async (t) => {
  const rig = await Rig.open(t, setOf(one));
  await rig.jwks.refresh();
  rig.server.answer = setOf(one, two);
  t.equal(await rig.verify(two), 'keysUnavailable', 'asked a moment ago: later');
  rig.clock.advance(OPTIONS.refreshMsMin);
  t.same([await rig.verify(two), await rig.verify(two)], ['good', 'good']);
  t.equal(rig.requests, 2);
});

t.test('how long "later" is, is said', async (t) => {
  const rig = await Rig.open(t, setOf(one));
  await rig.jwks.refresh();
  rig.clock.advance(10_000);
  t.match(await rig.verifier.verify(await two.sign(claimsFor('ann'))), { fault: 'keysUnavailable', retryAfterMs: 20_000 });
});

t.test('names that nobody has are asked for once, and never more often than the bound, whatever strangers send', async (t) => {
  const rig = await Rig.open(t, setOf(one));
  await rig.jwks.refresh();
  rig.clock.advance(OPTIONS.refreshMsMin);
  t.equal(await rig.verify(two), 'unknownKey');
  t.equal(rig.requests, 2);
  rig.clock.advance(OPTIONS.refreshMsMin);
  t.equal(await rig.verify(two), 'unknownKey', 'known to be unknown');
  t.equal(rig.requests, 2);
  for (let number = 0; number < 2_000; number++) {
    const kid = `stranger-${number}`;
    await rig.verifier.verify(await issueToken(claimsFor('ann'), { ...one.signing, kid }));
    rig.clock.advance(100);
  }
  // 200 seconds at one request in 30, and what the age of the keys asked for.
  t.ok(rig.requests <= 2 + 7, `${rig.requests} requests`);
});

t.test('a name that was unknown is asked for again after a while', async (t) => {
  const rig = await Rig.open(t, setOf(one));
  await rig.jwks.refresh();
  rig.clock.advance(OPTIONS.refreshMsMin);
  t.equal(await rig.verify(two), 'unknownKey');
  rig.server.answer = setOf(one, two);
  rig.clock.advance(OPTIONS.unknownKidMs - 1);
  t.equal(await rig.verify(two), 'unknownKey');
  rig.clock.advance(1);
  t.equal(await rig.verify(two), 'good');
});

t.test('old keys are asked for again by themselves, and one that was taken out is not believed any more', async (t) => {
  const rig = await Rig.open(t, setOf(one, two));
  await rig.jwks.refresh();
  rig.server.answer = setOf(two);
  rig.clock.advance(OPTIONS.ageMsMax - 1);
  rig.jwks.tick();
  t.equal(await rig.verify(one), 'good');
  t.equal(rig.requests, 1);
  rig.clock.advance(1);
  rig.jwks.tick();
  await rig.jwks.refresh(); // The one that the tick began.
  t.equal(rig.requests, 2);
  t.same([await rig.verify(one), await rig.verify(two)], ['keysUnavailable', 'good'], 'it may have come back: later');
  rig.clock.advance(OPTIONS.refreshMsMin);
  t.same([await rig.verify(one), await rig.verify(two)], ['unknownKey', 'good']);
});

t.test('the same keys again are no news: what was verified stays verified', async (t) => {
  const rig = await Rig.open(t, setOf(one));
  await rig.jwks.refresh();
  const { version } = rig.ring;
  await rig.jwks.refresh();
  t.equal(rig.ring.version, version);
  t.equal(rig.events.length, 1);
});

// ---- what answers there is not well

for (const { name, answer, reason } of [
  { name: 'answers 500', answer: text('oops', 500), reason: 'it answers 500' },
  { name: 'answers with a page', answer: text('<html>sign in</html>'), reason: 'its answer is no JSON' },
  { name: 'answers with other JSON', answer: json({ error: 'not here' }), reason: 'it is no key set: there is no list `keys`' },
  { name: 'answers without keys', answer: json({ keys: [] }), reason: 'none of its 0 keys can be used' },
  {
    name: 'answers with secrets',
    answer: json({ keys: [{ kty: 'oct', kid: 'one', alg: 'HS256', k: 'A'.repeat(43) }] }),
    reason: 'none of its 1 keys can be used',
  },
  {
    name: 'answers with too much',
    answer: json({ keys: [one.jwk], filler: 'x'.repeat(16_384) }),
    reason: 'its answer has more than 16384 bytes',
  },
  {
    name: 'leads elsewhere',
    answer: text('', 302, { location: 'http://127.0.0.1:1/' }),
    reason: 'it answers 302 (redirects are not followed)',
  },
  { name: 'never answers', answer: silence, reason: 'no whole answer in 100 ms' },
  {
    name: 'never ends its answer',
    answer: ((response) => void response.writeHead(200).write('{"keys": [')) satisfies Answering,
    reason: 'no whole answer in 100 ms',
  },
  {
    name: 'hangs up',
    answer: ((response) => void response.destroy()) satisfies Answering,
    reason: /closed|ECONNRESET|UND_ERR_SOCKET/,
  },
]) {
  t.test(`an endpoint that ${name}: the keys from before stay in use, and it is told once`, async (t) => {
    const rig = await Rig.open(t, setOf(one), { timeoutMs: 100 });
    await rig.jwks.refresh();
    rig.server.answer = answer;
    rig.clock.advance(OPTIONS.ageMsMax);
    for (let round = 0; round < 3; round++) {
      rig.jwks.tick();
      await rig.jwks.refresh();
      rig.clock.advance(OPTIONS.refreshMsMin);
    }
    t.equal(await rig.verify(one), 'good');
    t.equal(await rig.verify(two), 'keysUnavailable', 'whether it is good cannot be told');
    t.match(rig.events.slice(1), [{ kind: 'jwksFailed', reason, keys: 1 }]);
    t.ok(rig.metrics.jwksFailures >= 3);
    t.equal(rig.jwks.isDown, true);

    rig.server.answer = setOf(one, two);
    rig.clock.advance(OPTIONS.refreshMsMin);
    t.same([await rig.verify(two), await rig.verify(one)], ['good', 'good']);
    t.match(rig.events.at(-1), { kind: 'jwksRead', keys: 2 });
    t.equal(rig.jwks.isDown, false);
  });
}

t.test('an endpoint that is down from the start: nobody is told that his token is bad', async (t) => {
  const rig = await Rig.open(t, text('', 503));
  await rig.jwks.refresh();
  t.equal(await rig.verify(one), 'keysUnavailable');
  t.equal(rig.requests, 1, 'and it is not asked for each of them');
  rig.clock.advance(OPTIONS.refreshMsMin - 1);
  rig.jwks.tick();
  t.equal(rig.requests, 1);
  rig.server.answer = setOf(one);
  rig.clock.advance(1);
  rig.jwks.tick();
  await rig.jwks.refresh();
  t.equal(await rig.verify(one), 'good');
});

t.test('a packed answer is counted as it is unpacked', async (t) => {
  const { gzipSync } = await import('node:zlib');
  const bomb = gzipSync(JSON.stringify({ keys: [one.jwk], filler: 'x'.repeat(10_000_000) }));
  const rig = await Rig.open(t, (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb));
  await rig.jwks.refresh();
  t.match(rig.events, [{ kind: 'jwksFailed', reason: 'its answer has more than 16384 bytes' }]);
});

t.test('keys without alg are for what their kind says, and RSA’s for one algorithm only', async (t) => {
  const rsa = testKey('RS256', 'rsa');
  const rig = await Rig.open(t, json({ keys: [one, rsa].map(({ jwk }) => ({ ...jwk, alg: undefined })) }));
  await rig.jwks.refresh();
  t.same([await rig.verify(one), await rig.verify(rsa)], ['good', 'good']);
  const asPs256 = await issueToken(claimsFor('ann'), { ...rsa.signing, alg: 'PS256' });
  rig.clock.advance(OPTIONS.refreshMsMin);
  t.match(await rig.verifier.verify(asPs256), { fault: 'unknownKey' });
});

t.test('a token without kid waits for the first answer, and goes by the only key of its algorithm', async (t) => {
  const rig = await Rig.open(t, setOf(one));
  const token = await issueToken(claimsFor('ann'), { ...one.signing, kid: null });
  t.match(await rig.verifier.verify(token), { subject: 'ann' });
  rig.clock.advance(OPTIONS.refreshMsMin);
  const other = await issueToken(claimsFor('ann'), { ...testKey('EdDSA').signing, kid: null });
  t.match(await rig.verifier.verify(other), { fault: 'unknownKey' });
  t.equal(rig.requests, 1, 'it names nothing that could be asked for');
});

t.test('configured keys need no endpoint, and none can take their name', async (t) => {
  const impostor = testKey('HS256', 'one');
  const rig = await Rig.open(t, text('', 503), {}, one.entry);
  t.equal(await rig.verify(one), 'good');
  t.equal(rig.requests, 0);
  t.equal(await rig.verify(impostor), 'keysUnavailable');
  rig.server.answer = json({ keys: [{ ...two.jwk, kid: 'one' }] });
  rig.clock.advance(OPTIONS.refreshMsMin);
  await rig.jwks.refresh();
  t.equal(await rig.verify(one), 'good');
});

t.test('after close nothing is told of the request that was under way', async (t) => {
  const rig = await Rig.open(t, silence);
  const asked = rig.jwks.refresh();
  rig.jwks.close();
  await asked;
  t.same(rig.events, []);
});
