/** Question: does bench:workflow do what it says? Its smoke size: few and narrow runs, both relays. Not: figures; `npm run bench:workflow` makes them. */
import { bench, proveWork, report } from '../harness.ts';
import { buildRelay } from '../support/server-process.ts';
import { stepsPerRun } from './plan.ts';
import { problemsOf, runSets } from './run-sets.ts';

bench(
  'workflow/workflow',
  'runs of four stages through whole relays: is every step done and accepted once, and every result right?',
);

const load = { runs: 20, warmupRuns: 2, aloneRuns: 3, width: 5, instances: 2 };
const SETS = 2;
buildRelay();
const runs = await runSets(
  { rounds: 1, servers: ['relay-1', 'relay-0'], settleSecondsMax: 0, repeatsMax: 0, load },
  ({ server, result }) => {
    report(server, result.elapsedSeconds * 1000, load.runs * stepsPerRun(load.width), { p50Ms: result.durationMs.p50 });
    proveWork(`${server}: successes of steps`, result.eventsByKind['stepSucceeded'] ?? 0, load.runs * stepsPerRun(load.width));
    proveWork(`${server}: runs that succeeded`, result.succeededRuns, load.runs);
  },
);
proveWork('sets of runs', runs.length, SETS);
const problems = problemsOf(runs);
if (problems.length > 0) throw new Error(`wrong work done:\n${problems.join('\n')}`);
