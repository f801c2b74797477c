/** What a seed makes of the world: sizes small enough that every bound is met, and topics of every kind. */
import type { Prng } from '../../src/base/prng.ts';
import type { FrontOptions } from '../../src/front/front-options.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';
import { BALANCE_STRATEGIES, type ServiceRule } from '../../src/lane/services/service-config.ts';
import type { TopicRule } from '../../src/lane/topic-config.ts';
import { MessageType, SLOW_CONSUMER_POLICIES } from '../../src/protocol/types.ts';
import type { MemoryTransportOptions } from '../../src/transport/memory-transport.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../support/options.ts';
import { SERVICES } from './service-actions.ts';

export interface WorldConfig {
  readonly laneCount: number;
  readonly ingressRingBytes: number;
  readonly egressRingBytes: number;
  readonly ringStart: number;
  /** Share of their turns that lanes take: slow ones let their rings fill. */
  readonly laneSpeed: number;
  readonly clientCount: number;
  readonly topics: readonly string[];
  readonly padMax: number;
  readonly services: readonly string[];
  /** Share of clients' steps that are about services. */
  readonly serviceRatio: number;
  /** Share of steps that are faults. */
  readonly deathRatio: number;
  /** Share of steps in which a dead lane is found dead, and a gone one replaced. Rarely: its ring fills meanwhile, as that of one that hangs. */
  readonly noticeRatio: number;
  /** False: histories are evicted across topics, by a sample; no telling which. */
  readonly knowsRetention: boolean;
  readonly front: FrontOptions;
  readonly lane: Omit<LaneOptions, 'index' | 'laneCount' | 'firstSub' | 'seed'>;
  readonly transport: Omit<MemoryTransportOptions, 'schedule'>;
}

/** After so long every call has had its last answer. */
export const CALL_DEADLINE_MS_MAX = 4_000;
export const RESERVED_TOPIC = '$sys.load';
export const TOPICS = [
  'a.1',
  'a.2',
  'b.1',
  'tiny.1',
  'plain.1',
  'plain.2',
  'pause.1',
  'conflate.1',
  'stamped.1',
  'quiet.1',
  'lonely.1',
  'small.1',
  'old.1',
  'grave.1',
];
/** Where some groups send their dead letters. */
export const GRAVEYARD = 'grave.1';
export const PATTERNS = ['a.*', '>', 'plain.>', '*.1', '$sys.>', 'tiny.*', '$dead.>', '$service.>'];

const TOPIC_RULES: readonly TopicRule[] = [
  { match: 'tiny.>', history: { count: 3 } },
  { match: 'plain.>', history: { count: 0 } },
  { match: 'pause.>', slowConsumer: 'pause', history: { count: 12 } },
  { match: 'conflate.>', slowConsumer: 'conflate' },
  { match: 'stamped.>', stampTime: true, stampPublisher: true },
  { match: 'quiet.>', echo: false },
  { match: 'lonely.>', presence: false },
  { match: 'small.>', maxPayloadBytes: 40 },
  { match: 'old.>', history: { ageMs: 1_000 } },
  { match: '$dead.>', history: { count: 10, bytes: 2_000, ageMs: 15_000 } },
  { match: '$service.>', history: { count: 20, bytes: 4_000, ageMs: 15_000 } },
];

const HISTORY_BYTES_UNBOUND = 16_777_216;

/** Each is answered BAD_REQUEST before anything is done. */
export const BAD_OPTIONS: readonly { readonly type: number; readonly options: readonly unknown[] }[] = [
  { type: MessageType.PUBLISH, options: [{ key: 5 }, [0, '']] },
  { type: MessageType.PUBLISH, options: [{ ttlMs: 0 }, [0, '']] },
  { type: MessageType.PUBLISH, options: [[], [0, '']] },
  { type: MessageType.PUBLISH, options: [{ headers: { a: 1 } }, [0, '']] },
  { type: MessageType.SUBSCRIBE, options: [{ policy: 'none' }] },
  { type: MessageType.SUBSCRIBE, options: [{ since: { epoch: 'e', offset: 1 }, last: 1 }] },
  { type: MessageType.SUBSCRIBE, options: [{ presence: 'everything' }] },
  { type: MessageType.SUBSCRIBE, options: [{ ack: true }] },
  { type: MessageType.SUBSCRIBE, options: [{ group: 'g', last: 1 }] },
  { type: MessageType.SUBSCRIBE, options: [{ group: 'g', ack: true, deadLetter: '$dead.x' }] },
  { type: MessageType.ACK, options: [{ offset: 0 }] },
  { type: MessageType.ACK, options: [null] },
  { type: MessageType.HISTORY, options: [{ limit: 0 }] },
  { type: MessageType.PRESENCE, options: [{ countOnly: 'yes' }] },
  { type: MessageType.CALL, options: [5, null, null] },
  { type: MessageType.CALL, options: ['method', { deadlineMs: 0 }, null] },
  { type: MessageType.REGISTER, options: [{ version: 1 }] },
];

function shuffled<Item>(items: readonly Item[], prng: Prng): Item[] {
  return items
    .map((item) => ({ item, at: prng.nextUint32() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}

const EVERY_TOPIC = { match: '>', history: { count: 30, bytes: 2_000, ageMs: 15_000 }, maxPayloadBytes: 400 };

/** Bounds that are met within seconds. */
function serviceRule(prng: Prng): ServiceRule {
  const openMs = prng.pick([100, 600]);
  const breaker = { volume: 3, windowMs: 2_000, openMs, openMsMax: 2 * openMs, probes: 2, slowMs: prng.pick([0, 300]) };
  const outlier = { intervalMs: 1_000, volume: 2, factor: 1.5, latencyMsMin: 20, ejectMs: 400, ejectMsMax: 1_000 };
  return {
    match: '>',
    balance: prng.pick(BALANCE_STRATEGIES),
    waitMs: prng.pick([0, 300, 1_500]),
    waitingMax: prng.pick([1, 3, 100]),
    retriesMax: prng.pick([0, 1, 2]),
    breaker: prng.nextBoolean() ? breaker : false,
    outlier: prng.nextBoolean() ? outlier : false,
  };
}

export function worldConfig(prng: Prng): WorldConfig {
  const world = drawWorld(prng);
  // Drawn last, so that worlds of earlier days are what they were.
  const commandsPerTurnMax = prng.pick([1, 3, 256]);
  const commandsPerTurnTotalMax = prng.pick([commandsPerTurnMax, 2_048]);
  return { ...world, front: { ...world.front, limits: { ...world.front.limits, commandsPerTurnMax, commandsPerTurnTotalMax } } };
}

function drawWorld(prng: Prng): WorldConfig {
  const ingressRingBytes = prng.pick([4_096, 8_192, 16_384, 32_768]);
  const isTight = ingressRingBytes === 4_096;
  const payloadBytesMax = isTight ? 200 : 400;
  const padMax = prng.pick(isTight ? [10, 120] : [10, 120, 380]);
  const sendQueueBytesMax = prng.pick(padMax === 10 ? [250, 600] : [1_200, 3_000, 6_000]);
  const mergedFrameBytesMax = prng.pick([64, 512, 4_096]);
  // A message takes an eighth of the ring at most, with its record's head.
  const messageBytesMax = ingressRingBytes / 8 - 64;
  const mode = prng.nextFloat();
  const knowsRetention = mode >= 0.12;
  const forgets = knowsRetention && prng.nextBoolean(0.4);
  return {
    laneCount: prng.nextInt(1, 3),
    ingressRingBytes,
    egressRingBytes: prng.pick([32_768, 65_536, 262_144]),
    ringStart: prng.pick([0, 0, 0xffff_e000]),
    laneSpeed: prng.pick([1, 1, 0.2, 0.05]),
    clientCount: prng.nextInt(2, 7),
    // The last three are the hot ones.
    topics: [
      ...(forgets ? Array.from({ length: 12 }, (_, index) => `more.${index}`) : []),
      ...shuffled(TOPICS, prng).slice(0, prng.nextInt(3, 10)),
    ],
    padMax,
    services: shuffled(SERVICES, prng).slice(0, prng.nextInt(1, SERVICES.length)),
    serviceRatio: prng.pick([0, 0.3, 0.7]),
    deathRatio: prng.nextBoolean(0.4) ? 0.01 : 0,
    noticeRatio: prng.pick([0.06, 0.06, 0.01]),
    knowsRetention,
    front: {
      ...FRONT_DEFAULTS,
      connectionsMax: prng.pick([4, 100]),
      connectRatePerSecond: prng.pick([3, 1_000]),
      sendQueueBytesMax,
      mergedFrameBytesMax,
      messageBytesMax,
      payloadBytesMax,
      subscriptionsMax: prng.pick([4, 30, 30]),
      callsPendingMax: prng.pick([3, 20, 20]),
      presenceBytesMax: 100,
      helloTimeoutMs: 2_000,
      pingIntervalMs: 5_000,
      pongTimeoutMs: 4_000,
      closeTimeoutMs: 1_000,
      reconnectJitterMs: 100,
      retryAfterMs: 50,
    },
    lane: {
      ...LANE_DEFAULTS,
      topicRules: [{ ...EVERY_TOPIC, slowConsumer: prng.pick(SLOW_CONSUMER_POLICIES) }, ...TOPIC_RULES],
      topicsMax: forgets ? 14 : 1_000,
      // Where the model cannot tell when a history is empty, it cannot tell when a topic is idle either.
      topicIdleMs: knowsRetention ? (forgets ? 2_000 : 10_000) : 10_000_000,
      historyBytesMax: knowsRetention ? HISTORY_BYTES_UNBOUND : 12_288,
      historyLimitDefault: 10,
      historyLimitMax: 100,
      recoveryMessagesMax: prng.pick([5, 20]),
      recoveryBytesMax: prng.pick([500, 1_000]),
      dedupWindowMs: 3_000,
      dedupKeysMax: prng.pick([2, 50]),
      presenceGraceMs: 1_500,
      presenceMembersMax: prng.pick([3, 50, 50]),
      presenceBytesMax: 100,
      services: {
        rules: [serviceRule(prng), { match: 'print', ...(prng.nextBoolean() ? { balance: prng.pick(BALANCE_STRATEGIES) } : {}) }],
        instancesMax: prng.pick([2, 100, 100, 100]),
        callsMax: prng.pick([4, 1_000]),
        callsPendingMax: 3,
        payloadBytesMax,
        callDeadlineMsDefault: 1_000,
        callDeadlineMsMax: CALL_DEADLINE_MS_MAX,
        connectionLeaseMs: 9_000,
        retryAfterMs: 50,
      },
      groups: { groupsPerTopicMax: prng.pick([1, 3, 3]), groupPendingMax: prng.pick([2, 4, 50]) },
    },
    transport: {
      windowBytes: prng.pick([100, 400, 4_000]),
      bufferBytesMax: 2 * sendQueueBytesMax + messageBytesMax + mergedFrameBytesMax + 4_096,
      messageBytesMax: 4 * messageBytesMax,
      closeEvent: prng.nextBoolean() ? 'atOnce' : 'handshake',
    },
  };
}
