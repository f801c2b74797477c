/**
 * The keys of a JWKS endpoint: asked for at the start, again when they are old, and again when a token names one that is not among them.
 *
 * Thread: main. One request at a time, and at most one per `refreshMsMin` whatever strangers send: names that the last answer did not have are remembered for
 * a while, and for others the answer is "not to be had now" until the endpoint may be asked again. While it is down, or answers what is no key set, the
 * keys that it gave last stay in use.
 */
import type { Clock } from '../base/clock.ts';
import type { RsaAlgorithmName } from './algorithms.ts';
import type { AuthMetrics, TellAuthEvent } from './auth-events.ts';
import { requestJson } from './json-request.ts';
import { parseKeySet } from './key-config.ts';
import type { KeyRing } from './key-ring.ts';

export interface JwksOptions {
  readonly url: string;
  /** Between two requests, at least. */
  readonly refreshMsMin: number;
  /** Older keys are asked for again. */
  readonly ageMsMax: number;
  /** How long a name that it does not have is not asked for again. */
  readonly unknownKidMs: number;
  readonly timeoutMs: number;
  readonly bytesMax: number;
  readonly rsaAlgorithm: RsaAlgorithmName;
}

export type KeyAnswer<Key> =
  | { readonly kind: 'found'; readonly key: Key }
  /** The endpoint does not have it. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number };

/** Names that the last answer did not have. The oldest is forgotten: then it may cost one more request. */
const UNKNOWN_KIDS_MAX = 1_000;
const UNKNOWN = { kind: 'unknown' } as const;

export class JwksEndpoint {
  readonly #options: JwksOptions;
  readonly #ring: KeyRing;
  readonly #clock: Clock;
  readonly #metrics: AuthMetrics;
  readonly #tell: TellAuthEvent;
  readonly #closing = new AbortController();
  /** `kid` to when it was found to be unknown; oldest first. */
  readonly #unknownKids = new Map<string, number>();
  #request: Promise<void> | null = null;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #isDown = false;
  /** What the keys in use were read from. */
  #text = '';

  constructor(options: JwksOptions, ring: KeyRing, clock: Clock, metrics: AuthMetrics, tell: TellAuthEvent) {
    this.#options = options;
    this.#ring = ring;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#tell = tell;
  }

  /** Since the keys in use were read; Infinity before the first. */
  get ageMs(): number {
    return this.#clock.monotonicMs() - this.#readAtMs;
  }

  /** The last request failed. */
  get isDown(): boolean {
    return this.#isDown;
  }

  /** Now, whatever `refreshMsMin` says: at the start, and when an operator wants it. Resolves when the answer is in use, or is known to be none. */
  refresh(): Promise<void> {
    this.#request ??= this.#ask().finally(() => {
      this.#request = null;
    });
    return this.#request;
  }

  /** A few times a second. */
  tick(): void {
    if (this.ageMs >= this.#options.ageMsMax && this.#waitMs() === 0) void this.refresh();
  }

  /** For a token whose key the ring does not have. `kid`: the name it gives, if any; `look`: looks again, once there is news. */
  async find<Key>(kid: string | null, look: () => Key | null): Promise<KeyAnswer<Key>> {
    const isOld = kid === null ? this.#readAtMs > Number.NEGATIVE_INFINITY : this.#isKnownToBeUnknown(kid);
    if (isOld) return UNKNOWN;
    const waitMs = this.#waitMs();
    if (this.#request === null && waitMs > 0) return { kind: 'unavailable', retryAfterMs: waitMs };
    await this.refresh();
    const key = look();
    if (key !== null) return { kind: 'found', key };
    if (this.#isDown) return { kind: 'unavailable', retryAfterMs: this.#options.refreshMsMin };
    if (kid !== null) this.#rememberUnknown(kid);
    return UNKNOWN;
  }

  close(): void {
    this.#closing.abort();
  }

  /** Until the endpoint may be asked again. */
  #waitMs(): number {
    return Math.max(0, this.#askedAtMs + this.#options.refreshMsMin - this.#clock.monotonicMs());
  }

  #isKnownToBeUnknown(kid: string): boolean {
    const foundAtMs = this.#unknownKids.get(kid);
    if (foundAtMs === undefined) return false;
    if (this.#clock.monotonicMs() - foundAtMs < this.#options.unknownKidMs) return true;
    this.#unknownKids.delete(kid);
    return false;
  }

  #rememberUnknown(kid: string): void {
    this.#unknownKids.delete(kid); // To the end of the line.
    this.#unknownKids.set(kid, this.#clock.monotonicMs());
    if (this.#unknownKids.size <= UNKNOWN_KIDS_MAX) return;
    for (const [oldest] of this.#unknownKids) {
      this.#unknownKids.delete(oldest);
      break;
    }
  }

  async #ask(): Promise<void> {
    const { url, timeoutMs, bytesMax, rsaAlgorithm } = this.#options;
    this.#askedAtMs = this.#clock.monotonicMs();
    this.#metrics.jwksRefreshes++;
    try {
      const document = await requestJson({ url, timeoutMs, bytesMax, signal: this.#closing.signal });
      const { keys, passedOver } = parseKeySet(document, rsaAlgorithm);
      this.#readAtMs = this.#clock.monotonicMs();
      const text = JSON.stringify(document);
      const isNews = this.#isDown || text !== this.#text;
      this.#isDown = false;
      if (text !== this.#text) {
        // Only then: the same keys as new objects would have every kept token verified again.
        this.#text = text;
        this.#ring.replace('jwks', keys);
        this.#unknownKids.clear();
      }
      if (isNews) this.#tell({ kind: 'jwksRead', keys: keys.length, passedOver });
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#metrics.jwksFailures++;
      if (!this.#isDown) this.#tell({ kind: 'jwksFailed', reason: (error as Error).message, keys: this.#ring.count('jwks') });
      this.#isDown = true;
    }
  }
}
