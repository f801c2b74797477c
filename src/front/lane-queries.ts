/**
 * Queries that every lane answers in part: the front puts the parts together and answers once. The parts are lists, whose elements' bytes are spliced
 * and never decoded.
 *
 * Thread: front only. Bounded by the commands that sessions have in flight; a query ends with the last lane's part, with its session, or with the
 * death of a lane that has not answered.
 */
import { pack } from '../protocol/codec.ts';
import { writeBytes } from '../protocol/encode.ts';
import { AnswerFlag } from '../protocol/records.ts';
import { readUint16, readUint32 } from '../protocol/skip.ts';

interface Query {
  readonly session: number;
  readonly id: number;
  /** The name of the list in the answer's map. */
  readonly field: string;
  /** By lane: the answer's order is that of the lanes, whichever was the fastest. */
  readonly parts: (Uint8Array | undefined)[];
  /** Bit k: lane k has not answered yet. */
  lanesLeft: number;
  truncated: boolean;
}

export interface QueryAnswer {
  readonly session: number;
  readonly id: number;
  /** Encoded: `{<field>: [...], truncated?: true}`. */
  readonly result: Uint8Array;
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
  begin(session: number, id: number, field: string, laneCount: number): number {
    const query = this.#next;
    this.#next = (this.#next + 1) % NUMBERS || 1;
    this.#queries.set(query, { session, id, field, parts: [], lanesLeft: 2 ** laneCount - 1, truncated: false });
    return query;
  }

  /** A lane's part: an encoded list, which is kept, and AnswerFlags. The whole answer, once it was the last. */
  answered(query: number, lane: number, part: Uint8Array, flags: number): QueryAnswer | null {
    const known = this.#queries.get(query);
    if (known === undefined) return null;
    known.parts[lane] = part;
    known.lanesLeft &= ~(1 << lane);
    if ((flags & AnswerFlag.TRUNCATED) !== 0) known.truncated = true;
    if (known.lanesLeft !== 0) return null;
    this.#queries.delete(query);
    return { session: known.session, id: known.id, result: joined(known) };
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

function joined({ field, parts, truncated }: Query): Uint8Array {
  const lists = parts.filter((part) => part !== undefined).map((part) => ({ part, ...readArrayHead(part) }));
  const count = lists.reduce((sum, list) => sum + list.count, 0);
  const head = pack({ [field]: 0 }).slice(0, -1); // Without the 0, in whose place the list stands.
  head[0] = 0x80 | (truncated ? 2 : 1);
  const bytes = lists.reduce((sum, { part, start }) => sum + part.length - start, 0);
  const result = new Uint8Array(head.length + 5 + bytes + (truncated ? TRUNCATED.length : 0));
  let at = writeBytes(result, 0, head, 0, head.length);
  at = writeArrayHead(result, at, count);
  for (const { part, start } of lists) at = writeBytes(result, at, part, start, part.length);
  if (truncated) at = writeBytes(result, at, TRUNCATED, 0, TRUNCATED.length);
  return result.subarray(0, at);
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
