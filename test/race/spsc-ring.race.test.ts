/**
 * Two threads, one ring, every byte compared. Small rings are full and empty all the time, which is where the cached indexes
 * can be wrong; the start position takes the run over the edge of 2^32; sizes up to the maximum exercise the padding.
 */

import t from 'tap';
import { createRing, payloadBytesMaxOf } from '../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer, ringPositions } from '../../src/shm/spsc-ring.ts';
import { Peer } from './peer.ts';
import { makeReader, makeWriter, type ReadResult, type RingRace } from './records.ts';

const SEED = Number(process.env['SEED'] ?? 20_261_123);

for (const { name, side, capacityBytes, payloadBytesMax, publishEveryMax, recordCount } of [
  {
    name: 'small ring, publish each',
    side: 'writes',
    capacityBytes: 4096,
    payloadBytesMax: 100,
    publishEveryMax: 1,
    recordCount: 200_000,
  },
  {
    name: 'small ring, batches',
    side: 'reads',
    capacityBytes: 4096,
    payloadBytesMax: 100,
    publishEveryMax: 16,
    recordCount: 200_000,
  },
  {
    name: 'small ring, largest records',
    side: 'writes',
    capacityBytes: 4096,
    payloadBytesMax: payloadBytesMaxOf(4096),
    publishEveryMax: 4,
    recordCount: 100_000,
  },
  {
    name: 'large ring, publish each',
    side: 'reads',
    capacityBytes: 1 << 20,
    payloadBytesMax: 100,
    publishEveryMax: 1,
    recordCount: 200_000,
  },
  {
    name: 'large ring, batches',
    side: 'writes',
    capacityBytes: 1 << 20,
    payloadBytesMax: 300,
    publishEveryMax: 64,
    recordCount: 100_000,
  },
] as const) {
  t.test(`records come out once, whole and in order: ${name}, the other thread ${side} (SEED=${SEED})`, async (t) => {
    const ring = createRing(capacityBytes, 2 ** 32 - 1024 * 1024);
    const race: RingRace = { ring, seed: SEED, recordCount, payloadBytesMax, publishEveryMax };
    const peer = new Peer('./spsc-ring.worker.ts', { side, race });
    t.teardown(() => peer.end());
    const told = peer.message<ReadResult>();
    let result: ReadResult;
    if (side === 'writes') {
      const reader = makeReader(race, new RingConsumer(ring));
      await peer.busyUntil(reader.step);
      await told;
      result = reader.result();
    } else {
      await peer.busyUntil(makeWriter(race, new RingProducer(ring)));
      result = await told;
    }
    t.same(result, { recordCount, wrongCount: 0 });
    const { head, tail } = ringPositions(ring);
    t.equal(head, tail, 'nothing is left');
    t.ok(tail < 2 ** 31, 'the positions went over the edge');
  });
}
