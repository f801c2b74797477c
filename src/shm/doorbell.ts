/**
 * Doorbells: how the consumer of a ring sleeps, and how its producer wakes it without paying when it is awake.
 *
 * One word of the ring, ASLEEP, is the whole protocol:
 *
 *   consumer                                   producer
 *   C1  asleep := 1                            P1  tail := …            (publish)
 *   C2  anything to read? then asleep := 0     P2  asleep = 1?          (one load; usually no, and that is all)
 *   C3  wait while asleep = 1                  P3  asleep: 1 -> 0       (compareExchange: of two ringers one rings)
 *   C4  asleep := 0                            P4  notify
 *
 *   D1  No wake-up is lost. All of these are sequentially consistent: either C2 sees the tail of P1, or P2 sees the flag of C1.
 *       And C3 compares before it waits: a bell between C2 and C3 leaves 0 there, and there is nothing to wait for.
 *   D2  A parked consumer is rung at most once: P3 takes the flag down. While it is awake nobody pays for a system call.
 *   D3  Wake-ups without a cause happen (a late notify, a stale port message) and are harmless: the consumer drains and parks again.
 *
 * There are two kinds of sleeper. A lane thread blocks (ThreadDoorbell). The front may not: it has an event loop to run, and is
 * told by a promise (WaitAsyncDoorbell) or a port message (MessagePortDoorbell), both behind FrontDoorbell.
 *
 * A sleeper can wait for more than its ring: a lane that is stuck on a full egress ring parks here too, and the front rings
 * its bell after release(). What counts as "ready" is the sleeper's closure, checked at C2.
 */

import type { MessagePort } from 'node:worker_threads';
import { ASLEEP, ASLEEP_OFFSET_BYTES, AWAKE, ringWords, wordIndex } from './ring-layout.ts';

const FLAG = wordIndex(ASLEEP_OFFSET_BYTES);

/** ready: did not park, there was something. rung: parked and woken. timeout: parked for the whole time. */
export type ParkOutcome = 'ready' | 'rung' | 'timeout';

/** The producer's half. Call it after every publish; it costs one load while the consumer is awake. */
export interface Bell {
  /** Hot. True if somebody had to be woken. */
  ring(): boolean;
  /** How often somebody had to be woken. */
  readonly rings: number;
}

/** The lane thread's half of a front doorbell. */
export type FrontBell = Bell;

/** The consumer's half on a thread that must not block. */
export interface FrontDoorbell {
  /** `onRing` is called once per wake-up, on this thread, from the event loop. Call start() once, before arm(). */
  start(onRing: () => void): void;
  /** Asks to be rung. False: there is already something to read, and nothing is armed. */
  arm(): boolean;
  /** Takes arm() back; a bell on its way is swallowed. */
  disarm(): void;
  /** Wake-ups that reached `onRing`. */
  readonly wakes: number;
  close(): void;
}

// ---- lane thread sleeps, front rings ----------------------------------------------------------------------------

/** Where a lane thread sleeps. Blocks the thread: no timers, port messages or console meanwhile, so the time is bounded. */
export class ThreadDoorbell {
  /** How often the thread really slept. */
  parks = 0;
  wakes = 0;
  timeouts = 0;
  readonly #words: Int32Array;
  readonly #isReady: () => boolean;

  /** `isReady` must look at shared memory afresh: `() => !consumer.isEmpty()`, and whatever else may end the sleep. */
  constructor(ring: SharedArrayBuffer, isReady: () => boolean) {
    this.#words = ringWords(ring);
    this.#isReady = isReady;
  }

  isReady(): boolean {
    return this.#isReady();
  }

  /** Sleeps until rung or `timeoutMs` have passed; not at all if there is something already. */
  park(timeoutMs: number): ParkOutcome {
    Atomics.store(this.#words, FLAG, ASLEEP);
    // Look *after* raising the flag, not before: a record written in between would ring no bell (D1).
    if (this.#isReady()) {
      Atomics.store(this.#words, FLAG, AWAKE);
      return 'ready';
    }
    this.parks++;
    Atomics.wait(this.#words, FLAG, ASLEEP, timeoutMs);
    // The flag, not the wait's own answer, says why: a bell at the very end of the time still was one.
    if (Atomics.exchange(this.#words, FLAG, AWAKE) === ASLEEP) {
      this.timeouts++;
      return 'timeout';
    }
    this.wakes++;
    return 'rung';
  }
}

/** Rings by `Atomics.notify`: for a sleeping thread, and for a front that waits by `Atomics.waitAsync`. */
export class NotifyBell implements Bell {
  rings = 0;
  readonly #words: Int32Array;

  constructor(ring: SharedArrayBuffer) {
    this.#words = ringWords(ring);
  }

  ring(): boolean {
    if (Atomics.load(this.#words, FLAG) === AWAKE) return false;
    if (!takeFlagDown(this.#words)) return false;
    this.rings++;
    Atomics.notify(this.#words, FLAG);
    return true;
  }
}

// ---- front sleeps, lane thread rings ----------------------------------------------------------------------------

/**
 * The front waits by `Atomics.waitAsync`. Keeps no event loop alive: whoever has nothing else open may exit while armed.
 *
 * Without a timeout on purpose: a notified wait that has one keeps its timer and its promise until the time is over.
 * A wait that is not needed any more cannot be taken back, only answered: so there is at most one, and it serves the next arm().
 */
export class WaitAsyncDoorbell implements FrontDoorbell {
  wakes = 0;
  readonly #words: Int32Array;
  readonly #isEmpty: () => boolean;
  #onRing: (() => void) | undefined;
  #isArmed = false;
  /** A waitAsync is out whose answer has not come back. */
  #isWaiting = false;
  #isClosed = false;
  readonly #onAnswer: () => void;

  constructor(ring: SharedArrayBuffer, isEmpty: () => boolean) {
    this.#words = ringWords(ring);
    this.#isEmpty = isEmpty;
    this.#onAnswer = () => {
      this.#isWaiting = false;
      if (!this.#isArmed) return;
      this.disarm();
      this.wakes++;
      this.#onRing?.();
    };
  }

  start(onRing: () => void): void {
    this.#onRing = onRing;
  }

  arm(): boolean {
    if (this.#isClosed) throwClosed();
    Atomics.store(this.#words, FLAG, ASLEEP);
    if (!this.#isEmpty()) {
      this.disarm();
      return false;
    }
    this.#isArmed = true;
    // Still out from an earlier arm(): either it is in the list and the next notify answers it, or its answer is on its way
    // and will call onRing, which looks at the ring. Both are good for this arm() too.
    if (this.#isWaiting) return true;
    const wait = Atomics.waitAsync(this.#words, FLAG, ASLEEP);
    if (!wait.async) {
      this.disarm(); // Rung between the look at the ring and the wait.
      return false;
    }
    this.#isWaiting = true;
    wait.value.then(this.#onAnswer);
    return true;
  }

  disarm(): void {
    this.#isArmed = false;
    Atomics.store(this.#words, FLAG, AWAKE);
  }

  /** Answers the wait that is out, so that nothing refers to the ring any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.disarm();
    Atomics.notify(this.#words, FLAG);
  }
}

/** The front waits for a message on a port. Cheaper per wake-up on the front than waitAsync, dearer for the lane that rings. */
export class MessagePortDoorbell implements FrontDoorbell {
  wakes = 0;
  readonly #words: Int32Array;
  readonly #isEmpty: () => boolean;
  readonly #port: MessagePort;
  #isArmed = false;
  #isClosed = false;

  constructor(ring: SharedArrayBuffer, isEmpty: () => boolean, port: MessagePort) {
    this.#words = ringWords(ring);
    this.#isEmpty = isEmpty;
    this.#port = port;
  }

  /** Like waitAsync, the started port does not keep the event loop alive; `ref()` makes it. */
  start(onRing: () => void): void {
    this.#port.on('message', () => {
      if (!this.#isArmed) return; // Posted for an arm() that was taken back.
      this.disarm();
      this.wakes++;
      onRing();
    });
    this.#port.unref(); // A listener refs the port.
  }

  arm(): boolean {
    if (this.#isClosed) throwClosed();
    Atomics.store(this.#words, FLAG, ASLEEP);
    if (!this.#isEmpty()) {
      this.disarm();
      return false;
    }
    this.#isArmed = true;
    return true;
  }

  disarm(): void {
    this.#isArmed = false;
    Atomics.store(this.#words, FLAG, AWAKE);
  }

  ref(): void {
    this.#port.ref();
  }

  unref(): void {
    this.#port.unref();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.disarm();
    this.#port.close();
  }
}

/** Rings by a port message: for a MessagePortDoorbell at the other end. */
export class MessagePortBell implements Bell {
  rings = 0;
  readonly #words: Int32Array;
  readonly #port: MessagePort;

  constructor(ring: SharedArrayBuffer, port: MessagePort) {
    this.#words = ringWords(ring);
    this.#port = port;
  }

  ring(): boolean {
    if (Atomics.load(this.#words, FLAG) === AWAKE) return false;
    if (!takeFlagDown(this.#words)) return false;
    this.rings++;
    this.#port.postMessage(0);
    return true;
  }
}

function takeFlagDown(words: Int32Array): boolean {
  return Atomics.compareExchange(words, FLAG, ASLEEP, AWAKE) === ASLEEP;
}

function throwClosed(): never {
  throw new Error('arm() after close()');
}
