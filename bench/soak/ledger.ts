/**
 * The books of a soak: what each reader was owed of each topic, and what became of it.
 *
 *   registry   per topic the epochs in the order in which they were first heard of, and the newest offset that a publisher has an OK for
 *   ledger     one reader and topic: how far it got in each epoch, what was skipped, where continuity was said to have ended
 *
 * A message is delivered (its offset came, in its place), skipped (a `skip` named it) or named (a `lost` event or a SUBSCRIBE's reason ended the
 * stretch that it lay in). What is none of these is unreported, and there must be none of it.
 */

export class Registry {
  readonly #topics = new Map<string, Map<string, number>>();

  /** Heard of, by a publisher's OK (its offset) or by a reader (0). */
  note(topic: string, epoch: string, ackedOffset: number): void {
    let epochs = this.#topics.get(topic);
    if (epochs === undefined) {
      epochs = new Map();
      this.#topics.set(topic, epochs);
    }
    epochs.set(epoch, Math.max(epochs.get(epoch) ?? 0, ackedOffset));
  }

  /** `[epoch, newest acknowledged offset]`, oldest epoch first. */
  epochsOf(topic: string): readonly (readonly [string, number])[] {
    return [...(this.#topics.get(topic) ?? [])];
  }
}

/** Of one epoch: offsets in (from, upTo] came or were skipped. */
interface Stretch {
  readonly from: number;
  upTo: number;
  /** Continuity was said to have ended here: the rest of the epoch is named. */
  isEnded: boolean;
}

export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

export interface LedgerFigures {
  delivered: number;
  skipped: number;
  named: number;
  /** Neither delivered nor named: the fault that a soak looks for. */
  unreported: number;
  duplicated: number;
}

export class Ledger {
  readonly topic: string;
  readonly #registry: Registry;
  readonly #stretches = new Map<string, Stretch>();
  #epoch = '';
  #delivered = 0;
  #skipped = 0;
  /** Inside an epoch, by a break that did not end it. */
  #named = 0;
  #silent = 0;
  #duplicated = 0;
  /** Ends of continuity, by reason. */
  readonly breaks: Record<string, number> = {};

  constructor(topic: string, registry: Registry) {
    this.topic = topic;
    this.#registry = registry;
  }

  /** For SUBSCRIBE's `since`; null before the first OK. */
  get position(): Position | null {
    const stretch = this.#stretches.get(this.#epoch);
    return stretch === undefined ? null : { epoch: this.#epoch, offset: stretch.upTo };
  }

  /** The OK of a SUBSCRIBE that was sent with `position` as it is now. */
  subscribed(epoch: string, offset: number, recovered: boolean, reason: string): void {
    if (this.position !== null && recovered) return; // The replay moves the position.
    if (this.position !== null) this.#break(reason);
    this.#begin(epoch, offset);
  }

  lost(reason: string, epoch: string, offset: number): void {
    this.#break(reason);
    this.#begin(epoch, offset);
  }

  message(offset: number): void {
    const stretch = this.#stretches.get(this.#epoch);
    if (stretch === undefined) return void this.#silent++; // Before any OK: of no stream that we know.
    if (offset <= stretch.upTo) return void this.#duplicated++;
    this.#silent += offset - stretch.upTo - 1;
    stretch.upTo = offset;
    this.#delivered++;
  }

  skip(from: number, to: number, count: number): void {
    const stretch = this.#stretches.get(this.#epoch);
    if (stretch === undefined || from <= stretch.upTo) return void this.#duplicated++;
    this.#silent += from - stretch.upTo - 1;
    // A skip that names fewer than its range leaves the others owed, and nothing here uses `conflateBy`: they would not come.
    this.#silent += to - from + 1 - count;
    this.#skipped += count;
    stretch.upTo = to;
  }

  /** Everything acknowledged so far, in the epoch that it is in. */
  get hasAll(): boolean {
    const newest = this.#registry.epochsOf(this.topic).at(-1);
    const position = this.position;
    return newest === undefined || (position !== null && position.epoch === newest[0] && position.offset >= newest[1]);
  }

  /** The account, once nothing more comes. */
  close(): LedgerFigures {
    let named = this.#named;
    let unreported = this.#silent;
    let isOwed = false;
    const epochs = this.#registry.epochsOf(this.topic);
    const lastSeen = epochs.findLastIndex(([epoch]) => this.#stretches.has(epoch));
    for (const [index, [epoch, acked]] of epochs.entries()) {
      const stretch = this.#stretches.get(epoch);
      if (stretch === undefined) {
        // It came and went while the reader was away. Coming back it was told that continuity had ended, if it ever came back.
        if (!isOwed) continue;
        if (index < lastSeen) named += acked;
        else unreported += acked;
        continue;
      }
      // What an epoch had before the reader came: nobody owed it that, or the break before it has named it.
      if (isOwed) named += stretch.from;
      isOwed = true;
      const rest = Math.max(acked - stretch.upTo, 0);
      if (stretch.isEnded) named += rest;
      else unreported += rest;
    }
    return { delivered: this.#delivered, skipped: this.#skipped, named, unreported, duplicated: this.#duplicated };
  }

  #break(reason: string): void {
    this.breaks[reason] = (this.breaks[reason] ?? 0) + 1;
    const stretch = this.#stretches.get(this.#epoch);
    if (stretch !== undefined) stretch.isEnded = true;
  }

  #begin(epoch: string, offset: number): void {
    this.#registry.note(this.topic, epoch, 0);
    const known = this.#stretches.get(epoch);
    if (known === undefined) this.#stretches.set(epoch, { from: offset, upTo: offset, isEnded: false });
    else {
      // The same epoch after a break inside it (TOO_MANY, EVICTED): what lies between is named by that.
      this.#named += Math.max(offset - known.upTo, 0);
      known.upTo = Math.max(known.upTo, offset);
      known.isEnded = false;
    }
    this.#epoch = epoch;
  }
}
