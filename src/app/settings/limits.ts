/** Settings of rate limits, turns and shedding. Part of the table in ../config-table.ts, which see. What they do together: docs/limits.md. */
import type { RateRule } from '../../front/limits/rate-rules.ts';
import type { CrossCheck } from '../config-table.ts';
import { autoOrInteger, integer, list, type Setting, toggle } from '../setting.ts';

const LIMITS = 'Limits on clients';
const SHEDDING = 'Load shedding';
const GIB = 1_073_741_824;
const UNITS_MAX = 1_000_000_000;
const REFUSED_BEFORE_THE_UPGRADE = 'Refused before the upgrade: 429 with `Retry-After`.';

export const LIMIT_SETTINGS = {
  // ---- limits on clients
  rateLimits: list<RateRule>('a list of rate limits', {
    group: LIMITS,
    what: 'How often a connection, a subject or an address may do what, see [Rate limits](#rate-limits). On the command line and in the environment as JSON. None by default ([decision 12](decisions/0012-limits.md)).',
    atBound:
      'The command is answered RATE_LIMITED (105) with `retryAfterMs` and `limit`; a connect is refused before the upgrade with 429 and `Retry-After`, or, by subject, with 4102.',
    metrics: ['relay_rate_limit_refusals_total', 'relay_commands_rate_limited_total'],
  }),
  rateRefusalsMax: integer(1_000, [1, UNITS_MAX], {
    group: LIMITS,
    what: 'Refusals by `rateLimits` of one connection within `offencesWindowMs`.',
    atBound: 'Closed with 4102.',
    metrics: ['relay_rate_limited_disconnected_total'],
  }),
  malformedMax: integer(100, [1, UNITS_MAX], {
    group: LIMITS,
    what: 'Messages of one connection that are none of the protocol, within `offencesWindowMs`. One that cannot be read at all closes at once.',
    atBound: 'Closed with 4500.',
    metrics: ['relay_malformed_disconnected_total', 'relay_messages_malformed_total'],
  }),
  offencesWindowMs: integer(10_000, [100, 3_600_000], {
    group: LIMITS,
    what: 'The time over which refusals and malformed messages of a connection are counted; it begins with the first.',
  }),
  commandsPerTurnMax: integer(256, [1, 1_000_000], {
    group: LIMITS,
    what: 'Commands of one connection that are handled in one turn of the event loop. A message that is none of the protocol counts as two; WebSocket pings, pongs and empty messages count too.',
    atBound:
      'What is left waits for later turns, in order, a few commands of each connection after the other. Pings, pongs and empty messages cannot wait: 16 times as many over it close with 4102.',
    metrics: ['relay_messages_deferred_total', 'relay_held_bytes', 'relay_floods_disconnected_total'],
  }),
  commandsPerTurnTotalMax: integer(2_048, [1, 10_000_000], {
    group: LIMITS,
    what: 'The same of all connections.',
    atBound: 'As with `commandsPerTurnMax`.',
    metrics: ['relay_messages_deferred_total', 'relay_held_bytes'],
  }),
  commandsWaitingBytesMax: integer(4_194_304, [16_384, GIB], {
    group: LIMITS,
    what: 'What may wait of one connection for later turns; each WebSocket message counts 64 bytes more than it has.',
    atBound: 'Closed with 4102.',
    metrics: ['relay_floods_disconnected_total'],
  }),
  commandsWaitingBytesTotalMax: integer(67_108_864, [16_384, 64 * GIB], {
    group: LIMITS,
    what: 'The same of all connections.',
    atBound: 'The connection that brings more is closed with 4102.',
    metrics: ['relay_floods_disconnected_total', 'relay_held_bytes'],
  }),
  subjectSubscriptionsMax: integer(0, [1, 10_000_000], {
    orZero: true,
    group: LIMITS,
    what: 'Subscriptions of all connections of one subject (a token’s `sub`), patterns included. 0: no bound but that of each connection.',
    atBound: 'Answered LIMIT (104).',
    metrics: ['relay_subject_subscriptions_refused_total'],
  }),
  subjectConnectionsMax: integer(0, [1, 1_000_000], {
    orZero: true,
    group: LIMITS,
    what: 'Connections of one subject. 0: no bound.',
    atBound: 'HELLO is answered LIMIT (104), and closed with 4101.',
    metrics: ['relay_connections_refused_subject_limit_total'],
  }),
  addressConnectionsMax: integer(0, [1, 1_000_000], {
    orZero: true,
    group: LIMITS,
    what: 'Connections of one address; of IPv6 the first 64 bits count. 0: no bound. Behind a balancer set `trustedProxies` first, or all clients are one address.',
    atBound: REFUSED_BEFORE_THE_UPGRADE,
    metrics: ['relay_connections_refused_address_limit_total'],
  }),
  idlePeersMax: integer(100_000, [1, 10_000_000], {
    group: LIMITS,
    what: 'Subjects and addresses, of each so many, that are remembered after their last connection until they would be let do as much as a new one.',
    atBound: 'The one that has been gone longest is forgotten before its time.',
    metrics: ['relay_idle_peers_forgotten_total', 'relay_limited_peers'],
  }),

  // ---- load shedding
  shedDelayMs: integer(1_000, [10, 600_000], {
    orZero: true,
    group: SHEDDING,
    what: 'How late the main thread’s event loop may be, on average of about a second. 0: not looked at.',
    atBound: 'Load level 1: new connections and HTTP requests are refused with 503 and `Retry-After`, `/readyz` says 503.',
    metrics: ['relay_load_level', 'relay_connections_refused_load_total'],
  }),
  shedDelayHardMs: integer(3_000, [10, 600_000], {
    orZero: true,
    group: SHEDDING,
    what: 'The same for the next level. 0: not looked at.',
    atBound:
      'Load level 2: new subscriptions, START and, with `shedCalls`, CALL are answered OVERLOADED (106) with `retryAfterMs`.',
    metrics: ['relay_load_level', 'relay_commands_shed_total'],
  }),
  shedMemoryMb: autoOrInteger('auto', [0, 16_777_216], {
    group: SHEDDING,
    what: 'Resident memory of the process, in MiB. `auto`: 85 % of what the process may have (its cgroup’s limit, or the machine’s memory). 0: not looked at.',
    atBound: 'Load level 1, as with `shedDelayMs`.',
    metrics: ['relay_load_level', 'relay_process_resident_memory_bytes'],
  }),
  shedMemoryHardMb: autoOrInteger('auto', [0, 16_777_216], {
    group: SHEDDING,
    what: 'The same for the next level. `auto`: 93 %.',
    atBound: 'Load level 2, as with `shedDelayHardMs`.',
    metrics: ['relay_load_level', 'relay_process_resident_memory_bytes'],
  }),
  shedDelayLeavePercent: integer(50, [1, 100], {
    group: SHEDDING,
    what: 'A level is left when the delay has been below this share of its mark for `shedLeaveAfterMs`.',
  }),
  shedMemoryLeavePercent: integer(95, [1, 100], {
    group: SHEDDING,
    what: 'The same for memory, which is slow to be given back.',
  }),
  shedLeaveAfterMs: integer(5_000, [0, 3_600_000], {
    group: SHEDDING,
    what: 'For so long delay and memory must be below the marks at which a level is left; then one level is left, and it begins anew for the next.',
  }),
  shedCalls: toggle(false, {
    group: SHEDDING,
    what: 'Load level 2 refuses calls too. Without it they go on: a call is often the second half of something that has begun.',
  }),
} as const satisfies Record<string, Setting<unknown>>;

/** Checked with those of ../config-table.ts. */
export const LIMIT_CHECKS: readonly CrossCheck[] = [
  {
    settings: ['commandsPerTurnMax', 'commandsPerTurnTotalMax'],
    must: 'commandsPerTurnMax must be at most commandsPerTurnTotalMax',
    because: 'one connection’s share is a part of all',
    holds: ({ commandsPerTurnMax, commandsPerTurnTotalMax }) => commandsPerTurnMax <= commandsPerTurnTotalMax,
  },
  {
    settings: ['messageBytesMax', 'commandsWaitingBytesMax'],
    must: 'messageBytesMax + 64 must be at most commandsWaitingBytesMax',
    because: 'one message must be able to wait',
    holds: ({ messageBytesMax, commandsWaitingBytesMax }) => messageBytesMax + 64 <= commandsWaitingBytesMax,
  },
  {
    settings: ['commandsWaitingBytesMax', 'commandsWaitingBytesTotalMax'],
    must: 'commandsWaitingBytesMax must be at most commandsWaitingBytesTotalMax',
    because: 'one connection’s share is a part of all',
    holds: ({ commandsWaitingBytesMax, commandsWaitingBytesTotalMax }) => commandsWaitingBytesMax <= commandsWaitingBytesTotalMax,
  },
  {
    settings: ['shedDelayMs', 'shedDelayHardMs'],
    must: 'shedDelayMs must be at most shedDelayHardMs',
    because: 'the second level refuses what the first one refuses, and more',
    holds: ({ shedDelayMs, shedDelayHardMs }) => shedDelayHardMs === 0 || shedDelayMs <= shedDelayHardMs,
  },
  {
    settings: ['shedMemoryMb', 'shedMemoryHardMb'],
    must: 'shedMemoryMb must be at most shedMemoryHardMb',
    because: 'the second level refuses what the first one refuses, and more',
    holds: ({ shedMemoryMb, shedMemoryHardMb }) =>
      typeof shedMemoryMb !== 'number' ||
      typeof shedMemoryHardMb !== 'number' ||
      shedMemoryHardMb === 0 ||
      shedMemoryMb <= shedMemoryHardMb,
  },
];
