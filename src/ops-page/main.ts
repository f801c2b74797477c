/**
 * The ops page: asks for /ops/state, shows it, and says when something changes.
 *
 * Runs in the browser of whoever watches. Decides nothing and sends nothing: it only reads the ops port that it came from.
 */
import { type Condition, conditionsOf } from '../ops/conditions.ts';
import type { LatencyWindow, OpsState } from '../ops/ops-state.ts';
import { spanText } from '../ops/words.ts';
import { byId, setAttribute, setText, showItems } from './dom.ts';
import { isLatencyWindow, LatencyView } from './latency-view.ts';
import { Poller } from './poller.ts';
import { TablesView } from './tables-view.ts';
import { startTheme } from './theme.ts';
import { TrafficView } from './traffic-view.ts';

const latency = new LatencyView();
const traffic = new TrafficView();
const tables = new TablesView();
let latest: OpsState | null = null;
let latencyWindow: LatencyWindow = '10s';
/** Null while it answers. */
let lostSinceMs: number | null = null;
let told = new Map<string, string>();

function onState(state: OpsState): void {
  const isAnother = latest !== null && latest.startedAtMs !== state.startedAtMs;
  // Another life of the relay: what was counted before says nothing about it.
  if (isAnother) {
    traffic.series.clear();
    latency.series.clear();
  }
  const wasLost = lostSinceMs !== null;
  lostSinceMs = null;
  latest = state;
  show(state);
  const news = [...(isAnother ? ['The relay has been restarted.'] : wasLost ? ['The relay answers again.'] : [])];
  showConditions(conditionsOf(state), news);
}

function onLost(reason: string): void {
  lostSinceMs ??= Date.now();
  document.body.classList.add('unreachable');
  setPill('not reachable', 'bad');
  document.title = '▲ not reachable · Clari RELAY';
  latency.gap(latest === null ? Date.now() : latest.nowMs + (Date.now() - lostSinceMs) + 1);
  traffic.gap(latest === null ? Date.now() : latest.nowMs + (Date.now() - lostSinceMs) + 1);
  const since = new Date(lostSinceMs).toLocaleTimeString('en-GB');
  const text = `Not reachable since ${since} (${reason}). Asking once a second; the figures below are the last ones heard.`;
  showConditions([{ key: 'unreachable', severity: 'bad', text }], []);
}

function show(state: OpsState): void {
  document.body.classList.remove('unreachable');
  setText(byId('about'), `${state.version} · up ${spanText(state.nowMs - state.startedAtMs)} · ${location.host}`);
  const isReady = state.health.ready;
  const word = isReady || state.state !== 'ready' ? state.state : 'not ready';
  setPill(word, isReady ? 'ok' : state.state === 'draining' ? 'warn' : 'bad');
  document.title = `${isReady ? '' : '▲ '}${word} · Clari RELAY`;
  setText(
    byId('asked'),
    `As of ${new Date(state.nowMs).toLocaleTimeString('en-GB')}, asked for once a second while this page is visible.`,
  );
  latency.show(state, latencyWindow);
  traffic.show(state, latencyWindow);
  tables.show(state);
}

function setPill(text: string, tone: 'ok' | 'warn' | 'bad'): void {
  setText(byId('state'), text);
  setAttribute(byId('state'), 'data-tone', tone);
}

/** Shown with their figures; told to a screen reader once when they begin and once when they end. */
function showConditions(conditions: readonly Condition[], news: readonly string[]): void {
  byId('conditions').hidden = conditions.length === 0;
  showItems(
    byId('conditions-list'),
    conditions.map(({ text, severity }) => ({ text, tone: severity })),
  );
  const said = [
    ...news,
    ...conditions.filter(({ key }) => !told.has(key)).map(({ text }) => `${text}.`),
    ...[...told]
      .filter(([key]) => key !== 'unreachable' && !conditions.some((other) => other.key === key))
      .map(([key]) => `Over: ${key}.`),
  ];
  told = new Map(conditions.map(({ key, text }) => [key, text]));
  if (said.length > 0) setText(byId('said'), said.join(' '));
}

function repaint(): void {
  latency.repaint();
  traffic.repaint();
}

byId('window').addEventListener('change', (event) => {
  const { value } = event.target as HTMLInputElement;
  if (!isLatencyWindow(value)) return;
  latencyWindow = value;
  if (latest !== null && lostSinceMs === null) show(latest);
});
startTheme(byId('theme'), repaint);
new Poller({ onState, onLost }).start();
