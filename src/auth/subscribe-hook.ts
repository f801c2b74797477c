/**
 * Asks the operator's own service whether somebody may subscribe. Beside the rights of the token, not instead of them: it can only say no.
 *
 * Thread: main. The same bounds and the same failing closed as the connect hook (decision-hook.ts, which see).
 */
import type { Clock } from '../base/clock.ts';
import type { Denial, Identity } from '../front/ports.ts';
import { RelayError } from '../protocol/errors.ts';
import type { AuthMetrics, TellAuthEvent } from './auth-events.ts';
import { DecisionHook, type HookAnswer, type HookOptions } from './decision-hook.ts';
import { isMap } from './is-map.ts';

interface SubscribeDecision {
  readonly allow: boolean;
}

export class SubscribeHook {
  readonly #hook: DecisionHook<SubscribeDecision>;
  readonly #metrics: AuthMetrics;
  readonly #retryAfterMs: number;

  constructor(options: HookOptions & { readonly retryAfterMs: number }, clock: Clock, metrics: AuthMetrics, tell: TellAuthEvent) {
    this.#hook = new DecisionHook('subscribe', options, readDecision, clock, metrics.hooks.subscribe, tell);
    this.#metrics = metrics;
    this.#retryAfterMs = options.retryAfterMs;
  }

  /** `isPattern`: `topic` is one. False: not permitted. A Denial (OVERLOADED): it could not be had. At once where the answer is known. Never rejects. */
  decide(identity: Identity, topic: string, isPattern: boolean): boolean | Denial | Promise<boolean | Denial> {
    const { subject, tokenId } = identity;
    const answer = this.#hook.ask({ subject, tokenId, topic, pattern: isPattern });
    return answer instanceof Promise ? answer.then((late) => this.#verdict(late)) : this.#verdict(answer);
  }

  get isDown(): boolean {
    return this.#hook.isDown;
  }

  close(): void {
    this.#hook.close();
  }

  #verdict(answer: HookAnswer<SubscribeDecision>): boolean | Denial {
    if (answer === 'unavailable')
      return { denied: new RelayError('OVERLOADED', 'the decision about it cannot be had now', { retryAfterMs: this.#retryAfterMs }) };
    const metrics = this.#metrics.hooks.subscribe;
    if (answer.allow) metrics.allowed++;
    else metrics.denied++;
    return answer.allow;
  }
}

function readDecision(answer: unknown): SubscribeDecision | null {
  if (!isMap(answer) || typeof answer['allow'] !== 'boolean') return null;
  return { allow: answer['allow'] };
}
