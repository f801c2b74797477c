/** The settings of TLS, origins and proxies: how they are written, what is refused, and what is told of the files that they name. */
import t from 'tap';
import { type ConfigInput, loadConfig } from '../../../src/app/config.ts';
import { TestCertificate } from '../../support/certificates.ts';

const NOW_MS = Date.UTC(2030, 0, 1);
const DAY_MS = 86_400_000;
const certificate = new TestCertificate({ names: ['relay.example.org'], fromMs: NOW_MS - DAY_MS, toMs: NOW_MS + 90 * DAY_MS });
const FILES: Readonly<Record<string, string>> = { 'cert.pem': certificate.pem, 'key.pem': certificate.keyPem };

function load(env: ConfigInput['env'], files = FILES, nowMs = NOW_MS) {
  const readFile = (path: string): string => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: no such file '${path}'`);
    return text;
  };
  return loadConfig({ argv: [], env, readFile, nowMs });
}

const TLS = { RELAY_TLS_CERT_FILE: 'cert.pem', RELAY_TLS_KEY_FILE: 'key.pem' };
const NAMED = { name: 'relay.example.org', certFile: 'cert.pem', keyFile: 'key.pem' };

for (const { name, env, want } of [
  { name: 'no TLS', env: {}, want: { tlsCertFile: '', tlsServerNames: [], allowedOrigins: [], trustedProxies: [] } },
  { name: 'TLS', env: TLS, want: { tlsCertFile: 'cert.pem', tlsKeyFile: 'key.pem' } },
  {
    name: 'server names as JSON',
    env: { ...TLS, RELAY_TLS_SERVER_NAMES: JSON.stringify([NAMED]) },
    want: { tlsServerNames: [NAMED] },
  },
  {
    name: 'lists with commas',
    env: { RELAY_ALLOWED_ORIGINS: 'https://a.example, https://*.b.example', RELAY_TRUSTED_PROXIES: '10.0.0.0/8,fd00::/8' },
    want: { allowedOrigins: ['https://a.example', 'https://*.b.example'], trustedProxies: ['10.0.0.0/8', 'fd00::/8'] },
  },
  {
    name: 'lists as JSON',
    env: { RELAY_ALLOWED_ORIGINS: '["https://a.example"]', RELAY_TRUSTED_PROXIES: '[]' },
    want: { allowedOrigins: ['https://a.example'], trustedProxies: [] },
  },
])
  t.test(`taken: ${name}`, async (t) => {
    const { config, problems } = load(env);
    t.same(problems, []);
    t.match(config, want);
  });

const ORIGINS = 'a list of origins such as https://app.example.org or https://*.example.org';
const NETWORKS = 'a list of networks such as 10.0.0.0/8, fd00::/8 or 192.0.2.7';
const NAMES = 'a list of {name, certFile, keyFile, passphraseFile?} with names such as relay.example.org or *.example.org';

for (const { name, env, want } of [
  {
    name: 'an origin with a path',
    env: { RELAY_ALLOWED_ORIGINS: 'https://a.example/' },
    want: [`RELAY_ALLOWED_ORIGINS must be ${ORIGINS}, got 'https://a.example/'`],
  },
  {
    name: 'any origin by a star',
    env: { RELAY_ALLOWED_ORIGINS: '*' },
    want: [`RELAY_ALLOWED_ORIGINS must be ${ORIGINS}, got '*'`],
  },
  {
    name: 'broken JSON',
    env: { RELAY_ALLOWED_ORIGINS: '["https://a.example"' },
    want: [/^RELAY_ALLOWED_ORIGINS must be a list/],
  },
  {
    name: 'a network that is none',
    env: { RELAY_TRUSTED_PROXIES: '10.0.0.0/33' },
    want: [`RELAY_TRUSTED_PROXIES must be ${NETWORKS}, got '10.0.0.0/33'`],
  },
  {
    name: 'a proxy by its name',
    env: { RELAY_TRUSTED_PROXIES: 'proxy.example' },
    want: [/^RELAY_TRUSTED_PROXIES must be a list/],
  },
  {
    name: 'a server name that is an address',
    env: { ...TLS, RELAY_TLS_SERVER_NAMES: JSON.stringify([{ ...NAMED, name: '192.0.2.1' }]) },
    want: [/^RELAY_TLS_SERVER_NAMES must be a list/],
  },
  {
    name: 'a server name without a key',
    env: { ...TLS, RELAY_TLS_SERVER_NAMES: '[{"name":"a.example","certFile":"cert.pem"}]' },
    want: [`RELAY_TLS_SERVER_NAMES must be ${NAMES}, got '[{"name":"a.example","certFile":"cert.pem"}]'`],
  },
  {
    name: 'a server name with a misspelt key',
    env: { ...TLS, RELAY_TLS_SERVER_NAMES: JSON.stringify([{ ...NAMED, passphrase: 'x' }]) },
    want: [/^RELAY_TLS_SERVER_NAMES must be a list/],
  },
  {
    name: 'a certificate without a key',
    env: { RELAY_TLS_CERT_FILE: 'cert.pem' },
    want: [/^tlsCertFile and tlsKeyFile must be given together: .*tlsCertFile=cert\.pem \(RELAY_TLS_CERT_FILE\)/],
  },
  {
    name: 'server names without a certificate',
    env: { RELAY_TLS_SERVER_NAMES: JSON.stringify([NAMED]) },
    want: [/^tlsServerNames must not be given without tlsCertFile/],
  },
  {
    name: 'a passphrase without a key',
    env: { RELAY_TLS_PASSPHRASE_FILE: 'pass' },
    want: [/^tlsPassphraseFile must not be given without tlsKeyFile/],
  },
  {
    name: 'files that are not there',
    env: { RELAY_TLS_CERT_FILE: 'a.pem', RELAY_TLS_KEY_FILE: 'b.pem' },
    want: [/^tlsCertFile a\.pem cannot be read: ENOENT/, /^tlsKeyFile b\.pem cannot be read: ENOENT/],
  },
] as const)
  t.test(`refused: ${name}`, async (t) => {
    const { config, problems } = load(env);
    t.equal(config, null);
    t.match(problems, want);
    t.equal(problems.length, want.length, problems.join('\n'));
  });

t.test('the certificate is judged at the time of the start', async (t) => {
  t.match(load(TLS, FILES, NOW_MS + 91 * DAY_MS).problems, [/^tlsCertFile cert\.pem: certificate 1 .* has expired/]);
  t.match(load(TLS, FILES, NOW_MS - 2 * DAY_MS).problems, [/is not valid before/]);
});
