/**
 * What the front needs from a transport. Declared here, implemented in transport/, joined in app/. (Its lanes: protocol/lane-port.ts.)
 */
import type { RelayError } from '../protocol/errors.ts';
import type { Grants } from '../protocol/grants.ts';

/** Result of `Connection.send`. */
export const SendResult = {
  /** The kernel has it. */
  WRITTEN: 1,
  /** It waits in the transport's buffer; `onDrain` follows. */
  QUEUED: 0,
  /** It was thrown away. The front keeps far enough below the transport's limit that this means a broken connection. */
  DROPPED: 2,
} as const;

/** One client's connection. Calls after it has closed do nothing. */
export interface Connection {
  /** What the upgrade brought: a token in the subprotocols or the Authorization header (null for none), and the browser's Origin ('' for none). */
  readonly token?: string | null;
  readonly origin?: string;
  readonly remoteAddress: string;
  /** One binary WebSocket message. `frame` may be shared memory and is reused after the call: copy what is kept. */
  send(frame: Uint8Array): number;
  ping(): void;
  /** Bytes in the transport's buffer. */
  bufferedBytes(): number;
  /** Closing handshake after what is buffered. */
  close(code: number, reason: string): void;
  /** At once, whatever is buffered. */
  terminate(): void;
}

/**
 * Where lanes keep what must outlive them: entries in order, by key. In memory here (memory-journal.ts), durable later.
 * An entry is appended before anybody can see what it tells of.
 */
export interface Journal {
  readonly bytes: number;
  readonly entryCount: number;
  /** `entry` is the journal's from now on. */
  append(lane: number, key: string, entry: Uint8Array): void;
  forget(lane: number, key: string): void;
  /** Key by key in the order of their first entries, each key's entries in order. */
  entriesOf(lane: number): Iterable<Uint8Array>;
}

/** The subject of those who brought no token and were let in: many, and not one of them proven. */
export const ANONYMOUS = 'anonymous';

/** Names that the relay's own sessions go by, in presence and to services: nobody may prove to be one. */
export function isReservedSubject(subject: string): boolean {
  return subject.startsWith('$') || subject === 'http';
}

/** Who somebody is, once proven. */
export interface Identity {
  /** The token's `sub`, or ANONYMOUS. */
  readonly subject: string;
  /** The token's `jti`. */
  readonly tokenId: string | null;
  /** The token's `iat`, in milliseconds since the Unix epoch. */
  readonly issuedAtMs: number | null;
  /** When it ends, in milliseconds since the Unix epoch: the token's `exp` and what its clock may be off by; Infinity for one without. */
  readonly expiresAtMs: number;
  /** Null: everything. */
  readonly grants: Grants | null;
}

/** What somebody brings who wants in. */
export interface Credentials {
  /** From HELLO, the subprotocols or the Authorization header; null where there is none. */
  readonly token: string | null;
  readonly address: string;
  /** The browser's Origin header, '' without one. */
  readonly origin: string;
  /** What the client calls itself. */
  readonly client: string | null;
}

/** UNAUTHENTICATED, TOKEN_EXPIRED, FORBIDDEN or OVERLOADED (the decision could not be had in time). */
export interface Denial {
  readonly denied: RelayError;
}

/** Asked before each SUBSCRIBE, beside the grants. Implemented in auth/; a relay without one asks nobody. */
export interface SubscribeGuard {
  /** Null: go ahead. Never rejects. */
  decide(identity: Identity, topic: string): Denial | null | Promise<Denial | null>;
}

/** Decides who comes in. Implemented in auth/; a relay without authentication has none. */
export interface Authenticator {
  /** Never rejects: what goes wrong is a Denial. At once where it can be, since a client's further commands wait for it. */
  authenticate(credentials: Credentials): Identity | Denial | Promise<Identity | Denial>;
}
