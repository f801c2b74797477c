/**
 * A lane's thread that fails when it is told to. Around the real one: nothing of the lane is replaced.
 *
 * Told by a file, because a blocked thread gets no messages: `lane-<index>` in the folder FAULTS_DIRECTORY holds the name of the fault.
 * It happens between two batches with work left in the ring, so that some commands of a burst are done and others are under way.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import runLane, { type LaneTask } from '../../src/pool/lane-worker.ts';
import { RECORD_HEADER_BYTES } from '../../src/shm/ring-layout.ts';
import { RingConsumer } from '../../src/shm/spsc-ring.ts';

export type Fault =
  | 'throw'
  | 'exit'
  | 'memory'
  | 'spin'
  /** Makes a record of the next batch unreadable: the lane itself throws, in the middle of its work. */
  | 'corrupt'
  /** Stands still, and says so by a file `lane-<index>.held`, until its file is gone or names another fault, which then happens at once. */
  | 'hold';

/** Batches with work that an armed lane sees before it fails: the first is still done. */
const BATCHES_SEEN = 2;
/** Of the next batch, that are still whole. */
export const WHOLE_RECORDS = 10;
const NO_SUCH_KIND = 99;
/** Between two looks of a lane that stands still: others want the core. */
const NAP_MS = 1;
const NOBODY_WAKES = new Int32Array(new SharedArrayBuffer(4));

export default function runFaultyLane(task: LaneTask): Promise<void> {
  const file = join(process.env['FAULTS_DIRECTORY'] as string, `lane-${task.options.index}`);
  let seen = 0;
  return runLane(task, (ingress) => {
    let fault = read(file);
    if (fault === 'hold') {
      writeFileSync(`${file}.held`, '');
      for (; fault === 'hold'; fault = read(file)) Atomics.wait(NOBODY_WAKES, 0, 0, NAP_MS);
      rmSync(`${file}.held`);
      if (fault === null) return;
    } else if (fault === null || new RingConsumer(ingress).isEmpty() || ++seen < BATCHES_SEEN) return;
    rmSync(file); // The next life of this lane is a good one.
    if (fault === 'corrupt') corrupt(ingress);
    else fail(fault);
  });
}

/** Null: no file. */
function read(file: string): Fault | null {
  try {
    return readFileSync(file, 'utf8') as Fault;
  } catch {
    return null;
  }
}

function fail(fault: Exclude<Fault, 'hold' | 'corrupt'>): void {
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

function corrupt(ingress: SharedArrayBuffer): void {
  const ring = new RingConsumer(ingress);
  let count = 0;
  ring.read((_kind, offsetBytes) => {
    if (count++ === WHOLE_RECORDS) ring.view.setInt32(offsetBytes - RECORD_HEADER_BYTES + 4, NO_SUCH_KIND, true);
  }, WHOLE_RECORDS + 1);
}
