/**
 * A lane's thread: one endless Piscina task that reads its ingress ring, runs the lane, and rings the front.
 *
 * Thread: a pool worker. The only place of a lane where there is a clock. Everything it is told comes through the ring (a blocked thread
 * gets no port messages), everything it says goes through the other one. It ends by a STOP record, or by throwing: the pool replaces it.
 */
import type { MessagePort } from 'node:worker_threads';
import type { LaneOptions } from '../lane/lane-options.ts';
import { leaveOutStacks } from '../protocol/errors.ts';
import { type Bell, MessagePortBell, NotifyBell, ThreadDoorbell } from '../shm/doorbell.ts';
import { createIdleStrategy, type IdleStrategyName } from '../shm/idle-strategy.ts';
import { RoomBell } from '../shm/room-bell.ts';
import { Heartbeat } from '../shm/shared-counters.ts';
import { clockOriginUs } from '../telemetry/clock-origin.ts';
import { observeGcPauses } from '../telemetry/gc-pauses.ts';
import { laneLatencies } from '../telemetry/stages.ts';
import { LaneRunner } from './lane-runner.ts';

export interface LaneTask {
  readonly options: LaneOptions;
  readonly ingress: SharedArrayBuffer;
  readonly egress: SharedArrayBuffer;
  readonly metrics: SharedArrayBuffer;
  /** LANE_LATENCIES_BYTES: stages.ts says what is where. */
  readonly latencies: SharedArrayBuffer;
  /** What `process.hrtime` read when `performance.now()` of the front was 0, in microseconds: the lane's stamps are on the front's clock. */
  readonly clockOriginUs: number;
  /** Null: the front waits by Atomics.waitAsync. */
  readonly bellPort: MessagePort | null;
  readonly idleStrategy: IdleStrategyName;
  /** Longest sleep: bounds the time between heartbeats and between ticks. */
  readonly parkTimeoutMs: number;
}

/** The loop gives the thread's own event loop a turn this often: inspector, memory statistics, finalizers. */
const EVENT_LOOP_TURN_MS = 1_000;

/** `beforeRun` is the fault tests' way in: it may throw, exit or hang like any bug would. */
export default async function runLane(task: LaneTask, beforeRun?: (ingress: SharedArrayBuffer) => void): Promise<void> {
  const { options, ingress, egress, metrics, bellPort, idleStrategy, parkTimeoutMs } = task;
  leaveOutStacks();
  const offsetUs = clockOriginUs() - task.clockOriginUs;
  const latencies = laneLatencies(task.latencies);
  observeGcPauses(latencies.gcPause);
  const bell: Bell = bellPort === null ? new NotifyBell(egress) : new MessagePortBell(egress, bellPort);
  const room = new RoomBell(egress);
  const heartbeat = new Heartbeat(ingress);
  let headSeen = room.observe();
  const waitForRoom = (): void => {
    // Full: the front must hear of what is published, or it would never make room.
    bell.ring();
    heartbeat.beat();
    room.wait(headSeen, parkTimeoutMs);
    headSeen = room.observe();
  };
  const runner = new LaneRunner(options, ingress, egress, new Float64Array(metrics), waitForRoom, {
    latencies,
    stampUs: () => (performance.now() * 1000 + offsetUs) >>> 0,
  });
  const doorbell = new ThreadDoorbell(ingress, () => !runner.isIdle);
  const idle = createIdleStrategy(idleStrategy, { doorbell, parkTimeoutMs });
  let nextTickMs = performance.now() + parkTimeoutMs;
  let nextTurnMs = performance.now() + EVENT_LOOP_TURN_MS;
  while (!runner.isStopped) {
    beforeRun?.(ingress);
    if (runner.run(Date.now()) > 0) {
      bell.ring();
      idle.reset();
    } else idle.idle(untilTimer(runner));
    const nowMs = performance.now();
    if (untilTimer(runner) <= 0 && runner.runTimers(Date.now())) bell.ring();
    if (nowMs < nextTickMs) continue;
    heartbeat.beat();
    if (runner.tick(Date.now())) bell.ring();
    nextTickMs = nowMs + parkTimeoutMs;
    if (nowMs < nextTurnMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    nextTurnMs = nowMs + EVENT_LOOP_TURN_MS;
  }
  bell.ring();
  bellPort?.close();
}

/** Milliseconds; whole ones, rounded up: a timer that is woken for too early would be waited for again. */
function untilTimer({ nextTimerMs }: LaneRunner): number {
  return nextTimerMs === Number.POSITIVE_INFINITY ? nextTimerMs : Math.ceil(nextTimerMs - Date.now());
}
