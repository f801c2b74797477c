/**
 * Connect pacer: opens connections at a rate, never more than so many at once. What waits, waits in order.
 *
 * One per process. It knows numbers only: the owner opens, and says when an attempt is over.
 */
const TURN_MS = 5;

export class ConnectPacer {
  readonly #perSecond: number;
  readonly #inFlightMax: number;
  readonly #open: (tag: number) => void;
  readonly #waiting: number[] = [];
  #waitingAt = 0;
  #inFlight = 0;
  #budget = 0;
  #turnAtMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(perSecond: number, inFlightMax: number, open: (tag: number) => void) {
    this.#perSecond = perSecond;
    this.#inFlightMax = inFlightMax;
    this.#open = open;
  }

  add(tag: number): void {
    this.#waiting.push(tag);
    if (this.#timer !== null) return;
    this.#turnAtMs = performance.now();
    this.#budget = 1; // The first one need not wait for the rate to fill up.
    this.#timer = setInterval(() => this.#turn(), TURN_MS);
  }

  /** An attempt has ended, well or not. */
  release(): void {
    this.#inFlight--;
  }

  clear(): void {
    this.#waiting.length = 0;
    this.#waitingAt = 0;
    this.#rest();
  }

  #turn(): void {
    const nowMs = performance.now();
    // A stalled loop must not become a burst: at most a tenth of a second's worth is ever saved up.
    this.#budget = Math.min(
      this.#budget + ((nowMs - this.#turnAtMs) / 1000) * this.#perSecond,
      Math.max(this.#perSecond / 10, 1),
    );
    this.#turnAtMs = nowMs;
    while (this.#budget >= 1 && this.#inFlight < this.#inFlightMax && this.#waitingAt < this.#waiting.length) {
      this.#budget--;
      this.#inFlight++;
      this.#open(this.#waiting[this.#waitingAt++] as number);
    }
    if (this.#waitingAt === this.#waiting.length) this.clear();
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
