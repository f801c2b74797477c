/**
 * Idempotency window of one topic: which keys were published lately, and with which offset.
 *
 * Thread: the lane's; owned by its topic. Bounded by time and by count; insertion order is age order, so the oldest goes first.
 */

export class DedupWindow {
  readonly #byKey = new Map<string, { readonly offset: number; readonly expiresAtMs: number }>();

  get size(): number {
    return this.#byKey.size;
  }

  /** The offset that `key` was published with, or -1. */
  find(key: string, nowMs: number): number {
    const entry = this.#byKey.get(key);
    return entry === undefined || entry.expiresAtMs <= nowMs ? -1 : entry.offset;
  }

  /** Remembers a key; true if an unexpired one had to go for it (the window is shorter than configured: counted by the caller). */
  remember(key: string, offset: number, expiresAtMs: number, nowMs: number, keysMax: number): boolean {
    this.expire(nowMs);
    this.#byKey.delete(key); // An expired entry of the same key would keep its old place in the order.
    let shortened = false;
    if (this.#byKey.size >= keysMax) {
      for (const oldest of this.#byKey.keys()) {
        this.#byKey.delete(oldest);
        break;
      }
      shortened = true;
    }
    this.#byKey.set(key, { offset, expiresAtMs });
    return shortened;
  }

  expire(nowMs: number): void {
    for (const [key, entry] of this.#byKey) {
      if (entry.expiresAtMs > nowMs) return;
      this.#byKey.delete(key);
    }
  }
}
