/**
 * Per-service configuration by name pattern: parsed once, all problems at once, resolved per service at its first instance.
 *
 * As with topics (topic-config.ts) each setting of a service comes from the **last matching rule that has it**; what no rule sets has the default below.
 */
import { describe } from '../../base/describe.ts';
import { isMap } from '../../base/is-map.ts';
import { checkNameText, matchesTokens, NameKind, nameProblem } from '../../protocol/names.ts';

export const BALANCE_STRATEGIES = ['leastInFlight', 'roundRobin', 'random', 'weighted', 'sticky', 'consistentHash'] as const;
export type BalanceStrategy = (typeof BALANCE_STRATEGIES)[number];

/** When an instance that fails gets no calls for a while. */
export interface BreakerConfig {
  /** Share of calls that failed at which it opens. */
  readonly errorRate: number;
  /** Not before so many calls in the window. */
  readonly volume: number;
  /** Share of calls slower than `slowMs` at which it opens. */
  readonly slowRate: number;
  /** 0: no call is too slow. */
  readonly slowMs: number;
  readonly windowMs: number;
  /** How long it is open at first; doubles each time the probes fail. */
  readonly openMs: number;
  readonly openMsMax: number;
  /** Calls let through before it closes again; all of them must succeed. */
  readonly probes: number;
}

/** When an instance that does much worse than its siblings is left out for a while. */
export interface OutlierConfig {
  readonly intervalMs: number;
  /** Times the median of the others. */
  readonly factor: number;
  /** Calls of an instance in the interval, below which it is neither judged nor counted. */
  readonly volume: number;
  /** Below it an error rate is no outlier, whatever the others' is. */
  readonly errorRateMin: number;
  /** Below it a median latency is no outlier, whatever the others' is. */
  readonly latencyMsMin: number;
  readonly ejectMs: number;
  readonly ejectMsMax: number;
  /** Of the service's instances; one may always be ejected. */
  readonly maxEjectedPercent: number;
}

export interface ServiceConfig {
  readonly balance: BalanceStrategy;
  /** How long a call waits for an instance with room, at most. */
  readonly waitMs: number;
  readonly waitingMax: number;
  /** Other instances tried after one was lost; idempotent methods only. */
  readonly retriesMax: number;
  readonly breaker: BreakerConfig | false;
  readonly outlier: OutlierConfig | false;
}

export interface ServiceRule {
  readonly match: string;
  readonly balance?: BalanceStrategy;
  readonly waitMs?: number;
  readonly waitingMax?: number;
  readonly retriesMax?: number;
  readonly breaker?: Partial<BreakerConfig> | false;
  readonly outlier?: Partial<OutlierConfig> | false;
}

export const DEFAULT_BREAKER: BreakerConfig = {
  errorRate: 0.5,
  volume: 20,
  slowRate: 0.8,
  slowMs: 0,
  windowMs: 10_000,
  openMs: 5_000,
  openMsMax: 60_000,
  probes: 3,
};

export const DEFAULT_OUTLIER: OutlierConfig = {
  intervalMs: 10_000,
  factor: 3,
  volume: 20,
  errorRateMin: 0.1,
  latencyMsMin: 50,
  ejectMs: 30_000,
  ejectMsMax: 300_000,
  maxEjectedPercent: 33,
};

export const DEFAULT_SERVICE_CONFIG: ServiceConfig = {
  balance: 'leastInFlight',
  waitMs: 1_000,
  waitingMax: 1_000,
  retriesMax: 1,
  breaker: DEFAULT_BREAKER,
  outlier: DEFAULT_OUTLIER,
};

interface Bounds {
  readonly min: number;
  readonly max: number;
  /** A rate or factor; anything else is a whole number. */
  readonly isFraction?: true;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NUMBERS = {
  waitMs: { min: 0, max: DAY_MS },
  waitingMax: { min: 0, max: 1_000_000 },
  retriesMax: { min: 0, max: 10 },
} as const satisfies Record<string, Bounds>;
const BREAKER_NUMBERS: Readonly<Record<keyof BreakerConfig, Bounds>> = {
  errorRate: { min: 0.01, max: 1, isFraction: true },
  volume: { min: 1, max: 1_000_000 },
  slowRate: { min: 0.01, max: 1, isFraction: true },
  slowMs: { min: 0, max: DAY_MS },
  windowMs: { min: 1_000, max: HOUR_MS },
  openMs: { min: 1, max: HOUR_MS },
  openMsMax: { min: 1, max: DAY_MS },
  probes: { min: 1, max: 1_000 },
};
const OUTLIER_NUMBERS: Readonly<Record<keyof OutlierConfig, Bounds>> = {
  intervalMs: { min: 1_000, max: HOUR_MS },
  factor: { min: 1.1, max: 1_000, isFraction: true },
  volume: { min: 1, max: 1_000_000 },
  errorRateMin: { min: 0, max: 1, isFraction: true },
  latencyMsMin: { min: 0, max: DAY_MS },
  ejectMs: { min: 1, max: HOUR_MS },
  ejectMsMax: { min: 1, max: DAY_MS },
  maxEjectedPercent: { min: 0, max: 100 },
};
const RULE_KEYS = ['match', 'balance', ...Object.keys(NUMBERS), 'breaker', 'outlier'];
const RULES_MAX = 1_000;

export type ParsedServiceRules = { readonly rules: readonly ServiceRule[]; readonly problems: readonly string[] };

/** Checks a list of rules from outside. `problems` is empty if and only if `rules` may be used. `path` names the list in the texts. */
export function parseServiceRules(input: unknown, path = 'services'): ParsedServiceRules {
  const problems: string[] = [];
  if (input === undefined || input === null) return { rules: [], problems };
  if (!Array.isArray(input)) return { rules: [], problems: [`${path} must be a list of rules, got ${describe(input)}`] };
  if (input.length > RULES_MAX) problems.push(`${path} has at most ${RULES_MAX} rules, got ${input.length}`);
  input.forEach((rule: unknown, index) => {
    checkRule(rule, `${path}[${index}]`, problems);
  });
  return { rules: problems.length === 0 ? (input as ServiceRule[]) : [], problems };
}

function checkRule(rule: unknown, path: string, problems: string[]): void {
  if (!isMap(rule)) {
    problems.push(`${path} must be a map, got ${describe(rule)}`);
    return;
  }
  for (const key of Object.keys(rule))
    if (!RULE_KEYS.includes(key)) problems.push(`${path}.${key} is not a setting; known: ${RULE_KEYS.join(', ')}`);
  const { match, balance } = rule;
  if (typeof match !== 'string') problems.push(`${path}.match must be a service name or pattern, got ${describe(match)}`);
  else if (checkNameText(match) === NameKind.INVALID) problems.push(`${path}.match '${match}': ${nameProblem()}`);
  if (balance !== undefined && !BALANCE_STRATEGIES.includes(balance as BalanceStrategy))
    problems.push(`${path}.balance must be one of ${BALANCE_STRATEGIES.join(', ')}, got ${describe(balance)}`);
  for (const [key, bounds] of Object.entries(NUMBERS))
    if (rule[key] !== undefined) checkNumber(rule[key], `${path}.${key}`, bounds, problems);
  checkNested(rule['breaker'], `${path}.breaker`, BREAKER_NUMBERS, problems);
  checkNested(rule['outlier'], `${path}.outlier`, OUTLIER_NUMBERS, problems);
  checkOrder(rule['breaker'], DEFAULT_BREAKER, ['openMs', 'openMsMax'], `${path}.breaker`, problems);
  checkOrder(rule['outlier'], DEFAULT_OUTLIER, ['ejectMs', 'ejectMsMax'], `${path}.outlier`, problems);
}

function checkNested(value: unknown, path: string, known: Readonly<Record<string, Bounds>>, problems: string[]): void {
  if (value === undefined || value === false) return;
  const keys = Object.keys(known).join(', ');
  if (!isMap(value)) {
    problems.push(`${path} must be false or a map {${keys}}, got ${describe(value)}`);
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    const bounds = Object.hasOwn(known, key) ? known[key] : undefined;
    if (bounds === undefined) problems.push(`${path}.${key} is not a setting; known: ${keys}`);
    else checkNumber(inner, `${path}.${key}`, bounds, problems);
  }
}

/** What doubles must have room to: judged with the default of the one that is not given. */
function checkOrder(
  value: unknown,
  defaults: object,
  [low, high]: readonly [string, string],
  path: string,
  problems: string[],
): void {
  if (!isMap(value)) return;
  const { [low]: from, [high]: to } = { ...defaults, ...value } as Record<string, unknown>;
  if (typeof from === 'number' && typeof to === 'number' && from > to)
    problems.push(`${path}.${low} must be at most ${high}, got ${low}=${from}, ${high}=${to}`);
}

function checkNumber(value: unknown, path: string, { min, max, isFraction }: Bounds, problems: string[]): void {
  const isRight = isFraction === true ? typeof value === 'number' : Number.isInteger(value);
  if (isRight && (value as number) >= min && (value as number) <= max) return;
  problems.push(`${path} must be ${isFraction === true ? 'a number' : 'an integer'} in [${min}, ${max}], got ${describe(value)}`);
}

/** Resolves services against a parsed list of rules. */
export class ServiceConfigs {
  readonly #rules: readonly (ServiceRule & { readonly tokens: readonly string[] })[];

  constructor(rules: readonly ServiceRule[]) {
    this.#rules = rules.map((rule) => ({ ...rule, tokens: rule.match.split('.') }));
  }

  /** Cold: once per service. Services that match no rule share one object. */
  resolve(service: string): ServiceConfig {
    const tokens = service.split('.');
    let config = DEFAULT_SERVICE_CONFIG;
    for (const { match: _match, tokens: pattern, breaker, outlier, ...settings } of this.#rules) {
      if (!matchesTokens(pattern, tokens)) continue;
      config = {
        ...config,
        ...settings,
        breaker: merged(config.breaker, DEFAULT_BREAKER, breaker),
        outlier: merged(config.outlier, DEFAULT_OUTLIER, outlier),
      };
    }
    return config;
  }
}

/** A rule that has some of it switches it on again where an earlier one had switched it off. */
function merged<T extends object>(known: T | false, defaults: T, change: Partial<T> | false | undefined): T | false {
  if (change === undefined) return known;
  return change === false ? false : { ...(known === false ? defaults : known), ...change };
}
