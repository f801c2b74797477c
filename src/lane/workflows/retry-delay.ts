/** How long a failed step waits before it is issued again. */
import type { Prng } from '../../base/prng.ts';
import type { RetryPlan } from './plan.ts';

/** A service may ask for patience, not for ever. */
const RETRY_AFTER_MS_MAX = 3_600_000;
/** There is nobody to ask, or too many ask: coming back early would only add to that. */
const CROWDED_CODES = ['OVERLOADED', 'NO_RESPONDERS'];

/**
 * `failures` counts this one. Doubling (by `factor`) up to `backoffMsMax`; jitter takes up to its share off, so that steps that failed together do not
 * come back together. Where the service has no room the full delay holds, never less than it asked for, and jitter adds to it.
 */
export function retryDelayMs(retries: RetryPlan, failures: number, code: string, retryAfterMs: number, prng: Prng): number {
  const { backoffMs, backoffMsMax, factor, jitter } = retries;
  const delayMs = Math.min(backoffMsMax, backoffMs * factor ** (failures - 1));
  const share = jitter * prng.nextFloat();
  if (!CROWDED_CODES.includes(code)) return Math.round(delayMs * (1 - share));
  return Math.round(Math.max(delayMs, Math.min(retryAfterMs, RETRY_AFTER_MS_MAX)) * (1 + share));
}
