/**
 * Dead letters: messages that have had their last attempt, into a topic where somebody can look at them.
 *
 * Thread: the lane's. The default topic, `$dead.<topic>`, lives in this lane and takes everything. A topic of the subscriber's choice may live anywhere:
 * it is published to like any client would, by a command of the lane itself, and the message stays pending until that is answered. If it is refused
 * for now it is tried again; if it is refused for good, the default topic takes it.
 */
import { pack, packMessage, unpack } from '../../protocol/codec.ts';
import { WIRE_ERRORS, wireErrorName } from '../../protocol/codes.ts';
import { MessageHeader, scanMessage } from '../../protocol/header.ts';
import { checkNameText, NameKind } from '../../protocol/names.ts';
import { HEADER_BYTES_MAX, HEADERS_MAX } from '../../protocol/options.ts';
import { DEAD_LETTER_TOPIC_PREFIX } from '../../protocol/placement.ts';
import { MessageType } from '../../protocol/types.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';
import type { Topic } from '../topic.ts';
import type { AckGroup } from './ack-group.ts';
import type { GivenBack, Pending } from './pending.ts';

/** The lane's other commands count their ids from 1: no run of a process gets here. */
const FIRST_ID = 2 ** 52;
const RETRY_AFTER_MS = 250;

interface Burial {
  readonly group: AckGroup;
  readonly pending: Pending;
  readonly reason: GivenBack;
}

/** Where a topic's dead letters go if nobody says otherwise. Null: there is no such name (it would be too long, or the topic is the relay's own). */
export function defaultDeadLetter(topic: Topic): string | null {
  const name = DEAD_LETTER_TOPIC_PREFIX + topic.name;
  return !topic.isReserved && checkNameText(name) === NameKind.EXACT ? name : null;
}

export class DeadLetters {
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;
  /** Asked of other topics and not answered, by the command's id. */
  readonly #asked = new Map<number, Burial>();
  #nextId = FIRST_ID;
  readonly #header = new MessageHeader();

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    this.#topics = topics;
  }

  bury(burial: Burial): void {
    const { group, pending } = burial;
    if (group.deadLetter === null) return this.#buryByDefault(burial);
    const message = group.read(pending.offset);
    if (message === null) return group.lost(pending);
    const id = this.#nextId++;
    this.#asked.set(id, burial);
    const head = packMessage(MessageType.PUBLISH, id, group.deadLetter, { headers: headersOf(burial, message.meta) });
    head[0] = (head[0] as number) + 1; // The payload is the last element.
    this.#lane.out.request(head, message.payload);
  }

  /** Answers to what was asked, among those to the lane's other commands: `bytes[at, end)` holds one message or more. */
  replies(at: number): void {
    const { bytes, end } = this.#lane;
    const header = this.#header;
    while (this.#asked.size > 0 && at < end && scanMessage(bytes, at, end, header)) {
      const burial = this.#asked.get(header.id);
      this.#asked.delete(header.id);
      if (burial !== undefined && isUnderWay(burial)) {
        if (header.type === MessageType.OK) burial.group.buried(burial.pending);
        else this.#refused(burial, unpack(bytes.slice(at, header.end)) as unknown[]);
        burial.group.pump();
      }
      at = header.end;
    }
  }

  #refused(burial: Burial, [, , code, , details]: readonly unknown[]): void {
    if (!WIRE_ERRORS[wireErrorName(code as number)].retryable) return this.#buryByDefault(burial);
    const { timers, nowMs } = this.#lane;
    const { retryAfterMs = RETRY_AFTER_MS } = (details ?? {}) as { retryAfterMs?: number };
    timers.set(nowMs + retryAfterMs, () => {
      if (isUnderWay(burial)) this.bury(burial);
    });
  }

  #buryByDefault(burial: Burial): void {
    const { group, pending } = burial;
    const message = group.read(pending.offset);
    const name = defaultDeadLetter(group.topic);
    if (message === null || name === null) return group.lost(pending);
    group.buried(pending);
    this.#topics.publishOwn(name, message.payload, { headers: headersOf(burial, message.meta) });
  }
}

/** Or its group was forgotten meanwhile. */
function isUnderWay({ pending }: Burial): boolean {
  return pending.state.name === 'burying';
}

/** The message's own headers, if there is room for them in a PUBLISH, and what became of it. */
function headersOf({ group, pending, reason }: Burial, meta: Uint8Array | null): Readonly<Record<string, string>> {
  const facts = {
    topic: group.topic.name,
    offset: String(pending.offset),
    attempts: String(pending.attempt),
    reason,
    group: group.name,
  };
  const { headers = {} } = meta === null ? {} : (unpack(meta) as { headers?: Readonly<Record<string, string>> });
  const all = { ...headers, ...facts };
  return Object.keys(all).length <= HEADERS_MAX && pack(all).length <= HEADER_BYTES_MAX ? all : facts;
}
