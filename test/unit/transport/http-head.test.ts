/** What the relay reads in the head of a request, and what it refuses there. */
import t from 'tap';
import { type HttpHead, protocolFault, readHead, tokenOf } from '../../../src/transport/http-head.ts';
import type { UwsRequest } from '../../../src/transport/uws-types.ts';

/** As uWebSockets.js gives it: names in lower case, each header by itself, in order. */
function head(...headers: readonly (readonly [name: string, value: string])[]): HttpHead {
  const forEach: UwsRequest['forEach'] = (handler) => {
    for (const [name, value] of headers) handler(name, value);
  };
  return readHead({ forEach } as UwsRequest);
}

t.test('what is there, and nothing where nothing is', async (t) => {
  t.same(
    head(
      ['host', 'relay'],
      ['content-type', 'application/json'],
      ['accept', '*/*'],
      ['origin', 'https://app.example.org'],
      ['authorization', 'Bearer abc'],
      ['sec-websocket-protocol', 'relay.v1 ,relay.token.abc'],
      ['sec-websocket-version', '13'],
      ['access-control-request-method', 'POST'],
      ['x-forwarded-for', '192.0.2.1'],
    ),
    {
      contentType: 'application/json',
      accept: '*/*',
      origin: 'https://app.example.org',
      authorization: 'Bearer abc',
      requestedMethod: 'POST',
      forwardedFor: '192.0.2.1',
      protocols: ['relay.v1', 'relay.token.abc'],
      webSocketVersion: '13',
      fault: null,
    },
  );
  t.match(head(), { origin: '', authorization: '', forwardedFor: '', protocols: [], fault: null });
});

t.test('lists go on over several headers: a proxy that adds a line of its own is the last to speak', async (t) => {
  t.equal(head(['x-forwarded-for', '6.6.6.6'], ['x-forwarded-for', '192.0.2.1']).forwardedFor, '6.6.6.6, 192.0.2.1');
  t.same(head(['sec-websocket-protocol', 'soap'], ['sec-websocket-protocol', 'relay.v1']).protocols, ['soap', 'relay.v1']);
});

for (const { name, headers, fault } of [
  {
    name: 'two lengths',
    headers: [
      ['content-length', '3'],
      ['content-length', '5'],
    ],
    fault: /content-length is given twice/,
  },
  {
    name: 'the same length twice',
    headers: [
      ['content-length', '3'],
      ['content-length', '3'],
    ],
    fault: /content-length is given twice/,
  },
  {
    name: 'a length and chunks',
    headers: [
      ['content-length', '3'],
      ['transfer-encoding', 'chunked'],
    ],
    fault: /exclude each other/,
  },
  { name: 'another encoding', headers: [['transfer-encoding', 'gzip']], fault: /must be chunked/ },
  { name: 'chunks and more', headers: [['transfer-encoding', 'chunked, identity']], fault: /must be chunked/ },
  { name: 'chunks in disguise', headers: [['transfer-encoding', 'xchunked']], fault: /must be chunked/ },
  { name: 'an empty encoding', headers: [['transfer-encoding', '']], fault: /must be chunked/ },
  {
    name: 'chunks twice',
    headers: [
      ['transfer-encoding', 'chunked'],
      ['transfer-encoding', 'chunked'],
    ],
    fault: /given twice/,
  },
  {
    name: 'two origins',
    headers: [
      ['origin', 'https://a'],
      ['origin', 'https://b'],
    ],
    fault: /origin is given twice/,
  },
  {
    name: 'two tokens',
    headers: [
      ['authorization', 'Bearer a'],
      ['authorization', 'Bearer b'],
    ],
    fault: /authorization is given twice/,
  },
  {
    name: 'two hosts',
    headers: [
      ['host', 'a'],
      ['host', 'b'],
    ],
    fault: /host is given twice/,
  },
] as const)
  t.test(`refused: ${name}`, async (t) => t.match(head(...headers).fault, fault));

t.test('chunks in any case are chunks', async (t) => t.equal(head(['transfer-encoding', 'Chunked']).fault, null));

for (const { name, given, want } of [
  { name: 'none', given: { protocols: ['relay.v1'], authorization: '' }, want: null },
  { name: 'among the subprotocols', given: { protocols: ['relay.v1', 'relay.token.a.b.c'], authorization: '' }, want: 'a.b.c' },
  { name: 'in Authorization', given: { protocols: ['relay.v1'], authorization: 'Bearer a.b.c' }, want: 'a.b.c' },
  { name: 'in Authorization, in any case', given: { protocols: [], authorization: 'bearer  a.b.c' }, want: 'a.b.c' },
  { name: 'in both: the one that the page chose', given: { protocols: ['relay.token.x'], authorization: 'Bearer y' }, want: 'x' },
  { name: 'an empty one is one, and a bad one', given: { protocols: ['relay.token.'], authorization: '' }, want: '' },
  { name: 'another scheme is none', given: { protocols: [], authorization: 'Basic YTpi' }, want: null },
  { name: 'two words are none', given: { protocols: [], authorization: 'Bearer a b' }, want: null },
])
  t.test(`a token: ${name}`, async (t) => t.equal(tokenOf(given), want));

t.test('the subprotocol must be there; a refusal names what was offered and no token', async (t) => {
  t.equal(protocolFault({ protocols: ['relay.token.secret', 'relay.v1'] }), null);
  t.match(protocolFault({ protocols: [] }), /must be relay\.v1, got ''/);
  const text = protocolFault({ protocols: ['relay.v9', 'relay.token.secret'] });
  t.match(text, /got 'relay\.v9, relay\.token\.…'/);
  t.notMatch(text, /secret/);
  t.match(protocolFault({ protocols: ['relay.v1', 'relay.token.a', 'relay.token.b'] }), /more than one token/);
});
