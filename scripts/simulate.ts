/**
 * `npm run simulate`: long campaigns of the seeded simulator (test/sim/), and the replay of one seed.
 *
 *   npm run simulate -- --seeds 5000 --steps 500            5000 seeds from a random one on
 *   npm run simulate -- --from 4711 --seeds 1 --steps 300   one seed again: what was printed when it failed
 *   npm run simulate -- --minutes 10                        until the time is over
 *   npm run simulate -- --world workflows --seeds 1000      the world with workflows; the other is `relay`
 *
 * A seed that fails is made small, printed with its trace, and the exit code is 1.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { shrink } from '../test/sim/shrink.ts';
import { type SimulationStats, simulate as simulateRelay } from '../test/sim/simulator.ts';
import { simulateWorkflows } from '../test/sim/workflow-simulator.ts';

/** More of them would most often be the same. */
const FAILURES_MAX = 5;
const SHRINK_RUNS_MAX = 1_500;
const TRACE_LINES_MAX = 120;
const REPORT_EVERY_MS = 10_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string' },
    steps: { type: 'string', default: '300' },
    world: { type: 'string', default: 'relay' },
    minutes: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

if (!['relay', 'workflows'].includes(values.world))
  throw new RangeError(`--world must be relay or workflows, got '${values.world}'`);
const simulate = values.world === 'workflows' ? simulateWorkflows : simulateRelay;
const steps = count('steps', values.steps);
const from =
  values.from === undefined ? crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000_000 : count('from', values.from);
const endMs = values.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + 60_000 * count('minutes', values.minutes);
const seeds = values.minutes === undefined ? count('seeds', values.seeds) : Number.POSITIVE_INFINITY;

const totals: SimulationStats = {};
const startMs = Date.now();
let reportMs = startMs + REPORT_EVERY_MS;
let done = 0;
let failures = 0;

for (; done < seeds && Date.now() < endMs && failures < FAILURES_MAX; done++) {
  const seed = from + done;
  const result = simulate({ seed, steps, traced: values.trace });
  for (const [what, times] of Object.entries(result.stats)) totals[what] = (totals[what] ?? 0) + times;
  if (values.trace) for (const line of result.trace) console.log(line);
  if (result.failure !== null) {
    failures++;
    report(seed, result.failure);
  }
  if (Date.now() > reportMs) {
    reportMs += REPORT_EVERY_MS;
    console.log(`${done + 1} seeds, ${failures} failed, ${seconds()} s`);
  }
}

for (const [what, times] of Object.entries(totals).sort()) console.log(`${String(times).padStart(10)}  ${what}`);
console.log(`${done} seeds from ${from}, ${steps} steps each: ${failures} failed, ${seconds()} s`);
process.exitCode = failures === 0 ? 0 : 1;

function report(seed: number, failure: string): void {
  console.log(`\nSEED=${seed} STEPS=${steps} fails: ${failure}`);
  const { result, kept } = shrink(simulate, seed, steps, SHRINK_RUNS_MAX);
  const hidden = Math.max(0, result.trace.length - TRACE_LINES_MAX);
  console.log(
    `${kept.length} of its steps are enough${hidden > 0 ? `; the last ${TRACE_LINES_MAX} lines of ${result.trace.length}` : ''}:`,
  );
  for (const line of [...result.trace.slice(0, hidden > 0 ? 1 : 0), ...result.trace.slice(hidden)]) console.log(`  ${line}`);
  console.log(`  => ${result.failure}`);
  console.log(`  replay: npm run simulate -- --world ${values.world} --from ${seed} --seeds 1 --steps ${steps}\n`);
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new RangeError(`--${name} must be a whole number, got '${text}'`);
  return value;
}

function seconds(): string {
  return ((Date.now() - startMs) / 1_000).toFixed(0);
}
