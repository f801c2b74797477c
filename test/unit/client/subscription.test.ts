/** Subscriptions: delivery, positions, recovery, loss that is never silent, sharing, leaving, slow readers. */
import t from 'tap';
import type { ContinuityLoss, Message, Subscription } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import {
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

/** All that a subscription says, as short lines. */
function listen(subscription: Subscription, lines: string[] = []): string[] {
  subscription.on('message', ({ offset, payload }) => lines.push(`${offset}:${payload}`));
  subscription.on('continuity-lost', ({ reason, lost }) => lines.push(`lost ${reason} ${lost?.join('-') ?? '?'}`));
  subscription.on('skip', ({ from, to, reason }) => lines.push(`skip ${from}-${to} ${reason}`));
  subscription.on('presence', ({ kind, id, count }) => lines.push(`${kind} ${id} ${count}`));
  subscription.on('lagged', ({ from }) => lines.push(`lagged ${from}`));
  subscription.on('error', (error) => lines.push(`error ${(error as Error).message}`));
  subscription.on('end', () => lines.push('end'));
  return lines;
}

/** Runs an application's loop; its rejection is looked at later, so it is not unhandled meanwhile. */
function run(loop: () => Promise<void>): Promise<void> {
  const promise = loop();
  promise.catch(() => {});
  return promise;
}

/** Reads the one SUBSCRIBE that is due and confirms it. */
async function confirm(socket: FakeSocket, result: object, ...behind: unknown[][]): Promise<unknown> {
  const [, id, topic, options] = await socket.readOne(MessageType.SUBSCRIBE);
  await socket.reply([MessageType.OK, id, result], ...behind);
  return [topic, options];
}

t.test('subscribe by callbacks: options as given, messages in order, positions after the callback', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const seen: Message[] = [];
  const positions: unknown[] = [];
  const subscription = client.subscribe('room', {
    since: { epoch: 'e', offset: 4 },
    policy: 'pause',
    presence: { name: 'x' },
    onMessage: (message) => {
      positions.push(subscription.position?.offset);
      seen.push(message);
    },
  });
  t.same(subscription.state, { name: 'joining' });
  t.same(subscription.position, { epoch: 'e', offset: 4 });
  const lines = listen(subscription);
  t.same(
    await confirm(
      socket,
      subscribed(7, 'e', 6, { recovered: true, replay: 2 }),
      message(7, 5, 'a', { recovered: true, timeUs: 9, publisher: 'p', headers: { h: '1' } }),
      message(7, 6, 'b', { recovered: true }),
      message(7, 7, 'c'),
    ),
    ['room', { since: { epoch: 'e', offset: 4 }, policy: 'pause', presence: { name: 'x' } }],
  );
  await subscription.ready();
  t.same(lines, ['5:a', '6:b', '7:c']);
  t.same(seen[0], {
    topic: 'room',
    payload: 'a',
    offset: 5,
    epoch: 'e',
    recovered: true,
    timeUs: 9,
    publisher: 'p',
    headers: { h: '1' },
  });
  t.same(positions, [4, 5, 6], 'processed when the callback has returned');
  t.same(subscription.position, { epoch: 'e', offset: 7 });
  await socket.reply(
    event(7, 'join', { id: 'ann', count: 2 }),
    event(7, 'skip', { from: 8, to: 9, reason: 'dropOldest', count: 2 }),
    event(7, 'lagged', { from: 10, to: 12 }),
    message(7, 10, 'd'),
    event(7, 'of-a-newer-relay', 1),
    event(7, 'lost', { from: 11, to: 20, reason: 'LANE_RESTARTED', epoch: 'f', offset: 0 }),
    message(7, 1, 'e'),
  );
  t.same(lines.slice(3), ['join ann 2', 'skip 8-9 dropOldest', 'lagged 10', '10:d', 'lost LANE_RESTARTED 11-20', '1:e']);
  t.same(subscription.position, { epoch: 'f', offset: 1 });
  t.equal(await net.end(client), 0);
});

t.test('for await: position moves when the next one is asked for; break unsubscribes', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const subscription = client.subscribe<string>('room');
  const positions: unknown[] = [];
  const payloads: string[] = [];
  const loop = run(async () => {
    for await (const { payload } of subscription) {
      payloads.push(payload);
      positions.push(subscription.position?.offset);
      if (payload === 'c') break;
    }
  });
  await confirm(socket, subscribed(7, 'e', 4), message(7, 5, 'a'), message(7, 6, 'b'));
  t.same(payloads, ['a', 'b']);
  await socket.reply(message(7, 7, 'c'), message(7, 8, 'd'));
  await loop;
  t.same(payloads, ['a', 'b', 'c']);
  t.same(positions, [4, 5, 6]);
  t.same(subscription.position, { epoch: 'e', offset: 6 }, 'the message one breaks out on is not counted: it would come again');
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE, Number, 'room']]);
  t.equal(subscription.state.name, 'ended');
  t.equal(subscription.bufferedCount, 0);
  await net.end(client);
});

t.test('a throw in the loop unsubscribes; client.close() lets the loop take what is buffered, then ends it', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const thrown = client.subscribe('a');
  const loop = run(async () => {
    for await (const _ of thrown) throw new Error('mine');
  });
  await confirm(socket, subscribed(1, 'e', 0), message(1, 1, 'x'));
  await t.rejects(loop, { message: 'mine' });
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE, Number, 'a']]);

  const ended = client.subscribe('b');
  await confirm(socket, subscribed(2, 'e', 0), message(2, 1, 'x'), message(2, 2, 'y'));
  await net.end(client);
  const rest: unknown[] = [];
  for await (const { payload } of ended) rest.push(payload);
  t.same(rest, ['x', 'y']);
});

t.test('one reader: a second loop, or a loop and listeners, is misuse', async (t) => {
  const client = new FakeNet().client();
  const looped = client.subscribe('a');
  const iterator = looped[Symbol.asyncIterator]();
  t.throws(() => looped[Symbol.asyncIterator](), /one reader/);
  t.throws(() => looped.on('message', () => {}), /one reader, a loop or listeners/);
  const called = client.subscribe('a', { onMessage() {} });
  t.throws(() => called[Symbol.asyncIterator](), /one reader/);
  const waiting = [iterator.next(), iterator.next()];
  await iterator.return?.();
  t.same(await Promise.all(waiting), [
    { done: true, value: undefined },
    { done: true, value: undefined },
  ]);
});

t.test('what came before the first listener is given to it, in order', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const subscription = client.subscribe('a');
  await confirm(socket, subscribed(1, 'e', 0), message(1, 1, 'x'), message(1, 2, 'y'));
  t.equal(subscription.bufferedCount, 2);
  const lines = listen(subscription);
  t.same(lines, []);
  await socket.reply(message(1, 3, 'z'));
  t.same(lines, ['1:x', '2:y', '3:z']);
  t.same(subscription.position, { epoch: 'e', offset: 3 });
  await net.end(client);
});

t.test('a callback that throws or rejects: reported, the stream goes on, the position waits for the next good one', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const positions: unknown[] = [];
  const subscription = client.subscribe('a', {
    onMessage: ({ payload }) => {
      positions.push(subscription.position?.offset);
      if (payload === 'throw') throw new Error('thrown');
      if (payload === 'reject') return Promise.reject(new Error('rejected'));
      return undefined;
    },
  });
  const errors: unknown[] = [];
  subscription.on('error', (error) => {
    errors.push((error as Error).message);
    throw new Error('from the error listener');
  });
  client.on('error', (error) => errors.push((error as Error).message));
  await confirm(socket, subscribed(1, 'e', 0), message(1, 1, 'throw'), message(1, 2, 'reject'), message(1, 3, 'good'));
  t.same(positions, [0, 0, 2]);
  t.same(subscription.position?.offset, 3);
  t.same(errors, ['thrown', 'from the error listener', 'rejected', 'from the error listener']);
  await net.end(client);
});

t.test('reconnect: all subscribe again where they stood by what was RECEIVED, in one WebSocket message', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const looped = client.subscribe('loop');
  const called = client.subscribe('call');
  const lines = listen(called);
  const [first, second] = await socket.read();
  await socket.reply([32, first?.[1], subscribed(1, 'e', 10)], [32, second?.[1], subscribed(2, 'g', 20)]);
  const iterator = looped[Symbol.asyncIterator]();
  await socket.reply(message(1, 11, 'a'), message(1, 12, 'b'), message(2, 21, 'c'));
  t.equal((await iterator.next()).value?.payload, 'a');
  t.equal(looped.position?.offset, 10);
  await socket.lose();
  t.same(looped.state, { name: 'waiting' });
  const next = await net.reopen();
  const again = await next.read();
  t.equal(next.frames.length, 2, 'HELLO, and all of them');
  t.match(again, [
    [3, Number, 'loop', { since: { epoch: 'e', offset: 12 } }],
    [3, Number, 'call', { since: { epoch: 'g', offset: 21 } }],
  ]);
  await next.reply(
    [32, again[0]?.[1], subscribed(5, 'e', 13, { recovered: true, replay: 1 })],
    message(5, 13, 'd', { recovered: true }),
    [32, again[1]?.[1], subscribed(6, 'h', 3, { recovered: false, reason: 'EPOCH_CHANGED' })],
    message(6, 4, 'e'),
  );
  t.same(
    [(await iterator.next()).value?.payload, (await iterator.next()).value?.payload],
    ['b', 'd'],
    'the buffered one is neither lost nor delivered twice',
  );
  t.same(lines, ['21:c', 'lost EPOCH_CHANGED ?', '4:e']);
  t.same(called.position, { epoch: 'h', offset: 4 });
  t.equal(await net.end(client), 0);
});

t.test('continuity-lost comes on the subscription and on the client', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const onClient: object[] = [];
  client.on('continuity-lost', (loss) => onClient.push(loss));
  const subscription = client.subscribe('a', { since: { epoch: 'e', offset: 2 } });
  const lines = listen(subscription);
  await confirm(
    socket,
    subscribed(1, 'e', 500, { recovered: false, reason: 'TOO_MANY', lost: [3, 500] }),
    message(1, 501, 'x'),
    message(1, 504, 'y'),
  );
  t.same(lines, ['lost TOO_MANY 3-500', '501:x', 'lost GAP 502-503', '504:y']);
  t.match(onClient, [
    { topic: 'a', subscription, reason: 'TOO_MANY', lost: [3, 500], epoch: 'e', offset: 500 },
    { topic: 'a', reason: 'GAP', lost: [502, 503] },
  ]);
  await net.end(client);
});

t.test('patterns and topics without history: every reconnect may have lost something, and says so', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const pattern = client.subscribe('room.*');
  const plain = client.subscribe('plain');
  const patternLines = listen(pattern);
  const plainLines = listen(plain);
  const [first, second] = await socket.read();
  await socket.reply(
    [32, first?.[1], subscribed(1, null, 0)],
    [32, second?.[1], subscribed(2, 'e', 0)],
    message(1, 9, 'p', null, 'room.7'),
    message(1, 3, 'q', null, 'room.8'),
    message(2, 0, 'r'),
    message(2, 0, 's'),
  );
  t.equal(pattern.position, null);
  await socket.lose();
  const next = await net.reopen();
  const again = await next.read();
  t.same(
    again.map((command) => command[3]),
    [{}, { since: { epoch: 'e', offset: 0 } }],
  );
  await next.reply(
    [32, again[0]?.[1], subscribed(1, null, 0)],
    [32, again[1]?.[1], subscribed(2, 'e', 0, { recovered: false, reason: 'NO_HISTORY' })],
    message(1, 4, 't', null, 'room.8'),
  );
  t.same(patternLines, ['9:p', '3:q', 'lost NO_HISTORY ?', '4:t']);
  t.same(plainLines, ['0:r', '0:s', 'lost NO_HISTORY ?']);
  await net.end(client);
});

t.test('own publishes with echo: false leave no gap behind, with and without ack', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const lines = listen(client.subscribe('a'));
  await confirm(socket, subscribed(1, 'e', 5));
  void client.publish('a', 'own', { echo: false });
  void client.publish('a', 'own too', { echo: false, ack: false });
  const commands = await socket.read();
  t.ok(
    commands.every(([, id]) => id !== 0),
    'the second asks for an answer as well: its offset is needed',
  );
  await socket.reply(
    [32, commands[0]?.[1], { epoch: 'e', offset: 6 }],
    [32, commands[1]?.[1], { epoch: 'e', offset: 7 }],
    message(1, 8, 'other'),
  );
  t.same(lines, ['8:other']);
  t.equal(await net.end(client), 0);
});

t.test('two subscriptions to one topic share the wire; each has its own place; the last one leaves', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const live = client.subscribe('a');
  const liveLines = listen(live);
  await confirm(socket, subscribed(1, 'e', 10), message(1, 11, 'x'));
  const late = client.subscribe('a', { since: { epoch: 'e', offset: 8 } });
  const lateLines = listen(late);
  await settle();
  await socket.reply(message(1, 12, 'y'));
  t.same(lateLines, [], 'before its OK it has no place in the stream');
  await confirm(
    socket,
    subscribed(1, 'e', 12, { recovered: true, replay: 4 }),
    ...[9, 10, 11, 12].map((offset) => message(1, offset, `r${offset}`, { recovered: true })),
    message(1, 13, 'z'),
  );
  t.same(liveLines, ['11:x', '12:y', '13:z']);
  t.same(lateLines, ['9:r9', '10:r10', '11:r11', '12:r12', '13:z']);
  live.unsubscribe();
  live.unsubscribe();
  t.same(await socket.read(), [], 'somebody still reads');
  await socket.reply(message(1, 14, 'more'));
  t.same(liveLines.at(-1), 'end');
  t.same(lateLines.at(-1), '14:more');
  late[Symbol.dispose]();
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE, Number, 'a']]);
  await socket.reply(message(1, 15, 'late'));
  t.same(lateLines.slice(-2), ['14:more', 'end']);
  await net.end(client);
});

t.test('after a loss, those at the same place ask together, and each other one for itself', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const one = listen(client.subscribe('a'));
  const two = listen(client.subscribe('a'));
  const commands = await socket.read();
  await socket.reply(...commands.map(([, id]) => [32, id, subscribed(1, 'e', 10)]), message(1, 11, 'x'));
  t.same([one, two], [['11:x'], ['11:x']]);
  const old = listen(client.subscribe('a', { since: { epoch: 'e', offset: 3 } }));
  await settle();
  await socket.lose();
  const next = await net.reopen();
  const again = await next.read();
  t.match(again, [
    [3, Number, 'a', { since: { epoch: 'e', offset: 11 } }],
    [3, Number, 'a', { since: { epoch: 'e', offset: 3 } }],
  ]);
  await next.reply(
    [32, again[0]?.[1], subscribed(1, 'e', 12, { recovered: true, replay: 1 })],
    message(1, 12, 'y'),
    [32, again[1]?.[1], subscribed(1, 'e', 12, { recovered: false, reason: 'TOO_MANY', lost: [4, 12] })],
    message(1, 13, 'z'),
  );
  t.same(one, ['11:x', '12:y', '13:z']);
  t.same(old, ['lost TOO_MANY 4-12', '13:z']);
  await net.end(client);
});

t.test('who subscribes and then publishes sees it: commands leave in the order of the calls', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  client.subscribe('a');
  void client.publish('a', 1);
  client.subscribe('b').unsubscribe();
  t.same(
    (await socket.read()).map(([type]) => type),
    [MessageType.SUBSCRIBE, MessageType.PUBLISH, MessageType.SUBSCRIBE, MessageType.UNSUBSCRIBE],
  );
  await net.end(client);
});

t.test('shared options are merged, and sent anew when their owner leaves', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const watcher = client.subscribe('a', { presence: 'watch', policy: 'conflate', conflateBy: 'k' });
  t.same(await confirm(socket, subscribed(1, 'e', 1)), ['a', { presence: 'watch', policy: 'conflate', conflateBy: 'k' }]);
  const member = client.subscribe('a', { presence: { name: 'me' }, policy: 'pause' });
  t.same(await confirm(socket, subscribed(1, 'e', 1)), ['a', { presence: { name: 'me' }, policy: 'pause', conflateBy: 'k' }]);
  const lines = listen(watcher);
  member.unsubscribe();
  t.same(await confirm(socket, subscribed(1, 'e', 1), message(1, 2, 'x')), [
    'a',
    { presence: 'watch', policy: 'conflate', conflateBy: 'k' },
  ]);
  t.same(lines, ['2:x'], 'no since: whoever stays, stays where it is');
  await net.end(client);
});

t.test('unsubscribe in every state tells the relay exactly when it has to know', async (t) => {
  const net = new FakeNet();
  const client = net.client();
  const early = client.subscribe('early');
  early.unsubscribe();
  await t.rejects(early.ready(), code('CANCELLED'));
  void client.connect();
  const socket = await net.welcome();
  t.same(await socket.read(), [], 'never sent');

  const flying = client.subscribe('flying');
  const lines = listen(flying);
  const [, id] = await socket.readOne(MessageType.SUBSCRIBE);
  flying.unsubscribe();
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE, Number, 'flying']], 'right behind the SUBSCRIBE');
  await socket.reply([32, id, subscribed(4, 'e', 1)], message(4, 2, 'late'));
  t.same(lines, ['end']);

  const offline = client.subscribe('offline');
  await confirm(socket, subscribed(5, 'e', 1));
  await socket.lose();
  offline.unsubscribe();
  const next = await net.reopen();
  t.same(await next.read(), [], 'a new connection knows of nothing');
  t.equal(await net.end(client), 0);
});

t.test('subscribe while the UNSUBSCRIBE is under way: a new beginning behind it', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const old = client.subscribe('a');
  const oldLines = listen(old);
  const [, oldId] = await socket.readOne(MessageType.SUBSCRIBE);
  old.unsubscribe();
  const fresh = client.subscribe('a');
  const freshLines = listen(fresh);
  const commands = await socket.read();
  t.match(
    commands.map(([type, , topic]) => [type, topic]),
    [
      [MessageType.UNSUBSCRIBE, 'a'],
      [MessageType.SUBSCRIBE, 'a'],
    ],
  );
  await socket.reply(
    [32, oldId, subscribed(1, 'e', 1)],
    message(1, 2, 'for the old one'),
    [32, commands[0]?.[1], null],
    [32, commands[1]?.[1], subscribed(1, 'e', 3)],
    message(1, 4, 'for the new one'),
  );
  t.same(oldLines, ['end']);
  t.same(freshLines, ['4:for the new one']);
  await net.end(client);
});

t.test(
  'an UNSUBSCRIBE that an overloaded relay refused is sent until it is taken, unless somebody subscribed again',
  async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.open();
    for (const topic of ['a', 'b']) {
      const subscription = client.subscribe(topic);
      await confirm(socket, subscribed(1, 'e', 1));
      subscription.unsubscribe();
      const [, id] = await socket.readOne(MessageType.UNSUBSCRIBE);
      await socket.reply(error(id, 106, 'full', { retryAfterMs: 400 }));
      if (topic === 'b') {
        client.subscribe('b');
        await confirm(socket, subscribed(1, 'e', 1));
      }
      await net.time.advance(400);
      t.equal((await socket.read()).length, topic === 'a' ? 1 : 0, topic);
    }
    t.equal(await net.end(client), 0);
  },
);

t.test('one leaves while its SUBSCRIBE is under way and the other is refused: the relay still hears of the end', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const refused = client.subscribe('a', { last: 5 });
  const leaving = client.subscribe('a');
  listen(refused);
  const commands = await socket.read();
  t.equal(commands.length, 2);
  leaving.unsubscribe();
  await socket.reply(error(commands[0]?.[1] as number, 102, 'no right'));
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE, Number, 'a']]);
  await net.end(client);
});

t.test('a refusal ends the subscription: in the loop, in ready(), as an event, or at least on the client', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const reported: unknown[] = [];
  client.on('error', (error) => reported.push((error as Error).message));
  const refuse = async () => {
    const [, id] = await socket.readOne(MessageType.SUBSCRIBE);
    await socket.reply(error(id, 102, 'no right'));
  };
  const looped = client.subscribe('a');
  const loop = run(async () => {
    for await (const _ of looped);
  });
  await refuse();
  await t.rejects(loop, code('FORBIDDEN'));
  const awaited = client.subscribe('a');
  const ready = awaited.ready();
  await refuse();
  await t.rejects(ready, code('FORBIDDEN'));
  const listened = client.subscribe('a');
  const lines = listen(listened);
  await refuse();
  t.same(lines, ['error no right', 'end']);
  t.same(reported, []);
  client.subscribe('a');
  await refuse();
  t.same(reported, ['no right']);
  t.match(listened.state, { name: 'ended', error: { codeName: 'FORBIDDEN' } });
  t.same(await socket.read(), [], 'the relay has none of them');
  t.equal(await net.end(client), 0);
});

t.test('refused for now: visible as waiting, tried again after retryAfterMs, and no more once it has left', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const subscription = client.subscribe('a', { last: 2 });
  const [, id] = await socket.readOne(MessageType.SUBSCRIBE);
  await socket.reply(error(id, 106, 'full', { retryAfterMs: 900 }));
  t.match(subscription.state, { name: 'waiting', error: { codeName: 'OVERLOADED' } });
  await net.time.advance(899);
  t.same(await socket.read(), []);
  await net.time.advance(1);
  const [, again, , options] = await socket.readOne(MessageType.SUBSCRIBE);
  t.same(options, { last: 2 });
  await socket.reply(error(again, 113, 'restarted'));
  subscription.unsubscribe();
  await net.time.advance(20_000);
  t.same(await socket.read(), []);
  t.equal(await net.end(client), 0);
});

t.test('no answer to SUBSCRIBE: asked again; leaving then tells the relay, which may have it', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ commandTimeoutMs: 1_000, pingIdleMs: 1e9 });
  const subscription = client.subscribe('a');
  const first = await socket.readOne(MessageType.SUBSCRIBE);
  await net.time.advance(1_000);
  t.match(subscription.state, { name: 'waiting', error: { codeName: 'TIMEOUT' } });
  await socket.ok(first[1], subscribed(1, 'e', 3));
  t.match(subscription.state, { name: 'waiting' }, 'a late answer is ignored');
  subscription.unsubscribe();
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE, Number, 'a']]);
  await net.end(client);
});

for (const { policy, buffered, lost } of [
  { policy: 'dropOldest', buffered: ['c', 'd', 'e'], lost: [1, 2] },
  { policy: 'dropNewest', buffered: ['a', 'b', 'c'], lost: [4, 5] },
] as const) {
  t.test(`a slow loop, buffer policy ${policy}: bounded, visible, and what goes is named`, async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.open();
    const subscription = client.subscribe('x', { buffer: { messagesMax: 3, policy } });
    const losses: ContinuityLoss[] = [];
    subscription.on('continuity-lost', (loss) => losses.push(loss));
    await confirm(
      socket,
      subscribed(1, 'e', 0),
      ...['a', 'b', 'c', 'd', 'e'].map((payload, index) => message(1, index + 1, payload)),
    );
    t.equal(subscription.bufferedCount, 3);
    t.equal(subscription.droppedCount, 2);
    t.same(losses, [{ reason: 'OVERFLOW', lost, count: 2, epoch: 'e', offset: 5 }], 'one event for all that one frame dropped');
    const iterator = subscription[Symbol.asyncIterator]();
    const got: unknown[] = [];
    for (let index = 0; index < 3; index++) got.push((await iterator.next()).value?.payload);
    t.same(got, buffered);
    void iterator.next();
    t.same(subscription.position, { epoch: 'e', offset: 5 }, 'all of it is behind us');
    await net.end(client);
  });
}

t.test('a slow loop, buffer policy pause: nothing is lost, the rest is fetched from history when there is room', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const subscription = client.subscribe('x', { buffer: { messagesMax: 4, policy: 'pause' } });
  const lines: string[] = [];
  subscription.on('continuity-lost', ({ reason }) => lines.push(reason));
  await confirm(socket, subscribed(1, 'e', 0), ...[1, 2, 3, 4, 5, 6].map((offset) => message(1, offset, offset)));
  t.same(subscription.state, { name: 'paused' });
  t.equal(subscription.bufferedCount, 4);
  const iterator = subscription[Symbol.asyncIterator]();
  const got: unknown[] = [(await iterator.next()).value?.payload];
  t.same(await socket.read(), []);
  got.push((await iterator.next()).value?.payload);
  t.same(
    await confirm(
      socket,
      subscribed(1, 'e', 6, { recovered: true, replay: 2 }),
      message(1, 5, 5),
      message(1, 6, 6),
      message(1, 7, 7),
    ),
    ['x', { since: { epoch: 'e', offset: 4 } }],
  );
  t.same(subscription.state, { name: 'paused' }, 'full again, at 6');
  for (let index = 0; index < 4; index++) got.push((await iterator.next()).value?.payload);
  t.same(await confirm(socket, subscribed(1, 'e', 7, { recovered: true, replay: 1 }), message(1, 7, 7)), [
    'x',
    { since: { epoch: 'e', offset: 6 } },
  ]);
  got.push((await iterator.next()).value?.payload);
  t.same(got, [1, 2, 3, 4, 5, 6, 7]);
  t.same(lines, []);
  await net.end(client);
});

t.test('paused over a reconnect: it comes back when it has room, not before', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const subscription = client.subscribe('x', { buffer: { messagesMax: 2, policy: 'pause' } });
  await confirm(socket, subscribed(1, 'e', 0), message(1, 1, 1), message(1, 2, 2), message(1, 3, 3));
  await socket.lose();
  const next = await net.reopen();
  t.same(await next.read(), []);
  const iterator = subscription[Symbol.asyncIterator]();
  await iterator.next();
  const [, id] = await next.readOne(MessageType.SUBSCRIBE);
  await next.reply([32, id, subscribed(1, 'e', 4, { recovered: true, replay: 2 })], message(1, 3, 3), message(1, 4, 4));
  t.same(subscription.state, { name: 'paused' });
  await next.lose();
  const third = await net.reopen();
  subscription.unsubscribe();
  t.same(await third.read(), [], 'this connection never heard of it');
  await net.end(client);
});

t.test('a client that is closed for good ends loops with the reason', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const looped = client.subscribe('a');
  const loop = run(async () => {
    for await (const _ of looped);
  });
  await confirm(socket, subscribed(1, 'e', 0));
  await socket.lose(4505, 'revoked');
  await t.rejects(loop, { codeName: 'FORBIDDEN', message: /revoked/ } as never);
  const after = client.subscribe('b');
  await t.rejects(
    run(async () => {
      for await (const _ of after);
    }),
    code('FORBIDDEN'),
  );
  t.equal(net.time.timerCount, 0);
});

t.test('a listener that unsubscribes, subscribes or closes in the middle of a frame', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const one: string[] = [];
  const two: string[] = [];
  const first = client.subscribe('a', {
    onMessage: ({ offset }) => {
      one.push(`${offset}`);
      first.unsubscribe();
      client.subscribe('a', { onMessage: () => two.push('new') });
    },
  });
  const other = client.subscribe('a', { onMessage: ({ offset }) => two.push(`${offset}`) });
  const commands = await socket.read();
  await socket.reply(...commands.map(([, id]) => [32, id, subscribed(1, 'e', 0)]), message(1, 1, 'x'), message(1, 2, 'y'));
  t.same(one, ['1']);
  t.same(two, ['1', '2']);
  other.on('message', () => void client.close({ timeoutMs: 0 }));
  await confirm(socket, subscribed(1, 'e', 2), message(1, 3, 'z'), message(1, 4, 'after close() the frame is read to its end'));
  t.same(two, ['1', '2', '3', 'new', '4', 'new']);
  await net.time.advance(0);
  t.equal(client.state.name, 'closed');
  t.equal(net.time.timerCount, 0);
});

const circle: unknown[] = [];
circle.push(circle);
for (const { name, options, topic = 'a' } of [
  { name: 'since and last together', options: { since: { epoch: 'e', offset: 1 }, last: 3 } },
  { name: 'an unknown buffer policy', options: { buffer: { policy: 'hope' as never } } },
  { name: 'no topic', options: {}, topic: '' },
  { name: 'presence data that cannot be sent', options: { presence: { circle } } },
] as { name: string; options: object; topic?: string }[])
  t.test(`misuse throws: ${name}`, async (t) => {
    t.throws(() => new FakeNet().client().subscribe(topic, options), TypeError);
  });
