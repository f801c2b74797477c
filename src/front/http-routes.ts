/**
 * What the relay answers over HTTP: the table of routes, how their parameters and media types are read, and which status a code becomes.
 *
 * Thread: front only. Pure functions; what happens with a request that reads well is http-gateway.ts. docs/openapi.json is held against
 * HTTP_ROUTES and ERROR_STATUS by test/contract/openapi.test.ts.
 */
import { clip } from '../base/clip.ts';
import type { WireErrorName } from '../protocol/codes.ts';
import { type ErrorFacts, RelayError } from '../protocol/errors.ts';

export interface HttpParameter {
  readonly name: string;
  /** `headers`: `name:value`, may be given more than once. Everything else at most once. */
  readonly type: 'string' | 'integer' | 'boolean' | 'headers';
  readonly required: boolean;
}

export interface HttpRoute {
  readonly operation: 'publish' | 'publishBatch' | 'call' | 'services' | 'history' | 'presence' | 'position';
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly summary: string;
  readonly parameters: readonly HttpParameter[];
  /** In the body: nothing, one payload, or the list of a batch. */
  readonly body: 'none' | 'payload' | 'batch';
}

const TOPIC: HttpParameter = { name: 'topic', type: 'string', required: true };

export const HTTP_ROUTES: readonly HttpRoute[] = [
  {
    operation: 'publish',
    method: 'POST',
    path: '/v1/publish',
    summary: 'Publish one message',
    parameters: [
      TOPIC,
      optional('key', 'string'),
      optional('ttlMs', 'integer'),
      optional('echo', 'boolean'),
      optional('header', 'headers'),
    ],
    body: 'payload',
  },
  {
    operation: 'publishBatch',
    method: 'POST',
    path: '/v1/publish-batch',
    summary: 'Publish several messages, each with an answer of its own',
    parameters: [],
    body: 'batch',
  },
  {
    operation: 'call',
    method: 'POST',
    path: '/v1/call',
    summary: 'Call a method of a service',
    parameters: [
      { name: 'service', type: 'string', required: true },
      { name: 'method', type: 'string', required: true },
      optional('deadlineMs', 'integer'),
      optional('hashKey', 'string'),
      optional('idempotent', 'boolean'),
      optional('version', 'string'),
      optional('header', 'headers'),
    ],
    body: 'payload',
  },
  {
    operation: 'services',
    method: 'GET',
    path: '/v1/services',
    summary: 'Services that are registered, and their instances',
    parameters: [optional('service', 'string'), optional('instances', 'boolean')],
    body: 'none',
  },
  {
    operation: 'history',
    method: 'GET',
    path: '/v1/history',
    summary: 'Messages that a topic keeps',
    parameters: [
      TOPIC,
      optional('limit', 'integer'),
      optional('reverse', 'boolean'),
      optional('sinceEpoch', 'string'),
      optional('sinceOffset', 'integer'),
    ],
    body: 'none',
  },
  {
    operation: 'presence',
    method: 'GET',
    path: '/v1/presence',
    summary: 'Who is present in a topic',
    parameters: [TOPIC, optional('countOnly', 'boolean')],
    body: 'none',
  },
  {
    operation: 'position',
    method: 'GET',
    path: '/v1/position',
    summary: "Where a topic's stream stands",
    parameters: [TOPIC],
    body: 'none',
  },
];

/**
 * One status per code. Generic HTTP clients retry 429, 502, 503 and 504 by themselves, so a code that is not retryable has none of these:
 * that is why LIMIT (a bound of the relay's configuration, no rate) is 507 and not 429.
 */
export const ERROR_STATUS: Readonly<Record<WireErrorName, number>> = {
  BAD_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  LIMIT: 507,
  RATE_LIMITED: 429,
  OVERLOADED: 503,
  TOO_LARGE: 413,
  TIMEOUT: 504,
  NO_RESPONDERS: 503,
  RESPONDER_LOST: 502,
  CANCELLED: 409,
  CONFLICT: 409,
  LANE_RESTARTED: 503,
  TOKEN_EXPIRED: 401,
  SERVICE_ERROR: 422,
  INTERNAL: 500,
};

/** Where HTTP has a status for what is a plain BAD_REQUEST or NOT_FOUND to the relay. */
export class HttpFault extends RelayError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    codeName: WireErrorName,
    text: string,
    facts: ErrorFacts = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(codeName, text, facts);
    this.status = status;
    this.headers = headers;
  }
}

export function findRoute(method: string, path: string): HttpRoute {
  const candidates = HTTP_ROUTES.filter((route) => route.path === path);
  if (candidates.length === 0) throw new RelayError('NOT_FOUND', 'no such path', { path: path.slice(0, 128) });
  const upper = method.toUpperCase(); // uWebSockets.js gives methods in lower case.
  const route = candidates.find((candidate) => candidate.method === upper);
  if (route !== undefined) return route;
  const allow = candidates.map((candidate) => candidate.method).join(', ');
  throw new HttpFault(405, 'BAD_REQUEST', 'method not allowed', { method: upper.slice(0, 16), allow }, { Allow: allow });
}

export interface Query {
  readonly texts: ReadonlyMap<string, string>;
  readonly integers: ReadonlyMap<string, number>;
  readonly booleans: ReadonlyMap<string, boolean>;
  readonly headers: Readonly<Record<string, string>> | null;
}

/** Reads a raw query string. Shapes only: what the values may be is the relay's to say, as it is for a PUBLISH. */
export function parseQuery(raw: string, parameters: readonly HttpParameter[]): Query {
  const texts = new Map<string, string>();
  const integers = new Map<string, number>();
  const booleans = new Map<string, boolean>();
  const headers = new Map<string, string>();
  const seen = new Set<string>();
  for (const pair of raw.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodePart(equals < 0 ? pair : pair.slice(0, equals));
    const value = decodePart(equals < 0 ? '' : pair.slice(equals + 1));
    const parameter = parameters.find((candidate) => candidate.name === name);
    if (parameter === undefined) throw badRequest(`unknown query parameter '${clip(name)}'; ${knownParameters(parameters)}`);
    if (parameter.type === 'headers') addHeader(headers, value);
    else if (seen.has(name)) throw badRequest(`query parameter '${name}' is given twice`);
    else if (parameter.type === 'integer') integers.set(name, parseInteger(name, value));
    else if (parameter.type === 'boolean') booleans.set(name, parseBoolean(name, value));
    else texts.set(name, value);
    seen.add(name);
  }
  for (const { name, required } of parameters) {
    if (required && !seen.has(name)) throw badRequest(`query parameter '${name}' is missing`);
  }
  return { texts, integers, booleans, headers: headers.size === 0 ? null : Object.fromEntries(headers) };
}

export type MediaType = 'json' | 'msgpack';

/** Of a body. The charset is not looked at: JSON is UTF-8, and what is not is refused when it is read. */
export function mediaTypeOf(contentType: string): MediaType | null {
  switch ((contentType.split(';', 1)[0] as string).trim().toLowerCase()) {
    case 'application/json':
      return 'json';
    case 'application/msgpack':
    case 'application/x-msgpack':
    case 'application/vnd.msgpack':
      return 'msgpack';
    default:
      return null;
  }
}

/**
 * Of an answer: what Accept prefers of the two. An Accept that names neither (every HTTP library sends one) leaves it to the body's type,
 * and without one it is JSON: an answer in another type than asked for helps more than 406.
 */
export function answerTypeOf(accept: string, contentType: string): MediaType {
  let best: MediaType | null = null;
  let bestQuality = 0;
  for (const range of accept.split(',')) {
    const type = mediaTypeOf(range);
    if (type === null) continue;
    const quality = Number(/;\s*q=([\d.]+)/i.exec(range)?.[1] ?? 1);
    if (quality > bestQuality) {
      best = type;
      bestQuality = quality;
    }
  }
  return best ?? mediaTypeOf(contentType) ?? 'json';
}

function optional(name: string, type: HttpParameter['type']): HttpParameter {
  return { name, type, required: false };
}

/** Strict, unlike URLSearchParams: a broken escape must not become a topic of another name. */
function decodePart(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw badRequest(`the query is not percent-encoded UTF-8: '${clip(text)}'`);
  }
}

function addHeader(headers: Map<string, string>, value: string): void {
  const colon = value.indexOf(':');
  if (colon <= 0) throw badRequest(`query parameter 'header' must be name:value, got '${clip(value)}'`);
  const name = value.slice(0, colon);
  if (headers.has(name)) throw badRequest(`header '${clip(name)}' is given twice`);
  headers.set(name, value.slice(colon + 1));
}

function parseInteger(name: string, value: string): number {
  const number = Number(value);
  if (!/^-?\d+$/.test(value) || !Number.isSafeInteger(number))
    throw badRequest(`query parameter '${name}' must be an integer, got '${clip(value)}'`);
  return number;
}

function parseBoolean(name: string, value: string): boolean {
  if (value !== 'true' && value !== 'false')
    throw badRequest(`query parameter '${name}' must be true or false, got '${clip(value)}'`);
  return value === 'true';
}

function knownParameters(parameters: readonly HttpParameter[]): string {
  return parameters.length === 0 ? 'this path takes none' : `known: ${parameters.map(({ name }) => name).join(', ')}`;
}

/** What a client sent, quoted in a text: long enough to find it, short enough for a log line. */

function badRequest(text: string): RelayError {
  return new RelayError('BAD_REQUEST', text);
}
