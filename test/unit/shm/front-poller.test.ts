/** The poller against a fake doorbell and turns that the test runs by hand. */

import t from 'tap';
import type { FrontDoorbell } from '../../../src/shm/doorbell.ts';
import { FrontPoller } from '../../../src/shm/front-poller.ts';

class FakeDoorbell implements FrontDoorbell {
  wakes = 0;
  isArmed = false;
  onRing = () => {};
  readonly #isEmpty: () => boolean;
  constructor(isEmpty: () => boolean) {
    this.#isEmpty = isEmpty;
  }
  start(onRing: () => void): void {
    this.onRing = onRing;
  }
  arm(): boolean {
    this.isArmed = this.#isEmpty();
    return this.isArmed;
  }
  disarm(): void {
    this.isArmed = false;
  }
  close(): void {}
  ring(): void {
    if (!this.isArmed) return;
    this.isArmed = false;
    this.wakes++;
    this.onRing();
  }
}

function open({ emptyTurnsMax = 0, batch = 10 }: { emptyTurnsMax?: number; batch?: number } = {}) {
  const world = { pending: 0, drains: [] as number[], turns: [] as (() => void)[], failNext: false };
  const doorbell = new FakeDoorbell(() => world.pending === 0);
  const poller = new FrontPoller({
    doorbell,
    isEmpty: () => world.pending === 0,
    drain: () => {
      if (world.failNext) throw new Error('drain failed');
      const recordCount = Math.min(batch, world.pending);
      world.pending -= recordCount;
      world.drains.push(recordCount);
      return recordCount;
    },
    emptyTurnsMax,
    scheduleTurn: (turn) => world.turns.push(turn),
  });
  /** Runs one turn of the event loop; false if none was asked for. */
  const turn = () => {
    const next = world.turns.shift();
    next?.();
    return next !== undefined;
  };
  return { world, doorbell, poller, turn };
}

t.test('start arms on an empty ring, and polls one that has something', async (t) => {
  const empty = open();
  empty.poller.start();
  t.equal(empty.doorbell.isArmed, true);
  t.equal(empty.turn(), false);
  const filled = open();
  filled.world.pending = 3;
  filled.poller.start();
  t.equal(filled.doorbell.isArmed, false);
  t.same(filled.world.drains, [], 'not inside start()');
  filled.turn();
  t.same(filled.world.drains, [3]);
  t.equal(filled.doorbell.isArmed, true);
});

t.test('a bell drains at once, one batch a turn, and arms when empty', async (t) => {
  const { world, doorbell, poller, turn } = open({ batch: 10 });
  poller.start();
  world.pending = 25;
  doorbell.ring();
  t.same(world.drains, [10], 'the rest waits for its turn');
  t.equal(world.turns.length, 1);
  turn();
  t.same(world.drains, [10, 10]);
  turn();
  t.same(world.drains, [10, 10, 5]);
  t.equal(doorbell.isArmed, true);
  t.equal(turn(), false, 'no turn is scheduled while armed');
  t.match(poller.stats, { turns: 3, records: 25, rings: 1, arms: 2, emptyTurns: 0 });
});

t.test('emptyTurnsMax turns must be empty in a row before it arms', async (t) => {
  const { world, doorbell, poller, turn } = open({ emptyTurnsMax: 2 });
  poller.start();
  world.pending = 1;
  doorbell.ring();
  t.equal(doorbell.isArmed, false);
  turn(); // Empty once.
  t.equal(doorbell.isArmed, false);
  world.pending = 1;
  turn(); // Something: the count starts again.
  turn();
  t.equal(doorbell.isArmed, false);
  turn();
  t.equal(doorbell.isArmed, true);
  t.match(poller.stats, { rings: 1, arms: 2, emptyTurns: 3 });
});

t.test('a record that comes in while arming is drained in the next turn', async (t) => {
  const { world, doorbell, poller, turn } = open();
  poller.start();
  const { arm } = FakeDoorbell.prototype;
  doorbell.arm = function (this: FakeDoorbell) {
    world.pending = 1;
    doorbell.arm = arm;
    return arm.call(this);
  };
  world.pending = 1;
  doorbell.ring();
  t.equal(doorbell.isArmed, false);
  turn();
  t.same(world.drains, [1, 1]);
  t.equal(doorbell.isArmed, true);
});

t.test('kick looks in the next turn, once, and not while polling', async (t) => {
  const { world, doorbell, poller, turn } = open();
  poller.kick();
  t.equal(turn(), false, 'not before start()');
  poller.start();
  poller.kick();
  poller.kick();
  t.equal(world.turns.length, 1);
  t.equal(doorbell.isArmed, false);
  world.pending = 2;
  turn();
  t.same(world.drains, [2]);
  t.equal(doorbell.isArmed, true);
  t.equal(poller.stats.kicks, 1);
});

t.test('stop: a scheduled turn does nothing any more, and neither does a bell', async (t) => {
  const { world, doorbell, poller, turn } = open({ batch: 1 });
  poller.start();
  world.pending = 5;
  doorbell.ring();
  poller.stop();
  turn();
  doorbell.isArmed = true;
  doorbell.ring();
  poller.kick();
  t.same(world.drains, [1]);
  t.equal(turn(), false);
  t.equal(poller.isStopped, true);
  t.throws(() => poller.start(), /cannot start/);
});

t.test('a drain that throws stops the poller, and the error comes out', async (t) => {
  const { world, doorbell, poller, turn } = open();
  poller.start();
  world.pending = 1;
  world.failNext = true;
  t.throws(() => doorbell.ring(), /drain failed/);
  t.equal(poller.isStopped, true);
  t.equal(doorbell.isArmed, false);
  t.equal(turn(), false);
});
