/** The books of a soak: they must find what is missing, and must not cry over what was named. */
import t from 'tap';
import { Ledger, Registry } from '../../../bench/soak/ledger.ts';
import { growthOf, shareText, slopePerHour } from '../../../bench/soak/verdict.ts';

const NOTHING = { delivered: 0, skipped: 0, named: 0, unreported: 0, duplicated: 0 };

/** A reader of a topic whose publishers got OKs up to these offsets. */
function open(acked: Readonly<Record<string, number>>): { ledger: Ledger; registry: Registry } {
  const registry = new Registry();
  const ledger = new Ledger('topic', registry);
  for (const [epoch, offset] of Object.entries(acked)) registry.note('topic', epoch, offset);
  return { ledger, registry };
}

function deliver(ledger: Ledger, from: number, to: number): void {
  for (let offset = from; offset <= to; offset++) ledger.message(offset);
}

t.test('all delivered', async (t) => {
  const { ledger } = open({ a: 5 });
  ledger.subscribed('a', 2, false, '');
  t.notOk(ledger.hasAll);
  deliver(ledger, 3, 5);
  t.ok(ledger.hasAll);
  t.same(ledger.close(), { ...NOTHING, delivered: 3 }, 'what was before it came is not owed');
});

t.test('a hole is found, and so is a missing end', async (t) => {
  const { ledger } = open({ a: 9 });
  ledger.subscribed('a', 0, false, '');
  deliver(ledger, 1, 3);
  deliver(ledger, 6, 8);
  t.same(ledger.close(), { ...NOTHING, delivered: 6, unreported: 3 });
});

t.test('a skip names its range, and no more than its count', async (t) => {
  const { ledger } = open({ a: 9 });
  ledger.subscribed('a', 0, false, '');
  ledger.skip(1, 4, 4);
  ledger.skip(5, 9, 3);
  t.same(ledger.close(), { ...NOTHING, skipped: 7, unreported: 2 });
});

t.test('what comes twice is counted', async (t) => {
  const { ledger } = open({ a: 2 });
  ledger.subscribed('a', 0, false, '');
  deliver(ledger, 1, 2);
  ledger.message(2);
  ledger.skip(1, 2, 2);
  t.same(ledger.close(), { ...NOTHING, delivered: 2, duplicated: 2 });
});

t.test('a recovery goes on where the reader was', async (t) => {
  const { ledger } = open({ a: 6 });
  ledger.subscribed('a', 0, false, '');
  deliver(ledger, 1, 2);
  t.same(ledger.position, { epoch: 'a', offset: 2 });
  ledger.subscribed('a', 5, true, '');
  deliver(ledger, 3, 6);
  t.same(ledger.close(), { ...NOTHING, delivered: 6 });
});

t.test('a recovery that was promised and did not come is unreported', async (t) => {
  const { ledger } = open({ a: 6 });
  ledger.subscribed('a', 0, false, '');
  deliver(ledger, 1, 2);
  ledger.subscribed('a', 5, true, '');
  ledger.message(6);
  t.same(ledger.close(), { ...NOTHING, delivered: 3, unreported: 3 });
});

t.test('too much to recover: what lies between is named by the reason', async (t) => {
  const { ledger } = open({ a: 20 });
  ledger.subscribed('a', 0, false, '');
  deliver(ledger, 1, 2);
  ledger.subscribed('a', 18, false, 'TOO_MANY');
  deliver(ledger, 19, 20);
  t.same(ledger.close(), { ...NOTHING, delivered: 4, named: 16 });
  t.same(ledger.breaks, { TOO_MANY: 1 });
});

t.test('a lane that died: the rest of its epoch is named, the next one is owed from its beginning', async (t) => {
  const { ledger } = open({ a: 5, b: 4 });
  ledger.subscribed('a', 0, false, '');
  deliver(ledger, 1, 3);
  ledger.lost('LANE_RESTARTED', 'b', 0);
  deliver(ledger, 1, 3);
  t.same(ledger.close(), { ...NOTHING, delivered: 6, named: 2, unreported: 1 }, 'and its own end is not named by that');
});

t.test('an epoch that came and went while the reader was away is named when it comes back, and only then', async (t) => {
  const away = open({ a: 2, b: 7, c: 3 });
  away.ledger.subscribed('a', 0, false, '');
  deliver(away.ledger, 1, 2);
  t.same(away.ledger.close(), { ...NOTHING, delivered: 2, unreported: 10 }, 'it has not come back');
  away.ledger.subscribed('c', 1, false, 'EPOCH_CHANGED');
  deliver(away.ledger, 2, 3);
  t.same(away.ledger.close(), { ...NOTHING, delivered: 4, named: 8 });
});

t.test('an epoch from before the reader first came is not owed', async (t) => {
  const { ledger } = open({ a: 5, b: 1 });
  ledger.subscribed('b', 0, false, '');
  ledger.message(1);
  t.same(ledger.close(), { ...NOTHING, delivered: 1 });
});

t.test('100 % is said only of everything', async (t) => {
  t.equal(shareText(10, 10), '100');
  t.equal(shareText(9_999_999, 10_000_000), '99.9999');
  t.equal(shareText(99_999_999, 100_000_000), '99.9999', 'never rounded up');
});

t.test('slope and growth of memory', async (t) => {
  const samples = Array.from({ length: 40 }, (_, index) => ({ atSeconds: index * 60, rssMb: index < 10 ? 50 : 100 + index / 6 }));
  t.equal(slopePerHour(samples).toFixed(3), '10.000', 'the first quarter does not count');
  t.equal(slopePerHour([]), 0);
  t.equal(growthOf([1, 1, 100, 100, 105, 105, 110, 110]).toFixed(2), '0.10');
});
