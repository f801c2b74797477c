/**
 * A lane's thread that fails when it is told to. Around the real one: nothing of the lane is replaced.
 *
 * Told by a file, because a blocked thread gets no messages: `lane-<index>` in the folder FAULTS_DIRECTORY holds the name of the fault.
 * It happens between two batches with work left in the ring, so that some commands of a burst are done and others are under way.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import runLane, { type LaneTask } from '../../src/pool/lane-worker.ts';
import { RingConsumer } from '../../src/shm/spsc-ring.ts';

export type Fault = 'throw' | 'exit' | 'memory' | 'spin' | 'hold';

/** Batches with work that an armed lane sees before it fails: the first is still done. */
const BATCHES_SEEN = 2;

export default function runFaultyLane(task: LaneTask): Promise<void> {
  const file = join(process.env['FAULTS_DIRECTORY'] as string, `lane-${task.options.index}`);
  let seen = 0;
  return runLane(task, (ingress) => {
    if (!existsSync(file)) return;
    const fault = readFileSync(file, 'utf8') as Fault | '';
    if (fault === '') return; // Being written.
    if (fault === 'hold') {
      while (existsSync(file)); // Whoever wrote the file lets it go on by removing it.
      return;
    }
    if (new RingConsumer(ingress).isEmpty() || ++seen < BATCHES_SEEN) return;
    rmSync(file); // The next life of this lane is a good one.
    fail(fault);
  });
}

function fail(fault: Exclude<Fault, 'hold'>): void {
  switch (fault) {
    case 'throw':
      throw new Error('a fault that a test has asked for');
    case 'exit':
      return process.exit(7);
    case 'memory': {
      const kept: unknown[] = [];
      for (;;) kept.push(new Array(100_000).fill(kept));
    }
    case 'spin':
      for (;;);
    default:
      return fault satisfies never;
  }
}
