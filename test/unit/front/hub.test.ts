/** The hub: who gets a frame, in how few writes, and what happens when a socket takes no more. The policies themselves: send-queue.test.ts. */
import t from 'tap';
import { SendResult } from '../../../src/front/ports.ts';
import { pack } from '../../../src/protocol/codec.ts';
import { FanoutFlag, JoinFlag } from '../../../src/protocol/records.ts';
import { SLOW_CONSUMER_POLICIES } from '../../../src/protocol/types.ts';
import { HubRig, messageFrame, messageOfBytes, type Peer } from './hub-rig.ts';

const { WRITTEN, QUEUED, DROPPED } = SendResult;
const REPLY = pack([32, 1, null]);
const EVENT = pack([35, 2, null, 'join', { id: 'bob', count: 1 }]);

// ---- members

t.test('a frame goes to every member of its sub and to nobody else', async (t) => {
  const rig = new HubRig();
  const [a, b, c] = [rig.connect(), rig.connect(), rig.connect()];
  rig.join(a);
  rig.join(b);
  rig.join(c, 'disconnect', { sub: 4, topic: 'other' });
  rig.publish(1);
  t.same(
    [a, b, c].map(({ connection }) => connection.take().length),
    [1, 1, 0],
  );
  t.equal(rig.metrics.deliveries, 2);
  rig.publish(1, { sub: 99 });
  t.equal(rig.metrics.deliveries, 2, 'a sub without members is nothing');
});

t.test('members leave in any order, and the others stay', async (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
    [1, 2, 0],
  ]) {
    const rig = new HubRig();
    const peers = [rig.connect(), rig.connect(), rig.connect()];
    for (const peer of peers) rig.join(peer);
    const left = new Set(peers);
    for (const index of order) {
      rig.hub.leave(peers[index]!.session, 2);
      left.delete(peers[index]!);
      rig.publish(1);
      for (const peer of peers) t.equal(peer.connection.take().length, left.has(peer) ? 1 : 0);
    }
    t.equal(rig.hub.subscriptionCount, 0);
  }
});

t.test('joining again replaces the options, and is no second membership', async (t) => {
  const rig = new HubRig();
  const peer = rig.connect();
  const first = rig.join(peer, 'conflate', { conflateBy: 'symbol', flags: JoinFlag.WATCH });
  t.match(first, { policy: 'conflate', conflateBy: 'symbol', watchesPresence: true, pausedAfter: -1 });
  first.pausedAfter = 7;
  first.resuming = true;
  const again = rig.join(peer, 'pause');
  t.equal(again, first);
  t.match(again, { policy: 'pause', conflateBy: null, watchesPresence: false, pausedAfter: -1, resuming: false });
  rig.publish(1);
  t.equal(peer.connection.take().length, 1);
  t.equal(peer.session.members.length, 1);
});

for (const policy of SLOW_CONSUMER_POLICIES) {
  t.test(`the policy is read from the flags: ${policy}`, async (t) => {
    const rig = new HubRig();
    t.equal(rig.join(rig.connect(), policy, { flags: JoinFlag.WATCH | JoinFlag.PATTERN | JoinFlag.HISTORY }).policy, policy);
  });
}

t.test('leaving what one is not in is nothing', async (t) => {
  const rig = new HubRig();
  const peer = rig.connect();
  rig.join(peer);
  rig.hub.leave(peer.session, 99);
  rig.hub.leave(rig.connect().session, 2);
  t.equal(rig.hub.subscriptionCount, 1);
  t.equal(rig.hub.findMember(peer.session, 99), undefined);
});

t.test('the subscriptions of a lane are its topics and all patterns', async (t) => {
  const rig = new HubRig();
  const { session } = rig.connect();
  const none = new Uint8Array(0);
  rig.hub.join(session, 2, 'a', 0, 0, none);
  rig.hub.join(session, 3, 'b', 1, 0, none);
  rig.hub.join(session, 4, 'c.*', -1, JoinFlag.PATTERN, none);
  t.same(
    rig.hub.subscriptionsOfLane(1).map(({ topic }) => topic),
    ['b', 'c.*'],
  );
});

for (const { name, flags, want } of [
  { name: 'a message goes to all but the sender who wants no echo', flags: 0, want: [0, 1, 1] },
  { name: 'an event goes to all', flags: FanoutFlag.EVENT, want: [0, 1, 1] },
  { name: 'a presence event goes to those who watch', flags: FanoutFlag.EVENT | FanoutFlag.WATCHERS_ONLY, want: [0, 1, 0] },
]) {
  t.test(`fan-out: ${name}`, async (t) => {
    const rig = new HubRig();
    const [sender, watcher, other] = [rig.connect(), rig.connect(), rig.connect()];
    rig.join(sender, 'disconnect', { flags: JoinFlag.WATCH });
    rig.join(watcher, 'disconnect', { flags: JoinFlag.WATCH });
    rig.join(other);
    rig.drain((frame) => rig.hub.fanout(frame(flags === 0 ? messageFrame(1) : EVENT), 2, sender.session.number, flags));
    t.same(
      [sender, watcher, other].map(({ connection }) => connection.take().length),
      want,
    );
  });
}

// ---- writes

t.test('frames of one drain share a WebSocket message, in order', async (t) => {
  const rig = new HubRig();
  const [a, b] = [rig.connect(), rig.connect()];
  rig.join(a);
  rig.join(b);
  rig.drain((frame) => {
    rig.hub.fanout(frame(messageFrame(1)), 2, 0, 0);
    rig.hub.send(a.session, frame(REPLY));
    rig.hub.fanout(frame(messageFrame(2)), 2, 0, 0);
  });
  t.equal(a.connection.sent.length, 1);
  t.same(
    a.connection.take().map((message) => message[0]),
    [34, 32, 34],
  );
  t.equal(b.connection.sent.length, 1);
  t.same(
    b.connection.take().map((message) => message[3]),
    [1, 2],
  );
  t.match(rig.metrics, { framesSent: 2, framesMerged: 3 });
});

for (const { name, sizes, want } of [
  { name: 'what just fits goes together', sizes: [100, 156], want: [256] },
  { name: 'a byte more makes two', sizes: [100, 157], want: [100, 157] },
  { name: 'a large one goes alone', sizes: [257], want: [257] },
  { name: 'a large one first', sizes: [300, 50, 50], want: [300, 100] },
  { name: 'a large one between', sizes: [50, 300, 50], want: [50, 300, 50] },
  { name: 'a large one last', sizes: [50, 50, 300], want: [100, 300] },
  { name: 'many', sizes: Array(10).fill(100), want: [200, 200, 200, 200, 200] },
  { name: 'exactly one', sizes: [256, 256], want: [256, 256] },
]) {
  t.test(`writes of at most 256 bytes: ${name}`, async (t) => {
    const rig = new HubRig({ mergedFrameBytesMax: 256 });
    const peer = rig.connect();
    rig.join(peer);
    rig.drain((frame) => {
      for (const [index, size] of sizes.entries()) rig.hub.fanout(frame(messageOfBytes(index + 1, size)), 2, 0, 0);
    });
    t.same(
      peer.connection.sent.map(({ length }) => length),
      want,
    );
    t.same(
      peer.connection.take().map((message) => message[3]),
      sizes.map((_, index) => index + 1),
    );
    t.equal(
      rig.metrics.bytesSent,
      sizes.reduce((sum, size) => sum + size, 0),
    );
  });
}

t.test('sendNow goes out at once, and behind what waits', async (t) => {
  const rig = new HubRig();
  const fast = rig.connect();
  rig.hub.sendNow(fast.session, REPLY);
  t.equal(fast.connection.take().length, 1);
  const slow = rig.connectSlow();
  rig.join(slow);
  rig.publish(1);
  rig.hub.sendNow(slow.session, REPLY);
  t.equal(slow.connection.take().length, 0);
  rig.hub.onDrain(slow.session);
  t.same(
    slow.connection.take().map((message) => message[0]),
    [34, 32],
  );
});

t.test('who is closed in the middle of a drain gets nothing more, the others all', async (t) => {
  const rig = new HubRig();
  const [a, b] = [rig.connect(), rig.connect()];
  rig.join(a);
  rig.join(b);
  rig.drain((frame) => {
    rig.hub.fanout(frame(messageFrame(1)), 2, 0, 0);
    rig.hub.leaveAll(a.session, 'closed');
    rig.hub.fanout(frame(messageFrame(2)), 2, 0, 0);
  });
  t.equal(a.connection.take().length, 0);
  t.equal(b.connection.take().length, 2);
});

// ---- sockets that take no more

t.test('a full socket: what follows waits in memory of its own, and goes out merged when the socket drains', async (t) => {
  const rig = new HubRig();
  const peer = rig.connect();
  rig.join(peer);
  peer.connection.results.push(QUEUED);
  rig.publish(1);
  t.equal(peer.connection.take().length, 1, 'the first one is in the transport’s buffer');
  for (const offset of [2, 3, 4]) rig.publish(offset); // The rig overwrites the ring after each drain.
  rig.drain((frame) => rig.hub.send(peer.session, frame(REPLY)));
  t.equal(peer.connection.sent.length, 0);
  t.equal(rig.metrics.sessionsCongested, 1);
  rig.hub.onDrain(peer.session);
  t.equal(peer.connection.sent.length, 1, 'one write for all of it');
  t.same(
    peer.connection.take().map((message) => message[3] ?? 'reply'),
    [2, 3, 4, 'reply'],
  );
  t.equal(peer.session.queue, null);
  rig.publish(5);
  t.equal(peer.connection.take().length, 1, 'and it is fast again');
});

t.test('a drain sends as long as the socket takes it, and goes on at the next', async (t) => {
  const rig = new HubRig({ mergedFrameBytesMax: 200, sendQueueBytesMax: 10_000 });
  const peer = rig.connectSlow();
  rig.join(peer);
  for (let offset = 1; offset <= 6; offset++) rig.publish(offset, { bytes: 100 });
  peer.connection.results.push(WRITTEN, QUEUED);
  rig.hub.onDrain(peer.session);
  t.same(
    peer.connection.take().map((message) => message[3]),
    [1, 2, 3, 4],
  );
  rig.publish(7, { bytes: 100 });
  t.equal(peer.connection.sent.length, 0, 'it waits its turn');
  rig.hub.onDrain(peer.session);
  t.same(
    peer.connection.take().map((message) => message[3]),
    [5, 6, 7],
  );
  t.equal(peer.session.queue, null);
});

t.test('a socket that fills up in the middle of a drain loses nothing of it', async (t) => {
  const rig = new HubRig({ mergedFrameBytesMax: 100, sendQueueBytesMax: 200 });
  const peer = rig.connect();
  rig.join(peer, 'dropNewest');
  peer.connection.results.push(QUEUED);
  rig.drain((frame) => {
    for (let offset = 1; offset <= 5; offset++) rig.hub.fanout(frame(messageOfBytes(offset, 100)), 2, 0, 0);
  });
  rig.hub.onDrain(peer.session);
  t.same(
    peer.connection.take().map((message) => message[3]),
    [1, 2, 3, 4, 5],
  );
});

t.test('a large frame alone in the queue goes out as it is', async (t) => {
  const rig = new HubRig({ mergedFrameBytesMax: 100 });
  const peer = rig.connectSlow();
  rig.join(peer);
  for (const [index, bytes] of [300, 50, 40, 300].entries()) rig.publish(index + 1, { bytes });
  rig.hub.onDrain(peer.session);
  t.same(
    peer.connection.sent.map(({ length }) => length),
    [300, 90, 300],
  );
});

t.test('slow members of one subscription share the copy of a frame', async (t) => {
  const rig = new HubRig();
  const peers = [rig.connectSlow(), rig.connectSlow(), rig.connectSlow()];
  for (const peer of peers) rig.join(peer);
  rig.publish(1);
  const copies = peers.map(({ session }) => session.queue?.peek());
  t.ok(copies[0] !== null && copies[0] !== undefined);
  t.equal(copies[1], copies[0]);
  t.equal(copies[2], copies[0]);
});

t.test('a slow consumer is named once, after the drain, and what waited is counted', async (t) => {
  const rig = new HubRig({ sendQueueBytesMax: 300 });
  const [slow, fast] = [rig.connectSlow(), rig.connect()];
  rig.join(slow);
  rig.join(fast);
  rig.drain((frame) => {
    for (let offset = 1; offset <= 6; offset++) rig.hub.fanout(frame(messageOfBytes(offset, 100)), 2, 0, 0);
    t.same(rig.tooSlow, [], 'not in the loop over members');
  });
  t.same(rig.tooSlow, [slow.session]);
  t.equal(fast.connection.take().length, 6);
  t.equal(rig.ledger.byReason.disconnect, 6, 'three that waited, three that found no room');
  t.equal(slow.connection.take().length, 0);
});

for (const { policy, skips } of [
  { policy: 'dropOldest', skips: [[1, 4, 4]] },
  { policy: 'dropNewest', skips: [[4, 6, 3]] },
  { policy: 'conflate', skips: [[1, 5, 5]] },
] as const) {
  t.test(`a slow member with ${policy} stays, and learns what it missed`, async (t) => {
    const rig = new HubRig({ sendQueueBytesMax: 300 });
    const peer = rig.connectSlow();
    rig.join(peer, policy);
    for (let offset = 1; offset <= 6; offset++) rig.publish(offset, { bytes: 100 });
    rig.hub.onDrain(peer.session);
    const got = peer.connection.take();
    t.same(
      got.filter((message) => message[0] === 35).map((message) => [message[4].from, message[4].to, message[4].count]),
      skips,
    );
    t.same(rig.tooSlow, []);
    t.equal(rig.ledger.byReason[policy], skips[0][2]);
    t.same(rig.ledger.top(1), [['room', skips[0][2]]]);
  });
}

t.test('pause: live messages pass by until the replay is through, then the member is live again', async (t) => {
  const rig = new HubRig({ sendQueueBytesMax: 300 });
  const peer = rig.connectSlow();
  const member = rig.join(peer, 'pause');
  for (let offset = 1; offset <= 6; offset++) rig.publish(offset, { bytes: 100 });
  t.equal(member.pausedAfter, 3);
  t.same(rig.resumable, []);
  rig.hub.onDrain(peer.session);
  t.same(
    peer.connection.take().map((message) => message[3]),
    [1, 2, 3],
  );
  t.same(rig.resumable, [member]);
  rig.publish(7);
  t.equal(peer.connection.take().length, 0, 'what is published now comes by replay');
  rig.drain((frame) => rig.hub.fanout(frame(EVENT), 2, 0, FanoutFlag.EVENT));
  t.equal(peer.connection.take().length, 1, 'events are not paused');
  rig.hub.onDrain(peer.session);
  t.same(rig.resumable, [member], 'asked for once');
  member.pausedAfter = -1;
  member.resuming = false;
  rig.publish(8);
  t.same(
    peer.connection.take().map((message) => message[3]),
    [8],
  );
  t.same(rig.ledger.byReason, { dropOldest: 0, dropNewest: 0, conflate: 0, disconnect: 0, closed: 0 }, 'pausing loses nothing');
});

t.test('replies and events alone may take twice the bound, then the connection goes', async (t) => {
  const rig = new HubRig({ sendQueueBytesMax: 100 });
  const peer = rig.connectSlow();
  rig.join(peer, 'conflate');
  const reply = pack([32, 1, 'x'.repeat(44)]);
  t.equal(reply.length, 49);
  for (let count = 0; count < 4; count++) rig.drain((frame) => rig.hub.send(peer.session, frame(reply)));
  t.same(rig.tooSlow, []);
  t.equal(peer.session.queue?.bytes, 196);
  rig.drain((frame) => rig.hub.send(peer.session, frame(reply)));
  t.same(rig.tooSlow, [peer.session]);
});

t.test('gaps without end make a slow consumer too: a pattern that many topics are dropped of', async (t) => {
  const rig = new HubRig({ sendQueueBytesMax: 1_000 });
  const peer = rig.connectSlow();
  rig.join(peer, 'dropNewest', { sub: 5, topic: '>', flags: JoinFlag.PATTERN });
  for (let index = 0; index < 200 && rig.tooSlow.length === 0; index++)
    rig.publish(1, { sub: 5, topic: `t${index}`, bytes: 100 });
  t.same(rig.tooSlow, [peer.session]);
});

t.test('an UNSUBSCRIBE drops what waits for it, the answer comes, and nothing of the sub follows', async (t) => {
  const rig = new HubRig();
  const peer = rig.connectSlow();
  rig.join(peer, 'dropOldest');
  rig.join(peer, 'disconnect', { sub: 4, topic: 'other' });
  rig.publish(1);
  rig.publish(1, { sub: 4 });
  rig.publish(2);
  rig.drain((frame) => {
    rig.hub.leave(peer.session, 2);
    rig.hub.send(peer.session, frame(REPLY));
    rig.hub.fanout(frame(messageFrame(3)), 2, 0, 0);
  });
  rig.hub.onDrain(peer.session);
  t.same(
    peer.connection.take().map((message) => message.slice(0, 2)),
    [
      [34, 4],
      [32, 1],
    ],
  );
});

for (const { name, slow, act } of [
  { name: 'of a lane', slow: false, act: (rig, { session }) => rig.drain((frame) => rig.hub.send(session, frame(REPLY))) },
  { name: 'of the front itself', slow: false, act: (rig, { session }) => rig.hub.sendNow(session, REPLY) },
  { name: 'that had waited', slow: true, act: (rig, { session }) => rig.hub.onDrain(session) },
] as { name: string; slow: boolean; act: (rig: HubRig, peer: Peer) => void }[]) {
  t.test(`a transport that throws away a frame ${name} has lost count: the connection goes at once`, async (t) => {
    const rig = new HubRig();
    const peer = slow ? rig.connectSlow() : rig.connect();
    rig.join(peer);
    if (slow) rig.publish(1);
    peer.connection.otherwise = DROPPED;
    act(rig, peer);
    t.equal(rig.tooSlow.length, 1);
    t.equal(rig.tooSlow[0], peer.session);
  });
}

t.test('closing counts what waited, and forgets the session', async (t) => {
  const rig = new HubRig();
  const peer = rig.connectSlow();
  rig.join(peer);
  rig.join(peer, 'disconnect', { sub: 4, topic: 'other' });
  rig.publish(1);
  rig.publish(2);
  rig.publish(1, { sub: 4 });
  rig.hub.leaveAll(peer.session, 'closed');
  t.equal(rig.ledger.byReason.closed, 3);
  t.same(rig.ledger.top(5), [
    ['room', 2],
    ['other', 1],
  ]);
  t.equal(rig.hub.subscriptionCount, 0);
  t.match(peer.session, { queue: null, firstFrame: null });
  t.equal(peer.session.members.length, 0);
  rig.publish(3);
  rig.hub.onDrain(peer.session);
  t.equal(peer.connection.take().length, 0);
});
