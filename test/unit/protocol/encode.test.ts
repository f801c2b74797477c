/** The hand-written encoder: the shortest form of every integer, names at the edge of fixstr, and a decoder that reads what was meant. */
import fc from 'fast-check';
import t from 'tap';
import { unpack } from '../../../src/protocol/codec.ts';
import {
  encodeMessage,
  encodeOk,
  encodePublishOk,
  MESSAGE_HEAD_BYTES_MAX,
  messageBytesMax,
  NAME_PREFIX_BYTES_MAX,
  publishResultPrefix,
  writeBytes,
  writeName,
  writeUint,
} from '../../../src/protocol/encode.ts';
import { skipValue } from '../../../src/protocol/skip.ts';
import { fieldBytes, UINT_EDGES } from '../../fixtures/frames/index.ts';

const NIL = Uint8Array.of(0xc0);

/** What `write` wrote, at an odd offset, and proof that it wrote nothing else. */
function written(bytesMax: number, write: (target: Uint8Array, at: number) => number): Uint8Array {
  const target = new Uint8Array(bytesMax + 8).fill(0xee);
  const end = write(target, 3);
  for (let index = 0; index < target.length; index++) {
    if ((index < 3 || index >= end) && target[index] !== 0xee)
      throw new Error(`byte ${index} is outside [3, ${end}) and was written`);
  }
  return target.slice(3, end);
}

for (const [spelled, value] of UINT_EDGES) {
  t.test(`writeUint writes ${value} as ${spelled}`, async (t) => {
    t.same(
      written(9, (target, at) => writeUint(target, at, value)),
      fieldBytes([spelled, '']),
    );
  });
}

t.test('writeUint writes the shortest form of any integer', async () => {
  const widths = [
    [0x80, 1],
    [0x100, 2],
    [0x1_0000, 3],
    [0x1_0000_0000, 5],
    [2 ** 53, 9],
  ] as const;
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(), fc.nat(70_000)), (value) => {
      const bytes = written(9, (target, at) => writeUint(target, at, value));
      return unpack(bytes) === value && bytes.length === widths.find(([below]) => value < below)?.[1];
    }),
    { numRuns: 2_000 },
  );
});

for (const length of [0, 1, 23, 24, 25, 31, 32, 255, 1_000]) {
  t.test(`writeBytes copies ${length} bytes from anywhere to anywhere`, async (t) => {
    const source = Uint8Array.from({ length: length + 10 }, (_, index) => index * 7);
    t.same(
      written(length, (target, at) => writeBytes(target, at, source, 5, 5 + length)),
      source.slice(5, 5 + length),
    );
    const whole = source.slice(0, length);
    t.same(
      written(length, (target, at) => writeBytes(target, at, whole, 0, length)),
      whole,
      'the whole source',
    );
    const shared = new Uint8Array(new SharedArrayBuffer(length + 10));
    shared.set(source);
    t.same(
      written(length, (target, at) => writeBytes(target, at, shared, 5, 5 + length)),
      source.slice(5, 5 + length),
      'out of shared memory',
    );
  });
}

for (const { length, prefix } of [
  { length: 1, prefix: [0xa1] },
  { length: 31, prefix: [0xbf] },
  { length: 32, prefix: [0xd9, 32] },
  { length: 255, prefix: [0xd9, 255] },
]) {
  t.test(`writeName writes a name of ${length} bytes`, async (t) => {
    const name = new Uint8Array(length).fill(0x61);
    const bytes = written(NAME_PREFIX_BYTES_MAX + length, (target, at) => writeName(target, at, name));
    t.same(bytes.slice(0, prefix.length), Uint8Array.from(prefix));
    t.equal(unpack(bytes), 'a'.repeat(length));
  });
}

t.test('encodeMessage writes one value that reads as it was meant, inside its bound', async (t) => {
  const text = fc.string({ minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(
      fc.nat(),
      fc.option(text),
      fc.maxSafeNat(),
      fc.boolean(),
      fc.uint8Array({ maxLength: 300 }),
      (sub, topic, offset, hasMeta, data) => {
        const topicBytes = topic === null ? null : new TextEncoder().encode(topic);
        const meta = hasMeta ? Uint8Array.of(0x81, 0xa1, 0x68, 0x01) : null;
        const payload = Uint8Array.of(0xc5, data.length >> 8, data.length & 0xff, ...data);
        const bytesMax = messageBytesMax(topicBytes?.length ?? 0, meta?.length ?? 0, payload.length);
        const frame = written(bytesMax, (target, at) =>
          encodeMessage(target, at, sub, topicBytes, offset, meta, payload, 0, payload.length),
        );
        const [type, ...rest] = unpack(frame) as unknown[];
        t.same([type, ...rest.slice(0, 4)], [34, sub, topic, offset, hasMeta ? { h: 1 } : null]);
        return frame.length <= bytesMax && skipValue(frame, 0, frame.length) === frame.length;
      },
    ),
    { numRuns: 300 },
  );
});

t.test('the bounds hold for the largest there is', async (t) => {
  const name = new Uint8Array(255).fill(0x61);
  const bytes = written(messageBytesMax(255, 0, 1), (target, at) =>
    encodeMessage(target, at, Number.MAX_SAFE_INTEGER, name, Number.MAX_SAFE_INTEGER, null, NIL, 0, 1),
  );
  t.ok(bytes.length <= MESSAGE_HEAD_BYTES_MAX + NAME_PREFIX_BYTES_MAX + 255 + 1 + 1);
});

for (const { name, id, epoch, duplicate, offset } of [
  { name: 'a first message', id: 1, epoch: 'abcdefghij', duplicate: false, offset: 1 },
  { name: 'a duplicate', id: 300, epoch: 'abcdefghij', duplicate: true, offset: 0 },
  {
    name: 'numbers of the largest size',
    id: Number.MAX_SAFE_INTEGER,
    epoch: 'a'.repeat(31),
    duplicate: true,
    offset: Number.MAX_SAFE_INTEGER,
  },
]) {
  t.test(`encodePublishOk: ${name}`, async (t) => {
    const prefix = publishResultPrefix(epoch, duplicate);
    const bytes = written(prefix.length + 20, (target, at) => encodePublishOk(target, at, id, prefix, offset));
    t.same(unpack(bytes), [32, id, duplicate ? { epoch, duplicate, offset } : { epoch, offset }]);
  });
}

t.test('encodeOk takes any result', async (t) => {
  for (const result of [NIL, Uint8Array.of(0x80), Uint8Array.of(0xc4, 1, 9)]) {
    const bytes = written(20, (target, at) => encodeOk(target, at, 70_000, result));
    t.same(unpack(bytes), [32, 70_000, unpack(result)]);
  }
});
