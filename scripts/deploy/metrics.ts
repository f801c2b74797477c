/** Every metric that dashboards, rules and autoscaling ask for is one that the relay exports, or stands in deploy/metrics-planned.json. */
import { type Query, type SeriesUse, usesOf } from './promql.ts';
import type { ExportedMetric, MetricType } from './real-relay.ts';

export interface PlannedMetric {
  readonly name: string;
  readonly type: MetricType;
  readonly labels: readonly string[];
}

export interface MetricFacts {
  readonly exported: ReadonlyMap<string, ExportedMetric>;
  readonly planned: readonly PlannedMetric[];
  /** Recording rules: name to what it is made of. */
  readonly recorded: ReadonlyMap<string, string>;
}

/** Prometheus' own series, and the labels that scraping adds. */
const OF_PROMETHEUS = new Map<string, readonly string[]>([
  ['up', []],
  ['ALERTS', ['alertname', 'alertstate', 'severity']],
]);
const TARGET_LABELS = ['job', 'instance', 'namespace', 'pod', 'container', 'endpoint'];

export function metricProblems(queries: readonly Query[], facts: MetricFacts): string[] {
  const problems: string[] = [];
  const usedPlanned = new Set<string>();
  const known = new Map<string, ExportedMetric>(facts.exported);
  for (const { name, type, labels } of facts.planned) {
    if (facts.exported.has(name)) problems.push(`deploy/metrics-planned.json: the relay exports ${name} by now: delete it there`);
    else known.set(name, { type, labels: new Set(labels) });
  }
  for (const query of queries) {
    try {
      const { series, grouped } = usesOf(query);
      const groupable = new Set(TARGET_LABELS);
      for (const use of series) {
        const found = lookUp(use.name, known, facts.recorded);
        if (found === null) {
          problems.push(`${query.at}: the relay exports no ${use.name}${nearest(use.name, known)}`);
          continue;
        }
        usedPlanned.add(found.family);
        for (const label of found.labels) groupable.add(label);
        problems.push(...useProblems(query.at, use, found));
      }
      for (const label of grouped)
        if (!groupable.has(label))
          problems.push(`${query.at}: nothing here has the label ${label}; labels: ${[...groupable].join(', ')}`);
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  for (const { name } of facts.planned)
    if (!usedPlanned.has(name)) problems.push(`deploy/metrics-planned.json: nobody uses ${name}: delete it there`);
  return problems;
}

interface Found {
  readonly family: string;
  readonly type: MetricType;
  readonly labels: ReadonlySet<string>;
}

function lookUp(name: string, known: ReadonlyMap<string, ExportedMetric>, recorded: ReadonlyMap<string, string>): Found | null {
  const own = OF_PROMETHEUS.get(name);
  if (own !== undefined) return { family: name, type: 'gauge', labels: new Set(own) };
  const made = recorded.get(name);
  if (made !== undefined) {
    const { grouped } = usesOf({ at: `recording rule ${name}`, expr: made });
    return { family: name, type: 'gauge', labels: new Set(grouped) };
  }
  const metric = known.get(name);
  // A histogram has no series of its own name, only those of its parts.
  if (metric !== undefined && metric.type !== 'histogram') return { family: name, ...metric };
  const [, family = '', part] = /^(.*)_(bucket|sum|count)$/.exec(name) ?? [];
  const histogram = known.get(family);
  if (histogram?.type !== 'histogram') return null;
  return { family, type: 'counter', labels: new Set([...histogram.labels, ...(part === 'bucket' ? ['le'] : [])]) };
}

function useProblems(at: string, use: SeriesUse, found: Found): string[] {
  const problems = use.labels
    .filter((label) => !found.labels.has(label) && !TARGET_LABELS.includes(label))
    .map((label) => `${at}: ${use.name} has no label ${label}; it has ${[...found.labels].join(', ') || 'none'}`);
  if (use.counted !== null && found.type !== 'counter')
    problems.push(`${at}: ${use.counted}() of ${use.name}, which is a ${found.type}`);
  return problems;
}

/** A typing mistake is the likeliest cause. */
function nearest(name: string, known: ReadonlyMap<string, ExportedMetric>): string {
  const words = new Set(name.split('_'));
  const shared = (other: string): number => other.split('_').filter((word) => words.has(word)).length;
  const [best] = [...known.keys()].sort((left, right) => shared(right) - shared(left));
  return best !== undefined && shared(best) > 1 ? `; near: ${best}` : '';
}
