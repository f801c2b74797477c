/**
 * From flags, environment and config file to one frozen RelayConfig, or to the list of everything that is wrong with them.
 *
 * Pure: arguments, environment and file access come in. The settings themselves, and what they must be, are in config-table.ts.
 */
import { describe } from '../base/describe.ts';
import { isMap } from '../base/is-map.ts';
import { checkRateRules } from '../front/limits/rate-rules.ts';
import { parseServiceRules } from '../lane/services/service-config.ts';
import { parseTopicRules, type TopicRule } from '../lane/topic-config.ts';
import { parseDefinitions } from '../lane/workflows/definition.ts';
import { CENSOR } from '../telemetry/log.ts';
import { loadTls } from '../transport/tls-files.ts';
import { authProblems } from './auth-checks.ts';
import { renderHelp } from './config-docs.ts';
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

export { redactedConfig, renderConfig, renderConfigDocs, renderDefaults } from './config-docs.ts';
export type { RelayConfig, SettingName } from './config-table.ts';
export { frontOptions, httpOptions, laneOptions } from './part-options.ts';

export interface ConfigInput {
  /** What follows `relay serve`. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Text of a file; throws if it cannot be read. */
  readonly readFile: (path: string) => string;
  /** For certificates; default: now. */
  readonly nowMs?: number;
}

export interface LoadedConfig {
  /** Null if and only if there are problems. */
  readonly config: RelayConfig | null;
  /** All of them, of all sources, each with its source and what is allowed. */
  readonly problems: readonly string[];
  /** The text that `--help` or `-h` asks for, or null. */
  readonly help: string | null;
  /** Where each setting comes from that has not its default: `--port`, `RELAY_PORT`, `relay.json: port`. */
  readonly origins: ReadonlyMap<SettingName, string>;
}

const CONFIG_FLAG = '--config';
const CONFIG_VARIABLE = 'RELAY_CONFIG';
/** Read by the client commands (`relay pub`, `relay sub` ...), so their presence is no mistake. */
const CLIENT_VARIABLES = ['RELAY_URL', 'RELAY_TOKEN'];
/** Kubernetes puts these into every container beside a Service whose name begins with `relay`; they are no settings of ours. */
const SERVICE_LINK = /^RELAY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$/;
const SERVICE_LINK_VALUE = /^(tcp|udp|sctp):\/\//;

const TLS_SETTING_NAMES = ['tlsCertFile', 'tlsKeyFile', 'tlsPassphraseFile', 'tlsServerNames'] as const;

const NAME_BY_FLAG = new Map(SETTING_NAMES.map((name) => [flagName(name), name]));
const KNOWN_FLAGS = [...NAME_BY_FLAG.keys(), CONFIG_FLAG, '--help'];
const NAME_BY_VARIABLE = new Map(SETTING_NAMES.map((name) => [environmentName(name), name]));

export function loadConfig(input: ConfigInput): LoadedConfig {
  const draft = new Draft(input.readFile);
  const flags = parseFlags(input.argv, draft);
  // Weakest source first: what comes later takes its place.
  const path = flags.configPath ?? input.env[CONFIG_VARIABLE];
  if (path !== undefined && path !== '') applyFile(path, input.readFile, draft);
  applyEnvironment(input.env, draft);
  for (const { name, text, origin } of flags.values) draft.setText(name, text, origin);
  const config = draft.finish(input.nowMs ?? Date.now());
  return { config, problems: draft.problems, help: flags.help ? renderHelp() : null, origins: draft.origins };
}

/** Values as they come in, source by source, and what was wrong with them. */
class Draft {
  readonly problems: string[] = [];
  readonly origins = new Map<SettingName, string>();
  readonly #values: Record<string, unknown> = { ...DEFAULTS };
  /** Given, but not usable in at least one source: nothing that depends on them can be judged. */
  readonly #invalid = new Set<SettingName>();
  readonly #readFile: ConfigInput['readFile'];

  constructor(readFile: ConfigInput['readFile']) {
    this.#readFile = readFile;
  }

  setText(name: SettingName, text: string, origin: string): void {
    this.#set(name, settingOf(name).fromText(text), origin, text);
  }

  setJson(name: SettingName, value: unknown, origin: string): void {
    this.#set(name, settingOf(name).fromJson(value), origin, value);
  }

  reject(name: SettingName, problem: string): void {
    this.problems.push(problem);
    this.#invalid.add(name);
  }

  finish(nowMs: number): RelayConfig | null {
    const config = this.#values as unknown as RelayConfig;
    this.#checkTopics(config);
    this.#checkServices(config);
    this.#checkWorkflows(config);
    this.#checkRateLimits(config);
    this.problems.push(
      ...authProblems(
        config,
        (name) => !this.#invalid.has(name),
        (name) => this.#originOf(name),
        this.#readFile,
      ),
    );
    if (!TLS_SETTING_NAMES.some((name) => this.#invalid.has(name)))
      this.problems.push(...loadTls(config, this.#readFile, nowMs).problems);
    for (const { settings, must, because, holds } of CROSS_CHECKS) {
      if (settings.some((name) => this.#invalid.has(name)) || holds(config)) continue;
      const facts = settings.map((name) => `${name}=${valueText(name, config[name])} (${this.#originOf(name)})`).join(', ');
      this.problems.push(`${must}: ${because}; got ${facts}`);
    }
    return this.problems.length === 0 ? deepFreeze(config) : null;
  }

  #set(name: SettingName, value: unknown, origin: string, got: unknown): void {
    if (value === undefined) {
      const hint =
        typeof got === 'string' && SERVICE_LINK_VALUE.test(got)
          ? ' (set by Kubernetes: switch off enableServiceLinks, or rename the Service)'
          : '';
      this.reject(
        name,
        `${origin} must be ${settingOf(name).allowed}, got ${settingOf(name).secret ? CENSOR : short(got)}${hint}`,
      );
      return;
    }
    this.#values[name] = value;
    this.origins.set(name, origin);
  }

  /** The rules' bounds depend on other settings, so they are judged last. */
  #checkTopics(config: RelayConfig): void {
    if (this.#invalid.has('topics')) return;
    const path = this.origins.get('topics') ?? 'topics';
    const payloadBytesMax = this.#invalid.has('payloadBytesMax') ? Number.MAX_SAFE_INTEGER : config.payloadBytesMax;
    const { problems } = parseTopicRules(config.topics, payloadBytesMax, path);
    this.problems.push(...problems);
    if (problems.length > 0 || this.#invalid.has('historyBytesMax')) return;
    config.topics.forEach((rule: TopicRule, index) => {
      const bytes = rule.history?.bytes ?? 0;
      if (bytes <= config.historyBytesMax) return;
      this.problems.push(
        `${path}[${index}].history.bytes must be at most historyBytesMax: one topic cannot keep more than its lane; got ${bytes}, historyBytesMax=${config.historyBytesMax} (${this.#originOf('historyBytesMax')})`,
      );
    });
  }

  #checkServices(config: RelayConfig): void {
    if (this.#invalid.has('services')) return;
    this.problems.push(...parseServiceRules(config.services, this.origins.get('services') ?? 'services').problems);
  }

  /** Every definition by itself, and how many there are: a lane may get all of them. */
  #checkWorkflows(config: RelayConfig): void {
    if (this.#invalid.has('workflows')) return;
    const path = this.origins.get('workflows') ?? 'workflows';
    const timeoutMsMax = this.#invalid.has('callDeadlineMsMax') ? Number.MAX_SAFE_INTEGER : config.callDeadlineMsMax;
    this.problems.push(...parseDefinitions(config.workflows, { timeoutMsMax }, path));
    if (this.#invalid.has('workflowDefinitionsMax') || config.workflows.length <= config.workflowDefinitionsMax) return;
    this.problems.push(
      `${path} must have at most workflowDefinitionsMax definitions; got ${config.workflows.length}, workflowDefinitionsMax=${config.workflowDefinitionsMax} (${this.#originOf('workflowDefinitionsMax')})`,
    );
  }

  #checkRateLimits(config: RelayConfig): void {
    if (this.#invalid.has('rateLimits')) return;
    const messageBytesMax = this.#invalid.has('messageBytesMax') ? 1 : config.messageBytesMax;
    this.problems.push(...checkRateRules(config.rateLimits, messageBytesMax, this.origins.get('rateLimits') ?? 'rateLimits'));
  }

  #originOf(name: SettingName): string {
    return this.origins.get(name) ?? 'default';
  }
}

interface ParsedFlags {
  readonly values: readonly { readonly name: SettingName; readonly text: string; readonly origin: string }[];
  readonly configPath: string | undefined;
  readonly help: boolean;
}

/** `--name value`, `--name=value`, and for switches `--name` and `--no-name`. */
function parseFlags(argv: readonly string[], draft: Draft): ParsedFlags {
  const values: { name: SettingName; text: string; origin: string }[] = [];
  const seen = new Set<string>();
  let configPath: string | undefined;
  let help = false;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] as string;
    if (argument === '--help' || argument === '-h') {
      help = true;
      continue;
    }
    if (!argument.startsWith('--')) {
      draft.problems.push(`unexpected argument ${short(argument)}: settings are given as --name value`);
      continue;
    }
    const equals = argument.indexOf('=');
    const given = equals < 0 ? argument : argument.slice(0, equals);
    let text = equals < 0 ? undefined : argument.slice(equals + 1);
    const following = argv[index + 1];
    const hasFollowing = text === undefined && following !== undefined && !following.startsWith('--');
    const target = findFlag(given);
    if (target === null) {
      draft.problems.push(`${given} is no flag of relay serve${didYouMean(given, KNOWN_FLAGS)}`);
      if (hasFollowing) index++; // Most likely its value, and no problem of its own.
      continue;
    }
    const { flag, name, switchText } = target;
    if (switchText === 'false' && text !== undefined) {
      draft.problems.push(`${given} takes no value, got ${short(text)}`);
      continue;
    }
    if (text === undefined && switchText !== null) text = switchText;
    else if (hasFollowing) {
      text = following;
      index++;
    }
    if (seen.has(flag)) draft.problems.push(`${flag} is given twice`);
    seen.add(flag);
    if (name === null) {
      if (text === undefined || text === '') draft.problems.push(`${flag} needs a value: the path of a JSON file`);
      else configPath = text;
    } else if (text === undefined) draft.reject(name, `${flag} needs a value: ${settingOf(name).allowed}`);
    else values.push({ name, text, origin: flag });
  }
  return { values, configPath, help };
}

interface FlagTarget {
  readonly flag: string;
  /** Null: the config file's path. */
  readonly name: SettingName | null;
  /** What a switch without a value means; null: no switch, a value must follow. */
  readonly switchText: 'true' | 'false' | null;
}

function findFlag(given: string): FlagTarget | null {
  if (given === CONFIG_FLAG) return { flag: given, name: null, switchText: null };
  const name = NAME_BY_FLAG.get(given);
  if (name !== undefined) return { flag: given, name, switchText: settingOf(name).isSwitch ? 'true' : null };
  const flag = given.replace(/^--no-/, '--');
  const negated = flag === given ? undefined : NAME_BY_FLAG.get(flag);
  if (negated === undefined || !settingOf(negated).isSwitch) return null;
  return { flag, name: negated, switchText: 'false' };
}

/** Empty counts as not set: that is what an unset variable becomes in compose files. */
function applyEnvironment(env: ConfigInput['env'], draft: Draft): void {
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('RELAY_') || text === undefined || text === '') continue;
    const name = NAME_BY_VARIABLE.get(variable);
    if (name !== undefined) draft.setText(name, text, variable);
    else if (variable !== CONFIG_VARIABLE && !CLIENT_VARIABLES.includes(variable) && !SERVICE_LINK.test(variable)) {
      draft.problems.push(`${variable} is no setting${didYouMean(variable, [...NAME_BY_VARIABLE.keys(), CONFIG_VARIABLE])}`);
    }
  }
}

function applyFile(path: string, readFile: ConfigInput['readFile'], draft: Draft): void {
  let content: unknown;
  try {
    content = JSON.parse(readFile(path));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof SyntaxError) draft.problems.push(`${path} is no JSON: ${withoutQuote(message)}`);
    else draft.problems.push(`${path} could not be read: ${message}`);
    return;
  }
  if (!isMap(content)) {
    draft.problems.push(`${path} must be a map of settings, got ${short(content)}`);
    return;
  }
  for (const [key, value] of Object.entries(content)) {
    if (isSettingName(key)) draft.setJson(key, value, `${path}: ${key}`);
    else draft.problems.push(`${path}: ${key} is no setting${didYouMean(key, SETTING_NAMES)}`);
  }
}

/** Of a JSON parser's message: it may quote what it stumbled over, and that may be a secret. */
function withoutQuote(message: string): string {
  return message.replace(/, ?(\.\.\.)?".*$/s, '');
}

function isSettingName(key: string): key is SettingName {
  return Object.hasOwn(SETTINGS, key);
}

/** One setting with its own type forgotten: what it returns goes back to where it came from by name. */
function settingOf(name: SettingName): Setting<unknown> {
  return SETTINGS[name] as Setting<unknown>;
}

/** Three letters off at most, and fewer for short names: a far guess is worse than none. */
const SUGGESTION_DISTANCE_MAX = 3;

function didYouMean(given: string, known: readonly string[]): string {
  const wanted = normalized(given);
  let best = '';
  let bestDistance = Math.min(SUGGESTION_DISTANCE_MAX, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, normalized(candidate));
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best === '' ? '' : `; did you mean ${best}?`;
}

/** The three spellings of one setting look alike: `pongTimeoutMs`, `pong_timeout_ms`, `--PongTimeoutMs`. */
function normalized(name: string): string {
  return name.replace(/^RELAY_|[-_]/g, '').toLowerCase();
}

/** Letters to change, add, remove or swap with their neighbour. */
function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const isSame = left[row - 1] === right[column - 1];
      let distance = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (isSame ? 0 : 1));
      const isSwapped = row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      if (isSwapped) distance = Math.min(distance, beforeLast[column - 2]! + 1);
      current.push(distance);
    }
    beforeLast = last;
    last = current;
  }
  return last[right.length]!;
}

/** What was given, in a problem's text: short, and on one line. */
function short(value: unknown): string {
  const text = describe(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** A value among the facts of a problem. */
function valueText(name: SettingName, value: unknown): string {
  const { secret, default: initial } = settingOf(name);
  if (secret && JSON.stringify(value) !== JSON.stringify(initial)) return CENSOR;
  return value === '' || typeof value === 'object' ? short(value) : String(value);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
