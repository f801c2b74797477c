/** `relay token`: what it says to whoever mistypes, and what it makes. (Real processes: test/e2e/auth.test.ts.) */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import t, { type Test } from 'tap';
import { tokenCommand } from '../../../src/cli/token.ts';

async function run(t: Test, ...argv: string[]) {
  const [out, err] = [process.stdout, process.stderr].map((stream) => t.capture(stream, 'write', () => true));
  const said = (written: typeof out): string => (written?.() ?? []).map(({ args }) => String(args[0])).join('');
  const code = await tokenCommand(argv);
  const result = { code, out: said(out), err: said(err) };
  out?.restore();
  err?.restore();
  return result;
}

const SECRET = 'an-example-of-a-secret-of-32-bytes';
process.env['TEST_SECRET'] = SECRET;
process.env['TEST_SHORT_SECRET'] = 'short';
const ISSUE = ['issue', '--sub', 'ann', '--secret-env', 'TEST_SECRET'];

function partsOf(token: string): { header: Record<string, unknown>; claims: Record<string, unknown> } {
  const [header, claims] = token.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  return { header, claims };
}

for (const { name, argv, want } of [
  { name: 'no action of that name', argv: ['isue'], want: /no action 'isue'[\s\S]*relay token issue/ },
  { name: 'no subject', argv: ['issue', '--secret-env', 'TEST_SECRET'], want: /--sub must be given/ },
  { name: 'no key', argv: ['issue', '--sub', 'ann'], want: /one of --key and --secret-env must be given/ },
  { name: 'two keys', argv: [...ISSUE, '--key', 'x'], want: /one of --key and --secret-env must be given/ },
  {
    name: 'a variable that is not set',
    argv: ['issue', '--sub', 'ann', '--secret-env', 'NO_SUCH'],
    want: /the variable NO_SUCH .* is not set/,
  },
  {
    name: 'a short secret',
    argv: ['issue', '--sub', 'ann', '--secret-env', 'TEST_SHORT_SECRET'],
    want: /TEST_SHORT_SECRET: the secret has 5 bytes, HS256 needs 32/,
  },
  { name: 'an unknown algorithm', argv: [...ISSUE, '--alg', 'none'], want: /--alg must be one of HS256/ },
  {
    name: 'an algorithm for another kind of key',
    argv: [...ISSUE, '--alg', 'ES256'],
    want: /ES256 needs a private key, not a secret/,
  },
  { name: 'a time without its unit', argv: [...ISSUE, '--ttl', '60'], want: /--ttl must be like 90s, 15m, 12h or 30d, got '60'/ },
  { name: 'no time at all', argv: [...ISSUE, '--ttl', '0s'], want: /--ttl must be like/ },
  {
    name: 'permissions that are none',
    argv: [...ISSUE, '--permissions', '{"publish": []}'],
    want: /permissions: unknown right 'publish'/,
  },
  {
    name: 'permissions twice',
    argv: [...ISSUE, '--permissions', '{}', '--pub', 'a'],
    want: /--permissions and --pub do not go together/,
  },
  { name: 'a pattern that is none', argv: [...ISSUE, '--pub', 'a..b'], want: /permissions: pub\.allow\[0\] is no pattern/ },
  { name: 'a placeholder that nothing stands for', argv: [...ISSUE, '--pub', '{team}.a'], want: /the claim 'team'/ },
  { name: 'a claim without its value', argv: [...ISSUE, '--claim', 'team'], want: /--claim must be name=text, got 'team'/ },
  { name: 'a missing key file', argv: ['issue', '--sub', 'ann', '--key', 'no-such-file'], want: /ENOENT/ },
  {
    name: 'a configuration that is none',
    argv: ['verify', 'x', '--prot=1'],
    want: /invalid configuration:\n {2}--prot is no flag/,
  },
]) {
  t.test(`${name}: exit code 2 and what is wrong`, async (t) => {
    const { code, out, err } = await run(t, ...argv);
    t.equal(code, 2);
    t.equal(out, '');
    t.match(err, want);
    t.notMatch(err, SECRET);
  });
}

t.test('a token has what was said, and an id to revoke it by', async (t) => {
  const argv = [...ISSUE, '--ttl', '15m', '--kid', 'k', '--iss', 'me', '--aud', 'a', '--aud', 'b', '--claim', 'team=red'];
  const { code, out } = await run(t, ...argv, '--pub', '{team}.a', '--pub', 'b', '--subscribe', '>');
  t.equal(code, 0);
  const { header, claims } = partsOf(out);
  t.same(header, { alg: 'HS256', typ: 'JWT', kid: 'k' });
  t.match(claims, { sub: 'ann', iss: 'me', aud: ['a', 'b'], team: 'red', relay: { pub: ['{team}.a', 'b'], sub: ['>'] } });
  t.equal((claims['exp'] as number) - (claims['iat'] as number), 900);
  t.match(claims['jti'], /^.{20}$/);
  t.not(claims['jti'], partsOf((await run(t, ...ISSUE)).out).claims['jti']);
});

t.test('without permissions it has no claim of them: what the relay gives by default holds', async (t) => {
  t.notOk('relay' in partsOf((await run(t, ...ISSUE)).out).claims);
  const { out } = await run(t, ...ISSUE, '--permissions', '{}', '--permissions-claim', 'https://me/relay');
  t.same(partsOf(out).claims['https://me/relay'], {});
});

t.test('inspect: 0 where nothing is wrong, 1 and what is', async (t) => {
  const { out: token } = await run(t, ...ISSUE, '--pub', 'a');
  t.match(await run(t, 'inspect', token), { code: 0, out: /"problems": \[\]/ });
  t.match(await run(t, 'inspect', 'junk'), { code: 1, out: /the claims are no JSON object/ });
});

t.test('keygen: secret files are for their owner only, and nothing is written over', async (t) => {
  const folder = t.testdir({});
  const [issuer, keys] = [`${folder}/issuer.jwk`, `${folder}/keys.json`];
  t.equal((await run(t, 'keygen', '--private', issuer, '--keys', keys)).code, 0);
  t.equal(statSync(issuer).mode & 0o777, 0o600);
  t.notMatch(readFileSync(keys, 'utf8'), '"d"');
  writeFileSync(issuer, 'mine');
  t.match(await run(t, 'keygen', '--private', issuer), { code: 2, err: /EEXIST/ });
  t.equal(readFileSync(issuer, 'utf8'), 'mine');
  const shared = `${folder}/shared.json`;
  await run(t, 'keygen', '--alg', 'HS512', '--keys', shared);
  t.equal(statSync(shared).mode & 0o777, 0o600, 'here the relay’s half is a secret too');
});
