/** A lane that takes another's place: what a session may not have any more does not come back to it. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import type { GrantClaims } from '../../../src/protocol/grants.ts';
import { IngressKind, withNumbers } from '../../../src/protocol/records.ts';
import { LaneRig } from './lane-rig.ts';
import { restoreInstances, ServiceRig } from './services/service-rig.ts';

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

/** Sessions of the new lane are opened with the rights that they have by now. */
function openAs(rig: LaneRig, session: number, grants: GrantClaims): void {
  rig.open(session);
  const facts = { id: `session-${session}`, client: `client-${session}`, grants };
  rig.record(IngressKind.SESSION_OPEN, withNumbers(session, null, pack(facts)));
}

t.test('an instance whose right to serve was taken away while no lane was there', async (t) => {
  const old = new ServiceRig();
  old.register(1, {}, 'math');
  const other = old.register(1, {}, 'other');
  const rig = new ServiceRig({ lane: { life: 1 } });
  openAs(rig.lane, 1, { serve: ['other'] });
  restoreInstances(old, rig);
  t.match(rig.told(1), [[33, 0, 102, /not permitted/, { right: 'serve', name: 'math' }]]);
  t.match(
    rig.outs.filter(({ kind }) => kind === 'unregistered'),
    [{ session: 1, sub: 1 }],
    'the front forgets it too',
  );
  t.match(rig.events, [{ kind: 'registered', instance: other, afterRestart: true }]);
  t.match(rig.answers(rig.call()), [[33, Number, 109]]);
  rig.call(null, { service: 'other' });
  t.equal(rig.lastInvoke.session, 1);
});

t.test('presence and patterns likewise', async (t) => {
  const rig = new LaneRig({ firstSub: 40 });
  openAs(rig, 1, { sub: ['room'], pres: [] });
  openAs(rig, 2, { sub: ['room'], pres: ['room'] });
  for (const session of [1, 2])
    rig.record(IngressKind.RESTORE, withNumbers(session, 12, pack({ topic: 'room', presence: { data: null } })));
  rig.record(IngressKind.RESTORE, withNumbers(1, 5, pack({ topic: 'x.>', pattern: true })));
  rig.restoreEnd();
  t.same(rig.ask(9, [11, 5, 'room', null]).members, [{ id: 'client-2' }]);
  t.same(
    rig.publish('x.y', 1).filter(({ kind }) => kind === 'fanout'),
    [],
  );
});

t.test('and what a group’s member named for dead letters', async (t) => {
  for (const [pub, isAllowed] of [
    [['dead'], true],
    [[], false],
  ] as const) {
    const rig = new LaneRig({ firstSub: 40 });
    openAs(rig, 1, { sub: ['jobs'], pub });
    const asked = { name: 'g', ack: true, ackTimeoutMs: 1_000, maxAttempts: 1, deadLetter: 'dead', maxInFlight: 1, order: 1 };
    rig.record(IngressKind.RESTORE, withNumbers(1, 12, pack({ topic: 'jobs', group: asked })));
    rig.restoreEnd();
    rig.publish('jobs', 'x');
    const outs = rig.command(1, [18, 2, 'jobs', { offset: 1, requeue: true }]);
    t.equal(
      outs.some(({ kind, message }) => kind === 'request' && message?.[2] === 'dead'),
      isAllowed,
    );
  }
});
