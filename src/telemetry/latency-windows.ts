/**
 * Windows over latency counts: since the start, and over the last 10 s, 1 min and 5 min.
 *
 * Thread: main. A turn a second keeps what was counted in each of the last ten seconds, five ten-seconds and four minutes, and in the ten seconds and the
 * minute under way. A window is the sum of those, never of anything older: the longer ones hold 50 to 60 seconds and four to five minutes.
 * 23 slots of 12 KB a stage, whatever the load.
 */
import { LatencyCounts } from './latency-counts.ts';

export const WINDOW_NAMES = ['start', '10s', '1m', '5m'] as const;
export type WindowName = (typeof WINDOW_NAMES)[number];

export function isWindow(name: string): name is WindowName {
  return (WINDOW_NAMES as readonly string[]).includes(name);
}

/** The last so many of a span of `turns` turns. */
class Span {
  readonly turns: number;
  readonly #slots: LatencyCounts[];
  #next = 0;

  constructor(turns: number, slotCount: number) {
    this.turns = turns;
    this.#slots = Array.from({ length: slotCount }, () => new LatencyCounts());
  }

  push(counts: LatencyCounts): void {
    (this.#slots[this.#next] as LatencyCounts).copyFrom(counts);
    this.#next = (this.#next + 1) % this.#slots.length;
  }

  addTo(sum: LatencyCounts): void {
    for (const slot of this.#slots) sum.add(slot);
  }
}

export class LatencyWindows {
  readonly #sources: readonly LatencyCounts[];
  readonly #total = new LatencyCounts();
  readonly #before = new LatencyCounts();
  readonly #turn = new LatencyCounts();
  readonly #seconds = new Span(1, 10);
  readonly #tens = new Span(10, 5);
  readonly #minutes = new Span(60, 4);
  readonly #tenSoFar = new LatencyCounts();
  readonly #minuteSoFar = new LatencyCounts();
  #turns = 0;

  /** `sources` are summed: one per thread that records the stage. Their counters only grow. */
  constructor(sources: readonly LatencyCounts[]) {
    this.#sources = sources;
  }

  /** Once a second. */
  turn(): void {
    this.#sum();
    this.#turn.setDifference(this.#total, this.#before);
    this.#before.copyFrom(this.#total);
    this.#seconds.push(this.#turn);
    this.#tenSoFar.add(this.#turn);
    this.#minuteSoFar.add(this.#turn);
    this.#turns++;
    if (this.#turns % this.#tens.turns === 0) {
      this.#tens.push(this.#tenSoFar);
      this.#tenSoFar.clear();
    }
    if (this.#turns % this.#minutes.turns === 0) {
      this.#minutes.push(this.#minuteSoFar);
      this.#minuteSoFar.clear();
    }
  }

  /** What was counted in the window: the caller's own copy. The started ten seconds or minute belongs to it. */
  counts(window: WindowName): LatencyCounts {
    const sum = new LatencyCounts();
    switch (window) {
      case 'start':
        this.#sum();
        sum.copyFrom(this.#total);
        break;
      case '10s':
        this.#seconds.addTo(sum);
        break;
      case '1m':
        this.#tens.addTo(sum);
        sum.add(this.#tenSoFar);
        break;
      case '5m':
        this.#minutes.addTo(sum);
        sum.add(this.#minuteSoFar);
        break;
      default:
        window satisfies never;
    }
    return sum;
  }

  #sum(): void {
    this.#total.clear();
    for (const source of this.#sources) this.#total.add(source);
  }
}
