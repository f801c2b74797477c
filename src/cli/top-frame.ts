/**
 * One frame of `relay top`: from a state to lines of text that fit the terminal. Pure: no clock, no terminal, no colour unless asked.
 *
 * What is wrong comes first and always fits; then latency; then the lists, which share what is left of the height, with a line that says
 * how much of a list is not shown.
 */
import { type Condition, conditionsOf, laneCondition } from '../ops/conditions.ts';
import { type LatencyWindow, type OpsState, OTHER_STAGES, PATH_STAGES } from '../ops/ops-state.ts';
import { bytesText, countText, durationText, msText, percentText, rateText, STAGE_TITLES, spanText } from '../ops/words.ts';

export interface FrameOptions {
  readonly width: number;
  /** Lines; a frame never has more. Infinity: all there is. */
  readonly height: number;
  readonly hasColor: boolean;
  readonly window: LatencyWindow;
  /** Where it was asked. */
  readonly source: string;
  /** Set while the relay does not answer: the state is the last one heard, null if there was none. */
  readonly lost: { readonly sinceMs: number; readonly reason: string } | null;
}

type Style = 'bold' | 'dim' | 'good' | 'warn' | 'bad';
const SGR: Readonly<Record<Style, string>> = { bold: '1', dim: '2', good: '32', warn: '33', bad: '1;31' };

/** A line is parts, so that it can be cut to the width before colours make it longer. */
type Part = string | readonly [style: Style, text: string];
type FrameLine = readonly Part[];

interface Section {
  readonly title: string;
  readonly head: FrameLine;
  readonly rows: readonly FrameLine[];
  /** Rows that it gets while others get one. Default 1. */
  readonly weight?: number;
}

export function renderFrame(state: OpsState | null, options: FrameOptions): string[] {
  const top = headLines(state, options);
  const sections = state === null ? [] : [latencySection(state, options.window), ...listSections(state)];
  const lines = [...top, ...fit(sections, options.height - top.length)].slice(0, options.height);
  return lines.map((line) => paint(line, options));
}

// ---- the head: who it is, how it is, what is wrong

function headLines(state: OpsState | null, { source, lost, width }: FrameOptions): FrameLine[] {
  const lostLine: FrameLine[] =
    lost === null ? [] : [[['bad', `! not reachable since ${clockText(lost.sinceMs)} (${lost.reason}); asking on`]]];
  if (state === null) return [[['bold', 'relay'], ` at ${source}`], ...lostLine];
  const { health, process: own, rates } = state;
  const word = lost !== null ? 'not reachable' : health.ready || state.state !== 'ready' ? state.state : 'not ready';
  const style: Style = lost !== null || (!health.ready && state.state === 'ready') ? 'bad' : health.ready ? 'good' : 'warn';
  const dropped = Object.values(state.drops).reduce((sum, count) => sum + count, 0);
  return [
    [
      ['bold', `relay ${state.version}`],
      ' ',
      [style, word.toUpperCase()],
      `  up ${spanText(state.nowMs - state.startedAtMs)}  ${clockText(state.nowMs)}  `,
      ['dim', source],
    ],
    ...lostLine,
    ...(lost === null ? conditionsOf(state).map(conditionLine) : []),
    ...fields(
      [
        ['conns', `${countText(state.connections)}/${countText(state.connectionsMax)}`],
        ['subs', countText(state.subscriptions)],
        ['pub/s', rateText(rates.publishes)],
        ['dlv/s', rateText(rates.deliveries)],
        ['call/s', rateText(rates.calls)],
        ['in', `${bytesText(rates.bytesIn)}/s`],
        ['out', `${bytesText(rates.bytesOut)}/s`],
        ['cpu', own.cpu.toFixed(2)],
        ['rss', bytesText(own.rssBytes)],
        ['loop p99', durationText(own.eventLoopDelayMs.p99)],
        ['gc p99', durationText(own.gcPauseMs.p99)],
        ['dropped', countText(dropped)],
      ],
      width,
    ),
  ];
}

function conditionLine({ severity, text }: Condition): FrameLine {
  return [[severity, `${severity === 'bad' ? '!' : '*'} ${text}`]];
}

/** As many to a line as fit. */
function fields(pairs: readonly (readonly [name: string, value: string])[], width: number): FrameLine[] {
  const lines: Part[][] = [[]];
  let used = 0;
  for (const [name, value] of pairs) {
    const length = name.length + 1 + value.length;
    if (used > 0 && used + 2 + length > width) {
      lines.push([]);
      used = 0;
    }
    const line = lines.at(-1) as Part[];
    line.push(used === 0 ? '' : '  ', ['dim', `${name} `], ['bold', value]);
    used += (used === 0 ? 0 : 2) + length;
  }
  return lines;
}

// ---- the sections

/** The whole first: on a small screen it is what must be seen. */
const STAGES = [...new Set(['publishToLastWrite' as const, ...PATH_STAGES, ...OTHER_STAGES])];

function latencySection(state: OpsState, window: LatencyWindow): Section {
  const cells = (values: readonly string[]): string => values.map((value) => value.padStart(9)).join('');
  const rows = STAGES.flatMap((stage): FrameLine[] => {
    const figures = state.latency.stages[stage]?.[window];
    if (figures === undefined || figures.count === 0) return [];
    const { count, p50, p95, p99, p999, max } = figures;
    const text = `${(STAGE_TITLES[stage] as string).padEnd(21)}${cells([countText(count), ...[p50, p95, p99, p999, max].map(msText)])}`;
    return [stage === 'publishToLastWrite' ? [['bold', text]] : [text]];
  });
  return {
    title: 'latency',
    head: [['dim', `${`LATENCY ms, ${window}`.padEnd(21)}${cells(['COUNT', 'P50', 'P95', 'P99', 'P99.9', 'MAX'])}`]],
    rows: rows.length > 0 ? rows : [['nothing recorded']],
    weight: 3,
  };
}

function listSections(state: OpsState): Section[] {
  const sections: Section[] = [lanesSection(state)];
  const drops = Object.entries(state.drops).filter(([, count]) => count > 0);
  if (state.slow.length > 0)
    sections.push({
      title: 'slow sessions',
      head: [['dim', `${'SLOW SESSIONS'.padEnd(28)}${right('SESSION', 9)}${right('QUEUED', 11)}${right('LAG', 11)}  POLICY`]],
      rows: state.slow.map(({ client, session, queuedBytes, lagMs, policy }) => [
        `${left(client || '(no name)', 28)}${right(String(session), 9)}${right(bytesText(queuedBytes), 11)}${right(durationText(lagMs), 11)}  ${policy}`,
      ]),
    });
  if (drops.length > 0)
    sections.push({
      title: 'drops',
      head: [['dim', 'DROPS '], drops.map(([reason, count]) => `${reason} ${countText(count)}`).join('  ')],
      rows: state.dropTopics.map(([topic, count]) => [`${left(topic, 40)}${right(countText(count), 9)}`]),
    });
  if (state.services.length > 0)
    sections.push({
      title: 'services',
      head: [
        [
          'dim',
          `${'SERVICES'.padEnd(22)}${right('OK', 4)}${right('DEGR', 5)}${right('FAIL', 5)}${right('INFL', 6)}${right('WAIT', 6)}${right('CALLS', 10)}${right('ERR', 8)}${right('P99', 9)}`,
        ],
      ],
      rows: state.services.map(({ service, ok, degraded, failing, inFlight, waiting, calls, errors, p99Ms }) => {
        const text = `${left(service, 22)}${right(countText(ok), 4)}${right(countText(degraded), 5)}${right(countText(failing), 5)}${right(countText(inFlight), 6)}${right(countText(waiting), 6)}${right(countText(calls), 10)}${right(countText(errors), 8)}${right(msText(p99Ms), 9)}`;
        return [failing > 0 ? ['bad', text] : degraded > 0 ? ['warn', text] : text];
      }),
    });
  if (state.workflows.length > 0) sections.push(workflowsSection(state));
  return sections;
}

function lanesSection(state: OpsState): Section {
  return {
    title: 'lanes',
    head: [
      [
        'dim',
        `${'LANE STATE'.padEnd(16)}${right('SILENT', 10)}${right('UTIL', 6)}${right('INGRESS', 8)}${right('EGRESS', 8)}${right('PUB/S', 8)}${right('TOPICS', 8)}${right('CALLS', 7)}${right('RESTART', 8)}`,
      ],
    ],
    rows: state.lanes.map((lane): FrameLine => {
      const condition = laneCondition(state, lane);
      const word = condition === 'running' ? condition : condition.toUpperCase();
      const style: Style = condition === 'running' ? 'good' : condition === 'silent' ? 'warn' : 'bad';
      return [
        `${String(lane.lane).padStart(4)} `,
        [style, word.padEnd(11)],
        right(durationText(lane.silentMs), 10),
        right(percentText(lane.utilisation), 6),
        right(percentText(lane.ingressUsedBytes / lane.ingressBytes), 8),
        right(percentText(lane.egressUsedBytes / lane.egressBytes), 8),
        right(rateText(lane.publishes), 8),
        right(countText(lane.topics), 8),
        right(countText(lane.callsInFlight), 7),
        right(countText(lane.restarts), 8),
      ];
    }),
    weight: 2,
  };
}

function workflowsSection({ workflows }: OpsState): Section {
  return {
    title: 'workflows',
    head: [['dim', 'WORKFLOWS']],
    rows: workflows.map(({ workflow, runs, stages }): FrameLine => {
      const counts = Object.entries(runs).map(([state, count]) => `${countText(count)} ${state}`);
      const way = stages
        .map(({ stage, running, waiting }) => `${stage} ${running}${waiting > 0 ? `+${waiting}` : ''}`)
        .join(' > ');
      return [['bold', `${left(workflow, 20)} `], `${counts.join(', ')}  `, ['dim', way]];
    }),
  };
}

// ---- fitting and painting

/** Lines that a section must get to be worth its place: its head, and some rows. */
const SECTION_LINES_MIN = 4;
const ROWS_MIN = 2;

/** Every section gets its head and some rows, then what is left is shared by weight: a long list may not push out the others. */
function fit(sections: readonly Section[], room: number): FrameLine[] {
  if (sections.reduce((sum, { rows }) => sum + 1 + rows.length, 0) <= room)
    return sections.flatMap(({ head, rows }) => [head, ...rows]);
  const shown = sections.slice(0, Math.max(1, Math.floor(room / SECTION_LINES_MIN)));
  const missing = sections.slice(shown.length).map(({ title }) => title);
  const given = shown.map(({ rows }) => Math.min(ROWS_MIN, rows.length));
  let left = room - shown.length - (missing.length > 0 ? 1 : 0) - given.reduce((sum, count) => sum + count, 0);
  for (let grew = true; grew && left > 0; ) {
    grew = false;
    for (const [index, { rows, weight }] of shown.entries()) {
      const more = Math.min(weight ?? 1, rows.length - (given[index] as number), left);
      given[index] = (given[index] as number) + more;
      left -= more;
      grew ||= more > 0;
    }
  }
  const note: FrameLine[] = missing.length > 0 ? [[['dim', `not shown, for want of lines: ${missing.join(', ')}`]]] : [];
  return [...shown.flatMap((section, index) => cut(section, given[index] as number)), ...note];
}

function cut({ head, rows }: Section, count: number): FrameLine[] {
  if (count >= rows.length) return [head, ...rows];
  const kept = rows.slice(0, Math.max(0, count - 1));
  return [head, ...kept, [['dim', `  … ${rows.length - kept.length} more`]]];
}

function paint(line: FrameLine, { width, hasColor }: FrameOptions): string {
  let room = width;
  let text = '';
  for (const part of line) {
    const [style, whole] = typeof part === 'string' ? [null, part] : part;
    // Names come from clients: nothing of theirs may move the cursor.
    const clean = [...whole.replace(/[\p{Cc}\p{Cf}]/gu, '?')].slice(0, room).join('');
    room -= [...clean].length;
    text += style === null || !hasColor || clean === '' ? clean : `\x1b[${SGR[style]}m${clean}\x1b[0m`;
  }
  return hasColor ? text : text.trimEnd();
}

function left(text: string, width: number): string {
  return text.length < width ? text.padEnd(width) : `${text.slice(0, width - 2)}… `;
}

function right(text: string, width: number): string {
  return text.padStart(width);
}

function clockText(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB');
}
