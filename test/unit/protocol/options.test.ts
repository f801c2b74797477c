/** Options of commands: what is taken, with its defaults, and for everything else a BAD_REQUEST that names the field. */
import t from 'tap';
import { pack } from '../../../src/protocol/codec.ts';
import {
  ackOptions,
  checkPatternOptions,
  decodeOptions,
  hasNoOptions,
  helloOptions,
  historyOptions,
  type OptionMap,
  presenceQueryOptions,
  publishOptions,
  subscribeOptions,
} from '../../../src/protocol/options.ts';

const PRESENCE_BYTES_MAX = 64;
const FOREVER = Number.POSITIVE_INFINITY;
const NO_SUBSCRIBE = { since: null, last: 0, presence: undefined, watch: false, policy: null, conflateBy: null, group: null };
const GROUP = { name: 'g', ack: false, ackTimeoutMs: 30_000, maxAttempts: 5, deadLetter: null, maxInFlight: 16 };
const NO_ACK = { offsets: [7], epoch: null, requeue: false, delayMs: 0 };
const NO_PUBLISH = { key: null, headers: null, ttlMs: FOREVER, echo: null };
const EPOCH = 'e'.repeat(64);

const readers: Readonly<Record<string, (options: OptionMap) => unknown>> = {
  publish: publishOptions,
  subscribe: (options) => subscribeOptions(options, PRESENCE_BYTES_MAX),
  history: (options) => historyOptions(options, 100, 1_000),
  presence: presenceQueryOptions,
  ack: ackOptions,
  hello: helloOptions,
};

for (const { of, name, options, want } of [
  { of: 'publish', name: 'nothing', options: {}, want: NO_PUBLISH },
  { of: 'publish', name: 'nil for everything', options: { key: null, headers: null, ttlMs: null, echo: null }, want: NO_PUBLISH },
  { of: 'publish', name: 'keys nobody knows', options: { other: 1, constructor: 2 }, want: NO_PUBLISH },
  { of: 'publish', name: 'a key of 1 byte', options: { key: 'k' }, want: { ...NO_PUBLISH, key: 'k' } },
  { of: 'publish', name: 'a key of 128 bytes', options: { key: 'k'.repeat(128) }, want: { ...NO_PUBLISH, key: 'k'.repeat(128) } },
  {
    of: 'publish',
    name: 'a key of 42 characters of 3 bytes',
    options: { key: '€'.repeat(42) },
    want: { ...NO_PUBLISH, key: '€'.repeat(42) },
  },
  { of: 'publish', name: 'no headers', options: { headers: {} }, want: { ...NO_PUBLISH, headers: {} } },
  {
    of: 'publish',
    name: 'headers',
    options: { headers: { a: '', b: 'x' } },
    want: { ...NO_PUBLISH, headers: { a: '', b: 'x' } },
  },
  { of: 'publish', name: 'the shortest ttl', options: { ttlMs: 1 }, want: { ...NO_PUBLISH, ttlMs: 1 } },
  { of: 'publish', name: 'a ttl of a year', options: { ttlMs: 31_536_000_000 }, want: { ...NO_PUBLISH, ttlMs: 31_536_000_000 } },
  { of: 'publish', name: 'echo off', options: { echo: false }, want: { ...NO_PUBLISH, echo: false } },
  { of: 'publish', name: 'echo on', options: { echo: true }, want: { ...NO_PUBLISH, echo: true } },

  { of: 'subscribe', name: 'nothing', options: {}, want: NO_SUBSCRIBE },
  {
    of: 'subscribe',
    name: 'since the beginning',
    options: { since: { epoch: 'e', offset: 0 } },
    want: { ...NO_SUBSCRIBE, since: { epoch: 'e', offset: 0 } },
  },
  {
    of: 'subscribe',
    name: 'since with the longest epoch and largest offset',
    options: { since: { epoch: EPOCH, offset: Number.MAX_SAFE_INTEGER } },
    want: { ...NO_SUBSCRIBE, since: { epoch: EPOCH, offset: Number.MAX_SAFE_INTEGER } },
  },
  { of: 'subscribe', name: 'the last none', options: { last: 0 }, want: NO_SUBSCRIBE },
  { of: 'subscribe', name: 'the last million', options: { last: 1_000_000 }, want: { ...NO_SUBSCRIBE, last: 1_000_000 } },
  { of: 'subscribe', name: 'presence false', options: { presence: false }, want: NO_SUBSCRIBE },
  {
    of: 'subscribe',
    name: 'presence true',
    options: { presence: true },
    want: { ...NO_SUBSCRIBE, presence: { data: undefined }, watch: true },
  },
  { of: 'subscribe', name: 'presence to watch', options: { presence: 'watch' }, want: { ...NO_SUBSCRIBE, watch: true } },
  {
    of: 'subscribe',
    name: 'presence with an empty map',
    options: { presence: {} },
    want: { ...NO_SUBSCRIBE, presence: { data: {} }, watch: true },
  },
  {
    of: 'subscribe',
    name: 'presence data of the largest size',
    options: { presence: { a: 'x'.repeat(PRESENCE_BYTES_MAX - 5) } },
    want: { ...NO_SUBSCRIBE, presence: { data: { a: 'x'.repeat(PRESENCE_BYTES_MAX - 5) } }, watch: true },
  },
  ...['disconnect', 'dropOldest', 'dropNewest', 'conflate', 'pause'].map((policy) => ({
    of: 'subscribe',
    name: `policy ${policy}`,
    options: { policy },
    want: { ...NO_SUBSCRIBE, policy },
  })),
  { of: 'subscribe', name: 'conflateBy', options: { conflateBy: 'symbol' }, want: { ...NO_SUBSCRIBE, conflateBy: 'symbol' } },
  { of: 'subscribe', name: 'a group', options: { group: 'g' }, want: { ...NO_SUBSCRIBE, group: GROUP } },
  {
    of: 'subscribe',
    name: 'a group of 128 bytes that says what it does not want',
    options: { group: 'g'.repeat(128), ack: false, presence: false, policy: 'dropOldest', deadLetter: null },
    want: { ...NO_SUBSCRIBE, policy: 'dropOldest', group: { ...GROUP, name: 'g'.repeat(128) } },
  },
  {
    of: 'subscribe',
    name: 'a group with ack and its defaults',
    options: { group: 'g', ack: true },
    want: { ...NO_SUBSCRIBE, group: { ...GROUP, ack: true } },
  },
  {
    of: 'subscribe',
    name: 'a group with the least of everything',
    options: { group: 'g', ack: true, ackTimeoutMs: 100, maxAttempts: 1, maxInFlight: 1, deadLetter: 'd', policy: 'disconnect' },
    want: {
      ...NO_SUBSCRIBE,
      policy: 'disconnect',
      group: { name: 'g', ack: true, ackTimeoutMs: 100, maxAttempts: 1, maxInFlight: 1, deadLetter: 'd' },
    },
  },
  {
    of: 'subscribe',
    name: 'a group with the most of everything',
    options: { group: 'g', ack: true, ackTimeoutMs: 3_600_000, maxAttempts: 1_000, maxInFlight: 1_000 },
    want: {
      ...NO_SUBSCRIBE,
      group: { ...GROUP, ack: true, ackTimeoutMs: 3_600_000, maxAttempts: 1_000, maxInFlight: 1_000 },
    },
  },

  { of: 'ack', name: 'an offset', options: { offset: 7 }, want: NO_ACK },
  {
    of: 'ack',
    name: 'offsets, and an epoch',
    options: { offsets: [7, 9], epoch: 'e' },
    want: { ...NO_ACK, offsets: [7, 9], epoch: 'e' },
  },
  { of: 'ack', name: 'a requeue', options: { offset: 7, requeue: true }, want: { ...NO_ACK, requeue: true } },
  {
    of: 'ack',
    name: 'a requeue for later',
    options: { offset: 7, requeue: true, delayMs: 3_600_000 },
    want: { ...NO_ACK, requeue: true, delayMs: 3_600_000 },
  },

  { of: 'history', name: 'nothing', options: {}, want: { since: null, limit: 100, reverse: false } },
  {
    of: 'history',
    name: 'everything',
    options: { since: { epoch: 'e', offset: 7 }, limit: 1, reverse: true },
    want: { since: { epoch: 'e', offset: 7 }, limit: 1, reverse: true },
  },
  { of: 'history', name: 'the highest limit', options: { limit: 1_000 }, want: { since: null, limit: 1_000, reverse: false } },

  { of: 'presence', name: 'nothing', options: {}, want: { countOnly: false } },
  { of: 'presence', name: 'countOnly', options: { countOnly: true }, want: { countOnly: true } },

  { of: 'hello', name: 'nothing', options: {}, want: { client: null, version: 1, token: null } },
  {
    of: 'hello',
    name: 'everything',
    options: { client: 'c'.repeat(128), version: 7, token: 't'.repeat(16_384), features: ['history'] },
    want: { client: 'c'.repeat(128), version: 7, token: 't'.repeat(16_384) },
  },
]) {
  t.test(`${of} options take ${name}`, async (t) => {
    t.same(readers[of]!(options as OptionMap), want);
    // And as a peer sends them.
    const bytes = pack(options);
    t.same(readers[of]!(decodeOptions(bytes, 0, bytes.length)), want);
  });
}

for (const { of, name, options, text, code = 'BAD_REQUEST' } of [
  { of: 'publish', name: 'an empty key', options: { key: '' }, text: /key must be a string of 1 to 128/ },
  { of: 'publish', name: 'a key of 129 bytes', options: { key: 'k'.repeat(129) }, text: /key must be a string of 1 to 128/ },
  {
    of: 'publish',
    name: 'a key of 43 characters of 3 bytes',
    options: { key: '€'.repeat(43) },
    text: /key must be a string of 1 to 128 bytes/,
  },
  { of: 'publish', name: 'a key that is a number', options: { key: 7 }, text: /key must be/ },
  { of: 'publish', name: 'headers in a list', options: { headers: ['a'] }, text: /headers must be a map/ },
  { of: 'publish', name: 'headers of text', options: { headers: 'a' }, text: /headers must be a map/ },
  { of: 'publish', name: 'a header that is a number', options: { headers: { a: 1 } }, text: /header 'a' must be a string/ },
  { of: 'publish', name: 'a header that is nil', options: { headers: { a: null } }, text: /header 'a' must be a string/ },
  {
    of: 'publish',
    name: '33 headers',
    options: { headers: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`h${index}`, ''])) },
    text: /too many headers: count=33, countMax=32/,
  },
  {
    of: 'publish',
    name: 'headers of more than 1 KiB',
    options: { headers: { a: 'x'.repeat(1_024) } },
    text: /headers are too large/,
    code: 'TOO_LARGE',
  },
  { of: 'publish', name: 'a ttl of 0', options: { ttlMs: 0 }, text: /ttlMs must be an integer in \[1,/ },
  { of: 'publish', name: 'a ttl of more than a year', options: { ttlMs: 31_536_000_001 }, text: /ttlMs must be/ },
  { of: 'publish', name: 'half a ttl', options: { ttlMs: 0.5 }, text: /ttlMs must be/ },
  { of: 'publish', name: 'an endless ttl', options: { ttlMs: FOREVER }, text: /ttlMs must be/ },
  { of: 'publish', name: 'echo of 1', options: { echo: 1 }, text: /echo must be true or false/ },

  {
    of: 'subscribe',
    name: 'since and last',
    options: { since: { epoch: 'e', offset: 0 }, last: 1 },
    text: /since and last exclude/,
  },
  { of: 'subscribe', name: 'since with a number', options: { since: 7 }, text: /since must be a map/ },
  { of: 'subscribe', name: 'since without an epoch', options: { since: { offset: 7 } }, text: /since.epoch must be a string/ },
  {
    of: 'subscribe',
    name: 'since with an epoch that is too long',
    options: { since: { epoch: `${EPOCH}e`, offset: 7 } },
    text: /since.epoch must be/,
  },
  {
    of: 'subscribe',
    name: 'since without an offset',
    options: { since: { epoch: 'e' } },
    text: /since.offset must be an integer/,
  },
  {
    of: 'subscribe',
    name: 'since with a negative offset',
    options: { since: { epoch: 'e', offset: -1 } },
    text: /since.offset must be/,
  },
  {
    of: 'subscribe',
    name: 'since with an offset of 2^53',
    options: { since: { epoch: 'e', offset: 2 ** 53 } },
    text: /since.offset must be/,
  },
  { of: 'subscribe', name: 'a negative last', options: { last: -1 }, text: /last must be/ },
  { of: 'subscribe', name: 'a last of more than a million', options: { last: 1_000_001 }, text: /last must be/ },
  {
    of: 'subscribe',
    name: 'presence of another word',
    options: { presence: 'yes' },
    text: /presence must be true, a map or 'watch'/,
  },
  { of: 'subscribe', name: 'presence of 1', options: { presence: 1 }, text: /presence must be/ },
  { of: 'subscribe', name: 'presence in a list', options: { presence: [] }, text: /presence must be/ },
  {
    of: 'subscribe',
    name: 'presence data that is too large',
    options: { presence: { a: 'x'.repeat(PRESENCE_BYTES_MAX) } },
    text: /presence data is too large: bytes=\d+, bytesMax=64/,
    code: 'TOO_LARGE',
  },
  {
    of: 'subscribe',
    name: 'presence data that is too large in bytes, not in characters',
    options: { presence: { a: '€'.repeat(PRESENCE_BYTES_MAX / 2) } },
    text: /presence data is too large/,
    code: 'TOO_LARGE',
  },
  {
    of: 'subscribe',
    name: 'an unknown policy',
    options: { policy: 'drop' },
    text: /policy must be one of disconnect, dropOldest/,
  },
  { of: 'subscribe', name: 'a policy of 0', options: { policy: 0 }, text: /policy must be one of/ },
  { of: 'subscribe', name: 'an empty conflateBy', options: { conflateBy: '' }, text: /conflateBy must be/ },

  { of: 'subscribe', name: 'a group of 1', options: { group: 1 }, text: /group must be a string of 1 to 128/ },
  { of: 'subscribe', name: 'an empty group', options: { group: '' }, text: /group must be/ },
  { of: 'subscribe', name: 'a group of 129 bytes', options: { group: 'g'.repeat(129) }, text: /group must be/ },
  { of: 'subscribe', name: 'ack of 1', options: { group: 'g', ack: 1 }, text: /ack must be true or false/ },
  { of: 'subscribe', name: 'ack without a group', options: { ack: true }, text: /ack needs a group/ },
  {
    of: 'subscribe',
    name: 'a window without ack',
    options: { group: 'g', maxInFlight: 4 },
    text: /maxInFlight needs a group with ack/,
  },
  {
    of: 'subscribe',
    name: 'a timeout without a group',
    options: { ackTimeoutMs: 4_000 },
    text: /ackTimeoutMs needs a group with ack/,
  },
  { of: 'subscribe', name: 'attempts without ack', options: { group: 'g', maxAttempts: 2 }, text: /maxAttempts needs/ },
  {
    of: 'subscribe',
    name: 'dead letters without ack',
    options: { group: 'g', ack: false, deadLetter: 'd' },
    text: /deadLetter needs/,
  },
  ...[
    { name: 'a timeout of 99 ms', options: { ackTimeoutMs: 99 }, text: /ackTimeoutMs must be an integer in \[100, 3600000\]/ },
    { name: 'a timeout over an hour', options: { ackTimeoutMs: 3_600_001 }, text: /ackTimeoutMs must be/ },
    { name: 'no attempts', options: { maxAttempts: 0 }, text: /maxAttempts must be an integer in \[1, 1000\]/ },
    { name: 'a window of 0', options: { maxInFlight: 0 }, text: /maxInFlight must be an integer in \[1, 1000\]/ },
    { name: 'a window of 1001', options: { maxInFlight: 1_001 }, text: /maxInFlight must be/ },
    { name: 'half a window', options: { maxInFlight: 0.5 }, text: /maxInFlight must be/ },
    {
      name: 'a dead-letter topic that is none',
      options: { deadLetter: 'a..b' },
      text: /bad deadLetter: a token must not be empty/,
    },
    { name: 'a pattern for dead letters', options: { deadLetter: 'a.*' }, text: /deadLetter must be a topic, not a pattern/ },
    {
      name: 'a dead-letter topic of the relay’s',
      options: { deadLetter: '$dead.x' },
      text: /deadLetter must not begin with '\$'/,
    },
    { name: 'a dead-letter topic of 5', options: { deadLetter: 5 }, text: /deadLetter must be a string/ },
    { name: 'a group with since', options: { since: { epoch: 'e', offset: 1 } }, text: /group subscription has no since/ },
    { name: 'a group with last', options: { last: 0 }, text: /group subscription has no last/ },
    { name: 'a group with presence', options: { presence: 'watch' }, text: /group subscription has no presence/ },
    { name: 'a group with conflateBy', options: { conflateBy: 'k' }, text: /group subscription has no conflateBy/ },
    { name: 'a group that pauses', options: { policy: 'pause' }, text: /group subscription has no policy 'pause'/ },
    { name: 'a group that conflates', options: { policy: 'conflate' }, text: /no policy 'conflate'/ },
    { name: 'a group with ack that drops', options: { policy: 'dropOldest' }, text: /no policy 'dropOldest' with ack/ },
  ].map(({ name, options, text }) => ({ of: 'subscribe', name, options: { group: 'g', ack: true, ...options }, text })),

  { of: 'ack', name: 'nothing', options: {}, text: /either offset or offsets/ },
  { of: 'ack', name: 'both', options: { offset: 1, offsets: [2] }, text: /either offset or offsets/ },
  { of: 'ack', name: 'offset 0', options: { offset: 0 }, text: /offset must be an integer in \[1,/ },
  { of: 'ack', name: 'an offset of text', options: { offset: '1' }, text: /offset must be/ },
  { of: 'ack', name: 'no offsets', options: { offsets: [] }, text: /offsets must be a list of 1 to 1000/ },
  { of: 'ack', name: 'offsets in a map', options: { offsets: { 0: 1 } }, text: /offsets must be a list/ },
  {
    of: 'ack',
    name: '1001 offsets',
    options: { offsets: Array.from({ length: 1_001 }, () => 1) },
    text: /offsets must be a list/,
  },
  { of: 'ack', name: 'text among offsets', options: { offsets: [1, 'x'] }, text: /offsets must be an integer/ },
  { of: 'ack', name: 'a delay without requeue', options: { offset: 1, delayMs: 5 }, text: /delayMs needs requeue/ },
  { of: 'ack', name: 'a delay over an hour', options: { offset: 1, requeue: true, delayMs: 3_600_001 }, text: /delayMs must be/ },
  { of: 'ack', name: 'requeue of 1', options: { offset: 1, requeue: 1 }, text: /requeue must be true or false/ },
  { of: 'ack', name: 'an epoch of 7', options: { offset: 1, epoch: 7 }, text: /epoch must be/ },

  { of: 'history', name: 'a limit of 0', options: { limit: 0 }, text: /limit must be an integer in \[1, 1000\]/ },
  { of: 'history', name: 'a limit over the bound', options: { limit: 1_001 }, text: /limit must be/ },
  { of: 'history', name: 'reverse of text', options: { reverse: 'true' }, text: /reverse must be true or false/ },
  { of: 'history', name: 'since of nothing', options: { since: {} }, text: /since.epoch must be/ },

  { of: 'presence', name: 'countOnly of 1', options: { countOnly: 1 }, text: /countOnly must be true or false/ },

  { of: 'hello', name: 'an empty client', options: { client: '' }, text: /client must be a string of 1 to 128/ },
  { of: 'hello', name: 'a client that is too long', options: { client: 'c'.repeat(129) }, text: /client must be/ },
  { of: 'hello', name: 'a version of text', options: { version: '1' }, text: /version must be an integer/ },
  { of: 'hello', name: 'a negative version', options: { version: -1 }, text: /version must be an integer/ },
  { of: 'hello', name: 'a token that is too long', options: { token: 't'.repeat(16_385) }, text: /token must be/ },
  { of: 'hello', name: 'features of text', options: { features: 'history' }, text: /features must be a list/ },
] as { of: string; name: string; options: OptionMap; text: RegExp; code?: string }[]) {
  t.test(`${of} options refuse ${name}`, async (t) => {
    t.throws(() => readers[of]!(options), { name: 'RelayError', codeName: code, message: text });
  });
}

for (const { name, options, text } of [
  { name: 'presence', options: { presence: true }, text: /no presence/ },
  { name: 'presence to watch', options: { presence: 'watch' }, text: /no presence/ },
  { name: 'pause', options: { policy: 'pause' }, text: /'pause' needs one topic/ },
  { name: 'a group', options: { group: 'g' }, text: /a pattern subscription has no group/ },
]) {
  t.test(`a pattern may not ask for ${name}`, async (t) => {
    t.throws(() => checkPatternOptions(subscribeOptions(options, PRESENCE_BYTES_MAX)), {
      codeName: 'BAD_REQUEST',
      message: text,
    });
  });
}

t.test('a pattern may ask for the rest', async (t) => {
  for (const options of [{}, { policy: 'conflate', conflateBy: 'a' }, { since: { epoch: 'e', offset: 1 } }, { last: 5 }])
    t.doesNotThrow(() => checkPatternOptions(subscribeOptions(options, PRESENCE_BYTES_MAX)));
});

for (const { name, bytes, want } of [
  { name: 'nil', bytes: [0xc0], want: true },
  { name: 'an empty map', bytes: [0x80], want: true },
  { name: 'a map', bytes: [0x81, 0xa1, 0x61, 0x01], want: false },
  { name: 'an empty array', bytes: [0x90], want: false },
  { name: 'false', bytes: [0xc2], want: false },
]) {
  t.test(`hasNoOptions: ${name}`, async (t) => {
    t.equal(hasNoOptions(Uint8Array.from([0xee, ...bytes]), 1), want);
  });
}

for (const { name, bytes } of [
  { name: 'false', bytes: [0xc2] },
  { name: 'a number', bytes: [0x07] },
  { name: 'text', bytes: [0xa1, 0x61] },
  { name: 'bytes', bytes: [0xc4, 1, 0x61] },
  { name: 'an empty array', bytes: [0x90] },
  { name: 'an array', bytes: [0x91, 0x01] },
  { name: 'a map with an array as key', bytes: [0x81, 0x91, 0x01, 0x01] },
]) {
  t.test(`decodeOptions refuses ${name}`, async (t) => {
    t.throws(() => decodeOptions(Uint8Array.from(bytes), 0, bytes.length), { codeName: 'BAD_REQUEST', message: /^options/ });
  });
}

t.test('decodeOptions reads one value in the middle of a buffer, out of shared memory too', async (t) => {
  const map = pack({ key: 'k'.repeat(100), headers: { größe: '€'.repeat(50) } });
  for (const buffer of [new ArrayBuffer(1_000), new SharedArrayBuffer(1_000)]) {
    const bytes = new Uint8Array(buffer).fill(0xc1);
    bytes.set(map, 100);
    t.same(decodeOptions(bytes, 100, 100 + map.length), { key: 'k'.repeat(100), headers: { größe: '€'.repeat(50) } });
  }
});

t.test('decodeOptions: text that is no UTF-8 does no harm', async (t) => {
  const bytes = Uint8Array.from([0x81, 0xa3, 0x6b, 0x65, 0x79, 0xa2, 0xff, 0xfe]);
  t.doesNotThrow(() => publishOptions(decodeOptions(bytes, 0, bytes.length)));
});

t.test('decodeOptions: a key named __proto__ changes no prototype', async (t) => {
  const bytes = Uint8Array.from([0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 0x81, 0xa3, 0x6b, 0x65, 0x79, 0xa1, 0x78]);
  t.equal(publishOptions(decodeOptions(bytes, 0, bytes.length)).key, null);
  t.equal(({} as { key?: string }).key, undefined);
});
