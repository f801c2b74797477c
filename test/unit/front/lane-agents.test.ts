/** A lane's own session on the front: its commands go the way of any client's, the answers come back as records that a ring can carry. */
import t from 'tap';
import { LaneAgents } from '../../../src/front/lane-agents.ts';
import type { Connection } from '../../../src/front/ports.ts';
import { OPEN, Session } from '../../../src/front/session.ts';
import { pack, packMessage, unpack } from '../../../src/protocol/codec.ts';
import type { Lanes } from '../../../src/protocol/lane-port.ts';
import { IngressKind, PAIR_HEAD_BYTES } from '../../../src/protocol/records.ts';
import { Rig } from './http-rig.ts';

const MESSAGE_BYTES_MAX = 100;

/** An agent of lane 1, and what is written to the lanes. */
function openAgent() {
  const written: { lane: number; kind: number; payload: Uint8Array }[] = [];
  const lanes = {
    count: 2,
    write: (lane: number, kind: number, payload: Uint8Array) => void written.push({ lane, kind, payload }),
  };
  let next = 1;
  const agents = new LaneAgents(
    lanes as unknown as Lanes,
    MESSAGE_BYTES_MAX,
    (connection: Connection) => new Session(next++, connection, true, { name: 'greeting', deadlineMs: 0 }, 0, 0),
  );
  return { agents, agent: agents.of(1), written };
}

t.test('an agent is born open, once a life of its lane', async (t) => {
  const { agents, agent } = openAgent();
  t.match(agent, { id: '$lane-1', client: '$lane-1', internal: true, state: OPEN });
  t.equal(agents.of(1), agent);
  t.equal(agents.take(1), agent);
  t.equal(agents.take(1), null);
  t.not(agents.of(1).number, agent.number, 'what was meant for the dead lane does not reach the next');
});

t.test('answers go to the lane as they come, several in one record', async (t) => {
  const { agent, written } = openAgent();
  const frame = Uint8Array.from([...pack([37, 1, false, 'x']), ...pack([37, 2, false, 'y'])]);
  agent.connection.send(frame);
  t.match(written, [{ lane: 1, kind: IngressKind.REPLY }]);
  t.same(written[0]?.payload.slice(PAIR_HEAD_BYTES), frame);
});

t.test('more than a ring is sure to take goes apart, and what is too large by itself fails its call', async (t) => {
  const { agent, written } = openAgent();
  const long = packMessage(37, 2 ** 40, false, 'x'.repeat(200));
  agent.connection.send(
    Uint8Array.from([...pack([37, 1, false, 'x'.repeat(60)]), ...long, ...pack([37, 3, false, 'y'.repeat(60)])]),
  );
  t.ok(written.every(({ payload }) => payload.length <= MESSAGE_BYTES_MAX + PAIR_HEAD_BYTES + 60));
  t.match(
    written.map(({ payload }) => unpack(payload.slice(PAIR_HEAD_BYTES))),
    [
      [37, 1, false, 'x'.repeat(60)],
      [33, 2 ** 40, 107, /too large for its lane/, { bytes: long.length, bytesMax: MESSAGE_BYTES_MAX }],
      [37, 3, false, 'y'.repeat(60)],
    ],
  );
});

t.test(
  'a run’s call goes out through the front and its answer comes back: nobody serves it, so the run fails, and says so',
  async (t) => {
    const rig = new Rig();
    const client = rig.connect('client');
    client.say([
      20,
      1,
      'w',
      null,
      { name: 'w', version: 1, stages: [{ name: 'a', service: 'nobody', method: 'm', retries: { max: 0 } }] },
    ]);
    client.say([12, 2, 'w', null, null]);
    client.say([13, 3, '>', { action: 'list', state: 'failed' }]);
    t.match(client.received(32).at(-1), [32, 3, { runs: [{ workflow: 'w', state: 'failed', stage: 'a' }] }]);
    t.equal(rig.front.callCount, 0);
    t.ok(rig.front.journal.entryCount > 5);
  },
);

t.test('a step’s call that the relay would not carry fails its step', async (t) => {
  const rig = new Rig({ front: { messageBytesMax: 8_192 } });
  const client = rig.connect('client');
  client.say([
    20,
    1,
    'w',
    null,
    { name: 'w', version: 1, stages: [{ name: 'a', service: 'nobody', method: 'm', retries: { max: 0 } }] },
  ]);
  client.say([12, 2, 'w', null, 'x'.repeat(8_100)]);
  client.say([13, 3, 'w', { action: 'list' }]);
  t.match(client.received(32).at(-1), [32, 3, { runs: [{ state: 'failed', reason: { code: 'TOO_LARGE' } }] }]);
});

t.test('a RUN with a pattern is checked by the front, which answers for all lanes', async (t) => {
  const rig = new Rig();
  const client = rig.connect('client');
  for (const options of [null, { action: 'status', run: 'r' }, { action: 'list', limit: 0 }]) client.say([13, 5, 'w.*', options]);
  t.match(client.received(33), [
    [33, 5, 100, /action must be one of/],
    [33, 5, 100, /must be 'list'/],
    [33, 5, 100, /limit/],
  ]);
});
