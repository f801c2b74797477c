/** What ends a client for want of a good token, and a subscription for want of a right. */
import t from 'tap';
import { MessageType } from '../../../src/protocol/types.ts';
import { type Command, code, error, event, FakeNet, forbidUnhandledRejections, message, settle, subscribed } from './harness.ts';
import { Rig } from './token-rig.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

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

t.test('a refused token is forgotten once a connection has lasted', async (t) => {
  const rig = await Rig.open();
  await rig.socket.lose(4501, 'token expired');
  rig.socket = await rig.net.reopen({ subject: 'ann' });
  await rig.net.time.advance(10_000);
  await rig.socket.lose(4501, 'token expired');
  await untilConnect(rig);
  await refuse(rig.net, 101);
  t.match(rig.client.state, { name: 'waiting', closeCode: 4501 }, 'one more');
  await rig.end(t);
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
