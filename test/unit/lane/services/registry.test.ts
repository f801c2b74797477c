/** Who serves what: registrations, leases, what the service's topic and SERVICES say. */
import t from 'tap';
import { messagesTo, ServiceRig } from './service-rig.ts';

t.test('REGISTER is answered with the instance and its lease', async (t) => {
  const rig = new ServiceRig({ services: { connectionLeaseMs: 45_000 } });
  t.match(rig.say(1, [8, 7, 'math', { version: '1.0.0', methods: ['add'] }]), [
    { kind: 'registered', session: 1, sub: 1 },
    { kind: 'fanout' },
    { session: 1, message: [32, 7, { instance: String, leaseMs: 45_000 }] },
  ]);
  t.match(rig.say(2, [8, 7, 'math', { version: '1.0.0', methods: ['add'], heartbeatMs: 500 }]).at(-1), {
    message: [32, 7, { leaseMs: 1_500 }],
  });
});

t.test('two sessions of one name, or one service in two versions: two instances', async (t) => {
  const rig = new ServiceRig();
  rig.lane.open(1, 'twin');
  rig.lane.open(2, 'twin');
  const ids = [rig.register(1), rig.register(2, { version: '2.0.0' })];
  t.not(ids[0], ids[1]);
  rig.say(1, [9, 0, 'math']);
  t.match(rig.services(), [{ instances: 1, versions: ['2.0.0'], list: [{ instance: ids[1], client: 'twin' }] }]);
  rig.call();
  t.equal(rig.lastInvoke.session, 2);
});

t.test('REGISTER again takes the place of what the session registered before', async (t) => {
  const rig = new ServiceRig();
  const instance = rig.register(1, { capacity: 1 });
  const id = rig.call();
  t.equal(rig.register(1, { version: '1.1.0', methods: ['mul'], capacity: 3 }), instance);
  t.match(rig.services(), [
    { instances: 1, methods: ['mul'], versions: ['1.1.0'], inFlight: 1, list: [{ capacity: 3, inFlight: 1 }] },
  ]);
  rig.answer();
  t.match(rig.answers(id), [[37, id, false]], 'what was in flight is not lost');
  t.match(
    rig.events.map(({ kind, version }) => [kind, version]),
    [
      ['registered', '1.0.0'],
      ['updated', '1.1.0'],
    ],
  );
});

t.test('a session may serve several services', async (t) => {
  const rig = new ServiceRig();
  rig.register(1);
  rig.register(1, {}, 'other');
  t.same(
    rig
      .services('>', null)
      .map(({ service }) => service)
      .sort(),
    ['math', 'other'],
  );
  rig.say(1, [9, 0, 'math']);
  t.same(
    rig.services('>', null).map(({ service }) => service),
    ['other'],
  );
});

t.test('no more than instancesMax in a lane', async (t) => {
  const rig = new ServiceRig({ services: { instancesMax: 2 } });
  rig.register(1);
  rig.register(2);
  t.match(rig.say(3, [8, 7, 'math', { version: '1.0.0', methods: ['a'] }]), [{ message: [33, 7, 104, /instancesMax=2/] }]);
  t.equal(rig.metric('instancesRefused'), 1);
  rig.register(1, { version: '1.0.1' });
  rig.close(2);
  rig.register(3);
});

t.test('services without end cannot make topics without end', async (t) => {
  const rig = new ServiceRig({ lane: { topicsMax: 3 } });
  for (const name of ['a', 'b', 'c']) {
    rig.register(1, {}, name);
    rig.say(1, [9, 0, name]);
  }
  t.match(rig.say(1, [8, 7, 'd', { version: '1.0.0', methods: ['a'] }]), [{ message: [33, 7, 104, /topicsMax=3/] }]);
  rig.register(1, {}, 'a');
});

for (const { name, service, options = {}, code, text } of [
  { name: 'a name of 16 tokens', service: Array(16).fill('a').join('.'), code: 100, text: /its topic .* at most 16 tokens/ },
  {
    name: 'a name of 247 bytes',
    service: ['a'.repeat(60), 'b'.repeat(60), 'c'.repeat(60), 'd'.repeat(64)].join('.'),
    code: 100,
    text: /at most 255 bytes/,
  },
  {
    name: 'more than 8 KiB of methods',
    service: 'math',
    options: { methods: Array.from({ length: 256 }, (_, index) => `${index}`.padStart(40, 'm')) },
    code: 107,
    text: /registration is too large: .*bytesMax=8192/,
  },
] as { name: string; service: string; options?: object; code: number; text: RegExp }[]) {
  t.test(`REGISTER refuses ${name}, and nothing is left of it`, async (t) => {
    const rig = new ServiceRig();
    t.match(messagesTo(rig.say(1, [8, 7, service, { version: '1.0.0', methods: ['a'], ...options }]), 1), [[33, 7, code, text]]);
    t.same(rig.services(), []);
    t.equal(rig.metric('instances'), 0);
  });
}

// ---- leases

t.test('an instance that promised heartbeats is gone after three that did not come', async (t) => {
  const rig = new ServiceRig();
  const instance = rig.register(1, { heartbeatMs: 1_000 });
  rig.wait(2_900);
  t.match(rig.say(1, [16, 7, 'math', null]), [{ message: [32, 7, { leaseMs: 3_000 }] }]);
  rig.wait(2_999);
  t.equal(rig.services().length, 1, 'counted from the last one');
  const outs = rig.wait(1);
  t.match(outs, [
    { kind: 'unregistered', session: 1, sub: 1 },
    { kind: 'fanout', message: [34, 5, '$service.math', Number, null, { kind: 'expired', instance, leaseMs: 3_000 }] },
  ]);
  t.same(rig.services(), []);
  t.match(rig.say(1, [16, 7, 'math', null]), [{ message: [33, 7, 103, /not registered/] }], 'it must register again');
  t.not(rig.register(1, { heartbeatMs: 1_000 }), instance);
  t.equal(rig.metric('instancesExpired'), 1);
});

t.test('one that promised none lives with its connection', async (t) => {
  const rig = new ServiceRig();
  rig.register(1);
  rig.wait(10_000_000);
  t.equal(rig.services().length, 1);
  t.match(rig.close(1), [{ message: [34, 5, '$service.math', Number, null, { kind: 'lost' }] }]);
  t.same(rig.services(), []);
});

t.test('a new registration may shorten, lengthen or end the lease', async (t) => {
  for (const { heartbeatMs, aliveMs } of [
    { heartbeatMs: 100, aliveMs: 299 },
    { heartbeatMs: 5_000, aliveMs: 14_999 },
  ]) {
    const rig = new ServiceRig();
    rig.register(1, { heartbeatMs: 1_000 });
    rig.register(1, { heartbeatMs });
    rig.wait(aliveMs);
    t.equal(rig.services().length, 1);
    rig.wait(1);
    t.equal(rig.services().length, 0);
  }
  const rig = new ServiceRig();
  rig.register(1, { heartbeatMs: 1_000 });
  rig.register(1);
  rig.wait(60_000);
  t.equal(rig.services().length, 1);
});

t.test('a heartbeat tells load and health; health is published when it changes', async (t) => {
  const rig = new ServiceRig();
  const instance = rig.register(1);
  for (const options of [{ load: 0.5 }, { health: 'degraded', load: 0.9 }, { health: 'degraded' }, null, { health: 'ok' }])
    rig.say(1, [16, 7, 'math', options]);
  t.match(rig.services(), [{ ok: 1, degraded: 0, failing: 0, list: [{ load: 0.9, health: 'ok' }] }]);
  t.match(rig.events.slice(1), [
    { kind: 'health', instance, health: 'degraded', load: 0.9 },
    { kind: 'health', instance, health: 'ok' },
  ]);
  t.equal(rig.outs.filter(({ kind }) => kind === 'registered').length, 3, 'a new lane would know it too');
});

// ---- what is told

t.test('the topic of a service tells its story, in a form that does not vary, and can be read later', async (t) => {
  const rig = new ServiceRig();
  const instance = rig.register(1, { metadata: { zone: 'a' } });
  rig.say(1, [16, 0, 'math', { health: 'failing' }]);
  rig.say(1, [9, 0, 'math']);
  const { messages } = rig.lane.ask(7, [10, 5, '$service.math', null]);
  const atMs = 1_700_000_000_000;
  t.same(
    messages.map(([, , payload]: [number, null, object]) => Object.entries(payload)),
    [
      {
        kind: 'registered',
        instance,
        atMs,
        client: 'client-1',
        version: '1.0.0',
        methods: ['add'],
        capacity: 64,
        weight: 1,
        metadata: { zone: 'a' },
      },
      { kind: 'health', instance, atMs, health: 'failing', load: null },
      { kind: 'deregistered', instance, atMs },
    ].map(Object.entries),
  );
});

t.test('SERVICES: figures of the service and of each instance', async (t) => {
  const rig = new ServiceRig();
  const instance = rig.register(1, { methods: ['b', 'a'], version: '1.2.0', metadata: { zone: 'a' }, weight: 2, capacity: 9 });
  rig.register(2, { version: '1.10.0', methods: ['a'] });
  for (const ms of [10, 20, 30, 40]) {
    rig.call({ version: '1.2.0' }, { method: 'b' });
    rig.wait(ms);
    rig.answer(null, ms === 40 ? { error: { code: 1 } } : null);
  }
  rig.call({ version: '1.2.0' }, { method: 'b' });
  const figures = { calls: 5, errors: 1, inFlight: 1, p50Ms: 20, p99Ms: 41 };
  t.same(rig.services('math')[0], {
    service: 'math',
    instances: 2,
    methods: ['a', 'b'],
    versions: ['1.2.0', '1.10.0'],
    ok: 2,
    degraded: 0,
    failing: 0,
    waiting: 0,
    ...figures,
    list: [
      {
        instance,
        client: 'client-1',
        version: '1.2.0',
        methods: ['b', 'a'],
        capacity: 9,
        weight: 2,
        metadata: { zone: 'a' },
        health: 'ok',
        load: null,
        ...figures,
        breaker: 'closed',
        ejected: false,
        sinceMs: 1_700_000_000_000,
      },
      {
        instance: rig.services('math')[0].list[1].instance,
        client: 'client-2',
        version: '1.10.0',
        methods: ['a'],
        capacity: 64,
        weight: 1,
        metadata: {},
        health: 'ok',
        load: null,
        calls: 0,
        errors: 0,
        inFlight: 0,
        p50Ms: 0,
        p99Ms: 0,
        breaker: 'closed',
        ejected: false,
        sinceMs: 1_700_000_000_000,
      },
    ],
  });
  t.notOk('list' in rig.services('math', null)[0]);
});

for (const { pattern, want } of [
  { pattern: '>', want: ['a.x', 'a.y', 'b'] },
  { pattern: 'a.*', want: ['a.x', 'a.y'] },
  { pattern: 'b', want: ['b'] },
  { pattern: 'c', want: [] },
]) {
  t.test(`SERVICES ${pattern}`, async (t) => {
    const rig = new ServiceRig();
    for (const name of ['a.x', 'b', 'a.y']) rig.register(1, {}, name);
    t.same(
      rig
        .services(pattern, null)
        .map(({ service }) => service)
        .sort(),
      want,
    );
  });
}

t.test('a report of more than a reply holds is cut, and says so', async (t) => {
  const rig = new ServiceRig();
  const methods = Array.from({ length: 100 }, (_, index) => `${index}`.padStart(60, 'm'));
  for (let session = 1; session <= 60; session++) rig.register(session, { methods });
  const [service] = rig.services();
  t.equal(service.instances, 60);
  t.ok(service.list.length > 30 && service.list.length < 60, String(service.list.length));
});

t.test('gauges say what there is', async (t) => {
  const rig = new ServiceRig();
  rig.register(1, { capacity: 1 });
  rig.register(1, {}, 'other');
  rig.call();
  rig.call();
  t.same(
    (['services', 'instances', 'callsInFlight', 'callsWaiting', 'calls'] as const).map((name) => rig.metric(name)),
    [2, 2, 1, 1, 2],
  );
});
