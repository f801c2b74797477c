/**
 * Poller: asks for the state once a second, never twice at a time, and not at all while nobody can see the page.
 *
 * What it promises: `onState` for every answer, `onLost` for every failure (a relay that is away, hangs, or answers something else).
 */
import type { OpsState } from '../ops/ops-state.ts';

const INTERVAL_MS = 1_000;
/** A relay that does not answer its own ops port for this long is not reachable, whatever the connection says. */
const TIMEOUT_MS = 3_000;

export interface PollerHooks {
  onState(state: OpsState): void;
  onLost(reason: string): void;
}

export class Poller {
  readonly #hooks: PollerHooks;
  #timer: number | undefined;
  #isAsking = false;

  constructor(hooks: PollerHooks) {
    this.#hooks = hooks;
  }

  start(): void {
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#ask();
      else window.clearTimeout(this.#timer);
    });
    this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || document.visibilityState !== 'visible') return;
    this.#isAsking = true;
    window.clearTimeout(this.#timer);
    const startedMs = performance.now();
    try {
      const response = await fetch('state', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (!response.ok) throw new Error(`it answers ${response.status}`);
      this.#hooks.onState((await response.json()) as OpsState);
    } catch (error) {
      this.#hooks.onLost((error as Error).name === 'TimeoutError' ? `no answer for ${TIMEOUT_MS / 1_000} s` : String(error));
    } finally {
      this.#isAsking = false;
      if (document.visibilityState === 'visible')
        this.#timer = window.setTimeout(() => this.#ask(), Math.max(0, INTERVAL_MS - (performance.now() - startedMs)));
    }
  }
}
