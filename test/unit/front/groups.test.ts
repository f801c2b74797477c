/**
 * Members of queue groups on the front: what the hub gives them, what their slow-consumer policies do, and the way of a dead letter to a topic of
 * the subscriber's choice and back.
 */
import t from 'tap';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import { FanoutFlag, JoinFlag } from '../../../src/protocol/records.ts';
import { Rig } from './http-rig.ts';
import { HubRig } from './hub-rig.ts';

const IN_GROUP = { flags: JoinFlag.GROUP | JoinFlag.HISTORY };

t.test('a fan-out passes group members by, an event does not, a delivery is for one', async (t) => {
  const rig = new HubRig();
  const [plain, one, other] = [rig.connect(), rig.connect(), rig.connect()];
  rig.join(plain);
  rig.join(one, 'disconnect', IN_GROUP);
  rig.join(other, 'disconnect', IN_GROUP);
  const counts = (): number[] => [plain, one, other].map(({ connection }) => connection.take().length);
  rig.publish(1);
  t.same(counts(), [1, 0, 0]);
  rig.deliver(one, 1);
  t.same(counts(), [0, 1, 0]);
  rig.drain((frame) => rig.hub.fanout(frame(pack([35, 2, null, 'lost', {}])), 2, 0, FanoutFlag.EVENT));
  t.same(counts(), [1, 1, 1]);
  rig.drain((frame) => rig.hub.fanout(frame(pack([35, 2, null, 'join', {}])), 2, 0, FanoutFlag.EVENT | FanoutFlag.WATCHERS_ONLY));
  t.same(counts(), [0, 0, 0]);
  rig.join(one);
  rig.publish(2);
  t.same(counts(), [1, 1, 0], 'subscribed plainly again');
  t.equal(rig.metrics.deliveries, 7);
});

t.test('deliveries, fan-outs and replies of one drain leave in their order, in one WebSocket message', async (t) => {
  const rig = new HubRig();
  const peer = rig.connect();
  rig.join(peer, 'disconnect', IN_GROUP);
  rig.join(peer, 'disconnect', { sub: 4, topic: 'other' });
  rig.drain((frame) => {
    rig.hub.send(peer.session, frame(pack([32, 1, null])));
    rig.hub.deliver(peer.session, 2, frame(pack([34, 2, null, 1, null, 'a'])));
    rig.hub.fanout(frame(pack([34, 4, null, 1, null, 'b'])), 4, 0, 0);
    rig.hub.deliver(peer.session, 2, frame(pack([34, 2, null, 2, null, 'c'])));
  });
  t.equal(peer.connection.sent.length, 1);
  t.same(
    peer.connection.take().map((message) => message.at(-1)),
    [null, 'a', 'b', 'c'],
  );
});

t.test('a delivery to who has left is nothing: its group knows by now', async (t) => {
  const rig = new HubRig();
  const peer = rig.connect();
  rig.join(peer, 'disconnect', IN_GROUP);
  rig.hub.leave(peer.session, 2);
  rig.deliver(peer, 1);
  t.same(peer.connection.take(), []);
});

t.test('a slow member: its policy acts on what it was given, and only on that', async (t) => {
  const rig = new HubRig();
  const [slow, other] = [rig.connectSlow(), rig.connect()];
  rig.join(slow, 'dropOldest', IN_GROUP);
  rig.join(other, 'dropOldest', IN_GROUP);
  for (const offset of [1, 3, 5, 7]) rig.deliver(slow, offset, { bytes: 400 });
  rig.deliver(other, 2, { bytes: 400 });
  t.equal(rig.ledger.byReason.dropOldest, 2);
  slow.connection.results.length = 0;
  rig.hub.onDrain(slow.session);
  const [skip, message] = slow.connection.take();
  t.same(skip?.slice(3), ['skip', { from: 1, to: 3, reason: 'dropOldest', count: 2 }]);
  t.equal(message?.[3], 5);
  t.equal(other.connection.take().length, 1);
});

t.test('a slow member with the policy disconnect goes', async (t) => {
  const rig = new HubRig();
  const slow = rig.connectSlow();
  rig.join(slow, 'disconnect', IN_GROUP);
  for (const offset of [1, 2, 3]) rig.deliver(slow, offset, { bytes: 400 });
  t.same(rig.tooSlow, [slow.session]);
});

t.test('who was paused and joins a group is told what it missed, and is paused no more', async (t) => {
  const rig = new HubRig();
  const slow = rig.connectSlow();
  const member = rig.join(slow, 'pause');
  for (const offset of [1, 2, 3]) rig.publish(offset, { bytes: 400 });
  t.equal(member.pausedAfter, 2);
  rig.join(slow, 'disconnect', IN_GROUP);
  t.match(member, { pausedAfter: -1, resuming: false, isInGroup: true });
});

t.test('a pattern has no groups, and its refusal changes nothing', async (t) => {
  const rig = new Rig();
  const client = rig.connect('one');
  client.say([3, 5, 'jobs.*', { group: 'g' }]);
  t.match(client.received(33), [[33, 5, 100, /a pattern subscription has no group/]]);
  client.say([3, 6, 'jobs.*', null]);
  client.say([2, 0, 'jobs.a', null, 'x']);
  t.equal(client.received(34).length, 1);
});

t.test('a dead letter reaches a topic of the subscriber’s choice, and its answer the group', async (t) => {
  const rig = new Rig();
  const worker = rig.connect('worker');
  const undertaker = rig.connect('undertaker');
  worker.say([3, 5, 'jobs', { group: 'g', ack: true, maxAttempts: 1, deadLetter: 'graveyard' }]);
  undertaker.say([3, 5, 'graveyard', null]);
  undertaker.say([2, 0, 'jobs', null, { a: [1, 2] }]);
  worker.say([18, 6, 'jobs', { offset: 1, requeue: true }]);
  const [letter] = undertaker.received(34);
  t.same(letter?.slice(3), [
    1,
    { headers: { topic: 'jobs', offset: '1', attempts: '1', reason: 'requeued', group: 'g' } },
    { a: [1, 2] },
  ]);
  t.same(undertaker.received(33), []);
  worker.say([18, 7, 'jobs', { offset: 1 }]);
  t.match(worker.received(33), [[33, 7, 103]]);
});

t.test('one that is refused there for good goes to the default topic', async (t) => {
  const rig = new Rig();
  const worker = rig.connect('worker');
  worker.say([3, 4, '$dead.jobs', null]);
  worker.say([3, 5, 'jobs', { group: 'g', ack: true, maxAttempts: 1, deadLetter: 'small.graveyard' }]);
  worker.say([2, 0, 'jobs', null, 'longer than sixteen bytes']);
  worker.say([18, 6, 'jobs', { offset: 1, requeue: true }]);
  t.match(worker.received(34).at(-1)?.slice(3), [1, { headers: { reason: 'requeued' } }, 'longer than sixteen bytes']);
});

t.test('a session that is closed gives back what it holds', async (t) => {
  const rig = new Rig();
  const [leaver, stayer] = [rig.connect('leaver'), rig.connect('stayer')];
  leaver.say([3, 5, 'jobs', { group: 'g', ack: true }]);
  leaver.say([2, 0, 'jobs', null, 'x']);
  stayer.say([3, 5, 'jobs', { group: 'g', ack: true }]);
  const sessions = [...rig.front.sessions];
  const session = sessions.find(({ client }) => client === 'leaver');
  if (session === undefined) throw new Error('no such session');
  rig.front.onClose(session, 1006);
  rig.run();
  t.match(stayer.received(34), [[34, Number, null, 1, { attempt: 2 }, 'x']]);
  t.ok(unpack(stayer.frames.at(-1) as Uint8Array));
});
