/** A float64 counter is read whole while another thread writes it: not promised by the language, so it is looked at here. */

import t from 'tap';
import { CounterReader, createCounters } from '../../src/shm/shared-counters.ts';
import { Peer } from './peer.ts';
import { FLIP_HIGH, FLIP_LOW, RACE_COUNTERS } from './shared-counters.worker.ts';

const ACCEPTABLE = new Map([
  [0, 'before the first write'],
  [FLIP_LOW, 'one of the two'],
  [FLIP_HIGH, 'the other'],
]);

t.test('a reader sees values that were written, and a count that never goes back', async (t) => {
  const flipCount = 20_000_000;
  const buffer = createCounters(RACE_COUNTERS);
  const reader = new CounterReader(RACE_COUNTERS, buffer);
  const { flip, count, isDone } = RACE_COUNTERS.slots;
  const peer = new Peer('./shared-counters.worker.ts', { buffer, flipCount });
  t.teardown(() => peer.end());
  const told = peer.message();
  const tornValues: number[] = [];
  let countBefore = 0;
  let backwardsCount = 0;
  let changeCount = 0;
  await peer.busyUntil(() => {
    const value = reader.get(flip);
    if (!ACCEPTABLE.has(value)) tornValues.push(value);
    const counted = reader.get(count);
    if (counted < countBefore) backwardsCount++;
    if (counted > countBefore) changeCount++;
    countBefore = counted;
    return reader.get(isDone) === 1;
  });
  await told;
  t.same(tornValues.slice(0, 5), []);
  t.equal(backwardsCount, 0);
  t.equal(reader.get(count), flipCount);
  t.ok(changeCount > 1, `the reader saw the count on its way ${changeCount} times`);
});
