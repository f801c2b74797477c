/**
 * Authentication, put together from the configuration: keys, key set, revocations, hooks, and the two doors that the front asks at.
 *
 * Thread: main. There is none of it in a relay that asks nobody who they are.
 */
import { readFileSync } from 'node:fs';
import { type AuthEvent, AuthMetrics } from '../auth/auth-events.ts';
import { ConnectHook } from '../auth/connect-hook.ts';
import type { HookOptions } from '../auth/decision-hook.ts';
import { JwksEndpoint } from '../auth/jwks.ts';
import { KeyRing } from '../auth/key-ring.ts';
import { RelayAuthenticator } from '../auth/relay-authenticator.ts';
import { RevocationFile } from '../auth/revocation-file.ts';
import type { Revocation, RevocationRequest, Revocations } from '../auth/revocations.ts';
import { SubscribeHook } from '../auth/subscribe-hook.ts';
import { TokenVerifier } from '../auth/token-verifier.ts';
import type { RelayClock } from '../base/clock.ts';
import type { Identity } from '../front/ports.ts';
import type { FrontSecurity } from '../front/session-security.ts';
import { readKeys, restoreRevocations, revocationsOf } from './auth-checks.ts';
import type { RelayConfig } from './config-table.ts';
import type { ComponentHealth } from './health.ts';

export interface Revoked {
  readonly revocation: Revocation;
  /** For the sessions that are open. */
  readonly isRevoked: (identity: Identity) => boolean;
  /** Resolves to whether it is on the disk; null: it is kept in memory only. */
  readonly saved: Promise<boolean> | null;
}

const readFile = (path: string): string => readFileSync(path, 'utf8');

export class RelayAuth implements FrontSecurity {
  readonly metrics = new AuthMetrics();
  readonly ring: KeyRing;
  readonly jwks: JwksEndpoint | null;
  readonly revocations: Revocations;
  readonly authenticator: RelayAuthenticator;
  readonly subscribeGuard: SubscribeHook | null;
  readonly #config: RelayConfig;
  readonly #connectHook: ConnectHook | null;
  readonly #file: RevocationFile | null;
  readonly #tell: (event: AuthEvent) => void;

  /** Throws where files that the configuration's check has read cannot be read any more. */
  constructor(config: RelayConfig, clock: RelayClock, tell: (event: AuthEvent) => void) {
    this.#config = config;
    this.#tell = tell;
    const { metrics } = this;
    const { keys, problems } = readKeys(config, readFile);
    this.revocations = revocationsOf(config, clock);
    const problem = restoreRevocations(config, readFile, this.revocations);
    if (problems.length > 0 || problem !== null)
      throw new Error([...problems, ...(problem === null ? [] : [problem])].join('; '));
    this.ring = new KeyRing(keys);
    this.jwks =
      config.jwksUrl === ''
        ? null
        : new JwksEndpoint(
            {
              url: config.jwksUrl,
              refreshMsMin: config.jwksRefreshMsMin,
              ageMsMax: config.jwksAgeMsMax,
              unknownKidMs: config.jwksUnknownKidMs,
              timeoutMs: config.jwksTimeoutMs,
              bytesMax: config.jwksBytesMax,
              rsaAlgorithm: config.jwksRsaAlgorithm,
            },
            this.ring,
            clock,
            metrics,
            tell,
          );
    const verifier = new TokenVerifier(
      {
        issuer: config.tokenIssuer,
        audience: config.tokenAudience,
        expRequired: config.tokenExpRequired,
        leewayMs: config.tokenLeewayMs,
        lifetimeMsMax: config.tokenLifetimeMsMax,
      },
      this.ring,
      this.jwks,
      clock,
    );
    const hook = (url: string): HookOptions => ({
      url,
      timeoutMs: config.authHookTimeoutMs,
      bytesMax: config.authHookBytesMax,
      inFlightMax: config.authHookInFlightMax,
      cacheMs: config.authHookCacheMs,
      cacheMax: config.authHookCacheMax,
    });
    this.#connectHook = config.authHookUrl === '' ? null : new ConnectHook(hook(config.authHookUrl), clock, metrics, tell);
    this.subscribeGuard =
      config.authSubscribeHookUrl === ''
        ? null
        : new SubscribeHook(hook(config.authSubscribeHookUrl), config.retryAfterMs, clock, metrics, tell);
    this.authenticator = new RelayAuthenticator(
      {
        permissionsClaim: config.authPermissionsClaim,
        defaultPermissions: config.authDefaultPermissions,
        anonymousPermissions: config.anonymousPermissions,
        tokenCacheMax: config.tokenCacheMax,
        retryAfterMs: config.retryAfterMs,
      },
      {
        verifier,
        ring: this.ring,
        revocations: this.revocations,
        hook: this.#connectHook,
        clock,
        metrics,
        tell,
      },
    );
    this.#file = config.revocationsFile === '' ? null : new RevocationFile(config.revocationsFile, () => this.revocations.list());
  }

  /** Asks for the key set. Not waited for: who comes before it is there waits for it. */
  start(): void {
    void this.jwks?.refresh();
  }

  /** A few times a second. */
  tick(): void {
    this.jwks?.tick();
    this.revocations.tick();
  }

  /** New keys from the files, or the old ones with everything that is wrong with the new; and the key set, now. */
  async reload(): Promise<readonly string[]> {
    const { keys, problems } = readKeys(this.#config, readFile);
    if (problems.length === 0) {
      this.metrics.keyReloads++;
      this.ring.replace('configured', keys);
      this.#tell({ kind: 'keysReloaded', keys: keys.length });
    } else {
      this.metrics.keyReloadFailures++;
      this.#tell({ kind: 'keysRejected', problems });
    }
    await this.jwks?.refresh();
    return problems;
  }

  /** Holds for every token from here on. Throws a RelayError as Revocations.revoke does. */
  revoke(request: RevocationRequest): Revoked {
    const { revocation, isRevoked } = this.revocations.revoke(request);
    return { revocation, isRevoked, saved: this.#file === null ? null : this.#save(this.#file) };
  }

  health(): ComponentHealth[] {
    if (this.jwks === null) return [];
    const { isDown } = this.jwks;
    const count = this.ring.count('jwks');
    const detail = `${count} keys of the key set${isDown ? ', which cannot be read now' : ''}, ${this.ring.count('configured')} configured`;
    // Old keys are keys. Without any, nobody can come in, and another relay may do better.
    return [{ name: 'keys', ok: !this.ring.isEmpty, detail }];
  }

  close(): void {
    this.jwks?.close();
    this.#connectHook?.close();
    this.subscribeGuard?.close();
  }

  async #save(file: RevocationFile): Promise<boolean> {
    try {
      await file.save();
      return true;
    } catch (error) {
      this.metrics.revocationSaveFailures++;
      this.#tell({ kind: 'revocationsNotSaved', path: this.#config.revocationsFile, reason: (error as Error).message });
      return false;
    }
  }
}
