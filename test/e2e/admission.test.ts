/** Who is let in, and who is shown out: by status before the upgrade, by close code after it. */
import t from 'tap';
import { ERROR, HELLO, MESSAGE, OK, PING, PUBLISH, RawClient, SUBSCRIBE } from '../support/raw-client.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient, range } from '../support/sdk.ts';

/** For what needs no settings of its own. */
const plain = await startRelay(t);

t.test('over the connection limit: 503 with Retry-After, until somebody leaves', async (t) => {
  const relay = await startRelay(t, { connectionsMax: 3 });
  const raws = await Promise.all(range(1, 3).map(() => RawClient.open(t, relay.port)));
  const refusal = await RawClient.knock(t, relay.port);
  t.equal(refusal?.status, 503);
  t.ok(Number(refusal?.headers.get('retry-after')) > 0, 'says when to come again');
  t.match(refusal?.body, /connectionsMax=3/);
  await Promise.all(raws.map((raw) => raw.ask(PING)));
  t.equal(await relay.metric('relay_connections_refused_limit_total'), 1);

  await raws[0]?.close();
  t.ok(await RawClient.open(t, relay.port), 'there is room again');
});

t.test('the SDK waits for room and gets in', async (t) => {
  const relay = await startRelay(t, { connectionsMax: 1 });
  const raw = await RawClient.open(t, relay.port);
  const refused = new Promise<void>((resolve) => {
    t.teardown(() => resolve());
    void openClient(t, relay.url, { reconnect: { baseMs: 1, capMs: 50 } }).then(() => resolve());
  });
  while ((await relay.metric('relay_connections_refused_limit_total')) < 3);
  await raw.close();
  await refused;
  t.equal(await relay.metric('relay_connections'), 1);
});

t.test('over the connect rate: 503 with Retry-After', async (t) => {
  const relay = await startRelay(t, { connectRatePerSecond: 2 });
  const refusals = await Promise.all(range(1, 20).map(() => RawClient.knock(t, relay.port)));
  const refused = refusals.filter((refusal) => refusal !== null);
  t.ok(refused.length > 0 && refused.length < 20, `${refused.length} of 20 were refused`);
  t.ok(refused.every(({ status, headers }) => status === 503 && headers.get('retry-after') === '1'));
  t.match(refused[0]?.body, /connectRatePerSecond=2/);
  t.equal(await relay.metric('relay_connections_refused_rate_total'), refused.length);
});

for (const { name, subprotocol } of [
  { name: 'another subprotocol', subprotocol: 'relay.v2' },
  { name: 'no subprotocol', subprotocol: null },
]) {
  t.test(`${name}: 400, and the text says which is spoken here`, async (t) => {
    const refusal = await RawClient.knock(t, plain.port, { subprotocol });
    t.match(refusal, { status: 400, body: /relay\.v1/ });
    t.equal(await RawClient.knock(t, plain.port, { subprotocol: 'soap, relay.v1' }), null, 'one of several is enough');
  });
}

t.test('a WebSocket elsewhere: 404', async (t) => {
  t.match(await RawClient.knock(t, plain.port, { path: '/v1/elsewhere' }), { status: 404 });
});

t.test('no HELLO in time: closed with 4504', async (t) => {
  const relay = await startRelay(t, { helloTimeoutMs: 500 });
  const raw = await RawClient.open(t, relay.port, { hello: false });
  t.match(await raw.closed, { code: 4504, reason: /helloTimeoutMs=500/ });
  const polite = await RawClient.open(t, relay.port);
  t.same((await polite.request(PING))[0], OK, 'who has said HELLO stays');
  t.equal(await relay.metric('relay_hello_timeouts_total'), 1);
});

t.test('anything before HELLO: an error, and closed with 4500', async (t) => {
  const raw = await RawClient.open(t, plain.port, { hello: false });
  raw.send([SUBSCRIBE, 7, 'room', null]);
  t.match(await raw.answer(7), [ERROR, 7, 101]);
  t.match(await raw.closed, { code: 4500 });
});

t.test('HELLO and commands in one WebSocket message are all answered; a second HELLO is refused and harms nothing', async (t) => {
  const raw = await RawClient.open(t, plain.port, { hello: false });
  raw.send([HELLO, 1, {}], [SUBSCRIBE, 2, 'room', null], [PUBLISH, 3, 'room', null, 'hi'], [HELLO, 4, {}], [PING, 5]);
  t.match(await Promise.all([1, 2, 3, 4, 5].map((id) => raw.answer(id))), [[OK], [OK], [OK], [ERROR, 4, 112], [OK]]);
  t.match(await raw.find(([type]) => type === MESSAGE), [MESSAGE, Number, null, 1, null, 'hi']);
});

t.test('a protocol version that nobody speaks: closed with 4503', async (t) => {
  const raw = await RawClient.open(t, plain.port, { hello: false });
  raw.send([HELLO, 1, { version: 99 }]);
  t.match(await raw.answer(1), [ERROR, 1, 100]);
  t.match(await raw.closed, { code: 4503 });
});

t.test('a text message: closed with 1003', async (t) => {
  const raw = await RawClient.open(t, plain.port);
  raw.sendText('{"hello": "world"}');
  t.match(await raw.closed, { code: 1003 });
});

t.test('a WebSocket message over the bound: closed with 1009; one at the bound is taken', async (t) => {
  const relay = await startRelay(t, { messageBytesMax: 8_192, payloadBytesMax: 4_096 });
  const raw = await RawClient.open(t, relay.port);
  const ping = [PING, 1_000_000]; // Of 7 bytes.
  raw.send(...Array(Math.floor(8_192 / 7)).fill(ping));
  await raw.ask(PING);
  t.ok(raw.messages.filter(([type, id]) => type === OK && id === 1_000_000).length >= 1_000);
  raw.sendBytes(new Uint8Array(8_193));
  t.match(await raw.closed, { code: 1009, reason: /messageBytesMax=8192/ });
});

t.test('a payload over the bound: TOO_LARGE, and the connection lives', async (t) => {
  const relay = await startRelay(t, { topics: [{ match: 'small', maxPayloadBytes: 10 }] });
  const raw = await RawClient.open(t, relay.port);
  t.match(await raw.request(PUBLISH, 'small', null, 'x'.repeat(20)), [ERROR, Number, 107, String, { maxPayloadBytes: 10 }]);
  t.match(await raw.request(PUBLISH, 'large', null, 'x'.repeat(65_540)), [ERROR, Number, 107]);
  t.match(await raw.request(PUBLISH, 'large', null, 'x'.repeat(65_500)), [OK]);
});

t.test('bytes that are no message: an error, and closed with 4500', async (t) => {
  for (const bytes of [[0xc1], [0x95, 0x02], [0x93, 0x01, 0x01], Array(100).fill(0x91)]) {
    const raw = await RawClient.open(t, plain.port);
    raw.sendBytes(Uint8Array.from(bytes));
    t.match(await raw.find(([type]) => type === ERROR), [ERROR, 0, 100]);
    t.match(await raw.closed, { code: 4500 });
  }
});

t.test('no answer to pings: closed with 4003; who answers, or speaks, stays', async (t) => {
  const relay = await startRelay(t, { pingIntervalMs: 200, pongTimeoutMs: 600 });
  const [dead, alive] = await Promise.all([
    RawClient.open(t, relay.port, { answersPings: false }),
    RawClient.open(t, relay.port),
  ]);
  t.match(await dead.closed, { code: 4003 });
  t.ok(dead.pingCount > 0, 'it had been asked');
  t.same((await alive.request(PING))[0], OK);
  t.equal(await relay.metric('relay_pong_timeouts_total'), 1);
});
