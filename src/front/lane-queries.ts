/**
 * Queries that every lane answers in part: the front puts the parts together and answers once. The parts are lists, whose elements' bytes are spliced
 * and never decoded.
 *
 * Thread: front only. Bounded by the commands that sessions have in flight; a query ends with the last lane's part, with its session, or with the
 * death of a lane that has not answered.
 */
import { pack, packMessage } from '../protocol/codec.ts';
import { writeBytes } from '../protocol/encode.ts';
import { AnswerFlag } from '../protocol/records.ts';
import { readUint16, readUint32, skipValue } from '../protocol/skip.ts';
import { MessageType } from '../protocol/types.ts';

interface Query {
  readonly session: number;
  readonly id: number;
  /** The name of the list in the answer's map. */
  readonly field: string;
  /** By lane: the answer's order is that of the lanes, whichever was the fastest. */
  readonly parts: (Uint8Array | undefined)[];
  /** More elements than this are cut off. */
  readonly countMax: number;
  /** Bit k: lane k has not answered yet. */
  lanesLeft: number;
  truncated: boolean;
}

export interface QueryAnswer {
  readonly session: number;
  readonly id: number;
  /** `[32, id, {<field>: [...], truncated?: true}]`. */
  readonly frame: Uint8Array;
}

const NUMBERS = 0x1_0000_0000;
const TRUNCATED = pack({ truncated: true }).subarray(1);

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
    const lanesLeft = 2 ** laneCount - 1;
    this.#queries.set(query, { session, id, field, parts: [], countMax, lanesLeft, truncated: false });
    return query;
  }

  /** A lane's part: an encoded list, which is kept, and AnswerFlags. The whole answer, once it was the last. */
  answered(query: number, lane: number, part: Uint8Array, flags = 0): QueryAnswer | null {
    const known = this.#queries.get(query);
    if (known === undefined) return null;
    known.parts[lane] = part;
    known.lanesLeft &= ~(1 << lane);
    if ((flags & AnswerFlag.TRUNCATED) !== 0) known.truncated = true;
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

function encodeAnswer({ id, field, parts, countMax, truncated }: Query): Uint8Array {
  const lists: Uint8Array[] = [];
  let count = 0;
  let bytes = 0;
  for (const part of parts) {
    if (part === undefined) continue;
    const { count: own, start } = readArrayHead(part);
    const taken = Math.min(own, countMax - count);
    let end = taken === own ? part.length : start;
    for (let element = 0; taken < own && element < taken; element++) end = skipValue(part, end, part.length);
    lists.push(part.subarray(start, end));
    count += taken;
    bytes += end - start;
  }
  const head = packMessage(MessageType.OK, id, truncated ? { [field]: 0, truncated: true } : { [field]: 0 });
  // In the place of the 0 stands the list, and `truncated` behind it.
  const listAt = head.length - 1 - (truncated ? TRUNCATED.length : 0);
  const frame = new Uint8Array(head.length + 4 + bytes);
  let at = writeArrayHead(frame, writeBytes(frame, 0, head, 0, listAt), count);
  for (const list of lists) at = writeBytes(frame, at, list, 0, list.length);
  return frame.subarray(0, writeBytes(frame, at, head, listAt + 1, head.length));
}

function readArrayHead(list: Uint8Array): { readonly count: number; readonly start: number } {
  const first = list[0] as number;
  if (first === 0xdc) return { count: readUint16(list, 1), start: 3 };
  if (first === 0xdd) return { count: readUint32(list, 1), start: 5 };
  return { count: first & 0x0f, start: 1 };
}

/** The shortest form there is. */
function writeArrayHead(target: Uint8Array, at: number, count: number): number {
  if (count < 16) {
    target[at] = 0x90 | count;
    return at + 1;
  }
  const isLong = count > 0xffff;
  target[at++] = isLong ? 0xdd : 0xdc;
  if (isLong) {
    target[at++] = count >>> 24;
    target[at++] = count >>> 16;
  }
  target[at++] = count >>> 8;
  target[at++] = count;
  return at;
}
