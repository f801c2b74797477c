/** The client's own MessagePack against two libraries, and against what a hostile publisher may send. */
import { isDeepStrictEqual } from 'node:util';
import { decode as libraryDecode, encode as libraryEncode } from '@msgpack/msgpack';
import fc from 'fast-check';
import t from 'tap';
import { readMessages } from '../../../src/client/codec.ts';
import { Extension, encode, Reader } from '../../../src/client/msgpack.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import { SKIP_TOO_DEEP, skipValue } from '../../../src/protocol/skip.ts';

const decode = (bytes: Uint8Array): unknown => {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (!reader.isAtEnd) throw new Error('bytes left over');
  return value;
};
const bytes = (...parts: (number | number[] | Uint8Array)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])));

for (const { name, value, back = value } of [
  { name: 'nil', value: null },
  { name: 'undefined', value: undefined, back: null },
  { name: 'booleans', value: [true, false] },
  {
    name: 'integers at every edge',
    value: [0, 127, 128, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER],
  },
  {
    name: 'negative integers at every edge',
    value: [-1, -32, -33, -128, -129, -32_769, -0x8000_0000, -0x8000_0001, Number.MIN_SAFE_INTEGER],
  },
  { name: 'floats past the end of the first buffer', value: Array(1_000).fill(0.5) },
  { name: 'floats', value: [0.5, -1e300, Number.POSITIVE_INFINITY, Number.NaN, 1e20] },
  { name: 'bigints', value: [5n, -5n, 2n ** 64n - 1n, -(2n ** 63n)], back: [5, -5, 2 ** 64, -(2 ** 63)] },
  {
    name: 'strings at every edge',
    value: ['', 'a'.repeat(31), 'a'.repeat(32), 'ä'.repeat(200), '€'.repeat(30_000), '\ufeffbom', '😀'],
  },
  { name: 'bytes', value: [Uint8Array.of(), Uint8Array.of(1, 2), new Uint8Array(300), new Uint8Array(70_000)] },
  { name: 'other buffers', value: [Uint16Array.of(1), Uint8Array.of(7).buffer], back: [Uint8Array.of(1, 0), Uint8Array.of(7)] },
  { name: 'arrays at every edge', value: [[], Array(15).fill(1), Array(16).fill(1), Array(70_000).fill(1)] },
  { name: 'maps', value: { a: 1, b: undefined, c: { d: [] } }, back: { a: 1, c: { d: [] } } },
  { name: 'large maps', value: Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`k${index}`, index])) },
  {
    name: 'Map',
    value: new Map<unknown, unknown>([
      ['x', 1],
      [2, 'y'],
    ]),
    back: { x: 1, 2: 'y' },
  },
  { name: 'dates', value: [new Date(0), new Date(1_700_000_000_123), new Date(-1), new Date(8.64e15)] },
  { name: 'extensions', value: [new Extension(5, Uint8Array.of(1, 2, 3)), new Extension(-7, new Uint8Array(300))] },
] as { name: string; value: unknown; back?: unknown }[]) {
  t.test(`round trip: ${name}`, async (t) => {
    const encoded = encode(value);
    t.equal(skipValue(encoded, 0, encoded.length), encoded.length, 'well formed, by the relay');
    t.ok(isDeepStrictEqual(decode(encoded), back)); // tap's own comparison takes seconds for these.
    if (!JSON.stringify(back)?.includes('type'))
      t.ok(isDeepStrictEqual(normal(libraryDecode(encoded)), normal(back)), '@msgpack/msgpack reads it');
  });
}

/** Libraries give buffers of other classes. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(normal);
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, normal(field)]));
  return value;
}

t.test('any value: both libraries read what we write, and we read what they write', async () => {
  const anything = fc.anything({
    values: [
      fc.boolean(),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true }),
      fc.string({ unit: 'binary' }),
      fc.constant(null),
      fc.uint8Array(),
    ],
    maxDepth: 4,
  });
  fc.assert(
    fc.property(
      anything.filter((value) => !JSON.stringify(value)?.includes('__proto__')),
      (value) => {
        const want = JSON.stringify(normal(value));
        for (const [name, result] of [
          ['own', decode(encode(value))],
          ['@msgpack reads', libraryDecode(encode(value))],
          ['msgpackr reads', unpack(encode(value))],
          ['@msgpack writes', decode(libraryEncode(value, { ignoreUndefined: true }))],
          ['msgpackr writes', decode(pack(value))],
        ] as const) {
          const got = JSON.stringify(normal(result));
          if (got !== want) throw new Error(`${name}: ${got} instead of ${want}`);
        }
      },
    ),
    { numRuns: 300 },
  );
});

t.test('whatever the relay lets through as well formed decodes, and what it refuses throws: no third way', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (input) => {
      const end = skipValue(input, 0, input.length);
      if (end === SKIP_TOO_DEEP) return;
      try {
        decode(input.subarray(0, end < 0 ? input.length : end));
      } catch (error) {
        if (end >= 0) throw error;
        return;
      }
      if (end < 0 && input.length > 0) throw new Error('decoded what is not well formed');
    }),
    { numRuns: 5_000 },
  );
});

for (const { name, payload, want } of [
  {
    name: 'the key __proto__',
    payload: bytes(0x81, 0xa9, Buffer.from('__proto__'), 0x81, 0xa1, 0x78, 1),
    want: '{"__proto__":{"x":1}}',
  },
  { name: 'a map as key', payload: bytes(0x81, 0x81, 0xa1, 0x61, 1, 2), want: '{"{\\"a\\":1}":2}' },
  {
    name: 'a key that is a map with a toString',
    payload: bytes(0x81, 0x81, 0xa8, Buffer.from('toString'), 1, 2),
    want: '{"{\\"toString\\":1}":2}',
  },
  {
    name: 'nil, boolean, float keys',
    payload: bytes(0x83, 0xc0, 1, 0xc3, 2, 0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0, 3),
    want: '{"null":1,"true":2,"0.5":3}',
  },
  { name: 'text that is no UTF-8', payload: bytes(0xa2, 0xff, 0xfe), want: '"\ufffd\ufffd"' },
  { name: 'a timestamp of a wrong size', payload: bytes(0xd5, 0xff, 1, 2), want: '{"type":-1,"data":{"0":1,"1":2}}' },
  { name: 'a 32-bit timestamp', payload: bytes(0xd6, 0xff, 0, 0, 0, 1), want: '"1970-01-01T00:00:01.000Z"' },
  {
    name: 'a 64-bit timestamp',
    payload: bytes(0xd7, 0xff, 0x77, 0x35, 0x94, 0x00, 0, 0, 0, 2),
    want: '"1970-01-01T00:00:02.500Z"',
  },
  {
    name: 'a date out of range',
    payload: bytes(0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    want: 'null',
  },
  {
    name: 'a 64-bit integer beyond 2^53',
    payload: bytes(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
    want: '18446744073709552000',
  },
]) {
  t.test(`a hostile or odd payload costs nobody else anything: ${name}`, async (t) => {
    const seen: unknown[] = [];
    readMessages(bytes(0x96, 34, 1, 0xc0, 1, 0xc0, payload, 0x96, 34, 1, 0xc0, 2, 0xc0, 7), (message) => seen.push(message[5]));
    t.equal(JSON.stringify(seen[0]), want);
    t.equal(seen[1], 7, 'the message behind it');
    t.equal(({} as { x?: unknown }).x, undefined, 'no prototype was touched');
  });
}

t.test('a length of 2^32 that is not there allocates nothing and throws', async (t) => {
  for (const type of [0xc6, 0xdb, 0xdd, 0xdf, 0xc9]) t.throws(() => decode(bytes(type, 0xff, 0xff, 0xff, 0xff, 1)));
});

t.test(
  'what cannot be carried throws: functions, symbols, cycles, large bigints, bad dates, depth over the relay’s',
  async (t) => {
    const circle: unknown[] = [];
    circle.push(circle);
    for (const value of [() => 1, Symbol('x'), circle, 2n ** 64n, -(2n ** 63n) - 1n, new Date(Number.NaN)])
      t.throws(() => encode(value));
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    const deepest = encode(nested(64));
    t.equal(skipValue(deepest, 0, deepest.length), deepest.length);
    t.throws(() => encode(nested(65)), /nested deeper than 64/);
    t.strictSame(decode(encode('fine again')), 'fine again');
  },
);

t.test('a getter that encodes something itself does not spoil the outer value', async (t) => {
  const inner: Uint8Array[] = [];
  const value = {
    a: 'before',
    get b() {
      inner.push(encode('inner'));
      return 'b';
    },
    c: 'after',
  };
  t.strictSame(decode(encode(value)), { a: 'before', b: 'b', c: 'after' });
  t.strictSame(decode(inner[0] as Uint8Array), 'inner');
});
