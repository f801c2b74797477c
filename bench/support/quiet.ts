/**
 * Is the machine ours? Before a run: wait until it is idle. After it: did others take so much that its figures are bent?
 */
import { readMachineCpu } from '../../src/cli/bench/proc-stat.ts';
import type { MachineFigures } from '../../src/cli/bench/result.ts';

/** Above this share of the machine, what others took of it (processes that are none of ours, the hypervisor) has bent the figures. */
const OTHER_CPU_SHARE_MAX = 0.03;
/** How often a disturbed run is repeated: on a machine that is never quiet more would not help. The run that was disturbed least counts. */
export const REPEATS_MAX = 1;
/** Before a run: wait until the machine is this idle for one look, but not forever. */
const QUIET_IDLE_SHARE_MIN = 0.95;
const QUIET_LOOK_MS = 1_000;

export async function waitForQuiet(secondsMax: number): Promise<void> {
  for (const endMs = performance.now() + secondsMax * 1000; performance.now() < endMs; ) {
    const before = readMachineCpu();
    await new Promise((resolve) => setTimeout(resolve, QUIET_LOOK_MS));
    const after = readMachineCpu();
    if (before === null || after === null) return;
    const idle = after.idleSeconds - before.idleSeconds;
    const busy = after.processSeconds - before.processSeconds + after.interruptSeconds - before.interruptSeconds;
    if (idle / (idle + busy) >= QUIET_IDLE_SHARE_MIN) return;
  }
}

/** What every result has that can be disturbed. */
export interface Measured {
  readonly machine: MachineFigures | null;
  readonly elapsedSeconds: number;
  readonly cores: number;
}

/** Seconds of CPU. */
export function takenByOthers({ machine }: Pick<Measured, 'machine'>): number {
  return (machine?.otherCpuSeconds ?? 0) + (machine?.stolenSeconds ?? 0);
}

export function isDisturbed(measured: Measured): boolean {
  return takenByOthers(measured) > OTHER_CPU_SHARE_MAX * measured.elapsedSeconds * measured.cores;
}

/** The one that others disturbed least: chosen by what they took, never by its own figures. */
export function leastDisturbed<Result extends Measured>(results: readonly Result[]): Result | undefined {
  return results.toSorted((left, right) => takenByOthers(left) - takenByOthers(right))[0];
}

/** One measurement, and another one where that was disturbed; in the order in which they were made. */
export async function measureQuietly<Result extends Measured>(
  measure: () => Promise<Result>,
  repeatsMax = REPEATS_MAX,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let repeat = 0; repeat <= repeatsMax; repeat++) {
    const result = await measure();
    results.push(result);
    if (!isDisturbed(result)) break;
  }
  return results;
}
