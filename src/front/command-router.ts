/**
 * Commands of open sessions, to the lane that owns what they name.
 *
 * Thread: front only. It reads `[type, id, key]` and never decodes the rest, but for patterns and for what all lanes must be asked.
 * What does not fit into a ring is refused with a code.
 */
import { hashBytes } from '../base/hash.ts';
import { RelayError } from '../protocol/errors.ts';
import type { MessageHeader } from '../protocol/header.ts';
import { checkName, isReserved, NameKind, nameProblem } from '../protocol/names.ts';
import { decodeOptions } from '../protocol/options.ts';
import { placementHash } from '../protocol/placement.ts';
import { COMMAND_HEAD_BYTES, IngressKind } from '../protocol/records.ts';
import { servicesOptions } from '../protocol/service-options.ts';
import { MessageType, SPEC_BY_TYPE } from '../protocol/types.ts';
import { runPatternOptions } from '../protocol/workflow-options.ts';
import type { FrontContext } from './front-context.ts';
import { laneIndexOf } from './lane-replay.ts';
import type { PatternCommands } from './pattern-commands.ts';
import type { Session } from './session.ts';
import type { SessionSecurity } from './session-security.ts';

/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export class CommandRouter {
  readonly #front: FrontContext;
  readonly #patterns: PatternCommands;
  readonly #security: SessionSecurity;

  constructor(front: FrontContext, patterns: PatternCommands, security: SessionSecurity) {
    this.#front = front;
    this.#patterns = patterns;
    this.#security = security;
  }

  /** The message at `bytes[start, header.end)`, proven well formed. Throws a RelayError for what is to be answered with one. */
  route(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    switch (header.type) {
      case MessageType.PUBLISH:
      case MessageType.HISTORY:
      case MessageType.PRESENCE:
      case MessageType.ACK:
        this.#forward(session, header, bytes, start);
        return;
      case MessageType.SUBSCRIBE:
      case MessageType.UNSUBSCRIBE: {
        const kind = this.#nameKind(header, bytes);
        const isSubscribe = header.type === MessageType.SUBSCRIBE;
        if (isSubscribe) this.#checkSubscriptionCount(session, header, bytes);
        if (kind === NameKind.PATTERN) this.#patterns.forward(session, header, bytes, start);
        else this.#forward(session, header, bytes, start);
        if (isSubscribe) {
          session.subscribesPending++;
          session.limits?.countSubscriptions(1);
        }
        return;
      }
      case MessageType.CALL:
        if (this.#front.limits.options.shedding.calls) this.#shed(session);
        this.#call(session, header, bytes, start);
        return;
      case MessageType.START:
        this.#shed(session);
        this.#nameOnly(header, bytes);
        this.#forward(session, header, bytes, start);
        return;
      case MessageType.CANCEL:
      case MessageType.CREDIT:
      case MessageType.REGISTER:
      case MessageType.DEREGISTER:
      case MessageType.HEARTBEAT:
      case MessageType.DEFINE:
        this.#nameOnly(header, bytes);
        this.#forward(session, header, bytes, start);
        return;
      case MessageType.RETURN:
        // A call's number says which lane holds it.
        this.#forwardTo(header.id % this.#front.lanes.count, 0, session, header, bytes, start);
        return;
      case MessageType.SERVICES:
        this.#query(session, header, bytes, start, 'services');
        return;
      case MessageType.RUN:
        if (this.#nameKind(header, bytes) === NameKind.PATTERN)
          this.#query(
            session,
            header,
            bytes,
            start,
            'runs',
            runPatternOptions(decodeOptions(bytes, header.bodyStart, header.end)).limit,
          );
        else this.#forward(session, header, bytes, start);
        return;
      case MessageType.PING:
        // BigInt: an integer on the wire, not a float.
        if (header.id !== 0)
          this.#front.reply(session, MessageType.OK, header.id, {
            timeUs: BigInt(Math.round(this.#front.clock.nowMs() * 1_000)),
          });
        return;
      case MessageType.REFRESH:
        this.#security.refresh(session, header, bytes);
        return;
      case MessageType.HELLO:
        throw new RelayError('CONFLICT', 'HELLO was said already');
      default: {
        const spec = SPEC_BY_TYPE[header.type];
        throw new RelayError(
          'BAD_REQUEST',
          spec?.sender === 'relay' ? `${spec.name} is the relay's to send` : `${spec?.name} is not supported`,
        );
      }
    }
  }

  /** Hot. */
  #forward(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    const hash = hashBytes(bytes, header.keyStart, header.keyEnd);
    const lane = laneIndexOf(placementHash(bytes, header.keyStart, header.keyEnd, hash), this.#front.lanes.count);
    this.#forwardTo(lane, hash, session, header, bytes, start);
  }

  /** Hot. */
  #forwardTo(lane: number, hash: number, session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    const front = this.#front;
    const { lanes } = front;
    front.introduce(session, lane);
    // A refused RETURN is work thrown away, and done again when its call has run out of time; a lane's own command is one that it waits for.
    const isTaken =
      header.type === MessageType.RETURN || session.isAgent
        ? lanes.tryWriteOrKeep(lane, IngressKind.COMMAND, session.number, hash, front.receivedUs, bytes, start, header.end)
        : lanes.tryWrite(lane, IngressKind.COMMAND, session.number, hash, front.receivedUs, bytes, start, header.end);
    if (!isTaken) front.refuseOverloaded(lane);
    front.metrics.commandsForwarded++;
  }

  #call(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    this.#nameOnly(header, bytes);
    const { calls, options, lanes, metrics } = this.#front;
    if (header.id === 0) return this.#forward(session, header, bytes, start);
    if (!session.internal && calls.countOf(session.number) >= options.callsPendingMax) {
      metrics.callsRefused++;
      throw new RelayError('LIMIT', 'the session has all the calls in flight that it may have', {
        callsPendingMax: options.callsPendingMax,
      });
    }
    const hash = hashBytes(bytes, header.keyStart, header.keyEnd);
    const lane = laneIndexOf(hash, lanes.count);
    if (!calls.begin(session.number, header.id, lane)) throw new RelayError('CONFLICT', 'a call of that id is in flight');
    try {
      this.#forwardTo(lane, hash, session, header, bytes, start);
    } catch (error) {
      calls.end(session.number, header.id);
      throw error;
    }
  }

  /** To every lane for its part of the answer; what names one thing is asked of its lane all the same, so that there is one form of answer. */
  #query(session: Session, header: MessageHeader, bytes: Uint8Array, start: number, field: string, countMax?: number): void {
    this.#nameKind(header, bytes);
    if (session.grants !== null) {
      const right = header.type === MessageType.SERVICES ? 'call' : 'start';
      this.#security.demandAll(session, right, TEXT.decode(bytes.slice(header.keyStart, header.keyEnd)));
    }
    // Here, because a lane has no way to refuse its part of an answer.
    if (header.type === MessageType.SERVICES) servicesOptions(decodeOptions(bytes, header.bodyStart, header.end));
    const { lanes, queries, metrics } = this.#front;
    if (header.id === 0) throw new RelayError('BAD_REQUEST', `${SPEC_BY_TYPE[header.type]?.name} without an id asks for nothing`);
    for (let lane = 0; lane < lanes.count; lane++) this.#front.introduce(session, lane);
    if (!lanes.allHaveRoom(COMMAND_HEAD_BYTES + header.end - start)) this.#front.refuseOverloaded(null);
    const query = queries.begin(session.number, header.id, field, lanes.count, countMax);
    for (let lane = 0; lane < lanes.count; lane++) {
      lanes.tryWrite(lane, IngressKind.QUERY, session.number, query, this.#front.receivedUs, bytes, start, header.end);
    }
    metrics.commandsForwarded++;
  }

  #nameKind(header: MessageHeader, bytes: Uint8Array): number {
    const kind = checkName(bytes, header.keyStart, header.keyEnd);
    if (kind !== NameKind.INVALID) return kind;
    const { key = 'name' } = SPEC_BY_TYPE[header.type] ?? {};
    const what = key !== 'pattern' ? key : header.type === MessageType.SERVICES ? 'service or pattern' : 'topic or pattern';
    throw new RelayError('BAD_REQUEST', `bad ${what}: ${nameProblem()}`);
  }

  /** Services and workflows have names, no patterns, and none of the relay's own. */
  #nameOnly(header: MessageHeader, bytes: Uint8Array): void {
    if (this.#nameKind(header, bytes) !== NameKind.EXACT)
      throw new RelayError('BAD_REQUEST', `${SPEC_BY_TYPE[header.type]?.name} needs a name, not a pattern`);
    if (isReserved(bytes, header.keyStart)) throw new RelayError('FORBIDDEN', "names that begin with '$' belong to the relay");
  }

  #checkSubscriptionCount(session: Session, header: MessageHeader, bytes: Uint8Array): void {
    const { options, hub, metrics, limits } = this.#front;
    const { subscriptionsMax } = options;
    const { subjectSubscriptionsMax } = limits.options;
    const ofSubject = session.limits?.subject?.subscriptions ?? 0;
    const isSessionFull = session.members.length + session.subscribesPending >= subscriptionsMax;
    const isSubjectFull = subjectSubscriptionsMax > 0 && ofSubject >= subjectSubscriptionsMax;
    // What it has already takes nothing more, whatever is full.
    if ((!isSessionFull && !isSubjectFull && limits.load.level < 2) || hub.isIn(session, bytes, header)) return;
    this.#shed(session);
    if (isSessionFull) {
      metrics.subscriptionsRefused++;
      throw new RelayError('LIMIT', 'the session has all the subscriptions it may have', { subscriptionsMax });
    }
    if (!isSubjectFull) return; // One of the relay's own sessions.
    metrics.subjectSubscriptionsRefused++;
    throw new RelayError('LIMIT', 'the subject has all the subscriptions it may have', { subjectSubscriptionsMax });
  }

  /** New work while the relay has too much of it; its own parts go on. */
  #shed(session: Session): void {
    const { limits, metrics } = this.#front;
    if (limits.load.level < 2 || session.internal) return;
    metrics.commandsShed++;
    const { retryAfterMs } = limits.options.shedding;
    throw new RelayError('OVERLOADED', 'the relay takes nothing new now', { retryAfterMs });
  }
}
