/**
 * A message that a group with acknowledgements has given out and not seen the end of. Its bytes stay in the topic's history: here stands only whose
 * it is.
 */
import type { Timer } from '../timers.ts';
import type { GroupMember } from './group-member.ts';

export type PendingState =
  /** A member has it, until it acknowledges or the timer fires. */
  | { readonly name: 'given'; readonly member: GroupMember; readonly timer: Timer }
  /** In the group's queue, to be given to somebody again. */
  | { readonly name: 'ready' }
  /** Given back for later. */
  | { readonly name: 'delayed'; readonly timer: Timer }
  /** On its way to the dead-letter topic. */
  | { readonly name: 'burying' }
  /** Acknowledged, dead-lettered or lost. */
  | { readonly name: 'over' };

/** Why a member no longer has it. */
export type GivenBack = 'ackTimeout' | 'requeued' | 'memberLeft';

export class Pending {
  readonly offset: number;
  /** Times that it was given to somebody. */
  attempt = 0;
  /** Who had it last: it goes to another member if one has room. */
  lastMember: GroupMember | null = null;
  state: PendingState = { name: 'ready' };

  constructor(offset: number) {
    this.offset = offset;
  }
}
