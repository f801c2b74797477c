/**
 * Lane agents: each lane's own session on the front. A workflow's CALL to a service that lives in another lane goes out as a REQUEST record, is
 * handled like any client's command, and what comes back goes into the lane's ingress ring as REPLY records.
 *
 * Thread: front only. An agent dies with its lane, so that nobody works for a run that is about to be resumed, and a new one is born with the next.
 */
import { packMessage } from '../protocol/codec.ts';
import { WIRE_ERRORS } from '../protocol/codes.ts';
import { RelayError } from '../protocol/errors.ts';
import { MessageHeader, scanMessage } from '../protocol/header.ts';
import type { Lanes } from '../protocol/lane-port.ts';
import { IngressKind, LANE_SESSION_PREFIX, withNumbers } from '../protocol/records.ts';
import { MessageType } from '../protocol/types.ts';
import { type Connection, SendResult } from './ports.ts';
import { OPEN, type Session } from './session.ts';

class AgentConnection implements Connection {
  readonly remoteAddress = 'lane';
  readonly #lanes: Lanes;
  readonly #lane: number;
  readonly #messageBytesMax: number;

  constructor(lanes: Lanes, lane: number, messageBytesMax: number) {
    this.#lanes = lanes;
    this.#lane = lane;
    this.#messageBytesMax = messageBytesMax;
  }

  /** May carry several messages, as any WebSocket message may. Never refused: bounded by the calls that the lane itself has in flight. */
  send(frame: Uint8Array): number {
    if (frame.length <= this.#messageBytesMax) this.#write(frame);
    else this.#sendApart(frame);
    return SendResult.WRITTEN;
  }

  /**
   * A ring is only sure to take a record as large as the largest message from a client. A reply may be larger (its head is another one), and so may
   * several that the hub has merged.
   */
  #sendApart(frame: Uint8Array): void {
    const header = new MessageHeader();
    for (let at = 0; at < frame.length; at = header.end) {
      if (!scanMessage(frame, at, frame.length, header) && header.end <= at) return;
      const bytes = header.end - at;
      if (bytes <= this.#messageBytesMax) {
        this.#write(frame.subarray(at, header.end));
        continue;
      }
      const { codeName, message, facts } = new RelayError('TOO_LARGE', 'the reply is too large for its lane', {
        bytes,
        bytesMax: this.#messageBytesMax,
      });
      this.#write(packMessage(MessageType.ERROR, header.id, WIRE_ERRORS[codeName].code, message, facts));
    }
  }

  #write(frame: Uint8Array): void {
    this.#lanes.write(this.#lane, IngressKind.REPLY, withNumbers(0, 0, frame));
  }

  ping(): void {}
  bufferedBytes(): number {
    return 0;
  }
  close(): void {}
  terminate(): void {}
}

export class LaneAgents {
  readonly #lanes: Lanes;
  readonly #messageBytesMax: number;
  readonly #open: (connection: Connection) => Session;
  readonly #agents: (Session | null)[];

  constructor(lanes: Lanes, messageBytesMax: number, open: (connection: Connection) => Session) {
    this.#lanes = lanes;
    this.#messageBytesMax = messageBytesMax;
    this.#open = open;
    this.#agents = Array.from({ length: lanes.count }, () => null);
  }

  /** The lane's agent, born at its first command. */
  of(lane: number): Session {
    let agent = this.#agents[lane] ?? null;
    if (agent === null) {
      agent = this.#open(new AgentConnection(this.#lanes, lane, this.#messageBytesMax));
      agent.id = `${LANE_SESSION_PREFIX}${lane}`;
      agent.client = agent.id;
      agent.isAgent = true;
      agent.state = OPEN;
      this.#agents[lane] = agent;
    }
    return agent;
  }

  /** The lane has died: its agent is the caller's to close. */
  take(lane: number): Session | null {
    const agent = this.#agents[lane] ?? null;
    this.#agents[lane] = null;
    return agent;
  }
}
