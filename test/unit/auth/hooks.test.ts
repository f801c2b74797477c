/** The hooks before a real local HTTP server: what is asked, what is kept, and that no answer is never a yes. */
import t, { type Test } from 'tap';
import { type AuthEvent, AuthMetrics } from '../../../src/auth/auth-events.ts';
import { ConnectHook } from '../../../src/auth/connect-hook.ts';
import type { HookOptions } from '../../../src/auth/decision-hook.ts';
import { SubscribeHook } from '../../../src/auth/subscribe-hook.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import type { Identity } from '../../../src/front/ports.ts';
import { type Answering, held, JsonServer, json, silence, text } from '../../support/json-server.ts';
import { NOW_MS } from '../../support/tokens.ts';

const OPTIONS = { timeoutMs: 5_000, bytesMax: 1_024, inFlightMax: 2, cacheMs: 10_000, cacheMax: 100 };
const ANN: Identity = {
  subject: 'ann',
  tokenId: 'id-1',
  issuedAtMs: NOW_MS,
  expiresAtMs: Number.POSITIVE_INFINITY,
  grants: null,
};
const FROM = { token: 'THE-TOKEN', address: '10.1.2.3', origin: 'https://app.example', client: 'tab-7' };
const RETRY_AFTER_MS = 250;

async function open(t: Test, answer: Answering, options: Partial<HookOptions> = {}) {
  const server = await JsonServer.open(t, answer);
  const clock = new ManualClock(NOW_MS);
  const metrics = new AuthMetrics();
  const events: AuthEvent[] = [];
  const tell = (event: AuthEvent): void => void events.push(event);
  const all = { url: server.url, ...OPTIONS, ...options };
  const connect = new ConnectHook(all, clock, metrics, tell);
  const subscribe = new SubscribeHook(all, RETRY_AFTER_MS, clock, metrics, tell);
  t.teardown(() => {
    connect.close();
    subscribe.close();
  });
  return { server, clock, metrics, events, connect, subscribe };
}

t.test('who wants in is told to the connect hook, and the token is not', async (t) => {
  const { server, connect } = await open(t, json({ allow: true, permissions: { sub: ['a.>'] }, reason: 'staff' }));
  t.same(await connect.decide(ANN, FROM), { allow: true, permissions: { sub: ['a.>'] }, reason: 'staff' });
  t.match(server.asked, [{ method: 'POST', headers: { 'content-type': 'application/json' } }]);
  t.same(JSON.parse(server.asked[0]?.body as string), {
    subject: 'ann',
    tokenId: 'id-1',
    address: '10.1.2.3',
    origin: 'https://app.example',
    client: 'tab-7',
  });
  t.notMatch(JSON.stringify(server.asked), 'THE-TOKEN');
});

t.test('a decision, yes or no, is kept for a while, at once, and for the same question only', async (t) => {
  const { server, clock, connect, metrics } = await open(t, json({ allow: false }));
  await connect.decide(ANN, FROM);
  server.answer = json({ allow: true });
  t.match(connect.decide(ANN, FROM), { allow: false }, 'without waiting');
  t.match(await connect.decide(ANN, { ...FROM, address: '10.1.2.4' }), { allow: true });
  clock.advance(OPTIONS.cacheMs);
  t.match(await connect.decide(ANN, FROM), { allow: true });
  t.equal(server.asked.length, 3);
  t.equal(metrics.hooks.connect.cached, 1);
});

t.test('with cacheMs 0 each question is asked, and the same one at the same time still once', async (t) => {
  const { server, connect } = await open(t, json({ allow: true }), { cacheMs: 0 });
  await Promise.all([connect.decide(ANN, FROM), connect.decide(ANN, FROM)]);
  t.equal(server.asked.length, 1);
  await connect.decide(ANN, FROM);
  t.equal(server.asked.length, 2);
});

t.test('no more decisions are kept than the bound says: the oldest go', async (t) => {
  const { server, connect } = await open(t, json({ allow: true }), { cacheMax: 2 });
  for (const client of ['1', '2', '3']) await connect.decide(ANN, { ...FROM, client });
  t.equal(server.asked.length, 3);
  await connect.decide(ANN, { ...FROM, client: '3' });
  t.equal(server.asked.length, 3);
  await connect.decide(ANN, { ...FROM, client: '1' });
  t.equal(server.asked.length, 4);
});

t.test('no more questions are under way than the bound says: the next is not asked', async (t) => {
  const answer = held(json({ allow: true }));
  const { server, connect, metrics } = await open(t, answer);
  const asking = ['1', '2'].map((client) => connect.decide(ANN, { ...FROM, client }));
  t.equal(metrics.hooks.connect.inFlight, 2);
  t.equal(connect.decide(ANN, { ...FROM, client: '3' }), 'unavailable');
  t.equal(metrics.hooks.connect.refused, 1);
  while (server.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  answer.release();
  t.match(await Promise.all(asking), [{ allow: true }, { allow: true }]);
  t.equal(metrics.hooks.connect.inFlight, 0);
});

for (const { name, answer } of [
  { name: 'answers 500', answer: text('oops', 500) },
  { name: 'answers 204', answer: ((response) => void response.writeHead(204).end()) satisfies Answering },
  { name: 'answers with a page', answer: text('<html>') },
  { name: 'answers without a decision', answer: json({}) },
  { name: 'answers with a word for it', answer: json({ allow: 'true' }) },
  { name: 'answers with a number for it', answer: json({ allow: 1 }) },
  { name: 'answers with a list', answer: json([{ allow: true }]) },
  { name: 'answers yes with too much', answer: json({ allow: true, filler: 'x'.repeat(1_024) }) },
  { name: 'leads to a yes elsewhere', answer: text('', 307, { location: 'http://127.0.0.1:1/' }) },
  { name: 'never answers', answer: silence },
  {
    name: 'says yes and never ends',
    answer: ((response) => void response.writeHead(200).write('{"allow": true')) satisfies Answering,
  },
  { name: 'hangs up', answer: ((response) => void response.destroy()) satisfies Answering },
]) {
  t.test(`a hook that ${name} has not said yes; it is told once, and when it is well again`, async (t) => {
    const { server, connect, subscribe, events, metrics } = await open(t, answer, { timeoutMs: 100 });
    t.equal(await connect.decide(ANN, FROM), 'unavailable');
    t.equal(await connect.decide(ANN, FROM), 'unavailable', 'nor is that kept');
    t.match(await subscribe.decide(ANN, 'room.1'), {
      denied: { codeName: 'OVERLOADED', facts: { retryAfterMs: RETRY_AFTER_MS } },
    });
    t.match(events, [
      { kind: 'hookFailed', hook: 'connect' },
      { kind: 'hookFailed', hook: 'subscribe' },
    ]);
    t.equal(metrics.hooks.connect.failed, 2);
    server.answer = json({ allow: true });
    t.match(await connect.decide(ANN, FROM), { allow: true });
    t.match(events.at(-1), { kind: 'hookAnswers', hook: 'connect' });
  });
}

t.test('a hook that nobody answers at', async (t) => {
  const { server, connect, events } = await open(t, silence);
  server.close();
  t.equal(await connect.decide(ANN, FROM), 'unavailable');
  t.match(events, [{ kind: 'hookFailed', reason: 'ECONNREFUSED' }]);
});

t.test('a reason reaches the client short and on one line', async (t) => {
  const { connect } = await open(t, json({ allow: false, reason: `seats\r\nX: y ${'z'.repeat(500)}` }));
  const decision = (await connect.decide(ANN, FROM)) as { reason: string };
  t.match(decision.reason, /^seats X: y z+$/);
  t.ok(decision.reason.length <= 128);
});

// ---- subscriptions

t.test('the subscribe hook is asked about names and patterns, and can say no', async (t) => {
  const answer: Answering = (response, asked) =>
    json({ allow: !asked.body.includes('secret'), reason: 'not yours' })(response, asked);
  const { server, subscribe, metrics } = await open(t, answer);
  t.equal(await subscribe.decide(ANN, 'room.1'), null);
  t.equal(await subscribe.decide(ANN, 'room.*'), null);
  t.match(await subscribe.decide(ANN, 'secret.1'), { denied: { codeName: 'FORBIDDEN', facts: { reason: 'not yours' } } });
  t.same(
    server.asked.map(({ body }) => JSON.parse(body)),
    [
      { subject: 'ann', tokenId: 'id-1', topic: 'room.1', pattern: false },
      { subject: 'ann', tokenId: 'id-1', topic: 'room.*', pattern: true },
      { subject: 'ann', tokenId: 'id-1', topic: 'secret.1', pattern: false },
    ],
  );
  t.equal(subscribe.decide(ANN, 'room.1'), null, 'at once, out of what is kept');
  t.match(metrics.hooks.subscribe, { allowed: 3, denied: 1, cached: 1 });
});

t.test('what is no name is the relay’s own to refuse: nobody is asked', async (t) => {
  const { server, subscribe } = await open(t, silence);
  t.equal(subscribe.decide(ANN, 'a..b'), null);
  t.equal(server.asked.length, 0);
});
