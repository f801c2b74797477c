/**
 * Records between the front and a lane: kinds and layouts, for both directions. Inner contract, not on the wire; free to change
 * with the process that runs both ends.
 *
 * Numbers are little-endian u32 unless said otherwise; `message` and `frame` are relay messages as they are on the wire.
 * Sessions are the front's numbers, never reused while the process lives. Session 0 means nobody.
 *
 *   ingress (front writes, lane reads)
 *   COMMAND         session | keyHash | message
 *   SESSION_OPEN    session | {id, client}                         before the session's first command to this lane
 *   SESSION_CLOSE   session | abrupt                               abrupt: 1 keeps presence for the grace time
 *   PATTERN_COMMAND session | sub | message                        SUBSCRIBE or UNSUBSCRIBE of a pattern; goes to every lane
 *   RESUME          session | keyHash | after f64 | topic          policy `pause`: replay what follows offset `after`
 *   RESTORE         session | sub | {topic, pattern?, presence?}   replays one subscription into a new lane
 *   RESTORE_END     (empty)
 *   STOP            (empty)                                        the last record a lane reads
 *
 *   egress (lane writes, front reads)
 *   SEND     session | flags | frame
 *   FANOUT   sub | excluded session | flags | frame
 *   JOIN     session | sub | flags | topicBytes | restoreBytes | topic | restore | frame      frame may be empty
 *   LEAVE    session | sub | frame
 *   CLOSE    session | closeCode | reason
 *   PROGRESS ingressPosition        everything before it has been handled, and all its records stand before this one
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
} as const;

export const EgressKind = {
  SEND: 1,
  FANOUT: 2,
  JOIN: 3,
  LEAVE: 4,
  CLOSE: 5,
  PROGRESS: 6,
} as const;

export const COMMAND_HEAD_BYTES = 8;
export const SESSION_HEAD_BYTES = 4;
export const RESUME_HEAD_BYTES = 16;
export const RESTORE_HEAD_BYTES = 8;
export const SEND_HEAD_BYTES = 8;
export const FANOUT_HEAD_BYTES = 12;
export const JOIN_HEAD_BYTES = 20;
export const LEAVE_HEAD_BYTES = 8;
export const CLOSE_HEAD_BYTES = 8;
export const PROGRESS_BYTES = 4;

export const SendFlag = {
  /** The command was a SUBSCRIBE and has failed: the front stops counting it as pending. */
  SUBSCRIBE_FAILED: 1,
  /** A replayed MESSAGE or an EVENT of a subscription, not a reply. */
  REPLAY: 2,
} as const;

export const FanoutFlag = {
  /** An EVENT: no policy may drop it. */
  EVENT: 1,
  /** Only to members that asked for presence events. */
  WATCHERS_ONLY: 2,
} as const;

export const JoinFlag = {
  WATCH: 1,
  PATTERN: 2,
  /** Answer to RESUME: the member is live again, its replay follows. */
  RESUMED: 4,
  /** With RESUMED: the replay was a chunk, ask again for what follows; `restore` holds the offset it went to, as f64. */
  MORE: 16,
  /** The topic keeps history, so the policy `pause` can be honoured. */
  HISTORY: 8,
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
