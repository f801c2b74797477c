/**
 * What GET /ops/state answers: everything that the ops page and `relay top` show, as one small JSON.
 *
 * The relay writes it (app/ops-state.ts), browser and terminal read it, test/support/ops-state-check.ts holds both ends to this shape.
 * Rates are per second over the last second or so. Lists are bounded by whoever fills them: this is asked for once a second.
 */

/** Where the time of a message goes, in the order in which a message meets them. */
export const PATH_STAGES = ['ingressWait', 'lane', 'egressWait', 'socketWrite'] as const;
/** The whole of it, and what is measured elsewhere: the client's own round trip, calls, workflows. */
export const OTHER_STAGES = ['publishToLastWrite', 'clientRoundTrip', 'call', 'workflowStage'] as const;
export type StageName = (typeof PATH_STAGES)[number] | (typeof OTHER_STAGES)[number];

export const LATENCY_WINDOWS = ['10s', '1m', '5m', 'start'] as const;
export type LatencyWindow = (typeof LATENCY_WINDOWS)[number];

export interface LatencyFigures {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
}

export interface LatencyState {
  readonly unit: 'ms';
  /** A stage in which nothing has been recorded yet may be missing. */
  readonly stages: { readonly [Stage in StageName]?: { readonly [Window in LatencyWindow]: LatencyFigures } };
}

/** Percentile in [0, 100], milliseconds; rising. */
export type PercentileCurve = readonly (readonly [percentile: number, ms: number])[];

export interface ComponentState {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface LaneState {
  readonly lane: number;
  readonly state: 'running' | 'replacing';
  /** Since its last heartbeat that was seen; they come every 100 ms. */
  readonly silentMs: number;
  readonly restarts: number;
  readonly ingressUsedBytes: number;
  readonly ingressBytes: number;
  readonly egressUsedBytes: number;
  readonly egressBytes: number;
  /** Share of the time in which it works, 0 to 1. */
  readonly utilisation: number;
  readonly publishes: number;
  readonly topics: number;
  readonly sessions: number;
  readonly callsInFlight: number;
}

export interface ProcessState {
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  /** Cores used, all threads together. */
  readonly cpu: number;
  readonly eventLoopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly gcPauseMs: { readonly count: number; readonly p99: number; readonly max: number };
}

export interface SlowSession {
  readonly session: number;
  readonly client: string;
  readonly queuedBytes: number;
  /** Age of the oldest message that waits for it. */
  readonly lagMs: number;
  readonly subscriptions: number;
  readonly policy: string;
}

export interface ServiceState {
  readonly service: string;
  readonly instances: number;
  readonly methods: readonly string[];
  readonly versions: readonly string[];
  readonly ok: number;
  readonly degraded: number;
  readonly failing: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly calls: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly list?: readonly InstanceState[];
}

export interface InstanceState {
  readonly instance: string;
  readonly client: string;
  readonly version: string;
  readonly methods: readonly string[];
  readonly capacity: number;
  readonly weight: number;
  readonly metadata: unknown;
  readonly health: 'ok' | 'degraded' | 'failing';
  readonly load: number;
  readonly inFlight: number;
  readonly calls: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly breaker: 'closed' | 'open' | 'halfOpen';
  readonly ejected: boolean;
  readonly sinceMs: number;
}

export interface WorkflowState {
  readonly workflow: string;
  /** By state of the run: running, succeeded, failed, … */
  readonly runs: Readonly<Record<string, number>>;
  readonly stages: readonly WorkflowStageState[];
}

/** Steps, of the newest runs under way. */
export interface WorkflowStageState {
  readonly stage: string;
  readonly running: number;
  readonly waiting: number;
  readonly failed: number;
}

export interface RatesState {
  readonly publishes: number;
  readonly deliveries: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly calls: number;
  readonly connects: number;
}

export interface OpsState {
  readonly version: string;
  readonly nowMs: number;
  /** Another one than before: it is another life of the relay, and its counters began anew. */
  readonly startedAtMs: number;
  /** new, ready, draining or stopped. */
  readonly state: string;
  readonly health: { readonly live: boolean; readonly ready: boolean; readonly components: readonly ComponentState[] };
  readonly connections: number;
  readonly connectionsMax: number;
  readonly subscriptions: number;
  readonly rates: RatesState;
  readonly latency: LatencyState;
  /** Of the last minute, by stage. */
  readonly percentiles: Readonly<Record<string, PercentileCurve>>;
  readonly lanes: readonly LaneState[];
  readonly process: ProcessState;
  readonly slow: readonly SlowSession[];
  /** Since the start, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  readonly dropTopics: readonly (readonly [topic: string, count: number])[];
  readonly services: readonly ServiceState[];
  readonly workflows: readonly WorkflowState[];
}
