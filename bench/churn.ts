/**
 * Question: does the relay grow while clients come and go? A relay, a churn load, and the relay's resident memory every few seconds.
 *
 *   npm run bench:churn                     10 minutes, 2,000 connections, 100 leave and come back each second
 *   npm run bench:churn -- --minutes 1      any other length
 *
 * Writes bench/results/churn.json; exits 1 if anything was lost, or if memory grew by more than 5 % from the second quarter's median to the last one's
 * (in the first quarter heaps and history fill up). Not: latency.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runBench } from '../src/cli/bench/command.ts';
import { parseFlags } from '../src/cli/bench/options.ts';
import { readMemory } from '../src/cli/bench/proc-stat.ts';
import { buildRelay, freePort, relayArgs, startServer } from './support/server-process.ts';

const SAMPLE_MS = 5_000;
const GROWTH_MAX = 0.05;
const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, connections: { type: 'string', default: '2000' } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 120)) throw new RangeError(`--minutes must be in (0, 120], got '${values.minutes}'`);

buildRelay();
const port = await freePort();
const server = await startServer(relayArgs(port, '1', []));
const url = `ws://127.0.0.1:${port}/v1/connect`;

const rssMb = (): number => readMemory(server.pid)?.rssMb ?? Number.NaN;
const samples: { readonly atSeconds: number; readonly rssMb: number }[] = [];
const startedMs = performance.now();
const sampler = setInterval(() => {
  samples.push({ atSeconds: Math.round((performance.now() - startedMs) / 1_000), rssMb: Number(rssMb().toFixed(1)) });
}, SAMPLE_MS);

const flags = [
  '--mode=churn',
  `--connections=${values.connections}`,
  '--rooms=200',
  '--rate=200',
  '--payload=64',
  '--processes=1',
  '--churn-rate=100',
];
const { options } = parseFlags([...flags, `--duration=${minutes * 60}`, '--warmup=2', `--url=${url}`]);
const result = await runBench({ ...options, pid: server.pid });
clearInterval(sampler);
await server.stop();

const quarter = (index: number): number => {
  const part = samples.slice((samples.length * index) >> 2, (samples.length * (index + 1)) >> 2).map((sample) => sample.rssMb);
  return part.toSorted((left, right) => left - right)[part.length >> 1] ?? Number.NaN;
};
const quarters = [0, 1, 2, 3].map(quarter);
const growth = (quarters[3] as number) / (quarters[1] as number) - 1;
const { churn, lost, duplicated, reordered, delivered } = result;
mkdirSync(`${root}bench/results`, { recursive: true });
writeFileSync(
  `${root}bench/results/churn.json`,
  `${JSON.stringify({ minutes, connections: options.connections, delivered, lost, duplicated, reordered, churn, rssMbByQuarter: quarters, growth, samples }, null, 2)}\n`,
);
const verdict = `${minutes} min of churn: RSS by quarter ${quarters.map((mb) => mb.toFixed(0)).join(', ')} MB, growth ${(100 * growth).toFixed(1)} %, left and back ${JSON.stringify(churn)}, delivered ${delivered}, lost ${lost}`;
process.stdout.write(`${verdict}\n`);
process.exitCode = lost > 0 || growth > GROWTH_MAX ? 1 : 0;
