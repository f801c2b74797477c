/** Lanes that die under load: what was acknowledged is delivered, each command is answered once, and what a slow subscriber misses is named. */
import t from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import { ERROR, EVENT, OK, PING, PUBLISH, RawClient, SUBSCRIBE, UNSUBSCRIBE } from '../support/raw-client.ts';
import { openClient, Reader, range, topicOnLane } from '../support/sdk.ts';
import { followStream, streamOf } from '../support/stream.ts';

t.test('lanes that die again and again under load lose nothing that was acknowledged', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, {
    lanes: 2,
    laneStallMs: 2_000,
    laneHeapMbMax: 32,
    laneRestartBackoffMsMax: 0,
    retryAfterMs: 10,
    topics: [{ match: '>', history: { count: 10_000, bytes: 4_194_304 } }],
  });
  const topics = [0, 1].map((lane) => topicOnLane(lane, 2, 'load'));
  const readers: Reader[] = [];
  for (const _ of range(1, 3)) {
    const client = await openClient(t, relay.url);
    for (const topic of topics) readers.push(await Reader.open(client, topic));
    readers.push(await Reader.open(client, 'load.*'));
  }

  let isLoading = true;
  const acknowledged: { topic: string; epoch: string; offset: number; payload: string }[] = [];
  const refusals: string[] = [];
  const loading = range(1, 4).map(async (publisher) => {
    const client = await openClient(t, relay.url);
    for (let round = 0; isLoading; round++) {
      const sent = range(1, 100).map((number) => ({
        topic: topics[number % 2] as string,
        payload: `${publisher}.${round}.${number}`,
      }));
      const outcomes = await Promise.allSettled(sent.map(({ topic, payload }) => client.publish(topic, payload)));
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome.status === 'fulfilled') acknowledged.push({ ...(sent[index] as (typeof sent)[0]), ...outcome.value });
        else refusals.push(outcome.reason.codeName);
      }
    }
  });
  const deaths = [0, 1, 1, 0, 0, 1];
  for (const [index, fault] of (['throw', 'exit', 'throw', 'memory', 'exit', 'spin'] as const).entries()) {
    const said = relay.program.stderr.all.length;
    faults.arm(deaths[index] as number, fault);
    await relay.program.stderr.find(new RegExp(`lane replaced lane=${deaths[index]}`), said);
  }
  isLoading = false;
  await Promise.all(loading);
  const last = await openClient(t, relay.url);
  for (const topic of topics) await last.publish(topic, 'the end');
  const isDone = ({ subscription, messages }: Reader): boolean =>
    topics
      .filter((topic) => [topic, 'load.*'].includes(subscription.topic))
      .every((topic) => messages.some((message) => message.topic === topic && message.payload === 'the end'));
  await Promise.all(readers.map((reader) => reader.until(isDone)));

  t.same(
    refusals.filter((name) => name !== 'LANE_RESTARTED'),
    [],
    'a publish was acknowledged or its lane restarted, nothing else',
  );
  t.ok(refusals.length > 0);
  t.equal(await relay.metric('relay_lanes_replaced_total'), deaths.length);
  for (const reader of readers) {
    const { topic } = reader.subscription;
    const mine = acknowledged.filter((message) => topic === 'load.*' || message.topic === topic);
    // On a pattern there is no epoch: the payload, of which there is one each, stands for the position.
    const seen = new Set(reader.messages.map(({ offset, payload }) => `${offset} ${payload}`));
    t.same(
      mine.filter(({ offset, payload }) => !seen.has(`${offset} ${payload}`)),
      [],
      `${topic}: all of ${mine.length} acknowledged messages came`,
    );
    t.equal(reader.losses.length, topic === 'load.*' ? deaths.length : deaths.length / 2, 'each death was told of');
    if (topic === 'load.*') continue;
    const gaps = reader.messages.filter(({ epoch, offset }, index) => {
      const previous = reader.messages[index - 1];
      return offset !== (previous?.epoch === epoch ? previous.offset + 1 : 1);
    });
    t.same(gaps, [], 'each epoch came from its beginning and without a hole');
  }
});

t.test('a flood of commands, and a lane that dies under it again and again: each command gets exactly one answer', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, {
    lanes: 1,
    laneStallMs: 20_000,
    laneRestartBackoffMsMax: 0,
    retryAfterMs: 10,
  });
  const raws = await Promise.all(range(1, 12).map(() => RawClient.open(t, relay.port)));
  let isFlooding = true;
  const flooding = raws.map(async (raw, index) => {
    const ids: number[] = [];
    const send = (type: number, ...rest: unknown[]): void => {
      ids.push(raw.nextId());
      raw.send([type, ids.at(-1), ...rest]);
    };
    for (let round = 0; isFlooding; round++) {
      for (const number of range(1, 30)) send(PUBLISH, `flood.${index}`, null, number);
      send(SUBSCRIBE, `flood.${index}.${round}`, null);
      send(SUBSCRIBE, `flood.${index}.${round}.*`, null);
      send(UNSUBSCRIBE, `flood.${index}.${round - 1}.*`);
      // The relay's main thread keeps up; the lane need not.
      await raw.ask(PING);
    }
    return ids;
  });
  // So often, and with so many clients, that some commands come in just when the news of the death does.
  for (const _ of range(1, 12)) {
    const said = relay.program.stderr.all.length;
    faults.arm(0, 'throw');
    await relay.program.stderr.find(/lane replaced/, said);
  }
  isFlooding = false;
  const sent = await Promise.all(flooding);

  for (const [index, raw] of raws.entries()) {
    // A command behind all others; its answer comes behind theirs.
    let last = await raw.request(PUBLISH, `flood.${index}`, null, 0);
    while (last[0] === ERROR) last = await raw.request(PUBLISH, `flood.${index}`, null, 0);
    const counts = new Map<number, number>();
    for (const [type, id] of raw.messages) if (type === OK || type === ERROR) counts.set(id, (counts.get(id) ?? 0) + 1);
    const ids = sent[index] as number[];
    t.same(
      ids.filter((id) => counts.get(id) !== 1),
      [],
      `all ${ids.length} commands of client ${index} have one answer`,
    );
  }
});

t.test('a lane dies while a subscriber is slow: what it misses before and after is named apart', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, {
    lanes: 1,
    laneStallMs: 20_000,
    sendQueueBytesMax: 262_144,
    recoveryBytesMax: 262_144,
    topics: [{ match: '>', history: { count: 10_000, bytes: 16_777_216 } }],
  });
  const publisher = await openClient(t, relay.url);
  const slow = await RawClient.open(t, relay.port);
  const { sub } = await slow.ask(SUBSCRIBE, 'room', { policy: 'dropNewest' });
  let published = 0;
  const dropped = () => relay.metric('relay_messages_dropped_total', 'reason="dropNewest"');
  const loadUntilDropped = async (count: number): Promise<void> => {
    while ((await dropped()) < count)
      await Promise.all(range(1, 20).map(() => publisher.publish('room', `${++published} ${'x'.repeat(16_000)}`)));
  };
  slow.stopReading();
  await loadUntilDropped(20);
  const publishedBefore = published;
  faults.arm(0, 'throw');
  const raw = await RawClient.open(t, relay.port);
  raw.send(...range(1, 300).map((number) => [PUBLISH, 0, 'elsewhere', null, number]));
  await relay.program.stderr.find(/lane replaced/);
  published = 0;
  await loadUntilDropped((await dropped()) + 20);
  slow.readOn();
  await slow.find((message) => message[0] === EVENT && message[3] === 'skip' && message[4].to === published);

  const stream = streamOf(slow.messages, sub);
  const lostAt = stream.findIndex(([type, , , kind]) => type === EVENT && kind === 'lost');
  t.match(followStream(stream.slice(0, lostAt)), { broken: null, next: publishedBefore + 1 }, 'the old stream to its end');
  t.match(stream[lostAt], [EVENT, sub, null, 'lost', { reason: 'LANE_RESTARTED', offset: 0 }]);
  t.match(followStream(stream.slice(lostAt + 1)), { broken: null, next: published + 1 }, 'the new one from its beginning');
});
