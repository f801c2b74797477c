/**
 * History of one topic: the newest messages, as bytes in slabs, bounded by count, bytes and age.
 *
 * Thread: the lane's; owned by its topic. Offsets are not stored: the log holds a run without gaps, so a message's offset is
 * the first one's plus its place.
 *
 *   entry in a slab: | entryBytes u32 | metaBytes u32 | atMs f64 | expiresAtMs f64 | meta … | payload … |
 */
import { assert } from '../base/assert.ts';
import type { Slab, SlabPool } from './slab-pool.ts';
import type { HistoryConfig } from './topic-config.ts';

const ENTRY_HEAD_BYTES = 24;

/** One kept message while a visitor looks at it: valid until the visitor returns. */
export interface KeptMessage {
  offset: number;
  /** Relay clock at the publish. */
  atMs: number;
  /** From then on it is not replayed; Infinity without a ttl. */
  expiresAtMs: number;
  bytes: Uint8Array;
  metaStart: number;
  payloadStart: number;
  payloadEnd: number;
}

export class HistoryLog {
  readonly #pool: SlabPool;
  readonly #config: HistoryConfig;
  /** Oldest first. Shifted from the front: few slabs, so an array does. */
  readonly #slabs: Slab[] = [];
  #count = 0;
  #bytes = 0;
  /** Offset of the newest kept message; meaningless while empty. */
  #newestOffset = 0;
  readonly #kept: KeptMessage = {
    offset: 0,
    atMs: 0,
    expiresAtMs: 0,
    bytes: new Uint8Array(0),
    metaStart: 0,
    payloadStart: 0,
    payloadEnd: 0,
  };

  constructor(pool: SlabPool, config: HistoryConfig) {
    this.#pool = pool;
    this.#config = config;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of kept meta and payload. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Oldest kept offset; only while `count > 0`. */
  get firstOffset(): number {
    return this.#newestOffset - this.#count + 1;
  }

  /** Appends the message with the next offset and evicts what the bounds no longer allow. Copies; the sources may be reused. */
  append(
    offset: number,
    atMs: number,
    ttlMs: number,
    meta: Uint8Array | null,
    source: Uint8Array,
    payloadStart: number,
    payloadEnd: number,
  ): void {
    assert(
      this.#count === 0 || offset === this.#newestOffset + 1,
      `history gap: newest=${this.#newestOffset}, appended=${offset}`,
    );
    const metaBytes = meta === null ? 0 : meta.length;
    const entryBytes = ENTRY_HEAD_BYTES + metaBytes + (payloadEnd - payloadStart);
    let slab = this.#slabs[this.#slabs.length - 1];
    if (slab === undefined || slab.bytes.length - slab.usedBytes < entryBytes) {
      slab = this.#pool.take(entryBytes, this.#slabs.length);
      this.#slabs.push(slab);
    }
    const start = slab.usedBytes;
    slab.view.setUint32(start, entryBytes, true);
    slab.view.setUint32(start + 4, metaBytes, true);
    slab.view.setFloat64(start + 8, atMs, true);
    slab.view.setFloat64(start + 16, atMs + ttlMs, true);
    if (meta !== null) slab.bytes.set(meta, start + ENTRY_HEAD_BYTES);
    slab.bytes.set(source.subarray(payloadStart, payloadEnd), start + ENTRY_HEAD_BYTES + metaBytes);
    slab.usedBytes = start + entryBytes;
    slab.messageCount++;
    this.#newestOffset = offset;
    this.#count++;
    this.#bytes += entryBytes - ENTRY_HEAD_BYTES;
    while (this.#count > this.#config.count || (this.#bytes > this.#config.bytes && this.#count > 0)) this.#evictOldest();
    this.evictExpired(atMs);
  }

  /** Evicts what is older than `ageMs`. */
  evictExpired(nowMs: number): void {
    const oldestMs = nowMs - this.#config.ageMs;
    while (this.#count > 0) {
      const slab = this.#slabs[0] as Slab;
      if (slab.view.getFloat64(slab.firstBytes + 8, true) >= oldestMs) return;
      this.#evictOldest();
    }
  }

  clear(): void {
    while (this.#count > 0) this.#evictOldest();
  }

  /** Calls `visit` for each kept message with an offset in [from, to], ascending; stops early when it answers false. */
  visit(from: number, to: number, visit: (message: KeptMessage) => boolean): void {
    let offset = this.firstOffset;
    for (const slab of this.#slabs) {
      if (offset + slab.messageCount <= from) {
        offset += slab.messageCount;
        continue;
      }
      let at = slab.firstBytes;
      for (let index = 0; index < slab.messageCount; index++, offset++) {
        if (offset > to) return;
        const entryBytes = slab.view.getUint32(at, true);
        if (offset >= from) {
          const kept = this.#kept;
          kept.offset = offset;
          kept.atMs = slab.view.getFloat64(at + 8, true);
          kept.expiresAtMs = slab.view.getFloat64(at + 16, true);
          kept.bytes = slab.bytes;
          kept.metaStart = at + ENTRY_HEAD_BYTES;
          kept.payloadStart = kept.metaStart + slab.view.getUint32(at + 4, true);
          kept.payloadEnd = at + entryBytes;
          if (!visit(kept)) return;
        }
        at += entryBytes;
      }
    }
  }

  /** Meta and payload bytes of the kept messages from `from` on: what a replay would send. */
  bytesFrom(from: number): number {
    if (from <= this.firstOffset) return this.#bytes;
    let bytes = 0;
    this.visit(from, Number.POSITIVE_INFINITY, (message) => {
      bytes += message.payloadEnd - message.metaStart;
      return true;
    });
    return bytes;
  }

  #evictOldest(): void {
    const slab = this.#slabs[0] as Slab;
    const entryBytes = slab.view.getUint32(slab.firstBytes, true);
    slab.firstBytes += entryBytes;
    slab.messageCount--;
    this.#count--;
    this.#bytes -= entryBytes - ENTRY_HEAD_BYTES;
    if (slab.messageCount === 0) {
      this.#slabs.shift();
      this.#pool.give(slab);
    }
  }
}
