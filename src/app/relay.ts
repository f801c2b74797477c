/**
 * The composition root: builds lanes, front, HTTP gateway and transport from a configuration, starts and drains them.
 *
 * Thread: main. The only place where the rooms meet; nothing here is on the path of a message.
 */
import type { AuditLog, AuditNotice } from '../audit/audit-log.ts';
import { systemClock } from '../base/clock.ts';
import { Front, type SessionEvent } from '../front/front.ts';
import { HttpGateway } from '../front/http-gateway.ts';
import { InlineLanes } from '../pool/inline-lanes.ts';
import { autoLaneCount, type LaneEvent, LanePool } from '../pool/lane-pool.ts';
import { observeGcPauses } from '../telemetry/gc-pauses.ts';
import { isWindow } from '../telemetry/latency-windows.ts';
import { isStage } from '../telemetry/stages.ts';
import { OpsServer } from '../transport/ops-server.ts';
import { UwsServer } from '../transport/uws-server.ts';
import { frontOptions, httpOptions, laneOptions, type RelayConfig } from './config.ts';
import { healthOf, type RelayHealth } from './health.ts';
import { HealthTopic } from './health-topic.ts';
import { LatencyLogFile } from './latency-log-file.ts';
import { opsPageFiles } from './ops-page.ts';
import { OpsStateReader, versionOf } from './ops-state.ts';
import { type ConfigOrigins, createAuditLog, recordLane, recordStart } from './relay-audit.ts';
import { relayMetrics } from './relay-metrics.ts';
import { RelayTelemetry } from './telemetry.ts';

/** Time-driven work of front, lanes and gateway: fine enough for timeouts in seconds, coarse enough to cost nothing. */
const TICK_MS = 100;

export interface RelayHooks {
  readonly onLaneEvent?: (event: LaneEvent) => void;
  /** Connections, as they come and go. */
  readonly onSession?: (event: SessionEvent) => void;
  /** A file that cannot be written: told once, and the relay goes on without it. */
  readonly onLogFailure?: (path: string, error: Error) => void;
  /** What an operator must know of the audit log. */
  readonly onAuditNotice?: AuditNotice;
  /** Where settings come from, for the audit log. */
  readonly configOrigins?: ConfigOrigins;
  /** The lanes' thread entry; fault tests bring their own. */
  readonly laneWorkerUrl?: URL;
}

export class Relay {
  readonly config: RelayConfig;
  readonly front: Front;
  readonly gateway: HttpGateway;
  readonly telemetry: RelayTelemetry;
  readonly lanes: LanePool | InlineLanes;
  readonly laneCount: number;
  /** Null: none is kept. */
  readonly audit: AuditLog | null;
  readonly #configOrigins: ConfigOrigins;
  readonly #server: UwsServer;
  readonly #ops: OpsServer | null;
  readonly #opsState: OpsStateReader;
  readonly #healthTopic: HealthTopic;
  readonly #latencyLog: LatencyLogFile | null;
  #ticker: NodeJS.Timeout | null = null;
  #state: 'new' | 'ready' | 'draining' | 'stopped' = 'new';
  port = 0;
  opsPort = 0;

  constructor(config: RelayConfig, hooks: RelayHooks = {}) {
    this.config = config;
    this.audit = createAuditLog(config, systemClock, hooks.onAuditNotice);
    this.#configOrigins = hooks.configOrigins ?? new Map();
    this.laneCount = config.lanes === 'auto' ? autoLaneCount() : config.lanes;
    // The seed is the only randomness a lane gets: its epochs must differ from those of every earlier process.
    const makeLaneOptions = (index: number, laneCount: number, firstSub: number, life: number) =>
      laneOptions(config, { index, laneCount, seed: crypto.getRandomValues(new Uint32Array(1))[0] as number, firstSub, life });
    const rings = {
      ingressRingBytes: config.ingressRingBytes,
      egressRingBytes: config.egressRingBytes,
      laneOptions: makeLaneOptions,
    };
    this.lanes =
      this.laneCount === 0
        ? new InlineLanes(rings, systemClock)
        : new LanePool(
            {
              ...rings,
              laneCount: this.laneCount,
              doorbell: config.doorbell === 'auto' ? 'waitAsync' : config.doorbell,
              rearmEmptyTurns: config.rearmEmptyTurns,
              idleStrategy: config.idleStrategy,
              laneStallMs: config.laneStallMs,
              laneRestartBackoffMsMax: config.laneRestartBackoffMsMax,
              laneHeapMbMax: config.laneHeapMbMax,
              onLaneEvent: (event) => {
                if (this.audit !== null) recordLane(this.audit, event);
                hooks.onLaneEvent?.(event);
              },
              ...(hooks.laneWorkerUrl === undefined ? {} : { workerUrl: hooks.laneWorkerUrl }),
            },
            systemClock,
          );
    this.front = new Front(frontOptions(config), this.lanes, systemClock);
    this.front.onSession = hooks.onSession ?? null;
    const { audit } = this;
    if (audit !== null) {
      this.front.onSecurity = (event) => audit.record(event);
      this.front.isAuditBlocked = () => audit.isBlocked;
    }
    const { lanes } = this;
    this.telemetry = new RelayTelemetry(
      systemClock,
      this.front.latencies,
      lanes instanceof LanePool ? Array.from({ length: lanes.count }, (_, lane) => lanes.latencies(lane)) : [lanes.latencies],
    );
    observeGcPauses(this.front.latencies.gcPause);
    this.#healthTopic = new HealthTopic(this.front);
    this.#latencyLog = config.latencyLogFile === '' ? null : new LatencyLogFile(config.latencyLogFile, hooks.onLogFailure);
    if (this.#latencyLog !== null) void this.telemetry.logTo((line) => this.#latencyLog?.write(line));
    this.gateway = new HttpGateway(this.front, httpOptions(config), systemClock);
    this.#server = new UwsServer(config, this.front, this.gateway);
    this.#opsState = new OpsStateReader(this, systemClock);
    this.#ops =
      config.opsPort === 0
        ? null
        : new OpsServer(
            { host: config.opsHost, port: config.opsPort },
            {
              health: () => this.health(),
              metrics: () => relayMetrics(this),
              latency: () => this.telemetry.report(),
              hgrm: (stage, window) => (isStage(stage) && isWindow(window) ? this.telemetry.hgrm(stage, window) : null),
              slow: (countMax) => this.front.slowSessions(countMax),
              state: () => this.#opsState.state(),
              page: opsPageFiles,
            },
          );
  }

  /** Listens; the ports that were given out are in `port` and `opsPort`. Rejects where a port is taken. */
  async start(): Promise<void> {
    await this.#openAudit();
    this.lanes.start(this.front.laneEvents);
    this.#ticker = setInterval(() => {
      this.front.tick();
      this.lanes.tick();
      this.gateway.tick();
      this.telemetry.tick();
      this.audit?.tick();
      this.#healthTopic.tick(this.health());
      this.#opsState.tick();
    }, TICK_MS);
    try {
      this.port = await this.#server.listen();
      if (this.#ops !== null) this.opsPort = await this.#ops.listen();
    } catch (error) {
      await this.#stop();
      throw error;
    }
    this.#state = 'ready';
    const { host, opsHost } = this.config;
    this.audit?.record({ kind: 'listening', host, port: this.port, opsHost, opsPort: this.opsPort });
  }

  /** First of all: what happens from here on is in it. */
  async #openAudit(): Promise<void> {
    if (this.audit === null) return;
    try {
      await this.audit.open();
    } catch (error) {
      await this.#stop();
      throw new Error(`auditLogFile cannot be used: ${(error as Error).message}`, { cause: error });
    }
    recordStart(this.audit, versionOf(), this.config, this.#configOrigins);
  }

  get httpBodiesRefused(): number {
    return this.#server.httpBodiesRefused;
  }

  get laneUtilisation(): readonly number[] {
    return this.#opsState.laneUtilisation;
  }

  health(): RelayHealth {
    return healthOf(this, this.#state);
  }

  /**
   * Graceful end: not ready any more, no new connections, every client sent home in a slot of its own, queues flushed, lanes finished.
   * Resolves when nothing is left. A second call waits for the first.
   */
  async drain(reason = 'shutdown'): Promise<void> {
    if (this.#state === 'draining' || this.#state === 'stopped') return this.#drained;
    this.#state = 'draining';
    this.audit?.record({ kind: 'draining', reason, connections: this.front.connectionCount });
    const { drainWindowMs, drainDeadlineMs } = this.config;
    this.#drained = new Promise<void>((resolve) => {
      this.front.drain({ windowMs: drainWindowMs, deadlineMs: drainDeadlineMs, reason }, resolve);
    }).then(() => this.#stop());
    return this.#drained;
  }
  #drained: Promise<void> = Promise.resolve();

  /** One that was never started: its threads and timers end. */
  abandon(): Promise<void> {
    return this.#stop();
  }

  async #stop(): Promise<void> {
    this.#state = 'stopped';
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.gateway.close();
    this.#opsState.close();
    this.#healthTopic.stop();
    this.#server.close();
    await this.lanes.close();
    this.telemetry.close();
    await this.#latencyLog?.close();
    this.audit?.record({ kind: 'stopped' });
    await this.audit?.close();
    this.#ops?.close(); // Last: who watches the end should see it.
  }
}
