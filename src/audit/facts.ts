/**
 * Facts as they may stand in a line: no secrets, of bounded size. A second lock on the door: events have no place for secrets, but texts come
 * from elsewhere (a reason, a name, a setting), and a line that is in the chain cannot be taken back.
 */
import { CENSOR } from '../telemetry/log.ts';

/** Names of facts that are replaced, wherever they stand. */
const REDACTED_NAMES: ReadonlySet<string> = new Set(['token', 'authorization', 'cookie', 'password', 'secret', 'payload']);
/** Characters of a text. Over it: cut, and the cut is seen. */
const TEXT_LENGTH_MAX = 1_024;
const DEPTH_MAX = 8;

/** Two parts are enough: a token without its signature still tells. */
const TOKEN = /eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?/g;
const BEARER = /\b(bearer|basic)\s+[^\s,;"']{16,}/gi;
/** `user:password@` of an address, and what stands behind its question mark. */
const USER_INFO = /(:\/\/)[^/?#\s@]+@/g;
const QUERY = /(:\/\/[^\s?#]*)\?[^\s#]+/g;

export function cleanText(text: string): string {
  let clean = text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text;
  if (clean.includes('eyJ')) clean = clean.replace(TOKEN, CENSOR);
  if (clean.includes(' ')) clean = clean.replace(BEARER, `$1 ${CENSOR}`);
  if (clean.includes('://')) clean = clean.replace(USER_INFO, `$1${CENSOR}@`).replace(QUERY, `$1?${CENSOR}`);
  return clean;
}

/** The same value without secrets, of what JSON knows. */
export function cleanFact(name: string, value: unknown, depth = 0): unknown {
  if (REDACTED_NAMES.has(name.toLowerCase())) return CENSOR;
  if (typeof value === 'string') return cleanText(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '…';
  if (Array.isArray(value)) return value.map((element) => cleanFact('', element, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [cleanText(key), cleanFact(key, inner, depth + 1)]));
}
