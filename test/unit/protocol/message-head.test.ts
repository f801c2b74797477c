/** Reading back an encoded MESSAGE: what a waiting message's policy needs to know of it. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import { encodeMessage } from '../../../src/protocol/encode.ts';
import { readMessageHead, readMessageHeader } from '../../../src/protocol/message-head.ts';
import { frameBytes, GOLDEN_FRAMES } from '../../fixtures/frames/index.ts';

const frames = GOLDEN_FRAMES.filter(({ type }) => type === 'MESSAGE');

for (const frame of frames) {
  t.test(`readMessageHead: ${frame.name}`, async (t) => {
    const bytes = frameBytes(frame);
    const { topic, offset, metaStart } = readMessageHead(bytes);
    t.same({ topic, offset }, { topic: frame.value[2] ?? '', offset: frame.value[3] });
    t.equal(bytes[metaStart], frame.value[4] === null ? 0xc0 : 0x80 | Object.keys(frame.value[4] as object).length);
  });
}

for (const sub of [0, 127, 128, 65_535, 65_536, 2 ** 40]) {
  t.test(`readMessageHead behind a sub of ${sub}`, async (t) => {
    const bytes = new Uint8Array(100);
    const end = encodeMessage(bytes, 0, sub, new TextEncoder().encode('größe'), 7, null, Uint8Array.of(0xc0), 0, 1);
    t.match(readMessageHead(bytes.slice(0, end)), { topic: 'größe', offset: 7 });
  });
}

for (const { name, meta, want } of [
  { name: 'no meta', meta: null, want: '' },
  { name: 'meta without headers', meta: { publisher: 'bob' }, want: '' },
  { name: 'headers without it', meta: { headers: { other: 'x' } }, want: '' },
  { name: 'the header', meta: { headers: { other: 'x', symbol: 'ACME' } }, want: 'ACME' },
  { name: 'the header between others', meta: { publisher: 'bob', headers: { symbol: 'größe' }, recovered: true }, want: 'größe' },
]) {
  t.test(`readMessageHeader: ${name}`, async (t) => {
    const frame = new Uint8Array(200);
    const metaBytes = meta === null ? null : pack(meta);
    const end = encodeMessage(frame, 0, 5, null, 1, metaBytes, Uint8Array.of(0xa1, 0x78), 0, 2);
    const bytes = frame.slice(0, end);
    t.equal(readMessageHeader(bytes, readMessageHead(bytes).metaStart, 'symbol'), want);
  });
}
