/** One client does more than it may: it is told so and shown out, and the others get every message and no error. */

import { encode } from '@msgpack/msgpack';
import t, { type Test } from 'tap';
import { ERROR, HELLO, OK, PING, PUBLISH, RawClient } from '../support/raw-client.ts';
import { type RelayProcess, startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';

const RATE_LIMITED = 105;
const MESSAGES = 200;

/** A publisher and a reader who go about their business while `attack` runs; what became of it. */
async function besides(t: Test, relay: RelayProcess, attack: () => Promise<void>): Promise<void> {
  const publisher = await openClient(t, relay.url);
  const reader = await Reader.open(await openClient(t, relay.url), 'room.1');
  const pinger = await RawClient.open(t, relay.port);
  let isOver = false;
  const attacked = attack().finally(() => {
    isOver = true;
  });
  let published = 0;
  while (!isOver || published < MESSAGES) {
    await Promise.all([publisher.publish('room.1', ++published), pinger.ask(PING)]);
  }
  await attacked;
  await reader.until(({ messages }) => messages.length >= published);
  t.same(reader.payloads, range(1, published), 'every message, in order');
  t.same([...reader.losses, ...reader.skips], []);
  t.same(
    pinger.messages.filter(([type]) => type === ERROR),
    [],
    'no error',
  );
}

t.test('who publishes more than he may is told RATE_LIMITED, then closed with 4102', async (t) => {
  const relay = await startRelay(t, {
    rateLimits: [
      { scope: 'connection', what: 'publish', perSecond: 1_000_000, burst: 1_000_000 },
      { scope: 'connection', what: 'call', perSecond: 5, burst: 10 },
    ],
    rateRefusalsMax: 50,
    offencesWindowMs: 600_000,
  });
  const flooder = await RawClient.open(t, relay.port);
  await besides(t, relay, async () => {
    for (const round of range(1, 100)) {
      flooder.send([5, round, 'nobody', 'home', null, round]);
      await flooder.find(([type, id]) => type === ERROR && id === round).catch(() => undefined);
    }
  });
  const refusals = flooder.messages.filter(([type, , code]) => type === ERROR && code === RATE_LIMITED);
  t.match(refusals[0], [ERROR, Number, RATE_LIMITED, String, { retryAfterMs: Number, limit: 'connection.call' }]);
  t.equal(refusals.length, 51);
  t.match(await flooder.closed, { code: 4102, reason: /retryAfterMs=\d+, limit=connection\.call/ });
  t.equal(await relay.metric('relay_rate_limited_disconnected_total'), 1);
  t.equal(await relay.metric('relay_rate_limit_refusals_total', 'limit="connection.call"'), 51);
});

for (const { name, command } of [
  { name: 'PINGs', command: [PING, 7] },
  { name: 'publishes without an id', command: [PUBLISH, 0, 'flood', null, 1] },
]) {
  t.test(`a flood of ${name}: closed with 4102 once too much of it waits`, async (t) => {
    const relay = await startRelay(t, { commandsWaitingBytesMax: 262_144, commandsPerTurnMax: 64, commandsPerTurnTotalMax: 256 });
    const bytes = encode(command);
    const message = Buffer.concat(Array.from({ length: Math.floor(60_000 / bytes.length) }, () => bytes));
    await besides(t, relay, async () => {
      const flooder = await RawClient.open(t, relay.port);
      let isClosed = false;
      void flooder.closed.then(() => {
        isClosed = true;
      });
      while (!isClosed) {
        flooder.sendBytes(message);
        await Promise.race([flooder.flushed(), flooder.closed]);
        await new Promise((resolve) => setImmediate(resolve)); // An ended socket takes everything at once: its end must be heard of.
      }
      const { code } = await flooder.closed;
      t.ok(code === 4102 || code === 1006, `it learns why unless it is still writing when the connection is reset: ${code}`);
    });
    t.equal(await relay.metric('relay_floods_disconnected_total'), 1);
    t.equal(await relay.metric('relay_held_bytes'), 0);
  });
}

t.test('twenty thousand PINGs in one message are all answered', async (t) => {
  const relay = await startRelay(t);
  const raw = await RawClient.open(t, relay.port);
  const bytes = encode([PING, 7]);
  raw.sendBytes(Buffer.concat(Array.from({ length: 20_000 }, () => bytes)));
  await raw.ask(PING);
  t.equal(raw.messages.filter(([type, id]) => type === OK && id === 7).length, 20_000);
});

t.test('junk: answered, until it is too much', async (t) => {
  const relay = await startRelay(t, { malformedMax: 20 });
  await besides(t, relay, async () => {
    const raw = await RawClient.open(t, relay.port);
    raw.send(...range(1, 30).map((id) => [99, id]));
    t.match(await raw.closed, { code: 4500, reason: /malformedMax=20/ });
    t.equal(raw.messages.filter(([type]) => type === ERROR).length, 21);
  });
});

t.test('connections and connects of one address: 429 with Retry-After', async (t) => {
  const relay = await startRelay(t, { addressConnectionsMax: 2 });
  const first = await RawClient.open(t, relay.port);
  await RawClient.open(t, relay.port);
  const refusal = await RawClient.knock(t, relay.port);
  t.match(refusal, { status: 429, body: /addressConnectionsMax=2/ });
  t.ok(Number(refusal?.headers.get('retry-after')) >= 1);
  await first.close();
  while ((await relay.metric('relay_connections')) > 1);
  t.ok(await RawClient.open(t, relay.port));
  const slow = await startRelay(t, { rateLimits: [{ scope: 'address', what: 'connect', perSecond: 0.001, burst: 3 }] });
  const knocks = [];
  for (const _ of range(1, 5)) knocks.push(await RawClient.knock(t, slow.port));
  t.same(
    knocks.map((knock) => knock?.status ?? 101),
    [101, 101, 101, 429, 429],
  );
});

t.test('a publish over HTTP that is over its address’s limit: 429 with Retry-After', async (t) => {
  const relay = await startRelay(t, { rateLimits: [{ scope: 'address', what: 'publish', perSecond: 0.1, burst: 1 }] });
  const publish = () =>
    fetch(`http://127.0.0.1:${relay.port}/v1/publish?topic=room.1`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '1',
    });
  t.equal((await publish()).status, 200);
  const refused = await publish();
  t.equal(refused.status, 429);
  t.ok(Number(refused.headers.get('retry-after')) >= 1);
  t.match(await refused.json(), { error: { code: RATE_LIMITED, details: { limit: 'address.publish' } } });
});

t.test('a relay over its memory mark takes nobody new, says so, and serves those who are there', async (t) => {
  const relay = await startRelay(t, { shedMemoryMb: 1, shedMemoryHardMb: 0 });
  await relay.program.stderr.find(/load level rises/);
  t.match(await RawClient.knock(t, relay.port), { status: 503, body: /overloaded/ });
  t.match(await relay.readiness(), { status: 503, text: /load/ });
  t.equal(await relay.metric('relay_load_level'), 1);
  t.ok((await relay.metric('relay_connections_refused_load_total')) >= 1);
  t.equal((await fetch(`http://127.0.0.1:${relay.port}/v1/history?topic=a`)).status, 503);
});

t.test('commands behind a HELLO without an answer, in the same message, are handled too', async (t) => {
  const relay = await startRelay(t, { commandsPerTurnMax: 2, commandsPerTurnTotalMax: 4 });
  const raw = await RawClient.open(t, relay.port, { hello: false });
  raw.send([HELLO, 0, {}], ...range(1, 20).map((id) => [PING, id]));
  await raw.answer(20);
  t.same(
    raw.messages.map(([, id]) => id),
    range(1, 20),
  );
});
