/** What a lane is told of queue groups. Plain data. */
export interface GroupOptions {
  /** Groups of one topic; over it SUBSCRIBE is answered LIMIT. */
  readonly groupsPerTopicMax: number;
  /** Messages of one group given to members and not acknowledged; at the bound the group waits for acks. */
  readonly groupPendingMax: number;
}
