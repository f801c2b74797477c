/**
 * Commands on services: REGISTER, DEREGISTER, HEARTBEAT, SERVICES, CALL, CANCEL, RETURN and CREDIT.
 *
 * Thread: the lane's.
 */
import { RelayError } from '../../protocol/errors.ts';
import type { MessageHeader } from '../../protocol/header.ts';
import type { LaneContext, LaneSession, OwnTopics } from '../lane-context.ts';

export class ServiceCommands {
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    this.#topics = topics;
  }

  register(_header: MessageHeader): void {
    throw notSupported('REGISTER');
  }
  deregister(_header: MessageHeader): void {
    throw notSupported('DEREGISTER');
  }
  heartbeat(_header: MessageHeader): void {
    throw notSupported('HEARTBEAT');
  }
  call(_header: MessageHeader): void {
    throw notSupported('CALL');
  }
  cancel(_header: MessageHeader): void {
    throw notSupported('CANCEL');
  }
  return(_header: MessageHeader): void {
    throw notSupported('RETURN');
  }
  credit(_header: MessageHeader): void {
    throw notSupported('CREDIT');
  }
  /** SERVICES, asked of every lane. */
  query(_header: MessageHeader, query: number): void {
    this.#lane.out.answer(query, []);
  }
  sessionClosed(_session: LaneSession): void {}
  /** RESTORE_INSTANCE: `bytes[at, end)` is a registration as REGISTERED carried it. */
  restore(_session: number, _instance: number, _at: number): void {}
  tick(): void {
    void this.#topics;
  }
}

function notSupported(name: string): RelayError {
  return new RelayError('BAD_REQUEST', `${name} is not supported`);
}
