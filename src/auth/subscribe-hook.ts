/**
 * Asks the operator's own service whether somebody may subscribe. Beside the rights of the token, not instead of them: it can only say no.
 *
 * Thread: main. The same bounds and the same failing closed as the connect hook (decision-hook.ts, which see).
 */
import type { Clock } from '../base/clock.ts';
import { isMap } from '../base/is-map.ts';
import type { Denial, Identity, SubscribeGuard } from '../front/ports.ts';
import { RelayError } from '../protocol/errors.ts';
import { checkNameText, NameKind } from '../protocol/names.ts';
import type { AuthMetrics, TellAuthEvent } from './auth-events.ts';
import { readReason } from './connect-hook.ts';
import { DecisionHook, type HookAnswer, type HookOptions } from './decision-hook.ts';

interface SubscribeDecision {
  readonly allow: boolean;
  readonly reason: string | null;
}

export class SubscribeHook implements SubscribeGuard {
  readonly #hook: DecisionHook<SubscribeDecision>;
  readonly #metrics: AuthMetrics;
  readonly #retryAfterMs: number;

  constructor(options: HookOptions, retryAfterMs: number, clock: Clock, metrics: AuthMetrics, tell: TellAuthEvent) {
    this.#hook = new DecisionHook('subscribe', options, readDecision, clock, metrics.hooks.subscribe, tell);
    this.#metrics = metrics;
    this.#retryAfterMs = retryAfterMs;
  }

  /** Null: nothing against it. FORBIDDEN where the service says no, OVERLOADED where it cannot be asked. At once where the answer is known. Never rejects. */
  decide({ subject, tokenId }: Identity, topic: string): Denial | null | Promise<Denial | null> {
    const kind = checkNameText(topic);
    if (kind === NameKind.INVALID) return null; // The relay refuses it by itself, and says why.
    const answer = this.#hook.ask({ subject, tokenId, topic, pattern: kind === NameKind.PATTERN });
    return answer instanceof Promise ? answer.then((late) => this.#verdict(late)) : this.#verdict(answer);
  }

  get isDown(): boolean {
    return this.#hook.isDown;
  }

  close(): void {
    this.#hook.close();
  }

  #verdict(answer: HookAnswer<SubscribeDecision>): Denial | null {
    if (answer === 'unavailable')
      return { denied: new RelayError('OVERLOADED', 'the decision cannot be had now', { retryAfterMs: this.#retryAfterMs }) };
    const metrics = this.#metrics.hooks.subscribe;
    if (answer.allow) {
      metrics.allowed++;
      return null;
    }
    metrics.denied++;
    return { denied: new RelayError('FORBIDDEN', undefined, answer.reason === null ? {} : { reason: answer.reason }) };
  }
}

function readDecision(answer: unknown): SubscribeDecision | null {
  if (!isMap(answer) || typeof answer['allow'] !== 'boolean') return null;
  return { allow: answer['allow'], reason: readReason(answer['reason']) };
}
