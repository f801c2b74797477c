/**
 * Prometheus exposition by prom-client, built at scrape: the only place that imports it.
 *
 * Thread: main. Nothing is counted through prom-client while messages flow (`observe` costs 0.5-0.9 us): the values are read where they
 * are counted, and this renders them.
 */
import { Counter, Gauge, Registry } from 'prom-client';

export interface MetricValue {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface HistogramValue {
  readonly labels?: Readonly<Record<string, string>>;
  /** Upper bounds, ascending; how many values were at most that, each with those below it. */
  readonly bounds: readonly number[];
  readonly cumulative: readonly number[];
  readonly count: number;
  readonly sum: number;
}

interface MetricName {
  /** Prometheus name: `relay_…_total` for counters, base units for gauges and histograms. */
  readonly name: string;
  readonly help: string;
}

export type MetricReading =
  | (MetricName & { readonly type: 'counter' | 'gauge'; readonly values: readonly MetricValue[] })
  | (MetricName & { readonly type: 'histogram'; readonly values: readonly HistogramValue[] });

export function renderExposition(readings: readonly MetricReading[]): Promise<string> {
  const registry = new Registry();
  for (const reading of readings) {
    const { name, help } = reading;
    if (reading.type === 'histogram') {
      registerHistogram(registry, name, help, reading.values);
      continue;
    }
    const labelNames = Object.keys(reading.values[0]?.labels ?? {});
    const config = { name, help, labelNames, registers: [registry] };
    if (reading.type === 'counter') {
      const counter = new Counter(config);
      for (const { labels, value } of reading.values) counter.inc(labels ?? {}, value);
    } else {
      const gauge = new Gauge(config);
      for (const { labels, value } of reading.values) gauge.set(labels ?? {}, value);
    }
  }
  return registry.metrics();
}

/** prom-client's own histograms only grow by `observe`: this hands it the counts as they are. */
function registerHistogram(registry: Registry, name: string, help: string, values: readonly HistogramValue[]): void {
  const rows = values.flatMap(({ labels = {}, bounds, cumulative, count, sum }) => [
    ...bounds.map((bound, index) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bound },
      value: cumulative[index] ?? 0,
    })),
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]);
  const metric = {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    collect: () => undefined,
    get: async () => ({ name, help, type: 'histogram', aggregator: 'sum', values: rows }),
  };
  registry.registerMetric(metric as unknown as Counter);
}
