/** Which instance gets a call: what each strategy promises, held against many calls. */
import t from 'tap';
import type { BalanceStrategy } from '../../../../src/lane/services/service-config.ts';
import { CALLER, ServiceRig } from './service-rig.ts';

function rigOf(balance: BalanceStrategy, registrations: readonly object[]): ServiceRig {
  const rig = new ServiceRig({ rules: [{ match: '>', balance }] });
  registrations.forEach((registration, index) => void rig.register(index + 1, registration));
  return rig;
}

/** The sessions that got `count` calls, each answered before the next. */
function answered(rig: ServiceRig, count: number, options: object | null = null, session = CALLER): number[] {
  return Array.from({ length: count }, () => {
    rig.call(options, { session });
    rig.answer();
    return rig.lastInvoke.session;
  });
}

function shares(sessions: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const session of sessions) counts[session] = (counts[session] ?? 0) + 1;
  return counts;
}

t.test('leastInFlight: who has the fewest, and where they are equal who was chosen longest ago', async (t) => {
  const rig = rigOf('leastInFlight', [{}, {}, {}]);
  t.same(shares(answered(rig, 30)), { 1: 10, 2: 10, 3: 10 }, 'idle ones share');
  const busy = [rig.call(), rig.call(), rig.call()].map((_, index) => rig.invokes.at(index - 3)!);
  t.equal(new Set(busy.map(({ session }) => session)).size, 3);
  rig.answer('x', null, busy[1]);
  rig.call();
  t.equal(rig.lastInvoke.session, busy[1]?.session, 'the one that is free');
});

t.test('leastInFlight is the default', async (t) => {
  const rig = new ServiceRig();
  rig.register(1);
  rig.register(2);
  rig.call();
  const first = rig.lastInvoke.session;
  for (let round = 0; round < 3; round++) {
    rig.call();
    t.not(rig.lastInvoke.session, first);
    rig.answer();
  }
});

t.test('roundRobin: in turn, whoever is busy', async (t) => {
  const rig = rigOf('roundRobin', [{}, {}, {}]);
  const sessions = Array.from({ length: 9 }, () => {
    rig.call();
    if (rig.lastInvoke.session === 2) rig.answer();
    return rig.lastInvoke.session;
  });
  t.same(sessions, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
  rig.close(2);
  t.same(answered(rig, 4), [1, 3, 1, 3], 'and goes on where one has left');
});

t.test('random: about even, and the same with the same seed', async (t) => {
  const runs = [1, 2].map(() => answered(rigOf('random', [{}, {}, {}]), 900));
  t.same(runs[0], runs[1]);
  for (const share of Object.values(shares(runs[0] as number[]))) t.ok(share > 240 && share < 360, String(share));
});

t.test('weighted: by weight, and smoothly', async (t) => {
  const rig = rigOf('weighted', [{ weight: 5 }, { weight: 1 }, { weight: 1 }]);
  t.same(answered(rig, 7), [1, 1, 2, 1, 3, 1, 1]);
  t.same(shares(answered(rig, 70)), { 1: 50, 2: 10, 3: 10 });
});

t.test('sticky: a caller stays with its instance, and callers are spread', async (t) => {
  const rig = rigOf('sticky', [{}, {}, {}, {}]);
  const homes = Array.from({ length: 200 }, (_, index) => {
    const sessions = answered(rig, 3, null, 1_000 + index);
    t.equal(new Set(sessions).size, 1);
    return sessions[0] as number;
  });
  for (const share of Object.values(shares(homes))) t.ok(share > 25 && share < 80, String(share));
  t.equal(Object.keys(shares(homes)).length, 4);
});

for (const { balance, key } of [
  { balance: 'consistentHash', key: 'by strategy' },
  { balance: 'random', key: 'whatever the strategy' },
] as const) {
  t.test(
    `consistent hash ${key}: when an instance leaves only its own keys move, and when one comes it takes only what it gets`,
    async (t) => {
      const rig = rigOf(balance, [{}, {}, {}, {}]);
      const keys = Array.from({ length: 300 }, (_, index) => `user-${index}`);
      const homes = (): number[] => keys.map((hashKey) => answered(rig, 1, { hashKey })[0] as number);
      const before = homes();
      t.same(homes(), before, 'the same key, the same instance');
      for (const share of Object.values(shares(before))) t.ok(share > 45 && share < 110, String(share));
      rig.close(2);
      const without = homes();
      before.forEach((home, index) => {
        if (home !== 2) t.equal(without[index], home);
        else t.not(without[index], 2);
      });
      rig.register(9);
      const withNew = homes();
      without.forEach((home, index) => {
        if (withNew[index] !== 9) t.equal(withNew[index], home);
      });
      const gained = withNew.filter((home) => home === 9).length;
      t.ok(gained > 40 && gained < 120, String(gained));
    },
  );
}

t.test('consistentHash without a key goes to the least busy', async (t) => {
  t.same(shares(answered(rigOf('consistentHash', [{}, {}]), 10)), { 1: 5, 2: 5 });
});

t.test('where the instance of a key has no room the next one takes it, always the same', async (t) => {
  const rig = rigOf(
    'consistentHash',
    [{ capacity: 1 }, { capacity: 5 }, { capacity: 5 }].map((one) => ({ ...one })),
  );
  const hashKey = Array.from({ length: 50 }, (_, index) => `k${index}`).find(
    (candidate) => answered(rig, 1, { hashKey: candidate })[0] === 1,
  );
  rig.call({ hashKey });
  const sessions = [1, 2, 3].map(() => {
    rig.call({ hashKey });
    return rig.lastInvoke.session;
  });
  t.equal(new Set(sessions).size, 1);
  t.not(sessions[0], 1);
});

for (const balance of ['leastInFlight', 'roundRobin', 'random', 'weighted', 'sticky', 'consistentHash'] as const) {
  t.test(`${balance}: capacity is kept`, async (t) => {
    const rig = rigOf(balance, [{ capacity: 2, weight: 9 }, { capacity: 3 }]);
    for (let round = 0; round < 8; round++) rig.call({ hashKey: 'k' });
    t.same(shares(rig.invokes.map(({ session }) => session)), { 1: 2, 2: 3 });
    t.match(rig.services()[0], { inFlight: 5, waiting: 3 });
  });

  t.test(`${balance}: degraded ones only where no other can, failing ones never`, async (t) => {
    const rig = rigOf(balance, [{}, { capacity: 1 }, {}]);
    rig.say(1, [16, 0, 'math', { health: 'degraded' }]);
    rig.say(3, [16, 0, 'math', { health: 'failing' }]);
    rig.call();
    t.equal(rig.lastInvoke.session, 2);
    rig.call();
    t.equal(rig.lastInvoke.session, 1, 'the healthy one is full');
    rig.say(3, [16, 0, 'math', { health: 'ok' }]);
    rig.call();
    t.equal(rig.lastInvoke.session, 3);
  });
}
