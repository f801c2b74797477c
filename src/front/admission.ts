/**
 * Admission: may one more connection come in? Asked before the WebSocket upgrade, so that a refusal costs little.
 *
 * Thread: front only.
 */
import type { FrontMetrics } from './front-metrics.ts';

export interface AdmissionOptions {
  readonly connectionsMax: number;
  /** Upgrades per second, as a token bucket of one second's size. */
  readonly connectRatePerSecond: number;
}

export type Admission =
  | { readonly admitted: true }
  | { readonly admitted: false; readonly reason: string; readonly retryAfterSeconds: number };

/** To somebody outside, who should not learn more. */
export const AUDIT_BLOCKED_TEXT = 'the relay takes nobody in just now';
const ADMITTED: Admission = { admitted: true };
/** A full relay empties slowly; a rate limit is over in the next second. */
const LIMIT_RETRY_AFTER_SECONDS = 5;
const RATE_RETRY_AFTER_SECONDS = 1;

export class AdmissionGate {
  readonly #options: AdmissionOptions;
  readonly #metrics: FrontMetrics;
  #tokens: number;
  #refilledAtMs: number;
  /** Upgrades that were let through and have not opened yet are counted by the caller with the open ones. */
  constructor(options: AdmissionOptions, metrics: FrontMetrics, nowMs: number) {
    this.#options = options;
    this.#metrics = metrics;
    this.#tokens = options.connectRatePerSecond;
    this.#refilledAtMs = nowMs;
  }

  /** `auditBlocked`: what happened could not be written down. */
  admit(connectionCount: number, draining: boolean, nowMs: number, auditBlocked = false): Admission {
    if (draining) {
      this.#metrics.connectionsRefusedDraining++;
      return refuse('the relay is shutting down', LIMIT_RETRY_AFTER_SECONDS);
    }
    if (auditBlocked) {
      this.#metrics.connectionsRefusedAudit++;
      return refuse(AUDIT_BLOCKED_TEXT, LIMIT_RETRY_AFTER_SECONDS);
    }
    const { connectionsMax, connectRatePerSecond } = this.#options;
    if (connectionCount >= connectionsMax) {
      this.#metrics.connectionsRefusedLimit++;
      return refuse(`connection limit reached: connectionsMax=${connectionsMax}`, LIMIT_RETRY_AFTER_SECONDS);
    }
    const elapsedMs = Math.max(0, nowMs - this.#refilledAtMs);
    this.#tokens = Math.min(connectRatePerSecond, this.#tokens + (elapsedMs * connectRatePerSecond) / 1_000);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) {
      this.#metrics.connectionsRefusedRate++;
      return refuse(`connect rate reached: connectRatePerSecond=${connectRatePerSecond}`, RATE_RETRY_AFTER_SECONDS);
    }
    this.#tokens--;
    return ADMITTED;
  }
}

function refuse(reason: string, retryAfterSeconds: number): Admission {
  return { admitted: false, reason, retryAfterSeconds };
}
