/**
 * Lanes in threads: a Piscina pool with one endless task per lane, their rings and doorbells, and the replacement of a lane that dies.
 *
 * Thread: front only. A lane dies by throwing, by exiting, by running out of memory, or by being stuck longer than `laneStallMs`. Then, in this
 * order: what it had committed is delivered; what it had not provably handled is reported; a new thread gets fresh rings; the front replays.
 */
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { Clock } from '../base/clock.ts';
import { LANE_METRICS_BYTES } from '../lane/lane-metrics.ts';
import type { LaneOptions } from '../lane/lane-options.ts';
import type { LaneEvents, Lanes } from '../protocol/lane-port.ts';
import { EgressKind, IngressKind } from '../protocol/records.ts';
import { type FrontDoorbell, MessagePortDoorbell, NotifyBell, WaitAsyncDoorbell } from '../shm/doorbell.ts';
import { FrontPoller, type FrontPollerStats } from '../shm/front-poller.ts';
import type { IdleStrategyName } from '../shm/idle-strategy.ts';
import { createRing } from '../shm/ring-layout.ts';
import { RoomBell } from '../shm/room-bell.ts';
import { HeartbeatMonitor } from '../shm/shared-counters.ts';
import { RingConsumer, ringPositions } from '../shm/spsc-ring.ts';
import { clockOriginUs } from '../telemetry/clock-origin.ts';
import { LANE_LATENCIES_BYTES, type LaneLatencies, laneLatencies } from '../telemetry/stages.ts';
import { BEHIND_SHARE, LaneLink } from './lane-link.ts';
import type { LaneTask } from './lane-worker.ts';

export type DoorbellName = 'waitAsync' | 'messagePort';

export interface LanePoolOptions {
  readonly laneCount: number;
  readonly ingressRingBytes: number;
  readonly egressRingBytes: number;
  readonly doorbell: DoorbellName;
  /** Empty turns of the event loop that the front looks for more before it lets itself be rung again. */
  readonly rearmEmptyTurns: number;
  readonly idleStrategy: IdleStrategyName;
  /** A lane without a heartbeat for this long is replaced. */
  readonly laneStallMs: number;
  /** A lane that dies again soon after its start waits before the next one, doubling up to this. */
  readonly laneRestartBackoffMsMax: number;
  /** 0: Node's default. */
  readonly laneHeapMbMax: number;
  /** `life` counts the lane's replacements. */
  readonly laneOptions: (index: number, laneCount: number, firstSub: number, life: number) => LaneOptions;
  /** The thread's entry; fault tests bring their own. */
  readonly workerUrl?: URL;
  /** Told of every death and replacement: the log. */
  readonly onLaneEvent?: (event: LaneEvent) => void;
}

export type LaneEvent =
  | { readonly kind: 'lost'; readonly lane: number; readonly cause: string }
  | { readonly kind: 'replaced'; readonly lane: number; readonly afterMs: number };

export interface LaneStatus {
  readonly lane: number;
  readonly state: 'running' | 'replacing';
  readonly silentMs: number;
  readonly restarts: number;
  readonly ingressUsedBytes: number;
  readonly egressUsedBytes: number;
  readonly backlogCount: number;
  readonly poller: FrontPollerStats;
}

/** Bounds a lane's sleep: heartbeats and ticks come at least this often. */
const PARK_TIMEOUT_MS = 100;
/** Per turn of the event loop: the sockets are read in between. Large, so that under load the messages of one socket meet in one drain and share a write. */
const DRAIN_RECORDS_MAX = 2_048;
const DRAIN_BYTES_MAX = 1_048_576;
const RESTART_BACKOFF_BASE_MS = 50;
/** A lane that lived this long starts its back-off anew. */
const STABLE_AFTER_MS = 30_000;
/** A lane's garbage dies young and small. V8's default lets the young generation grow to 48 MB, which is resident memory for nothing. */
const YOUNG_GENERATION_MB_MAX = 4;
const EMPTY = new Uint8Array(0);
const CLOCK_ORIGIN_US = clockOriginUs();
/** Beside this file, as source or built. */
const WORKER_URL = new URL(import.meta.url.endsWith('.ts') ? './lane-worker.ts' : './lane-worker.js', import.meta.url);

/** One life of a lane: its thread's task and everything that goes with it. */
interface Incarnation {
  readonly ingress: SharedArrayBuffer;
  readonly egress: RingConsumer;
  readonly ingressBell: NotifyBell;
  readonly roomBell: RoomBell;
  readonly doorbell: FrontDoorbell;
  readonly poller: FrontPoller;
  readonly heartbeat: HeartbeatMonitor;
  readonly abort: AbortController;
  readonly startedAtMs: number;
  readonly ended: Promise<unknown>;
}

interface Slot {
  readonly index: number;
  readonly link: LaneLink;
  readonly metrics: SharedArrayBuffer;
  readonly latencies: SharedArrayBuffer;
  life: Incarnation | null;
  /** Ingress position up to which the lane has said it is done. */
  handledPosition: number;
  restarts: number;
  restartBackoffMs: number;
}

export class LanePool implements Lanes {
  readonly count: number;
  readonly #options: LanePoolOptions;
  readonly #clock: Clock;
  readonly #piscina: Piscina;
  readonly #slots: Slot[];
  #events: LaneEvents | null = null;
  #isClosing = false;
  #isFlushScheduled = false;
  readonly #flushNow = (): void => {
    this.#isFlushScheduled = false;
    for (let index = 0; index < this.#slots.length; index++) {
      const slot = this.#slots[index] as Slot;
      if (slot.link.publish()) slot.life?.ingressBell.ring();
    }
  };

  constructor(options: LanePoolOptions, clock: Clock) {
    this.count = options.laneCount;
    this.#options = options;
    this.#clock = clock;
    this.#piscina = new Piscina({
      filename: (options.workerUrl ?? WORKER_URL).href,
      minThreads: options.laneCount,
      maxThreads: options.laneCount,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      recordTiming: false,
      execArgv: [], // The parent's flags (a test runner's loaders) would only slow the start.
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB_MAX,
        ...(options.laneHeapMbMax > 0 ? { maxOldGenerationSizeMb: options.laneHeapMbMax } : {}),
      },
    });
    // A thread that dies is reported through its task; the pool's own event would only say it twice.
    this.#piscina.on('error', () => {});
    this.#slots = Array.from({ length: options.laneCount }, (_, index) => ({
      index,
      link: new LaneLink(),
      metrics: new SharedArrayBuffer(LANE_METRICS_BYTES),
      latencies: new SharedArrayBuffer(LANE_LATENCIES_BYTES),
      life: null,
      handledPosition: 0,
      restarts: 0,
      restartBackoffMs: 0,
    }));
  }

  start(events: LaneEvents): void {
    this.#events = events;
    for (const slot of this.#slots) this.#startLane(slot);
  }

  // ---- Lanes

  tryWrite(
    lane: number,
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    return (this.#slots[lane] as Slot).link.tryWrite(kind, session, second, stampUs, bytes, start, end);
  }

  tryWriteOrKeep(
    lane: number,
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    return (this.#slots[lane] as Slot).link.tryWriteOrKeep(kind, session, second, stampUs, bytes, start, end);
  }

  allHaveRoom(payloadBytes: number): boolean {
    return this.#slots.every((slot) => slot.link.hasRoom(payloadBytes));
  }

  isBehind(): boolean {
    const bytes = this.#options.ingressRingBytes * BEHIND_SHARE;
    return this.#slots.some(({ link }) => link.usedBytes > bytes);
  }

  write(lane: number, kind: number, payload: Uint8Array): void {
    (this.#slots[lane] as Slot).link.write(kind, payload);
  }

  /**
   * Hot. At the end of this turn of the event loop, not now: the sockets that are ready in one turn share one wake-up per lane, and a wake-up
   * is what a publish costs most (docs/decisions/0004).
   */
  flush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    setImmediate(this.#flushNow);
  }

  // ---- watching

  /** A few times a second, by app/: looks for lanes that are stuck. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const slot of this.#slots) {
      const life = slot.life;
      if (life === null) continue;
      if (slot.link.backlogCount > 0) this.flush();
      // Terminates the thread; its task then ends, and the lane is replaced like any other that died.
      if (life.heartbeat.silentMs(nowMs) > this.#options.laneStallMs)
        life.abort.abort(new Error(`no heartbeat for ${this.#options.laneStallMs} ms`));
    }
  }

  status(): readonly LaneStatus[] {
    const nowMs = this.#clock.monotonicMs();
    return this.#slots.map(({ index, link, life, restarts }) => ({
      lane: index,
      state: life === null ? 'replacing' : 'running',
      silentMs: life === null ? 0 : life.heartbeat.silentMs(nowMs),
      restarts,
      ingressUsedBytes: link.usedBytes,
      egressUsedBytes: life?.egress.usedBytes ?? 0,
      backlogCount: link.backlogCount,
      poller: life?.poller.stats ?? { turns: 0, records: 0, emptyTurns: 0, rings: 0, kicks: 0, arms: 0 },
    }));
  }

  /** What a lane's threads have recorded, one life after the other. */
  latencies(lane: number): LaneLatencies {
    return laneLatencies((this.#slots[lane] as Slot).latencies);
  }

  /** A lane's counters and gauges, as lane-metrics.ts names them. Survives the lane. */
  metrics(lane: number): Float64Array {
    return new Float64Array((this.#slots[lane] as Slot).metrics);
  }

  /** Lets every lane finish what it has, then ends the threads. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const slot of this.#slots) slot.link.write(IngressKind.STOP, EMPTY);
    this.#flushNow();
    await Promise.all(this.#slots.map((slot) => slot.life?.ended));
    await this.#piscina.destroy();
  }

  // ---- life and death

  #startLane(slot: Slot): void {
    const {
      ingressRingBytes,
      egressRingBytes,
      laneOptions,
      doorbell: doorbellName,
      rearmEmptyTurns,
      idleStrategy,
    } = this.#options;
    const events = this.#events as LaneEvents;
    const ingress = createRing(ingressRingBytes);
    const egressRing = createRing(egressRingBytes);
    const egress = new RingConsumer(egressRing);
    const isEmpty = (): boolean => egress.isEmpty();
    let bellPort: MessagePort | null = null;
    let doorbell: FrontDoorbell;
    if (doorbellName === 'messagePort') {
      const channel = new MessageChannel();
      bellPort = channel.port2;
      doorbell = new MessagePortDoorbell(egressRing, isEmpty, channel.port1);
    } else doorbell = new WaitAsyncDoorbell(egressRing, isEmpty);
    const roomBell = new RoomBell(egressRing);
    const poller = new FrontPoller({
      doorbell,
      isEmpty,
      drain: () => this.#drain(slot, egress, roomBell),
      emptyTurnsMax: rearmEmptyTurns,
    });
    const task: LaneTask = {
      options: laneOptions(slot.index, this.count, events.nextSub(slot.index), slot.restarts),
      ingress,
      egress: egressRing,
      metrics: slot.metrics,
      latencies: slot.latencies,
      clockOriginUs: CLOCK_ORIGIN_US,
      bellPort,
      idleStrategy,
      parkTimeoutMs: PARK_TIMEOUT_MS,
    };
    const abort = new AbortController();
    const running = this.#piscina.run(task, { signal: abort.signal, transferList: bellPort === null ? [] : [bellPort] });
    const nowMs = this.#clock.monotonicMs();
    const heartbeat = new HeartbeatMonitor(ingress, nowMs);
    const ingressBell = new NotifyBell(ingress);
    slot.handledPosition = 0;
    slot.link.attach(ingress);
    poller.start();
    const life: Incarnation = {
      ingress,
      egress,
      ingressBell,
      roomBell,
      doorbell,
      poller,
      heartbeat,
      abort,
      startedAtMs: nowMs,
      ended: running.then(
        () => this.#onEnded(slot, 'the lane ended its task'),
        (error: unknown) => this.#onEnded(slot, describeDeath(error, abort.signal)),
      ),
    };
    slot.life = life;
  }

  /** One bounded batch of a lane's records, to the sockets and freed. */
  #drain(slot: Slot, egress: RingConsumer, roomBell: RoomBell): number {
    const events = this.#events as LaneEvents;
    const count = egress.read(
      (kind, start, length) => {
        if (kind === EgressKind.PROGRESS) {
          slot.handledPosition = egress.view.getUint32(start, true);
          events.onProgress(egress.view.getUint32(start + 4, true));
        } else events.onRecord(slot.index, kind, egress.bytes, egress.view, start, length);
      },
      DRAIN_RECORDS_MAX,
      DRAIN_BYTES_MAX,
    );
    if (count === 0) return 0;
    events.onBatchEnd();
    egress.release();
    roomBell.ring();
    return count;
  }

  #onEnded(slot: Slot, cause: string): void {
    const life = slot.life as Incarnation;
    const events = this.#events as LaneEvents;
    life.poller.stop();
    while (this.#drain(slot, life.egress, life.roomBell) > 0);
    life.doorbell.close();
    slot.life = null;
    slot.link.publish(); // Written in this turn and not flushed yet: lost like the rest, and must be reported like the rest.
    const { keptCommands } = slot.link;
    slot.link.attach(null);
    if (this.#isClosing) return;
    this.#options.onLaneEvent?.({ kind: 'lost', lane: slot.index, cause });
    const bytes = new RingConsumer(life.ingress);
    // The later of what its last PROGRESS record says and what it noted when it had to publish in the middle of a batch.
    const { progress } = ringPositions(life.ingress);
    const handledPosition = ((progress - slot.handledPosition) | 0) > 0 ? progress : slot.handledPosition;
    RingConsumer.inspect(life.ingress, handledPosition, (kind, start, length) => {
      events.onRecordLost(slot.index, kind, bytes.bytes, bytes.view, start, length);
    });
    // They were promised a place: whoever sent one waits for its answer.
    for (const { kind, payload } of keptCommands)
      events.onRecordLost(slot.index, kind, payload, new DataView(payload.buffer), 0, payload.length);
    events.onLaneLost(slot.index);
    this.#replace(slot, this.#clock.monotonicMs() - life.startedAtMs);
  }

  #replace(slot: Slot, livedMs: number): void {
    slot.restarts++;
    const { laneRestartBackoffMsMax } = this.#options;
    slot.restartBackoffMs =
      livedMs >= STABLE_AFTER_MS
        ? 0
        : Math.min(laneRestartBackoffMsMax, Math.max(RESTART_BACKOFF_BASE_MS, 2 * slot.restartBackoffMs));
    const lostAtMs = this.#clock.monotonicMs();
    const start = (): void => {
      if (this.#isClosing) return;
      this.#startLane(slot);
      (this.#events as LaneEvents).onLaneReplaced(slot.index);
      this.#options.onLaneEvent?.({ kind: 'replaced', lane: slot.index, afterMs: this.#clock.monotonicMs() - lostAtMs });
    };
    // The first death is replaced at once; a lane that keeps dying must not take the front's time with it.
    if (slot.restartBackoffMs <= RESTART_BACKOFF_BASE_MS) start();
    else setTimeout(start, slot.restartBackoffMs);
  }
}

/** Lanes for this machine: all cores but the front's, one at least. */
export function autoLaneCount(coreCount: number = availableParallelism()): number {
  return Math.max(1, Math.min(16, coreCount - 1));
}

function describeDeath(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return (signal.reason as Error).message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
