/** Patterns on the front: their numbers, and that a command is answered when the last lane has taken it. */
import t from 'tap';
import { PatternRegistry } from '../../../src/front/pattern-registry.ts';

for (const laneCount of [1, 2, 5, 30]) {
  t.test(`numbers are the patterns’ own among ${laneCount} lanes, and each is given out once`, async (t) => {
    const patterns = new PatternRegistry(laneCount);
    const subs = ['a.*', 'b.*', 'c.*'].map((name) => patterns.enter(name, 1));
    t.equal(new Set(subs).size, 3);
    for (const sub of subs) t.equal(sub % (laneCount + 1), laneCount, 'the residue no lane uses');
    t.ok(subs.every((sub) => sub > 0));
    patterns.leave(subs[2]!, 1);
    t.not(patterns.enter('c.*', 1), subs[2], 'a pattern that comes back is another subscription');
  });
}

t.test('a pattern has one number for all sessions, from the first to the last', async (t) => {
  const patterns = new PatternRegistry(2);
  const sub = patterns.enter('a.*', 1);
  t.equal(patterns.enter('a.*', 2), sub);
  t.equal(patterns.enter('a.*', 2), sub, 'twice is once');
  t.equal(patterns.find('a.*', 1), sub);
  t.equal(patterns.find('a.*', 3), 0);
  t.equal(patterns.find('b.*', 1), 0);
  patterns.leave(sub, 1);
  t.equal(patterns.find('a.*', 1), 0);
  t.equal(patterns.find('a.*', 2), sub);
  patterns.leave(sub, 2);
  t.equal(patterns.size, 0);
  patterns.leave(sub, 2);
  patterns.leave(999, 1);
  t.equal(patterns.size, 0, 'leaving what one is not in is nothing');
});

for (const laneCount of [1, 3, 30]) {
  t.test(`a command is answered by the last of ${laneCount} lanes, in whatever order`, async (t) => {
    for (const order of [
      Array.from({ length: laneCount }, (_, lane) => lane),
      Array.from({ length: laneCount }, (_, lane) => laneCount - 1 - lane),
    ]) {
      const patterns = new PatternRegistry(laneCount);
      const sub = patterns.enter('a.*', 1);
      patterns.expect(sub, 1);
      t.same(
        order.map((lane) => patterns.answered(sub, 1, lane)),
        order.map((_, index) => index === laneCount - 1),
      );
      t.equal(patterns.answered(sub, 1, 0), false, 'nothing is awaited any more');
    }
  });
}

t.test('a lane that answers twice does not stand in for another', async (t) => {
  const patterns = new PatternRegistry(2);
  const sub = patterns.enter('a.*', 1);
  patterns.expect(sub, 1);
  t.equal(patterns.answered(sub, 1, 0), false);
  t.equal(patterns.answered(sub, 1, 0), false);
  t.equal(patterns.answered(sub, 1, 1), true);
});

// The story: a client that came, went and came again to a pattern in one WebSocket message was told CONFLICT.
t.test('commands of one session for one pattern are answered in their order', async (t) => {
  const patterns = new PatternRegistry(2);
  const sub = patterns.enter('a.*', 1);
  patterns.expect(sub, 1);
  patterns.expect(sub, 1, true);
  t.equal(patterns.answered(sub, 1, 0), false, 'lane 0 answers the first');
  t.equal(patterns.answered(sub, 1, 0), false, 'lane 0 answers the second');
  t.equal(patterns.answered(sub, 1, 1), true, 'lane 1 ends the first');
  t.same([...patterns.all()], [], 'a new lane is taught the last wish: to leave');
  t.equal(patterns.answered(sub, 1, 1), true, 'lane 1 ends the second');
  t.equal(patterns.answered(sub, 1, 1), false, 'nothing is awaited any more');
});

t.test('who leaves while a later command is under way stays until that is answered', async (t) => {
  const patterns = new PatternRegistry(1);
  const sub = patterns.enter('a.*', 1);
  patterns.expect(sub, 1);
  patterns.leave(sub, 1);
  t.equal(patterns.find('a.*', 1), sub);
  t.equal(patterns.answered(sub, 1, 0), true);
  patterns.leave(sub, 1);
  t.equal(patterns.size, 0);
});

t.test('forget: everything of one session, as it closes', async (t) => {
  const patterns = new PatternRegistry(1);
  const [a, b] = [patterns.enter('a.*', 1), patterns.enter('b.*', 1)];
  patterns.enter('b.*', 2);
  patterns.expect(a, 1);
  patterns.forget(1);
  t.same([...patterns.all()], [{ name: 'b.*', sub: b, session: 2 }]);
  t.equal(patterns.answered(a, 1, 0), false);
  patterns.forget(1);
  patterns.forget(2);
  t.equal(patterns.size, 0);
  t.same([...patterns.all()], []);
});

t.test('a session that closes costs what it has, not what all have', async (t) => {
  const patterns = new PatternRegistry(2);
  for (let index = 0; index < 100_000; index++) patterns.enter(`a${index}.*`, 1 + (index % 100));
  const sub = patterns.enter('mine.*', 1_000);
  const beganMs = performance.now();
  for (let session = 1_000; session < 2_000; session++) patterns.forget(session);
  t.ok(performance.now() - beganMs < 250, 'seconds, if it looked at all of them');
  t.equal(patterns.find('mine.*', 1_000), 0);
  t.not(patterns.enter('mine.*', 1_000), sub, 'it was gone');
  patterns.forget(1_000);
  patterns.forget(1);
  t.equal(patterns.size, 99_000);
  t.equal(patterns.find('a0.*', 1), 0);
  t.not(patterns.find('a1.*', 2), 0);
});
