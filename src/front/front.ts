/**
 * The front: sessions from connect to close, commands to lanes, records from lanes to sockets.
 *
 * Thread: the main thread. It reads `[type, id, key]` of a command and never decodes the rest; order, history and rights are the lanes'.
 * Nothing here waits: what does not fit into a ring is refused with a code, what does not fit into a socket is the hub's.
 */
import type { Clock } from '../base/clock.ts';
import { hashBytes, spread } from '../base/hash.ts';
import { randomId } from '../base/ids.ts';
import { pack, packMessage, unpack } from '../protocol/codec.ts';
import { CLOSE_CODES, type CloseCodeName, WIRE_ERRORS } from '../protocol/codes.ts';
import { closeReason, type ErrorFacts, RelayError } from '../protocol/errors.ts';
import { describeHeaderFault, HeaderFault, MessageHeader, readHeader, scanMessage } from '../protocol/header.ts';
import type { LaneEvents, Lanes } from '../protocol/lane-port.ts';
import { checkName, NameKind, nameProblem } from '../protocol/names.ts';
import { checkPatternOptions, decodeOptions, helloOptions, subscribeOptions } from '../protocol/options.ts';
import {
  CLOSE_HEAD_BYTES,
  COMMAND_HEAD_BYTES,
  EgressKind,
  FANOUT_HEAD_BYTES,
  IngressKind,
  JOIN_HEAD_BYTES,
  JoinFlag,
  LEAVE_HEAD_BYTES,
  SEND_HEAD_BYTES,
  SendFlag,
  withNumbers,
} from '../protocol/records.ts';
import { describeSkipFault } from '../protocol/skip.ts';
import { MessageType, PROTOCOL_VERSION, SLOW_CONSUMER_POLICIES, SPEC_BY_TYPE } from '../protocol/types.ts';
import { type Admission, AdmissionGate } from './admission.ts';
import { DropLedger, FrontMetrics } from './front-metrics.ts';
import type { DrainPlan, FrontOptions } from './front-options.ts';
import { Hub, type Member } from './hub.ts';
import { LaneReplay, laneIndexOf } from './lane-replay.ts';
import { PatternRegistry } from './pattern-registry.ts';
import type { Connection } from './ports.ts';
import { CLOSED, LEAVING, OPEN, Session } from './session.ts';

const FEATURES = ['history', 'presence', 'patterns', 'idempotency'];
const EMPTY = new Uint8Array(0);
/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export class Front implements LaneEvents {
  readonly metrics = new FrontMetrics();
  readonly ledger = new DropLedger();
  readonly #options: FrontOptions;
  readonly #clock: Clock;
  readonly #lanes: Lanes;
  readonly #hub: Hub;
  readonly #gate: AdmissionGate;
  readonly #patterns: PatternRegistry;
  readonly #replay: LaneReplay;
  readonly #sessions = new Map<number, Session>();
  readonly #header = new MessageHeader();
  /** By lane, `session:id` of the newest SUBSCRIBE that was answered: if the lane dies in its replay, it is not answered again. */
  readonly #lastJoined: string[] = [];
  #connectionCount = 0;
  #nextSession = 1;
  /** Monotonic time of the last tick: exact enough for timeouts, free to read per message. */
  #coarseNowMs: number;
  #drain: (DrainPlan & { readonly endsAtMs: number; readonly done: () => void }) | null = null;

  constructor(options: FrontOptions, lanes: Lanes, clock: Clock) {
    this.#options = options;
    this.#lanes = lanes;
    this.#clock = clock;
    this.#coarseNowMs = clock.monotonicMs();
    this.#gate = new AdmissionGate(options, this.metrics, this.#coarseNowMs);
    this.#patterns = new PatternRegistry(lanes.count);
    const events = {
      onSlowConsumer: (session: Session) => {
        this.metrics.slowConsumersDisconnected++;
        this.#close(session, 'SLOW_CONSUMER', {
          queuedBytes: session.queue?.bytes ?? 0,
          sendQueueBytesMax: options.sendQueueBytesMax,
        });
      },
      onResumable: (member: Member) => this.#resume(member),
    };
    this.#hub = new Hub(options, events, this.metrics, this.ledger);
    this.#replay = new LaneReplay(lanes, this.#hub, this.#patterns, this.#sessions, (session, lane) =>
      this.#introduce(session, lane),
    );
  }

  get connectionCount(): number {
    return this.#connectionCount;
  }
  get subscriptionCount(): number {
    return this.#hub.subscriptionCount;
  }
  get isDraining(): boolean {
    return this.#drain !== null;
  }
  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  // ---- connections (called by the transport)

  /** Before the upgrade. `upgrading`: upgrades let through that have not opened yet. */
  admit(upgrading = 0): Admission {
    return this.#gate.admit(this.#connectionCount + upgrading, this.isDraining, this.#clock.monotonicMs());
  }

  open(connection: Connection, internal = false): Session {
    const nowMs = this.#coarseNowMs;
    const { helloTimeoutMs, pingIntervalMs } = this.#options;
    const number = this.#nextSession++;
    // Sessions that open together ping apart: their numbers spread them.
    const nextPingMs = nowMs + pingIntervalMs * (0.5 + 0.5 * spread(number));
    const session = new Session(
      number,
      connection,
      internal,
      { name: 'greeting', deadlineMs: nowMs + helloTimeoutMs },
      nowMs,
      nextPingMs,
    );
    this.#sessions.set(number, session);
    if (!internal) {
      this.#connectionCount++;
      this.metrics.connectionsOpened++;
    }
    return session;
  }

  /** Hot. One WebSocket message: one or more relay messages back to back. `bytes` need not outlive the call. */
  onMessage(session: Session, bytes: Uint8Array, isBinary: boolean): void {
    const state = session.state.name;
    if (state === 'closing' || state === 'closed') return;
    session.lastSeenMs = this.#coarseNowMs;
    this.metrics.bytesReceived += bytes.length;
    if (!isBinary) return this.#close(session, 'TEXT_MESSAGE');
    const { messageBytesMax } = this.#options;
    if (bytes.length > messageBytesMax) {
      this.metrics.messagesOversized++;
      return this.#close(session, 'OVERSIZED', { bytes: bytes.length, messageBytesMax });
    }
    const header = this.#header;
    let at = 0;
    while (at < bytes.length) {
      this.metrics.messagesReceived++;
      if (scanMessage(bytes, at, bytes.length, header)) {
        this.#command(session, header, bytes, at);
        if (!session.isLive) break;
      } else if (!this.#onFault(session, header)) break;
      at = header.end;
    }
    this.#lanes.flush();
  }

  onPong(session: Session): void {
    session.lastSeenMs = this.#coarseNowMs;
  }

  onDrain(session: Session): void {
    this.#hub.onDrain(session);
    this.#lanes.flush();
  }

  /** The connection is gone; `code` as the WebSocket says it (1006: without a handshake). */
  onClose(session: Session, code: number): void {
    if (session.state.name === 'closed') return;
    const wasLive = session.state.name !== 'closing';
    session.state = CLOSED;
    this.#sessions.delete(session.number);
    if (!session.internal) {
      this.#connectionCount--;
      this.metrics.connectionsClosed++;
    }
    if (wasLive) this.#retire(session, 'closed', code !== 1000);
    this.#lanes.flush();
  }

  // ---- time (called by app/, some ten times a second)

  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#coarseNowMs = nowMs;
    const { pingIntervalMs, pongTimeoutMs } = this.#options;
    for (const session of this.#sessions.values()) {
      const state = session.state;
      if (state.name === 'greeting') {
        if (state.deadlineMs > nowMs || session.internal) continue;
        this.metrics.helloTimeouts++;
        this.#close(session, 'NO_HELLO', { helloTimeoutMs: this.#options.helloTimeoutMs });
      } else if (state.name === 'closing') {
        if (state.deadlineMs <= nowMs) session.connection.terminate();
      } else if (!session.internal) {
        if (session.lastSeenMs + pingIntervalMs + pongTimeoutMs <= nowMs) {
          this.metrics.pongTimeouts++;
          this.#close(session, 'NO_PONG', { silentMs: Math.round(nowMs - session.lastSeenMs) });
        } else if (session.nextPingMs <= nowMs) {
          session.connection.ping();
          session.nextPingMs = nowMs + pingIntervalMs;
        }
      }
    }
    if (this.#drain !== null) this.#driveDrain(this.#drain, nowMs);
    this.#lanes.flush();
  }

  // ---- shutdown

  /** Sends every client home in a slot of its own; `done` when all have left or were closed. */
  drain(plan: DrainPlan, done: () => void): void {
    const clients = [...this.#sessions.values()].filter((session) => !session.internal);
    this.#drain = { ...plan, endsAtMs: this.#clock.monotonicMs() + plan.deadlineMs, done };
    clients.forEach((session, index) => {
      if (session.state.name === 'open') this.#sendHome(session, plan, index / clients.length);
    });
    if (this.#connectionCount === 0) this.#driveDrain(this.#drain, this.#clock.monotonicMs());
  }

  /** `slot` in [0, 1): where in the window this client comes back. */
  #sendHome(session: Session, { reason, deadlineMs, windowMs }: DrainPlan, slot: number): void {
    if (!session.isLive) return; // Its socket took not even the answer to HELLO.
    session.state = LEAVING;
    this.#hub.sendNow(session, pack([MessageType.GOAWAY, { reason, deadlineMs, reconnectAfterMs: Math.floor(slot * windowMs) }]));
  }

  #driveDrain(drain: { readonly endsAtMs: number; readonly done: () => void }, nowMs: number): void {
    if (this.#connectionCount > 0 && nowMs < drain.endsAtMs) return;
    if (this.#connectionCount === 0) {
      drain.done();
      return;
    }
    for (const session of this.#sessions.values())
      if (!session.internal && session.state.name !== 'closing') this.#close(session, 'SHUTDOWN');
  }

  // ---- commands

  #command(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    const spec = SPEC_BY_TYPE[header.type];
    if (session.state.name === 'greeting') {
      if (header.type === MessageType.HELLO) this.#hello(session, header, bytes);
      else {
        this.#sendError(
          session,
          header.id,
          new RelayError('UNAUTHENTICATED', 'HELLO must be the first message', { got: spec?.name ?? '' }),
        );
        this.#close(session, 'MALFORMED', { problem: 'HELLO must be the first message' });
      }
      return;
    }
    try {
      switch (header.type) {
        case MessageType.PUBLISH:
        case MessageType.HISTORY:
        case MessageType.PRESENCE:
          this.#forward(session, header, bytes, start);
          return;
        case MessageType.SUBSCRIBE:
        case MessageType.UNSUBSCRIBE: {
          const kind = checkName(bytes, header.keyStart, header.keyEnd);
          if (kind === NameKind.INVALID) throw new RelayError('BAD_REQUEST', `bad topic or pattern: ${nameProblem()}`);
          const isSubscribe = header.type === MessageType.SUBSCRIBE;
          if (isSubscribe) this.#checkSubscriptionCount(session, header, bytes);
          if (kind === NameKind.PATTERN) this.#patternCommand(session, header, bytes, start, isSubscribe);
          else this.#forward(session, header, bytes, start);
          if (isSubscribe) session.subscribesPending++;
          return;
        }
        case MessageType.PING:
          // BigInt: an integer on the wire, not a float.
          if (header.id !== 0)
            this.#reply(session, MessageType.OK, header.id, { timeUs: BigInt(Math.round(this.#clock.nowMs() * 1_000)) });
          return;
        case MessageType.HELLO:
          throw new RelayError('CONFLICT', 'HELLO was said already');
        default:
          throw new RelayError(
            'BAD_REQUEST',
            spec?.sender === 'relay' ? `${spec.name} is the relay's to send` : `${spec?.name} is not supported`,
          );
      }
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      this.#sendError(session, header.id, error);
    }
  }

  #hello(session: Session, header: MessageHeader, bytes: Uint8Array): void {
    try {
      const options = helloOptions(decodeOptions(bytes, header.bodyStart, header.end));
      if (options.version !== PROTOCOL_VERSION) {
        const facts = { version: options.version, supported: PROTOCOL_VERSION };
        this.#sendError(session, header.id, new RelayError('BAD_REQUEST', 'unsupported protocol version', facts));
        return this.#close(session, 'UNSUPPORTED_VERSION', facts);
      }
      session.client = options.client;
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      this.#sendError(session, header.id, error);
      return this.#close(session, 'MALFORMED', { problem: error.message });
    }
    session.id = randomId(16);
    session.state = OPEN;
    const { messageBytesMax, payloadBytesMax, subscriptionsMax, sendQueueBytesMax, pingIntervalMs, reconnectJitterMs } =
      this.#options;
    const limits = { messageBytesMax, payloadBytesMax, subscriptionsMax, sendQueueBytesMax };
    if (header.id !== 0) {
      const greeting = {
        session: session.id,
        version: PROTOCOL_VERSION,
        limits,
        pingIntervalMs,
        reconnectJitterMs,
        features: FEATURES,
      };
      this.#reply(session, MessageType.OK, header.id, greeting);
    }
    // It was let in just before the drain began: it leaves with the others.
    if (this.#drain !== null && !session.internal) this.#sendHome(session, this.#drain, spread(session.number));
  }

  /** Hot. */
  #forward(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    const hash = hashBytes(bytes, header.keyStart, header.keyEnd);
    const lane = laneIndexOf(hash, this.#lanes.count);
    this.#introduce(session, lane);
    if (!this.#lanes.tryWrite(lane, IngressKind.COMMAND, session.number, hash, bytes, start, header.end))
      this.#refuseOverloaded(lane);
    this.metrics.commandsForwarded++;
  }

  #patternCommand(session: Session, header: MessageHeader, bytes: Uint8Array, start: number, isSubscribe: boolean): void {
    const name = TEXT.decode(bytes.subarray(header.keyStart, header.keyEnd));
    if (isSubscribe) {
      checkPatternOptions(subscribeOptions(decodeOptions(bytes, header.bodyStart, header.end), this.#options.presenceBytesMax));
    }
    const sub = isSubscribe ? this.#patterns.enter(name, session.number) : this.#patterns.find(name, session.number);
    if (sub === 0) throw new RelayError('NOT_FOUND', 'not subscribed', { pattern: name });
    const joined = this.#hub.findMember(session, sub) !== undefined;
    for (let lane = 0; lane < this.#lanes.count; lane++) this.#introduce(session, lane);
    if (!this.#lanes.allHaveRoom(COMMAND_HEAD_BYTES + header.end - start)) {
      if (isSubscribe && !joined) this.#patterns.leave(sub, session.number);
      this.#refuseOverloaded(-1);
    }
    this.#patterns.expect(sub, session.number, !isSubscribe);
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      this.#lanes.tryWrite(lane, IngressKind.PATTERN_COMMAND, session.number, sub, bytes, start, header.end);
    }
    this.metrics.commandsForwarded++;
  }

  #refuseOverloaded(lane: number): never {
    this.metrics.laneIngressFull++;
    throw new RelayError('OVERLOADED', undefined, { lane, retryAfterMs: this.#options.retryAfterMs });
  }

  #checkSubscriptionCount(session: Session, header: MessageHeader, bytes: Uint8Array): void {
    const { subscriptionsMax } = this.#options;
    if (session.members.length + session.subscribesPending < subscriptionsMax || this.#hub.isIn(session, bytes, header)) return;
    this.metrics.subscriptionsRefused++;
    throw new RelayError('LIMIT', 'the session has all the subscriptions it may have', { subscriptionsMax });
  }

  /** Tells a lane of a session before its first command there. */
  #introduce(session: Session, lane: number): void {
    if ((session.lanesKnown & (1 << lane)) !== 0) return;
    session.lanesKnown |= 1 << lane;
    this.#lanes.write(
      lane,
      IngressKind.SESSION_OPEN,
      withNumbers(session.number, null, pack({ id: session.id, client: session.client })),
    );
  }

  /** What is no message of the protocol. False: the framing is lost, the connection ends. */
  #onFault(session: Session, header: MessageHeader): boolean {
    this.metrics.messagesMalformed++;
    const framing = header.fault === HeaderFault.FRAMING;
    const problem = framing ? describeSkipFault(header.skipFault) : describeHeaderFault(header);
    this.#sendError(session, framing ? 0 : header.id, new RelayError('BAD_REQUEST', problem));
    if (!framing && session.state.name !== 'greeting') return true;
    this.#close(session, 'MALFORMED', { problem });
    return false;
  }

  #sendError(session: Session, id: number, error: RelayError): void {
    this.#hub.sendNow(session, this.#errorFrame(id, error));
  }

  #errorFrame(id: number, error: RelayError): Uint8Array {
    this.metrics.errorsSent++;
    const facts = Object.keys(error.facts).length === 0 ? null : error.facts;
    return packMessage(MessageType.ERROR, id, WIRE_ERRORS[error.codeName].code, error.message, facts);
  }

  #reply(session: Session, type: number, id: number, ...rest: readonly unknown[]): void {
    this.#hub.sendNow(session, packMessage(type, id, ...rest));
  }

  // ---- records of the lanes (LaneEvents)

  onRecord(lane: number, kind: number, bytes: Uint8Array, view: DataView, start: number, length: number): void {
    const end = start + length;
    switch (kind) {
      case EgressKind.FANOUT:
        this.#hub.fanout(
          bytes.subarray(start + FANOUT_HEAD_BYTES, end),
          view.getUint32(start, true),
          view.getUint32(start + 4, true),
          view.getUint32(start + 8, true),
        );
        return;
      case EgressKind.SEND: {
        const session = this.#sessions.get(view.getUint32(start, true));
        if (session === undefined) return;
        if ((view.getUint32(start + 4, true) & SendFlag.SUBSCRIBE_FAILED) !== 0) this.#subscribeAnswered(session);
        if (session.isLive) this.#hub.send(session, bytes.subarray(start + SEND_HEAD_BYTES, end));
        return;
      }
      case EgressKind.JOIN:
        this.#onJoin(lane, bytes, view, start, end);
        return;
      case EgressKind.LEAVE: {
        const session = this.#sessions.get(view.getUint32(start, true));
        const sub = view.getUint32(start + 4, true);
        if (session === undefined || !session.isLive) return;
        if (this.#isPatternSub(sub)) {
          if (!this.#patterns.answered(sub, session.number, lane)) return;
          this.#patterns.leave(sub, session.number);
        }
        const frame = bytes.subarray(start + LEAVE_HEAD_BYTES, end);
        if (this.#hub.leave(session, sub)) {
          if (frame.length > 0) this.#hub.send(session, frame);
        } else {
          readHeader(frame, 0, frame.length, this.#header); // Of a pattern, behind another UNSUBSCRIBE.
          this.#hub.send(
            session,
            this.#errorFrame(frame.length > 0 ? this.#header.id : 0, new RelayError('NOT_FOUND', 'not subscribed')),
          );
        }
        return;
      }
      case EgressKind.CLOSE: {
        const session = this.#sessions.get(view.getUint32(start, true));
        const code = view.getUint32(start + 4, true);
        const name = (Object.keys(CLOSE_CODES) as CloseCodeName[]).find((candidate) => CLOSE_CODES[candidate].code === code);
        const problem = TEXT.decode(bytes.slice(start + CLOSE_HEAD_BYTES, end));
        if (session !== undefined) this.#close(session, name ?? 'STATE_LOST', { problem });
        return;
      }
    }
  }

  onBatchEnd(): void {
    this.#hub.endDrain();
    this.#lanes.flush(); // Resumes and session closes that the drain led to.
  }

  #onJoin(lane: number, bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const session = this.#sessions.get(view.getUint32(start, true));
    const sub = view.getUint32(start + 4, true);
    const flags = view.getUint32(start + 8, true);
    const topicStart = start + JOIN_HEAD_BYTES;
    const restoreStart = topicStart + view.getUint32(start + 12, true);
    const frameStart = restoreStart + view.getUint32(start + 16, true);
    this.#replay.noteSub(lane, sub);
    if (session === undefined || !session.isLive) return;
    const restore = frameStart === restoreStart ? EMPTY : bytes.slice(restoreStart, frameStart);
    if ((flags & JoinFlag.RESUMED) !== 0) return this.#onResumed(session, sub, flags, restore);
    if ((flags & JoinFlag.PATTERN) !== 0 && !this.#patterns.answered(sub, session.number, lane)) return;
    readHeader(bytes, frameStart, end, this.#header); // Id 0 where no answer was wanted.
    this.#lastJoined[lane] = `${session.number}:${this.#header.id}`;
    const topic = TEXT.decode(bytes.slice(topicStart, restoreStart));
    if (end > frameStart) this.#nameHeldBack(session, sub, bytes.slice(frameStart, end));
    this.#hub.join(session, sub, topic, lane, flags, restore);
    if (end > frameStart) this.#hub.send(session, bytes.subarray(frameStart, end));
    this.#subscribeAnswered(session);
  }

  #subscribeAnswered(session: Session): void {
    session.subscribesPending--;
    if (session.subscribesPending === 0 && session.queue === null) this.#hub.resumePaused(session);
  }

  /** Joined again while messages were held back, and not from a position: they will not come, which is said in front of the OK. */
  #nameHeldBack(session: Session, sub: number, ok: Uint8Array): void {
    const after = this.#hub.findMember(session, sub)?.pausedAfter ?? -1;
    if (after < 0) return;
    const { epoch, offset, recovered } = (
      unpack(ok) as [number, number, { epoch: string; offset: number; recovered?: boolean }]
    )[2];
    if (recovered !== undefined || offset <= after) return;
    const data = { from: after + 1, to: offset, reason: 'RESUBSCRIBED', epoch, offset };
    this.#hub.send(session, pack([MessageType.EVENT, sub, null, 'lost', data]));
  }

  #resume(member: Member): void {
    // A SUBSCRIBE that is under way may be for the same topic: a RESUME behind it would replay what its OK has left behind. Asked again then.
    if (member.session.subscribesPending > 0) return;
    member.resuming = true;
    const { topic, lane } = member.subscription;
    this.#replay.writeResume(lane, member.session.number, topic, member.pausedAfter);
  }

  #onResumed(session: Session, sub: number, flags: number, reached: Uint8Array): void {
    const member = this.#hub.findMember(session, sub);
    if (member === undefined || !member.resuming) return;
    member.resuming = false;
    if ((flags & JoinFlag.MORE) === 0) {
      member.pausedAfter = -1;
      return;
    }
    member.pausedAfter = new DataView(reached.buffer, reached.byteOffset).getFloat64(0, true);
    // Otherwise onDrain asks for the next chunk, once the socket has taken this one.
    if (session.queue === null) this.#resume(member);
  }

  // ---- a lane is replaced

  nextSub(lane: number): number {
    return this.#replay.nextSub(lane);
  }

  /** The command may or may not have been done: its sender is told, even without an id. */
  onRecordLost(lane: number, kind: number, bytes: Uint8Array, view: DataView, start: number, length: number): void {
    if (kind !== IngressKind.COMMAND && kind !== IngressKind.PATTERN_COMMAND) return;
    const session = this.#sessions.get(view.getUint32(start, true));
    const header = new MessageHeader();
    if (session === undefined || !session.isLive || !readHeader(bytes, start + COMMAND_HEAD_BYTES, start + length, header))
      return;
    this.metrics.commandsLost++;
    if (kind === IngressKind.PATTERN_COMMAND)
      return this.#onPatternLost(session, lane, view.getUint32(start + 4, true), bytes, header, start + length);
    if (header.type === MessageType.SUBSCRIBE) {
      if (this.#lastJoined[lane] === `${session.number}:${header.id}`) return;
      this.#subscribeAnswered(session);
    }
    this.#sendError(
      session,
      header.id,
      new RelayError('LANE_RESTARTED', undefined, { retryAfterMs: this.#options.retryAfterMs }),
    );
  }

  onLaneReplaced(lane: number): void {
    this.metrics.lanesReplaced++;
    this.#lastJoined[lane] = '';
    this.#replay.replay(lane);
    this.#lanes.flush();
  }

  /** What a pattern's command wants, the front knows: the lane's successor is taught it by RESTORE, so the lost command counts as answered. */
  #onPatternLost(session: Session, lane: number, sub: number, bytes: Uint8Array, header: MessageHeader, end: number): void {
    if (!this.#patterns.answered(sub, session.number, lane)) return;
    if (header.type === MessageType.UNSUBSCRIBE) {
      this.#patterns.leave(sub, session.number);
      if (!this.#hub.leave(session, sub)) this.#sendError(session, header.id, new RelayError('NOT_FOUND', 'not subscribed'));
      else if (header.id !== 0) this.#reply(session, MessageType.OK, header.id, null);
      return;
    }
    const { policy, conflateBy, since, last } = subscribeOptions(
      decodeOptions(bytes, header.bodyStart, end),
      this.#options.presenceBytesMax,
    );
    const flags = JoinFlag.PATTERN | (SLOW_CONSUMER_POLICIES.indexOf(policy ?? 'disconnect') << JoinFlag.POLICY_SHIFT);
    const name = TEXT.decode(bytes.slice(header.keyStart, header.keyEnd));
    this.#subscribeAnswered(session);
    this.#hub.join(session, sub, name, lane, flags, conflateBy === null ? EMPTY : pack({ conflateBy }));
    const recovery = since === null && last === 0 ? {} : { recovered: false, reason: 'NO_HISTORY' };
    if (header.id !== 0) this.#reply(session, MessageType.OK, header.id, { sub, epoch: null, offset: 0, ...recovery, replay: 0 });
  }

  #isPatternSub(sub: number): boolean {
    return sub % (this.#lanes.count + 1) === this.#lanes.count;
  }

  /** Ends a session from our side. Its lanes and the hub forget it now; the handshake may take until closeTimeoutMs. */
  #close(session: Session, name: CloseCodeName, facts: ErrorFacts = {}): void {
    const state = session.state.name;
    if (state === 'closing' || state === 'closed') return;
    const { code, text } = CLOSE_CODES[name];
    const abrupt = code >= 4000 && code < 4100;
    session.state = { name: 'closing', deadlineMs: this.#coarseNowMs + this.#options.closeTimeoutMs };
    this.#retire(session, name === 'SLOW_CONSUMER' ? 'disconnect' : 'closed', abrupt);
    session.connection.close(code, closeReason(text, facts));
  }

  #retire(session: Session, reason: 'disconnect' | 'closed', abrupt: boolean): void {
    this.#patterns.forget(session.number);
    this.#hub.leaveAll(session, reason);
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      if ((session.lanesKnown & (1 << lane)) === 0) continue;
      this.#lanes.write(lane, IngressKind.SESSION_CLOSE, withNumbers(session.number, abrupt ? 1 : 0, EMPTY));
    }
    session.lanesKnown = 0;
  }
}
