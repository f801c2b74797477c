/**
 * Asks an HTTP service for a decision, and keeps the answer for a while: what connect and subscribe hooks share.
 *
 * Thread: main. Bounded in time, size and questions at once. Whoever cannot be asked has not allowed anything: no answer, a broken one or too many
 * questions under way is 'unavailable', never a yes. The same question while it is being asked is asked once.
 */
import type { Clock } from '../base/clock.ts';
import type { HookMetrics, HookName, TellAuthEvent } from './auth-events.ts';
import { requestJson } from './json-request.ts';

export interface HookOptions {
  readonly url: string;
  readonly timeoutMs: number;
  readonly bytesMax: number;
  /** Questions under way at once; over it none is asked. */
  readonly inFlightMax: number;
  /** How long an answer holds; 0 asks each time. */
  readonly cacheMs: number;
  readonly cacheMax: number;
}

export type HookAnswer<Decision> = Decision | 'unavailable';

export class DecisionHook<Decision extends object> {
  readonly #name: HookName;
  readonly #options: HookOptions;
  readonly #read: (answer: unknown) => Decision | null;
  readonly #clock: Clock;
  readonly #metrics: HookMetrics;
  readonly #tell: TellAuthEvent;
  readonly #closing = new AbortController();
  /** By the question's text, oldest first: all are kept for the same time. */
  readonly #cache = new Map<string, { readonly decision: Decision; readonly untilMs: number }>();
  readonly #asking = new Map<string, Promise<HookAnswer<Decision>>>();
  #isDown = false;

  /** `read`: a decision from the answer's JSON, or null where it is none. */
  constructor(
    name: HookName,
    options: HookOptions,
    read: (answer: unknown) => Decision | null,
    clock: Clock,
    metrics: HookMetrics,
    tell: TellAuthEvent,
  ) {
    this.#name = name;
    this.#options = options;
    this.#read = read;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#tell = tell;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** `question` is what is sent. At once where the answer is known. Never rejects. */
  ask(question: object): HookAnswer<Decision> | Promise<HookAnswer<Decision>> {
    const text = JSON.stringify(question);
    const kept = this.#kept(text);
    if (kept !== null) {
      this.#metrics.cached++;
      return kept;
    }
    const asking = this.#asking.get(text);
    if (asking !== undefined) return asking;
    if (this.#asking.size >= this.#options.inFlightMax) {
      this.#metrics.refused++;
      return 'unavailable';
    }
    const answer = this.#request(text);
    this.#asking.set(text, answer);
    this.#metrics.inFlight = this.#asking.size;
    return answer;
  }

  close(): void {
    this.#closing.abort();
    this.#cache.clear();
  }

  async #request(text: string): Promise<HookAnswer<Decision>> {
    const { url, timeoutMs, bytesMax } = this.#options;
    try {
      const decision = this.#read(await requestJson({ url, body: text, timeoutMs, bytesMax, signal: this.#closing.signal }));
      if (decision === null) throw new Error('its answer is no decision');
      if (this.#isDown) this.#tell({ kind: 'hookAnswers', hook: this.#name });
      this.#isDown = false;
      this.#keep(text, decision);
      return decision;
    } catch (error) {
      this.#metrics.failed++;
      if (!this.#isDown && !this.#closing.signal.aborted)
        this.#tell({ kind: 'hookFailed', hook: this.#name, reason: (error as Error).message });
      this.#isDown = true;
      return 'unavailable';
    } finally {
      this.#asking.delete(text);
      this.#metrics.inFlight = this.#asking.size;
    }
  }

  #kept(text: string): Decision | null {
    const entry = this.#cache.get(text);
    if (entry === undefined) return null;
    if (entry.untilMs > this.#clock.monotonicMs()) return entry.decision;
    this.#cache.delete(text);
    return null;
  }

  #keep(text: string, decision: Decision): void {
    const { cacheMs, cacheMax } = this.#options;
    if (cacheMs === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#cache.delete(text);
    this.#cache.set(text, { decision, untilMs: nowMs + cacheMs });
    for (const [oldest, { untilMs }] of this.#cache) {
      if (this.#cache.size <= cacheMax && untilMs > nowMs) break;
      this.#cache.delete(oldest);
    }
  }
}
