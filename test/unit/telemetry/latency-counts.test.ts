import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { withHistogram } from '../../../src/telemetry/hdr-export.ts';
import {
  BUCKET_COUNT,
  bucketEndUs,
  LATENCY_COUNTS_BYTES,
  LATENCY_US_MAX,
  LatencyCounts,
} from '../../../src/telemetry/latency-counts.ts';
import { LatencyWindows } from '../../../src/telemetry/latency-windows.ts';

t.test('every value falls into one bucket, at most 1/128 below its end', async (t) => {
  const prng = new Prng(5);
  const values = [0, 1, 127, 128, 255, 256, 257, 511, 512, 1_023, 1_024, 65_535, 65_536, LATENCY_US_MAX - 1, LATENCY_US_MAX];
  for (let index = 0; index < 5_000; index++) values.push(Math.floor(2 ** (prng.nextFloat() * 29)));
  for (const value of values) {
    const counts = new LatencyCounts();
    counts.record(value);
    const buckets = [...counts.buckets.entries()].filter(([, count]) => count > 0);
    const end = bucketEndUs(buckets[0]![0]);
    const isRight =
      buckets.length === 1 && end >= value && (end - value) * 128 <= Math.max(value, 1) && (value >= 256 || end === value);
    if (!isRight) t.fail(`value=${value} buckets=${JSON.stringify(buckets)} end=${end}`);
  }
  t.ok(bucketEndUs(BUCKET_COUNT - 1) >= LATENCY_US_MAX, 'the last bucket takes the largest value');
});

t.test('what is outside the range counts as its bound, fractions are cut off', async (t) => {
  const counts = new LatencyCounts();
  counts.record(-5);
  counts.record(0.9);
  counts.record(2.9);
  counts.record(1e15);
  t.same([counts.buckets[0], counts.buckets[2], counts.count], [2, 1, 4]);
  t.equal(counts.sumUs, 2 + LATENCY_US_MAX);
});

t.test('percentiles are those of the values, and those of an HDR histogram made of them', async (t) => {
  const counts = new LatencyCounts();
  for (let value = 1; value <= 10_000; value++) counts.record(value);
  const percentiles = [0, 1, 50, 95, 99, 99.9, 100];
  const found = counts.percentilesUs(percentiles);
  withHistogram(counts, (histogram) => {
    for (const [index, percentile] of percentiles.entries()) {
      const exact = Math.max(1, percentile * 100);
      const us = found[index] as number;
      t.ok(us >= exact && us <= exact * 1.008, `P${percentile}: ${us}`);
      t.ok(Math.abs(histogram.percentileUs(percentile) - us) <= us / 500, `P${percentile} by HDR`);
    }
  });
  t.same(new LatencyCounts().percentilesUs([50, 100]), [0, 0]);
});

t.test('cumulative counts are what Prometheus buckets want', async (t) => {
  const counts = new LatencyCounts();
  for (const value of [1, 10, 10, 100, 5_000, 70_000]) counts.record(value);
  t.same(counts.cumulative([0, 1, 10, 99, 100, 10_000, 1_000_000, Number.POSITIVE_INFINITY]), [0, 1, 3, 3, 4, 5, 6, 6]);
  t.equal(counts.sumUs, 75_121);
});

t.test('two objects over the same shared memory are one', async (t) => {
  const memory = new SharedArrayBuffer(2 * LATENCY_COUNTS_BYTES);
  const writer = new LatencyCounts(memory, LATENCY_COUNTS_BYTES);
  const reader = new LatencyCounts(memory, LATENCY_COUNTS_BYTES);
  writer.record(300, 7);
  t.same([reader.count, reader.sumUs], [7, 2_100]);
  t.equal(new LatencyCounts(memory).count, 0, 'its neighbour is another');
});

t.test('a window holds what was counted in it, and nothing older', async (t) => {
  const source = new LatencyCounts();
  const other = new LatencyCounts();
  const windows = new LatencyWindows([source, other]);
  const countsOf = (): number[] => (['start', '10s', '1m', '5m'] as const).map((name) => windows.counts(name).count);
  source.record(100, 3);
  other.record(100, 2);
  t.same(countsOf(), [5, 0, 0, 0], 'before the first turn only the sum since the start knows');
  windows.turn();
  t.same(countsOf(), [5, 5, 5, 5]);
  for (let second = 0; second < 9; second++) windows.turn();
  t.same(countsOf(), [5, 5, 5, 5]);
  windows.turn();
  t.same(countsOf(), [5, 0, 5, 5], 'after ten seconds without');
  for (let second = 0; second < 60; second++) windows.turn();
  t.same(countsOf(), [5, 0, 0, 5]);
  source.record(100);
  for (let second = 0; second < 300; second++) windows.turn();
  t.same(countsOf(), [6, 0, 0, 0]);
});
