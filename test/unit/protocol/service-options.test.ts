/** Options of the commands on services: what is taken, with its defaults, and for everything else an error that names the field. */
import t from 'tap';
import { pack, unpack } from '../../../src/protocol/codec.ts';
import { decodeOptions, type OptionMap } from '../../../src/protocol/options.ts';
import {
  callOptions,
  cancelBody,
  creditBody,
  heartbeatOptions,
  isMoreOnly,
  MORE,
  registerOptions,
  returnOptions,
  servicesOptions,
  textStart,
} from '../../../src/protocol/service-options.ts';

const NO_CALL = {
  deadlineMs: 30_000,
  hashKey: null,
  headers: null,
  idempotent: false,
  version: null,
  select: null,
  window: 64,
  waitMs: Number.POSITIVE_INFINITY,
};
const PLAIN = { version: '1.2.3', methods: ['a', 'b'] };
const NO_REGISTER = { ...PLAIN, capacity: 64, weight: 1, metadata: {}, idempotent: [], heartbeatMs: 0 };

const readers: Readonly<Record<string, (options: OptionMap) => unknown>> = {
  call: (options) => {
    const { headers, version, ...rest } = callOptions(options, 30_000, 600_000);
    return { ...rest, headers: headers === null ? null : unpack(headers), version: version === null ? null : version.length };
  },
  register: (options) => {
    const { parsedVersion: _parsed, ...rest } = registerOptions(options);
    return rest;
  },
  return: returnOptions,
  heartbeat: heartbeatOptions,
  services: servicesOptions,
};

for (const { of, name, options, want } of [
  { of: 'call', name: 'nothing', options: {}, want: NO_CALL },
  {
    of: 'call',
    name: 'nil for everything, and keys nobody knows',
    options: {
      deadlineMs: null,
      hashKey: null,
      headers: null,
      idempotent: null,
      version: null,
      select: null,
      window: null,
      wait: null,
      constructor: 1,
    },
    want: NO_CALL,
  },
  {
    of: 'call',
    name: 'everything',
    options: {
      deadlineMs: 600_000,
      hashKey: 'k',
      headers: { a: 'b' },
      idempotent: true,
      version: '^1 || 3.x',
      select: { a: 1, b: 'x', c: true },
      window: 1_024,
      wait: 0,
    },
    want: {
      deadlineMs: 600_000,
      hashKey: 'k',
      headers: { a: 'b' },
      idempotent: true,
      version: 2,
      select: [
        ['a', 1],
        ['b', 'x'],
        ['c', true],
      ],
      window: 1_024,
      waitMs: 0,
    },
  },
  { of: 'call', name: 'the shortest deadline', options: { deadlineMs: 1 }, want: { ...NO_CALL, deadlineMs: 1 } },
  { of: 'register', name: 'the least', options: PLAIN, want: NO_REGISTER },
  {
    of: 'register',
    name: 'everything',
    options: {
      version: '1.0.0-rc.1+b',
      methods: ['a', '*'],
      capacity: 100_000,
      weight: 1_000,
      metadata: { zone: 'a', gpu: true, cores: 2.5 },
      idempotent: true,
      heartbeatMs: 100,
    },
    want: {
      version: '1.0.0-rc.1+b',
      methods: ['a', '*'],
      capacity: 100_000,
      weight: 1_000,
      metadata: { zone: 'a', gpu: true, cores: 2.5 },
      idempotent: true,
      heartbeatMs: 100,
    },
  },
  {
    of: 'register',
    name: 'a method twice',
    options: { ...PLAIN, methods: ['a', 'a'] },
    want: { ...NO_REGISTER, methods: ['a'] },
  },
  { of: 'register', name: 'idempotent false', options: { ...PLAIN, idempotent: false }, want: NO_REGISTER },
  {
    of: 'register',
    name: 'some idempotent ones',
    options: { ...PLAIN, idempotent: ['b'] },
    want: { ...NO_REGISTER, idempotent: ['b'] },
  },
  {
    of: 'register',
    name: 'any idempotent one of any method',
    options: { ...PLAIN, methods: ['*'], idempotent: ['x'] },
    want: { ...NO_REGISTER, methods: ['*'], idempotent: ['x'] },
  },
  { of: 'return', name: 'nothing', options: {}, want: { kind: 'result' } },
  { of: 'return', name: 'more', options: { more: true }, want: { kind: 'part' } },
  { of: 'return', name: 'no more', options: { more: false }, want: { kind: 'result' } },
  { of: 'return', name: 'a heartbeat', options: { heartbeat: true }, want: { kind: 'heartbeat' } },
  {
    of: 'return',
    name: 'an error',
    options: { error: { code: 'E', text: 't' } },
    want: { kind: 'error', error: { code: 'E', text: 't' } },
  },
  {
    of: 'return',
    name: 'an error by number',
    options: { error: { code: -5 } },
    want: { kind: 'error', error: { code: -5, text: '' } },
  },
  {
    of: 'return',
    name: 'an error with details',
    options: { error: { code: 1, text: '', details: [1, { a: null }] } },
    want: { kind: 'error', error: { code: 1, text: '', details: [1, { a: null }] } },
  },
  { of: 'heartbeat', name: 'nothing', options: {}, want: { load: null, health: null } },
  { of: 'heartbeat', name: 'everything', options: { load: 1, health: 'failing' }, want: { load: 1, health: 'failing' } },
  { of: 'heartbeat', name: 'no load', options: { load: 0 }, want: { load: 0, health: null } },
  { of: 'services', name: 'nothing', options: {}, want: { instances: false } },
  { of: 'services', name: 'instances', options: { instances: true }, want: { instances: true } },
]) {
  t.test(`${of} options take ${name}`, async (t) => {
    t.same(readers[of]!(options as OptionMap), want);
    // And as a peer sends them.
    const bytes = pack(options);
    t.same(readers[of]!(decodeOptions(bytes, 0, bytes.length)), want);
  });
}

const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);

for (const { of, name, options, text, code = 'BAD_REQUEST' } of [
  { of: 'call', name: 'a deadline of 0', options: { deadlineMs: 0 }, text: /deadlineMs must be an integer in \[1, 600000\]/ },
  { of: 'call', name: 'a deadline over the bound', options: { deadlineMs: 600_001 }, text: /deadlineMs must be/ },
  { of: 'call', name: 'a deadline of text', options: { deadlineMs: '5' }, text: /deadlineMs must be/ },
  { of: 'call', name: 'an empty hashKey', options: { hashKey: '' }, text: /hashKey must be a string of 1 to 128/ },
  { of: 'call', name: 'a hashKey that is a number', options: { hashKey: 5 }, text: /hashKey must be/ },
  { of: 'call', name: 'headers of numbers', options: { headers: { a: 1 } }, text: /header 'a' must be a string/ },
  { of: 'call', name: 'headers in a list', options: { headers: [] }, text: /headers must be a map/ },
  { of: 'call', name: 'idempotent of text', options: { idempotent: 'yes' }, text: /idempotent must be true or false/ },
  { of: 'call', name: 'a version that is none', options: { version: 'newest' }, text: /version must be a range/ },
  { of: 'call', name: 'a version of a number', options: { version: 1 }, text: /version must be a string/ },
  { of: 'call', name: 'select of text', options: { select: 'a' }, text: /select must be a map/ },
  {
    of: 'call',
    name: 'select of a list',
    options: { select: { a: [] } },
    text: /select 'a' must be a string, a number or true or false/,
  },
  { of: 'call', name: 'select of nil', options: { select: { a: null } }, text: /select 'a' must be/ },
  { of: 'call', name: 'a window of 0', options: { window: 0 }, text: /window must be an integer in \[1, 1024\]/ },
  { of: 'call', name: 'a window over the bound', options: { window: 1_025 }, text: /window must be/ },
  { of: 'call', name: 'a negative wait', options: { wait: -1 }, text: /wait must be/ },
  { of: 'register', name: 'no version', options: { methods: ['a'] }, text: /version must be a string/ },
  {
    of: 'register',
    name: 'a range as version',
    options: { ...PLAIN, version: '^1' },
    text: /version must be a semantic version/,
  },
  { of: 'register', name: 'no methods', options: { version: '1.0.0' }, text: /methods must be a list of 1 to 256 names/ },
  { of: 'register', name: 'an empty list of methods', options: { ...PLAIN, methods: [] }, text: /methods must be a list/ },
  { of: 'register', name: '257 methods', options: { ...PLAIN, methods: many(257) }, text: /methods must be a list/ },
  {
    of: 'register',
    name: 'methods in a map',
    options: { ...PLAIN, methods: { length: 1, 0: 'a' } },
    text: /methods must be a list/,
  },
  {
    of: 'register',
    name: 'a method that is a number',
    options: { ...PLAIN, methods: ['a', 5] },
    text: /methods\[1\] must be a string/,
  },
  { of: 'register', name: 'an empty method', options: { ...PLAIN, methods: [''] }, text: /methods\[0\] must be/ },
  {
    of: 'register',
    name: 'a method of 129 bytes',
    options: { ...PLAIN, methods: ['m'.repeat(129)] },
    text: /methods\[0\] must be/,
  },
  {
    of: 'register',
    name: 'capacity 0',
    options: { ...PLAIN, capacity: 0 },
    text: /capacity must be an integer in \[1, 100000\]/,
  },
  { of: 'register', name: 'a weight of 1001', options: { ...PLAIN, weight: 1_001 }, text: /weight must be/ },
  { of: 'register', name: 'half a weight', options: { ...PLAIN, weight: 0.5 }, text: /weight must be/ },
  { of: 'register', name: 'metadata of text', options: { ...PLAIN, metadata: 'x' }, text: /metadata must be a map/ },
  { of: 'register', name: 'metadata of maps', options: { ...PLAIN, metadata: { a: {} } }, text: /metadata 'a' must be/ },
  { of: 'register', name: 'metadata of NaN', options: { ...PLAIN, metadata: { a: Number.NaN } }, text: /metadata 'a' must be/ },
  {
    of: 'register',
    name: '33 entries of metadata',
    options: { ...PLAIN, metadata: Object.fromEntries(many(33).map((key) => [key, 1])) },
    text: /metadata has too many entries: count=33, countMax=32/,
  },
  {
    of: 'register',
    name: 'metadata over 1 KiB',
    options: { ...PLAIN, metadata: { a: 'x'.repeat(1_100) } },
    text: /metadata is too large/,
    code: 'TOO_LARGE',
  },
  {
    of: 'register',
    name: 'an idempotent stranger',
    options: { ...PLAIN, idempotent: ['c'] },
    text: /idempotent 'c' is none of the methods/,
  },
  {
    of: 'register',
    name: 'idempotent of text',
    options: { ...PLAIN, idempotent: 'a' },
    text: /idempotent must be a list of methods, or true/,
  },
  {
    of: 'register',
    name: 'a heartbeat under 100 ms',
    options: { ...PLAIN, heartbeatMs: 99 },
    text: /heartbeatMs must be an integer in \[100, 3600000\]/,
  },
  { of: 'return', name: 'more of 1', options: { more: 1 }, text: /more must be true or false/ },
  { of: 'return', name: 'a heartbeat with more', options: { more: true, heartbeat: true }, text: /exclude each other/ },
  { of: 'return', name: 'an error of text', options: { error: 'E' }, text: /error must be a map/ },
  { of: 'return', name: 'an error without a code', options: { error: {} }, text: /error.code must be a string/ },
  { of: 'return', name: 'an error with half a code', options: { error: { code: 0.5 } }, text: /error.code must be an integer/ },
  {
    of: 'return',
    name: 'an error with a text of a number',
    options: { error: { code: 1, text: 5 } },
    text: /error.text must be/,
  },
  {
    of: 'return',
    name: 'details over 4 KiB',
    options: { error: { code: 1, details: 'x'.repeat(4_096) } },
    text: /error.details is too large/,
    code: 'TOO_LARGE',
  },
  { of: 'heartbeat', name: 'a load of 1.5', options: { load: 1.5 }, text: /load must be a number in \[0, 1\]/ },
  { of: 'heartbeat', name: 'a load that is no number', options: { load: Number.NaN }, text: /load must be/ },
  { of: 'heartbeat', name: 'another health', options: { health: 'fine' }, text: /health must be one of ok, degraded, failing/ },
  { of: 'services', name: 'instances of 1', options: { instances: 1 }, text: /instances must be true or false/ },
] as { of: string; name: string; options: OptionMap; text: RegExp; code?: string }[]) {
  t.test(`${of} options refuse ${name}`, async (t) => {
    t.throws(() => readers[of]!(options), { name: 'RelayError', codeName: code, message: text });
  });
}

t.test('more ranges than are kept are read all the same', async (t) => {
  for (let number = 0; number < 600; number++) t.equal(callOptions({ version: `^${number}` }, 1, 1).version?.length, 1);
});

t.test('{more: true} is known by its bytes', async (t) => {
  t.same(MORE, pack({ more: true }));
  t.ok(isMoreOnly(Uint8Array.from([0xee, ...MORE, 0x01]), 1));
  for (let cut = 0; cut < MORE.length; cut++) t.notOk(isMoreOnly(MORE.subarray(0, cut), 0));
  t.notOk(isMoreOnly(pack({ more: false }), 0));
});

for (const { name, bytes, want } of [
  { name: 'a fixstr', bytes: [0xa1, 0x61], want: 1 },
  { name: 'an empty string', bytes: [0xa0], want: 1 },
  { name: 'a str 8', bytes: [0xd9, 1, 0x61], want: 2 },
  { name: 'a str 16', bytes: [0xda, 0, 1, 0x61], want: 3 },
  { name: 'a str 32', bytes: [0xdb, 0, 0, 0, 1, 0x61], want: 5 },
  { name: 'a number', bytes: [0x05], want: -1 },
  { name: 'bytes', bytes: [0xc4, 1, 0x61], want: -1 },
  { name: 'nil', bytes: [0xc0], want: -1 },
]) {
  t.test(`textStart: ${name}`, async (t) => {
    t.equal(textStart(Uint8Array.from(bytes), 0), want);
  });
}

t.test('CANCEL and CREDIT: ids in every width', async (t) => {
  for (const [bytes, id] of [
    [[0x01], 1],
    [[0xcc, 0xff], 255],
    [[0xcd, 0xff, 0xff], 65_535],
    [[0xce, 0xff, 0xff, 0xff, 0xff], 4_294_967_295],
    [[0xcf, 0, 0, 0, 1, 0, 0, 0, 0], 4_294_967_296],
    [[0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Number.MAX_SAFE_INTEGER],
  ] as [number[], number][]) {
    t.equal(cancelBody(Uint8Array.from(bytes), 0), id);
    t.same(creditBody(Uint8Array.from([...bytes, 0x07]), 0, bytes.length + 1), { id, count: 7 });
  }
  for (const bytes of [
    [0x00],
    [0xff],
    [0xc0],
    [0xa1, 0x61],
    [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
    [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0],
  ])
    t.throws(() => cancelBody(Uint8Array.from(bytes), 0), {
      codeName: 'BAD_REQUEST',
      message: /the id of the call must be an integer/,
    });
});
