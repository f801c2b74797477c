/**
 * Options of commands: decoded, checked and typed. A problem is an exception with the field's name in it, answered as BAD_REQUEST.
 *
 * Any thread (lanes; the front for patterns and HELLO). Cold: commands without options never come here.
 */
import { pack, unpack } from './codec.ts';
import { RelayError } from './errors.ts';
import { checkNameText, NAME_BYTES_MAX, NameKind, nameProblem } from './names.ts';
import { hasExtension } from './skip.ts';
import { type Position, PROTOCOL_VERSION, SLOW_CONSUMER_POLICIES, type SlowConsumerPolicy } from './types.ts';

const KEY_BYTES_MAX = 128;
export const HEADERS_MAX = 32;
export const HEADER_BYTES_MAX = 1_024;
const TTL_MS_MAX = 31_536_000_000;
/** Of a token, in characters. */
export const TOKEN_LENGTH_MAX = 16_384;
/** Offsets in one ACK: what a member with the largest window may hold. */
const ACK_OFFSETS_MAX = 1_000;
const EPOCH_BYTES_MAX = 64;
const DELAY_MS_MAX = 3_600_000;
/** Of the options of a queue group that acknowledges. */
export const GROUP_DEFAULTS = { ackTimeoutMs: 30_000, maxAttempts: 5, maxInFlight: 16 } as const;
const GROUP_BOUNDS: Readonly<Record<keyof typeof GROUP_DEFAULTS, readonly [min: number, max: number]>> = {
  ackTimeoutMs: [100, 3_600_000],
  maxAttempts: [1, 1_000],
  maxInFlight: [1, 1_000],
};
const UTF8 = new TextEncoder();
const NIL = 0xc0;
const EMPTY_MAP = 0x80;

export type OptionMap = Readonly<Record<string, unknown>>;

export interface PublishOptions {
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly ttlMs: number;
  readonly echo: boolean | null;
}

export interface SubscribeOptions {
  readonly since: Position | null;
  readonly last: number;
  /** undefined: not a member. */
  readonly presence: { readonly data: unknown } | undefined;
  readonly watch: boolean;
  readonly policy: SlowConsumerPolicy | null;
  readonly conflateBy: string | null;
  /** Null: a plain subscription, which gets everything. */
  readonly group: GroupAsked | null;
}

/** What a member asks of its queue group; all but `name` and `maxInFlight` hold for the whole group. Without `ack` the rest means nothing. */
export interface GroupAsked {
  readonly name: string;
  readonly ack: boolean;
  readonly ackTimeoutMs: number;
  readonly maxAttempts: number;
  /** Null: `$dead.<topic>`. */
  readonly deadLetter: string | null;
  readonly maxInFlight: number;
}

export interface AckOptions {
  /** One at least. */
  readonly offsets: readonly number[];
  /** Null: whatever the stream is now. */
  readonly epoch: string | null;
  /** Not done: to be given to somebody again, after `delayMs`. */
  readonly requeue: boolean;
  readonly delayMs: number;
}

export interface HistoryOptions {
  readonly since: Position | null;
  readonly limit: number;
  readonly reverse: boolean;
}

/** Hot. Nil or an empty map: nothing to decode. */
export function hasNoOptions(bytes: Uint8Array, start: number): boolean {
  const first = bytes[start];
  return first === NIL || first === EMPTY_MAP;
}

/** The map at `bytes[start, end)`, which is one well-formed value. Nil reads as an empty map. */
export function decodeOptions(bytes: Uint8Array, start: number, end: number): OptionMap {
  if (hasNoOptions(bytes, start)) return {};
  // The decoder gives extensions meanings of its own: references that make gigabytes of 500 bytes, values that cannot be encoded again.
  if (hasExtension(bytes, start, end)) throw new RelayError('BAD_REQUEST', 'options must not contain extension types');
  let value: unknown;
  try {
    value = unpack(bytes.subarray(start, end));
  } catch {
    // Well formed, but not decodable: an extension type we do not know, or text that is no UTF-8.
    throw new RelayError('BAD_REQUEST', 'options could not be decoded');
  }
  if (!isMap(value)) {
    throw new RelayError('BAD_REQUEST', 'options must be a map or nil');
  }
  return value as OptionMap;
}

export function publishOptions(options: OptionMap): PublishOptions {
  const { key, headers, ttlMs, echo } = options;
  return {
    key: isAbsent(key) ? null : text('key', key, KEY_BYTES_MAX),
    headers: isAbsent(headers) ? null : checkHeaders(headers),
    ttlMs: isAbsent(ttlMs) ? Number.POSITIVE_INFINITY : integer('ttlMs', ttlMs, 1, TTL_MS_MAX),
    echo: isAbsent(echo) ? null : boolean('echo', echo),
  };
}

export function subscribeOptions(options: OptionMap, presenceBytesMax: number): SubscribeOptions {
  const { since, last, presence, policy, conflateBy } = options;
  if (!isAbsent(since) && !isAbsent(last)) throw new RelayError('BAD_REQUEST', 'since and last exclude each other');
  if (!isAbsent(policy) && !SLOW_CONSUMER_POLICIES.includes(policy as SlowConsumerPolicy)) {
    throw new RelayError('BAD_REQUEST', `policy must be one of ${SLOW_CONSUMER_POLICIES.join(', ')}`);
  }
  const group = groupAsked(options);
  if (group !== null) checkGroupConflicts(options, group);
  return {
    since: isAbsent(since) ? null : position('since', since),
    last: isAbsent(last) ? 0 : integer('last', last, 0, 1_000_000),
    ...presenceOption(presence, presenceBytesMax),
    policy: isAbsent(policy) ? null : (policy as SlowConsumerPolicy),
    conflateBy: isAbsent(conflateBy) ? null : text('conflateBy', conflateBy, KEY_BYTES_MAX),
    group,
  };
}

function groupAsked(options: OptionMap): GroupAsked | null {
  const { group, ack, ackTimeoutMs, maxAttempts, deadLetter, maxInFlight } = options;
  const acknowledges = isAbsent(ack) ? false : boolean('ack', ack);
  if (isAbsent(group) && acknowledges) throw new RelayError('BAD_REQUEST', 'ack needs a group');
  for (const [field, value] of Object.entries({ ackTimeoutMs, maxAttempts, deadLetter, maxInFlight })) {
    if (!isAbsent(value) && !acknowledges) throw new RelayError('BAD_REQUEST', `${field} needs a group with ack`);
  }
  if (isAbsent(group)) return null;
  const bounded = (field: keyof typeof GROUP_BOUNDS, value: unknown): number =>
    isAbsent(value) ? GROUP_DEFAULTS[field] : integer(field, value, ...GROUP_BOUNDS[field]);
  return {
    name: text('group', group, KEY_BYTES_MAX),
    ack: acknowledges,
    ackTimeoutMs: bounded('ackTimeoutMs', ackTimeoutMs),
    maxAttempts: bounded('maxAttempts', maxAttempts),
    deadLetter: isAbsent(deadLetter) ? null : deadLetterTopic(deadLetter),
    maxInFlight: bounded('maxInFlight', maxInFlight),
  };
}

/** A group has one place in the stream for all of its members, and gives each message to one of them: what is about a reader's own place is not for it. */
function checkGroupConflicts({ since, last, presence, policy, conflateBy }: OptionMap, group: GroupAsked): void {
  const refuse = (what: string): never => {
    throw new RelayError('BAD_REQUEST', `a group subscription has no ${what}`);
  };
  if (!isAbsent(since)) refuse('since: the group goes on where it is');
  if (!isAbsent(last)) refuse('last: the group goes on where it is');
  if (!isAbsent(presence) && presence !== false) refuse('presence: a second connection can have it');
  if (!isAbsent(conflateBy)) refuse('conflateBy: every message is somebody’s');
  if (policy === 'conflate' || policy === 'pause') refuse(`policy '${policy}': every message is somebody’s`);
  // What a policy dropped would still count as given, until it times out.
  if (group.ack && !isAbsent(policy) && policy !== 'disconnect')
    refuse(`policy '${policy}' with ack: maxInFlight bounds what waits`);
}

function deadLetterTopic(value: unknown): string {
  const name = text('deadLetter', value, NAME_BYTES_MAX);
  const kind = checkNameText(name);
  if (kind === NameKind.INVALID) throw new RelayError('BAD_REQUEST', `bad deadLetter: ${nameProblem()}`);
  if (kind === NameKind.PATTERN) throw new RelayError('BAD_REQUEST', 'deadLetter must be a topic, not a pattern');
  if (name.startsWith('$'))
    throw new RelayError('BAD_REQUEST', "deadLetter must not begin with '$': those names are the relay's");
  return name;
}

export function ackOptions(options: OptionMap): AckOptions {
  const { offset, offsets, epoch, requeue, delayMs } = options;
  if (isAbsent(offset) === isAbsent(offsets)) throw new RelayError('BAD_REQUEST', 'either offset or offsets must be given');
  if (!isAbsent(offsets) && (!Array.isArray(offsets) || offsets.length === 0 || offsets.length > ACK_OFFSETS_MAX))
    throw new RelayError('BAD_REQUEST', `offsets must be a list of 1 to ${ACK_OFFSETS_MAX} offsets`);
  const again = isAbsent(requeue) ? false : boolean('requeue', requeue);
  if (!isAbsent(delayMs) && !again) throw new RelayError('BAD_REQUEST', 'delayMs needs requeue');
  const list = isAbsent(offset) ? (offsets as readonly unknown[]) : [offset];
  return {
    offsets: list.map((each) => integer(isAbsent(offset) ? 'offsets' : 'offset', each, 1, Number.MAX_SAFE_INTEGER)),
    epoch: isAbsent(epoch) ? null : text('epoch', epoch, EPOCH_BYTES_MAX),
    requeue: again,
    delayMs: isAbsent(delayMs) ? 0 : integer('delayMs', delayMs, 0, DELAY_MS_MAX),
  };
}

export function historyOptions(options: OptionMap, limitDefault: number, limitMax: number): HistoryOptions {
  const { since, limit, reverse } = options;
  return {
    since: isAbsent(since) ? null : position('since', since),
    limit: isAbsent(limit) ? limitDefault : integer('limit', limit, 1, limitMax),
    reverse: isAbsent(reverse) ? false : boolean('reverse', reverse),
  };
}

export function presenceQueryOptions(options: OptionMap): { readonly countOnly: boolean } {
  return { countOnly: isAbsent(options['countOnly']) ? false : boolean('countOnly', options['countOnly']) };
}

export interface HelloOptions {
  readonly client: string | null;
  readonly version: number;
  readonly token: string | null;
}

export function helloOptions(options: OptionMap): HelloOptions {
  const { client, version, token, features } = options;
  if (!isAbsent(features) && !Array.isArray(features)) throw new RelayError('BAD_REQUEST', 'features must be a list of strings');
  return {
    client: isAbsent(client) ? null : text('client', client, KEY_BYTES_MAX),
    version: isAbsent(version) ? PROTOCOL_VERSION : integer('version', version, 0, 65_535),
    token: isAbsent(token) ? null : text('token', token, TOKEN_LENGTH_MAX),
  };
}

function presenceOption(presence: unknown, bytesMax: number): Pick<SubscribeOptions, 'presence' | 'watch'> {
  if (isAbsent(presence) || presence === false) return { presence: undefined, watch: false };
  if (presence === 'watch') return { presence: undefined, watch: true };
  if (presence === true) return { presence: { data: undefined }, watch: true };
  if (!isMap(presence)) {
    throw new RelayError('BAD_REQUEST', "presence must be true, a map or 'watch'");
  }
  const bytes = pack(presence).length;
  if (bytes > bytesMax) throw new RelayError('TOO_LARGE', 'presence data is too large', { bytes, bytesMax });
  return { presence: { data: presence }, watch: true };
}

export function checkHeaders(headers: unknown): Readonly<Record<string, string>> {
  if (!isMap(headers)) {
    throw new RelayError('BAD_REQUEST', 'headers must be a map of strings');
  }
  const entries = Object.entries(headers);
  if (entries.length > HEADERS_MAX)
    throw new RelayError('BAD_REQUEST', 'too many headers', { count: entries.length, countMax: HEADERS_MAX });
  for (const [name, value] of entries) {
    if (typeof value !== 'string') throw new RelayError('BAD_REQUEST', `header '${name.slice(0, 64)}' must be a string`);
  }
  const bytes = pack(headers).length;
  if (bytes > HEADER_BYTES_MAX) throw new RelayError('TOO_LARGE', 'headers are too large', { bytes, bytesMax: HEADER_BYTES_MAX });
  return headers as Record<string, string>;
}

function position(field: string, value: unknown): Position {
  if (typeof value !== 'object' || value === null) throw new RelayError('BAD_REQUEST', `${field} must be a map {epoch, offset}`);
  const { epoch, offset } = value as Record<string, unknown>;
  return {
    epoch: text(`${field}.epoch`, epoch, EPOCH_BYTES_MAX),
    offset: integer(`${field}.offset`, offset, 0, Number.MAX_SAFE_INTEGER),
  };
}

export function text(field: string, value: unknown, bytesMax: number): string {
  if (typeof value !== 'string' || value.length === 0 || utf8BytesOver(value, bytesMax)) {
    throw new RelayError('BAD_REQUEST', `${field} must be a string of 1 to ${bytesMax} bytes`);
  }
  return value;
}

/** A UTF-16 unit makes three bytes at most, so most strings are judged by their length. */
function utf8BytesOver(value: string, bytesMax: number): boolean {
  return value.length > bytesMax || (3 * value.length > bytesMax && UTF8.encode(value).length > bytesMax);
}

export function integer(field: string, value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
    throw new RelayError('BAD_REQUEST', `${field} must be an integer in [${min}, ${max}]`);
  }
  return value as number;
}

export function boolean(field: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new RelayError('BAD_REQUEST', `${field} must be true or false`);
  return value;
}

/** Not a list, bytes or a time, which are objects too. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}

/** What a pattern subscription may not ask for. Called by the front, which answers for all lanes. */
export function checkPatternOptions(options: SubscribeOptions): void {
  if (options.presence !== undefined || options.watch)
    throw new RelayError('BAD_REQUEST', 'a pattern subscription has no presence');
  if (options.policy === 'pause')
    throw new RelayError('BAD_REQUEST', "policy 'pause' needs one topic with history, not a pattern");
  if (options.group !== null) throw new RelayError('BAD_REQUEST', 'a pattern subscription has no group: name the topic');
}
