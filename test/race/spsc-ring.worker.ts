/** The other side of spsc-ring.race.test.ts: writes all records, or reads and compares them all, and says what it saw. */

import { parentPort, workerData } from 'node:worker_threads';
import { RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { makeReader, makeWriter, type RingRace } from './records.ts';

const { side, race } = workerData as { side: 'writes' | 'reads'; race: RingRace };

if (side === 'writes') {
  const write = makeWriter(race, new RingProducer(race.ring));
  while (!write());
  parentPort?.postMessage('written');
} else {
  const reader = makeReader(race, new RingConsumer(race.ring));
  while (!reader.step());
  parentPort?.postMessage(reader.result());
}
