/**
 * A session: one connection's state on the front. Data only; what happens to it is in front.ts (life) and hub.ts (sending).
 *
 * Thread: front only. Fields are plain and few: there are 10,000 of these and the fan-out touches them for every delivery.
 */
import type { Grants } from '../protocol/grants.ts';
import type { Member } from './hub.ts';
import type { HeldMessages } from './limits/held-messages.ts';
import type { SessionLimits } from './limits/session-limits.ts';
import type { Connection, Identity } from './ports.ts';
import type { SendQueue } from './send-queue.ts';

export type SessionState =
  /** Connected; only HELLO is accepted. */
  | { readonly name: 'greeting'; readonly deadlineMs: number }
  /** HELLO is being looked at by the authenticator; what comes behind it is held. */
  | { readonly name: 'verifying'; readonly deadlineMs: number }
  | { readonly name: 'open' }
  /** GOAWAY is sent. Commands still work: the client finishes and leaves in its slot. */
  | { readonly name: 'leaving' }
  /** Out of the hub; the closing handshake is under way and ends by force at the deadline. */
  | { readonly name: 'closing'; readonly deadlineMs: number }
  /** The connection is gone, and what it sent before that is still to be done. Gets nothing any more. */
  | { readonly name: 'departing'; readonly closeCode: number }
  | { readonly name: 'closed' };

export const OPEN: SessionState = { name: 'open' };
export const LEAVING: SessionState = { name: 'leaving' };
export const CLOSED: SessionState = { name: 'closed' };

export class Session {
  /** Never reused while the process lives; 0 is nobody. */
  readonly number: number;
  readonly connection: Connection;
  /** The HTTP gateway's own session: no ping, no GOAWAY, not counted as a connection. */
  readonly internal: boolean;
  /** A lane's own session (lane-agents.ts). */
  isAgent = false;
  state: SessionState;
  /** What the client calls it; drawn at HELLO. */
  id = '';
  client: string | null = null;
  /** Proven at HELLO, and again at every REFRESH. Null: not asked for. */
  identity: Identity | null = null;
  /** On the monotonic clock: from then on commands are answered TOKEN_EXPIRED. */
  expiresMs = Number.POSITIVE_INFINITY;
  readonly members: Member[] = [];
  /** SUBSCRIBEs forwarded and not answered: they count against the bound too. */
  subscribesPending = 0;
  /** Bit k: lane k has been told of this session. Bounds the lanes to 30. */
  lanesKnown = 0;
  lastSeenMs: number;
  nextPingMs: number;
  /** Stamp of the ping that is not answered yet; 0: none. */
  pingSentUs = 0;

  /** The turn of the event loop in which something of it was handled last, and what of its share is left. */
  turn = 0;
  turnCommandsLeft = 0;
  /**
   * Not null: what it sent and was not handled yet; what it sends is kept behind that. It waits for its turn, or, blocked, for something about the session
   * to be decided.
   */
  held: HeldMessages | null = null;
  /** Null while there is nothing to know. */
  limits: SessionLimits | null = null;

  /** Frames of the current drain, in order: the first apart, since most sessions get one. Views of ring memory, sent before it is freed. */
  firstFrame: Uint8Array | null = null;
  readonly moreFrames: Uint8Array[] = [];
  /** Not null: the transport has buffered bytes of this connection, so everything waits its turn here. */
  queue: SendQueue | null = null;
  /** On the monotonic clock: since when anything waits; meaningless without a queue. */
  queuedSinceMs = 0;

  constructor(number: number, connection: Connection, internal: boolean, state: SessionState, nowMs: number, nextPingMs: number) {
    this.number = number;
    this.connection = connection;
    this.internal = internal;
    this.state = state;
    this.lastSeenMs = nowMs;
    this.nextPingMs = nextPingMs;
  }

  /** Null: may do everything. */
  get grants(): Grants | null {
    return this.identity === null ? null : this.identity.grants;
  }

  /** Under which name the others know it: who it was proven to be, else what it calls itself. */
  get name(): string | null {
    return this.identity === null ? this.client : this.identity.subject;
  }

  /** Nothing of it is handled any more. */
  get hasEnded(): boolean {
    return this.state.name === 'closing' || this.state.name === 'closed';
  }

  /** In the hub: gets what is published. */
  get isLive(): boolean {
    return this.state.name === 'open' || this.state.name === 'leaving';
  }
}
