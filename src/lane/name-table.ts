/**
 * Things found by the bytes of their name, without decoding the name: topics, services, methods.
 *
 * Thread: the lane's. Iterates in the order of the names' hashes' first arrival, which is the same in every run.
 */

export interface Named {
  readonly nameBytes: Uint8Array;
  /** hashBytes of the name. */
  readonly hash: number;
}

export class NameTable<T extends Named> {
  /** By hash of the name; the rare collision makes a chain. */
  readonly #byHash = new Map<number, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Hot. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): T | undefined {
    const chain = this.#byHash.get(hash);
    if (chain === undefined) return undefined;
    for (let index = 0; index < chain.length; index++) {
      const item = chain[index] as T;
      if (sameBytes(item.nameBytes, bytes, start, end)) return item;
    }
    return undefined;
  }

  add(item: T): void {
    const chain = this.#byHash.get(item.hash);
    if (chain === undefined) this.#byHash.set(item.hash, [item]);
    else chain.push(item);
    this.#size++;
  }

  remove(item: T): void {
    const chain = this.#byHash.get(item.hash);
    const index = chain?.indexOf(item) ?? -1;
    if (chain === undefined || index < 0) return;
    chain.splice(index, 1);
    if (chain.length === 0) this.#byHash.delete(item.hash);
    this.#size--;
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const chain of this.#byHash.values()) yield* chain;
  }
}

export function sameBytes(name: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (name.length !== length) return false;
  for (let index = 0; index < length; index++) if (name[index] !== bytes[start + index]) return false;
  return true;
}
