/** Services: registering over and over, serving, and every way in which a call or a registration ends. */
import t from 'tap';
import { type CallContext, ServiceError, type ServiceHandler } from '../../../src/client/full.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { code, error, FakeNet, type FakeSocket, forbidUnhandledRejections, settle } from './harness.ts';

const { CANCELLED, CREDITED, DEREGISTER, GOAWAY, HEARTBEAT, INVOKE, REGISTER, RETURN } = MessageType;
const V1 = { version: '1.0.0' };
const ECHO = { echo: (payload: unknown) => payload };

t.beforeEach((t) => forbidUnhandledRejections(t));

async function openService(handlers: Parameters<typeof register>[2], options: object = {}) {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const service = await register(client, socket, handlers, options);
  return { net, client, socket, service };
}

async function register(
  client: Awaited<ReturnType<FakeNet['openFull']>>['client'],
  socket: FakeSocket,
  handlers: Readonly<Record<string, ServiceHandler>>,
  options: object,
) {
  const service = client.service('math', handlers, { ...V1, ...options });
  const [, id] = await socket.readOne(REGISTER);
  await socket.ok(id, { instance: 'i1', leaseMs: 30_000 });
  return service;
}

const invoke = (callId: number, method = 'echo', payload: unknown = null, options: object = {}): unknown[] => [
  INVOKE,
  callId,
  'math',
  method,
  { deadlineMs: 1_000, ...options },
  payload,
];

t.test('REGISTER says what there is; a result, an error and a missing method are RETURNed', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  client.on('error', () => {});
  const handlers = {
    ...ECHO,
    refuse: () => {
      throw new ServiceError('DIV', 'by zero', { divisor: 0 });
    },
    async crash() {
      throw new Error('a bug');
    },
    unsayable: () => () => {},
  };
  const metadata = { zone: 'b' };
  const service = client.service('math', handlers, { ...V1, capacity: 3, weight: 2, metadata, idempotent: ['echo'] });
  const [, id, name, options] = await socket.readOne(REGISTER);
  const methods = ['echo', 'refuse', 'crash', 'unsayable'];
  t.same([name, options], ['math', { version: '1.0.0', methods, capacity: 3, weight: 2, metadata, idempotent: ['echo'] }]);
  t.equal(service.state.name, 'registering');
  await socket.ok(id, { instance: 'i1', leaseMs: 5 });
  await service.ready();
  t.same(service.state, { name: 'registered', instance: 'i1', leaseMs: 5 });
  const calls = ['echo', 'refuse', 'crash', 'unsayable', 'missing'].map((method, index) => invoke(index + 1, method, 7));
  await socket.reply(...calls);
  t.match(
    (await socket.read()).sort((one, other) => one[1] - other[1]),
    [
      [RETURN, 1, null, 7],
      [RETURN, 2, { error: { code: 'DIV', text: 'by zero', details: { divisor: 0 } } }, null],
      [RETURN, 3, { error: { code: 'INTERNAL', text: 'a bug' } }, null],
      [RETURN, 4, { error: { code: 'INTERNAL' } }, null],
      [RETURN, 5, { error: { code: 'NOT_FOUND' } }, null],
    ],
  );
  t.equal(service.inFlightCount, 0);
  t.equal(await net.end(client), 0);
});

t.test('the handler’s context: deadline, caller, headers, heartbeat; the signal aborts once', async (t) => {
  const contexts: CallContext[] = [];
  const { net, client, socket } = await openService({
    wait: (_, context) => {
      contexts.push(context);
      return new Promise(() => {});
    },
  });
  await socket.reply(invoke(1, 'wait', null, { headers: { a: 'b' }, caller: 'ann' }), invoke(2, 'wait'));
  const [one, two] = contexts as [CallContext, CallContext];
  t.match(one, { callId: 1, service: 'math', method: 'wait', headers: { a: 'b' }, caller: 'ann' });
  await net.time.advance(400);
  t.equal(one.deadlineMs, 600);
  one.heartbeat();
  t.same(await socket.read(), [[RETURN, 1, { heartbeat: true }, null]]);
  await socket.reply([CANCELLED, 1]);
  t.same([one.signal.aborted, two.signal.aborted], [true, false]);
  await net.time.advance(600);
  t.ok(two.signal.aborted, 'out of time, without a word of the relay');
  t.equal(two.deadlineMs, 0);
  one.heartbeat();
  t.same(await socket.read(), [], 'nothing is sent for what is over');
  t.equal(await net.end(client), 0);
});

t.test('a stream goes as far as its credit, and asks its source for nothing more until there is some', async (t) => {
  let asked = 0;
  let isEnded = false;
  const { net, client, socket } = await openService({
    async *count(to: number) {
      try {
        for (let number = 1; number <= to; number++) {
          asked = number;
          yield number;
        }
      } finally {
        isEnded = true;
      }
    },
  });
  await socket.reply(invoke(1, 'count', 3, { window: 2 }));
  const part = (callId: number, number: number) => [RETURN, callId, { more: true }, number];
  t.same(await socket.read(), [part(1, 1), part(1, 2)]);
  t.equal(asked, 2);
  await socket.reply([CREDITED, 1, 1]);
  t.same(await socket.read(), [part(1, 3)]);
  t.notOk(isEnded, 'the end takes credit too: whether there is more is not known before');
  await socket.reply([CREDITED, 1, 1]);
  t.same(await socket.read(), [[RETURN, 1, null, null]]);
  isEnded = false;
  await socket.reply(invoke(2, 'count', 100, { window: 1 }), [CANCELLED, 2]);
  await settle();
  t.ok(isEnded, 'a cancelled one ends its source');
  t.same(await socket.read(), [], 'cancelled before it had begun');
  t.equal(await net.end(client), 0);
});

t.test('after a lost connection: signals abort, results are dropped, it registers again', async (t) => {
  let finish = (_: unknown): void => {};
  const contexts: CallContext[] = [];
  const { net, client, socket, service } = await openService({
    wait: (_, context) => {
      contexts.push(context);
      return new Promise((resolve) => (finish = resolve));
    },
  });
  await socket.reply(invoke(1, 'wait'));
  await socket.lose();
  t.ok(contexts[0]?.signal.aborted);
  t.equal(service.state.name, 'waiting');
  const again = await net.reopen();
  const [, id] = await again.readOne(REGISTER);
  finish('too late');
  t.same(await again.read(), []);
  await again.ok(id, { instance: 'i2', leaseMs: 1 });
  t.match(service.state, { instance: 'i2' });
  t.equal(await net.end(client), 0);
});

t.test('a registration that is refused for now is tried again; one that is refused ends the service', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const service = client.service('math', ECHO, V1);
  const [, id] = await socket.readOne(REGISTER);
  await socket.reply(error(id, 106, 'full', { retryAfterMs: 200 }));
  t.match(service.state, { name: 'waiting', error: { codeName: 'OVERLOADED' } });
  await net.time.advance(200);
  const [, second] = await socket.readOne(REGISTER);
  const refused = service.ready();
  await socket.reply(error(second, 100, 'bad version'));
  await t.rejects(refused, code('BAD_REQUEST'));
  t.match(service.state, { name: 'stopped', error: { codeName: 'BAD_REQUEST' } });
  const reported: unknown[] = [];
  client.on('error', (problem) => reported.push(problem));
  client.service('math', ECHO, V1);
  const [, third] = await socket.readOne(REGISTER);
  await socket.reply(error(third, 104, 'too many'));
  t.match(reported, [{ codeName: 'LIMIT' }], 'nobody waited for it, so it is reported');
  t.equal(await net.end(client), 0);
});

t.test('heartbeats come at their interval, carry health and load, and a lost lease is registered anew', async (t) => {
  const { net, client, socket, service } = await openService(ECHO, { heartbeatMs: 1_000 });
  await net.time.advance(1_000);
  const [, id, name, condition] = await socket.readOne(HEARTBEAT);
  t.same([name, condition], ['math', {}]);
  await socket.ok(id, { leaseMs: 3_000 });
  service.setHealth('degraded');
  service.setLoad(0.5);
  t.match(await socket.read(), [
    [HEARTBEAT, /./, 'math', { health: 'degraded' }],
    [HEARTBEAT, /./, 'math', { health: 'degraded', load: 0.5 }],
  ]);
  await net.time.advance(1_000);
  const [, third] = await socket.readOne(HEARTBEAT);
  await socket.reply(error(third, 103, 'not registered'));
  const [, register] = await socket.readOne(REGISTER);
  await socket.ok(register, { instance: 'i2', leaseMs: 3_000 });
  t.match(
    await socket.readOne(HEARTBEAT),
    [HEARTBEAT, /./, 'math', { health: 'degraded', load: 0.5 }],
    'what it is like is told again',
  );
  t.match(service.state, { instance: 'i2' });
  t.equal(await net.end(client), 0);
});

t.test('GOAWAY: deregisters, finishes, leaves when the last result is out, and comes back', async (t) => {
  let finish = (_: unknown): void => {};
  const { net, client, socket, service } = await openService({ wait: () => new Promise((resolve) => (finish = resolve)) });
  await socket.reply(invoke(1, 'wait'), [GOAWAY, { reason: 'shutdown', deadlineMs: 5_000, reconnectAfterMs: 100 }]);
  const [, id] = await socket.readOne(DEREGISTER);
  t.equal(service.state.name, 'waiting');
  await socket.ok(id, null);
  t.equal(socket.closedByClient, null, 'a call is in flight here');
  finish('done');
  t.same(await socket.read(), [[RETURN, 1, null, 'done']]);
  t.match(socket.closedByClient, { code: 1000 });
  await socket.lose(1000);
  const again = await net.reopen();
  const [, second] = await again.readOne(REGISTER);
  await again.ok(second, { instance: 'i2', leaseMs: 1 });
  t.equal(service.state.name, 'registered');
  t.equal(await net.end(client), 0);
});

t.test('close: deregisters, finishes what is in flight, and then closes', async (t) => {
  let finish = (_: unknown): void => {};
  const { client, socket, service } = await openService({ wait: () => new Promise((resolve) => (finish = resolve)) });
  await socket.reply(invoke(1, 'wait'));
  const closed = client.close();
  const [, id] = await socket.readOne(DEREGISTER);
  await socket.ok(id, null);
  t.equal(socket.closedByClient, null);
  finish('done');
  t.same(await socket.read(), [[RETURN, 1, null, 'done']]);
  t.match(socket.closedByClient, { code: 1000 });
  await socket.lose(1000);
  await closed;
  t.same(service.state, { name: 'stopped', error: null });
  t.equal(client.service('math', ECHO, V1).state.name, 'stopped');
});

t.test('stop: what was on its way is still served; without drain it is refused', async (t) => {
  const { net, client, socket, service } = await openService({ ...ECHO, wait: () => new Promise(() => {}) });
  const stopped = service.stop();
  const [, id] = await socket.readOne(DEREGISTER);
  await socket.reply(invoke(1, 'echo', 'crossed it'));
  t.same(await socket.read(), [[RETURN, 1, null, 'crossed it']]);
  await socket.ok(id, null);
  await stopped;
  t.equal(service.state.name, 'stopped');
  await service.stop();

  const second = await register(client, socket, { wait: () => new Promise(() => {}) }, {});
  await socket.reply(invoke(2, 'wait'));
  const ended = second.stop({ drain: false });
  const [refusal, deregister] = await socket.read();
  t.match(refusal, [RETURN, 2, { error: { code: 'STOPPED' } }, null]);
  await socket.reply(invoke(3, 'wait'));
  t.match(await socket.read(), [[RETURN, 3, { error: { code: 'STOPPED' } }, null]]);
  await socket.ok(deregister?.[1] as number, null);
  await ended;

  const third = await register(client, socket, { wait: () => new Promise(() => {}) }, {});
  await socket.reply(invoke(4, 'wait'));
  const bounded = third.stop({ timeoutMs: 100 });
  const [, last] = await socket.readOne(DEREGISTER);
  await socket.ok(last, null);
  await net.time.advance(100);
  await bounded;
  t.match(await socket.read(), [[RETURN, 4, { error: { code: 'STOPPED' } }, null]]);
  t.equal(await net.end(client), 0);
});

t.test('misuse is said at the call: two of one name, a handler that is none, what cannot be encoded', async (t) => {
  const { net, client } = await openService(ECHO);
  t.throws(() => client.service('math', ECHO, V1), /already/);
  t.throws(() => client.service('other', { add: 7 as never }, V1), TypeError);
  t.throws(() => client.service('other', ECHO, { ...V1, metadata: { f: (() => {}) as never } }));
  await net.end(client);
  const late = client.service('math', ECHO, V1);
  await t.rejects(late.ready(), code('CANCELLED'));
});
