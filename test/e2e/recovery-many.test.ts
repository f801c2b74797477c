/** Everybody loses the connection at the same moment, in the middle of the traffic: all come back to where they were. */
import t from 'tap';
import { startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

for (const lanes of [1, 0]) {
  t.test(`lanes=${lanes}: 200 subscribers, all cut at once while messages are published, miss nothing`, async (t) => {
    const relay = await startRelay(t, {
      lanes,
      reconnectJitterMs: 100,
      recoveryMessagesMax: 10_000,
      topics: [{ match: '>', history: { count: 10_000, bytes: 8_388_608 } }],
    });
    const proxy = await TcpProxy.start(t, relay.port);
    const publisher = await openClient(t, relay.url);
    const witness = await Reader.open(await openClient(t, relay.url), 'room');
    const clients = await Promise.all(range(1, 200).map(() => openClient(t, proxy.url, { reconnect: { capMs: 200 } })));
    const readers = await Promise.all(clients.map((client) => Reader.open(client, 'room')));

    let published = 0;
    let isLoading = true;
    /** A burst, and the next one when somebody whose wire is whole has seen it. */
    const loading = (async () => {
      while (isLoading) {
        await Promise.all(range(1, 5).map(() => publisher.publish('room', ++published)));
        await witness.until(({ messages }) => messages.length >= published);
      }
    })();
    await Promise.all(readers.map((reader) => reader.until(({ messages }) => messages.length >= 20)));
    proxy.cut();
    await Promise.all(readers.map((reader) => reader.until(({ joins }) => joins.length >= 2)));
    isLoading = false;
    await loading;
    await Promise.all(readers.map((reader) => reader.until(({ messages }) => messages.at(-1)?.offset === published)));

    const wanted = range(1, published);
    t.same(witness.payloads, wanted, 'the one that was not cut has the whole stream');
    t.same(
      readers.filter(({ payloads }) => !equal(payloads, wanted)).map(({ offsets }) => offsets),
      [],
      'every other one has it too',
    );
    t.same(
      readers.flatMap(({ losses }) => losses),
      [],
      'none was told of a loss',
    );
    t.ok(
      readers.every(({ joins }) => joins[1]?.recovered === true),
      'all recovered',
    );
    t.ok(
      readers.some(({ joins }) => (joins[1]?.replay ?? 0) > 0),
      'there was something to recover',
    );
  });
}

function equal(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}
