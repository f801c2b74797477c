/** The writer of shared-counters.race.test.ts. */

import { parentPort, workerData } from 'node:worker_threads';
import { CounterWriter, defineCounters } from '../../src/shm/shared-counters.ts';

export const RACE_COUNTERS = defineCounters(['flip', 'count', 'isDone']);
/** Their two halves differ in every bit that counts: any mixture of them is neither. */
export const FLIP_LOW = 1;
export const FLIP_HIGH = 2 ** 53 - 1;

if (parentPort) {
  const { buffer, flipCount } = workerData as { buffer: SharedArrayBuffer; flipCount: number };
  const writer = new CounterWriter(RACE_COUNTERS, buffer);
  const { flip, count, isDone } = RACE_COUNTERS.slots;
  for (let number = 0; number < flipCount; number++) {
    writer.set(flip, number & 1 ? FLIP_HIGH : FLIP_LOW);
    writer.increment(count);
  }
  writer.set(isDone, 1);
  parentPort.postMessage('done');
}
