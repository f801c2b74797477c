/** Broken invariants: state that cannot be trusted any more. The thread that throws this is replaced, never resumed. */
export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/** Throws when `condition` is false. For corrupt state only: bad input gets a wire code, misuse a plain Error. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailed(what);
}
