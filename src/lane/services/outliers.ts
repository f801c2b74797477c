/**
 * Outliers: which instances of a service did so much worse than the others in the last interval that calls are better off without them.
 *
 * Thread: the lane's. Pure. A breaker judges an instance by itself; this judges it by its siblings, so it finds one that is slow where the others are not.
 */
import type { OutlierConfig } from './service-config.ts';

export interface IntervalSample {
  readonly calls: number;
  readonly errors: number;
  readonly p50Ms: number;
}

export interface Outlier {
  /** Into the samples. */
  readonly index: number;
  readonly reason: 'errors' | 'latency';
  /** Error rate or median latency, its own and the others' median. */
  readonly value: number;
  readonly median: number;
}

/** With fewer there is no telling who is right. */
export const OUTLIER_INSTANCES_MIN = 3;

/** The worst first. */
export function findOutliers(samples: readonly IntervalSample[], config: OutlierConfig): Outlier[] {
  const judged = samples.map((sample, index) => ({ ...sample, index })).filter(({ calls }) => calls >= config.volume);
  if (judged.length < OUTLIER_INSTANCES_MIN) return [];
  const outliers: (Outlier & { readonly excess: number })[] = [];
  for (const { index, calls, errors, p50Ms } of judged) {
    const others = judged.filter((other) => other.index !== index);
    const judge = (reason: Outlier['reason'], value: number, median: number, least: number): boolean => {
      // A tenth of the least in the divisor: where the others have no errors at all, more errors are still worse than fewer.
      const isOut = value >= least && value > config.factor * median;
      if (isOut) outliers.push({ index, reason, value, median, excess: value / (median + least / 10 + Number.EPSILON) });
      return isOut;
    };
    const errorMedian = medianOf(others.map((other) => other.errors / other.calls));
    if (!judge('errors', errors / calls, errorMedian, config.errorRateMin)) {
      judge('latency', p50Ms, medianOf(others.map((other) => other.p50Ms)), config.latencyMsMin);
    }
  }
  return outliers
    .sort((left, right) => right.excess - left.excess || left.index - right.index)
    .map(({ index, reason, value, median }) => ({ index, reason, value, median }));
}

/** How many of so many instances may be out at once. */
export function ejectedMax(instanceCount: number, { maxEjectedPercent }: OutlierConfig): number {
  if (maxEjectedPercent === 0) return 0;
  return Math.max(1, Math.floor((instanceCount * maxEjectedPercent) / 100));
}

function medianOf(values: number[]): number {
  const sorted = values.sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
