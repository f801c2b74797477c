/**
 * Question: what does a CALL cost beside a bare echo through the front (PING), and beside a publish with one subscriber?
 *
 *   npm run bench:rpc                                            about 17 minutes on 2 quiet cores
 *   npm run bench:rpc -- --rounds 1 --rates 1000                 part of it
 *   npm run bench:rpc -- --connections 100 --duration 1 --warmup 0.5 --rounds 1 --out trial
 *
 * 10,000 other connections are open and idle. Rates are open loop: latency counts from the moment an operation was due, and how late the generator was
 * stands beside it. Saturation is a closed loop: so many operations in flight (--window), the next one goes when one is over, latency from its sending.
 * CPU is that of the relay's process. Kinds stand beside each other in one relay, relays with 1 lane and without threads alternate; medians of the rounds.
 * Not: services that work for their answer, retries, breakers; many instances. Writes bench/results/NAME-RATE.json; exits 1 if anything was lost or wrong.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { PAYLOAD_BYTES_MIN } from '../src/cli/bench/payload.ts';
import { KINDS } from './rpc/plan.ts';
import { FIGURE_NAMES, problemsOf, type RateResults, resultsOf } from './rpc/results.ts';
import { type CellRun, type RpcSettings, runCells } from './rpc/run-cells.ts';
import { printTable } from './support/figures.ts';
import { REPEATS_MAX, takenByOthers } from './support/quiet.ts';
import { buildRelay, parseRelayName } from './support/server-process.ts';

const FLAGS = {
  rounds: { type: 'string', default: '5' },
  servers: { type: 'string', default: 'relay-1,relay-0' },
  rates: { type: 'string', default: '1000,5000,saturation' },
  connections: { type: 'string', default: '10000' },
  callers: { type: 'string', default: '16' },
  payload: { type: 'string', default: '64' },
  duration: { type: 'string', default: '5' },
  warmup: { type: 'string', default: '1' },
  window: { type: 'string', default: '256' },
  settle: { type: 'string', default: '2' },
  out: { type: 'string', default: 'rpc' },
} as const;

function readSettings(): { readonly out: string; readonly settings: RpcSettings } {
  const { values } = parseArgs({ options: FLAGS });
  const problems: string[] = [];
  const number = (name: keyof typeof FLAGS, min: number, max: number, isInteger = true): number => {
    const value = Number(values[name]);
    if (!(value >= min && value <= max) || (isInteger && !Number.isInteger(value)))
      problems.push(`--${name} must be ${isInteger ? 'an integer' : 'a number'} in [${min}, ${max}], got '${values[name]}'`);
    return value;
  };
  const servers = values.servers.split(',');
  for (const server of servers) if (parseRelayName(server) === null) problems.push(`--servers: '${server}' is no relay-LANES`);
  const rates = values.rates.split(',').map((rate) => (rate === 'saturation' ? null : Number(rate)));
  for (const rate of rates)
    if (rate !== null && !(rate >= 1 && rate <= 1_000_000))
      problems.push(`--rates: operations a second or 'saturation', got '${values.rates}'`);
  if (!/^[\w.-]+$/.test(values.out))
    problems.push(`--out must be a file name of letters, digits, '.', '_' and '-', got '${values.out}'`);
  const settings: RpcSettings = {
    rounds: number('rounds', 1, 100),
    servers,
    rates,
    settleSecondsMax: number('settle', 0, 3600),
    repeatsMax: REPEATS_MAX,
    load: {
      idleConnections: number('connections', 0, 20_000),
      connectsPerSecond: 5_000,
      callers: number('callers', 1, 1_000),
      payloadBytes: number('payload', PAYLOAD_BYTES_MIN, 65_536),
      durationSeconds: number('duration', 0.1, 3_600, false),
      warmupSeconds: number('warmup', 0, 600, false),
      inFlightMax: number('window', 1, 100_000),
    },
  };
  if (problems.length === 0) return { out: values.out, settings };
  process.stderr.write(`bench:rpc: wrong flags:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
  process.exit(2);
}

function tell({ round, server, isDisturbed, result }: CellRun): void {
  const what = `round ${round + 1}  ${server}  ${(result.kind ?? 'idle').padEnd(7)} ${String(result.rate ?? (result.kind === null ? '' : 'saturation')).padEnd(10)}`;
  const figures =
    result.kind === null
      ? `${((result.serverCpuSeconds * 1000) / result.elapsedSeconds).toFixed(1)} ms of CPU a second`
      : `${result.operationsPerSecond}/s  ${result.serverCpuUsPerOperation} us/operation  p50 ${result.latencyMs.p50} ms  p99 ${result.latencyMs.p99} ms`;
  process.stdout.write(
    `${what}  ${figures}${isDisturbed ? `  disturbed: others took ${takenByOthers(result).toFixed(2)} s` : ''}\n`,
  );
}

function show({ rate, medians, costs, idleCpuMsPerSecond }: RateResults): void {
  process.stdout.write(`\n${rate === null ? 'saturation' : `${rate} a second`}\n`);
  printTable([
    ['', ...FIGURE_NAMES],
    ...Object.entries(medians).flatMap(([server, kinds]) =>
      KINDS.map((kind) => [`${server} ${kind}`, ...FIGURE_NAMES.map((figure) => kinds[kind][figure].toFixed(2))]),
    ),
  ]);
  for (const { server, callToPublish, callToPing, callToPublishLessIdle, callToPublishMax } of costs) {
    process.stdout.write(
      `${server}: a call costs ${callToPublish} publishes and ${callToPing} pings of the server's CPU; ${callToPublishLessIdle} publishes without what the idle ` +
        `connections cost (${idleCpuMsPerSecond[server]} ms a second). At most ${callToPublishMax} wanted: ${Math.max(callToPublish, callToPublishLessIdle) <= callToPublishMax ? 'met' : 'not met'}\n`,
    );
  }
}

const { out, settings } = readSettings();
buildRelay();
const runs = await runCells(settings, tell);
const folder = new URL('results/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const rate of settings.rates) {
  const results = resultsOf(out, settings, runs, rate);
  const file = `${out}-${rate ?? 'saturation'}.json`;
  writeFileSync(
    new URL(file, folder),
    `${JSON.stringify({ ...results, node: process.version, date: new Date().toISOString() }, null, 2)}\n`,
  );
  show(results);
  process.stdout.write(`written to bench/results/${file}\n`);
}
const problems = problemsOf(runs);
for (const problem of problems) process.stdout.write(`wrong: ${problem}\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
