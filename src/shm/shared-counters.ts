/**
 * Named counters of one thread that every thread can read, and a heartbeat.
 *
 *   byte 0      128                     128 + 8 * names        end
 *        ├ gap ──┼─ counter f64 … ───────┼─ gap of 128 ─────────┤
 *
 *   K1  One writer per table: each thread that counts has a table of its own, readers add them up. So counting is `+=`.
 *   K2  Counters are whole numbers below 2^53: at a million a second that is 285 years.
 *   K3  The gaps keep a table off its neighbours' cache lines, wherever the allocator put it.
 *
 * Float64 and plain stores, because that is all the hot path can afford: 1-2 ns where Atomics.store costs ~12 ns (a call, not
 * an instruction, in this engine), BigInt64 allocates, and two u32 words need a protocol to be read whole. What is given up:
 *   - Order. A reader may see a counter late, or two of them in the wrong order. Never use one as a signal.
 *   - A promise of the language. A float64 may be torn by the letter of the specification; all engines on 64-bit machines
 *     store an aligned one by a single instruction, which the hardware keeps whole. test/race/shared-counters.race.test.ts looks.
 */

import { HEARTBEAT_OFFSET_BYTES, ringWords, wordIndex } from './ring-layout.ts';

const GAP_BYTES = 128;
const COUNTER_BYTES = 8;

export interface CounterTable<Name extends string> {
  readonly names: readonly Name[];
  /** Where each counter stands. Hot paths keep the number: `const FRAMES_IN = LANE_COUNTERS.slots.framesIn`. */
  readonly slots: Readonly<Record<Name, number>>;
  readonly byteLength: number;
}

/** Defines a table in a module that both sides import, so that slots mean the same on every thread. */
export function defineCounters<const Name extends string>(names: readonly Name[]): CounterTable<Name> {
  const slots = Object.create(null) as Record<Name, number>;
  for (const [slot, name] of names.entries()) {
    if (name in slots) throw new Error(`counter is defined twice: name=${name}`);
    slots[name] = slot;
  }
  const byteLength = GAP_BYTES + names.length * COUNTER_BYTES + GAP_BYTES;
  return Object.freeze({ names: Object.freeze([...names]), slots: Object.freeze(slots), byteLength });
}

/** All counters at 0. */
export function createCounters(table: CounterTable<string>): SharedArrayBuffer {
  return new SharedArrayBuffer(table.byteLength);
}

/** The one thread that counts (K1). */
export class CounterWriter {
  readonly #values: Float64Array;

  constructor(table: CounterTable<string>, buffer: SharedArrayBuffer) {
    this.#values = valuesOf(table, buffer);
  }

  /** Hot. */
  increment(slot: number): void {
    (this.#values[slot] as number)++;
  }

  /** Hot. */
  add(slot: number, amount: number): void {
    (this.#values[slot] as number) += amount;
  }

  /** For gauges: a level rather than a count. */
  set(slot: number, value: number): void {
    this.#values[slot] = value;
  }
}

/** Anybody else. Racy, can be late. */
export class CounterReader<Name extends string> {
  readonly #table: CounterTable<Name>;
  readonly #values: Float64Array;

  constructor(table: CounterTable<Name>, buffer: SharedArrayBuffer) {
    this.#table = table;
    this.#values = valuesOf(table, buffer);
  }

  get(slot: number): number {
    const value = this.#values[slot];
    if (value === undefined) throw new RangeError(`no such counter: slot=${slot}`);
    return value;
  }

  /** Each counter at about now; together they are not one moment. */
  snapshot(): Record<Name, number> {
    const values = {} as Record<Name, number>;
    for (const [slot, name] of this.#table.names.entries()) values[name] = this.get(slot);
    return values;
  }
}

function valuesOf(table: CounterTable<string>, buffer: SharedArrayBuffer): Float64Array {
  if (buffer.byteLength !== table.byteLength) {
    throw new RangeError(`not a buffer of this table: byteLength=${buffer.byteLength}, want=${table.byteLength}`);
  }
  return new Float64Array(buffer, GAP_BYTES, table.names.length);
}

// ---- heartbeat: a word of the ring's progress slot ---------------------------------------------------------------

const HEARTBEAT = wordIndex(HEARTBEAT_OFFSET_BYTES);

/** The consumer's half: a number that goes up while its thread gets round its loop. */
export class Heartbeat {
  readonly #words: Int32Array;
  #beat: number;

  constructor(ring: SharedArrayBuffer) {
    this.#words = ringWords(ring);
    this.#beat = Atomics.load(this.#words, HEARTBEAT);
  }

  /** Hot, but once per batch: an ordered store, so that a beat also means that what came before it is done. */
  beat(): void {
    this.#beat = (this.#beat + 1) | 0;
    Atomics.store(this.#words, HEARTBEAT, this.#beat);
  }
}

/** The other half: for how long has nobody beaten? Compares numbers, so the two threads' clocks do not matter. */
export class HeartbeatMonitor {
  readonly #words: Int32Array;
  #beatSeen: number;
  #changedAtMs: number;

  constructor(ring: SharedArrayBuffer, nowMs: number) {
    this.#words = ringWords(ring);
    this.#beatSeen = Atomics.load(this.#words, HEARTBEAT);
    this.#changedAtMs = nowMs;
  }

  /** Time since a check last found a new beat: exact to the time between two checks. */
  silentMs(nowMs: number): number {
    const beat = Atomics.load(this.#words, HEARTBEAT);
    if (beat !== this.#beatSeen) {
      this.#beatSeen = beat;
      this.#changedAtMs = nowMs;
    }
    return nowMs - this.#changedAtMs;
  }
}
