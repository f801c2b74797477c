/**
 * A relay with keys, and tokens that want in all the same: each is refused with a code, says nothing of the keys, and the relay serves others as before.
 * What a verifier must check of tokens one by one is in test/unit/auth; here is that nothing of it gets lost on the way to a process's door.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import t from 'tap';
import { HELLO, OK, RawClient, type WireMessage } from '../support/raw-client.ts';
import { startRelay } from '../support/relay-process.ts';
import { forgeToken } from '../support/tokens.ts';

const SECRET = 'k'.repeat(32);
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const PUBLIC_PEM = publicKey.export({ type: 'spki', format: 'pem' }) as string;
const KEYS = [
  { kid: 'h', alg: 'HS256', secret: SECRET },
  { kid: 'e', alg: 'ES256', publicKeyPem: PUBLIC_PEM },
];
const SETTINGS = { lanes: 1, authKeys: KEYS, tokenIssuer: 'clari', tokenAudience: 'relay', tokenLeewayMs: 0 };

const nowS = (): number => Math.floor(Date.now() / 1_000);
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = (changes: object = {}): object => ({
  sub: 'alice',
  iss: 'clari',
  aud: 'relay',
  iat: nowS(),
  exp: nowS() + 600,
  relay: { pub: ['room.>'], sub: ['room.>'] },
  ...changes,
});

function hmac(head: object, body: object, secret: string = SECRET): string {
  return forgeToken(head, body, secret);
}

function ecdsa(head: object, body: object, key: KeyObject = privateKey): string {
  const signed = `${part(head)}.${part(body)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

const HS = { alg: 'HS256', kid: 'h' };
const ES = { alg: 'ES256', kid: 'e' };
const good = hmac(HS, claims());

const HOSTILE: readonly { readonly name: string; readonly token: () => unknown; readonly code: number }[] = [
  { name: 'alg none', token: () => `${part({ alg: 'none' })}.${part(claims())}.`, code: 101 },
  { name: 'alg None, with a signature', token: () => hmac({ alg: 'None', kid: 'h' }, claims()), code: 101 },
  { name: 'the public key as an HMAC secret', token: () => hmac({ alg: 'HS256', kid: 'e' }, claims(), PUBLIC_PEM), code: 101 },
  { name: 'the public key as an HMAC secret, without kid', token: () => hmac({ alg: 'HS256' }, claims(), PUBLIC_PEM), code: 101 },
  { name: 'another algorithm of the same key', token: () => hmac({ alg: 'HS512', kid: 'h' }, claims()), code: 101 },
  {
    name: 'somebody else’s key',
    token: () => ecdsa(ES, claims(), generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    code: 101,
  },
  {
    name: 'a key of its own in the head',
    token: () =>
      ecdsa(
        { ...ES, jwk: publicKey.export({ format: 'jwk' }) },
        claims(),
        generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
      ),
    code: 101,
  },
  {
    name: 'a key by address in the head',
    token: () => hmac({ ...HS, jku: 'http://127.0.0.1:1/keys', x5u: 'http://127.0.0.1:1/x' }, claims(), 'x'.repeat(32)),
    code: 101,
  },
  { name: 'a kid that is a path', token: () => hmac({ alg: 'HS256', kid: '../../../../dev/null' }, claims(), ''), code: 101 },
  { name: 'a kid that is a statement', token: () => hmac({ alg: 'HS256', kid: "h' OR '1'='1" }, claims(), ''), code: 101 },
  { name: 'a kid that is an inherited property', token: () => hmac({ alg: 'HS256', kid: '__proto__' }, claims(), ''), code: 101 },
  { name: 'a kid that is no text', token: () => hmac({ alg: 'HS256', kid: { $ne: null } }, claims()), code: 101 },
  { name: 'critical extensions', token: () => hmac({ ...HS, crit: ['b64'], b64: false }, claims()), code: 101 },
  { name: 'expired', token: () => hmac(HS, claims({ exp: nowS() - 10 })), code: 114 },
  { name: 'not valid yet', token: () => hmac(HS, claims({ nbf: nowS() + 600 })), code: 101 },
  { name: 'no expiry', token: () => hmac(HS, claims({ exp: undefined })), code: 101 },
  { name: 'an expiry that is no number', token: () => hmac(HS, claims({ exp: 'never' })), code: 101 },
  { name: 'another audience', token: () => hmac(HS, claims({ aud: 'billing' })), code: 101 },
  { name: 'no audience', token: () => hmac(HS, claims({ aud: undefined })), code: 101 },
  { name: 'another issuer', token: () => hmac(HS, claims({ iss: 'mallory' })), code: 101 },
  { name: 'no subject', token: () => hmac(HS, claims({ sub: undefined })), code: 101 },
  { name: 'a subject of the relay’s own', token: () => hmac(HS, claims({ sub: '$relay' })), code: 101 },
  { name: 'the anonymous subject', token: () => hmac(HS, claims({ sub: 'anonymous' })), code: 101 },
  {
    name: 'a subject that is a wildcard in a placeholder',
    token: () => hmac(HS, claims({ sub: '>', relay: { sub: ['user.{sub}'] } })),
    code: 101,
  },
  {
    name: 'a subject that is two tokens in a placeholder',
    token: () => hmac(HS, claims({ sub: 'a.b', relay: { sub: ['user.{sub}'] } })),
    code: 101,
  },
  { name: 'rights that nobody knows', token: () => hmac(HS, claims({ relay: { everything: ['>'] } })), code: 101 },
  { name: 'a changed payload', token: () => good.replace(/\.[^.]+\./, `.${part(claims({ sub: 'root' }))}.`), code: 101 },
  { name: 'a cut signature', token: () => good.slice(0, -4), code: 101 },
  { name: 'no signature', token: () => `${good.split('.').slice(0, 2).join('.')}.`, code: 101 },
  { name: 'a part more', token: () => `${good}.e30`, code: 101 },
  { name: 'other characters', token: () => `${good}\u0000`, code: 101 },
  { name: 'no text', token: () => ({ token: good }), code: 100 },
  { name: 'a huge one', token: () => `${good.split('.')[0]}.${'A'.repeat(60_000)}.AAAA`, code: 100 },
];

t.test('hostile tokens', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const hello = async (token: unknown): Promise<{ readonly reply: WireMessage; readonly code: number | null }> => {
    const client = await RawClient.open(t, relay.port, { hello: false });
    client.send([HELLO, 1, { token }]);
    const reply = await client.answer(1);
    if (reply[0] === OK) {
      client.destroy();
      return { reply, code: null };
    }
    return { reply, code: (await client.closed).code };
  };
  t.match((await hello(good)).reply, [OK, 1, { subject: 'alice' }], 'a good one gets in');
  t.match((await hello(ecdsa(ES, claims()))).reply, [OK, 1, { subject: 'alice' }], 'with either key');
  for (const { name, token, code } of HOSTILE) {
    const { reply, code: closeCode } = await hello(token());
    t.match(reply, [33, 1, code], name);
    t.equal(closeCode, code === 100 ? 4500 : 4501, `${name}: closed`);
    const said = JSON.stringify(reply);
    t.notOk(said.includes(SECRET) || said.includes('BEGIN') || said.length > 600, `${name}: says nothing of the keys`);
  }
  t.match((await hello(good)).reply, [OK, 1, { subject: 'alice' }], 'and afterwards, too');
  const log = relay.program.stderr.all.join('');
  t.notOk(log.includes(SECRET), 'no secret in the log');
  t.notOk(log.includes(good), 'nor a token');
  t.equal((await relay.readiness()).status, 200);
});
