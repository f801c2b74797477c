/** The test's end of faulty-lane-worker.ts: a relay whose lanes can be made to fail. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Fault } from './faulty-lane-worker.ts';
import { type RelayProcess, type RelaySettings, startRelay } from './relay-process.ts';

export class Faults {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The lane fails as soon as a burst keeps it busy for more than one batch; `hold` at once, and what follows a `hold` at once too. */
  arm(lane: number, fault: Fault): void {
    const file = join(this.#directory, `lane-${lane}`);
    writeFileSync(`${file}.new`, fault);
    renameSync(`${file}.new`, file); // Whole or not at all, also in the place of another.
  }

  /** Ends a `hold`. */
  release(lane: number): void {
    rmSync(join(this.#directory, `lane-${lane}`), { force: true });
  }
}

export async function startFaultyRelay(t: Test, settings: RelaySettings): Promise<{ relay: RelayProcess; faults: Faults }> {
  const directory = t.testdir({});
  const entry = new URL('./faulty-relay.ts', import.meta.url);
  const relay = await startRelay(t, settings, { entry, env: { FAULTS_DIRECTORY: directory } });
  return { relay, faults: new Faults(directory) };
}
