/**
 * FrontPoller: when the front drains one ring. Wakes by its doorbell, drains one bounded batch per turn of the event loop, and
 * goes back to sleep when the ring stays empty.
 *
 *                      ring, kick                       throws
 *   new ── start ──► armed ─────────► polling ── stop ──► stopped
 *            │          ◄── empty ──────┘ ▲ one drain a turn
 *            └── something there already ─┘
 *
 * Thread: front. Fair on purpose: between two drains sockets, timers and the other lanes' rings get their turn, so a drain must
 * be bounded (`drain()` takes what its batch allows and returns how many records that were).
 * How long an empty ring is polled before the doorbell is armed again is the re-arm policy: `emptyTurnsMax`. 0 sleeps at
 * once: least CPU while idle, a wake-up per batch. More turns trade idle CPU for wake-ups under a steady trickle.
 */

import type { FrontDoorbell } from './doorbell.ts';

export interface FrontPollerOptions {
  /** Is started and armed by the poller, and closed by its owner. */
  readonly doorbell: FrontDoorbell;
  readonly isEmpty: () => boolean;
  /** Handles one bounded batch and frees it. Returns how many records; may be called with nothing to do. */
  readonly drain: () => number;
  /** Empty turns before re-arming; 0: at once. Turns, not milliseconds: a busy loop looks less often. */
  readonly emptyTurnsMax: number;
  /** Runs a callback in a later turn of the event loop. Default setImmediate; tests pass their own. */
  readonly scheduleTurn?: (turn: () => void) => unknown;
}

export interface FrontPollerStats {
  /** Calls of drain(), and the records they gave. */
  turns: number;
  records: number;
  /** Turns that found nothing: what polling costs. */
  emptyTurns: number;
  /** Wake-ups by the bell, and by kick(). */
  rings: number;
  kicks: number;
  /** How often it went to sleep. */
  arms: number;
}

type PollerState = 'new' | 'armed' | 'polling' | 'stopped';

export class FrontPoller {
  readonly stats: FrontPollerStats = { turns: 0, records: 0, emptyTurns: 0, rings: 0, kicks: 0, arms: 0 };
  readonly #doorbell: FrontDoorbell;
  readonly #isEmpty: () => boolean;
  readonly #drain: () => number;
  readonly #emptyTurnsMax: number;
  readonly #scheduleTurn: (turn: () => void) => unknown;
  readonly #turn: () => void;
  #state: PollerState = 'new';
  #emptyTurnsInRow = 0;

  constructor({ doorbell, isEmpty, drain, emptyTurnsMax, scheduleTurn = setImmediate }: FrontPollerOptions) {
    this.#doorbell = doorbell;
    this.#isEmpty = isEmpty;
    this.#drain = drain;
    this.#emptyTurnsMax = emptyTurnsMax;
    this.#scheduleTurn = scheduleTurn;
    this.#turn = () => this.#runTurn(); // Made once: a turn allocates nothing.
  }

  /** A poller is started once; a replaced lane gets a new one. */
  start(): void {
    if (this.#state !== 'new') throw new Error(`poller cannot start: state=${this.#state}`);
    this.#doorbell.start(() => this.#onRing());
    this.#armOrPoll();
  }

  /** Something may be there although no bell has rung: look in the next turn. Cheap, may be called often. */
  kick(): void {
    if (this.#state !== 'armed') return; // While polling it is looked at anyway.
    this.stats.kicks++;
    this.#doorbell.disarm();
    this.#poll();
  }

  /** No drain after this, also not by a turn that is already scheduled. What is in the ring stays there. */
  stop(): void {
    if (this.#state !== 'new' && this.#state !== 'stopped') this.#doorbell.disarm();
    this.#state = 'stopped';
  }

  get isStopped(): boolean {
    return this.#state === 'stopped';
  }

  #onRing(): void {
    if (this.#state !== 'armed') return;
    this.stats.rings++;
    this.#state = 'polling';
    this.#emptyTurnsInRow = 0;
    // Drain here, not in the next turn: nobody's socket is corked inside a doorbell's callback, and a turn is a syscall away.
    this.#runTurn();
  }

  #runTurn(): void {
    if (this.#state !== 'polling') return; // Stopped while this turn was waiting.
    const recordCount = this.#drainOnce();
    if (this.isStopped) return; // By the drain itself.
    if (recordCount > 0) this.#emptyTurnsInRow = 0;
    if (!this.#isEmpty()) this.#scheduleTurn(this.#turn);
    else if (this.#emptyTurnsInRow >= this.#emptyTurnsMax) this.#armOrPoll();
    else {
      this.#emptyTurnsInRow++;
      this.#scheduleTurn(this.#turn);
    }
  }

  #drainOnce(): number {
    let isDone = false;
    try {
      const recordCount = this.#drain();
      isDone = true;
      this.stats.turns++;
      this.stats.records += recordCount;
      if (recordCount === 0) this.stats.emptyTurns++;
      return recordCount;
    } finally {
      // The record that threw is still first in the ring: another turn would throw again, for ever. The owner decides.
      if (!isDone) this.stop();
    }
  }

  #armOrPoll(): void {
    if (this.#doorbell.arm()) {
      this.stats.arms++;
      this.#state = 'armed';
    } else {
      this.#poll();
    }
  }

  #poll(): void {
    this.#state = 'polling';
    this.#emptyTurnsInRow = 0;
    this.#scheduleTurn(this.#turn);
  }
}
