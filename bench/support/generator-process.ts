/**
 * A generator in a process of its own, asked one thing after the other: both halves of the talk between a bench and it.
 *
 * Bench:      const generator = new GeneratorProcess(new URL('./rpc/generator.ts', import.meta.url)); await generator.ask(plan);
 * Generator:  answerBench(async (question) => report);
 */
import { type ChildProcess, fork } from 'node:child_process';
import process from 'node:process';

const EXIT_GRACE_MS = 5_000;

type Reply = { readonly answer: unknown } | { readonly failure: string };

export class GeneratorProcess {
  readonly #child: ChildProcess;
  #onReply: ((reply: Reply) => void) | null = null;
  /** Why it cannot go on; stays. */
  #failure: string | null = null;

  constructor(entry: URL) {
    this.#child = fork(entry, [], { execArgv: ['--disable-warning=ExperimentalWarning'] });
    this.#child.on('message', (reply) => this.#replied(reply as Reply));
    this.#child.on('error', (error) => this.#replied({ failure: `the generator failed: ${error.message}` }));
    this.#child.on('exit', (code, signal) => this.#replied({ failure: `the generator ended early: ${signal ?? code}` }));
  }

  #replied(reply: Reply): void {
    if ('failure' in reply) this.#failure ??= reply.failure;
    this.#onReply?.(reply);
    this.#onReply = null;
  }

  /** One question at a time. Rejects when the generator fails, and when it does not answer in time. */
  ask<Answer>(question: unknown, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) return reject(new Error(this.#failure));
      const timer = setTimeout(
        () => this.#replied({ failure: `the generator did not answer within ${timeoutMs} ms` }),
        timeoutMs,
      );
      this.#onReply = (reply) => {
        clearTimeout(timer);
        if ('failure' in reply) reject(new Error(reply.failure));
        else resolve(reply.answer as Answer);
      };
      this.#child.send(question as object);
    });
  }

  /** Resolves when it is gone. */
  async dismiss(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_GRACE_MS);
    if (this.#child.connected) this.#child.disconnect();
    await gone;
    clearTimeout(timer);
  }
}

/** The generator's half. `answer` may be called again when its last promise is settled; `fail` ends everything. */
export function answerBench<Question>(answer: (question: Question) => Promise<unknown>): { fail(text: string): void } {
  const tell = (reply: Reply): void => {
    if (process.connected) process.send?.(reply);
  };
  const fail = (text: string): void => tell({ failure: text });
  const failWith = (error: unknown): void => fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.on('message', (question) => {
    answer(question as Question).then((result) => tell({ answer: result ?? null }), failWith);
  });
  process.on('uncaughtException', failWith);
  // The bench is done with us, or gone: no generator may outlive it.
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole process group: the bench decides.
  process.on('SIGINT', () => {});
  return { fail };
}
