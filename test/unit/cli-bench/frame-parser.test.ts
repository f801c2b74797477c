/** The frame parser: every way a stream of frames can be cut into chunks, and everything a server must not send. */

import t from 'tap';
import { FrameParser, type FrameSink } from '../../../src/cli/bench/frame-parser.ts';

const BINARY = 0x82;

/** A server's frame: unmasked. */
function frame(first: number, body: Uint8Array): Uint8Array {
  const { length } = body;
  const head =
    length < 126
      ? [first, length]
      : length < 0x1_0000
        ? [first, 126, length >> 8, length & 0xff]
        : [first, 127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Uint8Array.from(head), body]);
}

function body(length: number, seed = length): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);
}

/** Writes down what it is told, in copies: the bytes are only lent. */
class Recorder implements FrameSink {
  readonly events: string[] = [];
  readonly parser = new FrameParser(this);
  frameMessage(bytes: Uint8Array, start: number, end: number, isText: boolean): void {
    this.events.push(`${isText ? 'text' : 'binary'} ${Buffer.from(bytes.subarray(start, end)).toString('hex')}`);
  }
  framePing(bytes: Uint8Array, start: number, end: number): void {
    this.events.push(`ping ${Buffer.from(bytes.subarray(start, end)).toString('hex')}`);
  }
  frameClose(code: number, reason: string): void {
    this.events.push(`close ${code} ${reason}`);
  }
  frameFault(text: string): void {
    this.events.push(`fault ${text}`);
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Pushes through one buffer that is overwritten each time, as the socket's read buffer is. */
function pushChunks(stream: Uint8Array, borders: readonly number[]): string[] {
  const recorder = new Recorder();
  const shared = new Uint8Array(stream.length);
  let at = 0;
  for (const border of [...borders, stream.length]) {
    shared.fill(0xee);
    shared.set(stream.subarray(at, border));
    recorder.parser.push(shared, 0, border - at);
    at = border;
  }
  return recorder.events;
}

const SHORT_STREAM = Buffer.concat([
  frame(BINARY, body(0)),
  frame(BINARY, body(5)),
  frame(0x89, body(3)), // ping
  frame(0x02, body(4)), // a message in three fragments, with a ping between
  frame(0x89, body(0)),
  frame(0x00, body(2)),
  frame(0x80, body(1)),
  frame(0x8a, body(2)), // pong: nothing to tell
  frame(0x81, body(2, 0x61)), // text
  frame(BINARY, body(130)), // 16-bit length
  frame(0x88, Uint8Array.from([0x0f, 0xa2, 0x68, 0x69])),
]);
const SHORT_EVENTS = [
  'binary ',
  `binary ${hex(body(5))}`,
  `ping ${hex(body(3))}`,
  'ping ',
  `binary ${hex(body(4))}${hex(body(2))}${hex(body(1))}`,
  `text ${hex(body(2, 0x61))}`,
  `binary ${hex(body(130))}`,
  'close 4002 hi',
];

t.test('a stream in one piece', async (t) => {
  t.strictSame(pushChunks(SHORT_STREAM, []), SHORT_EVENTS);
});

t.test('a stream cut in two, at every place', async (t) => {
  for (let border = 1; border < SHORT_STREAM.length; border++) {
    t.strictSame(pushChunks(SHORT_STREAM, [border]), SHORT_EVENTS, `cut at ${border}`);
  }
});

t.test('a stream cut in three, at every pair of places around the heads', async (t) => {
  const end = SHORT_STREAM.length - 120; // The long body in the last part has no heads.
  let wrong = 0;
  for (let first = 1; first < end; first++) {
    for (let second = first + 1; second < end; second++) {
      if (pushChunks(SHORT_STREAM, [first, second]).join() !== SHORT_EVENTS.join()) wrong++;
    }
  }
  t.equal(wrong, 0);
});

t.test('a stream byte by byte', async (t) => {
  const borders = Array.from({ length: SHORT_STREAM.length - 1 }, (_, index) => index + 1);
  t.strictSame(pushChunks(SHORT_STREAM, borders), SHORT_EVENTS);
});

for (const length of [125, 126, 127, 255, 256, 65_535, 65_536, 200_000]) {
  t.test(`a body of ${length} bytes, cut around its head and its end`, async (t) => {
    const stream = Buffer.concat([frame(BINARY, body(length)), frame(BINARY, body(7))]);
    const want = [`binary ${hex(body(length))}`, `binary ${hex(body(7))}`];
    const end = stream.length - 9;
    for (const border of [1, 2, 3, 4, 5, 9, 10, 11, end - 1, end, end + 1, end + 2, stream.length - 1]) {
      if (border >= stream.length) continue;
      t.equal(pushChunks(stream, [border]).join(), want.join(), `cut at ${border}`);
    }
    const every1000 = Array.from({ length: Math.floor((stream.length - 1) / 1000) }, (_, index) => (index + 1) * 1000);
    t.equal(pushChunks(stream, every1000).join(), want.join(), 'in chunks of 1000');
  });
}

for (const { name, bytes, want } of [
  { name: 'a masked frame', bytes: [0x82, 0x81, 0, 0, 0, 0, 1], want: 'fault a masked frame from a server' },
  { name: 'a masked long frame', bytes: [0x82, 0xfe, 0, 200], want: 'fault a masked frame from a server' },
  { name: 'a compressed frame', bytes: [0xc2, 0], want: 'fault a frame with reserved bits set' },
  { name: 'an unknown data opcode', bytes: [0x83, 0], want: 'fault a frame with opcode 3' },
  { name: 'an unknown control opcode', bytes: [0x8b, 0], want: 'fault a frame with opcode 11' },
  { name: 'a fragmented ping', bytes: [0x09, 0], want: 'fault a fragmented control frame' },
  { name: 'a ping over 125 bytes', bytes: [0x89, 126, 0, 126, ...body(126)], want: 'fault a control frame over 125 bytes' },
  { name: 'a stray continuation', bytes: [0x80, 0], want: 'fault a continuation without a beginning' },
  { name: 'a message inside a fragmented one', bytes: [0x02, 0, 0x82, 0], want: 'fault a new message inside a fragmented one' },
  { name: 'half a close code', bytes: [0x88, 1, 3], want: 'fault a close frame with half a code' },
  { name: 'a close without a code', bytes: [0x88, 0], want: 'close 1005 ' },
  {
    name: 'a length over 64 MiB',
    bytes: [0x82, 127, 0, 0, 0, 0, 0x04, 0, 0, 1],
    want: 'fault a frame longer than 67108864 bytes',
  },
  { name: 'a length over 32 bits', bytes: [0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0], want: 'fault a frame longer than 67108864 bytes' },
]) {
  t.test(`${name} ends parsing`, async (t) => {
    const stream = Buffer.concat([Uint8Array.from(bytes), frame(BINARY, body(3))]);
    t.strictSame(pushChunks(stream, []), [want]);
    const borders = Array.from({ length: stream.length - 1 }, (_, index) => index + 1);
    t.strictSame(pushChunks(stream, borders), [want], 'byte by byte');
  });
}

t.test('a sink that stops the parser gets nothing more, from this chunk or the next', async (t) => {
  const recorder = new Recorder();
  recorder.frameMessage = () => {
    recorder.events.push('message');
    recorder.parser.stop();
  };
  const two = Buffer.concat([frame(BINARY, body(2)), frame(BINARY, body(2)), Uint8Array.of(BINARY)]);
  recorder.parser.push(two, 0, two.length);
  recorder.parser.push(two, 0, two.length);
  t.strictSame(recorder.events, ['message']);
});
