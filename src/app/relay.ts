/**
 * The composition root: builds lanes, front, HTTP gateway and transport from a configuration, starts and drains them.
 *
 * Thread: main. The only place where the rooms meet; nothing here is on the path of a message.
 */
import { readFileSync } from 'node:fs';
import type { AuditLog, AuditNotice } from '../audit/audit-log.ts';
import type { AuthEvent } from '../auth/auth-events.ts';
import { systemClock } from '../base/clock.ts';
import { Front, type SessionEvent } from '../front/front.ts';
import { HttpGateway } from '../front/http-gateway.ts';
import type { LoadChange } from '../front/limits/load-shedding.ts';
import { InlineLanes } from '../pool/inline-lanes.ts';
import { autoLaneCount, type LaneEvent, LanePool } from '../pool/lane-pool.ts';
import { CONNECT_PATH } from '../protocol/types.ts';
import { observeGcPauses } from '../telemetry/gc-pauses.ts';
import { isWindow } from '../telemetry/latency-windows.ts';
import { isStage } from '../telemetry/stages.ts';
import { OpsServer } from '../transport/ops-server.ts';
import { UwsServer } from '../transport/uws-server.ts';
import { readOpsToken } from './auth-checks.ts';
import { frontOptions, httpOptions, laneOptions, type RelayConfig } from './config.ts';
import { healthOf, type RelayHealth } from './health.ts';
import { HealthTopic } from './health-topic.ts';
import { LatencyLogFile } from './latency-log-file.ts';
import { LoadProbe } from './load-probe.ts';
import { opsPageFiles } from './ops-page.ts';
import { OpsStateReader, versionOf } from './ops-state.ts';
import { RelayAdmin } from './relay-admin.ts';
import { type ConfigOrigins, createAuditLog, recordLane, recordStart } from './relay-audit.ts';
import { RelayAuth } from './relay-auth.ts';
import { MetricsText } from './relay-metrics.ts';
import { RelayTls, type TlsEvent } from './relay-tls.ts';
import { asksWho } from './settings/auth.ts';
import { RelayTelemetry } from './telemetry.ts';

/** Time-driven work of front, lanes and gateway: fine enough for timeouts in seconds, coarse enough to cost nothing. */
const TICK_MS = 100;

const readText = (path: string): string => readFileSync(path, 'utf8');

export interface RelayHooks {
  readonly onLaneEvent?: (event: LaneEvent) => void;
  /** Connections, as they come and go. */
  readonly onSession?: (event: SessionEvent) => void;
  /** What authentication has to tell its operators. */
  readonly onAuthEvent?: (event: AuthEvent) => void;
  /** It begins or ceases to refuse new work. */
  readonly onLoadChange?: (change: LoadChange) => void;
  /** A file that cannot be written: told once, and the relay goes on without it. */
  readonly onLogFailure?: (path: string, error: Error) => void;
  /** Certificates that end soon, were replaced, or could not be. */
  readonly onTls?: (event: TlsEvent) => void;
  /** What an operator must know of the audit log. */
  readonly onAuditNotice?: AuditNotice;
  /** Where settings come from, for the audit log. */
  readonly configOrigins?: ConfigOrigins;
  /** The lanes' thread entry; fault tests bring their own. */
  readonly laneWorkerUrl?: URL;
}

export class Relay {
  readonly config: RelayConfig;
  /** Null: nobody is asked who they are, and everybody may do everything. */
  readonly auth: RelayAuth | null;
  readonly front: Front;
  readonly gateway: HttpGateway;
  readonly telemetry: RelayTelemetry;
  readonly lanes: LanePool | InlineLanes;
  readonly laneCount: number;
  readonly server: UwsServer;
  /** Null: no TLS. */
  readonly tls: RelayTls | null;
  /** Null: none is kept. */
  readonly audit: AuditLog | null;
  readonly #configOrigins: ConfigOrigins;
  readonly #ops: OpsServer | null;
  readonly #opsState: OpsStateReader;
  readonly #healthTopic: HealthTopic;
  readonly #latencyLog: LatencyLogFile | null;
  readonly #hooks: RelayHooks;
  #opsToken: string | null;
  #ticker: NodeJS.Timeout | null = null;
  #state: 'new' | 'ready' | 'draining' | 'stopped' = 'new';
  port = 0;
  opsPort = 0;

  constructor(config: RelayConfig, hooks: RelayHooks = {}) {
    this.config = config;
    this.#hooks = hooks;
    const { token, problem } = readOpsToken(config, readText);
    if (problem !== null) throw new Error(problem);
    this.#opsToken = token;
    this.auth = asksWho(config) ? new RelayAuth(config, systemClock, (event) => this.tellAuth(event)) : null;
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
    this.front = new Front(frontOptions(config), this.lanes, systemClock, this.auth);
    this.front.onSession = hooks.onSession ?? null;
    const { audit } = this;
    if (audit !== null) {
      this.front.onSecurity = (event) => audit.record(event);
      this.front.isAuditBlocked = () => audit.isBlocked;
    }
    this.front.onLoadChange = hooks.onLoadChange ?? null;
    this.gateway = new HttpGateway(this.front, httpOptions(config), systemClock, this.auth?.authenticator ?? null);
    // Before all that has timers: what throws here leaves nothing behind that runs.
    this.tls = config.tlsCertFile === '' ? null : new RelayTls(config, systemClock, (event) => this.#tellTls(event));
    this.server = new UwsServer(config, this.front, this.gateway, systemClock, this.tls?.certificates);
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
    this.#opsState = new OpsStateReader(this, systemClock);
    const metricsText = new MetricsText(this);
    this.#ops =
      config.opsPort === 0
        ? null
        : new OpsServer(
            { host: config.opsHost, port: config.opsPort, token: () => this.#opsToken },
            {
              health: () => this.health(),
              metrics: () => metricsText.read(),
              latency: () => this.telemetry.report(),
              hgrm: (stage, window) => (isStage(stage) && isWindow(window) ? this.telemetry.hgrm(stage, window) : null),
              slow: (countMax) => this.front.slowSessions(countMax),
              state: () => this.#opsState.state(),
              page: opsPageFiles,
              admin: new RelayAdmin(this),
            },
          );
  }

  /** Listens; the ports that were given out are in `port` and `opsPort`. Rejects where a port is taken. */
  async start(): Promise<void> {
    await this.#openAudit();
    this.lanes.start(this.front.laneEvents);
    this.auth?.start();
    const loadProbe = new LoadProbe(systemClock, TICK_MS);
    this.#ticker = setInterval(() => {
      this.front.sampleLoad(loadProbe.sample());
      this.front.tick();
      this.lanes.tick();
      this.gateway.tick();
      this.server.tick();
      this.tls?.tick();
      this.telemetry.tick();
      this.auth?.tick();
      this.audit?.tick();
      this.#healthTopic.tick(this.health());
      this.#opsState.tick();
    }, TICK_MS);
    try {
      this.port = await this.server.listen();
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

  /** Reads again what may change while the relay runs: certificates (which tell by `onTls`), the audit log's file, keys, and the operators' token. What is not valid changes nothing; all that is wrong is returned. */
  async reload(): Promise<readonly string[]> {
    this.#certificateProblems = [];
    this.#reloadCertificates();
    this.audit?.reopen();
    const { token, problem } = readOpsToken(this.config, readText);
    if (problem === null) this.#opsToken = token;
    const keyProblems = (await this.auth?.reload()) ?? [];
    if (this.auth !== null) this.#recordReload('keys', keyProblems);
    return [...this.#certificateProblems, ...(problem === null ? [] : [problem]), ...keyProblems];
  }

  /** Of the last reload. */
  #certificateProblems: readonly string[] = [];

  #recordReload(what: 'keys' | 'certificates', problems: readonly string[]): void {
    const refused = problems.length > 0;
    this.audit?.record({
      kind: 'reloaded',
      what,
      outcome: refused ? 'refused' : 'done',
      ...(refused ? { details: { problems } } : {}),
    });
  }

  #tellTls(event: TlsEvent): void {
    if (event.kind === 'replaced') this.#recordReload('certificates', []);
    else if (event.kind === 'refused') {
      this.#certificateProblems = event.problems;
      this.#recordReload('certificates', event.problems);
    }
    this.#hooks.onTls?.(event);
  }

  tellAuth(event: AuthEvent): void {
    this.#hooks.onAuthEvent?.(event);
  }

  get asksForOpsToken(): boolean {
    return this.#opsToken !== null;
  }

  get opsRefused(): number {
    return this.#ops?.refusedCount ?? 0;
  }

  /** Where clients find it, as far as this host knows. */
  get url(): string {
    const host = this.config.host.includes(':') ? `[${this.config.host}]` : this.config.host;
    return `${this.tls === null ? 'ws' : 'wss'}://${host}:${this.port}${CONNECT_PATH}`;
  }

  /** Reads the certificates again; what comes of it goes to `onTls`. For new connections only, and never worse than before. */
  #reloadCertificates(): void {
    this.tls?.reload((certificates) => this.server.replaceCertificates(certificates));
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
    this.auth?.close();
    this.gateway.close();
    this.#opsState.close();
    this.#healthTopic.stop();
    this.server.close();
    await this.lanes.close();
    this.telemetry.close();
    await this.#latencyLog?.close();
    this.audit?.record({ kind: 'stopped' });
    await this.audit?.close();
    this.#ops?.close(); // Last: who watches the end should see it.
  }
}
