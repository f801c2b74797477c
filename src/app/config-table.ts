/**
 * Every setting of the relay: one table that drives parsing, checking, `relay serve --help` and docs/config.md.
 *
 * A setting's environment variable and flag follow from its name: `pongTimeoutMs`, `RELAY_PONG_TIMEOUT_MS`, `--pong-timeout-ms`.
 * Names carry their unit, and the bound last. `CROSS_CHECKS` holds what no setting can check alone.
 */
import { assert } from '../base/assert.ts';
import type { ServiceRule } from '../lane/services/service-config.ts';
import type { TopicRule } from '../lane/topic-config.ts';
import type { WorkflowDefinition } from '../lane/workflows/definition.ts';
import { COMMAND_HEAD_BYTES } from '../protocol/records.ts';
import { IDLE_STRATEGY_NAMES } from '../shm/idle-strategy.ts';
import { payloadBytesMaxOf, RECORD_HEADER_BYTES, RING_CAPACITY_BYTES_MAX, RING_CAPACITY_BYTES_MIN } from '../shm/ring-layout.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../telemetry/log.ts';
import { autoOrInteger, host, integer, list, path, type Setting, toggle, word } from './setting.ts';
import { AUDIT_SETTINGS } from './settings/audit.ts';
import { AUTH_CHECKS, AUTH_SETTINGS } from './settings/auth.ts';
import { LIMIT_CHECKS, LIMIT_SETTINGS } from './settings/limits.ts';
import { TLS_SETTINGS } from './settings/tls.ts';

export const LANES_MAX = 16;
/** Type, id, topic and options around a payload, at their longest: 255 bytes of name, 128 characters of key, 1,024 of headers. */
export const MESSAGE_HEAD_BYTES_MAX = 4_096;
/** A HISTORY or PRESENCE reply stops at this (lane/), and must hold at least one message. */
const REPLY_BYTES_MAX = 262_144;
/** The smallest ring that takes such a reply, and its head, as one record. */
const EGRESS_RING_BYTES_MIN = 4_194_304;
const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;
const GIB = 1_073_741_824;

assert(
  REPLY_BYTES_MAX + MESSAGE_HEAD_BYTES_MAX <= payloadBytesMaxOf(EGRESS_RING_BYTES_MIN),
  'the smallest egress ring takes the largest reply',
);

const LISTENING = 'Listening';
const LANES = 'Lanes and rings';
const CONNECTIONS = 'Connections';
const MESSAGES = 'Messages and send queues';
const TOPICS = 'Topics, history and recovery';
const PRESENCE = 'Presence';
const SERVICES = 'Services, calls and queue groups';
const WORKFLOWS = 'Workflows';
const HTTP = 'HTTP';
const SHUTDOWN = 'Shutdown';
const LOG = 'Log';

export const SETTINGS = {
  // ---- listening
  host: host('127.0.0.1', {
    group: LISTENING,
    what: 'Address that WebSockets and the HTTP API are served on; `0.0.0.0` for all of this machine’s. By default only this machine itself reaches it, since without [authentication](authentication.md) whoever does may do everything; with another address the relay starts only if that is configured, or told `--insecure`.',
  }),
  port: integer(8080, [0, 65_535], {
    group: LISTENING,
    what: '0 takes any free port; the log says which.',
  }),
  opsHost: host('127.0.0.1', {
    group: LISTENING,
    what: 'Address of the operators’ door: health, metrics, the ops page, revocation. Never meant for the outside; on another address than loopback it wants `opsToken`.',
  }),
  opsPort: integer(8081, [0, 65_535], {
    group: LISTENING,
    what: '0 turns the operators’ door off.',
  }),

  // ---- lanes and rings
  lanes: autoOrInteger('auto', [0, LANES_MAX], {
    group: LANES,
    what: 'Threads that own topics. `auto` is one less than the cores, at least 1. 0 runs the one lane on the main thread, for containers with one core. A topic’s lane depends on this number: changing it starts every stream anew.',
  }),
  idleStrategy: word('auto', IDLE_STRATEGY_NAMES, {
    group: LANES,
    what: 'What a lane does when it has nothing to do: `park` sleeps until it is rung, `yield` naps and looks, `spin` burns a core for the lowest latency. `auto` goes by the number of cores.',
  }),
  ingressRingBytes: integer(1_048_576, [RING_CAPACITY_BYTES_MIN, RING_CAPACITY_BYTES_MAX], {
    powerOfTwo: true,
    group: LANES,
    what: 'Ring from the main thread to one lane; a message takes an eighth of it at most.',
    atBound: 'The command is answered OVERLOADED (106) with `retryAfterMs`.',
    metrics: ['relay_lane_ingress_full_total'],
  }),
  egressRingBytes: integer(4_194_304, [EGRESS_RING_BYTES_MIN, RING_CAPACITY_BYTES_MAX], {
    powerOfTwo: true,
    group: LANES,
    what: 'Ring from one lane to the main thread; a record takes an eighth of it at most.',
    atBound: 'The lane waits until the main thread has read; then its ingress ring fills.',
    metrics: ['relay_lane_ingress_used_bytes'],
  }),
  doorbell: word('auto', ['auto', 'waitAsync', 'messagePort'], {
    group: LANES,
    what: 'How a lane wakes the main thread. `auto` is what measured best on the supported Node.',
    metrics: ['relay_lane_front_wakes_total'],
  }),
  rearmEmptyTurns: integer(0, [0, 1_000], {
    group: LANES,
    what: 'Empty turns of the event loop during which the main thread looks at the rings itself before it asks to be rung again. More of them spare wake-ups and cost CPU.',
    metrics: ['relay_lane_front_wakes_total'],
  }),
  laneStallMs: integer(5_000, [500, 600_000], {
    group: LANES,
    what: 'Longest time without a heartbeat of a lane.',
    atBound: 'The lane is replaced: its commands under way are answered LANE_RESTARTED (113), its streams begin a new epoch.',
    metrics: ['relay_lane_heartbeat_age_seconds', 'relay_lanes_replaced_total'],
  }),
  laneRestartBackoffMsMax: integer(5_000, [0, 600_000], {
    group: LANES,
    what: 'Longest wait before a lane that dies again and again is started once more; the waits double up to it.',
    metrics: ['relay_lanes_replaced_total'],
  }),
  laneHeapMbMax: integer(256, [32, 65_536], {
    orZero: true,
    group: LANES,
    what: 'JavaScript heap of one lane, in MiB; history and rings are outside of it. 0 is Node’s default.',
    atBound: 'The lane dies and is replaced; the other lanes and all connections live.',
    metrics: ['relay_lanes_replaced_total'],
  }),

  // ---- connections
  connectionsMax: integer(50_000, [1, 1_000_000], {
    group: CONNECTIONS,
    what: 'WebSocket connections at a time.',
    atBound: 'Refused before the upgrade: 503 with `Retry-After`.',
    metrics: ['relay_connections_refused_limit_total'],
  }),
  connectRatePerSecond: integer(5_000, [1, 1_000_000], {
    group: CONNECTIONS,
    what: 'New connections per second, as a token bucket of one second’s size.',
    atBound: 'Refused before the upgrade: 503 with `Retry-After`.',
    metrics: ['relay_connections_refused_rate_total'],
  }),
  helloTimeoutMs: integer(10_000, [50, 600_000], {
    group: CONNECTIONS,
    what: 'From connect to HELLO.',
    atBound: 'Closed with 4504.',
    metrics: ['relay_hello_timeouts_total'],
  }),
  pingIntervalMs: integer(25_000, [50, 3_600_000], {
    group: CONNECTIONS,
    what: 'A connection is pinged this often. Keep it below the idle timeout of proxies in between (often 60 s).',
  }),
  pongTimeoutMs: integer(20_000, [50, 600_000], {
    group: CONNECTIONS,
    what: 'A connection may be silent for `pingIntervalMs` and this on top.',
    atBound: 'Closed with 4003.',
    metrics: ['relay_pong_timeouts_total'],
  }),
  closeTimeoutMs: integer(5_000, [50, 60_000], {
    group: CONNECTIONS,
    what: 'For the closing handshake.',
    atBound: 'The connection is cut.',
  }),
  reconnectJitterMs: integer(1_000, [0, 600_000], {
    group: CONNECTIONS,
    what: 'Told to clients in the answer to HELLO: the base of their back-off, so that they do not come back all at once.',
  }),

  // ---- messages and send queues
  messageBytesMax: integer(98_304, [8_192, 16_777_216], {
    group: MESSAGES,
    what: 'One WebSocket message from a client.',
    atBound: 'Closed with 1009.',
  }),
  // The upper bound keeps one entry of a HISTORY reply below where the reply stops.
  payloadBytesMax: integer(65_536, [1, REPLY_BYTES_MAX - 2 * MESSAGE_HEAD_BYTES_MAX], {
    group: MESSAGES,
    what: 'Payload of one PUBLISH, CALL or RETURN. A topic rule may say less (`maxPayloadBytes`).',
    atBound: 'Answered TOO_LARGE (107).',
    metrics: ['relay_lane_errors_total'],
  }),
  subscriptionsMax: integer(1_000, [1, 1_000_000], {
    group: MESSAGES,
    what: 'Subscriptions of one session, patterns included.',
    atBound: 'Answered LIMIT (104).',
    metrics: ['relay_subscriptions_refused_total'],
  }),
  sendQueueBytesMax: integer(1_048_576, [16_384, GIB], {
    group: MESSAGES,
    what: 'What may wait for one connection. Replies and events may take as much again.',
    atBound: 'The subscription’s slow-consumer policy acts; at twice this the connection is closed with 4002.',
    metrics: ['relay_messages_dropped_total', 'relay_slow_consumers_disconnected_total'],
  }),
  mergedFrameBytesMax: integer(16_384, [1_024, 1_048_576], {
    group: MESSAGES,
    what: 'Relay messages for one connection share a WebSocket message up to this size; a larger one goes alone.',
    metrics: ['relay_frames_merged_total'],
  }),
  compression: toggle(false, {
    group: MESSAGES,
    what: 'permessage-deflate with one compressor for all connections. Costs CPU and delays; payloads are often packed already.',
  }),
  retryAfterMs: integer(250, [1, 60_000], {
    group: MESSAGES,
    what: 'Told to clients with OVERLOADED and LANE_RESTARTED.',
  }),

  // ---- topics, history and recovery
  topics: list<TopicRule>('a list of topic rules', {
    group: TOPICS,
    what: 'Rules by name pattern, see [Topic rules](#topic-rules). On the command line and in the environment as JSON.',
  }),
  topicsMax: integer(100_000, [1, 10_000_000], {
    group: TOPICS,
    what: 'Topics of one lane.',
    atBound: 'An idle topic is forgotten before its time; if none is found, the command is answered LIMIT (104).',
    metrics: ['relay_lane_topics_refused_total'],
  }),
  topicIdleMs: integer(600_000, [1_000, YEAR_MS], {
    group: TOPICS,
    what: 'How long a topic without subscribers, history and idempotency keys is remembered.',
    atBound: 'It is forgotten, and its epoch with it.',
    metrics: ['relay_lane_topics_evicted_idle_total'],
  }),
  historyBytesMax: integer(67_108_864, [1_048_576, 64 * GIB], {
    group: TOPICS,
    what: 'Kept messages of all topics of one lane.',
    atBound: 'Of a few topics the one used longest ago loses its history, until the rest fits.',
    metrics: ['relay_lane_histories_evicted_total', 'relay_lane_history_bytes'],
  }),
  historyLimitDefault: integer(100, [1, 100_000], {
    group: TOPICS,
    what: 'Messages in a HISTORY reply if the command does not say.',
  }),
  historyLimitMax: integer(1_000, [1, 100_000], {
    group: TOPICS,
    what: 'The highest `limit` of HISTORY. A reply also stops at 256 KiB and says `more: true`.',
    atBound: 'Answered BAD_REQUEST (100).',
  }),
  recoveryMessagesMax: integer(300, [0, 1_000_000], {
    group: TOPICS,
    what: 'Messages that a SUBSCRIBE with `since` or `last` replays.',
    atBound: 'Answered `recovered: false` with the reason TOO_MANY; the client pages with HISTORY.',
    metrics: ['relay_lane_recoveries_too_many_total'],
  }),
  recoveryBytesMax: integer(524_288, [1_024, GIB], {
    group: TOPICS,
    what: 'The same in bytes.',
    atBound: 'Answered `recovered: false` with the reason TOO_MANY; the client pages with HISTORY.',
    metrics: ['relay_lane_recoveries_too_many_total'],
  }),
  dedupWindowMs: integer(120_000, [1_000, DAY_MS], {
    group: TOPICS,
    what: 'How long an idempotency key is remembered.',
    atBound: 'A publish with the same key counts as a new one.',
  }),
  dedupKeysMax: integer(10_000, [1, 1_000_000], {
    group: TOPICS,
    what: 'Idempotency keys of one topic.',
    atBound: 'The oldest key goes before its time.',
    metrics: ['relay_lane_dedup_keys_evicted_total'],
  }),

  // ---- presence
  presenceGraceMs: integer(15_000, [0, 3_600_000], {
    group: PRESENCE,
    what: 'How long a member whose connection was lost is still there: a reconnect within it is no leave and join.',
    atBound: 'The others get `leave`.',
    metrics: ['relay_lane_presence_grace_expired_total'],
  }),
  presenceMembersMax: integer(1_000, [1, 1_000_000], {
    group: PRESENCE,
    what: 'Members of one topic.',
    atBound: 'Answered LIMIT (104).',
    metrics: ['relay_lane_presence_members_refused_total'],
  }),
  presenceBytesMax: integer(1_024, [2, 65_536], {
    group: PRESENCE,
    what: 'A member’s data, encoded.',
    atBound: 'Answered TOO_LARGE (107).',
    metrics: ['relay_lane_errors_total'],
  }),

  // ---- services, calls and queue groups
  services: list<ServiceRule>('a list of service rules', {
    group: SERVICES,
    what: 'Rules by name pattern, see [Service rules](#service-rules). On the command line and in the environment as JSON.',
  }),
  instancesMax: integer(10_000, [1, 1_000_000], {
    group: SERVICES,
    what: 'Service instances of one lane.',
    atBound: 'REGISTER is answered LIMIT (104).',
    metrics: ['relay_lane_instances_refused_total'],
  }),
  callsMax: integer(100_000, [1, 10_000_000], {
    group: SERVICES,
    what: 'Calls of one lane, in flight and waiting.',
    atBound: 'CALL is answered OVERLOADED (106) with `retryAfterMs`.',
    metrics: ['relay_lane_calls_refused_total'],
  }),
  callsPendingMax: integer(1_000, [1, 1_000_000], {
    group: SERVICES,
    what: 'Calls in flight of one connection.',
    atBound: 'CALL is answered LIMIT (104).',
    metrics: ['relay_calls_refused_total'],
  }),
  callDeadlineMsDefault: integer(30_000, [1, DAY_MS], {
    group: SERVICES,
    what: 'Deadline of a call that names none.',
    atBound: 'The caller gets TIMEOUT (108), the instance CANCELLED.',
    metrics: ['relay_lane_calls_timed_out_total'],
  }),
  callDeadlineMsMax: integer(600_000, [1, DAY_MS], {
    group: SERVICES,
    what: 'The longest deadline that a call may ask for.',
    atBound: 'Answered BAD_REQUEST (100).',
  }),
  groupsPerTopicMax: integer(64, [1, 10_000], {
    group: SERVICES,
    what: 'Queue groups of one topic.',
    atBound: 'SUBSCRIBE is answered LIMIT (104).',
    metrics: ['relay_lane_groups_refused_total'],
  }),
  groupPendingMax: integer(1_000, [1, 1_000_000], {
    group: SERVICES,
    what: 'Messages of one queue group that are given to members and not acknowledged.',
    atBound: 'The group waits for acknowledgements; what is published meanwhile waits in the topic’s history.',
    metrics: ['relay_lane_groups_waiting'],
  }),

  // ---- workflows
  workflows: list<WorkflowDefinition>('a list of workflow definitions', {
    group: WORKFLOWS,
    what: 'Definitions, see [workflows](workflows.md). On the command line and in the environment as JSON.',
  }),
  workflowDefinitionsMax: integer(1_000, [1, 100_000], {
    group: WORKFLOWS,
    what: 'Definitions of one lane, each version counted.',
    atBound: 'DEFINE is answered LIMIT (104).',
    metrics: ['relay_lane_definitions_refused_total'],
  }),
  runsInFlightMax: integer(10_000, [1, 1_000_000], {
    group: WORKFLOWS,
    what: 'Runs of one lane that have not ended. A definition may say less for itself.',
    atBound: 'START is answered OVERLOADED (106) with `retryAfterMs`.',
    metrics: ['relay_lane_runs_refused_total'],
  }),
  runsEndedMax: integer(1_000, [0, 1_000_000], {
    group: WORKFLOWS,
    what: 'Ended runs of one lane that are kept for status and retry.',
    atBound: 'The run that ended first is forgotten.',
    metrics: ['relay_lane_runs_forgotten_total'],
  }),
  runBytesMax: integer(1_048_576, [1_024, GIB], {
    group: WORKFLOWS,
    what: 'Input and results of one run.',
    atBound: 'The run fails with TOO_LARGE (107).',
    metrics: ['relay_lane_runs_failed_total'],
  }),
  stepsMax: integer(200_000, [10_000, 100_000_000], {
    group: WORKFLOWS,
    what: 'Steps of one lane’s runs, of those that have ended and are kept too: a `forEach` over 10,000 elements has 10,000. A step takes a few hundred bytes of `laneHeapMbMax`, whatever it does.',
    atBound:
      'Runs that have ended are forgotten, the one that ended first before others. If that is not enough, START is answered OVERLOADED (106) with `retryAfterMs`, and a run whose next stage has no room fails with OVERLOADED.',
    metrics: ['relay_lane_steps'],
  }),
  runEventsMax: integer(500_000, [30_000, 1_000_000_000], {
    group: WORKFLOWS,
    what: 'Events of one lane’s runs, of those that have ended and are kept too. The journal keeps them all, at about half a kilobyte of the main thread’s memory each; a step makes two, and two more with each retry.',
    atBound: 'As with `stepsMax`; and what fails is not tried again.',
    metrics: ['relay_lane_run_events'],
  }),
  stepsInFlightMax: integer(10_000, [1, 1_000_000], {
    group: WORKFLOWS,
    what: 'Steps of one lane’s runs that wait for their service at once.',
    atBound: 'Further steps wait.',
    metrics: ['relay_lane_steps_waiting'],
  }),

  // ---- HTTP
  httpRequestTimeoutMs: integer(5_000, [10, 300_000], {
    group: HTTP,
    what: 'For one HTTP request, from its last byte to the answer.',
    atBound: 'Answered 504; a publish may or may not have happened, an idempotency key makes the retry safe.',
  }),
  httpPendingMax: integer(10_000, [1, 1_000_000], {
    group: HTTP,
    what: 'Commands from HTTP requests that wait for their lane.',
    atBound: 'Answered 503 with `Retry-After`.',
    metrics: ['relay_http_pending'],
  }),
  httpBatchMessagesMax: integer(1_000, [1, 100_000], {
    group: HTTP,
    what: 'Messages in one batch request.',
    atBound: 'Answered 413.',
  }),
  httpBodiesBytesMax: integer(67_108_864, [1_048_576, 1_073_741_824], {
    group: HTTP,
    what: 'Bytes of all HTTP bodies that are being read or waiting for their answer.',
    atBound: 'Answered 503 with `Retry-After`.',
    metrics: ['relay_http_bodies_refused_total'],
  }),
  httpBodyBytesMax: integer(1_048_576, [1_024, 67_108_864], {
    group: HTTP,
    what: 'Body of one HTTP request.',
    atBound: 'Answered 413.',
  }),

  // ---- who may come in, and how much: a file each in settings/
  ...AUTH_SETTINGS,
  ...TLS_SETTINGS,
  ...LIMIT_SETTINGS,
  ...AUDIT_SETTINGS,

  // ---- shutdown
  drainWindowMs: integer(10_000, [0, 3_600_000], {
    group: SHUTDOWN,
    what: 'At shutdown clients are told by GOAWAY to come back spread over this long.',
  }),
  drainDeadlineMs: integer(15_000, [0, 3_600_000], {
    group: SHUTDOWN,
    what: 'How long they have to leave.',
    atBound: 'Who is still there is closed with 4001, and the process ends.',
  }),

  // ---- log
  latencyLogFile: path('', {
    group: LOG,
    what: 'A file for HdrHistogram interval logs: every ten seconds a line per stage, appended. Empty: none. The standard HdrHistogram tools read it.',
    atBound: 'If it cannot be written, that is logged once and the relay goes on without it.',
  }),
  logFormat: word('auto', LOG_FORMATS, {
    group: LOG,
    what: 'How lines are written: `json` for machines, `text` for people. `auto` is text on a terminal.',
  }),
  logLevel: word('info', LOG_LEVELS, {
    group: LOG,
    what: 'The least important kind of line that is written.',
  }),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof SETTINGS;
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** Complete and frozen: what `loadConfig` returns. Each setting's meaning is in the table above and in docs/config.md. */
export type RelayConfig = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name] extends Setting<infer Value> ? Value : never;
};

export const DEFAULTS = Object.freeze(
  Object.fromEntries(SETTING_NAMES.map((name) => [name, SETTINGS[name].default])),
) as RelayConfig;

/** `pongTimeoutMs` -> `RELAY_PONG_TIMEOUT_MS` */
export function environmentName(name: string): string {
  return `RELAY_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** `pongTimeoutMs` -> `--pong-timeout-ms` */
export function flagName(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export interface CrossCheck {
  /** The settings whose values and sources the problem names. Not checked if one of them is invalid by itself. */
  readonly settings: readonly SettingName[];
  readonly must: string;
  readonly because: string;
  readonly holds: (config: RelayConfig) => boolean;
}

export const CROSS_CHECKS: readonly CrossCheck[] = [
  {
    settings: ['port', 'opsPort', 'host', 'opsHost'],
    must: 'port and opsPort must differ',
    because: 'both would listen on the same address',
    holds: ({ port, opsPort, host, opsHost }) =>
      port !== opsPort || port === 0 || (host !== opsHost && !isWildcard(host) && !isWildcard(opsHost)),
  },
  {
    settings: ['payloadBytesMax', 'messageBytesMax'],
    must: `payloadBytesMax + ${MESSAGE_HEAD_BYTES_MAX} must be at most messageBytesMax`,
    because: 'the name, key and headers around a payload need room',
    holds: ({ payloadBytesMax, messageBytesMax }) => payloadBytesMax + MESSAGE_HEAD_BYTES_MAX <= messageBytesMax,
  },
  {
    settings: ['presenceBytesMax', 'messageBytesMax'],
    must: `presenceBytesMax + ${MESSAGE_HEAD_BYTES_MAX} must be at most messageBytesMax`,
    because: 'presence data comes in a SUBSCRIBE',
    holds: ({ presenceBytesMax, messageBytesMax }) => presenceBytesMax + MESSAGE_HEAD_BYTES_MAX <= messageBytesMax,
  },
  {
    settings: ['messageBytesMax', 'ingressRingBytes'],
    must: `messageBytesMax + ${COMMAND_HEAD_BYTES + RECORD_HEADER_BYTES} must be at most an eighth of ingressRingBytes`,
    because: 'a record must fit into the ring wherever it starts',
    holds: ({ messageBytesMax, ingressRingBytes }) => messageBytesMax + COMMAND_HEAD_BYTES <= payloadBytesMaxOf(ingressRingBytes),
  },
  {
    settings: ['messageBytesMax', 'egressRingBytes'],
    must: `messageBytesMax + ${MESSAGE_HEAD_BYTES_MAX} must be at most an eighth of egressRingBytes`,
    because: 'what a call or a step brings in goes out again as one record',
    holds: ({ messageBytesMax, egressRingBytes }) =>
      messageBytesMax + MESSAGE_HEAD_BYTES_MAX <= payloadBytesMaxOf(egressRingBytes),
  },
  {
    settings: ['payloadBytesMax', 'sendQueueBytesMax'],
    must: 'payloadBytesMax must be at most sendQueueBytesMax',
    because: 'one message must be able to wait',
    holds: ({ payloadBytesMax, sendQueueBytesMax }) => payloadBytesMax <= sendQueueBytesMax,
  },
  {
    settings: ['mergedFrameBytesMax', 'sendQueueBytesMax'],
    must: 'mergedFrameBytesMax must be at most sendQueueBytesMax',
    because: 'a merged frame waits as one',
    holds: ({ mergedFrameBytesMax, sendQueueBytesMax }) => mergedFrameBytesMax <= sendQueueBytesMax,
  },
  {
    settings: ['recoveryBytesMax', 'sendQueueBytesMax'],
    must: 'recoveryBytesMax must be at most sendQueueBytesMax',
    because: 'a replay must not make its reader a slow consumer',
    holds: ({ recoveryBytesMax, sendQueueBytesMax }) => recoveryBytesMax <= sendQueueBytesMax,
  },
  {
    settings: ['payloadBytesMax', 'recoveryBytesMax'],
    must: 'payloadBytesMax must be at most recoveryBytesMax',
    because: 'one missed message must be recoverable',
    holds: ({ payloadBytesMax, recoveryBytesMax }) => payloadBytesMax <= recoveryBytesMax,
  },
  {
    settings: ['historyLimitDefault', 'historyLimitMax'],
    must: 'historyLimitDefault must be at most historyLimitMax',
    because: 'a default beyond the bound would be refused',
    holds: ({ historyLimitDefault, historyLimitMax }) => historyLimitDefault <= historyLimitMax,
  },
  {
    settings: ['callDeadlineMsDefault', 'callDeadlineMsMax'],
    must: 'callDeadlineMsDefault must be at most callDeadlineMsMax',
    because: 'a default beyond the bound would be refused',
    holds: ({ callDeadlineMsDefault, callDeadlineMsMax }) => callDeadlineMsDefault <= callDeadlineMsMax,
  },
  {
    settings: ['pongTimeoutMs', 'pingIntervalMs'],
    must: 'pongTimeoutMs must be at most 4 times pingIntervalMs',
    because: 'a dead connection would be kept through many pings',
    holds: ({ pongTimeoutMs, pingIntervalMs }) => pongTimeoutMs <= 4 * pingIntervalMs,
  },
  {
    settings: ['httpBatchMessagesMax', 'httpPendingMax'],
    must: 'httpBatchMessagesMax must be at most httpPendingMax',
    because: 'the largest batch would never get in',
    holds: ({ httpBatchMessagesMax, httpPendingMax }) => httpBatchMessagesMax <= httpPendingMax,
  },
  {
    settings: ['tlsCertFile', 'tlsKeyFile'],
    must: 'tlsCertFile and tlsKeyFile must be given together',
    because: 'a certificate is of no use without its key',
    holds: ({ tlsCertFile, tlsKeyFile }) => (tlsCertFile === '') === (tlsKeyFile === ''),
  },
  {
    settings: ['tlsServerNames', 'tlsCertFile'],
    must: 'tlsServerNames must not be given without tlsCertFile',
    because: 'who asks for no name, or another one, gets that',
    holds: ({ tlsServerNames, tlsCertFile }) => tlsServerNames.length === 0 || tlsCertFile !== '',
  },
  {
    settings: ['tlsPassphraseFile', 'tlsKeyFile'],
    must: 'tlsPassphraseFile must not be given without tlsKeyFile',
    because: 'there would be no key to decrypt',
    holds: ({ tlsPassphraseFile, tlsKeyFile }) => tlsPassphraseFile === '' || tlsKeyFile !== '',
  },
  {
    settings: ['drainWindowMs', 'drainDeadlineMs'],
    must: 'drainWindowMs must be at most drainDeadlineMs',
    because: 'clients would be closed before their slot comes',
    holds: ({ drainWindowMs, drainDeadlineMs }) => drainWindowMs <= drainDeadlineMs,
  },
  ...AUTH_CHECKS,
  ...LIMIT_CHECKS,
];

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}
