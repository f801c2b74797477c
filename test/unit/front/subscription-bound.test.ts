/** `subscriptionsMax`: LIMIT for one more, but subscribing again to what one has is no error, at the bound either. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import { Rig } from './http-rig.ts';

t.test('at the bound a new subscription is refused, an old one may be repeated, and leaving makes room', async (t) => {
  const rig = new Rig({ front: { subscriptionsMax: 3 } });
  const client = rig.connect('alice');
  const codeOf = (message: readonly unknown[]): number => {
    client.say(message);
    const replies = [...client.received(32), ...client.received(33)].filter(([, id]) => id === message[1]);
    t.equal(replies.length, 1, `one answer to ${JSON.stringify(message)}`);
    return replies[0]?.[0] === 32 ? 0 : (replies[0]?.[2] as number);
  };
  t.equal(codeOf([3, 11, 'a', null]), 0);
  t.equal(codeOf([3, 12, 'b', null]), 0);
  t.equal(codeOf([3, 13, 'c.*', null]), 0);
  t.equal(codeOf([3, 14, 'd', null]), 104);
  t.equal(codeOf([3, 15, 'd.*', null]), 104);
  t.equal(codeOf([3, 16, 'a', { last: 5 }]), 0, 'a topic again');
  t.equal(codeOf([3, 17, 'c.*', { policy: 'conflate' }]), 0, 'a pattern again');
  t.equal(codeOf([3, 18, 'd', null]), 104, 'which made no room');
  t.equal(codeOf([4, 19, 'b']), 0);
  t.equal(codeOf([3, 20, 'd', null]), 0);
  t.equal(codeOf([3, 21, 'e', null]), 104);
  t.equal(rig.front.metrics.subscriptionsRefused, 4);
});

t.test('subscriptions under way count too', async (t) => {
  const rig = new Rig({ front: { subscriptionsMax: 2 } });
  const client = rig.connect('alice');
  const session = [...rig.front.sessions].at(-1)!;

  for (const [index, topic] of ['a', 'b', 'c'].entries()) rig.front.onMessage(session, pack([3, 11 + index, topic, null]), true);
  rig.run();
  t.same(
    client.received(33).map(([, id, code]) => [id, code]),
    [[13, 104]],
  );
});
