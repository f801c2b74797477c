/**
 * Question: what do others notice while somebody attacks the relay? 1,000 connections in rooms of 10 at 5,000 deliveries a second, and beside them nobody, or
 * somebody who floods, sends junk, connects again and again, or never ends a request.
 *
 *   npm run bench:attack                       about 8 minutes
 *   npm run bench:attack -- --rounds 1 --seconds 3
 *
 * Interleaved, medians of the rounds. On two cores attacker, relay and generator share the machine: `sink` is an attacker of somebody else, whose price is the
 * machine's and not the relay's; compare with that row. Not: how many attackers at once a relay stands. Writes attack.json; exits 1 if anything was lost, or the
 * relay did not live to the end.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { type BenchResult, runBench } from '../src/cli/bench/command.ts';
import { ATTACKS, type Attack, type AttackOrder, type AttackReport } from './attack/attacker.ts';
import { median, printTable, rotated, rounded } from './support/figures.ts';
import { GeneratorProcess } from './support/generator-process.ts';
import { waitForQuiet } from './support/quiet.ts';
import { writeResults } from './support/results.ts';
import { buildRelay, freePort, relayArgs, startServer } from './support/server-process.ts';

const CONNECTIONS = 1_000;
const ROOMS = 100;
const PUBLISHES_PER_SECOND = 500;
const WARM_SECONDS = 1;
/** The attack begins before the load is measured and ends after it. */
const ATTACK_MARGIN_SECONDS = 4;
const ANSWER_GRACE_MS = 30_000;
const SETTLE_SECONDS_MAX = 5;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '6' } },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100))
  throw new RangeError(`--rounds must be in [1, 100], got '${values.rounds}'`);
if (!(seconds >= 1 && seconds <= 60)) throw new RangeError(`--seconds must be in [1, 60], got '${values.seconds}'`);

type Case = Attack | 'none';
interface Run {
  readonly round: number;
  readonly attack: Case;
  readonly victims: BenchResult;
  readonly attacker: AttackReport | null;
}

async function runOnce(attack: Case, round: number): Promise<Run> {
  await waitForQuiet(SETTLE_SECONDS_MAX);
  const port = await freePort();
  const relay = await startServer(relayArgs(port, '1', []));
  const attacker = attack === 'none' ? null : new GeneratorProcess(new URL('./attack/attacker.ts', import.meta.url));
  try {
    const attackSeconds = seconds + WARM_SECONDS + ATTACK_MARGIN_SECONDS;
    const order = { attack, port, seconds: attackSeconds, seed: round } as AttackOrder;
    const report = attacker?.ask<AttackReport>(order, attackSeconds * 1_000 + ANSWER_GRACE_MS) ?? null;
    const victims = await runBench({
      url: `ws://127.0.0.1:${port}/v1/connect`,
      pid: relay.pid,
      connections: CONNECTIONS,
      rooms: ROOMS,
      rate: PUBLISHES_PER_SECOND,
      payloadBytes: 64,
      processes: 1,
      connectRate: 2_000,
      warmupSeconds: WARM_SECONDS,
      durationSeconds: seconds,
    });
    return { round, attack, victims, attacker: await report };
  } finally {
    await attacker?.dismiss();
    await relay.stop();
  }
}

buildRelay();
const cases: readonly Case[] = ['none', ...ATTACKS];
const runs: Run[] = [];
for (let round = 0; round < rounds; round++) {
  for (const attack of rotated(cases, round)) {
    const run = await runOnce(attack, round);
    runs.push(run);
    const { latencyMs, lost, serverRssMb } = run.victims;
    const did = run.attacker === null ? '' : `  attacker: ${JSON.stringify(run.attacker)}`;
    process.stdout.write(
      `round ${round + 1}  ${attack.padEnd(9)} p50 ${latencyMs.p50} ms  p99 ${latencyMs.p99} ms  lost ${lost}  RSS ${serverRssMb} MB${did}\n`,
    );
  }
}

const of = (attack: Case): Run[] => runs.filter((run) => run.attack === attack);
const middle = (attack: Case, figure: (run: Run) => number): number => rounded(median(of(attack).map(figure)), 2);
const rows = cases.map((attack) => ({
  attack,
  p50Ms: middle(attack, ({ victims }) => victims.latencyMs.p50),
  p99Ms: middle(attack, ({ victims }) => victims.latencyMs.p99),
  /** Median of the rounds' ratios to the attack of somebody else. */
  p99OverSink: rounded(
    median(
      of(attack).map(({ victims }, index) => victims.latencyMs.p99 / (of('sink')[index]?.victims.latencyMs.p99 ?? Number.NaN)),
    ),
    2,
  ),
  lost: of(attack).reduce((sum, { victims }) => sum + victims.lost, 0),
  rssMb: middle(attack, ({ victims }) => victims.serverRssPeakMb ?? Number.NaN),
  attacker: of(attack).map(({ attacker }) => attacker),
}));
printTable([
  ['attack', 'P50 ms', 'P99 ms', 'P99 over sink', 'lost', 'RSS MB'],
  ...rows.map((row) => [
    row.attack,
    String(row.p50Ms),
    String(row.p99Ms),
    `${row.p99OverSink}x`,
    String(row.lost),
    String(row.rssMb),
  ]),
]);
writeResults('attack', { name: 'attack', rounds, connections: CONNECTIONS, publishesPerSecond: PUBLISHES_PER_SECOND, rows });
process.exitCode = rows.some(({ lost }) => lost > 0) ? 1 : 0;
