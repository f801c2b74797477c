/** The queue groups of one topic, by name and by session. Thread: the lane's; a topic without groups has none of these. */
import type { QueueGroup } from './queue-group.ts';

export class TopicGroups {
  readonly #byName = new Map<string, QueueGroup>();
  readonly #bySession = new Map<number, QueueGroup>();

  get size(): number {
    return this.#byName.size;
  }

  find(name: string): QueueGroup | undefined {
    return this.#byName.get(name);
  }

  /** The group that the session is in. */
  of(session: number): QueueGroup | undefined {
    return this.#bySession.get(session);
  }

  add(group: QueueGroup): void {
    this.#byName.set(group.name, group);
  }

  remove(group: QueueGroup): void {
    this.#byName.delete(group.name);
  }

  enter(session: number, group: QueueGroup): void {
    this.#bySession.set(session, group);
  }

  leave(session: number): void {
    this.#bySession.delete(session);
  }

  /** Hot. To each group, the message with the topic's newest offset. */
  published(meta: Uint8Array | null, source: Uint8Array, start: number, end: number): void {
    for (const group of this.#byName.values()) group.published(meta, source, start, end);
  }
}
