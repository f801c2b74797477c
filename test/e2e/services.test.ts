/** Services over real sockets and threads: balanced calls, an instance that dies in the middle, a lane that dies, streams, SERVICES. */
import t from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import { MESSAGE, OK, PING, PUBLISH, RawClient, SUBSCRIBE, type WireMessage } from '../support/raw-client.ts';
import { startRelay } from '../support/relay-process.ts';
import { range, topicOnLane } from '../support/sdk.ts';

const CALL = 5;
const CANCEL = 6;
const RETURN = 7;
const REGISTER = 8;
const DEREGISTER = 9;
const HEARTBEAT = 16;
const CREDIT = 17;
const SERVICES = 19;
const ERROR = 33;
const INVOKE = 36;
const RESULT = 37;
const CANCELLED_TO_INSTANCE = 38;
const CREDITED = 40;

const TIMEOUT = 108;
const NO_RESPONDERS = 109;
const RESPONDER_LOST = 110;
const CANCELLED = 111;
const LANE_RESTARTED = 113;

const PLAIN = { version: '1.0.0', methods: ['add', 'slow'] };

interface Invoked {
  readonly callId: number;
  readonly options: { readonly deadlineMs: number; readonly caller: string };
  readonly payload: unknown;
}

function invokesOf(client: RawClient): Invoked[] {
  return client.messages
    .filter(([type]) => type === INVOKE)
    .map(([, callId, , , options, payload]) => ({ callId, options, payload }));
}

/** The nth INVOKE, past or future. */
async function invoke(client: RawClient, count = 1): Promise<Invoked> {
  await client.find(() => invokesOf(client).length >= count);
  return invokesOf(client)[count - 1] as Invoked;
}

function lastAnswer(client: RawClient, id: number): Promise<WireMessage> {
  return client.find(([type, other, more]) => other === id && (type === ERROR || (type === RESULT && more === false)));
}

/** Answers every `add` with twice its payload, from now on. */
function serveAdd(client: RawClient): void {
  void client
    .find((message) => {
      const [type, callId, , method, , payload] = message;
      if (type === INVOKE && method === 'add') client.send([RETURN, callId, null, 2 * payload]);
      return false;
    })
    .catch(() => {});
}

for (const lanes of [0, 2]) {
  t.test(`two instances share the calls, and one is killed in the middle of some (lanes ${lanes})`, async (t) => {
    const relay = await startRelay(t, { lanes });
    const [one, two, caller, watcher] = (await Promise.all(
      ['one', 'two', 'caller', 'watcher'].map((client) => RawClient.open(t, relay.port, { client })),
    )) as [RawClient, RawClient, RawClient, RawClient];
    await watcher.ask(SUBSCRIBE, '$service.math', null);
    const instances = [
      await one.ask(REGISTER, 'math', PLAIN),
      await two.ask(REGISTER, 'math', { ...PLAIN, idempotent: ['add'] }),
    ];
    t.match(instances, [{ instance: String, leaseMs: 45_000 }, { instance: String }]);
    serveAdd(one);
    serveAdd(two);

    const ids = range(1, 100).map(() => caller.nextId());
    caller.send(...ids.map((id, index) => [CALL, id, 'math', 'add', null, index]));
    const answers = await Promise.all(ids.map((id) => lastAnswer(caller, id)));
    t.same(
      answers.map(([, , , payload]) => payload),
      range(0, 99).map((number) => 2 * number),
    );
    for (const instance of [one, two]) t.ok(invokesOf(instance).length > 30, `${invokesOf(instance).length} calls`);
    t.match(invokesOf(one)[0]?.options, { caller: 'caller' });

    // Some that one of them never answers; then it is gone.
    const slow = [caller.nextId(), caller.nextId()];
    caller.send(...slow.map((id) => [CALL, id, 'math', 'slow', null, 'work']));
    await Promise.all([one, two].map((instance) => instance.find(([type, , , method]) => type === INVOKE && method === 'slow')));
    one.destroy();
    const lost = await Promise.race(slow.map((id) => lastAnswer(caller, id)));
    t.match(lost, [ERROR, Number, RESPONDER_LOST]);
    const held = invokesOf(two).at(-1) as Invoked;
    two.send([RETURN, held.callId, null, 'done']);
    const other = slow.find((id) => id !== lost[1]) as number;
    t.same(await lastAnswer(caller, other), [RESULT, other, false, 'done'], 'the other one knows nothing of it');

    await watcher.find((message) => message[0] === MESSAGE && message[5].kind === 'lost');
    t.match(watcher.payloads, [
      { kind: 'registered', instance: instances[0].instance, client: 'one' },
      { kind: 'registered', instance: instances[1].instance, client: 'two' },
      { kind: 'lost', instance: instances[0].instance },
    ]);
    const { services } = await caller.ask(SERVICES, '>', { instances: true });
    t.match(services, [
      { service: 'math', instances: 1, calls: 102, errors: 1, inFlight: 0, list: [{ client: 'two', breaker: 'closed' }] },
    ]);
    t.equal(services.length, 1);
    t.equal(await relay.metric('relay_lane_calls_total'), 102);
    t.equal(await relay.metric('relay_lane_calls_lost_total'), 1);
  });
}

t.test('a call of an idempotent method survives its instance', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const [one, two, caller] = (await Promise.all(
    ['one', 'two', 'caller'].map((client) => RawClient.open(t, relay.port, { client })),
  )) as [RawClient, RawClient, RawClient];
  await one.ask(REGISTER, 'math', { ...PLAIN, idempotent: true });
  const id = caller.nextId();
  caller.send([CALL, id, 'math', 'slow', null, { a: 'b' }]);
  await invoke(one);
  await two.ask(REGISTER, 'math', PLAIN);
  one.destroy();
  const again = await invoke(two);
  t.same(again.payload, { a: 'b' });
  two.send([RETURN, again.callId, null, 'from two']);
  t.same(await lastAnswer(caller, id), [RESULT, id, false, 'from two']);
});

t.test('deadlines, CANCEL, a caller that leaves: the instance is told to stop', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const instance = await RawClient.open(t, relay.port);
  const caller = await RawClient.open(t, relay.port);
  await instance.ask(REGISTER, 'math', PLAIN);
  const cancelledOf = ({ callId }: Invoked) =>
    instance.find(([type, other]) => type === CANCELLED_TO_INSTANCE && other === callId);

  const late = caller.nextId();
  const sentAtMs = performance.now();
  caller.send([CALL, late, 'math', 'slow', { deadlineMs: 80 }, 1]);
  t.match(await lastAnswer(caller, late), [ERROR, late, TIMEOUT]);
  const tookMs = performance.now() - sentAtMs;
  t.ok(tookMs >= 79, `not before its time: ${tookMs} ms`);
  const first = await invoke(instance);
  await cancelledOf(first);
  instance.send([RETURN, first.callId, null, 'too late']);

  const unwanted = caller.nextId();
  caller.send([CALL, unwanted, 'math', 'slow', null, 2]);
  const second = await invoke(instance, 2);
  caller.send([CANCEL, 0, 'math', unwanted]);
  t.match(await lastAnswer(caller, unwanted), [ERROR, unwanted, CANCELLED]);
  await cancelledOf(second);

  caller.send([CALL, caller.nextId(), 'math', 'slow', null, 3]);
  const third = await invoke(instance, 3);
  caller.destroy();
  await cancelledOf(third);
  await instance.ask(PING);
  t.same(
    instance.messages.filter(([type]) => type === ERROR),
    [],
  );
});

t.test('a stream goes as far as its caller has room', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const instance = await RawClient.open(t, relay.port);
  const caller = await RawClient.open(t, relay.port);
  await instance.ask(REGISTER, 'math', PLAIN);
  const id = caller.nextId();
  caller.send([CALL, id, 'math', 'slow', { window: 3 }, null]);
  const { callId, options } = await invoke(instance);
  t.match(options, { window: 3 });
  instance.send(...range(1, 3).map((part) => [RETURN, callId, { more: true }, part]));
  await caller.find((message) => message[0] === RESULT && message[3] === 3);
  caller.send([CREDIT, 0, 'math', id, 2]);
  await instance.find(([type]) => type === CREDITED);
  instance.send([RETURN, callId, { more: true }, 4], [RETURN, callId, { more: true }, 5], [RETURN, callId, null, 6]);
  await lastAnswer(caller, id);
  t.same(
    caller.messages.filter(([type]) => type === RESULT),
    range(1, 6).map((part) => [RESULT, id, part < 6, part]),
  );
});

t.test('a lease that is not renewed ends', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const instance = await RawClient.open(t, relay.port);
  const caller = await RawClient.open(t, relay.port);
  t.match(await instance.ask(REGISTER, 'math', { ...PLAIN, heartbeatMs: 100 }), { leaseMs: 300 });
  t.match(await instance.ask(HEARTBEAT, 'math', { health: 'degraded', load: 0.5 }), { leaseMs: 300 });
  await caller.ask(SUBSCRIBE, '$service.math', { last: 10 });
  await caller.find((message) => message[0] === MESSAGE && message[5].kind === 'expired');
  t.match(await caller.request(SERVICES, 'math', null), [OK, Number, { services: [] }]);
  t.match(await instance.request(HEARTBEAT, 'math', null), [ERROR, Number, 103]);
});

t.test('a lane dies: its calls are answered LANE_RESTARTED, its registrations survive', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, { lanes: 2, retryAfterMs: 10, laneStallMs: 20_000 });
  const doomed = topicOnLane(1, 2, 'doomed');
  const spared = topicOnLane(0, 2, 'spared');
  const instance = await RawClient.open(t, relay.port, { client: 'instance' });
  const caller = await RawClient.open(t, relay.port, { client: 'caller' });
  const { instance: id } = await instance.ask(REGISTER, doomed, PLAIN);
  await instance.ask(REGISTER, spared, PLAIN);
  await instance.ask(REGISTER, topicOnLane(1, 2, 'gone'), PLAIN);
  await instance.ask(DEREGISTER, topicOnLane(1, 2, 'gone'));
  await caller.ask(SUBSCRIBE, `$service.${doomed}`, null);
  const [onDoomed, onSpared] = [caller.nextId(), caller.nextId()];
  caller.send([CALL, onDoomed, doomed, 'slow', null, 1], [CALL, onSpared, spared, 'slow', null, 2]);
  await invoke(instance, 2);
  const old = invokesOf(instance).find(({ payload }) => payload === 1) as Invoked;

  faults.arm(1, 'throw');
  caller.send(...range(1, 300).map((number) => [PUBLISH, 0, topicOnLane(1, 2, 'burst'), null, number]));
  await relay.program.stderr.find(/lane replaced/);
  t.match(await lastAnswer(caller, onDoomed), [ERROR, onDoomed, LANE_RESTARTED, String, { retryAfterMs: 10 }]);

  const again = await caller.find((message) => message[0] === MESSAGE && message[5].afterRestart === true);
  t.match(again[5], { kind: 'registered', instance: id, client: 'instance' }, 'the same instance, without a word of its own');
  t.match(
    (await caller.ask(SERVICES, '>', null)).services.map(({ service }: { service: string }) => service).sort(),
    [doomed, spared].sort(),
  );
  instance.send([RETURN, old.callId, null, 'late']);
  const next = caller.nextId();
  caller.send([CALL, next, doomed, 'slow', null, 3]);
  const invoked = await invoke(instance, 3);
  t.ok(invoked.callId > 2 ** 32, 'numbers of another life');
  instance.send([RETURN, invoked.callId, null, 'done']);
  t.same(await lastAnswer(caller, next), [RESULT, next, false, 'done']);
  const kept = invokesOf(instance).find(({ payload }) => payload === 2) as Invoked;
  instance.send([RETURN, kept.callId, null, 'kept']);
  t.same(await lastAnswer(caller, onSpared), [RESULT, onSpared, false, 'kept'], 'the other lane has not noticed');
  t.equal(caller.messages.filter(([type, other]) => (type === RESULT || type === ERROR) && other === onDoomed).length, 1);

  await instance.ask(DEREGISTER, doomed);
  t.match(await caller.request(CALL, doomed, 'slow', null, 4), [ERROR, Number, NO_RESPONDERS]);
});
