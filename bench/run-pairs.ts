/**
 * Pairs: the relay against its floor under the same load, in interleaved rounds, so that a slow minute of the machine hits both.
 *
 *   node bench/run-pairs.ts --name rooms-10k --connections 10000 --rooms 1000 --rate 1000 --duration 8
 *   node bench/run-pairs.ts --name smoke --rounds 1 --servers floor --connections 50 --rooms 5 --rate 100 --duration 1 --warmup 0.5
 *
 * Question: what do order, history, limits and lanes cost per delivery over plain uWebSockets.js? Not: absolute figures, which are the machine's.
 * Every run gets a fresh server. A run that a neighbour disturbed is marked.
 * Not quite equal work: the relay answers each publish (one OK to its sender) unless --no-acks is given; the floor answers nothing.
 * Flags besides --name, --rounds, --servers, --port and --settle go to the bench (see `relay bench --help`). Writes bench/results/NAME.json.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type BenchResult, runBench } from '../src/cli/bench/command.ts';
import { type BenchOptions, parseFlags } from '../src/cli/bench/options.ts';
import { readMachineCpu } from '../src/cli/bench/proc-stat.ts';

interface ServerKind {
  readonly target: BenchOptions['target'];
  readonly path: string;
  readonly args: (port: number) => readonly string[];
}

/** As `npm start` runs it: built, with the young generation kept small. `extra` are settings, `name=value`. */
const relay = (lanes: string, extra: readonly string[]): ServerKind => ({
  target: 'relay',
  path: '/v1/connect',
  args: (port) => [
    ...['--max-semi-space-size=2', 'dist/server/main.js', 'serve', '--ops-port=0', '--connect-rate-per-second=100000'],
    ...[`--port=${port}`, `--lanes=${lanes}`, ...extra.map((setting) => `--${setting}`)],
  ],
});
const FLOOR: ServerKind = { target: 'raw', path: '/', args: (port) => ['bench/peers/uws-floor.ts', '--port', String(port)] };

/** `floor`, or `relay-LANES` with settings behind plus signs: `relay-1+doorbell=waitAsync+rearm-empty-turns=4`. */
function serverKind(name: string): ServerKind | null {
  if (name === 'floor') return FLOOR;
  const [kind = '', ...extra] = name.split('+');
  const lanes = /^relay-(\d+)$/.exec(kind)?.[1];
  return lanes === undefined ? null : relay(lanes, extra);
}
const DEFAULT_SERVERS = 'floor,relay-1,relay-0';

const ROUNDS_MAX = 100;
const LISTEN_TIMEOUT_MS = 20_000;
const EXIT_GRACE_MS = 5_000;
/** Above this share of the machine, what others took of it (processes that are none of ours, the hypervisor) has bent the figures. */
const OTHER_CPU_SHARE_MAX = 0.03;
const REPEATS_MAX = 0;
/** Before a run: wait until the machine is this idle for one look, but not forever. */
const QUIET_IDLE_SHARE_MIN = 0.95;
const QUIET_LOOK_MS = 1_000;

const root = fileURLToPath(new URL('..', import.meta.url));

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

/** Commas separate servers, but a setting's value may hold some (JSON): a server begins with its name. */
function splitServers(list: string): string[] {
  return list.split(/,(?=floor|relay-)/);
}

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
    if (serverKind(server) === null) problems.push(`--servers: '${server}' is neither floor nor relay-LANES[+setting=value ...]`);
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
    servers,
    port: whole('port', 0, 65_535),
    settleSecondsMax: whole('settle', 0, 3600),
    load: options,
  };
  if (problems.length === 0) return settings;
  process.stderr.write(`run-pairs: wrong flags:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
  process.exit(2);
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

async function startServer(kind: ServerKind, port: number): Promise<ChildProcess> {
  const args = ['--disable-warning=ExperimentalWarning', ...kind.args(port)];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no 'listening' within ${LISTEN_TIMEOUT_MS} ms from: ${args.join(' ')}\n${said}`)),
      LISTEN_TIMEOUT_MS,
    );
    const listen = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-4096);
      if (!said.includes('listening')) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`the server ended (${signal ?? code}): ${args.join(' ')}\n${said}`));
    });
  });
  return child;
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_GRACE_MS);
  await gone;
  clearTimeout(timer);
}

/** Asked of the kernel and given back: the server takes it a moment later. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

async function waitForQuiet(secondsMax: number): Promise<void> {
  for (const endMs = performance.now() + secondsMax * 1000; performance.now() < endMs; ) {
    const before = readMachineCpu();
    await new Promise((resolve) => setTimeout(resolve, QUIET_LOOK_MS));
    const after = readMachineCpu();
    if (before === null || after === null) return;
    const idle = after.idleSeconds - before.idleSeconds;
    const busy = after.processSeconds - before.processSeconds + after.interruptSeconds - before.interruptSeconds;
    if (idle / (idle + busy) >= QUIET_IDLE_SHARE_MIN) return;
  }
}

async function runOnce(settings: Settings, server: string, round: number): Promise<Run> {
  const kind = serverKind(server) as ServerKind;
  const port = settings.port === 0 ? await freePort() : settings.port;
  await waitForQuiet(settings.settleSecondsMax);
  const child = await startServer(kind, port);
  try {
    const result = await runBench({
      ...settings.load,
      // The floor knows no acks; asking for none is the relay's affair.
      acks: kind.target === 'raw' ? true : settings.load.acks,
      url: `ws://127.0.0.1:${port}${kind.path}`,
      target: kind.target,
      pid: child.pid ?? null,
    });
    const others = takenByOthers(result);
    return { round, server, isDisturbed: others > OTHER_CPU_SHARE_MAX * result.elapsedSeconds * result.cores, result };
  } finally {
    await stopServer(child);
  }
}

function takenByOthers({ machine }: BenchResult): number {
  return (machine?.otherCpuSeconds ?? 0) + (machine?.stolenSeconds ?? 0);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** The run that counts for a round: the one that others disturbed least. Chosen by what they took, never by its own figures. */
function counted(runs: readonly Run[], server: string, round: number): BenchResult | undefined {
  const results = runs.filter((run) => run.server === server && run.round === round).map((run) => run.result);
  return results.sort((left, right) => takenByOthers(left) - takenByOthers(right))[0];
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

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '),
  );
  process.stdout.write(`${lines.join('\n')}\n`);
}

const settings = readSettings(process.argv.slice(2));
execFileSync(process.execPath, ['scripts/build-server.ts'], { cwd: root });
const runs: Run[] = [];
for (let round = 0; round < settings.rounds; round++) {
  // Rotated, so that no server always comes first after a pause or last on a warm machine.
  const order = settings.servers.map((_, place) => settings.servers[(place + round) % settings.servers.length] as string);
  for (const server of order) {
    for (let repeat = 0; repeat <= REPEATS_MAX; repeat++) {
      const run = await runOnce(settings, server, round);
      runs.push(run);
      const { result } = run;
      process.stdout.write(
        `round ${round + 1}  ${server.padEnd(8)} ${result.cpuUsPerDelivery} us/delivery  p50 ${result.latencyMs.p50} ms  p99 ${result.latencyMs.p99} ms  ` +
          `lost ${result.lost}${run.isDisturbed ? `  disturbed: others took ${takenByOthers(result).toFixed(2)} s` : ''}\n`,
      );
      if (!run.isDisturbed) break;
    }
  }
}

const medians = Object.fromEntries(
  settings.servers.map((server) => [
    server,
    Object.fromEntries(FIGURE_NAMES.map((figure) => [figure, median(figuresOf(runs, server, settings.rounds, figure))])),
  ]),
);
const comparisons = compare(runs, settings);
const { assertions: _assertions, pid: _pid, url: _url, ...load } = settings.load;
const results = new URL('results/', import.meta.url);
mkdirSync(results, { recursive: true });
const file = new URL(`${settings.name}.json`, results);
writeFileSync(
  file,
  `${JSON.stringify({ name: settings.name, rounds: settings.rounds, load, medians, comparisons, runs }, null, 2)}\n`,
);

process.stdout.write(`\nmedians of ${settings.rounds} rounds\n`);
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
process.stdout.write(`\nwritten to bench/results/${settings.name}.json\n`);
