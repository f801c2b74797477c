/** Latency over time, by percentile, and where the time went. */
import { LATENCY_WINDOWS, type LatencyWindow, type OpsState, OTHER_STAGES, PATH_STAGES } from '../ops/ops-state.ts';
import { countText, durationText, msText, percentText, STAGE_TITLES } from '../ops/words.ts';
import { CurveChart, type Line, TimeChart } from './charts.ts';
import { byId, create, setText } from './dom.ts';
import { Series } from './series.ts';
import { Table } from './table.ts';

const LINES = [
  { name: 'P50', figure: 'p50', color: '--p50' },
  { name: 'P95', figure: 'p95', color: '--p95' },
  { name: 'P99', figure: 'p99', color: '--p99' },
  { name: 'P99.9', figure: 'p999', color: '--p999', isDashed: true },
] as const satisfies readonly (Line & { figure: string })[];

const WINDOW_WORDS: Readonly<Record<LatencyWindow, string>> = {
  '10s': 'the last 10 s',
  '1m': 'the last minute',
  '5m': 'the last 5 minutes',
  start: 'all since the start',
};

export class LatencyView {
  readonly series = new Series(LINES.length);
  readonly #chart = new TimeChart(byId('latency-chart'), this.series, LINES, 'log');
  readonly #curve = new CurveChart(byId('curve-chart'));
  readonly #stages = new Table(
    byId('stages-table'),
    'Latency by stage, in ms',
    [
      { title: 'Stage' },
      { title: 'Count', number: true },
      { title: 'P50', number: true },
      { title: 'P90', number: true },
      { title: 'P95', number: true },
      { title: 'P99', number: true },
      { title: 'P99.9', number: true },
      { title: 'Max', number: true },
      { title: 'Mean', number: true },
    ],
    'No latency has been recorded.',
  );

  show(state: OpsState, window: LatencyWindow): void {
    // Over time it is always the shortest window: a longer one would draw every peak for minutes.
    const now = state.latency.stages.publishToLastWrite?.['10s'];
    const figures = LINES.map(({ figure }) => (now === undefined || now.count === 0 ? null : now[figure]));
    this.series.add(state.nowMs, figures);
    this.#chart.update(
      `Latency from publish to last write over the last minutes; now ${LINES.map(({ name }, index) => `${name} ${durationText(figures[index] ?? undefined)}`).join(', ')}`,
    );
    showLegend(
      byId('latency-legend'),
      LINES.map(({ name, figure }, index) => ({ name, line: figure, value: msText(figures[index] ?? undefined) })),
    );
    this.#curve.update(state.percentiles['publishToLastWrite'] ?? []);
    setText(byId('stages-window'), WINDOW_WORDS[window]);
    this.#showStages(state, window);
  }

  gap(nowMs: number): void {
    this.series.gap(nowMs);
    this.#chart.update('Latency over time: the relay is not reachable');
  }

  repaint(): void {
    this.#chart.repaint();
    this.#curve.repaint();
  }

  #showStages({ latency }: OpsState, window: LatencyWindow): void {
    const stages = [...PATH_STAGES, ...OTHER_STAGES].flatMap((stage) => {
      const figures = latency.stages[stage]?.[window];
      return figures === undefined || figures.count === 0 ? [] : [{ stage, figures }];
    });
    this.#stages.show(
      stages.map(({ stage, figures: { count, p50, p90, p95, p99, p999, max, mean } }) => ({
        key: stage,
        cells: [STAGE_TITLES[stage] as string, countText(count), ...[p50, p90, p95, p99, p999, max, mean].map(msText)],
      })),
    );
    // By means: they add up to the whole, which percentiles do not.
    const way = stages.filter(({ stage }) => (PATH_STAGES as readonly string[]).includes(stage));
    const total = way.reduce((sum, { figures }) => sum + figures.mean, 0);
    const host = byId('stages-share');
    while (host.children.length > way.length) host.lastElementChild?.remove();
    while (host.children.length < way.length) host.append(create('span'));
    way.forEach(({ stage, figures }, index) => {
      const part = host.children[index] as HTMLElement;
      const share = total > 0 ? figures.mean / total : 0;
      part.style.width = `${(100 * share).toFixed(1)}%`;
      part.title = `${STAGE_TITLES[stage]}: ${durationText(figures.mean)} on average, ${percentText(share)} of the way`;
      setText(part, `${STAGE_TITLES[stage]} ${percentText(share)}`);
    });
  }
}

export function showLegend(
  host: HTMLElement,
  entries: readonly { readonly name: string; readonly line: string; readonly value: string }[],
): void {
  while (host.children.length < entries.length) host.append(create('span', 'key', create('span'), ' ', create('b')));
  entries.forEach(({ name, line, value }, index) => {
    const entry = host.children[index] as HTMLElement;
    entry.dataset['line'] = line;
    setText(entry.children[0] as Element, name);
    setText(entry.children[1] as Element, value);
  });
}

export function isLatencyWindow(text: string): text is LatencyWindow {
  return (LATENCY_WINDOWS as readonly string[]).includes(text);
}
