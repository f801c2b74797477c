/** Outliers: who does much worse than the others is left out for a while, and never too many at once. */
import t from 'tap';
import { ejectedMax, findOutliers } from '../../../../src/lane/services/outliers.ts';
import { DEFAULT_OUTLIER, type OutlierConfig } from '../../../../src/lane/services/service-config.ts';
import { ServiceRig } from './service-rig.ts';

const sample = (errors: number, p50Ms: number, calls = 100) => ({ calls, errors, p50Ms });

for (const { name, samples, config = {}, want } of [
  { name: 'nobody where all are alike', samples: [sample(1, 60), sample(2, 61), sample(1, 59)], want: [] },
  { name: 'who has many errors', samples: [sample(1, 60), sample(30, 60), sample(1, 60)], want: [[1, 'errors']] },
  {
    name: 'who has errors where nobody else has any',
    samples: [sample(0, 60), sample(0, 60), sample(10, 60)],
    want: [[2, 'errors']],
  },
  { name: 'not for a few errors', samples: [sample(0, 60), sample(0, 60), sample(9, 60)], want: [] },
  { name: 'who is slow', samples: [sample(0, 300), sample(0, 60), sample(0, 70)], want: [[0, 'latency']] },
  { name: 'not for being slow in milliseconds', samples: [sample(0, 49), sample(0, 1), sample(0, 1)], want: [] },
  { name: 'not for three times as much, but for more', samples: [sample(0, 300), sample(0, 100), sample(0, 100)], want: [] },
  { name: 'nobody of two', samples: [sample(50, 60), sample(0, 60)], want: [] },
  { name: 'nobody where the third had too few calls', samples: [sample(50, 60), sample(0, 60), sample(0, 60, 19)], want: [] },
  { name: 'not who had too few calls', samples: [sample(19, 900, 19), sample(0, 60), sample(0, 60), sample(0, 60)], want: [] },
  {
    name: 'the worst first',
    samples: [sample(20, 60), sample(0, 60), sample(60, 60), sample(0, 60), sample(0, 60)],
    want: [
      [2, 'errors'],
      [0, 'errors'],
    ],
  },
  {
    name: 'by the factor of the rule',
    samples: [sample(0, 200), sample(0, 100), sample(0, 100)],
    config: { factor: 1.5 },
    want: [[0, 'latency']],
  },
] as { name: string; samples: ReturnType<typeof sample>[]; config?: Partial<OutlierConfig>; want: [number, string][] }[]) {
  t.test(`outliers: ${name}`, async (t) => {
    const found = findOutliers(samples, { ...DEFAULT_OUTLIER, ...config });
    t.same(
      found.map(({ index, reason }) => [index, reason]),
      want,
    );
  });
}

t.test('how many may be out: the percentage, and one at least', async (t) => {
  t.same(
    [3, 5, 6, 7, 100].map((count) => ejectedMax(count, DEFAULT_OUTLIER)),
    [1, 1, 1, 2, 33],
  );
  t.equal(ejectedMax(100, { ...DEFAULT_OUTLIER, maxEjectedPercent: 0 }), 0);
});

// ---- with calls

const RULE = {
  match: '>',
  balance: 'roundRobin' as const,
  breaker: false as const,
  outlier: { intervalMs: 1_000, volume: 5, ejectMs: 2_000, ejectMsMax: 3_000 },
};

/** Each of the instances gets `rounds` calls; one of them fails all of its. */
function round(rig: ServiceRig, rounds: number, bad: number): void {
  const { instances } = rig.services()[0];
  for (let call = 0; call < rounds * instances; call++) {
    rig.call();
    rig.answer(null, rig.lastInvoke.session === bad ? { error: { code: 'E' } } : null);
  }
}

t.test('an outlier is ejected, comes back, and is out for longer the next time', async (t) => {
  const rig = new ServiceRig({ rules: [RULE] });
  const [, instance] = [1, 2, 3, 4].map((session) => rig.register(session));
  round(rig, 5, 2);
  rig.wait(1_000);
  t.match(rig.events.at(-1), { kind: 'ejected', instance, reason: 'errors', value: 1, median: 0, ejectMs: 2_000 });
  t.same(
    rig.services()[0].list.map(({ ejected }: { ejected: boolean }) => ejected),
    [false, true, false, false],
  );
  t.equal(rig.metric('instancesEjected'), 1);
  for (let call = 0; call < 9; call++) {
    rig.call();
    t.not(rig.lastInvoke.session, 2);
    rig.answer();
  }
  rig.wait(1_999);
  t.not(rig.events.at(-1)?.['kind'], 'restored');
  rig.wait(1);
  t.match(rig.events.at(-1), { kind: 'restored', instance });
  round(rig, 5, 2);
  rig.wait(1_000);
  t.match(rig.events.at(-1), { kind: 'ejected', instance, ejectMs: 3_000 });
});

t.test('who waits is served by the one that comes back', async (t) => {
  const rig = new ServiceRig({ rules: [{ ...RULE, waitMs: 10_000 }] });
  for (const session of [1, 2, 3]) rig.register(session);
  round(rig, 5, 2);
  rig.wait(1_000);
  for (const session of [1, 3]) rig.close(session);
  rig.call(null, { payload: 'waits' });
  t.not(rig.lastInvoke.payload, 'waits');
  rig.wait(2_000);
  t.equal(rig.lastInvoke.payload, 'waits');
});

t.test('no more are out than the rule allows', async (t) => {
  const rig = new ServiceRig({ rules: [{ ...RULE, outlier: { ...RULE.outlier, maxEjectedPercent: 20, errorRateMin: 0 } }] });
  for (const session of [1, 2, 3, 4, 5, 6]) rig.register(session);
  for (let call = 0; call < 60; call++) {
    rig.call();
    rig.answer(null, rig.lastInvoke.session <= 2 ? { error: { code: 'E' } } : null);
  }
  rig.wait(1_000);
  t.equal(rig.services()[0].list.filter(({ ejected }: { ejected: boolean }) => ejected).length, 1);
});

t.test('a slow one is found by its median', async (t) => {
  const rig = new ServiceRig({ rules: [{ ...RULE, outlier: { ...RULE.outlier, intervalMs: 60_000 } }] });
  const ids = [1, 2, 3].map((session) => rig.register(session));
  for (let call = 0; call < 15; call++) {
    rig.call();
    rig.wait(rig.lastInvoke.session === 3 ? 900 : 100);
    rig.answer();
  }
  rig.wait(60_000);
  t.match(
    rig.events.find(({ kind }) => kind === 'ejected'),
    { instance: ids[2], reason: 'latency' },
  );
});

for (const { name, rule } of [
  { name: 'two instances', rule: RULE },
  { name: 'a rule that switches it off', rule: { ...RULE, outlier: false as const } },
]) {
  t.test(`with ${name} nobody is compared`, async (t) => {
    const rig = new ServiceRig({ rules: [rule] });
    for (const session of rule.outlier === false ? [1, 2, 3] : [1, 2]) rig.register(session);
    round(rig, 10, 1);
    rig.wait(60_000);
    t.notOk(rig.events.some(({ kind }) => kind === 'ejected'));
  });
}
