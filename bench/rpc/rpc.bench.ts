/** Question: does bench:rpc do what it says? Its smoke size: few connections, short cells, every kind, both relays. Not: figures; `npm run bench:rpc` makes them. */
import { bench, proveWork, report } from '../harness.ts';
import { buildRelay } from '../support/server-process.ts';
import { problemsOf } from './results.ts';
import { runCells } from './run-cells.ts';

bench('rpc/rpc', 'pings, publishes and calls through whole relays: is every operation done once, and with its own payload?');

const RATE = 200;
const load = {
  idleConnections: 40,
  connectsPerSecond: 5_000,
  callers: 4,
  payloadBytes: 64,
  durationSeconds: 0.3,
  warmupSeconds: 0.1,
  inFlightMax: 16,
};
const CELLS = 2 * (1 + 2 * 3);
buildRelay();
const settings = { rounds: 1, servers: ['relay-1', 'relay-0'], rates: [RATE, null], settleSecondsMax: 0, repeatsMax: 0, load };
const runs = await runCells(settings, ({ server, result }) => {
  if (result.kind === null) return;
  const label = `${server} ${result.kind}, ${result.rate === null ? 'saturation' : `${result.rate} a second`}`;
  report(label, (result.operations / result.operationsPerSecond) * 1000, result.operations, { p50Ms: result.latencyMs.p50 });
  if (result.rate === null) proveWork(`${label}: operations were done`, Number(result.operations > load.inFlightMax), 1);
  else proveWork(`${label}: operations`, result.operations, result.rate * load.durationSeconds);
});
proveWork('cells', runs.length, CELLS);
const problems = problemsOf(runs);
if (problems.length > 0) throw new Error(`wrong work done:\n${problems.join('\n')}`);
