/**
 * Queries that every lane answers in part: the front puts the parts together and answers once.
 *
 * Thread: front only. Bounded by the commands that sessions have in flight; a query ends with the last lane's part, with its session, or with the
 * death of a lane that has not answered.
 */
import { packMessage } from '../protocol/codec.ts';
import { writeBytes } from '../protocol/encode.ts';
import { readUint16, readUint32, skipValue } from '../protocol/skip.ts';
import { MessageType } from '../protocol/types.ts';

interface Query {
  readonly session: number;
  readonly id: number;
  /** The name of the list in the answer's map. */
  readonly field: string;
  /** Elements of the list, encoded: what a lane wrote reaches the client as it is. */
  readonly parts: Uint8Array[];
  partBytes: number;
  partCount: number;
  /** More elements than this are cut off. */
  readonly countMax: number;
  /** Bit k: lane k has not answered yet. */
  lanesLeft: number;
}

export interface QueryAnswer {
  readonly session: number;
  readonly id: number;
  /** `[32, id, {field: [...]}]`. */
  readonly frame: Uint8Array;
}

const NUMBERS = 0x1_0000_0000;

export class LaneQueries {
  readonly #queries = new Map<number, Query>();
  #next = 1;

  get count(): number {
    return this.#queries.size;
  }

  /** The number that goes out with the QUERY records. */
  begin(session: number, id: number, field: string, laneCount: number, countMax = Number.POSITIVE_INFINITY): number {
    const query = this.#next;
    this.#next = (this.#next + 1) % NUMBERS || 1;
    this.#queries.set(query, {
      session,
      id,
      field,
      parts: [],
      partBytes: 0,
      partCount: 0,
      countMax,
      lanesLeft: 2 ** laneCount - 1,
    });
    return query;
  }

  /** A lane's part: an encoded list. The whole answer, once it was the last. */
  answered(query: number, lane: number, part: Uint8Array): QueryAnswer | null {
    const known = this.#queries.get(query);
    if (known === undefined) return null;
    addElements(known, part);
    known.lanesLeft &= ~(1 << lane);
    if (known.lanesLeft !== 0) return null;
    this.#queries.delete(query);
    return { session: known.session, id: known.id, frame: encodeAnswer(known) };
  }

  cancel(query: number): void {
    this.#queries.delete(query);
  }

  forget(session: number): void {
    for (const [number, query] of this.#queries) if (query.session === session) this.#queries.delete(number);
  }

  /** Takes out the queries that this lane has not answered. */
  takeOfLane(lane: number): readonly { readonly session: number; readonly id: number }[] {
    const taken: Query[] = [];
    for (const [number, query] of this.#queries) {
      if ((query.lanesLeft & (1 << lane)) === 0) continue;
      this.#queries.delete(number);
      taken.push(query);
    }
    return taken;
  }
}

/** `part`: an encoded list. */
function addElements(query: Query, part: Uint8Array): void {
  const type = part[0] as number;
  const isShort = type <= 0x9f;
  const count = isShort ? type & 0x0f : type === 0xdc ? readUint16(part, 1) : readUint32(part, 1);
  const start = isShort ? 1 : type === 0xdc ? 3 : 5;
  const taken = Math.min(count, query.countMax - query.partCount);
  let end = part.length;
  if (taken < count) {
    end = start;
    for (let element = 0; element < taken; element++) end = skipValue(part, end, part.length);
  }
  query.parts.push(part.subarray(start, end));
  query.partBytes += end - start;
  query.partCount += taken;
}

function encodeAnswer({ id, field, parts, partBytes, partCount }: Query): Uint8Array {
  const empty = packMessage(MessageType.OK, id, { [field]: [] });
  const frame = new Uint8Array(empty.length + 4 + partBytes);
  let at = writeBytes(frame, 0, empty, 0, empty.length - 1);
  frame[at++] = 0xdd;
  new DataView(frame.buffer).setUint32(at, partCount);
  at += 4;
  for (const part of parts) at = writeBytes(frame, at, part, 0, part.length);
  return frame;
}
