/** Authentication in the log: what is told while it runs, and what is said once at the start. Thread: main. */
import type { AuthEvent } from '../auth/auth-events.ts';
import type { Log } from '../telemetry/log.ts';
import type { RelayConfig } from './config-table.ts';
import { asksWho, hasTokenKeys } from './settings/auth.ts';

export function logAuthEvent(log: Log, event: AuthEvent): void {
  switch (event.kind) {
    case 'jwksRead':
      return log.info('key set read', { keys: event.keys, passedOver: event.passedOver });
    case 'jwksFailed':
      return log.error('the key set cannot be read; the keys from before stay in use', { cause: event.reason, keys: event.keys });
    case 'keysReloaded':
      return log.info('keys reloaded', { keys: event.keys });
    case 'keysRejected':
      return log.error('the keys were not reloaded; those from before stay in use', { problems: event.problems });
    case 'hookFailed':
      return log.error(`the ${event.hook} hook cannot be asked: nobody it would decide on is let in`, { cause: event.reason });
    case 'hookAnswers':
      return log.info(`the ${event.hook} hook answers again`);
    case 'revoked':
      return log.warn('revoked', { ...event.revocation, sessions: event.sessions });
    case 'revocationsNotSaved':
      return log.error('a revocation holds, and would not outlive a restart', { path: event.path, cause: event.reason });
    case 'failed':
      return log.error('a decision about a client failed', { cause: event.reason });
    default:
      event satisfies never;
  }
}

/** What is allowed and should be known. */
export function startWarnings(config: RelayConfig): string[] {
  const warnings: string[] = [];
  if (!asksWho(config)) {
    const who = config.insecure ? 'whoever reaches it (--insecure)' : 'every program of this machine';
    warnings.push(`there is no authentication: ${who} may do everything; set authKeysFile or jwksUrl (docs/authentication.md)`);
  }
  if (config.jwksUrl !== '' && config.tokenAudience === '')
    warnings.push('tokenAudience is not set: what the identity provider issues for other applications is good here too');
  if (hasTokenKeys(config) && !config.tokenExpRequired && config.tokenLifetimeMsMax === 0)
    warnings.push('tokens may live for ever: tokenExpRequired is false and tokenLifetimeMsMax is 0');
  return warnings;
}
