/**
 * Timers of a lane: a binary heap of due times. The lane has no clock; its owner asks `nextDueMs` how long it may sleep and calls `run`.
 *
 * Thread: the lane's. Deterministic: timers that are due together fire in the order in which they were set. A cancelled timer stays in the heap until it
 * surfaces or until more than half of the heap is cancelled; what it held on to is released at once.
 */

export class Timer {
  readonly dueMs: number;
  readonly sequence: number;
  /** Null: cancelled, or fired. */
  action: (() => void) | null;

  constructor(dueMs: number, sequence: number, action: () => void) {
    this.dueMs = dueMs;
    this.sequence = sequence;
    this.action = action;
  }
}

export class Timers {
  #heap: Timer[] = [];
  #sequence = 0;
  #cancelledCount = 0;

  /** Timers that have not fired and are not cancelled. */
  get count(): number {
    return this.#heap.length - this.#cancelledCount;
  }

  /** Timers in memory, cancelled ones that have not been dropped yet among them. */
  get size(): number {
    return this.#heap.length;
  }

  /** When the next timer is due; Infinity without one. May be that of a cancelled one: a needless look, never a late one. */
  get nextDueMs(): number {
    return this.#heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  /** `action` runs inside `run`, once `nowMs` has reached `dueMs`. It may set and cancel timers; what it sets for now runs in the same `run`. */
  set(dueMs: number, action: () => void): Timer {
    const timer = new Timer(dueMs, this.#sequence++, action);
    this.#heap.push(timer);
    this.#up(this.#heap.length - 1);
    return timer;
  }

  /** Does nothing for null, or for one that has fired. */
  cancel(timer: Timer | null): void {
    if (timer === null || timer.action === null) return;
    timer.action = null;
    this.#cancelledCount++;
    if (this.#cancelledCount * 2 > this.#heap.length && this.#heap.length > 64) this.#compact();
  }

  run(nowMs: number): void {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.dueMs > nowMs) return;
      this.#shift();
      const { action } = first;
      if (action === null) {
        this.#cancelledCount--;
        continue;
      }
      first.action = null;
      action();
    }
  }

  #compact(): void {
    const alive = this.#heap.filter((timer) => timer.action !== null);
    this.#heap = alive.sort((left, right) => left.dueMs - right.dueMs || left.sequence - right.sequence); // A sorted list is a heap.
    this.#cancelledCount = 0;
  }

  #shift(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    heap[0] = last;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const child = right < heap.length && isBefore(heap[right] as Timer, heap[left] as Timer) ? right : left;
      if (!isBefore(heap[child] as Timer, heap[index] as Timer)) return;
      this.#swap(index, child);
      index = child;
    }
  }

  #up(from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(this.#heap[index] as Timer, this.#heap[parent] as Timer)) return;
      this.#swap(index, parent);
      index = parent;
    }
  }

  #swap(left: number, right: number): void {
    const timer = this.#heap[left] as Timer;
    this.#heap[left] = this.#heap[right] as Timer;
    this.#heap[right] = timer;
  }
}

function isBefore(left: Timer, right: Timer): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.sequence < right.sequence);
}
