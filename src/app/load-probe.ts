/**
 * Reads how the process fares: how late the event loop is for the relay's own ticks, and how much memory is resident.
 *
 * Thread: main. Called by every tick; memory is read once a second, since the kernel makes a text of it.
 */
import type { Clock } from '../base/clock.ts';
import type { LoadSample } from '../front/limits/load-shedding.ts';

const MEMORY_INTERVAL_MS = 1_000;

export class LoadProbe {
  readonly #clock: Clock;
  readonly #tickMs: number;
  #tickedAtMs: number;
  #memoryAtMs = Number.NEGATIVE_INFINITY;
  #memoryBytes = 0;

  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#tickedAtMs = clock.monotonicMs();
  }

  sample(): LoadSample {
    const nowMs = this.#clock.monotonicMs();
    const delayMs = Math.max(0, nowMs - this.#tickedAtMs - this.#tickMs);
    this.#tickedAtMs = nowMs;
    if (nowMs - this.#memoryAtMs >= MEMORY_INTERVAL_MS) {
      this.#memoryAtMs = nowMs;
      this.#memoryBytes = process.memoryUsage.rss();
    }
    return { delayMs, memoryBytes: this.#memoryBytes };
  }
}
