/**
 * How long calls took, in few bytes: counts on a logarithmic scale, eight to an octave, so that a percentile is right to about 6 %.
 *
 * Thread: the lane's. Plain integers and no library: the same in every run. Recent calls weigh more: whenever it has counted so many, all counts are halved.
 */

/** Values below are exact. */
const LINEAR_MS = 8;
const STEPS_PER_OCTAVE = 8;
/** 2^27 ms are 37 hours: no call may take longer. */
const OCTAVES = 24;
const BUCKETS = LINEAR_MS + OCTAVES * STEPS_PER_OCTAVE;
/** About the last so many calls are what the percentiles speak of. */
const HALVED_AT = 8_192;

export class CallLatency {
  /** Made at the first call: most instances of a large fleet are idle. */
  #counts: Uint32Array | null = null;
  #total = 0;

  get count(): number {
    return this.#total;
  }

  /** Hot. */
  record(durationMs: number): void {
    this.#counts ??= new Uint32Array(BUCKETS);
    this.#counts[bucketOf(durationMs)]!++;
    if (++this.#total === HALVED_AT) this.#halve(this.#counts);
  }

  /** `percentile` in [0, 100]; 0 while nothing has been recorded. */
  percentileMs(percentile: number): number {
    if (this.#counts === null || this.#total === 0) return 0;
    let left = Math.max(1, Math.ceil((this.#total * percentile) / 100));
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#counts[bucket] as number;
      if (left <= 0) return middleOf(bucket);
    }
    return middleOf(BUCKETS - 1);
  }

  reset(): void {
    this.#counts?.fill(0);
    this.#total = 0;
  }

  #halve(counts: Uint32Array): void {
    this.#total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) this.#total += counts[bucket] = (counts[bucket] as number) >>> 1;
  }
}

function bucketOf(durationMs: number): number {
  const value = Math.max(0, Math.floor(durationMs));
  if (value < LINEAR_MS) return value;
  const exponent = 31 - Math.clz32(Math.min(value, 0x7fff_ffff));
  const octave = exponent - 3;
  if (octave >= OCTAVES) return BUCKETS - 1;
  return LINEAR_MS + octave * STEPS_PER_OCTAVE + ((value >>> octave) - STEPS_PER_OCTAVE);
}

/** The whole millisecond in the middle of what the bucket holds. */
function middleOf(bucket: number): number {
  if (bucket < LINEAR_MS) return bucket;
  const octave = Math.floor((bucket - LINEAR_MS) / STEPS_PER_OCTAVE);
  const step = (bucket - LINEAR_MS) % STEPS_PER_OCTAVE;
  const from = (STEPS_PER_OCTAVE + step) * 2 ** octave;
  return from + Math.floor((2 ** octave - 1) / 2);
}
