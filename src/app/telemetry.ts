/**
 * The relay's latencies, put together from the threads that record them: windows, reports, the interval log. Watches the event loop.
 *
 * Thread: main. A turn a second; everything else happens when somebody asks.
 */
import { elapsedUs, type RelayClock } from '../base/clock.ts';
import { LatencyCounts } from '../telemetry/latency-counts.ts';
import type { LatencyLog } from '../telemetry/latency-log.ts';
import { LatencyWindows, WINDOW_NAMES, type WindowName } from '../telemetry/latency-windows.ts';
import { type FrontLatencies, type LaneLatencies, STAGE_NAMES, type Stage } from '../telemetry/stages.ts';

const TURN_MS = 1_000;
/** Of the interval log. */
const LOG_INTERVAL_TURNS = 10;
/** How finely the event loop is watched: a timer that often. */
const EVENT_LOOP_TIMER_MS = 20;

export interface LatencyFigures {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
}

/** GET /latency. Milliseconds. */
export interface LatencyReport {
  readonly unit: 'ms';
  readonly stages: Readonly<Record<Stage, Readonly<Record<WindowName, LatencyFigures>>>>;
}

export class RelayTelemetry {
  readonly #clock: RelayClock;
  readonly #sources: Readonly<Record<Stage, readonly LatencyCounts[]>>;
  readonly #windows: Readonly<Record<Stage, LatencyWindows>>;
  readonly #eventLoopTimer: NodeJS.Timeout;
  #turnAtMs: number;
  #turns = 0;
  #report: LatencyReport | null = null;
  #log: { readonly lines: LatencyLog; readonly before: Map<Stage, LatencyCounts>; fromMs: number } | null = null;

  constructor(clock: RelayClock, front: FrontLatencies, lanes: readonly LaneLatencies[]) {
    this.#clock = clock;
    this.#turnAtMs = clock.monotonicMs() + TURN_MS;
    const sourcesOf = (stage: Stage): LatencyCounts[] =>
      [front, ...lanes].flatMap((threads) => {
        const counts = (threads as Partial<Record<Stage, LatencyCounts>>)[stage];
        return counts === undefined ? [] : [counts];
      });
    this.#sources = byStage(sourcesOf);
    this.#windows = byStage((stage) => new LatencyWindows(this.#sources[stage]));
    let dueUs = clock.stampUs() + EVENT_LOOP_TIMER_MS * 1_000;
    this.#eventLoopTimer = setInterval(() => {
      const nowUs = clock.stampUs();
      front.eventLoopDelay.record(elapsedUs(dueUs, nowUs));
      dueUs = nowUs + EVENT_LOOP_TIMER_MS * 1_000;
    }, EVENT_LOOP_TIMER_MS);
  }

  /** A few times a second. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#turnAtMs) return;
    // A turn that came late is one turn: the counts in it are those of a longer second.
    this.#turnAtMs = nowMs + TURN_MS;
    this.#turns++;
    for (const stage of STAGE_NAMES) this.#windows[stage].turn();
    this.#report = null;
    if (this.#turns % LOG_INTERVAL_TURNS === 0) this.#writeLog();
  }

  /** Kept until the next turn: many who look cost as much as one. */
  report(): LatencyReport {
    this.#report ??= {
      unit: 'ms',
      stages: byStage((stage) => {
        const figures = WINDOW_NAMES.map((window) => [window, figuresOf(this.#windows[stage].counts(window))]);
        return Object.fromEntries(figures) as Record<WindowName, LatencyFigures>;
      }),
    };
    return this.#report;
  }

  /** Everything since the start, of all threads: the caller's own copy. */
  counts(stage: Stage): LatencyCounts {
    return this.#windows[stage].counts('start');
  }

  /** The HDR curve: `[percentile, milliseconds]`, denser towards 100. */
  curve(stage: Stage, window: WindowName): readonly (readonly [percentile: number, ms: number])[] {
    const counts = this.#windows[stage].counts(window);
    if (counts.count === 0) return [];
    return counts.percentilesUs(CURVE_PERCENTILES).map((us, index) => [CURVE_PERCENTILES[index] as number, us / 1_000] as const);
  }

  /** The text that HdrHistogram's plotter reads. */
  async hgrm(stage: Stage, window: WindowName): Promise<string> {
    const { toHgrm } = await import('../telemetry/hdr-export.ts');
    return toHgrm(this.#windows[stage].counts(window));
  }

  /** From now on an interval log goes to `write`, every ten seconds. */
  async logTo(write: (line: string) => void): Promise<void> {
    const { LatencyLog } = await import('../telemetry/hdr-export.ts');
    const nowMs = this.#clock.nowMs();
    this.#log = { lines: new LatencyLog(write, nowMs), before: new Map(), fromMs: nowMs };
  }

  close(): void {
    clearInterval(this.#eventLoopTimer);
    this.#writeLog();
  }

  #writeLog(): void {
    const log = this.#log;
    if (log === null) return;
    const toMs = this.#clock.nowMs();
    for (const stage of STAGE_NAMES) {
      const now = this.counts(stage);
      const interval = new LatencyCounts();
      interval.setDifference(now, log.before.get(stage) ?? new LatencyCounts());
      log.before.set(stage, now);
      if (interval.count > 0) log.lines.write(stage, interval, log.fromMs, toMs);
    }
    log.fromMs = toMs;
  }
}

/** Five points to each halving of what is left, down to one in 10,000. */
const CURVE_PERCENTILES: readonly number[] = [
  0,
  ...Array.from({ length: 66 }, (_, index) => 100 - 100 * 2 ** (-(index + 1) / 5)).filter((percentile) => percentile < 99.99),
  99.99,
  100,
];

function byStage<T>(make: (stage: Stage) => T): Readonly<Record<Stage, T>> {
  return Object.fromEntries(STAGE_NAMES.map((stage) => [stage, make(stage)])) as Record<Stage, T>;
}

function figuresOf(counts: LatencyCounts): LatencyFigures {
  const { count, sumUs } = counts;
  const [p50 = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0, max = 0] = counts
    .percentilesUs(FIGURE_PERCENTILES)
    .map((us) => us / 1_000);
  return { count, p50, p90, p95, p99, p999, max, mean: count === 0 ? 0 : Math.round(sumUs / count) / 1_000 };
}

const FIGURE_PERCENTILES = [50, 90, 95, 99, 99.9, 100] as const;
