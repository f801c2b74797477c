/**
 * Latency counts as HdrHistogram files: .hgrm, and lines of an interval log. Loads the HDR library, so whoever wants neither does not import this.
 *
 * Thread: main.
 */
import type { LatencyCounts } from './latency-counts.ts';
import { LatencyHistogram } from './latency-histogram.ts';

export { LatencyLog } from './latency-log.ts';

/** The text that HdrHistogram's plotter reads, in milliseconds. */
export function toHgrm(counts: LatencyCounts): string {
  return withHistogram(counts, (histogram) => histogram.toHgrm());
}

/** Reads from an HDR histogram of the same values, each as the largest of its bucket. */
export function withHistogram<T>(counts: LatencyCounts, read: (histogram: LatencyHistogram) => T): T {
  const histogram = new LatencyHistogram();
  try {
    counts.forEach((endUs, count) => {
      histogram.recordMany(endUs, count);
    });
    return read(histogram);
  } finally {
    histogram.destroy(); // Memory of WebAssembly is nobody's to collect.
  }
}
