/** What a PromQL expression asks for, by Prometheus' own grammar. */
import * as grammar from '@prometheus-io/lezer-promql';

export interface Query {
  /** File, and panel or rule: for a person who must find it. */
  readonly at: string;
  readonly expr: string;
}

export interface SeriesUse {
  readonly name: string;
  readonly labels: readonly string[];
  /** The function right around it that only makes sense for what counts up, or null. */
  readonly counted: string | null;
}

export interface QueryUses {
  readonly series: readonly SeriesUse[];
  /** Of `by`, `on` and their kind. */
  readonly grouped: readonly string[];
}

const FOR_COUNTERS = new Set(['rate', 'irate', 'increase', 'resets']);
/** What Grafana puts in, as something of the same form. Longest first. */
const GRAFANA = [
  [/\$__rate_interval|\$__interval|\$__range/g, '5m'],
  [/\$\{\w+(?::\w+)?\}/g, 'x'],
] as const;

/** Throws with the place if it is no PromQL. */
export function usesOf({ at, expr }: Query): QueryUses {
  let text = expr;
  for (const [pattern, instead] of GRAFANA) text = text.replace(pattern, instead);
  const tree = grammar.parser.parse(text);
  const series: SeriesUse[] = [];
  const grouped: string[] = [];
  tree.iterate({
    enter: (node) => {
      if (node.type.isError) throw new Error(`${at}: no PromQL at character ${node.from}: ${text}`);
      if (node.type.id === grammar.GroupingLabels)
        for (const label of node.node.getChildren(grammar.LabelName)) grouped.push(text.slice(label.from, label.to));
      if (node.type.id !== grammar.VectorSelector) return;
      const name = node.node.getChild(grammar.Identifier);
      if (name === null) throw new Error(`${at}: a selector without a metric's name cannot be checked: ${text}`);
      const matchers = node.node.getChild(grammar.LabelMatchers)?.getChildren(grammar.UnquotedLabelMatcher) ?? [];
      const labels = matchers
        .flatMap((matcher) => matcher.getChildren(grammar.LabelName))
        .map(({ from, to }) => text.slice(from, to));
      // A matrix selector around it is what a function takes.
      const call = node.node.parent?.type.id === grammar.MatrixSelector ? node.node.parent.parent?.parent : null;
      const called = call?.getChild(grammar.FunctionIdentifier);
      const word = called === null || called === undefined ? '' : text.slice(called.from, called.to);
      series.push({ name: text.slice(name.from, name.to), labels, counted: FOR_COUNTERS.has(word) ? word : null });
    },
  });
  return { series, grouped };
}
