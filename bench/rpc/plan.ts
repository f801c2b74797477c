/** What `npm run bench:rpc` measures, as the bench and its generator process say it to each other. */

import type { LatencySummaryMs } from '../../src/telemetry/latency-histogram.ts';
import type { WindowFigures } from '../support/window.ts';

/**
 * ping      PING, OK: a bare echo through the front
 * publish   PUBLISH with an id to a topic with one subscriber on another connection: over when the subscriber has it and the publisher its OK
 * call      CALL, INVOKE, RETURN, RESULT: the service's one instance, on a connection of its own, gives the payload back
 */
export const KINDS = ['ping', 'publish', 'call'] as const;
export type Kind = (typeof KINDS)[number];

export interface RpcLoad {
  /** Connected, subscribed to a room of ten, and silent. */
  readonly idleConnections: number;
  readonly connectsPerSecond: number;
  /** Connections that ping, publish and call in turn. */
  readonly callers: number;
  readonly payloadBytes: number;
  readonly durationSeconds: number;
  readonly warmupSeconds: number;
  /** At saturation: operations in flight at most, all callers together. */
  readonly inFlightMax: number;
}

export interface Cell {
  /** null: nothing is sent; what the idle connections alone cost. */
  readonly kind: Kind | null;
  /** Operations a second, open loop; null: saturation, closed loop. */
  readonly rate: number | null;
}

export type Question =
  | { readonly name: 'connect'; readonly port: number; readonly pid: number; readonly runId: number; readonly load: RpcLoad }
  | { readonly name: 'measure'; readonly cell: Cell };

export interface CellReport extends WindowFigures {
  readonly kind: Kind | null;
  readonly rate: number | null;
  /** Of the measured part: what was asked for, and what came to its good end. */
  readonly asked: number;
  readonly operations: number;
  readonly operationsPerSecond: number;
  /** Open loop: from the moment an operation was due. Closed loop: from the moment it was sent. */
  readonly latencyMs: LatencySummaryMs;
  /** How late the generator sent, open loop only. */
  readonly generatorLagMs: LatencySummaryMs;
  /** From here on of the warmup too, for nothing may go wrong there either. No OK, RESULT or ERROR came. */
  readonly unanswered: number;
  /** Acknowledged publishes that the subscriber did not get. */
  readonly lost: number;
  /** Answered or delivered twice, or of an operation long over. */
  readonly duplicated: number;
  /** A payload that is not the one that was sent for this operation, or did not pass the instance. */
  readonly wrongPayloads: number;
  readonly errorsByCode: Readonly<Record<string, number>>;
  readonly serverCpuUsPerOperation: number;
  readonly generatorCpuUsPerOperation: number;
  readonly cores: number;
}
