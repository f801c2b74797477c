/** The relay's metrics, read from where they are counted. Thread: main; at scrape only. */

import { LANE_COUNTERS, LANE_GAUGES, LaneMetric } from '../lane/lane-metrics.ts';
import { LanePool } from '../pool/lane-pool.ts';
import type { HistogramValue, MetricReading } from '../telemetry/exposition.ts';
import type { LatencyCounts } from '../telemetry/latency-counts.ts';
import { PROCESS_STAGES, STAGE_NAMES } from '../telemetry/stages.ts';
import { auditReadings } from './audit-metrics.ts';
import { authReadings } from './auth-metrics.ts';
import { LANE_METRIC_HELP } from './lane-metric-help.ts';
import type { Relay } from './relay.ts';

const FRONT_HELP: Readonly<Record<string, string>> = {
  connectionsOpened: 'WebSocket connections opened',
  connectionsClosed: 'WebSocket connections closed',
  connectionsRefusedLimit: 'Connections refused with 503: connectionsMax',
  connectionsRefusedRate: 'Connections refused with 503: connectRatePerSecond',
  connectionsRefusedDraining: 'Connections refused with 503: shutting down',
  connectionsRefusedAudit: 'Connections refused with 503: auditOnFailure',
  messagesReceived: 'Relay messages received from clients',
  bytesReceived: 'Bytes of WebSocket messages received',
  messagesMalformed: 'Messages that were no message of the protocol',
  commandsForwarded: 'Commands handed to lanes',
  laneIngressFull: 'Commands answered OVERLOADED: ring full or lane being replaced',
  commandsLost: 'Commands answered LANE_RESTARTED',
  subscriptionsRefused: 'SUBSCRIBEs answered LIMIT: subscriptionsMax',
  callsRefused: 'CALLs answered LIMIT: callsPendingMax',
  errorsSent: 'ERROR messages sent by the front',
  messagesOversized: 'Connections closed with 1009: messageBytesMax',
  deliveries: 'MESSAGEs and EVENTs handed to connections or their send queues',
  framesSent: 'WebSocket messages sent',
  framesMerged: 'Relay messages that shared a WebSocket message with others',
  bytesSent: 'Bytes of WebSocket messages sent',
  helloTimeouts: 'Connections closed with 4504: helloTimeoutMs',
  pongTimeouts: 'Connections closed with 4003: pongTimeoutMs',
  slowConsumersDisconnected: 'Connections closed with 4002: sendQueueBytesMax',
  sessionsCongested: 'Times a connection began to queue',
  lanesReplaced: 'Lanes replaced after a death',
  sessionsAuthenticated: 'HELLOs whose token was good, or that came in as anonymous',
  authenticationsFailed: 'HELLOs and HTTP requests turned away: no token, a bad one, or denied',
  refreshes: 'REFRESHes with a good token',
  refreshesRefused: 'REFRESHes with a bad token, or another subject’s',
  commandsExpired: 'Commands answered TOKEN_EXPIRED',
  sessionsExpired: 'Connections closed with 4501: tokenGraceMs after their token had expired',
  sessionsRevoked: 'Connections closed with 4505',
  denied: 'Commands and HTTP requests answered FORBIDDEN for want of a right, judged by the front: patterns, queries, HTTP',
  heldOverflows: 'Connections closed with 4102: heldBytesMax',
  connectionsRefusedLoad: 'Connections refused with 503: load level 1 or 2',
  connectionsRefusedAddressLimit: 'Connections refused with 429: addressConnectionsMax',
  connectionsRefusedAddressRate: 'Connections refused with 429: rateLimits, connects by address',
  connectionsRefusedSubjectLimit: 'Connections closed with 4101: subjectConnectionsMax',
  connectionsRefusedSubjectRate: 'Connections closed with 4102: rateLimits, connects by subject',
  subjectSubscriptionsRefused: 'SUBSCRIBEs answered LIMIT: subjectSubscriptionsMax',
  commandsRateLimited: 'Commands and HTTP requests answered RATE_LIMITED: rateLimits',
  commandsShed: 'Commands answered OVERLOADED: load level 2',
  messagesDeferred:
    'WebSocket messages that had to wait in part: commandsPerTurnMax, commandsPerTurnTotalMax, or a token under verification',
  rateLimitedDisconnected: 'Connections closed with 4102: rateRefusalsMax',
  floodsDisconnected:
    'Connections closed with 4102: commandsWaitingBytesMax, commandsWaitingBytesTotalMax, or pings and empty messages many times over commandsPerTurnMax',
  malformedDisconnected: 'Connections closed with 4500: malformedMax',
  idlePeersForgotten: 'Subjects and addresses forgotten before their buckets were full again: idlePeersMax',
};

const HTTP_HELP: Readonly<Record<string, string>> = {
  requests: 'HTTP requests',
  responses2xx: 'HTTP answers with status 2xx',
  responses4xx: 'HTTP answers with status 4xx',
  responses5xx: 'HTTP answers with status 5xx',
  timeouts: 'HTTP requests answered 504: httpRequestTimeoutMs',
  refused: 'HTTP requests answered 503: httpPendingMax, auditOnFailure, load level 1 or 2, or shutting down',
  repliesLate: 'Replies of lanes that came after their request had timed out',
  sessionsLost: "Times the gateway's own session had to be opened again",
  callsCancelled: 'Calls cancelled because their HTTP client hung up or their result was a stream',
  unauthenticated: 'HTTP requests turned away because of who sent them',
};

/**
 * The text of /metrics. Making it is some milliseconds of the main thread, in which no message goes anywhere: those who ask at the same time get the same
 * text, and it serves for as long as it took, so that however many ask, half of the thread's time is left for messages.
 */
export class MetricsText {
  readonly #relay: Relay;
  #text: Promise<string> | null = null;
  #servesUntilMs = 0;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  read(): Promise<string> {
    if (this.#text === null || performance.now() > this.#servesUntilMs) {
      this.#servesUntilMs = Number.POSITIVE_INFINITY; // Until it is made.
      this.#text = this.#make();
    }
    return this.#text;
  }

  async #make(): Promise<string> {
    try {
      // Loaded at the first scrape: a relay that nobody scrapes does not pay for it.
      const { renderExposition } = await import('../telemetry/exposition.ts');
      const startedMs = performance.now();
      const text = await renderExposition(relayReadings(this.#relay));
      const endedMs = performance.now();
      this.#servesUntilMs = endedMs + (endedMs - startedMs);
      return text;
    } catch (error) {
      this.#text = null; // The next one may have more luck.
      throw error;
    }
  }
}

export function relayReadings(relay: Relay): MetricReading[] {
  const readings: MetricReading[] = [];
  for (const [name, value] of Object.entries(relay.front.metrics) as [string, number][]) {
    readings.push({ name: `relay_${snake(name)}_total`, type: 'counter', help: FRONT_HELP[name] ?? name, values: [{ value }] });
  }
  readings.push({
    name: 'relay_messages_dropped_total',
    type: 'counter',
    help: 'Messages meant for a subscriber and not handed to its socket, by reason (the drop ledger)',
    values: Object.entries(relay.front.ledger.byReason).map(([reason, value]) => ({ labels: { reason }, value })),
  });
  gauge(readings, 'relay_connections', 'Open WebSocket connections', relay.front.connectionCount);
  gauge(readings, 'relay_subscriptions', 'Topics and patterns with subscribers', relay.front.subscriptionCount);
  for (const [name, value] of Object.entries(relay.gateway.metrics) as [string, number][]) {
    readings.push({
      name: `relay_http_${snake(name)}_total`,
      type: 'counter',
      help: HTTP_HELP[name] ?? name,
      values: [{ value }],
    });
  }
  readings.push(...serverReadings(relay), ...authReadings(relay.auth), {
    name: 'relay_ops_refused_total',
    type: 'counter',
    help: 'Requests to the ops port turned away: no opsToken or another one, or what a web page would have sent',
    values: [{ value: relay.opsRefused }],
  });
  const { limits } = relay.front;
  readings.push({
    name: 'relay_rate_limit_refusals_total',
    type: 'counter',
    help: 'Commands and connects refused, by limit of rateLimits (label `limit`: connection.publish, and so on)',
    values: [...limits.refusedByLimit].map(([limit, value]) => ({ labels: { limit }, value })),
  });
  gauge(
    readings,
    'relay_load_level',
    'Load level: 0 takes everything, 1 no new connections, 2 no new subscriptions and starts',
    limits.load.level,
  );
  gauge(
    readings,
    'relay_held_bytes',
    "Bytes of clients' messages that wait for their turn, or for a decision",
    relay.front.heldBytes,
  );
  gauge(readings, 'relay_limited_peers', 'Subjects and addresses that are known for their limits', limits.peerCount);
  gauge(readings, 'relay_calls_pending', 'CALLs of all connections that wait for their last answer', relay.front.callCount);
  gauge(readings, 'relay_service_instances', 'Service instances of all lanes', relay.front.instanceCount);
  gauge(
    readings,
    'relay_slow_sessions',
    'Connections for which something waits',
    relay.front.slowSessions(Number.POSITIVE_INFINITY).length,
  );
  gauge(readings, 'relay_journal_bytes', 'Bytes of the workflow journal, in memory', relay.front.journal.bytes);
  readings.push(...auditReadings(relay.audit));
  gauge(readings, 'relay_http_pending', 'HTTP requests that wait for a lane', relay.gateway.pendingCount);
  gauge(readings, 'relay_process_resident_memory_bytes', 'Resident memory of the process', process.memoryUsage.rss());
  const lanes = Array.from({ length: Math.max(1, relay.laneCount) }, (_, lane) => lane);
  const metricsOf = (lane: number): Float64Array =>
    relay.lanes instanceof LanePool ? relay.lanes.metrics(lane) : relay.lanes.metrics;
  readings.push({
    name: 'relay_latency_seconds',
    type: 'histogram',
    help: 'Where the time goes, by stage (docs/metrics.md)',
    values: STAGE_NAMES.filter((stage) => !PROCESS_STAGES.has(stage)).map((stage) =>
      histogramOf(relay.telemetry.counts(stage), { stage }),
    ),
  });
  readings.push({
    name: 'relay_gc_pause_seconds',
    type: 'histogram',
    help: 'Pauses of the garbage collector, of all threads',
    values: [histogramOf(relay.telemetry.counts('gcPause'), {})],
  });
  readings.push({
    name: 'relay_event_loop_delay_seconds',
    type: 'histogram',
    help: "How late the main thread's event loop was for a timer of 20 ms",
    values: [histogramOf(relay.telemetry.counts('eventLoopDelay'), {})],
  });
  readings.push({
    name: 'relay_lane_utilisation_ratio',
    type: 'gauge',
    help: 'Share of its time that the lane was at work, in the last second',
    values: relay.laneUtilisation.map((value, lane) => ({ labels: { lane: String(lane) }, value })),
  });
  for (const name of [...LANE_COUNTERS, ...LANE_GAUGES]) {
    const isCounter = (LANE_COUNTERS as readonly string[]).includes(name);
    // Times go out in seconds, as all times do.
    const [base, scale] = name.endsWith('Us') ? [`${name.slice(0, -2)}Seconds`, 1e-6] : [name, 1];
    readings.push({
      name: `relay_lane_${snake(base)}${isCounter ? '_total' : ''}`,
      type: isCounter ? 'counter' : 'gauge',
      help: `${LANE_METRIC_HELP[name]}, by lane`,
      values: lanes.map((lane) => ({
        labels: { lane: String(lane) },
        value: (metricsOf(lane)[LaneMetric[name]] as number) * scale,
      })),
    });
  }
  if (relay.lanes instanceof LanePool) {
    const status = relay.lanes.status();
    const perLane = (
      name: string,
      type: 'counter' | 'gauge',
      help: string,
      read: (lane: (typeof status)[number]) => number,
    ): void => {
      readings.push({
        name,
        type,
        help,
        values: status.map((lane) => ({ labels: { lane: String(lane.lane) }, value: read(lane) })),
      });
    };
    perLane('relay_lane_egress_used_bytes', 'gauge', 'Bytes in the egress ring', (lane) => lane.egressUsedBytes);
    perLane('relay_lane_ingress_used_bytes', 'gauge', 'Bytes in the ingress ring', (lane) => lane.ingressUsedBytes);
    perLane(
      'relay_lane_backlog_records',
      'gauge',
      'Control records that wait for room in the ingress ring',
      (lane) => lane.backlogCount,
    );
    perLane('relay_lane_restarts_total', 'counter', 'Times the lane was replaced', (lane) => lane.restarts);
    perLane('relay_lane_front_wakes_total', 'counter', 'Times the lane woke the front', (lane) => lane.poller.rings);
    perLane('relay_lane_heartbeat_age_seconds', 'gauge', 'Time since the last heartbeat seen', (lane) => lane.silentMs / 1_000);
  }
  return readings;
}

/** What the public port counts itself. */
function serverReadings({ server, tls }: Relay): MetricReading[] {
  const counter = (name: string, help: string, value: number): MetricReading => ({
    name,
    type: 'counter',
    help,
    values: [{ value }],
  });
  return [
    counter('relay_http_bodies_refused_total', 'Requests answered 503: httpBodiesBytesMax', server.httpBodiesRefused),
    counter('relay_http_bodies_timed_out_total', 'Requests answered 408: httpBodyTimeoutMs', server.httpBodiesTimedOut),
    counter(
      'relay_http_malformed_total',
      'Requests answered 400 for their head: two lengths, and the like',
      server.requestsMalformed,
    ),
    {
      name: 'relay_http_connections',
      type: 'gauge',
      help: 'Connections that are no WebSocket, or not yet',
      values: [{ value: server.httpConnections }],
    },
    counter(
      'relay_http_connections_refused_total',
      'Connections closed at once: httpConnectionsMax',
      server.httpConnectionsRefused,
    ),
    counter('relay_origins_refused_total', 'Upgrades and requests answered 403: allowedOrigins', server.originsRefused),
    {
      name: 'relay_tls_certificate_expires_seconds',
      type: 'gauge',
      help: 'Until the first certificate of a chain ends; by `server_name`, which is empty for the one for everybody. Only with TLS',
      values: (tls?.expirySeconds() ?? []).map(({ serverName, seconds }) => ({
        labels: { server_name: serverName },
        value: seconds,
      })),
    },
    counter(
      'relay_tls_reloads_failed_total',
      'Times that new certificates could not be used and the old ones stayed',
      tls?.failedReloads ?? 0,
    ),
  ];
}

/** Seconds: from what a socket write takes to what nobody waits for. */
const BOUNDS_SECONDS = [
  0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
  10, 30, 60,
];
const BOUNDS_US = BOUNDS_SECONDS.map((seconds) => seconds * 1e6);

function histogramOf(counts: LatencyCounts, labels: Readonly<Record<string, string>>): HistogramValue {
  return {
    labels,
    bounds: BOUNDS_SECONDS,
    cumulative: counts.cumulative(BOUNDS_US),
    count: counts.count,
    sum: counts.sumUs / 1e6,
  };
}

function gauge(readings: MetricReading[], name: string, help: string, value: number): void {
  readings.push({ name, type: 'gauge', help, values: [{ value }] });
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
