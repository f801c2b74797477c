/**
 * Makes the runs of bench:workflow: a fresh relay and generator per round and number of lanes; in it runs to warm up, runs one after the other, and the
 * measured ones all at once. And what all of them come to.
 */
import { median, rotated, rounded } from '../support/figures.ts';
import { GeneratorProcess } from '../support/generator-process.ts';
import { isDisturbed, leastDisturbed, type Measured, measureQuietly, waitForQuiet } from '../support/quiet.ts';
import { freePort, parseRelayName, relayArgs, startServer } from '../support/server-process.ts';
import type { RunsReport, WorkflowLoad } from './plan.ts';

const CONNECT_MS_MAX = 30_000;
const SET_MS_MAX = 300_000;
/** Room for what waits for one connection: a watcher that is slow for a moment must not be cut, nor an instance. */
const SEND_QUEUE_BYTES_MAX = 64 * 1024 * 1024;

export interface WorkflowSettings {
  readonly rounds: number;
  readonly servers: readonly string[];
  readonly settleSecondsMax: number;
  readonly repeatsMax: number;
  readonly load: WorkflowLoad;
}

export interface SetRun {
  readonly round: number;
  readonly server: string;
  readonly isDisturbed: boolean;
  /** The measured runs. */
  readonly result: RunsReport;
  readonly alone: RunsReport;
  readonly warmup: RunsReport;
}

/** `told` hears of each set when it is made. The relay has been built. */
export async function runSets(settings: WorkflowSettings, told: (run: SetRun) => void): Promise<SetRun[]> {
  const runs: SetRun[] = [];
  for (let round = 0; round < settings.rounds; round++) {
    for (const server of rotated(settings.servers, round)) {
      const sets = await measureQuietly(async () => {
        const sets = await runServer(settings, server);
        return { ...measuredOf(sets.result), sets };
      }, settings.repeatsMax);
      for (const measured of sets) {
        const run = { round, server, isDisturbed: isDisturbed(measured), ...measured.sets };
        runs.push(run);
        told(run);
      }
    }
  }
  return runs;
}

function measuredOf({ machine, elapsedSeconds, cores }: RunsReport): Measured {
  return { machine, elapsedSeconds, cores };
}

async function runServer(
  { load, settleSecondsMax }: WorkflowSettings,
  server: string,
): Promise<Pick<SetRun, 'result' | 'alone' | 'warmup'>> {
  const relay = parseRelayName(server);
  if (relay === null) throw new RangeError(`'${server}' is no relay-LANES[+setting=value ...]`);
  await waitForQuiet(settleSecondsMax);
  const port = await freePort();
  const settings = [`send-queue-bytes-max=${SEND_QUEUE_BYTES_MAX}`, ...relay.settings];
  const running = await startServer(relayArgs(port, relay.lanes, settings));
  const generator = new GeneratorProcess(new URL('./generator.ts', import.meta.url));
  const ask = (name: string, runs: number): Promise<RunsReport> => generator.ask({ name, runs }, SET_MS_MAX);
  try {
    await generator.ask({ name: 'connect', port, pid: running.pid, load }, CONNECT_MS_MAX);
    const warmup = await ask('runAtOnce', load.warmupRuns);
    const alone = await ask('runAlone', load.aloneRuns);
    await waitForQuiet(settleSecondsMax);
    const result = await ask('runAtOnce', load.runs);
    return { result, alone, warmup };
  } finally {
    await generator.dismiss();
    await running.stop();
  }
}

const FIGURES = {
  'runs/s': ({ result }: SetRun) => result.runsPerSecond,
  'steps/s': ({ result }: SetRun) => result.stepsPerSecond,
  'wall us/step': ({ result }: SetRun) => result.wallUsPerStep,
  'cpu us/step': ({ result }: SetRun) => result.serverCpuUsPerStep,
  'wall us/stage': ({ result }: SetRun) => result.wallUsPerStage,
  'cpu us/stage': ({ result }: SetRun) => result.serverCpuUsPerStage,
  'p50 ms': ({ result }: SetRun) => result.durationMs.p50,
  'p99 ms': ({ result }: SetRun) => result.durationMs.p99,
  'alone p50 ms': ({ alone }: SetRun) => alone.durationMs.p50,
  'alone p99 ms': ({ alone }: SetRun) => alone.durationMs.p99,
  'RSS MB': ({ result }: SetRun) => result.serverRssMb,
  'generator cpu us/step': ({ result }: SetRun) => result.generatorCpuUsPerStep,
} as const;

/** What may not happen, over all sets of a run. */
const COUNTS = {
  'runs missing': (report: RunsReport) => report.runs - report.succeededRuns,
  'wrong results': (report: RunsReport) => report.wrongResults,
  'steps lost': (report: RunsReport) => report.stepsLost + report.stepsNotAccepted,
  'steps doubled': (report: RunsReport) => report.stepsDoubled + report.stepsAcceptedTwice,
  foreign: (report: RunsReport) => report.foreign,
  errors: (report: RunsReport) => Object.values(report.errorsByCode).reduce((sum, count) => sum + count, 0),
} as const;
type Count = keyof typeof COUNTS;
const COUNT_NAMES = Object.keys(COUNTS) as readonly Count[];
/** Counted, and no fault: an attempt that failed and was followed by another. */
const RETRIED = 'attempts again';
export type Figure = keyof typeof FIGURES | typeof RETRIED | Count;
export const FIGURE_NAMES = [...Object.keys(FIGURES), RETRIED, ...COUNT_NAMES] as readonly Figure[];

export type Medians = Readonly<Record<string, Readonly<Record<Figure, number>>>>;

/** Medians of the rounds by server; what may not happen is added up over all of them, repeated ones too. */
export function mediansOf(settings: WorkflowSettings, runs: readonly SetRun[]): Medians {
  const summary = (server: string): Record<Figure, number> => {
    const own = runs.filter((run) => run.server === server);
    const counted = Array.from({ length: settings.rounds }, (_, round) => {
      const ofRound = own.filter((run) => run.round === round);
      const best = leastDisturbed(ofRound.map(({ result }) => result));
      return ofRound.find(({ result }) => result === best);
    }).filter((run) => run !== undefined);
    return Object.fromEntries([
      ...Object.entries(FIGURES).map(([name, figure]) => [name, rounded(median(counted.map(figure)), 3)]),
      [
        RETRIED,
        own.reduce(
          (sum, run) =>
            sum + total(run, ({ retriesByCode }) => Object.values(retriesByCode).reduce((sum, count) => sum + count, 0)),
          0,
        ),
      ],
      ...COUNT_NAMES.map((name) => [name, own.reduce((sum, run) => sum + total(run, COUNTS[name]), 0)]),
    ]) as Record<Figure, number>;
  };
  return Object.fromEntries(settings.servers.map((server) => [server, summary(server)]));
}

/** Over all that one relay was asked for. */
function total({ result, alone, warmup }: SetRun, count: (report: RunsReport) => number): number {
  return [warmup, alone, result].reduce((sum, report) => sum + count(report), 0);
}

export function problemsOf(runs: readonly SetRun[]): string[] {
  return runs.flatMap((run) =>
    COUNT_NAMES.filter((name) => total(run, COUNTS[name]) !== 0).map(
      (name) =>
        `round ${run.round + 1}, ${run.server}: ${name} ${total(run, COUNTS[name])} ${JSON.stringify({ ...run.warmup.errorsByCode, ...run.alone.errorsByCode, ...run.result.errorsByCode })}`,
    ),
  );
}
