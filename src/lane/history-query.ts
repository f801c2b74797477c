/**
 * HISTORY: a page of a topic's kept messages, up or down from a position, bounded by count and by bytes.
 *
 * Thread: the lane's. Nothing is decoded: entries are the kept bytes with a head.
 */
import { RelayError } from '../protocol/errors.ts';
import type { HistoryOptions } from '../protocol/options.ts';
import type { HistoryLog } from './history-log.ts';
import { encodeHistoryEntry } from './lane-output.ts';
import type { Topic } from './topic.ts';

/** A reply must fit into one ring record, whatever the ring's size. */
export const REPLY_BYTES_MAX = 262_144;
/** What an entry has around meta and payload: array head, offset and nil. Keeps the number of entries below 2^16 too. */
const ENTRY_HEAD_BYTES_MAX = 11;

export interface HistoryPage {
  /** `[offset, meta|nil, payload]` each, encoded, in the order asked for. */
  readonly entries: readonly Uint8Array[];
  /** The page ended before the range did. */
  readonly more: boolean;
}

export function queryHistory(topic: Topic, log: HistoryLog, options: HistoryOptions, nowMs: number): HistoryPage {
  const { since, limit, reverse } = options;
  if (since !== null && since.epoch !== topic.epoch) {
    throw new RelayError('CONFLICT', 'the stream has another epoch', { sinceEpoch: since.epoch, epoch: topic.epoch });
  }
  const from = !reverse && since !== null ? since.offset + 1 : topic.first;
  const to = reverse && since !== null ? Math.min(since.offset - 1, topic.offset) : topic.offset;
  // Descending takes the newest that are alive and fit: what lies before them is skipped.
  let skip = 0;
  if (reverse) {
    const aliveBytes: number[] = [];
    log.visit(from, to, (message) => {
      if (message.expiresAtMs > nowMs) aliveBytes.push(ENTRY_HEAD_BYTES_MAX + message.payloadEnd - message.metaStart);
      return true;
    });
    skip = aliveBytes.length - countThatFit(aliveBytes.reverse(), limit);
  }
  const entries: Uint8Array[] = [];
  let bytes = 0;
  let more = skip > 0;
  log.visit(from, to, (message) => {
    if (message.expiresAtMs <= nowMs || skip-- > 0) return true;
    bytes += ENTRY_HEAD_BYTES_MAX + message.payloadEnd - message.metaStart;
    if (!reverse && (entries.length === limit || (bytes > REPLY_BYTES_MAX && entries.length > 0))) {
      more = true;
      return false;
    }
    entries.push(encodeHistoryEntry(message));
    return true;
  });
  if (reverse) entries.reverse();
  return { entries, more };
}

/** How many of these, in order, go into one reply. One always does. */
function countThatFit(messageBytes: readonly number[], limit: number): number {
  let bytes = 0;
  let count = 0;
  while (count < Math.min(limit, messageBytes.length)) {
    bytes += messageBytes[count] as number;
    if (bytes > REPLY_BYTES_MAX && count > 0) break;
    count++;
  }
  return count;
}
