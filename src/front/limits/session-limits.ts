/**
 * What limits know of one session: its buckets, whom it is counted under, its offences. Data only; made when there is something to know.
 *
 * Thread: front only.
 */
import type { Peer } from './peer-book.ts';

export class SessionLimits {
  /** In the connections' buckets; -1 where there are none. */
  row = -1;
  address: Peer | null = null;
  /** Null where nobody has proven who he is: all of those together are no subject. */
  subject: Peer | null = null;
  /** It has registered an instance: what it returns was asked for. */
  hasServed = false;
  /** It has been in a queue group: so was what it acknowledges. */
  hasJoinedGroup = false;
  /** Within the window. */
  refusals = 0;
  malformed = 0;
  windowEndsMs = Number.NEGATIVE_INFINITY;

  /** Counts under the session's subject; `change` of subscriptions, under way or joined. */
  countSubscriptions(change: number): void {
    if (this.subject !== null) this.subject.subscriptions += change;
  }

  /** An offence now: counts of an earlier window are over. */
  renewWindow(nowMs: number, windowMs: number): void {
    if (nowMs < this.windowEndsMs) return;
    this.windowEndsMs = nowMs + windowMs;
    this.refusals = 0;
    this.malformed = 0;
  }
}
