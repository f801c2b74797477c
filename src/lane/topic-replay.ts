/**
 * Replays: what a subscriber missed goes out again from a topic's history, at a SUBSCRIBE and when a paused member has room again.
 *
 * Thread: the lane's. What may be recovered is judged in recovery.ts; here the messages go out.
 */

import type { SubscribeOptions } from '../protocol/options.ts';
import { JoinFlag } from '../protocol/records.ts';
import type { LaneContext } from './lane-context.ts';
import { LaneMetric } from './lane-metrics.ts';
import { planReplay, type Recovery } from './recovery.ts';
import type { Topic } from './topic.ts';

const EMPTY = new Uint8Array(0);

export class TopicReplay {
  readonly #lane: LaneContext;

  constructor(lane: LaneContext) {
    this.#lane = lane;
  }

  /** The first offset that a new subscriber gets from history; one past the stream's head for none. */
  firstOffset(topic: Topic, options: SubscribeOptions, recovery: Recovery | null): number {
    if (recovery?.recovered === true) return (options.since as { offset: number }).offset + 1;
    if (options.last > 0 && recovery === null) {
      const count = Math.min(options.last, this.#lane.options.recoveryMessagesMax);
      return Math.max(topic.first, topic.offset - count + 1);
    }
    return topic.offset + 1;
  }

  /** Sends kept messages [from, to]; runs that have expired by their ttl are named by a skip in their place. */
  send(topic: Topic, session: number, from: number, to: number): void {
    if (topic.history === null || from > to) return;
    let expiredFrom = 0;
    let expiredTo = 0;
    const nameExpired = () => {
      if (expiredFrom === 0) return;
      this.#lane.out.sendEvent(session, topic.sub, 'skip', {
        from: expiredFrom,
        to: expiredTo,
        reason: 'expired',
        count: expiredTo - expiredFrom + 1,
      });
      expiredFrom = 0;
    };
    topic.history.visit(from, to, (message) => {
      if (message.expiresAtMs <= this.#lane.nowMs) {
        if (expiredFrom === 0) expiredFrom = message.offset;
        expiredTo = message.offset;
        return true;
      }
      nameExpired();
      this.#lane.out.replay(session, topic.sub, message);
      this.#lane.metrics[LaneMetric.messagesReplayed]!++;
      return true;
    });
    nameExpired();
  }

  /** Policy `pause`: the front stopped queueing after offset `after` and has room again. A chunk at a time; MORE says that live must wait. */
  resume(topic: Topic, session: number, after: number): void {
    topic.history?.evictExpired(this.#lane.nowMs);
    let from = after + 1;
    if (from < topic.first) {
      const lostTo = topic.first - 1;
      this.#lane.out.sendEvent(session, topic.sub, 'lost', {
        from,
        to: lostTo,
        reason: 'EVICTED',
        epoch: topic.epoch,
        offset: lostTo,
      });
      from = topic.first;
    }
    const to = Math.min(topic.offset, planReplay(topic, from, this.#lane.options, this.#lane.nowMs, 'chunk').to);
    if (from <= to) this.#lane.out.sendEvent(session, topic.sub, 'lagged', { from, to });
    this.send(topic, session, from, to);
    const flags = JoinFlag.RESUMED | (to < topic.offset ? JoinFlag.MORE : 0);
    const reached = new Uint8Array(8); // How far the chunk went: the front asks for what follows.
    new DataView(reached.buffer).setFloat64(0, to, true);
    this.#lane.out.join({ session, sub: topic.sub, flags, topic: EMPTY, restore: reached }, 0, null);
  }

  count(recovery: Recovery): void {
    const metric = {
      none: LaneMetric.recoveriesSucceeded,
      NO_HISTORY: LaneMetric.recoveriesNoHistory,
      EPOCH_CHANGED: LaneMetric.recoveriesEpochChanged,
      EVICTED: LaneMetric.recoveriesEvicted,
      TOO_MANY: LaneMetric.recoveriesTooMany,
      OFFSET_AHEAD: LaneMetric.recoveriesOffsetAhead,
      FORBIDDEN: LaneMetric.recoveriesForbidden,
    }[recovery.recovered ? 'none' : recovery.reason];
    this.#lane.metrics[metric]!++;
  }
}
