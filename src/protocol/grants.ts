/**
 * Permissions: what a session may do, by name patterns. Compiled once from a token's claims, asked by the lanes for each new name and by the front
 * for patterns and for HTTP.
 *
 * Any thread. Pure: the answer follows from the claims and the name alone. Deny goes before allow, and what nothing allows is denied.
 * A session of a relay without authentication has no Grants at all (null) and may do everything.
 */
import { clip } from '../base/clip.ts';
import { isMap } from '../base/is-map.ts';
import { checkNameText, matchesTokens, NameKind, nameProblem } from './names.ts';

/**
 * pub, sub, hist and pres are about topics, call and serve about services, start about workflows, admin about their definitions. The admin routes of the
 * ops port go by the ops token instead.
 */
export const RIGHTS = ['pub', 'sub', 'hist', 'pres', 'call', 'serve', 'start', 'admin'] as const;
export type Right = (typeof RIGHTS)[number];

/** As it stands in a token: a list of what is allowed, or `{allow, deny}`. Placeholders `{sub}` and `{claim}` stand for one whole token or a part of one. */
export type RightClaim = readonly string[] | { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
export type GrantClaims = { readonly [R in Right]?: RightClaim };

/** Patterns of all rights together. Each costs a comparison when a name is met for the first time. */
export const GRANT_PATTERNS_MAX = 512;
const PLACEHOLDER = /\{([A-Za-z_][A-Za-z0-9_-]{0,63})\}/g;
/** What a placeholder's value must be, so that it can neither be a wildcard nor reach over its token. */
const SUBSTITUTE = /^[^.*>{}\s\p{Cc}]{1,64}$/u;
const WORKFLOW_TOPICS = '$workflow';

type Tokens = readonly string[];

/** As text, and taken apart when it is asked: that is once for each thing of a session, and thousands of sessions may have rights of their own. */
interface Rule {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

const NOTHING: Rule = { allow: [], deny: [] };

/** What went wrong with claims, in words for whoever issues tokens. */
export class GrantProblem extends Error {
  override name = 'GrantProblem';
}

export class Grants {
  /** Placeholders filled in; what `pack` takes to the lanes, and what two sessions with equal rights share as text. */
  readonly claims: GrantClaims;
  /** Of the rights that there are. */
  readonly #rules: Readonly<Partial<Record<Right, Rule>>>;

  private constructor(claims: GrantClaims, rules: Readonly<Partial<Record<Right, Rule>>>) {
    this.claims = claims;
    this.#rules = rules;
  }

  /**
   * From claims of a stranger. Throws a GrantProblem: a right that nobody knows, a pattern that is none, a placeholder whose value is missing or no single
   * token. What cannot be read grants nothing at all, rather than the rest of it.
   */
  static compile(claims: unknown, values: Readonly<Record<string, unknown>> = {}): Grants {
    if (claims === undefined || claims === null) return Grants.none;
    if (!isMap(claims)) throw new GrantProblem('permissions must be a map of rights');
    const filled: Partial<Record<Right, RightClaim>> = {};
    const rules: Partial<Record<Right, Rule>> = {};
    let count = 0;
    for (const right of Object.keys(claims)) {
      if (!RIGHTS.includes(right as Right))
        throw new GrantProblem(`unknown right '${clip(right)}': known are ${RIGHTS.join(', ')}`);
    }
    for (const right of RIGHTS) {
      const claim = claims[right];
      const { allow, deny } = listsOf(right, claim);
      const allowed = allow.map((pattern, index) => fillPattern(pattern, `${right}.allow[${index}]`, values));
      const denied = deny.map((pattern, index) => fillPattern(pattern, `${right}.deny[${index}]`, values));
      count += allowed.length + denied.length;
      if (allowed.length === 0) continue; // What is only denied is denied anyway.
      rules[right] = { allow: allowed, deny: denied };
      filled[right] = denied.length === 0 ? allowed : { allow: allowed, deny: denied };
    }
    if (count > GRANT_PATTERNS_MAX) throw new GrantProblem(`too many patterns: ${count}, at most ${GRANT_PATTERNS_MAX}`);
    return new Grants(filled, rules);
  }

  /** May do nothing. */
  static readonly none: Grants = new Grants({}, {});

  /** For an exact name. */
  may(right: Right, name: string): boolean {
    const { allow, deny } = this.#rules[right] ?? NOTHING;
    if (allow.length === 0) return false;
    const tokens = tokensOf(name);
    const matches = (pattern: string): boolean => matchesTokens(tokensOf(pattern), tokens);
    return !deny.some(matches) && allow.some(matches);
  }

  /**
   * For a whole pattern (a name is one too): one allowed pattern covers all that it can match, and no denied one meets any of it. Several that only cover
   * it together do not: nobody would see from a list of them what it opens.
   */
  covers(right: Right, pattern: string): boolean {
    const { allow, deny } = this.#rules[right] ?? NOTHING;
    if (allow.length === 0) return false;
    const tokens = tokensOf(pattern);
    return (
      !deny.some((denied) => meets(tokensOf(denied), tokens)) && allow.some((allowed) => includes(tokensOf(allowed), tokens))
    );
  }

  /** To read a topic or a pattern of topics live (`sub`) or from history (`hist`). Who may start a workflow may follow its runs. */
  mayRead(right: 'sub' | 'hist', topic: string): boolean {
    if (this.covers(right, topic)) return true;
    const workflow = workflowOf(topic);
    return workflow !== null && this.covers('start', workflow);
  }
}

/** `$workflow.<name>.<run>`: whose runs these are, where the last token stands for the run. */
function workflowOf(topic: string): string | null {
  const tokens = tokensOf(topic);
  if (tokens.length < 3 || tokens[0] !== WORKFLOW_TOPICS || tokens.at(-1) === '>') return null;
  return tokens.slice(1, -1).join('.');
}

/** Does `pattern` match every name that `asked` matches? */
function includes(pattern: Tokens, asked: Tokens): boolean {
  // As in matchesTokens: a wildcard in first place does not reach the relay's own topics.
  if ((asked[0] as string).startsWith('$') && pattern[0] !== asked[0]) return false;
  for (let index = 0; index < pattern.length; index++) {
    const token = pattern[index] as string;
    const other = asked[index];
    if (token === '>') return other !== undefined;
    if (other === undefined || other === '>') return false;
    if (token !== '*' && token !== other) return false;
  }
  return pattern.length === asked.length;
}

/** Is there a name that both match? */
function meets(one: Tokens, other: Tokens): boolean {
  // A wildcard matches no `$` token in first place, whoever's it is.
  if (isWildcard(one[0]) && (other[0] as string).startsWith('$')) return false;
  if (isWildcard(other[0]) && (one[0] as string).startsWith('$')) return false;
  for (let index = 0; ; index++) {
    const left = one[index];
    const right = other[index];
    if (left === undefined || right === undefined) return left === right;
    if (left === '>' || right === '>') return true;
    if (left !== '*' && right !== '*' && left !== right) return false;
  }
}

function isWildcard(token: string | undefined): boolean {
  return token === '*' || token === '>';
}

function tokensOf(name: string): Tokens {
  return name.split('.');
}

function listsOf(right: Right, claim: unknown): { allow: readonly string[]; deny: readonly string[] } {
  if (claim === undefined || claim === null) return { allow: [], deny: [] };
  const { allow = [], deny = [], ...unknown } = (Array.isArray(claim) ? { allow: claim } : claim) as Record<string, unknown>;
  const isList = (list: unknown): list is string[] => Array.isArray(list) && list.every((pattern) => typeof pattern === 'string');
  if (!isMap(Array.isArray(claim) ? {} : claim) || Object.keys(unknown).length > 0 || !isList(allow) || !isList(deny))
    throw new GrantProblem(`${right} must be a list of patterns, or {allow, deny} with lists of patterns`);
  return { allow, deny };
}

function fillPattern(pattern: string, where: string, values: Readonly<Record<string, unknown>>): string {
  const filled = pattern.replaceAll(PLACEHOLDER, (_, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (typeof value !== 'string' || !SUBSTITUTE.test(value))
      throw new GrantProblem(`${where}: the claim '${name}' must be one token of a name to stand for {${name}}`);
    return value;
  });
  // `{sub}.>` is about clients' names: nobody may be called `$dead` to read the relay's own topics by it.
  if (filled.startsWith('$') && !pattern.startsWith('$'))
    throw new GrantProblem(`${where}: a claim's value must not begin with '$' where the name begins with it`);
  if (checkNameText(filled) === NameKind.INVALID) throw new GrantProblem(`${where} is no pattern: ${nameProblem()}`);
  return filled;
}
