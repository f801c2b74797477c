/** The queries of dashboards, rules, autoscaling, and the shape of the files they stand in. */
import { parse } from 'yaml';
import type { Query } from './promql.ts';
import { get, listOf, type Tree, textOf } from './tree.ts';

export interface Rules {
  readonly queries: readonly Query[];
  readonly recorded: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
}

const SEVERITIES = ['page', 'ticket'];

export function readRules(path: string, text: string): Rules {
  const queries: Query[] = [];
  const recorded = new Map<string, string>();
  const problems: string[] = [];
  for (const group of listOf(parse(text) as Tree, 'groups')) {
    for (const rule of listOf(group, 'rules')) {
      const record = textOf(rule, 'record');
      const alert = textOf(rule, 'alert');
      const expr = textOf(rule, 'expr');
      const at = `${path}: ${record ?? alert ?? '(no name)'}`;
      if (expr === undefined || (record === undefined) === (alert === undefined)) {
        problems.push(`${at}: a rule has an expr and either record or alert`);
        continue;
      }
      queries.push({ at, expr });
      if (record !== undefined) recorded.set(record, expr);
      else {
        for (const name of ['summary', 'description'])
          if (textOf(rule, 'annotations', name) === undefined) problems.push(`${at}: no ${name}: who is woken must know why`);
        const severity = textOf(rule, 'labels', 'severity');
        if (!SEVERITIES.includes(severity ?? ''))
          problems.push(`${at}: severity must be one of ${SEVERITIES.join(', ')}, got ${severity}`);
      }
    }
  }
  if (queries.length === 0) problems.push(`${path}: no rules`);
  return { queries, recorded, problems };
}

export function readDashboard(path: string, text: string): { queries: Query[]; problems: string[] } {
  const dashboard = JSON.parse(text) as Tree;
  const queries: Query[] = [];
  const problems: string[] = [];
  const ids = new Set<unknown>();
  for (const panel of listOf(dashboard, 'panels')) {
    const title = textOf(panel, 'title') ?? '(no title)';
    const at = `${path}: ${title}`;
    const id = get(panel, 'id');
    if (ids.has(id)) problems.push(`${at}: a second panel with the id ${id}`);
    ids.add(id);
    const [x, y, w, h] = ['x', 'y', 'w', 'h'].map((name) => Number(get(panel, 'gridPos', name)));
    if (![x, y, w, h].every(Number.isInteger) || (x as number) + (w as number) > 24)
      problems.push(`${at}: gridPos does not fit the 24 columns`);
    if (textOf(panel, 'type') === 'row') continue;
    const targets = listOf(panel, 'targets');
    if (targets.length === 0) problems.push(`${at}: a panel without a query`);
    if (textOf(panel, 'fieldConfig', 'defaults', 'unit') === undefined) problems.push(`${at}: no unit`);
    for (const target of targets) {
      queries.push({ at, expr: textOf(target, 'expr') ?? '' });
      if (!/^\$\{datasource\}$/.test(textOf(target, 'datasource', 'uid') ?? ''))
        problems.push(`${at}: the data source must be the dashboard's variable`);
    }
  }
  for (const annotation of listOf(dashboard, 'annotations', 'list')) {
    const expr = textOf(annotation, 'expr');
    if (expr !== undefined) queries.push({ at: `${path}: annotation ${textOf(annotation, 'name')}`, expr });
  }
  for (const variable of listOf(dashboard, 'templating', 'list')) {
    const [, metric, label] = /^label_values\((\w+), *(\w+)\)$/.exec(textOf(variable, 'definition') ?? '') ?? [];
    if (metric !== undefined)
      queries.push({ at: `${path}: variable ${textOf(variable, 'name')}`, expr: `group by (${label}) (${metric})` });
    else if (textOf(variable, 'type') === 'query')
      problems.push(`${path}: variable ${textOf(variable, 'name')}: only label_values(metric, label) is checked`);
  }
  if (textOf(dashboard, 'uid') === undefined || textOf(dashboard, 'title') === undefined)
    problems.push(`${path}: no uid or title`);
  if (queries.length === 0) problems.push(`${path}: no panels`);
  return { queries, problems };
}

/** What the autoscaler and its adapter ask for. */
export function readAutoscaling(path: string, text: string): Query[] {
  const tree = parse(text) as Tree;
  return [
    ...listOf(tree, 'spec', 'metrics').map((metric) => textOf(metric, 'pods', 'metric', 'name')),
    ...listOf(tree, 'rules', 'custom').map((rule) => textOf(rule, 'seriesQuery')),
  ]
    .filter((expr) => expr !== undefined)
    .map((expr) => ({ at: path, expr }));
}
