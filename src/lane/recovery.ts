/**
 * Recovery: may a subscriber go on from where it was, and if not, why.
 *
 * Pure functions over a topic; thread: the lane's. All or nothing: a replay has no holes but those that a ttl made, which are named.
 */
import type { Position, RecoveryReason } from '../protocol/types.ts';
import type { Topic } from './topic.ts';

export type Recovery =
  | { readonly recovered: true }
  | {
      readonly recovered: false;
      readonly reason: RecoveryReason;
      readonly lost?: readonly [from: number, to: number];
    };

export interface RecoveryLimits {
  readonly recoveryMessagesMax: number;
  readonly recoveryBytesMax: number;
}

export function judgeRecovery(topic: Topic, since: Position, limits: RecoveryLimits): Recovery {
  if (topic.history === null) return { recovered: false, reason: 'NO_HISTORY' };
  if (since.epoch !== topic.epoch) return { recovered: false, reason: 'EPOCH_CHANGED' };
  if (since.offset > topic.offset) return { recovered: false, reason: 'OFFSET_AHEAD' };
  const missed = topic.offset - since.offset;
  if (missed === 0) return { recovered: true };
  const lost = [since.offset + 1, topic.offset] as const;
  if (since.offset + 1 < topic.first) return { recovered: false, reason: 'EVICTED', lost };
  if (missed > limits.recoveryMessagesMax || topic.history.bytesFrom(since.offset + 1) > limits.recoveryBytesMax) {
    return { recovered: false, reason: 'TOO_MANY', lost };
  }
  return { recovered: true };
}

export interface ReplayPlan {
  readonly from: number;
  readonly to: number;
  /** MESSAGEs that [from, to] makes: what has expired by its ttl is not among them. */
  readonly messageCount: number;
}

/**
 * What a replay from `from` sends, inside the recovery limits. `keep: 'newest'` moves the beginning up where it would not fit (policy `last`);
 * `'chunk'` moves the end down (a paused subscriber takes its backlog piece by piece, one message at least).
 */
export function planReplay(
  topic: Topic,
  from: number,
  limits: RecoveryLimits,
  nowMs: number,
  keep: 'newest' | 'chunk' = 'newest',
): ReplayPlan {
  const log = topic.history;
  if (log === null || from > topic.offset) return { from, to: topic.offset, messageCount: 0 };
  let first = from;
  if (keep === 'newest') {
    let bytes = log.bytesFrom(from);
    log.visit(from, topic.offset, (message) => {
      if (bytes <= limits.recoveryBytesMax) return false;
      bytes -= message.payloadEnd - message.metaStart;
      first = message.offset + 1;
      return true;
    });
  }
  let to = first - 1;
  let messageCount = 0;
  let bytes = 0;
  log.visit(first, topic.offset, (message) => {
    bytes += message.payloadEnd - message.metaStart;
    const fits = messageCount === 0 || (messageCount < limits.recoveryMessagesMax && bytes <= limits.recoveryBytesMax);
    if (keep === 'chunk' && !fits) return false;
    to = message.offset;
    if (message.expiresAtMs > nowMs) messageCount++;
    return true;
  });
  return { from: first, to, messageCount };
}
