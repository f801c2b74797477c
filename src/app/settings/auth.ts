/** Settings of authentication and of the operators' door. Part of the table in ../config-table.ts, which see. */
import { isLoopback } from '../../base/loopback.ts';
import type { CrossCheck, RelayConfig } from '../config-table.ts';
import { bearerToken, integer, list, optionalMap, path, type Setting, text, toggle, webAddress, word } from '../setting.ts';

const AUTHENTICATION = 'Authentication';
const OPERATORS = 'Operators';
const DAY_MS = 86_400_000;

export const AUTH_SETTINGS = {
  // ---- keys
  authKeysFile: path('', {
    group: AUTHENTICATION,
    what: 'A JSON file with the keys that tokens are verified with, see [Keys](authentication.md#keys). Read again at SIGHUP; one that is not valid changes nothing. Empty: none.',
    metrics: ['relay_auth_keys', 'relay_auth_key_reloads_total'],
  }),
  authKeys: list<unknown>('a list of keys', {
    group: AUTHENTICATION,
    secret: true,
    what: 'The same list, here. Prefer the file: flags are seen by everybody on the machine.',
    metrics: ['relay_auth_keys'],
  }),
  jwksUrl: webAddress('', {
    group: AUTHENTICATION,
    what: 'Where an identity provider publishes its keys (JWKS). Redirects are not followed. While it is down, the keys that it gave last stay in use.',
    metrics: ['relay_auth_keys', 'relay_auth_jwks_refreshes_total', 'relay_auth_jwks_age_seconds'],
  }),
  jwksAgeMsMax: integer(600_000, [10_000, DAY_MS], {
    group: AUTHENTICATION,
    what: 'Keys of `jwksUrl` that are older are asked for again. It is also how long a key that was taken out there is still believed here.',
    metrics: ['relay_auth_jwks_age_seconds'],
  }),
  jwksRefreshMsMin: integer(30_000, [1_000, 3_600_000], {
    group: AUTHENTICATION,
    what: 'Between two requests to `jwksUrl`, at least. A token that names a key that is not known leads to one before the keys are old.',
    atBound: 'Such a token is answered OVERLOADED (106) with `retryAfterMs`: it may be good.',
    metrics: ['relay_auth_denied_total'],
  }),
  jwksUnknownKidMs: integer(60_000, [1_000, DAY_MS], {
    group: AUTHENTICATION,
    what: 'How long the name of a key that `jwksUrl` does not have is not asked for again; of 1,000 names at most.',
    atBound: 'It is asked for again.',
  }),
  jwksTimeoutMs: integer(5_000, [50, 60_000], {
    group: AUTHENTICATION,
    what: 'For one whole answer of `jwksUrl`.',
    atBound: 'The keys are those from before.',
    metrics: ['relay_auth_jwks_failures_total'],
  }),
  jwksBytesMax: integer(262_144, [1_024, 16_777_216], {
    group: AUTHENTICATION,
    what: 'An answer of `jwksUrl`. Of its keys 64 are taken.',
    atBound: 'The keys are those from before.',
    metrics: ['relay_auth_jwks_failures_total'],
  }),
  jwksRsaAlgorithm: word('RS256', ['RS256', 'PS256'], {
    group: AUTHENTICATION,
    what: 'What RSA keys of `jwksUrl` are for that do not say it themselves. A key is for one algorithm, whatever a token asks for.',
  }),

  // ---- tokens
  tokenIssuer: text('', [1, 1_024], {
    group: AUTHENTICATION,
    orEmpty: true,
    what: 'What `iss` must be. Empty: anything.',
    metrics: ['relay_auth_denied_total'],
  }),
  tokenAudience: text('', [1, 1_024], {
    group: AUTHENTICATION,
    orEmpty: true,
    what: 'What `aud` must be, or have among others. Empty: anything, and then what an identity provider issues for other applications is good here too.',
    metrics: ['relay_auth_denied_total'],
  }),
  tokenExpRequired: toggle(true, {
    group: AUTHENTICATION,
    what: 'Must a token have `exp`?',
  }),
  tokenLifetimeMsMax: integer(366 * DAY_MS, [60_000, 10 * 366 * DAY_MS], {
    orZero: true,
    group: AUTHENTICATION,
    what: 'No token is good for longer than this from its `iat`, which it must have. 0: no bound, `iat` is not needed, and a revocation is never over.',
    atBound: 'Answered TOKEN_EXPIRED (114).',
    metrics: ['relay_auth_denied_total'],
  }),
  tokenLeewayMs: integer(5_000, [0, 300_000], {
    group: AUTHENTICATION,
    what: 'By how much the clocks of issuer and relay may differ, for `exp`, `nbf` and `iat`.',
  }),
  tokenGraceMs: integer(30_000, [0, 3_600_000], {
    group: AUTHENTICATION,
    what: 'How long a connection stays open after its token has expired, for a REFRESH. It gets what it is subscribed to meanwhile; what it asks for is answered TOKEN_EXPIRED (114).',
    atBound: 'Closed with 4501.',
    metrics: ['relay_sessions_expired_total'],
  }),
  tokenCacheMax: integer(1_000, [1, 1_000_000], {
    orZero: true,
    group: AUTHENTICATION,
    what: 'Tokens that were verified lately and need not be again, by their hash: each HTTP request brings one. 0 keeps none.',
    atBound: 'The oldest is verified again when it comes again.',
    metrics: ['relay_auth_tokens_cached_total'],
  }),
  heldBytesMax: integer(262_144, [1_024, 16_777_216], {
    group: AUTHENTICATION,
    what: 'What a connection may send while its token, or a subscription of it, is being decided on.',
    atBound: 'Closed with 4102.',
    metrics: ['relay_held_overflows_total'],
  }),

  // ---- permissions
  authPermissionsClaim: text('relay', [1, 256], {
    group: AUTHENTICATION,
    what: 'The claim that a token’s permissions stand in, see [Permissions](authentication.md#permissions).',
  }),
  authDefaultPermissions: optionalMap('a map of rights, or null', {
    group: AUTHENTICATION,
    what: 'Permissions of a token without that claim. `null`: none.',
  }),
  anonymousPermissions: optionalMap('a map of rights, or null', {
    group: AUTHENTICATION,
    what: 'What clients without a token may do. `null`: they are not let in.',
    metrics: ['relay_auth_accepted_total'],
  }),

  // ---- hooks
  authHookUrl: webAddress('', {
    group: AUTHENTICATION,
    what: 'A service that is asked about everybody who comes in, after the token was found good, see [Hooks](authentication.md#hooks). Empty: none.',
    metrics: ['relay_auth_hook_decisions_total'],
  }),
  authSubscribeHookUrl: webAddress('', {
    group: AUTHENTICATION,
    what: 'A service that is asked before each SUBSCRIBE, beside the permissions. Empty: none.',
    metrics: ['relay_auth_hook_decisions_total'],
  }),
  authHookTimeoutMs: integer(2_000, [10, 60_000], {
    group: AUTHENTICATION,
    what: 'For one whole answer of a hook.',
    atBound: 'Answered OVERLOADED (106) with `retryAfterMs`: nobody comes in undecided.',
    metrics: ['relay_auth_hook_decisions_total'],
  }),
  authHookBytesMax: integer(65_536, [64, 1_048_576], {
    group: AUTHENTICATION,
    what: 'An answer of a hook.',
    atBound: 'As with `authHookTimeoutMs`.',
    metrics: ['relay_auth_hook_decisions_total'],
  }),
  authHookInFlightMax: integer(256, [1, 10_000], {
    group: AUTHENTICATION,
    what: 'Questions to one hook at a time.',
    atBound: 'Answered OVERLOADED (106) with `retryAfterMs`, without a question.',
    metrics: ['relay_auth_hook_decisions_total', 'relay_auth_hook_in_flight'],
  }),
  authHookCacheMs: integer(10_000, [100, DAY_MS], {
    orZero: true,
    group: AUTHENTICATION,
    what: 'How long an answer of a hook, yes or no, holds for the same question. 0 asks each time.',
    metrics: ['relay_auth_hook_cached_total'],
  }),
  authHookCacheMax: integer(10_000, [1, 1_000_000], {
    group: AUTHENTICATION,
    what: 'Answers of one hook that are kept.',
    atBound: 'The oldest goes before its time.',
  }),

  // ---- revocations
  revocationsFile: path('', {
    group: AUTHENTICATION,
    what: 'Where revocations are kept across a restart, see [Revocation](authentication.md#revocation). Empty: in memory only.',
    atBound:
      'If it cannot be written, the revocation holds in memory, and whoever revoked is told; if it cannot be read, the relay does not start.',
    metrics: ['relay_auth_revocation_save_failures_total'],
  }),
  revocationsMax: integer(10_000, [1, 1_000_000], {
    group: AUTHENTICATION,
    what: 'Revocations that can still hit a token. One of all tokens before some time always has room.',
    atBound: 'A further one is refused (507); none is forgotten.',
    metrics: ['relay_auth_revocations', 'relay_auth_revocations_refused_total'],
  }),
  insecure: toggle(false, {
    group: AUTHENTICATION,
    what: 'Lets a relay without authentication start on an address that others can reach.',
  }),

  // ---- operators
  opsToken: bearerToken({
    group: OPERATORS,
    what: 'What the ops port asks for, as `Authorization: Bearer`, of everything but `/livez`, `/readyz` and `/startupz`; browsers may give it as a password. Empty: nothing is asked for, and the port must be on loopback.',
    metrics: ['relay_ops_refused_total'],
  }),
  opsTokenFile: path('', {
    group: OPERATORS,
    what: 'A file with the same; a line end behind it does not count. Read again at SIGHUP.',
    metrics: ['relay_ops_refused_total'],
  }),
} as const satisfies Record<string, Setting<unknown>>;

/** Can anybody prove who they are? */
export function hasTokenKeys({ authKeys, authKeysFile, jwksUrl }: RelayConfig): boolean {
  return authKeys.length > 0 || authKeysFile !== '' || jwksUrl !== '';
}

/** Is anybody asked who they are, or told what they may do? */
export function asksWho(config: RelayConfig): boolean {
  return hasTokenKeys(config) || config.authHookUrl !== '' || config.anonymousPermissions !== null;
}

export const AUTH_CHECKS: readonly CrossCheck[] = [
  {
    settings: ['host', 'authKeysFile', 'authKeys', 'jwksUrl', 'authHookUrl', 'insecure'],
    must: 'host must be a loopback address, unless one of authKeysFile, authKeys, jwksUrl and authHookUrl is set, or insecure is true',
    because: 'without authentication, whoever reaches the relay may do everything',
    holds: (config) => isLoopback(config.host) || config.insecure || hasTokenKeys(config) || config.authHookUrl !== '',
  },
  {
    settings: ['opsHost', 'opsPort', 'opsToken', 'opsTokenFile'],
    must: 'opsHost must be a loopback address, unless opsToken or opsTokenFile is set, or opsPort is 0',
    because: 'whoever reaches the ops port sees everything and may revoke',
    holds: ({ opsHost, opsPort, opsToken, opsTokenFile }) =>
      isLoopback(opsHost) || opsPort === 0 || opsToken !== '' || opsTokenFile !== '',
  },
  {
    settings: ['opsToken', 'opsTokenFile'],
    must: 'only one of opsToken and opsTokenFile may be set',
    because: 'it would not be clear which one counts',
    holds: ({ opsToken, opsTokenFile }) => opsToken === '' || opsTokenFile === '',
  },
  {
    settings: ['jwksRefreshMsMin', 'jwksAgeMsMax'],
    must: 'jwksRefreshMsMin must be at most jwksAgeMsMax',
    because: 'old keys could not be asked for again',
    holds: ({ jwksRefreshMsMin, jwksAgeMsMax }) => jwksRefreshMsMin <= jwksAgeMsMax,
  },
  {
    settings: ['authHookUrl', 'authKeysFile', 'authKeys', 'jwksUrl', 'anonymousPermissions'],
    must: 'authHookUrl needs keys (authKeysFile, authKeys, jwksUrl) or anonymousPermissions',
    because: 'no token could be verified and nobody could come without one, so there would be nobody to ask about',
    holds: (config) => config.authHookUrl === '' || hasTokenKeys(config) || config.anonymousPermissions !== null,
  },
  {
    settings: ['authSubscribeHookUrl', 'authKeysFile', 'authKeys', 'jwksUrl', 'anonymousPermissions'],
    must: 'authSubscribeHookUrl needs keys (authKeysFile, authKeys, jwksUrl) or anonymousPermissions',
    because: 'nobody would have a name to ask about',
    holds: (config) => config.authSubscribeHookUrl === '' || asksWho(config),
  },
  {
    settings: ['jwksTimeoutMs', 'authHookTimeoutMs', 'helloTimeoutMs', 'jwksUrl', 'authHookUrl'],
    must: 'jwksTimeoutMs and authHookTimeoutMs, of what is used, must together be less than helloTimeoutMs',
    because: 'clients would be sent away (4504) while they are decided on',
    holds: ({ jwksUrl, jwksTimeoutMs, authHookUrl, authHookTimeoutMs, helloTimeoutMs }) =>
      (jwksUrl === '' ? 0 : jwksTimeoutMs) + (authHookUrl === '' ? 0 : authHookTimeoutMs) < helloTimeoutMs,
  },
];
