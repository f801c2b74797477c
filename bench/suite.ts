/**
 * The suite behind docs/performance.md: each scenario is one call of run-pairs.ts and one JSON in bench/results/.
 *
 *   npm run bench:suite                       all of it, about 100 minutes on 2 quiet cores: what was disturbed is repeated once
 *   npm run bench:suite -- --only rooms-10k   scenarios whose name begins so
 *   npm run bench:suite -- --only ws-         the WebSocket suites at 1,000, 5,000 and 10,000 connections, about 60 minutes
 *   npm run bench:suite -- --list
 *
 * Then `npm run bench:report` renders the tables and plots. Load goes to this machine only.
 */
import { runScenarios, type Scenario } from './support/scenarios.ts';

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
  // What it costs to ask everybody who they are, and for the right to each publish: 1,000 and 5,000 publishes a second with ten deliveries each.
  ...[1_000, 5_000].map((rate) => ({
    name: `auth-${rate}`,
    servers: ['relay-1', 'relay-1+auth', 'relay-0', 'relay-0+auth'],
    load: { ...TEN_THOUSAND, rooms: 1_000, rate },
  })),
  // 10,000 clients cut at once, back with recovery while publishing goes on.
  {
    name: 'reconnect',
    servers: ['relay-1', 'relay-0'],
    load: { ...TEN_THOUSAND, mode: 'reconnect', rooms: 1_000, rate: 500, duration: 12 },
  },
  ...[1_000, 5_000, 10_000].flatMap(webSocketSuites),
];

/** The five things that WebSockets do, at one number of connections. */
function webSocketSuites(connections: number): Scenario[] {
  const size = `${connections / 1_000}k`;
  const load = { ...TEN_THOUSAND, connections };
  return [
    // Rooms of 10, 10,000 deliveries a second whatever the size: what connections cost that are merely more.
    { name: `ws-rooms-${size}`, servers: ALL, load: { ...load, rooms: connections / 10, rate: 1_000 } },
    // One room with everybody in it: 20,000 deliveries a second in as many bursts as that makes. The latency is that of the last of a burst, too.
    { name: `ws-fanout-${size}`, servers: ALL, load: { ...load, mode: 'fanout', rate: 20_000 / connections } },
    // A twentieth leaves each second and comes back half a second later.
    {
      name: `ws-churn-${size}`,
      servers: ALL,
      load: { ...load, mode: 'churn', rooms: connections / 10, rate: 500, 'churn-rate': connections / 20, duration: 10 },
    },
    // Some stop reading. At 1,000 messages are large, so that they get past what the kernel holds for them (some 4 MB each) and the policy acts;
    // at more that would be more bytes than the machine moves, and the question is whether the others notice.
    {
      name: `ws-slow-${size}`,
      servers: ['relay-1', 'relay-0'],
      load:
        connections === 1_000
          ? { ...load, mode: 'slow', rooms: 100, rate: 500, payload: 32_768, duration: 30 }
          : { ...load, mode: 'slow', rooms: connections / 10, rate: 1_000, payload: 512, duration: 10 },
    },
    // Everybody is cut at once and comes back with recovery while publishing goes on.
    {
      name: `ws-reconnect-${size}`,
      servers: ['relay-1', 'relay-0'],
      load: { ...load, mode: 'reconnect', rooms: connections / 10, rate: 500, duration: 12 },
    },
  ];
}

runScenarios(SCENARIOS, 5);
