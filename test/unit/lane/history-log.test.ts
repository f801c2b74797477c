/** The history of one topic: what its bounds keep, how it is read back, and that slabs go where they came from. */
import fc from 'fast-check';
import t from 'tap';
import { HistoryLog } from '../../../src/lane/history-log.ts';
import { SLAB_CLASS_BYTES, SlabPool } from '../../../src/lane/slab-pool.ts';

const ENTRY_HEAD_BYTES = 24;
const FOREVER = Number.POSITIVE_INFINITY;
const ROOMY = { count: 1_000_000, bytes: 1_000_000_000, ageMs: FOREVER };

interface Kept {
  readonly offset: number;
  readonly meta: number[];
  readonly payload: number[];
  readonly expiresAtMs: number;
}

function open(config: Partial<typeof ROOMY> = {}) {
  const pool = new SlabPool();
  return { pool, log: new HistoryLog(pool, { ...ROOMY, ...config }) };
}

/** Appends messages with payloads of these sizes, one a millisecond; each payload is filled with its offset. */
function append(log: HistoryLog, sizes: readonly number[], { first = 1, ttlMs = FOREVER, startMs = 0 } = {}): void {
  sizes.forEach((size, index) => {
    const offset = first + index;
    const source = Uint8Array.from([0xee, ...Array(size).fill(offset & 0xff), 0xee]);
    log.append(offset, startMs + index, ttlMs, null, source, 1, 1 + size);
    source.fill(0xdd); // The source may be reused: the log has copied.
  });
}

function read(log: HistoryLog, from = 0, to = FOREVER): Kept[] {
  const kept: Kept[] = [];
  log.visit(from, to, ({ offset, bytes, metaStart, payloadStart, payloadEnd, expiresAtMs }) => {
    kept.push({
      offset,
      meta: [...bytes.slice(metaStart, payloadStart)],
      payload: [...bytes.slice(payloadStart, payloadEnd)],
      expiresAtMs,
    });
    return true;
  });
  return kept;
}

const offsets = (log: HistoryLog, from?: number, to?: number): number[] => read(log, from, to).map(({ offset }) => offset);

for (const { name, config, sizes, want } of [
  { name: 'fewer than count', config: { count: 3 }, sizes: [1, 1], want: [1, 2] },
  { name: 'exactly count', config: { count: 3 }, sizes: [1, 1, 1], want: [1, 2, 3] },
  { name: 'more than count', config: { count: 3 }, sizes: [1, 1, 1, 1, 1], want: [3, 4, 5] },
  { name: 'a count of one', config: { count: 1 }, sizes: [1, 1, 1], want: [3] },
  { name: 'exactly bytes', config: { bytes: 30 }, sizes: [10, 10, 10], want: [1, 2, 3] },
  { name: 'a byte over', config: { bytes: 30 }, sizes: [10, 10, 11], want: [2, 3] },
  { name: 'a large one that displaces several', config: { bytes: 30 }, sizes: [5, 5, 5, 5, 28], want: [5] },
  { name: 'one as large as the bound', config: { bytes: 30 }, sizes: [5, 30], want: [2] },
  { name: 'one larger than the bound: not even itself', config: { bytes: 30 }, sizes: [5, 31], want: [] },
  { name: 'small ones after it', config: { bytes: 30 }, sizes: [5, 31, 5, 5], want: [3, 4] },
  { name: 'empty payloads', config: { bytes: 1, count: 2 }, sizes: [0, 0, 0], want: [2, 3] },
  { name: 'both bounds, count first', config: { count: 2, bytes: 30 }, sizes: [1, 1, 1], want: [2, 3] },
  { name: 'both bounds, bytes first', config: { count: 3, bytes: 30 }, sizes: [10, 10, 20], want: [2, 3] },
]) {
  t.test(`history keeps ${want.length} of ${sizes.length}: ${name}`, async (t) => {
    const { log } = open(config);
    append(log, sizes);
    t.same(offsets(log), want);
    t.equal(log.count, want.length);
    t.equal(
      log.bytes,
      want.reduce((sum, offset) => sum + sizes[offset - 1]!, 0),
    );
    if (want.length > 0) t.equal(log.firstOffset, want[0]);
  });
}

for (const { name, nowMs, want } of [
  { name: 'at the edge all are kept', nowMs: 100, want: [1, 2, 3] },
  { name: 'a millisecond later the first is gone', nowMs: 101, want: [2, 3] },
  { name: 'and at last all of them', nowMs: 103, want: [] },
]) {
  t.test(`history by age: ${name}`, async (t) => {
    const { log, pool } = open({ ageMs: 100 });
    append(log, [1, 1, 1]); // At 0, 1 and 2 ms.
    log.evictExpired(nowMs);
    t.same(offsets(log), want);
    if (want.length === 0) t.equal(pool.bytesInUse, 0);
  });
}

t.test('an append evicts what has grown too old, and offsets go on', async (t) => {
  const { log } = open({ ageMs: 100 });
  append(log, [1, 1]);
  append(log, [1], { first: 3, startMs: 101 });
  t.same(offsets(log), [2, 3]);
});

t.test('a clock that steps back evicts nothing before its time', async (t) => {
  const { log } = open({ ageMs: 100 });
  append(log, [1], { startMs: 1_000 });
  append(log, [1], { first: 2, startMs: 500 });
  log.evictExpired(1_100);
  t.same(offsets(log), [1, 2], 'the older one of the two stands behind the younger');
  log.evictExpired(1_101);
  t.same(offsets(log), []);
});

t.test('visit gives meta, payload and expiry as they were', async (t) => {
  const { log } = open();
  const meta = Uint8Array.of(0x81, 0xa1, 0x68, 0x01);
  log.append(7, 1_000, 500, meta, Uint8Array.of(9, 1, 2, 3, 9), 1, 4);
  log.append(8, 1_001, FOREVER, null, Uint8Array.of(4), 0, 1);
  t.same(read(log), [
    { offset: 7, meta: [...meta], payload: [1, 2, 3], expiresAtMs: 1_500 },
    { offset: 8, meta: [], payload: [4], expiresAtMs: FOREVER },
  ]);
  t.equal(log.bytes, meta.length + 4, 'meta counts');
});

for (const { name, from, to, want } of [
  { name: 'everything', from: 0, to: FOREVER, want: [11, 12, 13, 14, 15] },
  { name: 'exactly what there is', from: 11, to: 15, want: [11, 12, 13, 14, 15] },
  { name: 'the middle', from: 12, to: 14, want: [12, 13, 14] },
  { name: 'one', from: 13, to: 13, want: [13] },
  { name: 'from before the first', from: 3, to: 12, want: [11, 12] },
  { name: 'to behind the last', from: 14, to: 99, want: [14, 15] },
  { name: 'before it all', from: 1, to: 10, want: [] },
  { name: 'behind it all', from: 16, to: 99, want: [] },
  { name: 'an empty range', from: 14, to: 13, want: [] },
]) {
  t.test(`visit [${from}, ${to}]: ${name}`, async (t) => {
    for (const size of [1, 200, 5_000, 9_000]) {
      // Of every size of slab, so that the range begins and ends in the middle of them.
      const { log } = open({ count: 5 });
      append(log, Array(5).fill(size), { first: 6 });
      append(log, Array(5).fill(size), { first: 11 });
      t.same(offsets(log, from, to), want, `payloads of ${size} bytes`);
    }
  });
}

t.test('visit stops when told', async (t) => {
  const { log } = open();
  append(log, [1, 1, 1]);
  const seen: number[] = [];
  log.visit(1, FOREVER, ({ offset }) => seen.push(offset) < 2);
  t.same(seen, [1, 2]);
});

t.test('bytesFrom counts meta and payload of what a replay would send', async (t) => {
  const { log } = open({ count: 3 });
  append(log, [100, 1, 2, 4]);
  for (const [from, want] of [
    [0, 7],
    [2, 7],
    [3, 6],
    [4, 4],
    [5, 0],
  ] as const)
    t.equal(log.bytesFrom(from), want, `from ${from}`);
});

t.test('a gap in the offsets is a bug, but an empty log takes any', async (t) => {
  const { log } = open();
  append(log, [1]);
  t.throws(() => append(log, [1], { first: 3 }), { name: 'AssertionFailed', message: /history gap/ });
  t.throws(() => append(log, [1], { first: 1 }), { name: 'AssertionFailed', message: /history gap/ });
  log.clear();
  append(log, [1], { first: 9 });
  t.same(offsets(log), [9]);
});

t.test('slabs grow with the topic, and all go back to the pool', async (t) => {
  const { log, pool } = open();
  append(log, [10]);
  t.equal(pool.bytesInUse, SLAB_CLASS_BYTES[0], 'a quiet topic costs the smallest');
  append(log, Array(100).fill(100), { first: 2 });
  t.equal(pool.bytesInUse, SLAB_CLASS_BYTES[0] + SLAB_CLASS_BYTES[1] + 2 * SLAB_CLASS_BYTES[2]);
  const reservedBytes = pool.bytesReserved;
  log.clear();
  t.equal(pool.bytesInUse, 0);
  t.equal(log.count, 0);
  t.equal(log.bytes, 0);
  append(log, Array(100).fill(100), { first: 500 });
  t.equal(pool.bytesReserved, reservedBytes, 'a second time takes nothing new from the system');
});

t.test('a message larger than the largest slab gets one of its own, which is given back for good', async (t) => {
  const { log, pool } = open({ count: 1 });
  const largest = SLAB_CLASS_BYTES.at(-1)!;
  append(log, [largest]);
  t.equal(pool.bytesInUse, largest + ENTRY_HEAD_BYTES);
  t.equal(pool.bytesReserved, largest + ENTRY_HEAD_BYTES);
  append(log, [1], { first: 2 });
  t.same(offsets(log), [2]);
  t.equal(pool.bytesInUse, SLAB_CLASS_BYTES[1]);
  t.equal(read(log)[0]!.payload[0], 2);
});

t.test('slabs of two topics do not touch each other', async (t) => {
  const pool = new SlabPool();
  const logs = [new HistoryLog(pool, { ...ROOMY, count: 7 }), new HistoryLog(pool, { ...ROOMY, count: 20 })];
  for (let offset = 1; offset <= 300; offset++) {
    for (const [index, log] of logs.entries()) {
      const size = (offset * 37) % (index === 0 ? 300 : 3_000);
      log.append(offset, 0, FOREVER, null, new Uint8Array(size).fill(offset ^ index), 0, size);
    }
  }
  for (const [index, log] of logs.entries()) {
    for (const { offset, payload } of read(log)) {
      if (payload.some((byte) => byte !== ((offset ^ index) & 0xff)))
        t.fail(`message ${offset} of topic ${index} was written over`);
    }
  }
  logs[0]!.clear();
  t.equal(offsets(logs[1]!).length, 20);
  logs[1]!.clear();
  t.equal(pool.bytesInUse, 0);
});

t.test('a slab with messages in it may not be given back', async (t) => {
  const pool = new SlabPool();
  const slab = pool.take(100, 0);
  slab.messageCount = 1;
  t.throws(() => pool.give(slab), { name: 'AssertionFailed' });
});

for (const { bytes, sizeClass, want } of [
  { bytes: 1, sizeClass: 0, want: 512 },
  { bytes: 512, sizeClass: 0, want: 512 },
  { bytes: 513, sizeClass: 0, want: 2_048 },
  { bytes: 1, sizeClass: 1, want: 2_048 },
  { bytes: 1, sizeClass: 99, want: 8_192 },
  { bytes: 2_049, sizeClass: 0, want: 8_192 },
  { bytes: 8_192, sizeClass: 0, want: 8_192 },
  { bytes: 8_193, sizeClass: 0, want: 8_193 },
]) {
  t.test(`a slab for ${bytes} bytes of class ${sizeClass} has ${want}`, async (t) => {
    const pool = new SlabPool();
    const slab = pool.take(bytes, sizeClass);
    t.equal(slab.bytes.length, want);
    t.equal(pool.bytesInUse, want);
    pool.give(slab);
    t.equal(pool.bytesInUse, 0);
  });
}

t.test('the log is what a plain list would be', async () => {
  const step = fc.oneof(
    { weight: 10, arbitrary: fc.record({ what: fc.constant('append' as const), size: fc.oneof(fc.nat(60), fc.nat(10_000)) }) },
    { weight: 2, arbitrary: fc.record({ what: fc.constant('wait' as const), size: fc.nat(80) }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant('clear' as const), size: fc.constant(0) }) },
  );
  const config = fc.record({
    count: fc.integer({ min: 1, max: 20 }),
    bytes: fc.integer({ min: 1, max: 20_000 }),
    ageMs: fc.integer({ min: 1, max: 200 }),
  });
  fc.assert(
    fc.property(config, fc.array(step, { maxLength: 120 }), (bounds, steps) => {
      const { log, pool } = open(bounds);
      let model: { offset: number; size: number; atMs: number }[] = [];
      let nowMs = 0;
      let offset = 0;
      for (const { what, size } of steps) {
        if (what === 'wait') {
          nowMs += size;
          log.evictExpired(nowMs);
        } else if (what === 'clear') {
          log.clear();
          model = [];
        } else {
          offset++;
          log.append(offset, nowMs, FOREVER, null, new Uint8Array(size), 0, size);
          model.push({ offset, size, atMs: nowMs });
          const sum = () => model.reduce((bytes, kept) => bytes + kept.size, 0);
          while (model.length > bounds.count || sum() > bounds.bytes) model.shift();
        }
        model = model.filter(({ atMs }) => atMs >= nowMs - bounds.ageMs);
        const got = read(log).map(({ offset, payload }) => `${offset}:${payload.length}`);
        if (got.join() !== model.map(({ offset, size }) => `${offset}:${size}`).join()) return false;
        if (log.count !== model.length || (log.count === 0 && pool.bytesInUse !== 0)) return false;
      }
      return true;
    }),
    { numRuns: 200 },
  );
});
