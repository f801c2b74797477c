/**
 * The result of a bench run: what `--json` writes. Field names are a contract: tools and bench/results/ depend on them.
 *
 * Counts and latencies are of the measured part; `lost`, `duplicated` and `reordered` count the warmup too, for nothing may go wrong there either.
 */
import type { LatencySummaryMs } from '../../telemetry/latency-histogram.ts';
import type { LatencyCurve } from './curve.ts';
import type { Mode, TargetKind } from './options.ts';

export interface BenchResult {
  readonly mode: Mode;
  readonly target: TargetKind;
  readonly url: string;
  readonly connections: number;
  readonly rooms: number;
  readonly publishersPerRoom: number;
  readonly rate: number;
  readonly payloadBytes: number;
  readonly durationSeconds: number;
  readonly warmupSeconds: number;
  /** From the first measured publish to the last receipt. */
  readonly elapsedSeconds: number;
  readonly processes: number;
  readonly acks: boolean;
  readonly seed: number;

  readonly published: number;
  /** Deliveries owed: every accepted publish to everyone who was in the room and reading. */
  readonly expected: number;
  readonly delivered: number;
  readonly lost: number;
  readonly lostInWarmup: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Messages of another run, of another room, or not as sent. Must be 0. */
  readonly foreign: number;

  /** From the moment a message was due to its receipt by each member. */
  readonly latencyMs: LatencySummaryMs;
  /** The same as a curve, to be drawn. */
  readonly latencyCurve: LatencyCurve;
  /** The same from the moment it was really sent: what is left when the generator's own lateness is taken away. */
  readonly fromSendMs: LatencySummaryMs;
  /** How late the generator sent. High figures mean that the machine, not the server, was the limit. */
  readonly generatorLagMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** From the start of the TCP connect to being subscribed. */
  readonly connectMs: LatencySummaryMs;
  readonly connectRetries: number;
  readonly deliveriesPerSecond: number;

  readonly publishErrorsByCode: Readonly<Record<string, number>>;
  /** Publishes that got neither OK nor error; 0 without acks. */
  readonly unanswered: number;
  /** Connections that the server ended, by close code; 1006 without one. */
  readonly disconnectsByCode: Readonly<Record<string, number>>;
  /** EVENT messages by kind, such as skip and lost: what the relay admits not to have delivered. */
  readonly eventsByKind: Readonly<Record<string, number>>;
  readonly goaways: number;
  readonly reconnect: ReconnectFigures | null;
  readonly churn: ChurnFigures | null;
  readonly slow: SlowFigures | null;

  /** Null without --pid. Of the whole process over the measured part, until the last message was in. */
  readonly serverCpuSeconds: number | null;
  readonly serverRssMb: number | null;
  readonly serverRssPeakMb: number | null;
  readonly cpuUsPerDelivery: number | null;
  readonly generatorCpuSeconds: number;
  readonly generatorCpuUsPerDelivery: number;

  /** The whole machine over the same time; null where there is no /proc. */
  readonly machine: MachineFigures | null;
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  readonly date: string;
}

export interface ReconnectFigures {
  readonly cut: number;
  readonly recovered: number;
  readonly nonRecovered: number;
  readonly nonRecoveredByReason: Readonly<Record<string, number>>;
  /** Messages that came late because their receiver was away. They are in no latency figure. */
  readonly replayed: number;
  /** From the cut until the last one was subscribed again; null: not all came back. */
  readonly backMs: number | null;
  readonly notBack: number;
}

export interface ChurnFigures {
  readonly left: number;
  readonly cameBack: number;
}

export interface SlowFigures {
  readonly members: number;
  /** Ended by the server while they did not read, by close code. */
  readonly endedByCode: Readonly<Record<string, number>>;
}

/** Whether the figures can be trusted: with a busy neighbour or no idle time, latency is the machine's and not the server's. */
export interface MachineFigures {
  /** Of processes that are neither server nor generator; null without --pid. */
  readonly otherCpuSeconds: number | null;
  /** Interrupts, the network stack's among them: of nobody, but mostly ours. */
  readonly interruptSeconds: number;
  readonly stolenSeconds: number;
  readonly idleSeconds: number;
}
