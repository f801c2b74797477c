/** Fifo: a queue whose `shift` does not move the rest, so that a long buffer costs as little per message as a short one. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined; // Or a taken message would live as long as the queue.
    if (this.#head === this.#items.length) this.clear();
    else if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  last(): T | undefined {
    return this.#items[this.#items.length - 1]; // Never a taken slot: emptying resets the array.
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
