/** The header reader: which messages can be routed, and for the others what breaks the framing and what only gets an answer. */
import fc from 'fast-check';
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import { describeHeaderFault, HeaderFault, MessageHeader, readHeader, scanMessage } from '../../../src/protocol/header.ts';
import { DEPTH_MAX, SKIP_RESERVED, SKIP_TOO_DEEP, SKIP_TRUNCATED, skipValue } from '../../../src/protocol/skip.ts';
import { MESSAGE_SPECS, MessageType, SPEC_BY_TYPE } from '../../../src/protocol/types.ts';
import { frameBytes, GOLDEN_FRAMES, UINT_EDGES } from '../../fixtures/frames/index.ts';

const { FRAMING, NOT_AN_ARRAY, UNKNOWN_TYPE, WRONG_ARITY, BAD_ID, BAD_KEY, NONE } = HeaderFault;
const bytesOf = (spelled: string): Uint8Array =>
  Uint8Array.from(
    [...spelled.matchAll(/'([^']*)'|([0-9a-f]+)/g)].flatMap(([, text, hex]) => [
      ...Buffer.from(text ?? hex ?? '', text === undefined ? 'hex' : 'utf8'),
    ]),
  );

interface Row {
  readonly name: string;
  readonly bytes: string;
  readonly fault: number;
  readonly id?: number;
  readonly type?: number;
  readonly text: RegExp;
}

const answered: readonly Row[] = [
  { name: 'nil', bytes: 'c0', fault: NOT_AN_ARRAY, text: /must be a MessagePack array/ },
  { name: 'a map', bytes: '81 01 02', fault: NOT_AN_ARRAY, text: /must be a MessagePack array/ },
  { name: 'a number', bytes: '02', fault: NOT_AN_ARRAY, text: /must be a MessagePack array/ },
  { name: 'text', bytes: "a5 'HELLO'", fault: NOT_AN_ARRAY, text: /must be a MessagePack array/ },
  { name: 'an empty array', bytes: '90', fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'an empty array 16', bytes: 'dc 0000', fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'a type of text', bytes: "92 a1 'a' 01", fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'a type of nil', bytes: '92 c0 01', fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'a negative type', bytes: '92 ff 01', fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'a type that is no fixint', bytes: '92 cc 0e 01', fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'type 0', bytes: '92 00 01', fault: UNKNOWN_TYPE, text: /first element must be a message type/ },
  { name: 'the type after the last command', bytes: '92 15 01', fault: UNKNOWN_TYPE, type: 21, text: /unknown message type 21/ },
  { name: 'the type before the first reply', bytes: '92 1f 01', fault: UNKNOWN_TYPE, type: 31, text: /unknown message type 31/ },
  { name: 'the type after the last reply', bytes: '92 29 01', fault: UNKNOWN_TYPE, type: 41, text: /unknown message type 41/ },
  { name: 'type 127', bytes: '92 7f 01', fault: UNKNOWN_TYPE, type: 127, text: /unknown message type 127/ },
  { name: 'a type and no id', bytes: '91 0e', fault: BAD_ID, text: /PING: id must be an unsigned integer below 2\^53/ },
  { name: 'an id of text', bytes: "92 0e a1 'a'", fault: BAD_ID, text: /PING: id/ },
  { name: 'an id of nil', bytes: '92 0e c0', fault: BAD_ID, text: /PING: id/ },
  { name: 'a negative id', bytes: '92 0e ff', fault: BAD_ID, text: /PING: id/ },
  { name: 'a negative id of 64 bits', bytes: '92 0e d3 ffffffffffffffff', fault: BAD_ID, text: /PING: id/ },
  { name: 'a float id', bytes: '92 0e cb 3ff0000000000000', fault: BAD_ID, text: /PING: id/ },
  { name: 'an id of 2^53', bytes: '92 0e cf 0020000000000000', fault: BAD_ID, text: /PING: id/ },
  { name: 'the largest id of 64 bits', bytes: '92 0e cf ffffffffffffffff', fault: BAD_ID, text: /PING: id/ },
  { name: 'an element too many', bytes: '93 0e 07 c0', fault: WRONG_ARITY, id: 7, text: /PING has 2 elements, got 3/ },
  { name: 'elements too few', bytes: '92 02 07', fault: WRONG_ARITY, id: 7, text: /PUBLISH has 5 elements, got 2/ },
  {
    name: 'an element too few, key and all',
    bytes: "94 02 07 a1 'a' c0",
    fault: WRONG_ARITY,
    id: 7,
    text: /PUBLISH has 5 elements, got 4/,
  },
  { name: 'fifteen elements', bytes: `9f 0e 07${' c0'.repeat(13)}`, fault: WRONG_ARITY, id: 7, text: /got 15/ },
  { name: 'an array 16 of a wrong size', bytes: 'dc 0003 0e 07 c0', fault: WRONG_ARITY, id: 7, text: /got 3/ },
  { name: 'an array 32 of a wrong size', bytes: 'dd 00000003 0e 07 c0', fault: WRONG_ARITY, id: 7, text: /got 3/ },
  { name: 'a key of nil', bytes: '95 02 07 c0 c0 c0', fault: BAD_KEY, id: 7, text: /PUBLISH: the topic must be a string/ },
  { name: 'a key of a number', bytes: '94 03 07 01 c0', fault: BAD_KEY, id: 7, text: /SUBSCRIBE: the pattern must be a string/ },
  {
    name: 'a key of bytes',
    bytes: "95 02 07 c4 01 'a' c0 c0",
    fault: BAD_KEY,
    id: 7,
    text: /PUBLISH: the topic must be a string/,
  },
  {
    name: 'a key of str 32',
    bytes: "95 02 07 db 00000001 'a' c0 c0",
    fault: BAD_KEY,
    id: 7,
    text: /PUBLISH: the topic must be a string/,
  },
  {
    name: 'a service that is no string',
    bytes: '96 05 07 c0 c0 c0 c0',
    fault: BAD_KEY,
    id: 7,
    text: /CALL: the service must be a string/,
  },
  {
    name: 'a workflow that is no string',
    bytes: '95 0c 07 90 c0 c0',
    fault: BAD_KEY,
    id: 7,
    text: /START: the workflow must be a string/,
  },
];

const framing: readonly { readonly name: string; readonly bytes: string; readonly skipFault: number }[] = [
  { name: 'nothing', bytes: '', skipFault: SKIP_TRUNCATED },
  { name: 'an array head alone', bytes: '92', skipFault: SKIP_TRUNCATED },
  { name: 'an array 16 that is cut', bytes: 'dc 00', skipFault: SKIP_TRUNCATED },
  { name: 'an array 32 that is cut', bytes: 'dd 000000', skipFault: SKIP_TRUNCATED },
  { name: 'an array of 2^32 - 1 elements', bytes: 'dd ffffffff 0e 07', skipFault: SKIP_TRUNCATED },
  { name: 'an id of 64 bits that is cut', bytes: '92 0e cf 00000000000001', skipFault: SKIP_TRUNCATED },
  { name: 'an id of 32 bits that is cut', bytes: '92 0e ce 000001', skipFault: SKIP_TRUNCATED },
  { name: 'an id of 16 bits that is cut', bytes: '92 0e cd 00', skipFault: SKIP_TRUNCATED },
  { name: 'an id of 8 bits that is cut', bytes: '92 0e cc', skipFault: SKIP_TRUNCATED },
  { name: 'a key that is longer than the message', bytes: "95 02 07 a5 'abc'", skipFault: SKIP_TRUNCATED },
  { name: 'a key of str 8 without its length', bytes: '95 02 07 d9', skipFault: SKIP_TRUNCATED },
  { name: 'a key of str 16 without its length', bytes: '95 02 07 da 00', skipFault: SKIP_TRUNCATED },
  { name: 'a key of str 16 of 65535 bytes', bytes: "95 02 07 da ffff 'a'", skipFault: SKIP_TRUNCATED },
  { name: 'a payload that is cut', bytes: "95 02 07 a1 'a' c0 a5 'hell'", skipFault: SKIP_TRUNCATED },
  { name: 'a payload that is missing', bytes: "95 02 07 a1 'a' c0", skipFault: SKIP_TRUNCATED },
  { name: 'a reserved byte as payload', bytes: "95 02 07 a1 'a' c0 c1", skipFault: SKIP_RESERVED },
  { name: 'a reserved byte as options', bytes: "95 02 07 a1 'a' c1 c0", skipFault: SKIP_RESERVED },
  { name: 'a reserved byte instead of a message', bytes: 'c1', skipFault: SKIP_RESERVED },
  { name: 'a reserved byte in an unknown message', bytes: '92 7f c1', skipFault: SKIP_RESERVED },
  { name: 'a payload nested too deep', bytes: `95 02 07 a1 'a' c0 ${'91'.repeat(DEPTH_MAX + 1)} c0`, skipFault: SKIP_TOO_DEEP },
  { name: 'options nested too deep', bytes: `95 02 07 a1 'a' ${'91'.repeat(DEPTH_MAX + 1)} c0 c0`, skipFault: SKIP_TOO_DEEP },
  { name: 'an unknown message nested too deep', bytes: `92 7f ${'91'.repeat(DEPTH_MAX)} c0`, skipFault: SKIP_TOO_DEEP },
];

for (const { name, bytes, fault, id = 0, type, text } of answered) {
  t.test(`scanMessage answers ${name}, and the next message is read`, async (t) => {
    const message = bytesOf(bytes);
    const input = Uint8Array.of(...message, 0x92, 0x0e, 0x05);
    const header = new MessageHeader();
    t.equal(scanMessage(input, 0, input.length, header), false);
    t.match(header, { fault, id, end: message.length });
    if (type !== undefined) t.equal(header.type, type);
    t.match(describeHeaderFault(header), text);
    t.equal(scanMessage(input, header.end, input.length, header), true);
    t.match(header, { type: MessageType.PING, id: 5, fault: NONE, end: input.length });
  });
}

for (const { name, bytes, skipFault } of framing) {
  t.test(`scanMessage finds no end of ${name}`, async (t) => {
    const input = bytesOf(bytes);
    const header = new MessageHeader();
    t.equal(scanMessage(input, 0, input.length, header), false);
    t.match(header, { fault: FRAMING, skipFault });
  });
}

t.test('a payload may be nested as deep as the skip-scan goes', async (t) => {
  const input = bytesOf(`95 02 07 a1 'a' c0 ${'91'.repeat(DEPTH_MAX)} c0`);
  const header = new MessageHeader();
  t.equal(scanMessage(input, 0, input.length, header), true);
  t.equal(header.end, input.length);
});

for (const [spelled, id] of UINT_EDGES) {
  t.test(`an id of ${spelled} reads as ${id}, in front of a key and alone`, async (t) => {
    const header = new MessageHeader();
    const ping = bytesOf(`92 0e ${spelled}`);
    t.equal(readHeader(ping, 0, ping.length, header), true);
    t.match(header, { id, bodyStart: ping.length });
    const publish = bytesOf(`95 02 ${spelled} a3 'a.b' c0 c0`);
    t.equal(readHeader(publish, 0, publish.length, header), true);
    t.match(header, {
      id,
      type: MessageType.PUBLISH,
      keyStart: publish.length - 5,
      keyEnd: publish.length - 2,
      bodyStart: publish.length - 2,
    });
  });
}

for (const keyBytes of [0, 1, 31, 32, 255, 256, 65_535]) {
  t.test(`a key of ${keyBytes} bytes in every form that holds it`, async (t) => {
    const heads = [
      ...(keyBytes < 32 ? [[0xa0 | keyBytes]] : []),
      ...(keyBytes < 256 ? [[0xd9, keyBytes]] : []),
      [0xda, keyBytes >> 8, keyBytes & 0xff],
    ];
    for (const head of heads) {
      const input = Uint8Array.from([0x95, 2, 7, ...head, ...Array(keyBytes).fill(0x61), 0xc0, 0xc0]);
      const header = new MessageHeader();
      t.equal(scanMessage(input, 0, input.length, header), true);
      t.match(header, { keyStart: 3 + head.length, keyEnd: 3 + head.length + keyBytes, end: input.length });
    }
  });
}

t.test('MESSAGE_SPECS: numbers, names and arities are unique facts, and the table by type agrees', async (t) => {
  t.equal(new Set(MESSAGE_SPECS.map(({ type }) => type)).size, MESSAGE_SPECS.length);
  t.same(new Set(MESSAGE_SPECS.map(({ name }) => name)), new Set(Object.keys(MessageType)));
  SPEC_BY_TYPE.forEach((spec, type) => {
    if (spec !== undefined) t.equal(spec.type, type);
  });
  t.equal(SPEC_BY_TYPE.filter((spec) => spec !== undefined).length, MESSAGE_SPECS.length);
  for (const { type, sender } of MESSAGE_SPECS) t.equal(sender === 'client', type < 32, `${type} is on its side`);
});

for (const spec of MESSAGE_SPECS) {
  t.test(`${spec.name}: every arity but its own is refused`, async (t) => {
    const header = new MessageHeader();
    for (let arity = 1; arity <= 15; arity++) {
      if (arity === spec.arity) continue;
      const message = pack([spec.type, 9, ...Array(15).fill('a')].slice(0, arity));
      t.equal(scanMessage(message, 0, message.length, header), false);
      t.equal(header.fault, arity === 1 && spec.hasId ? BAD_ID : WRONG_ARITY, `${arity} elements`);
      t.equal(header.end, message.length);
    }
  });
}

t.test('a reused header holds nothing of the message before', async (t) => {
  const used = new MessageHeader();
  for (const [index, frame] of GOLDEN_FRAMES.entries()) {
    const bytes = frameBytes(frame);
    scanMessage(frameBytes(GOLDEN_FRAMES[(index * 7) % GOLDEN_FRAMES.length]!), 0, 3, used);
    scanMessage(bytes, 0, bytes.length, used);
    const clean = new MessageHeader();
    scanMessage(bytes, 0, bytes.length, clean);
    t.same({ ...used, skipFault: 0 }, { ...clean, skipFault: 0 }, frame.name);
  }
});

t.test('scanMessage and skipValue find the same end, whatever the bytes', async () => {
  const golden = fc.constantFrom(...GOLDEN_FRAMES.map(frameBytes));
  const mutated = fc
    .tuple(golden, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }))
    .map(([bytes, changes]) => {
      const copy = bytes.slice();
      for (const [at, value] of changes) copy[at % copy.length] = value;
      return copy;
    });
  const header = new MessageHeader();
  fc.assert(
    fc.property(mutated, (bytes) => {
      const end = skipValue(bytes, 0, bytes.length);
      if (scanMessage(bytes, 0, bytes.length, header)) return end === header.end || end === SKIP_TOO_DEEP;
      return header.fault === FRAMING ? end < 0 : end === header.end;
    }),
    { numRuns: 5_000 },
  );
});
