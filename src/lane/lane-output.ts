/**
 * A lane's records: replies, fan-outs, joins and closes, encoded straight into the egress ring.
 *
 * Thread: the lane's. One method a record; each claims, writes and commits, so no record is ever half there.
 */
import { pack, packMessage } from '../protocol/codec.ts';
import { WIRE_ERRORS } from '../protocol/codes.ts';
import {
  encodeInvoke,
  encodeMessage,
  encodeOk,
  encodePublishOk,
  encodeResult,
  type Invocation,
  invokeBytesMax,
  messageBytesMax,
  RESULT_HEAD_BYTES_MAX,
  writeBytes,
  writeName,
  writeUint,
} from '../protocol/encode.ts';
import type { RelayError } from '../protocol/errors.ts';
import {
  AnswerFlag,
  type Egress,
  EgressKind,
  FANOUT_HEAD_BYTES,
  FanoutFlag,
  JOIN_HEAD_BYTES,
  LEAVE_HEAD_BYTES,
  PAIR_HEAD_BYTES,
  PROGRESS_BYTES,
  SEND_HEAD_BYTES,
  SendFlag,
} from '../protocol/records.ts';
import { type EventKind, MessageType } from '../protocol/types.ts';
import type { KeptMessage } from './history-log.ts';

/** Pairs that the relay adds to a message's meta, without the map's head. */
const RECOVERED_PAIR = pack({ recovered: true }).subarray(1);
const ATTEMPT_KEY = pack({ attempt: 0 }).subarray(1, -1);
const EMPTY: Uint8Array = new Uint8Array(0);
const OK_BYTES_MAX = 12;
const PUBLISH_OK_BYTES_MAX = 32;

export interface JoinRecord {
  readonly session: number;
  readonly sub: number;
  readonly flags: number;
  readonly topic: Uint8Array;
  /** Encoded options to restore the subscription with; empty for none. */
  readonly restore: Uint8Array;
}

export class LaneOutput {
  readonly #egress: Egress;
  /** Scratch for a meta with a pair more. */
  #meta = new Uint8Array(2_048);
  /** Scratch for the pair `attempt: n`. */
  readonly #attemptPair = new Uint8Array(ATTEMPT_KEY.length + 9);

  constructor(egress: Egress) {
    this.#egress = egress;
  }

  /** Hot. OK to a PUBLISH. */
  publishOk(session: number, id: number, prefix: Uint8Array, offset: number): void {
    const egress = this.#egress;
    const start = egress.claim(EgressKind.SEND, SEND_HEAD_BYTES + PUBLISH_OK_BYTES_MAX + prefix.length);
    this.#head(start, session, 0);
    const end = encodePublishOk(egress.bytes, start + SEND_HEAD_BYTES, id, prefix, offset);
    egress.commit(end - start);
  }

  ok(session: number, id: number, result: unknown, flags = 0): void {
    if (id === 0) return;
    const encoded = pack(result);
    const start = this.#egress.claim(EgressKind.SEND, SEND_HEAD_BYTES + OK_BYTES_MAX + encoded.length);
    this.#head(start, session, flags);
    this.#egress.commit(encodeOk(this.#egress.bytes, start + SEND_HEAD_BYTES, id, encoded) - start);
  }

  /** OK with a result of two parts: a head that was encoded here and a value that is spliced behind it. */
  okSpliced(session: number, id: number, head: Uint8Array, value: Uint8Array): void {
    if (id === 0) return;
    const start = this.#egress.claim(EgressKind.SEND, SEND_HEAD_BYTES + OK_BYTES_MAX + head.length + value.length);
    this.#head(start, session, 0);
    const at = encodeOk(this.#egress.bytes, start + SEND_HEAD_BYTES, id, head);
    this.#egress.commit(writeBytes(this.#egress.bytes, at, value, 0, value.length) - start);
  }

  /** Failures are sent even where no reply was wanted (id 0): nothing fails in silence. */
  error(session: number, id: number, error: RelayError, flags = 0): void {
    const facts = Object.keys(error.facts).length === 0 ? null : error.facts;
    const frame = packMessage(MessageType.ERROR, id, WIRE_ERRORS[error.codeName].code, error.message, facts);
    this.#send(session, flags, frame);
  }

  /** Hot. One MESSAGE for all members of `sub`; `topic` null on an exact subscription. */
  fanout(
    sub: number,
    excludedSession: number,
    topic: Uint8Array | null,
    offset: number,
    meta: Uint8Array | null,
    source: Uint8Array,
    payloadStart: number,
    payloadEnd: number,
    stampUs: number,
  ): void {
    const egress = this.#egress;
    const bytesMax = messageBytesMax(
      topic === null ? 0 : topic.length,
      meta === null ? 0 : meta.length,
      payloadEnd - payloadStart,
    );
    const start = egress.claim(EgressKind.FANOUT, FANOUT_HEAD_BYTES + bytesMax);
    this.#head(start, sub, excludedSession);
    egress.view.setUint32(start + 8, 0, true);
    egress.view.setUint32(start + 12, stampUs, true);
    const end = encodeMessage(
      egress.bytes,
      start + FANOUT_HEAD_BYTES,
      sub,
      topic,
      offset,
      meta,
      source,
      payloadStart,
      payloadEnd,
    );
    egress.commit(end - start);
  }

  /** An EVENT for the members of `sub`, or only for those who watch presence. */
  fanoutEvent(
    sub: number,
    excludedSession: number,
    topic: string | null,
    kind: EventKind,
    data: unknown,
    watchersOnly: boolean,
  ): void {
    const frame = pack([MessageType.EVENT, sub, topic, kind, data]);
    const start = this.#egress.claim(EgressKind.FANOUT, FANOUT_HEAD_BYTES + frame.length);
    this.#head(start, sub, excludedSession);
    this.#egress.view.setUint32(start + 8, FanoutFlag.EVENT | (watchersOnly ? FanoutFlag.WATCHERS_ONLY : 0), true);
    this.#egress.view.setUint32(start + 12, 0, true);
    writeBytes(this.#egress.bytes, start + FANOUT_HEAD_BYTES, frame, 0, frame.length);
    this.#egress.commit(FANOUT_HEAD_BYTES + frame.length);
  }

  /** An EVENT for one session, in the order of its replay. */
  sendEvent(session: number, sub: number, kind: EventKind, data: unknown): void {
    this.#send(session, SendFlag.REPLAY, pack([MessageType.EVENT, sub, null, kind, data]));
  }

  /** A kept message again, for one session, marked as recovered. */
  replay(session: number, sub: number, message: KeptMessage): void {
    const meta = this.#metaWith(RECOVERED_PAIR, keptMeta(message));
    const egress = this.#egress;
    const start = egress.claim(
      EgressKind.SEND,
      SEND_HEAD_BYTES + messageBytesMax(0, meta.length, message.payloadEnd - message.payloadStart),
    );
    this.#head(start, session, SendFlag.REPLAY);
    const { bytes, payloadStart, payloadEnd } = message;
    const end = encodeMessage(
      egress.bytes,
      start + SEND_HEAD_BYTES,
      sub,
      null,
      message.offset,
      meta,
      bytes,
      payloadStart,
      payloadEnd,
    );
    egress.commit(end - start);
  }

  /** `reply` null: nothing to answer (a resume, or id 0). */
  join(record: JoinRecord, id: number, reply: unknown): void {
    const result = id === 0 ? EMPTY : pack(reply);
    const { bytes, view } = this.#egress;
    const { topic, restore } = record;
    const start = this.#egress.claim(
      EgressKind.JOIN,
      JOIN_HEAD_BYTES + topic.length + restore.length + OK_BYTES_MAX + result.length,
    );
    this.#head(start, record.session, record.sub);
    view.setUint32(start + 8, record.flags, true);
    view.setUint32(start + 12, topic.length, true);
    view.setUint32(start + 16, restore.length, true);
    let at = writeBytes(bytes, start + JOIN_HEAD_BYTES, topic, 0, topic.length);
    at = writeBytes(bytes, at, restore, 0, restore.length);
    if (id !== 0) at = encodeOk(bytes, at, id, result);
    this.#egress.commit(at - start);
  }

  leave(session: number, sub: number, id: number): void {
    const start = this.#egress.claim(EgressKind.LEAVE, LEAVE_HEAD_BYTES + OK_BYTES_MAX + 1);
    this.#head(start, session, sub);
    let at = start + LEAVE_HEAD_BYTES;
    if (id !== 0) at = encodeOk(this.#egress.bytes, at, id, NIL);
    this.#egress.commit(at - start);
  }

  progress(ingressPosition: number, stampUs: number): void {
    const start = this.#egress.claim(EgressKind.PROGRESS, PROGRESS_BYTES);
    this.#head(start, ingressPosition, stampUs);
    this.#egress.commit(PROGRESS_BYTES);
  }

  /** OK to a HISTORY: the messages' bytes are spliced, not decoded. `entries` are `[offset, meta, payload]`, encoded. */
  historyOk(
    session: number,
    id: number,
    stream: { epoch: string; first: number; offset: number; more: boolean },
    entries: readonly Uint8Array[],
  ): void {
    if (id === 0) return;
    let entryBytes = 0;
    for (const entry of entries) entryBytes += entry.length;
    const fields = pack(stream);
    const egress = this.#egress;
    const start = egress.claim(EgressKind.SEND, SEND_HEAD_BYTES + OK_BYTES_MAX + fields.length + 16 + entryBytes);
    this.#head(start, session, 0);
    // The map of `fields` with one entry more: its head byte counts pairs.
    let at = encodeOk(egress.bytes, start + SEND_HEAD_BYTES, id, fields);
    egress.bytes[at - fields.length] = (fields[0] as number) + 1;
    at = writeName(egress.bytes, at, MESSAGES);
    egress.bytes[at++] = 0xdc;
    egress.bytes[at++] = entries.length >>> 8;
    egress.bytes[at++] = entries.length;
    for (const entry of entries) at = writeBytes(egress.bytes, at, entry, 0, entry.length);
    egress.commit(at - start);
  }

  /** A frame for one session that is no reply to its command: INVOKE, CANCELLED, CREDITED; or one that is, encoded by the caller. */
  frame(session: number, frame: Uint8Array, flags = 0): void {
    this.#send(session, flags, frame);
  }

  /** A frame of two parts for one session: a head that was encoded here and a payload that is spliced, `source[start, end)`. */
  spliced(session: number, flags: number, head: Uint8Array, source: Uint8Array, payloadStart: number, payloadEnd: number): void {
    this.#pair(EgressKind.SEND, session, flags, head, source, payloadStart, payloadEnd);
  }

  /** Hot. A part of a call's result, or with `more` false its last. */
  result(session: number, flags: number, id: number, more: boolean, source: Uint8Array, from: number, to: number): void {
    const egress = this.#egress;
    const start = egress.claim(EgressKind.SEND, SEND_HEAD_BYTES + RESULT_HEAD_BYTES_MAX + to - from);
    this.#head(start, session, flags);
    egress.commit(encodeResult(egress.bytes, start + SEND_HEAD_BYTES, id, more, source, from, to) - start);
  }

  /** Hot. A call for the instance's session. */
  invoke(session: number, invocation: Invocation, deadlineMs: number, source: Uint8Array, from: number, to: number): void {
    const egress = this.#egress;
    const start = egress.claim(EgressKind.SEND, SEND_HEAD_BYTES + invokeBytesMax(invocation, to - from));
    this.#head(start, session, 0);
    egress.commit(encodeInvoke(egress.bytes, start + SEND_HEAD_BYTES, invocation, deadlineMs, source, from, to) - start);
  }

  /** Hot. A MESSAGE for one member of a queue group; `attempt` 0: its meta names none. */
  deliver(
    session: number,
    sub: number,
    offset: number,
    attempt: number,
    kept: Uint8Array | null,
    source: Uint8Array,
    payloadStart: number,
    payloadEnd: number,
  ): void {
    let meta = kept;
    if (attempt > 0) {
      const end = writeUint(this.#attemptPair, writeBytes(this.#attemptPair, 0, ATTEMPT_KEY, 0, ATTEMPT_KEY.length), attempt);
      meta = this.#metaWith(this.#attemptPair.subarray(0, end), kept);
    }
    const egress = this.#egress;
    const bytesMax = messageBytesMax(0, meta === null ? 0 : meta.length, payloadEnd - payloadStart);
    const start = egress.claim(EgressKind.DELIVER, PAIR_HEAD_BYTES + bytesMax);
    this.#head(start, session, sub);
    const at = start + PAIR_HEAD_BYTES;
    egress.commit(encodeMessage(egress.bytes, at, sub, null, offset, meta, source, payloadStart, payloadEnd) - start);
  }

  /** This lane's part of the answer to a QUERY: a list. `truncated`: it has more than it may say. */
  answer(query: number, list: readonly unknown[], truncated = false): void {
    this.#pair(EgressKind.ANSWER, query, truncated ? AnswerFlag.TRUNCATED : 0, pack(list));
  }

  /** A command of the lane itself: `head` and a payload spliced behind it. What it leads to comes back as REPLY records. */
  request(head: Uint8Array, source: Uint8Array = EMPTY, payloadStart = 0, payloadEnd = source.length): void {
    this.#pair(EgressKind.REQUEST, 0, 0, head, source, payloadStart, payloadEnd);
  }

  registered(session: number, instance: number, registration: Uint8Array): void {
    this.#pair(EgressKind.REGISTERED, session, instance, registration);
  }

  unregistered(session: number, instance: number): void {
    this.#pair(EgressKind.UNREGISTERED, session, instance, EMPTY);
  }

  /** `op` as in JournalOp. Stands in the ring before what tells others of it: whoever has seen the one finds the other. */
  journal(op: number, key: Uint8Array, entry: Uint8Array = EMPTY): void {
    this.#pair(EgressKind.JOURNAL, op, key.length, key, entry);
  }

  #send(session: number, flags: number, frame: Uint8Array): void {
    this.#pair(EgressKind.SEND, session, flags, frame);
  }

  /** `first | second | head | source[from, to)`. */
  #pair(kind: number, first: number, second: number, head: Uint8Array, source = EMPTY, from = 0, to = source.length): void {
    const egress = this.#egress;
    const start = egress.claim(kind, PAIR_HEAD_BYTES + head.length + to - from);
    this.#head(start, first, second);
    let at = writeBytes(egress.bytes, start + PAIR_HEAD_BYTES, head, 0, head.length);
    if (to > from) at = writeBytes(egress.bytes, at, source, from, to);
    egress.commit(at - start);
  }

  #head(start: number, first: number, second: number): void {
    this.#egress.view.setUint32(start, first, true);
    this.#egress.view.setUint32(start + 4, second, true);
  }

  /** A message's meta (a map of at most 3 pairs, or null) with one pair more; valid until the next call. */
  #metaWith(pair: Uint8Array, meta: Uint8Array | null): Uint8Array {
    const bytesMax = (meta === null ? 1 : meta.length) + pair.length;
    if (this.#meta.length < bytesMax) this.#meta = new Uint8Array(2 * bytesMax);
    this.#meta[0] = 0x80;
    const pairsEnd = meta === null ? 1 : writeBytes(this.#meta, 0, meta, 0, meta.length);
    this.#meta[0] = (this.#meta[0] as number) + 1;
    return this.#meta.subarray(0, writeBytes(this.#meta, pairsEnd, pair, 0, pair.length));
  }
}

const NIL = Uint8Array.of(0xc0);
const MESSAGES = new TextEncoder().encode('messages');

/** A view of the kept meta; null where there is none. */
export function keptMeta({ bytes, metaStart, payloadStart }: KeptMessage): Uint8Array | null {
  return metaStart === payloadStart ? null : bytes.subarray(metaStart, payloadStart);
}

/** `[offset, meta|nil, payload]` of a kept message, for a HISTORY reply. */
export function encodeHistoryEntry(message: KeptMessage): Uint8Array {
  const entry = new Uint8Array(16 + message.payloadEnd - message.metaStart);
  entry[0] = 0x93;
  let at = writeUint(entry, 1, message.offset);
  if (message.payloadStart === message.metaStart) entry[at++] = 0xc0;
  else at = writeBytes(entry, at, message.bytes, message.metaStart, message.payloadStart);
  at = writeBytes(entry, at, message.bytes, message.payloadStart, message.payloadEnd);
  return entry.subarray(0, at);
}
