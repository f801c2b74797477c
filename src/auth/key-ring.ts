/**
 * The keys that are in use now, configured ones and those of the key set, and which of them a token may be tried against.
 *
 * Thread: main. Lookups are by name, never by what a token brings along (`jwk`, `jku`, `x5u`, `x5c` are not looked at).
 */
import type { AlgorithmName } from './algorithms.ts';
import type { VerificationKey } from './verification-key.ts';

export type KeySourceName = 'configured' | 'jwks';

export class KeyRing {
  readonly #sources: Record<KeySourceName, readonly VerificationKey[]>;
  /** Changes with the keys: what was verified by others is verified again. */
  version = 0;

  constructor(configured: readonly VerificationKey[]) {
    this.#sources = { configured, jwks: [] };
  }

  count(source: KeySourceName): number {
    return this.#sources[source].length;
  }

  get isEmpty(): boolean {
    return this.count('configured') + this.count('jwks') === 0;
  }

  replace(source: KeySourceName, keys: readonly VerificationKey[]): void {
    this.#sources[source] = keys;
    this.version++;
  }

  /** By its name and its own algorithm. Configured keys go first: the network cannot take a name of theirs. */
  named(kid: string, alg: AlgorithmName): VerificationKey | undefined {
    const { configured, jwks } = this.#sources;
    const isMeant = (key: VerificationKey): boolean => key.kid === kid && key.alg === alg;
    return configured.find(isMeant) ?? jwks.find(isMeant);
  }

  /**
   * For a token that names none, or one that nobody has: keys of its algorithm that have no name themselves; for one that names none, if there are none such, the
   * only key of the algorithm. Eight at most.
   */
  unnamed(alg: AlgorithmName, isNamed: boolean): readonly VerificationKey[] {
    const all = [...this.#sources.configured, ...this.#sources.jwks].filter((key) => key.alg === alg);
    const nameless = all.filter((key) => key.kid === null);
    if (nameless.length > 0 || isNamed) return nameless;
    return all.length === 1 ? all : [];
  }
}
