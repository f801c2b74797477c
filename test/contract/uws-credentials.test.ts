/** What the public port tells the front of who comes: token, origin and address, and whose word on them it takes. On real sockets, a front that writes down. */
import t, { type Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import type { Front } from '../../src/front/front.ts';
import type { HttpGateway, HttpRequest } from '../../src/front/http-gateway.ts';
import type { Connection } from '../../src/front/ports.ts';
import { OPEN, type Session } from '../../src/front/session.ts';
import { CONNECT_PATH, SUBPROTOCOL } from '../../src/protocol/types.ts';
import { type ServerOptions, UwsServer } from '../../src/transport/uws-server.ts';
import { exchange, type RawAnswer } from '../support/raw-http.ts';
import { RawWebSocket } from '../support/raw-websocket.ts';

const OPTIONS: ServerOptions = {
  host: '127.0.0.1',
  port: 0,
  messageBytesMax: 65_536,
  mergedFrameBytesMax: 16_384,
  sendQueueBytesMax: 65_536,
  httpBodyBytesMax: 1_024,
  httpBodiesBytesMax: 65_536,
  httpBodyTimeoutMs: 10_000,
  httpConnectionsMax: 100,
  compression: false,
  allowedOrigins: [],
  trustedProxies: [],
};

class Rig {
  readonly connections: Connection[] = [];
  readonly requests: HttpRequest[] = [];
  readonly server: UwsServer;
  port = 0;

  static async open(t: Test, options: Partial<ServerOptions> = {}): Promise<Rig> {
    const rig = new Rig({ ...OPTIONS, ...options });
    rig.port = await rig.server.listen();
    t.teardown(() => rig.server.close());
    return rig;
  }

  private constructor(options: ServerOptions) {
    const front = {
      admit: () => ({ admitted: true }),
      open: (connection: Connection) => {
        this.connections.push(connection);
        return { state: { name: 'greeting' } } as Session;
      },
      onMessage: (session: Session) => {
        session.state = OPEN; // HELLO was taken.
      },
      onClose: () => {},
      onPing: () => {},
      onPong: () => {},
      onDrain: () => {},
    } as unknown as Front;
    const gateway = {
      handle: (request: HttpRequest, reply: (answer: unknown) => void) => {
        this.requests.push(request);
        reply({ status: 200, headers: { 'Content-Type': 'application/json' }, body: Buffer.from('"served"') });
        return () => {};
      },
    } as unknown as HttpGateway;
    this.server = new UwsServer(options, front, gateway, systemClock);
  }

  /** The connection that the front was given, or the status of the refusal. */
  async upgrade(headers: Readonly<Record<string, string>> = {}, prologue?: Uint8Array): Promise<Connection | number> {
    const asked = { port: this.port, path: CONNECT_PATH, subprotocol: SUBPROTOCOL, headers };
    const socket = await RawWebSocket.open(prologue === undefined ? asked : { ...asked, prologue });
    if (!(socket instanceof RawWebSocket)) return socket.status;
    socket.cut();
    return this.connections.at(-1) as Connection;
  }

  request(head: string, prologue: string | Uint8Array = ''): Promise<RawAnswer> {
    return exchange(this.port, { pieces: [prologue, `${head}\r\n\r\n`] });
  }
}

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const PORTS = [0xd4, 0x31, 0x1f, 0x90];
const PROXY = 0x21;
const LOCAL = 0x20;
const [TCP4, TCP6] = [0x11, 0x21] as const;

/** PROXY protocol v2. */
function proxyFrame(command: number, family: number, content: readonly number[]): Buffer {
  return Buffer.concat([
    SIGNATURE,
    Buffer.from([command, family, content.length >> 8, content.length & 0xff]),
    Buffer.from(content),
  ]);
}

/** For TCP over IPv4, from this address. */
function proxyHeader(address: string, extra: readonly number[] = []): Buffer {
  return proxyFrame(PROXY, TCP4, [...address.split('.').map(Number), 127, 0, 0, 1, ...PORTS, ...extra]);
}

const GET = 'GET /v1/position?topic=a HTTP/1.1\r\nHost: relay';
const CLIENT = '198.51.100.9';

t.test('the upgrade’s token, origin and address reach the front', async (t) => {
  const rig = await Rig.open(t);
  t.match(await rig.upgrade(), { token: null, origin: '', remoteAddress: '127.0.0.1' });
  t.match(await rig.upgrade({ Authorization: 'Bearer a.b.c', Origin: 'https://app.example.org' }), {
    token: 'a.b.c',
    origin: 'https://app.example.org',
    remoteAddress: '127.0.0.1',
  });
});

t.test('a token among the subprotocols is taken, and only relay.v1 is agreed on', async (t) => {
  const rig = await Rig.open(t);
  const subprotocol = `relay.token.a.b.c, ${SUBPROTOCOL}`;
  const socket = await RawWebSocket.open({ port: rig.port, path: CONNECT_PATH, subprotocol });
  if (!(socket instanceof RawWebSocket)) throw new Error(`refused: ${socket.status}`);
  t.equal(socket.subprotocol, SUBPROTOCOL);
  t.equal(rig.connections[0]?.token, 'a.b.c');
  const closed = socket.closed;
  socket.send(Uint8Array.of(0));
  socket.close(1000);
  await closed;
  t.equal(rig.connections[0]?.token, null, 'it is not kept beyond the first message');
});

t.test('a request’s token, origin and address reach the gateway', async (t) => {
  const rig = await Rig.open(t);
  await rig.request(`${GET}\r\nAuthorization: Bearer a.b.c\r\nOrigin: https://app.example.org`);
  await rig.request(GET);
  t.match(rig.requests, [
    { token: 'a.b.c', origin: 'https://app.example.org', address: '127.0.0.1' },
    { token: null, origin: '', address: '127.0.0.1' },
  ]);
});

t.test('nobody’s word on addresses is taken unless it is a trusted proxy’s', async (t) => {
  const rig = await Rig.open(t, { trustedProxies: ['10.0.0.0/8'] });
  const forwarded = { 'X-Forwarded-For': CLIENT };
  t.match(await rig.upgrade(forwarded), { remoteAddress: '127.0.0.1' });
  t.match(await rig.upgrade({}, proxyHeader(CLIENT)), { remoteAddress: '127.0.0.1' }, 'uWS reads a PROXY header from anybody');
  t.match(await rig.upgrade(forwarded, proxyHeader('10.0.0.1')), { remoteAddress: '127.0.0.1' }, 'and it makes nobody a proxy');
  t.equal((await rig.request(`${GET}\r\nX-Forwarded-For: ${CLIENT}`, proxyHeader(CLIENT))).status, 200);
  t.match(rig.requests, [{ address: '127.0.0.1' }]);
});

t.test('a trusted proxy’s word is taken', async (t) => {
  const rig = await Rig.open(t, { trustedProxies: ['127.0.0.1'] });
  t.match(await rig.upgrade({ 'X-Forwarded-For': `6.6.6.6, ${CLIENT}` }), { remoteAddress: CLIENT });
  t.match(await rig.upgrade({}, proxyHeader(CLIENT)), { remoteAddress: CLIENT });
  t.match(await rig.upgrade({ 'X-Forwarded-For': '6.6.6.6' }, proxyHeader(CLIENT)), { remoteAddress: CLIENT });
  await rig.request(`${GET}\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: ${CLIENT}`);
  t.match(rig.requests, [{ address: CLIENT }], 'a line of its own is the last word, whatever the client sent before');
});

t.test('PROXY headers of every shape: an address, the proxy’s own, or the end', async (t) => {
  const rig = await Rig.open(t, { trustedProxies: ['127.0.0.1'] });
  const addressOf = async (...prologue: readonly (string | Uint8Array)[]): Promise<string | number> => {
    const { status } = await exchange(rig.port, { pieces: [...prologue, `${GET}\r\n\r\n`], pauseMs: 20 });
    return status === 200 ? (rig.requests.at(-1)?.address ?? '') : status;
  };
  const ipv6 = [0x20, 0x01, 0x0d, 0xb8, ...Array(11).fill(0), 9];
  const whole = proxyHeader(CLIENT);
  t.equal(await addressOf(proxyFrame(PROXY, TCP6, [...ipv6, ...ipv6, ...PORTS])), '2001:db8::9');
  t.equal(await addressOf(whole.subarray(0, 5), whole.subarray(5, 17), whole.subarray(17)), CLIENT, 'in pieces');
  t.equal(await addressOf(proxyFrame(LOCAL, 0, [])), '127.0.0.1', 'a balancer’s own check');
  t.equal(await addressOf(`PROXY TCP4 ${CLIENT} 127.0.0.1 54321 8080\r\n`), 505, 'version 1');
  // Parts that are not understood are waited for in vain: uWS cuts those connections as it does every head that does not come.
  const ends = await Promise.all([
    addressOf(proxyHeader(CLIENT, [0x03, 0x00, 0x1e, ...Array(30).fill(1)])),
    addressOf(SIGNATURE.subarray(0, 11), Uint8Array.of(0xff)),
    addressOf(proxyFrame(0x31, TCP4, [])),
    addressOf(whole, whole),
    addressOf('\r\n'),
  ]);
  t.same(ends, [0, 0, 0, 0, 0], 'TLVs, another signature, another version, two of them, an empty line before the request');
});

t.test('origins: who is not listed is refused before the upgrade and over HTTP; who has none is not asked', async (t) => {
  const rig = await Rig.open(t, { allowedOrigins: ['https://*.example.org', 'http://localhost:3000'] });
  const origin = (value: string): string => `${GET}\r\nOrigin: ${value}`;
  t.match(await rig.upgrade({ Origin: 'https://app.example.org' }), { origin: 'https://app.example.org' });
  t.match(await rig.upgrade({ Origin: 'http://localhost:3000' }), { origin: 'http://localhost:3000' });
  t.match(await rig.upgrade(), { origin: '' });
  for (const refused of ['https://evil.org', 'http://app.example.org', 'null', 'https://example.org.evil.org'])
    t.equal(await rig.upgrade({ Origin: refused }), 403, refused);
  t.match(await rig.request(origin('https://evil.org')), {
    status: 403,
    body: 'pages of https://evil.org may not use this relay (allowedOrigins)\n',
  });
  t.equal(rig.requests.length, 0, 'nothing has happened');
  t.equal(rig.server.originsRefused, 5);

  const served = await rig.request(origin('https://app.example.org'));
  t.equal(served.headers.get('access-control-allow-origin'), 'https://app.example.org');
  t.equal(served.headers.get('vary'), 'Origin');
  t.equal((await rig.request(GET)).headers.get('access-control-allow-origin'), undefined);
});

t.test('a preflight is answered for an allowed origin and a path that is there, and goes no further', async (t) => {
  const rig = await Rig.open(t, { allowedOrigins: ['https://app.example.org'] });
  const preflight = (path: string, origin: string): string =>
    `OPTIONS ${path} HTTP/1.1\r\nHost: relay\r\nOrigin: ${origin}\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type`;
  const allowed = await rig.request(preflight('/v1/publish', 'https://app.example.org'));
  t.equal(allowed.status, 200);
  t.equal(allowed.headers.get('access-control-allow-methods'), 'POST');
  t.equal(allowed.headers.get('access-control-allow-headers'), 'Authorization, Content-Type');
  t.equal(allowed.headers.get('access-control-allow-credentials'), undefined);
  t.equal(rig.requests.length, 0);
  t.equal((await rig.request(preflight('/v1/publish', 'https://evil.org'))).status, 403);
  await rig.request(preflight('/v1/elsewhere', 'https://app.example.org'));
  t.match(rig.requests, [{ method: 'OPTIONS', path: '/v1/elsewhere' }], 'the gateway says that it is not there');
  const open = await Rig.open(t);
  await open.request(preflight('/v1/publish', 'https://app.example.org'));
  t.match(open.requests, [{ method: 'OPTIONS' }], 'without a list there is no CORS');
});

t.test('another version of WebSockets: 426 with the one that is spoken here', async (t) => {
  const rig = await Rig.open(t);
  const head = `GET ${CONNECT_PATH} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: relay.v1`;
  for (const version of ['', '\r\nSec-WebSocket-Version: 8']) {
    const answer = await rig.request(head + version);
    t.equal(answer.status, 426);
    t.equal(answer.headers.get('sec-websocket-version'), '13');
  }
  t.equal(rig.connections.length, 0);
});

t.test('every text of ours is kept by no cache and taken for nothing else', async (t) => {
  const rig = await Rig.open(t, { allowedOrigins: ['https://app.example.org'] });
  for (const head of [GET, `${GET}\r\nOrigin: https://evil.org`, `${GET}\r\nContent-Length: 1\r\nContent-Length: 1`]) {
    const { headers } = await rig.request(head);
    t.equal(headers.get('x-content-type-options'), 'nosniff');
  }
});

t.test('connections before the upgrade are counted and bounded; a WebSocket is none of them', async (t) => {
  const rig = await Rig.open(t, { httpConnectionsMax: 16 });
  const sockets: RawWebSocket[] = [];
  for (let count = 0; count < 40; count++) {
    const socket = await RawWebSocket.open({ port: rig.port, path: CONNECT_PATH, subprotocol: SUBPROTOCOL });
    if (!(socket instanceof RawWebSocket)) throw new Error(`refused: ${socket.status}`);
    sockets.push(socket);
  }
  t.equal(rig.server.httpConnections, 0, 'all of them are WebSockets');
  t.equal(rig.server.httpConnectionsRefused, 0);
  const idle = Array.from({ length: 24 }, () => exchange(rig.port, { pieces: ['GET / HT'] }));
  t.equal((await Promise.any(idle)).status, 0, 'the ones too many are closed without an answer');
  t.ok(rig.server.httpConnections <= 16);
  t.ok(rig.server.httpConnectionsRefused >= 8);
  for (const socket of sockets) socket.cut();
});
