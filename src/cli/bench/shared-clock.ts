/**
 * Shared clock: microseconds of CLOCK_MONOTONIC, the same in every process and thread of this machine.
 *
 * Any thread. `performance.now()` counts from the start of its own process, but on the same clock as `process.hrtime`, which is
 * system wide: the difference is a constant, measured once here. That keeps the hot path at one fast call and no BigInt.
 */

const CALIBRATION_ROUNDS = 16;

const offsetUs = calibrate();

/** Hot. */
export function nowUs(): number {
  return performance.now() * 1000 + offsetUs;
}

function calibrate(): number {
  let bestSpanMs = Number.POSITIVE_INFINITY;
  let bestOffsetUs = 0;
  for (let round = 0; round < CALIBRATION_ROUNDS; round++) {
    const beforeMs = performance.now();
    const sharedNs = process.hrtime.bigint();
    const afterMs = performance.now();
    // The tightest bracket has the least chance of an interruption between the two readings.
    if (afterMs - beforeMs >= bestSpanMs) continue;
    bestSpanMs = afterMs - beforeMs;
    bestOffsetUs = Number(sharedNs) / 1000 - ((beforeMs + afterMs) / 2) * 1000;
  }
  return bestOffsetUs;
}
