/**
 * The lane's end: reads ingress records in bounded batches, runs the state machine, writes egress.
 *
 * Thread: the lane's (a worker, or the front for inline lanes). What a batch wrote becomes visible with one index store, and its last
 * record says how far the ingress was handled: whoever finds this lane dead knows exactly which commands it has answered.
 */
import { elapsedUs, systemClock } from '../base/clock.ts';
import { Lane } from '../lane/lane.ts';
import { LaneMetric } from '../lane/lane-metrics.ts';
import type { LaneOptions } from '../lane/lane-options.ts';
import { type Egress, IngressKind } from '../protocol/records.ts';
import { RING_FULL, RingConsumer, RingProducer } from '../shm/spsc-ring.ts';
import { type LaneLatencies, laneLatencies } from '../telemetry/stages.ts';

/** Records per batch: enough to share an index store and a doorbell, few enough that the front starts sending early. */
export const BATCH_RECORDS_MAX = 64;

/** Of the stamp in a COMMAND. */
const STAMP_OFFSET_BYTES = 8;

export interface LaneTelemetry {
  readonly latencies: LaneLatencies;
  /** As Clock.stampUs of the front: one clock for all threads. */
  readonly stampUs: () => number;
}

class RingEgress implements Egress {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly payloadBytesMax: number;
  readonly #ring: RingProducer;
  readonly #waitForRoom: () => void;

  constructor(ring: RingProducer, waitForRoom: () => void) {
    this.#ring = ring;
    this.bytes = ring.bytes;
    this.view = ring.view;
    this.payloadBytesMax = ring.payloadBytesMax;
    this.#waitForRoom = waitForRoom;
  }

  claim(kind: number, bytesMax: number): number {
    for (;;) {
      const at = this.#ring.claim(kind, bytesMax);
      if (at !== RING_FULL) return at;
      this.#ring.publish();
      this.#waitForRoom();
    }
  }

  commit(payloadBytes: number): void {
    this.#ring.commit(payloadBytes);
  }
}

export class LaneRunner {
  readonly #lane: Lane;
  readonly #ingress: RingConsumer;
  readonly #egress: RingProducer;
  readonly #latencies: LaneLatencies;
  readonly #stampUs: () => number;
  readonly #metrics: Float64Array;
  #nowMs = 0;
  #batchUs = 0;
  #batchCommands = 0;
  /** Ingress position behind the last record that is wholly handled. */
  #donePosition = 0;
  /** STOP was read: nothing after it is handled. */
  isStopped = false;
  readonly #onRecord = (kind: number, start: number, length: number): void => {
    if (kind === IngressKind.STOP) this.isStopped = true;
    if (this.isStopped) return;
    if (kind === IngressKind.COMMAND || kind === IngressKind.PATTERN_COMMAND) {
      this.#batchCommands++;
      this.#latencies.ingressWait.record(
        elapsedUs(this.#ingress.view.getUint32(start + STAMP_OFFSET_BYTES, true), this.#batchUs),
      );
    }
    this.#lane.handle(kind, this.#ingress.bytes, this.#ingress.view, start, length, this.#nowMs);
    this.#donePosition = this.#ingress.position;
  };

  /** `waitForRoom` is called while the egress ring is full, what is written being published: it returns when it may be worth another try. */
  constructor(
    options: LaneOptions,
    ingress: SharedArrayBuffer,
    egress: SharedArrayBuffer,
    metrics: Float64Array,
    waitForRoom: () => void,
    { latencies, stampUs }: LaneTelemetry = { latencies: laneLatencies(), stampUs: systemClock.stampUs },
  ) {
    this.#latencies = latencies;
    this.#stampUs = stampUs;
    this.#metrics = metrics;
    this.#ingress = new RingConsumer(ingress);
    this.#egress = new RingProducer(egress);
    this.#donePosition = this.#ingress.position;
    const onFull = (): void => {
      // A part of the batch is out without its PROGRESS record: whoever finds this lane dead looks here too.
      this.#ingress.noteProgress(this.#donePosition);
      waitForRoom();
    };
    this.#lane = new Lane(options, new RingEgress(this.#egress, onFull), metrics, latencies);
  }

  /** One batch; the number of records handled. */
  run(nowMs: number): number {
    this.#nowMs = nowMs;
    this.#batchUs = this.#stampUs();
    this.#batchCommands = 0;
    let count = 0;
    try {
      count = this.#ingress.read(this.#onRecord, BATCH_RECORDS_MAX);
    } catch (error) {
      // The records before the one that threw are done and must be seen as done.
      if (this.#egress.hasClaim) this.#egress.abort();
      this.#finishBatch();
      throw error;
    }
    if (count > 0) this.#finishBatch();
    return count;
  }

  /** What is due now. True if it wrote records. */
  runTimers(nowMs: number): boolean {
    this.#lane.runTimers(nowMs);
    return this.#publishAny();
  }

  /** Time-driven work of the lane, a few times a second. True if it wrote records. */
  tick(nowMs: number): boolean {
    this.#lane.tick(nowMs);
    return this.#publishAny();
  }

  #publishAny(): boolean {
    if (this.#egress.unpublishedBytes === 0) return false;
    this.#egress.publish();
    return true;
  }

  /** When `runTimers` has something to do, as `nowMs` counts; Infinity when nothing is planned. */
  get nextTimerMs(): number {
    return this.#lane.nextTimerMs;
  }

  get isIdle(): boolean {
    return this.#ingress.isEmpty();
  }

  #finishBatch(): void {
    const doneUs = this.#stampUs();
    const spentUs = elapsedUs(this.#batchUs, doneUs);
    if (this.#batchCommands > 0) this.#latencies.lane.record(spentUs, this.#batchCommands);
    this.#metrics[LaneMetric.batches]!++;
    this.#metrics[LaneMetric.busyUs]! += spentUs;
    this.#lane.progress(this.#ingress.position, doneUs);
    this.#egress.publish();
    this.#ingress.release();
  }
}
