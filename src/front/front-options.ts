import type { AdmissionOptions } from './admission.ts';
import type { HubOptions } from './hub.ts';
import type { LimitOptions } from './limits/limit-options.ts';

/** What the front is told once. Every bound is answered with a code when it is reached, and counted. */
export interface FrontOptions extends AdmissionOptions, HubOptions {
  /** One WebSocket message from a client; over it: close 1009. */
  readonly messageBytesMax: number;
  /** Only told to clients; the lanes' topic rules enforce it. */
  readonly payloadBytesMax: number;
  /** Per session; over it: LIMIT. */
  readonly subscriptionsMax: number;
  /** Calls in flight per session; over it: LIMIT. */
  readonly callsPendingMax: number;
  readonly presenceBytesMax: number;
  /** What a session may send while its token or a subscription of it is looked at; over it: close 4102. */
  readonly heldBytesMax: number;
  /** After a token's expiry, for a REFRESH; over it: close 4501. */
  readonly tokenGraceMs: number;
  /** From connect to HELLO; over it: close 4504. */
  readonly helloTimeoutMs: number;
  readonly pingIntervalMs: number;
  /** After a ping; over it: close 4003. */
  readonly pongTimeoutMs: number;
  /** For the closing handshake; over it the connection is cut. */
  readonly closeTimeoutMs: number;
  /** Told to clients: the base of their back-off. */
  readonly reconnectJitterMs: number;
  /** Told to clients with OVERLOADED and LANE_RESTARTED. */
  readonly retryAfterMs: number;
  readonly limits: LimitOptions;
  /** Runs a step at the end of this turn of the event loop, or soon after it, never inside the caller. Default: setImmediate, or a timer of 1 ms. */
  readonly schedule?: (step: () => void) => void;
}

export interface DrainPlan {
  /** Clients come back spread over this long, each in a slot of its own. */
  readonly windowMs: number;
  /** Who has not left by then is closed with 4001. */
  readonly deadlineMs: number;
  readonly reason: string;
}
