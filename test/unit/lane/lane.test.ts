/** The lane as a whole: records in, records out. What its parts do by themselves is in the files beside this one. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import { FanoutFlag, IngressKind, JoinFlag, SendFlag } from '../../../src/protocol/records.ts';
import { SLOW_CONSUMER_POLICIES } from '../../../src/protocol/types.ts';
import { fannedOut, LaneRig } from './lane-rig.ts';

const COUNT_FIVE = [{ match: '>', history: { count: 5 } }];
const NO_HISTORY = [{ match: 'plain.>', history: { count: 0 } }];
const GRACE_MS = 15_000;

// ---- publish

t.test('a publish goes to the subscribers, then to its sender as OK', async (t) => {
  const rig = new LaneRig();
  const { sub, epoch } = rig.subscribe(1, 'room').reply as unknown as { sub: number; epoch: string };
  const outs = rig.command(2, [2, 7, 'room', null, 'hello']);
  t.match(outs, [
    { kind: 'fanout', sub, excluded: 0, flags: 0, message: [34, sub, null, 1, null, 'hello'] },
    { kind: 'send', session: 2, flags: 0, message: [32, 7, { epoch, offset: 1 }] },
  ]);
  t.equal(outs.length, 2);
});

t.test('offsets begin at 1 and grow by 1, for each topic by itself', async (t) => {
  const rig = new LaneRig();
  const offsets = ['a', 'a', 'b', 'a', 'b'].map((topic) => rig.ask(1, [2, 5, topic, null, 0]).offset);
  t.same(offsets, [1, 2, 1, 3, 2]);
});

t.test('without subscribers only the sender hears of it, and without an id nobody', async (t) => {
  const rig = new LaneRig();
  t.equal(rig.command(1, [2, 7, 'room', null, 0]).length, 1);
  t.equal(rig.command(1, [2, 0, 'room', null, 0]).length, 0);
});

t.test('a topic without history has offset 0 for ever', async (t) => {
  const rig = new LaneRig({ topicRules: NO_HISTORY });
  const { sub } = rig.subscribe(1, 'plain.a').reply as unknown as { sub: number };
  for (let round = 0; round < 3; round++) {
    const [fanout, ok] = rig.command(2, [2, 7, 'plain.a', null, round]);
    t.match(fanout?.message, [34, sub, null, 0, null, round]);
    t.match(ok?.message, [32, 7, { offset: 0 }]);
  }
});

t.test('the payload goes through byte for byte, live, replayed and in history', async (t) => {
  // Forms longer than need be, text that is no UTF-8, a NaN of its own kind, a time stamp: none of it the relay's business.
  for (const payload of [
    [0xdb, 0, 0, 0, 1, 0x78],
    [0xa2, 0xff, 0xfe],
    [0xca, 0x7f, 0xc0, 0, 1],
    [0xd6, 0xff, 0, 0, 0, 1],
    [0xdf, 0, 0, 0, 0],
  ]) {
    const rig = new LaneRig();
    rig.subscribe(1, 'r');
    const outs = [
      ...rig.bytes(2, Uint8Array.from([0x95, 2, 0, 0xa1, 0x72, 0xc0, ...payload])),
      ...rig.command(1, [3, 0, 'r', { last: 1 }]).slice(1),
      ...rig.command(1, [10, 5, 'r', null]),
    ];
    t.equal(outs.length, 3);
    for (const { frame } of outs) t.same([...frame.slice(-payload.length)], payload);
  }
});

for (const { name, rule, options, excluded } of [
  { name: 'everybody gets it, the sender too', rule: {}, options: null, excluded: 0 },
  { name: 'not the sender, who says so', rule: {}, options: { echo: false }, excluded: 1 },
  { name: 'not the sender, by the topic’s configuration', rule: { echo: false }, options: null, excluded: 1 },
  { name: 'the sender after all, who says so', rule: { echo: false }, options: { echo: true }, excluded: 0 },
  { name: 'an empty map of options says nothing', rule: { echo: false }, options: {}, excluded: 1 },
]) {
  t.test(`echo: ${name}`, async (t) => {
    const rig = new LaneRig({ topicRules: [{ match: '>', ...rule }] });
    rig.subscribe(1, 'room');
    rig.patternCommand(1, 5, [3, 1, '>', null]);
    const outs = rig.command(1, [2, 0, 'room', options, 'x']);
    t.same(
      outs.map((out) => out.excluded),
      [excluded, excluded],
    );
  });
}

for (const { name, rule, options, want } of [
  { name: 'nothing', rule: {}, options: null, want: null },
  { name: 'headers', rule: {}, options: { headers: { lang: 'de', x: '' } }, want: { headers: { lang: 'de', x: '' } } },
  { name: 'no headers', rule: {}, options: { headers: {} }, want: { headers: {} } },
  { name: 'the time', rule: { stampTime: true }, options: null, want: { timeUs: 1_700_000_000_000_000 } },
  { name: 'the publisher', rule: { stampPublisher: true }, options: null, want: { publisher: 'client-1' } },
  {
    name: 'everything',
    rule: { stampTime: true, stampPublisher: true },
    options: { headers: { a: 'b' } },
    want: { publisher: 'client-1', timeUs: 1_700_000_000_000_000, headers: { a: 'b' } },
  },
]) {
  t.test(`meta: ${name}, live, in history and when replayed`, async (t) => {
    const rig = new LaneRig({ topicRules: [{ match: '>', ...rule }] });
    const { sub } = rig.subscribe(2, 'room').reply as unknown as { sub: number };
    t.same(fannedOut(rig.command(1, [2, 0, 'room', options, 'x']), sub), [[34, sub, null, 1, want, 'x']]);
    t.same(rig.ask(2, [10, 5, 'room', null]).messages, [[1, want, 'x']]);
    t.same(rig.subscribe(3, 'room', { last: 1 }).replayed, [[34, sub, null, 1, { ...want, recovered: true }, 'x']]);
  });
}

t.test('a publisher without a name is known by its session', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: '>', stampPublisher: true }] });
  rig.open(1, null);
  rig.command(1, [2, 0, 'room', null, 'x']);
  t.same(rig.ask(1, [10, 5, 'room', null]).messages, [[1, { publisher: 'session-1' }, 'x']]);
});

for (const { name, topic, options = null, payload = 'x', code, text } of [
  { name: 'a bad name', topic: 'a..b', code: 100, text: /bad topic: a token must not be empty/ },
  { name: 'a pattern', topic: 'a.*', code: 100, text: /a pattern can only be subscribed to/ },
  { name: 'a name of the relay', topic: '$service.x', code: 102, text: /belong to the relay/ },
  { name: 'a bad option', topic: 'a', options: { ttlMs: -1 }, code: 100, text: /ttlMs/ },
  { name: 'options that are no map', topic: 'a', options: [1], code: 100, text: /options must be a map/ },
  {
    name: 'a payload that is too large',
    topic: 'small.a',
    payload: 'x'.repeat(16),
    code: 107,
    text: /payloadBytes=17, maxPayloadBytes=16/,
  },
] as { name: string; topic: string; options?: object; payload?: unknown; code: number; text: RegExp }[]) {
  t.test(`a publish is refused for ${name}, with its id or with 0, and nothing was published`, async (t) => {
    const rig = new LaneRig({ topicRules: [{ match: 'small.>', maxPayloadBytes: 16 }] });
    rig.patternCommand(9, 5, [3, 1, '>', null]);
    for (const id of [7, 0]) {
      const outs = rig.command(1, [2, id, topic, options, payload]);
      t.match(outs, [{ kind: 'send', session: 1, flags: 0, message: [33, id, code, text] }]);
      t.equal(outs.length, 1);
    }
    t.equal(rig.metric('publishes'), 0);
    t.equal(rig.metric('errors'), 2);
  });
}

t.test('a payload of exactly the topic’s bound is taken', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: '>', maxPayloadBytes: 16 }] });
  t.equal(rig.ask(1, [2, 5, 'a', null, 'x'.repeat(15)]).offset, 1);
});

t.test('a name of the relay stays its own when somebody has subscribed to it', async (t) => {
  const rig = new LaneRig();
  const { sub } = rig.subscribe(1, '$service.math').reply as unknown as { sub: number };
  const outs = rig.command(2, [2, 7, '$service.math', null, 'x']);
  t.same(fannedOut(outs, sub), []);
  t.match(outs, [{ message: [33, 7, 102] }]);
});

t.test('a name that begins with U+FEFF is not the name without it', async (t) => {
  // The story: TextDecoder drops a leading U+FEFF. Such a topic went by the other's name where patterns and rules are matched, so that
  // anybody could publish to the subscribers of `$service.>`, and escape the rules for a name.
  const rig = new LaneRig({ topicRules: [{ match: 'small', maxPayloadBytes: 1 }] });
  rig.patternCommand(1, 5, [3, 1, '$service.>', null]);
  t.same(rig.command(2, [2, 0, '\ufeff$service.math', null, 'spoofed']), []);
  t.equal(rig.ask(2, [2, 7, '\ufeffsmall', null, 'more than one byte']).offset, 1);
});

// ---- idempotency

t.test('the same key on the same topic inside the window gets the first answer, and nothing is published', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(1, 'room');
  const first = rig.ask(2, [2, 5, 'room', { key: 'k' }, 'x']);
  rig.publish('room', 'between');
  const again = rig.command(3, [2, 6, 'room', { key: 'k' }, 'x']);
  t.equal(again.length, 1);
  t.match(again[0], { kind: 'send', session: 3, message: [32, 6, { epoch: first.epoch, offset: 1, duplicate: true }] });
  t.equal(rig.ask(2, [2, 5, 'other', { key: 'k' }, 'x']).duplicate, undefined, 'another topic is another window');
  t.same(rig.command(3, [2, 0, 'room', { key: 'k' }, 'x']), [], 'no reply wanted, none given');
  t.equal(rig.metric('publishesDuplicate'), 2);
});

t.test('the window ends after its time', async (t) => {
  const rig = new LaneRig({ dedupWindowMs: 1_000 });
  rig.ask(1, [2, 5, 'room', { key: 'k' }, 'x']);
  rig.nowMs += 999;
  t.equal(rig.ask(1, [2, 5, 'room', { key: 'k' }, 'x']).duplicate, true);
  rig.nowMs += 1;
  t.same(rig.ask(1, [2, 5, 'room', { key: 'k' }, 'x']).offset, 2);
  rig.nowMs += 999;
  t.match(rig.ask(1, [2, 5, 'room', { key: 'k' }, 'x']), { duplicate: true, offset: 2 });
});

t.test('keys work without history, and outlive the messages', async (t) => {
  const rig = new LaneRig({ topicRules: [...NO_HISTORY, { match: 'short', history: { count: 1 } }] });
  t.match(rig.ask(1, [2, 5, 'plain.a', { key: 'k' }, 'x']), { offset: 0 });
  t.match(rig.ask(1, [2, 5, 'plain.a', { key: 'k' }, 'x']), { offset: 0, duplicate: true });
  rig.ask(1, [2, 5, 'short', { key: 'k' }, 'x']);
  rig.ask(1, [2, 5, 'short', null, 'y']);
  t.match(rig.ask(1, [2, 5, 'short', { key: 'k' }, 'x']), { offset: 1, duplicate: true });
});

t.test('at dedupKeysMax the oldest key goes, and is counted', async (t) => {
  const rig = new LaneRig({ dedupKeysMax: 2 });
  for (const key of ['a', 'b', 'c']) rig.ask(1, [2, 5, 'room', { key }, 0]);
  t.equal(rig.metric('dedupKeysEvicted'), 1);
  t.equal(rig.ask(1, [2, 5, 'room', { key: 'b' }, 0]).duplicate, true);
  t.equal(rig.ask(1, [2, 5, 'room', { key: 'a' }, 0]).duplicate, undefined);
});

t.test('a publish that was refused does not use up its key', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: '>', maxPayloadBytes: 4 }] });
  t.equal(rig.ask(1, [2, 5, 'room', { key: 'k' }, 'too large']), 107);
  t.match(rig.ask(1, [2, 5, 'room', { key: 'k' }, 'ok']), { offset: 1, duplicate: undefined });
});

// ---- subscribe and recovery

t.test('a subscription says where the stream stands', async (t) => {
  const rig = new LaneRig();
  const first = rig.subscribe(1, 'room');
  t.match(first.reply, { offset: 0, replay: 0, epoch: /^.{10}$/, recovered: undefined, reason: undefined });
  t.same(first.replayed, []);
  rig.publish('room', 'x');
  const second = rig.subscribe(2, 'room').reply as unknown as { sub: number; epoch: string };
  const { sub, epoch } = first.reply as unknown as { sub: number; epoch: string };
  t.match(second, { sub, epoch, offset: 1 });
});

t.test('subscription numbers are the lane’s own, whatever the number of lanes', async (t) => {
  const rig = new LaneRig({ index: 2, laneCount: 4, firstSub: 12 });
  const subs = ['a', 'b', 'c'].map((topic) => (rig.subscribe(1, topic).reply as unknown as { sub: number }).sub);
  t.same(subs, [12, 17, 22]);
  t.throws(() => new LaneRig({ index: 2, laneCount: 4, firstSub: 13 }), { name: 'AssertionFailed' });
});

t.test('every epoch of a lane is another, and another seed gives others', async (t) => {
  const epochsOf = (seed: number): string[] => {
    const rig = new LaneRig({ seed });
    return ['a', 'b', 'c'].map((topic) => rig.ask(1, [2, 5, topic, null, 0]).epoch);
  };
  t.equal(new Set([...epochsOf(1), ...epochsOf(2)]).size, 6);
  t.same(epochsOf(3), epochsOf(3), 'the same seed replays');
});

for (const { name, since, options = {}, want, replayed } of [
  { name: 'since the end', since: 8, want: { recovered: true, replay: 0 }, replayed: [] },
  { name: 'since two before the end', since: 6, want: { recovered: true, replay: 2 }, replayed: [7, 8] },
  { name: 'since all that is kept', since: 3, want: { recovered: true, replay: 5 }, replayed: [4, 5, 6, 7, 8] },
  {
    name: 'since one before that',
    since: 2,
    want: { recovered: false, reason: 'EVICTED', lost: [3, 8], replay: 0 },
    replayed: [],
  },
  { name: 'since the beginning', since: 0, want: { recovered: false, reason: 'EVICTED', lost: [1, 8], replay: 0 }, replayed: [] },
  {
    name: 'since tomorrow',
    since: 9,
    want: { recovered: false, reason: 'OFFSET_AHEAD', replay: 0, lost: undefined },
    replayed: [],
  },
  { name: 'the last none', options: { last: 0 }, want: { replay: 0, recovered: undefined }, replayed: [] },
  { name: 'the last two', options: { last: 2 }, want: { replay: 2, recovered: undefined }, replayed: [7, 8] },
  {
    name: 'the last of more than there are',
    options: { last: 99 },
    want: { replay: 5, recovered: undefined },
    replayed: [4, 5, 6, 7, 8],
  },
] as { name: string; since?: number; options?: object; want: object; replayed: number[] }[]) {
  t.test(`subscribe to the ${name}`, async (t) => {
    const rig = new LaneRig({ topicRules: COUNT_FIVE });
    let epoch = '';
    for (let offset = 1; offset <= 8; offset++) ({ epoch } = rig.ask(1, [2, 5, 'room', null, `m${offset}`]));
    const { reply, replayed: got } = rig.subscribe(
      2,
      'room',
      since === undefined ? options : { since: { epoch, offset: since } },
    );
    t.match(reply, { epoch, offset: 8, ...want });
    const { sub } = reply as unknown as { sub: number };
    t.same(
      got,
      replayed.map((offset) => [34, sub, null, offset, { recovered: true }, `m${offset}`]),
    );
    t.equal(rig.metric('messagesReplayed'), replayed.length);
  });
}

for (const { name, topic, since, reason, metric } of [
  {
    name: 'a topic without history',
    topic: 'plain.a',
    since: { epoch: 'x', offset: 1 },
    reason: 'NO_HISTORY',
    metric: 'recoveriesNoHistory',
  },
  {
    name: 'another epoch',
    topic: 'room',
    since: { epoch: 'x', offset: 1 },
    reason: 'EPOCH_CHANGED',
    metric: 'recoveriesEpochChanged',
  },
  {
    name: 'a topic nobody knows',
    topic: 'new',
    since: { epoch: 'x', offset: 0 },
    reason: 'EPOCH_CHANGED',
    metric: 'recoveriesEpochChanged',
  },
] as const) {
  t.test(`no recovery from ${name}, and it is counted`, async (t) => {
    const rig = new LaneRig({ topicRules: NO_HISTORY });
    rig.publish('room', 'x');
    const { reply } = rig.subscribe(1, topic, { since });
    t.match(reply, { recovered: false, reason, lost: undefined, replay: 0 });
    t.equal(rig.metric(metric), 1);
  });
}

t.test('TOO_MANY by count and by bytes; a live message follows all the same', async (t) => {
  for (const limits of [{ recoveryMessagesMax: 2 }, { recoveryBytesMax: 20 }]) {
    const rig = new LaneRig(limits);
    const { epoch } = rig.ask(1, [2, 5, 'room', null, 'x'.repeat(10)]);
    for (let count = 0; count < 3; count++) rig.publish('room', 'x'.repeat(10));
    const { reply, replayed } = rig.subscribe(2, 'room', { since: { epoch, offset: 1 } });
    t.match(reply, { recovered: false, reason: 'TOO_MANY', lost: [2, 4], offset: 4 });
    t.same(replayed, []);
    t.equal(rig.metric('recoveriesTooMany'), 1);
    t.equal(rig.publish('room', 'y')[0]?.message?.[3], 5);
  }
});

t.test('last stops at the recovery limits', async (t) => {
  for (const [limits, want] of [
    [{ recoveryMessagesMax: 2 }, [3, 4]],
    [{ recoveryBytesMax: 25 }, [3, 4]],
    [{ recoveryBytesMax: 10 }, []],
    [{ recoveryMessagesMax: 0 }, []],
  ] as const) {
    const rig = new LaneRig(limits);
    for (let count = 0; count < 4; count++) rig.publish('room', 'x'.repeat(10));
    const { reply, replayed } = rig.subscribe(1, 'room', { last: 100 });
    t.same(
      replayed.map((message) => message[3]),
      want,
    );
    t.match(reply, { replay: want.length });
  }
});

t.test('since and last exclude each other, and the front is told that the SUBSCRIBE failed', async (t) => {
  const rig = new LaneRig();
  const outs = rig.command(1, [3, 5, 'room', { since: { epoch: 'x', offset: 0 }, last: 1 }]);
  t.match(outs, [{ kind: 'send', flags: SendFlag.SUBSCRIBE_FAILED, message: [33, 5, 100, /exclude each other/] }]);
  t.same(rig.publish('room', 'x'), [], 'it is not subscribed');
});

t.test('messages that have expired are named by a skip where they would have stood', async (t) => {
  const rig = new LaneRig();
  const ttls = [null, 100, 100, null, 100, null, 100];
  for (const [index, ttlMs] of ttls.entries()) rig.publish('room', `m${index + 1}`, { ttlMs });
  rig.nowMs += 99;
  t.equal(rig.subscribe(1, 'room', { last: 10 }).replayed.length, 7, 'a millisecond early all are there');
  rig.nowMs += 1;
  const { reply, replayed } = rig.subscribe(2, 'room', { last: 10 });
  const { sub } = reply as unknown as { sub: number };
  t.match(reply, { replay: 3 });
  const skip = (from: number, to: number): unknown[] => [
    35,
    sub,
    null,
    'skip',
    { from, to, reason: 'expired', count: to - from + 1 },
  ];
  const message = (offset: number): unknown[] => [34, sub, null, offset, { recovered: true }, `m${offset}`];
  t.same(replayed, [message(1), skip(2, 3), message(4), skip(5, 5), message(6), skip(7, 7)]);
  t.same(
    (rig.ask(2, [10, 5, 'room', null]).messages as unknown[][]).map(([offset]) => offset),
    [1, 4, 6],
  );
});

t.test('what is older than ageMs is not replayed', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: '>', history: { ageMs: 1_000 } }] });
  const { epoch } = rig.ask(1, [2, 5, 'room', null, 1]);
  rig.nowMs += 600;
  rig.publish('room', 2);
  rig.nowMs += 600;
  t.match(rig.subscribe(2, 'room', { since: { epoch, offset: 0 } }).reply, { recovered: false, reason: 'EVICTED', lost: [1, 2] });
  t.match(rig.subscribe(3, 'room', { since: { epoch, offset: 1 } }).reply, { recovered: true, replay: 1 });
});

for (const [index, policy] of SLOW_CONSUMER_POLICIES.entries()) {
  t.test(`the policy reaches the front: ${policy}, asked for and by configuration`, async (t) => {
    const rig = new LaneRig({ topicRules: [{ match: 'configured', slowConsumer: policy }] });
    for (const [topic, options] of [
      ['asked', { policy, conflateBy: 'symbol' }],
      ['configured', null],
    ] as const) {
      const [join] = rig.command(1, [3, 1, topic, options]);
      t.equal((join?.flags ?? 0) >> JoinFlag.POLICY_SHIFT, index);
      t.equal((join?.flags ?? 0) & 0xff, JoinFlag.HISTORY);
      t.same(join?.restore, options === null ? null : { conflateBy: 'symbol' });
    }
  });
}

t.test('pause needs history: refused when asked for, otherwise it is disconnect', async (t) => {
  const rig = new LaneRig({ topicRules: [...NO_HISTORY, { match: 'plain.configured', slowConsumer: 'pause' }] });
  t.equal(rig.ask(1, [3, 5, 'plain.a', { policy: 'pause' }]), 100);
  const [join] = rig.command(1, [3, 5, 'plain.configured', null]);
  t.equal(join?.flags, 0);
});

t.test('subscribing again replaces the options and is no second subscription', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(1, 'room', { policy: 'conflate' });
  const [join] = rig.command(1, [3, 5, 'room', null]);
  t.equal((join?.flags ?? 0) >> JoinFlag.POLICY_SHIFT, 0);
  rig.advance(1);
  t.equal(rig.metric('subscriptions'), 1);
  rig.command(1, [4, 5, 'room']);
  rig.advance(1);
  t.equal(rig.metric('subscriptions'), 0);
});

t.test('an UNSUBSCRIBE is answered with nil, and a second one with NOT_FOUND', async (t) => {
  const rig = new LaneRig();
  const { sub } = rig.subscribe(1, 'room').reply as unknown as { sub: number };
  t.match(rig.command(1, [4, 6, 'room']), [{ kind: 'leave', session: 1, sub, message: [32, 6, null] }]);
  t.match(rig.command(1, [4, 6, 'room']), [{ kind: 'send', message: [33, 6, 103, /not subscribed/] }]);
  t.match(rig.command(1, [4, 6, 'never']), [{ kind: 'send', message: [33, 6, 103] }]);
  t.same(rig.publish('room', 'x'), []);
});

t.test('without an id a subscription is silent, but the front still hears of it', async (t) => {
  const rig = new LaneRig();
  t.match(rig.command(1, [3, 0, 'room', null]), [{ kind: 'join', session: 1, message: null }]);
  t.match(rig.command(1, [4, 0, 'room']), [{ kind: 'leave', session: 1, message: null }]);
});

t.test('a command with options that are refused makes no topic', async (t) => {
  const rig = new LaneRig();
  t.equal(rig.ask(1, [3, 5, 'room', { last: -1 }]), 100);
  t.equal(rig.ask(1, [10, 5, 'room', { limit: 0 }]), 100);
  t.equal(rig.ask(1, [11, 5, 'room', { countOnly: 'yes' }]), 100);
  rig.advance(1);
  t.equal(rig.metric('topics'), 0);
});

for (const type of [15]) {
  t.test(`type ${type} is not supported, should the front let it through`, async (t) => {
    const rig = new LaneRig();
    t.match(rig.command(1, [type, 5, 'token']), [{ message: [33, 5, 100, /not supported/] }]);
  });
}

// ---- patterns

t.test('patterns get what matches, with the topic in the message, and say that they have no position', async (t) => {
  const rig = new LaneRig();
  const [join] = rig.patternCommand(1, 5, [3, 7, 'room.*', null]);
  t.match(join, {
    kind: 'join',
    session: 1,
    sub: 5,
    flags: JoinFlag.PATTERN,
    message: [32, 7, { sub: 5, epoch: null, offset: 0, replay: 0 }],
  });
  rig.patternCommand(2, 8, [3, 7, '>', { policy: 'conflate' }]);
  const outs = rig.publish('room.a', 'x');
  t.same(
    outs.map(({ message }) => message),
    [
      [34, 5, 'room.a', 1, null, 'x'],
      [34, 8, 'room.a', 1, null, 'x'],
    ],
  );
  t.equal(rig.publish('room.a.b', 'x').length, 1);
  t.equal(rig.publish('other', 'x').length, 1);
});

for (const { name, options, want } of [
  { name: 'nothing', options: null, want: { recovered: undefined } },
  { name: 'since', options: { since: { epoch: 'x', offset: 3 } }, want: { recovered: false, reason: 'NO_HISTORY' } },
  { name: 'last', options: { last: 5 }, want: { recovered: false, reason: 'NO_HISTORY' } },
]) {
  t.test(`a pattern that asks for ${name}`, async (t) => {
    const rig = new LaneRig();
    t.match(rig.patternCommand(1, 5, [3, 7, '>', options])[0]?.message, [32, 7, { epoch: null, offset: 0, replay: 0, ...want }]);
  });
}

t.test('an exact subscription and a pattern each get theirs, with their own number', async (t) => {
  const rig = new LaneRig();
  rig.patternCommand(1, 5, [3, 7, '>', null]);
  const { sub } = rig.subscribe(1, 'room').reply as unknown as { sub: number };
  t.same(
    rig.publish('room', 'x').map(({ message }) => message),
    [
      [34, sub, null, 1, null, 'x'],
      [34, 5, 'room', 1, null, 'x'],
    ],
  );
});

t.test('a pattern ends with its last session, by UNSUBSCRIBE or by closing', async (t) => {
  const rig = new LaneRig();
  rig.patternCommand(1, 5, [3, 7, '>', null]);
  rig.patternCommand(2, 5, [3, 7, '>', null]);
  rig.patternCommand(2, 5, [3, 7, '>', null]);
  t.match(rig.patternCommand(1, 5, [4, 8, '>']), [{ kind: 'leave', session: 1, sub: 5, message: [32, 8, null] }]);
  t.equal(rig.publish('a', 'x').length, 1);
  rig.close(2);
  t.equal(rig.publish('a', 'x').length, 0);
  rig.advance(1);
  t.equal(rig.metric('patterns'), 0);
});

// ---- history

t.test('HISTORY pages through everything, up and down', async (t) => {
  const rig = new LaneRig();
  let epoch = '';
  for (let offset = 1; offset <= 10; offset++) ({ epoch } = rig.ask(1, [2, 5, 'room', null, offset]));
  for (const { reverse, want } of [
    {
      reverse: false,

      want: [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10],
      ],
    },
    {
      reverse: true,

      want: [
        [10, 9, 8, 7],
        [6, 5, 4, 3],
        [2, 1],
      ],
    },
  ] as { reverse: boolean; want: number[][] }[]) {
    const pages: number[][] = [];
    for (let since: { epoch: string; offset: number } | null = null, more = true; more; ) {
      const reply = rig.ask(1, [10, 5, 'room', { limit: 4, reverse, since }]);
      t.match(reply, { epoch, first: 1, offset: 10 });
      pages.push((reply.messages as number[][]).map(([offset]) => offset as number));
      since = { epoch, offset: pages.at(-1)?.at(-1) ?? 0 };
      more = reply.more;
    }
    t.same(pages, want);
  }
});

for (const { name, options, want, more = false } of [
  { name: 'from the start', options: null, want: [4, 5, 6, 7, 8] },
  { name: 'a limit that just fits', options: { limit: 5 }, want: [4, 5, 6, 7, 8] },
  { name: 'a limit of one', options: { limit: 1 }, want: [4], more: true },
  { name: 'backwards', options: { reverse: true }, want: [8, 7, 6, 5, 4] },
  { name: 'backwards, a limit that just fits', options: { reverse: true, limit: 5 }, want: [8, 7, 6, 5, 4] },
  { name: 'backwards, a limit of two', options: { reverse: true, limit: 2 }, want: [8, 7], more: true },
  { name: 'after the end', options: { since: 8 }, want: [] },
  { name: 'after more than the end', options: { since: 99 }, want: [] },
  { name: 'after what is gone', options: { since: 1 }, want: [4, 5, 6, 7, 8] },
  { name: 'backwards from the beginning', options: { since: 4, reverse: true }, want: [] },
  { name: 'backwards from what is gone', options: { since: 2, reverse: true }, want: [] },
  { name: 'backwards from 0', options: { since: 0, reverse: true }, want: [] },
  { name: 'backwards from beyond the end', options: { since: 1_000, reverse: true, limit: 2 }, want: [8, 7], more: true },
] as { name: string; options: { since?: number } | null; want: number[]; more?: boolean }[]) {
  t.test(`HISTORY ${name}`, async (t) => {
    const rig = new LaneRig({ topicRules: COUNT_FIVE });
    let epoch = '';
    for (let offset = 1; offset <= 8; offset++) ({ epoch } = rig.ask(1, [2, 5, 'room', null, offset]));
    const since = options?.since === undefined ? {} : { since: { epoch, offset: options.since } };
    const reply = rig.ask(1, [10, 5, 'room', options === null ? null : { ...options, ...since }]);
    t.same(
      (reply.messages as number[][]).map(([offset]) => offset),
      want,
    );
    t.match(reply, { epoch, first: 4, offset: 8, more });
  });
}

t.test('HISTORY of a topic that keeps nothing yet has first = offset + 1', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: 'gone', history: { ageMs: 1_000 } }] });
  t.match(rig.ask(1, [10, 5, 'new', null]), { first: 1, offset: 0, messages: [], more: false });
  rig.publish('gone', 1);
  rig.nowMs += 2_000;
  t.match(rig.ask(1, [10, 5, 'gone', null]), { first: 2, offset: 1, messages: [], more: false });
});

t.test('a page of messages that have expired ends only where the history does', async (t) => {
  const rig = new LaneRig();
  for (let count = 0; count < 10; count++) rig.publish('room', 'old', { ttlMs: 10 });
  rig.publish('room', 'new');
  rig.nowMs += 10;
  for (const reverse of [false, true]) {
    t.match(rig.ask(1, [10, 5, 'room', { limit: 2, reverse }]), { messages: [[11, null, 'new']], more: false });
  }
});

for (const { name, message, code, text } of [
  { name: 'another epoch', message: [10, 5, 'room', { since: { epoch: 'x', offset: 1 } }], code: 112, text: /another epoch/ },
  {
    name: 'another epoch, backwards',
    message: [10, 5, 'room', { since: { epoch: 'x', offset: 1 }, reverse: true }],
    code: 112,
    text: /another epoch/,
  },
  { name: 'a topic without history', message: [10, 5, 'plain.a', null], code: 100, text: /keeps no history/ },
  { name: 'a pattern', message: [10, 5, 'room.*', null], code: 100, text: /pattern/ },
  { name: 'a limit over the bound', message: [10, 5, 'room', { limit: 1_001 }], code: 100, text: /limit must be/ },
]) {
  t.test(`HISTORY is refused for ${name}`, async (t) => {
    const rig = new LaneRig({ topicRules: NO_HISTORY });
    t.match(rig.command(1, message), [{ message: [33, 5, code, text] }]);
  });
}

t.test('a HISTORY reply stops at 256 KiB, with one message at least', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: '>', history: { bytes: 10_000_000 }, maxPayloadBytes: 250_000 }] });
  for (let count = 0; count < 4; count++) rig.publish('room', 'x'.repeat(100_000));
  for (const reverse of [false, true]) {
    const { messages, more } = rig.ask(1, [10, 5, 'room', { reverse }]) as { messages: unknown[]; more: boolean };
    t.equal(messages.length, 2);
    t.equal(more, true);
  }
});

t.test('a HISTORY reply of many small messages still fits into a ring record', async (t) => {
  // The story: the reply's bound counted payloads only. With limits as high as the configuration allowed, heads of ten bytes each made
  // a record that no ring takes, and the lane died of it.
  const rig = new LaneRig({
    historyLimitMax: 100_000,
    topicRules: [{ match: '>', history: { count: 100_000, bytes: 10_000_000 } }],
  });
  const publish = pack([2, 0, 'room', null, 1]);
  for (let count = 0; count < 80_000; count++) rig.bytes(1, publish);
  for (const reverse of [false, true]) {
    const { messages, more } = rig.ask(1, [10, 5, 'room', { limit: 80_000, reverse }]) as { messages: number[][]; more: boolean };
    t.ok(messages.length > 10_000);
    t.equal(more, true);
    t.same(messages[0], [reverse ? 80_000 : 1, null, 1]);
  }
});

// ---- presence

/** The presence events that a command caused, for those who watch. */
function presenceEvents(outs: ReturnType<LaneRig['command']>): unknown[][] {
  return outs.filter((out) => out.message?.[0] === 35).map((out) => [out.message?.[3], out.message?.[4], out.excluded]);
}

t.test('join, update and leave are told to the others, who watch', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(9, 'room', { presence: 'watch' });
  const outs = rig.command(1, [3, 5, 'room', { presence: { mood: 'good' } }]);
  t.equal(outs[0]?.flags, FanoutFlag.EVENT | FanoutFlag.WATCHERS_ONLY);
  t.same(presenceEvents(outs), [['join', { id: 'client-1', data: { mood: 'good' }, count: 1 }, 1]]);
  t.equal((outs[1]?.flags ?? 0) & JoinFlag.WATCH, JoinFlag.WATCH);
  t.same(presenceEvents(rig.command(1, [3, 5, 'room', { presence: { mood: 'good' } }])), [], 'the same again is no event');
  t.same(presenceEvents(rig.command(1, [3, 5, 'room', { presence: { mood: 'bad' } }])), [
    ['update', { id: 'client-1', data: { mood: 'bad' }, count: 1 }, 1],
  ]);
  t.same(presenceEvents(rig.command(2, [3, 5, 'room', { presence: true }])), [['join', { id: 'client-2', count: 2 }, 2]]);
  t.same(presenceEvents(rig.command(1, [4, 6, 'room'])), [['leave', { id: 'client-1', count: 1 }, 1]]);
  t.same(
    presenceEvents(rig.command(2, [3, 6, 'room', null])),
    [['leave', { id: 'client-2', count: 0 }, 2]],
    'and without presence one is no member',
  );
});

t.test('PRESENCE lists who is there', async (t) => {
  const rig = new LaneRig({ topicRules: [{ match: 'none', presence: false }] });
  t.same(rig.ask(1, [11, 5, 'room', null]), { count: 0, members: [] });
  rig.subscribe(1, 'room', { presence: { a: 1 } });
  rig.open(2, null);
  rig.subscribe(2, 'room', { presence: true });
  rig.subscribe(3, 'room', { presence: 'watch' });
  rig.subscribe(4, 'room');
  t.same(rig.ask(9, [11, 5, 'room', null]), { count: 2, members: [{ id: 'client-1', data: { a: 1 } }, { id: 'session-2' }] });
  t.same(rig.ask(9, [11, 5, 'room', { countOnly: true }]), { count: 2 });
  t.equal(rig.ask(9, [11, 5, 'none', null]), 100);
  t.equal(rig.ask(9, [3, 5, 'none', { presence: true }]), 100);
  t.equal(rig.ask(9, [3, 5, 'none', { presence: 'watch' }]), 100);
});

t.test('a member that is cut off leaves after the grace time, one that says goodbye at once', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(9, 'room', { presence: 'watch' });
  rig.subscribe(1, 'room', { presence: true });
  rig.subscribe(2, 'room', { presence: true });
  t.same(presenceEvents(rig.close(1, false)), [['leave', { id: 'client-1', count: 1 }, 1]]);
  t.same(presenceEvents(rig.close(2, true)), []);
  t.same(presenceEvents(rig.advance(GRACE_MS - 1)), []);
  t.same(rig.ask(9, [11, 5, 'room', { countOnly: true }]), { count: 1 });
  t.same(presenceEvents(rig.advance(1)), [['leave', { id: 'client-2', count: 0 }, 0]]);
  t.same(presenceEvents(rig.advance(GRACE_MS)), [], 'once');
  t.equal(rig.metric('presenceGraceExpired'), 1);
});

t.test('a reconnect inside the grace time is no leave and no join', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(9, 'room', { presence: 'watch' });
  rig.subscribe(1, 'room', { presence: { a: 1 } });
  rig.close(1, true);
  rig.advance(GRACE_MS - 1);
  rig.open(2, 'client-1');
  t.same(presenceEvents(rig.command(2, [3, 5, 'room', { presence: { a: 1 } }])), []);
  t.same(presenceEvents(rig.advance(2 * GRACE_MS)), []);
  t.same(rig.ask(9, [11, 5, 'room', { countOnly: true }]), { count: 1 });
});

t.test('one client in two tabs is one member until the second tab closes', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(9, 'room', { presence: 'watch' });
  rig.open(1, 'alice');
  rig.open(2, 'alice');
  t.equal(presenceEvents(rig.command(1, [3, 5, 'room', { presence: true }])).length, 1);
  t.same(presenceEvents(rig.command(2, [3, 5, 'room', { presence: true }])), []);
  t.same(presenceEvents(rig.close(1, true)), []);
  t.same(presenceEvents(rig.advance(2 * GRACE_MS)), []);
  t.same(presenceEvents(rig.command(2, [4, 5, 'room'])), [['leave', { id: 'alice', count: 0 }, 2]]);
});

t.test('at presenceMembersMax: LIMIT, no subscription, and the front is told', async (t) => {
  const rig = new LaneRig({ presenceMembersMax: 2 });
  rig.subscribe(1, 'room', { presence: true });
  rig.subscribe(2, 'room', { presence: true });
  t.match(rig.command(3, [3, 5, 'room', { presence: true }]), [
    { kind: 'send', flags: SendFlag.SUBSCRIBE_FAILED, message: [33, 5, 104, /presenceMembersMax=2/, { presenceMembersMax: 2 }] },
  ]);
  t.equal(rig.metric('presenceMembersRefused'), 1);
  rig.close(1);
  t.match(rig.command(3, [3, 5, 'room', { presence: true }]).at(-1), { kind: 'join' });
});

t.test('presence data over its bound is TOO_LARGE', async (t) => {
  const rig = new LaneRig({ presenceBytesMax: 20 });
  t.equal(rig.ask(1, [3, 5, 'room', { presence: { a: 'x'.repeat(20) } }]), 107);
});

t.test('a PRESENCE reply stops where it would not fit into a ring record', async (t) => {
  const rig = new LaneRig({ presenceMembersMax: 1_000 });
  for (let session = 1; session <= 800; session++) rig.command(session, [3, 0, 'room', { presence: { name: '名'.repeat(335) } }]);
  const { count, members, truncated } = rig.ask(1, [11, 5, 'room', null]) as {
    count: number;
    members: unknown[];
    truncated: boolean;
  };
  t.equal(count, 800);
  t.ok(members.length > 200 && members.length < 800);
  t.equal(truncated, true);
});

// ---- policy pause

t.test('a resume replays what was missed, marked as lagged, and is live again', async (t) => {
  const rig = new LaneRig();
  const { sub } = rig.subscribe(1, 'room', { policy: 'pause' }).reply as unknown as { sub: number };
  for (let offset = 1; offset <= 5; offset++) rig.publish('room', `m${offset}`);
  const outs = rig.resume(1, 'room', 2);
  t.same(
    outs.map(({ kind, message }) => [kind, message]),
    [
      ['send', [35, sub, null, 'lagged', { from: 3, to: 5 }]],
      ...[3, 4, 5].map((offset) => ['send', [34, sub, null, offset, { recovered: true }, `m${offset}`]]),
      ['join', null],
    ],
  );
  t.ok(outs.slice(0, -1).every(({ flags }) => flags === SendFlag.REPLAY));
  t.match(outs.at(-1), { session: 1, sub, flags: JoinFlag.RESUMED, restore: 5 });
});

t.test('a resume with nothing missed says only that', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(1, 'room', { policy: 'pause' });
  rig.publish('room', 'x');
  t.match(rig.resume(1, 'room', 1), [{ kind: 'join', flags: JoinFlag.RESUMED, restore: 1 }]);
});

t.test('a resume names what is lost', async (t) => {
  const rig = new LaneRig({ topicRules: COUNT_FIVE });
  const { sub, epoch } = rig.subscribe(1, 'room', { policy: 'pause' }).reply as unknown as { sub: number; epoch: string };
  for (let offset = 1; offset <= 9; offset++) rig.publish('room', offset);
  const outs = rig.resume(1, 'room', 1);
  t.same(outs[0]?.message, [35, sub, null, 'lost', { from: 2, to: 4, reason: 'EVICTED', epoch, offset: 4 }]);
  t.same(outs[1]?.message, [35, sub, null, 'lagged', { from: 5, to: 9 }]);
  t.equal(outs.length, 8);
});

for (const { name, limits, chunks } of [
  { name: 'by count', limits: { recoveryMessagesMax: 2 }, chunks: [2, 4, 5] },
  { name: 'by bytes', limits: { recoveryBytesMax: 25 }, chunks: [2, 4, 5] },
  { name: 'one by one where nothing fits', limits: { recoveryBytesMax: 5 }, chunks: [1, 2, 3, 4, 5] },
  { name: 'one by one where recovery is switched off', limits: { recoveryMessagesMax: 0 }, chunks: [1, 2, 3, 4, 5] },
]) {
  t.test(`a resume comes in chunks, ${name}`, async (t) => {
    const rig = new LaneRig(limits);
    rig.subscribe(1, 'room', { policy: 'pause' });
    for (let offset = 1; offset <= 5; offset++) rig.publish('room', 'x'.repeat(10));
    const reached: unknown[] = [];
    const offsets: unknown[] = [];
    let after = 0;
    for (let more = true; more && reached.length < 10; ) {
      const outs = rig.resume(1, 'room', after);
      offsets.push(...outs.filter(({ message }) => message?.[0] === 34).map(({ message }) => message?.[3]));
      const join = outs.at(-1);
      after = join?.restore as number;
      reached.push(after);
      more = ((join?.flags ?? 0) & JoinFlag.MORE) !== 0;
    }
    t.same(reached, chunks);
    t.same(offsets, [1, 2, 3, 4, 5]);
  });
}

t.test('a resume of somebody who has left, or of a topic that is gone, is nothing', async (t) => {
  const rig = new LaneRig();
  rig.subscribe(1, 'room', { policy: 'pause' });
  rig.command(1, [4, 5, 'room']);
  t.same(rig.resume(1, 'room', 0), []);
  t.same(rig.resume(1, 'never', 0), []);
});

// ---- bounds

t.test('at topicsMax: LIMIT for new topics, and for them only', async (t) => {
  const rig = new LaneRig({ topicsMax: 2 });
  rig.publish('a', 1);
  rig.publish('b', 1);
  for (const message of [
    [2, 5, 'c', null, 1],
    [3, 5, 'c', null],
    [10, 5, 'c', null],
    [11, 5, 'c', null],
  ])
    t.match(rig.command(1, message), [{ message: [33, 5, 104, /topicsMax=2/] }]);
  t.match(rig.ask(1, [2, 5, 'a', null, 1]), { offset: 2 });
  t.equal(rig.metric('topicsRefused'), 4);
});

t.test('at topicsMax an idle topic makes room', async (t) => {
  const rig = new LaneRig({ topicsMax: 2, topicRules: [...NO_HISTORY] });
  rig.subscribe(1, 'a');
  rig.publish('plain.idle', 1);
  t.match(rig.ask(1, [2, 5, 'c', null, 1]), { offset: 1 });
  t.equal(rig.metric('topicsEvictedIdle'), 1);
  t.equal(rig.ask(1, [2, 5, 'd', null, 1]), 104);
});

t.test('at topicsMax an idle topic is found wherever it stands', async (t) => {
  // The story: the search began at the oldest topics each time and looked at 256 of them. Where those were busy, thousands of idle ones
  // behind them made no room.
  const rig = new LaneRig({ topicsMax: 400, topicRules: NO_HISTORY });
  for (let index = 0; index < 300; index++) rig.subscribe(1, `busy.${index}`);
  for (let index = 0; index < 100; index++) rig.publish(`plain.${index}`, 1);
  const answers = Array.from({ length: 3 }, (_, index) => rig.ask(1, [2, 5, `plain.new.${index}`, null, 1]).offset);
  t.ok(answers.filter((offset) => offset === 0).length >= 2, 'at the second look at the latest');
  rig.advance(0);
  t.ok(rig.metric('topics') <= 400);
});

for (const { name, prepare, idle } of [
  { name: 'nothing', prepare: () => undefined, idle: true },
  { name: 'a subscriber', prepare: (rig: LaneRig) => void rig.subscribe(1, 'plain.a'), idle: false },
  { name: 'a key', prepare: (rig: LaneRig) => void rig.publish('plain.a', 1, { key: 'k' }), idle: false },
  {
    name: 'a member in its grace time',
    prepare: (rig: LaneRig) => {
      rig.subscribe(1, 'plain.a', { presence: true });
      rig.close(1, true);
    },
    idle: false,
  },
]) {
  t.test(`a topic with ${name} is ${idle ? 'forgotten' : 'kept'} when its time is over`, async (t) => {
    const rig = new LaneRig({ topicRules: NO_HISTORY, topicIdleMs: 10_000 });
    const { epoch } = rig.ask(9, [2, 5, 'plain.a', null, 1]);
    prepare(rig);
    rig.advance(9_999);
    rig.advance(1);
    rig.advance(0); // The sweep goes round.
    t.equal(rig.metric('topics'), idle ? 0 : 1);
    t.equal(rig.ask(9, [2, 5, 'plain.a', null, 1]).epoch !== epoch, idle, 'a topic that was forgotten begins another stream');
  });
}

t.test('a topic with history is forgotten when that has grown too old', async (t) => {
  const rig = new LaneRig({ topicIdleMs: 10_000, topicRules: [{ match: '>', history: { ageMs: 60_000 } }] });
  rig.publish('a', 1);
  rig.advance(60_000);
  rig.advance(0);
  t.equal(rig.metric('topics'), 1);
  rig.advance(1);
  rig.advance(0);
  t.equal(rig.metric('topics'), 0);
  t.equal(rig.metric('historyBytes'), 0);
});

t.test('over historyBytesMax the topic used longest ago loses its history, and its subscribers’ recovery says so', async (t) => {
  const rig = new LaneRig({ historyBytesMax: 120_000, topicRules: [{ match: '>', history: { bytes: 60_000, count: 1_000 } }] });
  const epochs = new Map<string, string>();
  for (const topic of ['a', 'b', 'c']) {
    rig.nowMs += 10;
    for (let count = 0; count < 40; count++) epochs.set(topic, rig.ask(1, [2, 5, topic, null, 'x'.repeat(1_000)]).epoch);
  }
  rig.advance(0);
  t.ok(rig.metric('historyBytes') <= 120_000);
  t.equal(rig.metric('historiesEvicted'), 1);
  t.match(
    rig.ask(1, [10, 5, 'a', { limit: 1 }]),
    { epoch: epochs.get('a'), first: 41, offset: 40, messages: [] },
    'the stream goes on, empty',
  );
  t.match(rig.ask(1, [10, 5, 'b', { limit: 1 }]), { first: 1 });
  t.match(rig.subscribe(2, 'a', { since: { epoch: epochs.get('a'), offset: 39 } }).reply, {
    recovered: false,
    reason: 'EVICTED',
    lost: [40, 40],
  });
  t.match(rig.ask(1, [2, 5, 'a', null, 'y']), { offset: 41, epoch: epochs.get('a') });
});

t.test('a topic that alone is over the bound loses its own history', async (t) => {
  const rig = new LaneRig({ historyBytesMax: 20_000, topicRules: [{ match: '>', history: { bytes: 1_000_000, count: 1_000 } }] });
  for (let count = 0; count < 100; count++) rig.publish('a', 'x'.repeat(1_000));
  rig.advance(0);
  t.ok(rig.metric('historyBytes') <= 20_000);
  t.ok(rig.metric('historiesEvicted') > 0);
  t.equal(rig.ask(1, [2, 5, 'a', null, 'y']).offset, 101);
});

// ---- ids

t.test('an id keeps its value and stays an integer, whatever its width', async (t) => {
  const rig = new LaneRig();
  for (const id of [1, 127, 128, 65_536, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER]) {
    const idBytes =
      id > 0xffff_ffff ? [0xcf, ...new Uint8Array(new BigUint64Array([BigInt(id)]).buffer).reverse()] : [...pack(id)];
    const [ok] = rig.bytes(1, Uint8Array.from([0x95, 2, ...idBytes, 0xa1, 0x61, 0xc0, 0xc0]));
    t.equal(ok?.message?.[1], id);
    const [error] = rig.bytes(1, Uint8Array.from([0x95, 2, ...idBytes, 0xa2, 0x61, 0x2e, 0xc0, 0xc0]));
    t.equal(error?.message?.[1], id);
    t.not(error?.frame[2], 0xcb, 'no float: clients in other languages compare types too');
  }
});

// ---- a new lane in an old one's place

t.test('restored topics keep their numbers, begin a new stream and say so', async (t) => {
  const rig = new LaneRig({ firstSub: 40 });
  rig.restore(1, 12, { topic: 'room' });
  rig.restore(2, 12, { topic: 'room', presence: { data: { a: 1 } } });
  rig.restore(3, 12, { topic: 'room', presence: { data: null } });
  rig.restore(1, 5, { topic: 'x.>', pattern: true });
  const outs = rig.restoreEnd();
  const { epoch } = rig.ask(1, [2, 5, 'room', null, 'x']);
  t.same(
    outs.map(({ sub, flags, message }) => [sub, flags, message]),
    [
      [12, FanoutFlag.EVENT, [35, 12, null, 'lost', { from: null, to: null, reason: 'LANE_RESTARTED', epoch, offset: 0 }]],
      [5, FanoutFlag.EVENT, [35, 5, null, 'lost', { from: null, to: null, reason: 'LANE_RESTARTED', epoch: null, offset: 0 }]],
    ],
  );
  t.same(rig.restoreEnd().length, 1, 'topics are announced once');
  t.same(
    rig.ask(9, [11, 5, 'room', null]).members,
    [{ id: 'client-2', data: { a: 1 } }, { id: 'client-3' }],
    'presence without data comes back without data',
  );
  t.equal(rig.publish('x.y', 1)[0]?.sub, 5);
  t.equal((rig.subscribe(9, 'new').reply as unknown as { sub: number }).sub, 42, 'behind the topic of the publish');
});

t.test('a record of an unknown kind, and a command of an unknown session, are bugs of ours', async (t) => {
  const rig = new LaneRig();
  t.throws(() => rig.record(99, new Uint8Array(8)), { name: 'AssertionFailed' });
  const command = Uint8Array.from([77, 0, 0, 0, 0, 0, 0, 0, ...pack([3, 1, 'a', null])]);
  t.throws(() => rig.record(IngressKind.COMMAND, command), { name: 'AssertionFailed' });
  t.same(rig.close(77), [], 'closing a session nobody knows is none');
});
