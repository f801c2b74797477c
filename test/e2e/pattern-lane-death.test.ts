/** A pattern's command is one command to its client and one in every lane. Lanes die while it is in them: the client gets one answer, and what it says holds. */
import t, { type Test } from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import {
  ERROR,
  EVENT,
  MESSAGE,
  OK,
  PING,
  PUBLISH,
  RawClient,
  SUBSCRIBE,
  UNSUBSCRIBE,
  type WireMessage,
} from '../support/raw-client.ts';
import { topicOnLane } from '../support/sdk.ts';

const { relay, faults } = await startFaultyRelay(t, {
  lanes: 2,
  laneStallMs: 60_000,
  laneRestartBackoffMsMax: 0,
  retryAfterMs: 10,
});

interface Rig {
  readonly raw: RawClient;
  readonly deathsBefore: number;
  /** Sends a command that both lanes have in their rings when this resolves, and neither has seen. */
  readonly put: (type: number, ...rest: unknown[]) => Promise<number>;
}

/** Both lanes stand still, after `before`. */
async function openRig(t: Test, before: (raw: RawClient) => Promise<void> = async () => {}): Promise<Rig> {
  const raw = await RawClient.open(t, relay.port);
  await before(raw);
  await Promise.all([faults.hold(0), faults.hold(1)]);
  const put = async (type: number, ...rest: unknown[]): Promise<number> => {
    const id = raw.nextId();
    raw.send([type, id, ...rest]);
    await raw.ask(PING);
    return id;
  };
  return { raw, deathsBefore: await relay.metric('relay_lanes_replaced_total'), put };
}

/** The lane dies with all that is in its ring; resolves when it has a successor. */
async function kill(lane: number): Promise<void> {
  const said = relay.program.stderr.all.length;
  faults.arm(lane, 'throw');
  await relay.program.stderr.find(new RegExp(`lane replaced lane=${lane}`), said);
}

/** All answers to these commands, when the lanes have nothing left to say about them. */
async function answersTo({ raw }: Rig, ...ids: number[]): Promise<WireMessage[][]> {
  for (const lane of [0, 1]) faults.release(lane);
  for (const lane of [0, 1]) await raw.ask(PUBLISH, topicOnLane(lane, 2, 'fence'), null, 0);
  return ids.map((id) => raw.messages.filter(([type, other]) => (type === OK || type === ERROR) && other === id));
}

/** What the client gets of topics that the pattern matches, one on each lane. */
async function heard({ raw }: Rig): Promise<unknown[]> {
  const before = raw.messages.length;
  for (const lane of [0, 1]) await raw.ask(PUBLISH, topicOnLane(lane, 2, 'any'), null, lane);
  return raw.messages
    .slice(before)
    .filter(([type]) => type === MESSAGE)
    .map((message) => message[5]);
}

async function onlyTheseDied(t: Test, { deathsBefore }: Rig, count: number): Promise<void> {
  t.equal((await relay.metric('relay_lanes_replaced_total')) - deathsBefore, count, 'no other lane died of it');
}

for (const { name, deaths } of [
  { name: 'the first lane dies', deaths: [0] },
  { name: 'the last lane dies', deaths: [1] },
  { name: 'both lanes die', deaths: [0, 1] },
]) {
  t.test(`SUBSCRIBE to a pattern, and ${name} with it`, async (t) => {
    const rig = await openRig(t);
    const id = await rig.put(SUBSCRIBE, 'any.*', null);
    for (const lane of deaths) await kill(lane);
    const [answers = []] = await answersTo(rig, id);
    t.equal(answers.length, 1, 'one answer');
    if (answers[0]?.[0] === ERROR)
      t.match(await rig.raw.request(SUBSCRIBE, 'any.*', null), [OK], 'it can be had by asking again');
    t.same(await heard(rig), [0, 1], 'subscribed on all lanes');
    await onlyTheseDied(t, rig, deaths.length);
  });

  t.test(`UNSUBSCRIBE from a pattern, and ${name} with it`, async (t) => {
    const rig = await openRig(t, async (raw) => void (await raw.ask(SUBSCRIBE, 'any.*', null)));
    const id = await rig.put(UNSUBSCRIBE, 'any.*');
    for (const lane of deaths) await kill(lane);
    const [answers = []] = await answersTo(rig, id);
    t.equal(answers.length, 1, 'one answer');
    if (answers[0]?.[0] === ERROR) t.match(await rig.raw.request(UNSUBSCRIBE, 'any.*'), [OK], 'it can be had by asking again');
    t.same(await heard(rig), [], 'left on all lanes');
    t.match(await rig.raw.request(SUBSCRIBE, 'any.*', null), [OK]);
    t.same(await heard(rig), [0, 1], 'and can come back');
    await onlyTheseDied(t, rig, deaths.length);
  });

  t.test(`SUBSCRIBE to a pattern once more, with other options, and ${name} with it`, async (t) => {
    const rig = await openRig(t, async (raw) => void (await raw.ask(SUBSCRIBE, 'any.*', null)));
    const id = await rig.put(SUBSCRIBE, 'any.*', { policy: 'dropOldest' });
    for (const lane of deaths) await kill(lane);
    const [answers = []] = await answersTo(rig, id);
    t.equal(answers.length, 1, 'one answer');
    t.same(await heard(rig), [0, 1], 'still subscribed on all lanes');
    const told = rig.raw.messages.filter(([type, , , kind]) => type === EVENT && kind === 'lost').length;
    t.equal(told, deaths.length, 'each death was told of');
    await onlyTheseDied(t, rig, deaths.length);
  });
}

t.test('SUBSCRIBE to a pattern, a lane dies, SUBSCRIBE again at once: one answer each', async (t) => {
  const rig = await openRig(t);
  const first = await rig.put(SUBSCRIBE, 'any.*', null);
  await kill(1);
  const second = await rig.put(SUBSCRIBE, 'any.*', null);
  const answers = await answersTo(rig, first, second);
  t.same(
    answers.map(({ length }) => length),
    [1, 1],
  );
  if (!answers.some(([answer]) => answer?.[0] === OK)) t.match(await rig.raw.request(SUBSCRIBE, 'any.*', null), [OK]);
  t.same(await heard(rig), [0, 1], 'subscribed on all lanes');
});
