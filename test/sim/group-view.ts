/**
 * What one client is given by a queue group, held against the model: every delivery and every event in its place, and none that is not due.
 *
 * A lane that dies takes back what it had not said: its `lost` event, by which the stream begins anew, ends what was due of the old one.
 */
import { isDeepStrictEqual } from 'node:util';
import type { GroupItem } from './group-model.ts';
import type { TopicModel } from './model.ts';

export class GroupView {
  readonly name: string;
  readonly #items: readonly GroupItem[];
  #at: number;
  /** Dropped out of turn: events between them are still to come. */
  readonly #dropped = new Set<number>();
  readonly #fail: (what: string) => never;

  /** `items`: all that groups give the session on the topic, `at`: how many of them stood in front of the OK. */
  constructor(name: string, items: readonly GroupItem[], at: number, fail: (what: string) => never) {
    this.name = name;
    this.#items = items;
    this.#at = at;
    this.#fail = fail;
  }

  message(topic: TopicModel, ordinal: number, attempt: number): void {
    const due = this.#take();
    if (due?.kind !== 'message' || due.topic !== topic || due.ordinal !== ordinal || due.attempt !== attempt)
      this.#fail(`group ${this.name} gave message ${ordinal}, attempt ${attempt}; due is ${show(due)}`);
  }

  /** An event that the group tells its members. `isLeaving`: messages that waited in front of it may have been thrown away, events are not. */
  event(kind: string, data: unknown, isLeaving: boolean): void {
    let due = this.#take();
    while (isLeaving && due?.kind === 'message') due = this.#take();
    if (due === undefined || due.kind === 'message' || due.kind !== kind || !isDeepStrictEqual(due.data, data))
      this.#fail(`group ${this.name} said ${kind} ${JSON.stringify(data)}; due is ${show(due)}`);
  }

  /**
   * A slow consumer's policy has dropped `count` of the messages that were given. A skip stands where the first of them stood, and events are not
   * dropped: one between them comes behind it.
   */
  dropped(from: number, to: number, count: number): void {
    let at = this.#at;
    for (let left = count; left > 0; at++) {
      const due = this.#items[at];
      if (due === undefined) this.#fail(`skip [${from}, ${to}] of ${count} goes beyond what was given`);
      if (due.kind !== 'message' || this.#dropped.has(at)) continue;
      const offset = due.topic.hasHistory ? due.ordinal : 0;
      if (offset < from || offset > to) this.#fail(`skip [${from}, ${to}] reaches over message ${offset}`);
      this.#dropped.add(at);
      left--;
    }
  }

  #take(): GroupItem | undefined {
    this.#passDropped();
    return this.#items[this.#at++];
  }

  #passDropped(): void {
    while (this.#dropped.has(this.#at)) this.#at++;
  }

  /** The stream begins anew as `topic`. */
  restarted(topic: TopicModel, streams: readonly TopicModel[]): void {
    const isOlder = (item: GroupItem | undefined): boolean =>
      item !== undefined && streams.indexOf(item.topic) < streams.indexOf(topic);
    while (isOlder(this.#items[this.#at])) this.#at++;
  }

  /** What was given up to there and did not come, or null. */
  missing(when: string, itemIndex: number = this.#items.length): string | null {
    this.#passDropped();
    return this.#at < itemIndex ? `${when}: group ${this.name} gave ${show(this.#items[this.#at])}, which did not come` : null;
  }
}

function show(item: GroupItem | undefined): string {
  if (item === undefined) return 'nothing';
  return item.kind === 'message'
    ? `message ${item.ordinal} of ${item.topic.epoch}, attempt ${item.attempt}`
    : `${item.kind} ${JSON.stringify(item.data)}`;
}
