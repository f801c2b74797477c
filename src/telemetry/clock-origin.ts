/**
 * Where this thread's `performance.now()` begins, on the clock that all threads share.
 *
 * Any thread of Node. `performance.now()` counts from the start of its own thread, but on the same clock as `process.hrtime`: the difference is a
 * constant, so stamps of two threads can be compared at the price of one addition.
 */
const ROUNDS = 16;

/** Microseconds. */
export function clockOriginUs(): number {
  let bestSpanMs = Number.POSITIVE_INFINITY;
  let originUs = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const beforeMs = performance.now();
    const sharedNs = process.hrtime.bigint();
    const afterMs = performance.now();
    // The tightest bracket has the least chance of an interruption between the two readings.
    if (afterMs - beforeMs >= bestSpanMs) continue;
    bestSpanMs = afterMs - beforeMs;
    originUs = Number(sharedNs) / 1000 - ((beforeMs + afterMs) / 2) * 1000;
  }
  return originUs;
}
