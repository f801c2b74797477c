/**
 * Names of topics, services and workflows, and patterns over topics: what is legal, what matches what.
 *
 * A name is `.`-separated tokens, each 1..64 bytes of UTF-8 without `.`, `*`, `>`, space or control characters; at most
 * 16 tokens and 255 bytes. In a pattern `*` stands for one whole token and a final `>` for one or more.
 * Names beginning with `$` belong to the relay.
 */

export const NAME_BYTES_MAX = 255;
export const NAME_TOKENS_MAX = 16;
export const TOKEN_BYTES_MAX = 64;

const DOT = 0x2e;
const STAR = 0x2a;
const GREATER = 0x3e;
const DOLLAR = 0x24;

export const NameKind = { INVALID: 0, EXACT: 1, PATTERN: 2 } as const;

/** Cold text for the last INVALID answer of `checkName`; overwritten by the next. */
let lastProblem = '';
export function nameProblem(): string {
  return lastProblem;
}

/**
 * Is `bytes[start, end)` a name, a pattern, or neither? `nameProblem()` then says why not.
 * Wildcards must be whole tokens: `a*` is not a pattern but an error, or a topic could pretend to be one.
 */
export function checkName(bytes: Uint8Array, start: number, end: number): number {
  if (end - start === 0) return invalid('a name must not be empty');
  if (end - start > NAME_BYTES_MAX) return invalid(`a name has at most ${NAME_BYTES_MAX} bytes, got ${end - start}`);
  let kind: number = NameKind.EXACT;
  let tokenCount = 1;
  let tokenStart = start;
  let at = start;
  while (at <= end) {
    const byte = at < end ? (bytes[at] as number) : DOT; // The end closes the last token as a dot would.
    if (byte === DOT) {
      const tokenBytes = at - tokenStart;
      if (tokenBytes === 0) return invalid('a token must not be empty (leading, trailing or double dot)');
      if (tokenBytes > TOKEN_BYTES_MAX) return invalid(`a token has at most ${TOKEN_BYTES_MAX} bytes, got ${tokenBytes}`);
      if (at < end && ++tokenCount > NAME_TOKENS_MAX) return invalid(`a name has at most ${NAME_TOKENS_MAX} tokens`);
      tokenStart = ++at;
    } else if (byte === STAR || byte === GREATER) {
      const wholeToken = at === tokenStart && (at + 1 === end || bytes[at + 1] === DOT);
      if (!wholeToken) return invalid(`'${String.fromCharCode(byte)}' must be a whole token`);
      if (byte === GREATER && at + 1 !== end) return invalid("'>' must be the last token");
      kind = NameKind.PATTERN;
      at++;
    } else if (byte <= 0x20 || byte === 0x7f) {
      return invalid('a name must not contain spaces or control characters');
    } else if (byte < 0x80) at++;
    else {
      const next = utf8CharacterEnd(bytes, at, end);
      if (next < 0) return invalid('a name must be valid UTF-8');
      at = next;
    }
  }
  return kind;
}

/** The same for a string; for configuration, SDK and CLI. */
export function checkNameText(name: string): number {
  const bytes = new TextEncoder().encode(name);
  return checkName(bytes, 0, bytes.length);
}

/** Names under `$` are the relay's own: clients may read some, but never publish there. */
export function isReserved(bytes: Uint8Array, start: number): boolean {
  return bytes[start] === DOLLAR;
}

/** Offset after the UTF-8 character at `at` (which is no ASCII), or -1: overlong forms, surrogates, C1 controls and cut sequences are refused. */
function utf8CharacterEnd(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] as number;
  const length = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (length === 0 || at + length > end) return -1;
  const second = bytes[at + 1] as number;
  for (let index = 1; index < length; index++) if (((bytes[at + index] as number) & 0xc0) !== 0x80) return -1;
  if (lead === 0xc2 && second < 0xa0) return -1; // U+0080..U+009F: control characters.
  if (lead === 0xe0 && second < 0xa0) return -1;
  if (lead === 0xed && second > 0x9f) return -1;
  if (lead === 0xf0 && second < 0x90) return -1;
  if (lead === 0xf4 && second > 0x8f) return -1;
  return at + length;
}

/** Does a (valid) pattern match a (valid) exact name? Both as token lists. `$` names match only patterns that begin with the same literal token. */
export function matchesTokens(pattern: readonly string[], topic: readonly string[]): boolean {
  // A wildcard in first place does not reach the relay's own topics: `>` must not start to receive them unasked.
  if ((topic[0] as string).charCodeAt(0) === DOLLAR && pattern[0] !== topic[0]) return false;
  for (let index = 0; index < pattern.length; index++) {
    const token = pattern[index] as string;
    if (token === '>') return topic.length > index;
    if (index >= topic.length) return false;
    if (token !== '*' && token !== topic[index]) return false;
  }
  return pattern.length === topic.length;
}

export function matches(pattern: string, topic: string): boolean {
  return matchesTokens(pattern.split('.'), topic.split('.'));
}

function invalid(problem: string): number {
  lastProblem = problem;
  return NameKind.INVALID;
}
