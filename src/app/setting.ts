/**
 * What a setting is: a kind of value with its bounds, a default and its documentation. The table of all settings is config-table.ts.
 *
 * Parsing never throws: `undefined` is "not allowed", and the caller says where the value came from.
 */
import { isLoopback } from '../base/loopback.ts';
import { CENSOR } from '../telemetry/log.ts';

export interface SettingText {
  readonly group: string;
  /** What it is. Markdown, one line, with no full stop left out: docs/config.md shows it as it stands. */
  readonly what: string;
  /** What happens when the bound is reached. Absent where the setting bounds nothing. */
  readonly atBound?: string;
  /** Where that (or the thing itself) can be seen: names of relay-metrics.ts. */
  readonly metrics?: readonly string[];
  /** Its value is never printed: not by `relay config print`, not in a problem's text. */
  readonly secret?: true;
}

export interface Setting<T> extends SettingText {
  readonly default: T;
  /** Completes "must be": 'an integer in [0, 65535]'. */
  readonly allowed: string;
  /** Takes a flag without a value: `--compression`, `--no-compression`. */
  readonly isSwitch: boolean;
  /** From a flag or the environment. */
  readonly fromText: (text: string) => T | undefined;
  /** From the config file. */
  readonly fromJson: (value: unknown) => T | undefined;
}

const CONTROL_CHARACTER = /\p{Cc}/u;

export type Bounds = readonly [min: number, max: number];

export interface IntegerText extends SettingText {
  /** 0 is allowed as well, below the bounds; `what` says what it means. */
  readonly orZero?: true;
  readonly powerOfTwo?: true;
}

export function integer(initial: number, [min, max]: Bounds, { orZero, powerOfTwo, ...text }: IntegerText): Setting<number> {
  const fromJson = (value: unknown): number | undefined => {
    if (!Number.isSafeInteger(value)) return undefined;
    const number = value as number;
    if (orZero && number === 0) return 0;
    // Doubles, not bit tricks: bounds may lie above 2^31.
    if (number < min || number > max || (powerOfTwo && !Number.isInteger(Math.log2(number)))) return undefined;
    return number;
  };
  const allowed = `${orZero ? '0 or ' : ''}${powerOfTwo ? 'a power of two' : 'an integer'} in [${min}, ${max}]`;
  return { ...text, default: initial, allowed, isSwitch: false, fromJson, fromText: (value) => fromJson(parseInteger(value)) };
}

/** One of several words. */
export function word<const W extends string>(initial: NoInfer<W>, words: readonly W[], text: SettingText): Setting<W> {
  const fromJson = (value: unknown): W | undefined => words.find((known) => known === value);
  return { ...text, default: initial, allowed: `one of ${words.join(', ')}`, isSwitch: false, fromJson, fromText: fromJson };
}

/** `auto`, or an integer. */
export function autoOrInteger(initial: 'auto' | number, bounds: Bounds, text: SettingText): Setting<'auto' | number> {
  const number = integer(bounds[0], bounds, text);
  return {
    ...text,
    default: initial,
    allowed: `auto or ${number.allowed}`,
    isSwitch: false,
    fromJson: (value) => (value === 'auto' ? 'auto' : number.fromJson(value)),
    fromText: (value) => (value === 'auto' ? 'auto' : number.fromText(value)),
  };
}

export function toggle(initial: boolean, text: SettingText): Setting<boolean> {
  const fromJson = (value: unknown): boolean | undefined => (typeof value === 'boolean' ? value : undefined);
  const fromText = (value: string): boolean | undefined => (value === 'true' ? true : value === 'false' ? false : undefined);
  return { ...text, default: initial, allowed: 'true or false', isSwitch: true, fromJson, fromText };
}

/** Whether somebody answers to the name is the listener's to find out. */
export function host(initial: string, text: SettingText): Setting<string> {
  const fromJson = (value: unknown): string | undefined =>
    typeof value === 'string' && value.length <= 255 && /^[0-9A-Za-z:][0-9A-Za-z.:_%-]*$/.test(value) ? value : undefined;
  return { ...text, default: initial, allowed: 'an IP address or a host name', isSwitch: false, fromJson, fromText: fromJson };
}

/** Of a file; empty for none. Whether it can be used is found out when it is. */
export function path(initial: string, text: SettingText): Setting<string> {
  const fromJson = (value: unknown): string | undefined =>
    typeof value === 'string' && value.length <= 4_096 && !value.includes('\0') ? value : undefined;
  return { ...text, default: initial, allowed: 'the path of a file, or empty', isSwitch: false, fromJson, fromText: fromJson };
}

/** Any text on one line, of so many characters. What the text must be is said by `what`. */
export function text(
  initial: string,
  [min, max]: Bounds,
  { orEmpty, ...words }: SettingText & { readonly orEmpty?: true },
): Setting<string> {
  const fromJson = (value: unknown): string | undefined => {
    // A printed configuration that is read back says what is missing.
    if (typeof value !== 'string' || CONTROL_CHARACTER.test(value) || value === CENSOR) return undefined;
    return (orEmpty && value === '') || (value.length >= min && value.length <= max) ? value : undefined;
  };
  const allowed = `a text of ${min} to ${max} characters${orEmpty ? ', or empty' : ''}`;
  return { ...words, default: initial, allowed, isSwitch: false, fromJson, fromText: fromJson };
}

export const BEARER_TOKEN = 'a token of 16 to 512 visible ASCII characters';
/** What can stand in an Authorization header, and is too long to be guessed. */
export function isBearerToken(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{16,512}$/.test(value) && value !== CENSOR;
}

/** Empty for none. */
export function bearerToken(words: SettingText): Setting<string> {
  const fromJson = (value: unknown): string | undefined => (value === '' || isBearerToken(value) ? value : undefined);
  return {
    ...words,
    secret: true,
    default: '',
    allowed: `${BEARER_TOKEN}, or empty`,
    isSwitch: false,
    fromJson,
    fromText: fromJson,
  };
}

/** Of an HTTP service, or empty for none. Without TLS only on this machine: whoever sits in between could answer in its place. */
export function webAddress(initial: string, words: SettingText): Setting<string> {
  const fromJson = (value: unknown): string | undefined => {
    if (value === '') return '';
    const url = typeof value === 'string' && value.length <= 2_048 ? URL.parse(value) : null;
    if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') return undefined;
    return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname)) ? url.href : undefined;
  };
  const allowed = 'an https:// address, an http:// one of this machine (loopback), or empty';
  return { ...words, default: initial, allowed, isSwitch: false, fromJson, fromText: fromJson };
}

/** A map or null, in text form as JSON. What stands in it is checked where the other settings are known. */
export function optionalMap(allowed: string, words: SettingText): Setting<Readonly<Record<string, unknown>> | null> {
  const fromJson = (value: unknown): Readonly<Record<string, unknown>> | null | undefined =>
    typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown> | null) : undefined;
  const fromText = (value: string): Readonly<Record<string, unknown>> | null | undefined => {
    try {
      return fromJson(JSON.parse(value));
    } catch {
      return undefined;
    }
  };
  return { ...words, default: null, allowed, isSwitch: false, fromJson, fromText };
}

/** A list, in text form as JSON. What stands in it is checked where the other settings are known. */
export function list<T>(allowed: string, text: SettingText): Setting<readonly T[]> {
  const fromJson = (value: unknown): readonly T[] | undefined => (Array.isArray(value) ? (value as T[]) : undefined);
  const fromText = (value: string): readonly T[] | undefined => {
    try {
      return fromJson(JSON.parse(value));
    } catch {
      return undefined;
    }
  };
  return { ...text, default: [], allowed, isSwitch: false, fromJson, fromText };
}

/** Decimal digits only: `1e3`, `0x10` and ` 8` are more often mistakes than wishes. */
function parseInteger(text: string): number | undefined {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}
