/** MessagePack as JSON and back: nothing that a payload can hold is lost, nothing that a client can send gets through half understood. */
import fc from 'fast-check';
import t from 'tap';
import { jsonToMessagePack, messagePackToJson } from '../../../src/front/http-json.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import { skipValue } from '../../../src/protocol/skip.ts';

const toBytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

for (const { name, packed, json } of [
  { name: 'nil', packed: 'c0', json: 'null' },
  { name: 'a byte order mark at the start of a text', packed: 'a6efbbbf616263', json: '"\ufeffabc"' },
  { name: 'a text that needs escapes', packed: 'a30a2201', json: '"\\n\\"\\u0001"' },
  { name: 'a negative fixint', packed: 'e0', json: '-32' },
  { name: 'int 8', packed: 'd080', json: '-128' },
  { name: 'int 16', packed: 'd18000', json: '-32768' },
  { name: 'int 32', packed: 'd280000000', json: '-2147483648' },
  { name: 'uint 32', packed: 'ceffffffff', json: '4294967295' },
  { name: 'the largest uint 64', packed: 'cfffffffffffffffff', json: '18446744073709551615' },
  { name: 'the smallest int 64', packed: 'd38000000000000000', json: '-9223372036854775808' },
  { name: 'an integer beyond 2^53 that floats do not have', packed: 'cf0020000000000001', json: '9007199254740993' },
  { name: 'a float', packed: 'cb3ff8000000000000', json: '1.5' },
  { name: 'minus zero', packed: 'cb8000000000000000', json: '-0' },
  { name: 'a float beyond all integers', packed: 'cb7e37e43c8800759c', json: '1e+300' },
  { name: 'NaN', packed: 'cb7ff8000000000000', json: '{"$float":"NaN"}' },
  { name: 'minus infinity', packed: 'cbfff0000000000000', json: '{"$float":"-Infinity"}' },
  { name: 'binary', packed: 'c403010203', json: '{"$bin":"AQID"}' },
  { name: 'empty binary', packed: 'c400', json: '{"$bin":""}' },
  { name: 'a fixed extension', packed: 'd4057f', json: '{"$ext":[5,"fw=="]}' },
  { name: 'an extension of 3 bytes and a negative type', packed: 'c703ff010203', json: '{"$ext":[-1,"AQID"]}' },
  { name: 'a map whose only key looks like a tag', packed: '81a42462696ea178', json: '{"$$bin":"x"}' },
  { name: 'a map whose only key looks like an escaped tag', packed: '81a52424657874c0', json: '{"$$$ext":null}' },
  { name: 'a map with such a key among others', packed: '82a42462696e01a16102', json: '{"$bin":1,"a":2}' },
  { name: 'a map with a key that only begins like one', packed: '81a5246269747301', json: '{"$bits":1}' },
  { name: 'a map with the key __proto__', packed: '81a95f5f70726f746f5f5f01', json: '{"__proto__":1}' },
]) {
  t.test(`${name} reads and writes the same`, async (t) => {
    t.equal(messagePackToJson(Buffer.from(packed, 'hex')), json);
    t.equal(hex(jsonToMessagePack(toBytes(json))), packed);
  });
}

for (const { name, packed, json } of [
  { name: 'a map key that is an integer', packed: '8105c3', json: '{"5":true}' },
  { name: 'a map key that is an array', packed: '819101c3', json: '{"[1]":true}' },
  { name: 'float 32', packed: 'ca3f000000', json: '0.5' },
  { name: 'text that is no UTF-8', packed: 'a2ff61', json: '"\ufffda"' },
  { name: 'an array with a 32 bit length', packed: 'dd0000000201c0', json: '[1,null]' },
  { name: 'a map with a 16 bit length', packed: 'de0001a16102', json: '{"a":2}' },
]) {
  t.test(`${name} has a JSON form`, async (t) => {
    t.equal(messagePackToJson(Buffer.from(packed, 'hex')), json);
  });
}

for (const { name, json, text } of [
  { name: 'half a value', json: '{"a":', text: /is not JSON/ },
  { name: 'two values', json: '1 2', text: /is not JSON/ },
  { name: 'bytes that are no UTF-8', json: Buffer.from('22ff22', 'hex'), text: /is not JSON/ },
  { name: 'base64 without its padding', json: '{"$bin":"AQI"}', text: /\$bin must be base64/ },
  { name: 'base64 that is url-safe', json: '{"$bin":"_-8="}', text: /\$bin must be base64/ },
  { name: 'a tag with a number', json: '{"$bin":1}', text: /\$\$bin/ },
  { name: 'an extension type out of range', json: '{"$ext":[128,""]}', text: /\$ext must be/ },
  { name: 'a float tag with a number', json: '{"$float":"1"}', text: /\$float must be/ },
  { name: 'arrays deeper than any payload', json: `${'['.repeat(100)}${']'.repeat(100)}`, text: /deeper than 64/ },
  {
    name: 'arrays deeper than the stack',
    json: `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
    text: /deeper than 64|is not JSON/,
  },
  {
    name: 'such arrays around a long integer',
    json: `${'['.repeat(200_000)}12345678901234567890${']'.repeat(200_000)}`,
    text: /./,
  },
]) {
  t.test(`${name} is refused`, async (t) => {
    t.throws(() => jsonToMessagePack(typeof json === 'string' ? toBytes(json) : json), { code: 100, message: text });
  });
}

t.test('integers beyond 64 bit stay numbers, rounded as JSON readers do', async (t) => {
  t.equal(unpack(jsonToMessagePack(toBytes('100000000000000000000'))), 1e20);
});

t.test('a megabyte of base64 is read', async (t) => {
  const data = new Uint8Array(750_000).fill(7);
  const json = JSON.stringify({ $bin: Buffer.from(data).toString('base64') });
  t.equal(messagePackToJson(jsonToMessagePack(toBytes(json))), json);
});

const anyValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.string(),
    fc.constantFrom('$bin', '$$ext', '$float'),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.double(),
    fc.uint8Array(),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('$bin', '$$ext', '$float', '$$$bin')), tie('value'), { maxKeys: 20 }),
  ),
})).value;

t.test('whatever MessagePack holds comes back from JSON as it was', async () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      const json = messagePackToJson(pack(value));
      JSON.parse(json);
      const back = jsonToMessagePack(toBytes(json));
      return skipValue(back, 0, back.length) === back.length && messagePackToJson(back) === json;
    }),
    { numRuns: 500 },
  );
});

t.test('whatever JSON holds comes back from MessagePack as it was', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      t.same(JSON.parse(messagePackToJson(jsonToMessagePack(toBytes(JSON.stringify({ value, more: true }))))), {
        value,
        more: true,
      });
    }),
    { numRuns: 200 },
  );
});
