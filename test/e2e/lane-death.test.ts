/** A lane dies under load, in each of the ways a thread can: who was with it is told, nobody else notices, and it comes back. */
import t from 'tap';
import { BATCH_RECORDS_MAX } from '../../src/pool/lane-runner.ts';
import { startFaultyRelay } from '../support/faults.ts';
import { WHOLE_RECORDS } from '../support/faulty-lane-worker.ts';
import {
  ERROR,
  EVENT,
  HISTORY,
  MESSAGE,
  OK,
  PING,
  PRESENCE,
  PUBLISH,
  RawClient,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from '../support/raw-client.ts';
import type { RelayProcess } from '../support/relay-process.ts';
import { openClient, Reader, range, topicOnLane } from '../support/sdk.ts';
import { followStream, streamOf } from '../support/stream.ts';

const LANE_RESTARTED = 113;
const VICTIM = 1;
/** More than a lane takes in one batch, so that it dies in the middle. */
const BURST = 300;
const doomed = topicOnLane(VICTIM, 2, 'doomed');
const spared = topicOnLane(0, 2, 'spared');

for (const { fault, cause } of [
  { fault: 'throw', cause: /a fault that a test has asked for/ },
  { fault: 'exit', cause: /exit/ },
  { fault: 'memory', cause: /memory/ },
  { fault: 'spin', cause: /no heartbeat for \d+ ms/ },
  { fault: 'corrupt', cause: /unknown ingress record kind 99/ },
] as const) {
  t.test(`a lane that dies by ${fault}`, async (t) => {
    const { relay, faults } = await startFaultyRelay(t, {
      lanes: 2,
      laneStallMs: fault === 'spin' ? 3_000 : 20_000,
      laneHeapMbMax: 32,
      retryAfterMs: 10,
      topics: [{ match: '>', history: { count: 10_000, bytes: 4_194_304 } }],
    });
    const member = await openClient(t, relay.url, { client: 'member' });
    const onDoomed = await Reader.open(member, doomed, { presence: { role: 'reader' } });
    const watcher = await openClient(t, relay.url, { client: 'watcher' });
    const onPattern = await Reader.open(watcher, '*.*');
    const onSpared = await Reader.open(watcher, spared);
    const alsoOnDoomed = await Reader.open(watcher, doomed, { presence: true });
    const clientLosses: string[] = [];
    member.on('continuity-lost', ({ topic, reason }) => clientLosses.push(`${topic} ${reason}`));
    const before = await member.publish(doomed, 'before');
    const sparedBefore = await member.publish(spared, 'before');

    // A burst in one WebSocket message: publishes, and one of every other command.
    const raw = await RawClient.open(t, relay.port, { client: 'raw' });
    const leaving = topicOnLane(VICTIM, 2, 'leaving');
    await raw.ask(SUBSCRIBE, leaving, null);
    const publishes = range(1, BURST).map((number) => [PUBLISH, raw.nextId(), doomed, null, number]);
    const others = [
      [SUBSCRIBE, raw.nextId(), topicOnLane(VICTIM, 2, 'joining'), null],
      [SUBSCRIBE, raw.nextId(), 'pattern.>', null],
      [UNSUBSCRIBE, raw.nextId(), leaving],
      [HISTORY, raw.nextId(), doomed, null],
      [PRESENCE, raw.nextId(), doomed, null],
    ];
    faults.arm(VICTIM, fault);
    raw.send(...publishes, ...others);
    if (fault === 'spin') {
      // While it is stuck: who asks is told which lane, and the other lane works on.
      let stuck = await unreadyLanes(relay);
      while (!stuck.includes(`lane ${VICTIM}`)) stuck = await unreadyLanes(relay);
      t.equal((await relay.readiness()).status, 503, 'not ready');
      await member.publish(spared, 'meanwhile');
      t.notOk(
        relay.program.stderr.all.some((line) => /lane replaced/.test(line)),
        'the other lane did not have to wait for that',
      );
    }
    const lost = await relay.program.stderr.find(/lane lost/);
    t.match(lost, cause, 'the log names the cause');
    t.match(lost, `lane=${VICTIM} `);
    await relay.program.stderr.find(/lane replaced/);

    // The commands under way.
    const ids = [...publishes, ...others].map(([, id]) => id as number);
    if (fault === 'corrupt') ids.splice(BATCH_RECORDS_MAX + WHOLE_RECORDS, 1); // Nobody can read whose it was.
    const answers = await Promise.all(ids.map((id) => raw.answer(id)));
    await raw.ask(PING);
    const answered = answers.slice(0, ids.length - others.length);
    const done = answered.filter(([type]) => type === OK).map(([, , result]) => (result as { offset: number }).offset);
    const refused = answers.filter(([type]) => type === ERROR);
    if (fault === 'corrupt') t.equal(done.length, BATCH_RECORDS_MAX + WHOLE_RECORDS, 'what it did before it threw counts');
    t.ok(done.length > 0 && refused.length > 0, `some were done (${done.length}), some were not (${refused.length})`);
    t.ok(
      refused.every(([, , code, , details]) => code === LANE_RESTARTED && details.retryAfterMs === 10),
      'those that were not got LANE_RESTARTED and when to try again',
    );
    t.same(
      raw.messages.filter(([type, id]) => (type === OK || type === ERROR) && ids.includes(id)).length,
      ids.length,
      'each got exactly one answer',
    );

    // The subscribers.
    await onDoomed.until(({ losses }) => losses.length > 0);
    const [loss] = onDoomed.losses;
    t.match(loss, { reason: 'LANE_RESTARTED', offset: 0, epoch: String });
    t.not(loss?.epoch, before.epoch, 'the new stream has another epoch');
    t.same(clientLosses, [`${doomed} LANE_RESTARTED`], 'the client says so too');
    t.same(onDoomed.payloads.slice(1), range(1, done.length), 'what was acknowledged had been delivered');
    const after = await member.publish(doomed, 'after');
    t.match(after, { epoch: loss?.epoch, offset: 1 });
    await Promise.all(
      [onDoomed, alsoOnDoomed, onPattern].map((reader) => reader.until(({ payloads }) => payloads.includes('after'))),
    );
    t.equal(onDoomed.joins.length, 1, 'the subscription was never lost');
    t.same(
      alsoOnDoomed.losses.map(({ reason }) => reason),
      ['LANE_RESTARTED'],
    );
    t.same(
      onPattern.losses.map(({ reason }) => reason),
      ['LANE_RESTARTED'],
      'a pattern may have lost something too',
    );
    await member.publish(topicOnLane(VICTIM, 2, 'fresh'), 'new topic');
    await onPattern.until(({ payloads }) => payloads.includes('new topic'));

    // What was refused did not happen, and can be had by asking again.
    const refusedIds = refused.map(([, id]) => id as number);
    for (const [type, , ...rest] of others.filter(([, id]) => refusedIds.includes(id as number))) {
      t.match(await raw.request(type as number, ...rest), [OK], `${type} again`);
    }
    await member.publish(leaving, 'nobody is here');
    await member.publish('pattern.one', 'by pattern');
    await raw.find((message) => message[0] === MESSAGE && message[5] === 'by pattern');
    t.same(raw.payloads, ['by pattern'], 'subscribed and unsubscribed as asked');

    // Presence.
    const present = await member.presence(doomed);
    t.same(present.members.map(({ id }) => id).sort(), ['member', 'watcher'], 'the members are there again');
    t.same(present.members.find(({ id }) => id === 'member')?.data, { role: 'reader' }, 'with their data');
    const newcomer = await openClient(t, relay.url, { client: 'newcomer' });
    await Reader.open(newcomer, doomed, { presence: true });
    await onDoomed.until(({ presence }) => presence.some(({ kind, id }) => kind === 'join' && id === 'newcomer'));
    t.match(
      onDoomed.presence.map(({ kind, id, count }) => `${kind} ${id} ${count}`),
      ['join watcher 2', 'join newcomer 3'],
      'nobody was said to have left',
    );

    // The other lane.
    const sparedAfter = await member.publish(spared, 'after');
    await onSpared.until(({ payloads }) => payloads.includes('after'));
    t.equal(sparedAfter.epoch, sparedBefore.epoch, 'the other lane goes on');
    t.same(onSpared.losses, []);

    const { status, text } = await relay.readiness();
    t.equal(status, 200, 'ready again');
    t.match(text, /replaced 1 times/);
  });
}

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
  const raws = await Promise.all(range(1, 4).map(() => RawClient.open(t, relay.port)));
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
  for (const _ of range(1, 8)) {
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
  raw.send(...range(1, BURST).map((number) => [PUBLISH, 0, 'elsewhere', null, number]));
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

async function unreadyLanes(relay: RelayProcess): Promise<string[]> {
  const { components } = JSON.parse((await relay.readiness()).text) as { components: { name: string; ok: boolean }[] };
  return components.filter(({ ok }) => !ok).map(({ name }) => name);
}
