/** A lane's runs outlive it: through real rings and threads, the lane that takes its place has definitions, runs, keys and topics as they were. */
import t from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import { HISTORY, OK, PUBLISH, RawClient, SUBSCRIBE, type WireMessage } from '../support/raw-client.ts';
import { topicOnLane } from '../support/sdk.ts';

const START = 12;
const RUN = 13;
const DEFINE = 20;
const LANES = 2;
const VICTIM = 1;
const DEATHS = 2;
const workflow = topicOnLane(VICTIM, LANES, 'flow');
/** Nobody serves it, so a run fails as soon as its call comes back. */
const stages = [{ name: 'a', service: topicOnLane(0, LANES, 'nobody'), method: 'm', retries: { max: 0 } }];

t.test('definitions, runs, keys and topics survive their lane, again and again', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, { lanes: LANES, laneStallMs: 20_000, retryAfterMs: 10 });
  const client = await RawClient.open(t, relay.port, { client: 'client' });
  const result = async (type: number, ...rest: unknown[]): Promise<WireMessage> => {
    const reply = await client.request(type, ...rest);
    t.equal(reply[0], OK, JSON.stringify(reply));
    return reply[2];
  };
  /** The run's status, once it is in that state. */
  const reach = async (run: string, state: string): Promise<WireMessage> => {
    for (;;) {
      const status = await result(RUN, workflow, { run, action: 'status' });
      if ((status as unknown as { state: string }).state === state) return status;
    }
  };
  t.same(await result(DEFINE, workflow, null, { name: workflow, version: 1, stages }), { workflow, version: 1 });
  const input = 'x'.repeat(60_000);
  const started = (await result(START, workflow, { key: 'k' }, input)) as unknown as {
    run: string;
    topic: string;
    epoch: string;
  };
  const { run, topic, epoch } = started;
  let before = await reach(run, 'failed');
  const subscribed = (await result(SUBSCRIBE, topic, { since: { epoch, offset: 0 } })) as unknown as {
    recovered: boolean;
    sub: number;
  };
  t.equal(subscribed.recovered, true);
  for (let death = 1; death <= DEATHS; death++) {
    faults.arm(VICTIM, 'throw');
    // More than one batch, which is when it dies.
    const burst = Array.from({ length: 300 }, (_, index) => [PUBLISH, client.nextId(), workflow, null, index]);
    client.send(...burst);
    await Promise.all(burst.map(([, id]) => client.answer(id as number)));
    const replacements = (): number => relay.program.stderr.all.filter((line) => /lane replaced/.test(line)).length;
    while (replacements() < death) await new Promise((resolve) => setImmediate(resolve));
    t.same(await result(RUN, workflow, { run, action: 'status' }), before, 'the same run');
    t.same(await result(START, workflow, { key: 'k' }, null), { ...started, duplicate: true }, 'the same key');
    const retried = await result(RUN, workflow, { run, action: 'retry' });
    t.match(retried, { state: 'running', epoch });
    before = await reach(run, 'failed');
    const history = (await result(HISTORY, topic, null)) as unknown as { epoch: string; first: number; offset: number };
    t.match(history, { epoch, first: 1, offset: (before as unknown as { offset: number }).offset }, 'the same stream');
    const newest = await client.find(
      (message) => message[0] === 34 && message[1] === subscribed.sub && message[3] === history.offset,
    );
    t.match(newest[5], { kind: 'deadLettered' }, 'whose subscriber hears of it under its old number');
  }
});
