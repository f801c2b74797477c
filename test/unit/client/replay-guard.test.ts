/** Numbers of senders: what is new, late, missing, or a replay. */
import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { ReplayGuard } from '../../../src/client/encryption.ts';

const replayed = { codeName: 'REPLAYED' } as never;

for (const { name, numbers, missing } of [
  { name: 'one after the other', numbers: [1, 2, 3], missing: [0, 0, 0] },
  { name: 'begun in the middle', numbers: [70, 71], missing: [0, 0] },
  { name: 'with a gap', numbers: [1, 2, 6, 7], missing: [0, 0, 3, 0] },
  { name: 'out of order', numbers: [1, 4, 3, 2, 5], missing: [0, 2, 0, 0, 0] },
]) {
  t.test(`numbers ${name} are taken, and the gaps counted`, async (t) => {
    const guard = new ReplayGuard();
    t.same(
      numbers.map((number) => guard.accept('a', 'ann', number)),
      missing,
    );
  });
}

for (const { name, before, again } of [
  { name: 'the last one', before: [1, 2, 3], again: 3 },
  { name: 'an earlier one', before: [1, 2, 3], again: 2 },
  { name: 'a late one that came already', before: [1, 4, 3], again: 3 },
  { name: 'one of before the first', before: [70], again: 69 },
  { name: 'one from under the window', before: [1, 1_030], again: 5 },
]) {
  t.test(`${name} is a replay`, async (t) => {
    const guard = new ReplayGuard();
    for (const number of before) guard.accept('a', 'ann', number);
    t.throws(() => guard.accept('a', 'ann', again), replayed);
    t.equal(guard.accept('a', 'ann', 2_000) > 0, true, 'and changes nothing');
  });
}

t.test('senders and topics have numbers of their own', async (t) => {
  const guard = new ReplayGuard();
  for (const [topic, sender] of [
    ['a', 'ann'],
    ['a', 'ben'],
    ['b', 'ann'],
  ] as const)
    t.equal(guard.accept(topic, sender, 1), 0);
  t.throws(() => guard.accept('a', 'ben', 1), replayed);
});

t.test('the window is where it says: the oldest that may still come, and the one before', async (t) => {
  const guard = new ReplayGuard({ missingMax: 3 });
  guard.accept('a', 'ann', 1);
  t.equal(guard.accept('a', 'ann', 10), 8);
  t.equal(guard.accept('a', 'ann', 7), 0);
  t.throws(() => guard.accept('a', 'ann', 6), replayed);
  t.equal(guard.accept('a', 'ann', 12), 1);
  t.equal(guard.accept('a', 'ann', 9), 0);
  t.throws(() => guard.accept('a', 'ann', 8), replayed, 'it has moved on');
});

t.test('senders are bounded: the one longest unheard is forgotten', async (t) => {
  const guard = new ReplayGuard({ sendersMax: 2 });
  guard.accept('a', 'ann', 5);
  guard.accept('a', 'ben', 5);
  guard.accept('a', 'ann', 6);
  guard.accept('a', 'cleo', 1);
  t.same(guard.state, [
    ['a', 'ann', 6],
    ['a', 'cleo', 1],
  ]);
});

t.test('a guard that goes on from a stored state knows what came before', async (t) => {
  const first = new ReplayGuard();
  for (const number of [1, 2, 5]) first.accept('a', 'ann', number);
  const next = new ReplayGuard({ state: JSON.parse(JSON.stringify(first.state)) });
  for (const number of [1, 5, 3]) t.throws(() => next.accept('a', 'ann', number), replayed);
  t.equal(next.accept('a', 'ann', 6), 0);
});

t.test('a jump as far as numbers go takes neither time nor memory', async (t) => {
  const guard = new ReplayGuard();
  guard.accept('a', 'ann', 1);
  t.equal(guard.accept('a', 'ann', Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER - 2);
});

t.test('whatever order numbers come in, each is taken once at most', async (t) => {
  const prng = new Prng(7, 1);
  const guard = new ReplayGuard({ missingMax: 50 });
  const taken = new Set<number>();
  for (let round = 0; round < 20_000; round++) {
    const number = Math.max(1, Math.floor(round / 4) + prng.nextInt(-60, 20));
    try {
      guard.accept('a', 'ann', number);
    } catch {
      continue;
    }
    if (taken.has(number)) t.fail(`${number} was taken twice`);
    taken.add(number);
  }
  t.ok(taken.size > 4_000, `${taken.size} taken`);
});
