/**
 * Payloads that the relay carries, since they are well formed, and that must do no harm to who decodes them.
 *
 * The story: a map as the key of a map was made text by JSON.stringify, and the keys inside it before it. Every level escaped the quotes of the
 * one below, so 40 bytes of payload made a terabyte of backslashes: one publish froze every subscriber.
 */
import t from 'tap';
import { Reader } from '../../../src/client/msgpack.ts';
import { DEPTH_MAX, skipValue } from '../../../src/protocol/skip.ts';

for (const { name, open, close } of [
  { name: 'maps as keys of maps', open: [0x81], close: [0xa1, 0x22] },
  { name: 'lists of maps as keys', open: [0x81, 0x91], close: [0xa1, 0x22] },
  { name: 'maps as keys and values', open: [0x81, 0x80, 0x81], close: [0xa1, 0x5c] },
]) {
  t.test(`a payload of ${name}, as deep as the relay lets through`, async (t) => {
    const depth = Math.floor(DEPTH_MAX / open.filter((byte) => byte > 0x80).length);
    const keys = Array(depth).fill(open).flat();
    const values = Array(open.length === 3 ? 2 * depth : depth).fill(0x01);
    const payload = Uint8Array.from([...keys, ...close, ...values]);
    const end = skipValue(payload, 0, payload.length);
    t.ok(end > depth, 'the relay takes it');
    const value = new Reader(payload.subarray(0, end)).value();
    t.ok(JSON.stringify(value).length < 100 * payload.length, 'and it stays small');
  });
}
