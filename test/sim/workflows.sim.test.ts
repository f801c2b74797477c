/**
 * Random lives of a relay with workflows: runs that are followed, worked on, told what to do, and whose lanes die.
 *
 * A seed that fails is printed with the command that replays it. Long campaigns: npm run simulate -- --world workflows.
 */
import t from 'tap';
import { EgressKind } from '../../src/protocol/records.ts';
import type { SimulationStats } from './simulator.ts';
import { simulateWorkflows } from './workflow-simulator.ts';

const STEPS = 400;
const SEEDS_PER_TEST = 20;
const TESTS = 2;

const totals: SimulationStats = {};

for (let test = 0; test < TESTS; test++) {
  const first = 1 + test * SEEDS_PER_TEST;
  t.test(
    `every run ends once, no accepted step is doubled, watchers miss nothing (SEED=${first}..${first + SEEDS_PER_TEST - 1})`,
    async (t) => {
      for (let seed = first; seed < first + SEEDS_PER_TEST; seed++) {
        const { failure, stats } = simulateWorkflows({ seed, steps: STEPS });
        for (const [what, count] of Object.entries(stats)) totals[what] = (totals[what] ?? 0) + count;
        if (failure !== null)
          t.fail(`SEED=${seed}: ${failure}\nnpm run simulate -- --world workflows --from ${seed} --seeds 1 --steps ${STEPS}`);
      }
      t.pass();
    },
  );
}

t.test('those lives had everything in them', async (t) => {
  for (const what of [
    'ended succeeded',
    'ended failed',
    'ended cancelled',
    'run stepRetried',
    'run stepFailed',
    'run stageFailed',
    'run lateResult',
    'run paused',
    'run resumed',
    'run cancelling',
    'run compensating',
    'run compensated',
    'run retried',
    'run deadLettered',
    'watches recovered',
    'lost',
    'deaths',
    'ERROR OVERLOADED',
    'ERROR LANE_RESTARTED',
  ]) {
    t.ok((totals[what] ?? 0) > 0, `${what}: ${totals[what] ?? 0}`);
  }
});

t.test('a seed makes one run', async (t) => {
  for (let seed = 1; seed <= 4; seed++) {
    const once = simulateWorkflows({ seed, steps: STEPS, traced: true });
    t.equal(simulateWorkflows({ seed, steps: STEPS }).hash, once.hash);
    t.ok(once.trace.length > STEPS / 4);
  }
});

for (const { name, tamper, least } of [
  { name: 'a lost entry of the journal', tamper: { kind: EgressKind.JOURNAL, how: 'lost', oneIn: 20 }, least: 5 },
  { name: 'an entry of the journal twice', tamper: { kind: EgressKind.JOURNAL, how: 'twice', oneIn: 20 }, least: 5 },
  { name: 'a lost event', tamper: { kind: EgressKind.FANOUT, how: 'lost', oneIn: 20 }, least: 10 },
  { name: 'an event twice', tamper: { kind: EgressKind.FANOUT, how: 'twice', oneIn: 20 }, least: 10 },
  { name: 'a lost INVOKE or reply', tamper: { kind: EgressKind.SEND, how: 'lost', oneIn: 50 }, least: 10 },
] as const) {
  t.test(`${name} is found`, async (t) => {
    let found = 0;
    for (let seed = 1; seed <= 20; seed++) if (simulateWorkflows({ seed, steps: STEPS, tamper }).failure !== null) found++;
    t.ok(found >= least, `in ${found} of 20 runs`);
  });
}
