/**
 * What a lane must be told apart from clients' commands: resumes, and everything again when it was replaced.
 *
 * Thread: front only. The front's member lists are the truth a new lane is rebuilt from: history, keys and presence graces died with
 * the old one, sessions and subscriptions did not.
 */
import { hashBytes } from '../base/hash.ts';
import { pack, unpack } from '../protocol/codec.ts';
import type { Lanes } from '../protocol/lane-port.ts';
import { IngressKind, RESUME_HEAD_BYTES, withNumbers } from '../protocol/records.ts';
import type { Hub } from './hub.ts';
import type { PatternRegistry } from './pattern-registry.ts';
import type { Session } from './session.ts';

/** Which lane owns a name. */
export function laneIndexOf(hash: number, laneCount: number): number {
  return laneCount === 1 ? 0 : hash % laneCount;
}

export class LaneReplay {
  readonly #lanes: Lanes;
  readonly #hub: Hub;
  readonly #patterns: PatternRegistry;
  readonly #sessions: ReadonlyMap<number, Session>;
  readonly #introduce: (session: Session, lane: number) => void;
  /** Largest subscription number that each lane has given to a client. */
  readonly #subMax: number[];

  constructor(
    lanes: Lanes,
    hub: Hub,
    patterns: PatternRegistry,
    sessions: ReadonlyMap<number, Session>,
    introduce: (session: Session, lane: number) => void,
  ) {
    this.#lanes = lanes;
    this.#hub = hub;
    this.#patterns = patterns;
    this.#sessions = sessions;
    this.#introduce = introduce;
    this.#subMax = Array.from({ length: lanes.count }, (_, lane) => lane);
  }

  noteSub(lane: number, sub: number): void {
    if (sub % (this.#lanes.count + 1) === lane && sub > (this.#subMax[lane] as number)) this.#subMax[lane] = sub;
  }

  nextSub(lane: number): number {
    return (this.#subMax[lane] as number) + this.#lanes.count + 1;
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
    this.#lanes.write(lane, IngressKind.RESUME, record);
  }

  /** Sessions and subscriptions into a new lane. Commands that come meanwhile queue up behind, in order. */
  replay(lane: number): void {
    for (const session of this.#sessions.values()) session.lanesKnown &= ~(1 << lane);
    for (const subscription of this.#hub.subscriptionsOfLane(lane)) {
      if (subscription.isPattern) continue;
      for (const member of subscription.members) {
        this.#introduce(member.session, lane);
        const presence = member.restore.length === 0 ? undefined : (unpack(member.restore) as { presence?: unknown }).presence;
        const state = { topic: subscription.topic, ...(presence === undefined ? {} : { presence }) };
        this.#lanes.write(lane, IngressKind.RESTORE, withNumbers(member.session.number, subscription.sub, pack(state)));
        // The lost event says where the stream goes on, paused or not.
        member.pausedAfter = -1;
        member.resuming = false;
      }
    }
    for (const { name, sub, session: number } of this.#patterns.all()) {
      const session = this.#sessions.get(number);
      if (session === undefined) continue;
      this.#introduce(session, lane);
      this.#lanes.write(lane, IngressKind.RESTORE, withNumbers(number, sub, pack({ topic: name, pattern: true })));
    }
    this.#lanes.write(lane, IngressKind.RESTORE_END, new Uint8Array(0));
  }
}
