/**
 * Run: the coordinator. Starts the generator processes, gives them one start time, samples the server, and adds up what they report.
 *
 * Main process. It carries no load itself, so that its timers and the sampling of /proc disturb nothing.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { LatencyHistogram } from '../../telemetry/latency-histogram.ts';
import { entryUrl, hasEntries } from './entry-url.ts';
import type { FromWorker, Refusal, ToWorker, WorkerReport } from './ipc.ts';
import { type BenchOptions, completeOptions } from './options.ts';
import { messageCount, warmupCount } from './plan.ts';
import { type MachineCpu, machineFigures, readCpuSeconds, readMachineCpu, readMemory } from './proc-stat.ts';
import type { BenchResult, ReconnectFigures } from './result.ts';
import { nowUs } from './shared-clock.ts';

/** Time to spread the start message and start the tickers. */
const START_DELAY_MS = 500;
/** Over what the schedule itself takes. */
const CONNECT_GRACE_MS = 60_000;
const RUN_GRACE_MS = 45_000;
const EXIT_GRACE_MS = 5_000;

/** The run could not be made: no server, refused, a generator died. */
export class BenchRunError extends Error {
  override readonly name = 'BenchRunError';
}

/** Makes one run. What is left out of `changes` has its default. Throws BenchOptionsError and BenchRunError. */
export async function runBench(changes: Partial<BenchOptions>): Promise<BenchResult> {
  const options = completeOptions(changes);
  if (!hasEntries()) throw new BenchRunError('this build has no load generator; run it from the sources: npm run relay -- bench');
  const crew = new Crew(options.processes);
  try {
    return await conduct(options, crew);
  } finally {
    await crew.dismiss();
  }
}

async function conduct(options: BenchOptions, crew: Crew): Promise<BenchResult> {
  const runId = randomInt(1, 0x1_0000_0000 - 1);
  const { assertions: _assertions, ...workerOptions } = options;
  crew.tellEach((processIndex) => ({ name: 'plan', options: workerOptions, processIndex, runId }));
  const connectMs = CONNECT_GRACE_MS + (options.connections / options.connectRate) * 1000;
  const ready = await crew.hearAll('ready', connectMs);
  const connectTime = new LatencyHistogram();
  for (const { connectHistogram } of ready) connectTime.addBase64(connectHistogram);

  const t0Us = Math.ceil(nowUs() + START_DELAY_MS * 1000);
  const measureStartUs = t0Us + (warmupCount(options) * 1_000_000) / options.rate;
  const endUs = t0Us + (messageCount(options) * 1_000_000) / options.rate;
  crew.tellEach(() => ({ name: 'start', t0Us }));
  let cpuAtStartSeconds: number | null = null;
  let machineAtStart: MachineCpu | null = null;
  let ownCpuAtStart = process.cpuUsage();
  const sampling = setTimeout(
    () => {
      cpuAtStartSeconds = options.pid === null ? null : readCpuSeconds(options.pid);
      machineAtStart = readMachineCpu();
      ownCpuAtStart = process.cpuUsage();
    },
    (measureStartUs - nowUs()) / 1000,
  );
  let drained: readonly Extract<FromWorker, { name: 'drained' }>[];
  try {
    drained = await crew.hearAll('drained', (endUs - nowUs()) / 1000 + RUN_GRACE_MS);
  } finally {
    clearTimeout(sampling);
  }
  const cpuAtEndSeconds = options.pid === null ? null : readCpuSeconds(options.pid);
  const machineAtEnd = readMachineCpu();
  const memory = options.pid === null ? null : readMemory(options.pid);
  const ownCpu = process.cpuUsage(ownCpuAtStart);

  const refused: readonly Refusal[] = drained.flatMap((message) => message.refused);
  crew.tellEach(() => ({ name: 'finish', refused }));
  const done = await crew.hearAll('done', RUN_GRACE_MS);
  const reports = done.map((message) => message.report);

  const latency = new LatencyHistogram();
  const fromSend = new LatencyHistogram();
  const lag = new LatencyHistogram();
  for (const report of reports) {
    latency.addBase64(report.latencyHistogram);
    fromSend.addBase64(report.fromSendHistogram);
    lag.addBase64(report.lagHistogram);
  }
  if (options.hgrmPath !== null) writeFileSync(options.hgrmPath, latency.toHgrm());
  const lagMs = lag.summaryMs();
  const total = (key: NumberKey): number => reports.reduce((sum, report) => sum + report[key], 0);
  const delivered = total('delivered');
  const lastReceiptUs = Math.max(...reports.map((report) => report.lastReceiptUs));
  const elapsedSeconds = Math.max(lastReceiptUs - measureStartUs, 1) / 1_000_000;
  const serverCpuSeconds = cpuAtStartSeconds === null || cpuAtEndSeconds === null ? null : cpuAtEndSeconds - cpuAtStartSeconds;
  const generatorCpuSeconds = total('cpuSeconds') + (ownCpu.user + ownCpu.system) / 1_000_000;

  const result: BenchResult = {
    mode: options.mode,
    target: options.target,
    url: options.url,
    connections: options.connections,
    rooms: options.rooms,
    publishersPerRoom: options.publishers,
    rate: options.rate,
    payloadBytes: options.payloadBytes,
    durationSeconds: options.durationSeconds,
    warmupSeconds: options.warmupSeconds,
    elapsedSeconds: round(elapsedSeconds, 3),
    processes: options.processes,
    acks: options.acks,
    seed: options.seed,
    published: total('published'),
    expected: total('expected'),
    delivered,
    lost: total('lost'),
    lostInWarmup: total('lostInWarmup'),
    duplicated: total('duplicated'),
    reordered: total('reordered'),
    foreign: total('foreign'),
    latencyMs: latency.summaryMs(),
    fromSendMs: fromSend.summaryMs(),
    generatorLagMs: { p50: lagMs.p50, p99: lagMs.p99, max: lagMs.max },
    connectMs: connectTime.summaryMs(),
    connectRetries: ready.reduce((sum, message) => sum + message.connectRetries, 0),
    deliveriesPerSecond: round(delivered / elapsedSeconds, 1),
    publishErrorsByCode: merge(reports.map((report) => report.publishErrorsByCode)),
    unanswered: total('unanswered'),
    disconnectsByCode: merge(reports.map((report) => report.disconnectsByCode)),
    eventsByKind: merge(reports.map((report) => report.eventsByKind)),
    goaways: total('goaways'),
    reconnect: options.mode === 'reconnect' ? reconnectFigures(reports) : null,
    churn: options.mode === 'churn' ? { left: total('left'), cameBack: total('cameBack') } : null,
    slow:
      options.mode === 'slow'
        ? { members: total('slowMembers'), endedByCode: merge(reports.map((report) => report.slowEndedByCode)) }
        : null,
    serverCpuSeconds: serverCpuSeconds === null ? null : round(serverCpuSeconds, 2),
    serverRssMb: memory === null ? null : round(memory.rssMb, 1),
    serverRssPeakMb: memory === null ? null : round(memory.rssPeakMb, 1),
    cpuUsPerDelivery: serverCpuSeconds === null || delivered === 0 ? null : round((serverCpuSeconds * 1_000_000) / delivered, 2),
    generatorCpuSeconds: round(generatorCpuSeconds, 2),
    generatorCpuUsPerDelivery: delivered === 0 ? 0 : round((generatorCpuSeconds * 1_000_000) / delivered, 2),
    machine: machineFigures(machineAtStart, machineAtEnd, serverCpuSeconds, generatorCpuSeconds),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    date: new Date().toISOString(),
  };
  for (const histogram of [latency, fromSend, lag, connectTime]) histogram.destroy();
  return result;
}

function reconnectFigures(reports: readonly WorkerReport[]): ReconnectFigures {
  const sum = (key: NumberKey): number => reports.reduce((total, report) => total + report[key], 0);
  const nonRecoveredByReason = merge(reports.map((report) => report.nonRecoveredByReason));
  const cutUs = Math.min(...reports.map((report) => report.cutUs));
  const allCameBack = reports.every((report) => report.allBackUs > 0);
  return {
    cut: sum('cut'),
    recovered: sum('recovered'),
    nonRecovered: Object.values(nonRecoveredByReason).reduce((total, count) => total + count, 0),
    nonRecoveredByReason,
    replayed: sum('replayed'),
    backMs: allCameBack ? round((Math.max(...reports.map((report) => report.allBackUs)) - cutUs) / 1000, 1) : null,
    notBack: sum('notBack'),
  };
}

type NumberKey = { [Key in keyof WorkerReport]: WorkerReport[Key] extends number ? Key : never }[keyof WorkerReport];

function merge(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const merged: Record<string, number> = {};
  for (const count of counts) for (const [key, value] of Object.entries(count)) merged[key] = (merged[key] ?? 0) + value;
  return merged;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

type Heard<Name extends FromWorker['name']> = Extract<FromWorker, { readonly name: Name }>;

/** The generator processes. The first that fails or dies fails the run. */
class Crew {
  readonly #children: readonly ChildProcess[];
  readonly #heard: FromWorker[][];
  #failure: string | null = null;
  #isDismissed = false;
  #onChange: (() => void) | null = null;

  constructor(processes: number) {
    // A profile of the coordinator alone would be of no use: profiling flags are handed on, others are not.
    const profiling = process.execArgv.filter((flag) => flag.startsWith('--cpu-prof') || flag.startsWith('--heap-prof'));
    const execArgv = ['--disable-warning=ExperimentalWarning', ...profiling];
    this.#children = Array.from({ length: processes }, () => fork(entryUrl('worker'), [], { execArgv }));
    this.#heard = this.#children.map(() => []);
    for (const [processIndex, child] of this.#children.entries()) {
      child.on('message', (message) => {
        const said = message as FromWorker;
        if (said.name === 'failed') this.#fail(said.text);
        else this.#heard[processIndex]?.push(said);
        this.#onChange?.();
      });
      child.on('error', (error) => this.#fail(`a generator process failed: ${error.message}`));
      child.on('exit', (code, signal) => {
        if (!this.#isDismissed) this.#fail(`a generator process ended early: ${signal ?? code}`);
      });
    }
  }

  #fail(text: string): void {
    this.#failure ??= text;
    this.#onChange?.();
  }

  tellEach(messageFor: (processIndex: number) => ToWorker): void {
    for (const [processIndex, child] of this.#children.entries()) if (child.connected) child.send(messageFor(processIndex));
  }

  /** Waits until every process has said `name`, in the order of processes. */
  hearAll<Name extends FromWorker['name']>(name: Name, timeoutMs: number): Promise<Heard<Name>[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#onChange = null;
        reject(new BenchRunError(`the generator processes did not get to '${name}' within ${Math.round(timeoutMs / 1000)} s`));
      }, timeoutMs);
      const look = (): void => {
        const answers = this.#heard.map((said) => said.find((message): message is Heard<Name> => message.name === name));
        if (this.#failure === null && answers.includes(undefined)) return;
        clearTimeout(timer);
        this.#onChange = null;
        if (this.#failure !== null) reject(new BenchRunError(this.#failure));
        else resolve(answers.filter((answer) => answer !== undefined));
      };
      this.#onChange = look;
      look();
    });
  }

  /** Ends them all; resolves when they are gone. */
  async dismiss(): Promise<void> {
    this.#isDismissed = true;
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = new Promise((resolve) => child.once('exit', resolve));
        const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_GRACE_MS);
        if (child.connected) child.disconnect();
        await gone;
        clearTimeout(timer);
      }),
    );
  }
}
