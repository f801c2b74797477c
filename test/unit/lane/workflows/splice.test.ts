/** Splicing: what is cut out and put together is what a decoder and an encoder would make of it, byte for byte where it matters. */
import t from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { arrayCount, arrayElements, joinArray, joinMap, mapValue, textBytes } from '../../../../src/lane/workflows/splice.ts';
import { pack, unpack } from '../../../../src/protocol/codec.ts';
import type { Any } from './workflow-rig.ts';

function draw(prng: Prng, depth: number): Any {
  const list = (): Any[] => (depth > 3 ? [] : Array.from({ length: prng.nextInt(0, 5) }, () => draw(prng, depth + 1)));
  switch (prng.nextInt(0, 6)) {
    case 0:
      return null;
    case 1:
      return prng.nextBoolean();
    case 2:
      return prng.nextInt(-70_000, 70_000);
    case 3:
      return 'x'.repeat(prng.nextInt(0, 300));
    case 4:
      return new Uint8Array(prng.nextInt(0, 300));
    case 5:
      return list();
    default:
      return Object.fromEntries(list().map((value, index) => [`k${index}`, value]));
  }
}

for (let seed = 1; seed <= 40; seed++) {
  t.test(`elements and values are those of the decoder (seed ${seed})`, async (t) => {
    const prng = new Prng(seed);
    const list = Array.from({ length: prng.nextInt(0, 40) }, () => draw(prng, 1));
    const bytes = pack(list);
    const elements = arrayElements(bytes) ?? [];
    t.equal(arrayCount(bytes), list.length);
    const packed = list.map((value) => [...pack(value)]);
    t.same(
      elements.map((element) => [...element]),
      packed,
    );
    t.same([...joinArray(elements)], [...bytes]);
    const map = Object.fromEntries(list.map((value, index) => [`key ${index}`, value]));
    const entries = Object.entries(map);
    t.same([...joinMap(entries.map(([key, value]) => [textBytes(key), pack(value)]))], [...pack(map)]);
    for (const [key, value] of entries) t.same([...(mapValue(pack(map), key) ?? [])], [...pack(value)]);
  });
}

t.test('lists and maps of every length have the head that a decoder reads', async (t) => {
  for (const count of [0, 1, 15, 16, 65_535, 65_536]) {
    t.equal((unpack(joinArray(Array(count).fill(null))) as Any[]).length, count);
    t.equal(arrayCount(joinArray(Array(count).fill(null))), count);
  }
  for (const count of [0, 1, 15, 16, 300]) {
    const entries = Array.from({ length: count }, (_, index) => [textBytes(`k${index}`), pack(index)] as const);
    t.equal(Object.keys(unpack(joinMap(entries)) as object).length, count);
  }
});

for (const { name, bytes, key = 'a', want } of [
  { name: 'a key in its longest form', bytes: [0x81, 0xdb, 0, 0, 0, 1, 0x61, 7], want: [7] },
  { name: 'a key of str 8', bytes: [0x81, 0xd9, 1, 0x61, 7], want: [7] },
  { name: 'map 16 and map 32', bytes: [0xde, 0, 1, 0xa1, 0x61, 7], want: [7] },
  { name: 'map 32', bytes: [0xdf, 0, 0, 0, 1, 0xa1, 0x61, 7], want: [7] },
  { name: 'the last of two', bytes: [0x82, 0xa1, 0x61, 7, 0xa1, 0x61, 8], want: [8] },
  { name: 'not one inside another map', bytes: [0x81, 0xa1, 0x62, 0x81, 0xa1, 0x61, 7], want: null },
  { name: 'not a key that is bytes', bytes: [0x81, 0xc4, 1, 0x61, 7], want: null },
  { name: 'not a key that is a map', bytes: [0x81, 0x80, 7], want: null },
  { name: 'not in a list', bytes: [0x92, 0xa1, 0x61, 7], want: null },
  { name: 'not in a text', bytes: [0xa1, 0x61], want: null },
  { name: 'a key of many bytes', key: 'ü', bytes: [0x81, 0xa2, 0xc3, 0xbc, 7], want: [7] },
]) {
  t.test(`a map's value: ${name}`, async (t) => {
    const value = mapValue(Uint8Array.from(bytes), key);
    t.same(value === null ? null : [...value], want);
  });
}

t.test('what is no list has no elements', async (t) => {
  for (const value of [null, 7, 'x', {}, { a: [] }, new Uint8Array(3)]) t.equal(arrayElements(pack(value)), null);
});
