/** Who comes in, by real processes: keys from files and from an endpoint, tokens by the command line, rotation, revocation, restarts, and the ops token. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { JsonServer, json, text } from '../support/json-server.ts';
import { ERROR, HELLO, OK, RawClient, SUBSCRIBE } from '../support/raw-client.ts';
import { freePort, type RelayProcess, type RelaySettings, relayProgram, startRelay } from '../support/relay-process.ts';
import { testKey } from '../support/tokens.ts';

const OPS_TOKEN = 'a-token-for-operators';
/** Whoever is connected when the relay is told to stop. */
const AT_ONCE = { drainWindowMs: 0, drainDeadlineMs: 0 };
const seconds = (): number => Math.floor(Date.now() / 1_000);
const claims = (subject: string, more: object = {}): Record<string, unknown> => ({
  sub: subject,
  iat: seconds(),
  exp: seconds() + 600,
  relay: { sub: ['room.>'], pub: ['room.>'] },
  ...more,
});

/** `relay …`, to its end; what it printed. */
async function run(t: Test, args: readonly string[], env: Record<string, string> = {}, input = '') {
  const program = relayProgram(t, args, { env, input });
  const { code } = await program.exited;
  return { code, out: program.stdout.all.join('\n'), err: program.stderr.all.join('\n') };
}

/** Says HELLO with a token; the answer, and the code of the close where it was none. */
async function hello(t: Test, relay: RelayProcess, token: string | null) {
  const client = await RawClient.open(t, relay.port, { hello: false });
  const answer = await client.request(HELLO, token === null ? {} : { token });
  if (answer[0] === OK) return { client, subject: (answer[2] as { subject: string }).subject, error: null, closed: null };
  return { client, subject: null, error: answer[2] as number, closed: (await client.closed).code };
}

const keysFile = (t: Test, ...keys: readonly { entry: object }[]): string => {
  const path = `${t.testdir({})}/keys.json`;
  writeFileSync(path, JSON.stringify(keys.map(({ entry }) => entry)));
  return path;
};

t.test('a relay that others could reach does not start without keys, and says what to set', async (t) => {
  const ports = ['--port', `${await freePort()}`, '--ops-port', '0'];
  const refused = await run(t, ['serve', '--host', '0.0.0.0', ...ports]);
  t.equal(refused.code, 2);
  t.match(
    refused.err,
    /host must be a loopback address, unless one of authKeysFile, authKeys, jwksUrl and authHookUrl is set, or insecure is true/,
  );
  t.equal((await run(t, ['config', 'check', '--host', '0.0.0.0'])).code, 2, 'relay config check says it too');
  const relay = await startRelay(t, { host: '0.0.0.0', insecure: true });
  t.match(relay.program.stderr.all.join('\n'), /there is no authentication: whoever reaches it \(--insecure\)/);
  t.equal((await hello(t, relay, null)).error, null);
});

t.test('on loopback it starts, and warns', async (t) => {
  const relay = await startRelay(t);
  t.match(relay.program.stderr.all.join('\n'), /"level":"warn".*there is no authentication: every program of this machine/);
});

t.test('by the command line alone: a key, a token, a relay that takes it, and one that is told why not', async (t) => {
  const folder = t.testdir({});
  const [issuer, keys] = [`${folder}/issuer.jwk`, `${folder}/keys.json`];
  t.same(await run(t, ['token', 'keygen', '--private', issuer, '--keys', keys]), { code: 0, out: '', err: '' });
  t.equal((await run(t, ['token', 'keygen', '--private', issuer])).code, 2, 'never over another key');
  const issue = [
    'token',
    'issue',
    '--key',
    issuer,
    '--sub',
    'ann',
    '--aud',
    'relay',
    '--subscribe',
    'room.>',
    '--pub',
    'room.{sub}',
  ];
  const { out: token } = await run(t, issue);
  const settings: RelaySettings = { authKeysFile: keys, tokenAudience: 'relay' };
  const verify = ['--auth-keys-file', keys, '--token-audience', 'relay'];

  const verified = await run(t, ['token', 'verify', '-', ...verify], {}, `${token}\n`);
  t.match(JSON.parse(verified.out), { subject: 'ann', permissions: { sub: ['room.>'], pub: ['room.ann'] } });
  const inspected = JSON.parse((await run(t, ['token', 'inspect', token])).out);
  t.match(inspected, { header: { alg: 'ES256' }, claims: { sub: 'ann', aud: 'relay' }, problems: [], expires: /Z$/ });
  const { out: other } = await run(t, [...issue.slice(0, -6), '--aud', 'billing']);
  t.match(await run(t, ['token', 'verify', other, ...verify]), {
    code: 1,
    err: /refused: the token is for another audience \(101/,
  });

  const relay = await startRelay(t, settings);
  t.match(await hello(t, relay, token), { subject: 'ann' });
  t.match(await hello(t, relay, other), { error: 101, closed: 4501 });
  t.match(await hello(t, relay, null), { error: 101, closed: 4501 });
  const url = relay.url;
  const pub = await run(t, ['pub', '--url', url, 'room.ann', 'hello'], { RELAY_TOKEN: token });
  t.equal(pub.code, 0, pub.err);
  t.match(await run(t, ['pub', '--url', url, 'room.bob', 'hello'], { RELAY_TOKEN: token }), { code: 1, err: /102 FORBIDDEN/ });
  t.equal(await relay.metric('relay_auth_denied_total', 'reason="audience"'), 1);
  t.equal(await relay.metric('relay_auth_denied_total', 'reason="missing"'), 1);
  t.ok((await relay.metric('relay_auth_accepted_total', 'kind="token"')) >= 3);
});

t.test('over HTTP each request brings its token, and a token that was seen is known', async (t) => {
  const key = testKey('HS256');
  const relay = await startRelay(t, { authKeysFile: keysFile(t, key) });
  const publish = async (token: string | null, topic: string) => {
    const headers = { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
    return (await fetch(`http://127.0.0.1:${relay.port}/v1/publish?topic=${topic}`, { method: 'POST', body: '1', headers }))
      .status;
  };
  const token = await key.sign(claims('backend'));
  t.same([await publish(token, 'room.1'), await publish(token, 'room.1'), await publish(token, 'other')], [200, 200, 403]);
  t.same([await publish(null, 'room.1'), await publish(`${token}x`, 'room.1')], [401, 401]);
  t.equal(await relay.metric('relay_auth_tokens_cached_total'), 2);
});

t.test('keys are rotated by SIGHUP: nobody is disconnected, and a file that is not valid changes nothing', async (t) => {
  const [one, two] = [testKey('ES256', 'one'), testKey('ES256', 'two')];
  const path = keysFile(t, one);
  const relay = await startRelay(t, { authKeysFile: path });
  const { client } = await hello(t, relay, await one.sign(claims('ann')));
  t.match(await hello(t, relay, await two.sign(claims('bob'))), { error: 101 });

  const reload = async (content: string, line: RegExp): Promise<void> => {
    writeFileSync(path, content);
    const from = relay.program.stderr.all.length;
    relay.program.kill('SIGHUP');
    await relay.program.stderr.find(line, from);
  };
  await reload('[{"alg": "ES256"}]', /"msg":"the keys were not reloaded; those from before stay in use"/);
  t.match(await hello(t, relay, await one.sign(claims('ann'))), { subject: 'ann' });
  await reload(JSON.stringify([two.entry]), /"msg":"keys reloaded"/);
  t.match(await hello(t, relay, await two.sign(claims('bob'))), { subject: 'bob' });
  t.match(await hello(t, relay, await one.sign(claims('ann'))), { error: 101 });
  t.equal((await client.request(SUBSCRIBE, 'room.1', null))[0], OK, 'who is in stays in');
  t.equal(await relay.metric('relay_auth_key_reloads_total', 'result="failed"'), 1);
});

t.test('with a key set: not ready before there are keys, then in; and in on the old ones when the endpoint goes', async (t) => {
  const key = testKey('RS256');
  const server = await JsonServer.open(t, text('not yet', 503));
  const relay = await startRelay(t, { jwksUrl: server.url, tokenAudience: 'relay', jwksRefreshMsMin: 1_000 });
  t.match(await relay.readiness(), { status: 503, text: /"name":"keys","ok":false/ });
  t.match(await (await fetch(`http://127.0.0.1:${relay.opsPort}/metrics`)).text(), /^relay_auth_jwks_age_seconds \+Inf$/m);
  const token = await key.sign(claims('ann', { aud: 'relay' }));
  t.match(await hello(t, relay, token), { error: 106, closed: 4101 }, 'later, and not never');
  server.answer = json({ keys: [key.jwk] });
  await relay.program.stderr.find(/"msg":"key set read"/);
  t.match(await hello(t, relay, token), { subject: 'ann' });
  t.equal((await relay.readiness()).status, 200);
  server.close();
  t.match(await hello(t, relay, await key.sign(claims('bob', { aud: 'relay' }))), { subject: 'bob' });
  t.match(await hello(t, relay, await testKey('RS256', 'new').sign(claims('ann', { aud: 'relay' }))), {
    error: 106,
    closed: 4101,
  });
});

t.test('revoked: open sessions end with 4505, the token is refused, and a restart forgets nothing', async (t) => {
  const key = testKey('HS256');
  const folder = t.testdir({});
  const settings = { authKeysFile: `${folder}/keys.json`, revocationsFile: `${folder}/revoked.json`, ...AT_ONCE };
  writeFileSync(settings.authKeysFile, JSON.stringify([key.entry]));
  const relay = await startRelay(t, settings);
  const ann = await key.sign(claims('ann', { jti: 'a1', iat: seconds() - 10 }));
  const bob = await key.sign(claims('bob', { jti: 'b1', iat: seconds() - 10 }));
  const [first, second, third] = await Promise.all([ann, ann, bob].map((token) => hello(t, relay, token)));
  const revoke = async (...args: string[]) => run(t, ['revoke', '--ops-url', `127.0.0.1:${relay.opsPort}`, ...args]);

  const answer = await revoke('--subject', 'ann');
  t.match(JSON.parse(answer.out), { revocation: { kind: 'subject', subject: 'ann' }, sessionsClosed: 2, saved: true });
  t.match(await Promise.all([first?.client.closed, second?.client.closed]), [{ code: 4505 }, { code: 4505 }]);
  t.match(await hello(t, relay, ann), { error: 101, closed: 4501 });
  t.equal((await third?.client.request(SUBSCRIBE, 'room.1', null))?.[0], OK, 'others do not notice');
  t.match(
    await hello(t, relay, await key.sign(claims('ann', { iat: seconds() + 2 }))),
    { subject: 'ann' },
    'a later token is good',
  );

  t.match(JSON.parse((await revoke('--token-id', 'b1')).out), { sessionsClosed: 1 });
  t.equal((JSON.parse((await revoke('--list')).out) as { count: number }).count, 2);
  t.match(await revoke('--issued-before', '2999-01-01'), { code: 1, err: /it answers 400: .*must not be in the future/ });
  t.match(await revoke(), { code: 2, err: /one of --token-id, --subject and --issued-before must be given/ });
  await relay.terminate();

  const again = await startRelay(t, settings);
  for (const token of [ann, bob]) t.match(await hello(t, again, token), { error: 101, closed: 4501 });
  await again.terminate();
  writeFileSync(settings.revocationsFile, '{"version": 1, "revocations": [{}]}');
  const refused = await run(t, ['config', 'check', `--revocations-file=${settings.revocationsFile}`]);
  t.match(refused, { code: 2, err: /revocations\[0\] is none/ });
});

t.test('the hooks decide, and without an answer nobody comes in', async (t) => {
  const key = testKey('HS256');
  const hook = await JsonServer.open(t, (response, asked) => {
    const { subject, topic = '' } = JSON.parse(asked.body) as { subject: string; topic?: string };
    json({ allow: subject !== 'mallory' && !topic.includes('secret'), reason: 'house rules' })(response, asked);
  });
  const settings = { authKeysFile: keysFile(t, key), authHookUrl: hook.url, authSubscribeHookUrl: `${hook.url}subscribe` };
  const relay = await startRelay(t, { ...settings, authHookCacheMs: 0 });
  const { client } = await hello(t, relay, await key.sign(claims('ann')));
  t.equal((await client.request(SUBSCRIBE, 'room.1', null))[0], OK);
  t.match(await client.request(SUBSCRIBE, 'room.secret', null), [ERROR, Number, 102, String, { reason: 'house rules' }]);
  t.match(await hello(t, relay, await key.sign(claims('mallory'))), { error: 102, closed: 4502 });
  t.match(hook.asked[0], { path: '/', body: /"subject":"ann"/ });
  t.notMatch(JSON.stringify(hook.asked), 'eyJ', 'no token is told to anybody');
  hook.close();
  t.match(await hello(t, relay, await key.sign(claims('bob'))), { error: 106, closed: 4101 });
  t.match(await client.request(SUBSCRIBE, 'room.2', null), [ERROR, Number, 106]);
});

t.test('the anonymous may what they are given, and no more', async (t) => {
  const relay = await startRelay(t, { authKeysFile: keysFile(t, testKey('HS256')), anonymousPermissions: { sub: ['news.>'] } });
  const { client, subject } = await hello(t, relay, null);
  t.equal(subject, 'anonymous');
  t.equal((await client.request(SUBSCRIBE, 'news.1', null))[0], OK);
  t.match(await client.request(SUBSCRIBE, 'room.1', null), [ERROR, Number, 102]);
});

t.test(
  'the ops token: health without it, nothing else; commands have it from a variable, and it is changed without a restart',
  async (t) => {
    const keys = keysFile(t, testKey('HS256'));
    const path = `${dirname(keys)}/ops-token`;
    writeFileSync(path, `${OPS_TOKEN}\n`);
    const relay = await startRelay(t, { opsTokenFile: path, authKeysFile: keys });
    const status = async (path: string, token?: string): Promise<number> =>
      (
        await fetch(
          `http://127.0.0.1:${relay.opsPort}${path}`,
          token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
        )
      ).status;
    t.same([await status('/readyz'), await status('/metrics'), await status('/metrics', OPS_TOKEN)], [200, 401, 200]);
    const top = ['top', '--once', '--ops', `127.0.0.1:${relay.opsPort}`];
    t.match(await run(t, top), { code: 1, err: /it answers 401: opsToken is needed.*; set RELAY_OPS_TOKEN/ });
    t.equal((await run(t, top, { RELAY_OPS_TOKEN: OPS_TOKEN })).code, 0);
    const list = ['revoke', '--list', '--ops-url', `127.0.0.1:${relay.opsPort}`];
    t.equal((await run(t, list)).code, 1);
    t.match(await run(t, list, { RELAY_OPS_TOKEN: OPS_TOKEN }), { code: 0, out: /"revocations":\[\]/ });

    writeFileSync(path, 'another-token-for-operators\n');
    relay.program.kill('SIGHUP');
    await relay.program.stderr.find(/"msg":"reloaded"/);
    t.same([await status('/metrics', OPS_TOKEN), await status('/metrics', 'another-token-for-operators')], [401, 200]);
  },
);

t.test('no secret and no token is in what a relay prints', async (t) => {
  const key = testKey('HS256', 'printed');
  const path = keysFile(t, key);
  const relay = await startRelay(t, { authKeysFile: path, opsToken: OPS_TOKEN, logLevel: 'debug', ...AT_ONCE });
  const token = await key.sign(claims('ann'));
  await hello(t, relay, token);
  await hello(t, relay, `${token}x`);
  await relay.terminate();
  const env = { RELAY_AUTH_KEYS: readFileSync(path, 'utf8'), RELAY_OPS_TOKEN: OPS_TOKEN };
  const printed = await run(t, ['config', 'print'], env);
  t.equal(printed.code, 0, printed.err);
  for (const said of [printed.out, relay.program.stderr.all.join('\n'), relay.program.stdout.all.join('\n')])
    for (const secret of [key.entry['secret'] as string, OPS_TOKEN, token]) t.notOk(said.includes(secret));
});
