/** The test's end of faulty-lane-worker.ts: a relay whose lanes can be made to fail. */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Fault } from './faulty-lane-worker.ts';
import { type RelayProcess, type RelaySettings, startRelay } from './relay-process.ts';

export class Faults {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The lane fails as soon as a burst keeps it busy for more than one batch; one that is held, at once. */
  arm(lane: number, fault: Fault): void {
    const file = this.#file(lane);
    writeFileSync(`${file}.new`, fault);
    renameSync(`${file}.new`, file); // Whole or not at all, also in the place of another.
  }

  /** Resolves when the lane stands still. */
  async hold(lane: number): Promise<void> {
    this.arm(lane, 'hold');
    while (!existsSync(`${this.#file(lane)}.held`)) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Ends a `hold`. */
  release(lane: number): void {
    rmSync(this.#file(lane), { force: true });
  }

  #file(lane: number): string {
    return join(this.#directory, `lane-${lane}`);
  }
}

export async function startFaultyRelay(t: Test, settings: RelaySettings): Promise<{ relay: RelayProcess; faults: Faults }> {
  const directory = t.testdir({});
  const entry = new URL('./faulty-relay.ts', import.meta.url);
  const relay = await startRelay(t, settings, { entry, env: { FAULTS_DIRECTORY: directory } });
  return { relay, faults: new Faults(directory) };
}
