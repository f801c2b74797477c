/** More comes in than a lane takes: every command is either done or refused with a time to come again, and what was done is delivered. */
import t from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import { ERROR, OK, PING, PUBLISH, RawClient } from '../support/raw-client.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient, Reader, range } from '../support/sdk.ts';

const OVERLOADED = 106;
/** The smallest ring that takes the smallest message bound. */
const TINY = {
  ingressRingBytes: 131_072,
  messageBytesMax: 8_192,
  payloadBytesMax: 4_096,
  retryAfterMs: 20,
  topics: [{ match: '>', history: { count: 10_000, bytes: 16_777_216 } }],
};
const payloadOf = (number: number): string => `${number} ${'x'.repeat(1_000)}`;
const numberIn = (payload: unknown): number => Number.parseInt(String(payload), 10);
/** Twice what fits into the ring. */
const BURST = 260;

t.test(
  'a lane that stands still while a burst comes in: each publish gets one answer, and what got OK is delivered',
  async (t) => {
    const { relay, faults } = await startFaultyRelay(t, { lanes: 1, laneStallMs: 60_000, ...TINY });
    const reader = await Reader.open(await openClient(t, relay.url), 'room');
    const raw = await RawClient.open(t, relay.port);
    await faults.hold(0);
    const ids = range(1, BURST).map((number) => {
      const id = raw.nextId();
      raw.send([PUBLISH, id, 'room', null, payloadOf(number)]);
      return id;
    });
    // The relay refuses at once what does not fit, so all refusals come before the answer to this.
    await raw.ask(PING);
    const refused = raw.messages.filter(([type]) => type === ERROR).length;
    t.ok(refused > 0, `${refused} of ${BURST} publishes were refused while the lane stood still`);
    faults.release(0);

    const answers = await Promise.all(ids.map((id) => raw.answer(id)));
    const done = range(1, BURST).filter((number) => (answers[number - 1] as unknown[])[0] === OK);
    t.ok(done.length > 0, `${done.length} were done`);
    t.equal(done.length + refused, BURST, 'none was refused after the lane went on');
    t.ok(answers.every(([type, , code, , details]) => type === OK || (code === OVERLOADED && details.retryAfterMs === 20)));
    t.match(await raw.request(PUBLISH, 'room', null, payloadOf(0)), [OK], 'the relay takes publishes again');
    await reader.until(({ payloads }) => numberIn(payloads.at(-1)) === 0);
    t.same(reader.payloads.map(numberIn), [...done, 0], 'what got OK was delivered in order, what was refused was not');
    t.equal(
      raw.messages.filter(([type, id]) => (type === OK || type === ERROR) && ids.includes(id)).length,
      BURST,
      'one answer each',
    );
    t.equal(await relay.metric('relay_lane_ingress_full_total'), refused);
  },
);

for (const lanes of [1, 0]) {
  t.test(`lanes=${lanes}: bursts that come in at the same moment fill the ring: each publish gets one answer`, async (t) => {
    const relay = await startRelay(t, { lanes, ...TINY });
    const reader = await Reader.open(await openClient(t, relay.url), 'room');
    const raws = await Promise.all(range(1, 6).map(() => RawClient.open(t, relay.port)));
    // While the relay stands still, all of it gathers in its sockets; it finds everything in one turn.
    relay.program.kill('SIGSTOP');
    const sent = raws.flatMap((raw, client) =>
      range(1, 45).map((number) => {
        const id = raw.nextId();
        raw.send([PUBLISH, id, 'room', null, payloadOf(100 * client + number)]);
        return { raw, id, number: 100 * client + number };
      }),
    );
    await Promise.all(raws.map((raw) => raw.flushed()));
    relay.program.kill('SIGCONT');

    const outcomes = await Promise.all(sent.map(async ({ raw, id, number }) => ({ number, answer: await raw.answer(id) })));
    const done = outcomes.filter(({ answer }) => answer[0] === OK).map(({ number }) => number);
    const refused = outcomes.filter(({ answer }) => answer[0] !== OK);
    t.ok(done.length > 0 && refused.length > 0, `${done.length} were done, ${refused.length} were not`);
    t.ok(refused.every(({ answer }) => answer[2] === OVERLOADED && answer[4].retryAfterMs === 20));
    await reader.until(({ messages }) => messages.length >= done.length);
    t.match(await (raws[0] as RawClient).request(PUBLISH, 'room', null, payloadOf(0)), [OK]);
    await reader.until(({ payloads }) => numberIn(payloads.at(-1)) === 0);
    t.same(
      reader.payloads.map(numberIn).sort(ascending),
      [0, ...done].sort(ascending),
      'what got OK was delivered, nothing else',
    );
    for (const raw of raws) await raw.ask(PING);
    t.ok(
      sent.every(
        ({ raw, id }) => raw.messages.filter(([type, other]) => (type === OK || type === ERROR) && other === id).length === 1,
      ),
      'one answer each',
    );
  });
}

t.test('the SDK tries again what an overloaded lane refused, until all is published once', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, { lanes: 1, laneStallMs: 60_000, ...TINY });
  const reader = await Reader.open(await openClient(t, relay.url), 'room');
  const publishers = await Promise.all(range(1, 4).map(() => openClient(t, relay.url, { publishAttemptsMax: 1_000 })));
  await faults.hold(0);
  const publishes = publishers.flatMap((client, publisher) =>
    range(1, 100).map((number) => client.publish('room', payloadOf(publisher * 1_000 + number))),
  );
  while ((await relay.metric('relay_lane_ingress_full_total')) === 0);
  faults.release(0);
  const results = await Promise.all(publishes);
  await reader.until(({ messages }) => messages.length >= results.length);

  t.same(results.map(({ offset }) => offset).sort(ascending), range(1, 400), 'every publish was done, none twice');
  t.same(
    reader.payloads.map(numberIn).sort(ascending),
    range(0, 3).flatMap((publisher) => range(publisher * 1_000 + 1, publisher * 1_000 + 100)),
    'every message came once',
  );
  t.same(reader.losses, []);
});

function ascending(one: number, other: number): number {
  return one - other;
}
