/**
 * The head of an HTTP request, read in one pass while uWebSockets.js still has it: what the relay goes by, and what is wrong with it.
 *
 * `getHeader` gives the first of several headers of one name. That hides both ways to smuggle (a second Content-Length) and ways to lie (a client's
 * X-Forwarded-For before the proxy's), so every header is looked at.
 */
import { clip } from '../base/clip.ts';
import { SUBPROTOCOL } from '../protocol/types.ts';
import type { UwsRequest } from './uws-types.ts';

/** Beside `relay.v1` among the subprotocols: browsers can send a token nowhere else. */
const TOKEN_PROTOCOL = 'relay.token.';
export const WEBSOCKET_VERSION = '13';
const BEARER = /^bearer +([^\s,]+)$/i;

/** Given twice, these say two things, and who stands in between may have gone by the other one. */
const SINGLE: ReadonlySet<string> = new Set([
  'authorization',
  'content-length',
  'content-type',
  'host',
  'origin',
  'sec-websocket-key',
  'sec-websocket-version',
  'transfer-encoding',
]);

export interface HttpHead {
  readonly contentType: string;
  readonly accept: string;
  /** '' without one. */
  readonly origin: string;
  /** The header as it came; '' without one. */
  readonly authorization: string;
  /** Access-Control-Request-Method; '' where it is no preflight. */
  readonly requestedMethod: string;
  /** All of them in order, joined by commas; '' without any. */
  readonly forwardedFor: string;
  readonly protocols: readonly string[];
  readonly webSocketVersion: string;
  /** Why the request is refused, for people; null where nothing is wrong. */
  readonly fault: string | null;
}

/** Only inside uWebSockets.js's handler: the request is gone afterwards. */
export function readHead(request: UwsRequest): HttpHead {
  const values = new Map<string, string>();
  let fault: string | null = null;
  request.forEach((name, value) => {
    const before = values.get(name);
    if (before !== undefined && SINGLE.has(name)) fault = `the header ${name} is given twice`;
    values.set(name, before === undefined ? value : `${before}, ${value}`);
  });
  const textOf = (name: string): string => values.get(name) ?? '';
  const transferEncoding = values.get('transfer-encoding');
  // uWebSockets.js takes every Transfer-Encoding for chunked; who stands in between may not.
  if (transferEncoding !== undefined && transferEncoding.toLowerCase() !== 'chunked')
    fault ??= 'Transfer-Encoding must be chunked, and nothing else';
  if (transferEncoding !== undefined && values.has('content-length'))
    fault ??= 'Content-Length and Transfer-Encoding exclude each other';
  const protocols = textOf('sec-websocket-protocol');
  return {
    contentType: textOf('content-type'),
    accept: textOf('accept'),
    origin: textOf('origin'),
    authorization: textOf('authorization'),
    requestedMethod: textOf('access-control-request-method'),
    forwardedFor: textOf('x-forwarded-for'),
    protocols: protocols === '' ? [] : protocols.split(',').map((protocol) => protocol.trim()),
    webSocketVersion: textOf('sec-websocket-version'),
    fault,
  };
}

/** The token that came with the request: among the subprotocols, else as `Authorization: Bearer`. Null without one. */
export function tokenOf({ protocols, authorization }: Pick<HttpHead, 'protocols' | 'authorization'>): string | null {
  const protocol = protocols.find((candidate) => candidate.startsWith(TOKEN_PROTOCOL));
  return protocol?.slice(TOKEN_PROTOCOL.length) ?? BEARER.exec(authorization)?.[1] ?? null;
}

/** Null where the upgrade may go on. A text never repeats a token. */
export function protocolFault({ protocols }: Pick<HttpHead, 'protocols'>): string | null {
  if (protocols.filter((protocol) => protocol.startsWith(TOKEN_PROTOCOL)).length > 1)
    return 'there is more than one token among the subprotocols';
  if (protocols.includes(SUBPROTOCOL)) return null;
  const shown = protocols.map((protocol) => (protocol.startsWith(TOKEN_PROTOCOL) ? `${TOKEN_PROTOCOL}…` : protocol));
  return `the subprotocol must be ${SUBPROTOCOL}, got '${clip(shown.join(', '))}'`;
}
