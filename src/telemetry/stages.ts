/**
 * The stages of a message's way through the relay, each with its latency counts: who records them, in which memory.
 *
 *   front receives ──ingressWait──► lane ──lane──► published ──egressWait──► front drains ──socketWrite──► written
 *          └──────────────────────────── publishToLastWrite ─────────────────────────────────────────────────┘
 *
 * Lanes record the first two into memory that the front can read, the front records the others. A stage is recorded by one thread per object.
 */
import { LATENCY_COUNTS_BYTES, LatencyCounts } from './latency-counts.ts';

export const STAGES = {
  /** From the front's receiving a command to its lane's taking it out of the ring: the rest of the turn, the wake-up, the queue. */
  ingressWait: 'from the arrival of a command to its lane taking it',
  /** From the first command of a batch to the batch being visible to the front. */
  lane: 'from a lane taking a batch of commands to its records being visible',
  /** From then to the front's taking the batch's records out of the ring. */
  egressWait: 'from records being visible to the front taking them',
  /** From taking them to the last system call for them. */
  socketWrite: 'from the front taking records to the last of them being handed to its socket',
  publishToLastWrite: "from the arrival of a publish to its last subscriber's socket having it",
  /** WebSocket ping to pong, once per connection and ping interval. */
  clientRoundTrip: 'from a WebSocket ping to its pong',
  /** From the arrival of a CALL to the arrival of its last RETURN. */
  call: 'from the arrival of a CALL to the arrival of its last RETURN',
  workflowStage: 'of a stage of a workflow run, from its start to its success or failure',
  gcPause: 'a garbage collection that stopped its thread',
  eventLoopDelay: "how late the main thread's event loop was for a timer of 20 ms",
} as const;
export type Stage = keyof typeof STAGES;
export const STAGE_NAMES = Object.keys(STAGES) as readonly Stage[];

export function isStage(name: string): name is Stage {
  return Object.hasOwn(STAGES, name);
}

export const LANE_STAGES = ['ingressWait', 'lane', 'call', 'workflowStage', 'gcPause'] as const satisfies readonly Stage[];
export const FRONT_STAGES = [
  'egressWait',
  'socketWrite',
  'publishToLastWrite',
  'clientRoundTrip',
  'gcPause',
  'eventLoopDelay',
] as const satisfies readonly Stage[];

/** Of the process, not of a message: with metrics of their own. */
export const PROCESS_STAGES: ReadonlySet<Stage> = new Set(['gcPause', 'eventLoopDelay']);

/** Latency counts by stage, one behind the other in one memory. */
export type StageCounts<Name extends Stage> = Readonly<Record<Name, LatencyCounts>>;
export type LaneLatencies = StageCounts<(typeof LANE_STAGES)[number]>;
export type FrontLatencies = StageCounts<(typeof FRONT_STAGES)[number]>;

export const LANE_LATENCIES_BYTES = LANE_STAGES.length * LATENCY_COUNTS_BYTES;
const FRONT_LATENCIES_BYTES = FRONT_STAGES.length * LATENCY_COUNTS_BYTES;

/** `memory` is shared where the lane is a thread. */
export function laneLatencies(memory: ArrayBufferLike = new ArrayBuffer(LANE_LATENCIES_BYTES)): LaneLatencies {
  return stageCounts(LANE_STAGES, memory);
}

export function frontLatencies(): FrontLatencies {
  return stageCounts(FRONT_STAGES, new ArrayBuffer(FRONT_LATENCIES_BYTES));
}

function stageCounts<Name extends Stage>(names: readonly Name[], memory: ArrayBufferLike): StageCounts<Name> {
  const entries = names.map((name, index) => [name, new LatencyCounts(memory, index * LATENCY_COUNTS_BYTES)]);
  return Object.fromEntries(entries) as StageCounts<Name>;
}
