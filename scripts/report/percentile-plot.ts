/**
 * Percentile plot: latency over percentile as HdrHistogram draws it, both axes logarithmic (the percentile's by 1 / (1 - p)), as one SVG.
 *
 * Pure text in, text out; the same figures give the same bytes. Readable in light and dark, in print, and without colour: each line has its own dashes and
 * its name at its end.
 */
import type { LatencyCurve } from '../../src/cli/bench/curve.ts';

export interface PlotLine {
  readonly label: string;
  readonly curve: LatencyCurve;
}

const WIDTH = 900;
const HEIGHT = 420;
const MARGIN = { left: 64, right: 220, top: 44, bottom: 48 };
const PLOT_WIDTH = WIDTH - MARGIN.left - MARGIN.right;
const PLOT_HEIGHT = HEIGHT - MARGIN.top - MARGIN.bottom;
const LABEL_HEIGHT = 15;

const PERCENTILE_TICKS = [0, 50, 90, 99, 99.9, 99.99, 99.999];
/** Hues that differ for most eyes, and in lightness for all. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#aa3377', '#997700', '#56a0d3', '#777777', '#b03a2e'];
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '5 5', '1 2', '12 4', '3 6'];

export function percentilePlot(title: string, lines: readonly PlotLine[]): string {
  const drawn = lines.filter(({ curve }) => curve.length > 1);
  const values = drawn.flatMap(({ curve }) => curve.map(([, ms]) => ms)).filter((ms) => ms > 0);
  if (values.length === 0) throw new RangeError(`nothing to draw in '${title}'`);
  const lowest = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const highest = 10 ** Math.ceil(Math.log10(Math.max(...values) * 1.001));
  // The last point of a curve is its maximum, at 100 %: drawn where its run has no more values to tell apart.
  const decades = Math.max(...drawn.map(({ curve }) => decadeOf(curve.at(-2)?.[0] ?? 0))) + 0.25;
  const x = (percentile: number, isMaximum: boolean): number =>
    MARGIN.left + (Math.min(isMaximum ? decades : decadeOf(percentile), decades) / decades) * PLOT_WIDTH;
  const y = (ms: number): number => {
    const share = Math.log10(Math.max(ms, lowest) / lowest) / Math.log10(highest / lowest);
    return MARGIN.top + PLOT_HEIGHT * (1 - share);
  };

  const parts: string[] = [];
  for (const percentile of PERCENTILE_TICKS.filter((tick) => decadeOf(tick) <= decades)) {
    const at = text(x(percentile, false));
    parts.push(`<path class="grid" d="M${at} ${MARGIN.top}V${MARGIN.top + PLOT_HEIGHT}"/>`);
    parts.push(`<text x="${at}" y="${MARGIN.top + PLOT_HEIGHT + 18}" text-anchor="middle">${percentile} %</text>`);
  }
  for (let ms = lowest; ms <= highest * 1.001; ms *= 10) {
    const at = text(y(ms));
    parts.push(`<path class="grid" d="M${MARGIN.left} ${at}H${MARGIN.left + PLOT_WIDTH}"/>`);
    parts.push(
      `<text x="${MARGIN.left - 8}" y="${at}" text-anchor="end" dominant-baseline="middle">${Number(ms.toPrecision(1))} ms</text>`,
    );
  }
  const ends = spread(drawn.map(({ curve }) => y(curve.at(-1)?.[1] ?? lowest)));
  for (const [index, { label, curve }] of drawn.entries()) {
    const colour = COLOURS[index % COLOURS.length];
    const points = curve.map(([percentile, ms], place) => `${text(x(percentile, place === curve.length - 1))} ${text(y(ms))}`);
    const dashes = DASHES[index % DASHES.length];
    parts.push(
      `<path class="line" d="M${points.join('L')}" stroke="${colour}"${dashes === '' ? '' : ` stroke-dasharray="${dashes}"`}/>`,
    );
    const at = text(ends[index] as number);
    parts.push(
      `<text x="${MARGIN.left + PLOT_WIDTH + 8}" y="${at}" dominant-baseline="middle" fill="${colour}" class="name">${escapeXml(label)}</text>`,
    );
  }
  const said = drawn
    .map(({ label, curve }) => `${label}: ${at(curve, 50)} ms at the median, ${at(curve, 99)} ms at 99 %`)
    .join('; ');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="title desc">`,
    `<title id="title">${escapeXml(title)}</title>`,
    `<desc id="desc">Latency by percentile. ${escapeXml(said)}.</desc>`,
    '<style>',
    'svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#333}.name{font-weight:600}.heading{font-size:14px;font-weight:600}',
    '.grid{stroke:#ddd;fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}',
    '@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ccc}.grid{stroke:#3a3d44}.line,.name{filter:brightness(1.35)}}',
    ...COLOURS.slice(0, drawn.length).map((colour) => `.name[fill="${colour}"]{fill:${colour}}`),
    '</style>',
    `<text x="${MARGIN.left}" y="24" class="heading">${escapeXml(title)}</text>`,
    ...parts,
    `<text x="${MARGIN.left + PLOT_WIDTH / 2}" y="${HEIGHT - 10}" text-anchor="middle">percentile of deliveries; the end of a line is the maximum</text>`,
    '</svg>',
    '',
  ].join('\n');
}

/** 0 % is 0, 90 % is 1, 99 % is 2 … */
function decadeOf(percentile: number): number {
  return -Math.log10(Math.max(1 - percentile / 100, 1e-9));
}

/** The curve's value where it passes the percentile. */
function at(curve: LatencyCurve, percentile: number): string {
  return (curve.find(([reached]) => reached >= percentile) ?? curve.at(-1) ?? [0, 0])[1].toFixed(2);
}

/** Heights of names, moved apart where they would cover each other; the order stays. */
function spread(heights: readonly number[]): number[] {
  const order = heights.map((_, index) => index).sort((one, other) => (heights[one] as number) - (heights[other] as number));
  const moved = [...heights];
  let floor = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    moved[index] = Math.max(moved[index] as number, floor + LABEL_HEIGHT);
    floor = moved[index];
  }
  // What was pushed out at the bottom comes back up.
  const over = floor - (MARGIN.top + PLOT_HEIGHT);
  if (over <= 0) return moved;
  let ceiling = Number.POSITIVE_INFINITY;
  for (const index of order.toReversed()) {
    moved[index] = Math.min(moved[index] as number, Math.min(ceiling - LABEL_HEIGHT, MARGIN.top + PLOT_HEIGHT));
    ceiling = moved[index];
  }
  return moved;
}

function text(value: number): string {
  return String(Number(value.toFixed(1)));
}

function escapeXml(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('`', '');
}
