import t from 'tap';
import { NotifyBell, ThreadDoorbell } from '../../../src/shm/doorbell.ts';
import { createIdleStrategy, type IdleStrategyName } from '../../../src/shm/idle-strategy.ts';
import { createRing } from '../../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer } from '../../../src/shm/spsc-ring.ts';

function open() {
  const ring = createRing(4096);
  const consumer = new RingConsumer(ring);
  return { ring, producer: new RingProducer(ring), doorbell: new ThreadDoorbell(ring, () => !consumer.isEmpty()) };
}

/** How many retries before the first park, `limit` if it does not park at all. */
function retriesBeforePark(name: IdleStrategyName, coreCount: number, limit = 1000): number {
  const { doorbell } = open();
  const strategy = createIdleStrategy(name, { doorbell, parkTimeoutMs: 0, coreCount });
  for (let retryCount = 0; retryCount < limit; retryCount++) if (strategy.idle() !== 'retry') return retryCount;
  return limit;
}

for (const { name, coreCount, want } of [
  { name: 'park', coreCount: 64, want: 0 },
  { name: 'yield', coreCount: 1, want: 1000 },
  { name: 'spin', coreCount: 1, want: 1000 },
  { name: 'auto', coreCount: 1, want: 0 },
  { name: 'auto', coreCount: 2, want: 0 },
  { name: 'auto', coreCount: 3, want: 4 },
  { name: 'auto', coreCount: 4, want: 4 },
  { name: 'auto', coreCount: 8, want: 204 },
] as const) {
  t.test(`${name} on ${coreCount} cores looks ${want} times more before it parks`, async (t) => {
    t.equal(retriesBeforePark(name, coreCount), want);
  });
}

t.test('reset starts from the lively end again', async (t) => {
  const { doorbell } = open();
  const strategy = createIdleStrategy('auto', { doorbell, parkTimeoutMs: 0, coreCount: 4 });
  for (let round = 0; round < 3; round++) {
    strategy.reset();
    const outcomes = Array.from({ length: 5 }, () => strategy.idle());
    t.same(outcomes, ['retry', 'retry', 'retry', 'retry', 'parked-timeout']);
  }
  t.equal(strategy.idle(), 'parked-timeout', 'without a reset it goes on parking');
});

t.test('park tells a bell and a record from a timeout', async (t) => {
  const { ring, producer, doorbell } = open();
  const strategy = createIdleStrategy('park', { doorbell, parkTimeoutMs: 1 });
  t.equal(strategy.idle(), 'parked-timeout');
  producer.tryWrite(1, new Uint8Array(1));
  t.equal(new NotifyBell(ring).ring(), false);
  t.equal(strategy.idle(), 'parked-woken');
});
