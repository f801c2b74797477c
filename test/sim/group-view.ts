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
  readonly #fail: (what: string) => never;

  /** `items`: all that groups give the session on the topic, `at`: how many of them stood in front of the OK. */
  constructor(name: string, items: readonly GroupItem[], at: number, fail: (what: string) => never) {
    this.name = name;
    this.#items = items;
    this.#at = at;
    this.#fail = fail;
  }

  message(topic: TopicModel, ordinal: number, attempt: number): void {
    const due = this.#items[this.#at++];
    if (due?.kind !== 'message' || due.topic !== topic || due.ordinal !== ordinal || due.attempt !== attempt)
      this.#fail(`group ${this.name} gave message ${ordinal}, attempt ${attempt}; due is ${show(due)}`);
  }

  /** An event that the group tells its members. `isLeaving`: messages that waited in front of it may have been thrown away, events are not. */
  event(kind: string, data: unknown, isLeaving: boolean): void {
    while (isLeaving && this.#items[this.#at]?.kind === 'message') this.#at++;
    const due = this.#items[this.#at++];
    if (due === undefined || due.kind === 'message' || due.kind !== kind || !isDeepStrictEqual(due.data, data))
      this.#fail(`group ${this.name} said ${kind} ${JSON.stringify(data)}; due is ${show(due)}`);
  }

  /** A slow consumer's policy has dropped `count` of what was given. */
  dropped(from: number, to: number, count: number): void {
    for (let left = count; left > 0; left--) {
      const due = this.#items[this.#at++];
      if (due?.kind !== 'message') this.#fail(`skip [${from}, ${to}] of ${count} goes beyond what was given: ${show(due)}`);
      const offset = due.topic.hasHistory ? due.ordinal : 0;
      if (offset < from || offset > to) this.#fail(`skip [${from}, ${to}] reaches over message ${offset}`);
    }
  }

  /** The stream begins anew as `topic`. */
  restarted(topic: TopicModel, streams: readonly TopicModel[]): void {
    const isOlder = (item: GroupItem | undefined): boolean =>
      item !== undefined && streams.indexOf(item.topic) < streams.indexOf(topic);
    while (isOlder(this.#items[this.#at])) this.#at++;
  }

  /** What was given up to there and did not come, or null. */
  missing(when: string, itemIndex: number = this.#items.length): string | null {
    return this.#at < itemIndex ? `${when}: group ${this.name} gave ${show(this.#items[this.#at])}, which did not come` : null;
  }
}

function show(item: GroupItem | undefined): string {
  if (item === undefined) return 'nothing';
  return item.kind === 'message'
    ? `message ${item.ordinal} of ${item.topic.epoch}, attempt ${item.attempt}`
    : `${item.kind} ${JSON.stringify(item.data)}`;
}
