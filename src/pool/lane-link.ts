/**
 * The front's end of one lane: writes its ingress ring, keeps what must not be refused while the ring is full.
 *
 * Thread: front only. The same for a lane in a thread and inline; who wakes the other side is the owner's business.
 */
import { writeBytes } from '../protocol/encode.ts';
import { COMMAND_HEAD_BYTES, commandRecord } from '../protocol/records.ts';
import { RING_FULL, RingProducer } from '../shm/spsc-ring.ts';

/** Kept commands may take so many times the ring. */
const KEPT_RINGS_MAX = 4;
/** Claimed and given back, never written: any legal kind does. */
const PROBE_KIND = 1;

/** A record as it goes into the ring. */
export interface KeptRecord {
  readonly kind: number;
  readonly payload: Uint8Array;
}

interface Waiting extends KeptRecord {
  /** What it counts for against the bound on kept commands; 0 for a control record. */
  readonly keptBytes: number;
}

/** Of a ring's bytes: above it a lane is behind. A ring of 1 MiB then holds some 1,600 small commands, a few milliseconds of work. */
export const BEHIND_SHARE = 1 / 16;

export class LaneLink {
  #ingress: RingProducer | null = null;
  /**
   * What found the ring full and must not be refused. While any waits, commands are refused: order holds. Control records are bounded by sessions and
   * their subscriptions, kept commands by their bytes.
   */
  #backlog: Waiting[] = [];
  #backlogHead = 0;
  #keptBytes = 0;
  #keptBytesMax = 0;

  /** A (new) lane reads this ring from now on. Null: none does; commands are refused, control records are dropped (they will be replayed). */
  attach(ingress: SharedArrayBuffer | null): void {
    this.#ingress = ingress === null ? null : new RingProducer(ingress);
    this.#backlog = [];
    this.#backlogHead = 0;
    this.#keptBytes = 0;
    this.#keptBytesMax = KEPT_RINGS_MAX * (ingress?.byteLength ?? 0);
  }

  /** Commands that were kept and are not in the ring yet: lost with their lane, and to be reported like those that are. Before another one is attached. */
  get keptCommands(): readonly KeptRecord[] {
    return this.#backlog.slice(this.#backlogHead).filter(({ keptBytes }) => keptBytes > 0);
  }

  get payloadBytesMax(): number {
    return this.#ingress?.payloadBytesMax ?? 0;
  }

  get usedBytes(): number {
    return this.#ingress?.usedBytes ?? 0;
  }

  get backlogCount(): number {
    return this.#backlog.length - this.#backlogHead;
  }

  /** Hot. */
  tryWrite(
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const ingress = this.#ingress;
    if (ingress === null || this.backlogCount > 0) return false;
    const at = ingress.claim(kind, COMMAND_HEAD_BYTES + end - start);
    if (at === RING_FULL) return false;
    ingress.view.setUint32(at, session, true);
    ingress.view.setUint32(at + 4, second, true);
    ingress.view.setUint32(at + 8, stampUs, true);
    writeBytes(ingress.bytes, at + COMMAND_HEAD_BYTES, bytes, start, end);
    ingress.commit(COMMAND_HEAD_BYTES + end - start);
    return true;
  }

  /** As tryWrite, but what finds the ring full waits in memory, up to a few rings of it. False: that is full as well, or there is no lane. */
  tryWriteOrKeep(
    kind: number,
    session: number,
    second: number,
    stampUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    if (this.tryWrite(kind, session, second, stampUs, bytes, start, end)) return true;
    const payloadBytes = COMMAND_HEAD_BYTES + end - start;
    if (this.#ingress === null || this.#keptBytes + payloadBytes > this.#keptBytesMax) return false;
    this.#keptBytes += payloadBytes;
    this.#backlog.push({
      kind,
      payload: commandRecord(session, second, stampUs, bytes.subarray(start, end)),
      keptBytes: payloadBytes,
    });
    return true;
  }

  hasRoom(payloadBytes: number): boolean {
    const ingress = this.#ingress;
    if (ingress === null || this.backlogCount > 0) return false;
    const at = ingress.claim(PROBE_KIND, payloadBytes);
    if (at === RING_FULL) return false;
    ingress.abort();
    return true;
  }

  write(kind: number, payload: Uint8Array): void {
    if (this.#ingress === null) return;
    if (this.backlogCount === 0 && this.#put(kind, payload)) return;
    this.#backlog.push({ kind, payload, keptBytes: 0 });
  }

  /** Makes what was written visible; true if there is anything new for the lane. */
  publish(): boolean {
    const ingress = this.#ingress;
    if (ingress === null) return false;
    while (this.backlogCount > 0) {
      const { kind, payload, keptBytes } = this.#backlog[this.#backlogHead] as Waiting;
      if (!this.#put(kind, payload)) break;
      this.#keptBytes -= keptBytes;
      if (++this.#backlogHead === this.#backlog.length) {
        this.#backlog = [];
        this.#backlogHead = 0;
      }
    }
    if (ingress.unpublishedBytes === 0) return false;
    ingress.publish();
    return true;
  }

  #put(kind: number, payload: Uint8Array): boolean {
    const ingress = this.#ingress as RingProducer;
    const at = ingress.claim(kind, payload.length);
    if (at === RING_FULL) return false;
    writeBytes(ingress.bytes, at, payload, 0, payload.length);
    ingress.commit(payload.length);
    return true;
  }
}
