/**
 * ReplayGuard: each number of each sender on each topic once. What the relay, which gives out the offsets, cannot forge.
 *
 *   … 3 4 . 6 7 . . 10        highest 10, missing {5, 8, 9}: 8 may still come, late; 7 again is a replay, and so is what lies under the window
 *
 * Bounded: `missingMax` numbers a sender, `sendersMax` senders. Pure: no time, no keys.
 */
import { EncryptionError } from './encryption-errors.ts';

export interface ReplayGuardOptions {
  /** Numbers of a sender that may still come after a higher one. Default 1 024. */
  readonly missingMax?: number;
  /** Senders (per topic) that are remembered; the one longest unheard is forgotten. Default 10 000. */
  readonly sendersMax?: number;
  /** What `state` of an earlier guard was, so that a restart is no chance to replay. */
  readonly state?: ReplayState;
}

/** `[topic, sender, highest number]` of each. */
export type ReplayState = readonly (readonly [topic: string, sender: string, highest: number])[];

interface Seen {
  readonly topic: string;
  readonly sender: string;
  highest: number;
  readonly missing: Set<number>;
}

const MISSING_MAX = 1_024;
const SENDERS_MAX = 10_000;

export class ReplayGuard {
  readonly #missingMax: number;
  readonly #sendersMax: number;
  /** Longest unheard first. */
  readonly #seen = new Map<string, Seen>();

  constructor({ missingMax = MISSING_MAX, sendersMax = SENDERS_MAX, state = [] }: ReplayGuardOptions = {}) {
    this.#missingMax = missingMax;
    this.#sendersMax = sendersMax;
    for (const [topic, sender, highest] of state) this.accept(topic, sender, highest);
  }

  /** To be stored, and given to the next guard. */
  get state(): ReplayState {
    return [...this.#seen.values()].map(({ topic, sender, highest }) => [topic, sender, highest]);
  }

  /**
   * How many numbers between the highest so far and this one have not come: dropped by the relay, late, or never published. Throws REPLAYED.
   * A sender's first message says where it stands; what it sent before is old then.
   */
  accept(topic: string, sender: string, number: number): number {
    const key = `${topic} ${sender}`; // No topic has a space in it.
    const seen = this.#seen.get(key);
    this.#seen.delete(key);
    const now = seen ?? { topic, sender, highest: number, missing: new Set() };
    this.#seen.set(key, now);
    if (seen === undefined) {
      if (this.#seen.size > this.#sendersMax) this.#seen.delete(this.#seen.keys().next().value as string);
      return 0;
    }
    if (number <= now.highest) {
      if (now.missing.delete(number)) return 0;
      throw new EncryptionError('REPLAYED', { topic, sender, number, highest: now.highest });
    }
    const missingCount = number - now.highest - 1;
    for (let at = Math.max(now.highest + 1, number - this.#missingMax); at < number; at++) now.missing.add(at);
    now.highest = number;
    for (const at of now.missing) {
      if (at >= number - this.#missingMax) break; // In order, since they were added so.
      now.missing.delete(at);
    }
    return missingCount;
  }
}
