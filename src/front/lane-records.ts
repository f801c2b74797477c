/**
 * Records of the lanes, to sessions and to the front's books; and what is to be done when a lane dies.
 *
 * Thread: front only. Called by pool/ in drains: nothing here may call back into a drain.
 */
import { elapsedUs } from '../base/clock.ts';
import { pack, unpack } from '../protocol/codec.ts';
import { CLOSE_CODES, type CloseCodeName } from '../protocol/codes.ts';
import { RelayError } from '../protocol/errors.ts';
import { describeHeaderFault, HeaderFault, MessageHeader, readHeader, scanMessage } from '../protocol/header.ts';
import type { LaneEvents } from '../protocol/lane-port.ts';
import {
  CLOSE_HEAD_BYTES,
  COMMAND_HEAD_BYTES,
  EgressKind,
  FANOUT_HEAD_BYTES,
  IngressKind,
  JOIN_HEAD_BYTES,
  JoinFlag,
  JournalOp,
  LEAVE_HEAD_BYTES,
  PAIR_HEAD_BYTES,
  SEND_HEAD_BYTES,
  SendFlag,
} from '../protocol/records.ts';
import { describeSkipFault } from '../protocol/skip.ts';
import { MessageType } from '../protocol/types.ts';
import type { CommandRouter } from './command-router.ts';
import type { FrontContext } from './front-context.ts';
import type { Member } from './hub.ts';
import type { LaneAgents } from './lane-agents.ts';
import { LaneReplay } from './lane-replay.ts';
import type { PatternCommands } from './pattern-commands.ts';
import type { Session } from './session.ts';
import type { SessionSecurity } from './session-security.ts';

const EMPTY = new Uint8Array(0);
/** A short list keeps its length from drain to drain. */
const ORIGINS_KEPT_MAX = 4_096;
/** Commands that lead to more than their answer, behind it: replays, calls, steps. */
const ANSWERED_FIRST: readonly number[] = [MessageType.SUBSCRIBE, MessageType.REGISTER, MessageType.HEARTBEAT, MessageType.START];
/** A name may begin with U+FEFF: it is a character like any other, or two topics would go by one name. */
const TEXT = new TextDecoder('utf-8', { ignoreBOM: true });

export class LaneRecords implements LaneEvents {
  readonly #front: FrontContext;
  readonly #router: CommandRouter;
  readonly #patterns: PatternCommands;
  readonly #agents: LaneAgents;
  readonly #security: SessionSecurity;
  readonly #closeAgent: (agent: Session) => void;
  readonly #replay: LaneReplay;
  readonly #header = new MessageHeader();
  /** By lane, `session:id` of the newest command that was answered before it was done: if the lane dies in the rest, it is not answered again. */
  readonly #lastAnswered: string[] = [];
  /** Of the drain under way: when it began, its records, those that a PROGRESS has covered, and the stamps of the publishes in it. */
  #drainUs = 0;
  #recordCount = 0;
  #progressCount = 0;
  readonly #origins: number[] = [];
  #originCount = 0;

  constructor(
    front: FrontContext,
    router: CommandRouter,
    patterns: PatternCommands,
    agents: LaneAgents,
    security: SessionSecurity,
    closeAgent: (agent: Session) => void,
  ) {
    this.#front = front;
    this.#router = router;
    this.#patterns = patterns;
    this.#agents = agents;
    this.#security = security;
    this.#closeAgent = closeAgent;
    this.#replay = new LaneReplay(front);
  }

  onRecord(lane: number, kind: number, bytes: Uint8Array, view: DataView, start: number, length: number): void {
    const end = start + length;
    if (this.#recordCount === 0) this.#beginDrain();
    this.#recordCount++;
    switch (kind) {
      case EgressKind.FANOUT: {
        const stampUs = view.getUint32(start + 12, true);
        if (stampUs !== 0) this.#origins[this.#originCount++] = stampUs;
        this.#front.hub.fanout(
          bytes.subarray(start + FANOUT_HEAD_BYTES, end),
          view.getUint32(start, true),
          view.getUint32(start + 4, true),
          view.getUint32(start + 8, true),
        );
        return;
      }
      case EgressKind.SEND: {
        const session = this.#front.sessions.get(view.getUint32(start, true));
        if (session === undefined) return;
        const flags = view.getUint32(start + 4, true);
        if ((flags & SendFlag.DENIED) !== 0) this.#noteDenied(session, bytes.slice(start + SEND_HEAD_BYTES, end));
        if ((flags & SendFlag.SUBSCRIBE_FAILED) !== 0) this.#subscribeAnswered(session);
        // A call that is no longer in flight was answered for its lane when that died.
        if ((flags & SendFlag.GOES_ON) !== 0) this.#noteAnswered(lane, session, bytes, start + SEND_HEAD_BYTES, end);
        if ((flags & SendFlag.CALL_DONE) !== 0 && !this.#callDone(session, bytes, start + SEND_HEAD_BYTES, end)) return;
        if (session.isLive) this.#front.hub.send(session, bytes.subarray(start + SEND_HEAD_BYTES, end));
        return;
      }
      case EgressKind.JOIN:
        this.#onJoin(lane, bytes, view, start, end);
        return;
      case EgressKind.LEAVE: {
        const session = this.#front.sessions.get(view.getUint32(start, true));
        const sub = view.getUint32(start + 4, true);
        if (session === undefined || !session.isLive) return;
        if (this.#patterns.isPatternSub(sub) && !this.#patterns.left(session, sub, lane)) return;
        const frame = bytes.subarray(start + LEAVE_HEAD_BYTES, end);
        if (this.#front.hub.leave(session, sub)) {
          if (frame.length > 0) this.#front.hub.send(session, frame);
        } else {
          readHeader(frame, 0, frame.length, this.#header); // Of a pattern, behind another UNSUBSCRIBE.
          this.#front.hub.send(
            session,
            this.#front.errorFrame(frame.length > 0 ? this.#header.id : 0, new RelayError('NOT_FOUND', 'not subscribed')),
          );
        }
        return;
      }
      case EgressKind.CLOSE: {
        const session = this.#front.sessions.get(view.getUint32(start, true));
        const code = view.getUint32(start + 4, true);
        const name = (Object.keys(CLOSE_CODES) as CloseCodeName[]).find((candidate) => CLOSE_CODES[candidate].code === code);
        const problem = TEXT.decode(bytes.slice(start + CLOSE_HEAD_BYTES, end));
        if (session !== undefined) this.#front.close(session, name ?? 'STATE_LOST', { problem });
        return;
      }
      case EgressKind.DELIVER: {
        const session = this.#front.sessions.get(view.getUint32(start, true));
        if (session?.isLive === true)
          this.#front.hub.deliver(session, view.getUint32(start + 4, true), bytes.subarray(start + PAIR_HEAD_BYTES, end));
        return;
      }
      case EgressKind.ANSWER: {
        const { queries, sessions, hub } = this.#front;
        const part = bytes.slice(start + PAIR_HEAD_BYTES, end);
        const answer = queries.answered(view.getUint32(start, true), lane, part, view.getUint32(start + 4, true));
        const session = answer === null ? undefined : sessions.get(answer.session);
        if (answer !== null && session?.isLive === true) hub.send(session, answer.frame);
        return;
      }
      case EgressKind.REQUEST:
        this.#onRequest(this.#agents.of(lane), bytes, start + PAIR_HEAD_BYTES, end);
        return;
      case EgressKind.REGISTERED: {
        const session = this.#front.sessions.get(view.getUint32(start, true));
        if (session?.isLive !== true) return;
        if (session.limits !== null) session.limits.hasServed = true;
        const registration = bytes.slice(start + PAIR_HEAD_BYTES, end);
        this.#front.registrations.add(lane, {
          session: session.number,
          instance: view.getUint32(start + 4, true),
          bytes: registration,
        });
        return;
      }
      case EgressKind.UNREGISTERED:
        this.#front.registrations.remove(lane, view.getUint32(start + 4, true));
        return;
      case EgressKind.JOURNAL: {
        const entryStart = start + PAIR_HEAD_BYTES + view.getUint32(start + 4, true);
        const key = TEXT.decode(bytes.slice(start + PAIR_HEAD_BYTES, entryStart));
        if (view.getUint32(start, true) === JournalOp.FORGET) this.#front.journal.forget(lane, key);
        else this.#front.journal.append(lane, key, bytes.slice(entryStart, end));
        return;
      }
    }
  }

  /** Everything of this drain has been handed to its sockets. */
  #noteWrites(): void {
    if (this.#recordCount === 0) return;
    const { latencies, clock } = this.#front;
    const nowUs = clock.stampUs();
    latencies.socketWrite.record(elapsedUs(this.#drainUs, nowUs), this.#recordCount);
    for (let index = 0; index < this.#originCount; index++)
      latencies.publishToLastWrite.record(elapsedUs(this.#origins[index] as number, nowUs));
    if (this.#originCount > ORIGINS_KEPT_MAX) this.#origins.length = 0;
    this.#originCount = 0;
    this.#recordCount = 0;
    this.#progressCount = 0;
  }

  #noteDenied(session: Session, error: Uint8Array): void {
    if (this.#front.onSecurity === null) return;
    const [, , , , { right, name }] = unpack(error) as [number, number, number, string, { right: string; name: string }];
    this.#security.tellDenied(session, right, name);
  }

  #noteAnswered(lane: number, session: Session, bytes: Uint8Array, frameStart: number, end: number): void {
    readHeader(bytes, frameStart, end, this.#header);
    this.#lastAnswered[lane] = `${session.number}:${this.#header.id}`;
  }

  #callDone(session: Session, bytes: Uint8Array, frameStart: number, end: number): boolean {
    readHeader(bytes, frameStart, end, this.#header);
    return this.#header.id === 0 || this.#front.calls.end(session.number, this.#header.id);
  }

  /** A command of the lane itself. What the front refuses goes back to the lane like any other answer. */
  #onRequest(agent: Session, bytes: Uint8Array, start: number, end: number): void {
    const header = new MessageHeader();
    const isMessage = scanMessage(bytes, start, end, header);
    const { messageBytesMax } = this.#front.options;
    try {
      // The lane builds its messages around payloads of clients: what it gets wrong must cost the step, never the front.
      if (!isMessage) throw new RelayError('BAD_REQUEST', describeFault(header));
      if (end - start > messageBytesMax) throw new RelayError('TOO_LARGE', undefined, { bytes: end - start, messageBytesMax });
      this.#router.route(agent, header, bytes, start);
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      this.#front.hub.send(agent, this.#front.errorFrame(header.id, error));
    }
  }

  /** The records since the last one of this kind have waited from then until this drain began. */
  onProgress(stampUs: number): void {
    if (this.#recordCount === 0) this.#beginDrain();
    this.#front.latencies.egressWait.record(
      elapsedUs(stampUs, this.#drainUs),
      Math.max(1, this.#recordCount - this.#progressCount),
    );
    this.#progressCount = this.#recordCount;
  }

  /** A drain's clock is read twice, whatever is in it. */
  #beginDrain(): void {
    this.#drainUs = this.#front.clock.stampUs();
    this.#front.receivedUs = this.#drainUs; // Of what the lanes command themselves.
  }

  onBatchEnd(): void {
    this.#front.hub.endDrain();
    this.#noteWrites();
    this.#front.lanes.flush(); // Resumes and session closes that the drain led to.
  }

  #onJoin(lane: number, bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const session = this.#front.sessions.get(view.getUint32(start, true));
    const sub = view.getUint32(start + 4, true);
    const flags = view.getUint32(start + 8, true);
    const topicStart = start + JOIN_HEAD_BYTES;
    const restoreStart = topicStart + view.getUint32(start + 12, true);
    const frameStart = restoreStart + view.getUint32(start + 16, true);
    this.#replay.noteSub(lane, sub);
    if (session === undefined || !session.isLive) return;
    const restore = frameStart === restoreStart ? EMPTY : bytes.slice(restoreStart, frameStart);
    if ((flags & JoinFlag.RESUMED) !== 0) return this.#onResumed(session, sub, flags, restore);
    if ((flags & JoinFlag.PATTERN) !== 0 && !this.#front.patterns.answered(sub, session.number, lane)) return;
    readHeader(bytes, frameStart, end, this.#header); // Id 0 where no answer was wanted.
    this.#lastAnswered[lane] = `${session.number}:${this.#header.id}`;
    const topic = TEXT.decode(bytes.slice(topicStart, restoreStart));
    if (
      (flags & JoinFlag.PATTERN) !== 0 &&
      this.#patterns.isForbidden(session, sub, end > frameStart ? this.#header.id : 0, topic)
    )
      return this.#subscribeAnswered(session);
    if (end > frameStart) this.#nameHeldBack(session, sub, bytes.slice(frameStart, end));
    // Its rights may have changed since its lane judged the SUBSCRIBE.
    const watches = (flags & JoinFlag.WATCH) !== 0 && session.grants?.covers('pres', topic) !== false;
    this.#front.hub.join(session, sub, topic, lane, watches ? flags : flags & ~JoinFlag.WATCH, restore);
    if (end > frameStart) this.#front.hub.send(session, bytes.subarray(frameStart, end));
    this.#subscribeAnswered(session);
  }

  #subscribeAnswered(session: Session): void {
    session.subscribesPending--;
    session.limits?.countSubscriptions(-1);
    if (session.subscribesPending === 0 && session.queue === null) this.#front.hub.resumePaused(session);
  }

  /** Joined again while messages were held back, and not from a position: they will not come, which is said in front of the OK. */
  #nameHeldBack(session: Session, sub: number, ok: Uint8Array): void {
    const after = this.#front.hub.findMember(session, sub)?.pausedAfter ?? -1;
    if (after < 0) return;
    const { epoch, offset, recovered } = (
      unpack(ok) as [number, number, { epoch: string; offset: number; recovered?: boolean }]
    )[2];
    if (recovered !== undefined || offset <= after) return;
    const data = { from: after + 1, to: offset, reason: 'RESUBSCRIBED', epoch, offset };
    this.#front.hub.send(session, pack([MessageType.EVENT, sub, null, 'lost', data]));
  }

  /** A paused member has room again: its lane is asked for what follows. */
  resume(member: Member): void {
    // A SUBSCRIBE that is under way may be for the same topic: a RESUME behind it would replay what its OK has left behind. Asked again then.
    if (member.session.subscribesPending > 0) return;
    member.resuming = true;
    const { topic, lane } = member.subscription;
    this.#replay.writeResume(lane, member.session.number, topic, member.pausedAfter);
  }

  #onResumed(session: Session, sub: number, flags: number, reached: Uint8Array): void {
    const member = this.#front.hub.findMember(session, sub);
    if (member === undefined || !member.resuming) return;
    member.resuming = false;
    if ((flags & JoinFlag.MORE) === 0) {
      member.pausedAfter = -1;
      return;
    }
    member.pausedAfter = new DataView(reached.buffer, reached.byteOffset).getFloat64(0, true);
    // Otherwise onDrain asks for the next chunk, once the socket has taken this one.
    if (session.queue === null) this.resume(member);
  }

  // ---- a lane is replaced

  nextSub(lane: number): number {
    return this.#replay.nextSub(lane);
  }

  /** The command may or may not have been done: its sender is told, even without an id. */
  onRecordLost(lane: number, kind: number, bytes: Uint8Array, view: DataView, start: number, length: number): void {
    if (kind !== IngressKind.COMMAND && kind !== IngressKind.PATTERN_COMMAND) return; // A QUERY is answered by onLaneLost.
    const session = this.#front.sessions.get(view.getUint32(start, true));
    const header = new MessageHeader();
    if (session === undefined || !session.isLive || !readHeader(bytes, start + COMMAND_HEAD_BYTES, start + length, header))
      return;
    this.#front.metrics.commandsLost++;
    if (kind === IngressKind.PATTERN_COMMAND) {
      const sub = view.getUint32(start + 4, true);
      if (this.#patterns.lost(session, lane, sub, bytes, header, start + length)) this.#subscribeAnswered(session);
      return;
    }
    if (header.type === MessageType.CALL && header.id !== 0 && !this.#front.calls.end(session.number, header.id)) return;
    if (ANSWERED_FIRST.includes(header.type) && this.#lastAnswered[lane] === `${session.number}:${header.id}`) return;
    if (header.type === MessageType.SUBSCRIBE) this.#subscribeAnswered(session);
    this.#front.sendCommandError(session, header, this.#front.laneRestarted());
  }

  /** After the last onRecordLost: who waits for something that only this lane could have given. */
  onLaneLost(lane: number): void {
    const agent = this.#agents.take(lane);
    if (agent !== null) this.#closeAgent(agent);
    for (const { session: number, id } of [...this.#front.calls.takeOfLane(lane), ...this.#front.queries.takeOfLane(lane)]) {
      const session = this.#front.sessions.get(number);
      if (session?.isLive !== true) continue;
      this.#front.metrics.commandsLost++;
      this.#front.sendError(session, id, this.#front.laneRestarted());
    }
    this.#front.lanes.flush();
  }

  onLaneReplaced(lane: number): void {
    this.#front.metrics.lanesReplaced++;
    this.#lastAnswered[lane] = '';
    this.#replay.replay(lane);
    this.#front.lanes.flush();
  }
}

function describeFault(header: MessageHeader): string {
  return header.fault === HeaderFault.FRAMING ? describeSkipFault(header.skipFault) : describeHeaderFault(header);
}
