/**
 * Scenarios: a list of named loads, each one call of run-pairs.ts and one JSON among the results.
 *
 * Flags of every list: `--only PREFIX`, `--rounds N`, `--list`, `--small` (a twentieth of the connections and rates: does it run at all?).
 */
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export interface Scenario {
  readonly name: string;
  readonly servers: readonly string[];
  /** Flags of the bench, without the dashes. */
  readonly load: Readonly<Record<string, string | number>>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Counts that a small run divides, and its other bounds. */
const SMALL_DIVISOR = 20;
const DIVIDED = ['connections', 'rooms', 'rate', 'churn-rate'];
const SMALL_SECONDS_MAX = 1;
/** The machine may have this long to calm down before each run. */
const SETTLE_SECONDS = 2;

/** Ends the process: 0 done, 1 a scenario failed, 2 nothing by that name. */
export function runScenarios(scenarios: readonly Scenario[], roundsDefault: number): never {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: String(roundsDefault) },
      small: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const chosen = scenarios.filter(({ name }) => name.startsWith(values.only));
  if (values.list || chosen.length === 0) {
    process.stdout.write(`${scenarios.map(({ name }) => name).join('\n')}\n`);
    process.exit(chosen.length === 0 ? 2 : 0);
  }
  for (const scenario of chosen) {
    process.stdout.write(`\n== ${scenario.name}\n`);
    const name = values.small ? `small-${scenario.name}` : scenario.name;
    const own = ['--settle', values.small ? '0' : String(SETTLE_SECONDS), '--name', name, '--rounds', values.rounds];
    const load = Object.entries(values.small ? smaller(scenario.load) : scenario.load);
    const args = [
      ...['bench/run-pairs.ts', ...own, '--servers', scenario.servers.join(',')],
      ...load.flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ];
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
    if (status !== 0) process.exit(status ?? 1);
  }
  process.exit(0);
}

/** The same load in small: as many members to a room. Exported for tests. */
export function smaller(load: Scenario['load']): Scenario['load'] {
  return Object.fromEntries(
    Object.entries(load).map(([flag, value]) => {
      if (typeof value !== 'number') return [flag, value];
      if (flag === 'duration') return [flag, Math.min(value, SMALL_SECONDS_MAX)];
      if (flag === 'warmup') return [flag, Math.min(value, SMALL_SECONDS_MAX / 2)];
      if (!DIVIDED.includes(flag)) return [flag, value];
      return [flag, flag === 'rate' ? Math.max(value / SMALL_DIVISOR, 10) : Math.max(Math.round(value / SMALL_DIVISOR), 1)];
    }),
  );
}
