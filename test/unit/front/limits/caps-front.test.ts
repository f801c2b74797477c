/** Caps on what a subject and an address may have, and what the relay refuses while it has too much to do. */
import t from 'tap';
import {
  CALL,
  ERROR,
  HISTORY,
  LimitsRig,
  MESSAGE,
  OK,
  PING,
  PUBLISH,
  REGISTER,
  START,
  SUBSCRIBE,
  times,
  UNSUBSCRIBE,
} from './limits-rig.ts';

const LIMIT = 104;
const OVERLOADED = 106;

t.test('connections of an address: 429 for one more, until one leaves', async (t) => {
  const rig = new LimitsRig({ addressConnectionsMax: 2 });
  const [first] = [rig.client(null, '192.0.2.7'), rig.client(null, '192.0.2.7')];
  t.match(rig.tryClient(null, '192.0.2.7'), { status: 429, text: /addressConnectionsMax=2/ });
  rig.client(null, '192.0.2.8');
  first?.link.close();
  rig.run();
  rig.client(null, '192.0.2.7');
  t.match(rig.tryClient(null, '::ffff:192.0.2.7'), { status: 429 });
  t.equal(rig.front.metrics.connectionsRefusedAddressLimit, 2);
});

t.test('connections of a subject: LIMIT and 4101 for one more, until one leaves', async (t) => {
  const rig = new LimitsRig({ subjectConnectionsMax: 1 });
  const first = rig.client('alice');
  const second = rig.client('alice');
  t.match(second.received, [
    [ERROR, 1, LIMIT, /subjectConnectionsMax=1/, { retryAfterMs: 5_000, limit: 'subjectConnectionsMax' }],
  ]);
  t.match(second.closed, { code: 4101, reason: /retryAfterMs=5000/ });
  t.equal(rig.client('bob').closed, null);
  t.same(
    times(5, () => rig.client().closed),
    [null, null, null, null, null],
    'anonymous clients are no subject',
  );
  first.link.close();
  rig.run();
  t.equal(rig.client('alice').closed, null);
  t.equal(rig.front.metrics.connectionsRefusedSubjectLimit, 1);
  t.match(
    rig.events.filter(({ kind }) => kind === 'rateLimited'),
    [{ subject: 'alice', limit: 'subjectConnectionsMax' }],
  );
});

t.test('subscriptions of a subject, over all of its connections', async (t) => {
  const rig = new LimitsRig({ subjectSubscriptionsMax: 3 });
  const [one, two, bob] = [rig.client('alice'), rig.client('alice'), rig.client('bob')];
  t.match(one.ask([SUBSCRIBE, 2, 'a', null], [SUBSCRIBE, 3, 'b.*', null]), [
    [OK, 2],
    [OK, 3],
  ]);
  t.match(two.ask([SUBSCRIBE, 2, 'a', null], [SUBSCRIBE, 3, 'c', null]), [
    [ERROR, 3, LIMIT, String, { subjectSubscriptionsMax: 3 }],
    [OK, 2],
  ]);
  t.match(two.ask([SUBSCRIBE, 4, 'a', { last: 1 }]), [[OK, 4]], 'what it has already, it may subscribe to again');
  t.match(
    bob.ask(...times(3, (index) => [SUBSCRIBE, 2 + index, `b.${index}`, null])).map(([type]) => type),
    [OK, OK, OK],
  );
  t.match(one.ask([UNSUBSCRIBE, 5, 'a']), [[OK, 5]]);
  t.match(two.ask([SUBSCRIBE, 6, 'c', null]), [[OK, 6]]);
  two.link.cut();
  rig.run();
  t.match(one.ask(...times(3, (index) => [SUBSCRIBE, 10 + index, `d.${index}`, null])), [
    [ERROR, 12, LIMIT],
    [OK, 10],
    [OK, 11],
  ]);
  t.equal(rig.front.metrics.subjectSubscriptionsRefused, 2);
});

t.test('subscriptions that fail, or whose connection ends before they are answered, are not counted for ever', async (t) => {
  const rig = new LimitsRig({ subjectSubscriptionsMax: 3 });
  const one = rig.client('alice');
  for (let round = 0; round < 5; round++) one.say([SUBSCRIBE, 2, 'a', { policy: 'none' }]);
  t.match(one.codes, [100, 100, 100, 100, 100]);
  for (let round = 0; round < 5; round++) {
    const other = rig.client('alice');
    other.sayLater([SUBSCRIBE, 2, `x.${round}`, null], [SUBSCRIBE, 3, 'y.*', null]);
    other.link.cut();
    rig.run();
    const third = rig.client('alice');
    third.sayLater([SUBSCRIBE, 2, `x.${round}`, null]);
    rig.run(1); // Received, and the lane has not had its turn.
    third.link.cut();
    rig.run();
  }
  t.match(
    one.ask(...times(4, (index) => [SUBSCRIBE, 10 + index, `d.${index}`, null])).map(([type, id]) => [type, id]),
    [
      [ERROR, 13],
      [OK, 10],
      [OK, 11],
      [OK, 12],
    ],
  );
});

t.test('load level 1: nobody new, those who are there go on', async (t) => {
  const rig = new LimitsRig();
  const changes: unknown[] = [];
  rig.front.onLoadChange = (change) => changes.push(change);
  const client = rig.client();
  rig.strain(1_500);
  t.match(changes, [{ from: 0, to: 1, delayMs: 1_500 }]);
  t.match(rig.tryClient(), { status: 503, text: /overloaded/ });
  const answer = rig.post('/v1/publish?topic=room.1', '192.0.2.7');
  t.equal(answer.status, 503);
  t.ok(Number(answer.headers['Retry-After']) >= 1);
  t.match(client.ask([SUBSCRIBE, 2, 'room.1', null], [PUBLISH, 3, 'room.1', null, 'x'], [CALL, 4, 'math', 'add', null, 1]), [
    [OK, 2],
    [MESSAGE],
    [OK, 3],
    [ERROR, 4, 109],
  ]);
  t.equal(rig.front.metrics.connectionsRefusedLoad, 1);
});

t.test('load level 2: no new subscriptions and starts; what one has, what fits and what ends something goes on', async (t) => {
  const rig = new LimitsRig();
  const client = rig.client();
  const service = rig.client();
  client.say([SUBSCRIBE, 2, 'room.1', null]);
  service.say([REGISTER, 2, 'math', { version: '1.0.0', methods: ['add'] }]);
  rig.strain(60_000);
  t.match(client.ask([SUBSCRIBE, 3, 'room.2', null]), [[ERROR, 3, OVERLOADED, String, { retryAfterMs: Number }]]);
  t.match(client.ask([SUBSCRIBE, 4, 'room.*', null]), [[ERROR, 4, OVERLOADED]]);
  t.match(client.ask([START, 5, 'report', null, 1]), [[ERROR, 5, OVERLOADED]]);
  t.match(client.ask([SUBSCRIBE, 6, 'room.1', null]), [[OK, 6]], 'it has that one');
  t.match(client.ask([PUBLISH, 7, 'room.1', null, 'x']), [[MESSAGE], [OK, 7]]);
  t.match(client.ask([HISTORY, 8, 'room.1', null], [PING, 9]), [
    [OK, 9],
    [OK, 8],
  ]);
  client.say([CALL, 10, 'math', 'add', null, 1]);
  t.equal(service.received.at(-1)?.[3], 'add', 'calls go on');
  t.match(client.ask([UNSUBSCRIBE, 11, 'room.1']), [[OK, 11]]);
  t.equal(rig.front.metrics.commandsShed, 3);
  for (let round = 0; round < 3; round++) rig.strain(0);
  t.match(client.ask([SUBSCRIBE, 12, 'room.2', null]), [[OK, 12]]);
  t.equal(rig.client().closed, null);
});

t.test('load level 2, if so configured: no calls', async (t) => {
  const { shedding } = new LimitsRig().front.limits.options;
  const rig = new LimitsRig({ shedding: { ...shedding, calls: true } });
  const client = rig.client();
  rig.strain(60_000);
  t.match(client.ask([CALL, 2, 'math', 'add', null, 1]), [[ERROR, 2, OVERLOADED]]);
  t.equal(rig.front.callCount, 0);
});
