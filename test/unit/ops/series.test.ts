/** What the charts of the ops page draw. */
import t from 'tap';
import { POINTS_MAX, Series } from '../../../src/ops-page/series.ts';

t.test('a series keeps the last ten minutes, in seconds, with gaps', async (t) => {
  const series = new Series(2);
  for (let second = 1; second <= POINTS_MAX + 5; second++) series.add(second * 1_000, [second, second / 2]);
  t.equal(series.times.length, POINTS_MAX);
  t.equal(series.times[0], 6, 'the oldest are gone');
  series.gap((POINTS_MAX + 6) * 1_000);
  t.same(
    series.values.map((line) => line.slice(-2)),
    [
      [POINTS_MAX + 5, null],
      [(POINTS_MAX + 5) / 2, null],
    ],
  );
  series.clear();
  t.same([series.times, ...series.values], [[], [], []]);
});

t.test('a clock that was set back: what lies ahead of it is forgotten, so that time always rises', async (t) => {
  const series = new Series(1);
  for (const second of [10, 11, 12, 13]) series.add(second * 1_000, [second]);
  series.add(11_500, [99]);
  t.same(series.times, [10, 11, 11.5]);
  t.same(series.values, [[10, 11, 99]]);
});

t.test('a page that was hidden for a while draws no line across it', async (t) => {
  const series = new Series(1);
  for (const second of [10, 14, 60]) series.add(second * 1_000, [second]);
  t.same(series.times, [10, 14, 15, 60]);
  t.same(series.values, [[10, 14, null, 60]]);
});
