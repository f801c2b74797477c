/**
 * Backoff: how long to wait before the next try. Full jitter, before the first retry too: ten thousand clients that lose
 * one relay in the same millisecond must not come back in the same millisecond.
 */
import type { ErrorFacts } from '../protocol/errors.ts';

const RETRY_BASE_MS = 100;

/** A random time in [0, min(capMs, baseMs * 2^attempt)); `attempt` counts from 0. */
export function fullJitterMs(attempt: number, baseMs: number, capMs: number, random: () => number): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 40));
}

/** Before the next try of a command that failed with `error`: full jitter, but not before the time that the relay has named. */
export function retryDelayMs(error: unknown, attempt: number, random: () => number, capMs = 10_000): number {
  const { retryAfterMs } = (error as { readonly facts?: ErrorFacts }).facts ?? {};
  return Math.max(Number(retryAfterMs ?? 0), fullJitterMs(attempt, RETRY_BASE_MS, capMs, random));
}

/** The delay that a close reason carries as `retryAfterMs=…`. */
export function retryAfterMsIn(closeReason: string): number | undefined {
  const digits = /retryAfterMs=(\d{1,9})/.exec(closeReason)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
