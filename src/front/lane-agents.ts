/**
 * Lane agents: each lane's own session on the front. A workflow's CALL to a service that lives in another lane goes out as a REQUEST record, is
 * handled like any client's command, and what comes back goes into the lane's ingress ring as REPLY records.
 *
 * Thread: front only. An agent dies with its lane, so that nobody works for a run that is about to be resumed, and a new one is born with the next.
 */
import type { Lanes } from '../protocol/lane-port.ts';
import { IngressKind, LANE_SESSION_PREFIX, withNumbers } from '../protocol/records.ts';
import { type Connection, SendResult } from './ports.ts';
import { OPEN, type Session } from './session.ts';

class AgentConnection implements Connection {
  readonly remoteAddress = 'lane';
  readonly #lanes: Lanes;
  readonly #lane: number;

  constructor(lanes: Lanes, lane: number) {
    this.#lanes = lanes;
    this.#lane = lane;
  }

  /** May carry several messages, as any WebSocket message may. Never refused: bounded by the calls that the lane itself has in flight. */
  send(frame: Uint8Array): number {
    this.#lanes.write(this.#lane, IngressKind.REPLY, withNumbers(0, 0, frame));
    return SendResult.WRITTEN;
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
  readonly #open: (connection: Connection) => Session;
  readonly #agents: (Session | null)[];

  constructor(lanes: Lanes, open: (connection: Connection) => Session) {
    this.#lanes = lanes;
    this.#open = open;
    this.#agents = Array.from({ length: lanes.count }, () => null);
  }

  /** The lane's agent, born at its first command. */
  of(lane: number): Session {
    let agent = this.#agents[lane] ?? null;
    if (agent === null) {
      agent = this.#open(new AgentConnection(this.#lanes, lane));
      agent.id = `${LANE_SESSION_PREFIX}${lane}`;
      agent.client = agent.id;
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
