/** The skip-scan: every type byte, every length field at its edges, depth, and a real decoder as the second opinion. */
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import t from 'tap';
import {
  DEPTH_MAX,
  describeSkipFault,
  readUint16,
  readUint32,
  SKIP_RESERVED,
  SKIP_TOO_DEEP,
  SKIP_TRUNCATED,
  skipValue,
} from '../../../src/protocol/skip.ts';

const bytesOf = (spelled: string): Uint8Array => Uint8Array.from(Buffer.from(spelled.replaceAll(' ', ''), 'hex'));

/** Bytes that stand behind a type byte so that the value is whole: length fields are zero, so only the fixed part counts. */
function fixedBytesAfter(type: number): number {
  if (type <= 0x9f || type >= 0xe0) return type >= 0x80 && type <= 0x9f ? (type & 0x0f) * (type <= 0x8f ? 2 : 1) : 0;
  if (type <= 0xbf) return type & 0x1f;
  const byType: Readonly<Record<number, number>> = {
    196: 1,
    197: 2,
    198: 4,
    199: 2,
    200: 3,
    201: 5,
    202: 4,
    203: 8,
    204: 1,
    205: 2,
    206: 4,
    207: 8,
    208: 1,
    209: 2,
    210: 4,
    211: 8,
    212: 2,
    213: 3,
    214: 5,
    215: 9,
    216: 17,
    217: 1,
    218: 2,
    219: 4,
    220: 2,
    221: 4,
    222: 2,
    223: 4,
  };
  return byType[type] ?? 0;
}

t.test('every type byte: whole, one byte short, and with something behind it', async (t) => {
  for (let type = 0; type <= 0xff; type++) {
    const after = fixedBytesAfter(type);
    const whole = new Uint8Array(1 + after);
    whole[0] = type;
    const what = `0x${type.toString(16)}`;
    if (type === 0xc1) {
      t.equal(skipValue(whole, 0, 1), SKIP_RESERVED, what);
      continue;
    }
    if (skipValue(whole, 0, whole.length) !== whole.length) t.fail(`${what} whole`);
    if (skipValue(Uint8Array.of(...whole, 0xc0), 0, whole.length + 1) !== whole.length) t.fail(`${what} with a neighbour`);
    for (let cut = 0; cut < whole.length; cut++) {
      if (skipValue(whole, 0, cut) !== SKIP_TRUNCATED) t.fail(`${what} cut at ${cut}`);
      if (skipValue(whole.slice(0, cut), 0, cut) !== SKIP_TRUNCATED) t.fail(`a copy of ${what} cut at ${cut}`);
    }
    // Somewhere else in a buffer.
    if (skipValue(Uint8Array.of(0xc1, 0xc1, ...whole, 0xc1), 2, whole.length + 2) !== whole.length + 2)
      t.fail(`${what} at an offset`);
  }
});

for (const { name, bytes, want } of [
  { name: 'nothing', bytes: '', want: SKIP_TRUNCATED },
  { name: 'bin 8 of 255 bytes', bytes: `c4 ff ${'00'.repeat(255)}`, want: 257 },
  { name: 'bin 8 of 255 bytes, one short', bytes: `c4 ff ${'00'.repeat(254)}`, want: SKIP_TRUNCATED },
  { name: 'bin 16 of 256 bytes', bytes: `c5 0100 ${'00'.repeat(256)}`, want: 259 },
  { name: 'bin 16 of 256 bytes, one short', bytes: `c5 0100 ${'00'.repeat(255)}`, want: SKIP_TRUNCATED },
  { name: 'bin 32 of 2 bytes', bytes: 'c6 00000002 aabb', want: 7 },
  { name: 'bin 32 of 2^32 - 1 bytes', bytes: 'c6 ffffffff 00', want: SKIP_TRUNCATED },
  { name: 'str 8 of 2 bytes', bytes: 'd9 02 6161', want: 4 },
  { name: 'str 16 of 65535 bytes that are not there', bytes: 'da ffff 61', want: SKIP_TRUNCATED },
  { name: 'str 32 of 2^31 bytes', bytes: 'db 80000000 61', want: SKIP_TRUNCATED },
  { name: 'str 32 of 1 byte', bytes: 'db 00000001 61', want: 6 },
  { name: 'text that is no UTF-8', bytes: 'a2 ff fe', want: 3 },
  { name: 'ext 8 of 3 bytes', bytes: 'c7 03 01 aabbcc', want: 6 },
  { name: 'ext 8 of 3 bytes, one short', bytes: 'c7 03 01 aabb', want: SKIP_TRUNCATED },
  { name: 'ext 16 of 2 bytes', bytes: 'c8 0002 01 aabb', want: 6 },
  { name: 'ext 32 of 1 byte', bytes: 'c9 00000001 01 aa', want: 7 },
  { name: 'ext 32 of 2^32 - 1 bytes', bytes: 'c9 ffffffff 01 aa', want: SKIP_TRUNCATED },
  { name: 'array of two arrays', bytes: '92 91 01 92 02 03', want: 6 },
  { name: 'array 16', bytes: 'dc 0002 01 02', want: 5 },
  { name: 'array 16, one element short', bytes: 'dc 0002 01', want: SKIP_TRUNCATED },
  { name: 'array 32', bytes: 'dd 00000001 c0', want: 6 },
  { name: 'array 32 of 2^32 - 1 elements', bytes: 'dd ffffffff c0 c0', want: SKIP_TRUNCATED },
  { name: 'array 32 of 2^31 elements', bytes: 'dd 80000000 c0 c0', want: SKIP_TRUNCATED },
  { name: 'map of one pair', bytes: '81 a161 01', want: 4 },
  { name: 'map of one key', bytes: '81 a161', want: SKIP_TRUNCATED },
  { name: 'map with any keys', bytes: '82 01 02 90 80', want: 5 },
  { name: 'map 16', bytes: 'de 0001 01 02', want: 5 },
  { name: 'map 16 of 65535 pairs', bytes: 'de ffff 01 02', want: SKIP_TRUNCATED },
  { name: 'map 32', bytes: 'df 00000001 01 02', want: 7 },
  { name: 'map 32 of 2^32 - 1 pairs', bytes: 'df ffffffff 01 02', want: SKIP_TRUNCATED },
  { name: 'map 32 of 2^31 pairs', bytes: 'df 80000000 01 02', want: SKIP_TRUNCATED },
  { name: 'huge counts inside each other', bytes: 'dd 00000003 dd ffffffff dd ffffffff', want: SKIP_TRUNCATED },
  { name: 'the reserved byte inside an array', bytes: '92 01 c1', want: SKIP_RESERVED },
  { name: 'the reserved byte as a key', bytes: '81 c1 01', want: SKIP_RESERVED },
  { name: 'the reserved byte as a map value', bytes: '81 01 c1', want: SKIP_RESERVED },
  { name: 'empty containers', bytes: '93 90 80 dc 0000', want: 6 },
  { name: 'an empty map 32', bytes: 'df 00000000', want: 5 },
]) {
  t.test(`skipValue: ${name}`, async (t) => {
    const input = bytesOf(bytes);
    t.equal(skipValue(input, 0, input.length), want);
  });
}

for (const { name, open, close } of [
  { name: 'arrays', open: [0x91], close: [0xc0] },
  { name: 'maps, by their values', open: [0x81, 0x01], close: [0xc0] },
  { name: 'arrays of several elements, the last one nested', open: [0x93, 0x01, 0x02], close: [0xc0] },
  { name: 'arrays 32', open: [0xdd, 0, 0, 0, 1], close: [0xc0] },
  { name: 'maps 16, by their values', open: [0xde, 0, 1, 0xa0], close: [0xc0] },
]) {
  t.test(`skipValue: ${name} nested ${DEPTH_MAX} deep, and one more`, async (t) => {
    const nested = (depth: number): Uint8Array => Uint8Array.from([...Array(depth).fill(open).flat(), ...close]);
    const whole = nested(DEPTH_MAX);
    t.equal(skipValue(whole, 0, whole.length), whole.length);
    const deeper = nested(DEPTH_MAX + 1);
    t.equal(skipValue(deeper, 0, deeper.length), SKIP_TOO_DEEP);
    const deepest = nested(100_000);
    t.equal(skipValue(deepest, 0, deepest.length), SKIP_TOO_DEEP, 'and it does not recurse');
  });
}

t.test('skipValue: nesting in the keys counts as well', async (t) => {
  const nested = (depth: number): Uint8Array => Uint8Array.from([...Array(depth).fill(0x81), ...Array(depth + 1).fill(0x01)]);
  t.equal(skipValue(nested(DEPTH_MAX), 0, 2 * DEPTH_MAX + 1), 2 * DEPTH_MAX + 1);
  t.equal(skipValue(nested(DEPTH_MAX + 1), 0, 2 * DEPTH_MAX + 3), SKIP_TOO_DEEP);
});

t.test('skipValue: an empty container opens nothing, so it may stand at the bottom', async (t) => {
  for (const empty of [0x90, 0x80]) {
    const bytes = Uint8Array.from([...Array(DEPTH_MAX).fill(0x91), empty]);
    t.equal(skipValue(bytes, 0, bytes.length), bytes.length);
  }
});

t.test('skipValue: depth is what is open at a time, not how many containers there are', async (t) => {
  const wide = Uint8Array.from([0xdc, 0x03, 0xe8, ...Array(1_000).fill([0x91, 0x91, 0x01]).flat()]);
  t.equal(skipValue(wide, 0, wide.length), wide.length);
});

t.test('skipValue leaves nothing behind: after a fault the next scan is as good as the first', async (t) => {
  const whole = Uint8Array.from([...Array(DEPTH_MAX).fill(0x91), 0xc0]);
  const broken = Uint8Array.from([...Array(DEPTH_MAX + 1).fill(0x91), 0xc0]);
  for (let round = 0; round < 3; round++) {
    t.equal(skipValue(broken, 0, broken.length), SKIP_TOO_DEEP);
    t.equal(skipValue(whole, 0, whole.length), whole.length);
  }
});

const packr = new Packr({ useRecords: false, variableMapSize: true });
const anyValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, Number.NaN, Number.POSITIVE_INFINITY, -0),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.double(),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.date({ noInvalidDate: true }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.string({ maxLength: 40 }), tie('value'), { maxKeys: 20 }),
  ),
})).value;

t.test('skipValue finds the end of whatever msgpackr writes, and of no part of it', async () => {
  fc.assert(
    fc.property(anyValue, fc.nat(), fc.uint8Array({ maxLength: 8 }), (value, cutSeed, tail) => {
      const packed = Uint8Array.prototype.slice.call(packr.pack(value));
      if (skipValue(packed, 0, packed.length) !== packed.length) return false;
      if (
        skipValue(Uint8Array.of(...tail, ...packed, ...tail), tail.length, 2 * tail.length + packed.length) !==
        tail.length + packed.length
      )
        return false;
      const cut = cutSeed % packed.length;
      return skipValue(packed, 0, cut) === SKIP_TRUNCATED && skipValue(packed.slice(0, cut), 0, cut) === SKIP_TRUNCATED;
    }),
    { numRuns: 2_000 },
  );
});

t.test('what msgpackr decodes from random bytes, skipValue takes as one value', async (t) => {
  // Without 0xc1 and extensions: msgpackr gives them meanings of its own, some of which reach beyond their bytes.
  const isOwn = (byte: number): boolean => byte === 0xc1 || (byte >= 0xc7 && byte <= 0xc9) || (byte >= 0xd4 && byte <= 0xd8);
  const plainByte = fc.integer({ min: 0, max: 255 }).filter((byte) => !isOwn(byte));
  let decodedCount = 0;
  fc.assert(
    fc.property(fc.array(plainByte, { minLength: 1, maxLength: 12 }), (raw) => {
      const bytes = Uint8Array.from(raw);
      try {
        packr.unpack(bytes);
      } catch {
        return true;
      }
      decodedCount++;
      return skipValue(bytes, 0, bytes.length) === bytes.length;
    }),
    { numRuns: 5_000 },
  );
  t.ok(decodedCount > 100, 'enough of them decode to mean something');
});

t.test('skipValue never reads past the end, whatever the bytes', async () => {
  /** Counts reads at and behind the end. */
  const watched = (bytes: Uint8Array): { bytes: Uint8Array; over: () => number } => {
    let over = 0;
    const proxy = new Proxy(bytes, {
      get: (target, key) => {
        if (typeof key === 'string' && Number(key) >= target.length) over++;
        return Reflect.get(target, key);
      },
    });
    return { bytes: proxy, over: () => over };
  };
  const typeByte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0xc4, max: 0xdf }));
  fc.assert(
    fc.property(fc.array(typeByte, { maxLength: 40 }), (raw) => {
      const { bytes, over } = watched(Uint8Array.from(raw));
      const end = skipValue(bytes, 0, raw.length);
      return over() === 0 && end <= raw.length && end !== 0 && end >= SKIP_TOO_DEEP;
    }),
    { numRuns: 5_000 },
  );
});

t.test('readUint16 and readUint32 read big-endian, the top bit too', async (t) => {
  const bytes = bytesOf('00 fffe 80000001');
  t.equal(readUint16(bytes, 1), 0xfffe);
  t.equal(readUint32(bytes, 3), 0x8000_0001);
});

t.test('describeSkipFault has a text for every fault', async (t) => {
  t.match(describeSkipFault(SKIP_TRUNCATED), /past the end/);
  t.match(describeSkipFault(SKIP_RESERVED), /0xc1/);
  t.match(describeSkipFault(SKIP_TOO_DEEP), /deeper than 64/);
  t.match(describeSkipFault(-99), /-99/);
});
