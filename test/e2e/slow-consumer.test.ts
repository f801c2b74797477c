/** One socket among many stops reading. The others get everything; what the slow one does not get is named, by its policy. */
import t, { type Test } from 'tap';
import type { Client } from '../../src/client/index.ts';
import { EVENT, MESSAGE, OK, RawClient, SUBSCRIBE, UNSUBSCRIBE } from '../support/raw-client.ts';
import { type RelayProcess, startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';
import { followStream, numberIn, reaches, streamOf } from '../support/stream.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const SETTINGS = {
  sendQueueBytesMax: 262_144,
  recoveryBytesMax: 262_144,
  recoveryMessagesMax: 1_000,
  reconnectJitterMs: 20,
  topics: [{ match: '>', history: { count: 10_000, bytes: 16_777_216 } }],
};
/** Several, so that what waited for the slow one when it was closed is within the bounds of recovery for each of them. */
const TOPICS = ['slow.one', 'slow.two', 'slow.three', 'slow.four'];
const FILLER = 'x'.repeat(16_000);

interface Rig {
  readonly relay: RelayProcess;
  readonly publisher: Client;
  /** Three readers of each topic that are as fast as can be. */
  readonly fast: readonly Reader[];
  /** Messages published to each topic so far: their offsets are 1, 2, … and their payloads begin with them. */
  readonly published: () => number;
  /** Publishes to each topic until it holds. */
  readonly load: (until: () => Promise<boolean>) => Promise<void>;
}

async function openRig(t: Test): Promise<Rig> {
  const relay = await startRelay(t, SETTINGS);
  const publisher = await openClient(t, relay.url);
  const fast: Reader[] = [];
  for (const _ of range(1, 3)) {
    const client = await openClient(t, relay.url);
    for (const topic of TOPICS) fast.push(await Reader.open(client, topic));
  }
  let published = 0;
  const load = async (until: () => Promise<boolean>): Promise<void> => {
    do {
      for (const _ of range(1, 4)) {
        published++;
        await Promise.all(TOPICS.map((topic) => publisher.publish(topic, `${published} ${FILLER}`)));
      }
    } while (!(await until()));
  };
  return { relay, publisher, fast, published: () => published, load };
}

async function everyFastReaderHasAll(t: Test, { fast, published }: Rig): Promise<void> {
  await Promise.all(fast.map((reader) => reader.until(({ messages }) => messages.length >= published())));
  t.ok(
    fast.every(({ payloads }) => payloads.every((payload, index) => numberIn(payload) === index + 1)),
    'every other subscriber got every message in order',
  );
  t.same(
    fast.flatMap(({ losses, skips }) => [...losses, ...skips]),
    [],
    'and was told of no loss',
  );
}

for (const policy of ['dropOldest', 'dropNewest', 'conflate'] as const) {
  t.test(`${policy}: what the slow one misses is named, message by message`, async (t) => {
    const rig = await openRig(t);
    const slow = await RawClient.open(t, rig.relay.port);
    const subs: number[] = [];
    for (const topic of TOPICS) subs.push((await slow.ask(SUBSCRIBE, topic, { policy })).sub);
    slow.stopReading();
    await rig.load(async () => (await rig.relay.metric('relay_messages_dropped_total', `reason="${policy}"`)) >= 40);
    slow.readOn();
    await rig.load(async () => true);
    const last = rig.published();
    await Promise.all(subs.map((sub) => slow.find(reaches(sub, last))));

    let dropped = 0;
    for (const [index, sub] of subs.entries()) {
      const stream = streamOf(slow.messages, sub);
      t.match(followStream(stream), { broken: null, next: last + 1 }, `${TOPICS[index]}: messages and skips leave no hole`);
      const skips = stream.filter(([type]) => type === EVENT).map((message) => message[4]);
      t.ok(skips.every(({ reason }) => reason === policy));
      dropped += skips.reduce((sum, { count }) => sum + count, 0);
    }
    t.ok(dropped >= 40, `${dropped} messages were skipped`);
    t.equal(
      await rig.relay.metric('relay_messages_dropped_total', `reason="${policy}"`),
      dropped,
      'as many as the relay says it dropped',
    );
    if (policy !== 'dropNewest') {
      const lasts = subs.map((sub) => numberIn(streamOf(slow.messages, sub).at(-1)?.[5]));
      t.same(lasts, [last, last, last, last], 'the last message arrived');
    }
    await everyFastReaderHasAll(t, rig);
  });
}

t.test('conflate by a header: the last value of every key arrives', async (t) => {
  const rig = await openRig(t);
  const slow = await RawClient.open(t, rig.relay.port);
  const { sub } = await slow.ask(SUBSCRIBE, 'prices', { policy: 'conflate', conflateBy: 'symbol' });
  const symbols = ['ant', 'bee', 'cow'];
  let last = 0;
  slow.stopReading();
  while ((await rig.relay.metric('relay_messages_dropped_total', 'reason="conflate"')) < 40) {
    const batch = range(last + 1, last + 15);
    await Promise.all(
      batch.map((number) =>
        rig.publisher.publish('prices', `${number} ${FILLER}`, { headers: { symbol: symbols[number % 3] as string } }),
      ),
    );
    last += 15;
  }
  slow.readOn();
  await Promise.all([last - 2, last - 1, last].map((offset) => slow.find(reaches(sub, offset))));

  const stream = streamOf(slow.messages, sub);
  const offsets = stream.filter(([type]) => type === MESSAGE).map((message) => message[3] as number);
  const skipped = stream.filter(([type]) => type === EVENT).reduce((sum, message) => sum + message[4].count, 0);
  t.same(offsets.slice(-3), [last - 2, last - 1, last], 'the last of each key');
  t.same(
    offsets,
    [...offsets].sort((one, other) => one - other),
    'in order',
  );
  t.equal(offsets.length + skipped, last, 'what came and what was skipped is all there was');
});

t.test('a slow one that leaves a topic gets nothing of it behind the answer, whatever waited for it', async (t) => {
  const rig = await openRig(t);
  const slow = await RawClient.open(t, rig.relay.port);
  const subs: number[] = [];
  for (const topic of TOPICS) subs.push((await slow.ask(SUBSCRIBE, topic, { policy: 'dropOldest' })).sub);
  slow.stopReading();
  await rig.load(async () => (await rig.relay.metric('relay_messages_dropped_total', 'reason="dropOldest"')) > 0);
  const id = slow.nextId();
  slow.send([UNSUBSCRIBE, id, TOPICS[0]]);
  await rig.load(async () => true);
  slow.readOn();
  t.match(await slow.answer(id), [OK]);
  await rig.load(async () => true);
  const last = rig.published();
  await Promise.all(subs.slice(1).map((sub) => slow.find(reaches(sub, last))));

  const left = slow.messages.findIndex(([type, other]) => type === OK && other === id);
  t.same(streamOf(slow.messages.slice(left), subs[0] as number), [], 'the topic it left is silent');
  for (const sub of subs.slice(1))
    t.match(followStream(streamOf(slow.messages, sub)), { broken: null, next: last + 1 }, 'the others go on without a hole');
  await everyFastReaderHasAll(t, rig);
});

t.test('pause: everything arrives in the end, late and said to be so', async (t) => {
  const rig = await openRig(t);
  const slow = await RawClient.open(t, rig.relay.port);
  const subs: number[] = [];
  for (const topic of TOPICS) subs.push((await slow.ask(SUBSCRIBE, topic, { policy: 'pause' })).sub);
  slow.stopReading();
  await rig.load(async () => (await rig.relay.metric('relay_sessions_congested_total')) > 0);
  const congestedAt = rig.published();
  // Several times what may wait for it.
  await rig.load(async () => rig.published() > congestedAt + 80);
  slow.readOn();
  await rig.load(async () => true);
  const last = rig.published();
  await Promise.all(subs.map((sub) => slow.find((message) => message[0] === MESSAGE && reaches(sub, last)(message))));

  for (const [index, sub] of subs.entries()) {
    const stream = streamOf(slow.messages, sub);
    t.match(followStream(stream), { broken: null, next: last + 1 }, `${TOPICS[index]}: all of it, in order`);
    t.ok(
      stream.every(([type, , , kind]) => type === MESSAGE || kind === 'lagged'),
      'nothing was skipped or lost',
    );
    t.ok(
      stream.some(([type, , , kind]) => type === EVENT && kind === 'lagged'),
      'it was told that it lags',
    );
  }
  t.equal(await rig.relay.metric('relay_slow_consumers_disconnected_total'), 0);
  await everyFastReaderHasAll(t, rig);
});

t.test('disconnect: the slow one is closed with 4002, comes back with since, and has everything', async (t) => {
  const rig = await openRig(t);
  const slow = await RawClient.open(t, rig.relay.port);
  const subs: number[] = [];
  const epochs: string[] = [];
  for (const topic of TOPICS) {
    const { sub, epoch } = await slow.ask(SUBSCRIBE, topic, null);
    subs.push(sub);
    epochs.push(epoch);
  }
  slow.stopReading();
  await rig.load(async () => (await rig.relay.metric('relay_slow_consumers_disconnected_total')) === 1);
  slow.readOn();
  t.match(await slow.closed, { code: 4002, reason: /slow consumer/ });

  const again = await RawClient.open(t, rig.relay.port);
  for (const [index, topic] of TOPICS.entries()) {
    const { next, broken } = followStream(streamOf(slow.messages, subs[index] as number));
    t.equal(broken, null, `${topic}: what came before the close is whole`);
    const result = await again.ask(SUBSCRIBE, topic, { since: { epoch: epochs[index], offset: next - 1 } });
    t.match(result, { recovered: true });
    if (next <= rig.published())
      await again.find((message) => message[0] === MESSAGE && reaches(result.sub, rig.published())(message));
    t.match(
      followStream(streamOf(again.messages, result.sub), next),
      { broken: null, next: rig.published() + 1 },
      'the rest follows',
    );
  }
  await everyFastReaderHasAll(t, rig);
});

t.test('disconnect: an SDK client behind a stalled wire recovers by itself', async (t) => {
  const rig = await openRig(t);
  const proxy = await TcpProxy.start(t, rig.relay.port);
  const client = await openClient(t, proxy.url);
  const readers: Reader[] = [];
  for (const topic of TOPICS) readers.push(await Reader.open(client, topic));
  proxy.mute();
  await rig.load(async () => (await rig.relay.metric('relay_slow_consumers_disconnected_total')) === 1);
  proxy.unmute();
  await Promise.all(readers.map((reader) => reader.until(({ messages }) => messages.length >= rig.published())));
  t.ok(readers.every(({ payloads }) => payloads.every((payload, index) => numberIn(payload) === index + 1)));
  t.same(
    readers.flatMap(({ losses }) => losses),
    [],
    'nothing was lost',
  );
  t.ok(
    readers.every(({ joins }) => joins.at(-1)?.recovered === true),
    'it had to come back',
  );
  await everyFastReaderHasAll(t, rig);
});
