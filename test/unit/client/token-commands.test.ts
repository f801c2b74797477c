/** Commands that are answered TOKEN_EXPIRED: they wait for a fresh token, in order, and nothing is done twice. */
import t from 'tap';
import type { Client } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { type Command, code, error, FakeNet, forbidUnhandledRejections, settle, subscribed } from './harness.ts';
import { Rig, TOKEN_EXPIRED } from './token-rig.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

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
