/**
 * A session as services see it: what it has called and waits for, and what it is working on for others.
 *
 * Thread: the lane's. Made at the session's first command on services, gone with the session.
 */
import { hashBytes } from '../../base/hash.ts';
import type { LaneSession } from '../lane-context.ts';
import type { Call } from './call.ts';
import type { Instance } from './instance.ts';

const TEXT = new TextEncoder();

export class Peer {
  readonly session: number;
  readonly name: string;
  /** A lane's own session, which calls for a workflow. */
  readonly isLane: boolean;
  readonly nameBytes: Uint8Array;
  readonly nameHash: number;
  /** By id: what it has called and gets an answer to. */
  readonly calls = new Map<number, Call>();
  /** What it has called with id 0. */
  readonly unanswered = new Set<Call>();
  /** What it works on, for whichever of its instances. */
  readonly held = new Set<Call>();
  /** By service. */
  readonly instances = new Map<string, Instance>();

  constructor({ session, name, isLane }: LaneSession) {
    this.session = session;
    this.name = name;
    this.isLane = isLane;
    // A client's name has at most 128 bytes, so that it fits where names go.
    this.nameBytes = TEXT.encode(name);
    this.nameHash = hashBytes(this.nameBytes, 0, this.nameBytes.length);
  }
}

export class Peers {
  readonly #bySession = new Map<number, Peer>();

  /** Hot. */
  find(session: number): Peer | undefined {
    return this.#bySession.get(session);
  }

  of(session: LaneSession): Peer {
    let peer = this.#bySession.get(session.session);
    if (peer === undefined) {
      peer = new Peer(session);
      this.#bySession.set(session.session, peer);
    }
    return peer;
  }

  remove(session: number): void {
    this.#bySession.delete(session);
  }
}
