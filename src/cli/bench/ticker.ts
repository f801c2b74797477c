/**
 * Ticker: wakes a generator when its next publish is due, more exactly than the event loop's timers can (1 ms, rounded up).
 *
 * Two halves. The thread half sleeps in `Atomics.wait`, which takes fractions of a millisecond, and posts an empty message; the other half
 * runs in the generator and calls back. Ticks are never closer than `spacingUs`: a wake-up costs more than a publish.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Schedule } from './plan.ts';
import { nowUs } from './shared-clock.ts';

export interface TickerPlan {
  readonly t0Us: number;
  readonly streams: readonly number[];
  readonly streamTotal: number;
  readonly messages: number;
  readonly rate: number;
  readonly spacingUs: number;
}

interface TickerStart {
  readonly tickerPlan: TickerPlan;
  readonly stop: Int32Array;
}

export class Ticker {
  readonly #worker: Worker;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));

  constructor(tickerPlan: TickerPlan, onTick: () => void) {
    const start: TickerStart = { tickerPlan, stop: this.#stop };
    this.#worker = new Worker(new URL(import.meta.url), {
      workerData: start,
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#worker.on('message', onTick);
  }

  stop(): void {
    Atomics.store(this.#stop, 0, 1);
    Atomics.notify(this.#stop, 0);
    this.#worker.unref();
  }
}

function isTickerStart(data: unknown): data is TickerStart {
  return typeof data === 'object' && data !== null && 'tickerPlan' in data;
}

function tick({ tickerPlan, stop }: TickerStart): void {
  const { t0Us, streams, streamTotal, messages, rate, spacingUs } = tickerPlan;
  const schedule = new Schedule(streams, streamTotal, messages, rate);
  let tickAtUs = 0;
  while (!schedule.isDone) {
    tickAtUs = Math.max(t0Us + schedule.dueUs, tickAtUs + spacingUs);
    for (let waitUs = tickAtUs - nowUs(); waitUs > 0; waitUs = tickAtUs - nowUs()) {
      if (Atomics.wait(stop, 0, 0, waitUs / 1000) !== 'timed-out') return;
    }
    parentPort?.postMessage(0);
    const sentUs = nowUs();
    tickAtUs = Math.max(tickAtUs, sentUs - spacingUs); // After a stall: no burst of ticks to catch up, one does it.
    while (!schedule.isDone && t0Us + schedule.dueUs <= sentUs) schedule.advance();
  }
}

if (!isMainThread && isTickerStart(workerData)) tick(workerData);
