/**
 * Assertions on a bench's figures: `p99<5,lost=0` to a list, and a list against a result.
 *
 * Pure. Latencies are in milliseconds, as in the result.
 */
import type { BenchResult } from './result.ts';

export interface Metric {
  readonly name: string;
  /** Unknown without a server pid. */
  readonly needsPid: boolean;
  readonly read: (result: BenchResult) => number | null;
}

export interface Assertion {
  readonly metric: Metric;
  readonly operator: Operator;
  readonly bound: number;
  /** As it was written. */
  readonly text: string;
}

const OPERATORS = {
  '<=': (value: number, bound: number) => value <= bound,
  '>=': (value: number, bound: number) => value >= bound,
  '!=': (value: number, bound: number) => value !== bound,
  '<': (value: number, bound: number) => value < bound,
  '>': (value: number, bound: number) => value > bound,
  '=': (value: number, bound: number) => value === bound,
} as const;
export type Operator = keyof typeof OPERATORS;

const METRICS = new Map<string, Metric>();

function metric(name: string, read: Metric['read'], needsPid = false): void {
  METRICS.set(name, { name, needsPid, read });
}

for (const percentile of ['p50', 'p95', 'p99', 'p999', 'max'] as const) {
  metric(percentile, (result) => result.latencyMs[percentile]);
  metric(`connect.${percentile}`, (result) => result.connectMs[percentile]);
}
for (const percentile of ['p50', 'p99', 'max'] as const)
  metric(`lag.${percentile}`, (result) => result.generatorLagMs[percentile]);
for (const count of [
  'connections',
  'published',
  'expected',
  'delivered',
  'lost',
  'duplicated',
  'reordered',
  'deliveriesPerSecond',
  'connectRetries',
  'generatorCpuSeconds',
] as const) {
  metric(count, (result) => result[count]);
}
metric('disconnects', (result) => sum(result.disconnectsByCode));
metric('publishErrors', (result) => sum(result.publishErrorsByCode));
metric('nonRecovered', (result) => result.reconnect?.nonRecovered ?? 0);
metric('backMs', (result) => result.reconnect?.backMs ?? 0);
for (const figure of ['serverCpuSeconds', 'serverRssMb', 'serverRssPeakMb', 'cpuUsPerDelivery'] as const) {
  metric(figure, (result) => result[figure], true);
}

export const METRIC_NAMES: readonly string[] = [...METRICS.keys()];

export function parseAssertions(text: string): {
  readonly assertions: readonly Assertion[];
  readonly problems: readonly string[];
} {
  const assertions: Assertion[] = [];
  const problems: string[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*([\w.]+)\s*(<=|>=|!=|<|>|=)\s*(-?\d+(?:\.\d+)?)\s*$/.exec(part);
    if (match === null) {
      problems.push(`'${part.trim()}' is not of the form name<number; operators: ${Object.keys(OPERATORS).join(' ')}`);
      continue;
    }
    const [, name = '', operator = '', bound = ''] = match;
    const found = METRICS.get(name);
    if (found === undefined) problems.push(`'${name}' is no figure; known: ${METRIC_NAMES.join(' ')}`);
    else assertions.push({ metric: found, operator: operator as Operator, bound: Number(bound), text: part.trim() });
  }
  return { assertions, problems };
}

export interface FailedAssertion {
  readonly text: string;
  readonly value: number | null;
}

/** Those that do not hold. A figure that is not known holds nothing. */
export function failedAssertions(assertions: readonly Assertion[], result: BenchResult): readonly FailedAssertion[] {
  const failed: FailedAssertion[] = [];
  for (const { metric: subject, operator, bound, text } of assertions) {
    const value = subject.read(result);
    if (value === null || !OPERATORS[operator](value, bound)) failed.push({ text, value });
  }
  return failed;
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
