/** Tokens that expire: refreshed in place, commands that wait for a fresh one, and what ends a client or a subscription for want of a right. */
import t, { type Test } from 'tap';
import type { Client, TokenProblem } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import {
  type Command,
  code,
  error,
  event,
  FakeNet,
  type FakeSocket,
  forbidUnhandledRejections,
  message,
  settle,
  subscribed,
} from './harness.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

const LIFE_MS = 100_000;
const TOKEN_EXPIRED = 114;

/** A client with a token function, and what the function and the client have told. */
class Rig {
  readonly net = new FakeNet();
  readonly problems: TokenProblem[] = [];
  refreshedCount = 0;
  fetchCount = 0;
  /** What the token function does next. */
  fetch: () => string | Promise<string> = () => `token-${this.fetchCount}`;
  client!: Client;
  socket!: FakeSocket;
  /** The relay's clock is ahead of ours by this much. */
  skewMs = 0;

  get expiresAtMs(): number {
    return this.net.time.nowMs() + this.skewMs + LIFE_MS;
  }

  /** Connected with a token that has LIFE_MS to live; the relay has told its time. */
  static async open(options: Parameters<FakeNet['client']>[0] = {}, skewMs = 0): Promise<Rig> {
    const rig = new Rig();
    rig.skewMs = skewMs;
    rig.client = rig.net.client({
      token: () => {
        rig.fetchCount++;
        return rig.fetch();
      },
      pingIdleMs: 1e9, // A PING is a question for the time here, not for a sign of life.
      ...options,
    });
    rig.client.on('token-problem', (problem) => rig.problems.push(problem));
    rig.client.on('token-refreshed', () => rig.refreshedCount++);
    void rig.client.connect();
    rig.socket = await rig.net.welcome({ subject: 'ann', expiresAtMs: rig.expiresAtMs });
    await rig.tellTime();
    return rig;
  }

  /** Answers the client's question for the relay's time, which comes first. */
  async tellTime(): Promise<void> {
    const [, id] = await this.socket.readOne(MessageType.PING);
    await this.socket.ok(id, { timeUs: (this.net.time.nowMs() + this.skewMs) * 1_000 });
  }

  /** Until the client asks for a fresh token, which it does in the middle of its range. */
  untilDue(): Promise<void> {
    return this.net.time.advance(LIFE_MS * 0.7);
  }

  /** The REFRESH that the client has sent. */
  async refresh(): Promise<[id: number, token: unknown]> {
    const [, id, token] = await this.socket.readOne(MessageType.REFRESH);
    return [id, token];
  }

  async grant(id: number): Promise<void> {
    await this.socket.ok(id, { expiresAtMs: this.expiresAtMs });
  }

  async end(t: Test): Promise<void> {
    t.equal(await this.net.end(this.client), 0, 'no timer is left behind');
  }
}

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
  await rig.end(t);
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

t.test('tokens that are old when they come are one request a second, whoever asks', async (t) => {
  const rig = await Rig.open();
  const fetched = rig.fetchCount;
  await rig.untilDue();
  for (let second = 1; second <= 10; second++) {
    const commands = await rig.socket.read();
    for (const [type, id] of commands) {
      const nowMs = rig.net.time.nowMs();
      if (type === MessageType.REFRESH) await rig.socket.ok(id, { expiresAtMs: nowMs - 60_000 });
      else if (type === MessageType.PING) await rig.socket.ok(id, { timeUs: nowMs * 1_000 });
      else await rig.socket.reply(error(id, TOKEN_EXPIRED));
    }
    void rig.client.history('a').catch(() => {});
    await rig.net.time.advance(1_000);
  }
  t.ok(rig.fetchCount - fetched <= 11, `${rig.fetchCount - fetched} requests in 10 s`);
  t.ok(rig.fetchCount - fetched >= 5, 'it does not give up');
  await rig.end(t);
});

// ---- commands

const COMMANDS: { name: string; type: number; run: (client: Client) => Promise<unknown>; result: object }[] = [
  { name: 'a publish', type: MessageType.PUBLISH, run: (client) => client.publish('a', 1), result: { epoch: 'e', offset: 1 } },
  {
    name: 'a subscription',
    type: MessageType.SUBSCRIBE,
    run: (client) => client.subscribe('a').ready(),
    result: subscribed(1, 'e', 0),
  },
  {
    name: 'history',
    type: MessageType.HISTORY,
    run: (client) => client.history('a'),
    result: { epoch: 'e', first: 1, offset: 0, messages: [], more: false },
  },
  { name: 'presence', type: MessageType.PRESENCE, run: (client) => client.presence('a'), result: { count: 0, members: [] } },
];

for (const { name, type, run, result } of COMMANDS) {
  t.test(`${name} that is answered TOKEN_EXPIRED waits for a fresh token and is sent again`, async (t) => {
    const rig = await Rig.open();
    const outcome = run(rig.client);
    const sent = await rig.socket.readOne(type);
    await rig.socket.reply(error(sent[1], TOKEN_EXPIRED, 'token expired'));
    await rig.net.time.advance(1_000);
    const [refresh] = await rig.refresh();
    await rig.grant(refresh);
    const [again, ping] = await rig.socket.read().then((commands) => commands.sort(([one], [other]) => one - other));
    t.same(again, sent, 'the same command');
    t.equal(ping?.[0], MessageType.PING);
    await rig.socket.ok(again?.[1] as number, result);
    await outcome;
    t.same(rig.problems, []);
    await rig.end(t);
  });

  t.test(`${name} that is answered TOKEN_EXPIRED fails where the token is fixed`, async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.open({ token: 'fixed' });
    const outcome = run(client);
    const [, id] = await socket.readOne(type);
    await socket.reply(error(id, TOKEN_EXPIRED, 'token expired'));
    await t.rejects(outcome, code('TOKEN_EXPIRED'));
    t.equal(await net.end(client), 0);
  });
}

t.test('a call goes again under its number, so that cancelling it reaches it', async (t) => {
  const rig = await Rig.open();
  await rig.end(t);
  const net = new FakeNet();
  const { client, socket } = await net.openFull({ token: () => 'fresh' });
  const controller = new AbortController();
  const outcome = client.call('math', 'add', [1, 2], { signal: controller.signal });
  const sent = await socket.readOne(MessageType.CALL);
  await socket.reply(error(sent[1], TOKEN_EXPIRED));
  await net.time.advance(1_000);
  const [, refresh] = await socket.readOne(MessageType.REFRESH);
  await socket.ok(refresh, {});
  t.same(await socket.readOne(MessageType.CALL), sent);
  controller.abort();
  await t.rejects(outcome, code('CANCELLED'));
  t.same(await socket.readOne(MessageType.CANCEL), [MessageType.CANCEL, 0, 'math', sent[1]]);
  t.equal(await net.end(client), 0);
});

t.test('what is sent while a token is missing waits behind what was refused: the order stays', async (t) => {
  const rig = await Rig.open();
  const outcomes = [1, 2, 3].map((number) => rig.client.publish('a', number));
  const refused = await rig.socket.read();
  await rig.socket.reply(...refused.map(([, id]) => error(id, TOKEN_EXPIRED)));
  outcomes.push(rig.client.publish('a', 4));
  void rig.client.publish('a', 5, { ack: false });
  const off = rig.client.subscribe('b');
  off.unsubscribe();
  t.same(await rig.socket.read(), [], 'it would be refused');
  await rig.net.time.advance(1_000);
  const [refresh] = await rig.refresh();
  await rig.grant(refresh);
  const sent = (await rig.socket.read()).filter(([type]) => type !== MessageType.PING);
  t.same(
    sent.map(([type, , topic, , payload]) => (type === MessageType.PUBLISH ? payload : [type, topic])),
    [1, 2, 3, 4, 5, [MessageType.SUBSCRIBE, 'b'], [MessageType.UNSUBSCRIBE, 'b']],
  );
  for (const [index, [type, id]] of sent.entries())
    if (type === MessageType.PUBLISH && id !== 0) await rig.socket.ok(id, { epoch: 'e', offset: index + 1 });
  t.same(
    (await Promise.all(outcomes)).map((result) => result?.offset),
    [1, 2, 3, 4],
  );
  await rig.end(t);
});

t.test('what an expired token may still send does not wait: results of calls, and their cancelling', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull({ token: () => 'fresh' });
  const service = client.service('math', { add: ([left, right]: [number, number]) => left + right }, { version: '1.0.0' });
  const [, registration] = await socket.readOne(MessageType.REGISTER);
  await socket.ok(registration, { instance: 'i1', leaseMs: 60_000 });
  const history = client.history('a').catch((error) => error);
  const [, id] = await socket.readOne(MessageType.HISTORY);
  await socket.reply(error(id, TOKEN_EXPIRED));
  await socket.reply([MessageType.INVOKE, 41, 'math', 'add', { deadlineMs: 1_000 }, [1, 2]]);
  t.same(await socket.readOne(MessageType.RETURN), [MessageType.RETURN, 41, null, 3]);
  t.equal(service.inFlightCount, 0);
  t.equal(await net.end(client), 0);
  t.match(await history, { codeName: 'CANCELLED' });
});

t.test(
  'after a REFRESH an instance asks whether it still is one, and ends where the right to serve was taken away',
  async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.openFull({ token: () => 'fresh' });
    const told: unknown[] = [];
    client.on('error', (error) => told.push(error));
    const options = { version: '1.0.0' };
    const [kept, taken] = ['kept', 'taken'].map((name) => client.service(name, { run: () => 1 }, options));
    for (const [, id] of await socket.read()) await socket.ok(id, { instance: `i${id}`, leaseMs: 60_000 });
    void client.history('a').catch(() => {});
    const [, history] = await socket.readOne(MessageType.HISTORY);
    await socket.reply(error(history, TOKEN_EXPIRED));
    await net.time.advance(1_000);
    const [, refresh] = await socket.readOne(MessageType.REFRESH);
    await socket.ok(refresh, { expiresAtMs: null });
    for (const [type, id, name] of await socket.read()) {
      if (type !== MessageType.HEARTBEAT) continue;
      if (name === 'kept') await socket.ok(id);
      else await socket.reply(error(id, 103, 'not registered'));
    }
    const [, again, name] = await socket.readOne(MessageType.REGISTER);
    t.equal(name, 'taken');
    await socket.reply(error(again, 102, 'not permitted'));
    t.match(told, [{ codeName: 'FORBIDDEN' }]);
    t.match(taken?.state, { name: 'stopped', error: { codeName: 'FORBIDDEN' } });
    t.match(kept?.state, { name: 'registered' });
    t.equal(client.tokenExpiresAtMs, undefined, 'nil is for ever');
    t.equal(await net.end(client), 0);
  },
);

t.test('what was given up meanwhile is not sent again, and what waits counts as buffered', async (t) => {
  const rig = await Rig.open({ bufferedBytesMax: 1_000, offlineQueue: { messagesMax: 5 } });
  rig.fetch = () => Promise.reject(new Error('down'));
  const history = rig.client.history('a', { timeoutMs: 500 });
  const [, id] = await rig.socket.readOne(MessageType.HISTORY);
  await rig.socket.reply(error(id, TOKEN_EXPIRED));
  await rig.net.time.advance(500);
  await t.rejects(history, code('TIMEOUT'));
  const filler = 'x'.repeat(300);
  const publishes = Array.from({ length: 12 }, () => rig.client.publish('a', filler));
  await settle();
  t.ok(rig.client.bufferedAmount > 1_000);
  await t.rejects(publishes.at(-1) as Promise<unknown>, code('OVERLOADED'), 'the queue is bounded as ever');
  rig.fetch = () => 'up';
  await rig.net.time.advance(3_000);
  const commands = await rig.socket.read();
  const refresh = commands.find(([type]) => type === MessageType.REFRESH) as Command;
  await rig.grant(refresh[1]);
  const sent = await rig.socket.read();
  t.notOk(
    sent.some(([type]) => type === MessageType.HISTORY),
    'nobody waits for the history any more',
  );
  t.ok(sent.some(([type]) => type === MessageType.PUBLISH));
  t.ok((await rig.net.end(rig.client)) === 0);
});

t.test('a connection lost while commands wait for a token: they go out on the next one', async (t) => {
  const rig = await Rig.open();
  rig.fetch = () => Promise.reject(new Error('down'));
  const outcome = rig.client.publish('a', 1);
  const [, id] = await rig.socket.readOne(MessageType.PUBLISH);
  await rig.socket.reply(error(id, TOKEN_EXPIRED));
  rig.fetch = () => 'fresh';
  await rig.socket.lose(4501, 'token expired');
  rig.socket = await rig.net.reopen({ subject: 'ann' });
  const again = await rig.socket.readOne(MessageType.PUBLISH);
  await rig.socket.ok(again[1], { epoch: 'e', offset: 1 });
  t.match(await outcome, { offset: 1 });
  await rig.end(t);
});

t.test('closed while a token is being fetched: it is not used, and nothing is left', async (t) => {
  const rig = await Rig.open();
  let bring: (token: string) => void = () => {};
  rig.fetch = () => new Promise((resolve) => (bring = resolve));
  await rig.untilDue();
  await rig.end(t);
  bring('late');
  await settle();
  t.same(
    (await rig.socket.read()).filter(([type]) => type === MessageType.REFRESH),
    [],
  );
});

// ---- the end

t.test('4501 and a fixed token: that was it', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ token: 'fixed' });
  await socket.lose(4501, 'token expired');
  t.match(client.state, { name: 'closed', code: 4501, final: true, error: { codeName: 'UNAUTHENTICATED' } });
});

/** The relay's refusal of the HELLO that the newest socket sends. */
async function refuse(net: FakeNet, number: number): Promise<void> {
  await settle();
  net.socket.accept();
  const [, id] = await net.socket.readOne(MessageType.HELLO);
  await net.socket.reply(error(id, number, 'bad token'));
  await net.socket.lose(4501, 'bad token');
}

async function untilConnect({ net }: Rig): Promise<void> {
  const count = net.sockets.length;
  while (net.sockets.length === count) await net.time.advance(net.time.nextDueInMs as number);
}

t.test('4501 and a token function: one more fresh token, then a clear end', async (t) => {
  const rig = await Rig.open();
  await rig.net.time.advance(10_000); // It has been good for a while: this token may have expired.
  await rig.socket.lose(4501, 'token expired');
  t.match(rig.client.state, { name: 'waiting', closeCode: 4501 });
  const fetched = rig.fetchCount;
  await untilConnect(rig);
  await refuse(rig.net, 101);
  t.match(rig.client.state, { name: 'waiting', closeCode: 4501 });
  const pending = rig.client.publish('a', 1);
  await untilConnect(rig);
  t.equal(rig.fetchCount, fetched + 2, 'each connect asks for a fresh one');
  await refuse(rig.net, 101);
  t.match(rig.client.state, { name: 'closed', code: 4501, final: true, reason: /2 fresh tokens in a row were refused/ });
  await t.rejects(pending, { codeName: 'UNAUTHENTICATED', message: /2 fresh tokens in a row were refused: bad token/ } as never);
  t.equal(rig.net.time.timerCount, 0);
});

t.test('a lost connection between two refused tokens does not make the second one the first', async (t) => {
  const net = new FakeNet();
  const client = net.client({ token: () => 'bad' });
  void client.connect();
  await refuse(net, 101);
  await net.time.advance(net.time.nextDueInMs as number);
  await net.socket.lose(1006, 'no cable');
  await net.time.advance(net.time.nextDueInMs as number);
  await refuse(net, 114);
  t.match(client.state, { name: 'closed', code: 4501, final: true });
  t.equal(net.sockets.length, 3);
});

t.test('fresh tokens that are good for a moment only: not for ever either', async (t) => {
  const rig = await Rig.open();
  await rig.socket.lose(4501, 'token expired');
  rig.socket = await rig.net.reopen({ subject: 'ann' });
  await rig.socket.lose(4501, 'token expired');
  t.match(rig.client.state, { name: 'closed', final: true });
});

for (const { closeCode, reason } of [
  { closeCode: 4502, reason: 'forbidden' },
  { closeCode: 4505, reason: 'revoked' },
]) {
  t.test(`close code ${closeCode} is final and FORBIDDEN, token function or not`, async (t) => {
    const rig = await Rig.open();
    const pending = rig.client.publish('a', 1);
    await rig.socket.lose(closeCode, reason);
    t.match(rig.client.state, { name: 'closed', code: closeCode, final: true, error: { codeName: 'FORBIDDEN' } });
    await t.rejects(pending, { codeName: 'FORBIDDEN', facts: { closeCode, reason } } as never);
    t.equal(rig.net.time.timerCount, 0);
  });
}

t.test('a right that is taken away ends the subscriptions, with an error, for good', async (t) => {
  const rig = await Rig.open();
  const looped = rig.client.subscribe('a');
  const called = rig.client.subscribe('a', { onMessage: () => {} });
  const told: unknown[] = [];
  called.on('error', (error) => told.push(error));
  called.on('continuity-lost', (loss) => told.push(loss));
  const [first, second] = await rig.socket.read();
  await rig.socket.ok((first as Command)[1], subscribed(7, 'e', 0));
  if (second !== undefined) await rig.socket.ok(second[1], subscribed(7, 'e', 0));
  await rig.socket.reply(message(7, 1, 'before'));
  await rig.socket.reply(event(7, 'lost', { from: null, to: null, reason: 'FORBIDDEN', epoch: 'e', offset: 1 }));
  t.match(told, [{ codeName: 'FORBIDDEN', facts: { topic: 'a' } }]);
  t.match(called.state, { name: 'ended', error: { codeName: 'FORBIDDEN' } });
  const seen: unknown[] = [];
  await t.rejects(async () => {
    for await (const { payload } of looped) seen.push(payload);
  }, code('FORBIDDEN'));
  t.same(seen, ['before'], 'what had come before is read first');
  await rig.socket.read();
  await rig.socket.lose();
  rig.socket = await rig.net.reopen({ subject: 'ann' });
  t.same(await rig.socket.read(), [], 'nobody asks for it again');
  await rig.end(t);
});

t.test('a subscription without the right to it ends, and no reconnect tries it again', async (t) => {
  const rig = await Rig.open();
  const subscription = rig.client.subscribe('secret');
  const ready = subscription.ready();
  const [, id] = await rig.socket.readOne(MessageType.SUBSCRIBE);
  await rig.socket.reply(error(id, 102, 'not permitted'));
  await t.rejects(ready, code('FORBIDDEN'));
  t.match(subscription.state, { name: 'ended', error: { codeName: 'FORBIDDEN' } });
  await rig.net.time.advance(20_000);
  t.same(await rig.socket.read(), []);
  await rig.socket.lose();
  rig.socket = await rig.net.reopen({ subject: 'ann' });
  t.same(await rig.socket.read(), []);
  await rig.end(t);
});

t.test('a right that is missing at a reconnect ends what was live until then', async (t) => {
  const rig = await Rig.open();
  const subscription = rig.client.subscribe('a');
  const [, id] = await rig.socket.readOne(MessageType.SUBSCRIBE);
  await rig.socket.ok(id, subscribed(7, 'e', 0));
  const next = subscription[Symbol.asyncIterator]().next();
  await rig.socket.lose();
  rig.socket = await rig.net.reopen({ subject: 'ann' });
  const [, again] = await rig.socket.readOne(MessageType.SUBSCRIBE);
  await rig.socket.reply(error(again, 102, 'not permitted'));
  await t.rejects(next, code('FORBIDDEN'));
  await rig.end(t);
});
