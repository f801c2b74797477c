/**
 * Is this what GET /ops/state answers? Every field is there, of its type, within its range, and nothing is there that the contract does not name.
 * The checks are typed by OpsState: a field that is added there and not here does not compile.
 */
import type {
  ComponentState,
  InstanceState,
  LaneState,
  LatencyFigures,
  OpsState,
  ProcessState,
  RatesState,
  ServiceState,
  SlowSession,
  StageName,
  WorkflowStageState,
  WorkflowState,
} from '../../src/ops/ops-state.ts';

/** Adds what is wrong with `value`, each with its path. */
type Check = (value: unknown, path: string, problems: string[]) => void;

/** All that is wrong; empty if it is a state. */
export function opsStateProblems(value: unknown): string[] {
  const problems: string[] = [];
  opsState(value, '$', problems);
  return problems;
}

const text: Check = (value, path, problems) => {
  if (typeof value !== 'string') problems.push(`${path} must be a text, got ${JSON.stringify(value)}`);
};
const flag: Check = (value, path, problems) => {
  if (typeof value !== 'boolean') problems.push(`${path} must be true or false, got ${JSON.stringify(value)}`);
};
const anything: Check = () => {};
/** JSON has no NaN: a figure that was none is null, and caught here. */
const figure =
  (max = Number.MAX_VALUE): Check =>
  (value, path, problems) => {
    if (typeof value !== 'number' || !(value >= 0 && value <= max))
      problems.push(`${path} must be a number in [0, ${max}], got ${JSON.stringify(value)}`);
  };
const count: Check = (value, path, problems) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    problems.push(`${path} must be a whole number, got ${JSON.stringify(value)}`);
};
const word =
  (...words: readonly string[]): Check =>
  (value, path, problems) => {
    if (!words.includes(value as string))
      problems.push(`${path} must be one of ${words.join(', ')}, got ${JSON.stringify(value)}`);
  };
const list =
  (item: Check): Check =>
  (value, path, problems) => {
    if (Array.isArray(value)) for (const [index, each] of value.entries()) item(each, `${path}[${index}]`, problems);
    else problems.push(`${path} must be a list, got ${JSON.stringify(value)}`);
  };
const pair =
  (first: Check, second: Check): Check =>
  (value, path, problems) => {
    if (!Array.isArray(value) || value.length !== 2) problems.push(`${path} must be a pair, got ${JSON.stringify(value)}`);
    else {
      first(value[0], `${path}[0]`, problems);
      second(value[1], `${path}[1]`, problems);
    }
  };
const entries = (value: unknown, path: string, problems: string[]): [string, unknown][] => {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.entries(value);
  problems.push(`${path} must be an object, got ${JSON.stringify(value)}`);
  return [];
};
const map =
  (each: Check): Check =>
  (value, path, problems) => {
    for (const [key, field] of entries(value, path, problems)) each(field, `${path}.${key}`, problems);
  };
/** `optional` fields may be missing. */
const object =
  <T extends object>(fields: Readonly<Record<keyof T & string, Check>>, optional: readonly (keyof T)[] = []): Check =>
  (value, path, problems) => {
    const found = new Map(entries(value, path, problems));
    for (const [name, check] of Object.entries(fields) as [keyof T & string, Check][]) {
      if (found.has(name)) check(found.get(name), `${path}.${name}`, problems);
      else if (!optional.includes(name)) problems.push(`${path}.${name} is missing`);
    }
    for (const name of found.keys()) if (!(name in fields)) problems.push(`${path}.${name} is not in the contract`);
  };

const ms = figure();
const component = object<ComponentState>({ name: text, ok: flag, detail: text });
const rates = object<RatesState>({
  publishes: figure(),
  deliveries: figure(),
  bytesIn: figure(),
  bytesOut: figure(),
  calls: figure(),
  connects: figure(),
});
const figures = object<LatencyFigures>({ count, p50: ms, p90: ms, p95: ms, p99: ms, p999: ms, max: ms, mean: ms });
const windows = object<{ start: 0; '10s': 0; '1m': 0; '5m': 0 }>({
  start: figures,
  '10s': figures,
  '1m': figures,
  '5m': figures,
});
const STAGES = {
  ingressWait: windows,
  lane: windows,
  egressWait: windows,
  socketWrite: windows,
  publishToLastWrite: windows,
  clientRoundTrip: windows,
  call: windows,
  workflowStage: windows,
} satisfies Record<StageName, Check>;
const stages = object<typeof STAGES>(STAGES, Object.keys(STAGES) as StageName[]);

const lane = object<LaneState>({
  lane: count,
  state: word('running', 'replacing'),
  silentMs: figure(),
  restarts: count,
  ingressUsedBytes: count,
  ingressBytes: count,
  egressUsedBytes: count,
  egressBytes: count,
  utilisation: figure(1),
  publishes: figure(),
  topics: count,
  sessions: count,
  callsInFlight: count,
});
const ownProcess = object<ProcessState>({
  rssBytes: count,
  heapUsedBytes: count,
  cpu: figure(),
  eventLoopDelayMs: object<ProcessState['eventLoopDelayMs']>({ p50: ms, p99: ms, max: ms }),
  gcPauseMs: object<ProcessState['gcPauseMs']>({ count, p99: ms, max: ms }),
});
const slow = object<SlowSession>({
  session: count,
  client: text,
  queuedBytes: count,
  lagMs: ms,
  subscriptions: count,
  policy: text,
});
const instance = object<InstanceState>({
  instance: text,
  client: text,
  version: text,
  methods: list(text),
  capacity: count,
  weight: figure(),
  metadata: anything,
  health: word('ok', 'degraded', 'failing'),
  load: figure(),
  inFlight: count,
  calls: count,
  errors: count,
  p50Ms: ms,
  p99Ms: ms,
  breaker: word('closed', 'open', 'halfOpen'),
  ejected: flag,
  sinceMs: count,
});
const service = object<ServiceState>(
  {
    service: text,
    instances: count,
    methods: list(text),
    versions: list(text),
    ok: count,
    degraded: count,
    failing: count,
    inFlight: count,
    waiting: count,
    calls: count,
    errors: count,
    p50Ms: ms,
    p99Ms: ms,
    list: list(instance),
  },
  ['list'],
);
const workflow = object<WorkflowState>({
  workflow: text,
  runs: map(count),
  stages: list(object<WorkflowStageState>({ stage: text, running: count, waiting: count, failed: count })),
});

const opsState = object<OpsState>({
  version: text,
  nowMs: count,
  startedAtMs: count,
  state: word('new', 'ready', 'draining', 'stopped'),
  health: object<OpsState['health']>({ live: flag, ready: flag, components: list(component) }),
  connections: count,
  connectionsMax: count,
  subscriptions: count,
  rates,
  latency: object<OpsState['latency']>({ unit: word('ms'), stages }),
  percentiles: map(list(pair(figure(100), ms))),
  lanes: list(lane),
  process: ownProcess,
  slow: list(slow),
  drops: map(count),
  dropTopics: list(pair(text, count)),
  services: list(service),
  workflows: list(workflow),
});
