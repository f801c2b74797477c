/** The histogram of calls: percentiles within a few percent, recent calls before old ones, any number without a throw. */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { CallLatency } from '../../../../src/lane/services/call-latency.ts';

t.test('nothing recorded', async (t) => {
  t.equal(new CallLatency().percentileMs(50), 0);
});

for (const value of [0, 1, 5, 7, 8, 15, 16, 17, 100, 999, 30_000, 600_000, 86_400_000]) {
  t.test(`${value} ms is read back within 7 %`, async (t) => {
    const latency = new CallLatency();
    latency.record(value);
    const read = latency.percentileMs(99);
    t.ok(Math.abs(read - value) <= value * 0.07, `${read}`);
    if (value < 16) t.equal(read, value);
  });
}

t.test('percentiles of many values', async (t) => {
  const prng = new Prng(7);
  const latency = new CallLatency();
  const values = Array.from({ length: 5_000 }, () => Math.floor(prng.nextFloat() ** 3 * 10_000));
  for (const value of values) latency.record(value);
  const sorted = values.sort((left, right) => left - right);
  for (const percentile of [10, 50, 90, 99]) {
    const exact = sorted[Math.ceil((sorted.length * percentile) / 100) - 1] as number;
    t.ok(Math.abs(latency.percentileMs(percentile) - exact) <= Math.max(1, exact * 0.07), `P${percentile}`);
  }
});

t.test('recent calls weigh more', async (t) => {
  const latency = new CallLatency();
  for (let call = 0; call < 20_000; call++) latency.record(10);
  for (let call = 0; call < 9_000; call++) latency.record(1_000);
  t.ok(latency.percentileMs(50) > 900);
  t.ok(latency.count < 8_192);
});

t.test('what no clock should say does no harm', async (t) => {
  const latency = new CallLatency();
  for (const value of [-5, 0.4, 1e12, Number.POSITIVE_INFINITY]) latency.record(value);
  t.equal(latency.count, 4);
  t.equal(latency.percentileMs(1), 0);
  latency.reset();
  t.equal(latency.percentileMs(99), 0);
});
