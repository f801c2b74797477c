/** Runs: what is asked of the relay, and how a run is followed when its topic loses, repeats or begins anew. */
import t from 'tap';
import type { Run, RunEvent } from '../../../src/client/full.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { code, error, event, FakeNet, type FakeSocket, forbidUnhandledRejections, message, subscribed } from './harness.ts';

const { DEFINE, HISTORY, RUN, START, SUBSCRIBE } = MessageType;
const TOPIC = '$workflow.flow.r1';
const STARTED = { run: 'r1', topic: TOPIC, epoch: 'e', offset: 0, version: 3 };

t.beforeEach((t) => forbidUnhandledRejections(t));

async function startRun(): Promise<{ net: FakeNet; socket: FakeSocket; run: Run }> {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const starting = client.workflow('flow').start('input');
  const [, id] = await socket.readOne(START);
  await socket.ok(id, STARTED);
  const run = await starting;
  t.teardown(() => net.end(client));
  return { net, socket, run };
}

/** Reads a run into a list, as it comes. */
function follow(run: Run): { readonly events: RunEvent[]; readonly done: Promise<void> } {
  const events: RunEvent[] = [];
  const done = (async () => {
    for await (const one of run) events.push(one);
  })();
  done.catch(() => {});
  return { events, done };
}

const page = (from: number, kinds: readonly string[], more: object = {}): object => ({
  epoch: 'e',
  first: 1,
  offset: from + kinds.length - 1,
  messages: kinds.map((kind, index) => [from + index, null, { kind, atMs: 0 }]),
  more: false,
  ...more,
});
const told = (offset: number, kind: string, facts: object = {}): unknown[] => message(7, offset, { kind, atMs: 0, ...facts });
const kinds = (events: readonly RunEvent[]): string[] => events.map(({ kind }) => kind);

t.test('START carries a key in any case, and is sent again under it', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const starting = client.workflow('flow').start({ n: 1 }, { deadlineMs: 9, version: 2 });
  const [, , name, options, input] = await socket.readOne(START);
  t.same([name, input], ['flow', { n: 1 }]);
  t.match(options, { key: /^.{20}$/, deadlineMs: 9, version: 2 });
  await socket.lose();
  const again = await net.reopen();
  const [, id, , second] = await again.readOne(START);
  t.same(second, options);
  await again.ok(id, { ...STARTED, duplicate: true });
  t.match(await starting, { id: 'r1', workflow: 'flow', topic: TOPIC, version: 3, duplicate: true });
  t.equal(await net.end(client), 0);
});

t.test('a run is followed from its position to its end, and its result is there at once', async (t) => {
  const { socket, run } = await startRun();
  const { events, done } = follow(run);
  const [, id, topic, options] = await socket.readOne(SUBSCRIBE);
  t.same([topic, options], [TOPIC, { since: { epoch: 'e', offset: 0 } }]);
  await socket.ok(id, subscribed(7, 'e', 2, { recovered: true, replay: 2 }));
  await socket.reply(told(1, 'started'), told(2, 'stageStarted', { stage: 'a', steps: 1 }));
  t.same(run.position, { epoch: 'e', offset: 2 });
  await t.rejects(run[Symbol.asyncIterator]().next(), /one reader/);
  await socket.reply(told(3, 'succeeded', { result: 42, resultBytes: 1 }));
  await done;
  t.same(kinds(events), ['started', 'stageStarted', 'succeeded']);
  t.match(await socket.read(), [[MessageType.UNSUBSCRIBE]], 'nothing more is asked');
});

t.test('a run that failed is looked at once more: it may have been retried', async (t) => {
  const { socket, run } = await startRun();
  const { events, done } = follow(run);
  const [, id] = await socket.readOne(SUBSCRIBE);
  await socket.ok(id, subscribed(7, 'e', 0, { recovered: true }));
  await socket.reply(told(1, 'failed', { reason: { code: 'TIMEOUT', text: 'late' } }));
  const [, history, , options] = await socket.readOne(HISTORY);
  t.match(options, { since: { epoch: 'e', offset: 1 } });
  await socket.ok(history, page(2, ['deadLettered', 'retried']));
  await socket.reply(told(2, 'deadLettered'), told(3, 'retried'), told(4, 'succeeded', { result: 1 }));
  await done;
  t.same(kinds(events), ['failed', 'deadLettered', 'retried', 'succeeded'], 'and none comes twice');
});

t.test('what a subscription loses is read from history, page by page; what that has lost is a gap', async (t) => {
  const { socket, run } = await startRun();
  const { events, done } = follow(run);
  const [, id] = await socket.readOne(SUBSCRIBE);
  await socket.ok(id, subscribed(7, 'e', 1, { recovered: true, replay: 1 }));
  await socket.reply(told(1, 'started'));
  await socket.reply(event(7, 'lost', { from: 2, to: 5, reason: 'EVICTED', epoch: 'e', offset: 5 }));
  const [, first, , options] = await socket.readOne(HISTORY);
  t.match(options, { since: { epoch: 'e', offset: 1 } });
  await socket.ok(first, page(4, ['stepStarted'], { more: true }));
  const [, second, , rest] = await socket.readOne(HISTORY);
  t.match(rest, { since: { epoch: 'e', offset: 4 } });
  await socket.ok(second, page(5, ['stepSucceeded']));
  await socket.reply(told(6, 'succeeded', { result: null }));
  await done;
  t.same(
    events.map(({ kind, offset }) => [kind, offset]),
    [
      ['started', 1],
      ['gap', 3],
      ['stepStarted', 4],
      ['stepSucceeded', 5],
      ['succeeded', 6],
    ],
  );
  t.match(events[1], { from: 2, to: 3 });
});

t.test('another stream under the same name ends the loop with CONFLICT', async (t) => {
  const { socket, run } = await startRun();
  const { done } = follow(run);
  const [, id] = await socket.readOne(SUBSCRIBE);
  const failed = t.rejects(done, code('CONFLICT'));
  await socket.ok(id, subscribed(7, 'other', 9, { recovered: false, reason: 'EPOCH_CHANGED' }));
  const [, history] = await socket.readOne(HISTORY);
  await socket.reply(error(history, 112));
  await failed;
});

t.test('attached without a position: its status is asked, then everything from the beginning', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.openFull();
  const run = client.workflow('flow').run<number>('r1');
  t.same([run.position, run.version], [null, undefined]);
  const result = run.result();
  const [, status, , options] = await socket.readOne(RUN);
  t.same(options, { run: 'r1', action: 'status' });
  await socket.ok(status, { state: 'succeeded' });
  const [, history, topic, from] = await socket.readOne(HISTORY);
  t.same([topic, from], [TOPIC, { limit: 1_000 }]);
  await socket.ok(history, page(1, ['started', 'succeeded']));
  const [, last, , wanted] = await socket.readOne(RUN);
  t.same(wanted, { run: 'r1', action: 'result' }, 'too large for its event');
  await socket.ok(last, { result: 7 });
  t.equal(await result, 7);
  t.equal(run.position, null, 'a result takes nothing from a loop');
  const missing = client.workflow('flow').run('none').result();
  const [, id] = await socket.readOne(RUN);
  const refused = t.rejects(missing, code('NOT_FOUND'));
  await socket.reply(error(id, 103));
  await refused;
  t.equal(await net.end(client), 0);
});

for (const { name, status, newer, want, result } of [
  {
    name: 'succeeded, all seen',
    status: { state: 'succeeded', endedAtMs: 9 },
    newer: [],
    want: [],
    result: { succeeded: 7 },
  },
  {
    name: 'failed, and a letter about it that was not seen',
    status: { state: 'failed', endedAtMs: 9, stage: 'a', reason: { code: 'TIMEOUT', text: 'late' } },
    newer: ['deadLettered'],
    want: ['deadLettered'],
    result: { codeName: 'SERVICE_ERROR', facts: { stage: 'a', code: 'TIMEOUT' } },
  },
  {
    name: 'cancelled, all seen',
    status: { state: 'cancelled', endedAtMs: 9 },
    newer: [],
    want: [],
    result: { codeName: 'CANCELLED' },
  },
]) {
  t.test(`attached with a position to a run that has ended (${name}): what is left, and no waiting`, async (t) => {
    const net = new FakeNet();
    const { client, socket } = await net.openFull();
    const since = { epoch: 'e', offset: 5 };
    const answer = async (): Promise<void> => {
      const [, id] = await socket.readOne(RUN);
      await socket.ok(id, status);
      const [, history, , options] = await socket.readOne(HISTORY);
      t.match(options, { since });
      await socket.ok(history, page(6, newer));
    };
    const { events, done } = follow(client.workflow('flow').run('r1', { since }));
    await answer();
    await done;
    t.same(kinds(events), want);
    const outcome = client
      .workflow('flow')
      .run('r1', { since })
      .result()
      .then(
        (succeeded) => ({ succeeded }),
        (error) => error,
      );
    await answer();
    for (const [type, id] of await socket.read()) if (type === RUN) await socket.ok(id, { result: 7 });
    t.match(await outcome, result);
    t.equal(await net.end(client), 0);
  });
}

t.test('results of runs that did not succeed are rejections with the reason', async (t) => {
  const { socket, run } = await startRun();
  const result = t.rejects(run.result(), {
    codeName: 'SERVICE_ERROR',
    facts: { run: 'r1', stage: 'a', code: 'SERVICE_ERROR', text: 'no', serviceCode: 'E' },
  } as never);
  const [, id] = await socket.readOne(SUBSCRIBE);
  await socket.ok(id, subscribed(7, 'e', 0, { recovered: true }));
  await socket.reply(told(1, 'failed', { stage: 'a', reason: { code: 'SERVICE_ERROR', text: 'no', serviceCode: 'E' } }));
  const [, history] = await socket.readOne(HISTORY);
  await socket.ok(history, page(2, []));
  await result;
});

t.test('the actions on a run, and lists and definitions', async (t) => {
  const { socket, run } = await startRun();
  for (const action of ['status', 'cancel', 'pause', 'resume', 'retry'] as const) {
    const acting = run[action]();
    const [, id, workflow, options] = await socket.readOne(RUN);
    t.same([workflow, options], ['flow', { run: 'r1', action }]);
    await socket.ok(id, { run: 'r1', state: action });
    t.match(await acting, { state: action });
  }
  const net = new FakeNet();
  const { client, socket: other } = await net.openFull();
  const definition = { name: 'flow', version: 1, stages: [] };
  void client.workflow('flow').define(definition);
  t.match(await other.readOne(DEFINE), [DEFINE, /./, 'flow', null, definition]);
  void client.workflow('*').list({ state: 'failed', limit: 3 });
  t.match(await other.readOne(RUN), [RUN, /./, '*', { action: 'list', state: 'failed', limit: 3 }]);
  void client.workflow('flow').definition({ version: 4 });
  t.match(await other.readOne(RUN), [RUN, /./, 'flow', { action: 'definition', version: 4 }]);
  await net.end(client);
});
