/**
 * Question: what does the relay add to each step and stage of a workflow whose services answer at once?
 *
 *   npm run bench:workflow                                       about 2 minutes on 2 quiet cores
 *   npm run bench:workflow -- --rounds 1 --runs 100 --out trial
 *
 * 1,000 runs at once of SIFT -> CAST -> SPAWN (20 steps, forEach) -> STITCH. A run lasts from the moment all were due until a watcher of the runs' topics has
 * its end; before, runs one after the other say what one takes alone. Every step is counted by the instances (headers of its INVOKE) and by the topics (its
 * success), and a run's result depends on each of its steps. Wall and CPU time are the whole set's divided by its steps and by its stages: START, calls,
 * journal, topics and the watcher are all in them. Not: services that work, retries, lanes that die.
 * Writes bench/results/NAME.json; exits 1 if a step was lost or doubled, or a result wrong.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { printTable } from './support/figures.ts';
import { REPEATS_MAX, takenByOthers } from './support/quiet.ts';
import { buildRelay, parseRelayName } from './support/server-process.ts';
import { FIGURE_NAMES, mediansOf, problemsOf, runSets, type SetRun, type WorkflowSettings } from './workflow/run-sets.ts';

const FLAGS = {
  rounds: { type: 'string', default: '5' },
  servers: { type: 'string', default: 'relay-1,relay-0' },
  runs: { type: 'string', default: '1000' },
  warmup: { type: 'string', default: '200' },
  alone: { type: 'string', default: '100' },
  width: { type: 'string', default: '20' },
  instances: { type: 'string', default: '4' },
  settle: { type: 'string', default: '2' },
  out: { type: 'string', default: 'workflow' },
} as const;

function readSettings(): { readonly out: string; readonly settings: WorkflowSettings } {
  const { values } = parseArgs({ options: FLAGS });
  const problems: string[] = [];
  const whole = (name: keyof typeof FLAGS, min: number, max: number): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < min || value > max)
      problems.push(`--${name} must be an integer in [${min}, ${max}], got '${values[name]}'`);
    return value;
  };
  const servers = values.servers.split(',');
  for (const server of servers) if (parseRelayName(server) === null) problems.push(`--servers: '${server}' is no relay-LANES`);
  if (!/^[\w.-]+$/.test(values.out))
    problems.push(`--out must be a file name of letters, digits, '.', '_' and '-', got '${values.out}'`);
  const settings: WorkflowSettings = {
    rounds: whole('rounds', 1, 100),
    servers,
    settleSecondsMax: whole('settle', 0, 3600),
    repeatsMax: REPEATS_MAX,
    load: {
      runs: whole('runs', 1, 10_000),
      warmupRuns: whole('warmup', 1, 10_000),
      aloneRuns: whole('alone', 1, 10_000),
      width: whole('width', 1, 1_000),
      instances: whole('instances', 1, 100),
    },
  };
  if (problems.length === 0) return { out: values.out, settings };
  process.stderr.write(`bench:workflow: wrong flags:\n${problems.map((problem) => `  ${problem}\n`).join('')}`);
  process.exit(2);
}

function tell({ round, server, isDisturbed, result, alone }: SetRun): void {
  process.stdout.write(
    `round ${round + 1}  ${server}  ${result.runsPerSecond} runs/s  ${result.stepsPerSecond} steps/s  ${result.serverCpuUsPerStep} us of CPU a step  ` +
      `p50 ${result.durationMs.p50} ms  p99 ${result.durationMs.p99} ms  alone p50 ${alone.durationMs.p50} ms` +
      `${isDisturbed ? `  disturbed: others took ${takenByOthers(result).toFixed(2)} s` : ''}\n`,
  );
}

const { out, settings } = readSettings();
buildRelay();
const runs = await runSets(settings, tell);
const medians = mediansOf(settings, runs);
const folder = new URL('results/', import.meta.url);
mkdirSync(folder, { recursive: true });
const { rounds, load } = settings;
const results = { name: out, rounds, load, medians, node: process.version, date: new Date().toISOString(), runs };
writeFileSync(new URL(`${out}.json`, folder), `${JSON.stringify(results, null, 2)}\n`);
process.stdout.write('\n');
printTable([
  ['', ...FIGURE_NAMES],
  ...Object.entries(medians).map(([server, figures]) => [server, ...FIGURE_NAMES.map((figure) => figures[figure].toFixed(2))]),
]);
process.stdout.write(`written to bench/results/${out}.json\n`);
const problems = problemsOf(runs);
for (const problem of problems) process.stdout.write(`wrong: ${problem}\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
