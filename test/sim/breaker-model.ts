/**
 * A breaker and the outliers as docs/services.md describes them, for the oracle: a list of calls where the lane has buckets and sums.
 */
import type { BreakerConfig, OutlierConfig } from '../../src/lane/services/service-config.ts';

export type Outcome = 'ok' | 'error' | 'neutral';

/** A window moves on in tenths. */
const STEPS = 10;

export class BreakerModel {
  state: 'closed' | 'open' | 'halfOpen' = 'closed';
  openMs: number;
  openUntilMs = 0;
  readonly #config: BreakerConfig;
  #log: { readonly step: number; readonly isError: boolean; readonly isSlow: boolean }[] = [];
  #trial = 0;
  #probing = 0;
  #proven = 0;

  constructor(config: BreakerConfig) {
    this.#config = config;
    this.openMs = config.openMs;
  }

  get allows(): boolean {
    return this.state === 'closed' || (this.state === 'halfOpen' && this.#probing + this.#proven < this.#config.probes);
  }

  /** Number of the trial that the call is a probe of; 0: of none. */
  begin(): number {
    if (this.state !== 'halfOpen') return 0;
    this.#probing++;
    return this.#trial;
  }

  /** True: the state has changed. */
  end(probe: number, outcome: Outcome, durationMs: number, nowMs: number): boolean {
    const { slowMs, windowMs, volume, errorRate, slowRate, probes, openMsMax } = this.#config;
    const isError = outcome === 'error';
    const isSlow = slowMs > 0 && durationMs > slowMs;
    if (probe !== 0) {
      if (this.state !== 'halfOpen' || probe !== this.#trial) return false;
      this.#probing--;
      if (outcome === 'neutral') return false;
      if (isError || isSlow) {
        this.openMs = Math.min(2 * this.openMs, openMsMax);
        return this.#open(nowMs);
      }
      if (++this.#proven < probes) return false;
      this.state = 'closed';
      this.openMs = this.#config.openMs;
      return true;
    }
    if (this.state !== 'closed' || outcome === 'neutral') return false;
    const step = Math.floor(nowMs / (windowMs / STEPS));
    this.#log = [...this.#log.filter((call) => call.step > step - STEPS), { step, isError, isSlow }];
    const errors = this.#log.filter((call) => call.isError).length;
    const slow = this.#log.filter((call) => call.isSlow).length;
    const calls = this.#log.length;
    if (calls < volume) return false;
    return (errors >= errorRate * calls || (slow > 0 && slow >= slowRate * calls)) && this.#open(nowMs);
  }

  tryAgain(): void {
    this.state = 'halfOpen';
    this.#trial++;
    this.#probing = this.#proven = 0;
  }

  #open(nowMs: number): boolean {
    this.state = 'open';
    this.openUntilMs = nowMs + this.openMs;
    this.#log = [];
    return true;
  }
}

export interface Sample {
  readonly calls: number;
  readonly errors: number;
  readonly p50Ms: number;
}

export interface OutlierModel {
  readonly index: number;
  readonly reason: 'errors' | 'latency';
  readonly value: number;
  readonly median: number;
}

/** Who does so much worse than the others, the worst first. */
export function outliersOf(samples: readonly Sample[], config: OutlierConfig): OutlierModel[] {
  const judged = samples.map((sample, index) => ({ ...sample, index })).filter(({ calls }) => calls >= config.volume);
  if (judged.length < 3) return [];
  const found: (OutlierModel & { readonly excess: number })[] = [];
  for (const { index, calls, errors, p50Ms } of judged) {
    const others = judged.filter((other) => other.index !== index);
    for (const { reason, value, median, least } of [
      {
        reason: 'errors' as const,
        value: errors / calls,
        median: medianOf(others.map((other) => other.errors / other.calls)),
        least: config.errorRateMin,
      },
      {
        reason: 'latency' as const,
        value: p50Ms,
        median: medianOf(others.map((other) => other.p50Ms)),
        least: config.latencyMsMin,
      },
    ]) {
      if (value < least || value <= config.factor * median) continue;
      found.push({ index, reason, value, median, excess: value / (median + least / 10 + Number.EPSILON) });
      break;
    }
  }
  return found.sort((one, other) => other.excess - one.excess || one.index - other.index);
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] as number) + (sorted[Math.floor(half)] as number)) / 2;
}
