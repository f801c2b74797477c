/**
 * `$relay.health`: the relay's health as a topic, for those who watch by the protocol. A message whenever a component or the state changes.
 *
 * Thread: main. Publishes by a session of the relay's own, which may publish under `$` (records.ts, RELAY_SESSION_ID).
 */
import type { Front } from '../front/front.ts';
import { type Connection, SendResult } from '../front/ports.ts';
import { OPEN, type Session } from '../front/session.ts';
import { packMessage } from '../protocol/codec.ts';
import { RELAY_SESSION_ID } from '../protocol/records.ts';
import { MessageType } from '../protocol/types.ts';
import type { RelayHealth } from './health.ts';

export const HEALTH_TOPIC = '$relay.health';

export class HealthTopic implements Connection {
  readonly remoteAddress = 'health';
  readonly #front: Front;
  readonly #session: Session;
  #said = '';

  constructor(front: Front) {
    this.#front = front;
    this.#session = front.open(this, true);
    this.#session.id = RELAY_SESSION_ID;
    this.#session.client = RELAY_SESSION_ID;
    this.#session.state = OPEN;
  }

  /** A few times a second. Details count heartbeats and bytes, and change all the time: what is told is who is well. */
  tick({ live, ready, state, components }: RelayHealth): void {
    const summary = JSON.stringify([state, components.map(({ name, ok }) => [name, ok])]);
    if (summary === this.#said) return;
    this.#said = summary;
    // Without an id: if its lane is away just now, the next change is told again, and so is this one once the lane's own component is well.
    this.#front.onMessage(
      this.#session,
      packMessage(MessageType.PUBLISH, 0, HEALTH_TOPIC, null, { live, ready, state, components }),
      true,
    );
  }

  /** The relay is at its end. */
  stop(): void {
    this.#front.onClose(this.#session, 1000);
  }

  // ---- Connection

  /** Errors only, and there is nobody to tell: the lane was away, and said so on /readyz. */
  send(): number {
    this.#said = '';
    return SendResult.WRITTEN;
  }
  ping(): void {}
  bufferedBytes(): number {
    return 0;
  }
  close(): void {}
  terminate(): void {}
}
