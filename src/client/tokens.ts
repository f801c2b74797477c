/**
 * Tokens: keeps an open session's token fresh, without a reconnect.
 *
 *   opened, refreshed ──most of what is left of the token──► asking: token function, REFRESH ──OK──► and again
 *                       a command was answered TOKEN_EXPIRED ──┘  ▲                │
 *                                                                 └── back-off ◄───┘ failed
 *
 * One refresh at a time and at most one a second, whatever asks for it: a computer that wakes up, or whose clock is wrong, is no storm.
 * What is left is counted by the relay's clock, which a PING tells. Without a token function there is nothing to refresh.
 */
import { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import { retryDelayMs } from './backoff.ts';
import type { ClientEvents } from './client.ts';
import { encodeTail } from './codec.ts';
import type { Connection, Welcome } from './connection.ts';
import type { Emitter } from './emitter.ts';
import type { FilledOptions } from './options.ts';

/** A refresh failed; the next try is at `retryAtMs` (milliseconds since the epoch, by the client's clock). */
export interface TokenProblem {
  /** What the token function threw, or the relay's refusal. */
  readonly error: unknown;
  /** Tries in a row that failed before this one. */
  readonly attempt: number;
  readonly retryAtMs: number;
}

const REFRESH_MS_MIN = 1_000;
const RETRY_CAP_MS = 30_000;
/** A refresh begins when between 60 % and 80 % of what is left are over: early enough for some tries, and not everybody's at once. */
const FRACTION_MIN = 0.6;
const FRACTION_SPREAD = 0.2;

export class Tokens {
  /** Who the relay says we are, and until when, by its clock, in milliseconds since the epoch. */
  subject: string | undefined;
  expiresAtMs: number | undefined;
  readonly #options: FilledOptions;
  readonly #events: Emitter<ClientEvents>;
  #link!: Connection;
  /** The next refresh, or the end of the one under way. */
  #timer: unknown;
  /** One is under way, or will be in a moment. */
  #isDue = false;
  #attempt = 0;
  /** Of the refresh under way: what comes from an earlier one finds another number here. */
  #round = 0;

  constructor(options: FilledOptions, events: Emitter<ClientEvents>) {
    this.#options = options;
    this.#events = events;
  }

  opened(link: Connection, { subject, expiresAtMs }: Welcome): void {
    this.#link = link;
    this.subject = subject;
    this.#take(expiresAtMs);
  }

  cut(): void {
    this.#round++;
    this.#isDue = false;
    this.#options.platform.timers.clearTimeout(this.#timer);
  }

  /** The relay takes no commands with this token any more. True: a fresh one is on its way, and `resend` will follow. */
  expired(): boolean {
    if (typeof this.#options.token !== 'function') return false;
    if (!this.#isDue) this.#arm(REFRESH_MS_MIN);
    this.#isDue = true;
    return true;
  }

  #take(expiresAtMs: number | null | undefined): void {
    const { token, platform, commandTimeoutMs } = this.#options;
    this.expiresAtMs = expiresAtMs ?? undefined;
    this.#attempt = 0;
    this.cut();
    if (!expiresAtMs || typeof token !== 'function') return;
    const round = this.#round;
    const schedule = (nowMs: number) => {
      if (round !== this.#round || this.#isDue) return;
      const leftMs = (expiresAtMs - nowMs) * (FRACTION_MIN + FRACTION_SPREAD * platform.random());
      this.#arm(Math.max(REFRESH_MS_MIN, leftMs));
    };
    const reply = {
      ok: (result: unknown) => schedule((result as { timeUs: number }).timeUs / 1_000),
      failed: () => schedule(platform.clock.nowMs()),
      cut() {},
    };
    this.#link.request(MessageType.PING, encodeTail(), reply, commandTimeoutMs);
  }

  async #ask(): Promise<void> {
    const { token, helloTimeoutMs } = this.#options;
    const round = ++this.#round;
    const failed = (error: unknown) => {
      if (round === this.#round) this.#failed(error);
    };
    this.#isDue = true;
    this.#arm(helloTimeoutMs, () => failed(new RelayError('TIMEOUT', 'no fresh token', { timeoutMs: helloTimeoutMs })));
    try {
      const tail = encodeTail(await (token as () => unknown)());
      if (round !== this.#round) return;
      // Also where it comes after its time: the relay has the token.
      const ok = (result: unknown) => {
        this.#take((result as { expiresAtMs: number | null }).expiresAtMs);
        this.#link.resend();
        this.#events.emit('token-refreshed');
      };
      this.#link.request(MessageType.REFRESH, tail, { ok, failed, cut() {} });
    } catch (error) {
      failed(error);
    }
  }

  #failed(error: unknown): void {
    const { clock, random } = this.#options.platform;
    const attempt = this.#attempt++;
    const delayMs = Math.max(REFRESH_MS_MIN, retryDelayMs(error, attempt, random, RETRY_CAP_MS));
    this.#round++;
    this.#arm(delayMs);
    this.#events.emit('token-problem', { error, attempt, retryAtMs: clock.nowMs() + delayMs });
  }

  #arm(delayMs: number, callback: () => unknown = () => this.#ask()): void {
    const { timers } = this.#options.platform;
    timers.clearTimeout(this.#timer);
    this.#timer = timers.setTimeout(callback, delayMs);
  }
}
