/** Circuit breakers: the state machine by itself, then what it does to an instance's calls. */
import t from 'tap';
import { Breaker, NO_PROBE } from '../../../../src/lane/services/breaker.ts';
import { type BreakerConfig, DEFAULT_BREAKER } from '../../../../src/lane/services/service-config.ts';
import { ServiceRig } from './service-rig.ts';

const NOW = 1_700_000_000_000;

function breakerWith(config: Partial<BreakerConfig> = {}): Breaker {
  return new Breaker({ ...DEFAULT_BREAKER, volume: 10, ...config });
}

/** Calls that end at once. */
function run(breaker: Breaker, count: number, outcome: 'ok' | 'error' | 'neutral', nowMs = NOW, durationMs = 1): boolean {
  let changed = false;
  for (let call = 0; call < count; call++) changed = breaker.end(breaker.begin(), outcome, durationMs, nowMs) || changed;
  return changed;
}

for (const { name, config = {}, acts, want } of [
  {
    name: 'half of enough calls failed',
    acts: [
      ['ok', 5],
      ['error', 5],
    ],
    want: 'open',
  },
  {
    name: 'less than half failed',
    acts: [
      ['ok', 6],
      ['error', 5],
    ],
    want: 'closed',
  },
  { name: 'all failed, but they were too few', acts: [['error', 9]], want: 'closed' },
  {
    name: 'what the caller gave up does not count',
    acts: [
      ['error', 9],
      ['neutral', 50],
    ],
    want: 'closed',
  },
  {
    name: 'a low rate is enough where the rule says so',
    config: { errorRate: 0.1 },
    acts: [
      ['ok', 9],
      ['error', 1],
    ],
    want: 'open',
  },
  {
    name: 'only all of them are enough where the rule says so',
    config: { errorRate: 1 },
    acts: [
      ['ok', 1],
      ['error', 30],
    ],
    want: 'closed',
  },
] as { name: string; config?: Partial<BreakerConfig>; acts: ['ok' | 'error' | 'neutral', number][]; want: string }[]) {
  t.test(`breaker: ${name}`, async (t) => {
    const breaker = breakerWith(config);
    for (const [outcome, count] of acts) run(breaker, count, outcome);
    t.equal(breaker.state, want);
    t.equal(breaker.allows, want === 'closed');
  });
}

t.test('slow calls open it only where the rule says what is slow', async (t) => {
  for (const { slowMs, slow, fast, want } of [
    { slowMs: 0, slow: 20, fast: 0, want: 'closed' },
    { slowMs: 100, slow: 8, fast: 2, want: 'open' },
    { slowMs: 100, slow: 7, fast: 3, want: 'closed' },
  ]) {
    const breaker = breakerWith({ slowMs });
    run(breaker, fast, 'ok', NOW, 100);
    run(breaker, slow, 'ok', NOW, 101);
    t.equal(breaker.state, want);
  }
});

t.test('what lies further back than the window is forgotten, step by step', async (t) => {
  const breaker = breakerWith();
  run(breaker, 9, 'error', NOW);
  run(breaker, 1, 'ok', NOW + 10_000);
  t.equal(breaker.state, 'closed', 'the errors are out of the window');
  run(breaker, 5, 'error', NOW + 12_000);
  run(breaker, 3, 'error', NOW + 15_000);
  t.equal(breaker.state, 'closed', 'nine in the window');
  run(breaker, 1, 'error', NOW + 15_000);
  t.equal(breaker.state, 'open');
  const rested = breakerWith();
  run(rested, 9, 'error', NOW);
  run(rested, 9, 'error', NOW + 3_600_000);
  t.equal(rested.state, 'closed');
});

t.test('a clock that steps back does no harm', async (t) => {
  const breaker = breakerWith();
  run(breaker, 5, 'error', NOW);
  run(breaker, 4, 'error', NOW - 60_000);
  t.equal(breaker.state, 'closed');
  run(breaker, 1, 'error', NOW - 60_000);
  t.equal(breaker.state, 'open');
});

t.test('half-open: as many probes as the rule says, and it closes when all of them succeed', async (t) => {
  const breaker = breakerWith();
  run(breaker, 10, 'error');
  t.equal(breaker.openUntilMs, NOW + 5_000);
  breaker.halfOpen();
  const probes = [1, 2, 3].map(() => {
    t.ok(breaker.allows);
    return breaker.begin();
  });
  t.notOk(breaker.allows, 'no more than three');
  t.notOk(probes.includes(NO_PROBE));
  t.notOk(breaker.end(probes[0] as number, 'ok', 1, NOW));
  t.notOk(breaker.allows, 'three in all, not three at a time');
  t.notOk(breaker.end(probes[1] as number, 'ok', 1, NOW));
  t.ok(breaker.end(probes[2] as number, 'ok', 1, NOW));
  t.equal(breaker.state, 'closed');
  run(breaker, 9, 'error');
  t.equal(breaker.state, 'closed', 'the window begins anew');
});

t.test('half-open: one failure opens it for twice as long, up to the bound; a success in between resets that', async (t) => {
  const breaker = breakerWith({ openMs: 1_000, openMsMax: 3_000 });
  run(breaker, 10, 'error');
  for (const openMs of [2_000, 3_000, 3_000]) {
    breaker.halfOpen();
    t.ok(run(breaker, 1, 'error'));
    t.equal(breaker.openUntilMs, NOW + openMs);
  }
  breaker.halfOpen();
  run(breaker, 3, 'ok');
  run(breaker, 10, 'error');
  t.equal(breaker.openUntilMs, NOW + 1_000);
});

t.test('half-open: a slow success is no success, and a probe that its caller gave up makes room for another', async (t) => {
  const slow = breakerWith({ slowMs: 10 });
  run(slow, 10, 'error');
  slow.halfOpen();
  slow.end(slow.begin(), 'ok', 11, NOW);
  t.equal(slow.state, 'open');
  const breaker = breakerWith();
  run(breaker, 10, 'error');
  breaker.halfOpen();
  run(breaker, 50, 'neutral');
  t.ok(breaker.allows);
  run(breaker, 3, 'ok');
  t.equal(breaker.state, 'closed');
});

t.test('calls of an earlier time do not speak for a later one', async (t) => {
  const breaker = breakerWith();
  const old = breaker.begin();
  run(breaker, 10, 'error');
  t.notOk(breaker.end(old, 'error', 1, NOW), 'open already');
  breaker.halfOpen();
  const first = breaker.begin();
  const second = breaker.begin();
  breaker.end(first, 'error', 1, NOW);
  breaker.halfOpen();
  t.notOk(breaker.end(second, 'error', 1, NOW), 'a probe of the time before');
  t.notOk(breaker.end(NO_PROBE, 'error', 1, NOW), 'begun before it opened');
  t.equal(breaker.state, 'halfOpen');
  run(breaker, 3, 'ok');
  t.equal(breaker.state, 'closed');
});

// ---- with calls

const RULE = { match: '>', breaker: { volume: 4, openMs: 1_000, probes: 2 }, waitMs: 5_000 };

function fail(rig: ServiceRig, count: number): void {
  for (let call = 0; call < count; call++) {
    rig.call();
    rig.answer(null, { error: { code: 'E' } });
  }
}

t.test('an instance that fails gets nothing while its breaker is open; who waits is served by its probes', async (t) => {
  const rig = new ServiceRig({ rules: [RULE] });
  const instance = rig.register(1);
  fail(rig, 4);
  t.match(rig.services()[0].list, [{ breaker: 'open', errors: 4 }]);
  t.match(rig.events.at(-1), { kind: 'breaker', instance, state: 'open', openMs: 1_000 });
  t.equal(rig.metric('breakersOpened'), 1);
  for (const payload of ['a', 'b', 'c']) rig.call(null, { payload });
  t.equal(rig.invokes.length, 4, 'they wait');
  rig.wait(999);
  t.equal(rig.invokes.length, 4);
  rig.wait(1);
  t.same(
    rig.invokes.slice(4).map(({ payload }) => payload),
    ['a', 'b'],
    'two probes',
  );
  t.match(rig.events.at(-1), { kind: 'breaker', state: 'halfOpen' });
  const [first, second] = rig.invokes.slice(4);
  rig.answer('x', null, first);
  t.equal(rig.invokes.length, 6);
  rig.answer('x', null, second);
  t.match(rig.events.at(-1), { kind: 'breaker', state: 'closed' });
  t.equal(rig.lastInvoke.payload, 'c');
});

t.test('the others take over, and a probe that fails opens it for twice as long', async (t) => {
  const rig = new ServiceRig({ rules: [RULE] });
  rig.register(1);
  fail(rig, 4);
  rig.register(2);
  rig.call();
  t.equal(rig.lastInvoke.session, 2);
  rig.wait(1_000);
  rig.call();
  t.equal(rig.lastInvoke.session, 1, 'a probe');
  rig.answer(null, { error: { code: 'E' } });
  t.match(rig.events.at(-1), { kind: 'breaker', state: 'open', openMs: 2_000 });
  rig.wait(1_999);
  for (let call = 0; call < 3; call++) {
    rig.call();
    t.equal(rig.lastInvoke.session, 2);
  }
});

for (const { name, spoil } of [
  { name: 'RETURN of an error', spoil: (rig: ServiceRig) => rig.answer(null, { error: { code: 1 } }) },
  { name: 'no answer in time', spoil: (rig: ServiceRig) => rig.wait(50) },
  {
    name: 'a flood',
    spoil: (rig: ServiceRig) => {
      rig.answer(1, { more: true });
      rig.answer(2, { more: true });
    },
  },
  { name: 'an answer that cannot be handed on', spoil: (rig: ServiceRig) => rig.answer(1, { more: 7 }) },
]) {
  t.test(`what counts against an instance: ${name}`, async (t) => {
    const rig = new ServiceRig({ rules: [RULE] });
    rig.register(1);
    for (let call = 0; call < 4; call++) {
      rig.call({ deadlineMs: 50, window: 1 });
      spoil(rig);
    }
    t.match(rig.services()[0].list, [{ breaker: 'open' }]);
  });
}

t.test('what does not: a caller that gives up, a caller that leaves', async (t) => {
  const rig = new ServiceRig({ rules: [RULE] });
  rig.register(1);
  for (let call = 0; call < 10; call++) rig.say(900, [6, 0, 'math', rig.call()]);
  for (let session = 100; session < 110; session++) {
    rig.call(null, { session });
    rig.close(session);
  }
  t.match(rig.services()[0].list, [{ breaker: 'closed', errors: 0 }]);
});

t.test('without a breaker a failing instance gets calls on and on', async (t) => {
  const rig = new ServiceRig({ rules: [{ match: '>', breaker: false }] });
  rig.register(1);
  fail(rig, 100);
  t.equal(rig.invokes.length, 100);
});

t.test('an instance that leaves while its breaker is open leaves no timer behind', async (t) => {
  const rig = new ServiceRig({ rules: [RULE] });
  rig.register(1);
  fail(rig, 4);
  rig.close(1);
  const told = rig.events.length;
  rig.wait(60_000);
  t.equal(rig.events.length, told);
});
