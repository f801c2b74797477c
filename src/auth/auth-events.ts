/**
 * What authentication tells its operators: counters, and events for the log. Never tokens, secrets or what was sent to a hook.
 *
 * Thread: main. Counted where it happens, read at scrape. Events are told when something changes, not each time it is so: an endpoint that is down for a
 * night is one line when it goes and one when it is back.
 */
import type { Revocation } from './revocations.ts';

/** Why somebody was not let in; a label of `relay_auth_denied_total`, so never renamed. */
export const DENIAL_REASONS = [
  'missing',
  'malformed',
  'algorithm',
  'unknownKey',
  'keysUnavailable',
  'signature',
  'expired',
  'notYetValid',
  'issuer',
  'audience',
  'claims',
  'permissions',
  'revoked',
  'hookDenied',
  'hookUnavailable',
  'internal',
] as const;
export type DenialReason = (typeof DENIAL_REASONS)[number];

export type HookName = 'connect' | 'subscribe';
export const HOOK_NAMES: readonly HookName[] = ['connect', 'subscribe'];

export class HookMetrics {
  allowed = 0;
  denied = 0;
  /** No answer, or none that can be read. */
  failed = 0;
  /** Not asked: authHookInFlightMax. */
  refused = 0;
  /** Answered out of the cache. */
  cached = 0;
  inFlight = 0;
}

export class AuthMetrics {
  tokensAccepted = 0;
  anonymousAccepted = 0;
  /** Of those that were accepted: known from before, not verified again. */
  tokensCached = 0;
  readonly denied: Record<DenialReason, number> = Object.fromEntries(DENIAL_REASONS.map((reason) => [reason, 0])) as Record<
    DenialReason,
    number
  >;
  readonly hooks: Readonly<Record<HookName, HookMetrics>> = { connect: new HookMetrics(), subscribe: new HookMetrics() };
  jwksRefreshes = 0;
  jwksFailures = 0;
  keyReloads = 0;
  keyReloadFailures = 0;
  revocationsRefused = 0;
  revocationSaveFailures = 0;
}

export type AuthEvent =
  | { readonly kind: 'jwksFailed'; readonly reason: string; readonly keys: number }
  | { readonly kind: 'jwksRead'; readonly keys: number; readonly passedOver: number }
  | { readonly kind: 'keysReloaded'; readonly keys: number }
  | { readonly kind: 'keysRejected'; readonly problems: readonly string[] }
  | { readonly kind: 'hookFailed'; readonly hook: HookName; readonly reason: string }
  | { readonly kind: 'hookAnswers'; readonly hook: HookName }
  | { readonly kind: 'revoked'; readonly revocation: Revocation; readonly sessions: number }
  | { readonly kind: 'revocationsNotSaved'; readonly path: string; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

export type TellAuthEvent = (event: AuthEvent) => void;
