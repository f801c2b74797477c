/**
 * Everything that must hold before a change goes in, as a list of steps: types, lint, generated pages, tests, and the benches in smoke size.
 * Quiet where all is well; what fails is shown in full. The last line is always `N passed, N failed`.
 *
 * What is counted: a test is a top-level test of a test file (see tap-output.ts); types, lint, pages and each bench count as one.
 *
 * Test files are run by node itself, one process each, not by tap's own runner: that one needs a build step in a fresh clone, and loads
 * hooks into every process that a test starts, which makes threads start in 700 ms instead of 230 and child processes no longer ours.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { delimiter } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { findChromium, installChromium } from './chromium.ts';
import { readTap } from './tap-output.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BIN = `${ROOT}node_modules/.bin`;
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];
const STEP_TIMEOUT_MS = 180_000;
const BENCH_TIMEOUT_MS = 60_000;
const BROWSER_FOLDER = 'test/browser/';
/** tap gives up on a test first, and says which; this is for files that hang for good. */
const TEST_TIMEOUT_MS = 150_000;
const TAP_TIMEOUT_SECONDS = 120;
const TEST_FILES_AT_ONCE = 2;
/** Tests that need the cores for themselves: two threads racing, whole relays with their clients, browsers. */
const LONE_FOLDERS = ['test/race/', 'test/e2e/', BROWSER_FOLDER];
/** Of a failure. The end of an output says more than its beginning. */
const SHOWN_LINES_MAX = 80;

export interface VerifyOptions {
  readonly withBenches: boolean;
  /** Only test files and benches whose path contains one of these, and no other step. Empty: everything. */
  readonly filters: readonly string[];
}

interface Step {
  readonly title: string;
  readonly run: (tally: Tally) => Promise<string>;
}

class Tally {
  passed = 0;
  skipped = 0;
  /** One line each. */
  readonly failures: string[] = [];

  fail(what: string, lines: readonly string[]): void {
    this.failures.push(what);
    console.log(`FAILED ${what}`);
    const shown = lines.slice(-SHOWN_LINES_MAX);
    if (shown.length < lines.length) console.log(`    (${lines.length - shown.length} lines before this)`);
    for (const line of shown) console.log(`    ${line}`);
  }
}

/** Runs what is asked for; the exit code. */
export async function verify(options: VerifyOptions): Promise<number> {
  const startedMs = performance.now();
  const tally = new Tally();
  for (const { title, run } of stepsOf(options)) {
    console.log(`== ${title}`);
    const stepStartedMs = performance.now();
    const said = await run(tally);
    console.log(`${said}, ${seconds(stepStartedMs)}`);
  }
  console.log('== summary');
  for (const failure of tally.failures) console.log(`failed: ${failure}`);
  if (tally.skipped > 0) console.log(`skipped tests, counted neither way: ${tally.skipped}`);
  console.log(`wall time ${seconds(startedMs)}`);
  console.log(`${tally.passed} passed, ${tally.failures.length} failed`);
  return tally.failures.length === 0 && tally.passed > 0 ? 0 : 1;
}

function stepsOf({ withBenches, filters }: VerifyOptions): Step[] {
  const isWanted = (path: string): boolean => filters.length === 0 || filters.some((filter) => path.includes(filter));
  const testFiles = filesIn('test', '.test.ts').filter(isWanted);
  const benchFiles = filesIn('bench', '.bench.ts').filter(isWanted);
  const steps: Step[] = [];
  if (filters.length === 0) {
    steps.push(
      commandStep('types (tsc)', 'tsc', [`${BIN}/tsc`, '-p', '.', '--pretty', 'false']),
      commandStep('lint and format (biome; npm run format fixes what is safe to fix)', 'biome', [
        `${ROOT}node_modules/@biomejs/cli-linux-x64/biome`,
        'check',
        '--colors=off',
        '--reporter=summary',
        '.',
      ]),
      ...['generate-docs', 'generate-protocol-frames', 'generate-performance'].map((name) =>
        commandStep(`generated pages (${name})`, name, [process.execPath, ...NODE_FLAGS, `scripts/${name}.ts`, '--check']),
      ),
    );
  }
  // Not a step that can fail: the browser tests do, each with the sentence that says what is missing.
  if (testFiles.some((file) => file.startsWith(BROWSER_FOLDER)) && findChromium() === null) {
    steps.push({
      title: "Chromium for the browser tests (Debian's package, about a minute)",
      run: async () => (installChromium() ? 'installed' : 'could not be installed'),
    });
  }
  if (testFiles.length > 0 || filters.length === 0)
    steps.push({ title: `tests (${testFiles.length} files)`, run: (tally) => runTests(testFiles, tally) });
  if (withBenches && benchFiles.length > 0) {
    steps.push({ title: `benches in smoke size (${benchFiles.length} files)`, run: (tally) => runBenches(benchFiles, tally) });
  }
  return steps;
}

function commandStep(title: string, name: string, command: readonly string[]): Step {
  return {
    title,
    run: async (tally) => {
      const result = await runCommand(command, STEP_TIMEOUT_MS);
      if (result.problem === null) {
        tally.passed++;
        return 'ok';
      }
      tally.fail(`${name}: ${result.problem}`, linesOf(result.stdout + result.stderr));
      return 'failed';
    },
  };
}

async function runTests(files: readonly string[], tally: Tally): Promise<string> {
  const passedBefore = tally.passed;
  const failedBefore = tally.failures.length;
  const isLone = (file: string): boolean => LONE_FOLDERS.some((folder) => file.startsWith(folder));
  const shared = files.filter((file) => !isLone(file)).values();
  // Workers take from one iterator, so none waits for the slowest of a group.
  const work = async (queue: IterableIterator<string>): Promise<void> => {
    for (const file of queue) await runTestFile(file, tally);
  };
  await Promise.all(Array.from({ length: TEST_FILES_AT_ONCE }, () => work(shared)));
  await work(files.filter(isLone).values());
  if (files.length === 0) tally.fail('tests: no test file found', []);
  return `${tally.passed - passedBefore} passed, ${tally.failures.length - failedBefore} failed`;
}

async function runTestFile(file: string, tally: Tally): Promise<void> {
  const result = await runCommand([process.execPath, ...NODE_FLAGS, file], TEST_TIMEOUT_MS);
  const { passed, failures, skipped, isComplete } = readTap(result.stdout);
  tally.passed += passed;
  tally.skipped += skipped;
  for (const { name, lines } of failures) tally.fail(`${file}: ${name}`, lines);
  if (failures.length > 0) return;
  // Nothing failed in words, and yet: a crash after the last test, an early exit, a file without tests.
  const problem = result.problem ?? (isComplete ? null : 'ended before all of its tests were done, or has none');
  if (problem !== null) tally.fail(`${file}: ${problem}`, linesOf(result.stdout + result.stderr));
}

/** One at a time: a bench proves that it did its work, and some of them that they did it fast enough. */
async function runBenches(files: readonly string[], tally: Tally): Promise<string> {
  let failed = 0;
  for (const file of files) {
    const result = await runCommand([process.execPath, ...NODE_FLAGS, file, '--smoke'], BENCH_TIMEOUT_MS);
    if (result.problem === null) tally.passed++;
    else {
      failed++;
      tally.fail(`${file}: ${result.problem}`, linesOf(result.stdout + result.stderr));
    }
  }
  return `${files.length - failed} passed, ${failed} failed`;
}

interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Null if the exit code was 0. */
  readonly problem: string | null;
}

/** Process groups of commands under way: what a test starts goes when the test goes. */
const running = new Set<number>();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const group of running) killGroup(group);
    process.exit(signal === 'SIGINT' ? 130 : 143);
  });
}

function runCommand(command: readonly string[], timeoutMs: number): Promise<CommandResult> {
  const [file = '', ...args] = command;
  const env = {
    ...process.env,
    PATH: `${BIN}${delimiter}${process.env['PATH'] ?? ''}`,
    NO_COLOR: '1',
    TAP_TIMEOUT: String(TAP_TIMEOUT_SECONDS),
  };
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: ROOT, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const { pid } = child;
    if (pid !== undefined) running.add(pid);
    let stdout = '';
    let stderr = '';
    let isTimedOut = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const timer = setTimeout(() => {
      isTimedOut = true;
      killGroup(pid);
    }, timeoutMs);
    const finish = (problem: string | null): void => {
      clearTimeout(timer);
      killGroup(pid);
      if (pid !== undefined) running.delete(pid);
      resolve({ stdout, stderr, problem });
    };
    child.on('error', (error) => finish(error.message));
    // A process of its own that the child left behind would hold the pipes open for ever: it goes with the child.
    child.on('exit', () => killGroup(pid));
    child.on('close', (exitCode, signal) => {
      if (isTimedOut) finish(`killed after ${timeoutMs / 1_000} s`);
      else finish(exitCode === 0 ? null : `exit code ${exitCode ?? signal}`);
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody left in it.
  }
}

function filesIn(folder: string, ending: string): string[] {
  return readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .map((path) => `${folder}/${path}`)
    .sort();
}

function linesOf(text: string): string[] {
  return text.trimEnd().split('\n');
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1_000).toFixed(1)} s`;
}
