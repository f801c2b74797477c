/**
 * What the front tells of who came in, who was turned away and why: for the audit log. Never payloads, never tokens.
 *
 * Thread: front only. An event is told when it has happened; nobody may throw into the front, nor call back into it.
 */
export type SecurityEvent =
  | { readonly kind: 'connected'; readonly session: number; readonly address: string; readonly origin: string }
  | {
      readonly kind: 'authenticated';
      readonly session: number;
      readonly subject: string;
      readonly tokenId: string | null;
      readonly address: string;
    }
  /** `session` 0: a request over HTTP. */
  | {
      readonly kind: 'authenticationFailed';
      readonly session: number;
      readonly address: string;
      readonly code: string;
      readonly reason: string;
    }
  | { readonly kind: 'refreshed'; readonly session: number; readonly subject: string; readonly tokenId: string | null }
  /** FORBIDDEN for want of a right. */
  | {
      readonly kind: 'denied';
      readonly session: number;
      readonly subject: string;
      readonly right: string;
      readonly name: string;
    }
  | { readonly kind: 'revoked'; readonly session: number; readonly subject: string; readonly tokenId: string | null }
  /** Disconnected for what it sent (4102), or not let in: its subject has too many connections (4101), or connects too often (4102). */
  | {
      readonly kind: 'rateLimited';
      readonly session: number;
      readonly subject: string;
      readonly address: string;
      readonly limit: string;
    }
  | { readonly kind: 'disconnected'; readonly session: number; readonly code: number };
