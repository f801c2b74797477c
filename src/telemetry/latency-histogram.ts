/**
 * Latency histogram: microseconds in, percentiles out. The only place that imports hdr-histogram-js.
 *
 * Any thread, one owner each; threads and processes are joined by `toBase64` and `addBase64`. Uses the WASM build
 * (35 ns a record and 24 KB, against 115 ns and 190 KB of the JavaScript one) and falls back where WebAssembly is missing.
 * WASM memory is not garbage collected: `destroy` a histogram that is not needed any more.
 */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
  initWebAssemblySync,
} from 'hdr-histogram-js';

import { LATENCY_US_MAX } from './latency-counts.ts';

/** Three digits: a percentile is right to 0.1 %. */
const SIGNIFICANT_DIGITS = 3;
const COUNTER_BITS = 32;

/** The two builds cannot be added to each other, so one thread uses one of them throughout. */
const useWebAssembly = startWebAssembly();

function startWebAssembly(): boolean {
  try {
    initWebAssemblySync();
    return true;
  } catch {
    return false; // JavaScript build: slower and larger, same figures.
  }
}

export interface LatencySummaryMs {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export class LatencyHistogram {
  readonly #histogram: Histogram;

  constructor() {
    this.#histogram = build({
      useWebAssembly,
      bitBucketSize: COUNTER_BITS,
      autoResize: false,
      lowestDiscernibleValue: 1,
      highestTrackableValue: LATENCY_US_MAX,
      numberOfSignificantValueDigits: SIGNIFICANT_DIGITS,
    });
  }

  /** Hot. Below zero counts as zero (two clocks read a hair apart), fractions are cut off. */
  record(latencyUs: number): void {
    this.#histogram.recordValue(latencyUs <= 0 ? 0 : latencyUs >= LATENCY_US_MAX ? LATENCY_US_MAX : Math.floor(latencyUs));
  }

  /** For recorders that batch: `count` values at once. */
  recordMany(latencyUs: number, count: number): void {
    this.#histogram.recordValueWithCount(Math.min(Math.max(Math.floor(latencyUs), 0), LATENCY_US_MAX), count);
  }

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** 0 while nothing has been recorded, like every figure below. */
  get maxUs(): number {
    return this.count === 0 ? 0 : this.#histogram.maxValue;
  }

  get meanUs(): number {
    return this.count === 0 ? 0 : this.#histogram.mean;
  }

  /** `percentile` in [0, 100]. Like every HDR figure the upper end of its bucket: up to 0.1 % too high, never too low. */
  percentileUs(percentile: number): number {
    return this.count === 0 ? 0 : this.#histogram.getValueAtPercentile(percentile);
  }

  summaryMs(): LatencySummaryMs {
    return {
      p50: this.percentileUs(50) / 1000,
      p95: this.percentileUs(95) / 1000,
      p99: this.percentileUs(99) / 1000,
      p999: this.percentileUs(99.9) / 1000,
      max: this.maxUs / 1000,
    };
  }

  /** HdrHistogram's V2 compressed form: what other HDR tools read, and what crosses threads and processes here. */
  toBase64(): string {
    return encodeIntoCompressedBase64(this.#histogram);
  }

  addBase64(encoded: string): void {
    const other = decodeFromCompressedBase64(encoded, COUNTER_BITS, useWebAssembly);
    this.#histogram.add(other);
    other.destroy();
  }

  /** The .hgrm text that HdrHistogram's plotter reads, in milliseconds. */
  toHgrm(): string {
    // By way of the JavaScript build: the WASM one loses the zeros after the point when it scales (1.099 is printed as 1.990).
    const copy = decodeFromCompressedBase64(this.toBase64(), COUNTER_BITS, false);
    return copy.outputPercentileDistribution(5, 1000);
  }

  /** A copy for the interval log, which wants the library's own object. */
  forLog(tag: string): Histogram {
    const copy = decodeFromCompressedBase64(this.toBase64(), COUNTER_BITS, false);
    copy.tag = tag;
    return copy;
  }

  reset(): void {
    this.#histogram.reset();
  }

  destroy(): void {
    this.#histogram.destroy();
  }
}
