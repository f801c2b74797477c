/**
 * Per-topic configuration by name pattern: parsed once, all problems at once, resolved per topic when the topic is created.
 *
 * Rules stand in a list. Each setting of a topic comes from the **last matching rule that has it**; what no rule sets has the default below.
 */
import { describe } from '../base/describe.ts';
import { isMap } from '../base/is-map.ts';
import { checkNameText, matchesTokens, NameKind, nameProblem } from '../protocol/names.ts';
import { SLOW_CONSUMER_POLICIES, type SlowConsumerPolicy } from '../protocol/types.ts';

export interface HistoryConfig {
  /** Messages kept at most; 0 keeps none: the topic is no stream. */
  readonly count: number;
  /** Bytes of kept payload and meta at most. */
  readonly bytes: number;
  /** Messages older than this are not replayed. */
  readonly ageMs: number;
}

export interface TopicConfig {
  readonly history: HistoryConfig;
  readonly presence: boolean;
  readonly slowConsumer: SlowConsumerPolicy;
  readonly maxPayloadBytes: number;
  /** Does a publisher get its own messages? A PUBLISH may say otherwise. */
  readonly echo: boolean;
  /** Adds `timeUs` (relay clock) to every message's meta. */
  readonly stampTime: boolean;
  /** Adds `publisher` (HELLO `client`, else session id) to every message's meta. */
  readonly stampPublisher: boolean;
}

export interface TopicRule {
  readonly match: string;
  readonly history?: Partial<HistoryConfig>;
  readonly presence?: boolean;
  readonly slowConsumer?: SlowConsumerPolicy;
  readonly maxPayloadBytes?: number;
  readonly echo?: boolean;
  readonly stampTime?: boolean;
  readonly stampPublisher?: boolean;
}

/**
 * Before the rules of the configuration, which may say otherwise: what the relay tells of itself can be read by who comes late, for a day; dead letters for
 * a week.
 */
export const OWN_TOPIC_RULES: readonly TopicRule[] = [
  { match: '$service.>', history: { count: 1_000, bytes: 262_144, ageMs: 86_400_000 }, presence: false },
  { match: '$workflow.>', history: { count: 10_000, bytes: 1_048_576, ageMs: 86_400_000 }, presence: false },
  { match: '$relay.>', history: { count: 100, bytes: 262_144, ageMs: 86_400_000 }, presence: false },
  { match: '$dead.>', history: { count: 10_000, bytes: 4_194_304, ageMs: 604_800_000 }, presence: false },
];

export const DEFAULT_TOPIC_CONFIG: TopicConfig = {
  history: { count: 100, bytes: 262_144, ageMs: 600_000 },
  presence: true,
  slowConsumer: 'disconnect',
  maxPayloadBytes: 65_536,
  echo: true,
  stampTime: false,
  stampPublisher: false,
};

const HISTORY_BOUNDS: Readonly<Record<keyof HistoryConfig, readonly [min: number, max: number]>> = {
  count: [0, 1_000_000],
  bytes: [0, 268_435_456],
  ageMs: [1_000, 31_536_000_000],
};
const RULE_KEYS = new Set([
  'match',
  'history',
  'presence',
  'slowConsumer',
  'maxPayloadBytes',
  'echo',
  'stampTime',
  'stampPublisher',
]);
const BOOLEAN_KEYS = ['presence', 'echo', 'stampTime', 'stampPublisher'] as const;

export type ParsedRules = { readonly rules: readonly TopicRule[]; readonly problems: readonly string[] };

/** Checks a list of rules from outside. `problems` is empty if and only if `rules` may be used. `path` names the list in the texts. */
export function parseTopicRules(input: unknown, payloadBytesMax: number, path = 'topics'): ParsedRules {
  const problems: string[] = [];
  if (input === undefined || input === null) return { rules: [], problems };
  if (!Array.isArray(input)) return { rules: [], problems: [`${path} must be a list of rules, got ${describe(input)}`] };
  if (input.length > 1_000) problems.push(`${path} has at most 1000 rules, got ${input.length}`);
  input.forEach((rule: unknown, index) => {
    checkRule(rule, `${path}[${index}]`, payloadBytesMax, problems);
  });
  return { rules: problems.length === 0 ? (input as TopicRule[]) : [], problems };
}

function checkRule(rule: unknown, path: string, payloadBytesMax: number, problems: string[]): void {
  if (!isMap(rule)) {
    problems.push(`${path} must be a map, got ${describe(rule)}`);
    return;
  }
  for (const key of Object.keys(rule))
    if (!RULE_KEYS.has(key)) problems.push(`${path}.${key} is not a setting; known: ${[...RULE_KEYS].join(', ')}`);
  if (typeof rule['match'] !== 'string')
    problems.push(`${path}.match must be a topic name or pattern, got ${describe(rule['match'])}`);
  else if (checkNameText(rule['match']) === NameKind.INVALID) problems.push(`${path}.match '${rule['match']}': ${nameProblem()}`);
  for (const key of BOOLEAN_KEYS) {
    if (rule[key] !== undefined && typeof rule[key] !== 'boolean')
      problems.push(`${path}.${key} must be true or false, got ${describe(rule[key])}`);
  }
  const policy = rule['slowConsumer'];
  if (policy !== undefined && !SLOW_CONSUMER_POLICIES.includes(policy as SlowConsumerPolicy)) {
    problems.push(`${path}.slowConsumer must be one of ${SLOW_CONSUMER_POLICIES.join(', ')}, got ${describe(policy)}`);
  }
  if (rule['maxPayloadBytes'] !== undefined)
    checkInteger(rule['maxPayloadBytes'], `${path}.maxPayloadBytes`, 1, payloadBytesMax, problems);
  const history = rule['history'];
  if (history === undefined) return;
  if (!isMap(history)) {
    problems.push(`${path}.history must be a map {count, bytes, ageMs}, got ${describe(history)}`);
    return;
  }
  for (const [key, value] of Object.entries(history)) {
    const bounds = Object.hasOwn(HISTORY_BOUNDS, key) ? HISTORY_BOUNDS[key as keyof HistoryConfig] : undefined;
    if (bounds === undefined) problems.push(`${path}.history.${key} is not a setting; known: count, bytes, ageMs`);
    else checkInteger(value, `${path}.history.${key}`, bounds[0], bounds[1], problems);
  }
}

function checkInteger(value: unknown, path: string, min: number, max: number, problems: string[]): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    problems.push(`${path} must be an integer in [${min}, ${max}], got ${describe(value)}`);
  }
}

/** Resolves topics against a parsed list of rules. */
export class TopicConfigs {
  readonly #rules: readonly (TopicRule & { readonly tokens: readonly string[] })[];
  readonly #defaults: TopicConfig;

  constructor(rules: readonly TopicRule[], defaults: TopicConfig = DEFAULT_TOPIC_CONFIG) {
    this.#rules = [...OWN_TOPIC_RULES, ...rules].map((rule) => ({ ...rule, tokens: rule.match.split('.') }));
    this.#defaults = defaults;
  }

  /** Cold: once per topic. Topics that match no rule share one frozen object. */
  resolve(topic: string): TopicConfig {
    const tokens = topic.split('.');
    let config = this.#defaults;
    for (const { match: _match, tokens: pattern, history, ...settings } of this.#rules) {
      if (!matchesTokens(pattern, tokens)) continue;
      config = { ...config, ...settings, history: history === undefined ? config.history : { ...config.history, ...history } };
    }
    return config;
  }
}
