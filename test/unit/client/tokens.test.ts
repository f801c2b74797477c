/** Tokens that expire are refreshed in place: when, how often, and what the client says of it. */
import t from 'tap';
import type { TokenProblem } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { type Command, error, FakeNet, forbidUnhandledRejections } from './harness.ts';
import { LIFE_MS, Rig, TOKEN_EXPIRED } from './token-rig.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

t.test('the answer to HELLO says who we are and until when, before anybody hears that it is open', async (t) => {
  const net = new FakeNet();
  const client = net.client({ token: 'fixed' });
  t.equal(client.subject, undefined);
  const seen: unknown[] = [];
  client.on('state', ({ name }) => seen.push([name, client.subject, client.tokenExpiresAtMs]));
  void client.connect();
  const socket = await net.welcome({ subject: 'ann', expiresAtMs: 1_700_000_100_000 });
  t.same(seen.at(-1), ['open', 'ann', 1_700_000_100_000]);
  t.same(await socket.read(), [], 'a fixed token is not refreshed, so nobody asks for the time');
  await socket.lose();
  await net.reopen();
  t.same(seen.at(-1), ['open', undefined, undefined], 'a relay without authentication knows nobody');
  await net.end(client);
});

for (const { random, skewMs, dueMs } of [
  { random: 0, skewMs: 0, dueMs: 60_000 },
  { random: 0.5, skewMs: 0, dueMs: 70_000 },
  { random: 0, skewMs: 3_600_000, dueMs: 60_000 },
  { random: 0, skewMs: -3_600_000, dueMs: 60_000 },
]) {
  t.test(`of ${LIFE_MS} ms left ${dueMs} pass before a refresh (random ${random}, clocks ${skewMs} ms apart)`, async (t) => {
    const rig = await Rig.open({ random: () => random }, skewMs);
    await rig.net.time.advance(dueMs - 1);
    t.equal(rig.fetchCount, 1, 'for HELLO');
    await rig.net.time.advance(1);
    const [id, token] = await rig.refresh();
    t.equal(token, 'token-2');
    t.equal(rig.refreshedCount, 0);
    await rig.grant(id);
    t.equal(rig.refreshedCount, 1);
    t.equal(rig.client.tokenExpiresAtMs, rig.expiresAtMs);
    t.equal(rig.client.state.name, 'open');
    t.equal(rig.net.sockets.length, 1, 'without another connection');
    await rig.tellTime();
    await rig.net.time.advance(dueMs - 1);
    t.equal(rig.fetchCount, 2);
    await rig.net.time.advance(1);
    t.equal(rig.fetchCount, 3, 'and so on');
    await rig.end(t);
  });
}

t.test('a relay that does not tell its time: the own clock has to do', async (t) => {
  const net = new FakeNet();
  let fetchCount = 0;
  const { client, socket } = await net.open(
    { token: () => `token-${++fetchCount}`, pingIdleMs: 1e9 },
    { subject: 'ann', expiresAtMs: net.time.nowMs() + LIFE_MS },
  );
  const [, id] = await socket.readOne(MessageType.PING);
  await socket.reply(error(id, 105, 'slower', { retryAfterMs: 1_000 }));
  await net.time.advance(LIFE_MS * 0.8);
  t.equal(fetchCount, 2);
  t.equal(await net.end(client), 0);
});

t.test('a token function that fails is asked again, later each time, and the client says so', async (t) => {
  const rig = await Rig.open();
  const down = new Error('token server is down');
  rig.fetch = () => Promise.reject(down);
  await rig.untilDue();
  t.match(rig.problems, [{ error: down, attempt: 0, retryAtMs: Number }]);
  const waits: number[] = [];
  for (let round = 0; round < 9; round++) {
    const { retryAtMs } = rig.problems.at(-1) as TokenProblem;
    const waitMs = retryAtMs - rig.net.time.nowMs();
    waits.push(Math.round(waitMs / 100) * 100);
    await rig.net.time.advance(waitMs - 1);
    t.equal(rig.problems.length, round + 1, 'not before its time');
    await rig.net.time.advance(1);
  }
  t.same(waits.slice(0, 4), [1_000, 1_000, 1_000, 1_000], 'not more than one a second');
  t.same(waits.slice(4), [1_000, 1_600, 3_200, 6_400, 12_800], 'and then half of its range, as the random source is one half');
  t.same(
    rig.problems.map(({ attempt }) => attempt),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  rig.fetch = () => 'up again';
  await rig.net.time.advance((rig.problems.at(-1) as TokenProblem).retryAtMs - rig.net.time.nowMs());
  const commands = await rig.socket.read();
  const [, id, token] = commands.find(([type]) => type === MessageType.REFRESH) as Command;
  t.equal(token, 'up again');
  await rig.grant(id);
  t.equal(rig.refreshedCount, 1);
  t.equal(rig.client.state.name, 'open');
  await rig.tellTime();
  rig.fetch = () => Promise.reject(down);
  await rig.untilDue();
  t.match(rig.problems.slice(10), [{ attempt: 0 }], 'the next time it begins anew');
  await rig.end(t);
});

t.test('commands that are refused while a refresh is due change nothing of when it comes', async (t) => {
  const rig = await Rig.open();
  const flying = [1, 2].map(() => rig.client.history('a').catch(() => {}));
  const commands = await rig.socket.read();
  await rig.untilDue();
  const [first] = await rig.refresh();
  await rig.socket.reply(error(first, 106, 'busy', { retryAfterMs: 7_000 }));
  for (const [, id] of commands) {
    await rig.net.time.advance(900);
    await rig.socket.reply(error(id, TOKEN_EXPIRED));
  }
  const fetched = rig.fetchCount;
  await rig.net.time.advance(7_000 - 2 * 900 - 1);
  t.equal(rig.fetchCount, fetched);
  await rig.net.time.advance(1);
  t.equal(rig.fetchCount, fetched + 1);
  await rig.end(t);
  await Promise.all(flying);
});

t.test('the relay’s time that comes when a refresh is due already does not put it off', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open(
    { token: () => 'fresh' },
    { subject: 'ann', expiresAtMs: net.time.nowMs() + LIFE_MS },
  );
  const [, ping] = await socket.readOne(MessageType.PING);
  void client.history('a').catch(() => {});
  const [, id] = await socket.readOne(MessageType.HISTORY);
  await socket.reply(error(id, TOKEN_EXPIRED));
  await socket.ok(ping, { timeUs: net.time.nowMs() * 1_000 });
  await net.time.advance(1_000);
  await socket.readOne(MessageType.REFRESH);
  t.equal(await net.end(client), 0);
});

for (const { name, code: number, details, waitMs } of [
  { name: 'FORBIDDEN (somebody else’s token)', code: 102, details: null, waitMs: 1_000 },
  { name: 'TOKEN_EXPIRED (an old one)', code: TOKEN_EXPIRED, details: null, waitMs: 1_000 },
  { name: 'OVERLOADED with a time', code: 106, details: { retryAfterMs: 7_000 }, waitMs: 7_000 },
]) {
  t.test(`a REFRESH refused as ${name} is tried again after ${waitMs} ms with another token`, async (t) => {
    const rig = await Rig.open();
    await rig.untilDue();
    const [first] = await rig.refresh();
    await rig.socket.reply(error(first, number, 'no', details));
    t.match(rig.problems, [{ error: { code: number }, attempt: 0, retryAtMs: rig.net.time.nowMs() + waitMs }]);
    await rig.net.time.advance(waitMs - 1);
    t.same(await rig.socket.read(), []);
    await rig.net.time.advance(1);
    const [second, token] = await rig.refresh();
    t.equal(token, 'token-3');
    await rig.grant(second);
    t.equal(rig.refreshedCount, 1);
    await rig.end(t);
  });
}

t.test('a token function that never answers is given up, and what it brings later counts for nothing', async (t) => {
  const rig = await Rig.open({ helloTimeoutMs: 5_000 });
  let late: (token: string) => void = () => {};
  rig.fetch = () => new Promise((resolve) => (late = resolve));
  await rig.untilDue();
  await rig.net.time.advance(5_000);
  t.match(rig.problems, [{ error: { codeName: 'TIMEOUT' } }]);
  rig.fetch = () => 'second';
  await rig.net.time.advance(1_000);
  const [id, token] = await rig.refresh();
  t.equal(token, 'second');
  late('first');
  t.same(await rig.socket.read(), []);
  await rig.grant(id);
  t.equal(rig.refreshedCount, 1);
  await rig.end(t);
});

for (const { name, answer, refreshedCount } of [
  { name: 'a refusal', answer: (id: number) => error(id, 102, 'no'), refreshedCount: 0 },
  { name: 'an OK', answer: (id: number) => [MessageType.OK, id, { expiresAtMs: null }], refreshedCount: 1 },
]) {
  t.test(`${name} that comes after its time is one problem, and not another one`, async (t) => {
    const rig = await Rig.open({ helloTimeoutMs: 5_000 });
    await rig.untilDue();
    const [id] = await rig.refresh();
    await rig.net.time.advance(5_000);
    t.match(rig.problems, [{ error: { codeName: 'TIMEOUT' } }]);
    await rig.socket.reply(answer(id));
    t.equal(rig.problems.length, 1);
    t.equal(rig.refreshedCount, refreshedCount, 'a token that the relay has taken counts');
    const fetched = rig.fetchCount;
    await rig.net.time.advance(1_000);
    t.equal(rig.fetchCount, fetched + 1 - refreshedCount);
    await rig.end(t);
  });
}

t.test('a computer that slept for a day asks for one token when it wakes', async (t) => {
  const rig = await Rig.open();
  const fetched = rig.fetchCount;
  rig.net.time.sleep(86_400_000);
  await rig.net.time.advance(0);
  t.equal(rig.fetchCount, fetched + 1);
  const [id] = await rig.refresh();
  await rig.net.time.advance(900);
  t.equal(rig.fetchCount, fetched + 1);
  await rig.grant(id);
  await rig.tellTime();
  await rig.net.time.advance(30_000);
  t.equal(rig.fetchCount, fetched + 1);
  await rig.end(t);
});

for (const isBusy of [true, false]) {
  t.test(`tokens that are old when they come are one request a second, with commands (${isBusy}) or without`, async (t) => {
    const rig = await Rig.open();
    const fetched = rig.fetchCount;
    await rig.untilDue();
    for (let tenth = 1; tenth <= 100; tenth++) {
      const commands = await rig.socket.read();
      for (const [type, id] of commands) {
        const nowMs = rig.net.time.nowMs();
        if (type === MessageType.REFRESH) await rig.socket.ok(id, { expiresAtMs: nowMs - 60_000 });
        else if (type === MessageType.PING) await rig.socket.ok(id, { timeUs: nowMs * 1_000 });
        else await rig.socket.reply(error(id, TOKEN_EXPIRED));
      }
      if (isBusy) void rig.client.history('a').catch(() => {});
      await rig.net.time.advance(100);
    }
    t.ok(rig.fetchCount - fetched <= 11, `${rig.fetchCount - fetched} requests in 10 s`);
    t.ok(rig.fetchCount - fetched >= 5, 'it does not give up');
    await rig.end(t);
  });
}
