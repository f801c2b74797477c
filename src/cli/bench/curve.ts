/**
 * A distribution in some forty points: enough to draw it as HdrHistogram does, little enough to keep beside the figures.
 *
 * The points stand evenly on the axis of such a plot, 1 / (1 - percentile): eight to a decade, so 90, 99, 99.9 … are among them. They end where
 * there are no more values to tell apart, and the last one is the maximum.
 */
import type { LatencyHistogram } from '../../telemetry/latency-histogram.ts';

/** `[percentile in 0..100, milliseconds]`, both ascending. */
export type LatencyCurve = readonly (readonly [number, number])[];

const POINTS_PER_DECADE = 8;
/** 99.999: beyond it a run of a minute has nothing to say. */
const DECADES_MAX = 5;

export function latencyCurve(histogram: LatencyHistogram): LatencyCurve {
  if (histogram.count === 0) return [];
  const points: [number, number][] = [];
  for (let step = 0; step <= DECADES_MAX * POINTS_PER_DECADE; step++) {
    const rest = 10 ** (-step / POINTS_PER_DECADE);
    if (rest * histogram.count < 1) break;
    const percentile = 100 * (1 - rest);
    points.push([Number(percentile.toFixed(4)), histogram.percentileUs(percentile) / 1000]);
  }
  points.push([100, histogram.maxUs / 1000]);
  return points;
}
