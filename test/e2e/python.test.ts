/** The example client in another language, written from docs/protocol.md alone, against the same relay as the SDK. */
import t, { type Test } from 'tap';
import { createClient } from '../../src/client/full.ts';
import { Program } from '../support/program.ts';
import { findPython } from '../support/python.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const python = findPython();
const SETTINGS = { reconnectJitterMs: 20, drainWindowMs: 500, drainDeadlineMs: 1_000 };
const example = (t: Test, script: string, ...args: string[]) =>
  new Program(t, [python, `examples/python/${script}`, ...args], { env: { PYTHONUNBUFFERED: '1' } });
const payloadsIn = (lines: readonly string[], topic: string): unknown[] =>
  lines.filter((line) => line.startsWith(`${topic} `)).map((line) => JSON.parse(line.split(' ').slice(2).join(' ')));

t.test('Python publishes what the SDK receives, as text and as values', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const reader = await Reader.open(await openClient(t, relay.url), 'room');

  const text = example(t, 'publish.py', '--url', `${relay.url}/v1/connect`, '--header', 'from=python', 'room', 'grüße');
  t.match(await text.exited, { code: 0 });
  const value = example(t, 'publish.py', '--url', `${relay.url}/v1/connect`, '--json', 'room', '{"n": [1, null, 2.5]}');
  t.match(await value.exited, { code: 0 });
  await reader.until(({ messages }) => messages.length === 2);

  t.same(reader.payloads, ['grüße', { n: [1, null, 2.5] }]);
  t.same(reader.messages[0]?.headers, { from: 'python' });
  t.same([...text.stdout.all, ...value.stdout.all], ['1', '2'], 'it prints the offsets');
});

t.test('a Python subscriber whose wire is cut misses nothing', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const proxy = await TcpProxy.start(t, relay.port);
  const publisher = await openClient(t, relay.url);
  const subscriber = example(t, 'subscribe.py', '--url', `${proxy.url}/v1/connect`, 'room', 'odd.>');
  await subscriber.stdout.find(/^# subscribed/);
  for (const number of range(1, 5)) await publisher.publish('room', number);
  await subscriber.stdout.find(/^room 5 5$/);

  proxy.hold();
  proxy.cut();
  await subscriber.stdout.find(/^# disconnected/);
  for (const number of range(6, 20)) await publisher.publish('room', number);
  proxy.release();
  await subscriber.stdout.find(/^room 20 20$/);
  await publisher.publish('odd.topic', { some: 'value' });
  await subscriber.stdout.find(/^odd\.topic 1 \{"some": "value"\}$/);

  t.same(payloadsIn(subscriber.stdout.all, 'room'), range(1, 20), 'every message once and in order');
  const events = subscriber.stdout.all.filter((line) => /^# (?!subscribed|disconnected)/.test(line));
  t.equal(events.length, 1, 'it says one thing about it');
  t.match(events[0], /^# lost odd\.> .*"NO_HISTORY"/, 'a pattern has no past: what it missed nobody knows');
});

t.test('a Python publisher that is cut off before its answer publishes once', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const proxy = await TcpProxy.start(t, relay.port);
  const reader = await Reader.open(await openClient(t, relay.url), 'room');
  const publisher = example(t, 'publish.py', '--url', `${proxy.url}/v1/connect`, 'room');
  publisher.write('one\n');
  await publisher.stdout.find(/^1$/);

  proxy.mute();
  publisher.write('two\n');
  await reader.until(({ payloads }) => payloads.includes('two'));
  proxy.cut();
  proxy.unmute();
  publisher.write('three\n');
  publisher.endInput();

  t.match(await publisher.exited, { code: 0 });
  await reader.until(({ payloads }) => payloads.includes('three'));
  t.same(reader.payloads, ['one', 'two', 'three'], 'nobody got anything twice');
  t.same(publisher.stdout.all, ['1', '2', '3'], 'the offset is that of the first time');
});

t.test('a Python subscriber is sent home by GOAWAY and finds the next relay, which begins a new stream', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const url = `${relay.url}/v1/connect`;
  const subscriber = example(t, 'subscribe.py', '--url', url, 'room');
  await subscriber.stdout.find(/^# subscribed/);
  await (await openClient(t, relay.url)).publish('room', 'before');
  await subscriber.stdout.find(/^room 1 "before"$/);

  t.match(await relay.terminate(), { code: 0 });
  await subscriber.stdout.find(/^# disconnected asked to leave: shutdown/);
  const next = await startRelay(t, SETTINGS, { port: relay.port });
  await subscriber.stdout.find(/^# lost room .*"EPOCH_CHANGED"/);
  await (await openClient(t, next.url)).publish('room', 'after');
  await subscriber.stdout.find(/^room 1 "after"$/);
  t.same(payloadsIn(subscriber.stdout.all, 'room'), ['before', 'after']);
});

t.test('a Python subscriber is told what has expired, and ends where it will never be let in', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const publisher = await openClient(t, relay.url);
  await publisher.publish('room', 'kept');
  await publisher.publish('room', 'short-lived', { ttlMs: 1 });
  await publisher.publish('room', 'kept too');
  const subscriber = example(t, 'subscribe.py', '--url', `${relay.url}/v1/connect`, '--last', '3', 'room');
  await subscriber.stdout.find(/^room 3 "kept too"$/);
  t.match(
    subscriber.stdout.all.filter((line) => line.includes('room ')),
    [/^room 1 "kept"$/, /^# skip room \{.*"from": 2, "to": 2, "reason": "expired", "count": 1/, /^room 3 "kept too"$/],
  );

  const lost = example(t, 'subscribe.py', '--url', `${relay.url}/no/such/path`, 'room');
  t.match(await lost.exited, { code: 1 });
  t.match(lost.stderr.all.join('\n'), /refused with HTTP 404/);
});

t.test('a Python instance serves SDK and Python callers, refuses by its own code, and is cancelled', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const url = `${relay.url}/v1/connect`;
  const instance = example(t, 'service.py', '--url', url);
  await instance.stdout.find(/^text: serving as/);
  const client = createClient({ url: relay.url, client: 'sdk' });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  t.same(await client.call('text', 'count', 'a b a'), { words: { a: 2, b: 1 }, for: 'sdk' });
  await t.rejects(client.call('text', 'count', 7), {
    codeName: 'SERVICE_ERROR',
    facts: { code: 'NOT_TEXT' },
  } as never);
  await t.rejects(client.call('text', 'sleep', 60_000, { deadlineMs: 50 }), { codeName: 'TIMEOUT' } as never);
  const caller = example(t, 'call.py', '--url', url, 'text', 'count', 'über über');
  t.match(await caller.exited, { code: 0 });
  t.same(JSON.parse(caller.stdout.all[0] as string), { words: { über: 2 }, for: 'call.py' });
  const refused = example(t, 'call.py', '--url', url, 'text', 'count', '[1]');
  t.match(await refused.exited, { code: 1 });
  t.match(refused.stderr.all.join(''), /NOT_TEXT/);

  const last = client.call('text', 'sleep', 300);
  while (((await client.services('text'))[0]?.inFlight ?? 0) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  instance.kill('SIGTERM');
  t.equal(await last, 300, 'what has begun is answered');
  t.match(await instance.exited, { code: 0 });
  await t.rejects(client.call('text', 'count', ''), { codeName: 'NO_RESPONDERS' } as never);
});

t.test('a Python instance whose wire is cut registers again', async (t) => {
  const relay = await startRelay(t, SETTINGS);
  const proxy = await TcpProxy.start(t, relay.port);
  const instance = example(t, 'service.py', '--url', `${proxy.url}/v1/connect`);
  await instance.stdout.find(/^text: serving as/);
  proxy.cut();
  await instance.stdout.find(/^# disconnected/);
  await instance.stdout.find(/^text: serving as/, 2);
  const client = createClient({ url: relay.url });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  t.match(await client.call('text', 'count', 'again'), { words: { again: 1 } });
});
