/**
 * Who may ask the ops port what. Health is for everybody who reaches it; the rest wants the token, where there is one.
 *
 * Without a token the port is on loopback (the configuration sees to that), where other programs of the machine are trusted and web pages are not: a page may have
 * any name lead to 127.0.0.1 and then read what answers there, so the Host header must be one of the machine's own names; and a form of it can post, but not with
 * a header of its own, so what changes something wants one.
 *
 * Thread: main. Pure but for its counter.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isLoopback } from '../base/loopback.ts';
import type { Headers } from './ops-answer.ts';

/** `read`: figures and the page. `admin`: what changes something, and what tells whom it was changed for. */
export type OpsAccess = 'read' | 'admin';

export interface OpsRefusal {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

export interface OpsHeaders {
  readonly host: string;
  readonly authorization: string;
  readonly admin: string;
}

export const ADMIN_HEADER = 'x-relay-admin';
const REALM = 'realm="Clari RELAY ops"';

export class OpsGuard {
  readonly #token: () => string | null;
  /** Requests turned away. */
  refused = 0;

  /** `token`: the one that counts now. */
  constructor(token: () => string | null) {
    this.#token = token;
  }

  /** Null: it may. */
  check(access: OpsAccess, headers: OpsHeaders): OpsRefusal | null {
    const token = this.#token();
    const refusal = token === null ? localRefusal(access, headers) : tokenRefusal(access, headers.authorization, token);
    if (refusal !== null) this.refused++;
    return refusal;
  }
}

function localRefusal(access: OpsAccess, { host, admin }: OpsHeaders): OpsRefusal | null {
  if (!isLoopback(host.replace(/:\d+$/, '')))
    return { status: 403, text: 'without opsToken the Host header must be localhost, 127.0.0.1 or [::1]\n', headers: [] };
  if (access === 'admin' && admin !== '1')
    return {
      status: 403,
      text: 'without opsToken this wants the header X-Relay-Admin: 1, which no web page can send\n',
      headers: [],
    };
  return null;
}

function tokenRefusal(access: OpsAccess, authorization: string, token: string): OpsRefusal | null {
  const given = tokenIn(authorization, access);
  if (given !== null && isSame(given, token)) return null;
  const why = given === null ? 'opsToken is needed' : 'this is not opsToken';
  // A browser asks its user for a password then: the page can be had without any code of its own for it.
  const challenge = access === 'admin' ? `Bearer ${REALM}` : `Basic ${REALM}, charset="UTF-8"`;
  return { status: 401, text: `${why}: Authorization: Bearer <token>\n`, headers: [['WWW-Authenticate', challenge]] };
}

/** A password is sent along by the browser whoever made it ask: it opens what is only read. */
function tokenIn(authorization: string, access: OpsAccess): string | null {
  const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(authorization) ?? [];
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return value;
    case 'basic': {
      const pair = Buffer.from(value, 'base64').toString('utf8');
      return access === 'read' && pair.includes(':') ? pair.slice(pair.indexOf(':') + 1) : null;
    }
    default:
      return null;
  }
}

/** In the same time wherever they differ, and however long they are. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
