/** The configuration: sources and their order, every kind of problem, the checks between settings, and what the parts are told. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import {
  type ConfigInput,
  frontOptions,
  httpOptions,
  laneOptions,
  loadConfig,
  renderConfigDocs,
  renderDefaults,
} from '../../../src/app/config.ts';
import { CROSS_CHECKS, DEFAULTS, environmentName, flagName, SETTING_NAMES, SETTINGS } from '../../../src/app/config-table.ts';
import type { Setting } from '../../../src/app/setting.ts';
import { TopicConfigs } from '../../../src/lane/topic-config.ts';

const FILE = 'relay.json';

function load({ argv = [], env = {}, file }: { argv?: string[]; env?: ConfigInput['env']; file?: string }) {
  const readFile = (path: string): string => {
    if (path === FILE && file !== undefined) return file;
    throw new Error(`ENOENT: no such file '${path}'`);
  };
  return loadConfig({ argv: file === undefined ? argv : ['--config', FILE, ...argv], env, readFile });
}

t.test('without any source the configuration is complete, frozen and made of the defaults', async (t) => {
  const { config, problems, help, origins } = load({});
  t.same(problems, []);
  t.equal(help, null);
  t.equal(origins.size, 0);
  t.same(config, DEFAULTS);
  t.ok(Object.isFrozen(config));
  for (const name of SETTING_NAMES) t.not(config?.[name], undefined, name);
});

for (const { name, sources, want, origin } of [
  { name: 'the file over the default', sources: { file: '{"port": 1}' }, want: 1, origin: 'relay.json: port' },
  {
    name: 'the environment over the file',
    sources: { file: '{"port": 1}', env: { RELAY_PORT: '2' } },
    want: 2,
    origin: 'RELAY_PORT',
  },
  {
    name: 'a flag over the environment',
    sources: { file: '{"port": 1}', env: { RELAY_PORT: '2' }, argv: ['--port', '3'] },
    want: 3,
    origin: '--port',
  },
  { name: 'the default over an empty variable', sources: { env: { RELAY_PORT: '' } }, want: 8080, origin: undefined },
]) {
  t.test(`precedence: ${name}`, async (t) => {
    const { config, origins } = load(sources);
    t.equal(config?.port, want);
    t.equal(origins.get('port'), origin);
  });
}

for (const { argv, want } of [
  { argv: ['--compression'], want: { compression: true } },
  { argv: ['--compression=true'], want: { compression: true } },
  { argv: ['--no-compression'], want: { compression: false } },
  { argv: ['--lanes', 'auto'], want: { lanes: 'auto' } },
  { argv: ['--lanes=0'], want: { lanes: 0 } },
  { argv: ['--compression', '--port', '0'], want: { compression: true, port: 0 } },
  { argv: ['--lane-heap-mb-max', '0'], want: { laneHeapMbMax: 0 } },
  { argv: ['--host', '::1'], want: { host: '::1' } },
  { argv: ['--topics=[{"match":"a.>","history":{"count":0}}]'], want: { topics: [{ match: 'a.>', history: { count: 0 } }] } },
]) {
  t.test(`flags: ${argv.join(' ')}`, async (t) => {
    const { config, problems } = load({ argv });
    t.same(problems, []);
    t.match(config, want);
  });
}

t.test('a file is named by --config before RELAY_CONFIG, and none is read unasked', async (t) => {
  const paths: string[] = [];
  const readFile = (path: string): string => {
    paths.push(path);
    return '{}';
  };
  loadConfig({ argv: [], env: {}, readFile });
  loadConfig({ argv: [], env: { RELAY_CONFIG: 'a.json' }, readFile });
  loadConfig({ argv: ['--config=b.json'], env: { RELAY_CONFIG: 'a.json' }, readFile });
  t.same(paths, ['a.json', 'b.json']);
});

// One problem each: the whole text, since the text is all that an operator gets.
for (const { name, sources, want } of [
  {
    name: 'a word for a number',
    sources: { env: { RELAY_PORT: 'x' } },
    want: "RELAY_PORT must be an integer in [0, 65535], got 'x'",
  },
  {
    name: 'a number out of bounds',
    sources: { argv: ['--port', '65536'] },
    want: "--port must be an integer in [0, 65535], got '65536'",
  },
  { name: 'a negative number', sources: { argv: ['--port', '-1'] }, want: "--port must be an integer in [0, 65535], got '-1'" },
  { name: 'a fraction', sources: { file: '{"port": 1.5}' }, want: 'relay.json: port must be an integer in [0, 65535], got 1.5' },
  {
    name: 'a number in quotes',
    sources: { file: '{"port": "80"}' },
    want: "relay.json: port must be an integer in [0, 65535], got '80'",
  },
  { name: 'null', sources: { file: '{"port": null}' }, want: 'relay.json: port must be an integer in [0, 65535], got null' },
  {
    name: 'another notation',
    sources: { env: { RELAY_PORT: '1e3' } },
    want: "RELAY_PORT must be an integer in [0, 65535], got '1e3'",
  },
  {
    name: 'a ring that is no power of two',
    sources: { argv: ['--ingress-ring-bytes', '1000000'] },
    want: "--ingress-ring-bytes must be a power of two in [4096, 1073741824], got '1000000'",
  },
  {
    name: 'below the bound that 0 is allowed beside',
    sources: { argv: ['--lane-heap-mb-max=1'] },
    want: "--lane-heap-mb-max must be 0 or an integer in [32, 65536], got '1'",
  },
  {
    name: 'a word that is not in the list',
    sources: { env: { RELAY_LOG_LEVEL: 'loud' } },
    want: "RELAY_LOG_LEVEL must be one of debug, info, warn, error, silent, got 'loud'",
  },
  {
    name: 'too many lanes',
    sources: { argv: ['--lanes', '17'] },
    want: "--lanes must be auto or an integer in [0, 16], got '17'",
  },
  {
    name: 'a switch in words',
    sources: { env: { RELAY_COMPRESSION: 'yes' } },
    want: "RELAY_COMPRESSION must be true or false, got 'yes'",
  },
  {
    name: 'a host with a port',
    sources: { argv: ['--host=a b'] },
    want: "--host must be an IP address or a host name, got 'a b'",
  },
  { name: 'a flag without its value', sources: { argv: ['--port'] }, want: '--port needs a value: an integer in [0, 65535]' },
  {
    name: 'a flag with a flag for its value',
    sources: { argv: ['--port', '--compression'] },
    want: '--port needs a value: an integer in [0, 65535]',
  },
  {
    name: 'a value for a negated switch',
    sources: { argv: ['--no-compression=true'] },
    want: "--no-compression takes no value, got 'true'",
  },
  { name: 'a flag given twice', sources: { argv: ['--port', '1', '--port=2'] }, want: '--port is given twice' },
  {
    name: 'an argument that is no flag',
    sources: { argv: ['8080'] },
    want: "unexpected argument '8080': settings are given as --name value",
  },
  {
    name: 'an unknown flag and its value',
    sources: { argv: ['--prot', '1'] },
    want: '--prot is no flag of relay serve; did you mean --port?',
  },
  {
    name: 'a flag in camel case',
    sources: { argv: ['--opsPort=1'] },
    want: '--opsPort is no flag of relay serve; did you mean --ops-port?',
  },
  {
    name: 'a negated number',
    sources: { argv: ['--no-port'] },
    want: '--no-port is no flag of relay serve; did you mean --port?',
  },
  { name: 'nothing that is like it', sources: { argv: ['--turbo'] }, want: '--turbo is no flag of relay serve' },
  {
    name: 'an unknown variable',
    sources: { env: { RELAY_PONG_TIMEOUT: '1' } },
    want: 'RELAY_PONG_TIMEOUT is no setting; did you mean RELAY_PONG_TIMEOUT_MS?',
  },
  {
    name: 'an unknown key',
    sources: { file: '{"ping_interval_ms": 1000}' },
    want: 'relay.json: ping_interval_ms is no setting; did you mean pingIntervalMs?',
  },
  { name: 'a key of every object', sources: { file: '{"__proto__": 1}' }, want: 'relay.json: __proto__ is no setting' },
  { name: 'a list for a file', sources: { file: '[]' }, want: 'relay.json must be a map of settings, got []' },
  {
    name: 'a missing file',
    sources: { argv: ['--config', 'no.json'] },
    want: "no.json could not be read: ENOENT: no such file 'no.json'",
  },
  {
    name: 'a config flag without its file',
    sources: { argv: ['--config'] },
    want: '--config needs a value: the path of a JSON file',
  },
  {
    name: 'topics that are no JSON',
    sources: { env: { RELAY_TOPICS: '[' } },
    want: "RELAY_TOPICS must be a list of topic rules, got '['",
  },
  {
    name: 'a rule for no topic',
    sources: { file: '{"topics": [{"match": "a..b"}]}' },
    want: "relay.json: topics[0].match 'a..b': a token must not be empty (leading, trailing or double dot)",
  },
  {
    name: 'a rule over the payload bound',
    sources: { argv: ['--topics', '[{"match":"a","maxPayloadBytes":65537}]'] },
    want: '--topics[0].maxPayloadBytes must be an integer in [1, 65536], got 65537',
  },
  {
    name: 'a rule over the bound of the lane’s histories',
    sources: { env: { RELAY_TOPICS: '[{"match":"a","history":{"bytes":2000000}}]', RELAY_HISTORY_BYTES_MAX: '1048576' } },
    want: 'RELAY_TOPICS[0].history.bytes must be at most historyBytesMax: one topic cannot keep more than its lane; got 2000000, historyBytesMax=1048576 (RELAY_HISTORY_BYTES_MAX)',
  },
  {
    name: 'a variable that Kubernetes took',
    sources: { env: { RELAY_PORT: 'tcp://10.0.0.1:8080' } },
    want: "RELAY_PORT must be an integer in [0, 65535], got 'tcp://10.0.0.1:8080' (set by Kubernetes: switch off enableServiceLinks, or rename the Service)",
  },
  // Between settings.
  {
    name: 'two doors on one port',
    sources: { argv: ['--ops-port', '8080'] },
    want: 'port and opsPort must differ: both would listen on the same address; got port=8080 (default), opsPort=8080 (--ops-port), host=127.0.0.1 (default), opsHost=127.0.0.1 (default)',
  },
  {
    name: 'a payload that no message can carry',
    sources: { file: '{"messageBytesMax": 65536}' },
    want: 'payloadBytesMax + 4096 must be at most messageBytesMax: the name, key and headers around a payload need room; got payloadBytesMax=65536 (default), messageBytesMax=65536 (relay.json: messageBytesMax)',
  },
  {
    name: 'presence data that no message can carry',
    sources: { argv: ['--presence-bytes-max=65536', '--payload-bytes-max=1', '--message-bytes-max=8192'] },
    want: 'presenceBytesMax + 4096 must be at most messageBytesMax: presence data comes in a SUBSCRIBE; got presenceBytesMax=65536 (--presence-bytes-max), messageBytesMax=8192 (--message-bytes-max)',
  },
  {
    name: 'a message that no ring can carry',
    sources: { argv: ['--message-bytes-max', '131053'] },
    want: 'messageBytesMax + 20 must be at most an eighth of ingressRingBytes: a record must fit into the ring wherever it starts; got messageBytesMax=131053 (--message-bytes-max), ingressRingBytes=1048576 (default)',
  },
  {
    name: 'a message that cannot go out again',
    sources: { argv: ['--message-bytes-max=524288', '--ingress-ring-bytes=8388608'] },
    want: 'messageBytesMax + 4096 must be at most an eighth of egressRingBytes: what a call or a step brings in goes out again as one record; got messageBytesMax=524288 (--message-bytes-max), egressRingBytes=4194304 (default)',
  },
  {
    name: 'a payload that cannot wait',
    sources: { argv: ['--send-queue-bytes-max=32768', '--recovery-bytes-max=32768', '--payload-bytes-max=32769'] },
    want: [
      'payloadBytesMax must be at most sendQueueBytesMax: one message must be able to wait; got payloadBytesMax=32769 (--payload-bytes-max), sendQueueBytesMax=32768 (--send-queue-bytes-max)',
      'payloadBytesMax must be at most recoveryBytesMax: one missed message must be recoverable; got payloadBytesMax=32769 (--payload-bytes-max), recoveryBytesMax=32768 (--recovery-bytes-max)',
    ],
  },
  {
    name: 'a merged frame over the queue',
    sources: { argv: ['--merged-frame-bytes-max=1048576', '--send-queue-bytes-max=1048575'] },
    want: 'mergedFrameBytesMax must be at most sendQueueBytesMax: a merged frame waits as one; got mergedFrameBytesMax=1048576 (--merged-frame-bytes-max), sendQueueBytesMax=1048575 (--send-queue-bytes-max)',
  },
  {
    name: 'a replay over the queue',
    sources: { argv: ['--recovery-bytes-max', '1048577'] },
    want: 'recoveryBytesMax must be at most sendQueueBytesMax: a replay must not make its reader a slow consumer; got recoveryBytesMax=1048577 (--recovery-bytes-max), sendQueueBytesMax=1048576 (default)',
  },
  {
    name: 'a default limit over the limit',
    sources: { argv: ['--history-limit-max', '99'] },
    want: 'historyLimitDefault must be at most historyLimitMax: a default beyond the bound would be refused; got historyLimitDefault=100 (default), historyLimitMax=99 (--history-limit-max)',
  },
  {
    name: 'a pong timeout over many pings',
    sources: { argv: ['--ping-interval-ms', '4999'] },
    want: 'pongTimeoutMs must be at most 4 times pingIntervalMs: a dead connection would be kept through many pings; got pongTimeoutMs=20000 (default), pingIntervalMs=4999 (--ping-interval-ms)',
  },
  {
    name: 'a batch over what may wait',
    sources: { argv: ['--http-pending-max', '999'] },
    want: 'httpBatchMessagesMax must be at most httpPendingMax: the largest batch would never get in; got httpBatchMessagesMax=1000 (default), httpPendingMax=999 (--http-pending-max)',
  },
  {
    name: 'a share of a turn over that of all',
    sources: { argv: ['--commands-per-turn-max', '4096'] },
    want: 'commandsPerTurnMax must be at most commandsPerTurnTotalMax: one connection’s share is a part of all; got commandsPerTurnMax=4096 (--commands-per-turn-max), commandsPerTurnTotalMax=2048 (default)',
  },
  {
    name: 'a message that could not wait',
    sources: { argv: ['--commands-waiting-bytes-max', '65536'] },
    want: 'messageBytesMax + 64 must be at most commandsWaitingBytesMax: one message must be able to wait; got messageBytesMax=98304 (default), commandsWaitingBytesMax=65536 (--commands-waiting-bytes-max)',
  },
  {
    name: 'one connection’s waiting bytes over all',
    sources: { argv: ['--commands-waiting-bytes-total-max', '2097152'] },
    want: 'commandsWaitingBytesMax must be at most commandsWaitingBytesTotalMax: one connection’s share is a part of all; got commandsWaitingBytesMax=4194304 (default), commandsWaitingBytesTotalMax=2097152 (--commands-waiting-bytes-total-max)',
  },
  {
    name: 'load levels the wrong way round',
    sources: { argv: ['--shed-delay-ms=5000', '--shed-memory-mb=500', '--shed-memory-hard-mb=400'] },
    want: [
      'shedDelayMs must be at most shedDelayHardMs: the second level refuses what the first one refuses, and more; got shedDelayMs=5000 (--shed-delay-ms), shedDelayHardMs=3000 (default)',
      'shedMemoryMb must be at most shedMemoryHardMb: the second level refuses what the first one refuses, and more; got shedMemoryMb=500 (--shed-memory-mb), shedMemoryHardMb=400 (--shed-memory-hard-mb)',
    ],
  },
  {
    name: 'rate limits with problems, all of them',
    sources: { env: { RELAY_RATE_LIMITS: '[{"scope":"connection","what":"bytes","perSecond":1,"burst":5},{"scope":"all"}]' } },
    want: [
      'RELAY_RATE_LIMITS[0].burst must be an integer in [98304, 1000000000] (messageBytesMax: a larger message would never get in), got 5',
      "RELAY_RATE_LIMITS[1].scope must be one of connection, subject, address, got 'all'",
      'RELAY_RATE_LIMITS[1].what must be one of connect, publish, subscribe, call, command, bytes, got undefined',
      'RELAY_RATE_LIMITS[1].perSecond must be a number in [0.001, 1000000000], got undefined',
    ],
  },
  {
    name: 'a drain window over its deadline',
    sources: { argv: ['--drain-window-ms', '15001'] },
    want: 'drainWindowMs must be at most drainDeadlineMs: clients would be closed before their slot comes; got drainWindowMs=15001 (--drain-window-ms), drainDeadlineMs=15000 (default)',
  },
]) {
  t.test(`refuses ${name}`, async (t) => {
    const { config, problems } = load(sources);
    t.equal(config, null);
    t.same(problems, [want].flat());
  });
}

t.test('a file that is no JSON is named, whatever the engine says about it', async (t) => {
  const { config, problems } = load({ file: '{"port": 1,}' });
  t.equal(config, null);
  t.equal(problems.length, 1);
  t.match(problems[0], /^relay\.json is no JSON: /);
});

t.test('what the engine quotes of a file that is no JSON is left out: a secret may stand there', async (t) => {
  for (const file of [
    '{"opsToken": hunter2hunter2}',
    '{"opsToken": "hunter2hunter2" x}',
    '{"opsToken": "hunter2hunter2", "port": 1',
    'hunter2hunter2',
  ])
    t.notMatch(load({ file }).problems.join(), 'hunter2', file);
});

t.test('all problems of all sources come at once, and a bad value is not judged further', async (t) => {
  const { problems } = load({
    file: '{"lanes": -1, "messageBytesMax": "a lot", "x": 1}',
    env: { RELAY_PORT: 'x', RELAY_DRAIN_WINDOW_MS: '20000', RELAY_NO_SUCH: '1' },
    argv: ['--payload-bytes-max', '200000', '--unknown'],
  });
  t.same(problems, [
    '--unknown is no flag of relay serve',
    'relay.json: lanes must be auto or an integer in [0, 16], got -1',
    "relay.json: messageBytesMax must be an integer in [8192, 16777216], got 'a lot'",
    'relay.json: x is no setting',
    "RELAY_PORT must be an integer in [0, 65535], got 'x'",
    'RELAY_NO_SUCH is no setting',
    'drainWindowMs must be at most drainDeadlineMs: clients would be closed before their slot comes; got drainWindowMs=20000 (RELAY_DRAIN_WINDOW_MS), drainDeadlineMs=15000 (default)',
  ]);
});

t.test('a bad value in a weaker source is a problem even where a stronger one has a good value', async (t) => {
  t.same(load({ file: '{"port": -1}', argv: ['--port=1'] }).problems, [
    'relay.json: port must be an integer in [0, 65535], got -1',
  ]);
});

t.test('variables of others are passed over', async (t) => {
  const env = {
    PORT: 'x',
    RELAY_URL: 'ws://localhost',
    RELAY_TOKEN: 'secret',
    RELAY_SERVICE_HOST: '10.0.0.1',
    RELAY_SERVICE_PORT_WS: '8080',
    RELAY_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
    RELAY_PORT_8080_TCP_ADDR: '10.0.0.1',
    RELAY_EDGE_SERVICE_PORT: '80',
  };
  t.same(load({ env }).problems, []);
});

t.test('the doors may share a port on different addresses, and both may take any free one', async (t) => {
  t.same(load({ argv: ['--host=10.0.0.1', '--ops-port=8080', '--insecure'] }).problems, []);
  t.same(load({ argv: ['--port=0', '--ops-port=0'] }).problems, []);
  t.equal(load({ argv: ['--host=0.0.0.0', '--ops-port=8080', '--insecure'] }).problems.length, 1);
});

t.test('help is a text that names every flag, whatever else is wrong', async (t) => {
  const { help } = load({ argv: ['--help', '--port=x'] });
  for (const name of SETTING_NAMES)
    t.match(help, SETTINGS[name].isSwitch ? `--[no-]${flagName(name).slice(2)}` : `${flagName(name)} VALUE`);
  t.equal(load({ argv: ['-h'] }).help, help);
});

t.test('names: the unit in the name, the bound last, and the three spellings follow', async (t) => {
  t.equal(environmentName('pongTimeoutMs'), 'RELAY_PONG_TIMEOUT_MS');
  t.equal(flagName('laneRestartBackoffMsMax'), '--lane-restart-backoff-ms-max');
  for (const name of SETTING_NAMES) t.match(name, /^[a-z][A-Za-z]*$/);
  t.equal(new Set(SETTING_NAMES.map(environmentName)).size, SETTING_NAMES.length);
  t.equal(new Set(SETTING_NAMES.map(flagName)).size, SETTING_NAMES.length);
});

t.test('every default is allowed by its own setting, and together they pass every check', async (t) => {
  for (const name of SETTING_NAMES) {
    const setting = SETTINGS[name] as Setting<unknown>;
    t.same(setting.fromJson(setting.default), setting.default, name);
    const text = Array.isArray(setting.default) ? JSON.stringify(setting.default) : String(setting.default);
    t.same(setting.fromText(text), setting.default, `${name} as text`);
  }
  for (const { must, holds } of CROSS_CHECKS) t.ok(holds(DEFAULTS), must);
});

t.test('the printed defaults are a config file that makes the defaults', async (t) => {
  t.same(load({ file: renderDefaults() }).config, DEFAULTS);
});

t.test('the reference names every setting in its three spellings', async (t) => {
  const page = renderConfigDocs();
  for (const name of SETTING_NAMES) t.match(page, `### ${name}\n\n\`${environmentName(name)}\` · \`${flagName(name)}\``);
});

t.test('a metric that a setting names is one that exists', async (t) => {
  // Made from what a relay exports, and held to it (docs-current.test.ts).
  const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const known = new Set([...page.matchAll(/^\| `(relay_[a-z_0-9]+)`/gm)].map(([, name]) => name as string));
  t.ok(known.size > 50);
  for (const name of SETTING_NAMES) {
    for (const metric of (SETTINGS[name] as Setting<unknown>).metrics ?? []) t.ok(known.has(metric), `${name}: ${metric}`);
  }
});

t.test('the parts are told what the configuration says', async (t) => {
  const config = load({
    argv: ['--payload-bytes-max=1000', '--topics=[{"match":"big.>","presence":false}]', '--http-pending-max=2000'],
  }).config;
  if (config === null) throw new Error('the configuration is valid');
  const { limits, ...front } = frontOptions(config);
  t.match(config, front);
  t.match(limits, {
    rateLimits: [],
    refusalsMax: 1_000,
    commandsPerTurnMax: 256,
    shedding: { delayMs: [1_000, 3_000], calls: false },
  });
  t.equal(front.payloadBytesMax, 1000);
  t.same(httpOptions(config), {
    httpRequestTimeoutMs: 5_000,
    httpPendingMax: 2_000,
    httpBatchMessagesMax: 1_000,
    httpBodyBytesMax: 1_048_576,
  });
  const lane = laneOptions(config, { index: 1, laneCount: 2, seed: 3, firstSub: 4, life: 0 });
  t.match(lane, { index: 1, laneCount: 2, seed: 3, firstSub: 4, topicsMax: 100_000 });
  t.doesNotThrow(() => structuredClone(lane), 'travels into a thread');
  const topics = new TopicConfigs(lane.topicRules);
  t.match(topics.resolve('any'), { maxPayloadBytes: 1000, presence: true }, 'payloadBytesMax reaches every topic');
  t.match(topics.resolve('big.one'), { maxPayloadBytes: 1000, presence: false });
});

t.test('marks of load: auto is a share of the memory there is, 0 is never', async (t) => {
  const marksOf = (argv: string[]) => {
    const { config } = load({ argv });
    if (config === null) throw new Error('the configuration is valid');
    return frontOptions(config).limits.shedding;
  };
  const [low, high] = marksOf([]).memoryBytes;
  t.ok(low > 50_000_000 && low < high && Number.isFinite(high), `${low}, ${high}`);
  t.match(marksOf(['--shed-memory-mb=100', '--shed-memory-hard-mb=0', '--shed-delay-ms=0', '--shed-delay-hard-ms=50']), {
    delayMs: [Number.POSITIVE_INFINITY, 50],
    memoryBytes: [104_857_600, Number.POSITIVE_INFINITY],
  });
});

// ---- workflow definitions

const WORKFLOW = { name: 'w', version: 1, stages: [{ name: 'a', service: 's', method: 'm' }] };

t.test('workflow definitions: all problems of all of them at once, each with its place', async (t) => {
  const workflows = [WORKFLOW, { ...WORKFLOW, version: 0, stages: [{ name: 'a', service: 's' }] }, 7, WORKFLOW];
  const { config, problems } = load({ file: JSON.stringify({ workflows, port: 'x' }) });
  t.equal(config, null);
  t.match(problems, [
    /^relay\.json: port must be/,
    /^relay\.json: workflows\[1\]\.version must be an integer/,
    /^relay\.json: workflows\[1\]\.stages\[0\]\.method must be/,
    /^relay\.json: workflows\[2\]\.a definition must be a map, got 7/,
    /^relay\.json: workflows\[3\]: w version 1 stands at relay\.json: workflows\[0\] already/,
  ]);
});

t.test('workflow definitions: bounds of other settings hold for them', async (t) => {
  const slow = { ...WORKFLOW, stages: [{ name: 'a', service: 's', method: 'm', timeoutMs: 50_000 }] };
  const argv = [
    `--workflows=${JSON.stringify([slow, { ...slow, version: 2 }])}`,
    '--call-deadline-ms-max=30000',
    '--workflow-definitions-max=1',
  ];
  t.match(load({ argv }).problems, [
    /^--workflows\[0\]\.stages\[0\]\.timeoutMs must be an integer in \[1, 30000\]/,
    /^--workflows\[1\]/,
    /^--workflows must have at most workflowDefinitionsMax definitions; got 2, workflowDefinitionsMax=1 \(--workflow-definitions-max\)/,
  ]);
});

t.test('workflow definitions reach the lanes as they are', async (t) => {
  const { config } = load({ argv: [`--workflows=${JSON.stringify([WORKFLOW])}`] });
  if (config === null) throw new Error('the configuration is valid');
  const { workflows } = laneOptions(config, { index: 0, laneCount: 1, seed: 3, firstSub: 2, life: 0 });
  t.same(workflows.definitions, [WORKFLOW]);
  t.equal(workflows.partBytesMax, config.messageBytesMax - 4_096);
  t.equal(workflows.timeoutMsMax, config.callDeadlineMsMax);
});
