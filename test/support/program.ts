/**
 * Program: a child process of a test. What it prints can be waited for, line by line, and it ends with its test at the latest.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where a test throws or the runner gives up, teardowns may not run. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export type Wanted = RegExp | ((line: string) => boolean);

/** What came over one stream so far, and what will come. */
export class Lines {
  readonly all: string[] = [];
  #waiters: { readonly wanted: Wanted; resolve(line: string): void; reject(error: Error): void }[] = [];
  #ended = false;
  readonly ended: Promise<void>;

  constructor(stream: Readable) {
    const reader = createInterface({ input: stream });
    reader.on('line', (line) => {
      this.all.push(line);
      for (const waiter of this.#waiters.filter(({ wanted }) => matches(wanted, line))) {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        waiter.resolve(line);
      }
    });
    this.ended = new Promise((resolve) => {
      reader.on('close', () => {
        this.#ended = true;
        for (const { wanted, reject } of this.#waiters.splice(0)) reject(this.#missing(wanted));
        resolve();
      });
    });
  }

  /** The first line that is wanted, of the `from`th and those behind it. Rejects if the stream ends without one. */
  find(wanted: Wanted, from = 0): Promise<string> {
    const known = this.all.slice(from).find((line) => matches(wanted, line));
    if (known !== undefined) return Promise.resolve(known);
    if (this.#ended) return Promise.reject(this.#missing(wanted));
    return new Promise((resolve, reject) => this.#waiters.push({ wanted, resolve, reject }));
  }

  #missing(wanted: Wanted): Error {
    return new Error(`the program ended without the line ${wanted}; it said:\n${this.all.join('\n')}`);
  }
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Written to its standard input, which is then closed. Without it the input stays open for `write`. */
  readonly input?: string;
}

export class Program {
  readonly stdout: Lines;
  readonly stderr: Lines;
  /** After all output was read. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;

  constructor(t: Test, command: readonly string[], { env = {}, input }: ProgramOptions = {}) {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { cwd: ROOT, env: { ...ownEnvironment(), ...env }, stdio: 'pipe' });
    this.#child = child;
    running.add(child);
    child.stdin.on('error', () => {}); // It ended without reading all: its exit code says so.
    if (input !== undefined) child.stdin.end(input);
    this.stdout = new Lines(child.stdout);
    this.stderr = new Lines(child.stderr);
    const exit = new Promise<Exit>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal }));
    }).finally(() => running.delete(child));
    this.exited = Promise.all([exit, this.stdout.ended, this.stderr.ended]).then(([ended]) => ended);
    this.exited.catch(() => {});
    t.teardown(async () => {
      this.kill('SIGKILL');
      await this.exited;
      if (!t.passing()) t.comment(`${command.join(' ')} said:\n${[...this.stdout.all, ...this.stderr.all].join('\n')}`);
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  /** Does nothing where it has ended. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

function matches(wanted: Wanted, line: string): boolean {
  return typeof wanted === 'function' ? wanted(line) : wanted.test(line);
}

/** What the developer or the test runner has set must not change what is tested. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(RELAY_|TAP|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name)),
  );
}
