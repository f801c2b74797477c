/**
 * Token buckets in rows: one row per connection, subject or address, one bucket in it per limit that is configured.
 *
 * Thread: front only. Pure: time comes in, nothing ticks; a bucket is refilled when somebody looks at it. All rows stand in one array of numbers, three to
 * a bucket: 10,000 connections with two limits are 480 KB, and a relay without limits has none.
 *
 *   B1  What is spent from one bucket in any t seconds is at most burst + perSecond * t.
 *   B2  Whoever waits as long as a refusal says, and is alone on the bucket, gets in.
 */

export interface BucketSpec {
  /** Refill. */
  readonly perSecond: number;
  /** Size; what a new bucket holds. */
  readonly burst: number;
}

/** Of one bucket: what is in it, when that was so, and until when refused commands have been told to wait. */
const TOKENS = 0;
const REFILLED_AT = 1;
const PROMISED_UNTIL = 2;
const FIELDS = 3;
const ROWS_MIN = 64;
/** 0.1 + 0.2 tokens are enough for 0.3. */
const ROUNDING = 1e-9;
/** How long the line of refused commands that were told when to come again may get: who ignores his time must not use up everybody's. */
export const RETRY_LINE_MS_MAX = 10_000;

export class TokenBuckets {
  readonly #specs: readonly BucketSpec[];
  readonly #rowFields: number;
  readonly #free: number[] = [];
  #cells: Float64Array;
  #rowCount = 0;

  constructor(specs: readonly BucketSpec[]) {
    this.#specs = specs;
    this.#rowFields = specs.length * FIELDS;
    this.#cells = new Float64Array(0);
  }

  get columnCount(): number {
    return this.#specs.length;
  }

  /** Rows that are open. */
  get count(): number {
    return this.#rowCount - this.#free.length;
  }

  /** A row of full buckets. */
  open(nowMs: number): number {
    const row = this.#free.pop() ?? this.#addRow();
    for (let column = 0; column < this.#specs.length; column++) {
      const at = this.#at(row, column);
      this.#cells[at + TOKENS] = this.#spec(column).burst;
      this.#cells[at + REFILLED_AT] = nowMs;
      this.#cells[at + PROMISED_UNTIL] = nowMs;
    }
    return row;
  }

  close(row: number): void {
    this.#free.push(row);
  }

  /** Hot. Milliseconds until the bucket would hold `amount`; 0: it does. An amount over the burst asks for a full bucket. */
  waitMs(row: number, column: number, amount: number, nowMs: number): number {
    const { perSecond, burst } = this.#spec(column);
    const tokens = this.#refill(row, column, nowMs);
    const missing = Math.min(amount, burst) - tokens;
    return missing <= ROUNDING ? 0 : (missing * 1_000) / perSecond;
  }

  /** Hot. After `waitMs` has answered 0. */
  spend(row: number, column: number, amount: number): void {
    this.#cells[this.#at(row, column) + TOKENS]! -= Math.min(amount, this.#spec(column).burst);
  }

  /**
   * For what may not be refused: it is paid all the same, on credit if it must be. False: the bucket is a whole burst in debt already, which is as far as
   * it goes, or one flood would silence its connection for hours.
   */
  overdraw(row: number, column: number, amount: number, nowMs: number): boolean {
    const { burst } = this.#spec(column);
    const tokens = this.#refill(row, column, nowMs) - amount;
    this.#cells[this.#at(row, column) + TOKENS] = Math.max(-burst, tokens);
    return tokens >= -burst;
  }

  /**
   * After `waitMs` has answered a wait: when to come again, in whole milliseconds from now. Each refused command gets a later time than the one before
   * it, at the rate of the limit: if all were told the same, all would come back together and all but one be refused again.
   */
  retryAfterMs(row: number, column: number, amount: number, nowMs: number): number {
    const { perSecond, burst } = this.#spec(column);
    const at = this.#at(row, column);
    const waitMs = this.waitMs(row, column, amount, nowMs);
    const behindOthersMs = (this.#cells[at + PROMISED_UNTIL] as number) + (Math.min(amount, burst) * 1_000) / perSecond;
    const dueMs = Math.max(nowMs + waitMs, Math.min(nowMs + RETRY_LINE_MS_MAX, behindOthersMs));
    this.#cells[at + PROMISED_UNTIL] = dueMs;
    return Math.max(1, Math.ceil(dueMs - nowMs - ROUNDING));
  }

  /** The longest time until every bucket of a row is full again: after so long without use a row is as good as new. */
  get refillMs(): number {
    // From a whole burst in debt.
    return Math.max(0, ...this.#specs.map(({ perSecond, burst }) => (2 * burst * 1_000) / perSecond));
  }

  #refill(row: number, column: number, nowMs: number): number {
    const { perSecond, burst } = this.#spec(column);
    const at = this.#at(row, column);
    const cells = this.#cells;
    const elapsedMs = nowMs - (cells[at + REFILLED_AT] as number);
    if (elapsedMs <= 0) return cells[at + TOKENS] as number;
    cells[at + REFILLED_AT] = nowMs;
    return (cells[at + TOKENS] = Math.min(burst, (cells[at + TOKENS] as number) + (elapsedMs * perSecond) / 1_000));
  }

  #spec(column: number): BucketSpec {
    return this.#specs[column] as BucketSpec;
  }

  #at(row: number, column: number): number {
    return row * this.#rowFields + column * FIELDS;
  }

  #addRow(): number {
    const row = this.#rowCount++;
    if (this.#rowCount * this.#rowFields > this.#cells.length) {
      const cells = new Float64Array(Math.max(ROWS_MIN, 2 * row) * this.#rowFields);
      cells.set(this.#cells);
      this.#cells = cells;
    }
    return row;
  }
}
