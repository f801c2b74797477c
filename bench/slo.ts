/**
 * Question: does the relay keep what its specification promises? One relay (built, one lane, as `npm start` runs it) with 10,000 connections, first at
 * 10,000 deliveries a second, then asked for 120,000.
 *
 *   npm run bench:slo                              about a minute; exit 1 if a must is missed, 0 if only goals are
 *   npm run bench:slo -- --connections 500         any other size, to try it: the targets stay those of 10,000
 *
 * Latency counts from the moment a message was due, so what the generator could not send in time is charged to the relay: on two cores they share. Read the
 * generator's lag beside it. Writes slo.json.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { type BenchResult, runBench } from '../src/cli/bench/command.ts';
import { printTable } from './support/figures.ts';
import { GC_TRACE_FLAG, GcPauses } from './support/gc-pauses.ts';
import { isDisturbed, takenByOthers, waitForQuiet } from './support/quiet.ts';
import { writeResults } from './support/results.ts';
import { buildRelay, freePort, relayArgs, startServer } from './support/server-process.ts';
import { exitCodeOf, type SloFigures, verdicts } from './support/targets.ts';

const MEMBERS_PER_ROOM = 10;
/** A publish reaches a room: a tenth of the connections each second is as many deliveries as there are connections. */
const STEADY_PUBLISHES_PER_CONNECTION = 1 / MEMBERS_PER_ROOM;
/** A fifth over the target: what is asked for exactly can only be missed. */
const PEAK_FACTOR = 12;
const WARM_SECONDS = 2;
const STEADY_SECONDS = 10;
const PEAK_SECONDS = 5;
const SETTLE_SECONDS_MAX = 30;

const { values } = parseArgs({
  options: { connections: { type: 'string', default: '10000' }, settle: { type: 'string', default: String(SETTLE_SECONDS_MAX) } },
});
const connections = Number(values.connections);
if (!Number.isInteger(connections) || connections < MEMBERS_PER_ROOM || connections > 100_000)
  throw new RangeError(`--connections must be an integer in [${MEMBERS_PER_ROOM}, 100000], got '${values.connections}'`);

buildRelay();
await waitForQuiet(Number(values.settle));
const gc = new GcPauses();
const port = await freePort();
const relay = await startServer({ args: [GC_TRACE_FLAG, ...relayArgs(port, '1', [])], onOutput: gc.read });
const load = (factor: number, durationSeconds: number): Promise<BenchResult> =>
  runBench({
    url: `ws://127.0.0.1:${port}/v1/connect`,
    pid: relay.pid,
    connections,
    rooms: Math.floor(connections / MEMBERS_PER_ROOM),
    rate: connections * STEADY_PUBLISHES_PER_CONNECTION * factor,
    payloadBytes: 64,
    processes: 1,
    connectRate: 5_000,
    warmupSeconds: 2,
    durationSeconds,
  });
// Code is compiled and heaps grow to their size in the first seconds of a process, as with every warmup: not counted.
const warm = await load(1, WARM_SECONDS);
gc.restart();
const steady = await load(1, STEADY_SECONDS);
const gcSteady = gc.figures();
const peak = await load(PEAK_FACTOR, PEAK_SECONDS);
await relay.stop();

const figures: SloFigures = {
  connections,
  p95Ms: steady.latencyMs.p95,
  p99Ms: steady.latencyMs.p99,
  deliveriesPerSecond: steady.deliveriesPerSecond,
  peakDeliveriesPerSecond: peak.deliveriesPerSecond,
  rssPeakMb: Math.max(steady.serverRssPeakMb ?? Number.NaN, peak.serverRssPeakMb ?? Number.NaN),
  gc: gc.figures(),
  gcSteady,
  lost: warm.lost + steady.lost + peak.lost,
};
const table = verdicts(figures);
process.stdout.write(`\n${connections.toLocaleString('en-US')} connections, rooms of ${MEMBERS_PER_ROOM}, 64 B, one lane\n`);
printTable([
  ['target', 'weight', 'measured', ''],
  ...table.map(({ target, weight, measured, isMet }) => [target, weight, measured, isMet ? 'met' : 'MISSED']),
]);
for (const [name, result] of Object.entries({ steady, peak })) {
  const disturbed = isDisturbed(result) ? `, disturbed: others took ${takenByOthers(result).toFixed(2)} s of CPU` : '';
  process.stdout.write(
    `${name}: p50 ${result.latencyMs.p50} ms, p99 ${result.latencyMs.p99} ms, generator lag p99 ${result.generatorLagMs.p99} ms${disturbed}\n`,
  );
}
const { connections: _connections, ...measured } = figures;
const disturbed = isDisturbed(steady) || isDisturbed(peak);
writeResults('slo', { name: 'slo', connections, isDisturbed: disturbed, figures: measured, verdicts: table, steady, peak });
const missed = (weight: 'must' | 'goal'): number => table.filter((row) => row.weight === weight && !row.isMet).length;
process.stdout.write(`\n${table.length} targets: ${missed('must')} musts missed, ${missed('goal')} goals missed\n`);
process.exitCode = exitCodeOf(table);
