/** Connect, HELLO, states, losing and finding the relay again: the client against a scripted WebSocket and a clock that stands still. */
import t from 'tap';
import { CLOSE_CODES } from '../../../src/protocol/codes.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { code, error, FakeNet, forbidUnhandledRejections, settle } from './harness.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

t.test('connect says HELLO with the subprotocol, the token and the name, and goes through the states', async (t) => {
  const net = new FakeNet();
  const client = net.client({ client: 'desk-1', token: async () => 'secret' });
  const states: string[] = [];
  client.on('state', (state, previous) => states.push(`${previous.name}>${state.name}`));
  t.equal(client.state.name, 'idle');
  const connected = client.connect();
  t.equal(client.connect(), connected, 'connecting twice is connecting once');
  await settle();
  t.equal(net.socket.url, 'ws://relay.test/v1/connect');
  t.same(net.socket.protocols, ['relay.v1']);
  t.equal(net.socket.binaryType, 'arraybuffer');
  net.socket.accept();
  const [type, id, options] = await net.socket.readOne(MessageType.HELLO);
  t.same([type, options], [1, { token: 'secret', client: 'desk-1', version: 1 }]);
  t.equal(client.state.name, 'greeting');
  await net.socket.ok(id, {
    session: 's9',
    version: 1,
    limits: { messageBytesMax: 1_000, payloadBytesMax: 900 },
    pingIntervalMs: 1_000,
    reconnectJitterMs: 10,
  });
  await connected;
  await client.connect();
  t.match(client.state, { name: 'open', session: 's9' });
  t.equal(client.limits?.messageBytesMax, 1_000);
  t.same(states, ['idle>connecting', 'connecting>greeting', 'greeting>open']);
});

for (const { url, want } of [
  { url: 'ws://h:1', want: 'ws://h:1/v1/connect' },
  { url: 'https://h', want: 'wss://h/v1/connect' },
  { url: 'http://h/relay?x=1#frag', want: 'ws://h/relay?x=1' },
]) {
  t.test(`url ${url} connects to ${want}`, async (t) => {
    const net = new FakeNet();
    const client = net.client({ url });
    void client.connect();
    await settle();
    t.equal(net.socket.url, want);
    await net.end(client);
  });
}

t.test('all that is wrong with the options is said at once', async (t) => {
  t.throws(
    () =>
      new FakeNet().client({
        url: 'ftp://x',
        inFlightMax: 0,
        offlineQueue: { policy: 'keep' as never, bytesMax: -1 },
        reconnect: { baseMs: Number.NaN },
      }),
    {
      message:
        /url must.*\n.*inFlightMax|inFlightMax[\s\S]*reconnect\.baseMs[\s\S]*offlineQueue\.bytesMax[\s\S]*offlineQueue\.policy/,
    },
  );
});

t.test(
  'the wait before the first retry is random in [0, base], grows to the cap, and begins again after a stable connection',
  async (t) => {
    const net = new FakeNet();
    net.randomValue = 0.999;
    const { client, socket } = await net.open({ reconnect: { baseMs: 100, capMs: 4_000, stableAfterMs: 5_000 } });
    const waits: number[] = [];
    client.on('state', (state) => {
      if (state.name === 'waiting') waits.push(Math.round((state.retryAtMs - net.time.nowMs()) / 0.999));
    });
    await socket.lose();
    for (let round = 0; round < 4; round++) {
      await net.time.advance(net.time.nextDueInMs as number);
      await net.socket.lose();
    }
    t.same(waits, [1_000, 2_000, 4_000, 4_000, 4_000], "from the relay's base (1,000), not the own (100)");
    waits.length = 0;
    const second = await net.reopen();
    await net.time.advance(4_000);
    await second.lose();
    t.same(waits, [4_000], 'four seconds prove nothing');
    const third = await net.reopen();
    await net.time.advance(5_000);
    net.randomValue = 0;
    await third.lose();
    t.same(waits, [4_000, 0], 'five do');
    t.match(client.state, { name: 'waiting', attempt: 0 });
    await net.end(client);
    t.equal(net.time.timerCount, 0);
  },
);

for (const { closeCode, reason, want } of [
  { closeCode: 1006, reason: '', want: { name: 'waiting', closeCode: 1006 } },
  { closeCode: 1001, reason: 'going', want: { name: 'waiting', reason: 'going' } },
  ...Object.values(CLOSE_CODES).map(({ code, reconnect }) => ({
    closeCode: code,
    reason: reconnect === 'after-delay' ? 'retryAfterMs=7000' : 'why',
    want: reconnect === 'never' ? { name: 'closed', code, final: true } : { name: 'waiting', closeCode: code },
  })),
]) {
  t.test(`close code ${closeCode} leads to '${want.name}'`, async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.open();
    const pending = client.publish('a', 1);
    await settle();
    await socket.lose(closeCode, reason);
    t.match(client.state, want);
    if (want.name === 'closed') {
      await t.rejects(pending, { name: 'RelayError', message: new RegExp(`closeCode=${closeCode}`) });
      await t.rejects(client.connect(), { name: 'RelayError' });
      t.equal(net.time.timerCount, 0);
    }
    if (reason.startsWith('retryAfterMs')) t.equal(net.time.nextDueInMs, 7_500, 'the delay given, plus jitter over the base');
    await net.end(client);
  });
}

t.test('a refused HELLO: its error is what everything is rejected with', async (t) => {
  const net = new FakeNet();
  const client = net.client();
  const connected = client.connect();
  await settle();
  net.socket.accept();
  const [, id] = await net.socket.readOne(MessageType.HELLO);
  await net.socket.reply(error(id, 101, 'bad token'));
  await net.socket.lose(4501, 'bad token');
  await t.rejects(connected, { codeName: 'UNAUTHENTICATED', message: 'bad token' });
  t.match(client.state, { name: 'closed', final: true, error: { code: 101 } });
});

t.test('a token function is asked at each connect; if it fails the client waits and tries again', async (t) => {
  const net = new FakeNet();
  let calls = 0;
  const client = net.client({
    token: async () => {
      if (++calls === 1) throw new Error('token server is down');
      if (calls === 2) return (() => 'no string') as never;
      return `token-${calls}`;
    },
  });
  void client.connect();
  await settle();
  t.match(client.state, { name: 'waiting', reason: 'token server is down' });
  await net.time.advance(250);
  t.match(client.state, { name: 'waiting', reason: /cannot carry/ });
  await net.time.advance(500);
  net.socket.accept();
  t.match(await net.socket.readOne(MessageType.HELLO), [1, Number, { token: 'token-3' }]);
  await net.end(client);
});

t.test('no WebSocket that takes the URL: closed for good, not retried for ever', async (t) => {
  const client = new FakeNet().client({
    webSocket: class {
      constructor() {
        throw new SyntaxError('insecure');
      }
    } as never,
  });
  await t.rejects(client.connect(), { message: /insecure/ });
  t.match(client.state, { name: 'closed', final: true });
});

t.test('no answer to HELLO, or a token that never comes: given up after helloTimeoutMs', async (t) => {
  for (const options of [{}, { token: () => new Promise<string>(() => {}) }]) {
    const net = new FakeNet();
    const client = net.client({ ...options, helloTimeoutMs: 3_000 });
    void client.connect();
    await settle();
    net.sockets[0]?.accept();
    await net.time.advance(2_999);
    t.notMatch(client.state, { name: 'waiting' });
    await net.time.advance(1);
    t.match(client.state, { name: 'waiting', reason: /no answer to HELLO in 3000 ms/ });
    await net.end(client);
  }
});

t.test('an error event without a close event (Node 22 on a refused connect) is a loss too', async (t) => {
  const net = new FakeNet();
  const client = net.client();
  void client.connect();
  await settle();
  net.socket.onerror?.({ message: 'refused' } as never);
  await net.time.advance(100);
  t.match(client.state, { name: 'waiting', closeCode: 1006, reason: 'refused' });
  await net.time.advance(1_000);
  net.socket.onerror?.({ message: 'refused again' } as never);
  await net.socket.lose();
  t.match(client.state, { name: 'waiting', reason: 'refused again' }, 'where both come, the error says why');
  await net.end(client);
});

t.test('attemptsMax ends the trying', async (t) => {
  const net = new FakeNet();
  const client = net.client({ reconnect: { attemptsMax: 2 } });
  const connected = client.connect();
  for (let round = 0; round < 3; round++) {
    await net.time.advance(round === 0 ? 0 : (net.time.nextDueInMs as number));
    await net.socket.lose(1006, 'nobody home');
  }
  await t.rejects(connected, { message: /nobody home/ });
  t.match(client.state, { name: 'closed', final: true, reason: /gave up after 2 retries/ });
  t.equal(net.sockets.length, 3);
});

t.test('GOAWAY: finishes what is in flight, sends nothing new, and comes back exactly in its slot', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const flying = client.publish('a', 1);
  const [publish] = await socket.read();
  await socket.reply([MessageType.GOAWAY, { reason: 'deploy', deadlineMs: 5_000, reconnectAfterMs: 1_234 }]);
  t.match(client.state, { name: 'draining', cause: 'goaway', reason: 'deploy', untilMs: net.time.nowMs() + 5_000 });
  const queued = client.publish('a', 2);
  t.same(await socket.read(), []);
  t.equal(client.queuedPublishes, 1);
  t.equal(socket.closedByClient, null, 'an answer is due');
  await net.time.advance(200);
  await socket.ok(publish?.[1] as number, { epoch: 'e', offset: 1 });
  t.same(await flying, { epoch: 'e', offset: 1, duplicate: false });
  t.match(socket.closedByClient, { code: 1000 });
  await socket.lose(1000);
  t.match(client.state, { name: 'waiting', retryAtMs: net.time.nowMs() + 1_034 }, 'counted from GOAWAY, without jitter');
  await net.time.advance(1_033);
  t.equal(net.sockets.length, 1);
  await net.time.advance(1);
  t.equal(net.sockets.length, 2);
  const second = await net.welcome();
  t.match(await second.readOne(MessageType.PUBLISH), [2, Number, 'a', Object, 2]);
  await second.reply([MessageType.GOAWAY, { reason: 'again', deadlineMs: 5_000, reconnectAfterMs: 60_000 }]);
  await net.time.advance(5_000);
  t.match(second.closedByClient, { code: 1000 }, 'the deadline ends it with the answer still due');
  await second.lose(1000);
  const third = await net.reopen();
  t.match(await third.readOne(MessageType.PUBLISH), [2, Number, 'a', Object, 2]);
  await third.ok(2, { epoch: 'e', offset: 2, duplicate: true });
  t.match(await queued, { duplicate: true });
  await third.lose();
  t.match(client.state, { name: 'waiting', retryAtMs: net.time.nowMs() + 500 }, 'a slot is good for one connect: back to jitter');
  t.equal(await net.end(client), 0);
});

t.test('GOAWAY with nothing in flight closes at once; a relay that closes first changes nothing', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  await socket.reply([MessageType.GOAWAY, { reason: 'x', deadlineMs: 5_000, reconnectAfterMs: 400 }]);
  t.match(socket.closedByClient, { code: 1000 });
  await socket.lose(4001, 'shutdown');
  t.match(client.state, { name: 'waiting', retryAtMs: net.time.nowMs() + 400, closeCode: 4001 });
  await net.end(client);
});

t.test('silence: PING after twice the ping interval, and the connection is given up without an answer', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ pongTimeoutMs: 4_000 }, { pingIntervalMs: 10_000 });
  await net.time.advance(15_000);
  await socket.reply([99, 'of a newer relay']);
  await net.time.advance(19_999);
  t.same(await socket.read(), [], 'anything heard counts');
  await net.time.advance(1);
  const [, ping] = await socket.readOne(MessageType.PING);
  await net.time.advance(3_000);
  await socket.ok(ping, { timeUs: 1 });
  await net.time.advance(20_000);
  await socket.readOne(MessageType.PING);
  await net.time.advance(3_999);
  t.equal(client.state.name, 'open');
  await net.time.advance(1);
  t.match(
    client.state,
    { name: 'waiting', reason: /no sign of life/ },
    'and nobody waits for a close event that may take minutes',
  );
  t.equal(await net.end(client), 0);
});

for (const { name, data } of [
  { name: 'text', data: 'hello' },
  { name: 'a cut message', data: Uint8Array.of(0x93, 32).buffer },
  { name: 'no array', data: Uint8Array.of(0x01).buffer },
  { name: 'the reserved byte', data: Uint8Array.of(0x91, 0xc1).buffer },
]) {
  t.test(`${name} from the relay loses the connection, not the client`, async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.open();
    socket.onmessage?.({ data } as never);
    await settle();
    t.match(client.state, { name: 'waiting', reason: /malformed/ });
    t.equal(socket.closedByClient?.code, 4500);
    await net.end(client);
  });
}

t.test('a listener that throws or rejects is reported, and the others are called', async (t) => {
  const net = new FakeNet();
  const client = net.client();
  const errors: unknown[] = [];
  const states: string[] = [];
  client.on('error', (error) => {
    errors.push((error as Error).message);
    throw new Error('even this one');
  });
  client.on('state', () => {
    throw new Error('thrown');
  });
  client.on('state', async () => {
    throw new Error('rejected');
  });
  const off = client.on('state', (state) => states.push(state.name));
  const consoleError = console.error;
  const printed: unknown[] = [];
  console.error = (...args: unknown[]) => printed.push(args);
  t.teardown(() => (console.error = consoleError));
  void client.connect();
  await net.welcome();
  off();
  await net.end(client);
  t.same(states, ['connecting', 'greeting', 'open']);
  t.equal(errors.filter((text) => text === 'thrown').length, 5);
  t.equal(errors.filter((text) => text === 'rejected').length, 5);
  t.equal(printed.length, 10, 'what the error listener throws goes to the console');
});

t.test('close: flushes, waits for the answers, ends everything, and is idempotent', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({ inFlightMax: 1 });
  const first = client.publish('a', 1);
  const second = client.publish('a', 2);
  const sub = client.subscribe('b');
  await settle();
  const closed = client.close();
  t.equal(client.close(), closed);
  t.match(client.state, { name: 'draining', cause: 'close' });
  await t.rejects(client.publish('a', 3), code('CANCELLED'));
  await t.rejects(client.history('a'), code('CANCELLED'));
  const late = client.subscribe('c');
  await t.rejects(late.ready(), code('CANCELLED'));
  const commands = await socket.read();
  await socket.ok(commands.find(([type]) => type === MessageType.PUBLISH)?.[1] as number, { epoch: 'e', offset: 1 });
  t.match(await first, { offset: 1 });
  const [next] = await socket.read();
  t.equal(socket.closedByClient, null);
  await socket.ok(next?.[1] as number, { epoch: 'e', offset: 2 });
  t.match(await second, { offset: 2 });
  t.match(socket.closedByClient, { code: 1000 });
  await socket.lose(1000);
  await closed;
  t.match(client.state, { name: 'closed', code: 1000, final: false });
  t.match(sub.state, { name: 'ended', error: null });
  await t.rejects(client.connect(), code('CANCELLED'));
  await t.rejects(client.ready(), code('CANCELLED'));
  t.equal(net.time.timerCount, 0);
});

t.test('close ends in its time, whatever the relay does', async (t) => {
  for (const isConnected of [true, false]) {
    const net = new FakeNet();
    const client = net.client();
    void client.connect();
    if (isConnected) await net.welcome();
    else await settle();
    const pending = client.publish('a', 1);
    const closed = client[Symbol.asyncDispose]();
    await net.time.advance(1_999);
    t.not(client.state.name, 'closed');
    await net.time.advance(1);
    await closed;
    await t.rejects(pending, code('CANCELLED'));
    t.equal(net.time.timerCount, 0);
  }
});

t.test('close before connect, and from inside a state listener', async (t) => {
  const idle = new FakeNet().client();
  await idle.close();
  t.equal(idle.state.name, 'closed');
  for (const name of ['connecting', 'greeting', 'open', 'waiting']) {
    const net = new FakeNet();
    const client = net.client();
    client.on('state', (state) => state.name === name && void client.close());
    void client.connect();
    await settle();
    net.sockets[0]?.accept();
    await settle();
    const hello = (await net.sockets[0]?.read())?.[0];
    if (hello) await net.socket.ok(hello[1], {});
    await net.sockets[0]?.lose();
    await net.time.advance(2_000);
    t.equal(client.state.name, 'closed', name);
    t.equal(net.time.timerCount, 0, name);
  }
});

t.test('closing while offline still tries to deliver what is queued', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open({}, { reconnectJitterMs: 10 });
  await socket.lose();
  const pending = client.publish('a', 1);
  const closed = client.close();
  const second = await net.reopen();
  const [publish] = await second.read();
  await second.ok(publish?.[1] as number, { epoch: 'e', offset: 5 });
  t.match(await pending, { offset: 5 });
  await second.lose(1000);
  await closed;
  t.equal(client.state.name, 'closed');
});
