/**
 * Admission: may one more connection come in? Asked before the WebSocket upgrade, so that a refusal costs little.
 *
 * Thread: front only.
 */
import type { FrontMetrics } from './front-metrics.ts';
import type { FrontLimits } from './limits/front-limits.ts';

export interface AdmissionOptions {
  readonly connectionsMax: number;
  /** Upgrades per second, as a token bucket of one second's size. */
  readonly connectRatePerSecond: number;
}

export type Admission =
  | { readonly admitted: true }
  | { readonly admitted: false; readonly status: RefusalStatus; readonly reason: string; readonly retryAfterSeconds: number };

/** Of the HTTP answer: 429 where it is the address that has too much, 503 where the relay has. */
export type RefusalStatus = 429 | 503;

/** To somebody outside, who should not learn more. */
export const AUDIT_BLOCKED_TEXT = 'the relay takes nobody in just now';
const ADMITTED: Admission = { admitted: true };
/** A full relay empties slowly; a rate limit is over in the next second. */
const LIMIT_RETRY_AFTER_SECONDS = 5;
const RATE_RETRY_AFTER_SECONDS = 1;

export class AdmissionGate {
  readonly #options: AdmissionOptions;
  readonly #metrics: FrontMetrics;
  readonly #limits: FrontLimits | null;
  #tokens: number;
  #refilledAtMs: number;
  /** Upgrades that were let through and have not opened yet are counted by the caller with the open ones. */
  constructor(options: AdmissionOptions, metrics: FrontMetrics, nowMs: number, limits: FrontLimits | null = null) {
    this.#options = options;
    this.#metrics = metrics;
    this.#limits = limits;
    this.#tokens = options.connectRatePerSecond;
    this.#refilledAtMs = nowMs;
  }

  /** `address`: where limits are counted by it. `auditBlocked`: what happened could not be written down. */
  admit(connectionCount: number, draining: boolean, nowMs: number, address = '', auditBlocked = false): Admission {
    if (draining) {
      this.#metrics.connectionsRefusedDraining++;
      return refuse('the relay is shutting down', LIMIT_RETRY_AFTER_SECONDS);
    }
    if (auditBlocked) {
      this.#metrics.connectionsRefusedAudit++;
      return refuse(AUDIT_BLOCKED_TEXT, LIMIT_RETRY_AFTER_SECONDS);
    }
    const limits = this.#limits;
    if (limits !== null && limits.load.level > 0) {
      this.#metrics.connectionsRefusedLoad++;
      return refuse('the relay is overloaded', LIMIT_RETRY_AFTER_SECONDS);
    }
    const { connectionsMax, connectRatePerSecond } = this.#options;
    if (connectionCount >= connectionsMax) {
      this.#metrics.connectionsRefusedLimit++;
      return refuse(`connection limit reached: connectionsMax=${connectionsMax}`, LIMIT_RETRY_AFTER_SECONDS);
    }
    // Before the rate of all: who may not come in for his own sake uses up nobody else's share.
    const refusal = limits?.connectRefusal(address, nowMs) ?? null;
    if (refusal !== null) return refuse(refusal.reason, Math.ceil(refusal.retryAfterMs / 1_000), 429);
    const elapsedMs = Math.max(0, nowMs - this.#refilledAtMs);
    this.#tokens = Math.min(connectRatePerSecond, this.#tokens + (elapsedMs * connectRatePerSecond) / 1_000);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) {
      this.#metrics.connectionsRefusedRate++;
      return refuse(`connect rate reached: connectRatePerSecond=${connectRatePerSecond}`, RATE_RETRY_AFTER_SECONDS);
    }
    this.#tokens--;
    limits?.connecting(address, nowMs);
    return ADMITTED;
  }
}

function refuse(reason: string, retryAfterSeconds: number, status: RefusalStatus = 503): Admission {
  return { admitted: false, status, reason, retryAfterSeconds };
}
