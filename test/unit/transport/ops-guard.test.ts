/** Who may ask the ops port what, with a token and without. */
import t from 'tap';
import { OpsGuard, type OpsHeaders } from '../../../src/transport/ops-guard.ts';

const TOKEN = 'a-token-for-operators';
const LOCAL: OpsHeaders = { host: '127.0.0.1:8081', authorization: '', admin: '' };
const basic = (user: string, password: string): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

for (const { name, headers, read, admin } of [
  { name: 'nothing', headers: {}, read: 401, admin: 401 },
  { name: 'the token', headers: { authorization: `Bearer ${TOKEN}` }, read: 200, admin: 200 },
  { name: 'the token, scheme in small letters', headers: { authorization: `bearer ${TOKEN}` }, read: 200, admin: 200 },
  { name: 'another token', headers: { authorization: `Bearer ${TOKEN}x` }, read: 401, admin: 401 },
  { name: 'a part of it', headers: { authorization: `Bearer ${TOKEN.slice(0, -1)}` }, read: 401, admin: 401 },
  { name: 'no token after the scheme', headers: { authorization: 'Bearer ' }, read: 401, admin: 401 },
  { name: 'the token without a scheme', headers: { authorization: TOKEN }, read: 401, admin: 401 },
  { name: 'two tokens', headers: { authorization: `Bearer x ${TOKEN}` }, read: 401, admin: 401 },
  // A browser sends a password along with whatever a page makes it ask: good for looking only.
  { name: 'the token as a password', headers: { authorization: basic('ops', TOKEN) }, read: 200, admin: 401 },
  { name: 'the token as a password, and the header', headers: { authorization: basic('', TOKEN), admin: '1' }, read: 200, admin: 401 },
  { name: 'the token as a name', headers: { authorization: basic(TOKEN, '') }, read: 401, admin: 401 },
  { name: 'a password that is no pair', headers: { authorization: `Basic ${Buffer.from(TOKEN).toString('base64')}` }, read: 401, admin: 401 },
  { name: 'the header for loopback', headers: { admin: '1' }, read: 401, admin: 401 },
  { name: 'the token, under any name', headers: { authorization: `Bearer ${TOKEN}`, host: 'ops.example' }, read: 200, admin: 200 },
]) {
  t.test(`with a token: ${name}`, async (t) => {
    const guard = new OpsGuard(() => TOKEN);
    const status = (access: 'read' | 'admin') => guard.check(access, { ...LOCAL, ...headers })?.status ?? 200;
    t.equal(status('read'), read);
    t.equal(status('admin'), admin);
    t.equal(guard.refused, (read === 200 ? 0 : 1) + (admin === 200 ? 0 : 1));
  });
}

for (const { name, headers, read, admin } of [
  { name: 'from this machine', headers: {}, read: 200, admin: 403 },
  { name: 'with the header', headers: { admin: '1' }, read: 200, admin: 200 },
  { name: 'with the header, and another value', headers: { admin: 'true' }, read: 200, admin: 403 },
  { name: 'as localhost', headers: { host: 'localhost:8081', admin: '1' }, read: 200, admin: 200 },
  { name: 'as IPv6', headers: { host: '[::1]:8081', admin: '1' }, read: 200, admin: 200 },
  { name: 'as another loopback address, no port', headers: { host: '127.1.2.3', admin: '1' }, read: 200, admin: 200 },
  // What a page of evil.example reaches whose name leads to 127.0.0.1 all of a sudden.
  { name: 'under a foreign name', headers: { host: 'evil.example:8081', admin: '1' }, read: 403, admin: 403 },
  { name: 'under a name that begins like loopback', headers: { host: '127.0.0.1.evil.example', admin: '1' }, read: 403, admin: 403 },
  { name: 'under a name that ends like loopback', headers: { host: 'evil.localhost', admin: '1' }, read: 403, admin: 403 },
  { name: 'without a name', headers: { host: '', admin: '1' }, read: 403, admin: 403 },
]) {
  t.test(`without a token: ${name}`, async (t) => {
    const guard = new OpsGuard(() => null);
    const status = (access: 'read' | 'admin') => guard.check(access, { ...LOCAL, ...headers })?.status ?? 200;
    t.equal(status('read'), read);
    t.equal(status('admin'), admin);
  });
}

t.test('browsers are asked for a password, programs for the token, and the token stands in no answer', async (t) => {
  const guard = new OpsGuard(() => TOKEN);
  const refusals = (['read', 'admin'] as const).map((access) => guard.check(access, LOCAL));
  t.match(refusals, [
    { headers: [['WWW-Authenticate', /^Basic realm=/]] },
    { headers: [['WWW-Authenticate', /^Bearer realm=/]] },
  ]);
  t.notMatch(JSON.stringify(refusals), TOKEN);
});

t.test('the token that counts is the one of now', async (t) => {
  let token = TOKEN;
  const guard = new OpsGuard(() => token);
  const headers = { ...LOCAL, authorization: `Bearer ${TOKEN}` };
  t.equal(guard.check('admin', headers), null);
  token = 'another-token-for-operators';
  t.match(guard.check('admin', headers), { status: 401 });
});
