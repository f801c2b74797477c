/**
 * JSON answers about payloads from somebody who means harm.
 *
 * The story: a map key that is no string becomes its JSON text, and the keys inside it before it. Every level escaped the quotes of the one
 * below: 60 bytes published and one GET of the history made the front write gigabytes of backslashes, and everybody waited.
 */
import t from 'tap';
import { messagePackToJson } from '../../../src/front/http-json.ts';
import { DEPTH_MAX, skipValue } from '../../../src/protocol/skip.ts';
import { Rig } from './http-rig.ts';

/** Maps as keys of maps; in the innermost a quote, which is what grows. */
function nestedKeys(depth: number): Uint8Array {
  return Uint8Array.from([...Array(depth).fill(0x81), 0xa1, 0x22, ...Array(depth).fill(0x01)]);
}

for (const depth of [1, 2, 8, 20, DEPTH_MAX]) {
  t.test(`maps as keys, ${depth} deep, make JSON of a bounded size`, async (t) => {
    const payload = nestedKeys(depth);
    t.equal(skipValue(payload, 0, payload.length), payload.length, 'the relay takes it');
    const json = messagePackToJson(payload);
    t.equal(typeof JSON.parse(json), 'object');
    t.ok(json.length < 2_000);
  });
}

t.test('a key that is short keeps its JSON text', async (t) => {
  t.equal(messagePackToJson(Uint8Array.of(0x81, 0x81, 0xa1, 0x61, 0x01, 0x02)), '{"{\\"a\\":1}":2}');
  t.equal(messagePackToJson(Uint8Array.of(0x81, 0x92, 0x01, 0xc0, 0x02)), '{"[1,null]":2}');
});

t.test('the history with such a payload is answered', async (t) => {
  const rig = new Rig();
  const client = rig.connect('mallory');
  rig.front.onMessage([...rig.front.sessions].at(-1)!, Uint8Array.from([0x95, 2, 0, 0xa1, 0x61, 0xc0, ...nestedKeys(20)]), true);
  client.say([14, 10]);
  const answer = rig.get('/v1/history?topic=a', 'application/json');
  t.equal(answer.status, 200);
  t.ok(answer.raw.length < 5_000);
});
