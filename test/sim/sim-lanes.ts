/**
 * Lanes of the simulator: the real rings, link, runner and state machine, but nobody runs by itself. The simulator says which lane
 * handles a batch, which one's records the front drains, and which one dies.
 *
 * What lane-pool.ts does at a death is done here in the same order: what was committed is delivered, what was not provably handled is
 * reported, fresh rings and a new lane with another seed, then the front replays. Between those the simulator may let time pass.
 */
import type { RelayClock } from '../../src/base/clock.ts';
import type { Prng } from '../../src/base/prng.ts';
import { LANE_METRICS_BYTES } from '../../src/lane/lane-metrics.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';
import { BEHIND_SHARE, LaneLink } from '../../src/pool/lane-link.ts';
import { LaneRunner } from '../../src/pool/lane-runner.ts';
import type { LaneEvents, Lanes } from '../../src/protocol/lane-port.ts';
import { COMMAND_HEAD_BYTES, EgressKind, IngressKind, SendFlag } from '../../src/protocol/records.ts';
import { createRing, HEAD_OFFSET_BYTES, PROGRESS_OFFSET_BYTES, ringWords, wordIndex } from '../../src/shm/ring-layout.ts';
import { RingConsumer, ringPositions } from '../../src/shm/spsc-ring.ts';
import { type LaneLatencies, laneLatencies } from '../../src/telemetry/stages.ts';

/** What the oracle is told: the order in which lanes handle records is the truth that clients' views are held against. */
export interface LaneTap {
  laneStarted(lane: number, options: LaneOptions): void;
  /** The lane has handled this record (or died in the middle of it: `whole` false). `bytes` is a copy. */
  recordHandled(lane: number, kind: number, bytes: Uint8Array, nowMs: number, whole: boolean): void;
  laneTicked(lane: number, nowMs: number): void;
  laneDied(lane: number): void;
  /** The front is told that this COMMAND or PATTERN_COMMAND may not have been handled. */
  commandLost(lane: number, bytes: Uint8Array): void;
}

export interface SimLanesOptions {
  readonly laneCount: number;
  readonly ingressRingBytes: number;
  readonly egressRingBytes: number;
  /** Where the rings' positions begin: just below 2^32 they wrap on the way. */
  readonly ringStart: number;
  /** `life` counts a lane's replacements. */
  readonly laneOptions: (index: number, laneCount: number, firstSub: number, life: number) => LaneOptions;
  /** Where flush waits, as it waits for the end of the turn in lane-pool. */
  readonly schedule: (step: () => void) => void;
  /** Lanes that may die count through a proxy, which is slow. */
  readonly mayDie: boolean;
  /** A defect put in on purpose, to see that it is found. */
  readonly tamper?: Tamper;
}

export type Tamper =
  /** One in `oneIn` egress records of this kind is lost, or comes twice. */
  | { readonly kind: number; readonly how: 'lost' | 'twice'; readonly oneIn: number }
  /** What must not be refused is, as soon as the ring is full. */
  | { readonly how: 'refused' }
  /** What waits for room is dropped with its lane, and nobody is told. */
  | { readonly how: 'forgotten' }
  /** An OK does not say that its command goes on behind it. */
  | { readonly how: 'unmarked' };

/** Times the ring: what may wait in memory while it is full. */
const KEPT_RINGS = 4;

/** `throw`: in the middle of a record, as by a bug. `abrupt`: terminated; of its last batch the front sees only what was published until then. */
export type DeathKind = 'throw' | 'abrupt';

class SimulatedDeath extends Error {}

type LaneState =
  | { readonly name: 'running' }
  /** The thread has ended and the front does not know yet. */
  | { readonly name: 'dead' }
  /** Known; the back-off before the next one. */
  | { readonly name: 'gone' };

interface Slot {
  readonly index: number;
  readonly link: LaneLink;
  readonly metrics: Float64Array;
  readonly latencies: LaneLatencies;
  state: LaneState;
  life: number;
  ingress: SharedArrayBuffer;
  runner: LaneRunner | null;
  egress: RingConsumer;
  egressRing: SharedArrayBuffer;
  /** Reads what the lane has read, for the tap. */
  shadow: RingConsumer;
  handledPosition: number;
  /** Written for this life of the lane and not handled yet. */
  waitingBytes: number;
  /** Egress position behind which a killed lane's records were never published. */
  visibleEnd: number;
  /** What was published in the middle of the batch that runs, because the egress ring was full; and how far the lane said it was. */
  halfway: { readonly tail: number; readonly progress: number }[];
  /** The lane throws at this many more metric updates; 0: never. */
  fuse: number;
}

export class SimLanes implements Lanes {
  readonly count: number;
  deaths = 0;
  readonly #options: SimLanesOptions;
  readonly #clock: RelayClock;
  readonly #tap: LaneTap;
  readonly #prng: Prng;
  readonly #slots: Slot[] = [];
  /** By session: commands that must not be refused and were, because there was no lane or its bound was reached. */
  readonly #refusals = new Map<number, number>();
  #events: LaneEvents | null = null;
  #isFlushScheduled = false;

  constructor(options: SimLanesOptions, clock: RelayClock, prng: Prng, tap: LaneTap) {
    this.count = options.laneCount;
    this.#options = options;
    this.#clock = clock;
    this.#prng = prng;
    this.#tap = tap;
  }

  start(events: LaneEvents): void {
    this.#events = events;
    for (let index = 0; index < this.count; index++) {
      const slot = this.#makeSlot(index);
      this.#slots.push(slot);
      this.#startLane(slot);
    }
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
    const slot = this.#slot(lane);
    const isTaken = slot.link.tryWrite(kind, session, second, stampUs, bytes, start, end);
    if (isTaken) slot.waitingBytes += COMMAND_HEAD_BYTES + end - start;
    return isTaken;
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
    const slot = this.#slot(lane);
    if (this.#options.tamper?.how === 'refused') return this.tryWrite(lane, kind, session, second, stampUs, bytes, start, end);
    const recordBytes = COMMAND_HEAD_BYTES + end - start;
    const isTaken = slot.link.tryWriteOrKeep(kind, session, second, stampUs, bytes, start, end);
    if (isTaken) slot.waitingBytes += recordBytes;
    else if (slot.state.name === 'gone' || slot.waitingBytes + recordBytes > KEPT_RINGS * this.#options.ingressRingBytes)
      this.#refusals.set(session, this.refusalsOf(session) + 1);
    return isTaken;
  }

  /** Of commands that wait rather than be refused, as far as documented bounds allow it. */
  refusalsOf(session: number): number {
    return this.#refusals.get(session) ?? 0;
  }

  allHaveRoom(payloadBytes: number): boolean {
    return this.#slots.every((slot) => slot.link.hasRoom(payloadBytes));
  }

  isBehind(): boolean {
    return this.#slots.some(({ link }) => link.usedBytes > this.#options.ingressRingBytes * BEHIND_SHARE);
  }

  write(lane: number, kind: number, payload: Uint8Array): void {
    const slot = this.#slot(lane);
    slot.link.write(kind, payload);
    slot.waitingBytes += payload.length;
  }

  flush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#options.schedule(() => {
      this.#isFlushScheduled = false;
      for (const slot of this.#slots) slot.link.publish();
    });
  }

  // ---- what the simulator does

  metrics(lane: number): Float64Array {
    return this.#slot(lane).metrics;
  }

  latencies(lane: number): LaneLatencies {
    return this.#slot(lane).latencies;
  }

  backlogCount(lane: number): number {
    return this.#slot(lane).link.backlogCount;
  }

  state(lane: number): LaneState['name'] {
    return this.#slot(lane).state.name;
  }

  /** Nothing to handle, nothing to drain, nobody dead. */
  get isIdle(): boolean {
    return this.#slots.every(
      (slot) =>
        slot.state.name === 'running' && (slot.runner?.isIdle ?? true) && slot.link.backlogCount === 0 && slot.egress.isEmpty(),
    );
  }

  /** The lane handles one batch; the number of records. */
  run(lane: number): number {
    const slot = this.#slot(lane);
    if (slot.state.name !== 'running') return 0;
    slot.link.publish(); // As the pool's tick does for a backlog.
    const nowMs = this.#clock.nowMs();
    let count = 0;
    try {
      count = (slot.runner as LaneRunner).run(nowMs);
    } catch (error) {
      this.#reportHandled(slot, nowMs, true);
      if (!(error instanceof SimulatedDeath)) throw error;
      this.#die(slot);
      return 1;
    }
    this.#reportHandled(slot, nowMs, false);
    return count;
  }

  tick(lane: number): void {
    const slot = this.#slot(lane);
    if (slot.state.name !== 'running') return;
    const nowMs = this.#clock.nowMs();
    try {
      (slot.runner as LaneRunner).tick(nowMs);
    } catch (error) {
      if (!(error instanceof SimulatedDeath)) throw error;
      this.#tap.laneTicked(lane, nowMs); // What it did before it died may have been forced out by a full ring.
      this.#die(slot);
      return;
    }
    this.#tap.laneTicked(lane, nowMs);
  }

  /** The front takes up to `recordsMax` records of the lane. */
  drain(lane: number, recordsMax: number): number {
    return this.#drain(this.#slot(lane), recordsMax);
  }

  /** Arms or does it: `throw` strikes somewhere in the next records, `abrupt` at once, with the batch that is waiting. */
  kill(lane: number, kind: DeathKind): void {
    const slot = this.#slot(lane);
    if (slot.state.name !== 'running') return;
    if (kind === 'throw') {
      slot.fuse = this.#prng.nextInt(1, 12);
      return;
    }
    const { head, progress } = ringPositions(slot.ingress);
    slot.halfway = [{ tail: ringPositions(slot.egressRing).tail, progress }];
    this.run(lane);
    if (this.#slot(lane).state.name !== 'running') return;
    // The batch was not finished: its records are still there, and the front sees of its output what was published on the way.
    const possible = slot.halfway.filter(({ tail }) => isAtOrAfter(tail, slot.egress.position));
    const end = this.#prng.pick(possible);
    slot.visibleEnd = end.tail;
    const words = ringWords(slot.ingress);
    words[wordIndex(HEAD_OFFSET_BYTES)] = head | 0;
    words[wordIndex(PROGRESS_OFFSET_BYTES)] = end.progress | 0;
    this.#die(slot);
  }

  /** The front learns of the death: lane-pool's #onEnded. */
  notice(lane: number): void {
    const slot = this.#slot(lane);
    if (slot.state.name !== 'dead') return;
    const events = this.#events as LaneEvents;
    while (this.#drain(slot, 256) > 0);
    slot.link.publish(); // What was written in this turn and not flushed: lost with the rest, not in silence.
    slot.state = { name: 'gone' };
    const keptCommands = this.#options.tamper?.how === 'forgotten' ? [] : slot.link.keptCommands;
    slot.link.attach(null);
    const reader = new RingConsumer(slot.ingress);
    const { progress } = ringPositions(slot.ingress);
    const handledPosition = ((progress - slot.handledPosition) | 0) > 0 ? progress : slot.handledPosition;
    RingConsumer.inspect(slot.ingress, handledPosition, (kind, start, length) => {
      if (kind === IngressKind.COMMAND || kind === IngressKind.PATTERN_COMMAND) {
        this.#tap.commandLost(lane, reader.bytes.slice(start, start + length));
      }
      events.onRecordLost(lane, kind, reader.bytes, reader.view, start, length);
    });
    for (const { kind, payload } of keptCommands) {
      this.#tap.commandLost(lane, payload);
      events.onRecordLost(lane, kind, payload, new DataView(payload.buffer), 0, payload.length);
    }
    events.onLaneLost(lane);
  }

  /** A new lane takes its place. */
  replace(lane: number): void {
    const slot = this.#slot(lane);
    if (slot.state.name !== 'gone') return;
    slot.life++;
    this.#startLane(slot);
    (this.#events as LaneEvents).onLaneReplaced(lane);
  }

  // ---- inside

  #slot(lane: number): Slot {
    return this.#slots[lane] as Slot;
  }

  #makeSlot(index: number): Slot {
    const { ingressRingBytes, egressRingBytes, ringStart } = this.#options;
    const ingress = createRing(ingressRingBytes, ringStart);
    const egressRing = createRing(egressRingBytes, ringStart);
    return {
      index,
      link: new LaneLink(),
      metrics: new Float64Array(LANE_METRICS_BYTES / 8),
      latencies: laneLatencies(),
      state: { name: 'gone' },
      life: 0,
      ingress,
      runner: null,
      egress: new RingConsumer(egressRing),
      egressRing,
      shadow: new RingConsumer(ingress),
      handledPosition: 0,
      waitingBytes: 0,
      visibleEnd: -1,
      halfway: [],
      fuse: 0,
    };
  }

  #startLane(slot: Slot): void {
    const { ingressRingBytes, egressRingBytes, ringStart, laneOptions, mayDie } = this.#options;
    slot.ingress = createRing(ingressRingBytes, ringStart);
    slot.egressRing = createRing(egressRingBytes, ringStart);
    slot.egress = new RingConsumer(slot.egressRing);
    slot.shadow = new RingConsumer(slot.ingress);
    slot.handledPosition = ringStart;
    slot.waitingBytes = 0;
    slot.visibleEnd = -1;
    slot.fuse = 0;
    slot.state = { name: 'running' };
    const options = laneOptions(slot.index, this.count, (this.#events as LaneEvents).nextSub(slot.index), slot.life);
    this.#tap.laneStarted(slot.index, options);
    const metrics = mayDie ? this.#fused(slot) : slot.metrics;
    // The lane's thread and the front's run side by side: while one waits for room, the other drains.
    const waitForRoom = (): void => {
      slot.halfway.push({ tail: ringPositions(slot.egressRing).tail, progress: ringPositions(slot.ingress).progress });
      this.#drain(slot, this.#prng.nextInt(1, 20));
    };
    slot.runner = new LaneRunner(options, slot.ingress, slot.egressRing, metrics, waitForRoom, {
      latencies: slot.latencies,
      stampUs: () => this.#clock.stampUs(),
    });
    slot.link.attach(slot.ingress);
  }

  /** The lane's counters, with a fuse: the n-th update from when it is lit throws, which may be in the middle of a record. */
  #fused(slot: Slot): Float64Array {
    return new Proxy(slot.metrics, {
      get: (target, name) => target[name as unknown as number],
      set: (target, name, value) => {
        target[name as unknown as number] = value;
        if (slot.fuse > 0 && --slot.fuse === 0) throw new SimulatedDeath('simulated bug in a lane');
        return true;
      },
    });
  }

  #die(slot: Slot): void {
    this.deaths++;
    slot.state = { name: 'dead' };
    slot.runner = null;
    this.#tap.laneDied(slot.index);
  }

  #drain(slot: Slot, recordsMax: number): number {
    const { egress } = slot;
    const events = this.#events as LaneEvents;
    let count = 0;
    while (count < recordsMax && egress.position !== slot.visibleEnd) {
      const read = egress.read((kind, start, length) => {
        if (kind === EgressKind.PROGRESS) {
          slot.handledPosition = egress.view.getUint32(start, true);
          events.onProgress(egress.view.getUint32(start + 4, true));
        } else this.#deliver(slot, kind, start, length);
      }, 1);
      if (read === 0) break;
      count++;
    }
    if (count === 0) return 0;
    events.onBatchEnd();
    // Whoever still looks at these bytes after this looks at garbage, as when the lane writes the next record there.
    egress.release();
    return count;
  }

  #deliver({ index, egress }: Slot, kind: number, start: number, length: number): void {
    const { tamper } = this.#options;
    if (tamper?.how === 'unmarked' && kind === EgressKind.SEND) {
      const flags = egress.view.getUint32(start + 4, true);
      egress.view.setUint32(start + 4, flags & ~SendFlag.GOES_ON, true);
    }
    let times = 1;
    if (tamper !== undefined && 'kind' in tamper && tamper.kind === kind && this.#prng.nextInt(1, tamper.oneIn) === 1)
      times = tamper.how === 'lost' ? 0 : 2;
    for (; times > 0; times--) (this.#events as LaneEvents).onRecord(index, kind, egress.bytes, egress.view, start, length);
  }

  /** Tells the tap what the lane has read since the last time; with `half`, also the record in which it died. */
  #reportHandled(slot: Slot, nowMs: number, half: boolean): void {
    const { head } = ringPositions(slot.ingress);
    const { shadow } = slot;
    let whole = true;
    const report = (kind: number, start: number, length: number): void => {
      slot.waitingBytes -= length;
      this.#tap.recordHandled(slot.index, kind, shadow.bytes.slice(start, start + length), nowMs, whole);
    };
    while (shadow.position !== head) if (shadow.read(report, 1) === 0) break;
    whole = false;
    if (half) shadow.read(report, 1);
  }
}

const isAtOrAfter = (position: number, other: number): boolean => ((position - other) | 0) >= 0;
