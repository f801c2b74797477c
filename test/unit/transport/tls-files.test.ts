/** Certificates and keys before anything listens: every way in which they can be wrong is told, with its file, all at once. */
import t from 'tap';
import { isServerName, loadTls, type ReadFile, type TlsSettings } from '../../../src/transport/tls-files.ts';
import { TestCertificate } from '../../support/certificates.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2030, 0, 1);
const VALID = { fromMs: NOW_MS - DAY_MS, toMs: NOW_MS + 100 * DAY_MS };
const NO_TLS: TlsSettings = { tlsCertFile: '', tlsKeyFile: '', tlsPassphraseFile: '', tlsServerNames: [] };
const TLS: TlsSettings = { ...NO_TLS, tlsCertFile: 'cert.pem', tlsKeyFile: 'key.pem' };

const root = new TestCertificate({ subject: 'root', names: [], isAuthority: true, ...VALID });
const issuing = new TestCertificate({ subject: 'issuing', names: [], isAuthority: true, issuer: root, ...VALID });
const server = new TestCertificate({ names: ['relay.example.org', '*.relay.example.org'], issuer: issuing, ...VALID });
const other = new TestCertificate({ names: ['other.example.org'], ...VALID });

function load(files: Readonly<Record<string, string>>, settings: TlsSettings = TLS, nowMs = NOW_MS) {
  const readFile: ReadFile = (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: no such file '${path}'`);
    return text;
  };
  return loadTls(settings, readFile, nowMs);
}

t.test('without TLS nothing is read', async (t) => {
  t.match(load({}, NO_TLS), { certificates: [], problems: [], warnings: [] });
});

t.test('a certificate alone, with its issuers, and up to the root are all served', async (t) => {
  for (const chain of [server.pem, server.pem + issuing.pem, server.pem + issuing.pem + root.pem]) {
    const { certificates, problems, warnings } = load({ 'cert.pem': `some text before\n${chain}`, 'key.pem': server.keyPem });
    t.same({ problems, warnings }, { problems: [], warnings: [] });
    t.match(certificates, [
      { serverName: '', certFile: 'cert.pem', keyFile: 'key.pem', passphrase: null, expiresAtMs: VALID.toMs },
    ]);
  }
});

for (const keyType of ['rsa2048', 'ed25519', 'p256'] as const)
  t.test(`a key of the kind ${keyType} is served`, async (t) => {
    const certificate = new TestCertificate({ keyType, ...VALID });
    t.same(load({ 'cert.pem': certificate.pem, 'key.pem': certificate.keyPem }).problems, []);
  });

for (const { keyType, problem } of [
  { keyType: 'rsa1024', problem: 'tlsKeyFile key.pem is an RSA key of 1024 bits: 2048 are the least' },
  { keyType: 'secp256k1', problem: /^tlsKeyFile key\.pem is a key on the curve secp256k1: prime256v1, / },
] as const)
  t.test(`a key of the kind ${keyType} is refused`, async (t) => {
    const certificate = new TestCertificate({ keyType, ...VALID });
    t.match(load({ 'cert.pem': certificate.pem, 'key.pem': certificate.keyPem }).problems, [problem]);
  });

const PAIR = { 'cert.pem': server.pem, 'key.pem': server.keyPem };
for (const { name, files, want } of [
  { name: 'no certificate file', files: { 'key.pem': server.keyPem }, want: [/^tlsCertFile cert\.pem cannot be read: ENOENT/] },
  { name: 'no key file', files: { 'cert.pem': server.pem }, want: [/^tlsKeyFile key\.pem cannot be read: ENOENT/] },
  {
    name: 'neither',
    files: {},
    want: [/^tlsCertFile cert\.pem cannot be read/, /^tlsKeyFile key\.pem cannot be read/],
  },
  {
    name: 'the files the other way round',
    files: { 'cert.pem': server.keyPem, 'key.pem': server.pem },
    want: [
      'tlsCertFile cert.pem holds no certificate in PEM (it holds a private key)',
      'tlsKeyFile key.pem holds no private key in PEM',
    ],
  },
  { name: 'DER', files: { ...PAIR, 'cert.pem': '0\u0082\u0001' }, want: [/holds no certificate in PEM \(DER can be converted/] },
  { name: 'an empty file', files: { ...PAIR, 'cert.pem': '' }, want: [/holds no certificate in PEM/] },
  {
    name: 'a certificate cut short',
    files: { ...PAIR, 'cert.pem': server.pem.replace(/\n.*\n-----END/, '\n-----END') },
    want: [/^tlsCertFile cert\.pem: certificate 1 cannot be parsed: /],
  },
  {
    name: 'the second certificate broken',
    files: { ...PAIR, 'cert.pem': `${server.pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` },
    want: [/certificate 2 cannot be parsed/],
  },
  {
    name: 'a broken key',
    files: { ...PAIR, 'key.pem': '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' },
    want: [/^tlsKeyFile key\.pem cannot be parsed: /],
  },
  {
    name: 'the key of another certificate',
    files: { ...PAIR, 'key.pem': other.keyPem },
    want: ['tlsKeyFile key.pem is not the key of tlsCertFile cert.pem'],
  },
  {
    name: 'the issuer first',
    files: { ...PAIR, 'cert.pem': issuing.pem + server.pem },
    want: [
      'tlsCertFile cert.pem: the certificate of the key must come first, it is certificate 2',
      /certificate 1 \(CN=issuing\) is not issued by the one behind it \(CN=relay\.example\.org\)/,
    ],
  },
  {
    name: 'an issuer left out',
    files: { ...PAIR, 'cert.pem': server.pem + root.pem },
    want: [/certificate 1 \(CN=relay\.example\.org\) is not issued by the one behind it \(CN=root\)/],
  },
  {
    name: 'an issuer of the same name with another key',
    files: {
      ...PAIR,
      'cert.pem': server.pem + new TestCertificate({ subject: 'issuing', names: [], isAuthority: true, ...VALID }).pem,
    },
    want: [/certificate 1 .* is not issued by the one behind it \(CN=issuing\)/],
  },
])
  t.test(`refused: ${name}`, async (t) => {
    const { problems } = load(files);
    t.match(problems, want);
    t.equal(problems.length, want.length, `no more than that: ${problems.join('\n')}`);
  });

for (const { name, fromMs, toMs, problems, warnings } of [
  { name: 'has ended', fromMs: NOW_MS - 2, toMs: NOW_MS, problems: [/has expired at 2030-01-01/], warnings: [] },
  {
    name: 'has not begun',
    fromMs: NOW_MS + 1_000,
    toMs: NOW_MS + DAY_MS,
    problems: [/is not valid before 2030-01-01/],
    warnings: [],
  },
  { name: 'ends in 13 days', fromMs: NOW_MS - 2, toMs: NOW_MS + 13 * DAY_MS, problems: [], warnings: [/expires at 2030-01-14/] },
  { name: 'ends in 15 days', fromMs: NOW_MS - 2, toMs: NOW_MS + 15 * DAY_MS, problems: [], warnings: [] },
])
  t.test(`a certificate that ${name}`, async (t) => {
    const leaf = new TestCertificate({ names: ['relay.example.org'], fromMs, toMs });
    const loaded = load({ 'cert.pem': leaf.pem, 'key.pem': leaf.keyPem });
    t.match(loaded.problems, problems);
    t.match(loaded.warnings, warnings);
    t.same([loaded.problems.length, loaded.warnings.length], [problems.length, warnings.length]);
  });

t.test('an issuer that ends first is when it ends for clients', async (t) => {
  const ending = new TestCertificate({ subject: 'ending', names: [], isAuthority: true, fromMs: 0, toMs: NOW_MS + 3 * DAY_MS });
  const leaf = new TestCertificate({ names: ['relay.example.org'], issuer: ending, ...VALID });
  const { certificates, warnings } = load({ 'cert.pem': leaf.pem + ending.pem, 'key.pem': leaf.keyPem });
  t.equal(certificates[0]?.expiresAtMs, NOW_MS + 3 * DAY_MS);
  t.match(warnings, [/certificate 2 \(CN=ending\) expires/]);
});

t.test('an encrypted key and its passphrase', async (t) => {
  const files = { 'cert.pem': server.pem, 'key.pem': server.encryptedKeyPem('open sesame') };
  const settings = { ...TLS, tlsPassphraseFile: 'pass.txt' };
  t.match(load(files).problems, ['tlsKeyFile key.pem is encrypted: tlsPassphraseFile must name the file of its passphrase']);
  for (const text of ['open sesame', 'open sesame\n', 'open sesame\r\n'])
    t.match(load({ ...files, 'pass.txt': text }, settings), { problems: [], certificates: [{ passphrase: 'open sesame' }] });
  t.match(load({ ...files, 'pass.txt': 'wrong' }, settings).problems, [
    /cannot be parsed: .*does tlsPassphraseFile hold its passphrase\?/,
  ]);
  t.match(load(files, settings).problems, [/^tlsPassphraseFile pass\.txt cannot be read/]);
});

t.test('certificates by server name: each with its own problems, all at once', async (t) => {
  const files = { ...PAIR, 'other.pem': other.pem, 'other.key': other.keyPem };
  const named = (name: string, certFile = 'other.pem', keyFile = 'other.key') => ({ name, certFile, keyFile });
  const good = load(files, { ...TLS, tlsServerNames: [named('other.example.org')] });
  t.same(good.problems, []);
  t.match(good.certificates, [{ serverName: '' }, { serverName: 'other.example.org', certFile: 'other.pem' }]);
  const wildcard = { ...TLS, tlsServerNames: [named('*.relay.example.org', 'cert.pem', 'key.pem')] };
  t.same(load(files, wildcard).problems, []);
  const bad = load(files, {
    ...TLS,
    tlsServerNames: [
      named('other.example.org'),
      named('other.example.org'),
      named('third.example.org'),
      named('other.example.org', 'none.pem'),
      named('*.other.example.org', 'other.pem', 'key.pem'),
    ],
  });
  t.match(bad.problems, [
    'tlsServerNames[1].name: other.example.org is there twice',
    /^tlsServerNames\[2\]\.certFile other\.pem is not for third\.example\.org: its names are DNS:other\.example\.org/,
    'tlsServerNames[3].name: other.example.org is there twice',
    /^tlsServerNames\[3\]\.certFile none\.pem cannot be read/,
    'tlsServerNames[4].keyFile key.pem is not the key of tlsServerNames[4].certFile other.pem',
    /is not for \*\.other\.example\.org/,
  ]);
});

t.test('the digest says whether anything has changed', async (t) => {
  const digest = (files: Readonly<Record<string, string>>): string | undefined => load(files).certificates[0]?.digest;
  t.equal(digest(PAIR), digest({ ...PAIR }));
  t.not(digest(PAIR), digest({ ...PAIR, 'cert.pem': server.pem + issuing.pem }));
  t.not(digest(PAIR), digest({ ...PAIR, 'key.pem': `${server.keyPem}\n` }));
});

for (const name of ['relay.example.org', '*.example.org', 'localhost', 'xn--bcher-kva.example', 'a1.b-2.c'])
  t.test(`${name} is a server name`, async (t) => t.ok(isServerName(name)));
for (const name of [
  '',
  '*',
  'Relay.example.org',
  '192.0.2.1',
  'a..b',
  'a.*.b',
  '-a.b',
  'a-.b',
  'relay:443',
  'bücher.example',
  '::1',
  `${'a'.repeat(64)}.b`,
])
  t.test(`'${name}' is no server name`, async (t) => t.notOk(isServerName(name)));
