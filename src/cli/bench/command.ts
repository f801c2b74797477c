/**
 * `relay bench`: flags in, figures out, an exit code for CI. The door of this folder: main.ts imports from here.
 */
import { writeFileSync } from 'node:fs';
import { failedAssertions } from './assertions.ts';
import { helpText, parseFlags } from './options.ts';
import { failureText, summaryText } from './report.ts';
import type { BenchResult } from './result.ts';
import { BenchRunError, runBench } from './run.ts';

export type { BenchOptions } from './options.ts';
export { BenchOptionsError } from './options.ts';
export type { BenchResult } from './result.ts';
export { BenchRunError, runBench } from './run.ts';

export const BENCH_EXIT = { DONE: 0, FAILED: 1, MISUSE: 2 } as const;

/** `argv` without `relay bench`. Never throws for what the user or the server did; the answer is the exit code. */
export async function benchCommand(argv: readonly string[]): Promise<number> {
  const { options, problems, wantsHelp } = parseFlags(argv);
  if (wantsHelp) {
    process.stdout.write(helpText());
    return BENCH_EXIT.DONE;
  }
  if (problems.length > 0) {
    process.stderr.write(`relay bench: wrong flags:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
    return BENCH_EXIT.MISUSE;
  }
  let result: BenchResult;
  try {
    result = await runBench(options);
    if (options.jsonPath === '-') process.stdout.write(jsonText(result));
    else {
      process.stdout.write(summaryText(result));
      if (options.jsonPath !== null) writeFileSync(options.jsonPath, jsonText(result));
    }
  } catch (error) {
    // Files that cannot be written are the user's as well.
    if (!(error instanceof BenchRunError) && !(error instanceof Error && 'syscall' in error)) throw error;
    process.stderr.write(`relay bench: ${error.message}\n`);
    return BENCH_EXIT.FAILED;
  }
  const failed = failedAssertions(options.assertions, result);
  process.stderr.write(failureText(failed));
  return failed.length > 0 ? BENCH_EXIT.FAILED : BENCH_EXIT.DONE;
}

function jsonText(result: BenchResult): string {
  return `${JSON.stringify(result, null, 2)}\n`;
}
