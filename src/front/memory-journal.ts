/**
 * The journal in memory: survives a lane, not the process.
 *
 * Thread: front only. Bounded by what the lanes keep: they forget a key when its run is over and no longer kept.
 */
import type { Journal } from './ports.ts';

interface Entries {
  readonly key: string;
  readonly entries: Uint8Array[];
}

export class MemoryJournal implements Journal {
  /** By lane, by key, in the order in which the keys came. */
  readonly #lanes = new Map<number, Map<string, Entries>>();
  #bytes = 0;
  #entryCount = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  append(lane: number, key: string, entry: Uint8Array): void {
    let keys = this.#lanes.get(lane);
    if (keys === undefined) {
      keys = new Map();
      this.#lanes.set(lane, keys);
    }
    const known = keys.get(key);
    if (known === undefined) keys.set(key, { key, entries: [entry] });
    else known.entries.push(entry);
    this.#bytes += entry.length;
    this.#entryCount++;
  }

  forget(lane: number, key: string): void {
    const known = this.#lanes.get(lane)?.get(key);
    if (known === undefined) return;
    for (const entry of known.entries) this.#bytes -= entry.length;
    this.#entryCount -= known.entries.length;
    this.#lanes.get(lane)?.delete(key);
  }

  *entriesOf(lane: number): Iterable<Uint8Array> {
    for (const { entries } of this.#lanes.get(lane)?.values() ?? []) yield* entries;
  }
}
