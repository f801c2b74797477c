/**
 * Garbage collection of a server under measurement, all of its threads together, from what `--trace-gc` prints: each line is a pause of one thread.
 *
 *   [1234:0x164e1000]       26 ms: Scavenge 4.4 (5.1) -> 3.9 (6.1) MB, pooled: 0 MB, 0.99 / 0.00 ms  (average mu = …) allocation failure;
 *
 * The first figure before `ms` with a slash is the pause. The work of concurrent marking is no pause and not in it.
 */
import { rounded } from './figures.ts';

export interface GcFigures {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** The flag of node that makes the output that is read here. */
export const GC_TRACE_FLAG = '--trace-gc';
const PAUSE = /^\[\d+:0x[0-9a-f]+\] +\d+ ms: .*? (\d+\.\d+) \/ \d+\.\d+ ms/;

export class GcPauses {
  #pausesMs: number[] = [];
  /** What has come of a line so far. */
  #line = '';

  /** For a server's `onOutput`: pieces that break anywhere. */
  readonly read = (text: string): void => {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const pause = PAUSE.exec(line)?.[1];
      if (pause !== undefined) this.#pausesMs.push(Number(pause));
    }
  };

  /** From here on: what came before (a program that starts collects a lot) does not count. */
  restart(): void {
    this.#pausesMs = [];
  }

  figures(): GcFigures {
    const sorted = this.#pausesMs.toSorted((left, right) => left - right);
    const at = (ratio: number): number => sorted[Math.max(Math.ceil(ratio * sorted.length) - 1, 0)] ?? 0;
    return {
      count: sorted.length,
      p50Ms: rounded(at(0.5), 2),
      p99Ms: rounded(at(0.99), 2),
      maxMs: rounded(sorted.at(-1) ?? 0, 2),
    };
  }
}
