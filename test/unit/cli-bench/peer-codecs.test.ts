/** The peers' protocols as the generator speaks them: what is sent is what their own libraries read, what comes may break anywhere. */
import { decode, encode } from '@msgpack/msgpack';
import t from 'tap';
import { type PeerSink, peerCodec } from '../../../src/cli/bench/peers/codec.ts';

const RUN_ID = 7;
const ROOM = 'bench.00000007.r000001';

function listen() {
  const said: string[] = [];
  const sink: PeerSink = {
    joined: (tag) => said.push(`joined ${tag}`),
    payload: (tag, bytes, at, payloadBytes) =>
      said.push(`payload ${tag} ${Buffer.from(bytes.subarray(at, at + payloadBytes)).toString('latin1')}`),
    answer: (tag, frame) => said.push(`answer ${tag} ${frame[0]?.toString(16)} ${body(frame).toString('latin1')}`),
    fault: (text) => said.push(`fault ${text}`),
  };
  return { said, sink };
}

/** Of a client frame with mask key 0. */
function body(frame: Uint8Array): Buffer {
  const length = (frame[1] as number) & 0x7f;
  return Buffer.from(frame.subarray(length === 126 ? 8 : length === 127 ? 14 : 6));
}

function reads(target: 'raw' | 'socket.io' | 'nats', ...chunks: readonly Uint8Array[]): string[] {
  const { said, sink } = listen();
  const codec = peerCodec(target, sink);
  // Somewhere in a larger buffer, as they come off a socket.
  for (const chunk of chunks) codec?.read(3, Buffer.concat([Buffer.from('??'), chunk, Buffer.from('!!')]), 2, 2 + chunk.length);
  return said;
}

t.test('the relay has no codec: the generator reads it itself', async (t) => {
  t.equal(peerCodec('relay', listen().sink), null);
});

t.test('raw: a message is a payload, the room is in the URL', async (t) => {
  t.same(reads('raw', Buffer.from('abc')), ['payload 3 abc']);
  const codec = peerCodec('raw', listen().sink);
  t.equal(codec?.pathOf('/', ROOM), `/?room=${ROOM}`);
  t.equal(codec?.pathOf('/?a=1', ROOM), `/?a=1&room=${ROOM}`);
  t.equal(codec?.opened(0, ROOM), null, 'a member at once');
});

t.test('socket.io: connects to its namespace with the room, publishes an event', async (t) => {
  const codec = peerCodec('socket.io', listen().sink);
  t.same(decode(body(codec?.opened(0, ROOM) as Uint8Array)), { type: 0, nsp: '/', data: { room: ROOM } });
  for (const payloadBytes of [32, 300, 70_000]) {
    const template = codec?.publishTemplate(ROOM.length, payloadBytes, RUN_ID);
    const bytes = template?.frame as Uint8Array;
    const event = decode(body(bytes)) as { type: number; nsp: string; data: [string, Uint8Array] };
    t.match(event, { type: 2, nsp: '/', data: ['m'] });
    t.equal(event.data[1].length, payloadBytes);
    t.ok(Buffer.from(event.data[1]).equals(bytes.subarray(template?.payloadAt)), 'the payload is where the template says');
    t.equal(template?.roomAt, -1, 'the connection is bound to its room');
  }
});

for (const { name, bytes, said } of [
  { name: "engine.io's opening", bytes: Buffer.from('0{"sid":"x"}'), said: [] },
  { name: "engine.io's ping", bytes: Buffer.from('2'), said: ['answer 3 81 3'] },
  { name: 'connected', bytes: encode({ type: 0, data: { sid: 'x' }, nsp: '/' }), said: ['joined 3'] },
  { name: 'an event', bytes: encode({ type: 2, data: ['m', Buffer.from('abc')], nsp: '/' }), said: ['payload 3 abc'] },
  {
    name: 'keys in another order, and more of them',
    bytes: encode({ nsp: '/', options: { a: [1] }, data: ['m', Buffer.from('abc')], type: 2 }),
    said: ['payload 3 abc'],
  },
  {
    name: 'a payload of 300 bytes',
    bytes: encode({ type: 2, data: ['m', Buffer.alloc(300, 'x')], nsp: '/' }),
    said: [`payload 3 ${'x'.repeat(300)}`],
  },
  {
    name: 'a refusal',
    bytes: encode({ type: 4, data: { message: 'no' }, nsp: '/' }),
    said: ['fault Socket.IO refused the connection to its namespace'],
  },
  {
    name: 'a payload that is text',
    bytes: encode({ type: 2, data: ['m', 'abc'], nsp: '/' }),
    said: ['fault Socket.IO sent an event that is not a name and a binary payload'],
  },
  {
    name: 'a cut packet',
    bytes: encode({ type: 2, data: ['m', Buffer.from('abc')], nsp: '/' }).slice(0, 12),
    said: ['fault Socket.IO sent a packet that is cut'],
  },
  {
    name: "the default parser's text",
    bytes: Buffer.from('42["m"]'),
    said: ['fault Socket.IO sent something that is no packet of its MessagePack parser (first byte 52)'],
  },
]) {
  t.test(`socket.io: ${name}`, async (t) => {
    t.same(reads('socket.io', bytes), said);
  });
}

t.test('nats: subscribes, publishes to the room as a subject', async (t) => {
  const codec = peerCodec('nats', listen().sink);
  const opening = body(codec?.opened(0, ROOM) as Uint8Array).toString();
  t.match(
    opening,
    new RegExp(`^CONNECT \\{.*"verbose":false.*"echo":true.*\\}\r\nSUB ${ROOM.replaceAll('.', '\\.')} 1\r\nPING\r\n$`),
  );
  const template = codec?.publishTemplate(ROOM.length, 40, RUN_ID);
  const bytes = template?.frame as Uint8Array;
  bytes.set(Buffer.from(ROOM), template?.roomAt);
  const sent = body(bytes).toString('latin1');
  t.equal(sent.slice(0, sent.indexOf('\r\n')), `PUB ${ROOM} 40`);
  t.equal(sent.length, sent.indexOf('\r\n') + 2 + 40 + 2);
  t.ok(sent.endsWith('\r\n'));
});

t.test('nats: one stream of lines and messages, wherever it is cut', async (t) => {
  const payload = 'PING\r\nMSG x 1 2\r\n'; // Bytes of a payload are no protocol, whatever they look like.
  const stream = Buffer.from(
    `INFO {"a":1}\r\nPONG\r\nMSG ${ROOM} 1 ${payload.length}\r\n${payload}\r\nPING\r\nMSG ${ROOM} 1 0\r\n\r\n+OK\r\n`,
  );
  const want = ['joined 3', `payload 3 ${payload}`, 'answer 3 82 PONG\r\n', 'payload 3 '];
  for (let cut = 0; cut <= stream.length; cut++)
    t.same(reads('nats', stream.subarray(0, cut), stream.subarray(cut)), want, `cut at ${cut}`);
  t.same(reads('nats', ...Array.from(stream, (byte) => Buffer.of(byte))), want, 'byte by byte');
});

t.test('nats: an error ends the run, and what a connection carried dies with it', async (t) => {
  t.same(reads('nats', Buffer.from("-ERR 'Slow Consumer'\r\n")), ["fault NATS said: -ERR 'Slow Consumer'"]);
  const { said, sink } = listen();
  const codec = peerCodec('nats', sink);
  const half = Buffer.from('MSG a 1 5\r\nab');
  codec?.read(3, half, 0, half.length);
  codec?.opened(3, ROOM);
  const whole = Buffer.from('PONG\r\n');
  codec?.read(3, whole, 0, whole.length);
  t.same(said, ['joined 3']);
});
