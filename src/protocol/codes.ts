/**
 * Every error and close code a peer can receive. Never renumber, never reuse; docs/errors.md is generated from here.
 */

export interface WireErrorSpec {
  readonly code: number;
  /** May the same command, sent again later, succeed? Fixed per code, so a client needs no list of its own. */
  readonly retryable: boolean;
  /** The default text on the wire; the facts follow it. */
  readonly text: string;
  /** What the receiver should do about it. */
  readonly action: string;
}

export const WIRE_ERRORS = {
  BAD_REQUEST: { code: 100, retryable: false, text: 'bad request', action: 'Fix the message; the text names the field.' },
  UNAUTHENTICATED: { code: 101, retryable: false, text: 'not authenticated', action: 'Send HELLO with a valid token.' },
  FORBIDDEN: { code: 102, retryable: false, text: 'not permitted', action: 'Ask for the right; the text names what was denied.' },
  NOT_FOUND: { code: 103, retryable: false, text: 'not found', action: 'Check the name.' },
  LIMIT: {
    code: 104,
    retryable: false,
    text: 'limit reached',
    action: 'Release something (the details name the limit and its value) or raise the limit.',
  },
  RATE_LIMITED: { code: 105, retryable: true, text: 'rate limited', action: 'Wait `retryAfterMs`, then send again.' },
  OVERLOADED: {
    code: 106,
    retryable: true,
    text: 'overloaded, retry later',
    action: 'Wait `retryAfterMs`, then send again; nothing was done.',
  },
  TOO_LARGE: { code: 107, retryable: false, text: 'too large', action: 'Send less; the details carry the size and its bound.' },
  TIMEOUT: {
    code: 108,
    retryable: true,
    text: 'timed out',
    action: 'It may or may not have happened: retry with the same idempotency key.',
  },
  NO_RESPONDERS: {
    code: 109,
    retryable: true,
    text: 'no instance of the service',
    action: 'Retry once an instance has registered.',
  },
  RESPONDER_LOST: {
    code: 110,
    retryable: true,
    text: 'the instance was lost during the call',
    action: 'Retry if the method may run twice.',
  },
  CANCELLED: { code: 111, retryable: false, text: 'cancelled', action: 'Nothing: somebody asked for it.' },
  CONFLICT: { code: 112, retryable: false, text: 'conflict with the current state', action: 'Read the state, then decide.' },
  LANE_RESTARTED: {
    code: 113,
    retryable: true,
    text: 'the lane was replaced while the command was under way',
    action: 'It may or may not have happened: retry after `retryAfterMs`. The new lane knows no idempotency keys of the old one.',
  },
  TOKEN_EXPIRED: { code: 114, retryable: false, text: 'token expired', action: 'Send REFRESH with a new token.' },
  SERVICE_ERROR: {
    code: 120,
    retryable: false,
    text: 'the service answered with an error',
    action: "Read the service's own code and text in the details.",
  },
  INTERNAL: { code: 199, retryable: true, text: 'internal error', action: 'Report it with the relay’s log; retry later.' },
} as const satisfies Record<string, WireErrorSpec>;
export type WireErrorName = keyof typeof WIRE_ERRORS;

export interface CloseCodeSpec {
  readonly code: number;
  readonly reconnect: 'now' | 'after-delay' | 'never';
  readonly text: string;
}

/** The number says what to do: 4000-4099 reconnect now and resume, 4100-4199 after the delay given, 4500-4599 do not reconnect. */
export const CLOSE_CODES = {
  SHUTDOWN: { code: 4001, reconnect: 'now', text: 'relay is shutting down' },
  SLOW_CONSUMER: { code: 4002, reconnect: 'now', text: 'slow consumer' },
  NO_PONG: { code: 4003, reconnect: 'now', text: 'no pong in time' },
  STATE_LOST: { code: 4004, reconnect: 'now', text: 'session state lost' },
  OVER_CAPACITY: { code: 4101, reconnect: 'after-delay', text: 'over capacity' },
  RATE_LIMITED: { code: 4102, reconnect: 'after-delay', text: 'rate limited' },
  MALFORMED: { code: 4500, reconnect: 'never', text: 'malformed message' },
  BAD_TOKEN: { code: 4501, reconnect: 'never', text: 'bad token' },
  FORBIDDEN: { code: 4502, reconnect: 'never', text: 'forbidden' },
  UNSUPPORTED_VERSION: { code: 4503, reconnect: 'never', text: 'unsupported protocol version' },
  NO_HELLO: { code: 4504, reconnect: 'never', text: 'no HELLO in time' },
  REVOKED: { code: 4505, reconnect: 'never', text: 'revoked' },
  TEXT_MESSAGE: { code: 1003, reconnect: 'never', text: 'text messages are not accepted, send binary' },
  OVERSIZED: { code: 1009, reconnect: 'never', text: 'message too large' },
} as const satisfies Record<string, CloseCodeSpec>;
export type CloseCodeName = keyof typeof CLOSE_CODES;

const NAME_BY_CODE = new Map<number, WireErrorName>(
  Object.entries(WIRE_ERRORS).map(([name, spec]) => [spec.code, name as WireErrorName]),
);

/** The name of a wire error's number; unknown numbers (a newer relay) read as INTERNAL. */
export function wireErrorName(code: number): WireErrorName {
  return NAME_BY_CODE.get(code) ?? 'INTERNAL';
}

/** What a client should do when a connection ended with this code. Codes outside the relay's ranges (1006, 1001 ...) mean: reconnect now. */
export function reconnectAdvice(closeCode: number): CloseCodeSpec['reconnect'] {
  if (closeCode >= 4500 && closeCode <= 4599) return 'never';
  if (closeCode === CLOSE_CODES.TEXT_MESSAGE.code || closeCode === CLOSE_CODES.OVERSIZED.code) return 'never';
  if (closeCode >= 4100 && closeCode <= 4199) return 'after-delay';
  return 'now';
}
