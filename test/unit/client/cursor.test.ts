/** Where a subscription stands: what is new, what is a duplicate, what is missing, and what to ask for next. */
import t from 'tap';
import { Cursor } from '../../../src/client/cursor.ts';

const joined = (offset: number, more: object = {}) => ({ sub: 1, epoch: 'e', offset, replay: 0, ...more });

/** [offset] a message, [from, to, count?] a skip; wanted: 'new', 'old', and gaps. */
for (const { name, steps, want, at } of [
  { name: 'messages in order', steps: [[6], [7]], want: ['new', 'new'], at: 7 },
  { name: 'a replay of what is known', steps: [[6], [4], [6], [7]], want: ['new', 'old', 'old', 'new'], at: 7 },
  { name: 'a gap', steps: [[8]], want: ['new gap 6-7'], at: 8 },
  { name: 'a named gap', steps: [[6, 7], [8]], want: ['new', 'new'], at: 8 },
  { name: 'a gap before a skip', steps: [[7, 8], [9]], want: ['new gap 6-6', 'new'], at: 9 },
  {
    name: 'a skip twice',
    steps: [
      [6, 7],
      [6, 7],
    ],
    want: ['new', 'old'],
    at: 7,
  },
  { name: 'a skip that overlaps the known', steps: [[6], [5, 8], [9]], want: ['new', 'new', 'new'], at: 9 },
  { name: 'conflation by key: some of the range still come', steps: [[6, 9, 2], [7], [10]], want: ['new', 'new', 'new'], at: 10 },
  { name: 'conflation, the survivor behind the range', steps: [[6, 9, 3], [10], [8]], want: ['new', 'new', 'old'], at: 10 },
  { name: 'conflation and a true gap behind it', steps: [[6, 7, 1], [10]], want: ['new', 'new gap 8-9'], at: 10 },
  { name: 'no history in between (offset 0)', steps: [[0], [6]], want: ['new', 'new'], at: 6 },
] as { name: string; steps: number[][]; want: string[]; at: number }[]) {
  t.test(`from offset 5: ${name}`, async (t) => {
    const cursor = new Cursor({ epoch: 'e', offset: 5 });
    cursor.joined(joined(99, { recovered: true }));
    const got = steps.map(([from, to, count]) => {
      const isNew =
        to === undefined ? cursor.accept(from as number) : cursor.skip(from as number, to, count ?? to - (from as number) + 1);
      return (isNew ? 'new' : 'old') + (cursor.gap ? ` gap ${cursor.gap.join('-')}` : '');
    });
    t.same(got, want);
    t.same(cursor.position, { epoch: 'e', offset: at });
    t.same(cursor.wanted(), { since: { epoch: 'e', offset: at } });
  });
}

t.test('own publishes without echo are no gap; with echo they are messages like others', async (t) => {
  const cursor = new Cursor({ epoch: 'e', offset: 5 });
  cursor.joined(joined(5, { recovered: true }));
  cursor.ownPublish('e', 6);
  cursor.ownPublish('e', 7);
  t.ok(cursor.accept(8));
  t.equal(cursor.gap, null);
  cursor.ownPublish('e', 9);
  t.ok(cursor.accept(9), 'it came after its OK (policy pause): still new');
  cursor.ownPublish('other', 10);
  cursor.ownPublish('e', 3);
  t.ok(cursor.accept(12));
  t.same(cursor.gap, [10, 11]);
});

t.test('joining: what was lost, and where it goes on', async (t) => {
  const fresh = new Cursor();
  t.same(fresh.wanted(), {});
  t.equal(fresh.joined(joined(7)), null);
  t.same(fresh.position, { epoch: 'e', offset: 7 });
  t.equal(fresh.joined(joined(9, { recovered: true })), null);
  t.same(fresh.position, { epoch: 'e', offset: 7 }, 'the replay will move it');
  t.same(fresh.joined(joined(40, { recovered: false, reason: 'EVICTED', lost: [8, 40] })), {
    reason: 'EVICTED',
    lost: [8, 40],
    epoch: 'e',
    offset: 40,
  });
  t.same(fresh.joined({ sub: 1, epoch: 'e2', offset: 3, recovered: false, reason: 'EPOCH_CHANGED', replay: 0 }), {
    reason: 'EPOCH_CHANGED',
    epoch: 'e2',
    offset: 3,
  });
  t.same(fresh.position, { epoch: 'e2', offset: 3 });
});

t.test('a pattern has no positions: every new join may have lost something', async (t) => {
  const cursor = new Cursor();
  const result = { sub: 1, epoch: null, offset: 0, replay: 0 };
  t.equal(cursor.joined(result), null);
  t.ok(cursor.accept(12));
  t.ok(cursor.accept(3), 'offsets of different topics');
  t.ok(cursor.skip(0, 0, 5));
  t.same(cursor.wanted(), {});
  t.same(cursor.joined(result), { reason: 'NO_HISTORY', epoch: null, offset: 0 });
});

t.test('last: the first message says where it begins; before it came, `last` is asked again', async (t) => {
  const cursor = new Cursor(undefined, 3);
  t.same(cursor.wanted(), { last: 3 });
  t.equal(cursor.joined(joined(10, { replay: 2 })), null);
  t.equal(cursor.position, null);
  t.same(cursor.wanted(), { last: 3 });
  t.equal(cursor.joined(joined(11, { replay: 2 })), null, 'nothing had come, so nothing is lost');
  t.ok(cursor.skip(9, 9, 1));
  t.ok(cursor.accept(10));
  t.equal(cursor.gap, null);
  t.same(cursor.wanted(), { since: { epoch: 'e', offset: 10 } });
  const empty = new Cursor(undefined, 3);
  empty.joined(joined(10));
  t.same(empty.position, { epoch: 'e', offset: 10 });
});

t.test('lost: the new place counts, old news does not', async (t) => {
  const cursor = new Cursor({ epoch: 'e', offset: 5 });
  cursor.joined(joined(5, { recovered: true }));
  t.equal(cursor.lost({ reason: 'x', lost: [3, 5], epoch: 'e', offset: 5 }), null);
  t.same(cursor.lost({ reason: 'x', lost: [6, 9], epoch: 'e', offset: 9 })?.lost, [6, 9]);
  t.ok(cursor.accept(10));
  t.ok(cursor.lost({ reason: 'STATE_LOST', epoch: 'f', offset: 0 }));
  t.ok(cursor.accept(1));
  t.same(cursor.position, { epoch: 'f', offset: 1 });
});

t.test('excuses are bounded', async (t) => {
  const cursor = new Cursor({ epoch: 'e', offset: 0 });
  for (let offset = 2; offset < 2_000; offset += 2) cursor.ownPublish('e', offset);
  t.ok(cursor.accept(3_000));
  t.same(cursor.gap, [1, 2_999]);
});
