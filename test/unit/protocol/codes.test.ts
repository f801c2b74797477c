/** Codes are a contract: their numbers stand here a second time, so that nobody renumbers one by accident. */
import t from 'tap';
import { CLOSE_CODES, reconnectAdvice, WIRE_ERRORS, wireErrorName } from '../../../src/protocol/codes.ts';
import { leaveOutStacks, RelayError, withFacts } from '../../../src/protocol/errors.ts';

t.test('the numbers of the wire errors, and which of them are worth a retry', async (t) => {
  t.same(
    Object.entries(WIRE_ERRORS).map(([name, { code, retryable }]) => [name, code, retryable]),
    [
      ['BAD_REQUEST', 100, false],
      ['UNAUTHENTICATED', 101, false],
      ['FORBIDDEN', 102, false],
      ['NOT_FOUND', 103, false],
      ['LIMIT', 104, false],
      ['RATE_LIMITED', 105, true],
      ['OVERLOADED', 106, true],
      ['TOO_LARGE', 107, false],
      ['TIMEOUT', 108, true],
      ['NO_RESPONDERS', 109, true],
      ['RESPONDER_LOST', 110, true],
      ['CANCELLED', 111, false],
      ['CONFLICT', 112, false],
      ['LANE_RESTARTED', 113, true],
      ['TOKEN_EXPIRED', 114, false],
      ['SERVICE_ERROR', 120, false],
      ['INTERNAL', 199, true],
    ],
  );
});

t.test('the numbers of the close codes', async (t) => {
  t.same(
    Object.entries(CLOSE_CODES).map(([name, { code }]) => [name, code]),
    [
      ['SHUTDOWN', 4001],
      ['SLOW_CONSUMER', 4002],
      ['NO_PONG', 4003],
      ['STATE_LOST', 4004],
      ['OVER_CAPACITY', 4101],
      ['RATE_LIMITED', 4102],
      ['MALFORMED', 4500],
      ['BAD_TOKEN', 4501],
      ['FORBIDDEN', 4502],
      ['UNSUPPORTED_VERSION', 4503],
      ['NO_HELLO', 4504],
      ['REVOKED', 4505],
      ['TEXT_MESSAGE', 1003],
      ['OVERSIZED', 1009],
    ],
  );
});

for (const [name, { code, reconnect }] of Object.entries(CLOSE_CODES)) {
  t.test(`the number of ${name} says what its row says`, async (t) => {
    t.equal(reconnectAdvice(code), reconnect);
  });
}

for (const { code, want } of [
  { code: 1000, want: 'now' },
  { code: 1001, want: 'now' },
  { code: 1006, want: 'now' },
  { code: 3999, want: 'now' },
  { code: 4000, want: 'now' },
  { code: 4099, want: 'now' },
  { code: 4100, want: 'after-delay' },
  { code: 4199, want: 'after-delay' },
  { code: 4200, want: 'now' },
  { code: 4499, want: 'now' },
  { code: 4500, want: 'never' },
  { code: 4599, want: 'never' },
  { code: 4600, want: 'now' },
]) {
  t.test(`reconnectAdvice(${code}) is ${want}`, async (t) => {
    t.equal(reconnectAdvice(code), want);
  });
}

t.test('wireErrorName finds every code by its number, and INTERNAL for those of a newer relay', async (t) => {
  for (const [name, { code }] of Object.entries(WIRE_ERRORS)) t.equal(wireErrorName(code), name);
  for (const code of [0, 99, 115, 198, 200]) t.equal(wireErrorName(code), 'INTERNAL');
});

t.test('a RelayError carries code, name, retryable and facts; its text has the facts in it', async (t) => {
  const cause = new Error('inner');
  const error = new RelayError('OVERLOADED', undefined, { lane: 3, retryAfterMs: 250 }, { cause });
  t.match(error, {
    name: 'RelayError',
    code: 106,
    codeName: 'OVERLOADED',
    retryable: true,
    facts: { lane: 3, retryAfterMs: 250 },
    cause,
  });
  t.equal(error.message, 'overloaded, retry later: lane=3, retryAfterMs=250');
  t.equal(new RelayError('LIMIT', 'no more topics').message, 'no more topics');
});

for (const { name, facts, want } of [
  { name: 'none', facts: undefined, want: 'text' },
  { name: 'an empty map', facts: {}, want: 'text' },
  { name: 'several', facts: { a: 1, b: 'x', c: null, d: false }, want: 'text: a=1, b=x, c=null, d=false' },
]) {
  t.test(`withFacts: ${name}`, async (t) => {
    t.equal(withFacts('text', facts), want);
  });
}

// The last test: it holds for the whole thread from here on.
t.test('a thread of the relay’s makes wire errors without stacks, and all others with theirs', async (t) => {
  t.match(new RelayError('OVERLOADED').stack, /codes\.test/);
  leaveOutStacks();
  t.equal(new RelayError('OVERLOADED', undefined, { lane: 1 }).stack, 'RelayError: overloaded, retry later: lane=1');
  t.match(new Error('a bug').stack, /codes\.test/);
});
