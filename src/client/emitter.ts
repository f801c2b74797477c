/**
 * Emitter: typed events. A listener that throws, or returns a promise that rejects, is reported and breaks nothing else.
 *
 * `on` returns the function that takes the listener off again; after that call it is never called, not even by an emit under way.
 */

export type Listener<Args extends unknown[]> = (...args: Args) => unknown;

interface Entry {
  readonly listener: Listener<never>;
  active: boolean;
}

export class Emitter<Events extends Record<keyof Events, unknown[]>> {
  // Lists are replaced, never changed: an emit walks the one it began with and copies nothing.
  readonly #entries = new Map<keyof Events, readonly Entry[]>();
  readonly #report: (error: unknown, name: keyof Events) => void;

  /** `report` gets what listeners throw, synchronously or by a promise, and on which event. It must not throw itself. */
  constructor(report: (error: unknown, name: keyof Events) => void) {
    this.#report = report;
  }

  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    if (typeof listener !== 'function') throw new TypeError(`the listener for '${String(name)}' must be a function`);
    const entry: Entry = { listener, active: true };
    this.#entries.set(name, [...(this.#entries.get(name) ?? []), entry]);
    return () => {
      entry.active = false;
      const rest = this.#entries.get(name)?.filter((other) => other !== entry) ?? [];
      if (rest.length > 0) this.#entries.set(name, rest);
      else this.#entries.delete(name);
    };
  }

  has(name: keyof Events): boolean {
    return this.#entries.has(name);
  }

  /** Hot. True if every listener returned. */
  emit<Name extends keyof Events>(name: Name, ...args: Events[Name]): boolean {
    const entries = this.#entries.get(name);
    if (entries === undefined) return true;
    let allReturned = true;
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index] as Entry;
      if (!entry.active) continue;
      try {
        const result: unknown = (entry.listener as Listener<Events[Name]>)(...args);
        // An async listener's rejection is nobody else's to catch.
        if (result !== null && typeof result === 'object' && 'then' in result)
          Promise.resolve(result).then(undefined, (error) => this.#report(error, name));
      } catch (error) {
        allReturned = false;
        this.#report(error, name);
      }
    }
    return allReturned;
  }

  clear(): void {
    for (const entries of this.#entries.values()) for (const entry of entries) entry.active = false;
    this.#entries.clear();
  }
}
