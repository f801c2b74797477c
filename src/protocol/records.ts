/**
 * Records between the front and a lane: kinds and layouts, for both directions. Inner contract, not on the wire; free to change
 * with the process that runs both ends.
 *
 * Numbers are little-endian u32 unless said otherwise; `message` and `frame` are relay messages as they are on the wire.
 * Sessions are the front's numbers, never reused while the process lives. Session 0 means nobody.
 *
 *   ingress (front writes, lane reads)
 *   COMMAND         session | keyHash | stampUs | message           stamp: when the front received it, see below
 *   SESSION_OPEN    session | {id, client, grants?}                before the session's first command to this lane; without grants it may do everything
 *   SESSION_CLOSE   session | abrupt                               abrupt: 1 keeps presence for the grace time
 *   SESSION_GRANTS  session | claims                               other rights than before, nil: all; what it may not have any more is taken from it
 *   PATTERN_COMMAND session | sub | stampUs | message              SUBSCRIBE or UNSUBSCRIBE of a pattern; goes to every lane
 *   RESUME          session | keyHash | after f64 | topic          policy `pause`: replay what follows offset `after`
 *   RESTORE         session | sub | {topic, pattern?, presence?}   replays one subscription into a new lane
 *   RESTORE_END     (empty)
 *   STOP            (empty)                                        the last record a lane reads
 *   QUERY           session | query | stampUs | message            a SERVICES or RUN that asks all lanes; each answers ANSWER
 *   REPLY           (0) | (0) | frames                             what came back for REQUESTs of this lane: RESULT, ERROR, OK
 *   RESTORE_INSTANCE session | (0) | registration                  replays one registration into a new lane
 *   JOURNAL         (0) | (0) | entry                              replays one journal entry into a new lane, before anything is restored
 *
 *   egress (lane writes, front reads)
 *   SEND     session | flags | frame
 *   FANOUT   sub | excluded session | flags | stampUs | frame       stamp: of the command that led to it, 0 for none
 *   JOIN     session | sub | flags | topicBytes | restoreBytes | topic | restore | frame      frame may be empty
 *   LEAVE    session | sub | frame
 *   CLOSE    session | closeCode | reason
 *   PROGRESS ingressPosition | stampUs   when the batch was done; everything before it has been handled, and all its records stand before this one
 *   DELIVER  session | sub | frame  a MESSAGE for one member of a queue group; its subscription's policy applies
 *   ANSWER   query | flags | result one lane's part of the answer to a QUERY: a MessagePack array
 *   REQUEST  (0) | (0) | message    a command of the lane itself (a workflow's CALL), sent by the lane's own session on the front
 *   REGISTERED   session | instance | registration       the front keeps it, to replay it into a new lane
 *   UNREGISTERED session | instance
 *   JOURNAL  op | keyBytes | key | entry                 op 1 appends the entry to the key's list, op 2 forgets the key
 *
 * Stamps are microseconds of one monotonic clock of the process, modulo 2^32: differences below 35 minutes are right, and telemetry is all they are for.
 */

export const IngressKind = {
  COMMAND: 1,
  SESSION_OPEN: 2,
  SESSION_CLOSE: 3,
  PATTERN_COMMAND: 4,
  RESUME: 5,
  RESTORE: 6,
  RESTORE_END: 7,
  STOP: 8,
  QUERY: 9,
  REPLY: 10,
  RESTORE_INSTANCE: 11,
  JOURNAL: 12,
  SESSION_GRANTS: 13,
} as const;

export const EgressKind = {
  SEND: 1,
  FANOUT: 2,
  JOIN: 3,
  LEAVE: 4,
  CLOSE: 5,
  PROGRESS: 6,
  DELIVER: 7,
  ANSWER: 8,
  REQUEST: 9,
  REGISTERED: 10,
  UNREGISTERED: 11,
  JOURNAL: 12,
} as const;

/** Of COMMAND, PATTERN_COMMAND and QUERY. */
export const COMMAND_HEAD_BYTES = 12;
export const SESSION_HEAD_BYTES = 4;
export const RESUME_HEAD_BYTES = 16;
export const RESTORE_HEAD_BYTES = 8;
export const SEND_HEAD_BYTES = 8;
export const FANOUT_HEAD_BYTES = 16;
export const JOIN_HEAD_BYTES = 20;
export const LEAVE_HEAD_BYTES = 8;
export const CLOSE_HEAD_BYTES = 8;
export const PROGRESS_BYTES = 8;
/** Of the records that begin with two numbers: REPLY, RESTORE_INSTANCE, JOURNAL, DELIVER, ANSWER, REQUEST, REGISTERED, UNREGISTERED. */
export const PAIR_HEAD_BYTES = 8;

export const SendFlag = {
  /** The command was a SUBSCRIBE and has failed: the front stops counting it as pending. */
  SUBSCRIBE_FAILED: 1,
  /** A replayed MESSAGE or an EVENT of a subscription, not a reply. */
  REPLAY: 2,
  /** The last reply to a CALL (RESULT without more, or ERROR): the front stops counting it as in flight. */
  CALL_DONE: 4,
  /** An OK behind which its command goes on, calls and steps being what it leads to: should the lane die in the middle, it was answered all the same. */
  GOES_ON: 8,
  /** An ERROR for want of a right, which its facts name. */
  DENIED: 16,
} as const;

export const FanoutFlag = {
  /** An EVENT: no policy may drop it. */
  EVENT: 1,
  /** Only to members that asked for presence events. */
  WATCHERS_ONLY: 2,
} as const;

export const AnswerFlag = {
  /** The lane has more to say than fits. */
  TRUNCATED: 1,
} as const;

/** What becomes of a JOURNAL record's entry. */
export const JournalOp = { APPEND: 1, FORGET: 2 } as const;

export const JoinFlag = {
  WATCH: 1,
  PATTERN: 2,
  /** Answer to RESUME: the member is live again, its replay follows. */
  RESUMED: 4,
  /** With RESUMED: the replay was a chunk, ask again for what follows; `restore` holds the offset it went to, as f64. */
  MORE: 16,
  /** The topic keeps history, so the policy `pause` can be honoured. */
  HISTORY: 8,
  /** Member of a queue group: what is published comes as DELIVER, FANOUT passes it by. */
  GROUP: 32,
  /** The policy, as an index into SLOW_CONSUMER_POLICIES, stands above this many bits. */
  POLICY_SHIFT: 8,
} as const;

/**
 * Where a lane puts its records. One claim is open at a time. In a thread `claim` waits for room (the front drains), inline it drains.
 */
export interface Egress {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly payloadBytesMax: number;
  /** Offset of the new record's payload in `bytes`, with room for `bytesMax`. */
  claim(kind: number, bytesMax: number): number;
  commit(payloadBytes: number): void;
}

/**
 * The ids of lanes' own sessions begin with this: by it a lane knows a call of another lane's workflow from a client's. No client has such an id: they are
 * drawn by the front, from letters without a `$`.
 */
export const LANE_SESSION_PREFIX = '$lane-';
/** Id of the session by which the relay itself publishes under `$`. Clients' ids are drawn by the relay and never look like it. */
export const RELAY_SESSION_ID = '$relay';

/** A COMMAND, PATTERN_COMMAND or QUERY as one piece. Where it matters the pieces are written into the ring instead. */
export function commandRecord(session: number, second: number, stampUs: number, message: Uint8Array): Uint8Array {
  const record = new Uint8Array(COMMAND_HEAD_BYTES + message.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, session, true);
  view.setUint32(4, second, true);
  view.setUint32(8, stampUs, true);
  record.set(message, COMMAND_HEAD_BYTES);
  return record;
}

/** `first u32 | [second u32 |] rest`. */
export function withNumbers(first: number, second: number | null, rest: Uint8Array): Uint8Array {
  const headBytes = second === null ? 4 : 8;
  const record = new Uint8Array(headBytes + rest.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, first, true);
  if (second !== null) view.setUint32(4, second, true);
  record.set(rest, headBytes);
  return record;
}
