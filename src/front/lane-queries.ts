/**
 * Queries that every lane answers in part: the front puts the parts together and answers once.
 *
 * Thread: front only. Bounded by the commands that sessions have in flight; a query ends with the last lane's part, with its session, or with the
 * death of a lane that has not answered.
 */
import { unpack } from '../protocol/codec.ts';

interface Query {
  readonly session: number;
  readonly id: number;
  /** The name of the list in the answer's map. */
  readonly field: string;
  readonly parts: unknown[];
  /** Bit k: lane k has not answered yet. */
  lanesLeft: number;
}

export interface QueryAnswer {
  readonly session: number;
  readonly id: number;
  readonly result: Readonly<Record<string, readonly unknown[]>>;
}

const NUMBERS = 0x1_0000_0000;

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
    this.#queries.set(query, { session, id, field, parts: [], lanesLeft: 2 ** laneCount - 1 });
    return query;
  }

  /** A lane's part: an encoded list. The whole answer, once it was the last. */
  answered(query: number, lane: number, part: Uint8Array): QueryAnswer | null {
    const known = this.#queries.get(query);
    if (known === undefined) return null;
    known.parts.push(...(unpack(part) as unknown[]));
    known.lanesLeft &= ~(1 << lane);
    if (known.lanesLeft !== 0) return null;
    this.#queries.delete(query);
    return { session: known.session, id: known.id, result: { [known.field]: known.parts } };
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
