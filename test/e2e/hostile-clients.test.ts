/** Clients that were let in and want more than is theirs: each gets a code, nothing of what it asked for happens, and the others notice nothing. */
import { connect, type Socket } from 'node:net';
import { constants, deflateRawSync } from 'node:zlib';
import t, { type Test } from 'tap';
import {
  EVENT,
  HELLO,
  HISTORY,
  MESSAGE,
  OK,
  PRESENCE,
  PUBLISH,
  RawClient,
  SUBSCRIBE,
  type WireMessage,
} from '../support/raw-client.ts';
import { type RelayProcess, type RelaySettings, startRelay } from '../support/relay-process.ts';
import { forgeToken } from '../support/tokens.ts';

const SECRET = 's'.repeat(32);
const SETTINGS = { lanes: 1, authKeys: [{ kid: 'h', alg: 'HS256', secret: SECRET }] };
const CALL = 5;
const RETURN = 7;
const REGISTER = 8;
const INVOKE = 36;
const RESULT = 37;
const FORBIDDEN = 102;

function token(sub: string, relay: object): string {
  const nowS = Math.floor(Date.now() / 1_000);
  return forgeToken({ alg: 'HS256', kid: 'h' }, { sub, relay, iat: nowS, exp: nowS + 600 }, SECRET);
}

async function join(t: Test, relay: RelayProcess, sub: string, rights: object): Promise<RawClient> {
  const client = await RawClient.open(t, relay.port, { hello: false });
  await client.ask(HELLO, { token: token(sub, rights), client: 'root' });
  return client;
}

const start = (t: Test, settings: RelaySettings = {}): Promise<RelayProcess> => startRelay(t, { ...SETTINGS, ...settings });
const ALL = { pub: ['>'], sub: ['>'], hist: ['>'], pres: ['>'], call: ['>'], serve: ['>'], start: ['>'], admin: ['>'] };

t.test('names that pretend to be patterns or the relay’s own', async (t) => {
  const relay = await start(t);
  const mallory = await join(t, relay, 'mallory', { pub: ['room.1'], sub: ['room.1'], hist: ['room.1'] });
  for (const name of [
    'room.*',
    'room.>',
    '>',
    '*.1',
    'room.2',
    'room',
    '$relay.health',
    '$service.x',
    '$workflow.w.r',
    '\ufeffroom.1',
    'ROOM.1',
  ])
    t.match(await mallory.request(SUBSCRIBE, name, null), [33, Number, FORBIDDEN], `SUBSCRIBE ${name}`);
  for (const name of ['room.*', 'room.2', '$relay.health', '$dead.room.1', 'room.1\u0000', 'room.1.'])
    t.match(await mallory.request(PUBLISH, name, null, 'x'), [33, Number, FORBIDDEN], `PUBLISH ${name}`);
  t.match(await mallory.request(SUBSCRIBE, 'room.1', null), [OK], 'what is its own it may have');
});

t.test('another’s position, topic and history', async (t) => {
  const relay = await start(t);
  const alice = await join(t, relay, 'alice', ALL);
  const { epoch } = await alice.ask(PUBLISH, 'private.1', null, 'secret');
  const mallory = await join(t, relay, 'mallory', { sub: ['room.>'], pub: ['room.>'] });
  const since = { epoch, offset: 0 };
  t.match(await mallory.request(SUBSCRIBE, 'private.1', { since }), [33, Number, FORBIDDEN]);
  t.match(await mallory.request(HISTORY, 'private.1', { since }), [33, Number, FORBIDDEN]);
  t.match(await mallory.request(SUBSCRIBE, 'room.1', { since }), [
    OK,
    Number,
    { recovered: false, reason: 'FORBIDDEN', replay: 0 },
  ]);
  t.equal(mallory.messages.filter(([type]) => type === MESSAGE).length, 0);
});

t.test('services: a REGISTER without the right, and a RETURN for another’s call', async (t) => {
  const relay = await start(t);
  const [instance, caller] = [await join(t, relay, 'instance', ALL), await join(t, relay, 'caller', ALL)];
  const mallory = await join(t, relay, 'mallory', { call: ['math'] });
  t.match(await mallory.request(REGISTER, 'math', { version: '1.0.0', methods: ['add'] }), [33, Number, FORBIDDEN]);
  await instance.ask(REGISTER, 'math', { version: '1.0.0', methods: ['add'] });
  const callId = caller.nextId();
  caller.send([CALL, callId, 'math', 'add', null, [1, 2]]);
  const invoke = await instance.find(([type]) => type === INVOKE);
  mallory.send([RETURN, invoke[1], null, 'forged']);
  t.match(await mallory.find(([type, id]) => type === 33 && id === 0), [33, 0, FORBIDDEN]);
  instance.send([RETURN, invoke[1], null, 3]);
  t.match(
    await caller.find(([type, id]) => type === RESULT && id === callId),
    [RESULT, callId, false, 3],
    'the caller gets the true one',
  );
});

t.test('presence by another’s name', async (t) => {
  const relay = await start(t);
  const alice = await join(t, relay, 'alice', ALL);
  await alice.ask(SUBSCRIBE, 'room.1', { presence: true });
  const mallory = await join(t, relay, 'mallory', ALL);
  await mallory.ask(SUBSCRIBE, 'room.1', { presence: { id: 'alice', data: 'I am alice' } });
  t.match(await alice.find(([type, , , kind]) => type === EVENT && kind === 'join'), [
    EVENT,
    Number,
    null,
    'join',
    { id: 'mallory' },
  ]);
  const { members } = await alice.ask(PRESENCE, 'room.1', null);
  t.same(members.map(({ id }: { id: string }) => id).toSorted(), ['alice', 'mallory']);
  t.match(await RawClient.open(t, relay.port, { hello: false }).then((client) => client.request(HELLO, { client: 'alice' })), [
    33,
    Number,
    101,
  ]);
});

// ---- bombs

const UPGRADE = [
  'GET /v1/connect HTTP/1.1',
  'Host: relay.test',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: relay.v1',
  'Sec-WebSocket-Extensions: permessage-deflate',
  '\r\n',
].join('\r\n');

/** A client's frame with mask key 0. */
function frame(first: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(body.length), 2);
  return Buffer.concat([head, body]);
}

async function upgraded(t: Test, port: number): Promise<{ readonly socket: Socket; readonly answer: string }> {
  const socket = connect({ port, host: '127.0.0.1' });
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.write(UPGRADE);
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  return { socket, answer: answer.toString('latin1') };
}

const rssMb = (relay: RelayProcess): Promise<number> =>
  relay.metric('relay_process_resident_memory_bytes').then((bytes) => bytes / 1e6);

for (const { name, settings, bomb } of [
  {
    name: 'a message that inflates to 100 MB',
    settings: { compression: true },
    bomb: (): Buffer[] => [
      frame(0xc2, deflateRawSync(Buffer.alloc(100_000_000), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)),
    ],
  },
  {
    name: 'a message in a million fragments',
    settings: {},
    bomb: (): Buffer[] => [
      frame(0x02, Buffer.of(0xdd)),
      ...Array.from({ length: 1_000 }, () =>
        Buffer.concat(Array.from({ length: 1_000 }, () => frame(0x00, Buffer.alloc(1, 0xc0)))),
      ),
    ],
  },
  {
    name: 'a message that says it has 2^62 bytes',
    settings: {},
    bomb: (): Buffer[] => [Buffer.from([0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
  },
  {
    name: 'MessagePack that says it has 2^32 elements',
    settings: {},
    bomb: (): Buffer[] => [frame(0x82, Buffer.from([0x93, 1, 1, 0xdf, 0xff, 0xff, 0xff, 0xff]))],
  },
  {
    name: 'MessagePack nested 60,000 deep',
    settings: {},
    bomb: (): Buffer[] => [frame(0x82, Buffer.concat([Buffer.from([0x93, 1, 1]), Buffer.alloc(60_000, 0x91)]))],
  },
]) {
  t.test(`a bomb: ${name}`, async (t) => {
    const relay = await start(t, settings);
    const alice = await join(t, relay, 'alice', ALL);
    await alice.ask(SUBSCRIBE, 'room.1', null);
    const beforeMb = await rssMb(relay);
    const { socket, answer } = await upgraded(t, relay.port);
    t.match(answer, /^HTTP\/1\.1 101 /);
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.resume();
    for (const bytes of bomb()) if (!socket.destroyed) socket.write(bytes);
    await ended;
    await alice.ask(PUBLISH, 'room.1', null, 'still here');
    t.match(await alice.find(([type]) => type === MESSAGE), [MESSAGE, Number, null, 1, null, 'still here'] as WireMessage);
    t.ok((await rssMb(relay)) < beforeMb + 40, 'memory did not grow by what was promised');
    t.equal((await relay.readiness()).status, 200);
  });
}
