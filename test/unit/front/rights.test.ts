/** Rights: each command asks for its own, over WebSockets and over HTTP, and what is taken away is gone at once. */
import t from 'tap';
import type { HttpResponse } from '../../../src/front/http-gateway.ts';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import type { GrantClaims } from '../../../src/protocol/grants.ts';
import { type Message, type SecurityClient, SecurityRig } from './security-rig.ts';

const DEFINITION = { stages: [{ name: 'a', service: 'math', method: 'add' }] };

const COMMANDS: readonly { readonly what: string; readonly command: Message; readonly right: string; readonly name: string }[] = [
  { what: 'PUBLISH', command: [2, 9, 'room.1', null, 'x'], right: 'pub', name: 'room.1' },
  { what: 'SUBSCRIBE', command: [3, 9, 'room.1', null], right: 'sub', name: 'room.1' },
  { what: 'SUBSCRIBE of a pattern', command: [3, 9, 'room.*', null], right: 'sub', name: 'room.*' },
  { what: 'SUBSCRIBE in a group', command: [3, 9, 'room.1', { group: 'g' }], right: 'sub', name: 'room.1' },
  { what: 'HISTORY', command: [10, 9, 'room.1', null], right: 'hist', name: 'room.1' },
  { what: 'PRESENCE', command: [11, 9, 'room.1', null], right: 'pres', name: 'room.1' },
  { what: 'CALL', command: [5, 9, 'math', 'add', null, 1], right: 'call', name: 'math' },
  { what: 'SERVICES', command: [19, 9, '>', null], right: 'call', name: '>' },
  { what: 'REGISTER', command: [8, 9, 'math', { version: '1.0.0', methods: ['add'] }], right: 'serve', name: 'math' },
  { what: 'START', command: [12, 9, 'report', null, 1], right: 'start', name: 'report' },
  { what: 'RUN', command: [13, 9, 'report', { action: 'list' }], right: 'start', name: 'report' },
  { what: 'RUN of a pattern', command: [13, 9, '>', { action: 'list' }], right: 'start', name: '>' },
  { what: 'DEFINE', command: [20, 9, 'report', null, DEFINITION], right: 'admin', name: 'report' },
];

for (const { what, command, right, name } of COMMANDS) {
  t.test(`${what} asks for '${right}'`, async (t) => {
    const rig = new SecurityRig();
    const all = ['room.1', 'room.*', 'math', 'report', '>'];
    const others = Object.fromEntries(
      ['pub', 'sub', 'hist', 'pres', 'call', 'serve', 'start', 'admin']
        .filter((other) => other !== right)
        .map((other) => [other, all]),
    );
    t.match(rig.client('alice', { grants: others }).ask(command), [[33, 9, 102, /not permitted/, { right, name }]]);
    t.match(rig.events.at(-1), { kind: 'denied', subject: 'alice', right, name });
    const reply = rig.client('bob', { grants: { [right]: [name] } }).ask(command);
    t.not(reply[0]?.[2], 102, 'with that right alone it goes ahead');
    t.equal(rig.events.at(-1)?.kind, 'authenticated');
  });
}

t.test('what is denied makes nothing: no topic, no subscription', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice', { grants: { sub: ['mine.>'] } });
  const open = rig.client('root');
  client.say([3, 2, 'other.1', null], [2, 3, 'other.1', null, 'x'], [3, 4, 'other.>', null]);
  open.say([2, 2, 'other.1', null, 'y']);
  t.equal(client.received.filter(([type]) => type === 34).length, 0);
  t.match(open.ask([10, 3, 'other.1', null]), [[32, 3, { offset: 1 }]]);
});

t.test('the relay’s own topics need a right of their own; runs come with the right to start', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice', { grants: { sub: ['>', '*.>'], start: ['report'] } });
  t.match(client.ask([3, 2, '$service.math', null]), [[33, 2, 102]]);
  t.match(client.ask([3, 3, '$workflow.other.r1', null]), [[33, 3, 102]]);
  t.match(client.ask([3, 4, '$workflow.report.r1', { since: { epoch: 'e', offset: 0 } }]), [
    [32, 4, { reason: 'EPOCH_CHANGED' }],
  ]);
  t.match(client.ask([3, 5, '$workflow.report.*', null]), [[32, 5]]);
});

t.test('replays are reading: without the right a subscription is live only, and says so', async (t) => {
  const rig = new SecurityRig();
  const root = rig.client('root');
  root.say([2, 2, 'room.1', null, 'old']);
  const client = rig.client('alice', { grants: { sub: ['room.*'] } });
  t.match(client.ask([3, 2, 'room.1', { last: 5 }]), [[32, 2, { recovered: false, reason: 'FORBIDDEN', replay: 0 }]]);
  t.match(client.ask([3, 3, 'room.1', { since: { epoch: 'e', offset: 0 } }]), [[32, 3, { reason: 'FORBIDDEN', replay: 0 }]]);
  root.say([2, 3, 'room.1', null, 'new']);
  t.same(
    client.received.filter(([type]) => type === 34).map((message) => message.at(-1)),
    ['new'],
  );
});

t.test('the others know a client by its proven subject, whatever it calls itself', async (t) => {
  const rig = new SecurityRig();
  const [alice, bob] = [rig.client('alice'), rig.client('bob')];
  alice.say([3, 2, 'room.1', { presence: true }]);
  bob.say([3, 2, 'room.1', { presence: true }]);
  t.match(alice.received.at(-1), [35, Number, null, 'join', { id: 'bob' }]);
  t.match(bob.ask([11, 3, 'room.1', null]), [[32, 3, { members: [{ id: 'alice' }, { id: 'bob' }] }]]);
});

t.test('a group’s dead letters go only where its members may publish', async (t) => {
  const rig = new SecurityRig();
  const group = { group: 'g', ack: true, deadLetter: 'private.box' };
  t.match(rig.client('alice', { grants: { sub: ['room.1'] } }).ask([3, 9, 'room.1', group]), [
    [33, 9, 102, /not permitted/, { right: 'pub', name: 'private.box' }],
  ]);
  t.match(rig.client('bob', { grants: { sub: ['room.1'], pub: ['private.box'] } }).ask([3, 9, 'room.1', group]), [[32, 9]]);
});

t.test('REFRESH without the right to a group’s dead letters: the relay publishes none there any more', async (t) => {
  for (const sub of [['jobs'], []]) {
    const rig = new SecurityRig();
    const root = rig.client('root');
    root.say([3, 2, 'other', null], [3, 3, '$dead.jobs', null]);
    const client = rig.client('alice', { grants: { sub: ['jobs'], pub: ['jobs', 'other'] } });
    rig.tokens.set('alice#2', { grants: { sub, pub: ['jobs'] } });
    client.say([3, 2, 'jobs', { group: 'g', ack: true, maxAttempts: 1, deadLetter: 'other' }], [2, 3, 'jobs', null, 'x']);
    const before = root.received.length;
    client.say([15, 4, 'alice#2'], [18, 5, 'jobs', { offset: 1, requeue: true }]);
    const dead = root.received.slice(before);
    t.match(dead, [[34, Number, null, 1, { headers: { topic: 'jobs' } }, 'x']]);
    t.match(
      root.received.find(([type, id]) => type === 32 && id === 3),
      [32, 3, { sub: dead[0]?.[1] }],
      'by way of the default',
    );
  }
});

t.test('REFRESH with fewer rights: subscriptions, patterns, presence, calls and instances end at once', async (t) => {
  const rig = new SecurityRig();
  const root = rig.client('root');
  const wide: GrantClaims = { sub: ['room.>', 'news'], pres: ['room.>'], call: ['math'], serve: ['print'] };
  const client = rig.client('alice', { grants: wide });
  root.say([8, 2, 'math', { version: '1.0.0', methods: ['add'] }], [3, 3, 'room.1', { presence: 'watch' }]);
  client.say(
    [3, 2, 'room.1', { presence: true }],
    [3, 3, 'room.*', null],
    [3, 4, 'news', null],
    [5, 5, 'math', 'add', null, 1],
    [8, 6, 'print', { version: '1.0.0', methods: ['page'] }],
  );
  rig.tokens.set('alice#2', { grants: { sub: ['news'] } });
  const before = client.received.length;
  const rootBefore = root.received.length;
  client.say([15, 7, 'alice#2']);
  const after = client.received.slice(before);
  t.equal(after.filter(([type, , , kind]) => type === 35 && kind === 'lost').length, 2, 'of the topic and of the pattern');
  for (const [type, , , , data] of after.filter(([type]) => type === 35)) t.match([type, data], [35, { reason: 'FORBIDDEN' }]);
  t.match(
    after.find(([type, id]) => type === 33 && id === 5),
    [33, 5, 111, /taken away/],
  );
  t.match(
    after.find(([type, id]) => type === 33 && id === 0),
    [33, 0, 102, /not permitted/, { right: 'serve', name: 'print' }],
    'who may not serve any more is told',
  );
  t.match(
    root.received.slice(rootBefore).find(([type]) => type === 38),
    [38],
    'the instance is told',
  );
  t.match(
    root.received.find(([type, , , kind]) => type === 35 && kind === 'leave'),
    [35, Number, null, 'leave', { id: 'alice' }],
  );
  t.match(root.ask([5, 8, 'print', 'page', null, 1]), [[33, 8, 109]]);
  const quiet = client.received.length;
  root.say([2, 9, 'room.1', null, 'x'], [2, 10, 'news', null, 'y']);
  t.match(client.received.slice(quiet), [[34, Number, null, 1, null, 'y']], 'only what may still be read');
  t.match(client.ask([4, 11, 'room.1']), [[33, 11, 103]]);
  t.match(client.ask([4, 12, 'room.*']), [[33, 12, 103]]);
});

t.test('REFRESH without the right to presence: who comes and goes is told no more, what is published is', async (t) => {
  const rig = new SecurityRig();
  const root = rig.client('root');
  const client = rig.client('alice', { grants: { sub: ['room.*'], pres: ['room.*'] } });
  client.say([3, 2, 'room.1', { presence: 'watch' }], [3, 3, 'room.2', { presence: 'watch' }]);
  rig.tokens.set('alice#2', { grants: { sub: ['room.*'], pres: ['room.2'] } });
  client.say([15, 4, 'alice#2']);
  const before = client.received.length;
  root.say([3, 2, 'room.1', { presence: true }], [3, 3, 'room.2', { presence: true }], [2, 4, 'room.1', null, 'x']);
  t.match(client.received.slice(before), [
    [35, Number, null, 'join', { id: 'root', count: 1 }],
    [34, Number, null, 1, null, 'x'],
  ]);
  t.equal(client.received.length, before + 2, 'of room.2 alone');
});

t.test('REFRESH without presence: the subscription stays, who comes and goes is no more its business', async (t) => {
  const rig = new SecurityRig();
  const wide: GrantClaims = { sub: ['room.>'], pres: ['room.>'] };
  const narrow: GrantClaims = { sub: ['room.>'] };
  const [member, watcher, joining] = ['alice', 'bob', 'carol'].map((name) => {
    rig.tokens.set(`${name}#2`, { grants: narrow });
    return rig.client(name, { grants: wide });
  }) as [SecurityClient, SecurityClient, SecurityClient];
  member.say([3, 2, 'room.1', { presence: true }]);
  watcher.say([3, 2, 'room.1', { presence: 'watch' }]);
  member.say([15, 3, 'alice#2']);
  watcher.say([15, 3, 'bob#2']);
  joining.say([3, 2, 'room.1', { presence: 'watch' }], [15, 3, 'carol#2']);
  const before = [member, watcher, joining].map(({ received }) => received.length);
  rig.client('root').say([3, 2, 'room.1', { presence: { secret: 1 } }], [2, 3, 'room.1', null, 'x']);
  [member, watcher, joining].forEach(({ received }, index) => {
    t.match(received.slice(before[index]), [[34, Number, null, 1, null, 'x']]);
    t.equal(received.length, (before[index] as number) + 1);
  });
});

t.test('rights taken away while a pattern is joining: it is not joined', async (t) => {
  const rig = new SecurityRig();
  const client = rig.client('alice', { grants: { sub: ['room.*'] } });
  rig.tokens.set('alice#2', { grants: { sub: ['news'] } });
  t.match(client.ask([3, 2, 'room.*', null], [15, 3, 'alice#2']), [
    [32, 3],
    [33, 2, 102, /not permitted/, { right: 'sub', name: 'room.*' }],
  ]);
  const before = client.received.length;
  rig.client('root').say([2, 2, 'room.1', null, 'x']);
  t.equal(client.received.length, before);
});

t.test('HTTP: a token with each request, the same rights', async (t) => {
  const rig = new SecurityRig();
  rig.tokens.set('alice', { grants: { pub: ['room.1'], hist: ['room.1'], pres: ['room.1'], call: ['math'] } });
  const ask = (method: string, target: string, token: string | null, body: unknown = null): Promise<HttpResponse> =>
    new Promise((resolve) => {
      const [path = '', query = ''] = target.split('?');
      const request = { method, path, query, contentType: 'application/json', accept: '', token, address: '192.0.2.8' };
      rig.gateway.handle({ ...request, body: new TextEncoder().encode(body === null ? '' : JSON.stringify(body)) }, resolve);
      rig.run();
    });
  const bad = await ask('POST', '/v1/publish?topic=room.1', null, 'x');
  t.equal(bad.status, 401);
  t.equal(bad.headers['WWW-Authenticate'], 'Bearer');
  t.match(rig.events.at(-1), { kind: 'authenticationFailed', session: 0, address: '192.0.2.8' });
  const cases: [status: number, method: string, target: string, body?: unknown][] = [
    [200, 'POST', '/v1/publish?topic=room.1', 'x'],
    [403, 'POST', '/v1/publish?topic=room.2', 'x'],
    [200, 'GET', '/v1/history?topic=room.1'],
    [403, 'GET', '/v1/history?topic=room.2'],
    [200, 'GET', '/v1/position?topic=room.1'],
    [403, 'GET', '/v1/position?topic=room.2'],
    [200, 'GET', '/v1/presence?topic=room.1'],
    [403, 'GET', '/v1/presence?topic=room.2'],
    [503, 'POST', '/v1/call?service=math&method=add', 1],
    [403, 'POST', '/v1/call?service=other&method=add', 1],
    [200, 'GET', '/v1/services?service=math'],
    [403, 'GET', '/v1/services'],
    [404, 'GET', '/v1/nothing'],
  ];
  for (const [status, method, target, body] of cases)
    t.equal((await ask(method, target, 'alice', body ?? null)).status, status, `${method} ${target}`);
  const batch = await ask('POST', '/v1/publish-batch', 'alice', [
    { topic: 'room.1', payload: 1 },
    { topic: 'room.2', payload: 2 },
  ]);
  t.equal(batch.status, 207);
  t.match(JSON.parse(new TextDecoder().decode(batch.body)), [
    { offset: 2 },
    { error: { code: 102, details: { name: 'room.2' } } },
  ]);
});

t.test('HTTP: names of the relay’s own are nobody’s here either', async (t) => {
  const rig = new SecurityRig();
  const request = { method: 'GET', path: '/v1/history', query: 'topic=room.1', contentType: '', accept: '' };
  const statuses: number[] = [];
  for (const isSlow of [false, true]) {
    rig.isSlow = isSlow;
    for (const token of ['$lane-0', '$relay', 'http', 'https']) {
      rig.tokens.set(token, {});
      rig.gateway.handle({ ...request, token, body: new Uint8Array(0) }, ({ status }) => void statuses.push(status));
      await rig.decide();
    }
  }
  t.same(statuses, [401, 401, 401, 200, 401, 401, 401, 200]);
});

t.test('HTTP: topics of a batch in MessagePack are judged as the bytes that they are', async (t) => {
  const rig = new SecurityRig();
  rig.tokens.set('alice', { grants: { pub: ['room.1'] } });
  const topics: readonly Uint8Array[] = [
    pack('room.1'),
    Uint8Array.of(0xd4, 0x05, 0),
    Uint8Array.of(0xd6, 0x70, 0, 0, 0, 1),
    Uint8Array.of(7),
    pack('\u{feff}room.1'),
  ];
  const entries = topics.flatMap((topic) => [Uint8Array.of(0x82), pack('topic'), topic, pack('payload'), pack(1)]);
  const request = { method: 'POST', path: '/v1/publish-batch', query: '', contentType: 'application/msgpack', accept: '' };
  const body = Buffer.concat([Uint8Array.of(0x90 | topics.length), ...entries]);
  const answers: HttpResponse[] = [];
  rig.gateway.handle({ ...request, token: 'alice', body }, (answer) => void answers.push(answer));
  rig.run();
  t.equal(answers.length, 1);
  t.match(unpack((answers[0] as HttpResponse).body), [
    { offset: 1 },
    { error: { code: 100 } },
    { error: { code: 100 } },
    { error: { code: 100 } },
    { error: { code: 102, details: { right: 'pub', name: '\u{feff}room.1' } } },
  ]);
});

t.test('HTTP: a decision that takes a while, and a client that hangs up meanwhile', async (t) => {
  const rig = new SecurityRig();
  rig.isSlow = true;
  rig.tokens.set('alice', {});
  const answers: number[] = [];
  const request = { method: 'POST', path: '/v1/publish', query: 'topic=room.1', contentType: 'application/json', accept: '' };
  const body = new TextEncoder().encode('1');
  rig.gateway.handle({ ...request, token: 'alice', body }, ({ status }) => void answers.push(status));
  const abandon = rig.gateway.handle({ ...request, token: 'forged', body }, ({ status }) => void answers.push(status));
  abandon();
  t.same(answers, []);
  await rig.decide();
  t.same(answers.toSorted(), [200, 401], 'every reply is called once');
});
