/**
 * What a lane must be told apart from clients' commands: resumes, and everything again when it was replaced.
 *
 * Thread: front only. The front's member lists are the truth a new lane is rebuilt from: history, keys and presence graces died with
 * the old one, sessions and subscriptions did not.
 */
import { hashBytes } from '../base/hash.ts';
import { pack, unpack } from '../protocol/codec.ts';
import { IngressKind, RESUME_HEAD_BYTES, withNumbers } from '../protocol/records.ts';
import type { FrontContext } from './front-context.ts';

/** Which lane owns a name. */
export function laneIndexOf(hash: number, laneCount: number): number {
  return laneCount === 1 ? 0 : hash % laneCount;
}

export class LaneReplay {
  readonly #front: FrontContext;
  /** Largest subscription number that each lane has given to a client. */
  readonly #subMax: number[];

  constructor(front: FrontContext) {
    this.#front = front;
    this.#subMax = Array.from({ length: front.lanes.count }, (_, lane) => lane);
  }

  noteSub(lane: number, sub: number): void {
    if (sub % (this.#front.lanes.count + 1) === lane && sub > (this.#subMax[lane] as number)) this.#subMax[lane] = sub;
  }

  nextSub(lane: number): number {
    return (this.#subMax[lane] as number) + this.#front.lanes.count + 1;
  }

  /** Policy pause: asks for what follows offset `after`. */
  writeResume(lane: number, session: number, topic: string, after: number): void {
    const name = new TextEncoder().encode(topic);
    const record = new Uint8Array(RESUME_HEAD_BYTES + name.length);
    const view = new DataView(record.buffer);
    view.setUint32(0, session, true);
    view.setUint32(4, hashBytes(name, 0, name.length), true);
    view.setFloat64(8, after, true);
    record.set(name, RESUME_HEAD_BYTES);
    this.#front.lanes.write(lane, IngressKind.RESUME, record);
  }

  /** Sessions and subscriptions into a new lane. Commands that come meanwhile queue up behind, in order. */
  replay(lane: number): void {
    for (const session of this.#front.sessions.values()) session.lanesKnown &= ~(1 << lane);
    for (const entry of this.#front.journal.entriesOf(lane))
      this.#front.lanes.write(lane, IngressKind.JOURNAL, withNumbers(0, 0, entry));
    for (const { session: number, instance, bytes } of this.#front.registrations.ofLane(lane)) {
      const session = this.#front.sessions.get(number);
      if (session === undefined) continue;
      this.#front.introduce(session, lane);
      this.#front.lanes.write(lane, IngressKind.RESTORE_INSTANCE, withNumbers(number, instance, bytes));
    }
    for (const subscription of this.#front.hub.subscriptionsOfLane(lane)) {
      if (subscription.isPattern) continue;
      for (const member of subscription.members) {
        this.#front.introduce(member.session, lane);
        const { presence, group } = (member.restore.length === 0 ? {} : unpack(member.restore)) as {
          presence?: unknown;
          group?: unknown;
        };
        const state = {
          topic: subscription.topic,
          ...(presence === undefined ? {} : { presence }),
          ...(group === undefined ? {} : { group }),
        };
        this.#front.lanes.write(lane, IngressKind.RESTORE, withNumbers(member.session.number, subscription.sub, pack(state)));
        // The lost event says where the stream goes on, paused or not.
        member.pausedAfter = -1;
        member.resuming = false;
      }
    }
    for (const { name, sub, session: number } of this.#front.patterns.all()) {
      const session = this.#front.sessions.get(number);
      if (session === undefined) continue;
      this.#front.introduce(session, lane);
      this.#front.lanes.write(lane, IngressKind.RESTORE, withNumbers(number, sub, pack({ topic: name, pattern: true })));
    }
    this.#front.lanes.write(lane, IngressKind.RESTORE_END, new Uint8Array(0));
  }
}
