/**
 * Turns: how much of what clients send is handled in one turn of the event loop, and in which order the rest.
 *
 * Thread: front only. A WebSocket message of 96 KiB may hold 48,000 commands, and a socket may bring half a megabyte at once. Whoever waits for the front
 * waits for all of that; so a connection has a share of each turn, and all together have a bound. What is over it is copied, and handled in later turns,
 * a few commands of each connection after the other; one round in a turn while a lane is behind, or what a flood brings would stand in the lane's ring before
 * what others bring. A connection's own commands keep their order.
 *
 * `schedule` runs a step at the end of the turn, never inside the caller: setImmediate. `scheduleServing` runs one a moment later: who floods has his share
 * some thousand times a second, not as often as an idle event loop turns, or he would have all that is left of the machine.
 */
import type { Session } from '../session.ts';
import { HELD_MESSAGE_BYTES, HeldMessages } from './held-messages.ts';

export interface TurnOptions {
  readonly commandsPerTurnMax: number;
  readonly commandsPerTurnTotalMax: number;
  readonly commandsWaitingBytesMax: number;
  readonly commandsWaitingBytesTotalMax: number;
  readonly heldBytesMax: number;
}

/** Which bound was met. */
export type TurnBound = 'commandsWaitingBytesMax' | 'commandsWaitingBytesTotalMax' | 'heldBytesMax' | 'commandsPerTurnMax';

/** Commands of one connection before the next one has its go. */
const ROUND_COMMANDS = 32;
/** What cannot wait (control frames, empty messages) may go over a connection's share of a turn so many times. */
const TRIFLE_SHARES = 16;

export class Turns {
  readonly #options: TurnOptions;
  readonly #schedule: (step: () => void) => void;
  readonly #scheduleServing: (step: () => void) => void;
  readonly #isBehind: () => boolean;
  readonly #handle: (session: Session, held: HeldMessages) => void;
  readonly #finish: () => void;
  /** Sessions with something to handle; who was served last stands last. */
  readonly #waiting = new Set<Session>();
  readonly #rested: Session[] = [];
  #heldBytes = 0;
  #turn = 1;
  #isEndScheduled = false;
  #isServingScheduled = false;
  /** Of this turn, for all. */
  #commandsLeft: number;
  /** Of the session's go in a round. */
  #roundLeft = Number.POSITIVE_INFINITY;

  /** `isBehind`: the lanes have more before them than a little. `handle` goes through a session's held messages while `mayHandle`, and says so by `advance`; `finish` comes after the last one of a turn. */
  constructor(
    options: TurnOptions,
    schedule: (step: () => void) => void,
    scheduleServing: (step: () => void) => void,
    isBehind: () => boolean,
    handle: (session: Session, held: HeldMessages) => void,
    finish: () => void,
  ) {
    this.#options = options;
    this.#schedule = schedule;
    this.#scheduleServing = scheduleServing;
    this.#isBehind = isBehind;
    this.#handle = handle;
    this.#finish = finish;
    this.#commandsLeft = options.commandsPerTurnTotalMax;
  }

  /** Of all sessions. */
  get heldBytes(): number {
    return this.#heldBytes;
  }
  /** Sessions that wait for their next turn. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Hot. Something of this session is about to be handled: its share of this turn begins, if it has not. */
  enter(session: Session): void {
    if (session.turn === this.#turn) return;
    session.turn = this.#turn;
    session.turnCommandsLeft = session.internal ? Number.POSITIVE_INFINITY : this.#options.commandsPerTurnMax;
    this.#endTurnLater();
  }

  /** Hot. */
  mayHandle(session: Session): boolean {
    if (session.held?.isBlocked === true) return false;
    return session.turnCommandsLeft > 0 && ((this.#commandsLeft > 0 && this.#roundLeft > 0) || session.internal);
  }

  /** Hot. `commands`: one, or more where it costs more. */
  spend(session: Session, commands: number): void {
    session.turnCommandsLeft -= commands;
    this.#commandsLeft -= commands;
    this.#roundLeft -= commands;
  }

  /** Something that is done already, and costs as much as a small command. The bound that it breaks, or null. */
  noteTrifle(session: Session): TurnBound | null {
    this.enter(session);
    this.spend(session, 1);
    return session.turnCommandsLeft < -TRIFLE_SHARES * this.#options.commandsPerTurnMax ? 'commandsPerTurnMax' : null;
  }

  /** Of what the session has held, the first message is handled up to `at`. */
  advance(held: HeldMessages, at: number): void {
    const before = held.heldBytes;
    held.handledTo(at);
    this.#heldBytes -= before - held.heldBytes;
  }

  /**
   * Keeps `bytes[start, end)` for later, behind what is kept already. The bound that it would break, or null: then it is kept, and is handled in a later
   * turn, or, where the session's messages are blocked, after `release`.
   */
  hold(session: Session, bytes: Uint8Array, start: number, end: number, stampUs: number): TurnBound | null {
    const { commandsWaitingBytesMax, commandsWaitingBytesTotalMax, heldBytesMax } = this.#options;
    const cost = end - start + HELD_MESSAGE_BYTES;
    const held = (session.held ??= new HeldMessages());
    if (held.isBlocked && held.blockedBytes + cost > heldBytesMax) return 'heldBytesMax';
    if (held.heldBytes + cost > commandsWaitingBytesMax) return 'commandsWaitingBytesMax';
    if (this.#heldBytes + cost > commandsWaitingBytesTotalMax) return 'commandsWaitingBytesTotalMax';
    held.push(bytes, start, end, stampUs);
    if (held.isBlocked) held.blockedBytes += cost;
    this.#heldBytes += cost;
    if (!held.isBlocked) this.#wait(session);
    return null;
  }

  /** Something about the session is being decided: from now on what it sends is kept until `release`, whatever its share of the turn. */
  block(session: Session): void {
    session.held ??= new HeldMessages();
    session.held.isBlocked = true;
    session.held.blockedBytes = 0;
    this.#waiting.delete(session);
  }

  /** Decided: what was kept is handled now, as far as the session's share of this turn goes. Not inside the handling of a message. */
  release(session: Session): void {
    const { held } = session;
    if (held === null) return;
    held.isBlocked = false;
    this.#serve(session, Number.POSITIVE_INFINITY, false);
    this.#waitRested();
    this.#finish();
  }

  /** The session is gone, and what it has sent with it. */
  forget(session: Session): void {
    if (session.held === null) return;
    this.#heldBytes -= session.held.heldBytes;
    session.held = null;
    this.#waiting.delete(session);
  }

  #wait(session: Session): void {
    this.#waiting.add(session);
    if (this.#isServingScheduled) return;
    this.#isServingScheduled = true;
    this.#scheduleServing(this.#serveWaiting);
  }

  #endTurnLater(): void {
    if (this.#isEndScheduled) return;
    this.#isEndScheduled = true;
    this.#schedule(this.#endTurn);
  }

  readonly #endTurn = (): void => {
    this.#isEndScheduled = false;
    this.#beginTurn();
  };

  #beginTurn(): void {
    this.#turn++;
    this.#commandsLeft = this.#options.commandsPerTurnTotalMax;
  }

  readonly #serveWaiting = (): void => {
    this.#isServingScheduled = false;
    this.#beginTurn();
    // Who is added again is met again: rounds. What is left over stands in front of who has had his share.
    for (const session of this.#waiting) {
      if (this.#commandsLeft <= 0) break;
      this.#waiting.delete(session);
      this.#serve(session, ROUND_COMMANDS, this.#isBehind());
    }
    this.#waitRested();
    for (const session of this.#waiting) {
      this.#wait(session); // Those that this turn had nothing left for.
      break;
    }
    this.#finish();
  };

  #waitRested(): void {
    for (const session of this.#rested) if (session.held !== null) this.#wait(session);
    this.#rested.length = 0;
  }

  #serve(session: Session, commandsMax: number, isOneRound: boolean): void {
    const held = session.held as HeldMessages;
    this.enter(session);
    this.#roundLeft = commandsMax;
    this.#handle(session, held);
    this.#roundLeft = Number.POSITIVE_INFINITY;
    if (session.held !== held || held.isBlocked) return; // It was closed on the way, or waits for something else now.
    if (held.isEmpty) session.held = null;
    else if (session.turnCommandsLeft > 0 && !isOneRound) this.#wait(session);
    else this.#rested.push(session);
  }
}
