/** TLS on a real relay: which versions and certificates it speaks, what a reload changes and what it leaves alone, and clients through it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import type { WebSocketConstructor } from '../../src/client/platform.ts';
import { TestCertificate } from '../support/certificates.ts';
import { Program } from '../support/program.ts';
import { exchange, parseAnswer, type RawAnswer } from '../support/raw-http.ts';
import { type RelayProcess, type RelaySettings, relayProgram, startRelay } from '../support/relay-process.ts';
import { openClient, Reader, untilState } from '../support/sdk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const DAY_MS = 86_400_000;
const HOST = '127.0.0.1';
const authority = new TestCertificate({ subject: 'test authority', names: [], isAuthority: true });
const CLIENT = fileURLToPath(new URL('../support/tls-client.ts', import.meta.url));

/** A folder of certificates, gone with its test. */
class Files {
  readonly folder: string;

  constructor(t: Test) {
    this.folder = mkdtempSync(join(tmpdir(), 'relay-tls-'));
    t.teardown(() => rmSync(this.folder, { recursive: true }));
    this.write('authority.pem', authority.pem);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  /** `name.pem` and `name.key`. */
  put(name: string, { pem, keyPem }: TestCertificate): void {
    this.write(`${name}.pem`, pem);
    this.write(`${name}.key`, keyPem);
  }

  settings(name = 'relay'): RelaySettings {
    return { tlsCertFile: this.path(`${name}.pem`), tlsKeyFile: this.path(`${name}.key`) };
  }
}

function certificate(names: readonly string[] = ['localhost', HOST], days = 90): TestCertificate {
  return new TestCertificate({ names, issuer: authority, toMs: Date.now() + days * DAY_MS });
}

async function startTls(t: Test, settings: RelaySettings = {}): Promise<{ readonly relay: RelayProcess; readonly files: Files }> {
  const files = new Files(t);
  files.put('relay', certificate());
  return { relay: await startRelay(t, { ...files.settings(), ...settings }), files };
}

/** After the handshake. Rejects with the alert's code. */
function handshake(t: Test, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: HOST, port, ca: authority.pem, servername: 'localhost', ...options });
    t.teardown(() => socket.destroy());
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** The serial number of the certificate that new connections get. */
async function servedSerial(t: Test, port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = await handshake(t, port, options);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const POSITION = 'GET /v1/position?topic=room HTTP/1.1\r\nHost: relay\r\n\r\n';

function askOver(socket: TLSSocket, text = POSITION): Promise<RawAnswer> {
  return new Promise((resolve) => {
    let answer = '';
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1');
    });
    socket.on('close', () => resolve(parseAnswer(answer)));
    socket.write(text);
  });
}

/** The SDK's WebSocket, with an authority of its own to believe. */
const trusting = class extends WebSocket {
  constructor(url: string, protocols?: string | string[]) {
    super(url, protocols, { ca: authority.pem });
  }
} as unknown as WebSocketConstructor;

async function reload(relay: RelayProcess, said: RegExp): Promise<string> {
  const from = relay.program.stderr.all.length;
  relay.program.kill('SIGHUP');
  return relay.program.stderr.find(said, from);
}

t.test('the SDK and the commands come in over wss, and recover what they missed', async (t) => {
  const { relay, files } = await startTls(t);
  const env = { NODE_EXTRA_CA_CERTS: files.path('authority.pem') };
  const url = `wss://localhost:${relay.port}`;
  t.match(relay.program.stderr.all.join('\n'), /listening on wss:\/\/127\.0\.0\.1:\d+\/v1\/connect/);
  const proxy = await TcpProxy.start(t, relay.port);
  const client = new Program(t, [process.execPath, CLIENT, `wss://localhost:${proxy.port}`, url], { env });
  await client.stdout.find(/"subscribed"/);
  client.write('one\n');
  await client.stdout.find(/"offset":1,"payload":"one"/);
  proxy.hold();
  proxy.cut();
  await client.stdout.find(/"waiting"/);
  client.write('two\nthree\n');
  await client.stdout.find(/"published":3/);
  proxy.release();
  await client.stdout.find(/"offset":3,"payload":"three"/);
  client.endInput();
  t.same(await client.exited, { code: 0, signal: null });
  t.match(
    client.stdout.all.map((line) => JSON.parse(line)).filter(({ payload }) => payload !== undefined),
    [{ payload: 'one' }, { payload: 'two', recovered: true }, { payload: 'three', recovered: true }],
  );
  t.notMatch(client.stdout.all.join('\n'), /"lost"/);

  const sub = relayProgram(t, ['sub', '--url', url, '--count', '1', 'news'], { env });
  await sub.stdout.find(/"subscribed"/);
  const pub = relayProgram(t, ['pub', '--url', url, 'news', '{"n": 1}'], { env });
  t.same(await pub.exited, { code: 0, signal: null });
  t.same(await sub.exited, { code: 0, signal: null });
  t.match(sub.stdout.all.join('\n'), /"payload":\{"n":1\}/);
  const doctor = relayProgram(t, ['doctor', '--url', url], { env });
  await doctor.exited;
  t.match(doctor.stdout.all.join('\n'), /ok +wss:.* subscribed, published and received/);

  const stranger = relayProgram(t, ['pub', '--url', url, '--connect-timeout-ms', '2000', 'news', '1']);
  t.same(await stranger.exited, { code: 1, signal: null }, 'who does not know the authority does not come in');
});

for (const version of ['TLSv1', 'TLSv1.1'] as const)
  t.test(`${version} is refused`, async (t) => {
    const { relay } = await startTls(t);
    const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await t.rejects(handshake(t, relay.port, old), { code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    await handshake(t, relay.port);
  });

t.test('TLS 1.2 and 1.3 are spoken, with forward secrecy and without CBC', async (t) => {
  const { relay } = await startTls(t);
  for (const [version, cipher] of [
    ['TLSv1.2', /^ECDHE-ECDSA-(AES\d+-GCM|CHACHA20)/],
    ['TLSv1.3', /^TLS_(AES|CHACHA20)/],
  ] as const) {
    const socket = await handshake(t, relay.port, { minVersion: version, maxVersion: version });
    t.equal(socket.getProtocol(), version);
    t.match(socket.getCipher().name, cipher);
    t.equal((await askOver(socket)).status, 200);
  }
  for (const ciphers of ['ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384', 'AES128-GCM-SHA256'])
    await t.rejects(
      handshake(t, relay.port, { maxVersion: 'TLSv1.2', ciphers }),
      { code: /ERR_SSL_(SSL\/TLS_ALERT|SSLV3_ALERT)_HANDSHAKE_FAILURE/ },
      ciphers,
    );
});

t.test('plain HTTP gets nothing on the TLS port, and the ops port speaks no TLS', async (t) => {
  const { relay } = await startTls(t);
  await t.rejects(fetch(`http://${HOST}:${relay.port}/v1/position?topic=room`));
  t.equal((await relay.readiness()).status, 200);
  await t.rejects(handshake(t, relay.opsPort));
});

t.test('a client that does not shake hands, or has a PROXY header before its own, is cut in time and harms nobody', async (t) => {
  const { relay } = await startTls(t);
  const proxyHeader = Buffer.from('0d0a0d0a000d0a515549540a2111000cc63364097f000001d4311f90', 'hex');
  const ends = [[''], [Uint8Array.of(0x16, 3, 1)], [proxyHeader]].map((pieces) => exchange(relay.port, { pieces }));
  t.equal((await askOver(await handshake(t, relay.port))).status, 200);
  t.same(
    (await Promise.all(ends)).map(({ count }) => count),
    [0, 0, 0],
  );
  t.equal(await relay.metric('relay_http_connections'), 0);
});

t.test('each server name has its certificate and is served; every other gets the one for everybody', async (t) => {
  const files = new Files(t);
  const certificates = {
    relay: certificate(),
    one: certificate(['one.example.org']),
    any: certificate(['*.example.org']),
  };
  for (const [name, each] of Object.entries(certificates)) files.put(name, each);
  const named = (name: string, file: string) => ({
    name,
    certFile: files.path(`${file}.pem`),
    keyFile: files.path(`${file}.key`),
  });
  const relay = await startRelay(t, {
    ...files.settings(),
    tlsServerNames: [named('one.example.org', 'one'), named('*.example.org', 'any')],
  });
  for (const { servername, names } of [
    { servername: 'localhost', names: 'DNS:localhost, IP Address:127.0.0.1' },
    { servername: 'one.example.org', names: 'DNS:one.example.org' },
    { servername: 'two.example.org', names: 'DNS:*.example.org' },
    { servername: 'elsewhere.test', names: 'DNS:localhost, IP Address:127.0.0.1' },
    { servername: '', names: 'DNS:localhost, IP Address:127.0.0.1' },
  ]) {
    const socket = await handshake(t, relay.port, { servername, checkServerIdentity: () => undefined });
    t.equal(socket.getPeerCertificate().subjectaltname, names, servername);
    t.equal((await askOver(socket)).status, 200, 'and is served');
  }
  const metrics = await Promise.all(
    ['', 'one.example.org', '*.example.org'].map((name) =>
      relay.metric('relay_tls_certificate_expires_seconds', `server_name="${name}"`),
    ),
  );
  for (const seconds of metrics) t.ok(seconds > 89 * 86_400 && seconds <= 90 * 86_400, `${seconds}`);
});

t.test('SIGHUP: new connections get the new certificate, open ones live on with theirs', async (t) => {
  const { relay, files } = await startTls(t);
  const before = await servedSerial(t, relay.port);
  const url = `wss://localhost:${relay.port}`;
  const client = await openClient(t, url, { webSocket: trusting });
  const reader = await Reader.open(client, 'room');
  const states: string[] = [];
  client.on('state', ({ name }) => states.push(name));
  // Has shaken hands and not said yet what it wants.
  const undecided = await handshake(t, relay.port);

  files.put('relay', certificate());
  await reload(relay, /certificates replaced/);
  const after = await servedSerial(t, relay.port);
  t.not(after, before);
  t.equal((await askOver(undecided)).status, 200, 'who came before the reload is served behind it');
  const other = await openClient(t, url, { webSocket: trusting });
  await other.publish('room', 'across');
  await reader.until(({ messages }) => messages.length === 1);
  t.same([reader.payloads, states], [['across'], []], 'old and new connections are of one relay');

  await reload(relay, /nothing has changed/);
  t.equal(await servedSerial(t, relay.port), after);
});

t.test('SIGHUP with bad files: the old certificate stays, the log says all that is wrong, and a metric counts', async (t) => {
  const { relay, files } = await startTls(t);
  const before = await servedSerial(t, relay.port);
  files.write('relay.pem', new TestCertificate({ toMs: Date.now() - 1 }).pem);
  const line = await reload(relay, /the old ones stay/);
  t.match(line, /relay\.key is not the key of tlsCertFile .*relay\.pem/);
  t.match(line, /has expired/);
  rmSync(files.path('relay.key'));
  t.match(await reload(relay, /the old ones stay/), /relay\.key cannot be read/);
  t.equal(await servedSerial(t, relay.port), before);
  t.equal(await relay.metric('relay_tls_reloads_failed_total'), 2);
  files.put('relay', certificate());
  await reload(relay, /certificates replaced/);
  t.not(await servedSerial(t, relay.port), before);
});

t.test(
  'reloads under load: nobody is turned away, and nobody is served a certificate that is not the latest for long',
  async (t) => {
    const { relay, files } = await startTls(t, { connectRatePerSecond: 100_000 });
    let isDone = false;
    let served = 0;
    const knocking = Array.from({ length: 8 }, async () => {
      while (!isDone) {
        const answer = await askOver(await handshake(t, relay.port));
        if (answer.status !== 200) throw new Error(`status ${answer.status}`);
        served++;
      }
    });
    const all = Promise.all(knocking);
    for (let round = 0; round < 10; round++) {
      files.put('relay', certificate());
      await Promise.race([reload(relay, /certificates replaced/), all]);
    }
    isDone = true;
    await all;
    t.ok(served > 0, `${served} requests were served meanwhile`);
  },
);

t.test('the drain reaches connections of every certificate', async (t) => {
  const { relay, files } = await startTls(t, { drainWindowMs: 0, drainDeadlineMs: 2_000 });
  const url = `wss://localhost:${relay.port}`;
  const early = await openClient(t, url, { webSocket: trusting });
  files.put('relay', certificate());
  await reload(relay, /certificates replaced/);
  const late = await openClient(t, url, { webSocket: trusting });
  const left = [untilState(early, 'waiting'), untilState(late, 'waiting')];
  t.same(await relay.terminate(), { code: 0, signal: null });
  await Promise.all(left);
});

t.test('what cannot be served does not start: exit code 2 and everything that is wrong, with its file', async (t) => {
  const files = new Files(t);
  files.put('old', certificate(undefined, -1));
  files.put('other', certificate());
  const names = [{ name: 'one.example.org', certFile: files.path('none.pem'), keyFile: files.path('other.key') }];
  const flags = [
    `--tls-cert-file=${files.path('old.pem')}`,
    `--tls-key-file=${files.path('other.key')}`,
    `--tls-server-names=${JSON.stringify(names)}`,
  ];
  for (const command of [
    ['serve', '--port=0', '--ops-port=0'],
    ['config', 'check'],
  ]) {
    const program = relayProgram(t, [...command, ...flags]);
    t.same(await program.exited, { code: 2, signal: null });
    const said = program.stderr.all.join('\n');
    t.match(said, /other\.key is not the key of tlsCertFile .*old\.pem/);
    t.match(said, /old\.pem: certificate 1 \(CN=localhost\) has expired/);
    t.match(said, /tlsServerNames\[0\]\.certFile .*none\.pem cannot be read: ENOENT/);
  }
  const half = relayProgram(t, ['config', 'check', `--tls-cert-file=${files.path('other.pem')}`]);
  t.same((await half.exited).code, 2);
  t.match(half.stderr.all.join('\n'), /tlsCertFile and tlsKeyFile must be given together/);
});

t.test('a certificate that ends soon is served, and the log says so', async (t) => {
  const files = new Files(t);
  files.put('relay', certificate(undefined, 5));
  const relay = await startRelay(t, files.settings());
  t.match(relay.program.stderr.all.join('\n'), /relay\.pem: certificate 1 \(CN=localhost\) expires at .*a certificate ends soon/);
});

for (const keyType of ['rsa2048', 'ed25519'] as const)
  t.test(`a ${keyType} key, encrypted, is served`, async (t) => {
    const files = new Files(t);
    const served = new TestCertificate({ keyType, issuer: authority });
    const relay = await startRelay(t, {
      tlsCertFile: files.write('relay.pem', served.pem),
      tlsKeyFile: files.write('relay.key', served.encryptedKeyPem('open sesame')),
      tlsPassphraseFile: files.write('pass.txt', 'open sesame\n'),
    });
    t.equal((await askOver(await handshake(t, relay.port))).status, 200);
  });

t.test('HTTP over TLS by a client that keeps its own rules', async (t) => {
  const { relay } = await startTls(t);
  const status = await new Promise((resolve, reject) => {
    const options = { host: 'localhost', port: relay.port, path: '/v1/publish?topic=room', method: 'POST', ca: authority.pem };
    const sent = request({ ...options, headers: { 'Content-Type': 'application/json' } }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    sent.on('error', reject);
    sent.end('{"n": 1}');
  });
  t.equal(status, 200);
});
