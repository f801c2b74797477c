/**
 * Backoff: how long to wait before the next try. Full jitter, before the first retry too: ten thousand clients that lose
 * one relay in the same millisecond must not come back in the same millisecond.
 */

/** A random time in [0, min(capMs, baseMs * 2^attempt)); `attempt` counts from 0. */
export function fullJitterMs(attempt: number, baseMs: number, capMs: number, random: () => number): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 40));
}

/** The delay that a close reason carries as `retryAfterMs=…`. */
export function retryAfterMsIn(closeReason: string): number | undefined {
  const digits = /retryAfterMs=(\d{1,9})/.exec(closeReason)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
