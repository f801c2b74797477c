/** The other thread of the race tests: starting it, and looking for its news without ever blocking on a thread that died. */

import { type Transferable, Worker } from 'node:worker_threads';

/** Looks between two turns of the event loop: many, because the race is in the looking; not for ever, so errors get through. */
const LOOKS_PER_TURN = 20_000;

export class Peer {
  readonly #worker: Worker;
  readonly #ended: Promise<unknown>;
  #error: unknown;

  /** `file` stands beside this one. `execArgv: []`: the loaders of the test runner are not needed there and cost half a second. */
  constructor(file: string, workerData: unknown, transferList: Transferable[] = []) {
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData, transferList, execArgv: [] });
    this.#ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.on('error', (error) => {
      this.#error = error;
    });
  }

  /** The next message; rejects if the thread dies instead. */
  message<Message>(): Promise<Message> {
    return new Promise((resolve, reject) => {
      this.#worker.once('message', resolve);
      this.#worker.once('error', reject);
      this.#worker.once('exit', (exitCode) => reject(new Error(`thread ended without a word: exitCode=${exitCode}`)));
    });
  }

  /** Looks again and again until `isDone`. */
  async busyUntil(isDone: () => boolean): Promise<void> {
    for (;;) {
      for (let look = 0; look < LOOKS_PER_TURN; look++) if (isDone()) return;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#error) throw this.#error;
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
    await this.#ended;
  }
}

/** Burns a little time, differently each round: that is what moves the two threads against each other. */
export function spin(turns: number): number {
  let noise = 0;
  for (let turn = 0; turn < turns; turn++) noise = Math.imul(noise ^ turn, 0x9e3779b1);
  return noise;
}
