/**
 * A session's rights as a lane asks for them: what its Grants say of a topic or a service is worked out once and kept.
 *
 * Thread: the lane's. Keyed by the thing itself, not by its name: a topic that was forgotten and made again is judged again, by the same rules.
 */
import { RelayError } from '../protocol/errors.ts';
import { Grants, RIGHTS, type Right } from '../protocol/grants.ts';

/** Things a session meets again and again. At the bound all is forgotten, and judged anew as it comes. */
const THINGS_CACHED_MAX = 256;
/** Two bits a right: judged, and allowed. */
const SHIFT = Object.fromEntries(RIGHTS.map((right, index) => [right, 2 * index])) as Readonly<Record<Right, number>>;
const JUDGED = 1;
const ALLOWED = 2;

interface Thing {
  readonly name: string;
}

/** Different rights that a lane remembers, so that sessions with the same ones share them. At the bound all are forgotten; sessions keep theirs. */
const SHARED_GRANTS_MAX = 1_000;

/** Rights as the front sends them: placeholders filled in, compiled once already. Most sessions of an application have the same few. */
export class SharedGrants {
  readonly #byClaims = new Map<string, Grants>();

  of(claims: unknown): SessionGrants {
    const text = JSON.stringify(claims);
    let grants = this.#byClaims.get(text);
    if (grants === undefined) {
      if (this.#byClaims.size >= SHARED_GRANTS_MAX) this.#byClaims.clear();
      grants = Grants.compile(claims);
      this.#byClaims.set(text, grants);
    }
    return new SessionGrants(grants);
  }
}

export class SessionGrants {
  readonly #grants: Grants;
  /** Most sessions write to one topic: it needs no map. */
  #first: Thing | null = null;
  #firstBits = 0;
  #bits: Map<Thing, number> | null = null;

  constructor(grants: Grants) {
    this.#grants = grants;
  }

  /** Hot. For a thing that is there. */
  mayUse(right: Right, thing: Thing): boolean {
    const shift = SHIFT[right];
    const known = (thing === this.#first ? this.#firstBits : (this.#bits?.get(thing) ?? 0)) >> shift;
    if ((known & JUDGED) !== 0) return (known & ALLOWED) !== 0;
    const allowed = this.may(right, thing.name);
    this.#keep(thing, (JUDGED | (allowed ? ALLOWED : 0)) << shift);
    return allowed;
  }

  /** For a name that nothing may have yet: nothing must be made for who has no right to it. */
  may(right: Right, name: string): boolean {
    return right === 'sub' || right === 'hist' ? this.#grants.mayRead(right, name) : this.#grants.may(right, name);
  }

  covers(right: Right, pattern: string): boolean {
    return right === 'sub' || right === 'hist' ? this.#grants.mayRead(right, pattern) : this.#grants.covers(right, pattern);
  }

  #keep(thing: Thing, bits: number): void {
    if (this.#first === null) this.#first = thing;
    if (thing === this.#first) {
      this.#firstBits |= bits;
      return;
    }
    this.#bits ??= new Map();
    if (this.#bits.size >= THINGS_CACHED_MAX) this.#bits.clear();
    this.#bits.set(thing, (this.#bits.get(thing) ?? 0) | bits);
  }
}

/** What a session without the right is told. `right` among the facts marks it: the front counts it, and the audit log has it. */
export function denial(right: Right, name: string): RelayError {
  return new RelayError('FORBIDDEN', undefined, { right, name });
}
