/** Sessions on connections that do as they are told, and frames as a lane makes them. */
import { DropLedger, FrontMetrics } from '../../../src/front/front-metrics.ts';
import { Hub, type HubOptions, type Member } from '../../../src/front/hub.ts';
import { type Connection, SendResult } from '../../../src/front/ports.ts';
import { OPEN, Session } from '../../../src/front/session.ts';
import { pack, unpackMany } from '../../../src/protocol/codec.ts';
import { encodeMessage, messageBytesMax } from '../../../src/protocol/encode.ts';
import { JoinFlag } from '../../../src/protocol/records.ts';
import { SLOW_CONSUMER_POLICIES, type SlowConsumerPolicy } from '../../../src/protocol/types.ts';

const TEXT = new TextEncoder();

export interface FrameOptions {
  readonly sub?: number;
  /** null on an exact subscription. */
  readonly topic?: string | null;
  readonly payload?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An encoded MESSAGE. */
export function messageFrame(
  offset: number,
  { sub = 2, topic = null, payload = offset, headers }: FrameOptions = {},
): Uint8Array {
  const topicBytes = topic === null ? null : TEXT.encode(topic);
  const meta = headers === undefined ? null : pack({ headers });
  const packed = pack(payload);
  const frame = new Uint8Array(messageBytesMax(topicBytes?.length ?? 0, meta?.length ?? 0, packed.length));
  return frame.slice(0, encodeMessage(frame, 0, sub, topicBytes, offset, meta, packed, 0, packed.length));
}

/** Bytes of a MESSAGE of sub 2 with a payload that fills it up. */
export function messageOfBytes(offset: number, bytes: number, options: FrameOptions = {}): Uint8Array {
  const headBytes = messageFrame(offset, { ...options, payload: '' }).length;
  const payload = 'x'.repeat(bytes - headBytes);
  const frame = messageFrame(offset, { ...options, payload });
  return frame.length === bytes ? frame : messageFrame(offset, { ...options, payload: payload.slice(frame.length - bytes) });
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
export function decodeAll(frames: readonly Uint8Array[]): any[][] {
  return frames.flatMap((frame) => unpackMany(frame) as unknown[][]);
}

export function joinFlags(policy: SlowConsumerPolicy, flags: number = JoinFlag.HISTORY): number {
  return flags | (SLOW_CONSUMER_POLICIES.indexOf(policy) << JoinFlag.POLICY_SHIFT);
}

/** A socket whose `send` answers what stands in `results`, then WRITTEN. */
export class FakeConnection implements Connection {
  readonly remoteAddress = 'test';
  /** One per WebSocket message. */
  readonly sent: Uint8Array[] = [];
  readonly results: number[] = [];
  /** What every send answers once `results` is used up. */
  otherwise: number = SendResult.WRITTEN;
  pings = 0;
  closedWith: { readonly code: number; readonly reason: string } | null = null;
  terminated = false;

  send(frame: Uint8Array): number {
    this.sent.push(new Uint8Array(frame));
    return this.results.shift() ?? this.otherwise;
  }
  ping(): void {
    this.pings++;
  }
  bufferedBytes(): number {
    return 0;
  }
  close(code: number, reason: string): void {
    this.closedWith = { code, reason };
  }
  terminate(): void {
    this.terminated = true;
  }

  /** What has come since the last call, decoded. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
  take(): any[][] {
    return decodeAll(this.sent.splice(0));
  }
}

export interface Peer {
  readonly session: Session;
  readonly connection: FakeConnection;
}

export class HubRig {
  readonly metrics = new FrontMetrics();
  readonly ledger = new DropLedger();
  readonly tooSlow: Session[] = [];
  readonly resumable: Member[] = [];
  readonly hub: Hub;
  #nextSession = 1;

  constructor(options: Partial<HubOptions> = {}) {
    const events = {
      onSlowConsumer: (session: Session) => {
        this.tooSlow.push(session);
        this.hub.leaveAll(session, 'disconnect'); // As the front does when it closes one.
        session.state = { name: 'closing', deadlineMs: 0 };
      },
      nowMs: () => 0,
      onResumable: (member: Member) => {
        this.resumable.push(member);
        member.resuming = true;
      },
    };
    this.hub = new Hub({ sendQueueBytesMax: 1_000, mergedFrameBytesMax: 256, ...options }, events, this.metrics, this.ledger);
  }

  connect(): Peer {
    const connection = new FakeConnection();
    return { session: new Session(this.#nextSession++, connection, false, OPEN, 0, 0), connection };
  }

  /** A session whose socket is full: everything for it waits. */
  connectSlow(): Peer {
    const peer = this.connect();
    peer.connection.results.push(SendResult.QUEUED);
    this.hub.sendNow(peer.session, pack([32, 99, null]));
    peer.connection.take();
    return peer;
  }

  join(
    peer: Peer,
    policy: SlowConsumerPolicy = 'disconnect',
    { sub = 2, topic = 'room', flags = JoinFlag.HISTORY as number, conflateBy = '' } = {},
  ): Member {
    const restore = conflateBy === '' ? new Uint8Array(0) : pack({ conflateBy });
    return this.hub.join(peer.session, sub, topic, 0, joinFlags(policy, flags), restore);
  }

  /** One MESSAGE of sub 2 to one member: its queue group has chosen it. */
  deliver(peer: Peer, offset: number, options: FrameOptions & { readonly bytes?: number } = {}): void {
    const { bytes, sub = 2 } = options;
    const message = bytes === undefined ? messageFrame(offset, options) : messageOfBytes(offset, bytes, options);
    this.drain((frame) => this.hub.deliver(peer.session, sub, frame(message)));
  }

  /** As one drain of the egress ring: the frames live in memory that is used again afterwards. */
  drain(act: (frame: (bytes: Uint8Array) => Uint8Array) => void): void {
    const ring = new Uint8Array(new SharedArrayBuffer(65_536));
    let at = 0;
    act((bytes) => {
      ring.set(bytes, at);
      at += bytes.length;
      return ring.subarray(at - bytes.length, at);
    });
    this.hub.endDrain();
    ring.fill(0xc1);
  }

  /** One MESSAGE to all members of sub 2. */
  publish(offset: number, options: FrameOptions & { readonly bytes?: number; readonly excluded?: number } = {}): void {
    const { bytes, excluded = 0, sub = 2 } = options;
    const message = bytes === undefined ? messageFrame(offset, options) : messageOfBytes(offset, bytes, options);
    this.drain((frame) => this.hub.fanout(frame(message), sub, excluded, 0));
  }
}
