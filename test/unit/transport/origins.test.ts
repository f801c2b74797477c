/** Which web pages may come in, and what CORS tells a browser of them. */
import t from 'tap';
import { HTTP_ROUTES } from '../../../src/front/http-routes.ts';
import { Origins, parseOrigin } from '../../../src/transport/origins.ts';

for (const { text, want } of [
  { text: 'https://app.example.org', want: 'https://app.example.org' },
  { text: 'HTTPS://App.Example.org', want: 'https://app.example.org' },
  { text: 'https://app.example.org:443', want: 'https://app.example.org' },
  { text: 'http://app.example.org:80', want: 'http://app.example.org' },
  { text: 'https://app.example.org:8443', want: 'https://app.example.org:8443' },
  { text: 'https://*.example.org', want: 'https://*.example.org' },
  { text: 'http://[::1]:3000', want: 'http://[::1]:3000' },
  { text: 'capacitor://localhost', want: 'capacitor://localhost' },
  { text: 'http://localhost', want: 'http://localhost' },
  { text: '*', want: null },
  { text: 'null', want: null },
  { text: 'app.example.org', want: null },
  { text: 'https://app.example.org/', want: null },
  { text: 'https://app.example.org/path', want: null },
  { text: 'https://user@app.example.org', want: null },
  { text: 'https://app.*.org', want: null },
  { text: 'https://*', want: null },
  { text: 'https://*example.org', want: null },
  { text: 'https://app.example.org:65536', want: null },
  { text: 'https://app.example.org:0', want: null },
  { text: 'https://app.example.org ', want: null },
  { text: '', want: null },
])
  t.test(`the rule '${text}' reads as ${want}`, async (t) => t.equal(parseOrigin(text), want));

const RULES = ['https://app.example.org', 'https://*.apps.example.org', 'http://localhost:3000'];

for (const { origin, allowed, why } of [
  { origin: '', allowed: true, why: 'no browser' },
  { origin: 'https://app.example.org', allowed: true, why: 'listed' },
  { origin: 'https://APP.example.org', allowed: true, why: 'names know no case' },
  { origin: 'http://localhost:3000', allowed: true, why: 'listed with its port' },
  { origin: 'https://a.apps.example.org', allowed: true, why: 'below' },
  { origin: 'https://b.a.apps.example.org', allowed: true, why: 'further below' },
  { origin: 'http://app.example.org', allowed: false, why: 'another scheme' },
  { origin: 'https://app.example.org:8443', allowed: false, why: 'another port' },
  { origin: 'http://localhost', allowed: false, why: 'another port' },
  { origin: 'https://apps.example.org', allowed: false, why: 'not below, but it' },
  { origin: 'https://evilapps.example.org', allowed: false, why: 'only looks alike' },
  { origin: 'https://evil.org/.apps.example.org', allowed: false, why: 'a path that looks like a name' },
  { origin: 'https://evil.org#.apps.example.org', allowed: false, why: 'a fragment' },
  { origin: 'https://evil.org:1.apps.example.org', allowed: false, why: 'a port' },
  { origin: 'https://user@x.apps.example.org', allowed: false, why: 'a user' },
  { origin: 'https://.apps.example.org', allowed: false, why: 'nothing below' },
  { origin: 'https://app.example.org.evil.org', allowed: false, why: 'goes on' },
  { origin: 'https://a.apps.example.org, https://app.example.org', allowed: false, why: 'two in one' },
  { origin: 'null', allowed: false, why: 'a sandboxed page or a file' },
])
  t.test(`'${origin}' may ${allowed ? '' : 'not '}come in: ${why}`, async (t) =>
    t.equal(new Origins(RULES).allows(origin), allowed),
  );

t.test('without rules every origin may come in, and none is told so', async (t) => {
  const origins = new Origins([]);
  for (const origin of ['', 'null', 'https://anything.example']) t.ok(origins.allows(origin));
  t.same(origins.headersFor('https://anything.example'), {});
  t.equal(origins.preflightFor('/v1/publish', 'https://anything.example', 'POST'), null);
});

t.test('an allowed page may read the answer, by its own name and never by *', async (t) => {
  const origins = new Origins(RULES);
  t.same(origins.headersFor('https://a.apps.example.org'), {
    Vary: 'Origin',
    'Access-Control-Allow-Origin': 'https://a.apps.example.org',
    'Access-Control-Expose-Headers': 'Retry-After',
  });
  t.same(origins.headersFor(''), { Vary: 'Origin' }, 'a cache keeps the answers apart');
  t.same(origins.headersFor('https://evil.org'), { Vary: 'Origin' });
});

t.test('a preflight of every route is told that route’s methods and the headers that it needs, and no more', async (t) => {
  const origins = new Origins(RULES);
  for (const { path, method } of HTTP_ROUTES) {
    t.match(origins.preflightFor(path, 'https://app.example.org', method), {
      'Access-Control-Allow-Origin': 'https://app.example.org',
      'Access-Control-Allow-Methods': method,
      'Access-Control-Allow-Headers': 'Authorization, Content-Type',
    });
    t.notOk('Access-Control-Allow-Credentials' in (origins.preflightFor(path, 'https://app.example.org', method) ?? {}));
  }
  t.equal(origins.preflightFor('/v1/publish', 'https://evil.org', 'POST'), null, 'another origin');
  t.equal(origins.preflightFor('/v1/publish', '', 'POST'), null, 'no origin');
  t.equal(origins.preflightFor('/v1/publish', 'https://app.example.org', ''), null, 'no preflight');
  t.equal(origins.preflightFor('/v1/elsewhere', 'https://app.example.org', 'GET'), null, 'no route');
});
