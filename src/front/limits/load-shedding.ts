/**
 * Load shedding: from samples of the event loop's delay and of memory to a level, with hysteresis.
 *
 *   0 ─► takes everything       1 ─► no new connections       2 ─► and no new subscriptions, starts and, if so configured, calls
 *
 * Thread: front only. Pure: samples come in. Up at once and over as many levels as it takes; down one level at a time, each after a while of calm below the
 * level's lower mark. What has been let in goes on at every level: publishes that fit, answers, deliveries, acknowledgements.
 */

export type LoadLevel = 0 | 1 | 2;

/** Marks by level, for 1 and 2. Infinity: this is not looked at. */
export interface SheddingOptions {
  readonly delayMs: readonly [number, number];
  readonly memoryBytes: readonly [number, number];
  /** A level is kept while a figure is at this share of its mark, or over it. Memory that was used once is slow to be given back, delay is not. */
  readonly delayLeavePercent: number;
  readonly memoryLeavePercent: number;
  /** Calm for so long before a level is left. */
  readonly leaveAfterMs: number;
  /** Told with what is refused. */
  readonly retryAfterMs: number;
  /** Level 2 refuses calls too. */
  readonly calls: boolean;
}

export interface LoadSample {
  /** How late the event loop was for a timer. */
  readonly delayMs: number;
  readonly memoryBytes: number;
}

export interface LoadChange {
  readonly from: LoadLevel;
  readonly to: LoadLevel;
  /** Smoothed, as it was judged. */
  readonly delayMs: number;
  readonly memoryBytes: number;
}

/** The delay is averaged over about this long: one pause of the collector is no overload, a second of them is. */
const SMOOTHING_MS = 1_000;

export class LoadShedding {
  readonly #options: SheddingOptions;
  #level: LoadLevel = 0;
  #delayMs = 0;
  #memoryBytes = 0;
  #sampledAtMs: number;
  /** Since when the level could be left; Infinity while it could not. */
  #calmSinceMs = Number.POSITIVE_INFINITY;

  constructor(options: SheddingOptions, nowMs: number) {
    this.#options = options;
    this.#sampledAtMs = nowMs;
  }

  get level(): LoadLevel {
    return this.#level;
  }
  /** Smoothed. */
  get delayMs(): number {
    return this.#delayMs;
  }
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** The change that the sample led to, or null. */
  sample({ delayMs, memoryBytes }: LoadSample, nowMs: number): LoadChange | null {
    // A sample that comes after a long silence speaks for all of it.
    const weight = 1 - Math.exp(-Math.max(0, nowMs - this.#sampledAtMs) / SMOOTHING_MS);
    this.#sampledAtMs = nowMs;
    this.#delayMs += (delayMs - this.#delayMs) * weight;
    this.#memoryBytes = memoryBytes;
    const { delayLeavePercent, memoryLeavePercent, leaveAfterMs } = this.#options;
    const wanted = this.#highest(100, 100);
    if (wanted > this.#level) return this.#change(wanted, nowMs);
    if (this.#level === 0) return null;
    if (this.#highest(delayLeavePercent, memoryLeavePercent) >= this.#level) {
      this.#calmSinceMs = Number.POSITIVE_INFINITY;
      return null;
    }
    this.#calmSinceMs = Math.min(this.#calmSinceMs, nowMs);
    if (nowMs - this.#calmSinceMs < leaveAfterMs) return null;
    return this.#change((this.#level - 1) as LoadLevel, nowMs);
  }

  /** The highest level one of whose marks, at these percents, is reached. */
  #highest(delayPercent: number, memoryPercent: number): LoadLevel {
    const { delayMs, memoryBytes } = this.#options;
    for (const level of [2, 1] as const) {
      const isLate = this.#delayMs * 100 >= delayMs[level - 1]! * delayPercent;
      const isFull = this.#memoryBytes * 100 >= memoryBytes[level - 1]! * memoryPercent;
      if (isLate || isFull) return level;
    }
    return 0;
  }

  #change(to: LoadLevel, nowMs: number): LoadChange {
    const from = this.#level;
    this.#level = to;
    // On the way down the next level's calm begins now: it could not be left before.
    this.#calmSinceMs = to < from ? nowMs : Number.POSITIVE_INFINITY;
    return { from, to, delayMs: Math.round(this.#delayMs), memoryBytes: this.#memoryBytes };
  }
}
