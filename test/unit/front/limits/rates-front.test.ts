/** Rates, as clients meet them: who is refused, who is not, whose bucket it was, and when that is the end of a connection. */
import t from 'tap';
import {
  ACK,
  CALL,
  CANCEL,
  DEREGISTER,
  ERROR,
  HEARTBEAT,
  HELLO,
  HISTORY,
  INVOKE,
  LimitsRig,
  MESSAGE,
  OK,
  PING,
  PUBLISH,
  RATE_LIMITED,
  REFRESH,
  REGISTER,
  RESULT,
  RETURN,
  START,
  SUBSCRIBE,
  times,
  UNSUBSCRIBE,
} from './limits-rig.ts';

t.test('what is over the limit is refused with when to come again and which limit it was; then there is room', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'connection', what: 'publish', perSecond: 10, burst: 2 }] });
  const client = rig.client();
  t.match(client.ask(...times(4, (index) => [PUBLISH, 2 + index, 'room.1', null, index])), [
    [ERROR, 4, RATE_LIMITED, /rate limited/, { retryAfterMs: 100, limit: 'connection.publish' }],
    [ERROR, 5, RATE_LIMITED, String, { retryAfterMs: 200 }],
    [OK, 2],
    [OK, 3],
  ]);
  t.match(client.ask([SUBSCRIBE, 6, 'room.2', null]), [[OK, 6]], 'what is not limited is not refused');
  rig.pass(100);
  t.match(client.ask([PUBLISH, 7, 'room.1', null, 'x'], [PUBLISH, 8, 'room.1', null, 'x']), [
    [ERROR, 8, RATE_LIMITED],
    [OK, 7],
  ]);
  t.match(rig.client().ask([PUBLISH, 2, 'room.1', null, 'x']), [[OK, 2]], 'nobody else is concerned');
  t.equal(rig.front.metrics.commandsRateLimited, 3);
  t.same([...rig.front.limits.refusedByLimit], [['connection.publish', 3]]);
});

t.test('a command without an id is told with id 0, a RETURN with its call', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'connection', what: 'command', perSecond: 1, burst: 1 }] });
  const client = rig.client();
  t.match(client.ask([PUBLISH, 0, 'room.1', null, 1], [PUBLISH, 0, 'room.1', null, 2], [RETURN, 77, null, 'x']), [
    [ERROR, 0, RATE_LIMITED],
    [ERROR, 0, RATE_LIMITED, String, { callId: 77, limit: 'connection.command' }],
  ]);
});

for (const { what, first, second } of [
  { what: 'subscribe', first: [SUBSCRIBE, 2, 'room.1', null], second: [SUBSCRIBE, 3, 'room.*', null] },
  { what: 'call', first: [CALL, 2, 'math', 'add', null, 1], second: [CALL, 3, 'math', 'add', null, 1] },
  { what: 'call', first: [START, 2, 'report', null, 1], second: [CALL, 3, 'math', 'add', null, 1] },
  { what: 'command', first: [HISTORY, 2, 'room.1', null], second: [SUBSCRIBE, 3, 'room.1', null] },
] as const) {
  t.test(`${what}: type ${first[0]}, then type ${second[0]}`, async (t) => {
    const rig = new LimitsRig({ rateLimits: [{ scope: 'connection', what, perSecond: 1, burst: 1 }] });
    const client = rig.client();
    client.say(first);
    t.notOk(client.codes.includes(RATE_LIMITED));
    t.match(client.ask(second), [[ERROR, 3, RATE_LIMITED, String, { limit: `connection.${what}` }]]);
  });
}

t.test('bytes: by what the commands weigh', async (t) => {
  const rig = new LimitsRig(
    { rateLimits: [{ scope: 'connection', what: 'bytes', perSecond: 1_000, burst: 10_000 }] },
    { messageBytesMax: 10_000 },
  );
  const client = rig.client();
  const large = (id: number): unknown[] => [PUBLISH, id, 'room.1', null, 'x'.repeat(4_500)];
  t.match(client.ask(large(2), large(3)), [
    [OK, 2],
    [OK, 3],
  ]);
  t.match(client.ask(large(4)), [[ERROR, 4, RATE_LIMITED, String, { limit: 'connection.bytes' }]]);
  t.match(client.ask([PUBLISH, 5, 'room.1', null, 'small']), [[OK, 5]], 'what fits, fits');
});

t.test('a refused command costs nothing of its other limits', async (t) => {
  const rig = new LimitsRig({
    rateLimits: [
      { scope: 'connection', what: 'publish', perSecond: 1, burst: 1 },
      { scope: 'connection', what: 'command', perSecond: 1, burst: 5 },
    ],
  });
  const client = rig.client();
  client.say(...times(20, (index) => [PUBLISH, 2 + index, 'room.1', null, 1]));
  t.match(client.ask(...times(5, (index) => [HISTORY, 50 + index, 'room.1', null])), [
    [ERROR, 54, RATE_LIMITED, String, { limit: 'connection.command' }],
    [OK, 50],
    [OK, 51],
    [OK, 52],
    [OK, 53],
  ]);
});

t.test('connections of one subject share its bucket, other subjects and anonymous clients do not', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'subject', what: 'publish', perSecond: 1, burst: 3 }] });
  const publish = (id: number): unknown[] => [PUBLISH, id, 'room.1', null, 1];
  const [one, two, bob] = [rig.client('alice'), rig.client('alice'), rig.client('bob')];
  t.match(one.ask(publish(2), publish(3)), [
    [OK, 2],
    [OK, 3],
  ]);
  t.match(two.ask(publish(2), publish(3)), [
    [ERROR, 3, RATE_LIMITED, String, { limit: 'subject.publish' }],
    [OK, 2],
  ]);
  t.match(bob.ask(publish(2)), [[OK, 2]]);
  t.same(
    rig
      .client()
      .ask(...times(50, (index) => publish(2 + index)))
      .filter(([type]) => type === ERROR),
    [],
  );
  one.link.close();
  two.link.close();
  rig.run();
  t.match(rig.client('alice').ask(publish(2)), [[ERROR, 2, RATE_LIMITED]], 'who comes back at once is not new');
});

t.test('connections of one address share its bucket', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'address', what: 'publish', perSecond: 1, burst: 1 }] });
  const publish = [PUBLISH, 2, 'room.1', null, 1];
  t.match(rig.client('alice', '2001:db8:0:7::1').ask(publish), [[OK, 2]]);
  t.match(rig.client('bob', '2001:db8:0:7:ffff::2').ask(publish), [[ERROR, 2, RATE_LIMITED]], 'the same 64 bits');
  t.match(rig.client('alice', '2001:db8:0:8::1').ask(publish), [[OK, 2]]);
});

t.test('never refused: what keeps a session alive, ends something or gives it back', async (t) => {
  const rig = new LimitsRig({
    rateLimits: [{ scope: 'connection', what: 'command', perSecond: 1, burst: 10 }],
    refusalsMax: 1_000_000,
  });
  const client = rig.client('alice');
  client.say([SUBSCRIBE, 2, 'room.1', null]);
  client.say(...times(20, (index) => [HISTORY, 100 + index, 'room.1', null]));
  t.ok(client.codes.includes(RATE_LIMITED), 'the bucket is empty');
  const before = client.codes.length;
  t.match(client.ask([PING, 3]), [[OK, 3]]);
  t.match(client.ask([REFRESH, 4, 'alice']), [[OK, 4]]);
  t.match(client.ask([UNSUBSCRIBE, 5, 'room.1']), [[OK, 5]]);
  client.say([CANCEL, 0, 'math', 7]);
  t.match(client.ask([DEREGISTER, 6, 'math']), [[ERROR, 6, 103]], 'not found, and not refused');
  t.equal(client.codes.slice(before).filter((code) => code === RATE_LIMITED).length, 0);
});

t.test('what is not refused is paid for all the same', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'connection', what: 'command', perSecond: 1, burst: 5 }] });
  const client = rig.client();
  client.say(...times(8, (index) => [PING, 2 + index]));
  t.match(client.ask([PUBLISH, 20, 'room.1', null, 1]), [
    [ERROR, 20, RATE_LIMITED, String, { retryAfterMs: 4_000, limit: 'connection.command' }],
  ]);
});

t.test('a flood of what is never refused is an offence too', async (t) => {
  const rig = new LimitsRig({
    rateLimits: [{ scope: 'connection', what: 'command', perSecond: 1, burst: 5 }],
    refusalsMax: 3,
  });
  const client = rig.client();
  client.say(...times(20, (index) => [PING, 2 + index]));
  t.same(client.codes, [], 'none is refused');
  t.match(client.closed, { code: 4102, reason: /retryAfterMs=\d+, limit=connection.command, rateRefusalsMax=3/ });
  t.equal(client.of(OK).length, 1 + 5 + 5 + 3, 'a burst, a burst on credit, and three offences');
});

t.test('services answer, and workers acknowledge, as much as they are given', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'connection', what: 'command', perSecond: 1, burst: 3 }], refusalsMax: 1 });
  const service = rig.client('service');
  service.say([REGISTER, 2, 'math', { version: '1.0.0', methods: ['add'], capacity: 100 }]);
  const callers = times(5, () => rig.client('caller'));
  for (const caller of callers) caller.say(...times(3, (index) => [CALL, 2 + index, 'math', 'add', null, index]));
  const invoked = service.of(INVOKE);
  t.equal(invoked.length, 15);
  service.say(...invoked.map(([, callId]) => [RETURN, callId, null, 'sum']), ...times(10, () => [HEARTBEAT, 0, 'math', null]));
  t.same(service.codes, []);
  t.equal(callers.flatMap((caller) => caller.of(RESULT)).length, 15);
  t.match(service.ask([PUBLISH, 3, 'room.1', null, 1]), [[OK, 3]], 'which has cost it nothing');

  const worker = rig.client('worker');
  worker.say([SUBSCRIBE, 2, 'jobs', { group: 'g', ack: true, maxInFlight: 100 }]);
  for (const publisher of times(10, () => rig.client()))
    publisher.say(...times(3, (index) => [PUBLISH, 2 + index, 'jobs', null, index]));
  const jobs = worker.of(MESSAGE);
  t.equal(jobs.length, 30);
  worker.say(...jobs.map(([, , , offset], index) => [ACK, 10 + index, 'jobs', { offset }]));
  t.same(worker.codes, []);
  t.equal(worker.of(OK).length, 32);
  t.equal(service.closed ?? worker.closed, null);
});

t.test('persistent offenders are disconnected, and it is told of them', async (t) => {
  const rig = new LimitsRig({
    rateLimits: [{ scope: 'connection', what: 'publish', perSecond: 1, burst: 1 }],
    refusalsMax: 5,
    offencesWindowMs: 10_000,
  });
  const client = rig.client('alice', '192.0.2.7');
  const publish = (id: number): unknown[] => [PUBLISH, id, 'room.1', null, 1];
  client.say(...times(6, (index) => publish(2 + index)));
  t.equal(client.closed, null, 'five refusals are allowed');
  rig.pass(10_000);
  client.say(...times(6, (index) => publish(20 + index)));
  t.equal(client.closed, null, 'and five more in the next window');
  client.say(publish(30), publish(31));
  t.match(client.closed, { code: 4102, reason: /^rate limited: retryAfterMs=\d+, limit=connection.publish, rateRefusalsMax=5$/ });
  t.equal(client.codes.length, 11, 'what came behind the last one is not answered');
  t.match(rig.events.at(-2), { kind: 'rateLimited', subject: 'alice', address: '192.0.2.7', limit: 'connection.publish' });
  t.match(rig.events.at(-1), { kind: 'disconnected', code: 4102 });
  t.equal(rig.front.metrics.rateLimitedDisconnected, 1);
  t.equal(rig.front.connectionCount, 0);
});

t.test('connects: by address before the upgrade, by subject when it is known', async (t) => {
  const rig = new LimitsRig({
    rateLimits: [
      { scope: 'address', what: 'connect', perSecond: 0.5, burst: 2 },
      { scope: 'subject', what: 'connect', perSecond: 1, burst: 2 },
    ],
  });
  rig.client('alice', '192.0.2.7');
  rig.client('bob', '192.0.2.7');
  t.match(rig.tryClient('carol', '192.0.2.7'), { status: 429, retryAfterSeconds: 2, text: /address\.connect perSecond=0\.5/ });
  rig.client('alice', '192.0.2.8');
  const third = rig.client('alice', '192.0.2.9');
  t.match(third.received, [[ERROR, 1, RATE_LIMITED, /connect rate/, { retryAfterMs: 1_000, limit: 'subject.connect' }]]);
  t.match(third.closed, { code: 4102, reason: /retryAfterMs=1000/ });
  t.match(
    rig.events.filter(({ kind }) => kind === 'rateLimited'),
    [{ subject: 'alice', limit: 'subject.connect' }],
  );
  rig.pass(2_000);
  t.equal(rig.client('alice', '192.0.2.7').closed, null);
  t.match(rig.front.metrics, { connectionsRefusedAddressRate: 1, connectionsRefusedSubjectRate: 1 });
});

t.test('HTTP requests pay for their subject and their address: 429 with Retry-After', async (t) => {
  const rig = new LimitsRig({
    rateLimits: [
      { scope: 'address', what: 'publish', perSecond: 0.5, burst: 2 },
      { scope: 'subject', what: 'publish', perSecond: 0.5, burst: 1 },
      { scope: 'connection', what: 'publish', perSecond: 1, burst: 1 },
    ],
  });
  const statusOf = (address: string, token: string | null): number => rig.post('/v1/publish?topic=room.1', address, token).status;
  t.equal(statusOf('192.0.2.7', 'alice'), 200);
  const refused = rig.post('/v1/publish?topic=room.1', '192.0.2.8', 'alice');
  t.equal(refused.status, 429);
  t.equal(refused.headers['Retry-After'], '2');
  t.match(JSON.parse(new TextDecoder().decode(refused.body)), {
    error: { code: RATE_LIMITED, details: { limit: 'subject.publish' } },
  });
  t.same(
    times(3, () => statusOf('192.0.2.7', null)),
    [200, 429, 429],
    'what a refused request would have cost was not taken from its address',
  );
  const batch = rig.post(
    '/v1/publish-batch',
    '192.0.2.9',
    null,
    times(4, (index) => ({ topic: 'room.1', payload: index })),
  );
  t.equal(batch.status, 207, 'of a batch each message is judged by itself');
  t.match(JSON.parse(new TextDecoder().decode(batch.body)), [
    { offset: Number },
    { offset: Number },
    { error: { code: RATE_LIMITED } },
    { error: { code: RATE_LIMITED } },
  ]);
});

t.test('without limits nothing is known of anybody', async (t) => {
  const rig = new LimitsRig();
  const client = rig.client('alice');
  t.equal(client.link.session.limits, null);
  t.equal(rig.front.limits.peerCount, 0);
  t.equal(rig.front.limits.usesAddress, false);
});

t.test('HELLO with commands behind it in one message: they are judged too', async (t) => {
  const rig = new LimitsRig({ rateLimits: [{ scope: 'subject', what: 'subscribe', perSecond: 1, burst: 1 }] });
  const client = rig.client('alice');
  client.link.close();
  rig.run();
  rig.pass(5_000);
  const other = rig.tryClient('bob');
  t.notOk('status' in other);
  const third = rig.client('carol');
  third.say([SUBSCRIBE, 2, 'room.1', null], [SUBSCRIBE, 3, 'room.2', null], [HELLO, 4, {}]);
  t.match(third.of(ERROR), [
    [ERROR, 3, RATE_LIMITED],
    [ERROR, 4, 112],
  ]);
});
