/**
 * Requests that no client should send, on both ports: each gets an answer or an end, nothing that it hides is done, the next proper request is served
 * as ever, and a WebSocket that was there before notices nothing.
 */
import t, { type Test } from 'tap';
import { PING, RawClient } from '../support/raw-client.ts';
import { exchange, type RawAnswer } from '../support/raw-http.ts';
import { type RelayProcess, startRelay } from '../support/relay-process.ts';

const LINE = 'POST /v1/publish?topic=shapes HTTP/1.1';
const HOST = 'Host: relay';
const JSON_TYPE = 'Content-Type: application/json';
/** What a smuggled request would publish. */
const SMUGGLED = `POST /v1/publish?topic=smuggled HTTP/1.1\r\n${HOST}\r\n${JSON_TYPE}\r\nContent-Length: 1\r\n\r\n1`;
const UPGRADE = `GET /v1/connect HTTP/1.1\r\n${HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==`;
const GET = 'GET /v1/position?topic=shapes HTTP/1.1';

const relay = await startRelay(t, { httpBodyTimeoutMs: 1_000, httpBodyBytesMax: 65_536, lanes: 1 });
const witness = await RawClient.open(t, relay.port);

/** Lines of a head, then the body. */
const post = (lines: readonly string[], body = ''): string => [LINE, HOST, JSON_TYPE, ...lines, '', body].join('\r\n');
const get = (lines: readonly string[]): string => [GET, ...lines, '', ''].join('\r\n');

interface Shape {
  readonly name: string;
  readonly sent: string | Uint8Array;
  /** Of the answer; 0: closed without one. */
  readonly status: number;
  readonly body?: RegExp;
}

const SHAPES: readonly Shape[] = [
  // ---- where does the body end?
  { name: 'a proper request', sent: post(['Content-Length: 1'], '1'), status: 200 },
  { name: 'proper chunks', sent: post(['Transfer-Encoding: chunked'], '1\r\n1\r\n0\r\n\r\n'), status: 200 },
  { name: 'two lengths', sent: post(['Content-Length: 1', 'Content-Length: 30'], '1'), status: 400, body: /given twice/ },
  { name: 'one length twice', sent: post(['Content-Length: 1', 'Content-Length: 1'], '1'), status: 400, body: /given twice/ },
  { name: 'two lengths in one', sent: post(['Content-Length: 1, 1'], '1'), status: 400 },
  {
    name: 'a length and chunks',
    sent: post(['Content-Length: 4', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
    status: 400,
  },
  {
    name: 'chunks and a length',
    sent: post(['Transfer-Encoding: chunked', 'Content-Length: 4'], `0\r\n\r\n${SMUGGLED}`),
    status: 400,
  },
  { name: 'another encoding', sent: post(['Transfer-Encoding: gzip'], `1${SMUGGLED}`), status: 400 },
  { name: 'two encodings', sent: post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'), status: 400, body: /must be chunked/ },
  {
    name: 'an encoding twice',
    sent: post(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], '0\r\n\r\n'),
    status: 400,
  },
  { name: 'an encoding in disguise', sent: post(['Transfer-Encoding: xchunked'], '0\r\n\r\n'), status: 400 },
  { name: 'an encoding behind a tab', sent: post(['Transfer-Encoding:\tchunked'], '1\r\n1\r\n0\r\n\r\n'), status: 200 },
  { name: 'a space before the colon', sent: post(['Transfer-Encoding : chunked'], '0\r\n\r\n'), status: 400 },
  { name: 'a length below zero', sent: post(['Content-Length: -1'], '1'), status: 400 },
  { name: 'a length with a sign', sent: post(['Content-Length: +1'], '1'), status: 400 },
  { name: 'a length in hex', sent: post(['Content-Length: 0x1'], '1'), status: 400 },
  { name: 'a length in words', sent: post(['Content-Length: one'], '1'), status: 400 },
  { name: 'an endless length', sent: post([`Content-Length: ${'9'.repeat(30)}`], '1'), status: 400 },
  { name: 'a chunk of no size', sent: post(['Transfer-Encoding: chunked'], 'x\r\n1\r\n0\r\n\r\n'), status: 400 },
  { name: 'a chunk of endless size', sent: post(['Transfer-Encoding: chunked'], `${'f'.repeat(20)}\r\n1`), status: 400 },
  { name: 'a chunk below zero', sent: post(['Transfer-Encoding: chunked'], '-1\r\n1\r\n0\r\n\r\n'), status: 400 },
  // ---- lines
  { name: 'a folded line', sent: post(['X-Folded: a', ' b', 'Content-Length: 1'], '1'), status: 400 },
  { name: 'a bare LF between headers', sent: post(['X-A: a\nContent-Length: 1'], '1'), status: 400 },
  { name: 'bare LF everywhere', sent: `${GET}\n${HOST}\n\n`, status: 505 },
  { name: 'NUL in a value', sent: get([HOST, 'X-A: a\0b']), status: 400 },
  { name: 'NUL in a name', sent: get([HOST, 'X-\0A: b']), status: 400 },
  { name: 'NUL in the path', sent: `GET /v1/\0 HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'a name that is none', sent: get([HOST, 'X A: b']), status: 400 },
  // uWebSockets.js takes it for the end of the headers.
  { name: 'a header without a name', sent: get([HOST, ': b']), status: 200 },
  { name: 'a header without a colon', sent: get([HOST, 'nothing']), status: 400 },
  { name: 'no host', sent: get(['Accept: */*']), status: 400 },
  { name: 'two hosts', sent: get([HOST, 'Host: other']), status: 400 },
  { name: 'bytes over 127 in a value', sent: get([HOST, 'X-A: \xff\xfe']), status: 200 },
  // ---- sizes
  { name: 'one huge header', sent: get([HOST, `X-A: ${'a'.repeat(20_000)}`]), status: 431 },
  { name: 'a huge path', sent: `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 431 },
  { name: 'a huge name', sent: get([HOST, `${'X'.repeat(20_000)}: a`]), status: 431 },
  { name: 'very many headers', sent: get([HOST, ...Array.from({ length: 150 }, (_, index) => `X-${index}: a`)]), status: 431 },
  { name: 'a body over the bound', sent: post(['Content-Length: 100000'], '1'.repeat(100_000)), status: 413 },
  { name: 'a body far over the bound', sent: post(['Content-Length: 99999999'], '1'.repeat(300_000)), status: 413 },
  // ---- methods, targets and versions
  { name: 'an unknown method', sent: `BREW /v1/publish HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 405 },
  { name: 'a method in lower case', sent: `get /v1/position?topic=a HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 400, body: /capitals/ },
  { name: 'a huge method', sent: `${'A'.repeat(3_000)} /v1/publish HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 405 },
  { name: 'no method', sent: ` /v1/publish HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 405 },
  { name: 'TRACE', sent: `TRACE /v1/publish HTTP/1.1\r\n${HOST}\r\nX-Secret: mine\r\n\r\n`, status: 405 },
  { name: 'CONNECT', sent: `CONNECT example.org:443 HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'OPTIONS *', sent: `OPTIONS * HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'an absolute target', sent: `GET http://example.org/v1/position HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'no target', sent: `GET HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'a path that climbs', sent: `GET /v1/../../etc/passwd HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 404 },
  { name: 'a path with empty parts', sent: `GET //v1//position?topic=a HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 404 },
  { name: 'a path in escapes', sent: `GET /%76%31/position?topic=a HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 404 },
  { name: 'HTTP/1.0', sent: `GET /v1/position?topic=a HTTP/1.0\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'HTTP/0.9', sent: 'GET /v1/position?topic=a\r\n\r\n', status: 505 },
  { name: 'the first words of HTTP/2', sent: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 505 },
  { name: 'HTTP/9.9', sent: `GET / HTTP/9.9\r\n${HOST}\r\n\r\n`, status: 505 },
  { name: 'the first words of TLS', sent: Uint8Array.of(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0), status: 505 },
  // ---- more than one: cut before the second is done
  { name: 'a request behind a body', sent: post(['Content-Length: 1'], `1${SMUGGLED}`), status: 0 },
  { name: 'a request behind chunks', sent: post(['Transfer-Encoding: chunked'], `1\r\n1\r\n0\r\n\r\n${SMUGGLED}`), status: 0 },
  { name: 'a request behind a GET', sent: `${get([HOST])}${SMUGGLED}`, status: 0 },
  { name: 'a request behind two lengths', sent: post(['Content-Length: 1', 'Content-Length: 30'], `1${SMUGGLED}`), status: 0 },
  { name: 'a request behind a wrong path', sent: `GET /v1/none HTTP/1.1\r\n${HOST}\r\n\r\n${SMUGGLED}`, status: 0 },
  { name: 'a request behind a wrong method', sent: `GET /v1/publish HTTP/1.1\r\n${HOST}\r\n\r\n${SMUGGLED}`, status: 0 },
  { name: 'a request behind a refused upgrade', sent: `${UPGRADE}\r\n\r\n${SMUGGLED}`, status: 0 },
  { name: 'a request behind a hidden length', sent: post([': x', `Content-Length: ${SMUGGLED.length}`], SMUGGLED), status: 0 },
  { name: 'a request in the body of a GET', sent: get([HOST, `Content-Length: ${SMUGGLED.length}`]) + SMUGGLED, status: 200 },
  // ---- upgrades
  {
    name: 'an upgrade with a key that is none',
    sent: `${UPGRADE}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: relay.v1\r\n\r\n`.replace('Key: d', 'Key: '),
    status: 404,
  },
];

async function isUnharmed(t: Test, served: RelayProcess): Promise<void> {
  const proper = await exchange(served.port, { pieces: [post(['Content-Length: 1'], '1')] });
  t.equal(proper.status, 200, 'a proper request afterwards is served');
  await witness.ask(PING);
}

for (const { name, sent, status, body = /.*/ } of SHAPES)
  t.test(`${name}: ${status === 0 ? 'the end' : status}`, async (t) => {
    const answer = await exchange(relay.port, { pieces: [sent] });
    t.equal(answer.status, status);
    t.match(answer.body, body);
    t.ok(answer.count <= 1, 'one request, one answer');
    t.notMatch(answer.text, /mine/, 'nothing of it comes back');
    await isUnharmed(t, relay);
  });

t.test('what was hidden behind a request was never done', async (t) => {
  const answer = await exchange(relay.port, { pieces: [`GET /v1/position?topic=smuggled HTTP/1.1\r\n${HOST}\r\n\r\n`] });
  t.match(JSON.parse(answer.body), { offset: 0 });
});

t.test('byte by byte: what is slow is bounded in time, and what is slow and proper is served', async (t) => {
  const slowly = async (text: string, pauseMs: number, whole = ''): Promise<RawAnswer> =>
    exchange(relay.port, { pieces: [whole, ...text], pauseMs });
  const proper = post(['Content-Length: 1'], '1');
  const answers = await Promise.all([
    slowly(proper.slice(-200), 2, proper.slice(0, -200)),
    slowly('1'.repeat(1_000), 100, post(['Content-Length: 1000'])),
    exchange(relay.port, { pieces: [post(['Content-Length: 2'], '1')] }),
    exchange(relay.port, { pieces: [post(['Transfer-Encoding: chunked'], '1\r\n1\r\n')] }),
    slowly(get([HOST]), 400),
    exchange(relay.port, { pieces: [get([HOST, 'X-A: a\rb'])] }),
    exchange(relay.port, { pieces: ['POST /v1/pub'] }),
    exchange(relay.port, { pieces: [''] }),
  ]);
  t.same(
    answers.map(({ status }) => status),
    [200, 408, 408, 408, 0, 0, 0, 0],
    'a body has httpBodyTimeoutMs, a head what uWebSockets.js gives it',
  );
  t.equal(await relay.metric('relay_http_bodies_timed_out_total'), 3);
  await isUnharmed(t, relay);
});

t.test('the ops port: one request, one answer, and the end', async (t) => {
  const ask = (head: string): Promise<RawAnswer> => exchange(relay.opsPort, { pieces: [head] });
  const next = `GET /livez HTTP/1.1\r\n${HOST}\r\n\r\n`;
  for (const { name, sent, status } of [
    { name: 'a proper request', sent: next, status: 200 },
    { name: 'two requests', sent: next + next, status: 0 },
    {
      name: 'two lengths',
      sent: `GET /livez HTTP/1.1\r\n${HOST}\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n${next}`,
      status: 0,
    },
    {
      name: 'a length and chunks',
      sent: `GET /livez HTTP/1.1\r\n${HOST}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      status: 400,
    },
    { name: 'a folded line', sent: `GET /livez HTTP/1.1\r\n${HOST}\r\nX: a\r\n b\r\n\r\n`, status: 400 },
    { name: 'NUL', sent: `GET /livez HTTP/1.1\r\n${HOST}\r\nX: a\0b\r\n\r\n`, status: 400 },
    { name: 'a huge header', sent: `GET /livez HTTP/1.1\r\n${HOST}\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, status: 431 },
    { name: 'CONNECT', sent: `CONNECT example.org:443 HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 505 },
    { name: 'another method', sent: `BREW /livez HTTP/1.1\r\n${HOST}\r\n\r\n`, status: 404 },
    { name: 'HTTP/0.9', sent: 'GET /livez\r\n\r\n', status: 505 },
  ]) {
    const answer = await ask(sent);
    t.same([answer.status, answer.count], [status, Math.sign(status)], name);
    t.equal((await ask(next)).status, 200, `${name}, and a proper one afterwards`);
  }
});

t.test('every answer of both ports says what it is, and that it is nothing else', async (t) => {
  for (const [port, path] of [
    [relay.port, '/v1/position?topic=shapes'],
    [relay.port, '/v1/elsewhere'],
    [relay.opsPort, '/livez'],
    [relay.opsPort, '/metrics'],
    [relay.opsPort, '/elsewhere'],
    [relay.opsPort, '/ops/'],
    [relay.opsPort, '/ops/state'],
  ] as const) {
    const { headers } = await exchange(port, { pieces: [`GET ${path} HTTP/1.1\r\n${HOST}\r\n\r\n`] });
    t.equal(headers.get('x-content-type-options'), 'nosniff', path);
    t.equal(headers.get('cache-control'), 'no-store', path);
    t.ok(headers.has('content-type'), path);
  }
});
