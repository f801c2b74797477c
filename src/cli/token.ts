/**
 * `relay token …`: making, looking at and trying tokens, and making keys. Talks to no relay.
 *
 * Exit codes: 0, or 1 where `verify` refuses or `inspect` has something to say, 2 for misuse.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { loadConfig, type RelayConfig } from '../app/config.ts';
import { RelayAuth } from '../app/relay-auth.ts';
import { ALGORITHM_NAMES, type AlgorithmName, isAlgorithm } from '../auth/algorithms.ts';
import { inspectToken } from '../auth/token-inspection.ts';
import { generateKey, issueToken, readSigningKey, type SigningKey, secretSigningKey } from '../auth/token-issuer.ts';
import { KeyProblem } from '../auth/verification-key.ts';
import { systemClock } from '../base/clock.ts';
import { randomId } from '../base/ids.ts';
import { GrantProblem, Grants, RIGHTS, type Right } from '../protocol/grants.ts';
import { type Flag, type FlagValues, parse } from './flags.ts';

type Flags = Readonly<Record<string, Flag>>;

const CLAIM_FLAG: Flags = {
  'permissions-claim': { type: 'string', default: 'relay', about: "the relay's authPermissionsClaim" },
};
const ALG_TEXT = ALGORITHM_NAMES.join(', ');
/** A flag per right. `sub` is the subject's, so the right of that name is `--subscribe`. */
const RIGHT_FLAGS: Readonly<Record<Right, string>> = {
  pub: 'pub',
  sub: 'subscribe',
  hist: 'hist',
  pres: 'pres',
  call: 'call',
  serve: 'serve',
  start: 'start',
  admin: 'admin',
};
const ISSUE_FLAGS: Flags = {
  sub: { type: 'string', about: 'the subject: who it is for' },
  ttl: { type: 'string', default: '1h', about: 'how long it is good: 90s, 15m, 12h, 30d' },
  key: { type: 'string', about: 'a file with the private key (PEM or JWK) or, as a JWK, the secret' },
  'secret-env': { type: 'string', about: 'the variable that has the secret, as text or as base64url:…' },
  alg: { type: 'string', about: `${ALG_TEXT}; without it what the key says` },
  kid: { type: 'string', about: "the key's name; without it the one in the JWK" },
  iss: { type: 'string', about: 'the issuer' },
  aud: { type: 'string', multiple: true, about: 'the audience; may be given several times' },
  jti: { type: 'string', about: 'the id to revoke it by; without it a random one' },
  claim: { type: 'string', multiple: true, about: 'name=text, for placeholders in permissions; may be given several times' },
  permissions: { type: 'string', about: 'a map of rights, as JSON; or single rights:' },
  ...Object.fromEntries(
    RIGHTS.map((right): [string, Flag] => [
      RIGHT_FLAGS[right],
      { type: 'string', multiple: true, about: `a pattern of the right '${right}'; may be given several times` },
    ]),
  ),
  ...CLAIM_FLAG,
};
const KEYGEN_FLAGS: Flags = {
  alg: { type: 'string', default: 'ES256', about: ALG_TEXT },
  kid: { type: 'string', about: "the key's name; without it a random one" },
  private: { type: 'string', about: 'write the key to issue tokens with to this new file, for its owner only' },
  keys: { type: 'string', about: "write the list for the relay's authKeysFile to this new file" },
};

interface Action {
  readonly usage: string;
  readonly about: string;
  readonly run: (argv: readonly string[]) => Promise<number>;
}

const ACTIONS: Readonly<Record<string, Action>> = {
  issue: { usage: 'issue --sub NAME --key FILE', about: 'make a token, and print it', run: issue },
  inspect: { usage: 'inspect TOKEN|-', about: 'what stands in it, and what is wrong, without a key', run: inspect },
  verify: { usage: 'verify TOKEN|- [flags of relay serve]', about: 'would this relay take it, and as whom?', run: verify },
  keygen: { usage: 'keygen [--alg ALG]', about: 'make a key, for issuing and for the relay', run: keygen },
};

export async function tokenCommand([name, ...argv]: string[]): Promise<number> {
  const action = Object.hasOwn(ACTIONS, name ?? '') ? ACTIONS[name as string] : undefined;
  if (action === undefined) {
    const isAsked = name === undefined || name === 'help' || name === '--help' || name === '-h';
    const lines = Object.values(ACTIONS).map(({ usage, about }) => `  relay token ${usage.padEnd(38)} ${about}\n`);
    const text = `${isAsked ? '' : `relay: no action '${name}'\n`}usage:\n${lines.join('')}`;
    (isAsked ? process.stdout : process.stderr).write(text);
    return isAsked ? 0 : 2;
  }
  try {
    return await action.run(argv);
  } catch (error) {
    process.stderr.write(`relay: ${(error as Error).message}\n`);
    return 2;
  }
}

// ---- issue

async function issue(argv: readonly string[]): Promise<number> {
  const parsed = parse(`relay token ${ACTIONS['issue']?.usage}`, ISSUE_FLAGS, argv, [0, 0]);
  if (parsed.kind === 'exit') return parsed.code;
  const { values } = parsed;
  const subject = textFlag(values, 'sub');
  if (subject === null) throw new Error('--sub must be given: who the token is for');
  const key = signingKeyOf(values);
  const audiences = (values['aud'] as string[] | undefined) ?? [];
  const issuer = textFlag(values, 'iss');
  const issuedAt = Math.floor(systemClock.nowMs() / 1_000);
  const claims: Record<string, unknown> = {
    ...extraClaims(values),
    sub: subject,
    jti: textFlag(values, 'jti') ?? randomId(20),
    iat: issuedAt,
    exp: issuedAt + secondsOf(values['ttl'] as string),
    ...(issuer === null ? {} : { iss: issuer }),
    ...(audiences.length === 0 ? {} : { aud: audiences.length === 1 ? audiences[0] : audiences }),
  };
  const permissions = permissionsOf(values);
  if (permissions !== undefined) {
    claims[values['permissions-claim'] as string] = permissions;
    checkPermissions(permissions, claims);
  }
  process.stdout.write(`${await issueToken(claims, key)}\n`);
  return 0;
}

function signingKeyOf(values: FlagValues): SigningKey {
  const file = textFlag(values, 'key');
  const variable = textFlag(values, 'secret-env');
  const alg = algorithmFlag(values);
  const kid = textFlag(values, 'kid');
  if ((file === null) === (variable === null)) throw new Error('one of --key and --secret-env must be given');
  try {
    const key =
      file === null
        ? secretSigningKey(environmentSecret(variable as string), alg ?? 'HS256')
        : readSigningKey(readText(file), alg);
    return kid === null ? key : { ...key, kid };
  } catch (error) {
    if (error instanceof KeyProblem) throw new Error(`${file ?? variable}: ${error.message}`);
    throw error;
  }
}

function environmentSecret(variable: string): string {
  const secret = process.env[variable];
  if (secret === undefined || secret === '') throw new Error(`the variable ${variable} of --secret-env is not set`);
  return secret;
}

function extraClaims(values: FlagValues): Record<string, string> {
  return Object.fromEntries(
    ((values['claim'] as string[] | undefined) ?? []).map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new Error(`--claim must be name=text, got '${pair}'`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Undefined: the token gets no claim of them, and so the relay's authDefaultPermissions. */
function permissionsOf(values: FlagValues): unknown {
  const json = textFlag(values, 'permissions');
  const single = RIGHTS.flatMap((right) => {
    const patterns = values[RIGHT_FLAGS[right]] as string[] | undefined;
    return patterns === undefined ? [] : [[right, patterns] as const];
  });
  if (json === null) return single.length === 0 ? undefined : Object.fromEntries(single);
  if (single.length > 0) throw new Error(`--permissions and --${RIGHT_FLAGS[single[0]?.[0] as Right]} do not go together`);
  try {
    return JSON.parse(json);
  } catch {
    throw new Error('--permissions must be a map of rights, as JSON');
  }
}

function checkPermissions(permissions: unknown, claims: Readonly<Record<string, unknown>>): void {
  try {
    Grants.compile(permissions, claims);
  } catch (error) {
    if (error instanceof GrantProblem) throw new Error(`permissions: ${error.message}`);
    throw error;
  }
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function secondsOf(text: string): number {
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(number) * (UNIT_SECONDS[unit ?? ''] ?? Number.NaN);
  if (!(seconds > 0)) throw new Error(`--ttl must be like 90s, 15m, 12h or 30d, got '${text}'`);
  return seconds;
}

// ---- inspect and verify

async function inspect(argv: readonly string[]): Promise<number> {
  const parsed = parse(`relay token ${ACTIONS['inspect']?.usage}`, CLAIM_FLAG, argv, [1, 1]);
  if (parsed.kind === 'exit') return parsed.code;
  const inspection = inspectToken(
    tokenOf(parsed.positionals[0] as string),
    parsed.values['permissions-claim'] as string,
    systemClock.nowMs(),
  );
  const { exp } = inspection.claims ?? {};
  const expires = typeof exp === 'number' && exp < 1e11 ? new Date(exp * 1_000).toISOString() : null;
  process.stdout.write(`${JSON.stringify({ ...inspection, expires }, null, 2)}\n`);
  return inspection.problems.length === 0 ? 0 : 1;
}

/** With the keys and rules of a relay's configuration, hook and revocations in its memory left out. */
async function verify([text, ...flags]: readonly string[]): Promise<number> {
  if (text === undefined || text.startsWith('--')) {
    process.stderr.write(`usage: relay token ${ACTIONS['verify']?.usage}\n`);
    return text === '--help' ? 0 : 2;
  }
  const { config, problems } = loadConfig({ argv: flags, env: process.env, readFile: readText });
  if (config === null) throw new Error(`invalid configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  const hookless: RelayConfig = { ...config, authHookUrl: '', authSubscribeHookUrl: '' };
  const auth = new RelayAuth(hookless, systemClock, (event) => {
    if (event.kind === 'jwksFailed') process.stderr.write(`relay: the key set cannot be read: ${event.reason}\n`);
  });
  try {
    await auth.jwks?.refresh();
    const outcome = await auth.authenticator.authenticate({ token: tokenOf(text), address: '', origin: '', client: null });
    if ('denied' in outcome) {
      process.stderr.write(`relay: refused: ${outcome.denied.message} (${outcome.denied.code} ${outcome.denied.codeName})\n`);
      return 1;
    }
    const { subject, tokenId, expiresAtMs, grants } = outcome;
    const expires = Number.isFinite(expiresAtMs) ? new Date(expiresAtMs).toISOString() : null;
    process.stdout.write(`${JSON.stringify({ subject, tokenId, expires, permissions: grants?.claims ?? null }, null, 2)}\n`);
    return 0;
  } finally {
    auth.close();
  }
}

// ---- keygen

async function keygen(argv: readonly string[]): Promise<number> {
  const parsed = parse(`relay token ${ACTIONS['keygen']?.usage}`, KEYGEN_FLAGS, argv, [0, 0]);
  if (parsed.kind === 'exit') return parsed.code;
  const { values } = parsed;
  const alg = algorithmFlag(values) as AlgorithmName;
  const { issuer, relay } = generateKey(alg, textFlag(values, 'kid') ?? undefined);
  const files = [
    { path: textFlag(values, 'private'), content: issuer, isSecret: true },
    { path: textFlag(values, 'keys'), content: [relay], isSecret: 'secret' in relay },
  ];
  if (files.every(({ path }) => path === null)) process.stdout.write(`${JSON.stringify({ issuer, relay }, null, 2)}\n`);
  for (const { path, content, isSecret } of files) {
    // Never over another key: tokens that are out would be good for nothing.
    if (path !== null)
      writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`, { flag: 'wx', mode: isSecret ? 0o600 : 0o644 });
  }
  return 0;
}

// ---- parts

function algorithmFlag(values: FlagValues): AlgorithmName | null {
  const name = textFlag(values, 'alg');
  if (name === null || isAlgorithm(name)) return name;
  throw new Error(`--alg must be one of ${ALG_TEXT}, got '${name}'`);
}

function textFlag(values: FlagValues, name: string): string | null {
  return (values[name] as string | undefined) ?? null;
}

/** `-` reads it from the standard input, where no list of processes shows it. */
function tokenOf(text: string): string {
  return (text === '-' ? readFileSync(0, 'utf8') : text).trim();
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}
