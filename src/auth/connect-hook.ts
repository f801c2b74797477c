/**
 * Asks the operator's own service whether somebody whose token is good, or who needs none, may come in, and perhaps with which permissions.
 *
 * Thread: main. The token itself is never sent. Bounds and failing closed: decision-hook.ts, which see.
 */
import type { Clock } from '../base/clock.ts';
import { isMap } from '../base/is-map.ts';
import type { Credentials, Identity } from '../front/ports.ts';
import type { AuthMetrics, TellAuthEvent } from './auth-events.ts';
import { DecisionHook, type HookAnswer, type HookOptions } from './decision-hook.ts';

export interface ConnectDecision {
  readonly allow: boolean;
  /** In the place of the token's. Undefined: the token's hold. Not looked at yet: whoever compiles them refuses what is none. */
  readonly permissions: unknown;
  /** For the client. */
  readonly reason: string | null;
}

const REASON_CHARACTERS_MAX = 128;
const CONTROL_CHARACTERS = /\p{Cc}+/gu;

export class ConnectHook {
  readonly #hook: DecisionHook<ConnectDecision>;

  constructor(options: HookOptions, clock: Clock, metrics: AuthMetrics, tell: TellAuthEvent) {
    this.#hook = new DecisionHook('connect', options, readDecision, clock, metrics.hooks.connect, tell);
  }

  /** At once where the answer is known. Never rejects. */
  decide(
    { subject, tokenId }: Pick<Identity, 'subject' | 'tokenId'>,
    { address, origin, client }: Credentials,
  ): HookAnswer<ConnectDecision> | Promise<HookAnswer<ConnectDecision>> {
    return this.#hook.ask({ subject, tokenId, address, origin, client });
  }

  get isDown(): boolean {
    return this.#hook.isDown;
  }

  close(): void {
    this.#hook.close();
  }
}

function readDecision(answer: unknown): ConnectDecision | null {
  if (!isMap(answer) || typeof answer['allow'] !== 'boolean') return null;
  return { allow: answer['allow'], permissions: answer['permissions'], reason: readReason(answer['reason']) };
}

/** Goes to the client in an error, and into a close reason: short, and on one line. */
export function readReason(reason: unknown): string | null {
  if (typeof reason !== 'string' || reason === '') return null;
  return reason.slice(0, REASON_CHARACTERS_MAX).replace(CONTROL_CHARACTERS, ' ');
}
