/** Load levels from samples: up at once, down slowly, and no flapping in between. */
import t from 'tap';
import { LoadShedding, type SheddingOptions } from '../../../../src/front/limits/load-shedding.ts';

const OPTIONS: SheddingOptions = {
  delayMs: [1_000, 3_000],
  memoryBytes: [800, 900],
  delayLeavePercent: 50,
  memoryLeavePercent: 90,
  leaveAfterMs: 5_000,
  retryAfterMs: 2_000,
  calls: false,
};
const TICK_MS = 100;

class Feed {
  nowMs = 0;
  readonly load: LoadShedding;
  readonly changes: string[] = [];

  constructor(options: Partial<SheddingOptions> = {}) {
    this.load = new LoadShedding({ ...OPTIONS, ...options }, 0);
  }

  /** The loop is late by `delayMs` at each tick, for about `forMs`. */
  run(forMs: number, delayMs: number, memoryBytes = 0): this {
    const endMs = this.nowMs + forMs;
    while (this.nowMs < endMs) {
      this.nowMs += TICK_MS + delayMs;
      const change = this.load.sample({ delayMs, memoryBytes }, this.nowMs);
      if (change !== null) this.changes.push(`${change.from}->${change.to}`);
    }
    return this;
  }
}

t.test('a relay at ease stays at 0', async (t) => {
  t.same(new Feed().run(60_000, 20, 500).changes, []);
});

t.test('one pause is no overload', async (t) => {
  t.same(new Feed().run(1_000, 5).run(1, 600).run(1_000, 5).run(1, 600).run(10_000, 5).changes, []);
});

t.test('a second of delay is, at once, and a long stall is the second level in one step', async (t) => {
  t.same(new Feed().run(10_000, 1_500).changes, ['0->1']);
  t.same(new Feed().run(1_000, 5).run(1, 10_000).changes, ['0->2']);
});

t.test('down one level at a time, each after a while of calm', async (t) => {
  const feed = new Feed().run(1_000, 5).run(1, 10_000);
  feed.run(6_000, 5);
  t.same(feed.changes, ['0->2'], 'the average is still falling, or the calm is too short');
  feed.run(2_000, 5);
  t.same(feed.changes, ['0->2', '2->1']);
  feed.run(3_500, 5);
  t.equal(feed.load.level, 1, 'the calm begins anew');
  feed.run(3_000, 5);
  t.same(feed.changes, ['0->2', '2->1', '1->0']);
});

t.test('between the marks nothing changes, in either direction', async (t) => {
  const rising = new Feed().run(60_000, 900);
  t.same(rising.changes, [], 'below the upper mark');
  const falling = new Feed().run(10_000, 1_500).run(120_000, 700);
  t.same(falling.changes, ['0->1'], 'above the lower one');
});

t.test('calm that is interrupted begins anew', async (t) => {
  const feed = new Feed().run(10_000, 1_500);
  for (let round = 0; round < 5; round++) feed.run(4_000, 5).run(3_000, 800);
  t.same(feed.changes, ['0->1']);
});

t.test('memory counts as it is, and has a lower mark of its own', async (t) => {
  const feed = new Feed().run(1_000, 5, 850);
  t.same(feed.changes, ['0->1']);
  feed.run(60_000, 5, 750);
  t.same(feed.changes, ['0->1'], '750 is over 90 % of 800');
  feed.run(1_000, 5, 950);
  t.same(feed.changes, ['0->1', '1->2']);
  feed.run(6_000, 5, 805);
  t.same(feed.changes, ['0->1', '1->2', '2->1']);
  feed.run(6_000, 5, 700);
  t.same(feed.changes, ['0->1', '1->2', '2->1', '1->0']);
});

t.test('what is not looked at does not matter', async (t) => {
  const never = Number.POSITIVE_INFINITY;
  t.same(new Feed({ delayMs: [never, never] }).run(60_000, 60_000, 0).changes, []);
  t.same(new Feed({ memoryBytes: [never, never] }).run(60_000, 5, 1e12).changes, []);
});
