/**
 * The suite behind docs/performance.md: each scenario is one call of run-pairs.ts and one JSON in bench/results/.
 *
 *   npm run bench:suite                       all of it, about 40 minutes on 2 quiet cores: what was disturbed is repeated once
 *   npm run bench:suite -- --only rooms-10k   scenarios whose name begins so
 *   npm run bench:suite -- --list
 *
 * Then `npm run docs` renders the tables. Load goes to this machine only.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

interface Scenario {
  readonly name: string;
  readonly servers: readonly string[];
  readonly load: Readonly<Record<string, string | number>>;
}

const ALL = ['floor', 'relay-1', 'relay-0'];
const DOORBELLS = ['messagePort', 'waitAsync'].flatMap((doorbell) =>
  [0, 4].map((turns) => `relay-1+doorbell=${doorbell}+rearm-empty-turns=${turns}`),
);
const TEN_THOUSAND = { connections: 10_000, payload: 64, duration: 5, warmup: 1, processes: 1, 'connect-rate': 5_000 };

const SCENARIOS: readonly Scenario[] = [
  // The specification's load: 1,000 rooms of 10. Publishes a second; ten times as many deliveries.
  ...[1_000, 5_000, 10_000].map((rate) => ({
    name: `rooms-10k-${rate}`,
    servers: ALL,
    load: { ...TEN_THOUSAND, rooms: 1_000, rate },
  })),
  // More than any of them can do: what they still deliver.
  { name: 'saturation', servers: ALL, load: { ...TEN_THOUSAND, rooms: 1_000, rate: 20_000 } },
  // The same 10,000 deliveries a second at a fan-out of 1, 10 and 1,000 (10 is rooms-10k-1000).
  { name: 'fanout-1', servers: ALL, load: { ...TEN_THOUSAND, rooms: 10_000, rate: 10_000 } },
  { name: 'fanout-1000', servers: ALL, load: { ...TEN_THOUSAND, rooms: 10, rate: 10 } },
  // What keeping 100 messages a topic costs.
  {
    name: 'history',
    servers: ['relay-1+topics=[{"match":">","history":{"count":0}}]', 'relay-1'],
    load: { ...TEN_THOUSAND, rooms: 1_000, rate: 5_000 },
  },
  // How the front is woken, and when it lets itself be woken again. Fan-out of 1: a wake-up per publish shows most.
  ...[500, 5_000, 20_000].map((rate) => ({
    name: `doorbell-${rate}`,
    servers: DOORBELLS,
    load: { connections: 1_000, rooms: 1_000, payload: 64, duration: 5, warmup: 1, processes: 1, rate },
  })),
  // 10,000 clients cut at once, back with recovery while publishing goes on.
  {
    name: 'reconnect',
    servers: ['relay-1', 'relay-0'],
    load: { ...TEN_THOUSAND, mode: 'reconnect', rooms: 1_000, rate: 500, duration: 12 },
  },
];

const root = fileURLToPath(new URL('..', import.meta.url));
const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, rounds: { type: 'string', default: '5' }, list: { type: 'boolean' } },
});
const chosen = SCENARIOS.filter(({ name }) => name.startsWith(values.only));
if (values.list === true || chosen.length === 0) {
  process.stdout.write(`${SCENARIOS.map(({ name }) => name).join('\n')}\n`);
  process.exit(chosen.length === 0 ? 2 : 0);
}
for (const { name, servers, load } of chosen) {
  process.stdout.write(`\n== ${name}\n`);
  const flags = Object.entries(load).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  const args = [
    'bench/run-pairs.ts',
    '--settle',
    '2',
    '--name',
    name,
    '--rounds',
    values.rounds,
    '--servers',
    servers.join(','),
    ...flags,
  ];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
