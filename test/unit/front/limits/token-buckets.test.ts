/** Token buckets: what they let through in any span of time, and that who waits gets in. */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { RETRY_LINE_MS_MAX, TokenBuckets } from '../../../../src/front/limits/token-buckets.ts';

const START_MS = 1_000_000;
/** Sums of floats. */
const HAIR = 1e-6;

for (let seed = 1; seed <= 40; seed++) {
  t.test(`never more than burst + rate * time, in any span (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed);
    const burst = prng.nextInt(1, 50);
    const perSecond = prng.pick([0.5, 3, 20, 1_000, 12_345.6]);
    const buckets = new TokenBuckets([{ perSecond, burst }]);
    const row = buckets.open(START_MS);
    const spent: { readonly atMs: number; readonly amount: number }[] = [];
    let nowMs = START_MS;
    for (let step = 0; step < 300; step++) {
      nowMs += prng.pick([0, 0, 0.125, 1, 7, 300, 5_000]);
      const amount = prng.nextInt(1, burst);
      if (buckets.waitMs(row, 0, amount, nowMs) > 0) continue;
      buckets.spend(row, 0, amount);
      spent.push({ atMs: nowMs, amount });
    }
    t.ok(spent.length > 0);
    for (let first = 0; first < spent.length; first++) {
      let sum = 0;
      for (let last = first; last < spent.length; last++) {
        sum += spent[last]!.amount;
        const seconds = (spent[last]!.atMs - spent[first]!.atMs) / 1_000;
        if (sum > burst + perSecond * seconds + HAIR) return t.fail(`${sum} within ${seconds} s`);
      }
    }
  });

  t.test(`who waits as long as he is told, and is alone, is let in (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed, 1);
    const burst = prng.nextInt(1, 50);
    const buckets = new TokenBuckets([{ perSecond: prng.pick([0.25, 3, 1_000]), burst }]);
    const row = buckets.open(START_MS);
    let nowMs = START_MS;
    for (let step = 0; step < 100; step++) {
      const amount = prng.nextInt(1, burst);
      const waitMs = buckets.waitMs(row, 0, amount, nowMs);
      if (waitMs > 0) {
        const retryAfterMs = buckets.retryAfterMs(row, 0, amount, nowMs);
        if (retryAfterMs < waitMs - HAIR) return t.fail(`told ${retryAfterMs}, needs ${waitMs}`);
        nowMs += retryAfterMs;
        if (buckets.waitMs(row, 0, amount, nowMs) > 0) return t.fail(`refused again after ${retryAfterMs} ms`);
      }
      buckets.spend(row, 0, amount);
      nowMs += prng.pick([0, 1, 50]);
    }
    t.pass();
  });
}

t.test('rows and columns do not touch each other, and a row that is opened again is full', async (t) => {
  const buckets = new TokenBuckets([
    { perSecond: 1, burst: 2 },
    { perSecond: 1, burst: 100 },
  ]);
  const rows = Array.from({ length: 200 }, () => buckets.open(START_MS));
  t.equal(buckets.count, 200);
  for (const row of rows) buckets.spend(row, 0, 2);
  for (const row of rows) t.equal(buckets.waitMs(row, 1, 100, START_MS), 0);
  t.equal(buckets.waitMs(rows[7]!, 0, 1, START_MS), 1_000);
  buckets.close(rows[7]!);
  t.equal(buckets.count, 199);
  t.equal(buckets.open(START_MS), rows[7], 'used again');
  t.equal(buckets.waitMs(rows[7]!, 0, 2, START_MS), 0);
  t.ok(buckets.waitMs(rows[8]!, 0, 1, START_MS) > 0);
});

t.test('those who are refused together are told to come one after the other, up to a bound', async (t) => {
  const buckets = new TokenBuckets([{ perSecond: 10, burst: 1 }]);
  const row = buckets.open(START_MS);
  buckets.spend(row, 0, 1);
  t.same(
    [1, 2, 3].map(() => buckets.retryAfterMs(row, 0, 1, START_MS)),
    [100, 200, 300],
  );
  for (let count = 0; count < 1_000; count++) buckets.retryAfterMs(row, 0, 1, START_MS);
  t.equal(buckets.retryAfterMs(row, 0, 1, START_MS), RETRY_LINE_MS_MAX);
  t.equal(buckets.retryAfterMs(row, 0, 1, START_MS + 60_000), 1, 'once their times are over, they are forgotten');
});

t.test('a limit slower than that bound tells the whole wait', async (t) => {
  const buckets = new TokenBuckets([{ perSecond: 0.01, burst: 1 }]);
  const row = buckets.open(START_MS);
  buckets.spend(row, 0, 1);
  t.equal(buckets.retryAfterMs(row, 0, 1, START_MS), 100_000);
});

t.test('on credit: a whole burst, and no further', async (t) => {
  const buckets = new TokenBuckets([{ perSecond: 1, burst: 3 }]);
  const row = buckets.open(START_MS);
  t.same(
    Array.from({ length: 8 }, () => buckets.overdraw(row, 0, 1, START_MS)),
    [true, true, true, true, true, true, false, false],
  );
  t.equal(buckets.waitMs(row, 0, 1, START_MS), 4_000, 'three seconds of debt and one for the token');
  t.equal(buckets.refillMs, 6_000);
});

t.test('an amount over the burst asks for a full bucket, and an old clock reading changes nothing', async (t) => {
  const buckets = new TokenBuckets([{ perSecond: 10, burst: 10 }]);
  const row = buckets.open(START_MS);
  t.equal(buckets.waitMs(row, 0, 1_000, START_MS), 0);
  buckets.spend(row, 0, 1_000);
  t.equal(buckets.waitMs(row, 0, 1_000, START_MS), 1_000);
  t.equal(buckets.waitMs(row, 0, 1, START_MS - 5_000), 100);
  t.equal(buckets.waitMs(row, 0, 1_000, START_MS + 1_000), 0);
});
