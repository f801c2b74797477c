import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { type Timer, Timers } from '../../../src/lane/timers.ts';

t.test('timers fire in the order of their times, and of being set where those are equal', async (t) => {
  const timers = new Timers();
  const fired: string[] = [];
  for (const [dueMs, name] of [
    [30, 'c'],
    [10, 'a'],
    [20, 'b1'],
    [20, 'b2'],
  ] as const) {
    timers.set(dueMs, () => fired.push(name));
  }
  t.equal(timers.nextDueMs, 10);
  timers.run(9);
  t.same(fired, []);
  timers.run(20);
  t.same(fired, ['a', 'b1', 'b2']);
  t.equal(timers.nextDueMs, 30);
  timers.run(1_000);
  t.same(fired, ['a', 'b1', 'b2', 'c']);
  t.equal(timers.nextDueMs, Number.POSITIVE_INFINITY);
});

t.test('a cancelled timer never fires, and cancelling again or too late does nothing', async (t) => {
  const timers = new Timers();
  const fired: number[] = [];
  const first = timers.set(1, () => fired.push(1));
  const second = timers.set(2, () => fired.push(2));
  timers.cancel(first);
  timers.cancel(first);
  timers.cancel(null);
  t.equal(timers.count, 1);
  timers.run(5);
  timers.cancel(second);
  t.same(fired, [2]);
  t.equal(timers.count, 0);
});

t.test('an action may set and cancel others: what is due by now fires in the same run', async (t) => {
  const timers = new Timers();
  const fired: string[] = [];
  const doomed = timers.set(2, () => fired.push('doomed'));
  timers.set(1, () => {
    fired.push('first');
    timers.cancel(doomed);
    timers.set(1, () => fired.push('at once'));
    timers.set(9, () => fired.push('later'));
  });
  timers.run(3);
  t.same(fired, ['first', 'at once']);
});

t.test('cancelled timers do not pile up', async (t) => {
  const timers = new Timers();
  for (let round = 0; round < 10_000; round++) timers.cancel(timers.set(1_000_000 + round, () => undefined));
  timers.set(5, () => undefined);
  t.equal(timers.count, 1);
  t.ok(timers.size < 200, `kept ${timers.size}`);
});

t.test('any order of setting and cancelling fires what a sorted list would', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const prng = new Prng(seed);
    const timers = new Timers();
    const fired: number[] = [];
    let expected: { dueMs: number; id: number; timer: Timer }[] = [];
    let nowMs = 0;
    for (let id = 0; id < 400; id++) {
      const dueMs = nowMs + prng.nextInt(0, 50);
      expected.push({ dueMs, id, timer: timers.set(dueMs, () => fired.push(id)) });
      if (prng.nextBoolean(0.4)) {
        const [gone] = expected.splice(prng.nextInt(0, expected.length - 1), 1);
        timers.cancel(gone?.timer ?? null);
      }
      if (prng.nextBoolean(0.2)) {
        nowMs += prng.nextInt(0, 30);
        const due = expected
          .filter((entry) => entry.dueMs <= nowMs)
          .sort((one, other) => one.dueMs - other.dueMs || one.id - other.id);
        expected = expected.filter((entry) => entry.dueMs > nowMs);
        fired.length = 0;
        timers.run(nowMs);
        if (JSON.stringify(fired) !== JSON.stringify(due.map(({ id }) => id))) t.fail(`SEED=${seed} now=${nowMs}`);
        if (timers.count !== expected.length) t.fail(`SEED=${seed} count=${timers.count}, expected ${expected.length}`);
      }
    }
  }
});
