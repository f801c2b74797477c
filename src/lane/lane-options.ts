import type { GroupOptions } from './groups/group-options.ts';
import type { ServiceOptions } from './services/service-options.ts';
import type { TopicRule } from './topic-config.ts';
import type { WorkflowOptions } from './workflows/workflow-options.ts';

/** Everything a lane is told at its birth. Plain data: it travels into a thread. */
export interface LaneOptions {
  readonly index: number;
  readonly laneCount: number;
  /** 32 random bits from the front; the lane's epochs come from it. */
  readonly seed: number;
  /** First subscription number to give out; a replaced lane goes on where its predecessor stood. */
  readonly firstSub: number;
  /** How often this lane was replaced: numbers of calls never come again. */
  readonly life: number;
  readonly topicRules: readonly TopicRule[];
  readonly topicsMax: number;
  /** A topic without subscribers, history and keys is forgotten (and its epoch with it) after this long. */
  readonly topicIdleMs: number;
  /** Bytes of slabs over all topics of this lane. */
  readonly historyBytesMax: number;
  readonly historyLimitDefault: number;
  readonly historyLimitMax: number;
  readonly recoveryMessagesMax: number;
  readonly recoveryBytesMax: number;
  readonly dedupWindowMs: number;
  /** Per topic. */
  readonly dedupKeysMax: number;
  readonly presenceGraceMs: number;
  /** Per topic. */
  readonly presenceMembersMax: number;
  readonly presenceBytesMax: number;
  readonly groups: GroupOptions;
  readonly services: ServiceOptions;
  readonly workflows: WorkflowOptions;
}
