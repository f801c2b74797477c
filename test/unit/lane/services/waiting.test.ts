/** Waiting for an instance with room: first in, first out, bounded in number and time. */
import t from 'tap';
import { CALLER, ServiceRig } from './service-rig.ts';

const OVERLOADED = 106;
const NO_RESPONDERS = 109;

/** One instance with room for one, which is taken. */
function fullRig(options: ConstructorParameters<typeof ServiceRig>[0] = {}): ServiceRig {
  const rig = new ServiceRig(options);
  rig.register(1, { capacity: 1 });
  rig.call();
  return rig;
}

t.test('the first that waits is the first that is served', async (t) => {
  const rig = fullRig();
  for (const payload of ['a', 'b', 'c']) rig.call(null, { payload });
  t.match(rig.services()[0], { inFlight: 1, waiting: 3 });
  t.equal(rig.invokes.length, 1);
  for (const payload of ['a', 'b', 'c']) {
    rig.answer();
    t.equal(rig.lastInvoke.payload, payload);
  }
  t.match(rig.services()[0], { inFlight: 1, waiting: 0 });
});

t.test('the answer to the one goes out before the next is given', async (t) => {
  const rig = fullRig();
  rig.call();
  t.match(rig.answer(), [{ session: CALLER }, { session: 1, message: [36] }]);
});

t.test('a call that waits in vain: OVERLOADED, and when to come back', async (t) => {
  const rig = fullRig({ rules: [{ match: '>', waitMs: 300 }], services: { retryAfterMs: 40 } });
  const id = rig.call();
  rig.wait(299);
  t.same(rig.answers(id), []);
  rig.wait(1);
  t.match(rig.answers(id), [
    [33, id, OVERLOADED, /no instance had room in time/, { service: 'math', waitedMs: 300, retryAfterMs: 40 }],
  ]);
  t.equal(rig.doneCount(id), 1);
  t.equal(rig.metric('callsOverloaded'), 1);
  rig.answer();
  t.equal(rig.invokes.length, 1, 'and it is not done later');
});

for (const { name, waitMs, options, wantMs } of [
  { name: 'less than the rule’s', waitMs: 300, options: { wait: 100 }, wantMs: 100 },
  { name: 'more than the rule’s is the rule’s', waitMs: 300, options: { wait: 5_000 }, wantMs: 300 },
  { name: 'never past the deadline', waitMs: 300, options: { deadlineMs: 200 }, wantMs: 200 },
]) {
  t.test(`how long it waits: ${name}`, async (t) => {
    const rig = fullRig({ rules: [{ match: '>', waitMs }] });
    const id = rig.call(options);
    rig.wait(wantMs - 1);
    t.same(rig.answers(id), []);
    rig.wait(1);
    t.match(rig.answers(id), [[33, id, OVERLOADED]]);
  });
}

for (const { name, rules, options } of [
  { name: 'the caller does not want to wait', rules: [], options: { wait: 0 } },
  { name: 'the rule lets nobody wait', rules: [{ match: '>', waitMs: 0 }], options: null },
  { name: 'nobody may wait', rules: [{ match: '>', waitingMax: 0 }], options: null },
]) {
  t.test(`OVERLOADED at once where ${name}`, async (t) => {
    const rig = fullRig({ rules });
    const id = rig.call(options);
    t.match(rig.answers(id), [[33, id, OVERLOADED, /no instance has room/]]);
    t.equal(rig.doneCount(id), 1);
  });
}

t.test('no more than waitingMax wait', async (t) => {
  const rig = fullRig({ rules: [{ match: '>', waitingMax: 2 }] });
  const ids = [1, 2, 3].map(() => rig.call());
  t.match(rig.answers(ids[2] as number), [[33, Number, OVERLOADED, /waiting=2, waitingMax=2/]]);
  t.same(rig.answers(ids[1] as number), []);
});

t.test('no more than callsMax calls in a lane, whatever their service', async (t) => {
  const rig = fullRig({ services: { callsMax: 2 } });
  rig.register(2, {}, 'other');
  rig.call();
  const id = rig.call(null, { service: 'other' });
  t.match(rig.answers(id), [[33, id, OVERLOADED, /callsMax=2/]]);
  t.equal(rig.metric('callsRefused'), 1);
  rig.answer();
  rig.answer();
  rig.call(null, { service: 'other' });
  t.equal(rig.lastInvoke.session, 2);
});

for (const { name, act } of [
  { name: 'a new instance', act: (rig: ServiceRig) => rig.register(2) },
  { name: 'more capacity', act: (rig: ServiceRig) => rig.register(1, { capacity: 2 }) },
  { name: 'another that is well again', act: (rig: ServiceRig) => rig.say(3, [16, 0, 'math', { health: 'ok' }]) },
]) {
  t.test(`served as soon as there is ${name}`, async (t) => {
    const rig = new ServiceRig();
    rig.register(3);
    rig.say(3, [16, 0, 'math', { health: 'failing' }]);
    rig.register(1, { capacity: 1 });
    rig.call();
    rig.call(null, { payload: 'waits' });
    t.equal(rig.invokes.length, 1);
    act(rig);
    t.equal(rig.lastInvoke.payload, 'waits');
  });
}

t.test('where all are failing a call waits, and none of them gets it', async (t) => {
  const rig = new ServiceRig();
  rig.register(1);
  rig.say(1, [16, 0, 'math', { health: 'failing' }]);
  const id = rig.call();
  rig.wait(1_000);
  t.match(rig.answers(id), [[33, id, OVERLOADED]]);
  t.equal(rig.invokes.length, 0);
});

t.test('who waits for something else does not stand in the way', async (t) => {
  const rig = new ServiceRig();
  rig.register(1, { capacity: 1, version: '1.0.0' });
  rig.register(2, { capacity: 1, version: '2.0.0' });
  rig.call({ version: '1' });
  rig.call({ version: '2' });
  const second = rig.lastInvoke;
  rig.call({ version: '1' }, { payload: 'for the first' });
  rig.call({ version: '2' }, { payload: 'for the second' });
  rig.answer('x', null, second);
  t.match(rig.lastInvoke, { session: 2, payload: 'for the second' });
});

for (const { name, act } of [
  { name: 'deregisters', act: (rig: ServiceRig) => rig.say(1, [9, 0, 'math']) },
  { name: 'leaves', act: (rig: ServiceRig) => rig.close(1) },
  { name: 'offers something else from now on', act: (rig: ServiceRig) => rig.register(1, { methods: ['mul'] }) },
]) {
  t.test(`when the last one that offers it ${name}, who waits is told at once`, async (t) => {
    const rig = fullRig();
    const id = rig.call();
    act(rig);
    t.match(rig.answers(id), [[33, id, NO_RESPONDERS]]);
    t.equal(rig.doneCount(id), 1);
    t.equal(rig.metric('callsWaiting'), 0);
  });
}
