/**
 * Who may do what over HTTP: a token with each request, and the rights that each route asks for.
 *
 * Thread: front only. All requests share one session, which may do everything: so the rights are judged here, before a command is made of the request.
 */
import { RelayError } from '../protocol/errors.ts';
import type { Grants, Right } from '../protocol/grants.ts';
import { type BatchEntry, readText } from './http-batch.ts';
import type { HttpRoute, Query } from './http-routes.ts';
import type { Authenticator, Denial, Identity } from './ports.ts';
import { refuseReserved } from './session-security.ts';

export interface HttpCredentials {
  /** Of `Authorization: Bearer`; null without one. */
  readonly token?: string | null;
  readonly address?: string;
  readonly origin?: string;
}

/** Told of a right that was asked for in vain. */
export type OnDenied = (subject: string, right: Right, name: string) => void;

/** What a request may do: null, everything. */
export class HttpAccess {
  readonly #subject: string;
  readonly #grants: Grants;
  readonly #onDenied: OnDenied;

  constructor({ subject }: Identity, grants: Grants, onDenied: OnDenied) {
    this.#subject = subject;
    this.#grants = grants;
    this.#onDenied = onDenied;
  }

  /** Throws FORBIDDEN unless the whole request is allowed; a batch is judged message by message instead. */
  demandRoute({ operation }: HttpRoute, { texts }: Query): void {
    const topic = texts.get('topic') ?? '';
    switch (operation) {
      case 'publish':
        return this.#demand('pub', topic);
      case 'publishBatch':
        return;
      case 'history':
      case 'position':
        return this.#demand('hist', topic);
      case 'presence':
        return this.#demand('pres', topic);
      case 'call':
        return this.#demand('call', texts.get('service') ?? '');
      case 'services':
        return this.#demand('call', texts.get('service') ?? '>');
      default:
        return operation satisfies never;
    }
  }

  /** A message of a batch that may not be published becomes one with a problem of its own. */
  demandEntry(entry: BatchEntry): void {
    if (entry.problem !== null) return;
    // Not decoded in general: the value may be an extension type, on which the decoder throws.
    const topic = readText(entry.topic, 0, entry.topic.length);
    if (topic !== null) this.#demand('pub', topic); // What is no text is refused as a topic.
  }

  #demand(right: Right, name: string): void {
    const allowed = right === 'hist' ? this.#grants.mayRead(right, name) : this.#grants.covers(right, name);
    if (allowed) return;
    this.#onDenied(this.#subject, right, name);
    throw new RelayError('FORBIDDEN', undefined, { right, name });
  }
}

/** Asks for the identity behind a request; at once where it can be had at once. */
export function identify(
  authenticator: Authenticator,
  { token = null, address = '', origin = '' }: HttpCredentials,
): Identity | Denial | Promise<Identity | Denial> {
  const outcome = authenticator.authenticate({ token, address, origin, client: null });
  return outcome instanceof Promise ? outcome.then(refuseReserved) : refuseReserved(outcome);
}
