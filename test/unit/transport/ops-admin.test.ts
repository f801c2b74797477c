/** The ops port as it listens: health for all, the rest behind the guard, and the admin routes with bodies of every kind. */
import { request } from 'node:http';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import type { OpsState } from '../../../src/ops/ops-state.ts';
import { OpsServer } from '../../../src/transport/ops-server.ts';

const TOKEN = 'a-token-for-operators';
const BEARER = { authorization: `Bearer ${TOKEN}` };

async function open(t: Test, token: string | null) {
  const revoked: unknown[] = [];
  const server = new OpsServer(
    { host: '127.0.0.1', port: 0, token: () => token },
    {
      health: () => ({ live: true, ready: true, started: true }),
      metrics: async () => 'metrics\n',
      latency: () => ({}),
      hgrm: () => null,
      slow: () => [],
      state: () => ({}) as OpsState,
      page: async () => new Map([['', { contentType: 'text/html', body: new TextEncoder().encode('page') }]]),
      admin: {
        revoke: async (asked) => {
          revoked.push(asked);
          return { status: 200, body: { sessionsClosed: 2 } };
        },
        revocations: () => ({ status: 200, body: { revocations: [] } }),
      },
    },
  );
  const port = await server.listen();
  t.teardown(() => server.close());
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return { port, ask, revoked, server };
}

const post = (body: string, headers: Readonly<Record<string, string>>): RequestInit => ({
  method: 'POST',
  body,
  headers: { 'content-type': 'application/json', ...headers },
});

t.test('with a token: health is for all, the rest is not', async (t) => {
  const { ask, server } = await open(t, TOKEN);
  for (const path of ['/livez', '/readyz', '/startupz']) t.equal((await ask(path)).status, 200, path);
  const guarded = ['/metrics', '/latency', '/latency.hgrm?stage=lane&window=1m', '/debug/slow', '/ops', '/ops/', '/ops/state', '/admin/revocations'];
  for (const path of guarded) {
    const { status, headers } = await ask(path);
    t.equal(status, 401, path);
    t.match(headers.get('www-authenticate'), /^(Basic|Bearer) /);
  }
  t.equal(server.refusedCount, guarded.length);
  for (const path of ['/metrics', '/latency', '/debug/slow', '/ops/', '/ops/state', '/admin/revocations'])
    t.equal((await ask(path, { headers: BEARER })).status, 200, path);
});

t.test('a browser of an operator sees the page with the token for a password', async (t) => {
  const { ask } = await open(t, TOKEN);
  const authorization = `Basic ${Buffer.from(`anybody:${TOKEN}`).toString('base64')}`;
  t.match(await ask('/ops/', { headers: { authorization } }), { status: 200, text: 'page' });
  t.equal((await ask('/admin/revoke', post('{}', { authorization }))).status, 401);
});

t.test('revoke: what is posted reaches the relay, and its answer the operator', async (t) => {
  const { ask, revoked } = await open(t, TOKEN);
  const answer = await ask('/admin/revoke', post('{"subject": "ann"}', BEARER));
  t.match(answer, { status: 200, text: '{"sessionsClosed":2}' });
  t.same(revoked, [{ subject: 'ann' }]);
  t.equal(answer.headers.get('connection'), 'close');
});

for (const { name, path = '/admin/revoke', init, status, text } of [
  { name: 'no token', init: post('{}', {}), status: 401, text: /opsToken is needed/ },
  { name: 'another token', init: post('{}', { authorization: 'Bearer nope' }), status: 401, text: /this is not opsToken/ },
  { name: 'a form', init: { method: 'POST', body: 'subject=ann', headers: { ...BEARER, 'content-type': 'application/x-www-form-urlencoded' } }, status: 415, text: /application\/json/ },
  { name: 'JSON that says it is text, as a page can send it', init: { method: 'POST', body: '{}', headers: { ...BEARER, 'content-type': 'text/plain' } }, status: 415, text: /application\/json/ },
  { name: 'no JSON', init: post('{', BEARER), status: 400, text: /the body is no JSON/ },
  { name: 'an empty body', init: post('', BEARER), status: 400, text: /the body is no JSON/ },
  { name: '16,385 bytes', init: post(`"${'x'.repeat(16_383)}"`, BEARER), status: 413, text: /16384 bytes/ },
  { name: 'another method', init: { headers: BEARER }, status: 405, text: /use POST/ },
  { name: 'a post to what is read', path: '/admin/revocations', init: post('{}', BEARER), status: 405, text: /use GET/ },
  { name: 'another path', path: '/admin/shutdown', init: post('{}', BEARER), status: 404, text: /here are/ },
] as { name: string; path?: string; init: RequestInit; status: number; text: RegExp }[]) {
  t.test(`revoke with ${name} is refused and does nothing`, async (t) => {
    const { ask, revoked } = await open(t, TOKEN);
    t.match(await ask(path, init), { status, text });
    t.same(revoked, []);
  });
}

t.test('16,384 bytes are read, also in pieces', async (t) => {
  const { port, revoked } = await open(t, null);
  const body = `"${'x'.repeat(16_382)}"`;
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'x-relay-admin': '1', 'content-length': body.length };
    const asking = request({ port, host: '127.0.0.1', method: 'POST', path: '/admin/revoke', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asking.on('error', reject);
    asking.write(body.slice(0, 5_000));
    setImmediate(() => asking.end(body.slice(5_000)));
  });
  t.equal(status, 200);
  t.same(revoked, [body.slice(1, -1)]);
});

t.test('who hangs up in the middle of a body has asked for nothing, and harms nothing', async (t) => {
  const { port, ask, revoked } = await open(t, null);
  await new Promise<void>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write('POST /admin/revoke HTTP/1.1\r\nHost: localhost\r\nX-Relay-Admin: 1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"sub');
      setImmediate(() => socket.destroy());
    });
    socket.on('close', () => resolve());
  });
  t.equal((await ask('/livez')).status, 200);
  t.same(revoked, []);
});

t.test('without a token: programs of this machine may, web pages may not', async (t) => {
  const { port, ask, revoked } = await open(t, null);
  t.equal((await ask('/ops/state')).status, 200);
  t.match(await ask('/admin/revoke', post('{}', {})), { status: 403, text: /X-Relay-Admin: 1/ });
  t.equal((await ask('/admin/revocations')).status, 403);
  t.equal((await ask('/admin/revoke', { method: 'OPTIONS', headers: { origin: 'https://evil.example' } })).headers.get('access-control-allow-origin'), null);
  t.same(revoked, []);
  t.equal((await ask('/admin/revoke', post('{}', { 'x-relay-admin': '1' }))).status, 200);

  // fetch sets Host by itself: by hand, as a page's browser does after its name was made to lead here.
  const rebound = (path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ port, host: '127.0.0.1', path, headers: { host: `evil.example:${port}` } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
  t.equal(await rebound('/ops/state'), 403);
  t.equal(await rebound('/metrics'), 403);
  t.equal(await rebound('/livez'), 200, 'health says nothing that is secret');
});
