/**
 * Shared clock: microseconds of CLOCK_MONOTONIC, the same in every process and thread of this machine.
 *
 * Any thread. `performance.now()` counts from the start of its own process, but on the same clock as `process.hrtime`, which is
 * system wide: the difference is a constant, measured once here. That keeps the hot path at one fast call and no BigInt.
 */

import { clockOriginUs } from '../../telemetry/clock-origin.ts';

const offsetUs = clockOriginUs();

/** Hot. */
export function nowUs(): number {
  return performance.now() * 1000 + offsetUs;
}
