/** Calls from CALL to the last answer: what is handed on, and what becomes of them when somebody leaves, is late or misbehaves. */
import t from 'tap';
import { hashBytes } from '../../../../src/base/hash.ts';
import { pack } from '../../../../src/protocol/codec.ts';
import { commandRecord, IngressKind, SendFlag, withNumbers } from '../../../../src/protocol/records.ts';
import { CALLER, messagesTo, restoreInstances, ServiceRig } from './service-rig.ts';

const A = 1;
const B = 2;
const FORBIDDEN = 102;
const OVERLOADED = 106;
const TIMEOUT = 108;
const NO_RESPONDERS = 109;
const RESPONDER_LOST = 110;
const CANCELLED = 111;
const SERVICE_ERROR = 120;

// ---- there and back

t.test('a call goes to an instance and its result comes back', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call(null, { payload: [1, 2] });
  const { session, callId, message } = rig.lastInvoke;
  t.equal(session, A);
  t.same(message, [36, callId, 'math', 'add', { deadlineMs: 30_000, caller: `client-${CALLER}` }, [1, 2]]);
  const outs = rig.answer(3);
  t.match(outs, [{ kind: 'send', session: CALLER, flags: SendFlag.CALL_DONE, message: [37, id, false, 3] }]);
  t.equal(outs.length, 1, 'the instance is told nothing more');
  t.match(rig.services()[0], { calls: 1, errors: 0, inFlight: 0, waiting: 0 });
});

t.test('payloads go through byte for byte, both ways', async (t) => {
  for (const payload of [
    [0xdb, 0, 0, 0, 1, 0x78],
    [0xa2, 0xff, 0xfe],
    [0xd6, 0xff, 0, 0, 0, 1],
    [0xd4, 0x42, 0xff],
    [0xdf, 0, 0, 0, 0],
  ]) {
    const rig = new ServiceRig();
    rig.register(A);
    const call = Uint8Array.from([0x96, 5, 7, 0xa4, ...Buffer.from('math'), 0xa3, ...Buffer.from('add'), 0xc0, ...payload]);
    const [invoke] = rig.note(rig.lane.bytes(CALLER, call));
    t.same([...(invoke?.frame ?? []).slice(-payload.length)], payload);
    const head = [...pack([7, rig.lastInvoke.callId, null])];
    head[0] = 0x94;
    const [result] = rig.note(rig.lane.bytes(A, Uint8Array.from([...head, ...payload])));
    t.same([...(result?.frame ?? []).slice(-payload.length)], payload);
  }
});

t.test('what the call says goes with it: headers, window, the time that is left', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  rig.call({ headers: { lang: 'de' }, window: 5, deadlineMs: 250, other: 1 });
  t.same(rig.lastInvoke.options, { deadlineMs: 250, caller: `client-${CALLER}`, headers: { lang: 'de' }, window: 5 });
});

t.test('a method may be long, and may be written in a longer form than need be', async (t) => {
  const rig = new ServiceRig();
  const method = 'm'.repeat(128);
  rig.register(A, { methods: [method, 'add'] });
  rig.call(null, { method });
  t.equal(rig.lastInvoke.message[3], method);
  rig.note(
    rig.lane.bytes(
      CALLER,
      Uint8Array.from([0x96, 5, 70, 0xa4, ...Buffer.from('math'), 0xda, 0, 3, ...Buffer.from('add'), 0x80, 1]),
    ),
  );
  t.equal(rig.lastInvoke.message[3], 'add');
});

t.test("an instance of '*' gets every method, beside those that name it", async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { methods: ['*'] });
  rig.call(null, { method: 'größe' });
  t.match(rig.lastInvoke, { session: A, message: [36, Number, 'math', 'größe'] });
  rig.register(B, { methods: ['add'] });
  const sessions = [1, 2].map(() => {
    rig.call(null, { method: 'add' });
    return rig.lastInvoke.session;
  });
  t.same(sessions.sort(), [A, B]);
});

t.test('numbers of calls name the lane and are never given out twice, not by its successor either', async (t) => {
  const numbers = [0, 1].flatMap((life) => {
    const rig = new ServiceRig({ lane: { index: 1, laneCount: 3, firstSub: 5, life } });
    rig.register(A);
    return [1, 2, 3].map(() => {
      rig.call();
      return rig.lastInvoke.callId;
    });
  });
  t.equal(new Set(numbers).size, 6);
  for (const number of numbers) t.equal(number % 3, 1);
  t.ok(numbers.every(Number.isSafeInteger));
});

t.test('a call without an id is done all the same, and only a failure is told', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  rig.say(CALLER, [5, 0, 'math', 'add', null, 1]);
  t.same(rig.answer('x', { more: true }), []);
  t.same(rig.answer('x'), []);
  rig.say(CALLER, [5, 0, 'math', 'add', null, 1]);
  t.match(rig.answer(null, { error: { code: 'E', text: 'no' } }), [{ session: CALLER, message: [33, 0, SERVICE_ERROR] }]);
  t.match(rig.say(CALLER, [5, 0, 'none', 'add', null, 1]), [{ message: [33, 0, NO_RESPONDERS] }]);
});

t.test('calls without an id are bounded in the lane: the front cannot see them end', async (t) => {
  const rig = new ServiceRig({ services: { callsPendingMax: 2 } });
  rig.register(A);
  for (let round = 0; round < 2; round++) rig.say(CALLER, [5, 0, 'math', 'add', null, 1]);
  t.match(rig.say(CALLER, [5, 0, 'math', 'add', null, 1]), [{ message: [33, 0, 104, /callsPendingMax=2/] }]);
  rig.answer();
  t.match(rig.say(CALLER, [5, 0, 'math', 'add', null, 1]), [{ message: [36] }]);
});

// ---- nobody there

for (const { name, register, call, method = 'add', text } of [
  { name: 'an unknown service', register: null, call: null, text: /service=math, retryAfterMs=250$/ },
  { name: 'an unknown method', register: {}, call: null, method: 'mul', text: /offers the method: .*method=mul.*methods=add/ },
  { name: 'another version', register: {}, call: { version: '^2' }, text: /version that the call asks for: .*versions=1.0.0/ },
  { name: 'a prerelease', register: { version: '2.0.0-rc.1' }, call: { version: '^2' }, text: /versions=2.0.0-rc.1/ },
  {
    name: 'other metadata',
    register: { metadata: { zone: 'a' } },
    call: { select: { zone: 'b' } },
    text: /metadata that the call/,
  },
  { name: 'metadata of another type', register: { metadata: { gpu: 1 } }, call: { select: { gpu: true } }, text: /metadata/ },
  { name: 'metadata by a name that objects have', register: {}, call: { select: { constructor: 'x' } }, text: /metadata/ },
] as { name: string; register: object | null; call: object | null; method?: string; text: RegExp }[]) {
  t.test(`NO_RESPONDERS at once for ${name}`, async (t) => {
    const rig = new ServiceRig();
    if (register !== null) rig.register(A, register);
    const id = rig.call(call, { method });
    t.match(rig.answers(id), [[33, id, NO_RESPONDERS, text]]);
    t.equal(rig.doneCount(id), 1);
    t.equal(rig.metric('callsWithoutResponders'), 1);
  });
}

for (const { name, options } of [
  { name: 'a version', options: { version: '>=1.5 <2' } },
  { name: 'metadata', options: { select: { zone: 'b', gpu: true } } },
  { name: 'both', options: { version: '~1.5.1 || 9.x', select: { zone: 'b' } } },
]) {
  t.test(`${name} chooses among instances`, async (t) => {
    const rig = new ServiceRig();
    rig.register(A, { version: '1.4.9', metadata: { zone: 'a', gpu: true } });
    rig.register(B, { version: '1.5.3', metadata: { zone: 'b', gpu: true, weight: 1 } });
    for (let round = 0; round < 5; round++) {
      rig.call(options);
      t.equal(rig.lastInvoke.session, B);
    }
  });
}

// ---- bad input

for (const { name, message, text, code = 100 } of [
  { name: 'a method that is a number', message: [5, 7, 'math', 1, null, 0], text: /method must be a string/ },
  { name: 'an empty method', message: [5, 7, 'math', '', null, 0], text: /method must be/ },
  { name: 'a method of 129 bytes', message: [5, 7, 'math', 'm'.repeat(129), null, 0], text: /method must be/ },
  { name: 'options that are a list', message: [5, 7, 'math', 'add', [], 0], text: /options must be a map/ },
  { name: 'a deadline over the bound', message: [5, 7, 'math', 'add', { deadlineMs: 600_001 }, 0], text: /deadlineMs must be/ },
  { name: 'a range that is none', message: [5, 7, 'math', 'add', { version: 'newest' }, 0], text: /version must be a range/ },
  {
    name: 'a payload over the bound',
    message: [5, 7, 'math', 'add', null, 'x'.repeat(65_536)],
    text: /payloadBytesMax=65536/,
    code: 107,
  },
  { name: 'CANCEL of text', message: [6, 7, 'math', 'x'], text: /the id of the call must be/ },
  { name: 'CANCEL of 0', message: [6, 7, 'math', 0], text: /the id of the call must be/ },
  { name: 'CREDIT of nothing', message: [17, 7, 'math', 1, 0], text: /count must be an integer in \[1, 1024\]/ },
  { name: 'CREDIT of too much', message: [17, 7, 'math', 1, 1_025], text: /count must be/ },
  { name: 'CREDIT for a float', message: [17, 7, 'math', 1.5, 1], text: /the id of the call must be/ },
  { name: 'REGISTER without a version', message: [8, 7, 'math', { methods: ['a'] }], text: /version must be a string/ },
  { name: 'REGISTER of nothing', message: [8, 7, 'math', null], text: /version must be/ },
  { name: 'HEARTBEAT with a load over 1', message: [16, 7, 'math', { load: 1.1 }], text: /load must be/ },
  { name: 'DEREGISTER of what is not registered', message: [9, 7, 'other'], text: /not registered: service=other/, code: 103 },
  { name: 'HEARTBEAT of what is not registered', message: [16, 7, 'other', null], text: /not registered/, code: 103 },
] as { name: string; message: unknown[]; text: RegExp; code?: number }[]) {
  t.test(`refused: ${name}`, async (t) => {
    const rig = new ServiceRig();
    rig.register(A);
    t.match(messagesTo(rig.say(CALLER, message), CALLER), [[33, 7, code, text]]);
    t.equal(rig.invokes.length, 0);
  });
}

t.test('CANCEL and CREDIT for calls that are unknown, over, or to another service do nothing', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  rig.register(A, {}, 'other');
  const id = rig.call();
  for (const message of [
    [6, 0, 'math', 999],
    [6, 0, 'none', id],
    [6, 0, 'other', id],
    [17, 0, 'math', 999, 5],
    [17, 0, 'other', id, 5],
  ])
    t.same(rig.say(CALLER, message), []);
  t.same(rig.say(B, [6, 0, 'math', id]), [], "another session's id means nothing");
  rig.answer();
  t.same(rig.say(CALLER, [6, 0, 'math', id]), []);
  t.same(rig.answers(id), [[37, id, false, 'done']]);
});

t.test('a result for a call that is over, or that never was, is counted and nothing else', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call();
  const invoke = rig.lastInvoke;
  rig.answer();
  t.same(rig.answer('again'), [], 'an instance that answers twice');
  t.same(rig.say(A, [7, 424_242, null, 1]), []);
  t.same(rig.say(A, [7, invoke.callId, { error: 5 }, 1]), [], 'not even looked at');
  t.equal(rig.answers(id).length, 1);
  t.equal(rig.metric('returnsLate'), 3);
});

t.test('a result from a session that was not asked is FORBIDDEN, and the call goes on', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  rig.register(B);
  const id = rig.call();
  const { session, callId } = rig.lastInvoke;
  for (const stranger of [A + B - session, CALLER, 55]) {
    t.match(rig.say(stranger, [7, callId, null, 'mine']), [
      { session: stranger, flags: 0, message: [33, 0, FORBIDDEN, /callId/, { callId }] },
    ]);
  }
  t.equal(rig.metric('returnsForbidden'), 3);
  rig.answer('right');
  t.same(rig.answers(id), [[37, id, false, 'right']]);
});

for (const { name, options, payload = 1, code, text } of [
  { name: 'options that are a number', options: 5, code: 100, text: /options must be a map/ },
  { name: 'more of text', options: { more: 'yes' }, code: 100, text: /more must be true or false/ },
  { name: 'an error without a code', options: { error: { text: 'x' } }, code: 100, text: /error.code must be/ },
  { name: 'an error that is text', options: { error: 'x' }, code: 100, text: /error must be a map/ },
  {
    name: 'an error text that is too long',
    options: { error: { code: 1, text: 'x'.repeat(1_025) } },
    code: 100,
    text: /error.text/,
  },
  { name: 'more and an error', options: { more: true, error: { code: 1 } }, code: 100, text: /exclude each other/ },
  { name: 'a result over the bound', options: null, payload: 'x'.repeat(65_536), code: 107, text: /payload is too large/ },
  {
    name: 'a part over the bound',
    options: { more: true },
    payload: 'x'.repeat(65_536),
    code: 107,
    text: /payload is too large/,
  },
] as { name: string; options: unknown; payload?: unknown; code: number; text: RegExp }[]) {
  t.test(`a RETURN that cannot be handed on ends the call for both sides: ${name}`, async (t) => {
    const rig = new ServiceRig();
    rig.register(A);
    const id = rig.call();
    const { callId } = rig.lastInvoke;
    const outs = rig.say(A, [7, callId, options, payload]);
    t.match(messagesTo(outs, A), [
      [38, callId],
      [33, 0, code, text, { callId }],
    ]);
    t.match(rig.answers(id), [[33, id, SERVICE_ERROR, text, { code: code === 100 ? 'BAD_REQUEST' : 'TOO_LARGE' }]]);
    t.equal(rig.doneCount(id), 1);
  });
}

t.test("a service's error reaches the caller as it is", async (t) => {
  for (const { error, want } of [
    {
      error: { code: 'E_DIV', text: 'by zero', details: { a: [1, { b: null }] } },
      want: { code: 'E_DIV', text: 'by zero', details: { a: [1, { b: null }] } },
    },
    { error: { code: 42, text: '' }, want: { code: 42, text: '' } },
    {
      error: { code: 'E', details: { toJSON: 'x', constructor: 'y' } },
      want: { code: 'E', text: '', details: { toJSON: 'x', constructor: 'y' } },
    },
  ]) {
    const rig = new ServiceRig();
    rig.register(A);
    const id = rig.call();
    rig.answer(null, { error });
    t.match(rig.answers(id), [[33, id, SERVICE_ERROR, String, want]]);
    t.match(rig.services()[0], { calls: 1, errors: 1 });
  }
});

// ---- streams

t.test('parts come in order, then the last', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call();
  for (const part of [1, 2, 3]) rig.answer(part, { more: true });
  rig.answer(4);
  t.same(
    rig.answers(id),
    [1, 2, 3, 4].map((part) => [37, id, part !== 4, part]),
  );
  t.equal(rig.doneCount(id), 1);
});

t.test('options in another form mean the same: more false, more in a longer map, nil', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call();
  rig.answer(1, { more: true, other: null });
  rig.answer(2, { more: true, error: null, heartbeat: false });
  rig.answer(3, { more: false });
  t.same(
    rig.answers(id),
    [1, 2, 3].map((part) => [37, id, part !== 3, part]),
  );
});

t.test('an instance that sends more than the window ends its call, is told to stop, and it counts against it', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call({ window: 2 });
  const { callId } = rig.lastInvoke;
  rig.answer(1, { more: true });
  rig.answer(2, { more: true });
  const outs = rig.answer(3, { more: true });
  t.match(messagesTo(outs, A), [[38, callId]]);
  t.match(rig.answers(id).at(-1), [33, id, SERVICE_ERROR, /flooded its stream/, { code: 'FLOOD', details: { parts: 2 } }]);
  t.equal(rig.doneCount(id), 1);
  t.match(rig.services()[0], { errors: 1, inFlight: 0 });
  t.equal(rig.metric('streamsFlooded'), 1);
});

t.test('credit lets it go on: the instance hears of it, and the last result needs none', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call({ window: 1 });
  const { callId } = rig.lastInvoke;
  rig.answer(1, { more: true });
  t.match(rig.say(CALLER, [17, 0, 'math', id, 2]), [{ session: A, message: [40, callId, 2] }]);
  rig.answer(2, { more: true });
  rig.answer(3, { more: true });
  rig.answer(4);
  t.equal(rig.answers(id).length, 4);
  t.equal(rig.metric('streamsFlooded'), 0);
});

t.test('credit given while the call waits is in the window of its INVOKE', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { capacity: 1 });
  rig.call();
  const first = rig.lastInvoke;
  const id = rig.call({ window: 3 });
  t.same(rig.say(CALLER, [17, 0, 'math', id, 4]), []);
  rig.answer('x', null, first);
  t.equal(rig.lastInvoke.options['window'], 7);
});

t.test('a heartbeat says nothing to a client, and to a lane that waits for its workflow it is a part of nothing', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  rig.call();
  t.same(rig.answer('ignored', { heartbeat: true }), []);
  const agent = 70;
  rig.lane.record(IngressKind.SESSION_OPEN, withNumbers(agent, null, pack({ id: '$lane-0', client: '$lane-0' })));
  rig.note(rig.lane.record(IngressKind.COMMAND, callRecord(agent)));
  t.match(rig.answer('ignored', { heartbeat: true }), [{ session: agent, flags: 0, message: [37, 9, true, null] }]);
  const liar = 71;
  rig.lane.record(IngressKind.SESSION_OPEN, withNumbers(liar, null, pack({ id: 'abc', client: '$lane-0' })));
  rig.note(rig.lane.record(IngressKind.COMMAND, callRecord(liar)));
  t.same(rig.answer('ignored', { heartbeat: true }), [], 'a name is no proof');
});

function callRecord(session: number): Uint8Array {
  const name = new TextEncoder().encode('math');
  return commandRecord(session, hashBytes(name, 0, name.length), 0, pack([5, 9, 'math', 'add', null, 0]));
}

// ---- time

t.test('an instance that never answers: TIMEOUT to the caller at its deadline, CANCELLED to the instance', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call({ deadlineMs: 500 });
  const { callId } = rig.lastInvoke;
  t.same(rig.wait(499), []);
  const outs = rig.wait(1);
  t.match(messagesTo(outs, A), [[38, callId]]);
  t.match(messagesTo(outs, CALLER), [[33, id, TIMEOUT, /timed out/, { service: 'math', method: 'add', deadlineMs: 500 }]]);
  t.equal(rig.doneCount(id), 1);
  t.match(rig.services()[0], { errors: 1, inFlight: 0 });
  t.same(rig.answer('late'), []);
  t.same(rig.wait(60_000), []);
});

t.test('the default deadline', async (t) => {
  const rig = new ServiceRig({ services: { callDeadlineMsDefault: 50 } });
  rig.register(A);
  const id = rig.call();
  t.equal(rig.lastInvoke.options['deadlineMs'], 50);
  rig.wait(50);
  t.match(rig.answers(id), [[33, id, TIMEOUT]]);
});

t.test('an answer in time leaves no timer behind', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call({ deadlineMs: 100 });
  rig.wait(99);
  rig.answer();
  rig.wait(1_000);
  t.same(rig.answers(id), [[37, id, false, 'done']]);
});

t.test('the deadline is shortened on the way', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { capacity: 1 });
  rig.call();
  const first = rig.lastInvoke;
  rig.call({ deadlineMs: 900 });
  rig.wait(400);
  rig.answer('x', null, first);
  t.equal(rig.lastInvoke.options['deadlineMs'], 500);
  rig.wait(499);
  t.equal(rig.told(CALLER).length, 1);
  rig.wait(1);
  t.match(rig.told(CALLER).at(-1), [33, Number, TIMEOUT]);
});

t.test('expired work is never delivered, even where its timer comes late', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { capacity: 1 });
  rig.call();
  const first = rig.lastInvoke;
  const id = rig.call({ deadlineMs: 100 });
  rig.lane.nowMs += 150; // The lane has not run its timers yet.
  rig.answer('x', null, first);
  t.equal(rig.invokes.length, 1);
  rig.wait(0);
  t.match(rig.answers(id), [[33, id, OVERLOADED]], 'nothing was done, so that is what it says');
  t.equal(rig.doneCount(id), 1);
});

// ---- somebody leaves

t.test('a caller that cancels gets CANCELLED, and so does the instance', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call();
  const { callId } = rig.lastInvoke;
  const outs = rig.say(CALLER, [6, 0, 'math', id]);
  t.match(messagesTo(outs, A), [[38, callId]]);
  t.match(messagesTo(outs, CALLER), [[33, id, CANCELLED]]);
  t.equal(rig.doneCount(id), 1);
  t.same(rig.answer('late'), []);
  t.match(rig.services()[0], { errors: 0, inFlight: 0 }, "no fault of the instance's");
});

t.test('a call that waits can be cancelled', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { capacity: 1 });
  rig.call();
  const id = rig.call();
  rig.say(CALLER, [6, 0, 'math', id]);
  t.match(rig.answers(id), [[33, id, CANCELLED]]);
  rig.answer();
  t.equal(rig.invokes.length, 1);
  t.same(rig.wait(5_000), []);
});

t.test('when the caller leaves its instances are told to stop, and what waited goes', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { capacity: 2 });
  rig.call();
  rig.say(CALLER, [5, 0, 'math', 'add', null, 0]);
  rig.call();
  const callIds = rig.invokes.map(({ callId }) => callId);
  const other = rig.call(null, { session: CALLER + 1 });
  const outs = rig.close(CALLER);
  t.match(
    messagesTo(outs, A).filter(([type]) => type === 38),
    callIds.map((callId) => [38, callId]),
  );
  t.same(messagesTo(outs, CALLER), []);
  t.match(rig.lastInvoke.options, { caller: `client-${CALLER + 1}` }, 'who waited behind them is served');
  rig.answer();
  t.match(rig.answers(other, CALLER + 1), [[37, other, false]]);
  t.equal(rig.metric('callsInFlight'), 0);
  t.equal(rig.metric('callsWaiting'), 0);
});

for (const { name, leave } of [
  { name: 'its connection', leave: (rig: ServiceRig) => rig.close(A) },
  { name: 'its lease', leave: (rig: ServiceRig) => rig.wait(3_000) },
]) {
  t.test(`an instance that loses ${name} in the middle of a call: RESPONDER_LOST at once`, async (t) => {
    const rig = new ServiceRig();
    rig.register(A, { heartbeatMs: 1_000 });
    const id = rig.call();
    rig.answer(1, { more: true });
    leave(rig);
    t.match(rig.answers(id).slice(1), [[33, id, RESPONDER_LOST, /service=math, method=add, attempts=1/]]);
    t.equal(rig.doneCount(id), 1);
    t.equal(rig.metric('callsLost'), 1);
  });

  for (const { how, registered, asked } of [
    { how: 'by its registration', registered: { idempotent: ['add'] }, asked: null },
    { how: 'in all its methods', registered: { idempotent: true }, asked: null },
    { how: 'by the call', registered: {}, asked: { idempotent: true } },
  ]) {
    t.test(`what may run twice ${how} runs on another instance when one loses ${name}`, async (t) => {
      const rig = new ServiceRig();
      rig.register(A, { heartbeatMs: 1_000, ...registered });
      const id = rig.call(asked, { payload: { a: 'b' } });
      const first = rig.lastInvoke;
      rig.register(B);
      leave(rig);
      t.match(rig.lastInvoke, { session: B, payload: { a: 'b' } });
      t.not(rig.lastInvoke.callId, first.callId, 'under a number of its own');
      t.same(rig.answer('late', null, first), [], 'what the lost one says is nobody’s');
      rig.answer('right');
      t.same(rig.answers(id), [[37, id, false, 'right']]);
      t.equal(rig.doneCount(id), 1);
    });
  }
}

t.test('an instance whose lease has expired is told to stop what it has', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { heartbeatMs: 1_000 });
  rig.call();
  t.match(messagesTo(rig.wait(3_000), A), [[38, rig.lastInvoke.callId]]);
});

t.test('an instance that dies between parts: what has begun to answer does not run again', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { idempotent: true });
  const id = rig.call();
  rig.answer(1, { more: true });
  rig.register(B);
  rig.close(A);
  t.match(rig.answers(id), [
    [37, id, true, 1],
    [33, id, RESPONDER_LOST],
  ]);
  t.equal(rig.invokes.length, 1);
});

t.test('retriesMax others are tried, no more', async (t) => {
  for (const { retriesMax, wants } of [
    { retriesMax: 0, wants: 1 },
    { retriesMax: 1, wants: 2 },
    { retriesMax: 3, wants: 4 },
  ]) {
    const rig = new ServiceRig({ rules: [{ match: '>', retriesMax }] });
    for (const session of [1, 2, 3, 4, 5]) rig.register(session);
    const id = rig.call({ idempotent: true });
    for (let round = 0; round < 5 && rig.answers(id).length === 0; round++) rig.close(rig.lastInvoke.session);
    t.equal(rig.invokes.length, wants);
    t.equal(rig.metric('callsRetried'), wants - 1);
    t.match(rig.answers(id), [[33, id, RESPONDER_LOST, new RegExp(`attempts=${wants}`)]]);
  }
});

t.test(
  'what runs again waits in front of the others, and gets RESPONDER_LOST, not OVERLOADED, if it waits in vain',
  async (t) => {
    const rig = new ServiceRig();
    rig.register(A, { capacity: 1 });
    rig.register(B, { capacity: 1 });
    const again = rig.call({ idempotent: true }, { payload: 'again' });
    const lost = rig.lastInvoke.session;
    rig.call();
    const other = rig.lastInvoke;
    rig.call(null, { payload: 'waits' });
    rig.close(lost);
    rig.answer('x', null, other);
    t.equal(rig.lastInvoke.payload, 'again');
    rig.answer('y');
    t.match(rig.answers(again), [[37, again, false, 'y']]);
    t.equal(rig.lastInvoke.payload, 'waits');
    const vain = new ServiceRig();
    vain.register(A, { capacity: 1 });
    vain.register(B, { capacity: 1 });
    const id = vain.call({ idempotent: true });
    const { session } = vain.lastInvoke;
    vain.call();
    vain.close(session);
    vain.wait(1_000);
    t.match(vain.answers(id), [[33, id, RESPONDER_LOST]]);
    t.equal(vain.metric('callsRetried'), 0, 'it was given to nobody else');
  },
);

t.test('a session that calls itself and leaves hears nothing and leaves nothing', async (t) => {
  const rig = new ServiceRig();
  rig.register(A, { idempotent: true, capacity: 1 });
  rig.call(null, { session: A });
  rig.call(null, { session: A });
  const other = rig.call();
  rig.close(A);
  t.match(rig.answers(other), [[33, other, NO_RESPONDERS]]);
  t.equal(rig.invokes.length, 1);
  t.same(rig.services(), []);
  t.equal(rig.metric('callsInFlight') + rig.metric('callsWaiting') + rig.metric('instances'), 0);
});

t.test('after DEREGISTER no new calls come, and what is in flight may be returned', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call();
  const first = rig.lastInvoke;
  rig.say(A, [9, 50, 'math']);
  t.match(rig.told(A).at(-1), [32, 50, null]);
  const refused = rig.call();
  t.match(rig.answers(refused), [[33, refused, NO_RESPONDERS]]);
  rig.register(A);
  rig.call();
  t.equal(rig.invokes.length, 2);
  rig.answer('done', null, first);
  t.same(rig.answers(id), [[37, id, false, 'done']]);
  t.match(rig.services()[0], { instances: 1, inFlight: 1 });
});

t.test('what a session took back and still works on is lost with it', async (t) => {
  const rig = new ServiceRig();
  rig.register(A);
  const id = rig.call();
  rig.say(A, [9, 50, 'math']);
  rig.close(A);
  t.match(rig.answers(id), [[33, id, RESPONDER_LOST]]);
  t.same(rig.services(), []);
});

// ---- the lane is replaced

t.test('a lane that takes another one’s place knows the instances, under their ids', async (t) => {
  const old = new ServiceRig();
  const ids = [old.register(A, { idempotent: ['add'], metadata: { zone: 'a' }, heartbeatMs: 1_000 }), old.register(B)];
  old.register(A, {}, 'other');
  old.say(A, [9, 0, 'other']);
  old.say(B, [16, 0, 'math', { health: 'degraded' }]);
  const before = old.services();
  old.call();
  const rig = new ServiceRig({ lane: { life: 1 } });
  restoreInstances(old, rig);
  t.same(
    rig.services()[0].list.map(({ calls: _calls, inFlight: _inFlight, ...facts }: { calls: number; inFlight: number }) => facts),
    before[0].list.map(({ calls: _calls, inFlight: _inFlight, ...facts }: { calls: number; inFlight: number }) => facts),
  );
  t.match(
    rig.events,
    ids.map((instance) => ({ kind: 'registered', instance, afterRestart: true })),
    'its new topic says who is there',
  );
  t.same(rig.say(A, [7, old.lastInvoke.callId, null, 'late']), [], 'calls of the old one are over');
  const id = rig.call();
  t.equal(rig.lastInvoke.session, A);
  t.ok(rig.lastInvoke.callId > old.lastInvoke.callId);
  rig.answer();
  t.match(rig.answers(id), [[37, id, false, 'done']]);
  t.notOk(ids.includes(rig.register(3)), 'no id comes again');
  rig.wait(3_000);
  t.equal(rig.services()[0].instances, 2, 'leases are watched as before');
});
