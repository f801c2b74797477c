/**
 * Who pays for a request over HTTP: its subject and its address, as far as they are limited.
 *
 * Thread: front only.
 */
import type { Clock } from '../../base/clock.ts';
import { RelayError } from '../../protocol/errors.ts';
import type { FrontLimits } from './front-limits.ts';

export class HttpPayer {
  /** Once it is known. */
  subject: string | null = null;
  readonly #limits: FrontLimits;
  readonly #clock: Clock;
  readonly #address: string;

  constructor(limits: FrontLimits, clock: Clock, address: string) {
    this.#limits = limits;
    this.#clock = clock;
    this.#address = address;
  }

  /** For one command. Throws RATE_LIMITED; then nothing was paid. */
  pay(type: number, bytes: number): void {
    if (!this.#limits.usesRates) return;
    const refusal = this.#limits.refusalOfRequest(this.subject, this.#address, type, bytes, this.#clock.monotonicMs());
    if (refusal === null) return;
    const { retryAfterMs, limit } = refusal;
    throw new RelayError('RATE_LIMITED', undefined, { retryAfterMs, limit });
  }
}
