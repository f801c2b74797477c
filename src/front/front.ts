/**
 * The front: sessions from connect to close. What they command goes to lanes by command-router.ts, what lanes record comes back by lane-records.ts.
 *
 * Thread: the main thread. It reads `[type, id, key]` of a command and never decodes the rest; order, history and rights are the lanes'.
 * Nothing here waits: what does not fit into a ring is refused with a code, what does not fit into a socket is the hub's.
 */
import { elapsedUs, type RelayClock } from '../base/clock.ts';
import { spread } from '../base/hash.ts';
import { randomId } from '../base/ids.ts';
import { pack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import { describeHeaderFault, HeaderFault, MessageHeader, scanMessage } from '../protocol/header.ts';
import type { LaneEvents, Lanes } from '../protocol/lane-port.ts';
import { decodeOptions, helloOptions } from '../protocol/options.ts';
import { describeSkipFault } from '../protocol/skip.ts';
import { MessageType, PROTOCOL_VERSION, SPEC_BY_TYPE } from '../protocol/types.ts';
import type { FrontLatencies } from '../telemetry/stages.ts';
import { type Admission, AdmissionGate } from './admission.ts';
import { CommandRouter } from './command-router.ts';
import { FrontContext } from './front-context.ts';
import { DropLedger, FrontMetrics } from './front-metrics.ts';
import type { DrainPlan, FrontOptions } from './front-options.ts';
import { Hub, type Member } from './hub.ts';
import { LaneAgents } from './lane-agents.ts';
import { LaneRecords } from './lane-records.ts';
import { FrontLimits } from './limits/front-limits.ts';
import type { HeldMessages } from './limits/held-messages.ts';
import type { LoadChange, LoadSample } from './limits/load-shedding.ts';
import { Offences } from './limits/offences.ts';
import { Turns } from './limits/turns.ts';
import { MemoryJournal } from './memory-journal.ts';
import { PatternCommands } from './pattern-commands.ts';
import type { Connection, Identity, Journal } from './ports.ts';
import type { SecurityEvent } from './security-events.ts';
import { LEAVING, OPEN, Session } from './session.ts';
import { expiryOf, type FrontSecurity, SessionSecurity } from './session-security.ts';

const FEATURES = ['history', 'presence', 'patterns', 'idempotency', 'groups', 'services', 'workflows'];

/** For a log that wants every connection. */
export type SessionEvent =
  | { readonly kind: 'opened'; readonly session: number; readonly address: string }
  | { readonly kind: 'closed'; readonly session: number; readonly client: string; readonly code: number };

/** A connection for which something waits. */
export interface SlowSession {
  readonly session: number;
  readonly client: string;
  readonly queuedBytes: number;
  /** Since when anything waits. */
  readonly lagMs: number;
  readonly subscriptions: number;
  /** Of its subscriptions, each once. */
  readonly policy: string;
}

/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

/** Sessions whose timeouts one tick looks at, at least; and ticks in which all are looked at. */
const SESSIONS_PER_TICK_MIN = 1_000;
const TICKS_PER_ROUND = 10;
/** Between turns in which what waits is handled. */
const SERVING_INTERVAL_MS = 1;
/** What a message that is none counts for: it costs an answer, and brings nothing. */
const MALFORMED_COMMANDS = 2;

export class Front {
  readonly metrics = new FrontMetrics();
  readonly ledger = new DropLedger();
  /** Asked for by a log at level debug; null otherwise, since an address costs more than a small send. */
  onSession: ((event: SessionEvent) => void) | null = null;
  /** The relay begins or ceases to refuse new work. */
  onLoadChange: ((change: LoadChange) => void) | null = null;
  /** What clients may do, and have done: metrics and the HTTP gateway look at it. */
  readonly limits: FrontLimits;
  /** Nobody new may come in, since nothing could be written down about it. Set by app/. */
  isAuditBlocked: () => boolean = () => false;
  readonly #front: FrontContext;
  readonly #security: SessionSecurity;
  readonly #router: CommandRouter;
  readonly #records: LaneRecords;
  readonly #gate: AdmissionGate;
  readonly #offences: Offences;
  readonly #header = new MessageHeader();
  #connectionCount = 0;
  #nextSession = 1;
  /** Where the next tick goes on; sees sessions that come and go meanwhile. */
  #timeoutRound: Iterator<Session>;
  #drain: (DrainPlan & { readonly endsAtMs: number; readonly done: () => void }) | null = null;

  /** `security`: null for a relay that lets everybody do everything. */
  constructor(
    options: FrontOptions,
    lanes: Lanes,
    clock: RelayClock,
    security: FrontSecurity | null = null,
    journal: Journal = new MemoryJournal(),
  ) {
    const events = {
      onSlowConsumer: (session: Session) => {
        this.metrics.slowConsumersDisconnected++;
        this.#front.close(session, 'SLOW_CONSUMER', {
          queuedBytes: session.queue?.bytes ?? 0,
          sendQueueBytesMax: options.sendQueueBytesMax,
        });
      },
      onResumable: (member: Member) => this.#records.resume(member),
      nowMs: () => this.#front.coarseNowMs,
    };
    const hub = new Hub(options, events, this.metrics, this.ledger);
    this.limits = new FrontLimits(options.limits, options.messageBytesMax, this.metrics, clock.monotonicMs());
    const turns = new Turns(
      { ...options.limits, heldBytesMax: options.heldBytesMax },
      options.schedule ?? ((step) => void setImmediate(step)),
      options.schedule ?? ((step) => void setTimeout(step, SERVING_INTERVAL_MS)),
      () => lanes.isBehind(),
      (session, held) => this.#handleHeld(session, held),
      () => this.#endHandling(),
    );
    this.#front = new FrontContext(options, clock, lanes, hub, journal, this.metrics, this.ledger, this.limits, turns);
    this.#offences = new Offences(this.#front);
    this.#timeoutRound = this.#front.sessions.values();
    this.#security = new SessionSecurity(this.#front, security);
    const patterns = new PatternCommands(this.#front, this.#security);
    this.#router = new CommandRouter(this.#front, patterns, this.#security);
    const agents = new LaneAgents(lanes, options.messageBytesMax, (connection) => this.open(connection, true));
    this.#records = new LaneRecords(this.#front, this.#router, patterns, agents, this.#security, (agent) =>
      this.onClose(agent, 1006),
    );
    this.#gate = new AdmissionGate(options, this.metrics, this.#front.coarseNowMs, this.limits);
  }

  /** Where the lanes' records go. */
  get laneEvents(): LaneEvents {
    return this.#records;
  }

  get connectionCount(): number {
    return this.#connectionCount;
  }
  get subscriptionCount(): number {
    return this.#front.hub.subscriptionCount;
  }
  get callCount(): number {
    return this.#front.calls.count;
  }
  get instanceCount(): number {
    return this.#front.registrations.count;
  }
  /** Connections that read too slowly, those with most that waits first. Walks over all sessions: for people and dashboards, not per message. */
  slowSessions(countMax: number): SlowSession[] {
    const slow: SlowSession[] = [];
    for (const { number, id, client, queue, queuedSinceMs, members } of this.#front.sessions.values()) {
      if (queue === null) continue;
      slow.push({
        session: number,
        client: client ?? id,
        queuedBytes: queue.bytes,
        lagMs: Math.round(this.#front.coarseNowMs - queuedSinceMs),
        subscriptions: members.length,
        policy: [...new Set(members.map(({ policy }) => policy))].join(', '),
      });
    }
    return slow.sort((one, other) => other.queuedBytes - one.queuedBytes || other.lagMs - one.lagMs).slice(0, countMax);
  }

  get latencies(): FrontLatencies {
    return this.#front.latencies;
  }
  /** For the audit log: told of who comes in, who is turned away and why. */
  set onSecurity(listener: ((event: SecurityEvent) => void) | null) {
    this.#front.onSecurity = listener;
  }
  get queryCount(): number {
    return this.#front.queries.count;
  }
  get journal(): Journal {
    return this.#front.journal;
  }
  /** Bytes of clients' messages that wait for their turn, or for a decision. */
  get heldBytes(): number {
    return this.#front.turns.heldBytes;
  }
  get isDraining(): boolean {
    return this.#drain !== null;
  }
  get sessions(): Iterable<Session> {
    return this.#front.sessions.values();
  }

  // ---- connections (called by the transport)

  /** Before the upgrade. `address`: who asks; `upgrading`: upgrades let through that have not opened yet. */
  admit(address = '', upgrading = 0): Admission {
    const nowMs = this.#front.clock.monotonicMs();
    const connectionCount = this.#connectionCount + upgrading;
    return this.#gate.admit(connectionCount, this.isDraining, nowMs, address, this.isAuditBlocked());
  }

  open(connection: Connection, internal = false): Session {
    const nowMs = this.#front.coarseNowMs;
    const { helloTimeoutMs, pingIntervalMs } = this.#front.options;
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
    this.#front.sessions.set(number, session);
    if (!internal) {
      this.#connectionCount++;
      this.metrics.connectionsOpened++;
      this.limits.opened(session, this.#front.clock.monotonicMs());
      this.onSession?.({ kind: 'opened', session: number, address: connection.remoteAddress });
      this.#front.onSecurity?.({
        kind: 'connected',
        session: number,
        address: connection.remoteAddress,
        origin: connection.origin ?? '',
      });
    }
    return session;
  }

  /** Hot. One WebSocket message: one or more relay messages back to back. `bytes` need not outlive the call. */
  onMessage(session: Session, bytes: Uint8Array, isBinary: boolean): void {
    if (session.hasEnded) return;
    session.lastSeenMs = this.#front.coarseNowMs;
    this.metrics.bytesReceived += bytes.length;
    if (!isBinary) return this.#front.close(session, 'TEXT_MESSAGE');
    const { messageBytesMax } = this.#front.options;
    if (bytes.length > messageBytesMax) {
      this.metrics.messagesOversized++;
      return this.#front.close(session, 'OVERSIZED', { bytes: bytes.length, messageBytesMax });
    }
    if (bytes.length === 0) return this.#offences.trifle(session);
    const stampUs = this.#front.clock.stampUs();
    this.#front.turns.enter(session);
    let at = 0;
    if (session.held === null) {
      this.#beginHandling(stampUs);
      at = this.#handle(session, bytes, 0, bytes.length);
      this.#endHandling();
    }
    // Its answers may have been too many for its socket: then it is closed by now.
    if (at < bytes.length && !session.hasEnded) this.#hold(session, bytes, at, stampUs);
  }

  #beginHandling(stampUs: number): void {
    this.#front.receivedUs = stampUs;
    if (this.limits.usesRates) this.#front.receivedMs = this.#front.clock.monotonicMs();
    this.#front.hub.collect();
  }

  #endHandling(): void {
    this.#front.hub.sendCollected();
    this.#front.lanes.flush();
  }

  /** Hot. One relay message of `bytes[at, end)` after the other, as far as the session's turn goes: where it stopped. `end` too where the session has ended. */
  #handle(session: Session, bytes: Uint8Array, at: number, end: number): number {
    const header = this.#header;
    const { turns } = this.#front;
    while (at < end) {
      if (!turns.mayHandle(session)) return at;
      this.metrics.messagesReceived++;
      if (scanMessage(bytes, at, end, header)) {
        const start = at;
        at = header.end; // The command may use the header for others.
        turns.spend(session, 1);
        this.#command(session, header, bytes, start);
        if (session.hasEnded) return end;
      } else {
        at = header.end;
        turns.spend(session, MALFORMED_COMMANDS);
        if (!this.#onFault(session, header)) return end;
      }
    }
    return at;
  }

  /** What was kept, in order, as far as the session's turn goes. */
  #handleHeld(session: Session, held: HeldMessages): void {
    const { turns } = this.#front;
    while (!held.isEmpty && turns.mayHandle(session)) {
      this.#beginHandling(held.firstStampUs);
      const at = this.#handle(session, held.memory, held.firstStart, held.firstEnd);
      if (session.held !== held) return; // It was closed.
      turns.advance(held, at);
    }
    const { state } = session;
    if (held.isEmpty && state.name === 'departing') this.#front.end(session, state.closeCode !== 1000);
  }

  /** For a later turn, or until a decision is there. */
  #hold(session: Session, bytes: Uint8Array, at: number, stampUs: number): void {
    const bound = this.#front.turns.hold(session, bytes, at, bytes.length, stampUs);
    if (bound !== null) return this.#offences.overflow(session, bound);
    this.metrics.messagesDeferred++;
  }

  /** The answer to a ping of ours. */
  onPong(session: Session): void {
    session.lastSeenMs = this.#front.coarseNowMs;
    if (session.pingSentUs === 0) return this.#offences.trifle(session); // Unasked, which is legal.
    this.#front.latencies.clientRoundTrip.record(elapsedUs(session.pingSentUs, this.#front.clock.stampUs()));
    session.pingSentUs = 0;
  }

  /** A ping of the client's; the transport has answered it. */
  onPing(session: Session): void {
    session.lastSeenMs = this.#front.coarseNowMs;
    this.#offences.trifle(session);
  }

  onDrain(session: Session): void {
    this.#front.hub.onDrain(session);
    this.#front.lanes.flush();
  }

  /** The connection is gone; `code` as the WebSocket says it (1006: without a handshake). */
  onClose(session: Session, code: number): void {
    const { name } = session.state;
    if (name === 'closed' || name === 'departing') return;
    if (!session.internal) {
      this.#connectionCount--;
      this.metrics.connectionsClosed++;
      this.onSession?.({ kind: 'closed', session: session.number, client: session.client ?? session.id, code });
      this.#front.onSecurity?.({ kind: 'disconnected', session: session.number, code });
    }
    if (session.isLive && session.held !== null && !session.held.isBlocked) {
      session.state = { name: 'departing', closeCode: code };
      this.#front.hub.leaveAll(session, 'closed');
    } else this.#front.end(session, name === 'closing' ? null : code !== 1000);
    this.#front.lanes.flush();
  }

  // ---- time (called by app/, some ten times a second)

  tick(): void {
    const nowMs = this.#front.clock.monotonicMs();
    this.#front.coarseNowMs = nowMs;
    this.limits.tick(nowMs);
    this.#checkTimeouts(nowMs);
    if (this.#drain !== null) this.#driveDrain(this.#drain, nowMs);
    this.#front.lanes.flush();
  }

  /** How the process fares: from it follows what is refused. */
  sampleLoad(sample: LoadSample): void {
    const change = this.limits.load.sample(sample, this.#front.clock.monotonicMs());
    if (change !== null) this.onLoadChange?.(change);
  }

  /** A share of the sessions per tick, all of them within a second: a walk over 10,000 at once is half a millisecond that every message waits for. */
  #checkTimeouts(nowMs: number): void {
    const { sessions, options } = this.#front;
    const { pingIntervalMs, pongTimeoutMs } = options;
    for (let left = Math.max(SESSIONS_PER_TICK_MIN, Math.ceil(sessions.size / TICKS_PER_ROUND)); left > 0; left--) {
      const next = this.#timeoutRound.next();
      if (next.done === true) {
        this.#timeoutRound = sessions.values();
        return;
      }
      const session = next.value;
      const state = session.state;
      if (state.name === 'greeting' || state.name === 'verifying') {
        if (state.deadlineMs > nowMs || session.internal) continue;
        this.metrics.helloTimeouts++;
        this.#front.close(session, 'NO_HELLO', { helloTimeoutMs: options.helloTimeoutMs });
      } else if (state.name === 'closing') {
        if (state.deadlineMs <= nowMs) session.connection.terminate();
      } else if (!session.internal && state.name !== 'departing') {
        if (session.expiresMs <= nowMs) this.#security.closeExpired(session, nowMs);
        if (!session.isLive) continue;
        if (session.lastSeenMs + pingIntervalMs + pongTimeoutMs <= nowMs) {
          this.metrics.pongTimeouts++;
          this.#front.close(session, 'NO_PONG', { silentMs: Math.round(nowMs - session.lastSeenMs) });
        } else if (session.nextPingMs <= nowMs) {
          session.pingSentUs = this.#front.clock.stampUs() || 1;
          session.connection.ping();
          session.nextPingMs = nowMs + pingIntervalMs;
        }
      }
    }
  }

  // ---- rights that change from outside (called by app/)

  /** Closes the sessions that this is true of with 4505; returns how many there were. */
  revoke(isRevoked: (identity: Identity) => boolean): number {
    return this.#security.revoke(isRevoked);
  }

  // ---- what the HTTP gateway tells of its requests

  noteHttpFailure(address: string, denied: RelayError): void {
    this.metrics.authenticationsFailed++;
    const { codeName: code, text: reason } = denied;
    this.#front.onSecurity?.({ kind: 'authenticationFailed', session: 0, address, code, reason });
  }

  noteHttpDenied(subject: string, right: string, name: string): void {
    this.metrics.denied++;
    this.#front.onSecurity?.({ kind: 'denied', session: 0, subject, right, name });
  }

  // ---- shutdown

  /** Sends every client home in a slot of its own; `done` when all have left or were closed. */
  drain(plan: DrainPlan, done: () => void): void {
    const clients = [...this.#front.sessions.values()].filter((session) => !session.internal);
    this.#drain = { ...plan, endsAtMs: this.#front.clock.monotonicMs() + plan.deadlineMs, done };
    clients.forEach((session, index) => {
      if (session.state.name === 'open') this.#sendHome(session, plan, index / clients.length);
    });
    if (this.#connectionCount === 0) this.#driveDrain(this.#drain, this.#front.clock.monotonicMs());
  }

  /** `slot` in [0, 1): where in the window this client comes back. */
  #sendHome(session: Session, { reason, deadlineMs, windowMs }: DrainPlan, slot: number): void {
    if (!session.isLive) return; // Its socket took not even the answer to HELLO.
    session.state = LEAVING;
    this.#front.hub.sendNow(
      session,
      pack([MessageType.GOAWAY, { reason, deadlineMs, reconnectAfterMs: Math.floor(slot * windowMs) }]),
    );
  }

  #driveDrain(drain: { readonly endsAtMs: number; readonly done: () => void }, nowMs: number): void {
    // Those that have left may have left something to be done.
    const isEmpty = this.#connectionCount === 0 && this.#front.turns.waitingCount === 0;
    if (!isEmpty && nowMs < drain.endsAtMs) return;
    if (isEmpty) {
      drain.done();
      return;
    }
    for (const session of this.#front.sessions.values())
      if (!session.internal && session.state.name !== 'closing') this.#front.close(session, 'SHUTDOWN');
  }

  // ---- commands

  #command(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    const spec = SPEC_BY_TYPE[header.type];
    if (session.state.name === 'greeting') {
      if (header.type === MessageType.HELLO) this.#hello(session, header, bytes);
      else {
        this.#front.sendError(
          session,
          header.id,
          new RelayError('UNAUTHENTICATED', 'HELLO must be the first message', { got: spec?.name ?? '' }),
        );
        this.#front.close(session, 'MALFORMED', { problem: 'HELLO must be the first message' });
      }
      return;
    }
    if (this.limits.usesRates && !session.internal) {
      const bytesOfIt = header.end - start;
      const refusal = this.limits.refusalOf(session, header.type, bytesOfIt, this.#front.receivedMs);
      if (refusal !== null && this.#offences.refuse(session, header, refusal)) return;
    }
    try {
      this.#security.checkExpiry(session, header.type);
      if (header.type === MessageType.SUBSCRIBE && this.#security.isGuarded(session)) this.#ask(session, header, bytes, start);
      else this.#router.route(session, header, bytes, start);
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      this.#front.sendCommandError(session, header, error);
    }
  }

  /** A SUBSCRIBE that somebody outside is asked about. The answer may come late: the command is kept. */
  #ask(session: Session, { id, keyStart, keyEnd, end }: MessageHeader, bytes: Uint8Array, start: number): void {
    const command = bytes.slice(start, end);
    const name = TEXT.decode(bytes.slice(keyStart, keyEnd));
    const route = (): void => {
      const header = new MessageHeader();
      scanMessage(command, 0, command.length, header);
      try {
        this.#router.route(session, header, command, 0);
      } catch (error) {
        if (!(error instanceof RelayError)) throw error;
        this.#front.sendError(session, id, error);
      }
    };
    this.#security.guard(session, name, route, (error) => this.#front.sendError(session, id, error));
  }

  #hello(session: Session, header: MessageHeader, bytes: Uint8Array): void {
    let token: string | null = null;
    try {
      const options = helloOptions(decodeOptions(bytes, header.bodyStart, header.end));
      if (options.version !== PROTOCOL_VERSION) {
        const facts = { version: options.version, supported: PROTOCOL_VERSION };
        this.#front.sendError(session, header.id, new RelayError('BAD_REQUEST', 'unsupported protocol version', facts));
        return this.#front.close(session, 'UNSUPPORTED_VERSION', facts);
      }
      session.client = options.client;
      token = options.token;
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      this.#front.sendError(session, header.id, error);
      return this.#front.close(session, 'MALFORMED', { problem: error.message });
    }
    const { id } = header;
    this.#security.identify(session, id, token, () => this.#welcome(session, id));
  }

  #welcome(session: Session, id: number): void {
    session.id = randomId(16);
    session.state = OPEN;
    const { identity } = session;
    const { messageBytesMax, payloadBytesMax, subscriptionsMax, sendQueueBytesMax, pingIntervalMs, reconnectJitterMs } =
      this.#front.options;
    const limits = { messageBytesMax, payloadBytesMax, subscriptionsMax, sendQueueBytesMax };
    if (id !== 0) {
      const greeting = {
        session: session.id,
        version: PROTOCOL_VERSION,
        limits,
        pingIntervalMs,
        reconnectJitterMs,
        features: FEATURES,
        ...(identity === null ? {} : { subject: identity.subject, expiresAtMs: expiryOf(identity) }),
      };
      this.#front.reply(session, MessageType.OK, id, greeting);
    }
    // It was let in just before the drain began: it leaves with the others.
    if (this.#drain !== null && !session.internal) this.#sendHome(session, this.#drain, spread(session.number));
  }

  /** What is no message of the protocol. False: the framing is lost, the connection ends. */
  #onFault(session: Session, header: MessageHeader): boolean {
    this.metrics.messagesMalformed++;
    const framing = header.fault === HeaderFault.FRAMING;
    const problem = framing ? describeSkipFault(header.skipFault) : describeHeaderFault(header);
    this.#front.sendError(session, framing ? 0 : header.id, new RelayError('BAD_REQUEST', problem));
    if (!framing && session.state.name !== 'greeting') return this.#offences.malformed(session);
    this.#front.close(session, 'MALFORMED', { problem });
    return false;
  }
}
