/** HTTP gateway: every route against a real front and lane, every way to ask wrongly, every bound, and exactly one answer to everything. */
import fc from 'fast-check';
import t from 'tap';
import { ERROR_STATUS, HTTP_ROUTES } from '../../../src/front/http-routes.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import { WIRE_ERRORS, type WireErrorName } from '../../../src/protocol/codes.ts';
import { commandRecord, EgressKind, IngressKind, withNumbers } from '../../../src/protocol/records.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { type Ask, GATEWAY_SESSION, Rig } from './http-rig.ts';

const JSON_BODY: Ask = { type: 'application/json', body: '1' };
const concat = (...parts: (Uint8Array | number[])[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const NESTED = (depth: number): Uint8Array => concat(new Array(depth).fill(0x91), [0xc0]);

// ---- publish

t.test('a publish is answered as a PUBLISH is, and reaches subscribers', async (t) => {
  const rig = new Rig();
  const client = rig.connect('ada');
  client.say([MessageType.SUBSCRIBE, 2, 'news', null]);
  const { status, headers, body } = rig.postJson('/v1/publish?topic=news', { text: 'hello' });
  t.equal(status, 200);
  t.same(headers, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  t.equal(typeof body.epoch, 'string');
  t.equal(body.offset, 1);
  t.same(client.received(MessageType.MESSAGE)[0]?.slice(2), [null, 1, null, { text: 'hello' }]);
});

t.test('a MessagePack payload reaches subscribers byte for byte', async (t) => {
  const rig = new Rig();
  const client = rig.connect('ada');
  client.say([MessageType.SUBSCRIBE, 2, 'news', null]);
  // An extension that nobody knows, a long form of 1, text that is no UTF-8, and as deep as a payload may nest.
  const payload = concat([0x94, 0xd4, 0x05, 0x01], [0xcd, 0x00, 0x01], [0xa1, 0xff], NESTED(63));
  const before = client.frames.length;
  t.equal(rig.postPacked('/v1/publish?topic=news', payload).status, 200);
  const frame = client.frames[before] as Uint8Array;
  t.same([...frame.subarray(frame.length - payload.length)], [...payload]);
});

t.test('a publish has its options from the query', async (t) => {
  const rig = new Rig();
  const client = rig.connect('ada');
  client.say([MessageType.SUBSCRIBE, 2, 'stamped.a', null]);
  const target = '/v1/publish?topic=stamped.a&key=k1&ttlMs=5000&echo=false&header=trace:12:3&header=from%20me:a+b';
  const first = rig.postJson(target, 1);
  t.same(client.received(MessageType.MESSAGE)[0]?.[4], { publisher: 'http', headers: { trace: '12:3', 'from me': 'a b' } });
  const second = rig.postJson(target, 2);
  t.same(second.body, { ...first.body, duplicate: true });
  t.equal(client.received(MessageType.MESSAGE).length, 1);
  rig.clock.advance(5_000);
  t.same(rig.get('/v1/history?topic=stamped.a').body.messages, [], 'its time to live is over');
});

for (const [topic, status, code] of [
  ['a..b', 400, 100],
  ['a.*', 400, 100],
  ['', 400, 100],
  ['$relay.x', 403, 102],
] as const) {
  t.test(`a publish to '${topic}' is refused by the relay, not by the gateway`, async (t) => {
    const answer = new Rig().postJson(`/v1/publish?topic=${topic}`, 1);
    t.match(answer, { status, body: { error: { code, details: null } } });
  });
}

t.test('the bounds of a topic hold over HTTP', async (t) => {
  const answer = new Rig().postJson('/v1/publish?topic=small.a', 'x'.repeat(16));
  t.match(answer, {
    status: 413,
    body: { error: { code: 107, name: 'TOO_LARGE', details: { payloadBytes: 17, maxPayloadBytes: 16 } } },
  });
});

// ---- how a request can be wrong

for (const { name, method = 'POST', target = '/v1/publish?topic=a', ask = JSON_BODY, status, text } of [
  { name: 'an unknown path', target: '/v1/nowhere', status: 404, text: /no such path: path=\/v1\/nowhere/ },
  { name: 'a path with a slash too many', target: '/v1/publish/', status: 404, text: /no such path/ },
  { name: 'another method', method: 'GET', status: 405, text: /method not allowed/ },
  { name: 'a body of another type', ask: { type: 'text/plain', body: '1' }, status: 415, text: /contentType=text\/plain/ },
  { name: 'a body without a type', ask: { body: '1' }, status: 415, text: /must be application\/json or application\/msgpack/ },
  { name: 'a missing parameter', target: '/v1/publish', status: 400, text: /'topic' is missing/ },
  {
    name: 'an unknown parameter',
    target: '/v1/publish?topic=a&tpoic=b',
    status: 400,
    text: /unknown query parameter 'tpoic'; known: topic, key/,
  },
  { name: 'a parameter given twice', target: '/v1/publish?topic=a&topic=b', status: 400, text: /'topic' is given twice/ },
  { name: 'a broken escape', target: '/v1/publish?topic=%zz', status: 400, text: /percent-encoded/ },
  { name: 'an escape that is no UTF-8', target: '/v1/publish?topic=%ff', status: 400, text: /percent-encoded/ },
  {
    name: 'a fraction for an integer',
    target: '/v1/publish?topic=a&ttlMs=1.5',
    status: 400,
    text: /'ttlMs' must be an integer, got '1.5'/,
  },
  {
    name: 'an integer too long to be one',
    target: '/v1/publish?topic=a&ttlMs=99999999999999999',
    status: 400,
    text: /must be an integer/,
  },
  { name: 'nothing for an integer', target: '/v1/publish?topic=a&ttlMs=', status: 400, text: /must be an integer, got ''/ },
  {
    name: 'an integer out of range',
    target: '/v1/publish?topic=a&ttlMs=0',
    status: 400,
    text: /ttlMs must be an integer in \[1,/,
  },
  {
    name: 'a number for a boolean',
    target: '/v1/publish?topic=a&echo=1',
    status: 400,
    text: /'echo' must be true or false, got '1'/,
  },
  { name: 'a header without a colon', target: '/v1/publish?topic=a&header=x', status: 400, text: /must be name:value/ },
  { name: 'a header given twice', target: '/v1/publish?topic=a&header=x:1&header=x:2', status: 400, text: /'x' is given twice/ },
  { name: 'an empty body', ask: { type: 'application/json' }, status: 400, text: /the body is empty/ },
  { name: 'a body that is no JSON', ask: { type: 'application/json', body: '{' }, status: 400, text: /is not JSON/ },
  {
    name: 'half a MessagePack value',
    ask: { type: 'application/msgpack', body: pack('hello').subarray(0, 3) },
    status: 400,
    text: /not MessagePack/,
  },
  {
    name: 'two MessagePack values',
    ask: { type: 'application/msgpack', body: concat(pack(1), pack(2)) },
    status: 400,
    text: /one MessagePack value/,
  },
  {
    name: 'a payload nested too deep',
    ask: { type: 'application/msgpack', body: NESTED(65) },
    status: 400,
    text: /deeper than 64/,
  },
  {
    name: 'such a payload as JSON',
    ask: { type: 'application/json', body: `${'['.repeat(65)}0${']'.repeat(65)}` },
    status: 400,
    text: /deeper than 64/,
  },
  {
    name: 'a body over the bound',
    ask: { type: 'application/json', body: '1'.repeat(262_145) },
    status: 413,
    text: /httpBodyBytesMax=262144/,
  },
  {
    name: 'a message over what the front takes',
    ask: { type: 'application/msgpack', body: pack('x'.repeat(131_072)) },
    status: 413,
    text: /messageBytesMax=131072/,
  },
  { name: 'half a position', method: 'GET', target: '/v1/history?topic=a&sinceOffset=1', status: 400, text: /go together/ },
  {
    name: 'a negative offset',
    method: 'GET',
    target: '/v1/history?topic=a&sinceEpoch=e&sinceOffset=-1',
    status: 400,
    text: /since.offset must be/,
  },
  {
    name: 'a limit over the bound',
    method: 'GET',
    target: '/v1/history?topic=a&limit=1001',
    status: 400,
    text: /limit must be an integer in \[1, 1000\]/,
  },
  {
    name: 'history of a topic without any',
    method: 'GET',
    target: '/v1/history?topic=plain.a',
    status: 400,
    text: /keeps no history/,
  },
  {
    name: 'the position of a topic without history',
    method: 'GET',
    target: '/v1/position?topic=plain.a',
    status: 400,
    text: /keeps no history/,
  },
  {
    name: 'presence of a topic without any',
    method: 'GET',
    target: '/v1/presence?topic=absent.a',
    status: 400,
    text: /keeps no presence/,
  },
]) {
  t.test(`${name} is answered ${status}, and the gateway lives on`, async (t) => {
    const rig = new Rig();
    const answer = rig.ask(method, target, ask);
    t.equal(answer.status, status);
    t.match(answer.body.error.text, text);
    t.equal(answer.body.error.code, WIRE_ERRORS[answer.body.error.name as WireErrorName].code);
    t.equal(rig.gateway.pendingCount, 0);
    t.equal(rig.postJson('/v1/publish?topic=after', 1).status, 200);
    t.equal(rig.gateway.metrics.sessionsLost, 0);
  });
}

t.test('405 names the method that would be allowed', async (t) => {
  const rig = new Rig();
  t.equal(rig.ask('DELETE', '/v1/history').headers['Allow'], 'GET');
  t.equal(rig.ask('GET', '/v1/publish-batch').headers['Allow'], 'POST');
});

t.test('methods may come in lower case', async (t) => {
  t.equal(new Rig().ask('post', '/v1/publish?topic=a', JSON_BODY).status, 200);
});

// ---- media types

for (const { name, accept = '', type = 'application/json', want } of [
  { name: 'neither Accept nor a type we know', type: '', want: 'application/json' },
  { name: 'a MessagePack body', type: 'application/msgpack', want: 'application/msgpack' },
  { name: 'a MessagePack body by an older name', type: 'application/x-msgpack', want: 'application/msgpack' },
  {
    name: 'a MessagePack body and an Accept of everything',
    type: 'application/msgpack',
    accept: '*/*',
    want: 'application/msgpack',
  },
  {
    name: 'a MessagePack body and an Accept of JSON',
    type: 'application/msgpack',
    accept: 'application/json',
    want: 'application/json',
  },
  { name: 'a JSON body with a charset', type: 'application/json; charset=utf-8', want: 'application/json' },
  { name: 'an Accept of MessagePack', accept: 'application/msgpack', want: 'application/msgpack' },
  {
    name: 'an Accept that prefers MessagePack',
    accept: 'application/json;q=0.5, Application/MsgPack',
    want: 'application/msgpack',
  },
  { name: 'an Accept that refuses MessagePack', accept: 'application/msgpack;q=0', want: 'application/json' },
  { name: 'an Accept of something else', accept: 'text/html', want: 'application/json' },
]) {
  t.test(`${name} gets ${want}, errors too`, async (t) => {
    const rig = new Rig();
    const body = type.includes('msgpack') ? pack(1) : '1';
    t.equal(rig.ask('POST', '/v1/publish?topic=a', { type, accept, body }).headers['Content-Type'], want);
    const refused = rig.ask('POST', '/v1/publish', { type, accept, body });
    t.equal(refused.headers['Content-Type'], want);
    t.equal(refused.body.error.code, 100);
  });
}

// ---- batch

t.test('a batch is answered in its order, bad messages in their place', async (t) => {
  const rig = new Rig();
  const { status, body } = rig.postJson('/v1/publish-batch', [
    { topic: 'a', payload: 1 },
    { topic: 'a', payload: 2, key: 'k', headers: { h: 'v' }, ttlMs: 1_000, echo: false },
    { topic: 'a..b', payload: 3 },
    { topic: 'a', payload: 4, key: 'k' },
    { topic: 'a' },
    { payload: 5 },
    { topic: 'a', payload: 6, tll: 1 },
    { topic: 7, payload: 7 },
    'a message',
    { topic: 'a', payload: { $bin: 'AQID' } },
  ]);
  t.equal(status, 207);
  t.match(body, [
    { offset: 1 },
    { offset: 2 },
    { error: { code: 100, text: /bad topic/ } },
    { offset: 2, duplicate: true },
    { error: { code: 100, text: 'field payload is missing' } },
    { error: { code: 100, text: 'field topic is missing' } },
    { error: { code: 100, text: /unknown field tll; known: topic, payload, key/ } },
    { error: { code: 100, text: /the topic must be a string/ } },
    { error: { code: 100, text: /must be a map/ } },
    { offset: 3 },
  ]);
  t.same(
    rig.get('/v1/history?topic=a').body.messages.map((message: unknown[]) => message.slice(1)),
    [
      [null, 1],
      [{ headers: { h: 'v' } }, 2],
      [null, { $bin: 'AQID' }],
    ],
  );
});

t.test('a batch without a fault is 200, an empty one too', async (t) => {
  const rig = new Rig();
  t.match(rig.postJson('/v1/publish-batch', [{ topic: 'a', payload: 1 }]), { status: 200, body: [{ offset: 1 }] });
  t.match(rig.postJson('/v1/publish-batch', []), { status: 200, body: [] });
});

t.test('a batch without one good message is answered as well', async (t) => {
  t.match(new Rig().postJson('/v1/publish-batch', [{}, 1]), {
    status: 207,
    body: [{ error: { code: 100 } }, { error: { code: 100 } }],
  });
});

t.test('payloads of a MessagePack batch are spliced byte for byte', async (t) => {
  const rig = new Rig();
  const payload = concat([0x92, 0xd4, 0x05, 0x01], NESTED(63));
  const entry = concat([0x82], pack('topic'), pack('a'), pack('payload'), payload);
  t.equal(rig.postPacked('/v1/publish-batch', concat([0x92], entry, entry)).status, 200);
  const reply = rig.ask('GET', '/v1/history?topic=a', { accept: 'application/msgpack' }).raw;
  t.ok(Buffer.from(reply).includes(Buffer.from(payload)));
  t.equal(rig.get('/v1/history?topic=a').body.messages.length, 2, 'and have a JSON form, deep as they are');
});

t.test('a batch larger than one message of the front goes in several', async (t) => {
  const rig = new Rig();
  const entries = Array.from({ length: 20 }, (_, index) => ({ topic: 'a', payload: `${index}${'x'.repeat(10_000)}` }));
  const { status, body } = rig.postJson('/v1/publish-batch', entries);
  t.equal(status, 200);
  t.same(
    body.map((result: { offset: number }) => result.offset),
    entries.map((_, index) => index + 1),
  );
});

t.test('a message of a batch that the front would not take fails alone', async (t) => {
  const entries = [
    { topic: 'a', payload: 'x'.repeat(131_072) },
    { topic: 'a', payload: 1 },
  ];
  t.match(new Rig().postJson('/v1/publish-batch', entries), { status: 207, body: [{ error: { code: 107 } }, { offset: 1 }] });
});

for (const { name, body, status, text } of [
  { name: 'a map', body: pack({ topic: 'a', payload: 1 }), status: 400, text: /not a map/ },
  { name: 'a text', body: pack('a'), status: 400, text: /must be a list of messages/ },
  { name: 'no MessagePack', body: Uint8Array.of(0xc1), status: 400, text: /not MessagePack/ },
  { name: 'a list that claims more than there is', body: Uint8Array.of(0x92, 0x80), status: 400, text: /past the end/ },
  {
    name: 'a list that claims four billion',
    body: Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    status: 413,
    text: /httpBatchMessagesMax=32/,
  },
  {
    name: 'a map that claims four billion',
    body: Uint8Array.of(0x91, 0xdf, 0xff, 0xff, 0xff, 0xff),
    status: 400,
    text: /past the end/,
  },
  { name: 'something behind the list', body: Uint8Array.of(0x90, 0x01), status: 400, text: /one MessagePack value/ },
  { name: 'one message too many', body: pack(new Array(33).fill({ topic: 'a', payload: 1 })), status: 413, text: /count=33/ },
]) {
  t.test(`a batch that is ${name} is refused whole`, async (t) => {
    const rig = new Rig();
    const answer = rig.postPacked('/v1/publish-batch', body);
    t.equal(answer.status, status);
    t.match(answer.body.error.text, text);
    t.equal(rig.get('/v1/position?topic=a').body.offset, 0, 'nothing was published');
  });
}

t.test('a field given twice is refused', async (t) => {
  const entry = concat([0x93 - 0x10], pack('topic'), pack('a'), pack('topic'), pack('b'), pack('payload'), pack(1));
  t.match(new Rig().postPacked('/v1/publish-batch', concat([0x91], entry)).body, [
    { error: { text: 'field topic is given twice' } },
  ]);
});

// ---- reading

t.test('history is a page of the stream', async (t) => {
  const rig = new Rig();
  for (let payload = 1; payload <= 5; payload++) rig.postJson('/v1/publish?topic=a', payload);
  const offsets = (target: string): number[] => rig.get(target).body.messages.map((message: number[]) => message[0]);
  const { epoch, ...page } = rig.get('/v1/history?topic=a&limit=2').body;
  t.same(page, {
    first: 1,
    offset: 5,
    more: true,
    messages: [
      [1, null, 1],
      [2, null, 2],
    ],
  });
  t.same(offsets('/v1/history?topic=a&reverse=true&limit=2'), [5, 4]);
  t.same(offsets(`/v1/history?topic=a&sinceEpoch=${epoch}&sinceOffset=3`), [4, 5]);
  t.same(offsets(`/v1/history?topic=a&sinceEpoch=${epoch}&sinceOffset=3&reverse=true`), [2, 1]);
  t.match(rig.get('/v1/history?topic=a&sinceEpoch=other&sinceOffset=3'), {
    status: 409,
    body: { error: { code: 112, name: 'CONFLICT', details: { sinceEpoch: 'other', epoch } } },
  });
});

t.test('a MessagePack answer is the bytes of the OK', async (t) => {
  const rig = new Rig();
  rig.postPacked('/v1/publish?topic=a', Uint8Array.of(0xd4, 0x05, 0x01));
  const { raw, status } = rig.ask('GET', '/v1/position?topic=a', { accept: 'application/msgpack' });
  t.equal(status, 200);
  t.match(unpack(raw), { first: 1, offset: 1 });
});

t.test('position is where HISTORY says the stream stands', async (t) => {
  const rig = new Rig();
  t.match(rig.get('/v1/position?topic=a').body, { first: 1, offset: 0 });
  rig.postJson('/v1/publish?topic=a', { $ext: [5, 'AQ=='] });
  const { epoch, first, offset } = rig.get('/v1/history?topic=a').body;
  t.same(rig.get('/v1/position?topic=a').body, { epoch, first, offset });
  t.equal(offset, 1);
});

t.test('presence tells who is there', async (t) => {
  const rig = new Rig();
  rig.connect('ada').say([MessageType.SUBSCRIBE, 2, 'room', { presence: { name: 'Ada' } }]);
  t.same(rig.get('/v1/presence?topic=room').body, { count: 1, members: [{ id: 'ada', data: { name: 'Ada' } }] });
  t.same(rig.get('/v1/presence?topic=room&countOnly=true').body, { count: 1 });
  t.same(rig.get('/v1/presence?topic=empty').body, { count: 0, members: [] });
});

// ---- time, bounds and loss

t.test('replies of one drain answer the requests they belong to', async (t) => {
  const rig = new Rig();
  const sent = [1, 2, 3].map((payload) =>
    rig.send('POST', '/v1/publish?topic=a', { type: 'application/json', body: `${payload}` }),
  );
  const bad = rig.send('POST', '/v1/publish?topic=..', JSON_BODY);
  t.equal(rig.gateway.pendingCount, 4);
  t.equal(rig.answerCount, 0);
  rig.run();
  t.same(
    sent.map((answers) => answers.map(({ body }) => body.offset)),
    [[1], [2], [3]],
  );
  t.equal(bad[0]?.status, 400);
  t.equal(rig.gateway.pendingCount, 0);
});

t.test('a command without a reply times out once, and a late reply goes nowhere', async (t) => {
  const rig = new Rig();
  const single = rig.send('POST', '/v1/publish?topic=a', JSON_BODY);
  const batch = rig.send('POST', '/v1/publish-batch', {
    type: 'application/json',
    body: JSON.stringify([{ topic: 'a', payload: 1 }, {}, { topic: 'a', payload: 2 }]),
  });
  rig.clock.advance(4_999);
  rig.gateway.tick();
  t.equal(rig.answerCount, 0);
  rig.clock.advance(1);
  rig.gateway.tick();
  t.match(single, [{ status: 504, body: { error: { code: 108, name: 'TIMEOUT', details: { httpRequestTimeoutMs: 5_000 } } } }]);
  t.match(batch, [{ status: 207, body: [{ error: { code: 108 } }, { error: { code: 100 } }, { error: { code: 108 } }] }]);
  rig.run();
  t.equal(rig.answerCount, 2);
  t.match(rig.gateway.metrics, { timeouts: 3, repliesLate: 3, requests: 2, responses2xx: 1, responses5xx: 1 });
});

t.test('over httpPendingMax requests are refused, until there is room', async (t) => {
  const rig = new Rig({ gateway: { httpPendingMax: 3, httpBatchMessagesMax: 3 } });
  const batch = JSON.stringify(new Array(2).fill({ topic: 'a', payload: 1 }));
  rig.send('POST', '/v1/publish-batch', { type: 'application/json', body: batch });
  const second = rig.send('POST', '/v1/publish-batch', { type: 'application/json', body: batch });
  t.match(second, [
    {
      status: 503,
      headers: { 'Retry-After': '1' },
      body: { error: { code: 106, details: { httpPendingMax: 3, retryAfterMs: 1_000 } } },
    },
  ]);
  t.equal(rig.send('POST', '/v1/publish?topic=a', JSON_BODY).length, 0, 'one more fits');
  t.equal(rig.send('POST', '/v1/publish?topic=a', JSON_BODY)[0]?.status, 503);
  rig.run();
  t.equal(rig.postJson('/v1/publish?topic=a', 1).body.offset, 4, 'what was refused was not published');
  t.equal(rig.gateway.metrics.refused, 2);
});

t.test("an overloaded lane's refusal says when to come back, in whole seconds", async (t) => {
  const rig = new Rig();
  await rig.lanes.close(); // It takes nothing any more, as a lane between two lives.
  t.match(rig.postJson('/v1/publish?topic=a', 1), {
    status: 503,
    headers: { 'Retry-After': '2' },
    body: { error: { code: 106, details: { retryAfterMs: 1_500 } } },
  });
});

t.test('a command lost with its lane is answered 503', async (t) => {
  const rig = new Rig();
  const answers = rig.send('POST', '/v1/publish?topic=a', JSON_BODY);
  const record = commandRecord(GATEWAY_SESSION, 0, 0, pack([MessageType.PUBLISH, 2, 'a', null, 1])); // 1 was HELLO.
  rig.front.laneEvents.onRecordLost(0, IngressKind.COMMAND, record, new DataView(record.buffer), 0, record.length);
  t.match(answers, [{ status: 503, headers: { 'Retry-After': '2' }, body: { error: { code: 113, name: 'LANE_RESTARTED' } } }]);
});

t.test('topics at their bound are 507, which nobody retries unasked', async (t) => {
  const rig = new Rig({ lane: { topicsMax: 1 } });
  rig.postJson('/v1/publish?topic=a', 1);
  t.match(rig.postJson('/v1/publish?topic=b', 1), { status: 507, body: { error: { code: 104, details: { topicsMax: 1 } } } });
});

t.test('a session that the front closes fails what is pending and is replaced', async (t) => {
  const rig = new Rig();
  const answers = rig.send('POST', '/v1/publish?topic=a', JSON_BODY);
  const record = withNumbers(GATEWAY_SESSION, 4505, new TextEncoder().encode('no reason'));
  rig.front.laneEvents.onRecord(0, EgressKind.CLOSE, record, new DataView(record.buffer), 0, record.length);
  t.equal(answers.length, 0, 'not in the middle of the front');
  rig.gateway.tick();
  t.match(answers, [{ status: 500, body: { error: { code: 199, details: { reason: /4505 revoked/ } } } }]);
  rig.run();
  t.equal(rig.postJson('/v1/publish?topic=a', 2).status, 200);
  t.equal([...rig.front.sessions].length, 1, 'the old session is gone');
  t.equal(rig.gateway.metrics.sessionsLost, 1);
});

t.test('after close pending requests are answered, new ones refused, and the session is gone', async (t) => {
  const rig = new Rig();
  const single = rig.send('POST', '/v1/publish?topic=a', JSON_BODY);
  const batch = rig.send('POST', '/v1/publish-batch', { type: 'application/json', body: '[{"topic":"a","payload":1}]' });
  rig.gateway.close();
  rig.gateway.close();
  t.match(single, [{ status: 503, headers: { 'Retry-After': '1' }, body: { error: { code: 113, text: /shutting down/ } } }]);
  t.match(batch, [{ status: 207, body: [{ error: { code: 113 } }] }]);
  t.match(rig.postJson('/v1/publish?topic=a', 1), { status: 503, body: { error: { code: 106, text: /shutting down/ } } });
  rig.gateway.tick();
  rig.run();
  t.equal(rig.answerCount, 3);
  t.equal([...rig.front.sessions].length, 0);
});

t.test('HTTP works on while WebSocket clients are sent home', async (t) => {
  const rig = new Rig();
  rig.connect('ada');
  rig.front.drain({ windowMs: 1_000, deadlineMs: 5_000, reason: 'test' }, () => undefined);
  t.equal(rig.postJson('/v1/publish?topic=a', 1).status, 200);
});

t.test('the gateway is not counted as a connection and outlives every timeout', async (t) => {
  const rig = new Rig();
  t.equal(rig.front.connectionCount, 0);
  rig.clock.advance(3_600_000);
  rig.front.tick();
  t.equal(rig.postJson('/v1/publish?topic=a', 1).status, 200);
});

t.test('options that contradict each other are misuse', async (t) => {
  t.throws(() => new Rig({ gateway: { httpPendingMax: 1, httpBatchMessagesMax: 2 } }), {
    message: /httpBatchMessagesMax must not be over httpPendingMax/,
  });
  t.throws(() => new Rig({ gateway: { httpRequestTimeoutMs: 0 } }), {
    message: /httpRequestTimeoutMs must be a positive integer/,
  });
});

// ---- tables and fuzz

t.test('every code has a status, and statuses that clients retry unasked belong to codes that may be retried', async (t) => {
  for (const [name, { retryable }] of Object.entries(WIRE_ERRORS)) {
    const status = ERROR_STATUS[name as WireErrorName];
    t.equal([429, 500, 502, 503, 504].includes(status), retryable, `${name}: ${status}`);
  }
});

t.test('whatever is asked is answered exactly once, and the session survives', async (t) => {
  const rig = new Rig();
  const anyTarget = fc.tuple(
    fc.oneof(fc.constantFrom(...HTTP_ROUTES.map(({ path }) => path)), fc.webPath()),
    fc.oneof(fc.constantFrom('topic=a', 'topic=plain.a&countOnly=true', ''), fc.webQueryParameters()),
  );
  const anyBody = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.jsonValue().map(pack),
    fc.array(fc.record({ topic: fc.string(), payload: fc.jsonValue(), headers: fc.jsonValue() }, { requiredKeys: [] })).map(pack),
  );
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'POST', 'PUT'),
      anyTarget,
      fc.constantFrom('', 'application/json', 'application/msgpack'),
      fc.constantFrom('', 'application/json', 'application/msgpack'),
      anyBody,
      (method, [path, query], type, accept, body) => {
        const { status } = rig.ask(method, `${path}?${query}`, { type, accept, body });
        return [200, 207, 400, 403, 404, 405, 413, 415].includes(status) && rig.gateway.metrics.sessionsLost === 0;
      },
    ),
    { numRuns: 1_000 },
  );
  t.equal(rig.gateway.pendingCount, 0);
});
