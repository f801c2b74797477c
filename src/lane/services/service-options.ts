import type { ServiceRule } from './service-config.ts';

/** What a lane is told of services. Plain data. Every bound is per lane unless said otherwise. */
export interface ServiceOptions {
  readonly rules: readonly ServiceRule[];
  /** Over it REGISTER is answered LIMIT. */
  readonly instancesMax: number;
  /** In flight and waiting; over it CALL is answered OVERLOADED. */
  readonly callsMax: number;
  /** Per session, of calls that want no answer: the front, which counts the others, never hears of their end. Over it: LIMIT. */
  readonly callsPendingMax: number;
  /** Of a CALL and of each part of its result; over it: TOO_LARGE. A record must fit into the egress ring. */
  readonly payloadBytesMax: number;
  /** For a CALL that names none. */
  readonly callDeadlineMsDefault: number;
  /** A CALL that asks for more is refused: BAD_REQUEST. */
  readonly callDeadlineMsMax: number;
  /** Lease of an instance that sends no heartbeats: its connection's liveness, `pingIntervalMs + pongTimeoutMs`. */
  readonly connectionLeaseMs: number;
  /** Told with OVERLOADED. */
  readonly retryAfterMs: number;
}
