/** The front's books on calls, queries, registrations and the journal: what is in flight, and who is told when a lane dies. */
import t from 'tap';
import { CallLedger } from '../../../src/front/call-ledger.ts';
import { LaneQueries } from '../../../src/front/lane-queries.ts';
import { MemoryJournal } from '../../../src/front/memory-journal.ts';
import { Registrations } from '../../../src/front/registrations.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';

t.test('the ledger knows each call once, and gives those of a dead lane back', async (t) => {
  const ledger = new CallLedger();
  t.ok(ledger.begin(1, 10, 0));
  t.notOk(ledger.begin(1, 10, 1), 'the id is in flight');
  t.ok(ledger.begin(1, 11, 1));
  t.ok(ledger.begin(2, 10, 0), 'another session may use the id');
  t.same([ledger.countOf(1), ledger.countOf(2), ledger.countOf(3), ledger.count], [2, 1, 0, 3]);
  t.same(ledger.takeOfLane(0), [
    { session: 1, id: 10 },
    { session: 2, id: 10 },
  ]);
  t.notOk(ledger.end(1, 10), 'it is over');
  t.ok(ledger.end(1, 11));
  t.equal(ledger.count, 0);
  t.ok(ledger.begin(1, 10, 0), 'and its id is free again');
  ledger.forget(1);
  ledger.forget(1);
  t.equal(ledger.count, 0);
});

t.test('a query is answered once, when its last lane has spoken', async (t) => {
  const queries = new LaneQueries();
  const query = queries.begin(7, 3, 'services', 3);
  t.equal(queries.answered(query, 0, pack(['a'])), null);
  t.equal(queries.answered(query, 2, pack([])), null);
  const answer = queries.answered(query, 1, pack(['b', 'c']));
  t.match(answer, { session: 7, id: 3 });
  t.same(unpack(answer?.frame ?? pack(null)), [32, 3, { services: ['a', 'b', 'c'] }]);
  t.equal(queries.answered(query, 1, pack(['late'])), null, 'an answer too many is dropped');
  t.equal(queries.count, 0);
});

t.test('a query ends with its session, or with a lane that has not answered', async (t) => {
  const queries = new LaneQueries();
  queries.begin(1, 1, 'services', 2);
  const half = queries.begin(2, 5, 'services', 2);
  queries.forget(1);
  queries.answered(half, 0, pack([]));
  t.same(queries.takeOfLane(0), [], 'lane 0 has said what it knows');
  t.match(queries.takeOfLane(1), [{ session: 2, id: 5 }]);
  t.equal(queries.count, 0);
});

t.test('registrations are replayed in the order in which they came, without those who left', async (t) => {
  const registrations = new Registrations(2);
  const bytes = Uint8Array.of(1);
  registrations.add(0, { session: 1, instance: 5, bytes });
  registrations.add(0, { session: 2, instance: 4, bytes });
  registrations.add(0, { session: 1, instance: 6, bytes });
  registrations.add(1, { session: 1, instance: 5, bytes });
  registrations.add(0, { session: 2, instance: 4, bytes: Uint8Array.of(2) });
  t.equal(registrations.count, 4);
  t.same(
    [...registrations.ofLane(0)].map(({ instance, bytes: [first] }) => [instance, first]),
    [
      [5, 1],
      [4, 2],
      [6, 1],
    ],
  );
  registrations.remove(0, 5);
  registrations.remove(0, 99);
  registrations.forget(1);
  registrations.forget(3);
  t.same(
    [...registrations.ofLane(0)].map(({ instance }) => instance),
    [4],
  );
  t.same([...registrations.ofLane(1)], []);
});

t.test('the journal gives a lane its entries back key by key, and counts what it holds', async (t) => {
  const journal = new MemoryJournal();
  const entry = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);
  journal.append(0, 'a', entry(1));
  journal.append(0, 'b', entry(2, 2));
  journal.append(1, 'a', entry(3));
  journal.append(0, 'a', entry(4));
  t.same(
    [...journal.entriesOf(0)].map(([first]) => first),
    [1, 4, 2],
  );
  t.same([journal.bytes, journal.entryCount], [5, 4]);
  journal.forget(0, 'a');
  journal.forget(0, 'a');
  journal.forget(2, 'a');
  t.same(
    [...journal.entriesOf(0)].map(([first]) => first),
    [2],
  );
  t.same(
    [...journal.entriesOf(1)].map(([first]) => first),
    [3],
  );
  t.same([journal.bytes, journal.entryCount], [3, 2]);
});
