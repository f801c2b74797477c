/**
 * Semantic versions, and ranges over them: `^1.2`, `~1.4.2`, `>=1 <3`, `1.x`, `1.2.3`, `*`, `a || b`. The same answers as npm's, without hyphen ranges.
 *
 * Any thread, browsers too. Parsing answers null for what is none; it never throws. Bounded by the length of what it is given.
 */

export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  /** Empty: a release. Numbers stand for numeric identifiers. */
  readonly prerelease: readonly (string | number)[];
}

interface Comparator {
  readonly operator: '<' | '<=' | '>' | '>=' | '=';
  readonly version: Version;
}

/** Any of the lists; of a list all comparators. */
export type VersionRange = readonly (readonly Comparator[])[];

/** Numbers of at most 15 digits: exact as JavaScript numbers. */
const NUMBER = '(0|[1-9]\\d{0,14})';
const TAIL = '(?:-([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?(?:\\+[0-9A-Za-z.-]+)?';
const VERSION = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}${TAIL}$`);
const WILDCARD = '[xX*]';
const COMPARATOR = new RegExp(
  `^(\\^|~|>=|<=|>|<|=)?(?:${WILDCARD}|${NUMBER})(?:\\.(?:${WILDCARD}|${NUMBER})(?:\\.(?:${WILDCARD}|${NUMBER})${TAIL})?)?$`,
);
const IDENTIFIER_NUMBER = /^(0|[1-9]\d{0,14})$/;

export function parseVersion(text: string): Version | null {
  const match = VERSION.exec(text);
  if (match === null) return null;
  return version(Number(match[1]), Number(match[2]), Number(match[3]), prereleaseOf(match[4]));
}

export function parseRange(text: string): VersionRange | null {
  const range: (readonly Comparator[])[] = [];
  for (const alternative of text.split('||')) {
    // `>= 1` is `>=1`.
    const words = alternative.trim().replace(/([<>=~^])\s+/g, '$1');
    const comparators: Comparator[] = [];
    for (const word of words === '' ? ['*'] : words.split(/\s+/)) {
      const parsed = parseComparator(word);
      if (parsed === null) return null;
      comparators.push(...parsed);
    }
    range.push(comparators);
  }
  return range;
}

/** A prerelease is only in a range that names a prerelease of the same release: `^1.0.0` does not mean `1.1.0-beta`. */
export function satisfies(candidate: Version, range: VersionRange): boolean {
  return range.some(
    (comparators) =>
      comparators.every(({ operator, version: bound }) => holds(compareVersions(candidate, bound), operator)) &&
      (candidate.prerelease.length === 0 ||
        comparators.some(({ version: bound }) => bound.prerelease.length > 0 && isSameRelease(candidate, bound))),
  );
}

/** Below, equal or above zero, by semver's precedence. */
export function compareVersions(left: Version, right: Version): number {
  const release = left.major - right.major || left.minor - right.minor || left.patch - right.patch;
  if (release !== 0) return release;
  if (left.prerelease.length === 0 || right.prerelease.length === 0) return right.prerelease.length - left.prerelease.length;
  for (let index = 0; index < left.prerelease.length; index++) {
    const one = left.prerelease[index] as string | number;
    const other = right.prerelease[index];
    if (other === undefined) return 1;
    if (one === other) continue;
    if (typeof one === 'number') return typeof other === 'number' ? one - other : -1; // Numbers come before words.
    return typeof other === 'number' || one > other ? 1 : -1;
  }
  return left.prerelease.length - right.prerelease.length;
}

/** One word as plain comparisons; empty for one that everything satisfies. */
function parseComparator(word: string): readonly Comparator[] | null {
  const match = COMPARATOR.exec(word);
  if (match === null) return null;
  const operator = match[1] ?? '=';
  const major = numberOf(match[2]);
  const minor = major === null ? null : numberOf(match[3]);
  const patch = minor === null ? null : numberOf(match[4]);
  if (major === null) return operator === '<' || operator === '>' ? NOTHING : [];
  const from = version(major, minor ?? 0, patch ?? 0, patch === null ? [] : prereleaseOf(match[5]));
  /** The first release that the named parts do not cover. */
  const after =
    minor === null ? version(major + 1) : patch === null ? version(major, minor + 1) : version(major, minor, patch + 1);
  switch (operator) {
    case '^':
      return between(from, major > 0 || minor === null ? version(major + 1) : minor > 0 ? version(0, minor + 1) : after);
    case '~':
      return between(from, minor === null ? version(major + 1) : version(major, minor + 1));
    case '>=':
    case '<':
      return [{ operator, version: from }];
    case '>':
      return [patch === null ? { operator: '>=', version: after } : { operator, version: from }];
    case '<=':
      return [patch === null ? { operator: '<', version: after } : { operator, version: from }];
    default:
      return patch === null ? between(from, after) : [{ operator: '=', version: from }];
  }
}

const NOTHING: readonly Comparator[] = [{ operator: '<', version: version(0) }];

function between(from: Version, before: Version): readonly Comparator[] {
  return [
    { operator: '>=', version: from },
    { operator: '<', version: before },
  ];
}

function version(major: number, minor = 0, patch = 0, prerelease: readonly (string | number)[] = []): Version {
  return { major, minor, patch, prerelease };
}

/** Null: a wildcard, or left out. */
function numberOf(text: string | undefined): number | null {
  return text === undefined ? null : Number(text);
}

function prereleaseOf(text: string | undefined): readonly (string | number)[] {
  return text === undefined ? [] : text.split('.').map((part) => (IDENTIFIER_NUMBER.test(part) ? Number(part) : part));
}

function isSameRelease(left: Version, right: Version): boolean {
  return left.major === right.major && left.minor === right.minor && left.patch === right.patch;
}

function holds(order: number, operator: Comparator['operator']): boolean {
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    case '=':
      return order === 0;
    default:
      return operator satisfies never;
  }
}
