/** What the benches make of their figures: pauses out of a trace, verdicts, curves, files, plots. */
import t from 'tap';
import { installedServers, PEERS, serverKind, splitServers } from '../../../bench/peers/kinds.ts';
import { GcPauses } from '../../../bench/support/gc-pauses.ts';
import { resultsText } from '../../../bench/support/results.ts';
import { smaller } from '../../../bench/support/scenarios.ts';
import { exitCodeOf, type SloFigures, verdicts } from '../../../bench/support/targets.ts';
import { percentilePlot } from '../../../scripts/report/percentile-plot.ts';
import { latencyCurve } from '../../../src/cli/bench/curve.ts';
import { LatencyHistogram } from '../../../src/telemetry/latency-histogram.ts';

const GOOD: SloFigures = {
  connections: 10_000,
  p95Ms: 0.6,
  p99Ms: 0.9,
  deliveriesPerSecond: 10_000,
  peakDeliveriesPerSecond: 118_000,
  rssPeakMb: 108,
  gc: { count: 40, p50Ms: 0.2, p99Ms: 0.4, maxMs: 0.45 },
  gcSteady: { count: 10, p50Ms: 0.1, p99Ms: 0.2, maxMs: 0.2 },
  lost: 0,
};

t.test('targets: all met', async (t) => {
  t.ok(verdicts(GOOD).every(({ isMet }) => isMet));
  t.equal(exitCodeOf(verdicts(GOOD)), 0);
});

for (const { name, change, missed, exitCode } of [
  { name: 'a goal of latency', change: { p99Ms: 2 }, missed: ['P99 < 1 ms at 10,000 deliveries/s'], exitCode: 0 },
  { name: 'a goal of memory', change: { rssPeakMb: 111 }, missed: ['memory <= 110 MB'], exitCode: 0 },
  { name: 'memory', change: { rssPeakMb: 400 }, missed: ['memory < 400 MB', 'memory <= 110 MB'], exitCode: 1 },
  {
    name: 'memory that nobody could read',
    change: { rssPeakMb: Number.NaN },
    missed: ['memory < 400 MB', 'memory <= 110 MB'],
    exitCode: 1,
  },
  { name: 'P95', change: { p95Ms: 50 }, missed: ['P95 < 50 ms'], exitCode: 1 },
  { name: 'throughput', change: { peakDeliveriesPerSecond: 99_999 }, missed: ['>= 100,000 events/s'], exitCode: 1 },
  { name: 'a lost message', change: { lost: 1 }, missed: ['0 lost'], exitCode: 1 },
  { name: 'GC', change: { gc: { count: 9, p50Ms: 0.2, p99Ms: 0.5, maxMs: 3 } }, missed: ['GC pauses P99 < 0.5 ms'], exitCode: 1 },
]) {
  t.test(`targets: ${name} is missed`, async (t) => {
    const table = verdicts({ ...GOOD, ...change });
    t.same(
      table.filter(({ isMet }) => !isMet).map(({ target }) => target),
      missed,
    );
    t.equal(exitCodeOf(table), exitCode);
  });
}

t.test('GC pauses are read from a trace that breaks anywhere, of all threads, and of nothing else', async (t) => {
  const trace =
    '[12:0x164e1000]       26 ms: Scavenge 4.4 (5.1) -> 3.9 (6.1) MB, pooled: 0 MB, 0.99 / 0.00 ms  (average mu = 1.000, current mu = 1.000) allocation failure; \n' +
    'listening on 9001, 3.00 / 4.00 ms\n' +
    '[12:0x7fa730001000]       54 ms: Scavenge 3.3 (3.9) -> 2.6 (4.9) MB, pooled: 0 MB, 0.57 / 0.00 ms  (average mu = 1.000, current mu = 1.000) task; \n' +
    '[12:0x164e1000]      562 ms: Mark-Compact 56.5 (75.8) -> 48.6 (81.9) MB, pooled: 0 MB, 6.24 / 0.00 ms  (+ 38.1 ms in 0 steps since start of marking, biggest step 0.0 ms, walltime since start of marking 249 ms) (average mu = 0.823, current mu = 0.823) finalize incremental marking via stack guard; GC in old space requested\n';
  for (let cut = 0; cut < trace.length; cut += 7) {
    const gc = new GcPauses();
    gc.read(trace.slice(0, cut));
    gc.read(trace.slice(cut));
    t.same(gc.figures(), { count: 3, p50Ms: 0.99, p99Ms: 6.24, maxMs: 6.24 }, `cut at ${cut}`);
    gc.restart();
    t.same(gc.figures(), { count: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 });
  }
});

t.test('a latency curve ends where its run has nothing more to tell apart, in the maximum', async (t) => {
  const histogram = new LatencyHistogram();
  t.same(latencyCurve(histogram), []);
  for (let us = 1; us <= 1_000; us++) histogram.record(us * 1_000);
  const curve = latencyCurve(histogram);
  const at = (percentile: number): number | undefined => curve.find(([reached]) => reached === percentile)?.[1];
  for (const [percentile, ms] of [
    [0, 1],
    [90, 900],
    [99, 990],
    [99.9, 999],
    [100, 1_000],
  ] as const)
    t.ok(Math.abs((at(percentile) ?? 0) / ms - 1) < 0.002, `${percentile} % is ${ms} ms`);
  t.equal(at(99.99), undefined, 'of a thousand values');
  t.equal(curve.length, 26);
  t.ok(
    curve.every(
      ([percentile, ms], index) =>
        index === 0 || (percentile > (curve[index - 1]?.[0] ?? 0) && ms >= (curve[index - 1]?.[1] ?? 0)),
    ),
  );
  histogram.destroy();
});

t.test('results: figures stand in one line, texts are left alone', async (t) => {
  const value = {
    curve: [
      [0, 1.5],
      [90, 1e-7],
    ],
    text: '[1,\n 2]',
    list: ['[ 1 ]'],
    empty: [],
    deep: { numbers: [1, 2] },
  };
  const text = resultsText(value);
  t.same(JSON.parse(text), value);
  t.match(text, '"curve": [[0, 1.5], [90, 1e-7]],');
  t.match(text, '"numbers": [1, 2]');
});

t.test('a small scenario keeps its shape', async (t) => {
  t.same(
    smaller({
      connections: 10_000,
      rooms: 1_000,
      rate: 1_000,
      duration: 5,
      warmup: 2,
      payload: 64,
      mode: 'churn',
      'churn-rate': 500,
    }),
    {
      ...{ connections: 500, rooms: 50, rate: 50, duration: 1, warmup: 0.5, payload: 64, mode: 'churn', 'churn-rate': 25 },
    },
  );
});

t.test('servers by name', async (t) => {
  const list = 'floor,relay-1+topics=[{"match":"a","history":{"count":0}},{"match":"ws"}],socket.io,bun,nats,ws,relay-0';
  t.same(splitServers(list), [
    ...[
      'floor',
      'relay-1+topics=[{"match":"a","history":{"count":0}},{"match":"ws"}]',
      'socket.io',
      'bun',
      'nats',
      'ws',
      'relay-0',
    ],
  ]);
  t.equal(serverKind('toString'), null);
  t.equal(serverKind('relay-x'), null);
  t.same(
    installedServers(['floor', 'relay-1', 'ws', 'socket.io', 'bun']),
    ['floor', 'relay-1', 'ws', 'socket.io', 'bun'],
    'npm ci brings them',
  );
  t.ok(Object.values(PEERS).every(({ missing, version }) => missing() !== null || /^\d+\.\d+\.\d+$/.test(version() ?? '')));
});

t.test('a plot is the same for the same figures, draws every line and hurts no parser', async (t) => {
  const lines = [
    {
      label: 'ws & <more>',
      curve: [
        [0, 0.2],
        [90, 1],
        [99, 30],
        [100, 40],
      ] as const,
    },
    {
      label: 'relay',
      curve: [
        [0, 0.2],
        [90, 1],
        [99, 3],
        [100, 39],
      ] as const,
    },
    { label: 'not measured', curve: [] },
  ];
  const svg = percentilePlot('a title', lines);
  t.equal(percentilePlot('a title', lines), svg);
  t.equal(svg.match(/class="line"/g)?.length, 2);
  t.match(svg, 'ws &amp; &lt;more&gt;');
  t.match(svg, '1.00 ms at the median, 30.00 ms at 99 %', 'said in words, too');
  const heights = [...svg.matchAll(/y="([\d.]+)"[^>]*class="name"/g)].map((match) => Number(match[1]));
  t.ok(Math.abs((heights[0] ?? 0) - (heights[1] ?? 0)) >= 15, 'names do not cover each other');
  t.notMatch(svg, /NaN|undefined|Infinity/);
  t.throws(() => percentilePlot('nothing', []), /nothing to draw/);
});
