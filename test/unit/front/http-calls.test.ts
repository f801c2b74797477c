/** Calls over HTTP: what reaches the instance, what comes back, and what becomes of a call that nobody waits for. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { Rig, type WebSocketClient } from './http-rig.ts';

const { REGISTER, RETURN, INVOKE, CANCELLED } = MessageType;
type Invoke = [type: number, callId: number, service: string, method: string, options: Record<string, unknown>, payload: unknown];

function serve(rig: Rig, registration: object = {}): WebSocketClient {
  const instance = rig.connect('server');
  instance.say([REGISTER, 2, 'math', { version: '1.2.0', methods: ['add'], ...registration }]);
  return instance;
}

const invokes = (instance: WebSocketClient): Invoke[] => instance.received(INVOKE) as Invoke[];

t.test('a call reaches the instance as a WebSocket caller’s would, and its result is the answer', async (t) => {
  const rig = new Rig();
  const instance = serve(rig);
  const target = '/v1/call?service=math&method=add&deadlineMs=2000&version=^1.1&header=trace:x&idempotent=true&hashKey=k';
  const answers = rig.send('POST', target, { type: 'application/json', body: '{"left": 1, "bytes": {"$bin": "AQID"}}' });
  rig.run();
  const [[, callId, service, method, options, payload] = [] as unknown as Invoke] = invokes(instance);
  t.same([service, method, payload], ['math', 'add', { left: 1, bytes: Buffer.from([1, 2, 3]) }]);
  t.match(options, { deadlineMs: 2_000, caller: 'http', headers: { trace: 'x' } });
  t.same(answers, []);
  instance.say([RETURN, callId, null, { sum: 3n }]);
  t.match(answers, [{ status: 200, body: { sum: 3 } }]);
  t.equal(rig.gateway.pendingCount, 0);
});

t.test('a MessagePack result is the instance’s own bytes', async (t) => {
  const rig = new Rig();
  const instance = serve(rig);
  const answers = rig.send('POST', '/v1/call?service=math&method=add', { type: 'application/msgpack', body: pack(7) });
  rig.run();
  instance.say([RETURN, invokes(instance)[0]?.[1], null, [1, null, 'x']]);
  t.same(answers[0]?.raw, pack([1, null, 'x']));
});

t.test('a client that hangs up cancels its call, once', async (t) => {
  const rig = new Rig();
  const instance = serve(rig);
  const { gateway } = rig;
  let answerCount = 0;
  const abandon = gateway.handle(
    {
      method: 'POST',
      path: '/v1/call',
      query: 'service=math&method=add',
      contentType: 'application/json',
      accept: '',
      body: Buffer.from('1'),
    },
    () => void answerCount++,
  );
  rig.run();
  abandon();
  rig.run();
  t.same(
    instance.received(CANCELLED).map(([, callId]) => callId),
    [invokes(instance)[0]?.[1]],
  );
  t.same([answerCount, gateway.pendingCount, gateway.metrics.callsCancelled], [1, 0, 1], 'the answer to nobody frees the place');
  abandon();
  t.equal(gateway.metrics.callsCancelled, 1);
});

t.test('hanging up on anything but a call changes nothing', async (t) => {
  const rig = new Rig();
  const head = { contentType: 'application/json', accept: '', body: Buffer.from('1') };
  const abandon = rig.gateway.handle({ ...head, method: 'POST', path: '/v1/publish', query: 'topic=a' }, () => {});
  abandon();
  rig.run();
  t.match(rig.get('/v1/position?topic=a').body, { offset: 1 });
  const refused = rig.gateway.handle({ ...head, method: 'POST', path: '/v1/nowhere', query: '' }, () => {});
  refused();
});

t.test('a streamed result is refused with its first part, and the call cancelled at the next tick', async (t) => {
  const rig = new Rig();
  const instance = serve(rig);
  const answers = rig.send('POST', '/v1/call?service=math&method=add', { type: 'application/json', body: '1' });
  rig.run();
  const [, callId, , , options] = invokes(instance)[0] as Invoke;
  t.match(options, { window: 1 }, 'the instance may not run ahead');
  instance.say([RETURN, callId, { more: true }, 'part']);
  t.match(answers, [{ status: 400, body: { error: { text: /streams its result/ } } }]);
  rig.gateway.tick();
  rig.run();
  t.same(instance.received(CANCELLED), [[CANCELLED, callId]]);
  t.same([rig.gateway.pendingCount, rig.gateway.metrics.repliesLate], [0, 0]);
});

t.test('the relay ends a call at its deadline, and short ones do not wait for long ones', async (t) => {
  const rig = new Rig();
  const instance = serve(rig);
  const ask = { type: 'application/json', body: '1' };
  const long = rig.send('POST', '/v1/call?service=math&method=add&deadlineMs=60000', ask);
  const short = rig.send('POST', '/v1/call?service=math&method=add&deadlineMs=100', ask);
  rig.run();
  rig.clock.advance(150);
  rig.lanes.tick();
  rig.run();
  t.match(short, [{ status: 504, body: { error: { code: 108 } } }]);
  t.equal(instance.received(CANCELLED).length, 1);
  rig.clock.advance(30_000);
  rig.gateway.tick();
  t.same(long, [], 'longer than any other request may take');
});

t.test('errors of services and of missing ones', async (t) => {
  const rig = new Rig();
  const none = rig.postJson('/v1/call?service=math&method=add', 1);
  t.match(none, {
    status: 503,
    headers: { 'Retry-After': '1' },
    body: { error: { code: 109, details: { service: 'math' } } },
  });
  const instance = serve(rig);
  const answers = rig.send('POST', '/v1/call?service=math&method=add', { type: 'application/json', body: '1' });
  rig.run();
  instance.say([RETURN, invokes(instance)[0]?.[1], { error: { code: 'OVERFLOW', text: 'too many digits' } }, null]);
  t.match(answers, [{ status: 422, body: { error: { code: 120, details: { code: 'OVERFLOW' } } } }]);
});

t.test('GET /v1/services lists what is registered', async (t) => {
  const rig = new Rig();
  serve(rig, { metadata: { zone: 'b' } });
  t.match(rig.get('/v1/services').body, { services: [{ service: 'math', instances: 1, versions: ['1.2.0'], methods: ['add'] }] });
  t.notOk('list' in rig.get('/v1/services?service=math').body.services[0]);
  t.match(rig.get('/v1/services?service=*&instances=true').body.services[0].list, [
    { client: 'server', metadata: { zone: 'b' } },
  ]);
  t.same(rig.get('/v1/services?service=other').body, { services: [] });
});
