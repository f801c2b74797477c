/** The metrics of authentication, read from where they are counted. Thread: main; at scrape only. There without authentication too, as zeros. */
import { AuthMetrics, DENIAL_REASONS, HOOK_NAMES } from '../auth/auth-events.ts';
import type { MetricReading, MetricValue } from '../telemetry/exposition.ts';
import type { RelayAuth } from './relay-auth.ts';

const NOTHING = new AuthMetrics();

export function authReadings(auth: RelayAuth | null): MetricReading[] {
  const metrics = auth?.metrics ?? NOTHING;
  const counter = (name: string, help: string, values: readonly MetricValue[]): MetricReading => ({
    name,
    type: 'counter',
    help,
    values,
  });
  const gauge = (name: string, help: string, values: readonly MetricValue[]): MetricReading => ({
    name,
    type: 'gauge',
    help,
    values,
  });
  const one = (value: number): MetricValue[] => [{ value }];
  const ageSeconds = (auth?.jwks?.ageMs ?? 0) / 1_000;
  return [
    counter('relay_auth_accepted_total', 'Who was let in, over WebSocket and HTTP, refreshed tokens too', [
      { labels: { kind: 'token' }, value: metrics.tokensAccepted },
      { labels: { kind: 'anonymous' }, value: metrics.anonymousAccepted },
    ]),
    counter(
      'relay_auth_denied_total',
      'Who was not, by reason',
      DENIAL_REASONS.map((reason) => ({ labels: { reason }, value: metrics.denied[reason] })),
    ),
    counter('relay_auth_tokens_cached_total', 'Tokens that need not be verified again: tokenCacheMax', one(metrics.tokensCached)),
    gauge('relay_auth_keys', 'Keys in use, by where they are from', [
      { labels: { source: 'configured' }, value: auth?.ring.count('configured') ?? 0 },
      { labels: { source: 'jwks' }, value: auth?.ring.count('jwks') ?? 0 },
    ]),
    counter('relay_auth_key_reloads_total', 'Times the key file was read again, by result', [
      { labels: { result: 'ok' }, value: metrics.keyReloads },
      { labels: { result: 'failed' }, value: metrics.keyReloadFailures },
    ]),
    counter('relay_auth_jwks_refreshes_total', 'Requests to jwksUrl', one(metrics.jwksRefreshes)),
    counter(
      'relay_auth_jwks_failures_total',
      'Those of them that brought no keys: down, slow, too large, no key set',
      one(metrics.jwksFailures),
    ),
    // Infinity, before the first answer, is a value that alerts can go by.
    gauge('relay_auth_jwks_age_seconds', 'Since the key set was last read', one(ageSeconds)),
    counter(
      'relay_auth_hook_decisions_total',
      'Decisions of hooks, by hook and result; failed: no answer, or none that can be read; refused: authHookInFlightMax',
      HOOK_NAMES.flatMap((hook) => {
        const { allowed, denied, failed, refused } = metrics.hooks[hook];
        return Object.entries({ allowed, denied, failed, refused }).map(([result, value]) => ({
          labels: { hook, result },
          value,
        }));
      }),
    ),
    counter(
      'relay_auth_hook_cached_total',
      'Decisions that were known from before: authHookCacheMs',
      HOOK_NAMES.map((hook) => ({ labels: { hook }, value: metrics.hooks[hook].cached })),
    ),
    gauge(
      'relay_auth_hook_in_flight',
      'Questions to hooks under way',
      HOOK_NAMES.map((hook) => ({ labels: { hook }, value: metrics.hooks[hook].inFlight })),
    ),
    gauge('relay_auth_revocations', 'Revocations that can still hit a token', one(auth?.revocations.count ?? 0)),
    counter('relay_auth_revocations_refused_total', 'Revocations refused: revocationsMax', one(metrics.revocationsRefused)),
    counter(
      'relay_auth_revocation_save_failures_total',
      'Times revocationsFile could not be written',
      one(metrics.revocationSaveFailures),
    ),
  ];
}
