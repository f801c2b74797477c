/** Envelopes and keyrings (docs/encryption.md): what decrypts, what does not and why, and what bounds a key. */
import { webcrypto } from 'node:crypto';
import t from 'tap';
import {
  createKeyring,
  type EncryptionErrorName,
  type Envelope,
  Extension,
  type KeyMaterial,
  type KeyringOptions,
} from '../../../src/client/encryption.ts';
import { encode, Reader } from '../../../src/client/msgpack.ts';
import { skipValue } from '../../../src/protocol/skip.ts';
import { forbidUnhandledRejections, ManualTime } from './harness.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

const bytesOf = (first: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, index) => first + index);
const KEYS = [
  { id: 'k1', key: bytesOf(0) },
  { id: 'k2', key: bytesOf(32) },
];
const keyring = (options: Partial<KeyringOptions> = {}) => createKeyring({ keys: KEYS, current: 'k1', ...options });
const TOPIC = { topic: 'room.7' };
const refused = (codeName: EncryptionErrorName, facts: object = {}) => ({ name: 'EncryptionError', codeName, facts }) as never;

/** As the relay carries it. */
const carried = (envelope: Envelope): unknown => new Reader(encode(envelope)).value();
/** What somebody with the key may make of it who has not read docs/encryption.md. */
async function sealed(plaintext: Uint8Array): Promise<unknown> {
  const key = await crypto.subtle.importKey('raw', KEYS[0]?.key as BufferSource, 'AES-GCM', false, ['encrypt']);
  const iv = new Uint8Array(12);
  const additionalData = Buffer.from('\x01\x02k1room.7');
  const ciphertext = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, key, plaintext as BufferSource);
  return [1, 'k1', iv, new Uint8Array(ciphertext)];
}

for (const { name, payload } of [
  { name: 'a map', payload: { text: 'grüezi', list: [1.5, null, true] } },
  { name: 'nil', payload: null },
  { name: 'bytes', payload: Uint8Array.of(0, 255) },
  { name: 'a date', payload: new Date(1_700_000_000_123) },
  { name: 'an extension', payload: new Extension(7, Uint8Array.of(1)) },
  { name: 'a long text', payload: 'x'.repeat(50_000) },
]) {
  t.test(`${name} comes back as it was, over the wire, for another holder of the key`, async (t) => {
    const envelope = await keyring().encrypt(payload, TOPIC);
    const bytes = encode(envelope);
    t.equal(skipValue(bytes, 0, bytes.length), bytes.length, 'it is one value');
    t.same(await keyring().decrypt(carried(envelope), TOPIC), { payload, keyId: 'k1', sender: null, number: 0 });
  });
}

t.test('the bytes are those of docs/encryption.md, which Python made', async (t) => {
  const bytes = Buffer.from(
    '9401a26b31c40ca0a1a2a3a4a5a6a7a8a9aaabc42175bd1d432be433bee3c1f3b67f0e62b61918f90d4f64e5fe9261367b696667e692',
    'hex',
  );
  t.same(await keyring().decrypt(new Reader(bytes).value(), TOPIC), {
    payload: { text: 'hi' },
    keyId: 'k1',
    sender: 'ann/1',
    number: 1,
  });
});

t.test('the same payload looks different each time, and nothing of it shows', async (t) => {
  const ring = keyring();
  const [one, other] = [await ring.encrypt('a secret text', TOPIC), await ring.encrypt('a secret text', TOPIC)];
  t.notSame(one[2], other[2], 'the nonce');
  t.notSame(one[3], other[3], 'the ciphertext');
  t.notOk(Buffer.from(encode(one)).includes('secret'));
});

const good = await keyring().encrypt({ text: 'hi' }, { ...TOPIC, sender: 'ann', number: 3 });
const [, , nonce, ciphertext] = good;
const flipped = (bytes: Uint8Array, index: number): Uint8Array =>
  bytes.map((byte, at) => (at === (index < 0 ? bytes.length + index : index) ? byte ^ 1 : byte));

for (const { name, envelope, topic = 'room.7', want } of [
  { name: 'another topic', envelope: good, topic: 'room.8', want: 'NOT_AUTHENTIC' },
  {
    name: 'a topic that begins with the end of the key id',
    envelope: [1, 'k', nonce, ciphertext],
    topic: '1room.7',
    want: 'UNKNOWN_KEY',
  },
  { name: 'another key id', envelope: [1, 'k2', nonce, ciphertext], want: 'NOT_AUTHENTIC' },
  { name: 'a changed nonce', envelope: [1, 'k1', flipped(nonce, 0), ciphertext], want: 'NOT_AUTHENTIC' },
  { name: 'a changed ciphertext', envelope: [1, 'k1', nonce, flipped(ciphertext, 0)], want: 'NOT_AUTHENTIC' },
  { name: 'a changed tag', envelope: [1, 'k1', nonce, flipped(ciphertext, -1)], want: 'NOT_AUTHENTIC' },
  { name: 'a cut tag', envelope: [1, 'k1', nonce, ciphertext.subarray(0, -1)], want: 'NOT_AUTHENTIC' },
  { name: 'nothing but a tag', envelope: [1, 'k1', nonce, ciphertext.subarray(0, 16)], want: 'NOT_AUTHENTIC' },
  { name: 'an unknown key id', envelope: [1, 'k9', nonce, ciphertext], want: 'UNKNOWN_KEY' },
  { name: 'a later version', envelope: [2, 'k1', 'anything', 'else'], want: 'UNSUPPORTED_VERSION' },
  { name: 'a plain payload', envelope: { text: 'hi' }, want: 'NOT_ENCRYPTED' },
  { name: 'nil', envelope: null, want: 'NOT_ENCRYPTED' },
  { name: 'a text version', envelope: ['1', 'k1', nonce, ciphertext], want: 'NOT_ENCRYPTED' },
  { name: 'three elements', envelope: [1, 'k1', nonce], want: 'NOT_ENCRYPTED' },
  { name: 'five elements', envelope: [...good, 1], want: 'NOT_ENCRYPTED' },
  { name: 'an empty key id', envelope: [1, '', nonce, ciphertext], want: 'NOT_ENCRYPTED' },
  { name: 'a key id of 65 bytes', envelope: [1, 'ü'.repeat(32).concat('x'), nonce, ciphertext], want: 'NOT_ENCRYPTED' },
  { name: 'a key id that is a number', envelope: [1, 1, nonce, ciphertext], want: 'NOT_ENCRYPTED' },
  { name: 'a nonce of 13 bytes', envelope: [1, 'k1', new Uint8Array(13), ciphertext], want: 'NOT_ENCRYPTED' },
  { name: 'a nonce of text', envelope: [1, 'k1', 'x'.repeat(12), ciphertext], want: 'NOT_ENCRYPTED' },
  { name: 'less than a tag', envelope: [1, 'k1', nonce, ciphertext.subarray(0, 15)], want: 'NOT_ENCRYPTED' },
] as const) {
  t.test(`${name} is ${want}`, async (t) => {
    await t.rejects(keyring().decrypt(envelope, { topic }), refused(want));
  });
}

for (const { name, plaintext } of [
  { name: 'no array', plaintext: encode('text') },
  { name: 'two elements', plaintext: encode([null, 0]) },
  { name: 'a sender without a number', plaintext: encode(['ann', 0, 1]) },
  { name: 'a number without a sender', plaintext: encode([null, 1, 1]) },
  { name: 'an empty sender', plaintext: encode(['', 1, 1]) },
  { name: 'a sender of 129 bytes', plaintext: encode(['x'.repeat(129), 1, 1]) },
  { name: 'a number of text', plaintext: encode(['ann', '1', 1]) },
  { name: 'half a number', plaintext: encode(['ann', 1.5, 1]) },
  { name: 'two values', plaintext: encode([null, 0, 1], 2) },
  { name: 'a cut value', plaintext: encode([null, 0, 'text']).subarray(0, -1) },
  { name: 'nothing', plaintext: new Uint8Array(0) },
  { name: 'the reserved byte', plaintext: Uint8Array.of(0x93, 0xc0, 0x00, 0xc1) },
  { name: 'a million arrays in each other', plaintext: new Uint8Array(1_000_000).fill(0x91) },
  { name: 'an array that claims 2^32 elements', plaintext: Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff) },
]) {
  t.test(`${name}, by somebody who has the key, is MALFORMED`, async (t) => {
    await t.rejects(keyring().decrypt(await sealed(plaintext), TOPIC), refused('MALFORMED', { keyId: 'k1' }));
  });
}

t.test('keys change: what the old one has encrypted stays readable until it is forgotten', async (t) => {
  const ring = keyring();
  const old = await ring.encrypt('old', TOPIC);
  ring.use('k2');
  t.equal(ring.current, 'k2');
  const fresh = await ring.encrypt('fresh', TOPIC);
  t.equal(fresh[1], 'k2');
  t.match(await ring.decrypt(old, TOPIC), { payload: 'old', keyId: 'k1' });
  t.match(await ring.decrypt(fresh, TOPIC), { payload: 'fresh', keyId: 'k2' });
  ring.forget('k1');
  await t.rejects(ring.decrypt(old, TOPIC), refused('UNKNOWN_KEY', { keyId: 'k1' }));
  t.throws(() => ring.forget('k2'), /use\(\) another one first/);
  t.throws(() => ring.use('k1'), /add\(\) it first/);
});

t.test('a CryptoKey will do, extractable or not', async (t) => {
  const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
  const one = createKeyring({ keys: [{ id: 'g', key }], current: 'g' });
  t.match(await one.decrypt(await one.encrypt(1, TOPIC), TOPIC), { payload: 1 });
});

t.test('the bytes of a key may be wiped once it is added', async (t) => {
  const key = bytesOf(0);
  const ring = createKeyring({ keys: [{ id: 'k1', key }], current: 'k1' });
  key.fill(0);
  t.match(await keyring().decrypt(await ring.encrypt(1, TOPIC), TOPIC), { payload: 1 });
});

for (const { name, options, message } of [
  {
    name: 'a key of 16 bytes',
    options: { keys: [{ id: 'k1', key: new Uint8Array(16) }] },
    message: /must have 32 bytes, got 16/,
  },
  { name: 'a key id of 65 bytes', options: { keys: [{ id: 'x'.repeat(65), key: bytesOf(0) }] }, message: /1\.\.64 bytes/ },
  { name: 'one id twice', options: { keys: [...KEYS, { id: 'k1', key: bytesOf(1) }] }, message: /there is a key 'k1' already/ },
  { name: 'a current key that is not there', options: { current: 'k9' }, message: /there is no key 'k9'/ },
  { name: 'more than 2^32 messages', options: { messagesMax: 2 ** 33 }, message: /messagesMax must be in \[1, 4294967296\]/ },
] as const) {
  t.test(`${name} is misuse`, async (t) => {
    t.throws(() => keyring(options as Partial<KeyringOptions>), { name: 'TypeError', message });
  });
}

t.test('a CryptoKey of another kind is misuse', async (t) => {
  const short = await webcrypto.subtle.generateKey({ name: 'AES-GCM', length: 128 }, false, ['encrypt']);
  t.throws(() => createKeyring({ keys: [{ id: 's', key: short as CryptoKey }], current: 's' }), /256 bits, got AES-GCM with 128/);
  t.throws(() => createKeyring({ keys: [{ id: 's', key: null as never }], current: 's' }), TypeError);
});

for (const { name, options } of [
  { name: 'no topic', options: {} },
  { name: 'an empty topic', options: { topic: '' } },
  { name: 'a number without a sender', options: { topic: 'a', number: 1 } },
  { name: 'a sender without a number', options: { topic: 'a', sender: 'ann' } },
  { name: 'a sender of 129 bytes', options: { topic: 'a', sender: 'x'.repeat(129), number: 1 } },
]) {
  t.test(`encrypting with ${name} is misuse, and uses nothing of the key`, async (t) => {
    const ring = keyring();
    await t.rejects(ring.encrypt(1, options as never), { name: 'TypeError' });
    t.equal(ring.usedCount(), 0);
  });
}

t.test('a key encrypts so often and no more, what it did elsewhere included; another one goes on', async (t) => {
  const ring = keyring({ keys: [{ id: 'k1', key: bytesOf(0), usedCount: 97 }, KEYS[1] as (typeof KEYS)[0]], messagesMax: 100 });
  t.equal(ring.usedCount(), 97);
  const envelopes = await Promise.all([1, 2, 3].map((payload) => ring.encrypt(payload, TOPIC)));
  t.equal(ring.usedCount('k1'), 100);
  await t.rejects(ring.encrypt(4, TOPIC), refused('KEY_EXHAUSTED', { keyId: 'k1', messagesMax: 100 }));
  t.match(await ring.decrypt(envelopes[2], TOPIC), { payload: 3 }, 'reading is not bounded');
  ring.use('k2');
  t.match((await ring.encrypt(4, TOPIC))[1], 'k2');
  t.equal(ring.usedCount(), 1);
});

// ---- keys that are fetched

class KeyServer {
  readonly time = new ManualTime();
  readonly asked: string[] = [];
  answer: (id: string) => KeyMaterial | undefined | Promise<KeyMaterial | undefined> = () => bytesOf(64);
  readonly ring = keyring({
    clock: this.time,
    fetchKey: (id) => {
      this.asked.push(id);
      return this.answer(id);
    },
  });
}
const foreign = createKeyring({ keys: [{ id: 'k3', key: bytesOf(64) }], current: 'k3' });
const named = (id: string): unknown => [1, id, nonce, ciphertext];

t.test('an unknown key is fetched, once for all who wait for it, and kept', async (t) => {
  const server = new KeyServer();
  let bring: (key: KeyMaterial) => void = () => {};
  server.answer = () => new Promise((resolve) => (bring = resolve));
  const envelope = await foreign.encrypt('far', TOPIC);
  const both = Promise.all([server.ring.decrypt(envelope, TOPIC), server.ring.decrypt(envelope, TOPIC)]);
  await Promise.resolve();
  bring(bytesOf(64));
  t.match(await both, [{ payload: 'far' }, { payload: 'far' }]);
  t.match(await server.ring.decrypt(envelope, TOPIC), { payload: 'far' });
  t.same(server.asked, ['k3']);
});

t.test('an id that has no key is asked for again after half a minute, not with each message', async (t) => {
  const server = new KeyServer();
  server.answer = () => undefined;
  const envelope = await foreign.encrypt('far', TOPIC);
  for (let round = 0; round < 5; round++)
    await t.rejects(server.ring.decrypt(envelope, TOPIC), refused('UNKNOWN_KEY', { keyId: 'k3' }));
  t.same(server.asked, ['k3']);
  server.answer = () => bytesOf(64);
  await server.time.advance(29_999);
  await t.rejects(server.ring.decrypt(envelope, TOPIC), refused('UNKNOWN_KEY'));
  await server.time.advance(1);
  t.match(await server.ring.decrypt(envelope, TOPIC), { payload: 'far' });
});

t.test('a fetch that fails says why, and is tried again after a second', async (t) => {
  const server = new KeyServer();
  const down = new Error('key server is down');
  server.answer = () => Promise.reject(down);
  const envelope = await foreign.encrypt('far', TOPIC);
  await t.rejects(server.ring.decrypt(envelope, TOPIC), { codeName: 'UNKNOWN_KEY', cause: down } as never);
  await t.rejects(server.ring.decrypt(envelope, TOPIC), refused('UNKNOWN_KEY'));
  t.equal(server.asked.length, 1);
  await server.time.advance(1_000);
  server.answer = () => new Uint8Array(5);
  await t.rejects(server.ring.decrypt(envelope, TOPIC), { codeName: 'UNKNOWN_KEY', cause: { name: 'TypeError' } } as never);
  await server.time.advance(1_000);
  server.answer = () => bytesOf(64);
  t.match(await server.ring.decrypt(envelope, TOPIC), { payload: 'far' });
});

t.test('a key that was added before the fetch came back is the one', async (t) => {
  const server = new KeyServer();
  server.answer = () => undefined;
  const envelope = await foreign.encrypt('far', TOPIC);
  await t.rejects(server.ring.decrypt(envelope, TOPIC), refused('UNKNOWN_KEY'));
  server.ring.add({ id: 'k3', key: bytesOf(64) });
  t.match(await server.ring.decrypt(envelope, TOPIC), { payload: 'far' }, 'nobody waits for the half minute');
});

t.test('made-up key ids are no flood: eight requests at a time, and a bounded memory of those without a key', async (t) => {
  const server = new KeyServer();
  const bring: (() => void)[] = [];
  server.answer = () => new Promise((resolve) => bring.push(() => resolve(undefined)));
  const outcomes = Array.from({ length: 50 }, (_, index) =>
    server.ring.decrypt(named(`x${index}`), TOPIC).catch((error) => error),
  );
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(server.asked.length, 8);
  for (const resolve of bring) resolve();
  for (const outcome of outcomes) t.match(await outcome, refused('UNKNOWN_KEY'));
  server.answer = () => undefined;
  for (let index = 0; index < 1_500; index++) await server.ring.decrypt(named(`y${index}`), TOPIC).catch(() => {});
  const askedCount = server.asked.length;
  await server.ring.decrypt(named('y1499'), TOPIC).catch(() => {});
  t.equal(server.asked.length, askedCount, 'the latest are remembered');
  await server.ring.decrypt(named('y0'), TOPIC).catch(() => {});
  t.equal(server.asked.length, askedCount + 1, 'the oldest are not');
});
