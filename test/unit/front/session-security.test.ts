/** Identities: HELLO with a token, what waits meanwhile, REFRESH, expiry, revocation, and the guard before a SUBSCRIBE. */
import t from 'tap';
import { FRONT_DEFAULTS } from '../../support/options.ts';
import { SecurityRig } from './security-rig.ts';

t.test('a good token is answered with who you are', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice', { expiresInMs: 60_000, tokenId: 't-1' });
  t.match(client.received, [[32, 1, { subject: 'alice', expiresAtMs: rig.clock.nowMs() + 60_000 }]]);
  t.match(rig.events, [
    { kind: 'connected', address: '192.0.2.7' },
    { kind: 'authenticated', subject: 'alice', tokenId: 't-1' },
  ]);
  t.equal(rig.front.metrics.sessionsAuthenticated, 1);
});

t.test('no token, or a bad one: ERROR 101 and 4501', async (t) => {
  const rig = new SecurityRig();
  for (const options of [{}, { token: 'forged' }]) {
    const client = rig.connect();
    client.say([1, 1, options], [2, 2, 'room.1', null, 'x']);
    t.match(client.received, [[33, 1, 101, /token/]]);
    t.equal(client.received.length, 1, 'what came behind it is not done');
    t.match(client.closed, { code: 4501, reason: /token/ });
  }
  t.match(rig.events.at(-1), { kind: 'authenticationFailed', code: 'UNAUTHENTICATED' });
});

t.test('the upgrade may bring the token; HELLO’s counts before it', async (t) => {
  const rig = new SecurityRig();
  rig.tokens.set('alice', {});
  rig.tokens.set('bob', {});
  const byUpgrade = rig.connect({ token: 'alice', origin: 'https://a.example' });
  byUpgrade.say([1, 1, {}]);
  t.match(byUpgrade.received, [[32, 1, { subject: 'alice' }]]);
  t.match(rig.credentials.at(-1), { token: 'alice', origin: 'https://a.example', address: '192.0.2.7' });
  const byHello = rig.connect({ token: 'alice' });
  byHello.say([1, 1, { token: 'bob' }]);
  t.match(byHello.received, [[32, 1, { subject: 'bob' }]]);
});

t.test('names of the relay’s own are nobody’s', async (t) => {
  const rig = new SecurityRig();
  for (const subject of ['$lane-0', '$relay', 'http']) t.equal(rig.client(subject).closed?.code, 4501, subject);
});

t.test('what is sent behind HELLO waits for the decision, in order', async (t) => {
  const rig = new SecurityRig();
  rig.isSlow = true;
  rig.tokens.set('alice', {});
  const client = rig.connect();
  client.say([1, 1, { token: 'alice' }], [3, 2, 'room.1', null]);
  client.say([2, 3, 'room.1', null, 'a'], [2, 4, 'room.1', null, 'b']);
  t.same(client.received, [], 'nothing is answered before it is decided');
  await rig.decide();
  t.same(
    client.received.map(([type, id]) => (type === 34 ? 'message' : id)),
    [1, 2, 'message', 3, 'message', 4],
  );
});

t.test('nothing is done for a token that turns out to be bad, nor for a client that has left', async (t) => {
  const rig = new SecurityRig();
  rig.isSlow = true;
  rig.tokens.set('alice', {});
  const forger = rig.connect();
  forger.say([1, 1, { token: 'forged' }], [2, 2, 'room.1', null, 'x']);
  const leaver = rig.connect();
  leaver.say([1, 1, { token: 'alice' }], [2, 2, 'room.1', null, 'x']);
  rig.front.onClose(leaver.session, 1006);
  await rig.decide();
  t.match(forger.received, [[33, 1, 101]]);
  t.same(leaver.received, []);
  t.equal(rig.front.metrics.commandsForwarded, 0);
});

t.test('what waits is bounded: 4102', async (t) => {
  const rig = new SecurityRig(null, { heldBytesMax: 1_024 });
  rig.isSlow = true;
  rig.tokens.set('alice', {});
  const client = rig.connect();
  client.say([1, 1, { token: 'alice' }]);
  client.say([2, 2, 'room.1', null, 'x'.repeat(900)]);
  t.equal(client.closed, null);
  client.say([2, 3, 'room.1', null, 'x'.repeat(900)]);
  t.match(client.closed, { code: 4102, reason: /heldBytesMax=1024/ });
  t.equal(rig.front.metrics.heldOverflows, 1);
  await rig.decide();
  t.same(client.received, []);
});

t.test('a decision that does not come: 4504, as without HELLO', async (t) => {
  const rig = new SecurityRig(null, { helloTimeoutMs: 1_000 });
  rig.isSlow = true;
  const client = rig.connect();
  client.say([1, 1, { token: 'alice' }]);
  rig.pass(1_000);
  rig.pass(1_000);
  t.equal(client.closed?.code, 4504);
});

t.test(
  'an expired token: what asks for something is refused, what ends something and what comes is not; then 4501',
  async (t) => {
    const rig = new SecurityRig(null, { tokenGraceMs: 5_000, pingIntervalMs: 60_000 });
    const client = rig.client('alice', { expiresInMs: 1_000 });
    const other = rig.client('bob');
    client.say([3, 2, 'room.1', null]);
    rig.pass(1_000);
    for (const refused of [
      [2, 3, 'room.1', null, 'x'],
      [3, 3, 'room.2', null],
      [5, 3, 'math', 'add', null, 1],
      [8, 3, 'math', { version: '1.0.0', methods: ['add'] }],
      [10, 3, 'room.1', null],
      [11, 3, 'room.1', null],
      [12, 3, 'report', null, 1],
      [13, 3, 'report', { action: 'list' }],
      [19, 3, '>', null],
      [20, 3, 'report', null, {}],
    ])
      t.match(client.ask(refused), [[33, 3, 114]], `type ${refused[0]}`);
    t.match(client.ask([14, 4]), [[32, 4]]);
    other.say([2, 5, 'room.1', null, 'still delivered']);
    t.match(client.received.at(-1), [34, Number, null, 1, null, 'still delivered']);
    t.match(client.ask([4, 6, 'room.1']), [[32, 6]]);
    rig.pass(4_000);
    t.equal(client.closed, null, 'within the grace time');
    rig.pass(1_000);
    t.match(client.closed, { code: 4501, reason: /expired/ });
    t.equal(rig.front.metrics.sessionsExpired, 1);
  },
);

t.test('REFRESH goes on with the new token', async (t) => {
  const rig = new SecurityRig(null, { tokenGraceMs: 5_000, pingIntervalMs: 60_000 });
  const client = rig.client('alice', { expiresInMs: 1_000 });
  rig.pass(2_000);
  rig.tokens.set('alice#2', { expiresInMs: 10_000, tokenId: 't-2' });
  t.match(client.ask([15, 2, 'alice#2'], [2, 3, 'room.1', null, 'x']), [
    [32, 2, { expiresAtMs: rig.clock.nowMs() + 10_000 }],
    [32, 3],
  ]);
  rig.pass(7_000);
  t.equal(client.closed, null);
  t.match(rig.events.at(-1), { kind: 'refreshed', subject: 'alice', tokenId: 't-2' });
});

t.test('an expired session does not live on by REFRESHes that are refused', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice', { expiresInMs: 1_000 });
  rig.isSlow = true;
  client.say([15, 2, 'forged'], [15, 3, 'forged'], [15, 4, 'forged']);
  rig.pass(1_000 + FRONT_DEFAULTS.tokenGraceMs);
  t.equal(client.closed, null, 'the first one may still be good');
  await rig.decide();
  t.match(client.received.at(-1), [33, 2, 101]);
  t.match(client.closed, { code: 4501, reason: /expired/ });
  t.equal(rig.front.metrics.sessionsExpired, 1);
});

t.test('permissions that no record to a lane could hold: turned away, at HELLO and at REFRESH', async (t) => {
  const rig = new SecurityRig();
  // As many and as long as they may be: placeholders make a hundred kilobytes of a small token.
  const token = 'x'.repeat(63);
  const patterns = Array.from({ length: 512 }, (_, index) => `${token}.${token}.${token}.${String(index).padStart(63, 'x')}`);
  const client = rig.client('alice', { grants: { pub: patterns } });
  client.say([2, 2, 'room.1', null, 'x']);
  t.match(client.received, [[33, 1, 101, /too large/, { permissionsBytesMax: FRONT_DEFAULTS.messageBytesMax - 512 }]]);
  t.match(client.closed, { code: 4501, reason: /permissions/ });
  const other = rig.client('bob', { grants: { pub: ['room.1'] } });
  rig.tokens.set('bob#2', { grants: { pub: patterns } });
  t.match(other.ask([2, 2, 'room.1', null, 'x'], [15, 3, 'bob#2'], [2, 4, 'room.1', null, 'x']), [
    [33, 3, 101, /too large/],
    [32, 2],
    [32, 4],
  ]);
});

t.test('a REFRESH whose token is no text is a bad request, whatever the decoder would make of it', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice');
  const values: Readonly<Record<string, readonly number[]>> = {
    number: [7],
    'empty text': [0xa0],
    'unknown extension': [0xd4, 0x05, 0],
    'reference of the decoder’s own': [0xd6, 0x70, 0, 0, 0, 1],
    'extension without a body': [0xc7, 0, 0x65],
    'record of the decoder’s own': [0xd4, 0x72, 0x40],
  };
  for (const [what, value] of Object.entries(values)) {
    rig.front.onMessage(client.session, Uint8Array.of(0x93, 15, 2, ...value), true);
    t.match(client.received.at(-1), [33, 2, 100, /token must be/], what);
  }
  t.equal(client.closed, null);
  t.match(client.ask([14, 3]), [[32, 3]]);
});

t.test('a REFRESH that is refused changes nothing', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice', { expiresInMs: 60_000 });
  rig.tokens.set('bob', {});
  t.match(client.ask([15, 2, 'bob'], [15, 3, 'forged']), [
    [33, 2, 102, /another subject/],
    [33, 3, 101],
  ]);
  for (const token of [7, '', null, 'x'.repeat(16_385)]) t.match(client.ask([15, 4, token]), [[33, 4, 100, /token must be/]]);
  t.match(client.ask([2, 5, 'room.1', null, 'x']), [[32, 5]]);
  t.equal(rig.front.metrics.refreshesRefused, 2);
});

t.test('revoked sessions end with 4505, all others stay', async (t) => {
  const rig = new SecurityRig();
  const [alice, again, bob] = [rig.client('alice', { tokenId: 'a' }), rig.client('alice#2', { tokenId: 'b' }), rig.client('bob')];
  t.equal(
    rig.front.revoke(({ tokenId }) => tokenId === 'a'),
    1,
  );
  t.equal(alice.closed?.code, 4505);
  t.equal(again.closed, null);
  t.equal(
    rig.front.revoke(({ subject }) => subject === 'alice'),
    1,
    'those that are closing are not counted again',
  );
  t.equal(again.closed?.code, 4505);
  t.equal(bob.closed, null);
  t.match(rig.events.slice(-2), [
    { kind: 'revoked', subject: 'alice', tokenId: 'a' },
    { kind: 'revoked', subject: 'alice', tokenId: 'b' },
  ]);
});

t.test('the guard is asked before a SUBSCRIBE, and the commands behind it wait', async (t) => {
  const rig = new SecurityRig(['room.secret']);
  const client = rig.client('alice');
  rig.isSlow = true;
  client.say([3, 2, 'room.secret', null], [2, 3, 'room.1', null, 'x']);
  client.say([3, 4, 'room.1', null]);
  t.equal(client.received.length, 1);
  await rig.decide();
  await rig.decide();
  t.match(client.received.slice(1), [
    [33, 2, 102, /guard/],
    [32, 3],
    [32, 4],
  ]);
  t.match(rig.events.at(-1), { kind: 'denied', subject: 'alice', right: 'sub', name: 'room.secret' });
});
