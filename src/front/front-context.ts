/**
 * What the parts of the front share: its options, lanes, hub and books, and how a session is answered, introduced to a lane and closed.
 *
 * Thread: front only. Made by front.ts, which owns the sessions' life; the other parts read and call.
 */
import type { RelayClock } from '../base/clock.ts';
import { pack, packMessage } from '../protocol/codec.ts';
import { CLOSE_CODES, type CloseCodeName, WIRE_ERRORS } from '../protocol/codes.ts';
import { closeReason, type ErrorFacts, RelayError } from '../protocol/errors.ts';
import type { MessageHeader } from '../protocol/header.ts';
import type { Lanes } from '../protocol/lane-port.ts';
import { IngressKind, withNumbers } from '../protocol/records.ts';
import { MessageType } from '../protocol/types.ts';
import { type FrontLatencies, frontLatencies } from '../telemetry/stages.ts';
import { CallLedger } from './call-ledger.ts';
import type { DropLedger, FrontMetrics } from './front-metrics.ts';
import type { FrontOptions } from './front-options.ts';
import type { Hub } from './hub.ts';
import { LaneQueries } from './lane-queries.ts';
import type { FrontLimits } from './limits/front-limits.ts';
import type { Turns } from './limits/turns.ts';
import { PatternRegistry } from './pattern-registry.ts';
import type { Journal } from './ports.ts';
import { Registrations } from './registrations.ts';
import type { SecurityEvent } from './security-events.ts';
import { CLOSED, type Session } from './session.ts';

const EMPTY = new Uint8Array(0);

export class FrontContext {
  readonly options: FrontOptions;
  readonly clock: RelayClock;
  readonly lanes: Lanes;
  readonly hub: Hub;
  readonly metrics: FrontMetrics;
  readonly ledger: DropLedger;
  readonly journal: Journal;
  readonly sessions = new Map<number, Session>();
  readonly patterns: PatternRegistry;
  readonly calls: CallLedger;
  readonly queries = new LaneQueries();
  readonly latencies: FrontLatencies = frontLatencies();
  readonly registrations: Registrations;
  readonly limits: FrontLimits;
  readonly turns: Turns;
  /** Monotonic time of the last tick: exact enough for timeouts, free to read per message. */
  coarseNowMs: number;
  /** For the audit log; null without one. */
  onSecurity: ((event: SecurityEvent) => void) | null = null;
  /** Stamp of the WebSocket message whose commands are being handled. */
  receivedUs = 0;
  /** Monotonic time of the same; read where rates are configured, which the coarse one would make steps of. */
  receivedMs = 0;

  constructor(
    options: FrontOptions,
    clock: RelayClock,
    lanes: Lanes,
    hub: Hub,
    journal: Journal,
    metrics: FrontMetrics,
    ledger: DropLedger,
    limits: FrontLimits,
    turns: Turns,
  ) {
    this.options = options;
    this.clock = clock;
    this.lanes = lanes;
    this.hub = hub;
    this.journal = journal;
    this.metrics = metrics;
    this.ledger = ledger;
    this.limits = limits;
    this.turns = turns;
    this.patterns = new PatternRegistry(lanes.count);
    this.calls = new CallLedger();
    this.registrations = new Registrations(lanes.count);
    this.coarseNowMs = clock.monotonicMs();
  }

  // ---- answers

  sendError(session: Session, id: number, error: RelayError): void {
    if (session.state.name === 'departing') return;
    this.hub.sendNow(session, this.errorFrame(id, error));
  }

  /** A RETURN has no id of its sender's, the call's number would be taken for one: the details name the call. */
  sendCommandError(session: Session, { type, id }: MessageHeader, error: RelayError): void {
    if (type !== MessageType.RETURN) return this.sendError(session, id, error);
    this.sendError(session, 0, new RelayError(error.codeName, error.text, { callId: id, ...error.facts }));
  }

  errorFrame(id: number, error: RelayError): Uint8Array {
    this.metrics.errorsSent++;
    const facts = Object.keys(error.facts).length === 0 ? null : error.facts;
    return packMessage(MessageType.ERROR, id, WIRE_ERRORS[error.codeName].code, error.message, facts);
  }

  reply(session: Session, type: number, id: number, ...rest: readonly unknown[]): void {
    if (session.state.name === 'departing') return;
    this.hub.sendNow(session, packMessage(type, id, ...rest));
  }

  /** A subscription ends because the right to it was taken away. */
  sendLost(session: Session, sub: number): void {
    const data = { from: null, to: null, reason: 'FORBIDDEN', epoch: null, offset: 0 };
    this.hub.sendNow(session, pack([MessageType.EVENT, sub, null, 'lost', data]));
  }

  /** `lane`: null where all of them must have room. */
  refuseOverloaded(lane: number | null): never {
    this.metrics.laneIngressFull++;
    const { retryAfterMs } = this.options;
    throw new RelayError('OVERLOADED', undefined, lane === null ? { retryAfterMs } : { lane, retryAfterMs });
  }

  laneRestarted(): RelayError {
    return new RelayError('LANE_RESTARTED', undefined, { retryAfterMs: this.options.retryAfterMs });
  }

  // ---- sessions and lanes

  /** Tells a lane of a session before its first command there. */
  introduce(session: Session, lane: number): void {
    if ((session.lanesKnown & (1 << lane)) !== 0) return;
    session.lanesKnown |= 1 << lane;
    this.lanes.write(lane, IngressKind.SESSION_OPEN, withNumbers(session.number, null, this.#sessionFacts(session)));
  }

  #sessionFacts({ id, name, grants }: Session): Uint8Array {
    return pack(grants === null ? { id, client: name } : { id, client: name, grants: grants.claims });
  }

  /** Ends a session from our side. Its lanes and the hub forget it now; the handshake may take until closeTimeoutMs. */
  close(session: Session, name: CloseCodeName, facts: ErrorFacts = {}): void {
    const state = session.state.name;
    if (state === 'closing' || state === 'closed') return;
    const { code, text } = CLOSE_CODES[name];
    const abrupt = code >= 4000 && code < 4100;
    if (state === 'departing') return this.end(session, abrupt);
    this.hub.flushBeforeClose(session);
    session.state = { name: 'closing', deadlineMs: this.coarseNowMs + this.options.closeTimeoutMs };
    this.retire(session, name === 'SLOW_CONSUMER' ? 'disconnect' : 'closed', abrupt);
    session.connection.close(code, closeReason(text, facts));
  }

  /** Its connection is gone, and nothing is left to be done for it. `abrupt`: null where everybody has forgotten it before. */
  end(session: Session, abrupt: boolean | null): void {
    session.state = CLOSED;
    this.sessions.delete(session.number);
    if (abrupt !== null) this.retire(session, 'closed', abrupt);
    this.limits.closed(session, this.coarseNowMs);
  }

  /** Everybody forgets the session. `abrupt`: presence keeps its place for the grace time. */
  retire(session: Session, reason: 'disconnect' | 'closed', abrupt: boolean): void {
    this.patterns.forget(session.number);
    this.calls.forget(session.number);
    this.queries.forget(session.number);
    this.registrations.forget(session.number);
    this.turns.forget(session);
    this.hub.leaveAll(session, reason);
    for (let lane = 0; lane < this.lanes.count; lane++) {
      if ((session.lanesKnown & (1 << lane)) === 0) continue;
      this.lanes.write(lane, IngressKind.SESSION_CLOSE, withNumbers(session.number, abrupt ? 1 : 0, EMPTY));
    }
    session.lanesKnown = 0;
  }
}
