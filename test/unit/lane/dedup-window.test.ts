/** The idempotency window: by time, by count, and in the order of age. */
import t from 'tap';
import { DedupWindow } from '../../../src/lane/dedup-window.ts';

const MAX = 100;

for (const { name, nowMs, want } of [
  { name: 'at once', nowMs: 0, want: 7 },
  { name: 'a millisecond before it expires', nowMs: 999, want: 7 },
  { name: 'when it expires', nowMs: 1_000, want: -1 },
  { name: 'later', nowMs: 5_000, want: -1 },
]) {
  t.test(`a key that lives for a second is looked for ${name}`, async (t) => {
    const window = new DedupWindow();
    window.remember('k', 7, 1_000, 0, MAX);
    t.equal(window.find('k', nowMs), want);
    t.equal(window.find('other', nowMs), -1);
  });
}

t.test('an offset of 0 is an answer too: topics without history have no other', async (t) => {
  const window = new DedupWindow();
  window.remember('k', 0, 1_000, 0, MAX);
  t.equal(window.find('k', 1), 0);
});

t.test('remembering expires what is over, and nothing else', async (t) => {
  const window = new DedupWindow();
  window.remember('a', 1, 1_000, 0, MAX);
  window.remember('b', 2, 1_500, 500, MAX);
  window.remember('c', 3, 2_200, 1_200, MAX);
  t.equal(window.size, 2);
  t.same(
    ['a', 'b', 'c'].map((key) => window.find(key, 1_200)),
    [-1, 2, 3],
  );
});

t.test('at the bound the oldest key goes, and the caller is told', async (t) => {
  const window = new DedupWindow();
  t.equal(window.remember('a', 1, 1_000, 0, 2), false);
  t.equal(window.remember('b', 2, 1_000, 0, 2), false);
  t.equal(window.remember('c', 3, 1_000, 0, 2), true);
  t.equal(window.size, 2);
  t.same(
    ['a', 'b', 'c'].map((key) => window.find(key, 1)),
    [-1, 2, 3],
  );
});

t.test('what has expired makes room first', async (t) => {
  const window = new DedupWindow();
  window.remember('a', 1, 1_000, 0, 2);
  window.remember('b', 2, 2_000, 0, 2);
  t.equal(window.remember('c', 3, 3_000, 1_000, 2), false, 'nothing was lost before its time');
});

t.test('a key used again after it expired is as young as it looks', async (t) => {
  const window = new DedupWindow();
  window.remember('a', 1, 1_000, 0, 2);
  window.remember('b', 2, 5_000, 0, 2);
  window.expire(1_000);
  window.remember('a', 3, 6_000, 1_000, 2);
  window.remember('c', 4, 7_000, 1_000, 2); // At the bound: 'b' is the oldest now.
  t.same(
    ['a', 'b', 'c'].map((key) => window.find(key, 1_001)),
    [3, -1, 4],
  );
});

t.test('expire empties the window in the end', async (t) => {
  const window = new DedupWindow();
  for (let index = 0; index < 50; index++) window.remember(`k${index}`, index, 1_000 + index, index, MAX);
  window.expire(1_024);
  t.equal(window.size, 25);
  window.expire(10_000);
  t.equal(window.size, 0);
});
