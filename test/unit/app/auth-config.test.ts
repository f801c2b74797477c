/** The settings of authentication: when a relay may start, what is wrong said at once, and secrets never. */
import t from 'tap';
import { startWarnings } from '../../../src/app/auth-log.ts';
import { type ConfigInput, loadConfig, type RelayConfig, renderConfig } from '../../../src/app/config.ts';
import { testKey } from '../../support/tokens.ts';

const SECRET = 'an-example-of-a-secret-of-32-bytes';
const OPS_TOKEN = 'a-token-for-operators';
const KEYS = JSON.stringify([{ alg: 'HS256', secret: SECRET }]);
const FILES: Readonly<Record<string, string>> = {
  'keys.json': KEYS,
  'bad-keys.json': JSON.stringify([{ alg: 'HS257', secret: SECRET }, { alg: 'HS512', secret: SECRET }]),
  'ops-token': `${OPS_TOKEN}\n`,
  'short-token': 'short\n',
  'revocations.json': '{"version": 1, "revocations": []}',
  'bad-revocations.json': '{"version": 1, "revocations": [1]}',
};

function readFile(path: string): string {
  const text = FILES[path];
  if (text === undefined) throw Object.assign(new Error(`ENOENT: no such file '${path}'`), { code: 'ENOENT' });
  return text;
}

function load(argv: readonly string[], env: ConfigInput['env'] = {}) {
  return loadConfig({ argv, env, readFile });
}

function valid(argv: readonly string[], env: ConfigInput['env'] = {}): RelayConfig {
  const { config, problems } = load(argv, env);
  if (config === null) throw new Error(problems.join('; '));
  return config;
}

// ---- may it start?

for (const { name, argv } of [
  { name: 'on loopback', argv: [] },
  { name: 'on loopback by name', argv: ['--host=localhost'] },
  { name: 'on loopback, IPv6', argv: ['--host=::1'] },
  { name: 'anywhere with a key file', argv: ['--host=0.0.0.0', '--auth-keys-file=keys.json'] },
  { name: 'anywhere with keys', argv: ['--host=::', `--auth-keys=${KEYS}`] },
  { name: 'anywhere with a key set', argv: ['--host=10.0.0.1', '--jwks-url=https://id.example/keys'] },
  { name: 'anywhere with a hook', argv: ['--host=0.0.0.0', '--auth-hook-url=https://hook.example/', '--anonymous-permissions={}'] },
  { name: 'anywhere, told to', argv: ['--host=0.0.0.0', '--insecure'] },
  { name: 'with an ops port for others and a token', argv: ['--ops-host=0.0.0.0', `--ops-token=${OPS_TOKEN}`] },
  { name: 'with an ops port for others and a token in a file', argv: ['--ops-host=0.0.0.0', '--ops-token-file=ops-token'] },
  { name: 'with no ops port', argv: ['--ops-host=0.0.0.0', '--ops-port=0'] },
]) {
  t.test(`starts ${name}`, async (t) => {
    t.same(load(argv).problems, []);
  });
}

for (const { name, argv, want } of [
  {
    name: 'on all addresses without authentication',
    argv: ['--host=0.0.0.0'],
    want: /^host must be a loopback address, unless one of authKeysFile, authKeys, jwksUrl and authHookUrl is set, or insecure is true: .*may do everything; got host=0\.0\.0\.0 \(--host\), authKeysFile='' \(default\)/,
  },
  { name: 'under a name, whatever it leads to', argv: ['--host=relay.internal'], want: /^host must be a loopback address/ },
  {
    name: 'where only the anonymous have permissions',
    argv: ['--host=0.0.0.0', '--anonymous-permissions={"sub":[">"]}'],
    want: /^host must be a loopback address/,
  },
  {
    name: 'with an ops port for others and no token',
    argv: ['--ops-host=0.0.0.0'],
    want: /^opsHost must be a loopback address, unless opsToken or opsTokenFile is set, or opsPort is 0/,
  },
  { name: 'with an ops port for others, insecure or not', argv: ['--ops-host=::', '--insecure'], want: /^opsHost must be/ },
  {
    name: 'with two ops tokens',
    argv: [`--ops-token=${OPS_TOKEN}`, '--ops-token-file=ops-token'],
    want: /^only one of opsToken and opsTokenFile may be set/,
  },
  { name: 'with a hook that nobody could be asked about at', argv: ['--auth-hook-url=https://hook.example/'], want: /^authHookUrl needs keys/ },
  {
    name: 'with a subscribe hook and nobody known',
    argv: ['--auth-subscribe-hook-url=https://hook.example/'],
    want: /^authSubscribeHookUrl needs keys/,
  },
  {
    name: 'where a decision may take longer than HELLO',
    argv: ['--jwks-url=https://id.example/', '--hello-timeout-ms=5000'],
    want: /^jwksTimeoutMs and authHookTimeoutMs, of what is used, must together be less than helloTimeoutMs/,
  },
  {
    name: 'where old keys could not be asked for',
    argv: ['--jwks-refresh-ms-min=20000', '--jwks-age-ms-max=10000'],
    want: /^jwksRefreshMsMin must be at most jwksAgeMsMax/,
  },
]) {
  t.test(`does not start ${name}`, async (t) => {
    t.match(load(argv).problems, [want]);
  });
}

for (const { argv, want } of [
  { argv: ['--jwks-url=http://id.example/keys'], want: /^--jwks-url must be an https:\/\/ address, an http:\/\/ one of this machine/ },
  { argv: ['--jwks-url=https://user:password@id.example/keys'], want: /^--jwks-url must be/ },
  { argv: ['--jwks-url=file:///etc/keys'], want: /^--jwks-url must be/ },
  { argv: ['--auth-hook-url=http://127.0.0.1.evil.example/'], want: /^--auth-hook-url must be/ },
  { argv: ['--anonymous-permissions=[]'], want: /^--anonymous-permissions must be a map of rights, or null, got '\[\]'/ },
  { argv: ['--anonymous-permissions={"publish":["a"]}'], want: /^--anonymous-permissions: unknown right 'publish'/ },
  { argv: ['--anonymous-permissions={"sub":["user.{sub}"]}'], want: /^--anonymous-permissions: .*the claim 'sub'/ },
  { argv: ['--auth-default-permissions={"sub":["a..b"]}'], want: /^--auth-default-permissions: sub\.allow\[0\] is no pattern/ },
  { argv: ['--ops-token-file=short-token'], want: /^short-token must hold a token of 16 to 512 visible ASCII characters$/ },
  { argv: ['--ops-token-file=missing'], want: /^missing could not be read: ENOENT/ },
  { argv: ['--revocations-file=bad-revocations.json'], want: /^bad-revocations\.json revocations\[0\] is none$/ },
  { argv: ['--auth-keys-file=missing.json'], want: /^missing\.json could not be read: ENOENT/ },
]) {
  t.test(`refuses ${argv.join(' ')}`, async (t) => {
    t.match(load(argv).problems, [want]);
  });
}

t.test('what is well is taken: addresses of this machine, placeholders of tokens, a list that is not there yet', async (t) => {
  const config = valid([
    '--jwks-url=http://127.0.0.1:9000/keys',
    '--auth-default-permissions={"sub":["user.{sub}.>","team.{team}"]}',
    '--revocations-file=not-yet.json',
  ]);
  t.equal(config.jwksUrl, 'http://127.0.0.1:9000/keys');
  t.same(valid(['--revocations-file=revocations.json']).revocationsFile, 'revocations.json');
});

t.test('all that is wrong comes at once: keys, permissions, files, and where it may listen', async (t) => {
  const argv = ['--host=0.0.0.0', '--ops-host=0.0.0.0', '--auth-keys-file=bad-keys.json', '--anonymous-permissions={"pubb":[]}', '--port=x'];
  t.match(load(argv).problems, [
    /^--port must be/,
    /^bad-keys\.json\[0\]: alg must be one of HS256/,
    /^bad-keys\.json\[1\]: the secret has 34 bytes, HS512 needs 64 at least/,
    /^--anonymous-permissions: unknown right 'pubb'/,
    /^opsHost must be/,
  ]);
});

// ---- secrets

t.test('secrets are not printed, and what is printed cannot be taken for them', async (t) => {
  const config = valid([], { RELAY_AUTH_KEYS: KEYS, RELAY_OPS_TOKEN: OPS_TOKEN });
  const printed = renderConfig(config);
  t.notMatch(printed, SECRET);
  t.notMatch(printed, OPS_TOKEN);
  t.match(JSON.parse(printed), { authKeys: '[redacted]', opsToken: '[redacted]' });
  const again = loadConfig({ argv: ['--config', 'printed.json'], env: {}, readFile: () => printed });
  t.match(again.problems, [
    'printed.json: authKeys must be a list of keys, got [redacted]',
    'printed.json: opsToken must be a token of 16 to 512 visible ASCII characters, or empty, got [redacted]',
  ]);
});

t.test('a problem does not quote a secret, whichever it is about', async (t) => {
  const jwk = testKey('ES256').signing.key.export({ format: 'jwk' });
  for (const argv of [
    [`--ops-token=${SECRET} `],
    [`--auth-keys=[{"secret": "${SECRET}"}`],
    [`--auth-keys=[{"secret": "${SECRET}"}]`],
    [`--auth-keys=${JSON.stringify([{ jwk }])}`],
    ['--host=0.0.0.0', `--ops-token=${OPS_TOKEN}`, '--ops-token-file=ops-token'],
  ]) {
    const { problems } = load(argv);
    t.ok(problems.length > 0);
    for (const secret of [SECRET, OPS_TOKEN, jwk.d as string]) t.notMatch(problems.join('\n'), secret);
  }
});

// ---- what is said at the start

t.test('a relay that is open says so, and to whom', async (t) => {
  t.match(startWarnings(valid([])), [/^there is no authentication: every program of this machine may do everything/]);
  t.match(startWarnings(valid(['--host=0.0.0.0', '--insecure'])), [/whoever reaches it \(--insecure\)/]);
  t.same(startWarnings(valid(['--auth-keys-file=keys.json'])), []);
});

t.test('rules that leave more open than they seem to are said', async (t) => {
  t.match(startWarnings(valid(['--jwks-url=https://id.example/'])), [/^tokenAudience is not set/]);
  t.match(startWarnings(valid(['--auth-keys-file=keys.json', '--no-token-exp-required', '--token-lifetime-ms-max=0'])), [/may live for ever/]);
});
