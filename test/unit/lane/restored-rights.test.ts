/** A lane that takes another's place: what a session may not have any more is not given back to it, since no lane was there to see the right go. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import { IngressKind, withNumbers } from '../../../src/protocol/records.ts';
import { LaneRig } from './lane-rig.ts';

const SESSION = 1;

t.test('a subscription without its right is told of as FORBIDDEN and left, one with it comes back', async (t) => {
  const rig = new LaneRig();
  rig.open(SESSION);
  rig.record(IngressKind.SESSION_GRANTS, withNumbers(SESSION, null, pack({ sub: ['news'] })));
  t.match(rig.restore(SESSION, 5, { topic: 'room.1' }), [
    { kind: 'send', session: SESSION, message: [35, 5, null, 'lost', { from: null, to: null, reason: 'FORBIDDEN' }] },
    { kind: 'leave', session: SESSION, sub: 5 },
  ]);
  t.same(rig.restore(SESSION, 6, { topic: 'news' }), []);
  t.match(rig.restoreEnd(), [{ message: [35, 6, null, 'lost', { reason: 'LANE_RESTARTED' }] }]);
  t.same(rig.publish('room.1', 'x'), []);
  t.match(rig.publish('news', 'y'), [{ kind: 'fanout', message: [34, 6, null, 1, null, 'y'] }]);
});

t.test('presence without its right is not given back with the subscription', async (t) => {
  const rig = new LaneRig();
  rig.open(SESSION);
  rig.record(IngressKind.SESSION_GRANTS, withNumbers(SESSION, null, pack({ sub: ['news', 'room.1'], pres: ['room.1'] })));
  for (const topic of ['news', 'room.1']) rig.restore(SESSION, topic === 'news' ? 5 : 6, { topic, presence: {} });
  t.same(rig.ask(2, [11, 1, 'news', { countOnly: true }]), { count: 0 });
  t.same(rig.ask(2, [11, 2, 'room.1', { countOnly: true }]), { count: 1 });
});
