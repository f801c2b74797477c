/** Who loses the connection comes back to where it was: nothing missed, nothing twice. With the lane in a thread and inline. */
import t from 'tap';
import type { Client } from '../../src/client/index.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range, untilState } from '../support/sdk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const KEEPS_ALL = {
  reconnectJitterMs: 20,
  recoveryMessagesMax: 10_000,
  topics: [{ match: '>', history: { count: 10_000, bytes: 8_388_608 } }],
};
/** Nothing waits longer than this between two tries, so that a test is over soon; what is claimed does not depend on it. */
const SOON = { reconnect: { capMs: 200 } };

async function publishRange(client: Client, topic: string, from: number, to: number): Promise<void> {
  const results = await Promise.all(range(from, to).map((number) => client.publish(topic, number)));
  const offsets = results.map(({ offset }) => offset);
  if (offsets.some((offset, index) => offset !== from + index)) throw new Error(`unexpected offsets ${offsets}`);
}

for (const lanes of [1, 0]) {
  t.test(`lanes=${lanes}: a subscriber whose wire is cut misses nothing`, async (t) => {
    const relay = await startRelay(t, { lanes, ...KEEPS_ALL });
    const proxy = await TcpProxy.start(t, relay.port);
    const publisher = await openClient(t, relay.url);
    const subscriber = await openClient(t, proxy.url, SOON);
    const reader = await Reader.open(subscriber, 'room');
    await publishRange(publisher, 'room', 1, 10);
    await reader.until(({ messages }) => messages.length >= 10);

    proxy.hold();
    proxy.cut();
    await untilState(subscriber, 'waiting');
    await publishRange(publisher, 'room', 11, 60);
    proxy.release();
    await publishRange(publisher, 'room', 61, 70);
    await reader.until(({ offsets }) => offsets.includes(70));

    t.same(reader.payloads, range(1, 70), 'every message once and in order');
    t.same(reader.offsets, range(1, 70));
    t.same(reader.losses, [], 'no continuity-lost');
    t.match(reader.joins, [{ replay: 0 }, { recovered: true }]);
  });

  t.test(`lanes=${lanes}: a publisher that is cut off before its answer publishes once`, async (t) => {
    const relay = await startRelay(t, { lanes, ...KEEPS_ALL });
    const proxy = await TcpProxy.start(t, relay.port);
    const publisher = await openClient(t, proxy.url, SOON);
    const reader = await Reader.open(await openClient(t, relay.url), 'room');

    proxy.mute();
    const publishes = range(1, 20).map((number) => publisher.publish('room', number));
    await reader.until(({ messages }) => messages.length === 20);
    proxy.hold();
    proxy.cut();
    proxy.unmute();
    proxy.release();
    const results = await Promise.all(publishes);

    t.same(
      results.map(({ offset }) => offset),
      range(1, 20),
      'the answers are those of the first time',
    );
    t.ok(
      results.every(({ duplicate }) => duplicate),
      'and say so',
    );
    await publisher.publish('room', 'the end');
    await reader.until(({ payloads }) => payloads.includes('the end'));
    t.same(reader.payloads, [...range(1, 20), 'the end'], 'nobody got anything twice');
  });

  t.test(`lanes=${lanes}: a subscriber whose wire falls silent notices it and misses nothing`, async (t) => {
    const relay = await startRelay(t, { lanes, ...KEEPS_ALL });
    const proxy = await TcpProxy.start(t, relay.port);
    const publisher = await openClient(t, relay.url);
    const subscriber = await openClient(t, proxy.url, { ...SOON, pingIdleMs: 200, pongTimeoutMs: 200 });
    const reader = await Reader.open(subscriber, 'room');
    await publishRange(publisher, 'room', 1, 5);
    await reader.until(({ messages }) => messages.length >= 5);

    proxy.mute();
    await publishRange(publisher, 'room', 6, 10);
    await untilState(subscriber, 'waiting');
    proxy.cut();
    proxy.unmute();
    await reader.until(({ offsets }) => offsets.includes(10));

    t.same(reader.payloads, range(1, 10));
    t.same(reader.losses, []);
  });

  t.test(`lanes=${lanes}: a member whose wire is cut is never said to have left; one who closes is, at once`, async (t) => {
    const relay = await startRelay(t, { lanes, ...KEEPS_ALL, presenceGraceMs: 600_000 });
    const proxy = await TcpProxy.start(t, relay.port);
    const watcher = await Reader.open(await openClient(t, relay.url), 'room', { presence: 'watch' });
    const member = await openClient(t, proxy.url, { ...SOON, client: 'member' });
    const reader = await Reader.open(member, 'room', { presence: { mood: 'fine' } });
    proxy.cut();
    await reader.until(({ joins }) => joins.length >= 2);
    t.same(await member.presence('room'), { count: 1, members: [{ id: 'member', data: { mood: 'fine' } }] });
    await member.close();
    await watcher.until(({ presence }) => presence.length >= 2);
    t.same(
      watcher.presence.map(({ kind, id, count }) => `${kind} ${id} ${count}`),
      ['join member 1', 'leave member 0'],
    );
  });

  t.test(
    `lanes=${lanes}: a relay that is killed and started again: clients come back, and are told that the stream began anew`,
    async (t) => {
      const relay = await startRelay(t, { lanes, ...KEEPS_ALL });
      const client = await openClient(t, relay.url, SOON);
      const reader = await Reader.open(client, 'room');
      const before = await client.publish('room', 'before');
      relay.program.kill('SIGKILL');
      await relay.exited;
      await untilState(client, 'waiting');
      const queued = client.publish('room', 'while it was dead');
      await startRelay(t, { lanes, ...KEEPS_ALL }, { port: relay.port });
      const after = await queued;
      await reader.until(({ messages }) => messages.length >= 2);
      t.same(reader.payloads, ['before', 'while it was dead']);
      t.match(reader.losses, [{ reason: 'EPOCH_CHANGED', epoch: after.epoch }]);
      t.not(after.epoch, before.epoch);
    },
  );
}
