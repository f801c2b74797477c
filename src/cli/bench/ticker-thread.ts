/**
 * Ticker thread: the entry of the thread that sleeps until a generator's next publish is due. Owns nothing but its clock.
 *
 * Sleeps for fractions of a millisecond, and posts an empty message.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { InterruptibleSleep } from '../../shm/interruptible-sleep.ts';
import { Schedule } from './plan.ts';
import { nowUs } from './shared-clock.ts';
import type { TickerStart } from './ticker.ts';

function tick({ tickerPlan, stop }: TickerStart): void {
  const sleep = new InterruptibleSleep(stop);
  const { t0Us, streams, streamTotal, messages, rate, spacingUs } = tickerPlan;
  const schedule = new Schedule(streams, streamTotal, messages, rate);
  let tickAtUs = 0;
  while (!schedule.isDone) {
    tickAtUs = Math.max(t0Us + schedule.dueUs, tickAtUs + spacingUs);
    for (let waitUs = tickAtUs - nowUs(); waitUs > 0; waitUs = tickAtUs - nowUs()) {
      if (!sleep.for(waitUs / 1000)) return;
    }
    parentPort?.postMessage(0);
    const sentUs = nowUs();
    tickAtUs = Math.max(tickAtUs, sentUs - spacingUs); // After a stall: no burst of ticks to catch up, one does it.
    while (!schedule.isDone && t0Us + schedule.dueUs <= sentUs) schedule.advance();
  }
}

tick(workerData as TickerStart);
