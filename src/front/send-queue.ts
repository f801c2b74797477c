/**
 * Send queue of one slow connection: what waits for its socket, and what its subscriptions' policies do when that is too much.
 *
 * Thread: front only. Exists only while the transport has buffered bytes of this connection, so it costs fast clients nothing.
 * Everything waits in one order. Dropping a message turns its place into a gap, which goes out as a `skip` event; gaps of one
 * stream (subscription and topic) that stand next to each other in that stream become one.
 */
import { pack } from '../protocol/codec.ts';
import { readMessageHead, readMessageHeader } from '../protocol/message-head.ts';
import { MessageType } from '../protocol/types.ts';
import type { DropReason } from './front-metrics.ts';
import type { Member } from './hub.ts';

/** What a gap counts for against the bound; about what its event will take. */
const GAP_BYTES = 64;

interface Gap {
  from: number;
  to: number;
  count: number;
  reason: DropReason;
}

interface Entry {
  previous: Entry | null;
  next: Entry | null;
  /** Neighbours in the entry's stream; null for what belongs to none (replies, events). */
  streamPrevious: Entry | null;
  streamNext: Entry | null;
  readonly stream: Stream | null;
  frame: Uint8Array | null;
  gap: Gap | null;
  readonly offset: number;
  readonly conflateKey: string;
}

/** The waiting messages of one subscription and topic. */
interface Stream {
  readonly member: Member;
  /** '' on an exact subscription. */
  readonly topic: string;
  last: Entry | null;
  /** Policy conflate: the one waiting message per key. */
  readonly latest: Map<string, Entry>;
}

export class SendQueue {
  #first: Entry | null = null;
  #last: Entry | null = null;
  #bytes = 0;
  readonly #streams = new Map<Member, Map<string, Stream>>();
  readonly #onDrop: (reason: DropReason, member: Member, topic: string, count: number) => void;

  constructor(onDrop: (reason: DropReason, member: Member, topic: string, count: number) => void) {
    this.#onDrop = onDrop;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#first === null;
  }

  /** A reply, event or control message: takes its place, whatever the policies say. `frame` is kept. */
  pushControl(frame: Uint8Array): void {
    this.#append({
      previous: null,
      next: null,
      streamPrevious: null,
      streamNext: null,
      stream: null,
      frame,
      gap: null,
      offset: 0,
      conflateKey: '',
    });
    this.#bytes += frame.length;
  }

  /**
   * A MESSAGE for `member`. `frame` is kept. Answers what the caller must do: nothing, close the connection, or pause the member
   * (nothing was queued then; `pausedAfter` is the offset before this message's).
   */
  pushMessage(member: Member, frame: Uint8Array, bytesMax: number): 'queued' | 'dropped' | 'disconnect' | 'pause' {
    const head = readMessageHead(frame);
    const stream = this.#stream(member, head.topic);
    const fits = this.#bytes + frame.length <= bytesMax;
    switch (member.policy) {
      case 'disconnect':
        if (!fits) return this.#refuse(stream);
        break;
      case 'pause':
        if (!fits) {
          member.pausedAfter = head.offset - 1;
          return 'pause';
        }
        break;
      case 'dropNewest':
        if (!fits) {
          this.#appendGap(stream, head.offset, 'dropNewest');
          return 'dropped';
        }
        break;
      case 'dropOldest':
        while (this.#bytes + frame.length > bytesMax) {
          const oldest = this.#oldestMessage(member);
          if (oldest === null) {
            // Others fill the queue, or this message alone is larger than the bound: there is nothing older of ours to give up.
            this.#appendGap(stream, head.offset, 'dropOldest');
            return 'dropped';
          }
          this.#drop(oldest, 'dropOldest');
        }
        break;
      case 'conflate': {
        const key = member.conflateBy === null ? '' : readMessageHeader(frame, head.metaStart, member.conflateBy);
        const waiting = stream.latest.get(key);
        if (waiting !== undefined) this.#drop(waiting, 'conflate');
        // Too many keys for the bound: the latest of each cannot all be kept, and conflating may not drop a trailing edge.
        if (this.#bytes + frame.length > bytesMax) return this.#refuse(stream);
        stream.latest.set(key, this.#appendMessage(stream, frame, head.offset, key));
        return 'queued';
      }
      default:
        return member.policy satisfies never;
    }
    this.#appendMessage(stream, frame, head.offset, '');
    return 'queued';
  }

  /** The next frame to send, or null. A gap is encoded as it is now: it may still grow until it is shifted. */
  peek(): Uint8Array | null {
    const entry = this.#first;
    if (entry === null) return null;
    return entry.gap === null ? entry.frame : encodeSkip(entry.stream as Stream, entry.gap);
  }

  /** Removes what `peek` showed. */
  shift(): void {
    const entry = this.#first;
    if (entry === null) return;
    this.#unlink(entry);
    this.#bytes -= entry.gap === null ? (entry.frame as Uint8Array).length : GAP_BYTES;
  }

  /**
   * Something is queued now that a gap may not reach across: the OK of a new SUBSCRIBE, or a lost event. What waits stays where it is and
   * as it is; messages from now on are another run, whose offsets may begin anew.
   */
  breakStreams(member: Member): void {
    this.#streams.delete(member);
  }

  /** The member unsubscribed: what waits for it goes without a trace on the wire; nothing of its sub follows the OK. */
  forget(member: Member): void {
    for (let entry = this.#first; entry !== null; ) {
      const next: Entry | null = entry.next;
      if (entry.stream?.member === member) {
        this.#unlink(entry);
        this.#bytes -= entry.gap === null ? (entry.frame as Uint8Array).length : GAP_BYTES;
      }
      entry = next;
    }
    this.#streams.delete(member);
  }

  /** The connection is gone: what waited is counted as `reason`. */
  abandon(reason: DropReason): void {
    for (let entry = this.#first; entry !== null; entry = entry.next) {
      if (entry.stream !== null && entry.gap === null) this.#onDrop(reason, entry.stream.member, entry.stream.topic, 1);
    }
    this.#first = this.#last = null;
    this.#streams.clear();
    this.#bytes = 0;
  }

  /** The message is lost with the connection that it does not fit into. */
  #refuse(stream: Stream): 'disconnect' {
    this.#onDrop('disconnect', stream.member, stream.topic, 1);
    return 'disconnect';
  }

  #stream(member: Member, topic: string): Stream {
    let streams = this.#streams.get(member);
    if (streams === undefined) this.#streams.set(member, (streams = new Map()));
    let stream = streams.get(topic);
    if (stream === undefined) streams.set(topic, (stream = { member, topic, last: null, latest: new Map() }));
    return stream;
  }

  #oldestMessage(member: Member): Entry | null {
    for (let entry = this.#first; entry !== null; entry = entry.next) {
      if (entry.stream?.member === member && entry.gap === null) return entry;
    }
    return null;
  }

  /** Hot. */
  #appendMessage(stream: Stream, frame: Uint8Array, offset: number, conflateKey: string): Entry {
    this.#bytes += frame.length;
    return this.#appendTo(stream, frame, null, offset, conflateKey);
  }

  #appendGap(stream: Stream, offset: number, reason: DropReason): void {
    this.#onDrop(reason, stream.member, stream.topic, 1);
    const gap = { from: offset, to: offset, count: 1, reason };
    const lastGap = stream.last?.gap;
    if (lastGap && continues(lastGap, offset)) {
      widen(lastGap, gap);
      return;
    }
    this.#bytes += GAP_BYTES;
    this.#appendTo(stream, null, gap, offset, '');
  }

  #appendTo(stream: Stream, frame: Uint8Array | null, gap: Gap | null, offset: number, conflateKey: string): Entry {
    const entry: Entry = {
      previous: null,
      next: null,
      streamPrevious: stream.last,
      streamNext: null,
      stream,
      frame,
      gap,
      offset,
      conflateKey,
    };
    if (stream.last !== null) stream.last.streamNext = entry;
    stream.last = entry;
    this.#append(entry);
    return entry;
  }

  /** Turns a waiting message into a gap and joins it with its neighbours in the stream. */
  #drop(entry: Entry, reason: DropReason): void {
    const stream = entry.stream as Stream;
    this.#onDrop(reason, stream.member, stream.topic, 1);
    this.#bytes -= (entry.frame as Uint8Array).length - GAP_BYTES;
    entry.frame = null;
    entry.gap = { from: entry.offset, to: entry.offset, count: 1, reason };
    if (stream.latest.get(entry.conflateKey) === entry) stream.latest.delete(entry.conflateKey);
    const before = entry.streamPrevious;
    if (before?.gap && continues(before.gap, entry.offset)) {
      widen(before.gap, entry.gap);
      this.#unlink(entry);
      this.#bytes -= GAP_BYTES;
      entry = before;
    }
    const after = entry.streamNext;
    if (after?.gap && continues(entry.gap as Gap, after.gap.from)) {
      widen(entry.gap as Gap, after.gap);
      this.#unlink(after);
      this.#bytes -= GAP_BYTES;
    }
  }

  #append(entry: Entry): void {
    entry.previous = this.#last;
    if (this.#last === null) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
  }

  #unlink(entry: Entry): void {
    if (entry.previous === null) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === null) this.#last = entry.previous;
    else entry.next.previous = entry.previous;
    const stream = entry.stream;
    if (stream === null) return;
    if (entry.streamPrevious !== null) entry.streamPrevious.streamNext = entry.streamNext;
    if (entry.streamNext !== null) entry.streamNext.streamPrevious = entry.streamPrevious;
    if (stream.last === entry) stream.last = entry.streamPrevious;
    if (stream.latest.get(entry.conflateKey) === entry) stream.latest.delete(entry.conflateKey);
    if (stream.last === null) {
      const streams = this.#streams.get(stream.member);
      if (streams?.get(stream.topic) !== stream) return; // Its run was broken off: the table has the next one.
      streams.delete(stream.topic);
      if (streams.size === 0) this.#streams.delete(stream.member);
    }
  }
}

/** A pattern's stream may begin anew, where its topic was forgotten and made again: offsets of both do not make one range. */
function continues(gap: Gap, offset: number): boolean {
  return offset === 0 || offset > gap.to;
}

function widen(gap: Gap, other: Gap): void {
  gap.from = Math.min(gap.from, other.from);
  gap.to = Math.max(gap.to, other.to);
  gap.count += other.count;
}

function encodeSkip(stream: Stream, gap: Gap): Uint8Array {
  const { from, to, reason, count } = gap;
  return pack([
    MessageType.EVENT,
    stream.member.subscription.sub,
    stream.topic === '' ? null : stream.topic,
    'skip',
    { from, to, reason, count },
  ]);
}
