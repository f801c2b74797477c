/** Calls: what goes over the wire, and what becomes of them when the answer, the time or the connection is missing. */
import t from 'tap';
import { COMMAND_ARITIES } from '../../../src/client/codec.ts';
import { MESSAGE_SPECS, MessageType } from '../../../src/protocol/types.ts';
import { code, error, FakeNet, forbidUnhandledRejections, settle } from './harness.ts';

const { CALL, CANCEL, CREDIT, RESULT, SERVICES } = MessageType;

t.beforeEach((t) => forbidUnhandledRejections(t));

t.test('the arities of commands are the protocol’s', async (t) => {
  for (const { type, arity, sender, name } of MESSAGE_SPECS) if (sender === 'client') t.equal(COMMAND_ARITIES[type], arity, name);
});

t.test('a call carries its options, and the time that is left', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const options = { deadlineMs: 5_000, hashKey: 'k', version: '^1.2', select: { zone: 'b' }, waitMs: 7, headers: { a: 'b' } };
  const result = client.call('math', 'add', [1, 2], options);
  const [type, id, service, method, wish, payload] = await socket.readOne(CALL);
  t.same([type, service, method, payload], [CALL, 'math', 'add', [1, 2]]);
  t.same(wish, { deadlineMs: 5_000, hashKey: 'k', version: '^1.2', select: { zone: 'b' }, wait: 7, headers: { a: 'b' } });
  await socket.reply([RESULT, id, false, 3]);
  t.equal(await result, 3);
  t.equal(await net.end(client), 0, 'no timer is left');
});

t.test('without a deadline the relay’s default goes along; without a payload it is nil', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  void client.call('math', 'pi');
  const [, , , , wish, payload] = await socket.readOne(CALL);
  t.same([wish, payload], [{ deadlineMs: 30_000 }, null]);
  await net.end(client);
});

t.test('a call waits for a connection, and is sent with what its wait has left of the deadline', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  await socket.lose();
  const payload = { n: 1 };
  const result = client.call('math', 'add', payload, { deadlineMs: 10_000 });
  payload.n = 2;
  await net.time.advance(400);
  const again = await net.reopen();
  const [, id, , , wish, sent] = await again.readOne(CALL);
  const { deadlineMs } = wish as { deadlineMs: number };
  t.ok(deadlineMs <= 9_600 && deadlineMs > 8_000, `${deadlineMs}`);
  t.same(sent, { n: 1 }, 'as it was when it was called');
  await again.reply([RESULT, id, false, 'ok']);
  t.equal(await result, 'ok');
  await net.end(client);
});

t.test('out of time: rejected here, cancelled there; also where it was never sent', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const sent = client.call('math', 'add', 1, { deadlineMs: 100 });
  const [, id] = await socket.readOne(CALL);
  await net.time.advance(100);
  await t.rejects(sent, code('TIMEOUT'));
  t.same(await socket.read(), [[CANCEL, 0, 'math', id]]);
  await socket.reply(error(id, 111)); // What the relay answers to that is nobody's.
  await socket.lose();
  const waiting = client.call('math', 'add', 1, { deadlineMs: 1 });
  await net.time.advance(1);
  await t.rejects(waiting, code('TIMEOUT'));
  t.equal(await net.end(client), 0);
});

t.test('an abort rejects and cancels; one that came before sends nothing', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const controller = new AbortController();
  const call = client.call('math', 'add', 1, { signal: controller.signal });
  const [, id] = await socket.readOne(CALL);
  controller.abort();
  await t.rejects(call, code('CANCELLED'));
  t.same(await socket.read(), [[CANCEL, 0, 'math', id]]);
  await t.rejects(client.call('math', 'add', 1, { signal: controller.signal }), code('CANCELLED'));
  t.same(await socket.read(), []);
  await net.end(client);
});

t.test('a lost connection: rejected with something retryable, or sent again if it may run twice', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const once = client.call('math', 'add', 1);
  const twice = client.call('math', 'add', 2, { idempotent: true });
  await socket.read();
  await socket.lose();
  await t.rejects(once, { codeName: 'RESPONDER_LOST', retryable: true } as never);
  const again = await net.reopen();
  const [, id, , , wish, payload] = await again.readOne(CALL);
  t.match([wish, payload], [{ idempotent: true }, 2]);
  await again.reply([RESULT, id, false, 'done']);
  t.equal(await twice, 'done');
  await net.end(client);
});

t.test('a service’s error brings its code; what cannot be encoded is refused at once', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const call = client.call('math', 'divide', 0);
  const [, id] = await socket.readOne(CALL);
  await socket.reply(error(id, 120, 'by zero: code=DIV, text=by zero', { code: 'DIV', text: 'by zero' }));
  await t.rejects(call, {
    codeName: 'SERVICE_ERROR',
    message: 'by zero: code=DIV, text=by zero',
    facts: { code: 'DIV' },
  } as never);
  await t.rejects(
    client.call('math', 'add', () => {}),
    code('BAD_REQUEST'),
  );
  t.same(await socket.read(), []);
  t.equal(await net.end(client), 0);
});

t.test('a stream gives credit as the loop takes parts, in halves of its window', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const stream = client.callStream<number>('math', 'count', 9, { window: 4 });
  const [, id, , , wish] = await socket.readOne(CALL);
  t.match(wish, { window: 4 });
  const parts = stream[Symbol.asyncIterator]();
  await socket.reply(...[1, 2, 3, 4].map((part) => [RESULT, id, true, part]));
  t.equal(stream.bufferedCount, 4);
  t.same(await parts.next(), { done: false, value: 1 });
  t.same(await socket.read(), [], 'not for every part');
  await parts.next();
  t.same(await socket.read(), [[CREDIT, 0, 'math', id, 2]]);
  await parts.next();
  await parts.next();
  t.same(await socket.read(), [[CREDIT, 0, 'math', id, 2]]);
  const last = parts.next();
  await socket.reply([RESULT, id, false, null]);
  t.same(await last, { done: true, value: undefined });
  t.same(await parts.next(), { done: true, value: undefined });
  t.equal(await net.end(client), 0);
});

t.test('a last result that is something is the last part; an error comes behind the parts', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const whole: unknown[] = [];
  const reading = (async () => {
    for await (const part of client.callStream('math', 'count')) whole.push(part);
  })();
  const [, id] = await socket.readOne(CALL);
  await socket.reply([RESULT, id, true, 1], [RESULT, id, false, 2]);
  await reading;
  t.same(whole, [1, 2]);
  const cut: unknown[] = [];
  const failing = (async () => {
    for await (const part of client.callStream('math', 'count')) cut.push(part);
  })();
  const [, second] = await socket.readOne(CALL);
  const failed = t.rejects(failing, code('RESPONDER_LOST'));
  await socket.reply([RESULT, second, true, 1], error(second, 110));
  await failed;
  t.same(cut, [1]);
  await net.end(client);
});

t.test('break cancels a stream; nobody’s stream breaks nothing; there is one loop', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const stream = client.callStream<number>('math', 'count');
  const [, id] = await socket.readOne(CALL);
  await socket.reply([RESULT, id, true, 1], [RESULT, id, true, 2]);
  for await (const part of stream) if (part === 1) break;
  t.same(await socket.read(), [[CANCEL, 0, 'math', id]]);
  await socket.reply([RESULT, id, true, 3], error(id, 111));
  t.throws(() => stream[Symbol.asyncIterator](), /one reader/);
  client.callStream('math', 'count');
  const [, unread] = await socket.readOne(CALL);
  await socket.reply(error(unread, 109));
  await settle();
  t.equal(await net.end(client), 0);
});

t.test('a stream is sent again only while none of its parts has been seen', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const seen = client.callStream('math', 'a', null, { idempotent: true })[Symbol.asyncIterator]();
  const unseen = client.callStream('math', 'b', null, { idempotent: true })[Symbol.asyncIterator]();
  const [[, first] = [0, 0]] = await socket.read();
  await socket.reply([RESULT, first, true, 1]);
  await socket.lose();
  t.same(await seen.next(), { done: false, value: 1 });
  await t.rejects(seen.next(), code('RESPONDER_LOST'));
  const again = await net.reopen();
  const [, id, , method] = await again.readOne(CALL);
  t.equal(method, 'b');
  await again.reply([RESULT, id, false, 'whole']);
  t.same(await unseen.next(), { done: false, value: 'whole' });
  await net.end(client);
});

t.test('close waits for calls that have their answers in time, and rejects the others', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const [fast, slow] = [client.call('math', 'fast'), client.call('math', 'slow')];
  const [[, id] = [0, 0]] = await socket.read();
  const closed = client.close({ timeoutMs: 50 });
  await socket.reply([RESULT, id, false, 'in time']);
  await net.time.advance(50);
  await closed;
  t.equal(await fast, 'in time');
  await t.rejects(slow, code('CANCELLED'));
  await t.rejects(client.call('math', 'late'), code('CANCELLED'));
});

t.test('services asks by pattern', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const all = client.services();
  const [, id, pattern, options] = await socket.readOne(SERVICES);
  t.same([pattern, options], ['>', {}]);
  await socket.ok(id, { services: [{ service: 'math' }] });
  t.same(await all, [{ service: 'math' }]);
  void client.services('m.*', { instances: true });
  t.match(await socket.readOne(SERVICES), [SERVICES, /./, 'm.*', { instances: true }]);
  await net.end(client);
});
