/** Encrypted payloads between the SDK and Python: two implementations of docs/encryption.md, by each other's envelopes and over a relay. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { createKeyring, EncryptionError, encryptedClient, type Keyring } from '../../src/client/encryption.ts';
import { encode, Reader } from '../../src/client/msgpack.ts';
import { Program, ROOT } from '../support/program.ts';
import { findPython } from '../support/python.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient } from '../support/sdk.ts';

const python = findPython();
const KEY = randomBytes(32);
const newKeyring = (): Keyring => createKeyring({ keys: [{ id: 'schlüssel', key: KEY }], current: 'schlüssel' });
const TOPIC = 'räume.7';

/** Runs Python with `keys` and `topic` there, an input of hex in `data`, and what it prints as text. */
function inPython(lines: readonly string[], input: Uint8Array = new Uint8Array(0)): string {
  const prelude = [
    'import sys, msgpack',
    `sys.path.insert(0, ${JSON.stringify(`${ROOT}examples/python`)})`,
    'from relay_encryption import EncryptionError, decrypt, encrypt',
    `keys, topic = {"schlüssel": bytes.fromhex("${KEY.toString('hex')}")}, "${TOPIC}"`,
    'data = bytes.fromhex(sys.stdin.read())',
  ];
  const { stdout, stderr, status } = spawnSync(python, ['-B', '-X', 'utf8', '-c', [...prelude, ...lines].join('\n')], {
    input: Buffer.from(input).toString('hex'),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

t.test('what the SDK encrypts Python reads', async (t) => {
  const payload = { text: 'grüezi', list: [1, null, 2.5], bytes: Uint8Array.of(0, 255) };
  const envelope = await newKeyring().encrypt(payload, { topic: TOPIC, sender: 'ann/x', number: 70_000 });
  const seen = inPython(['print(decrypt(keys, topic, msgpack.unpackb(data)))'], encode(envelope));
  t.equal(seen, "({'text': 'grüezi', 'list': [1, None, 2.5], 'bytes': b'\\x00\\xff'}, 'ann/x', 70000)");
});

t.test('what Python encrypts the SDK reads', async (t) => {
  const hex = inPython(['print(msgpack.packb(encrypt(keys, "schlüssel", topic, {"n": [1, None]}, "ben/y", 2)).hex())']);
  const envelope = new Reader(Buffer.from(hex, 'hex')).value();
  t.same(await newKeyring().decrypt(envelope, { topic: TOPIC }), {
    payload: { n: [1, null] },
    keyId: 'schlüssel',
    sender: 'ben/y',
    number: 2,
  });
});

t.test('both refuse the same envelopes, and for the same reasons', async (t) => {
  const good = await newKeyring().encrypt('text', { topic: TOPIC });
  const [version, keyId, nonce, ciphertext] = good;
  const envelopes: readonly unknown[] = [
    [version, keyId, nonce, ciphertext.map((byte) => byte ^ 1)],
    [version, keyId, nonce.map((byte) => byte ^ 1), ciphertext],
    [version, 'another', nonce, ciphertext],
    [2, keyId, nonce, ciphertext],
    [version, keyId, nonce.subarray(1), ciphertext],
    [version, keyId, nonce, ciphertext.subarray(0, 15)],
    [version, keyId, nonce],
    [version, '', nonce, ciphertext],
    [version, keyId, 'twelve bytes', ciphertext],
    { text: 'in the clear' },
    null,
  ];
  const codes = await Promise.all(
    envelopes.map(async (envelope) => {
      const error = await newKeyring()
        .decrypt(envelope, { topic: TOPIC })
        .catch((error) => error);
      return error instanceof EncryptionError ? error.codeName : 'read';
    }),
  );
  const lines = [
    'for envelope in msgpack.unpackb(data):',
    '  try:',
    '    decrypt(keys, topic, envelope)',
    '    print("read")',
    '  except EncryptionError as error:',
    '    print(error.code)',
  ];
  t.same(inPython(lines, encode(envelopes)).split('\n'), codes);
  t.same(new Set(codes), new Set(['NOT_AUTHENTIC', 'UNKNOWN_KEY', 'UNSUPPORTED_VERSION', 'NOT_ENCRYPTED']));
});

t.test('over a relay, which sees nothing of it', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const example = (t: Test, ...args: string[]) => {
    const flags = ['--key', `schlüssel=${KEY.toString('hex')}`, '--url', `${relay.url}/v1/connect`];
    return new Program(t, [python, 'examples/python/encrypted.py', ...args, ...flags], { env: { PYTHONUNBUFFERED: '1' } });
  };
  const subscriber = example(t, 'subscribe', TOPIC);
  await subscriber.stdout.find(/^# subscribed/);
  const client = await openClient(t, relay.url);
  const secret = encryptedClient(client, newKeyring(), { sender: 'ann', onRejected: () => {} });
  const room = secret.subscribe(TOPIC);
  await room.subscription.ready();

  await secret.publish(TOPIC, { from: 'the SDK' });
  await client.publish(TOPIC, 'in the clear');
  t.match(await example(t, 'publish', TOPIC, '{"from": "Python"}').exited, { code: 0 });
  const payloads: unknown[] = [];
  for await (const { payload } of room) if (payloads.push(payload) === 2) break;
  t.same(payloads, [{ from: 'the SDK' }, { from: 'Python' }]);
  await subscriber.stdout.find(/Python/);
  t.match(subscriber.stdout.all.slice(1), [
    new RegExp(`^${TOPIC} 1 ${secret.sender} 1 \\{"from": "the SDK"\\}$`),
    `# ${TOPIC} 2 NOT_ENCRYPTED`,
    `${TOPIC} 3 - 0 {"from": "Python"}`,
  ]);
  const { messages } = await client.history(TOPIC);
  t.notMatch(JSON.stringify(messages.filter(({ offset }) => offset !== 2)), /the SDK|Python/);
});
