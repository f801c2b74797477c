/** A lane dies under load, in each of the ways a thread can: who was with it is told, nobody else notices, and it comes back. */
import t from 'tap';
import { BATCH_RECORDS_MAX } from '../../src/pool/lane-runner.ts';
import { startFaultyRelay } from '../support/faults.ts';
import { WHOLE_RECORDS } from '../support/faulty-lane-worker.ts';
import {
  ERROR,
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
      commandsPerTurnMax: 2_000, // The whole burst is with the lane when it dies.
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

async function unreadyLanes(relay: RelayProcess): Promise<string[]> {
  const { components } = JSON.parse((await relay.readiness()).text) as { components: { name: string; ok: boolean }[] };
  return components.filter(({ ok }) => !ok).map(({ name }) => name);
}
