/**
 * Makes a failing run small: leaves out as many of its steps as can be left out while it still fails, in any way.
 *
 * Each step draws from its own generator, so the steps that stay do what they did. Delta debugging: halves first, then ever smaller pieces.
 */
import type { SimulationOptions, SimulationResult } from './simulator.ts';

export interface Shrunk {
  readonly result: SimulationResult;
  /** Steps that were needed. */
  readonly kept: readonly number[];
}

export function shrink(
  simulate: (options: SimulationOptions) => SimulationResult,
  seed: number,
  steps: number,
  runsMax: number,
): Shrunk {
  let kept = Array.from({ length: steps }, (_, index) => index + 1);
  let runs = 0;
  const fails = (candidate: readonly number[]): boolean => {
    runs++;
    return simulate({ seed, steps, skip: complement(candidate, steps) }).failure !== null;
  };
  for (let pieces = 2; runs < runsMax; ) {
    const size = Math.ceil(kept.length / pieces);
    let shrunk = false;
    // From the end: what happened last is most often only what came after.
    for (let start = (pieces - 1) * size; start >= 0 && runs < runsMax; start -= size) {
      const candidate = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (candidate.length < kept.length && fails(candidate)) {
        kept = candidate;
        shrunk = true;
      }
    }
    if (!shrunk) {
      if (size <= 1) break;
      pieces = Math.min(kept.length, 2 * pieces);
    }
  }
  return { result: simulate({ seed, steps, skip: complement(kept, steps), traced: true }), kept };
}

function complement(kept: readonly number[], steps: number): ReadonlySet<number> {
  const skip = new Set<number>();
  const stays = new Set(kept);
  for (let step = 1; step <= steps; step++) if (!stays.has(step)) skip.add(step);
  return skip;
}
