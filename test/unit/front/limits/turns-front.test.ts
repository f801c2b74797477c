/** Turns and waiting bytes, as clients meet them: order, answers, junk, floods, and leaving with something still to be done. */
import t from 'tap';
import { pack } from '../../../../src/protocol/codec.ts';
import {
  CALL,
  ERROR,
  HELLO,
  LimitsClient,
  LimitsRig,
  MESSAGE,
  OK,
  PING,
  PUBLISH,
  REFRESH,
  SUBSCRIBE,
  times,
} from './limits-rig.ts';

t.test('ten thousand commands in one message: all are answered, in order, and nobody else waits for them', async (t) => {
  const rig = new LimitsRig({ commandsPerTurnMax: 16, commandsPerTurnTotalMax: 64 });
  const [flooder, other] = [rig.client(), rig.client()];
  flooder.sayLater(...times(10_000, (index) => [PING, 2 + index]));
  rig.run(1);
  other.sayLater([PING, 7]);
  rig.run(20);
  t.match(other.received.at(-1), [OK, 7], 'answered while most of the flood waits');
  t.ok(rig.front.heldBytes > 10_000, `${rig.front.heldBytes} bytes wait`);
  rig.run();
  t.same(
    flooder.of(OK).map(([, id]) => id),
    [1, ...times(10_000, (index) => 2 + index)],
  );
  t.equal(rig.front.heldBytes, 0);
  t.equal(rig.front.metrics.messagesDeferred, 1);
});

t.test('publishes of one connection keep their order over turns and WebSocket messages', async (t) => {
  const rig = new LimitsRig({ commandsPerTurnMax: 3, commandsPerTurnTotalMax: 8 });
  const reader = rig.client();
  reader.say([SUBSCRIBE, 2, 'room.1', null]);
  const publishers = times(4, () => rig.client());
  for (let round = 0; round < 10; round++)
    for (const [index, publisher] of publishers.entries())
      publisher.sayLater(...times(7, (step) => [PUBLISH, 0, 'room.1', null, [index, round * 7 + step]]));
  rig.run();
  const seen = reader.of(MESSAGE).map((message) => message[5] as [number, number]);
  t.equal(seen.length, 280);
  for (const index of publishers.keys())
    t.same(
      seen.filter(([from]) => from === index).map(([, value]) => value),
      times(70, (value) => value),
    );
});

t.test('who leaves has what he sent before done', async (t) => {
  for (const how of ['close', 'cut'] as const) {
    const rig = new LimitsRig({ commandsPerTurnMax: 5, commandsPerTurnTotalMax: 50 });
    const reader = rig.client();
    reader.say([SUBSCRIBE, 2, 'room.1', null]);
    const leaver = rig.client();
    leaver.sayLater(...times(40, (index) => [PUBLISH, 0, 'room.1', null, index]));
    rig.run(1);
    if (how === 'close') leaver.link.close();
    else leaver.link.cut();
    rig.run();
    t.same(
      reader.of(MESSAGE).map((message) => message[5]),
      times(40, (index) => index),
    );
    t.equal(rig.front.connectionCount, 1);
    t.equal([...rig.front.sessions].filter(({ internal }) => !internal).length, 1, 'and is gone then');
  }
});

t.test('who leaves with junk, or during a drain, leaves nothing behind', async (t) => {
  const rig = new LimitsRig({ commandsPerTurnMax: 2, commandsPerTurnTotalMax: 2 });
  const client = rig.client();
  client.link.send(Buffer.concat([...times(9, () => pack([PUBLISH, 0, 'a', null, 1])), Uint8Array.of(0xc1)]));
  rig.run(1);
  client.link.close();
  rig.run();
  const other = rig.client();
  other.sayLater(...times(50, () => [PUBLISH, 0, 'a', null, 1]));
  rig.run(1);
  other.link.cut();
  let done = 0;
  rig.front.drain({ windowMs: 0, deadlineMs: 1_000, reason: 'test' }, () => done++);
  rig.run();
  rig.pass(100);
  t.ok(done > 0, 'the drain ends');
  t.equal([...rig.front.sessions].filter(({ internal }) => !internal).length, 0);
  t.equal(rig.front.heldBytes, 0);
});

t.test('more waits than may: 4102 with the bound, and the memory is free again', async (t) => {
  const rig = new LimitsRig({
    commandsPerTurnMax: 1,
    commandsPerTurnTotalMax: 10,
    commandsWaitingBytesMax: 5_000,
    commandsWaitingBytesTotalMax: 8_000,
  });
  const flooder = rig.client('mallory', '192.0.2.66');
  const other = rig.client();
  for (let message = 0; message < 3; message++) flooder.sayLater(...times(20, () => [PUBLISH, 0, 'a', null, 'x'.repeat(100)]));
  other.sayLater([PING, 3]);
  rig.run();
  t.match(flooder.closed, {
    code: 4102,
    reason: /retryAfterMs=1000, limit=commandsWaitingBytesMax, commandsWaitingBytesMax=5000/,
  });
  t.match(
    rig.events.find(({ kind }) => kind === 'rateLimited'),
    {
      subject: 'mallory',
      address: '192.0.2.66',
      limit: 'commandsWaitingBytesMax',
    },
  );
  t.match(other.received.at(-1), [OK, 3]);
  t.equal(rig.front.metrics.floodsDisconnected, 1);
  t.equal(rig.front.heldBytes, 0);
});

t.test('who does not read its answers is closed, and what it had sent behind them is not done', async (t) => {
  // Found by the simulator (SEED=20115): closed by its answers in the middle of a message, it went on to make calls.
  const rig = new LimitsRig({ commandsPerTurnMax: 200 }, { sendQueueBytesMax: 300 });
  const client = new LimitsClient(rig);
  client.connect('192.0.2.7', 100);
  client.link.pauseReading();
  client.say([HELLO, 1, {}]);
  client.sayLater(...times(100, (index) => [99, index]), ...times(150, (index) => [CALL, 2 + index, 'math', 'add', null, 1]));
  rig.run();
  t.equal(rig.front.metrics.slowConsumersDisconnected, 1);
  t.equal(rig.front.callCount, 0);
  t.equal(rig.front.heldBytes, 0);
});

t.test('messages that are none: answered, and too many of them within the window are the end', async (t) => {
  const rig = new LimitsRig({ malformedMax: 5, offencesWindowMs: 1_000 });
  const client = rig.client();
  client.say(...times(5, (index) => [99, 2 + index]));
  t.same(client.codes, [100, 100, 100, 100, 100]);
  rig.pass(1_000);
  client.say(...times(5, () => [99, 2]), [PING, 7]);
  t.match(client.received.at(-1), [OK, 7]);
  client.say([99, 2], [PING, 8]);
  t.match(client.closed, { code: 4500, reason: /malformedMax=5/ });
  t.equal(client.of(OK).length, 2, 'what came behind it is not done');
  t.equal(client.codes.length, 11, 'but the last one was answered too');
  t.equal(rig.front.metrics.malformedDisconnected, 1);
});

t.test('junk has half of a turn’s share', async (t) => {
  const rig = new LimitsRig({ commandsPerTurnMax: 10, malformedMax: 1_000 });
  const client = rig.client();
  client.sayLater(...times(100, (index) => [99, 2 + index]));
  rig.run(1);
  t.equal(rig.front.metrics.messagesMalformed, 5);
  rig.run();
  t.equal(client.codes.length, 100);
});

t.test('answers to one message share WebSocket messages', async (t) => {
  const rig = new LimitsRig();
  const client = rig.client();
  const before = rig.front.metrics.framesSent;
  client.say(...times(200, (index) => [PING, 2 + index]));
  t.equal(client.of(OK).length, 201);
  t.equal(rig.front.metrics.framesSent - before, 1);
});

t.test('an answer stands before the close that it leads to', async (t) => {
  const rig = new LimitsRig();
  const client = rig.client();
  client.link.send(Buffer.concat([pack([PING, 2]), pack([99, 3]), Uint8Array.of(0xc1)]));
  rig.run();
  t.match(client.received.slice(1), [
    [OK, 2],
    [ERROR, 0, 100, /unknown message type 99/],
    [ERROR, 0, 100, /0xc1/],
  ]);
  t.equal(client.closed?.code, 4500);
});

t.test('HELLO, REFRESH and commands in one message, over many turns', async (t) => {
  const rig = new LimitsRig({ commandsPerTurnMax: 1, commandsPerTurnTotalMax: 1 });
  const client = rig.client('alice');
  client.say([SUBSCRIBE, 2, 'room.1', null], [REFRESH, 3, 'alice'], [PUBLISH, 4, 'room.1', null, 'x'], [HELLO, 5, {}], [PING, 6]);
  t.same(client.received.map(([type, id]) => (type === MESSAGE ? 'message' : id)).sort(), [1, 2, 3, 4, 5, 6, 'message'].sort());
});

t.test('pings, pongs and empty messages are nothing to wait for, but a flood of them is one', async (t) => {
  for (const trifle of ['ping', 'pong', 'empty'] as const) {
    const rig = new LimitsRig({ commandsPerTurnMax: 4 });
    const client = rig.client();
    const { session } = client.link;
    rig.run();
    const send = (count: number): void => {
      for (let sent = 0; sent < count; sent++) {
        if (trifle === 'ping') rig.front.onPing(session);
        else if (trifle === 'pong') rig.front.onPong(session);
        else rig.front.onMessage(session, new Uint8Array(0), true);
      }
    };
    for (let turn = 0; turn < 10; turn++) {
      send(4 * 17);
      rig.run();
    }
    t.equal(client.closed, null, trifle);
    send(4 * 17 + 1);
    rig.run();
    t.match(client.closed, { code: 4102, reason: /limit=commandsPerTurnMax, commandsPerTurnMax=4/ }, trifle);
  }
});
