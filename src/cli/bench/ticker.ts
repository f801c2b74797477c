/**
 * Ticker: wakes a generator when its next publish is due, more exactly than the event loop's timers can (1 ms, rounded up).
 *
 * The generator's half; the sleeping is done by a thread (ticker-thread.ts). Ticks are never closer than `spacingUs`: a wake-up costs
 * more than a publish.
 */

import { Worker } from 'node:worker_threads';
import { InterruptibleSleep } from '../../shm/interruptible-sleep.ts';
import { entryUrl } from './entry-url.ts';

export interface TickerPlan {
  readonly t0Us: number;
  readonly streams: readonly number[];
  readonly streamTotal: number;
  readonly messages: number;
  readonly rate: number;
  readonly spacingUs: number;
}

export interface TickerStart {
  readonly tickerPlan: TickerPlan;
  /** One word: not 0 ends the thread. */
  readonly stop: SharedArrayBuffer;
}

export class Ticker {
  readonly #worker: Worker;
  readonly #sleep = new InterruptibleSleep();

  constructor(tickerPlan: TickerPlan, onTick: () => void) {
    const start: TickerStart = { tickerPlan, stop: this.#sleep.buffer };
    const execArgv = ['--disable-warning=ExperimentalWarning'];
    this.#worker = new Worker(entryUrl('ticker-thread'), { workerData: start, execArgv });
    this.#worker.on('message', onTick);
  }

  stop(): void {
    this.#sleep.interrupt();
    this.#worker.unref();
  }
}
