/** Queue groups with acknowledgements: whose a message is, when it is somebody else's, and where it ends. */
import t from 'tap';
import { answer, GroupRig, given, TOPIC, told } from './group-rig.ts';

const TIMEOUT_MS = 30_000;
const IDLE_MS = 60_000;

t.test('a message is given once, with its attempt, and is over when it is acknowledged', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  const [deliver] = rig.publish(TOPIC, 'x', { headers: { a: 'b' } });
  t.same(deliver?.message?.slice(3), [1, { headers: { a: 'b' }, attempt: 1 }, 'x']);
  t.equal(answer(rig.ack(1, 1)), 'ok');
  t.same(given(rig.advance(10 * TIMEOUT_MS)), []);
  t.equal(answer(rig.ack(1, 1)), 103, 'it is not pending any more');
  t.equal(rig.metric('groupPending'), 0);
});

t.test('without an ACK it goes to somebody else after the timeout, with the next attempt', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.work(2);
  t.same(given(rig.say('a')), ['1:1']);
  t.same(given(rig.advance(TIMEOUT_MS - 1)), []);
  t.same(given(rig.advance(1)), ['2:1#2']);
  t.equal(answer(rig.ack(1, 1)), 103, 'too late: it is another’s');
  t.equal(answer(rig.ack(2, 1)), 'ok');
  t.equal(rig.metric('groupAckTimeouts'), 1);
  t.equal(rig.metric('groupRedeliveries'), 1);
});

t.test('who had it last gets it again only if nobody else has room', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.work(2, { maxInFlight: 1 });
  t.same(given(rig.say('a', 'b', 'c')), ['1:1', '2:2', '1:3']);
  t.same(given(rig.ack(1, { offset: 1, requeue: true })), ['1:1#2'], 'session 2 is full');
  rig.ack(2, 2);
  t.same(given(rig.ack(1, { offset: 3, requeue: true })), ['2:3#2']);
});

t.test('maxInFlight is a window: what has no room waits in history, in order', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxInFlight: 2 });
  t.same(given(rig.say('a', 'b', 'c', 'd', 'e')), ['1:1', '1:2']);
  t.same(given(rig.ack(1, 2)), ['1:3']);
  t.same(given(rig.ack(1, { offsets: [1, 3] })), ['1:4', '1:5']);
  t.same(given(rig.work(2)), [], 'nothing waits');
});

t.test('a new member takes what waits, behind its OK', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxInFlight: 1 });
  rig.say('a', 'b', 'c');
  t.same(given(rig.work(2)), ['2:2', '2:3']);
});

t.test('requeue with a delay', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.say('a');
  t.same(given(rig.ack(1, { offset: 1, requeue: true, delayMs: 500 })), []);
  t.equal(answer(rig.ack(1, 1)), 103, 'it is nobody’s meanwhile');
  t.same(given(rig.advance(499)), []);
  t.same(given(rig.advance(1)), ['1:1#2']);
});

for (const abrupt of [false, true]) {
  t.test(`a member leaves ${abrupt ? 'abruptly' : 'in order'}: what it holds goes to others at once`, async (t) => {
    const rig = new GroupRig();
    rig.work(1);
    rig.work(2);
    rig.say('a', 'b', 'c', 'd');
    t.same(given(rig.close(1, abrupt)), ['2:1#2', '2:3#2']);
    t.equal(answer(rig.ack(2, { offsets: [1, 2, 3, 4] })), 'ok');
  });
}

t.test('UNSUBSCRIBE and a switch to a plain subscription give back too', async (t) => {
  for (const leave of [
    [4, 2, TOPIC],
    [3, 2, TOPIC, null],
    [3, 2, TOPIC, { group: 'another' }],
  ]) {
    const rig = new GroupRig();
    rig.work(1);
    rig.work(2);
    rig.say('a', 'b');
    t.same(given(rig.command(1, leave)), ['2:1#2']);
    t.equal(answer(rig.ack(1, 1)), 103);
  }
});

t.test('without members the group stays where it is and reads on when somebody comes', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.say('a', 'b');
  rig.ack(1, 1);
  t.same(given(rig.close(1)), []);
  rig.say('c');
  rig.advance(IDLE_MS - 1);
  t.same(given(rig.work(2)), ['2:2#2', '2:3']);
});

t.test('without members for topicIdleMs it is forgotten, and counted', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.say('a');
  rig.close(1);
  rig.advance(IDLE_MS);
  rig.advance(1);
  t.same([rig.metric('groupsForgotten'), rig.metric('groups'), rig.metric('groupPending')], [1, 0, 0]);
  t.same(given(rig.work(2)), [], 'a new group begins at the head');
  t.same(given(rig.say('b')), ['2:2']);
});

t.test('a delayed message of a group that is forgotten does not come back', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.say('a');
  rig.ack(1, { offset: 1, requeue: true, delayMs: 3_600_000 });
  rig.close(1);
  rig.advance(IDLE_MS);
  rig.work(2);
  t.same(given(rig.advance(3_600_000)), []);
});

t.test('after maxAttempts a message is a dead letter: the payload as it was, and what became of it', async (t) => {
  const rig = new GroupRig();
  const { sub } = rig.subscribe(7, `$dead.${TOPIC}`).reply as unknown as { sub: number };
  rig.work(1, { maxAttempts: 2 });
  rig.publish(TOPIC, ['poison'], { headers: { kind: 'letter' } });
  t.same(given(rig.advance(TIMEOUT_MS)), ['1:1#2']);
  const outs = rig.advance(TIMEOUT_MS);
  t.same(given(outs), []);
  t.same(outs.find((out) => out.sub === sub)?.message?.slice(3), [
    1,
    { headers: { kind: 'letter', topic: TOPIC, offset: '1', attempts: '2', reason: 'ackTimeout', group: 'g' } },
    ['poison'],
  ]);
  rig.advance(1);
  t.same([rig.metric('groupDeadLetters'), rig.metric('groupPending')], [1, 0]);
});

for (const { reason, end } of [
  { reason: 'requeued', end: (rig: GroupRig) => rig.ack(1, { offset: 1, requeue: true, delayMs: 5_000 }) },
  { reason: 'memberLeft', end: (rig: GroupRig) => rig.close(1, true) },
]) {
  t.test(`the last attempt may end by ${reason}`, async (t) => {
    const rig = new GroupRig();
    rig.subscribe(7, `$dead.${TOPIC}`);
    rig.work(1, { maxAttempts: 1 });
    rig.say('x');
    t.equal(end(rig).find(({ message }) => message?.[0] === 34)?.message?.[4].headers.reason, reason);
  });
}

t.test('a dead letter has room for the next message', async (t) => {
  const rig = new GroupRig({ groups: { groupsPerTopicMax: 2, groupPendingMax: 1 } });
  rig.work(1, { maxAttempts: 1 });
  rig.say('a', 'b');
  t.same(given(rig.advance(TIMEOUT_MS)), ['1:2']);
});

t.test('the last SUBSCRIBE’s options hold for the group, a window for its member', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxInFlight: 1, maxAttempts: 1 });
  rig.work(2, { maxInFlight: 3, ackTimeoutMs: 1_000, maxAttempts: 4 });
  t.same(given(rig.say('a', 'b', 'c', 'd', 'e')), ['1:1', '2:2', '2:3', '2:4']);
  t.same(given(rig.advance(1_000)), ['1:1#2', '2:2#2', '2:3#2', '2:4#2'], 'timeout and attempts of the second, windows of each');
});

t.test('a window may change: a larger one takes more at once, a smaller one waits for its acks', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxInFlight: 1 });
  rig.say('a', 'b', 'c', 'd');
  t.same(given(rig.work(1, { maxInFlight: 3 })), ['1:2', '1:3']);
  t.same(given(rig.work(1, { maxInFlight: 1 })), []);
  t.same(given(rig.ack(1, 1)), []);
  t.same(given(rig.ack(1, { offsets: [2, 3] })), ['1:4']);
});

t.test('groupPendingMax: the group waits for acknowledgements', async (t) => {
  const rig = new GroupRig({ groups: { groupsPerTopicMax: 2, groupPendingMax: 3 } });
  rig.work(1);
  t.same(given(rig.say('a', 'b', 'c', 'd')), ['1:1', '1:2', '1:3']);
  rig.advance(1);
  t.same([rig.metric('groupsWaiting'), rig.metric('groupPending')], [1, 3]);
  t.same(given(rig.ack(1, { offset: 1, requeue: true, delayMs: 60_000 })), [], 'given back is still pending');
  t.same(given(rig.ack(1, 2)), ['1:4']);
  rig.advance(1);
  t.equal(rig.metric('groupsWaiting'), 0);
});

t.test('what history gave up before it was given out is named to the members, and counted', async (t) => {
  const rig = new GroupRig({ topicRules: [{ match: '>', history: { count: 3 } }] });
  rig.work(1, { maxInFlight: 1 });
  rig.join(2, { group: 'other' });
  rig.say('1', '2', '3', '4');
  t.same(told(rig.say('5')), ['1:lost 2-2 EVICTED'], 'as soon as it is so');
  t.same(told(rig.say('6')), ['1:lost 3-3 EVICTED']);
  t.same(given(rig.ack(1, 1)), ['1:4']);
  t.equal(rig.metric('groupMessagesLost'), 2);
});

t.test('it is named to who comes back, if nobody was there', async (t) => {
  const rig = new GroupRig({ topicRules: [{ match: '>', history: { count: 3 } }] });
  rig.work(1);
  rig.close(1);
  t.same(told(rig.say(1, 2, 3, 4, 5)), []);
  const outs = rig.work(2);
  t.same(told(outs), ['2:lost 1-2 EVICTED']);
  t.same(given(outs), ['2:3', '2:4', '2:5']);
  t.match(outs[0]?.message?.[4], { epoch: String, offset: 2, group: 'g' });
});

t.test('a pending message that history gave up can be acknowledged, but not given again', async (t) => {
  const rig = new GroupRig({ topicRules: [{ match: '>', history: { count: 2 } }] });
  rig.work(1);
  rig.say('a', 'b', 'c', 'd');
  t.equal(answer(rig.ack(1, 1)), 'ok');
  rig.work(2, { maxInFlight: 1 });
  const outs = rig.close(1);
  t.same(told(outs), ['2:lost 2-2 EVICTED']);
  t.same(given(outs), ['2:3#2']);
});

t.test('nor buried: it is lost, and named when somebody is there', async (t) => {
  const rig = new GroupRig({ topicRules: [{ match: TOPIC, history: { count: 1 } }] });
  rig.work(1, { maxAttempts: 1 });
  rig.say('a', 'b');
  rig.close(1);
  t.same([rig.metric('groupMessagesLost'), rig.metric('groupDeadLetters')], [1, 1]);
  t.same(told(rig.work(2)), ['2:lost 1-1 EVICTED']);
});

t.test('what has expired by its ttl is named and not given out', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxInFlight: 1 });
  rig.say('a');
  rig.publish(TOPIC, 'b', { ttlMs: 10 });
  rig.publish(TOPIC, 'c', { ttlMs: 10 });
  rig.say('d');
  rig.advance(10);
  const outs = rig.ack(1, 1);
  t.same(told(outs), ['1:skip 2-3 expired']);
  t.same(given(outs), ['1:4']);
  t.equal(outs.findIndex(({ message }) => message?.[3] === 'skip') < outs.findIndex(({ kind }) => kind === 'deliver'), true);
  rig.publish(TOPIC, 'e', { ttlMs: 10 });
  rig.ack(1, 4);
  rig.advance(10);
  t.same(told(rig.ack(1, { offset: 5, requeue: true })), ['1:skip 5-5 expired'], 'nor given again');
  t.equal(rig.metric('groupMessagesExpired'), 3);
});

t.test('ACK: one offset that is not pending does not keep the others', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.say('a', 'b');
  const error = rig.ack(1, { offsets: [1, 7, 8] }).find(({ message }) => message?.[0] === 33)?.message;
  t.same([error?.[2], error?.[4]], [103, { offset: 7, missing: 2, settled: 1 }]);
  t.equal(answer(rig.ack(1, 1)), 103, 'it was done');
});

t.test('ACK of somebody who is no member, or of a stream that is no more', async (t) => {
  const rig = new GroupRig();
  const { reply } = rig.join(1, { ack: true });
  rig.join(2, { group: 'without' });
  rig.subscribe(3, TOPIC);
  rig.say('a');
  for (const session of [2, 3, 4]) t.equal(answer(rig.ack(session, 1)), 103);
  t.equal(answer(rig.ack(1, 1, 'nothing')), 103);
  t.equal(answer(rig.ack(1, { offset: 1, epoch: 'another' })), 103);
  t.equal(answer(rig.ack(1, { offset: 1, epoch: reply['epoch'] })), 'ok');
  t.equal(answer(rig.ack(1, {})), 100);
});

t.test('an ACK without an id says nothing, unless it fails', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  rig.say('a');
  t.same(rig.command(1, [18, 0, TOPIC, { offset: 1 }]), []);
  t.match(rig.command(1, [18, 0, TOPIC, { offset: 1 }]), [{ session: 1, message: [33, 0, 103] }]);
});

for (const { name, rule, options, want } of [
  { name: 'a topic without history', rule: { history: { count: 0 } }, options: {}, want: /needs a topic with history/ },
  { name: 'itself as its dead-letter topic', rule: {}, options: { deadLetter: TOPIC }, want: /must be another topic/ },
]) {
  t.test(`ack is refused for ${name}`, async (t) => {
    const rig = new GroupRig({ topicRules: [{ match: '>', ...rule }] });
    const error = rig.command(1, [3, 1, TOPIC, { group: 'g', ack: true, ...options }])[0]?.message;
    t.equal(error?.[2], 100);
    t.match(error?.[3], want);
  });
}

t.test('a topic whose dead-letter topic would have no legal name needs one named', async (t) => {
  const rig = new GroupRig();
  for (const topic of ['$dead.jobs', Array.from({ length: 16 }, () => 'a').join('.')]) {
    t.equal(rig.ask(1, [3, 1, topic, { group: 'g', ack: true }]), 100);
    t.match(rig.ask(1, [3, 1, topic, { group: 'g', ack: true, deadLetter: 'graveyard' }]), { replay: 0 });
  }
});

t.test('with and without ack do not mix under one name', async (t) => {
  const rig = new GroupRig();
  rig.work(1);
  t.equal(rig.ask(2, [3, 1, TOPIC, { group: 'g' }]), 112);
  t.equal(rig.ask(1, [3, 1, TOPIC, { group: 'g' }]), 112, 'what is pending would be lost without a word');
  rig.join(3, { group: 'without' });
  rig.join(4, { group: 'without' });
  t.equal(rig.ask(4, [3, 1, TOPIC, { group: 'without', ack: true }]), 112);
  rig.close(4);
  rig.work(3, { group: 'without' });
  t.same(given(rig.say('a')), ['1:1', '3:1']);
  t.match(rig.publish(TOPIC, 'b').find(({ session }) => session === 3)?.message?.[4], { attempt: 1 });
});

t.test('a replaced lane: members are back, with the newest options, and the group begins anew', async (t) => {
  const before = new GroupRig();
  const restores = [1, 2].map((session) => {
    const options = { group: 'g', ack: true, maxInFlight: session, ackTimeoutMs: session * 1_000 };
    const join = before.command(session, [3, 1, TOPIC, options]).find(({ kind }) => kind === 'join');
    return { session, sub: join?.sub as number, restore: join?.restore as object };
  });
  before.say('gone');
  const rig = new GroupRig();
  for (const { session, sub, restore } of restores.toReversed())
    t.same(rig.restore(session, sub, { topic: TOPIC, ...restore }), []);
  const [lost] = rig.restoreEnd();
  t.match(lost?.message?.slice(3), ['lost', { reason: 'LANE_RESTARTED', offset: 0 }]);
  t.same(given(rig.say('a', 'b', 'c', 'd')), ['2:1', '1:2', '2:3']);
  t.same(given(rig.advance(1_999)), []);
  t.ok(given(rig.advance(1)).length > 0, 'the timeout of the last SUBSCRIBE');
  rig.advance(1);
  t.equal(rig.metric('subscriptions'), 2);
});

// ---- dead letters in a topic of the subscriber's choice

t.test('a dead letter elsewhere: published by the lane, pending until that is answered', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxAttempts: 1, deadLetter: 'graveyard' });
  rig.publish(TOPIC, { a: 1 }, { headers: { h: 'x' } });
  const [request] = rig.ack(1, { offset: 1, requeue: true });
  const [type, id, topic, options, payload] = request?.message ?? [];
  t.same(
    [request?.kind, type, topic, options.headers, payload],
    ['request', 2, 'graveyard', { h: 'x', topic: TOPIC, offset: '1', attempts: '1', reason: 'requeued', group: 'g' }, { a: 1 }],
  );
  rig.advance(1);
  t.equal(rig.metric('groupPending'), 1);
  rig.reply([32, 1, null]);
  rig.reply([32, id, { epoch: 'e', offset: 1 }]);
  rig.advance(1);
  t.same([rig.metric('groupPending'), rig.metric('groupDeadLetters')], [0, 1]);
});

t.test('refused for now, it is tried again; refused for good, it goes to the default', async (t) => {
  const rig = new GroupRig();
  rig.subscribe(7, `$dead.${TOPIC}`);
  rig.work(1, { maxAttempts: 1, deadLetter: 'graveyard' });
  rig.say('x');
  const [first] = rig.ack(1, { offset: 1, requeue: true });
  t.same(rig.reply([33, first?.message?.[1], 106, 'overloaded', { retryAfterMs: 70 }]), []);
  t.same(rig.advance(69), []);
  const [second] = rig.advance(1);
  t.equal(second?.kind, 'request');
  const outs = rig.reply([33, second?.message?.[1], 107, 'too large', null]);
  t.match(outs[0]?.message?.slice(3), [1, { headers: { reason: 'requeued' } }, 'x']);
  rig.advance(1);
  t.same([rig.metric('groupPending'), rig.metric('groupDeadLetters')], [0, 1]);
});

t.test('headers that a PUBLISH could not carry stay behind, the relay’s own do not', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxAttempts: 1, deadLetter: 'graveyard' });
  rig.publish(TOPIC, 'x', { headers: { large: 'h'.repeat(990) } });
  const [request] = rig.ack(1, { offset: 1, requeue: true });
  t.same(Object.keys(request?.message?.[3].headers), ['topic', 'offset', 'attempts', 'reason', 'group']);
});

t.test('an answer that comes when the group is forgotten changes nothing', async (t) => {
  const rig = new GroupRig();
  rig.work(1, { maxAttempts: 1, deadLetter: 'graveyard' });
  rig.say('x');
  const [request] = rig.close(1);
  rig.advance(IDLE_MS);
  rig.reply([32, request?.message?.[1], null]);
  rig.advance(1);
  t.same([rig.metric('groupPending'), rig.metric('groups')], [0, 0]);
});
