/**
 * CALLs that wait for their last reply, by session: the bound on them, and who must be told when the lane that holds them dies.
 *
 * Thread: front only. What a call is doing is its lane's business; here stand only its id and its lane.
 */

export class CallLedger {
  /** By session, id of the call to its lane. Sessions without calls are not here. */
  readonly #bySession = new Map<number, Map<number, number>>();
  #count = 0;

  /** Calls in flight, of all sessions. */
  get count(): number {
    return this.#count;
  }

  countOf(session: number): number {
    return this.#bySession.get(session)?.size ?? 0;
  }

  /** False: the session has a call of that id in flight already. */
  begin(session: number, id: number, lane: number): boolean {
    let calls = this.#bySession.get(session);
    if (calls === undefined) {
      calls = new Map();
      this.#bySession.set(session, calls);
    } else if (calls.has(id)) return false;
    calls.set(id, lane);
    this.#count++;
    return true;
  }

  end(session: number, id: number): boolean {
    const calls = this.#bySession.get(session);
    if (calls?.delete(id) !== true) return false;
    this.#count--;
    if (calls.size === 0) this.#bySession.delete(session);
    return true;
  }

  /** The session is gone: its lanes are told by themselves. */
  forget(session: number): void {
    this.#count -= this.#bySession.get(session)?.size ?? 0;
    this.#bySession.delete(session);
  }

  /** Takes out all calls of a lane. */
  takeOfLane(lane: number): readonly { readonly session: number; readonly id: number }[] {
    const taken: { session: number; id: number }[] = [];
    for (const [session, calls] of this.#bySession) {
      for (const [id, ownLane] of calls) if (ownLane === lane) taken.push({ session, id });
    }
    for (const { session, id } of taken) this.end(session, id);
    return taken;
  }
}
