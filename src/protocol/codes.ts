/**
 * Every error and close code a peer can receive. Never renumber, never reuse; docs/errors.md is generated from here.
 */

export interface WireErrorSpec {
  readonly code: number;
  /** May the same command, sent again later, succeed? Fixed per code, so a client needs no list of its own. */
  readonly retryable: boolean;
  /** The default text on the wire; the facts follow it. */
  readonly text: string;
}

export const WIRE_ERRORS = {
  BAD_REQUEST: { code: 100, retryable: false, text: 'bad request' },
  UNAUTHENTICATED: { code: 101, retryable: false, text: 'not authenticated' },
  FORBIDDEN: { code: 102, retryable: false, text: 'not permitted' },
  NOT_FOUND: { code: 103, retryable: false, text: 'not found' },
  LIMIT: { code: 104, retryable: false, text: 'limit reached' },
  RATE_LIMITED: { code: 105, retryable: true, text: 'rate limited' },
  OVERLOADED: { code: 106, retryable: true, text: 'overloaded, retry later' },
  TOO_LARGE: { code: 107, retryable: false, text: 'too large' },
  TIMEOUT: { code: 108, retryable: true, text: 'timed out' },
  NO_RESPONDERS: { code: 109, retryable: true, text: 'no instance of the service' },
  RESPONDER_LOST: { code: 110, retryable: true, text: 'the instance was lost during the call' },
  CANCELLED: { code: 111, retryable: false, text: 'cancelled' },
  CONFLICT: { code: 112, retryable: false, text: 'conflict with the current state' },
  LANE_RESTARTED: { code: 113, retryable: true, text: 'the lane was replaced while the command was under way' },
  TOKEN_EXPIRED: { code: 114, retryable: false, text: 'token expired' },
  SERVICE_ERROR: { code: 120, retryable: false, text: 'the service answered with an error' },
  INTERNAL: { code: 199, retryable: true, text: 'internal error' },
} as const satisfies Record<string, WireErrorSpec>;
export type WireErrorName = keyof typeof WIRE_ERRORS;

/** What the receiver should do about it. For docs/errors.md; apart, so that the SDK's build does not carry it. */
export const WIRE_ERROR_ACTIONS: Readonly<Record<WireErrorName, string>> = {
  BAD_REQUEST: 'Fix the message; the text names the field.',
  UNAUTHENTICATED: 'Send HELLO with a valid token.',
  FORBIDDEN: 'Ask for the right; the text names what was denied.',
  NOT_FOUND: 'Check the name.',
  LIMIT: 'Release something (the details name the limit and its value) or raise the limit.',
  RATE_LIMITED: 'Wait `retryAfterMs`, then send again.',
  OVERLOADED: 'Wait `retryAfterMs`, then send again; nothing was done.',
  TOO_LARGE: 'Send less; the details carry the size and its bound.',
  TIMEOUT: 'It may or may not have happened: retry with the same idempotency key.',
  NO_RESPONDERS: 'Retry once an instance has registered.',
  RESPONDER_LOST: 'Retry if the method may run twice.',
  CANCELLED: 'Nothing: somebody asked for it.',
  CONFLICT: 'Read the state, then decide.',
  LANE_RESTARTED:
    'It may or may not have happened: retry after `retryAfterMs`. The new lane knows no idempotency keys of the old one.',
  TOKEN_EXPIRED: 'Send REFRESH with a new token.',
  SERVICE_ERROR: "Read the service's own code and text in the details.",
  INTERNAL: 'Report it with the relay’s log; retry later.',
};

export interface CloseCodeSpec {
  readonly code: number;
  readonly reconnect: 'now' | 'after-delay' | 'never';
  readonly text: string;
}

/** The number says what to do: 4000-4099 reconnect now and resume, 4100-4199 after the delay given, 4500-4599 do not reconnect. */
export const CLOSE_ADVICE = {
  SHUTDOWN: { code: 4001, reconnect: 'now' },
  SLOW_CONSUMER: { code: 4002, reconnect: 'now' },
  NO_PONG: { code: 4003, reconnect: 'now' },
  STATE_LOST: { code: 4004, reconnect: 'now' },
  OVER_CAPACITY: { code: 4101, reconnect: 'after-delay' },
  RATE_LIMITED: { code: 4102, reconnect: 'after-delay' },
  MALFORMED: { code: 4500, reconnect: 'never' },
  BAD_TOKEN: { code: 4501, reconnect: 'never' },
  FORBIDDEN: { code: 4502, reconnect: 'never' },
  UNSUPPORTED_VERSION: { code: 4503, reconnect: 'never' },
  NO_HELLO: { code: 4504, reconnect: 'never' },
  REVOKED: { code: 4505, reconnect: 'never' },
  TEXT_MESSAGE: { code: 1003, reconnect: 'never' },
  OVERSIZED: { code: 1009, reconnect: 'never' },
} as const satisfies Record<string, Omit<CloseCodeSpec, 'text'>>;
export type CloseCodeName = keyof typeof CLOSE_ADVICE;

/** Apart, so that the SDK's build does not carry them: the close itself brings its text. */
const CLOSE_TEXTS: Readonly<Record<CloseCodeName, string>> = {
  SHUTDOWN: 'relay is shutting down',
  SLOW_CONSUMER: 'slow consumer',
  NO_PONG: 'no pong in time',
  STATE_LOST: 'session state lost',
  OVER_CAPACITY: 'over capacity',
  RATE_LIMITED: 'rate limited',
  MALFORMED: 'malformed message',
  BAD_TOKEN: 'bad token',
  FORBIDDEN: 'forbidden',
  UNSUPPORTED_VERSION: 'unsupported protocol version',
  NO_HELLO: 'no HELLO in time',
  REVOKED: 'revoked',
  TEXT_MESSAGE: 'text messages are not accepted, send binary',
  OVERSIZED: 'message too large',
};

type CloseCodes = { readonly [Name in CloseCodeName]: (typeof CLOSE_ADVICE)[Name] & CloseCodeSpec };

/* @__NO_SIDE_EFFECTS__ */
function withTexts(): CloseCodes {
  const names = Object.keys(CLOSE_ADVICE) as CloseCodeName[];
  return Object.fromEntries(names.map((name) => [name, { ...CLOSE_ADVICE[name], text: CLOSE_TEXTS[name] }])) as CloseCodes;
}

export const CLOSE_CODES = withTexts();

// Pure, so that a build without a reader of it leaves it out.
const NAME_BY_CODE = /* @__PURE__ */ new Map<number, WireErrorName>(
  /* @__PURE__ */ Object.entries(WIRE_ERRORS).map(([name, spec]) => [spec.code, name as WireErrorName]),
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
