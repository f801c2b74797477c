/**
 * The port between the front and its lanes, in both directions. The front calls `Lanes`, pool/ implements it; pool/ calls `LaneEvents`, the
 * front implements it. It lives with the record layouts because neither room may import the other.
 *
 * Thread: front only.
 */

/** The front's half of the lanes. */
export interface Lanes {
  readonly count: number;
  /**
   * Hot. Writes a record `session u32 | second u32 | stampUs u32 | bytes[start, end)`; visible to the lane after `flush`.
   * False: no room now, or the lane is being replaced. The caller answers OVERLOADED.
   */
  tryWrite(
    lane: number,
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean;
  /**
   * As tryWrite, but waits in memory while the ring is full, up to a bound: for what ends work that a lane holds (RETURN), whose sender could do nothing
   * but throw it away, and for the lanes' own commands. False: nothing more may wait, or the lane is being replaced.
   */
  tryWriteOrKeep(
    lane: number,
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean;
  /** Is there room in every lane for a record of this size? For records that must reach all of them or none. */
  allHaveRoom(payloadBytes: number): boolean;
  /** Does some lane have more before it than a little? Who has sent more than his share of a turn waits for it, so that others need not. */
  isBehind(): boolean;
  /** A record that must not be refused: waits in memory while the ring is full, in order with everything after it. */
  write(lane: number, kind: number, payload: Uint8Array): void;
  /** Makes what was written visible and wakes lanes that sleep. */
  flush(): void;
}

/** What the lanes tell the front. All calls on the front's thread, never inside a call of `Lanes`. */
export interface LaneEvents {
  /** Hot. One egress record; the bytes are valid until `onBatchEnd` returns. */
  onRecord(lane: number, kind: number, bytes: Uint8Array, view: DataView, start: number, length: number): void;
  onBatchEnd(): void;
  /** The records since the last one of this kind were done by the lane at `stampUs`. */
  onProgress(stampUs: number): void;
  /** The first subscription number that a lane starting now may give out: beyond all that clients know. */
  nextSub(lane: number): number;
  /** An ingress record that a dead lane has not (or not provably) handled. */
  onRecordLost(lane: number, kind: number, bytes: Uint8Array, view: DataView, start: number, length: number): void;
  /** The lane is dead, and all of its lost records have been told. */
  onLaneLost(lane: number): void;
  /** A new lane has taken its place: replay sessions and subscriptions into it. */
  onLaneReplaced(lane: number): void;
}
