/** The settings as text: docs/config.md, `relay serve --help`, `relay config print`. All of it comes from config-table.ts. */

import { RATE_KINDS, RATE_SCOPES } from '../front/limits/rate-rules.ts';
import { BALANCE_STRATEGIES, DEFAULT_BREAKER, DEFAULT_OUTLIER, DEFAULT_SERVICE_CONFIG } from '../lane/services/service-config.ts';
import { DEFAULT_TOPIC_CONFIG } from '../lane/topic-config.ts';
import { SLOW_CONSUMER_POLICIES } from '../protocol/types.ts';
import { CENSOR } from '../telemetry/log.ts';
import {
  CROSS_CHECKS,
  DEFAULTS,
  environmentName,
  flagName,
  type RelayConfig,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
} from './config-table.ts';
import type { Setting } from './setting.ts';

/** A config file that says all of it: what `--config` reads back to the same configuration, or, where there are secrets, refuses for want of them. */
export function renderConfig(config: RelayConfig): string {
  return `${JSON.stringify(redactedConfig(config), null, 2)}\n`;
}

/** For whatever is printed, logged or kept. */
export function redactedConfig(config: RelayConfig): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    SETTING_NAMES.map((name) => {
      const value: unknown = config[name];
      const isSet = JSON.stringify(value) !== JSON.stringify(settingOf(name).default);
      return [name, settingOf(name).secret && isSet ? CENSOR : value];
    }),
  );
}

export function renderDefaults(): string {
  return renderConfig(DEFAULTS);
}

/** One block per setting, for a terminal. */
export function renderHelp(): string {
  const lines = [
    'usage: relay serve [flags]',
    '',
    'Every flag can also be an environment variable (--pong-timeout-ms: RELAY_PONG_TIMEOUT_MS) or stand in the config file (pongTimeoutMs).',
    'Flags go before the environment, the environment before the file. docs/config.md says what happens at each bound.',
    '',
    '  --config FILE  (JSON)',
  ];
  for (const [group, names] of byGroup()) {
    lines.push('', `${group}:`);
    for (const name of names) {
      const setting = settingOf(name);
      const flag = setting.isSwitch ? `--[no-]${flagName(name).slice(2)}` : `${flagName(name)} VALUE`;
      lines.push(`  ${flag}  (${setting.allowed}; default ${defaultText(setting.default)})`, `      ${plainText(setting.what)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

export function renderConfigDocs(): string {
  const groups = [...byGroup()].map(([group, names]) => `## ${group}\n\n${names.map(renderSetting).join('\n')}`);
  return [
    HEAD,
    ...groups,
    crossCheckSection(),
    topicRuleSection(),
    serviceRuleSection(),
    WORKFLOW_SECTION,
    RATE_LIMIT_SECTION,
  ].join('\n');
}

const HEAD = `# Configuration

Generated from \`src/app/config-table.ts\` by \`npm run docs\`; edits are overwritten.

A setting comes from the first of these that has it: **flag**, **environment variable**, **config file**, default.
Its name says its unit and ends with what it bounds; flag and variable follow from it:

| | |
|---|---|
| name, in the config file | \`pongTimeoutMs\` |
| flag | \`--pong-timeout-ms 20000\` or \`--pong-timeout-ms=20000\`; switches also as \`--compression\` and \`--no-compression\` |
| environment variable | \`RELAY_PONG_TIMEOUT_MS=20000\`; empty counts as not set |
| config file | \`--config FILE\` or \`RELAY_CONFIG=FILE\`: one JSON map of settings by name. No file is read unasked |

The relay starts with a complete and valid configuration or not at all. Otherwise it names everything that is wrong, in all sources, and ends
with exit code 2. An unknown flag, \`RELAY_*\` variable or key is an error too; only \`RELAY_URL\` and \`RELAY_TOKEN\` (for the client commands) and
the variables that Kubernetes makes from Services are passed over.

| command | |
|---|---|
| \`relay config print\` | the configuration that these flags, this environment and this file make |
| \`relay config check\` | is it valid? Exit code 0 or 2, and the problems |
| \`relay config defaults\` | every default, as a config file |
| \`relay config document\` | this page |
`;

function renderSetting(name: SettingName): string {
  const { allowed, what, atBound, metrics, ...setting } = settingOf(name);
  const notes = [
    ...(atBound === undefined ? [] : [`- At the bound: ${atBound}`]),
    ...(metrics === undefined ? [] : [`- Seen as: ${metrics.map((metric) => `\`${metric}\``).join(', ')}`]),
  ];
  const head = `\`${environmentName(name)}\` · \`${flagName(name)}\` · ${allowed} · default **${defaultText(setting.default)}**`;
  return `### ${name}\n\n${head}\n\n${what}\n${notes.length === 0 ? '' : `\n${notes.join('\n')}\n`}`;
}

function crossCheckSection(): string {
  const rows = CROSS_CHECKS.map(({ must, because }) => `| ${must} | ${because} |`);
  return `## Checked against each other\n\n| what | because |\n|---|---|\n${rows.join('\n')}\n`;
}

function topicRuleSection(): string {
  const { history, ...settings } = DEFAULT_TOPIC_CONFIG;
  const row = (name: string, initial: unknown, text: string): string => `| \`${name}\` | ${initial} | ${text} |`;
  return `## Topic rules

\`topics\` is a list. Each setting of a topic comes from the **last rule in the list that matches its name and has it**; what no rule says has its default.

\`\`\`json
{
  "topics": [
    { "match": "chat.>", "history": { "count": 500, "ageMs": 86400000 }, "stampTime": true },
    { "match": "chat.*.typing", "history": { "count": 0 }, "presence": false, "slowConsumer": "conflate" }
  ]
}
\`\`\`

| setting | default | |
|---|---|---|
${[
  row('match', '', 'Topic name or pattern; the only one that a rule must have.'),
  row('history.count', history.count, 'Messages kept; 0 keeps none, the topic is no stream then.'),
  row('history.bytes', history.bytes, 'Bytes kept; at most `historyBytesMax`.'),
  row('history.ageMs', history.ageMs, 'Older messages are not replayed.'),
  row('presence', settings.presence, 'May subscribers be members, and ask who is there?'),
  row('slowConsumer', settings.slowConsumer, `Policy where a SUBSCRIBE says none: ${SLOW_CONSUMER_POLICIES.join(', ')}.`),
  row('maxPayloadBytes', '`payloadBytesMax`', 'Largest payload, at most `payloadBytesMax`.'),
  row('echo', settings.echo, 'Does a publisher get its own messages? A PUBLISH may say otherwise.'),
  row('stampTime', settings.stampTime, 'Adds `timeUs`, the relay’s clock, to each message.'),
  row('stampPublisher', settings.stampPublisher, 'Adds `publisher` to each message.'),
].join('\n')}
`;
}

function serviceRuleSection(): string {
  const { balance, waitMs, waitingMax, retriesMax } = DEFAULT_SERVICE_CONFIG;
  const row = (name: string, initial: unknown, text: string): string => `| \`${name}\` | ${initial} | ${text} |`;
  return `## Service rules

\`services\` is a list. As with topics, each setting of a service comes from the **last rule in the list that matches its name and has it**. What the settings do
together: [services.md](services.md).

\`\`\`json
{
  "services": [
    { "match": ">", "waitMs": 500 },
    { "match": "render.>", "balance": "weighted", "outlier": false },
    { "match": "session.*", "balance": "sticky", "breaker": { "errorRate": 0.3, "slowMs": 2000 } }
  ]
}
\`\`\`

| setting | default | |
|---|---|---|
${[
  row('match', '', 'Service name or pattern; the only one that a rule must have.'),
  row('balance', balance, `Which instance gets a call: ${BALANCE_STRATEGIES.join(', ')}.`),
  row('waitMs', waitMs, 'How long a call waits for an instance with room, at most. 0: not at all.'),
  row('waitingMax', waitingMax, 'Calls of one service that wait. Over it a call is answered OVERLOADED (106).'),
  row('retriesMax', retriesMax, 'Other instances that get a call of an idempotent method after one was lost.'),
  row('breaker', '', '`false`, or a map of what follows. A map switches it on again.'),
  row('breaker.errorRate', DEFAULT_BREAKER.errorRate, 'Share of failed calls at which it opens.'),
  row('breaker.volume', DEFAULT_BREAKER.volume, 'Calls in the window, below which it stays closed.'),
  row('breaker.slowMs', DEFAULT_BREAKER.slowMs, 'A call that takes longer is slow; 0 turns this off.'),
  row('breaker.slowRate', DEFAULT_BREAKER.slowRate, 'Share of slow calls at which it opens.'),
  row('breaker.windowMs', DEFAULT_BREAKER.windowMs, 'The time that is looked back over.'),
  row('breaker.openMs', DEFAULT_BREAKER.openMs, 'How long it is open at first; doubles each time the probes fail.'),
  row('breaker.openMsMax', DEFAULT_BREAKER.openMsMax, 'What the doubling ends at.'),
  row('breaker.probes', DEFAULT_BREAKER.probes, 'Calls let through then; all must succeed for it to close.'),
  row('outlier', '', '`false`, or a map of what follows. A map switches it on again.'),
  row('outlier.intervalMs', DEFAULT_OUTLIER.intervalMs, 'How often instances are compared.'),
  row(
    'outlier.factor',
    DEFAULT_OUTLIER.factor,
    'An instance is ejected whose error rate or median latency is over so many times the median of the others.',
  ),
  row(
    'outlier.volume',
    DEFAULT_OUTLIER.volume,
    'Calls in the interval, below which an instance is not compared. Three that are compared must be there.',
  ),
  row('outlier.errorRateMin', DEFAULT_OUTLIER.errorRateMin, 'Below it an error rate is no outlier.'),
  row('outlier.latencyMsMin', DEFAULT_OUTLIER.latencyMsMin, 'Below it a median latency is no outlier.'),
  row('outlier.ejectMs', DEFAULT_OUTLIER.ejectMs, 'How long it is out at first; doubles each time in a row.'),
  row('outlier.ejectMsMax', DEFAULT_OUTLIER.ejectMsMax, 'What the doubling ends at.'),
  row(
    'outlier.maxEjectedPercent',
    DEFAULT_OUTLIER.maxEjectedPercent,
    'Of the instances that may be out at once; one may always be, unless this is 0.',
  ),
].join('\n')}
`;
}

const WORKFLOW_SECTION = `## Workflow definitions

\`workflows\` is a list of definitions, the same maps as DEFINE takes; [workflows](workflows.md#definition) has every key, bound and default. All problems of
all definitions are told at once, and no name and version may stand twice. A definition of the configuration cannot be changed by DEFINE; a new version can be added.

\`\`\`json
{
  "workflows": [
    {
      "name": "report",
      "version": 1,
      "stages": [
        { "name": "split", "service": "documents", "method": "split" },
        { "name": "render", "service": "renderer", "method": "render", "forEach": "split", "concurrency": 8 },
        { "name": "bind", "service": "documents", "method": "bind", "input": "render" }
      ]
    }
  ]
}
\`\`\`
`;

const RATE_LIMIT_SECTION = `## Rate limits

\`rateLimits\` is a list. Each entry is a token bucket for everybody of its scope; of each scope and kind there is at most one. All problems of all entries are told at once. What is never refused,
and what becomes of those who do not heed: [limits](limits.md).

\`\`\`json
{
  "rateLimits": [
    { "scope": "connection", "what": "publish", "perSecond": 50, "burst": 200 },
    { "scope": "subject", "what": "call", "perSecond": 20 },
    { "scope": "address", "what": "connect", "perSecond": 2, "burst": 20 }
  ]
}
\`\`\`

| key | |
|---|---|
| \`scope\` | Who has a bucket: ${RATE_SCOPES.map((scope) => `\`${scope}\``).join(', ')}. A subject is a token’s \`sub\`; of IPv6 addresses the first 64 bits count. |
| \`what\` | What is counted: ${RATE_KINDS.map((kind) => `\`${kind}\``).join(', ')}. \`call\` counts START too, \`command\` every command, \`bytes\` the bytes of all commands. |
| \`perSecond\` | Refill, from 0.001 to 1,000,000,000; fractions are allowed. |
| \`burst\` | Size of the bucket. Default: \`perSecond\`, rounded up; of \`bytes\` at least \`messageBytesMax\`. |
`;

function byGroup(): Map<string, SettingName[]> {
  return Map.groupBy(SETTING_NAMES, (name) => SETTINGS[name].group);
}

function settingOf(name: SettingName): Setting<unknown> {
  return SETTINGS[name] as Setting<unknown>;
}

function defaultText(value: unknown): string {
  return value === '' ? 'empty' : Array.isArray(value) ? JSON.stringify(value) : String(value);
}

/** For a terminal: no links, no code marks. */
function plainText(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1 (docs/config.md)').replaceAll('`', '');
}
