/**
 * A topic: its stream, subscribers, presence and idempotency window; and the table that finds it by its name's bytes.
 *
 * Thread: the lane's. The table is keyed by hash and bytes, so that the hot path makes no string of a name.
 */

import { seededId } from '../base/ids.ts';
import type { Prng } from '../base/prng.ts';
import { publishResultPrefix } from '../protocol/encode.ts';
import { isReserved } from '../protocol/names.ts';
import { DedupWindow } from './dedup-window.ts';
import type { TopicGroups } from './groups/topic-groups.ts';
import { HistoryLog } from './history-log.ts';
import { NameTable } from './name-table.ts';
import { NO_SUBS, type PatternTable } from './pattern-table.ts';
import { Presence } from './presence.ts';
import type { SlabPool } from './slab-pool.ts';
import type { TopicConfig } from './topic-config.ts';

const EPOCH_LENGTH = 10; // 50 bits: two streams under one name must not look alike, and it travels in every publish's answer.

export class Topic {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly hash: number;
  /** Changes once at most: a stream that was rebuilt before its subscriptions were restored gets the number that clients know. */
  sub: number;
  readonly config: TopicConfig;
  readonly epoch: string;
  /** Front of a publish's OK: `{epoch, [duplicate,] offset:`. */
  readonly okPrefix: Uint8Array;
  readonly duplicatePrefix: Uint8Array;
  readonly history: HistoryLog | null;
  /** A name of the relay's own: nobody else publishes there. */
  readonly isReserved: boolean;
  /** Sessions subscribed by this exact name, plainly: those in queue groups are their groups'. */
  readonly sessions = new Set<number>();
  /** Null: it has no queue group. */
  groups: TopicGroups | null = null;
  /** Newest offset given out; stays 0 without history. */
  offset = 0;
  lastUsedMs: number;
  #dedup: DedupWindow | null = null;
  #presence: Presence | null = null;
  #patternSubs: readonly number[] = NO_SUBS;
  #patternVersion = 0;

  constructor(
    name: string,
    nameBytes: Uint8Array,
    hash: number,
    sub: number,
    config: TopicConfig,
    prng: Prng,
    slabs: SlabPool,
    nowMs: number,
    epoch: string = seededId(prng, EPOCH_LENGTH),
  ) {
    this.name = name;
    this.nameBytes = nameBytes;
    this.hash = hash;
    this.sub = sub;
    this.config = config;
    this.epoch = epoch;
    this.okPrefix = publishResultPrefix(this.epoch, false);
    this.duplicatePrefix = publishResultPrefix(this.epoch, true);
    this.history = config.history.count > 0 && config.history.bytes > 0 ? new HistoryLog(slabs, config.history) : null;
    this.isReserved = isReserved(nameBytes, 0);
    this.lastUsedMs = nowMs;
  }

  /** Oldest offset kept; `offset + 1` when none is. */
  get first(): number {
    return this.history === null || this.history.count === 0 ? this.offset + 1 : this.history.firstOffset;
  }

  /** Made at the first key: most topics never see one. */
  get dedup(): DedupWindow {
    return (this.#dedup ??= new DedupWindow());
  }
  get dedupKnown(): DedupWindow | null {
    return this.#dedup;
  }

  get presence(): Presence {
    return (this.#presence ??= new Presence());
  }
  get presenceKnown(): Presence | null {
    return this.#presence;
  }

  /** Hot. Subs of the patterns that match this topic. */
  patternSubs(patterns: PatternTable): readonly number[] {
    if (this.#patternVersion !== patterns.version) {
      this.#patternSubs = patterns.subsMatching(this.name);
      this.#patternVersion = patterns.version;
    }
    return this.#patternSubs;
  }

  /** Nobody would notice if it were forgotten now, but for its epoch. */
  isIdle(nowMs: number): boolean {
    this.history?.evictExpired(nowMs);
    this.#dedup?.expire(nowMs);
    return (
      this.sessions.size === 0 &&
      this.groups === null &&
      (this.history === null || this.history.count === 0) &&
      (this.#dedup === null || this.#dedup.size === 0) &&
      (this.#presence === null || this.#presence.count === 0)
    );
  }
}

export class TopicTable extends NameTable<Topic> {}
