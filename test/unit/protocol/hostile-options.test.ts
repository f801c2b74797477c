/**
 * Options from somebody who means harm.
 *
 * The story: msgpackr gives extension types meanings of its own (BigInt, Set, RegExp, references back into the value), and options are decoded
 * and used. A BigInt in presence data could not be compared with the data before it, and ended the lane: one message, every topic of that
 * lane begun anew. Options need no extension type, so none is let through but the time stamp, which is MessagePack's own.
 */
import t from 'tap';
import { encode } from '../../../src/client/msgpack.ts';
import { Front } from '../../../src/front/front.ts';
import { decodeOptions, publishOptions, subscribeOptions } from '../../../src/protocol/options.ts';
import { skipValue } from '../../../src/protocol/skip.ts';
import { Rig } from '../front/http-rig.ts';

const fixstr = (text: string): number[] => [0xa0 | text.length, ...new TextEncoder().encode(text)];
const word = (value: number): number[] => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
/** What follows is known by this number from here on. */
const named = (id: number): number[] => [0xd6, 0x69, ...word(id)];
/** What was named so. */
const reference = (id: number): number[] => [0xd6, 0x70, ...word(id)];

/** Every list holds the one before twice: 2^levels elements. */
function doublings(levels: number): number[] {
  return Array.from({ length: levels }, (_, level) => [
    ...named(level),
    0x92,
    ...(level === 0 ? [0x01, 0x01] : [...reference(level - 1), ...reference(level - 1)]),
  ]).flat();
}

const HOSTILE = [
  { name: 'a BigInt', value: [0xd4, 0x42, 0xff] },
  { name: 'a list that holds itself', value: [...named(1), 0x91, ...reference(1)] },
  { name: 'lists that double thirty times', value: doublings(30) },
  { name: 'a set', value: [0xd4, 0x73, 0x00, 0x93, 0x01, 0x02, 0x03] },
  { name: 'a regular expression', value: [0xd4, 0x78, 0x00, 0x92, ...fixstr('(a+)+$'), ...fixstr('g')] },
  { name: 'an error', value: [0xd4, 0x65, 0x00, 0x92, ...fixstr('Error'), ...fixstr('x')] },
  { name: 'an array of BigInts', value: [0xc7, 0x09, 0x74, 0x09, 0, 0, 0, 0, 0, 0, 0, 0] },
  { name: 'a typed array', value: [0xc7, 0x03, 0x74, 0x01, 0x00, 0x00] },
  { name: 'strings bundled somewhere else', value: [0xd6, 0x62, ...word(0xffff_fff0), 0x01] },
  { name: 'a record', value: [0xd4, 0x72, 0x41, 0x91, ...fixstr('a'), 0x01] },
  { name: 'an extension nobody knows', value: [0xd4, 0x05, 0x00] },
  { name: 'ext 8 of nothing', value: [0xc7, 0x00, 0x05] },
  { name: 'ext 16', value: [0xc8, 0x00, 0x01, 0x42, 0xff] },
  { name: 'ext 32', value: [0xc9, 0x00, 0x00, 0x00, 0x01, 0x42, 0xff] },
] as const;

/** In a list: what follows an extension's own bytes is an element by itself, whatever msgpackr makes of it. */
function inList(value: readonly number[]): number[] {
  const bytes = Uint8Array.from(value);
  let count = 0;
  for (let at = 0; at < bytes.length; count++) at = skipValue(bytes, at, bytes.length);
  return [0xdc, 0, count, ...value];
}

for (const { name, value } of HOSTILE) {
  t.test(`options refuse ${name}, wherever it stands`, async (t) => {
    for (const options of [
      [0x81, ...fixstr('presence'), 0x81, ...fixstr('a'), ...inList(value)],
      [0x81, ...fixstr('since'), ...inList(value)],
      [0xde, 0x00, 0x01, ...fixstr('other'), 0xdd, 0, 0, 0, 1, ...inList(value)],
      [0xdf, 0, 0, 0, 1, ...inList(value), 0xc0],
    ]) {
      const bytes = Uint8Array.from(options);
      t.equal(skipValue(bytes, 0, bytes.length), bytes.length, 'well formed');
      t.throws(() => decodeOptions(bytes, 0, bytes.length), { name: 'RelayError', codeName: 'BAD_REQUEST' });
    }
  });

  for (const topic of ['room', 'room.*']) {
    t.test(`a SUBSCRIBE to ${topic} with ${name} in its presence gets an answer, and the relay lives`, async (t) => {
      const rig = new Rig();
      const client = rig.connect('mallory');
      const message = Uint8Array.from([
        0x94,
        3,
        9,
        ...fixstr(topic),
        0x81,
        ...fixstr('presence'),
        0x81,
        ...fixstr('a'),
        ...inList(value),
      ]);
      t.ok(rig.front instanceof Front);
      rig.front.onMessage([...rig.front.sessions].at(-1)!, message, true);
      rig.run();
      t.match(client.received(33), [[33, 9, 100]]);
      client.say([14, 10]);
      t.match(client.received(32).at(-1), [32, 10]);
    });
  }
}

// The story: msgpackr asks every object for `constructor` and `toJSON`, and calls the latter. Two keys in headers or presence data made it
// throw, which ended the lane, or for a pattern the whole relay.
for (const { name, message } of [
  { name: 'presence data', message: [3, 9, 'room', { presence: { constructor: 'x', toJSON: 'x' } }] },
  { name: 'presence data deeper down', message: [3, 9, 'room', { presence: { a: [{ constructor: 1, toJSON: 1 }] } }] },
  { name: 'presence data of a pattern', message: [3, 9, 'room.*', { presence: { constructor: 'x', toJSON: 'x' } }] },
  { name: 'headers', message: [2, 9, 'room', { headers: { constructor: 'x', toJSON: 'x' } }, 1] },
  {
    name: 'headers with the names that objects have',
    message: [2, 9, 'room', { headers: { toString: 'x', valueOf: 'x', length: 'x' } }, 1],
  },
]) {
  t.test(`keys that objects have by nature are keys like others: ${name}`, async (t) => {
    const rig = new Rig();
    const client = rig.connect('mallory');
    rig.front.onMessage([...rig.front.sessions].at(-1)!, encode(message), true);
    rig.run();
    client.say([14, 10]);
    t.match(client.received(32).at(-1), [32, 10]);
    t.equal([...client.received(32), ...client.received(33)].filter(([, id]) => id === 9).length, 1, 'answered');
  });
}

t.test('what such keys hold comes back as it was', async (t) => {
  const rig = new Rig();
  const client = rig.connect('mallory');
  const headers = { constructor: 'x', toJSON: 'y', toString: 'z' };
  rig.front.onMessage([...rig.front.sessions].at(-1)!, encode([2, 9, 'room', { headers }, 1]), true);
  client.say([10, 10, 'room', null]);
  const [, , history] = client.received(32).at(-1)!;
  const { messages } = history as { messages: [number, { headers: object }][] };
  t.same(Object.entries(messages[0]?.[1].headers ?? {}), Object.entries(headers));
});

t.test('a time stamp is MessagePack’s own, and may stand in presence data', async (t) => {
  const bytes = Uint8Array.from([0x81, ...fixstr('presence'), 0x81, ...fixstr('at'), 0xd6, 0xff, 0, 0, 0, 7]);
  const { presence } = subscribeOptions(decodeOptions(bytes, 0, bytes.length), 100);
  t.same(presence, { data: { at: new Date(7_000) } });
});

for (const { name, value } of [
  { name: 'bytes', value: [0xc4, 0x01, 0x00] },
  { name: 'a time', value: [0xd6, 0xff, 0, 0, 0, 7] },
]) {
  t.test(`presence is true, a map or 'watch', not ${name}`, async (t) => {
    const bytes = Uint8Array.from([0x81, ...fixstr('presence'), ...value]);
    t.throws(() => subscribeOptions(decodeOptions(bytes, 0, bytes.length), 100), {
      codeName: 'BAD_REQUEST',
      message: /presence must be/,
    });
  });
}

for (const { name, value } of [
  { name: 'bytes', value: [0xc4, 0x00] },
  { name: 'a time', value: [0xd6, 0xff, 0, 0, 0, 7] },
]) {
  t.test(`headers are a map, not ${name}`, async (t) => {
    const bytes = Uint8Array.from([0x81, ...fixstr('headers'), ...value]);
    t.throws(() => publishOptions(decodeOptions(bytes, 0, bytes.length)), {
      codeName: 'BAD_REQUEST',
      message: /headers must be/,
    });
  });
}

t.test('an error does not send back all of a name that is as long as a message', async (t) => {
  const options = { headers: { ['x'.repeat(100_000)]: 1 } };
  t.throws(() => publishOptions(options), { codeName: 'BAD_REQUEST', message: /^.{1,200}$/ });
});

t.test('options that are a time are no map', async (t) => {
  t.throws(() => decodeOptions(Uint8Array.from([0xd6, 0xff, 0, 0, 0, 7]), 0, 6), {
    codeName: 'BAD_REQUEST',
    message: /must be a map/,
  });
});
