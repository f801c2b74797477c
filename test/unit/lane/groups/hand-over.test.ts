/** Queue groups without acknowledgements: each message for one member of each group, and plain subscribers notice nothing. */
import t from 'tap';
import { JoinFlag } from '../../../../src/protocol/records.ts';
import { SLOW_CONSUMER_POLICIES } from '../../../../src/protocol/types.ts';
import { fannedOut } from '../lane-rig.ts';
import { answer, GroupRig, given, TOPIC } from './group-rig.ts';

t.test('messages go round among the members, in the order of their coming', async (t) => {
  const rig = new GroupRig();
  for (const session of [1, 2, 3]) rig.join(session);
  t.same(given(rig.say(1, 2, 3, 4)), ['1:1', '2:2', '3:3', '1:4']);
  rig.close(2);
  t.same(given(rig.say(5, 6, 7)), ['3:5', '1:6', '3:7']);
  rig.join(4);
  t.same(given(rig.say(8, 9, 10)), ['1:8', '3:9', '4:10']);
});

t.test('a delivery is the message as it was published, under the topic’s number', async (t) => {
  const rig = new GroupRig();
  const { reply } = rig.join(1);
  t.match(reply, { sub: Number, epoch: String, offset: 0, replay: 0 });
  const [deliver] = rig.publish(TOPIC, ['x'], { headers: { a: 'b' } });
  t.same(deliver?.message, [34, reply['sub'], null, 1, { headers: { a: 'b' } }, ['x']]);
  t.equal(deliver?.sub, reply['sub']);
});

t.test('each group gets each message, plain subscribers and patterns too', async (t) => {
  const rig = new GroupRig();
  const { sub } = rig.join(1).reply as { sub: number };
  rig.join(2, { group: 'other' });
  rig.patternCommand(4, 5, [3, 1, '>', null]);
  t.equal(fannedOut(rig.say(1), sub).length, 0, 'nobody is there for a fan-out');
  rig.subscribe(3, TOPIC);
  const outs = rig.say(2);
  t.same(given(outs), ['1:2', '2:2']);
  t.equal(fannedOut(outs, sub).length, 1);
  t.equal(fannedOut(outs, 5).length, 1);
});

t.test('a topic without history has groups, with offset 0', async (t) => {
  const rig = new GroupRig({ topicRules: [{ match: '>', history: { count: 0 } }] });
  rig.join(1);
  t.same(given(rig.say('a')), ['1:0']);
});

t.test('a publisher may be the one: echo is about plain subscribers', async (t) => {
  const rig = new GroupRig();
  rig.join(1);
  t.same(given(rig.publish(TOPIC, 'x', { echo: false }, 1)), ['1:1']);
});

t.test('without members it is a message that nobody reads', async (t) => {
  const rig = new GroupRig();
  rig.join(1);
  rig.command(1, [4, 2, TOPIC]);
  t.same(rig.say('missed'), []);
  t.same(rig.join(1).outs, [], 'nothing waits for who comes back');
  rig.advance(1);
  t.equal(rig.metric('groups'), 1);
});

t.test('a session is subscribed plainly or in one group: subscribing again switches', async (t) => {
  const rig = new GroupRig();
  const { sub } = rig.join(1).reply as { sub: number };
  t.equal(rig.subscribe(1, TOPIC).reply['sub' as never], sub, 'the same number');
  let outs = rig.say('plain');
  t.same([given(outs), fannedOut(outs, sub).length], [[], 1]);
  rig.join(1, { group: 'b' });
  outs = rig.say('b');
  t.same([given(outs), fannedOut(outs, sub).length], [['1:2'], 0]);
  rig.join(1, { group: 'c' });
  t.same(given(rig.say('c')), ['1:3'], 'not in b any more');
  rig.advance(1);
  t.same([rig.metric('subscriptions'), rig.metric('groups'), rig.metric('groupMembers')], [1, 1, 1]);
  t.equal(answer(rig.command(1, [4, 2, TOPIC])), 'ok');
  t.equal(answer(rig.command(1, [4, 2, TOPIC])), 103);
  rig.advance(1);
  t.same([rig.metric('subscriptions'), rig.metric('groups'), rig.metric('groupMembers')], [0, 0, 0]);
});

t.test('whoever was a presence member leaves when it joins a group', async (t) => {
  const rig = new GroupRig();
  const { sub } = rig.subscribe(2, TOPIC, { presence: 'watch' }).reply as unknown as { sub: number };
  rig.subscribe(1, TOPIC, { presence: true });
  t.match(fannedOut(rig.command(1, [3, 1, TOPIC, { group: 'g' }]), sub), [
    [35, sub, null, 'leave', { id: 'client-1', count: 0 }],
  ]);
});

for (const { name, rule, options, want } of [
  { name: 'disconnect by default', rule: {}, options: {}, want: 'disconnect' },
  { name: 'the topic’s', rule: { slowConsumer: 'dropOldest' }, options: {}, want: 'dropOldest' },
  { name: 'one’s own', rule: {}, options: { policy: 'dropNewest' }, want: 'dropNewest' },
  { name: 'a topic’s pause is for those who get everything', rule: { slowConsumer: 'pause' }, options: {}, want: 'disconnect' },
  { name: 'a topic’s conflate too', rule: { slowConsumer: 'conflate' }, options: {}, want: 'disconnect' },
  { name: 'with ack nothing is dropped', rule: { slowConsumer: 'dropOldest' }, options: { ack: true }, want: 'disconnect' },
] as const) {
  t.test(`slow-consumer policy of a member: ${name}`, async (t) => {
    const rig = new GroupRig({ topicRules: [{ match: '>', ...rule }] });
    const join = rig.command(1, [3, 1, TOPIC, { group: 'g', ...options }]).find(({ kind }) => kind === 'join');
    t.equal(SLOW_CONSUMER_POLICIES[(join?.flags ?? 0) >> JoinFlag.POLICY_SHIFT], want);
    t.ok((join?.flags ?? 0) & JoinFlag.GROUP);
  });
}

t.test('groupsPerTopicMax', async (t) => {
  const rig = new GroupRig({ groups: { groupsPerTopicMax: 2, groupPendingMax: 10 } });
  rig.join(1, { group: 'a' });
  rig.join(2, { group: 'b' });
  t.equal(rig.ask(3, [3, 1, TOPIC, { group: 'c' }]), 104);
  t.equal(rig.metric('groupsRefused'), 1);
  rig.join(3, { group: 'a' });
  rig.join(2, { group: 'c' });
  t.pass('a member of one’s own group alone may trade it for another');
  rig.join(4, { group: 'c' }, 'other');
});

t.test('a topic with members is not forgotten, one without is', async (t) => {
  const rig = new GroupRig({ topicIdleMs: 1_000, topicRules: [{ match: '>', history: { count: 0 } }] });
  rig.join(1);
  for (let round = 0; round < 3; round++) rig.advance(5_000);
  t.equal(rig.metric('topics'), 1);
  rig.close(1);
  for (let round = 0; round < 3; round++) rig.advance(5_000);
  t.equal(rig.metric('topics'), 0);
});
