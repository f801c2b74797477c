/**
 * The account of a run in one generator process: what was counted on the way, and what was owed, delivered and lost in the end.
 */
import type { Refusal, WorkerOptions } from './ipc.ts';
import { type Member, messageCount, sequenceCount, streamCount, warmupCount } from './plan.ts';
import type { Tally } from './tally.ts';

/** Counted while the run goes on; the fields go into the process's report as they are. */
export class RunCounts {
  published = 0;
  delivered = 0;
  /** Of another run or room, or not as sent. */
  foreign = 0;
  replayed = 0;
  goaways = 0;
  cut = 0;
  cutUs = 0;
  recovered = 0;
  allBackUs = 0;
  left = 0;
  cameBack = 0;
  lastReceiptUs = 0;
  cpuSeconds = 0;
  readonly publishErrorsByCode: Record<string, number> = {};
  readonly disconnectsByCode: Record<string, number> = {};
  readonly eventsByKind: Record<string, number> = {};
  readonly nonRecoveredByReason: Record<string, number> = {};
  readonly slowEndedByCode: Record<string, number> = {};
}

export interface Account {
  readonly expected: number;
  readonly lost: number;
  readonly lostInWarmup: number;
}

/** `refused` are the publishes of all processes that reached nobody; `isTailOwed` says who is owed what came last. */
export function accountOf(
  members: readonly Member[],
  options: WorkerOptions,
  delivered: number,
  refused: readonly Refusal[],
  tally: Tally,
  isTailOwed: (member: Member) => boolean,
): Account {
  const streamTotal = streamCount(options);
  const messages = messageCount(options);
  const warmupMessages = warmupCount(options);
  const refusedOf = new Map<number, Set<number>>();
  for (const { stream, sequence } of refused) {
    const sequences = refusedOf.get(stream);
    if (sequences === undefined) refusedOf.set(stream, new Set([sequence]));
    else sequences.add(sequence);
  }
  let lost = 0;
  let lostInWarmup = 0;
  let owed = 0;
  for (const member of members) {
    if (member.isSlow) continue;
    for (let rank = 0; rank < options.publishers; rank++) {
      const stream = rank * options.rooms + member.room;
      const warmupEnd = sequenceCount(stream, warmupMessages, streamTotal);
      const end = sequenceCount(stream, messages, streamTotal);
      const tallyIndex = member.index * options.publishers + rank;
      const losses = tally.lossesOf(tallyIndex, warmupEnd, end, refusedOf.get(stream), isTailOwed(member));
      lost += losses.lost;
      lostInWarmup += losses.lostInWarmup;
      owed += end - warmupEnd;
    }
  }
  const expected = delivered + lost - lostInWarmup;
  // The account proves itself: whoever stayed throughout is owed exactly what the schedule says.
  if (options.mode !== 'churn' && refused.length === 0 && expected !== owed) {
    throw new Error(`the bench's own account is wrong: delivered + lost = ${expected}, owed by the schedule = ${owed}`);
  }
  return { expected, lost, lostInWarmup };
}

/** Has every member who is owed all of it got the last message of its room's publishers? */
export function hasEverything(
  members: readonly Member[],
  options: WorkerOptions,
  tally: Tally,
  isOwed: (member: Member) => boolean,
): boolean {
  const messages = messageCount(options);
  const streamTotal = streamCount(options);
  for (const member of members) {
    if (member.isSlow || !isOwed(member)) continue;
    for (let rank = 0; rank < options.publishers; rank++) {
      const endSequence = sequenceCount(rank * options.rooms + member.room, messages, streamTotal);
      if (!tally.isComplete(member.index * options.publishers + rank, endSequence)) return false;
    }
  }
  return true;
}

export function increment(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}
