/** Series: the last minutes of some figures, one point a second, with gaps where nothing was heard. What the charts draw. */

/** Ten minutes. */
export const POINTS_MAX = 600;

/** Silence for longer is a gap: the page was hidden, or the machine asleep. */
const GAP_SECONDS = 5;

export class Series {
  /** Seconds since 1970, rising. */
  readonly times: number[] = [];
  /** A null is a gap: nothing recorded, or nobody to ask. */
  readonly values: (number | null)[][];

  constructor(lineCount: number) {
    this.values = Array.from({ length: lineCount }, () => []);
  }

  add(timeMs: number, values: readonly (number | null)[]): void {
    const time = timeMs / 1_000;
    // A clock that was set back would draw a line backwards: what lies ahead of it never happened.
    while (this.times.length > 0 && (this.times.at(-1) as number) >= time) this.#drop('pop');
    const last = this.times.at(-1);
    if (last !== undefined && time - last > GAP_SECONDS) this.#push(last + 1, []);
    this.#push(time, values);
    while (this.times.length > POINTS_MAX) this.#drop('shift');
  }

  gap(timeMs: number): void {
    this.add(timeMs, []);
  }

  clear(): void {
    this.times.length = 0;
    for (const line of this.values) line.length = 0;
  }

  #push(time: number, values: readonly (number | null)[]): void {
    this.times.push(time);
    for (const [index, line] of this.values.entries()) line.push(values[index] ?? null);
  }

  #drop(end: 'pop' | 'shift'): void {
    this.times[end]();
    for (const line of this.values) line[end]();
  }
}
