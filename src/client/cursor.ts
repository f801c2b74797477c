/**
 * Cursor: where one subscription stands in its topic's stream, by what it has received.
 *
 * Decides what is a duplicate, what is missing, and what to ask for when subscribing again. Pure: no sockets, no time.
 * The promise: an offset between two delivered ones was either named (skip, lost, own publish without echo) or is reported as a gap.
 */
import type { Position } from '../protocol/types.ts';

type Range = [from: number, to: number];

/** Continuity ended: what lay in `lost` (unknown where absent) will not come. The stream goes on behind `offset` of `epoch`. */
export interface ContinuityLoss {
  /**
   * From the relay: NO_HISTORY, EPOCH_CHANGED, EVICTED, TOO_MANY, OFFSET_AHEAD, FORBIDDEN, or the reason of a `lost` event.
   * From the client: GAP (offsets missing without a word), OVERFLOW (the subscription's own buffer was full).
   */
  readonly reason: string;
  readonly lost?: readonly [from: number, to: number];
  /** Messages lost, where known. */
  readonly count?: number;
  readonly epoch: string | null;
  readonly offset: number;
}

/** The answer to a SUBSCRIBE. */
export interface SubscribeResult {
  readonly sub: number;
  readonly epoch: string | null;
  readonly offset: number;
  readonly recovered?: boolean;
  readonly reason?: string;
  readonly lost?: readonly [number, number];
  readonly replay: number;
}

type CursorState =
  | { readonly name: 'fresh' }
  /** Joined with `last`: the first message says where the replay begins. */
  | { readonly name: 'floating'; readonly epoch: string }
  | { readonly name: 'at'; readonly epoch: string; offset: number }
  /** Joined a pattern, where every new join may have lost something, or a queue group, which keeps its own place: no positions. */
  | { readonly name: 'untracked'; readonly epoch: string | null };

/** Ranges that may arrive or not. More than a few stand open only while a conflated subscription lags. */
const EXCUSED_MAX = 64;

export class Cursor {
  #state: CursorState;
  readonly #last: number | undefined;
  readonly #isInGroup: boolean;
  /** Offsets that will perhaps never come and are no gap: own publishes without echo, conflated ones. In order, not overlapping. */
  #excused: Range[] = [];
  /** What `accept` or `skip` found missing just before; read it after each call. */
  gap: readonly [from: number, to: number] | null = null;

  constructor(since?: Position, last?: number, isInGroup = false) {
    this.#isInGroup = isInGroup;
    this.#state = since === undefined ? { name: 'fresh' } : { name: 'at', epoch: since.epoch, offset: since.offset };
    this.#last = last;
  }

  /** Last received, or null before the first join, on patterns, and before the first message of a `last`. */
  get position(): Position | null {
    return this.#state.name === 'at' ? { epoch: this.#state.epoch, offset: this.#state.offset } : null;
  }

  get epoch(): string | null {
    return 'epoch' in this.#state ? this.#state.epoch : null;
  }

  /** What to put into the next SUBSCRIBE. */
  wanted(): { since?: Position; last?: number } {
    const state = this.#state;
    if (state.name === 'at') return { since: { epoch: state.epoch, offset: state.offset } };
    return this.#last !== undefined && state.name !== 'untracked' ? { last: this.#last } : {};
  }

  joined(result: SubscribeResult): ContinuityLoss | null {
    const { epoch, offset, recovered, reason, lost, replay } = result;
    const state = this.#state;
    if (state.name === 'at' && recovered === true) return null;
    this.#excused = [];
    if (this.#isInGroup || epoch === null) this.#state = { name: 'untracked', epoch };
    else if (state.name !== 'at' && state.name !== 'untracked' && this.#last !== undefined && replay > 0)
      this.#state = { name: 'floating', epoch };
    else this.#state = { name: 'at', epoch, offset };
    const hadPlace = !this.#isInGroup && (state.name === 'at' || state.name === 'untracked');
    return hadPlace ? { reason: reason ?? 'NO_HISTORY', ...(lost ? { lost } : {}), epoch, offset } : null;
  }

  /** Hot. A message with this offset: true if it is new, and `gap` if something is missing before it. */
  accept(offset: number): boolean {
    this.gap = null;
    const state = this.#state;
    if (offset === 0 || state.name === 'fresh' || state.name === 'untracked') return true; // A topic without history.
    if (state.name === 'floating') {
      this.#state = { name: 'at', epoch: state.epoch, offset };
      return true;
    }
    if (offset <= state.offset) return false;
    if (offset > state.offset + 1) this.gap = this.#missing(state.offset + 1, offset - 1);
    this.#moveTo(state, offset);
    return true;
  }

  /** `count` of the messages in [from, to] will not come. False: old news. */
  skip(from: number, to: number, count: number): boolean {
    this.gap = null;
    const state = this.#state;
    if (to === 0 || state.name === 'fresh' || state.name === 'untracked') return true;
    if (state.name === 'floating') this.#state = { name: 'at', epoch: state.epoch, offset: to };
    else if (to <= state.offset) return false;
    else if (count < to - from + 1)
      this.#excuse(from, to); // Some of the range will come yet (conflation by key): moving on would drop them as duplicates.
    else {
      this.gap = this.#missing(state.offset + 1, from - 1);
      this.#moveTo(state, to);
    }
    return true;
  }

  /** The relay's `lost` event. Null: old news. */
  lost(loss: ContinuityLoss): ContinuityLoss | null {
    const state = this.#state;
    if (state.name === 'at' && loss.lost && loss.epoch === state.epoch && loss.lost[1] <= state.offset) return null;
    this.#excused = [];
    const { epoch, offset } = loss;
    this.#state = this.#isInGroup || epoch === null ? { name: 'untracked', epoch } : { name: 'at', epoch, offset };
    return loss;
  }

  /** An own publish was given this offset. If no message of it came before its OK, then none will (no echo): its offset is no gap. */
  ownPublish(epoch: string, offset: number): void {
    const state = this.#state;
    if (state.name === 'at' && state.epoch === epoch && offset > state.offset) this.#excuse(offset, offset);
  }

  #excuse(from: number, to: number): void {
    const last = this.#excused.at(-1);
    if (last && from <= last[1] + 1) {
      last[0] = Math.min(last[0], from);
      last[1] = Math.max(last[1], to);
    } else this.#excused.push([from, to]);
    if (this.#excused.length > EXCUSED_MAX) this.#excused.shift();
  }

  #moveTo(state: { offset: number }, offset: number): void {
    state.offset = offset;
    while (this.#excused.length > 0 && (this.#excused[0] as Range)[1] <= offset) this.#excused.shift();
  }

  /** The hull of what nobody excused in [from, to]. */
  #missing(from: number, to: number): Range | null {
    for (const [excusedFrom, excusedTo] of this.#excused) if (excusedFrom <= from && from <= excusedTo) from = excusedTo + 1;
    for (const [excusedFrom, excusedTo] of [...this.#excused].reverse())
      if (excusedFrom <= to && to <= excusedTo) to = excusedFrom - 1;
    return from <= to ? [from, to] : null;
  }
}
