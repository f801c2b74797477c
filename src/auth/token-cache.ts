/**
 * Tokens that were verified lately, so that each HTTP request and a client that comes back do not cost a verification of their own.
 *
 * Thread: main. By the token's SHA-256, so that no token is kept in memory. Holds for the keys it was verified with and until the token is over; whether it was
 * revoked is not kept here, and asked each time.
 */
import { createHash } from 'node:crypto';
import type { KeyRing } from './key-ring.ts';

export class TokenCache<Value extends { readonly expiresAtMs: number }> {
  readonly #entries = new Map<string, Value>();
  readonly #ring: KeyRing;
  readonly #countMax: number;
  #version: number;

  /** `countMax`: 0 keeps none. */
  constructor(ring: KeyRing, countMax: number) {
    this.#ring = ring;
    this.#countMax = countMax;
    this.#version = ring.version;
  }

  get(token: string, nowMs: number): Value | null {
    this.#forgetOldKeys();
    if (this.#entries.size === 0) return null;
    const digest = digestOf(token);
    const value = this.#entries.get(digest);
    if (value === undefined) return null;
    if (value.expiresAtMs > nowMs) return value;
    this.#entries.delete(digest);
    return null;
  }

  /** `version`: of the ring, from before the token was verified. */
  set(token: string, value: Value, version: number): void {
    this.#forgetOldKeys();
    if (this.#countMax === 0 || version !== this.#version) return;
    const digest = digestOf(token);
    this.#entries.delete(digest);
    this.#entries.set(digest, value);
    if (this.#entries.size <= this.#countMax) return;
    for (const [oldest] of this.#entries) {
      this.#entries.delete(oldest);
      break;
    }
  }

  #forgetOldKeys(): void {
    if (this.#version === this.#ring.version) return;
    this.#entries.clear();
    this.#version = this.#ring.version;
  }
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
