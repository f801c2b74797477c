/**
 * What a lane counts: a slot each in one Float64Array, which the pool puts into shared memory.
 *
 * Written by the lane only, read by anyone (can be late, never torn: aligned 8-byte stores). Counters only grow; gauges are set.
 */
export const LANE_COUNTERS = [
  'commands',
  /** Of commands, each handled in one go and made visible with one store. */
  'batches',
  /** Microseconds spent on batches. */
  'busyUs',
  'publishes',
  'publishesDuplicate',
  'errors',
  'recoveriesSucceeded',
  'recoveriesNoHistory',
  'recoveriesEpochChanged',
  'recoveriesEvicted',
  'recoveriesTooMany',
  'recoveriesOffsetAhead',
  'recoveriesForbidden',
  'denied',
  'messagesReplayed',
  'topicsEvictedIdle',
  'topicsRefused',
  'dedupKeysEvicted',
  'historiesEvicted',
  'presenceMembersRefused',
  'presenceGraceExpired',
  'groupsRefused',
  'groupsForgotten',
  'groupDeliveries',
  'groupRedeliveries',
  'groupAckTimeouts',
  'groupDeadLetters',
  'groupMessagesExpired',
  'groupMessagesLost',
  'instancesRefused',
  'instancesExpired',
  'instancesEjected',
  'breakersOpened',
  'calls',
  'callParts',
  'callsRefused',
  'callsOverloaded',
  'callsWithoutResponders',
  'callsTimedOut',
  'callsCancelled',
  'callsFailed',
  'callsLost',
  'callsRetried',
  'streamsFlooded',
  'returnsLate',
  'returnsForbidden',
  'definitionsRefused',
  'runsRefused',
  'runsForgotten',
  'runsFailed',
  'runsStarted',
  'runsSucceeded',
  'runsCancelled',
  'deadLetters',
  'stepsRetried',
  'resultsLate',
  'answersMissed',
] as const;

export const LANE_GAUGES = [
  'topics',
  'subscriptions',
  'patterns',
  'historyBytes',
  'historyBytesReserved',
  'sessions',
  'services',
  'instances',
  'callsInFlight',
  'callsWaiting',
  'groups',
  'groupMembers',
  'groupPending',
  'groupsWaiting',
  'steps',
  'stepsWaiting',
  'stepsInFlight',
  'runsInFlight',
  'runsEnded',
  'runBytes',
  'runEvents',
  'definitions',
] as const;

export const LANE_METRICS = [...LANE_COUNTERS, ...LANE_GAUGES] as const;
export type LaneMetricName = (typeof LANE_METRICS)[number];

export const LaneMetric = Object.fromEntries(LANE_METRICS.map((name, index) => [name, index])) as Readonly<
  Record<LaneMetricName, number>
>;
export const LANE_METRICS_BYTES = LANE_METRICS.length * 8;
