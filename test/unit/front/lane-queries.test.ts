/** Queries that all lanes answer in part: put together as bytes, cut where the asker said, and never left open. */
import t from 'tap';
import { LaneQueries } from '../../../src/front/lane-queries.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';

t.test('the last lane’s part completes the answer, in the lanes’ order whatever the order of answers', async (t) => {
  const queries = new LaneQueries();
  const query = queries.begin(7, 2 ** 40, 'runs', 3);
  t.equal(queries.answered(query, 2, pack(['c'])), null);
  t.equal(queries.answered(query, 0, pack([])), null);
  const answer = queries.answered(query, 1, pack([{ atMs: 1n << 41n }, 'b']));
  t.match(answer, { session: 7, id: 2 ** 40 });
  t.same(unpack(answer?.frame ?? pack(null)), [32, 2 ** 40, { runs: [{ atMs: 2 ** 41 }, 'b', 'c'] }]);
  t.equal(queries.count, 0);
  t.equal(queries.answered(query, 1, pack(['late'])), null);
});

t.test('an integer of a lane is an integer on the wire', async (t) => {
  const queries = new LaneQueries();
  const frame = queries.answered(queries.begin(7, 1, 'runs', 1), 0, pack([1n << 41n]))?.frame ?? new Uint8Array(0);
  t.same([...frame.slice(-9)], [0xd3, 0, 0, 2, 0, 0, 0, 0, 0]);
});

for (const count of [0, 15, 16, 65_535, 65_536]) {
  t.test(`a part of ${count} elements`, async (t) => {
    const queries = new LaneQueries();
    const part = Array.from({ length: count }, (_, index) => index);
    const frame = queries.answered(queries.begin(7, 1, 'list', 1), 0, pack(part))?.frame ?? new Uint8Array(0);
    t.same(unpack(frame), [32, 1, { list: part }]);
  });
}

t.test('no more elements than were asked for', async (t) => {
  const queries = new LaneQueries();
  const query = queries.begin(7, 1, 'runs', 3, 4);
  queries.answered(query, 0, pack([1, [2], 3]));
  queries.answered(query, 1, pack([{ x: 4 }, 5]));
  t.same(unpack(queries.answered(query, 2, pack([6]))?.frame ?? pack(null)), [32, 1, { runs: [1, [2], 3, { x: 4 }] }]);
});

t.test('a dead lane gives up the queries that it has not answered, and no others', async (t) => {
  const queries = new LaneQueries();
  const open = queries.begin(7, 1, 'runs', 2);
  const answered = queries.begin(8, 2, 'runs', 2);
  queries.answered(answered, 1, pack([]));
  t.match(queries.takeOfLane(1), [{ session: 7, id: 1 }]);
  t.equal(queries.answered(open, 0, pack([])), null);
  queries.forget(8);
  t.equal(queries.count, 0);
});
