/** What the bench says to a relay and how it reads the answers, held against the real codec. */

import t from 'tap';
import {
  decodeOther,
  helloFrame,
  joinFrame,
  MessageReader,
  READ_OTHER,
  rawPublishTemplate,
  relayPublishTemplate,
} from '../../../src/cli/bench/frames.ts';
import {
  LAG_OFFSET_BYTES,
  readDueUs,
  SEQUENCE_OFFSET_BYTES,
  STREAM_OFFSET_BYTES,
  writePayload,
  writeUint32,
} from '../../../src/cli/bench/payload.ts';
import { pack, unpack, unpackMany } from '../../../src/protocol/codec.ts';
import { encodeMessage, messageBytesMax } from '../../../src/protocol/encode.ts';
import { MessageHeader, scanMessage } from '../../../src/protocol/header.ts';
import { readUint16, readUint32 } from '../../../src/protocol/skip.ts';

/** The body of a client frame, after checking its head: whole, binary, masked with key 0. */
function bodyOf(frame: Uint8Array): Uint8Array {
  if (frame[0] !== 0x82) throw new Error(`first byte ${frame[0]}`);
  const short = (frame[1] as number) - 0x80;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const length = short === 126 ? readUint16(frame, 2) : short === 127 ? readUint32(frame, 6) : short;
  const maskAt = 2 + lengthBytes;
  if (readUint32(frame, maskAt) !== 0) throw new Error('mask key is not 0');
  const body = frame.subarray(maskAt + 4);
  if (body.length !== length) throw new Error(`length says ${length}, body is ${body.length}`);
  return body;
}

t.test('HELLO and SUBSCRIBE go out in one frame', async (t) => {
  t.strictSame(unpackMany(bodyOf(joinFrame('room.1', null))), [
    [1, 1, { client: 'bench' }],
    [3, 2, 'room.1', null],
  ]);
  t.strictSame(unpackMany(bodyOf(joinFrame('r', { epoch: 'e1', offset: 70_000 }))), [
    [1, 1, { client: 'bench' }],
    [3, 2, 'r', { since: { epoch: 'e1', offset: 70_000 } }],
  ]);
  t.strictSame(unpackMany(bodyOf(helloFrame())), [[1, 1, { client: 'bench' }]]);
});

for (const payloadBytes of [32, 125, 255, 256, 65_535, 65_536, 200_000]) {
  t.test(`a PUBLISH of ${payloadBytes} bytes is what the protocol asks for`, async (t) => {
    const room = 'bench.0000002a.r000007';
    const template = relayPublishTemplate(room.length, payloadBytes, 42);
    template.frame.set(Buffer.from(room), template.roomAt);
    writeUint32(template.frame, template.idAt, 4_000_000_000);
    writePayload(template.frame, template.payloadAt, 7, 123_456, 9_007_199_254_740, 55);
    const body = bodyOf(template.frame);
    const header = new MessageHeader();
    t.ok(scanMessage(body, 0, body.length, header), 'the relay can read its header');
    t.equal(header.end, body.length);
    t.equal(header.id, 4_000_000_000);
    const [type, , topic, options, payload] = unpack(body) as [number, number, string, null, Uint8Array];
    t.strictSame([type, topic, options, payload.length], [2, room, null, payloadBytes]);
    t.equal(readUint32(payload, STREAM_OFFSET_BYTES), 7);
    t.equal(readUint32(payload, SEQUENCE_OFFSET_BYTES), 123_456);
    t.equal(readDueUs(payload, 0), 9_007_199_254_740);
    t.equal(readUint32(payload, LAG_OFFSET_BYTES), 55);
  });
  t.test(`a raw publish of ${payloadBytes} bytes is the payload alone`, async (t) => {
    const template = rawPublishTemplate(payloadBytes, 42);
    t.equal(bodyOf(template.frame).length, payloadBytes);
    t.equal(template.frame.length - template.payloadAt, payloadBytes);
  });
}

const topic = Buffer.from('a.b');
const meta = pack({ headers: { a: '1' }, recovered: true });
for (const sub of [0, 127, 128, 255, 256, 65_536, 2 ** 33]) {
  for (const offset of [0, 200, 40_000, 3_000_000_000, 2 ** 40]) {
    t.test(`MESSAGE with sub ${sub} and offset ${offset} is read, with and without topic and meta`, async (t) => {
      const reader = new MessageReader();
      for (const { hasTopic, hasMeta, payloadBytes } of [
        { hasTopic: false, hasMeta: false, payloadBytes: 40 },
        { hasTopic: true, hasMeta: false, payloadBytes: 255 },
        { hasTopic: false, hasMeta: true, payloadBytes: 256 },
        { hasTopic: true, hasMeta: true, payloadBytes: 70_000 },
      ]) {
        const payload = pack(Buffer.alloc(payloadBytes, 9));
        const bytes = new Uint8Array(3 + messageBytesMax(3, meta.length, payload.length));
        // Not at the start of the buffer, and with something behind it.
        const end = encodeMessage(
          bytes,
          3,
          sub,
          hasTopic ? topic : null,
          offset,
          hasMeta ? meta : null,
          payload,
          0,
          payload.length,
        );
        t.equal(reader.readMessage(bytes, 3, bytes.length), end);
        t.equal(reader.offset, offset);
        t.equal(reader.payloadBytes, payloadBytes);
        t.equal(reader.payloadStart, end - payloadBytes);
        for (const cut of [4, 5, end - payloadBytes - 1, end - 1])
          t.equal(reader.readMessage(bytes, 3, cut), READ_OTHER, `cut at ${cut}`);
      }
    });
  }
}

t.test('offsets written wider than need be are read', async (t) => {
  const reader = new MessageReader();
  const bytes = Uint8Array.from([0x96, 34, 0xcd, 0, 5, 0xc0, 0xcf, 0, 0, 0, 0, 0, 0, 0, 9, 0x80, 0xc4, 1, 7]);
  t.equal(reader.readMessage(bytes, 0, bytes.length), bytes.length);
  t.equal(reader.offset, 9);
  t.equal(reader.payloadStart, bytes.length - 1);
});

for (const { name, value } of [
  { name: 'OK', value: [32, 1, null] },
  { name: 'EVENT', value: [35, 1, null, 'skip', null] },
  { name: 'a MESSAGE whose payload is text', value: [34, 1, null, 0, null, 'text'] },
  { name: 'a MESSAGE whose sub is text', value: [34, 'x', null, 0, null, Buffer.alloc(1)] },
]) {
  t.test(`${name} is no MESSAGE of ours`, async (t) => {
    const bytes = pack(value);
    t.equal(new MessageReader().readMessage(bytes, 0, bytes.length), READ_OTHER);
  });
}

for (const { value, want } of [
  { value: [32, 17, { epoch: 'x', offset: 3 }], want: { name: 'ok', id: 17, result: { epoch: 'x', offset: 3 } } },
  { value: [32, 17, null], want: { name: 'ok', id: 17, result: {} } },
  { value: [33, 5, 106, 'full', null], want: { name: 'error', id: 5, code: 106, text: 'full' } },
  { value: [35, 1, null, 'skip', { from: 1 }], want: { name: 'event', kind: 'skip' } },
  { value: [39, {}], want: { name: 'goaway' } },
  { value: [38, 1], want: { name: 'unknown', text: 'a message of type 38' } },
  { value: 7, want: { name: 'unknown', text: 'a value that is no array' } },
]) {
  t.test(`${JSON.stringify(value)} is decoded`, async (t) => {
    const bytes = pack(value);
    t.strictSame(decodeOther(bytes, 0, bytes.length), want);
  });
}

t.test('the id of an OK is read without decoding', async (t) => {
  const reader = new MessageReader();
  for (const id of [1, 200, 60_000, 4_000_000_000]) {
    const bytes = pack([32, id, { offset: 1 }]);
    t.equal(reader.readOkId(bytes, 0, bytes.length), id);
  }
  const error = pack([33, 1, 100, '', null]);
  t.equal(reader.readOkId(error, 0, error.length), -1);
});
