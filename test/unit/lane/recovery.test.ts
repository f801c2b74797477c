/** May a subscriber go on from where it was: every reason, each at the edge where it begins. */
import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { judgeRecovery, planReplay } from '../../../src/lane/recovery.ts';
import { SlabPool } from '../../../src/lane/slab-pool.ts';
import { Topic } from '../../../src/lane/topic.ts';
import { DEFAULT_TOPIC_CONFIG } from '../../../src/lane/topic-config.ts';

const FOREVER = Number.POSITIVE_INFINITY;
const LIMITS = { recoveryMessagesMax: 5, recoveryBytesMax: 100 };
const NOW_MS = 1_000;

interface Story {
  /** Bytes of each publish. */
  readonly sizes: readonly number[];
  /** How many are kept. */
  readonly count?: number;
  /** Offsets whose time to live is over. */
  readonly expired?: readonly number[];
}

function topicOf({ sizes, count = 1_000, expired = [] }: Story): Topic {
  const config = { ...DEFAULT_TOPIC_CONFIG, history: { count, bytes: 1_000_000, ageMs: FOREVER } };
  const topic = new Topic('t', Uint8Array.of(0x74), 1, 2, config, new Prng(1), new SlabPool(), 0);
  for (const size of sizes) {
    topic.offset++;
    const ttlMs = expired.includes(topic.offset) ? NOW_MS : FOREVER;
    topic.history?.append(topic.offset, 0, ttlMs, null, new Uint8Array(size), 0, size);
  }
  return topic;
}

const ones = (count: number): number[] => Array(count).fill(1);

for (const { name, story, offset, epoch, want } of [
  { name: 'a topic that keeps none', story: { sizes: ones(3), count: 0 }, offset: 0, want: { reason: 'NO_HISTORY' } },
  {
    name: 'none kept, and another epoch: NO_HISTORY comes first',
    story: { sizes: [], count: 0 },
    offset: 9,
    epoch: 'x',
    want: { reason: 'NO_HISTORY' },
  },
  { name: 'another epoch', story: { sizes: ones(3) }, offset: 1, epoch: 'x', want: { reason: 'EPOCH_CHANGED' } },
  {
    name: 'another epoch and an offset ahead',
    story: { sizes: ones(3) },
    offset: 99,
    epoch: 'x',
    want: { reason: 'EPOCH_CHANGED' },
  },
  { name: 'an offset ahead', story: { sizes: ones(3) }, offset: 4, want: { reason: 'OFFSET_AHEAD' } },
  { name: 'an offset ahead of nothing', story: { sizes: [] }, offset: 1, want: { reason: 'OFFSET_AHEAD' } },
  { name: 'nothing missed', story: { sizes: ones(3) }, offset: 3, want: null },
  { name: 'nothing missed of nothing', story: { sizes: [] }, offset: 0, want: null },
  { name: 'one missed', story: { sizes: ones(3) }, offset: 2, want: null },
  { name: 'from the beginning', story: { sizes: ones(3) }, offset: 0, want: null },
  { name: 'the oldest kept is the next', story: { sizes: ones(9), count: 3 }, offset: 6, want: null },
  { name: 'one is gone', story: { sizes: ones(9), count: 3 }, offset: 5, want: { reason: 'EVICTED', lost: [6, 9] } },
  { name: 'all are gone, but nothing was missed', story: { sizes: [2_000_000] }, offset: 1, want: null },
  { name: 'all are gone', story: { sizes: [1, 2_000_000] }, offset: 1, want: { reason: 'EVICTED', lost: [2, 2] } },
  { name: 'as many as may be', story: { sizes: ones(9) }, offset: 4, want: null },
  { name: 'one too many', story: { sizes: ones(9) }, offset: 3, want: { reason: 'TOO_MANY', lost: [4, 9] } },
  {
    name: 'gone and too many: EVICTED comes first',
    story: { sizes: ones(20), count: 10 },
    offset: 1,
    want: { reason: 'EVICTED', lost: [2, 20] },
  },
  { name: 'as many bytes as may be', story: { sizes: [1, 50, 50] }, offset: 1, want: null },
  { name: 'a byte too many', story: { sizes: [1, 50, 51] }, offset: 1, want: { reason: 'TOO_MANY', lost: [2, 3] } },
  { name: 'bytes of what was not missed do not count', story: { sizes: [500, 50, 50] }, offset: 1, want: null },
  { name: 'what has expired by its ttl is missed all the same', story: { sizes: ones(3), expired: [2] }, offset: 1, want: null },
] as { name: string; story: Story; offset: number; epoch?: string; want: object | null }[]) {
  t.test(`recovery: ${name}`, async (t) => {
    const topic = topicOf(story);
    const judged = judgeRecovery(topic, { epoch: epoch ?? topic.epoch, offset }, LIMITS);
    t.same(judged, want === null ? { recovered: true } : { recovered: false, ...want });
  });
}

for (const { name, story, from, keep, limits = LIMITS, want } of [
  { name: 'nothing after the end', story: { sizes: ones(3) }, from: 4, want: { from: 4, to: 3, messageCount: 0 } },
  { name: 'nothing of nothing', story: { sizes: [], count: 0 }, from: 1, want: { from: 1, to: 0, messageCount: 0 } },
  { name: 'all of it', story: { sizes: ones(3) }, from: 1, want: { from: 1, to: 3, messageCount: 3 } },
  {
    name: 'without what has expired',
    story: { sizes: ones(4), expired: [1, 3] },
    from: 1,
    want: { from: 1, to: 4, messageCount: 2 },
  },
  {
    name: 'the newest that fit into the bytes',
    story: { sizes: [60, 60, 60] },
    from: 1,
    want: { from: 3, to: 3, messageCount: 1 },
  },
  { name: 'the newest that fit exactly', story: { sizes: [60, 50, 50] }, from: 1, want: { from: 2, to: 3, messageCount: 2 } },
  {
    name: 'nothing where the newest is too large',
    story: { sizes: [10, 101] },
    from: 1,
    want: { from: 3, to: 2, messageCount: 0 },
  },
  { name: 'a chunk of all', story: { sizes: ones(3) }, from: 1, keep: 'chunk', want: { from: 1, to: 3, messageCount: 3 } },
  {
    name: 'a chunk of as many as may be',
    story: { sizes: ones(9) },
    from: 2,
    keep: 'chunk',
    want: { from: 2, to: 6, messageCount: 5 },
  },
  {
    name: 'a chunk of as many bytes as may be',
    story: { sizes: [50, 50, 1] },
    from: 1,
    keep: 'chunk',
    want: { from: 1, to: 2, messageCount: 2 },
  },
  {
    name: 'a chunk has one message at least, however large',
    story: { sizes: [500, 1] },
    from: 1,
    keep: 'chunk',
    want: { from: 1, to: 1, messageCount: 1 },
  },
  {
    name: 'a chunk has one message at least, even if recovery is switched off',
    story: { sizes: ones(3) },
    from: 1,
    keep: 'chunk',
    limits: { recoveryMessagesMax: 0, recoveryBytesMax: 100 },
    want: { from: 1, to: 1, messageCount: 1 },
  },
  {
    name: 'a chunk goes over what has expired',
    story: { sizes: ones(9), expired: [2, 3, 4] },
    from: 1,
    keep: 'chunk',
    want: { from: 1, to: 8, messageCount: 5 },
  },
] as { name: string; story: Story; from: number; keep?: 'newest' | 'chunk'; limits?: typeof LIMITS; want: object }[]) {
  t.test(`replay: ${name}`, async (t) => {
    t.same(planReplay(topicOf(story), from, limits, NOW_MS, keep), want);
  });
}
