/** The doorbell protocol on one thread, step by step. The races between the steps: test/race/doorbell.race.test.ts. */

import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import {
  type Bell,
  type FrontDoorbell,
  MessagePortBell,
  MessagePortDoorbell,
  NotifyBell,
  ThreadDoorbell,
  WaitAsyncDoorbell,
} from '../../../src/shm/doorbell.ts';
import { createRing } from '../../../src/shm/ring-layout.ts';
import { RingConsumer, RingProducer } from '../../../src/shm/spsc-ring.ts';

const RECORD = Uint8Array.of(1, 2, 3);

function openRing() {
  const ring = createRing(4096);
  const consumer = new RingConsumer(ring);
  return { ring, producer: new RingProducer(ring), consumer, isEmpty: () => consumer.isEmpty() };
}

t.test('park does not sleep when there is something to read', async (t) => {
  const { ring, producer, isEmpty } = openRing();
  const doorbell = new ThreadDoorbell(ring, () => !isEmpty());
  producer.tryWrite(1, RECORD);
  t.equal(doorbell.park(1000), 'ready');
  t.equal(doorbell.parks, 0);
  t.equal(new NotifyBell(ring).ring(), false, 'and leaves the flag down');
});

t.test('park ends by itself, and then nobody has to be rung', async (t) => {
  const { ring, isEmpty } = openRing();
  const doorbell = new ThreadDoorbell(ring, () => !isEmpty());
  t.equal(doorbell.park(1), 'timeout');
  t.same([doorbell.parks, doorbell.wakes, doorbell.timeouts], [1, 0, 1]);
  const bell = new NotifyBell(ring);
  t.equal(bell.ring(), false);
  t.equal(bell.rings, 0);
});

t.test('a bell between the look at the ring and the wait is not lost', async (t) => {
  const { ring } = openRing();
  const bell = new NotifyBell(ring);
  // The look itself rings, which is as late as it can be before the wait: the time given would hang the test.
  const doorbell = new ThreadDoorbell(ring, () => {
    bell.ring();
    return false;
  });
  t.equal(doorbell.park(60_000), 'rung');
  t.equal(bell.rings, 1);
});

interface FrontPair {
  readonly doorbell: FrontDoorbell;
  readonly bell: Bell;
  readonly ring: SharedArrayBuffer;
  readonly producer: RingProducer;
  readonly consumer: RingConsumer;
  readonly isEmpty: () => boolean;
}

const FRONT_DOORBELLS: { name: string; open: () => FrontPair }[] = [
  {
    name: 'WaitAsyncDoorbell',
    open: () => {
      const side = openRing();
      return { ...side, doorbell: new WaitAsyncDoorbell(side.ring, side.isEmpty), bell: new NotifyBell(side.ring) };
    },
  },
  {
    name: 'MessagePortDoorbell',
    open: () => {
      const side = openRing();
      const { port1, port2 } = new MessageChannel();
      const doorbell = new MessagePortDoorbell(side.ring, side.isEmpty, port1);
      return { ...side, doorbell, bell: new MessagePortBell(side.ring, port2) };
    },
  },
];

/** Lets answers that are on their way arrive: a few turns of the event loop, whatever they are carried by. */
async function someTurns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

for (const { name, open } of FRONT_DOORBELLS) {
  t.test(`${name}: armed and rung, it calls onRing once, and no bell is needed while it is awake`, async (t) => {
    const { doorbell, bell, producer } = open();
    let rungCount = 0;
    const rung = new Promise<void>((resolve) =>
      doorbell.start(() => {
        rungCount++;
        resolve();
      }),
    );
    t.equal(bell.ring(), false, 'nobody is asleep');
    t.equal(doorbell.arm(), true);
    const keepAlive = setInterval(() => {}, 1000); // Neither doorbell does, and that is a promise.
    producer.tryWrite(1, RECORD);
    t.equal(bell.ring(), true);
    t.equal(bell.ring(), false, 'a second bell is not needed');
    await rung;
    clearInterval(keepAlive);
    await someTurns();
    t.equal(rungCount, 1);
    t.same([doorbell.wakes, bell.rings], [1, 1]);
    t.equal(bell.ring(), false, 'awake');
    doorbell.close();
  });

  t.test(`${name}: arm() says no when there is something to read`, async (t) => {
    const { doorbell, bell, producer, consumer } = open();
    doorbell.start(() => {});
    producer.tryWrite(1, RECORD);
    t.equal(doorbell.arm(), false);
    t.equal(bell.ring(), false);
    consumer.drain(() => {}, 10);
    t.equal(doorbell.arm(), true);
    doorbell.close();
  });

  t.test(`${name}: disarm() swallows a bell on its way, and the next arm() works`, async (t) => {
    const { doorbell, bell } = open();
    let rungCount = 0;
    let onRing = () => {};
    doorbell.start(() => {
      rungCount++;
      onRing();
    });
    doorbell.arm();
    bell.ring();
    doorbell.disarm();
    await someTurns();
    t.equal(rungCount, 0);
    t.equal(doorbell.arm(), true);
    const keepAlive = setInterval(() => {}, 1000);
    const rung = new Promise<void>((resolve) => {
      onRing = resolve;
    });
    t.equal(bell.ring(), true);
    await rung;
    clearInterval(keepAlive);
    t.equal(rungCount, 1);
    doorbell.close();
  });

  t.test(`${name}: armed, taken back and armed again, many times, it still takes one bell`, async (t) => {
    const { doorbell, bell } = open();
    const rung = new Promise<void>((resolve) => doorbell.start(resolve));
    for (let round = 0; round < 1000; round++) {
      t.equal(doorbell.arm(), true);
      doorbell.disarm();
      if (bell.ring()) t.fail('rang while disarmed');
    }
    doorbell.arm();
    const keepAlive = setInterval(() => {}, 1000);
    bell.ring();
    await rung;
    clearInterval(keepAlive);
    t.equal(doorbell.wakes, 1);
    doorbell.close();
  });

  t.test(`${name}: closed, it neither rings nor arms`, async (t) => {
    const { doorbell, bell } = open();
    let rungCount = 0;
    doorbell.start(() => rungCount++);
    doorbell.arm();
    doorbell.close();
    doorbell.close();
    t.equal(bell.ring(), false);
    await someTurns();
    t.equal(rungCount, 0);
    t.throws(() => doorbell.arm(), /after close/);
  });
}

t.test('WaitAsyncDoorbell: a bell between the look at the ring and the wait is not lost', async (t) => {
  const { ring } = openRing();
  const bell = new NotifyBell(ring);
  const doorbell = new WaitAsyncDoorbell(ring, () => {
    bell.ring();
    return true;
  });
  doorbell.start(() => {});
  t.equal(doorbell.arm(), false);
  doorbell.close();
});
