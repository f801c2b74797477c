/**
 * Pairs: servers under the same load, in interleaved rounds, so that a slow minute of the machine hits all of them: the relay, its floor, its peers.
 *
 *   node bench/run-pairs.ts --name rooms-10k --connections 10000 --rooms 1000 --rate 1000 --duration 8
 *   node bench/run-pairs.ts --name smoke --rounds 1 --servers floor --connections 50 --rooms 5 --rate 100 --duration 1 --warmup 0.5
 *
 * Question: what do order, history, limits and lanes cost per delivery over plain uWebSockets.js? Not: absolute figures, which are the machine's.
 * Every run gets a fresh server. A run that a neighbour disturbed is marked and repeated once; the one of the two that was disturbed less counts.
 * Not quite equal work: the relay answers each publish (one OK to its sender) unless --no-acks is given; floor and peers answer nothing.
 * A server that is not installed is skipped by name; a run that cannot be made is named in the results, and the others go on.
 * Flags besides --name, --rounds, --servers, --port and --settle go to the bench (see `relay bench --help`). Writes bench/results/NAME.json.
 */
import { basename } from 'node:path';
import process from 'node:process';
import { type BenchResult, BenchRunError, runBench } from '../src/cli/bench/command.ts';
import { type BenchOptions, parseFlags } from '../src/cli/bench/options.ts';
import { installedServers, PEERS, type ServerKind, serverKind, splitServers } from './peers/kinds.ts';
import { benchToken } from './support/bench-token.ts';
import { median, printTable, rotated } from './support/figures.ts';
import { isDisturbed, leastDisturbed, measureQuietly, takenByOthers, waitForQuiet } from './support/quiet.ts';
import { writeResults } from './support/results.ts';
import { buildRelay, freePort, startServer } from './support/server-process.ts';

const DEFAULT_SERVERS = 'floor,relay-1,relay-0';

const ROUNDS_MAX = 100;

interface Settings {
  readonly name: string;
  readonly rounds: number;
  readonly servers: readonly string[];
  /** 0: a free one each time. */
  readonly port: number;
  readonly settleSecondsMax: number;
  readonly load: BenchOptions;
}

interface Run {
  readonly round: number;
  readonly server: string;
  readonly isDisturbed: boolean;
  readonly result: BenchResult;
}

interface Failure {
  readonly round: number;
  readonly server: string;
  readonly text: string;
}

const FIGURES = {
  'cpu us/delivery': (result: BenchResult) => result.cpuUsPerDelivery,
  'p50 ms': (result: BenchResult) => result.latencyMs.p50,
  'p99 ms': (result: BenchResult) => result.latencyMs.p99,
  'send p50 ms': (result: BenchResult) => result.fromSendMs.p50,
  'send p99 ms': (result: BenchResult) => result.fromSendMs.p99,
  'RSS MB': (result: BenchResult) => result.serverRssMb,
  'RSS peak MB': (result: BenchResult) => result.serverRssPeakMb,
  'lag p99 ms': (result: BenchResult) => result.generatorLagMs.p99,
  'deliveries/s': (result: BenchResult) => result.deliveriesPerSecond,
  lost: (result: BenchResult) => result.lost,
  duplicated: (result: BenchResult) => result.duplicated,
  reordered: (result: BenchResult) => result.reordered,
} as const;
type Figure = keyof typeof FIGURES;
const FIGURE_NAMES = Object.keys(FIGURES) as Figure[];
/** What went wrong once is no less wrong for a median of 0: these are added up, over all runs. */
const COUNTS: readonly Figure[] = ['lost', 'duplicated', 'reordered'];

function readSettings(argv: readonly string[]): Settings {
  const own: Record<string, string> = { rounds: '5', servers: DEFAULT_SERVERS, port: '0', settle: '60' };
  const passedOn: string[] = [];
  const problems: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const [flag = '', inline] = (argv[index] as string).split('=', 2);
    const name = flag.slice(2);
    if (!flag.startsWith('--') || !['name', 'rounds', 'servers', 'port', 'settle'].includes(name))
      passedOn.push(argv[index] as string);
    else own[name] = inline ?? argv[++index] ?? '';
  }
  const whole = (name: string, min: number, max: number): number => {
    const value = Number(own[name]);
    if (!Number.isInteger(value) || value < min || value > max) {
      problems.push(`--${name} must be an integer in [${min}, ${max}], got '${own[name]}'`);
    }
    return value;
  };
  const servers = splitServers(own['servers'] ?? '');
  for (const server of servers) {
    if (serverKind(server) === null)
      problems.push(
        `--servers: '${server}' is neither relay-LANES[+setting=value ...] nor one of ${Object.keys(PEERS).join(', ')}`,
      );
  }
  const name = own['name'] ?? '';
  if (!/^[\w.-]+$/.test(name)) problems.push(`--name must be a file name of letters, digits, '.', '_' and '-', got '${name}'`);
  for (const taken of ['--url', '--target', '--pid', '--json', '--hgrm', '--assert']) {
    if (passedOn.some((argument) => argument === taken || argument.startsWith(`${taken}=`)))
      problems.push(`${taken} is set for each run`);
  }
  const { options, problems: loadProblems } = parseFlags(passedOn);
  problems.push(...loadProblems);
  const settings = {
    name,
    rounds: whole('rounds', 1, ROUNDS_MAX),
    servers: installedServers(servers.filter((server) => serverKind(server) !== null)),
    port: whole('port', 0, 65_535),
    settleSecondsMax: whole('settle', 0, 3600),
    load: options,
  };
  if (problems.length === 0 && settings.servers.length === 0) problems.push('--servers: none of them is installed');
  if (problems.length === 0) return settings;
  process.stderr.write(`run-pairs: wrong flags:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
  process.exit(2);
}

async function runOnce(settings: Settings, server: string): Promise<BenchResult> {
  const kind = serverKind(server) as ServerKind;
  const port = settings.port === 0 ? await freePort() : settings.port;
  await waitForQuiet(settings.settleSecondsMax);
  const running = await startServer(kind.command(port));
  try {
    return await runBench({
      ...settings.load,
      // Peers know no acks; asking for none is the relay's affair.
      acks: kind.target === 'relay' ? settings.load.acks : true,
      url: `ws://127.0.0.1:${port}${kind.path}`,
      target: kind.target,
      token: server.split('+').includes('auth') ? benchToken() : '',
      pid: running.pid,
    });
  } finally {
    await running.stop();
  }
}

/** The run that counts for a round. */
function counted(runs: readonly Run[], server: string, round: number): BenchResult | undefined {
  return leastDisturbed(runs.filter((run) => run.server === server && run.round === round).map((run) => run.result));
}

function figuresOf(runs: readonly Run[], server: string, rounds: number, figure: Figure): number[] {
  return Array.from({ length: rounds }, (_, round) => counted(runs, server, round))
    .map((result) => (result === undefined ? null : FIGURES[figure](result)))
    .filter((value) => value !== null);
}

interface Comparison {
  readonly server: string;
  readonly figure: Figure;
  /** The server's median over the reference's: above 1 the server needs more. */
  readonly ratioOfMedians: number;
  /** Median of server / reference taken round by round. */
  readonly medianOfRatios: number;
}

function compare(runs: readonly Run[], settings: Settings): Comparison[] {
  const reference = settings.servers[0] as string;
  return settings.servers.slice(1).flatMap((server) =>
    (['cpu us/delivery', 'p50 ms', 'p99 ms', 'RSS MB'] as const).map((figure) => {
      const floor = figuresOf(runs, reference, settings.rounds, figure);
      const own = figuresOf(runs, server, settings.rounds, figure);
      return {
        server,
        figure,
        ratioOfMedians: median(own) / median(floor),
        medianOfRatios: median(own.map((value, index) => value / (floor[index] ?? Number.NaN))),
      };
    }),
  );
}

function summaryOf(server: string, figure: Figure): number {
  if (!COUNTS.includes(figure)) return median(figuresOf(runs, server, settings.rounds, figure));
  return runs.filter((run) => run.server === server).reduce((sum, run) => sum + (FIGURES[figure](run.result) ?? 0), 0);
}

/** A server that breaks under the load is a finding about that server; the others are still measured. */
async function measured(server: string, round: number): Promise<BenchResult[]> {
  try {
    const results = await measureQuietly(() => runOnce(settings, server));
    const foreign = results.reduce((sum, result) => sum + result.foreign, 0);
    // Not the load that was asked for: a room got what was not meant for it, or got it changed. A figure of that compares nothing.
    if (foreign > 0) throw new BenchRunError(`${foreign} messages came that were not for their receivers`);
    return results;
  } catch (error) {
    if (!(error instanceof BenchRunError)) throw error;
    failures.push({ round, server, text: error.message });
    process.stdout.write(`round ${round + 1}  ${server.padEnd(8)} could not be measured: ${error.message}\n`);
    return [];
  }
}

const settings = readSettings(process.argv.slice(2));
buildRelay();
const runs: Run[] = [];
const failures: Failure[] = [];
for (let round = 0; round < settings.rounds; round++) {
  for (const server of rotated(settings.servers, round)) {
    for (const result of await measured(server, round)) {
      const run = { round, server, isDisturbed: isDisturbed(result), result };
      runs.push(run);
      process.stdout.write(
        `round ${round + 1}  ${server.padEnd(8)} ${result.cpuUsPerDelivery} us/delivery  p50 ${result.latencyMs.p50} ms  p99 ${result.latencyMs.p99} ms  ` +
          `lost ${result.lost}${run.isDisturbed ? `  disturbed: others took ${takenByOthers(result).toFixed(2)} s` : ''}\n`,
      );
    }
  }
}

const medians = Object.fromEntries(
  settings.servers.map((server) => [
    server,
    Object.fromEntries(FIGURE_NAMES.map((figure) => [figure, summaryOf(server, figure)])),
  ]),
);
const comparisons = compare(runs, settings);
const versions = Object.fromEntries(
  settings.servers.map((server) => [server, serverKind(server)?.version() ?? null]).filter(([, version]) => version !== null),
);
const { assertions: _assertions, pid: _pid, url: _url, ...load } = settings.load;
const file = writeResults(settings.name, {
  name: settings.name,
  rounds: settings.rounds,
  load,
  medians,
  comparisons,
  versions,
  failures,
  runs,
});

process.stdout.write(`\nmedians of ${settings.rounds} rounds; lost, duplicated and reordered are sums over all runs\n`);
printTable([
  ['', ...FIGURE_NAMES],
  ...settings.servers.map((server) => [
    server,
    ...FIGURE_NAMES.map((figure) => (medians[server]?.[figure] ?? Number.NaN).toFixed(2)),
  ]),
]);
if (comparisons.length > 0) {
  process.stdout.write(`\nserver / ${settings.servers[0]} (above 1: the server needs more)\n`);
  printTable([
    ['', 'figure', 'of medians', 'median of pairs'],
    ...comparisons.map(({ server, figure, ratioOfMedians, medianOfRatios }) => [
      server,
      figure,
      ratioOfMedians.toFixed(3),
      medianOfRatios.toFixed(3),
    ]),
  ]);
}
process.stdout.write(`\nwritten to ${basename(file)}\n`);
