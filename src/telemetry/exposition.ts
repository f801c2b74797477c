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

export interface MetricReading {
  /** Prometheus name: `relay_…_total` for counters, base units for gauges. */
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly values: readonly MetricValue[];
}

export function renderExposition(readings: readonly MetricReading[]): Promise<string> {
  const registry = new Registry();
  for (const { name, type, help, values } of readings) {
    const labelNames = Object.keys(values[0]?.labels ?? {});
    const config = { name, help, labelNames, registers: [registry] };
    if (type === 'counter') {
      const counter = new Counter(config);
      for (const { labels, value } of values) counter.inc(labels ?? {}, value);
    } else {
      const gauge = new Gauge(config);
      for (const { labels, value } of values) gauge.set(labels ?? {}, value);
    }
  }
  return registry.metrics();
}
