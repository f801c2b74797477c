/** What every fuzz target has: it takes inputs one by one, and says at the end whether all is as it was. */

export interface FuzzTarget {
  /** Takes one input. Throws if something is wrong; what it throws is the finding. */
  take(input: Uint8Array): void | Promise<void>;
  /** Looks whether everything still works. Called now and then, and at the end. */
  check(): void | Promise<void>;
  /** All have left: nothing may be left of them. Figures for the report. */
  finish(): Promise<Readonly<Record<string, number>>>;
}

export class Finding extends Error {
  override readonly name = 'Finding';
}

export function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Finding(what);
}
