/** Publishes: acks, keys, retries that cannot double, the bounded queue and its policies, and backpressure one can see. */
import t from 'tap';
import type { QueueDrop } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { type Command, code, error, FakeNet, forbidUnhandledRejections, settle } from './harness.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

const keyOf = (command: Command | undefined): unknown => (command?.[3] as { key?: string } | undefined)?.key;

t.test('publish: options as given, a key of its own, and the position as result', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const result = client.publish('room.1', { text: 'hi' }, { headers: { a: 'b' }, ttlMs: 500, echo: false });
  const [type, id, topic, options, payload] = await socket.readOne(MessageType.PUBLISH);
  t.match(
    [type, topic, options, payload],
    [2, 'room.1', { key: /^[\w-]{20}$/, headers: { a: 'b' }, ttlMs: 500, echo: false }, { text: 'hi' }],
  );
  t.not(id, 0);
  t.equal(client.pendingPublishes, 1);
  await socket.ok(id, { epoch: 'e', offset: 3 });
  t.same(await result, { epoch: 'e', offset: 3, duplicate: false });
  t.equal(client.pendingPublishes, 0);
  void client.publish('room.1', 1, { key: 'mine' });
  const [second] = await socket.read();
  t.equal(keyOf(second), 'mine');
  t.not(second?.[1], id);
  t.equal(await net.end(client), 0);
});

t.test('many publishes in one tick leave in one WebSocket message, as far as it may be long', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({}, { limits: { messageBytesMax: 1_000, payloadBytesMax: 900 } });
  const framesBefore = socket.frames.length;
  for (let index = 0; index < 20; index++) void client.publish('a', index);
  await settle();
  t.equal(socket.frames.length, framesBefore + 1);
  await net.end(client);
  const other = new FakeNet();
  const second = await other.open({}, { limits: { messageBytesMax: 1_000, payloadBytesMax: 900 } });
  const before = second.socket.frames.length;
  for (let index = 0; index < 20; index++) void second.client.publish('a', 'x'.repeat(300));
  await settle();
  const frames = second.socket.frames.slice(before);
  t.ok(frames.length >= 7 && frames.every((frame) => frame.length <= 1_000), `${frames.length} frames`);
  t.same(
    (await second.socket.read()).map(([type]) => type),
    Array(20).fill(MessageType.PUBLISH),
  );
  await other.end(second.client);
});

t.test('too large is said here, and never sent: the relay would close the connection', async (t) => {
  const net = new FakeNet();
  const early = net.client();
  const { client, socket } = await net.open({}, { limits: { messageBytesMax: 2_000, payloadBytesMax: 100 } });
  await t.rejects(client.publish('a', 'x'.repeat(200)), code('TOO_LARGE'));
  await t.rejects(client.publish('a', 'small', { headers: { h: 'x'.repeat(2_000) } }), code('TOO_LARGE'));
  t.same(await socket.read(), []);
  // Queued before the limits were known: found out when it would be sent.
  const queued = early.publish('a', 'x'.repeat(2_000));
  void early.connect();
  const earlySocket = await net.welcome({ limits: { messageBytesMax: 1_000, payloadBytesMax: 900 } });
  await t.rejects(queued, code('TOO_LARGE'));
  t.same(await earlySocket.read(), []);
  t.equal(early.state.name, 'open');
  await net.end(early);
  await net.end(client);
});

for (const { name, topic, payload } of [
  { name: 'a function', topic: 'a', payload: () => 1 },
  { name: 'no topic', topic: '', payload: 1 },
  { name: 'a topic that is no string', topic: 7 as never, payload: 1 },
])
  t.test(`cannot be published: ${name}`, async (t) => {
    const client = new FakeNet().client();
    await t.rejects(client.publish(topic, payload), code('BAD_REQUEST'));
    t.equal(client.pendingPublishes, 0);
  });

t.test('an error that is not retryable rejects with its code; nobody awaiting it is no unhandled rejection', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  void client.publish('a', 1);
  const awaited = client.publish('a', 2);
  const [first, second] = await socket.read();
  await socket.reply(
    error(first?.[1] as number, 102, 'no right'),
    error(second?.[1] as number, 102, 'no right: topic=a', { topic: 'a' }),
  );
  await t.rejects(awaited, {
    name: 'RelayError',
    code: 102,
    codeName: 'FORBIDDEN',
    message: /^no right: topic=a$/,
    facts: { topic: 'a' },
  } as never);
  await net.end(client);
});

t.test('a retryable error holds the outbox for retryAfterMs, then sends again: same key, new id, old order', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const results = [1, 2, 3].map((payload) => client.publish('a', payload));
  const first = await socket.read();
  await socket.reply(
    error(first[1]?.[1] as number, 106, 'full', { retryAfterMs: 300 }),
    error(first[0]?.[1] as number, 106, 'full', { retryAfterMs: 700 }),
  );
  await socket.ok(first[2]?.[1] as number, { epoch: 'e', offset: 1 });
  const late = client.publish('a', 4);
  await net.time.advance(699);
  t.same(await socket.read(), [], 'the longest wait asked for counts');
  await net.time.advance(1);
  const second = await socket.read();
  t.same(
    second.map((command) => command[4]),
    [1, 2, 4],
  );
  t.equal(keyOf(second[0]), keyOf(first[0]));
  t.equal(keyOf(second[1]), keyOf(first[1]));
  for (const [index, command] of second.entries()) await socket.ok(command[1], { epoch: 'e', offset: index + 2 });
  t.same(await Promise.all([...results, late].map(async (result) => (await result).offset)), [2, 3, 1, 4]);
  t.equal(await net.end(client), 0);
});

t.test('retryable errors come to the caller after publishAttemptsMax', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ publishAttemptsMax: 3 });
  const result = client.publish('a', 1);
  for (let round = 0; round < 3; round++) {
    const [, id] = await socket.readOne(MessageType.PUBLISH);
    await socket.reply(error(id, 105, 'slow down'));
    await net.time.advance(1_000);
  }
  await t.rejects(result, { codeName: 'RATE_LIMITED', retryable: true } as never);
  t.same(await socket.read(), []);
  await net.end(client);
});

t.test('LANE_RESTARTED is not retried by itself: the new lane does not know the key', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const result = client.publish('a', 1);
  const [, id] = await socket.readOne(MessageType.PUBLISH);
  await socket.reply(error(id, 113, 'restarted', { retryAfterMs: 10 }));
  await t.rejects(result, code('LANE_RESTARTED'));
  await net.end(client);
});

t.test('no answer: sent again with the same key; the late answer to the first is ignored', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ commandTimeoutMs: 2_000, pingIdleMs: 1e9 });
  const result = client.publish('a', 1);
  const first = await socket.readOne(MessageType.PUBLISH);
  await net.time.advance(2_100);
  const second = await socket.readOne(MessageType.PUBLISH);
  t.equal(keyOf(second), keyOf(first));
  await socket.ok(first[1], { epoch: 'e', offset: 1 });
  t.equal(client.pendingPublishes, 1);
  await socket.ok(second[1], { epoch: 'e', offset: 1, duplicate: true });
  t.same(await result, { epoch: 'e', offset: 1, duplicate: true });
  await net.end(client);
});

t.test('a lost connection: in flight is sent again first, in order, in one message, then the queue', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const results = [1, 2].map((payload) => client.publish('a', payload));
  const first = await socket.read();
  await socket.lose();
  results.push(client.publish('a', 3));
  t.equal(client.pendingPublishes, 3);
  t.equal(client.queuedPublishes, 3);
  t.ok(client.bufferedAmount > 30);
  const next = await net.reopen();
  const frames = next.frames.length;
  const again = await next.read();
  t.equal(frames, 2, 'HELLO, and all of them');
  t.same(
    again.map((command) => command[4]),
    [1, 2, 3],
  );
  t.same(again.slice(0, 2).map(keyOf), first.map(keyOf));
  for (const [index, command] of again.entries()) await next.ok(command[1], { epoch: 'e', offset: index + 1 });
  t.same(await Promise.all(results.map(async (result) => (await result).offset)), [1, 2, 3]);
  t.equal(await net.end(client), 0);
});

t.test('offline for longer than the relay remembers keys: what was sent is not sent again, what was not is', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ retryWindowMs: 60_000, reconnect: { capMs: 100 } });
  const sent = client.publish('a', 'sent');
  await settle();
  await net.time.advance(9_000);
  await socket.lose();
  const waiting = client.publish('a', 'waiting');
  await net.time.advance(50_999);
  t.equal(client.pendingPublishes, 2);
  await net.time.advance(1);
  await t.rejects(sent, { codeName: 'TIMEOUT', message: /may or may not have happened/ } as never);
  const next = await net.reopen();
  const [, id, , , payload] = await next.readOne(MessageType.PUBLISH);
  t.equal(payload, 'waiting');
  await next.ok(id, { epoch: 'e', offset: 1 });
  await waiting;
  t.equal(await net.end(client), 0);
});

t.test('refused again and again for longer than the relay remembers keys: its outcome is unknown', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ retryWindowMs: 1_000, publishAttemptsMax: 100 });
  const result = client.publish('a', 1);
  for (let round = 0; round < 2; round++) {
    const [, id] = await socket.readOne(MessageType.PUBLISH);
    await socket.reply(error(id, 199, 'internal', { retryAfterMs: 600 }));
    await net.time.advance(600);
  }
  await t.rejects(result, { codeName: 'TIMEOUT', message: /may or may not have happened/ } as never);
  t.same(await socket.read(), []);
  t.equal(await net.end(client), 0);
});

t.test('a pause that the relay asked for is kept over a reconnect', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({}, { reconnectJitterMs: 10 });
  const result = client.publish('a', 1);
  const [, id] = await socket.readOne(MessageType.PUBLISH);
  await socket.reply(error(id, 105, 'slow down', { retryAfterMs: 3_000 }));
  await socket.lose();
  const next = await net.reopen();
  await net.time.advance(2_900);
  t.same(await next.read(), []);
  await net.time.advance(100);
  const [, again] = await next.readOne(MessageType.PUBLISH);
  await next.ok(again, { epoch: 'e', offset: 1 });
  await result;
  t.equal(await net.end(client), 0);
});

for (const { policy, results, drops } of [
  { policy: 'reject', results: ['ok', 'ok', 'OVERLOADED', 'OVERLOADED'], drops: [] },
  { policy: 'dropNewest', results: ['ok', 'ok', 'OVERLOADED', 'OVERLOADED'], drops: ['k3', 'k4'] },
  { policy: 'dropOldest', results: ['OVERLOADED', 'OVERLOADED', 'ok', 'ok'], drops: ['k1', 'k2'] },
] as const) {
  t.test(`offline queue, policy ${policy}: bounded by count, and what goes is named, counted and rejected`, async (t) => {
    const net = new FakeNet();
    const client = net.client({ offlineQueue: { messagesMax: 2, policy } });
    const dropped: QueueDrop[] = [];
    client.on('queue-drop', (drop) => dropped.push(drop));
    const pending = ['k1', 'k2', 'k3', 'k4'].map((key) =>
      client.publish('a', key, { key }).then(
        () => 'ok',
        (error) => error.codeName,
      ),
    );
    await settle();
    t.equal(client.queuedPublishes, 2);
    t.same(
      dropped.map(({ key }) => key),
      drops,
    );
    t.equal(client.droppedPublishes, drops.length);
    if (drops.length > 0) t.match(dropped[1], { topic: 'a', policy, droppedCount: 2, bytes: Number });
    void client.connect();
    const socket = await net.welcome();
    for (const command of await socket.read()) await socket.ok(command[1], { epoch: 'e', offset: 1 });
    t.same(await Promise.all(pending), results);
    t.equal(client.pendingPublishes, 0);
    t.equal(await net.end(client), 0);
  });
}

t.test('offline queue: bounded by bytes too; one that is larger than the queue drops no others', async (t) => {
  const client = new FakeNet().client({ offlineQueue: { bytesMax: 200, policy: 'dropOldest' } });
  const small = client.publish('a', 'x'.repeat(20));
  await t.rejects(client.publish('a', 'x'.repeat(300)), code('OVERLOADED'));
  t.equal(client.queuedPublishes, 1);
  void client.publish('a', 'x'.repeat(130));
  await t.rejects(small, code('OVERLOADED'));
  t.equal(client.queuedPublishes, 1);
});

t.test('offline queue of 0: nothing waits, what can go goes', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ offlineQueue: { messagesMax: 0, bytesMax: 0 } });
  const result = client.publish('a', 1);
  const [, id] = await socket.readOne(MessageType.PUBLISH);
  await socket.ok(id, { epoch: 'e', offset: 1 });
  await result;
  await socket.lose();
  await t.rejects(client.publish('a', 2), code('OVERLOADED'));
  await net.end(client);
});

t.test('what was in flight is never dropped by the policy: it may have happened', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ offlineQueue: { messagesMax: 1, policy: 'dropOldest' } });
  const flying = client.publish('a', 'flying');
  await settle();
  await socket.lose();
  const second = client.publish('a', 'second');
  const third = client.publish('a', 'third');
  await t.rejects(second, code('OVERLOADED'));
  const next = await net.reopen();
  const commands = await next.read();
  t.same(
    commands.map((command) => command[4]),
    ['flying', 'third'],
  );
  for (const command of commands) await next.ok(command[1], { epoch: 'e', offset: 1 });
  await Promise.all([flying, third]);
  await net.end(client);
});

t.test('inFlightMax: more wait in the queue; ready() and drain say when there is room', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ inFlightMax: 2 });
  let drains = 0;
  client.on('drain', () => drains++);
  await client.ready();
  const results = [1, 2, 3].map((payload) => client.publish('a', payload));
  const flying = await socket.read();
  t.equal(flying.length, 2);
  t.equal(client.queuedPublishes, 1);
  t.equal(client.pendingPublishes, 3);
  let isReady = false;
  const ready = client.ready().then(() => (isReady = true));
  await socket.ok(flying[0]?.[1] as number, { epoch: 'e', offset: 1 });
  t.equal(isReady, false);
  const [third] = await socket.read();
  t.equal(third?.[4], 3);
  await socket.ok(flying[1]?.[1] as number, { epoch: 'e', offset: 2 });
  await ready;
  t.equal(drains, 1);
  await socket.ok(third?.[1] as number, { epoch: 'e', offset: 3 });
  await Promise.all(results);
  t.equal(drains, 1, 'not again for the same wait');
  await net.end(client);
});

t.test('a loop with ready() never fills the queue, also over a reconnect', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ inFlightMax: 4, offlineQueue: { messagesMax: 1 } });
  let done = 0;
  const loop = (async () => {
    for (let index = 0; index < 20; index++) {
      await client.ready();
      void client.publish('a', index).then(() => done++);
    }
  })();
  let current = socket;
  for (let round = 0; done < 20 && round < 50; round++) {
    const commands = await current.read();
    t.ok(client.queuedPublishes <= 1);
    if (round === 3) {
      await current.lose();
      current = await net.reopen();
      continue;
    }
    for (const command of commands) await current.ok(command[1], { epoch: 'e', offset: 1 });
  }
  await loop;
  t.equal(done, 20);
  await net.end(client);
});

t.test('a full WebSocket buffer holds publishes back; bufferedAmount shows it', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ bufferedBytesMax: 1_000 });
  socket.bufferedAmount = 2_000;
  const result = client.publish('a', 1);
  t.same(await socket.read(), []);
  t.ok(client.bufferedAmount > 2_000);
  await net.time.advance(100);
  t.same(await socket.read(), []);
  socket.bufferedAmount = 0;
  await net.time.advance(20);
  const [, id] = await socket.readOne(MessageType.PUBLISH);
  await socket.ok(id, { epoch: 'e', offset: 1 });
  await result;
  t.equal(client.bufferedAmount, 0);
  t.equal(await net.end(client), 0);
});

t.test('ack: false is sent once with id 0 and no key; its failure is an error event', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const errors: unknown[] = [];
  client.on('error', (error) => errors.push(error));
  t.equal(await client.publish('a', 1, { ack: false }), undefined);
  t.same(await socket.read(), [[2, 0, 'a', {}, 1]]);
  await socket.reply(error(0, 102, 'no right'));
  t.match(errors, [{ codeName: 'FORBIDDEN' }]);
  await socket.lose();
  const offline = client.publish('a', 2, { ack: false });
  const next = await net.reopen();
  t.same(await next.read(), [[2, 0, 'a', {}, 2]], 'queued while offline, like others');
  await offline;
  await net.end(client);
});

t.test('signal and timeoutMs give up on a publish, queued or in flight, and leave nothing behind', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ inFlightMax: 1 });
  const abort = new AbortController();
  const flying = client.publish('a', 1, { signal: abort.signal });
  const queued = client.publish('a', 2, { signal: abort.signal });
  const timed = client.publish('a', 3, { timeoutMs: 100 });
  const last = client.publish('a', 4);
  const [first] = await socket.read();
  abort.abort(new Error('changed my mind'));
  await t.rejects(flying, { codeName: 'CANCELLED', cause: { message: 'changed my mind' } } as never);
  await t.rejects(queued, code('CANCELLED'));
  await net.time.advance(100);
  await t.rejects(timed, code('TIMEOUT'));
  t.equal(client.pendingPublishes, 1);
  await socket.ok(first?.[1] as number, { epoch: 'e', offset: 1 });
  const [next] = await socket.read();
  t.equal(next?.[4], 4);
  await socket.ok(next?.[1] as number, { epoch: 'e', offset: 2 });
  await last;
  await t.rejects(client.publish('a', 1, { signal: abort.signal }), code('CANCELLED'));
  t.equal(await net.end(client), 0);
});

t.test('giving up while offline again and again does not fill the queue', async (t) => {
  const client = new FakeNet().client({ offlineQueue: { messagesMax: 2 } });
  for (let round = 0; round < 10; round++) {
    const abort = new AbortController();
    const pending = client.publish('a', round, { signal: abort.signal });
    abort.abort();
    await t.rejects(pending, code('CANCELLED'));
  }
  t.equal(client.queuedPublishes, 0);
  t.equal(client.bufferedAmount, 0);
});

t.test('history, presence and ping: asked again after a loss, ended in their time', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const history = client.history('a', { since: { epoch: 'e', offset: 2 }, limit: 5, reverse: true });
  t.match(await socket.readOne(MessageType.HISTORY), [
    10,
    Number,
    'a',
    { since: { epoch: 'e', offset: 2 }, limit: 5, reverse: true },
  ]);
  await socket.lose();
  const presence = client.presence('b', { countOnly: true });
  const next = await net.reopen();
  const [again, asked] = await next.read();
  t.match(again, [10, Number, 'a']);
  t.match(asked, [11, Number, 'b', { countOnly: true }]);
  await next.ok(again?.[1] as number, {
    epoch: 'e',
    first: 1,
    offset: 9,
    more: true,
    messages: [
      [1, null, 'x'],
      [2, { publisher: 'p', timeUs: 5 }, 'y'],
    ],
  });
  await next.ok(asked?.[1] as number, { count: 3 });
  t.match(await history, {
    epoch: 'e',
    more: true,
    messages: [
      { topic: 'a', epoch: 'e', offset: 1, payload: 'x' },
      { offset: 2, payload: 'y', publisher: 'p', timeUs: 5 },
    ],
  });
  t.same(await presence, { count: 3, members: [] });

  const ping = client.ping();
  const [, id] = await next.readOne(MessageType.PING);
  await net.time.advance(2);
  await next.ok(id, { timeUs: 1 });
  t.equal(await ping, 2_000);

  const refused = client.history('a');
  const [, refusedId] = await next.readOne(MessageType.HISTORY);
  await next.reply(error(refusedId, 112, 'other epoch'));
  await t.rejects(refused, code('CONFLICT'));

  const odd = client.history('a');
  const [, oddId] = await next.readOne(MessageType.HISTORY);
  await next.ok(oddId, 'what is this');
  await t.rejects(odd, code('INTERNAL'));

  const slow = client.ping({ timeoutMs: 50 });
  const abort = new AbortController();
  const aborted = client.ping({ signal: abort.signal });
  abort.abort();
  await t.rejects(aborted, code('CANCELLED'));
  await net.time.advance(50);
  await t.rejects(slow, code('TIMEOUT'));
  t.equal(await net.end(client), 0);
});

t.test('questions before connect wait for it, within their time', async (t) => {
  const net = new FakeNet();
  const client = net.client({ commandTimeoutMs: 300 });
  const timed = client.ping();
  await net.time.advance(300);
  await t.rejects(timed, code('TIMEOUT'));
  void client.ping(); // Nobody waits for it: no unhandled rejection.
  t.equal(await net.end(client), 0);
});
