import type { SheddingOptions } from './load-shedding.ts';
import type { RateRule } from './rate-rules.ts';

/** What the front is told about limits on clients. Each is a setting of the same name, where docs/config.md says what happens at it; 0: none. */
export interface LimitOptions {
  readonly rateLimits: readonly RateRule[];
  /** RATE_LIMITED answers to one connection within `offencesWindowMs`; over it: close 4102. */
  readonly refusalsMax: number;
  /** Messages of one connection that are none of the protocol, within `offencesWindowMs`; over it: close 4500. */
  readonly malformedMax: number;
  readonly offencesWindowMs: number;
  /** Commands of one connection handled in one turn of the event loop; over it: they wait for the next one. */
  readonly commandsPerTurnMax: number;
  /** Of all connections. */
  readonly commandsPerTurnTotalMax: number;
  /** Of one connection; over it: close 4102. */
  readonly commandsWaitingBytesMax: number;
  /** Of all connections; over it: close 4102 for who brings more. */
  readonly commandsWaitingBytesTotalMax: number;
  readonly subjectSubscriptionsMax: number;
  readonly subjectConnectionsMax: number;
  readonly addressConnectionsMax: number;
  /** Subjects and addresses without a connection that are remembered for what they have used up. */
  readonly idlePeersMax: number;
  readonly shedding: SheddingOptions;
}
