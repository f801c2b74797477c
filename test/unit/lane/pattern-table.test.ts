/** Patterns of a lane: who is in them, which of them match, and that a topic notices when that changes. */
import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { PatternTable } from '../../../src/lane/pattern-table.ts';
import { SlabPool } from '../../../src/lane/slab-pool.ts';
import { Topic } from '../../../src/lane/topic.ts';
import { DEFAULT_TOPIC_CONFIG } from '../../../src/lane/topic-config.ts';

t.test('a pattern lives from its first session to its last', async (t) => {
  const patterns = new PatternTable();
  patterns.join('a.*', 5, 1);
  patterns.join('a.*', 5, 2);
  t.equal(patterns.size, 1);
  t.same([...(patterns.find('a.*')?.sessions ?? [])], [1, 2]);
  patterns.leave('a.*', 1);
  t.equal(patterns.size, 1);
  patterns.leave('a.*', 2);
  t.equal(patterns.size, 0);
  t.equal(patterns.find('a.*'), undefined);
});

for (const { name, act, moves } of [
  { name: 'a new pattern', act: (patterns: PatternTable) => void patterns.join('b.>', 9, 1), moves: true },
  { name: 'a second session', act: (patterns: PatternTable) => void patterns.join('a.*', 5, 2), moves: false },
  { name: 'the same session again', act: (patterns: PatternTable) => void patterns.join('a.*', 5, 1), moves: false },
  {
    name: 'the same pattern under another number',
    act: (patterns: PatternTable) => void patterns.join('a.*', 8, 1),
    moves: true,
  },
  { name: 'the last session', act: (patterns: PatternTable) => patterns.leave('a.*', 1), moves: true },
  { name: 'a session that is not in it', act: (patterns: PatternTable) => patterns.leave('a.*', 9), moves: false },
  { name: 'a pattern that is not there', act: (patterns: PatternTable) => patterns.leave('x.*', 1), moves: false },
]) {
  t.test(`the version ${moves ? 'moves' : 'stays'}: ${name}`, async (t) => {
    const patterns = new PatternTable();
    patterns.join('a.*', 5, 1);
    const before = patterns.version;
    act(patterns);
    t.equal(patterns.version !== before, moves);
  });
}

t.test('a pattern that comes back under another number has none of the old sessions', async (t) => {
  const patterns = new PatternTable();
  patterns.join('a.*', 5, 1);
  patterns.join('a.*', 8, 2);
  t.match(patterns.find('a.*'), { sub: 8, tokens: ['a', '*'] });
  t.same([...(patterns.find('a.*')?.sessions ?? [])], [2]);
  t.same([...patterns.subs()], [8]);
});

for (const { topic, want } of [
  { topic: 'a', want: [3] },
  { topic: 'a.b', want: [3, 4, 5] },
  { topic: 'a.b.c', want: [3, 5] },
  { topic: 'x.b', want: [3] },
  { topic: '$a.b', want: [6] },
  { topic: '$b.b', want: [] },
]) {
  t.test(`the patterns that match ${topic}`, async (t) => {
    const patterns = new PatternTable();
    t.same(patterns.subsMatching(topic), [], 'none of none');
    for (const [name, sub] of [
      ['>', 3],
      ['a.*', 4],
      ['a.>', 5],
      ['$a.*', 6],
      ['a.b.c.d.>', 7],
    ] as const)
      patterns.join(name, sub, 1);
    t.same(patterns.subsMatching(topic), want);
  });
}

t.test('a topic finds its patterns anew only when some of them changed', async (t) => {
  const patterns = new PatternTable();
  const topic = new Topic('a.b', new TextEncoder().encode('a.b'), 1, 2, DEFAULT_TOPIC_CONFIG, new Prng(1), new SlabPool(), 0);
  t.same(topic.patternSubs(patterns), []);
  patterns.join('a.*', 5, 1);
  const found = topic.patternSubs(patterns);
  t.same(found, [5]);
  patterns.join('a.*', 5, 2);
  t.equal(topic.patternSubs(patterns), found, 'the same list');
  patterns.join('>', 8, 1);
  t.same(topic.patternSubs(patterns), [5, 8]);
  patterns.leave('a.*', 1);
  patterns.leave('a.*', 2);
  t.same(topic.patternSubs(patterns), [8]);
});
