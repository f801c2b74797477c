/**
 * Service instances as the front knows them: enough to teach a lane that takes another's place who serves what.
 *
 * Thread: front only. Lanes number their instances and own their state; here stand the sessions and the encoded registrations.
 */

export interface Registration {
  readonly session: number;
  readonly instance: number;
  /** As the lane encoded it, for a lane to read. */
  readonly bytes: Uint8Array;
}

export class Registrations {
  /** By lane, by instance number. */
  readonly #lanes: readonly Map<number, Registration>[];
  /** Sessions that serve anything, with the number of their instances: most sessions that end are not among them. */
  readonly #serving = new Map<number, number>();

  constructor(laneCount: number) {
    this.#lanes = Array.from({ length: laneCount }, () => new Map());
  }

  get count(): number {
    return this.#lanes.reduce((sum, instances) => sum + instances.size, 0);
  }

  add(lane: number, registration: Registration): void {
    const instances = this.#lanes[lane] as Map<number, Registration>;
    if (!instances.has(registration.instance)) this.#count(registration.session, 1);
    instances.set(registration.instance, registration);
  }

  remove(lane: number, instance: number): void {
    const instances = this.#lanes[lane] as Map<number, Registration>;
    const known = instances.get(instance);
    if (known === undefined) return;
    instances.delete(instance);
    this.#count(known.session, -1);
  }

  /** The session is gone; its lanes hear of it by themselves. */
  forget(session: number): void {
    if (!this.#serving.delete(session)) return;
    for (const instances of this.#lanes) {
      for (const [number, registration] of instances) if (registration.session === session) instances.delete(number);
    }
  }

  /** In the order in which they came. */
  ofLane(lane: number): Iterable<Registration> {
    return (this.#lanes[lane] as Map<number, Registration>).values();
  }

  #count(session: number, change: number): void {
    const count = (this.#serving.get(session) ?? 0) + change;
    if (count === 0) this.#serving.delete(session);
    else this.#serving.set(session, count);
  }
}
