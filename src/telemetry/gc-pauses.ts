/**
 * Pauses of the garbage collector, as the platform tells of them: afterwards, in the thread's next turn of its event loop.
 *
 * Any thread, each for itself. A lane's thread gives its event loop a turn about once a second, so its pauses are known that late.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import type { LatencyCounts } from './latency-counts.ts';

/** Records every pause from now on. */
export function observeGcPauses(counts: LatencyCounts): void {
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) counts.record(duration * 1000);
  });
  observer.observe({ entryTypes: ['gc'] });
}
