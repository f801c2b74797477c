/**
 * Latency counts: how often each latency was seen, as plain counters in the bucket layout of an HDR histogram, in memory that may be shared.
 *
 * Any thread; one writer per object, readers anywhere (they may see a count late, never a torn one). Recording is a shift, an add and nothing else:
 * no call into WebAssembly, no allocation, so every message can afford it. Percentiles are read from the counts when somebody asks; .hgrm and log files
 * are made of them by the HDR library (hdr-export.ts), which is loaded then and not before.
 *
 * Layout, for values in microseconds:
 *   0 … 255           a bucket each
 *   2^n … 2^(n+1)-1   128 buckets each, n from 8 to 29: a bucket is at most 1/128 of its value wide
 */

/** Ten minutes. Above it values are counted as this one: the recorder must never throw on a hot path. */
export const LATENCY_US_MAX = 600_000_000;
const LINEAR_BUCKETS = 256;
const BUCKETS_PER_OCTAVE = 128;
/** 2^29 us is nine minutes; LATENCY_US_MAX lies in the octave that begins there. */
const OCTAVE_FIRST = 8;
const OCTAVE_LAST = 29;
export const BUCKET_COUNT = LINEAR_BUCKETS + (OCTAVE_LAST - OCTAVE_FIRST + 1) * BUCKETS_PER_OCTAVE;
/** The sum of all values stands behind the buckets: a float64 in two words, 8-byte aligned. */
const SUM_WORDS = 2;
export const LATENCY_COUNTS_BYTES = (BUCKET_COUNT + SUM_WORDS) * 4;

/** Hot. `latencyUs` is an integer in [0, LATENCY_US_MAX]. */
function bucketOf(latencyUs: number): number {
  if (latencyUs < LINEAR_BUCKETS) return latencyUs;
  const octave = 31 - Math.clz32(latencyUs);
  return (
    LINEAR_BUCKETS + (octave - OCTAVE_FIRST) * BUCKETS_PER_OCTAVE + ((latencyUs >>> (octave - 7)) & (BUCKETS_PER_OCTAVE - 1))
  );
}

/** The largest value that falls into the bucket: like every HDR figure never too low. */
export function bucketEndUs(bucket: number): number {
  if (bucket < LINEAR_BUCKETS) return bucket;
  const place = bucket - LINEAR_BUCKETS;
  const octave = OCTAVE_FIRST + Math.floor(place / BUCKETS_PER_OCTAVE);
  const widthUs = 2 ** (octave - 7);
  return 2 ** octave + (place % BUCKETS_PER_OCTAVE) * widthUs + widthUs - 1;
}

export class LatencyCounts {
  readonly buckets: Uint32Array;
  readonly #sumUs: Float64Array;

  /** `memory` has LATENCY_COUNTS_BYTES from `offsetBytes` on, a multiple of 8. */
  constructor(memory: ArrayBufferLike = new ArrayBuffer(LATENCY_COUNTS_BYTES), offsetBytes = 0) {
    this.buckets = new Uint32Array(memory, offsetBytes, BUCKET_COUNT);
    this.#sumUs = new Float64Array(memory, offsetBytes + BUCKET_COUNT * 4, 1);
  }

  /** Hot. Below zero counts as zero (two clocks read a hair apart), above LATENCY_US_MAX as that; fractions are cut off. */
  record(latencyUs: number, count = 1): void {
    const value = latencyUs <= 0 ? 0 : latencyUs >= LATENCY_US_MAX ? LATENCY_US_MAX : latencyUs | 0;
    this.buckets[bucketOf(value)]! += count;
    this.#sumUs[0]! += value * count;
  }

  get sumUs(): number {
    return this.#sumUs[0] as number;
  }

  get count(): number {
    let count = 0;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) count += this.buckets[bucket] as number;
    return count;
  }

  /** Adds what `other` counts. */
  add(other: LatencyCounts): void {
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) this.buckets[bucket]! += other.buckets[bucket] as number;
    this.#sumUs[0]! += other.sumUs;
  }

  /** Makes this what `now` counts and `before` did not. Counters wrap at 2^32, and so does the difference. */
  setDifference(now: LatencyCounts, before: LatencyCounts): void {
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++)
      this.buckets[bucket] = (now.buckets[bucket] as number) - (before.buckets[bucket] as number);
    this.#sumUs[0] = now.sumUs - before.sumUs;
  }

  copyFrom(other: LatencyCounts): void {
    this.buckets.set(other.buckets);
    this.#sumUs[0] = other.sumUs;
  }

  clear(): void {
    this.buckets.fill(0);
    this.#sumUs[0] = 0;
  }

  /** How many values were at most `boundUs`, for the bounds in ascending order. A bucket counts where its largest value is within the bound. */
  cumulative(boundsUs: readonly number[]): number[] {
    const counts: number[] = [];
    let bucket = 0;
    let count = 0;
    for (const boundUs of boundsUs) {
      while (bucket < BUCKET_COUNT && bucketEndUs(bucket) <= boundUs) count += this.buckets[bucket++] as number;
      counts.push(count);
    }
    return counts;
  }

  /**
   * The values at these percentiles, in [0, 100] and ascending: each the largest value of the bucket that the percentile falls into, at most 1/128 too
   * high. 0 while nothing has been counted.
   */
  percentilesUs(percentiles: readonly number[]): number[] {
    const total = this.count;
    if (total === 0) return percentiles.map(() => 0);
    const values: number[] = [];
    let bucket = 0;
    let counted = this.buckets[0] as number;
    for (const percentile of percentiles) {
      const wanted = Math.max(1, Math.ceil((total * percentile) / 100 - PERCENTILE_ROUNDING));
      while (counted < wanted) counted += this.buckets[++bucket] as number;
      values.push(bucketEndUs(bucket));
    }
    return values;
  }

  /** Calls for every bucket that has counted anything, in ascending order. */
  forEach(visit: (endUs: number, count: number) => void): void {
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      const count = this.buckets[bucket] as number;
      if (count > 0) visit(bucketEndUs(bucket), count);
    }
  }
}

/** 99.9 % of 1,000 is 999, whatever the float says. */
const PERCENTILE_ROUNDING = 1e-9;
