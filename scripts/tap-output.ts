/**
 * Reads what a test file printed: TAP 14, as tap writes it when the file is run by node itself.
 *
 * One test is one point of the outermost level: a `t.test()` with all that is in it, or an assertion outside of any. Asserts are not
 * counted: a race test makes thousands, and the figure would say nothing.
 */

export interface TestOutput {
  readonly passed: number;
  /** Names and full output of what failed. */
  readonly failures: readonly TestFailure[];
  readonly skipped: number;
  /** The file's output is complete: as many points as it planned, and at least one. */
  readonly isComplete: boolean;
}

export interface TestFailure {
  readonly name: string;
  readonly lines: readonly string[];
}

const POINT = /^(not )?ok\b(?: \d+)?(?: - )?(.*?)(?: # (skip|todo)\b.*| # time=\S+)?(?: \{)?$/i;
const PLAN = /^1\.\.(\d+)/;
/** Inside a failed test: what passed, and the frame around it. */
const UNINTERESTING = /^\s+(?:ok\b|1\.\.\d|# Subtest)|^\s*$/;

export function readTap(output: string): TestOutput {
  const failures: { name: string; lines: string[] }[] = [];
  let passed = 0;
  let skipped = 0;
  let planned = -1;
  /** Of the test that runs: printed before its point. */
  let before: string[] = [];
  /** Takes the diagnostics that follow a failed point. */
  let after: string[] | null = null;
  for (const line of output.split('\n')) {
    if (line.startsWith(' ')) {
      if (!UNINTERESTING.test(line)) (after ?? before).push(line);
      if (line === '  ...') after = null;
      continue;
    }
    after = null;
    const plan = PLAN.exec(line);
    if (plan !== null) planned = Number(plan[1]);
    const point = POINT.exec(line);
    if (point === null) continue;
    const [, failed, name = '', directive] = point;
    if (directive !== undefined) skipped++;
    else if (failed === undefined) passed++;
    else failures.push({ name: name.trim(), lines: (after = [...before]) });
    before = [];
  }
  const count = passed + failures.length + skipped;
  return { passed, failures, skipped, isComplete: count > 0 && planned === count };
}
