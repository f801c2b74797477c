/** The ring on one thread: every way a record can lie, every way a call can be wrong. Two threads: test/race/. */

import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import {
  createRing,
  HEAD_OFFSET_BYTES,
  PADDING_KIND,
  RECORD_HEADER_BYTES,
  RECORDS_OFFSET_BYTES,
  recordBytesOf,
  TAIL_OFFSET_BYTES,
} from '../../../src/shm/ring-layout.ts';
import { RING_FULL, RingConsumer, RingProducer, ringPositions } from '../../../src/shm/spsc-ring.ts';

const CAPACITY_BYTES = 4096;
const KIND = 7;

function open(startPosition = 0, capacityBytes = CAPACITY_BYTES) {
  const buffer = createRing(capacityBytes, startPosition);
  return { buffer, producer: new RingProducer(buffer), consumer: new RingConsumer(buffer) };
}

function payloadOf(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 7 + seed);
}

/** Collects copies: what a handler sees is only valid until release(). */
function collect(consumer: RingConsumer) {
  const records: { kind: number; bytes: number[] }[] = [];
  const handler = (kind: number, offsetBytes: number, payloadBytes: number) => {
    records.push({ kind, bytes: [...consumer.bytes.subarray(offsetBytes, offsetBytes + payloadBytes)] });
  };
  return { records, handler };
}

for (const { name, capacityBytes } of [
  { name: 'zero', capacityBytes: 0 },
  { name: 'below the minimum', capacityBytes: 2048 },
  { name: 'not a power of two', capacityBytes: 5000 },
  { name: 'above 1 GiB', capacityBytes: 2 ** 31 },
  { name: 'a fraction', capacityBytes: 4096.5 },
  { name: 'not a number', capacityBytes: Number.NaN },
]) {
  t.test(`createRing rejects a capacity that is ${name}`, async (t) => {
    t.throws(() => createRing(capacityBytes), RangeError);
  });
}

t.test('createRing rejects a start position that is not aligned', async (t) => {
  t.throws(() => createRing(CAPACITY_BYTES, 12), RangeError);
});

t.test('producer and consumer reject a buffer that is no ring', async (t) => {
  t.throws(() => new RingProducer(new SharedArrayBuffer(4096)), RangeError);
  t.throws(() => new RingConsumer(new SharedArrayBuffer(100)), RangeError);
});

t.test('the indexes stand 128 bytes apart, so no two of them share a line or a pair of lines', async (t) => {
  t.equal(HEAD_OFFSET_BYTES - TAIL_OFFSET_BYTES, 128);
  t.equal(RECORDS_OFFSET_BYTES, 512);
});

for (const payloadBytes of [0, 1, 3, 7, 8, 9, 63, 64, 65, 200, CAPACITY_BYTES / 8 - RECORD_HEADER_BYTES]) {
  t.test(`a payload of ${payloadBytes} B comes out as it went in`, async (t) => {
    const { producer, consumer } = open();
    const { records, handler } = collect(consumer);
    const payload = payloadOf(payloadBytes);
    t.equal(producer.tryWrite(KIND, payload), true);
    t.equal(consumer.drain(handler, 10), 1);
    t.same(records, [{ kind: KIND, bytes: [...payload] }]);
    t.equal(consumer.isEmpty(), true);
  });
}

t.test('every start before the end, every size: a record never wraps and never changes', async (t) => {
  for (const base of [0, 2 ** 32 - CAPACITY_BYTES, 2 ** 31 - CAPACITY_BYTES]) {
    for (let bytesToEnd = 8; bytesToEnd <= 96; bytesToEnd += 8) {
      for (let payloadBytes = 0; payloadBytes <= 96; payloadBytes++) {
        const { buffer, producer, consumer } = open(base + CAPACITY_BYTES - bytesToEnd);
        const { records, handler } = collect(consumer);
        const first = payloadOf(payloadBytes, 1);
        const second = payloadOf(payloadBytes, 2);
        producer.tryWrite(1, first);
        producer.tryWrite(2, second);
        const want = [
          { kind: 1, bytes: [...first] },
          { kind: 2, bytes: [...second] },
        ];
        consumer.drain(handler, 2);
        const at = `base=${base}, bytesToEnd=${bytesToEnd}, payloadBytes=${payloadBytes}`;
        if (JSON.stringify(records) !== JSON.stringify(want)) t.same(records, want, at);
        const { head, tail } = ringPositions(buffer);
        if (head !== tail || head !== consumer.position || tail !== producer.position) t.fail(`positions disagree: ${at}`);
      }
    }
  }
  t.pass('all the same');
});

t.test('the gap before the end is one padding record, which counts as used and is handled by nobody', async (t) => {
  const { producer, consumer } = open(CAPACITY_BYTES - 16);
  const { records, handler } = collect(consumer);
  producer.tryWrite(KIND, payloadOf(20));
  t.equal(producer.usedBytes, 16 + recordBytesOf(20));
  t.equal(producer.view.getInt32(CAPACITY_BYTES - 16, true), 8);
  t.equal(producer.view.getInt32(CAPACITY_BYTES - 12, true), PADDING_KIND);
  t.equal(consumer.read(handler, 1), 1, 'padding does not count as a record');
  t.equal(records.length, 1);
  consumer.release();
  t.equal(producer.usedBytes, 0);
});

t.test('an empty ring takes the largest record wherever it stands', async (t) => {
  for (let start = 0; start < CAPACITY_BYTES; start += 8) {
    const { producer } = open(start);
    if (producer.claim(KIND, producer.payloadBytesMax) === RING_FULL) t.fail(`full while empty: start=${start}`);
  }
  t.pass('at every position');
});

t.test('a full ring says so, keeps what it has, and takes more once some is released', async (t) => {
  const { producer, consumer } = open();
  const { records, handler } = collect(consumer);
  const payload = payloadOf(56); // 64 B with its header: 64 of them fill the ring to the last byte.
  let writtenCount = 0;
  while (producer.tryWrite(KIND, payload)) writtenCount++;
  t.equal(writtenCount, CAPACITY_BYTES / 64);
  t.equal(producer.usedBytes, CAPACITY_BYTES);
  t.equal(producer.claim(KIND, 0), RING_FULL);
  t.equal(consumer.read(handler, 1), 1);
  t.equal(producer.claim(KIND, 0), RING_FULL, 'read alone frees nothing');
  consumer.release();
  t.equal(producer.tryWrite(KIND, payload), true);
  t.equal(producer.tryWrite(KIND, payload), false);
  t.equal(consumer.drain(handler, 1000), 63, 'up to the tail it knew');
  t.equal(consumer.drain(handler, 1000), 1);
  t.equal(records.length, 65);
});

t.test('a claim that had to start over and was aborted leaves the room before the end to a smaller one', async (t) => {
  const { producer, consumer } = open(CAPACITY_BYTES - 64);
  const { records, handler } = collect(consumer);
  t.equal(producer.claim(1, 100), RECORD_HEADER_BYTES, 'at the start of the ring');
  producer.abort();
  t.equal(producer.claim(2, 56), CAPACITY_BYTES - 64 + RECORD_HEADER_BYTES, 'before the end');
  producer.commit(0);
  producer.publish();
  consumer.drain(handler, 10);
  t.same(records, [{ kind: 2, bytes: [] }]);
});

t.test('a full ring refuses a record that needs the gap, and takes one that fits before it', async (t) => {
  const { producer, consumer } = open(64);
  const { handler } = collect(consumer);
  // Records from 64 to 64 before the end; head stays at 64, so free are 64 B at the end and 64 B at the start.
  for (let number = 0; number < 62; number++) t.equal(producer.tryWrite(KIND, payloadOf(56)), true);
  t.equal(producer.usedBytes, CAPACITY_BYTES - 128);
  t.equal(producer.claim(KIND, 100), RING_FULL, 'would have to start over and meet the head');
  t.equal(producer.claim(KIND, 56), CAPACITY_BYTES - 64 + RECORD_HEADER_BYTES, 'still fits before the end');
  producer.commit(56);
  t.equal(producer.claim(KIND, 56), RECORD_HEADER_BYTES);
  producer.commit(56);
  t.equal(producer.claim(KIND, 0), RING_FULL);
  producer.publish();
  t.equal(consumer.drain(handler, 100), 64);
});

t.test('commits are invisible until publish, which shows them all', async (t) => {
  const { producer, consumer } = open();
  const { records, handler } = collect(consumer);
  for (const kind of [1, 2, 3]) {
    producer.claim(kind, 10);
    producer.commit(0);
  }
  t.equal(producer.unpublishedBytes, 24);
  t.equal(producer.position, 24);
  t.equal(consumer.isEmpty(), true);
  t.equal(consumer.drain(handler, 10), 0);
  producer.publish();
  t.equal(producer.unpublishedBytes, 0);
  producer.publish();
  t.equal(consumer.drain(handler, 10), 3);
  t.same(
    records.map(({ kind }) => kind),
    [1, 2, 3],
  );
});

t.test('commit may be smaller than the claim, and gives the rest back', async (t) => {
  const { producer, consumer } = open();
  const { records, handler } = collect(consumer);
  const offsetBytes = producer.claim(KIND, 500);
  producer.bytes[offsetBytes] = 42;
  producer.commit(1);
  t.equal(producer.position, 16);
  producer.publish();
  consumer.drain(handler, 1);
  t.same(records, [{ kind: KIND, bytes: [42] }]);
});

t.test('abort leaves nothing behind, a gap before the end included', async (t) => {
  const { producer, consumer } = open(CAPACITY_BYTES - 32);
  const { records, handler } = collect(consumer);
  t.equal(producer.claim(1, 100), RECORD_HEADER_BYTES, 'had to start over');
  producer.abort();
  t.equal(producer.position, CAPACITY_BYTES - 32);
  t.equal(producer.unpublishedBytes, 0);
  producer.publish();
  t.equal(consumer.isEmpty(), true);
  t.equal(producer.tryWrite(2, payloadOf(200)), true);
  consumer.drain(handler, 10);
  t.same(records, [{ kind: 2, bytes: [...payloadOf(200)] }]);
});

for (const { name, misuse, want } of [
  { name: 'claim above payloadBytesMax', misuse: (p: RingProducer) => p.claim(1, p.payloadBytesMax + 1), want: RangeError },
  { name: 'claim of a negative size', misuse: (p: RingProducer) => p.claim(1, -1), want: RangeError },
  { name: 'tryWrite above payloadBytesMax', misuse: (p: RingProducer) => p.tryWrite(1, payloadOf(4000)), want: RangeError },
  { name: 'a second claim', misuse: (p: RingProducer) => p.claim(1, 1) + p.claim(1, 1), want: Error },
  { name: 'kind 0', misuse: (p: RingProducer) => p.claim(0, 1), want: Error },
  { name: 'the kind of padding', misuse: (p: RingProducer) => p.claim(PADDING_KIND, 1), want: Error },
  { name: 'commit without a claim', misuse: (p: RingProducer) => p.commit(0), want: Error },
  { name: 'abort without a claim', misuse: (p: RingProducer) => p.abort(), want: Error },
  {
    name: 'commit above the claim',
    misuse: (p: RingProducer) => {
      p.claim(1, 8);
      p.commit(9);
    },
    want: RangeError,
  },
]) {
  t.test(`producer rejects ${name}`, async (t) => {
    const { producer } = open();
    t.throws(() => misuse(producer), want);
  });
}

t.test('read stops at recordCountMax and after the record that reaches bytesMax', async (t) => {
  const { producer, consumer } = open();
  const { records, handler } = collect(consumer);
  for (let kind = 1; kind <= 10; kind++) producer.tryWrite(kind, payloadOf(24)); // 32 B each.
  t.equal(consumer.read(handler, 3), 3);
  t.equal(consumer.read(handler, 100, 33), 2);
  t.equal(consumer.read(handler, 100, 1), 1);
  t.equal(consumer.position, 6 * 32);
  t.equal(producer.usedBytes, 10 * 32, 'nothing is freed before release');
  consumer.release();
  t.equal(producer.usedBytes, 4 * 32);
  t.same(
    records.map(({ kind }) => kind),
    [1, 2, 3, 4, 5, 6],
  );
});

t.test('inside the handler, position is just after the record', async (t) => {
  const { producer, consumer } = open(CAPACITY_BYTES - 16);
  const positions: number[] = [];
  producer.tryWrite(1, payloadOf(8));
  producer.tryWrite(2, payloadOf(16));
  consumer.drain(() => positions.push(consumer.position), 10);
  t.same(positions, [CAPACITY_BYTES, CAPACITY_BYTES + 24]);
});

t.test('a handler that throws: the record stays first, what came before it can be released', async (t) => {
  const { buffer, producer, consumer } = open();
  const { records, handler } = collect(consumer);
  for (const kind of [1, 2, 3]) producer.tryWrite(kind, payloadOf(8));
  const throwsAtTwo = (kind: number) => {
    if (kind === 2) throw new Error('handler failed');
  };
  t.throws(() => consumer.read(throwsAtTwo, 10), /handler failed/);
  t.equal(consumer.position, 16);
  t.equal(ringPositions(buffer).head, 0);
  consumer.release();
  t.equal(ringPositions(buffer).head, 16);
  t.equal(consumer.drain(handler, 10), 2);
  t.same(
    records.map(({ kind }) => kind),
    [2, 3],
  );
});

t.test('drain releases what was handled before a throw', async (t) => {
  const { buffer, producer, consumer } = open();
  for (const kind of [1, 2, 3]) producer.tryWrite(kind, payloadOf(8));
  const throwsAtThree = (kind: number) => {
    if (kind === 3) throw new Error('handler failed');
  };
  t.throws(() => consumer.drain(throwsAtThree, 10), /handler failed/);
  t.equal(ringPositions(buffer).head, 32);
});

t.test('consumer rejects read and release from inside a handler', async (t) => {
  const { producer, consumer } = open();
  producer.tryWrite(1, payloadOf(8));
  t.throws(() => consumer.read(() => consumer.read(() => {}, 1), 1), /inside a handler/);
  t.throws(() => consumer.read(() => consumer.release(), 1), /inside a handler/);
  t.equal(
    consumer.read(() => {}, 1),
    1,
    'and goes on working',
  );
});

for (const { name, payloadBytes, kind } of [
  { name: 'a negative length', payloadBytes: -1, kind: 1 },
  { name: 'a length beyond the tail', payloadBytes: 64, kind: 1 },
  { name: 'a length above any record', payloadBytes: 2 ** 30, kind: 1 },
  { name: 'a length that overflows', payloadBytes: 2 ** 31 - 1, kind: 1 },
  { name: 'a zeroed header', payloadBytes: 0, kind: 0 },
  { name: 'an unknown negative kind', payloadBytes: 8, kind: -2 },
]) {
  t.test(`consumer fails on ${name}, and stays before it`, async (t) => {
    const { producer, consumer } = open();
    const { records, handler } = collect(consumer);
    producer.tryWrite(1, payloadOf(8));
    producer.tryWrite(1, payloadOf(8));
    producer.view.setInt32(16, payloadBytes, true);
    producer.view.setInt32(20, kind, true);
    t.throws(() => consumer.drain(handler, 10), { name: 'AssertionFailed' });
    t.equal(records.length, 1);
    t.equal(consumer.position, 16);
  });
}

t.test('inspect shows what a dead consumer left, from any record on, and moves nothing', async (t) => {
  const { buffer, producer, consumer } = open(2 ** 32 - 64);
  for (let kind = 1; kind <= 6; kind++) producer.tryWrite(kind, payloadOf(8, kind)); // 16 B each, over the edge of 2^32.
  consumer.read(() => {}, 1);
  consumer.release();
  const positions: number[] = [];
  consumer.read(() => positions.push(consumer.position), 2); // Read, not released; then the thread dies.
  const { head, tail } = ringPositions(buffer);
  const kindsFrom = (position: number) => {
    const kinds: number[] = [];
    RingConsumer.inspect(buffer, position, (kind, offsetBytes, _payloadBytes, bytes?: Uint8Array) => {
      t.equal(bytes?.[offsetBytes], kind);
      kinds.push(kind);
    });
    return kinds;
  };
  t.same(kindsFrom(head), [2, 3, 4, 5, 6]);
  t.same(kindsFrom(positions[0] as number), [3, 4, 5, 6]);
  t.same(kindsFrom(positions[1] as number), [4, 5, 6]);
  t.same(kindsFrom(tail), []);
  t.throws(() => kindsFrom(head - 16), RangeError);
  t.throws(() => kindsFrom(tail + 16), RangeError);
  t.same(ringPositions(buffer), { head, tail, progress: 2 ** 32 - 64 });
});

t.test('inspect shows a full ring whole', async (t) => {
  const { buffer, producer } = open(1024);
  let writtenCount = 0;
  while (producer.tryWrite(KIND, payloadOf(56))) writtenCount++;
  let seenCount = 0;
  RingConsumer.inspect(buffer, 1024, () => seenCount++);
  t.equal(seenCount, writtenCount);
});

t.test('a second consumer starts at the oldest record not released, a second producer at the tail', async (t) => {
  const { buffer, producer, consumer } = open();
  for (const kind of [1, 2, 3]) producer.tryWrite(kind, payloadOf(8));
  consumer.drain(() => {}, 1);
  consumer.read(() => {}, 1);
  new RingProducer(buffer).tryWrite(4, payloadOf(8));
  const kinds: number[] = [];
  new RingConsumer(buffer).drain((kind) => kinds.push(kind), 10);
  t.same(kinds, [2, 3, 4]);
});

t.test('noteProgress leaves a position for the outside', async (t) => {
  const { buffer, producer, consumer } = open(2 ** 32 - 16);
  producer.tryWrite(1, payloadOf(24));
  consumer.read(() => consumer.noteProgress(consumer.position), 1);
  t.equal(ringPositions(buffer).progress, 32 + 0, 'after 16 B of padding and 32 B of record, from 2^32 - 16');
});

for (const startPosition of [0, 2 ** 31 - 4096, 2 ** 32 - 4096, 2 ** 32 - 8]) {
  const seed = 20_260 + (startPosition % 97);
  t.test(`a queue of any shape behaves like an array, from position ${startPosition} (SEED=${seed})`, async (t) => {
    const prng = new Prng(seed);
    const { producer, consumer } = open(startPosition);
    const model: { kind: number; bytes: number[] }[] = []; // Written, not read.
    let committed: typeof model = []; // Not published.
    let mismatchCount = 0;
    const handler = (kind: number, offsetBytes: number, payloadBytes: number) => {
      const want = model.shift();
      const got = [...consumer.bytes.subarray(offsetBytes, offsetBytes + payloadBytes)];
      if (want?.kind !== kind || got.join() !== want.bytes.join()) mismatchCount++;
    };
    let fullCount = 0;
    for (let step = 0; step < 20_000; step++) {
      switch (prng.nextInt(0, 6)) {
        case 0:
        case 1:
        case 2:
        case 3: {
          const claimBytes = prng.nextInt(0, prng.nextBoolean(0.1) ? producer.payloadBytesMax : 100);
          const kind = prng.nextInt(1, 1000);
          const offsetBytes = producer.claim(kind, claimBytes);
          if (offsetBytes === RING_FULL) {
            fullCount++;
            break;
          }
          if (prng.nextBoolean(0.1)) {
            producer.abort();
            break;
          }
          const payload = payloadOf(prng.nextInt(0, claimBytes), step);
          producer.bytes.set(payload, offsetBytes);
          producer.commit(payload.byteLength);
          committed.push({ kind, bytes: [...payload] });
          break;
        }
        case 4:
          producer.publish();
          model.push(...committed);
          committed = [];
          break;
        case 5:
          consumer.read(handler, prng.nextInt(1, 6));
          break;
        default:
          consumer.release();
      }
    }
    producer.publish();
    model.push(...committed);
    while (!consumer.isEmpty()) consumer.drain(handler, 100);
    t.equal(mismatchCount, 0);
    t.equal(model.length, 0);
    t.equal(producer.usedBytes, 0);
    t.ok(fullCount > 0, 'the ring was full now and then');
  });
}
