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

interface Place {
  readonly lane: number;
  readonly instance: number;
}

export class Registrations {
  /** By lane, by instance number. */
  readonly #lanes: readonly Map<number, Registration>[];
  /** What each session serves. Most sessions are not here. */
  readonly #bySession = new Map<number, Place[]>();

  constructor(laneCount: number) {
    this.#lanes = Array.from({ length: laneCount }, () => new Map());
  }

  get count(): number {
    return this.#lanes.reduce((sum, instances) => sum + instances.size, 0);
  }

  /** Or replaces what was known of the instance. */
  add(lane: number, registration: Registration): void {
    const { session, instance } = registration;
    const instances = this.#lanes[lane] as Map<number, Registration>;
    if (!instances.has(instance)) {
      const places = this.#bySession.get(session);
      if (places === undefined) this.#bySession.set(session, [{ lane, instance }]);
      else places.push({ lane, instance });
    }
    instances.set(instance, registration);
  }

  remove(lane: number, instance: number): void {
    const instances = this.#lanes[lane] as Map<number, Registration>;
    const known = instances.get(instance);
    if (known === undefined) return;
    instances.delete(instance);
    const places = this.#bySession.get(known.session) as Place[];
    const index = places.findIndex((place) => place.lane === lane && place.instance === instance);
    places.splice(index, 1);
    if (places.length === 0) this.#bySession.delete(known.session);
  }

  /** The session is gone; its lanes hear of it by themselves. */
  forget(session: number): void {
    for (const { lane, instance } of this.#bySession.get(session) ?? []) this.#lanes[lane]?.delete(instance);
    this.#bySession.delete(session);
  }

  /** In the order in which they came. */
  ofLane(lane: number): Iterable<Registration> {
    return (this.#lanes[lane] as Map<number, Registration>).values();
  }
}
