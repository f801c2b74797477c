/**
 * The setting `rateLimits`: a list of limits, checked with all problems at once, and which commands each of them is about.
 *
 * Pure. What is done with them: front-limits.ts.
 */
import { describe } from '../../base/describe.ts';
import { isMap } from '../../base/is-map.ts';
import { MessageType } from '../../protocol/types.ts';
import type { BucketSpec } from './token-buckets.ts';

export const RATE_SCOPES = ['connection', 'subject', 'address'] as const;
/** Who shares the bucket: nobody, all connections of a token's subject, all of an address. */
export type RateScope = (typeof RATE_SCOPES)[number];

export const RATE_KINDS = ['connect', 'publish', 'subscribe', 'call', 'command', 'bytes'] as const;
/** `call` counts START too, `command` everything, `bytes` the bytes of everything. */
export type RateKind = (typeof RATE_KINDS)[number];

export interface RateRule {
  readonly scope: RateScope;
  readonly what: RateKind;
  readonly perSecond: number;
  /** What may come at once. Default: one second's worth, at least 1; of bytes, at least `messageBytesMax`. */
  readonly burst?: number;
}

export interface RateLimit extends BucketSpec {
  readonly scope: RateScope;
  readonly what: RateKind;
  /** As refusals and metrics call it: `connection.publish`. */
  readonly name: string;
}

const PER_SECOND_MIN = 0.001;
const UNITS_MAX = 1_000_000_000;
const RULE_KEYS = ['scope', 'what', 'perSecond', 'burst'];

/** Problems of a list from outside; none: it is a list of RateRules. `path` names it in the texts. */
export function checkRateRules(input: readonly unknown[], messageBytesMax: number, path = 'rateLimits'): string[] {
  const problems: string[] = [];
  const seen = new Map<string, number>();
  input.forEach((rule, index) => {
    const at = `${path}[${index}]`;
    if (!isMap(rule)) {
      problems.push(`${at} must be a map {${RULE_KEYS.join(', ')}}, got ${describe(rule)}`);
      return;
    }
    const { scope, what, perSecond, burst } = rule;
    for (const key of Object.keys(rule))
      if (!RULE_KEYS.includes(key)) problems.push(`${at}.${key} is not a setting; known: ${RULE_KEYS.join(', ')}`);
    const isScope = (RATE_SCOPES as readonly unknown[]).includes(scope);
    const isKind = (RATE_KINDS as readonly unknown[]).includes(what);
    if (!isScope) problems.push(`${at}.scope must be one of ${RATE_SCOPES.join(', ')}, got ${describe(scope)}`);
    if (!isKind) problems.push(`${at}.what must be one of ${RATE_KINDS.join(', ')}, got ${describe(what)}`);
    if (typeof perSecond !== 'number' || !(perSecond >= PER_SECOND_MIN && perSecond <= UNITS_MAX))
      problems.push(`${at}.perSecond must be a number in [${PER_SECOND_MIN}, ${UNITS_MAX}], got ${describe(perSecond)}`);
    if (burst !== undefined) {
      const burstMin = what === 'bytes' ? messageBytesMax : 1;
      if (!Number.isInteger(burst) || (burst as number) < burstMin || (burst as number) > UNITS_MAX) {
        const because = what === 'bytes' ? ' (messageBytesMax: a larger message would never get in)' : '';
        problems.push(`${at}.burst must be an integer in [${burstMin}, ${UNITS_MAX}]${because}, got ${describe(burst)}`);
      }
    }
    if (!isScope || !isKind) return;
    if (scope === 'connection' && what === 'connect')
      problems.push(`${at}: a connection connects once: limit connects by subject or address`);
    const name = `${scope}.${what}`;
    const before = seen.get(name);
    if (before !== undefined) problems.push(`${at}: ${name} is limited by ${path}[${before}] already`);
    seen.set(name, index);
  });
  return problems;
}

/** Rules without problems, complete. */
export function rateLimitsOf(rules: readonly RateRule[], messageBytesMax: number): RateLimit[] {
  return rules.map(({ scope, what, perSecond, burst }) => {
    const least = what === 'bytes' ? messageBytesMax : 1;
    return { scope, what, perSecond, burst: burst ?? Math.max(least, Math.ceil(perSecond)), name: `${scope}.${what}` };
  });
}

/** What a command counts as beside `command` and `bytes`. */
export function rateKindOf(type: number): RateKind | null {
  switch (type) {
    case MessageType.PUBLISH:
      return 'publish';
    case MessageType.SUBSCRIBE:
      return 'subscribe';
    case MessageType.CALL:
    case MessageType.START:
      return 'call';
    default:
      return null;
  }
}
