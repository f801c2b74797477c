/**
 * The charts, by uPlot: lines over time, and the percentile curve on the scale that HdrHistogram's plots have, where every nine of the
 * percentile is as wide as the one before.
 *
 * A canvas says nothing to a screen reader: every chart has a label with its figures, and what it shows stands in a table or tile too.
 */
import uPlot from 'uplot';
import type { PercentileCurve } from '../ops/ops-state.ts';
import { durationText, msText, rateText } from '../ops/words.ts';
import { setAttribute } from './dom.ts';
import type { Series } from './series.ts';

export interface Line {
  readonly name: string;
  /** A custom property of app.css. */
  readonly color: string;
  /** Lines differ by more than their colour. */
  readonly isDashed?: true;
}

/** Redrawn on a change of size or theme. */
abstract class Chart {
  protected readonly host: HTMLElement;
  protected plot: uPlot | null = null;

  constructor(host: HTMLElement) {
    this.host = host;
    new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = this.host;
      if (this.plot !== null && width > 0 && (this.plot.width !== width || this.plot.height !== height))
        this.plot.setSize({ width, height });
    }).observe(host);
  }

  /** Colours are painted, not styled: a new theme needs a new plot. */
  repaint(): void {
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }

  protected abstract draw(): void;

  protected show(data: uPlot.AlignedData, options: () => Omit<uPlot.Options, 'width' | 'height'>): void {
    if (this.plot !== null) this.plot.setData(data);
    else this.plot = new uPlot({ width: this.host.clientWidth, height: this.host.clientHeight, ...options() }, data, this.host);
  }

  /** As the theme has it now. */
  protected color(property: string): string {
    this.host.style.color = `var(${property})`;
    const { color } = getComputedStyle(this.host);
    this.host.style.color = '';
    return color;
  }

  protected axis(more: uPlot.Axis): uPlot.Axis {
    const line = this.color('--line');
    return {
      stroke: this.color('--dim'),
      font: `11px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: line, width: 1 },
      ticks: { stroke: line, width: 1, size: 4 },
      ...more,
    };
  }
}

const CURSOR: uPlot.Cursor = { drag: { x: false, y: false }, points: { size: 6 } };
const Y_AXIS_WIDTH = 48;
const X_AXIS_HEIGHT = 28;

/** Lines over the last minutes. */
export class TimeChart extends Chart {
  readonly #series: Series;
  readonly #lines: readonly Line[];
  readonly #isLog: boolean;

  constructor(host: HTMLElement, series: Series, lines: readonly Line[], scale: 'log' | 'linear') {
    super(host);
    this.#series = series;
    this.#lines = lines;
    this.#isLog = scale === 'log';
  }

  /** `label`: what a screen reader says instead of the picture. */
  update(label: string): void {
    setAttribute(this.host, 'aria-label', label);
    this.draw();
  }

  protected override draw(): void {
    const { times, values } = this.#series;
    this.show([times, ...values] as uPlot.AlignedData, () => ({
      legend: { show: false },
      cursor: CURSOR,
      scales: {
        x: { time: true, range: (_plot, _min, max) => [(max ?? 0) - secondsShown(times), max ?? 0] },
        y: this.#isLog ? { distr: 3, range: logRange } : { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] },
      },
      axes: [
        this.axis({
          size: X_AXIS_HEIGHT,
          values: (_plot, ticks, _axis, _space, step) => ticks.map((tick) => clockText(tick, step)),
          space: 70,
        }),
        this.axis({
          size: Y_AXIS_WIDTH,
          values: (_plot, ticks) => ticks.map((tick) => axisText(tick, this.#isLog)),
          ...(this.#isLog ? { filter: powersOnly } : {}),
        }),
      ],
      series: [
        {},
        ...this.#lines.map(({ name, color, isDashed }) => ({
          label: name,
          stroke: this.color(color),
          width: 1.5,
          ...(isDashed ? { dash: [5, 2] } : {}),
          points: { show: false },
          spanGaps: false,
        })),
      ],
    }));
  }
}

/** Percentiles by nines: 0, 90, 99, 99.9 and 99.99 stand equally far apart. */
export class CurveChart extends Chart {
  #curve: PercentileCurve = [];

  update(curve: PercentileCurve): void {
    this.#curve = curve;
    const at = (wanted: number): string => durationText(curve.find(([percentile]) => percentile >= wanted)?.[1]);
    setAttribute(
      this.host,
      'aria-label',
      curve.length === 0
        ? 'Latency by percentile: nothing recorded'
        : `Latency by percentile in the last minute: 50 % within ${at(50)}, 99 % within ${at(99)}, 99.9 % within ${at(99.9)}`,
    );
    this.draw();
  }

  protected override draw(): void {
    const shown = this.#curve.filter(([percentile]) => nines(percentile) <= NINES_MAX);
    this.show([shown.map(([percentile]) => nines(percentile)), shown.map(([, ms]) => ms)], () => ({
      legend: { show: false },
      cursor: CURSOR,
      scales: {
        x: { time: false, range: [0, NINES_MAX] },
        y: { range: (_plot, _min, max) => [0, Math.max(0.1, (max ?? 0) * 1.1)] },
      },
      axes: [
        this.axis({
          size: X_AXIS_HEIGHT,
          splits: () => NINES.map(nines),
          values: () => NINES.map((percentile) => `${percentile}`),
        }),
        this.axis({ size: Y_AXIS_WIDTH, values: (_plot, ticks) => ticks.map(msText) }),
      ],
      series: [
        {},
        {
          label: 'ms',
          stroke: this.color('--accent'),
          fill: `color-mix(in srgb, ${this.color('--accent')} 14%, transparent)`,
          width: 1.75,
          points: { show: false },
        },
      ],
    }));
  }
}

const NINES = [0, 50, 90, 99, 99.9, 99.99];
const NINES_MAX = nines(99.99);

/** 90 -> 1, 99 -> 2, 99.9 -> 3 */
function nines(percentile: number): number {
  return percentile >= 100 ? Number.POSITIVE_INFINITY : -Math.log10(1 - percentile / 100);
}

/** A minute at least, so that a page just opened does not stretch three seconds over its width. */
function secondsShown(times: readonly number[]): number {
  return Math.max(60, (times.at(-1) ?? 0) - (times[0] ?? 0));
}

/** Whole powers of ten around what is there; a millisecond where nothing is. */
function logRange(_plot: uPlot, min: number | null, max: number | null): [number, number] {
  const low = min === null || min <= 0 ? 0.1 : min;
  const high = max === null || max <= 0 ? 10 : max;
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.01))];
}

/** uPlot splits a logarithmic axis by every digit: lines for all of them, words for the powers. */
function powersOnly(_plot: uPlot, splits: number[]): (number | null)[] {
  return splits.map((split) =>
    Math.abs(Math.log10(split) % 1) < 1e-9 || Math.abs(Math.log10(split) % 1) > 1 - 1e-9 ? split : null,
  );
}

function axisText(tick: number | null, isLog: boolean): string {
  if (tick === null) return '';
  return isLog ? String(Number(tick.toPrecision(3))) : rateText(tick);
}

/** Seconds only where the marks are less than a minute apart. */
function clockText(seconds: number, stepSeconds: number): string {
  return new Date(seconds * 1_000).toLocaleTimeString('en-GB').slice(0, stepSeconds < 60 ? 8 : 5);
}
