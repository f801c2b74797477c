/**
 * GET /ops/state, read from where things are counted. Thread: main.
 *
 * Rates are differences of two samples that the relay takes itself once a second: right at the first request, and the same for everybody
 * who looks. A state is kept for a moment, so that many who look cost as much as one.
 */
import { readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { LaneMetric } from '../lane/lane-metrics.ts';
import type { LaneState, LatencyState, OpsState, ProcessState, RatesState } from '../ops/ops-state.ts';
import { LanePool } from '../pool/lane-pool.ts';
import { OpsProbe } from './ops-probe.ts';
import type { Relay } from './relay.ts';

const SAMPLE_INTERVAL_MS = 1_000;
const STATE_FRESH_MS = 250;
const DROP_TOPICS_MAX = 10;
const SLOW_SESSIONS_MAX = 20;

interface Sample {
  readonly atMs: number;
  /** Microseconds, of all threads. */
  readonly cpuUs: number;
  readonly counts: RatesState;
  /** By lane. */
  readonly lanePublishes: readonly number[];
  readonly laneBusyUs: readonly number[];
}

interface Rates {
  readonly laneUtilisation: readonly number[];
  readonly total: RatesState;
  readonly lanePublishes: readonly number[];
  readonly cpu: number;
}

export class OpsStateReader {
  readonly #relay: Relay;
  readonly #clock: Clock;
  readonly #version = versionOf();
  readonly #startedAtMs: number;
  #sample: Sample;
  #rates: Rates;
  #state: OpsState | null = null;
  #stateAtMs = Number.NEGATIVE_INFINITY;
  readonly #probe: OpsProbe;

  constructor(relay: Relay, clock: Clock) {
    this.#relay = relay;
    this.#clock = clock;
    this.#probe = new OpsProbe(relay.front);
    this.#startedAtMs = clock.nowMs();
    this.#sample = takeSample(relay, clock.monotonicMs());
    this.#rates = ratesBetween(this.#sample, this.#sample);
  }

  /** A few times a second. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sample.atMs < SAMPLE_INTERVAL_MS) return;
    const sample = takeSample(this.#relay, nowMs);
    this.#rates = ratesBetween(this.#sample, sample);
    this.#sample = sample;
    this.#probe.tick(nowMs);
  }

  state(): OpsState {
    const nowMs = this.#clock.monotonicMs();
    this.#probe.look(nowMs);
    if (this.#state === null || nowMs - this.#stateAtMs >= STATE_FRESH_MS) {
      this.#state = this.#read();
      this.#stateAtMs = nowMs;
    }
    return this.#state;
  }

  /** Share of its time that each lane was at work in the last second. */
  get laneUtilisation(): readonly number[] {
    return this.#rates.laneUtilisation;
  }

  close(): void {
    this.#probe.stop();
  }

  #read(): OpsState {
    const relay = this.#relay;
    const { live, ready, state, components } = relay.health();
    return {
      version: this.#version,
      nowMs: this.#clock.nowMs(),
      startedAtMs: this.#startedAtMs,
      state,
      health: { live, ready, components },
      connections: relay.front.connectionCount,
      connectionsMax: relay.config.connectionsMax,
      subscriptions: relay.front.subscriptionCount,
      rates: this.#rates.total,
      latency: latencyOf(relay),
      percentiles: { publishToLastWrite: relay.telemetry.curve('publishToLastWrite', '1m') },
      lanes: lanesOf(relay, this.#rates),
      process: processOf(relay, this.#rates),
      slow: relay.front.slowSessions(SLOW_SESSIONS_MAX),
      drops: { ...relay.front.ledger.byReason },
      dropTopics: relay.front.ledger.top(DROP_TOPICS_MAX),
      services: this.#probe.services,
      workflows: this.#probe.workflows,
    };
  }
}

/** Pauses of the collector and of the event loop are the process's, not a message's: they stand there. */
function latencyOf({ telemetry }: Relay): LatencyState {
  const { unit, stages } = telemetry.report();
  const { gcPause: _gcPause, eventLoopDelay: _eventLoopDelay, ...ofMessages } = stages;
  return { unit, stages: ofMessages };
}

function takeSample(relay: Relay, atMs: number): Sample {
  const lanes = laneMetricsOf(relay);
  const front = relay.front.metrics;
  const lanePublishes = lanes.map((metrics) => metrics[LaneMetric.publishes] as number);
  const { user, system } = process.cpuUsage();
  return {
    atMs,
    cpuUs: user + system,
    lanePublishes,
    laneBusyUs: lanes.map((metrics) => metrics[LaneMetric.busyUs] as number),
    counts: {
      publishes: sum(lanePublishes),
      deliveries: front.deliveries,
      bytesIn: front.bytesReceived,
      bytesOut: front.bytesSent,
      calls: sum(lanes.map((metrics) => metrics[LaneMetric.calls] as number)),
      connects: front.connectionsOpened,
    },
  };
}

function ratesBetween(before: Sample, after: Sample): Rates {
  const seconds = (after.atMs - before.atMs) / 1_000;
  // A lane that was replaced may count anew: less than before is no rate.
  const rate = (from: number, to: number): number => (seconds > 0 ? Math.max(0, to - from) / seconds : 0);
  const total = Object.fromEntries(
    Object.entries(after.counts).map(([name, count]) => [name, rate(before.counts[name as keyof RatesState], count)]),
  ) as unknown as RatesState;
  return {
    total,
    lanePublishes: after.lanePublishes.map((count, lane) => rate(before.lanePublishes[lane] ?? 0, count)),
    laneUtilisation: after.laneBusyUs.map((busyUs, lane) => Math.min(1, rate(before.laneBusyUs[lane] ?? 0, busyUs) / 1e6)),
    cpu: rate(before.cpuUs, after.cpuUs) / 1e6,
  };
}

function lanesOf(relay: Relay, rates: Rates): LaneState[] {
  const metrics = laneMetricsOf(relay);
  const { lanes, config } = relay;
  const status =
    lanes instanceof LanePool
      ? lanes.status()
      : // Inline: no thread that could be silent without the front, and so this answer, being silent too.
        [
          {
            lane: 0,
            state: 'running' as const,
            silentMs: 0,
            restarts: 0,
            ingressUsedBytes: lanes.ingressUsedBytes,
            egressUsedBytes: lanes.egressUsedBytes,
          },
        ];
  return status.map(({ lane, state, silentMs, restarts, ingressUsedBytes, egressUsedBytes }) => {
    const own = metrics[lane] as Float64Array;
    return {
      lane,
      state,
      silentMs: Math.round(silentMs),
      restarts,
      ingressUsedBytes,
      ingressBytes: config.ingressRingBytes,
      egressUsedBytes,
      egressBytes: config.egressRingBytes,
      utilisation: rates.laneUtilisation[lane] ?? 0,
      publishes: rates.lanePublishes[lane] ?? 0,
      topics: own[LaneMetric.topics] as number,
      sessions: own[LaneMetric.sessions] as number,
      callsInFlight: own[LaneMetric.callsInFlight] as number,
    };
  });
}

function processOf({ telemetry }: Relay, rates: Rates): ProcessState {
  const { stages } = telemetry.report();
  const { count, p99, max } = stages.gcPause.start;
  const delay = stages.eventLoopDelay['10s'];
  const { rss, heapUsed } = process.memoryUsage();
  return {
    rssBytes: rss,
    heapUsedBytes: heapUsed,
    cpu: rates.cpu,
    eventLoopDelayMs: { p50: delay.p50, p99: delay.p99, max: delay.max },
    gcPauseMs: { count, p99, max },
  };
}

// ----

function laneMetricsOf({ lanes, laneCount }: Relay): Float64Array[] {
  return lanes instanceof LanePool ? Array.from({ length: laneCount }, (_, lane) => lanes.metrics(lane)) : [lanes.metrics];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** package.json is two folders up, from the sources and from dist/server alike. */
export function versionOf(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return version;
}
