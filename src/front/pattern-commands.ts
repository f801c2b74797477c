/**
 * Commands for patterns: they go to every lane and are answered once, with the last lane's record.
 *
 * Thread: front only. The front checks name and options, because all lanes must take the command alike.
 */
import { pack } from '../protocol/codec.ts';
import { RelayError } from '../protocol/errors.ts';
import type { MessageHeader } from '../protocol/header.ts';
import { checkPatternOptions, decodeOptions, subscribeOptions } from '../protocol/options.ts';
import { COMMAND_HEAD_BYTES, IngressKind, JoinFlag } from '../protocol/records.ts';
import { MessageType, SLOW_CONSUMER_POLICIES } from '../protocol/types.ts';
import type { FrontContext } from './front-context.ts';
import type { Session } from './session.ts';
import type { SessionSecurity } from './session-security.ts';

const EMPTY = new Uint8Array(0);
/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export class PatternCommands {
  readonly #front: FrontContext;
  readonly #security: SessionSecurity;

  constructor(front: FrontContext, security: SessionSecurity) {
    this.#front = front;
    this.#security = security;
  }

  /** Is this number one of a pattern? Lanes use the residues below the lane count, patterns the last one. */
  isPatternSub(sub: number): boolean {
    const { count } = this.#front.lanes;
    return sub % (count + 1) === count;
  }

  /** SUBSCRIBE or UNSUBSCRIBE to every lane. */
  forward(session: Session, header: MessageHeader, bytes: Uint8Array, start: number): void {
    const { lanes, hub, patterns, options, metrics } = this.#front;
    const isSubscribe = header.type === MessageType.SUBSCRIBE;
    const name = TEXT.decode(bytes.subarray(header.keyStart, header.keyEnd));
    if (isSubscribe) {
      this.#security.demandAll(session, 'sub', name);
      checkPatternOptions(subscribeOptions(decodeOptions(bytes, header.bodyStart, header.end), options.presenceBytesMax));
    }
    const sub = isSubscribe ? patterns.enter(name, session.number) : patterns.find(name, session.number);
    if (sub === 0) throw new RelayError('NOT_FOUND', 'not subscribed', { pattern: name });
    const joined = hub.findMember(session, sub) !== undefined;
    for (let lane = 0; lane < lanes.count; lane++) this.#front.introduce(session, lane);
    if (!lanes.allHaveRoom(COMMAND_HEAD_BYTES + header.end - start)) {
      if (isSubscribe && !joined) patterns.leave(sub, session.number);
      this.#front.refuseOverloaded(null);
    }
    patterns.expect(sub, session.number, !isSubscribe);
    for (let lane = 0; lane < lanes.count; lane++) {
      lanes.tryWrite(lane, IngressKind.PATTERN_COMMAND, session.number, sub, this.#front.receivedUs, bytes, start, header.end);
    }
    metrics.commandsForwarded++;
  }

  /** Its rights have changed while it was joining; the lanes have left it again by themselves. Answers the SUBSCRIBE. */
  isForbidden(session: Session, sub: number, id: number, name: string): boolean {
    if (session.grants === null || session.grants.mayRead('sub', name)) return false;
    this.#front.patterns.leave(sub, session.number);
    this.#security.tellDenied(session, 'sub', name);
    this.#front.sendError(session, id, new RelayError('FORBIDDEN', undefined, { right: 'sub', name }));
    return true;
  }

  /** A lane has answered an UNSUBSCRIBE. True: it was the last one, the session leaves. */
  left(session: Session, sub: number, lane: number): boolean {
    if (!this.#front.patterns.answered(sub, session.number, lane)) return false;
    this.#front.patterns.leave(sub, session.number);
    return true;
  }

  /**
   * The lane died with the command. What it wants, the front knows: the lane's successor is taught it by RESTORE, so the lost command counts as
   * answered. True: a SUBSCRIBE is answered now.
   */
  lost(session: Session, lane: number, sub: number, bytes: Uint8Array, header: MessageHeader, end: number): boolean {
    const { hub, patterns, options } = this.#front;
    if (!patterns.answered(sub, session.number, lane)) return false;
    if (header.type === MessageType.UNSUBSCRIBE) {
      patterns.leave(sub, session.number);
      if (!hub.leave(session, sub)) this.#front.sendError(session, header.id, new RelayError('NOT_FOUND', 'not subscribed'));
      else if (header.id !== 0) this.#front.reply(session, MessageType.OK, header.id, null);
      return false;
    }
    const { policy, conflateBy, since, last } = subscribeOptions(
      decodeOptions(bytes, header.bodyStart, end),
      options.presenceBytesMax,
    );
    const flags = JoinFlag.PATTERN | (SLOW_CONSUMER_POLICIES.indexOf(policy ?? 'disconnect') << JoinFlag.POLICY_SHIFT);
    const name = TEXT.decode(bytes.slice(header.keyStart, header.keyEnd));
    if (this.isForbidden(session, sub, header.id, name)) return true;
    hub.join(session, sub, name, lane, flags, conflateBy === null ? EMPTY : pack({ conflateBy }));
    const recovery = since === null && last === 0 ? {} : { recovered: false, reason: 'NO_HISTORY' };
    if (header.id !== 0)
      this.#front.reply(session, MessageType.OK, header.id, { sub, epoch: null, offset: 0, ...recovery, replay: 0 });
    return true;
  }
}
