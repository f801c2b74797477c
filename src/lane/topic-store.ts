/**
 * The topics of a lane: found by name, made at first use, forgotten when nobody would miss them; and the bounds on their number and history.
 *
 * Thread: the lane's; owned by the lane. Deterministic: epochs come from the lane's seed, victims from the order of creation.
 */
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { RelayError } from '../protocol/errors.ts';
import { checkName, NameKind, nameProblem } from '../protocol/names.ts';
import { LaneMetric } from './lane-metrics.ts';
import type { LaneOptions } from './lane-options.ts';
import { SlabPool } from './slab-pool.ts';
import { Topic, TopicTable } from './topic.ts';
import { TopicConfigs } from './topic-config.ts';

/** Topics looked at per tick for idleness, and at the topic bound for one that may go: bounds the pause, not the memory. */
const SWEEP_TOPICS_MAX = 256;
const EVICTION_SAMPLES = 8;
/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export class TopicStore {
  readonly #options: LaneOptions;
  readonly #metrics: Float64Array;
  readonly #prng: Prng;
  readonly #configs: TopicConfigs;
  readonly #slabs = new SlabPool();
  readonly #table = new TopicTable();
  readonly #subStride: number;
  #nextSub: number;
  #sweep: Iterator<Topic>;

  constructor(options: LaneOptions, metrics: Float64Array) {
    this.#options = options;
    this.#metrics = metrics;
    this.#prng = new Prng(options.seed, options.index);
    this.#configs = new TopicConfigs(options.topicRules);
    // Lanes and the front's patterns share the numbers by residue, so that no two owners give out the same one.
    this.#subStride = options.laneCount + 1;
    this.#nextSub = options.firstSub;
    assert(options.firstSub % this.#subStride === options.index, `firstSub ${options.firstSub} is not lane ${options.index}'s`);
    this.#sweep = this.#table[Symbol.iterator]();
  }

  get size(): number {
    return this.#table.size;
  }
  get historyBytes(): number {
    return this.#slabs.bytesInUse;
  }
  get historyBytesReserved(): number {
    return this.#slabs.bytesReserved;
  }

  /** Hot. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): Topic | undefined {
    return this.#table.find(hash, bytes, start, end);
  }

  /** The topic of that name, made if need be. BAD_REQUEST for what is no exact name, LIMIT at `topicsMax`. */
  findOrMake(hash: number, bytes: Uint8Array, start: number, end: number, nowMs: number): Topic {
    const known = this.#table.find(hash, bytes, start, end);
    if (known !== undefined) return known;
    const kind = checkName(bytes, start, end);
    if (kind === NameKind.INVALID) throw new RelayError('BAD_REQUEST', `bad topic: ${nameProblem()}`);
    if (kind === NameKind.PATTERN) throw new RelayError('BAD_REQUEST', 'a pattern can only be subscribed to');
    if (!this.#hasRoom(nowMs)) {
      this.#metrics[LaneMetric.topicsRefused]!++;
      throw new RelayError('LIMIT', 'no more topics', { topicsMax: this.#options.topicsMax });
    }
    const sub = this.#nextSub;
    this.#nextSub += this.#subStride;
    return this.#make(bytes.slice(start, end), hash, sub, nowMs);
  }

  /** The topic under the number that clients know it by, after this lane took another's place. */
  restore(hash: number, nameBytes: Uint8Array, sub: number, nowMs: number): Topic {
    const known = this.#table.find(hash, nameBytes, 0, nameBytes.length);
    if (known === undefined) return this.#make(nameBytes, hash, sub, nowMs);
    known.sub = sub; // One of the relay's own, rebuilt just now under a number that nobody has seen.
    return known;
  }

  /** A topic of the relay's own: made whatever `topicsMax` says, or the relay could not tell of what it does. `epoch`: of a stream that is rebuilt. */
  own(hash: number, nameBytes: Uint8Array, nowMs: number, epoch?: string): Topic {
    const known = this.#table.find(hash, nameBytes, 0, nameBytes.length);
    if (known !== undefined) return known;
    const sub = this.#nextSub;
    this.#nextSub += this.#subStride;
    return this.#make(nameBytes, hash, sub, nowMs, epoch);
  }

  /** Is the topic there, or may it be made within `topicsMax`? */
  hasRoomFor(hash: number, nameBytes: Uint8Array, nowMs: number): boolean {
    return this.#table.find(hash, nameBytes, 0, nameBytes.length) !== undefined || this.#hasRoom(nowMs);
  }

  #hasRoom(nowMs: number): boolean {
    return this.#table.size < this.#options.topicsMax || this.#dropOneIdle(nowMs);
  }

  /** Forgets topics that nobody would miss, a bounded number per call. */
  sweepIdle(nowMs: number): void {
    for (let looked = 0; looked < SWEEP_TOPICS_MAX; looked++) {
      const next = this.#sweep.next();
      if (next.done === true) {
        this.#sweep = this.#table[Symbol.iterator]();
        return;
      }
      const topic = next.value;
      if (topic.lastUsedMs + this.#options.topicIdleMs <= nowMs && topic.isIdle(nowMs)) this.#forget(topic);
    }
  }

  /** Hot. Holds the lane's history bound: over it, the least recently used of a few sampled topics loses its history, until it fits. */
  keepHistoryBound(current: Topic): void {
    if (this.#slabs.bytesInUse > this.#options.historyBytesMax) this.#evictHistories(current);
  }

  #make(nameBytes: Uint8Array, hash: number, sub: number, nowMs: number, epoch?: string): Topic {
    const name = TEXT.decode(nameBytes);
    const topic = new Topic(name, nameBytes, hash, sub, this.#configs.resolve(name), this.#prng, this.#slabs, nowMs, epoch);
    this.#table.add(topic);
    return topic;
  }

  /** At the bound a topic may go that is idle now, however short; only its epoch is lost by that. */
  #dropOneIdle(nowMs: number): boolean {
    for (let looked = 0; looked < SWEEP_TOPICS_MAX; looked++) {
      const next = this.#sweep.next(); // On from where the last look ended: the first topics may be busy for ever.
      if (next.done === true) this.#sweep = this.#table[Symbol.iterator]();
      else if (next.value.isIdle(nowMs)) {
        this.#forget(next.value);
        return true;
      }
    }
    return false;
  }

  #forget(topic: Topic): void {
    topic.history?.clear();
    this.#table.remove(topic);
    this.#metrics[LaneMetric.topicsEvictedIdle]!++;
  }

  #evictHistories(current: Topic): void {
    while (this.#slabs.bytesInUse > this.#options.historyBytesMax) {
      const victim = this.#sampleOldest(current) ?? current;
      victim.history?.clear();
      this.#metrics[LaneMetric.historiesEvicted]!++;
      if (victim === current) return;
    }
  }

  #sampleOldest(current: Topic): Topic | undefined {
    let oldest: Topic | undefined;
    let sampled = 0;
    let wrapped = false;
    while (sampled < EVICTION_SAMPLES) {
      const next = this.#sweep.next();
      if (next.done === true) {
        if (wrapped) break;
        wrapped = true;
        this.#sweep = this.#table[Symbol.iterator]();
      } else if (next.value !== current && (next.value.history?.count ?? 0) > 0) {
        sampled++;
        if (oldest === undefined || next.value.lastUsedMs < oldest.lastUsedMs) oldest = next.value;
      }
    }
    return oldest;
  }
}
