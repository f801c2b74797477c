/**
 * Inline lanes (`--lanes 0`, one-core containers): the same state machine behind the same rings, pumped by the front's own event loop.
 *
 * Thread: front only. No wake-ups and no other thread; the lane's CPU time is the front's. `schedule` runs the pump soon, never inside
 * the caller: uWebSockets.js calls handlers with their socket corked. The simulator passes a schedule of its own.
 */
import type { RelayClock } from '../base/clock.ts';
import { LANE_METRICS_BYTES } from '../lane/lane-metrics.ts';
import type { LaneOptions } from '../lane/lane-options.ts';
import type { LaneEvents, Lanes } from '../protocol/lane-port.ts';
import { EgressKind } from '../protocol/records.ts';
import { createRing } from '../shm/ring-layout.ts';
import { RingConsumer } from '../shm/spsc-ring.ts';
import { laneLatencies } from '../telemetry/stages.ts';
import { BEHIND_SHARE, LaneLink } from './lane-link.ts';
import { LaneRunner } from './lane-runner.ts';

/** Batches per turn of the event loop, so that sockets are read in between. */
const BATCHES_PER_TURN_MAX = 32;
const DRAIN_RECORDS_MAX = 4_096;
/** What is due later is `tick`'s, which comes at least this often. */
const TIMER_DELAY_MS_MAX = 1_000;

export interface InlineLanesOptions {
  readonly ingressRingBytes: number;
  readonly egressRingBytes: number;
  readonly laneOptions: (index: number, laneCount: number, firstSub: number, life: number) => LaneOptions;
  readonly schedule?: (pump: () => void) => void;
}

export class InlineLanes implements Lanes {
  readonly count = 1;
  readonly metrics = new Float64Array(LANE_METRICS_BYTES / 8);
  readonly latencies = laneLatencies();
  readonly #options: InlineLanesOptions;
  readonly #clock: RelayClock;
  readonly #link = new LaneLink();
  readonly #schedule: (pump: () => void) => void;
  #events: LaneEvents | null = null;
  #runner: LaneRunner | null = null;
  #egress: RingConsumer | null = null;
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #closed = false;
  readonly #pump = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    // All batches of the turn before one drain: messages for one socket share a write.
    let more = true;
    for (let batch = 0; more && batch < BATCHES_PER_TURN_MAX; batch++) {
      this.#link.publish(); // What waited for room comes in behind what has been read.
      more = (this.#runner as LaneRunner).run(this.#clock.nowMs()) > 0 || this.#link.backlogCount > 0;
    }
    this.#drainEgress();
    if (more) this.#wake();
    this.#armTimer();
  };
  readonly #onRecord = (kind: number, start: number, length: number): void => {
    const egress = this.#egress as RingConsumer;
    const events = this.#events as LaneEvents;
    if (kind === EgressKind.PROGRESS) events.onProgress(egress.view.getUint32(start + 4, true));
    else events.onRecord(0, kind, egress.bytes, egress.view, start, length);
  };

  constructor(options: InlineLanesOptions, clock: RelayClock) {
    this.#options = options;
    this.#clock = clock;
    this.#schedule = options.schedule ?? ((pump) => void setImmediate(pump));
  }

  start(events: LaneEvents): void {
    const { ingressRingBytes, egressRingBytes, laneOptions } = this.#options;
    const ingress = createRing(ingressRingBytes);
    const egress = createRing(egressRingBytes);
    this.#events = events;
    this.#egress = new RingConsumer(egress);
    this.#link.attach(ingress);
    const options = laneOptions(0, 1, events.nextSub(0), 0);
    // The lane and the front share the thread: a full ring is emptied here and now.
    this.#runner = new LaneRunner(options, ingress, egress, this.metrics, () => this.#drainEgress(), {
      latencies: this.latencies,
      stampUs: () => this.#clock.stampUs(),
    });
  }

  tryWrite(
    _lane: number,
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    return this.#link.tryWrite(kind, session, second, stampUs, bytes, start, end);
  }

  tryWriteOrKeep(
    _lane: number,
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    return this.#link.tryWriteOrKeep(kind, session, second, stampUs, bytes, start, end);
  }

  allHaveRoom(payloadBytes: number): boolean {
    return this.#link.hasRoom(payloadBytes);
  }

  isBehind(): boolean {
    return this.#link.usedBytes > this.#options.ingressRingBytes * BEHIND_SHARE;
  }

  write(_lane: number, kind: number, payload: Uint8Array): void {
    this.#link.write(kind, payload);
  }

  flush(): void {
    if (this.#link.publish()) this.#wake();
  }

  /** Time-driven work. A few times a second, by app/. */
  tick(): void {
    if (this.#closed || this.#runner === null) return;
    if (this.#runner.tick(this.#clock.nowMs())) this.#drainEgress();
    this.#armTimer();
  }

  get ingressUsedBytes(): number {
    return this.#link.usedBytes;
  }

  get egressUsedBytes(): number {
    return this.#egress?.usedBytes ?? 0;
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return (this.#runner?.isIdle ?? true) && this.#link.backlogCount === 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#link.attach(null);
  }

  #wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#schedule(this.#pump);
  }

  /** The lane's next timer, where `tick` would come too late for it. */
  #armTimer(): void {
    const dueMs = (this.#runner as LaneRunner).nextTimerMs;
    if (dueMs === this.#timerDueMs) return;
    const delayMs = dueMs - this.#clock.nowMs();
    if (delayMs > TIMER_DELAY_MS_MAX) return;
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timerDueMs = Number.POSITIVE_INFINITY;
      if (this.#runner?.runTimers(this.#clock.nowMs()) === true) this.#drainEgress();
      this.#armTimer();
    }, delayMs);
    this.#timer.unref(); // What keeps the process alive is its sockets.
  }

  #drainEgress(): void {
    const egress = this.#egress as RingConsumer;
    while (egress.read(this.#onRecord, DRAIN_RECORDS_MAX) > 0) {
      (this.#events as LaneEvents).onBatchEnd();
      egress.release();
    }
  }
}
