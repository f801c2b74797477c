import t from 'tap';
import { createRing } from '../../../src/shm/ring-layout.ts';
import {
  CounterReader,
  CounterWriter,
  createCounters,
  defineCounters,
  Heartbeat,
  HeartbeatMonitor,
} from '../../../src/shm/shared-counters.ts';

const TABLE = defineCounters(['framesIn', 'framesOut', 'topics']);

t.test('what the writer counts, a reader sees, by slot and by name', async (t) => {
  const buffer = createCounters(TABLE);
  const writer = new CounterWriter(TABLE, buffer);
  const reader = new CounterReader(TABLE, buffer);
  writer.increment(TABLE.slots.framesIn);
  writer.add(TABLE.slots.framesIn, 41);
  writer.set(TABLE.slots.topics, 7);
  t.equal(reader.get(TABLE.slots.framesIn), 42);
  t.same(reader.snapshot(), { framesIn: 42, framesOut: 0, topics: 7 });
});

t.test('a counter is exact past 2^32', async (t) => {
  const buffer = createCounters(TABLE);
  const writer = new CounterWriter(TABLE, buffer);
  writer.set(TABLE.slots.framesIn, 2 ** 32 - 1);
  writer.increment(TABLE.slots.framesIn);
  writer.add(TABLE.slots.framesIn, 2 ** 40);
  t.equal(new CounterReader(TABLE, buffer).get(TABLE.slots.framesIn), 2 ** 32 + 2 ** 40);
});

t.test('defineCounters rejects a name twice, and knows names that objects have anyway', async (t) => {
  t.throws(() => defineCounters(['a', 'b', 'a']), /defined twice/);
  t.equal(defineCounters(['toString', 'constructor']).slots.constructor, 1);
});

t.test('writer and reader reject a buffer of another table, a reader a slot that is none', async (t) => {
  const buffer = createCounters(defineCounters(['one']));
  t.throws(() => new CounterWriter(TABLE, buffer), RangeError);
  t.throws(() => new CounterReader(TABLE, buffer), RangeError);
  t.throws(() => new CounterReader(TABLE, createCounters(TABLE)).get(3), RangeError);
});

t.test('silence is counted from the last check that found a new beat', async (t) => {
  const ring = createRing(4096);
  const heartbeat = new Heartbeat(ring);
  const monitor = new HeartbeatMonitor(ring, 1000);
  t.equal(monitor.silentMs(1500), 500);
  heartbeat.beat();
  heartbeat.beat();
  t.equal(monitor.silentMs(2000), 0);
  t.equal(monitor.silentMs(2700), 700);
  new Heartbeat(ring).beat(); // A replaced thread goes on where the old one stopped.
  t.equal(monitor.silentMs(3000), 0);
});
