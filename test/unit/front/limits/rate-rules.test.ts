/** The setting `rateLimits`: what it may say, what it leaves out, and which commands count as what. */
import t from 'tap';
import { checkRateRules, rateKindOf, rateLimitsOf } from '../../../../src/front/limits/rate-rules.ts';
import { MessageType } from '../../../../src/protocol/types.ts';

const MESSAGE_BYTES_MAX = 98_304;

for (const { name, rules, want } of [
  { name: 'nothing', rules: [], want: [] },
  {
    name: 'one of each scope',
    rules: [
      { scope: 'connection', what: 'publish', perSecond: 50, burst: 200 },
      { scope: 'subject', what: 'connect', perSecond: 0.1 },
      { scope: 'address', what: 'bytes', perSecond: 1_000_000, burst: 98_304 },
    ],
    want: [],
  },
  { name: 'what is no map', rules: [5], want: ['rateLimits[0] must be a map {scope, what, perSecond, burst}, got 5'] },
  {
    name: 'everything that is wrong, at once',
    rules: [
      { scope: 'topic', what: 'publishes', perSecond: 0, burst: 0, rate: 1 },
      { scope: 'connection', what: 'connect', perSecond: 1 },
    ],
    want: [
      'rateLimits[0].rate is not a setting; known: scope, what, perSecond, burst',
      "rateLimits[0].scope must be one of connection, subject, address, got 'topic'",
      "rateLimits[0].what must be one of connect, publish, subscribe, call, command, bytes, got 'publishes'",
      'rateLimits[0].perSecond must be a number in [0.001, 1000000000], got 0',
      'rateLimits[0].burst must be an integer in [1, 1000000000], got 0',
      'rateLimits[1]: a connection connects once: limit connects by subject or address',
    ],
  },
  {
    name: 'a burst that the largest message would never fit into',
    rules: [{ scope: 'connection', what: 'bytes', perSecond: 1_000, burst: 1_000 }],
    want: [
      'rateLimits[0].burst must be an integer in [98304, 1000000000] (messageBytesMax: a larger message would never get in), got 1000',
    ],
  },
  {
    name: 'the same twice',
    rules: [
      { scope: 'connection', what: 'call', perSecond: 1 },
      { scope: 'subject', what: 'call', perSecond: 1 },
      { scope: 'connection', what: 'call', perSecond: 2 },
    ],
    want: ['rateLimits[2]: connection.call is limited by rateLimits[0] already'],
  },
]) {
  t.test(`rules: ${name}`, async (t) => t.same(checkRateRules(rules, MESSAGE_BYTES_MAX), want));
}

t.test('bursts by default: a second’s worth, one at least, and of bytes one message', async (t) => {
  const limits = rateLimitsOf(
    [
      { scope: 'connection', what: 'publish', perSecond: 2.5 },
      { scope: 'address', what: 'connect', perSecond: 0.1 },
      { scope: 'connection', what: 'bytes', perSecond: 1_000 },
      { scope: 'subject', what: 'bytes', perSecond: 1_000_000 },
      { scope: 'subject', what: 'call', perSecond: 5, burst: 1 },
    ],
    MESSAGE_BYTES_MAX,
  );
  t.same(
    limits.map(({ name, burst }) => [name, burst]),
    [
      ['connection.publish', 3],
      ['address.connect', 1],
      ['connection.bytes', MESSAGE_BYTES_MAX],
      ['subject.bytes', 1_000_000],
      ['subject.call', 1],
    ],
  );
});

t.test('what counts as what', async (t) => {
  t.equal(rateKindOf(MessageType.PUBLISH), 'publish');
  t.equal(rateKindOf(MessageType.SUBSCRIBE), 'subscribe');
  t.equal(rateKindOf(MessageType.CALL), 'call');
  t.equal(rateKindOf(MessageType.START), 'call');
  t.equal(rateKindOf(MessageType.HISTORY), null);
});
