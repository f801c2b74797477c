/**
 * The relay's certificates while it runs: what is served, when it ends, and what a reload makes of the files.
 *
 * Thread: main. A reload reads a few small files and parses them, some milliseconds in all.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import {
  EXPIRY_WARNING_MS,
  type LoadedTls,
  loadTls,
  type ReadFile,
  type TlsCertificate,
  type TlsSettings,
} from '../transport/tls-files.ts';

export type TlsEvent =
  /** At the start, after a reload, and once a day. */
  | { readonly kind: 'expiring'; readonly problem: string }
  | { readonly kind: 'replaced'; readonly files: readonly string[] }
  | { readonly kind: 'unchanged' }
  /** The old ones stay. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const DAY_MS = 86_400_000;

export class RelayTls {
  failedReloads = 0;
  readonly #settings: TlsSettings;
  readonly #clock: Clock;
  readonly #onEvent: (event: TlsEvent) => void;
  readonly #readFile: ReadFile;
  #certificates: readonly TlsCertificate[];
  #lookAgainAtMs: number;

  /** Throws with all problems where there are any. */
  constructor(
    settings: TlsSettings,
    clock: Clock,
    onEvent: (event: TlsEvent) => void = () => {},
    readFile: ReadFile = (path) => readFileSync(path, 'utf8'),
  ) {
    this.#settings = settings;
    this.#clock = clock;
    this.#onEvent = onEvent;
    this.#readFile = readFile;
    const loaded = this.#load();
    if (loaded.problems.length > 0) throw new Error(`TLS cannot be served: ${loaded.problems.join('; ')}`);
    this.#certificates = loaded.certificates;
    this.#lookAgainAtMs = clock.monotonicMs() + DAY_MS;
    this.#warn(loaded.warnings);
  }

  /** The one for everybody first. */
  get certificates(): readonly TlsCertificate[] {
    return this.#certificates;
  }

  /** Below zero: it has ended. */
  expirySeconds(): { readonly serverName: string; readonly seconds: number }[] {
    const nowMs = this.#clock.nowMs();
    return this.#certificates.map(({ serverName, expiresAtMs }) => ({ serverName, seconds: (expiresAtMs - nowMs) / 1_000 }));
  }

  /** `use` takes new certificates into service and throws where it cannot. */
  reload(use: (certificates: readonly TlsCertificate[]) => void): void {
    const { certificates, problems, warnings } = this.#load();
    if (problems.length > 0) return this.#refuse(problems);
    if (isSame(certificates, this.#certificates)) {
      this.#onEvent({ kind: 'unchanged' });
      this.#warn(warnings);
      return;
    }
    try {
      use(certificates);
    } catch (error) {
      return this.#refuse([(error as Error).message]);
    }
    this.#certificates = certificates;
    this.#onEvent({ kind: 'replaced', files: [...new Set(certificates.map(({ certFile }) => certFile))] });
    this.#warn(warnings);
    // uWS reads the files again by their names: if they were written in between, nobody has proven what it serves.
    if (!isSame(this.#load().certificates, certificates))
      this.#refuse(['the files changed while they were read: reload once more when they are complete']);
  }

  /** Once a day: what ends soon, by what is served and not by the files. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#lookAgainAtMs) return;
    this.#lookAgainAtMs = nowMs + DAY_MS;
    const endings = this.#certificates.filter(({ expiresAtMs }) => expiresAtMs - this.#clock.nowMs() <= EXPIRY_WARNING_MS);
    this.#warn(
      endings.map(({ certFile, expiresAtMs }) => `${certFile}: its chain ends at ${new Date(expiresAtMs).toISOString()}`),
    );
  }

  #load(): LoadedTls {
    return loadTls(this.#settings, this.#readFile, this.#clock.nowMs());
  }

  #refuse(problems: readonly string[]): void {
    this.failedReloads++;
    this.#onEvent({ kind: 'refused', problems });
  }

  #warn(warnings: readonly string[]): void {
    for (const problem of warnings) this.#onEvent({ kind: 'expiring', problem });
  }
}

function isSame(some: readonly TlsCertificate[], others: readonly TlsCertificate[]): boolean {
  return some.length === others.length && some.every(({ digest }, index) => digest === others[index]?.digest);
}
