/**
 * The interval log: one HDR histogram per stage and interval, as the standard HdrHistogram tools read it (HistogramLogAnalyzer, HistogramLogProcessor).
 *
 * Thread: main. Lines are handed to `write`; where they go, and what happens when that fails, is the caller's. Values are microseconds, the interval's
 * maximum stands in milliseconds, as the tools expect.
 */
import { HistogramLogWriter } from 'hdr-histogram-js';
import { withHistogram } from './hdr-export.ts';
import type { LatencyCounts } from './latency-counts.ts';

const US_PER_MS = 1_000;

export class LatencyLog {
  readonly #writer: HistogramLogWriter;

  constructor(write: (line: string) => void, startMs: number) {
    this.#writer = new HistogramLogWriter(write);
    this.#writer.outputLogFormatVersion();
    // Not outputStartTime: it writes an empty line behind its own, at which some readers stop.
    this.#writer.outputComment(
      `[StartTime: ${(startMs / 1_000).toFixed(3)} (seconds since epoch), ${new Date(startMs).toISOString()}]`,
    );
    this.#writer.outputLegend();
  }

  /** What was counted from `fromMs` to `toMs`, both since the epoch. */
  write(stage: string, counts: LatencyCounts, fromMs: number, toMs: number): void {
    const copy = withHistogram(counts, (histogram) => histogram.forLog(stage));
    this.#writer.outputIntervalHistogram(copy, fromMs / 1_000, toMs / 1_000, US_PER_MS);
  }
}
