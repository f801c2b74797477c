/** What a seed makes of a world with workflows: a few definitions of every kind, and services that live apart from them. */
import type { Prng } from '../../src/base/prng.ts';
import type { FrontOptions } from '../../src/front/front-options.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';
import type { StageDefinition, WorkflowDefinition } from '../../src/lane/workflows/definition.ts';
import type { MemoryTransportOptions } from '../../src/transport/memory-transport.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../support/options.ts';

export interface WorkflowWorldConfig {
  readonly laneCount: number;
  readonly ingressRingBytes: number;
  readonly egressRingBytes: number;
  readonly ringStart: number;
  readonly laneSpeed: number;
  readonly clientCount: number;
  readonly deathRatio: number;
  readonly definitions: readonly WorkflowDefinition[];
  readonly front: FrontOptions;
  readonly lane: Omit<LaneOptions, 'index' | 'laneCount' | 'firstSub' | 'seed'>;
  readonly transport: Omit<MemoryTransportOptions, 'schedule'>;
}

export const STEP_SERVICES = ['sifter', 'caster', 'binder', 'keeper'];
const QUICK = { timeoutMs: 1_500, retries: { max: 3, backoffMs: 50, backoffMsMax: 400 } };
/** Of all attempts of a stage, with what lies between them: nothing takes longer. */
export const RUN_MS_MAX = 120_000;
/** What makes a list. */
export const LIST_METHOD = 'list';

const LINE: readonly StageDefinition[] = [
  { name: 'a', service: 'sifter', method: 'do', ...QUICK },
  { name: 'b', service: 'caster', method: 'do', input: 'a', ...QUICK, heartbeatTimeoutMs: 700 },
  { name: 'c', service: 'binder', method: 'do', input: { before: 'b', first: 'input' }, ...QUICK },
];

function fan(prng: Prng): readonly StageDefinition[] {
  return [
    { name: 'sift', service: 'sifter', method: LIST_METHOD, ...QUICK },
    {
      name: 'cast',
      service: 'caster',
      method: 'do',
      forEach: 'sift',
      concurrency: prng.pick([1, 2, 16]),
      join: prng.pick(['all', { quorum: 2 }, { deadlineMs: 900 }] as const),
      ...QUICK,
    },
    { name: 'side', service: 'keeper', method: 'do', after: ['sift'], ...QUICK },
    { name: 'bind', service: 'binder', method: 'do', input: { parts: 'cast', side: 'side' }, ...QUICK },
  ];
}

const SAGA: readonly StageDefinition[] = [
  { name: 'book', service: 'keeper', method: 'do', ...QUICK, compensate: { service: 'keeper', method: 'undo', timeoutMs: 500 } },
  {
    name: 'each',
    service: 'caster',
    method: 'do',
    forEach: 'input',
    input: { of: 'book' },
    concurrency: 2,
    ...QUICK,
    compensate: { service: 'binder', method: 'undo', timeoutMs: 500 },
  },
  { name: 'pay', service: 'sifter', method: 'do', input: 'each', ...QUICK, retries: { max: 0 } },
];

export function workflowWorld(prng: Prng): WorkflowWorldConfig {
  const ingressRingBytes = prng.pick([16_384, 32_768]);
  const messageBytesMax = ingressRingBytes / 8 - 64;
  const deadline = prng.nextBoolean(0.2) ? { deadlineMs: prng.nextInt(400, 4_000) } : {};
  const definitions = [
    { name: 'line', version: 1, stages: LINE },
    { name: 'fan', version: 3, stages: fan(prng), ...deadline },
    { name: 'saga', version: 2, stages: SAGA, runsInFlightMax: prng.pick([2, 50]) },
  ];
  const sendQueueBytesMax = prng.pick([4_000, 20_000]);
  return {
    laneCount: prng.nextInt(1, 3),
    ingressRingBytes,
    egressRingBytes: 262_144,
    ringStart: prng.pick([0, 0, 0xffff_e000]),
    laneSpeed: prng.pick([1, 1, 0.3, 0.1]),
    clientCount: prng.nextInt(2, 5),
    deathRatio: prng.pick([0, 0.01, 0.03]),
    definitions,
    front: {
      ...FRONT_DEFAULTS,
      sendQueueBytesMax,
      messageBytesMax,
      payloadBytesMax: 2_000,
      helloTimeoutMs: 2_000,
      pingIntervalMs: 5_000,
      pongTimeoutMs: 4_000,
      closeTimeoutMs: 1_000,
      retryAfterMs: 50,
    },
    lane: {
      ...LANE_DEFAULTS,
      topicRules: [],
      topicIdleMs: 10_000_000,
      recoveryMessagesMax: 10_000,
      services: {
        ...LANE_DEFAULTS.services,
        rules: [{ match: '>', breaker: false, outlier: false, waitMs: prng.pick([0, 300]), retriesMax: 1 }],
        payloadBytesMax: 2_000,
        callDeadlineMsMax: 4_000,
        connectionLeaseMs: 9_000,
        retryAfterMs: 50,
      },
      workflows: {
        ...LANE_DEFAULTS.workflows,
        definitions,
        runsInFlightMax: prng.pick([3, 100]),
        stepsInFlightMax: prng.pick([2, 100]),
        runBytesMax: prng.pick([3_000, 100_000]),
        messageBytesMax,
        partBytesMax: 700,
        timeoutMsMax: 4_000,
        retryAfterMs: 50,
      },
    },
    transport: {
      windowBytes: prng.pick([400, 4_000]),
      bufferBytesMax: 2 * sendQueueBytesMax + messageBytesMax + 65_536,
      messageBytesMax: 4 * messageBytesMax,
      closeEvent: prng.nextBoolean() ? 'atOnce' : 'handshake',
    },
  };
}
