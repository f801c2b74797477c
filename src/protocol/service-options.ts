/**
 * Options and bodies of the commands on services: CALL, RETURN, REGISTER, HEARTBEAT, SERVICES, CANCEL, CREDIT. As in options.ts, a problem is a BAD_REQUEST
 * that names the field.
 *
 * Any thread. Cold but for the readers that say so: a CALL or RETURN without options never comes here.
 */
import { pack } from './codec.ts';
import { RelayError } from './errors.ts';
import { boolean, checkHeaders, integer, isAbsent, isMap, type OptionMap, text } from './options.ts';
import { parseRange, parseVersion, type Version, type VersionRange } from './semver.ts';
import { readUint16, readUint32, skipValue } from './skip.ts';

/** A call's window where it names none; an INVOKE leaves it out then. */
export const WINDOW_DEFAULT = 64;
export const WINDOW_MAX = 1_024;
/** The method that stands for any. */
export const ANY_METHOD = '*';
export const METHOD_BYTES_MAX = 128;
const METHODS_MAX = 256;
const HASH_KEY_BYTES_MAX = 128;
const VERSION_BYTES_MAX = 128;
const WAIT_MS_MAX = 86_400_000;
const CAPACITY_DEFAULT = 64;
const CAPACITY_MAX = 100_000;
const WEIGHT_MAX = 1_000;
const HEARTBEAT_MS_MIN = 100;
const HEARTBEAT_MS_MAX = 3_600_000;
const METADATA_ENTRIES_MAX = 32;
const METADATA_BYTES_MAX = 1_024;
const ERROR_CODE_BYTES_MAX = 128;
const ERROR_TEXT_BYTES_MAX = 1_024;
const ERROR_DETAILS_BYTES_MAX = 4_096;

export const HEALTHS = ['ok', 'degraded', 'failing'] as const;
export type Health = (typeof HEALTHS)[number];

export type Scalar = string | number | boolean;
export type Metadata = Readonly<Record<string, Scalar>>;

export interface CallOptions {
  /** From now on. */
  readonly deadlineMs: number;
  readonly hashKey: string | null;
  /** Encoded, as INVOKE carries them. */
  readonly headers: Uint8Array | null;
  readonly idempotent: boolean;
  readonly version: VersionRange | null;
  readonly select: readonly (readonly [key: string, value: Scalar])[] | null;
  /** Parts that the instance may send before the caller has asked for more. */
  readonly window: number;
  /** Infinity: as long as the service's rule allows. */
  readonly waitMs: number;
}

export interface Registration {
  readonly version: string;
  readonly parsedVersion: Version;
  /** Without doubles. */
  readonly methods: readonly string[];
  readonly capacity: number;
  readonly weight: number;
  readonly metadata: Metadata;
  /** Methods that may run twice; true: all of them. */
  readonly idempotent: true | readonly string[];
  /** 0: it promises no heartbeats, its connection's liveness is its lease. */
  readonly heartbeatMs: number;
}

export interface ServiceFailure {
  readonly code: string | number;
  readonly text: string;
  readonly details?: unknown;
}

export type ReturnOptions =
  | { readonly kind: 'result' }
  | { readonly kind: 'part' }
  | { readonly kind: 'error'; readonly error: ServiceFailure }
  | { readonly kind: 'heartbeat' };

export function callOptions(options: OptionMap, deadlineMsDefault: number, deadlineMsMax: number): CallOptions {
  const { deadlineMs, hashKey, headers, idempotent, version, select, window, wait } = options;
  return {
    deadlineMs: isAbsent(deadlineMs) ? deadlineMsDefault : integer('deadlineMs', deadlineMs, 1, deadlineMsMax),
    hashKey: isAbsent(hashKey) ? null : text('hashKey', hashKey, HASH_KEY_BYTES_MAX),
    headers: isAbsent(headers) ? null : pack(checkHeaders(headers)),
    idempotent: isAbsent(idempotent) ? false : boolean('idempotent', idempotent),
    version: isAbsent(version) ? null : versionRange(version),
    select: isAbsent(select) ? null : Object.entries(scalars('select', select)),
    window: isAbsent(window) ? WINDOW_DEFAULT : integer('window', window, 1, WINDOW_MAX),
    waitMs: isAbsent(wait) ? Number.POSITIVE_INFINITY : integer('wait', wait, 0, WAIT_MS_MAX),
  };
}

export function registerOptions(options: OptionMap): Registration {
  const { version, methods, capacity, weight, metadata, idempotent, heartbeatMs } = options;
  const versionText = text('version', version, VERSION_BYTES_MAX);
  const parsedVersion = parseVersion(versionText);
  if (parsedVersion === null) throw new RelayError('BAD_REQUEST', "version must be a semantic version, as '1.4.2'");
  const names = names256('methods', methods, 1);
  return {
    version: versionText,
    parsedVersion,
    methods: names,
    capacity: isAbsent(capacity) ? CAPACITY_DEFAULT : integer('capacity', capacity, 1, CAPACITY_MAX),
    weight: isAbsent(weight) ? 1 : integer('weight', weight, 1, WEIGHT_MAX),
    metadata: isAbsent(metadata) ? {} : scalars('metadata', metadata),
    idempotent: idempotentMethods(idempotent, names),
    heartbeatMs: isAbsent(heartbeatMs) ? 0 : integer('heartbeatMs', heartbeatMs, HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX),
  };
}

export interface HeartbeatOptions {
  readonly load: number | null;
  readonly health: Health | null;
}

export function heartbeatOptions({ load, health }: OptionMap): HeartbeatOptions {
  if (!isAbsent(load) && !(typeof load === 'number' && load >= 0 && load <= 1))
    throw new RelayError('BAD_REQUEST', 'load must be a number in [0, 1]');
  if (!isAbsent(health) && !HEALTHS.includes(health as Health))
    throw new RelayError('BAD_REQUEST', `health must be one of ${HEALTHS.join(', ')}`);
  return { load: (load ?? null) as number | null, health: (health ?? null) as Health | null };
}

export function servicesOptions({ instances }: OptionMap): { readonly instances: boolean } {
  return { instances: isAbsent(instances) ? false : boolean('instances', instances) };
}

/** Not for nil: a RETURN without options is a result. */
export function returnOptions({ more, error, heartbeat }: OptionMap): ReturnOptions {
  const isPart = !isAbsent(more) && boolean('more', more);
  const isHeartbeat = !isAbsent(heartbeat) && boolean('heartbeat', heartbeat);
  if (Number(isPart) + Number(isHeartbeat) + Number(!isAbsent(error)) > 1)
    throw new RelayError('BAD_REQUEST', 'more, error and heartbeat exclude each other');
  if (isPart) return { kind: 'part' };
  if (isHeartbeat) return { kind: 'heartbeat' };
  return isAbsent(error) ? { kind: 'result' } : { kind: 'error', error: serviceFailure(error) };
}

/** Hot. Are the options at `at` just `{more: true}`, as every encoder writes them? */
export function isMoreOnly(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < MORE.length; index++) if (bytes[at + index] !== MORE[index]) return false;
  return true;
}
export const MORE = Uint8Array.of(0x81, 0xa4, 0x6d, 0x6f, 0x72, 0x65, 0xc3);

/** Hot. Where the text of the string at `at` begins; -1 where no string stands. The value is proven well formed. */
export function textStart(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first >= 0xa0 && first <= 0xbf) return at + 1;
  return first === 0xd9 ? at + 2 : first === 0xda ? at + 3 : first === 0xdb ? at + 5 : -1;
}

/** CANCEL's body: the id of a call. */
export function cancelBody(bytes: Uint8Array, at: number): number {
  return uint('the id of the call', bytes, at, 1, Number.MAX_SAFE_INTEGER);
}

/** CREDIT's body: the id of a call, and how many parts more. */
export function creditBody(bytes: Uint8Array, at: number, end: number): { readonly id: number; readonly count: number } {
  return { id: cancelBody(bytes, at), count: uint('count', bytes, skipValue(bytes, at, end), 1, WINDOW_MAX) };
}

function uint(field: string, bytes: Uint8Array, at: number, min: number, max: number): number {
  const value = readUint(bytes, at);
  if (value < min || value > max) throw new RelayError('BAD_REQUEST', `${field} must be an integer in [${min}, ${max}]`);
  return value;
}

/** An unsigned integer in any of its forms; -1 for another value. Proven well formed. */
function readUint(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first <= 0x7f) return first;
  if (first === 0xcc) return bytes[at + 1] as number;
  if (first === 0xcd) return readUint16(bytes, at + 1);
  if (first === 0xce) return readUint32(bytes, at + 1);
  return first === 0xcf ? readUint32(bytes, at + 1) * 0x1_0000_0000 + readUint32(bytes, at + 5) : -1;
}

/** Ranges that callers name again and again: parsed once. Bounded; when it is full it begins anew. */
const RANGES_KEPT_MAX = 256;
const ranges = new Map<string, VersionRange>();

function versionRange(value: unknown): VersionRange {
  const range = text('version', value, VERSION_BYTES_MAX);
  const known = ranges.get(range);
  if (known !== undefined) return known;
  const parsed = parseRange(range);
  if (parsed === null) throw new RelayError('BAD_REQUEST', "version must be a range of semantic versions, as '^1.4' or '>=1 <3'");
  if (ranges.size >= RANGES_KEPT_MAX) ranges.clear();
  ranges.set(range, parsed);
  return parsed;
}

function scalars(field: string, value: unknown): Metadata {
  if (!isMap(value)) throw new RelayError('BAD_REQUEST', `${field} must be a map`);
  const entries = Object.entries(value);
  if (entries.length > METADATA_ENTRIES_MAX)
    throw new RelayError('BAD_REQUEST', `${field} has too many entries`, {
      count: entries.length,
      countMax: METADATA_ENTRIES_MAX,
    });
  for (const [key, item] of entries) {
    const isScalar = typeof item === 'string' || typeof item === 'boolean' || (typeof item === 'number' && Number.isFinite(item));
    if (!isScalar)
      throw new RelayError('BAD_REQUEST', `${field} '${key.slice(0, 64)}' must be a string, a number or true or false`);
  }
  const bytes = pack(value).length;
  if (bytes > METADATA_BYTES_MAX)
    throw new RelayError('TOO_LARGE', `${field} is too large`, { bytes, bytesMax: METADATA_BYTES_MAX });
  return value as Metadata;
}

function names256(field: string, value: unknown, countMin: number): readonly string[] {
  if (!Array.isArray(value) || value.length < countMin || value.length > METHODS_MAX)
    throw new RelayError('BAD_REQUEST', `${field} must be a list of ${countMin} to ${METHODS_MAX} names`);
  return [...new Set(value.map((name, index) => text(`${field}[${index}]`, name, METHOD_BYTES_MAX)))];
}

function idempotentMethods(value: unknown, methods: readonly string[]): true | readonly string[] {
  if (value === true) return true;
  if (isAbsent(value) || value === false) return [];
  if (!Array.isArray(value)) throw new RelayError('BAD_REQUEST', 'idempotent must be a list of methods, or true for all of them');
  const names = names256('idempotent', value, 0);
  const stranger = methods.includes(ANY_METHOD) ? undefined : names.find((name) => !methods.includes(name));
  if (stranger !== undefined) throw new RelayError('BAD_REQUEST', `idempotent '${stranger}' is none of the methods`);
  return names;
}

function serviceFailure(value: unknown): ServiceFailure {
  if (!isMap(value)) throw new RelayError('BAD_REQUEST', 'error must be a map {code, text}');
  const { code, text: problem, details } = value;
  const error = {
    code:
      typeof code === 'number'
        ? integer('error.code', code, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
        : text('error.code', code, ERROR_CODE_BYTES_MAX),
    text: isAbsent(problem) || problem === '' ? '' : text('error.text', problem, ERROR_TEXT_BYTES_MAX),
  };
  if (isAbsent(details)) return error;
  const bytes = pack(details).length;
  if (bytes > ERROR_DETAILS_BYTES_MAX)
    throw new RelayError('TOO_LARGE', 'error.details is too large', { bytes, bytesMax: ERROR_DETAILS_BYTES_MAX });
  return { ...error, details };
}
