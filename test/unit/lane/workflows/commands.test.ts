/** DEFINE, START and RUN as commands: what is let in, what is refused and with which code, what is kept and what is forgotten. */
import t from 'tap';
import { pack, packMessage } from '../../../../src/protocol/codec.ts';
import { type Any, concat, stage, WorkflowRig } from './workflow-rig.ts';

const ONE = [stage('a')];

// ---- DEFINE

t.test('a definition is known by name and version; START takes the newest unless it says otherwise', async (t) => {
  const rig = new WorkflowRig();
  t.same(rig.define(ONE, { version: 2 }), { workflow: 'w', version: 2 });
  t.same(rig.define([stage('old')], { version: 1 }), { workflow: 'w', version: 1 });
  t.equal(rig.start().version, 2);
  const { run, version } = rig.start(null, { version: 1 });
  t.equal(version, 1);
  t.equal(rig.callOf('old').stage, 'old');
  t.equal(rig.run(run, 'status').version, 1);
  t.match(rig.start(null, { version: 3 }), [33, Number, 103, /no such version/, { workflow: 'w', version: 3 }]);
  t.match(rig.start(null, null, 'x'), [33, Number, 103, /no such workflow/, { workflow: 'x' }]);
});

t.test('the same definition again is no error, another one under its version is a CONFLICT', async (t) => {
  const rig = new WorkflowRig();
  rig.define(ONE);
  t.same(
    rig.define([{ ...stage('a'), input: 'input', timeoutMs: 30_000 }]),
    { workflow: 'w', version: 1 },
    'defaults said aloud are the same',
  );
  t.match(rig.define([stage('a', { timeoutMs: 1 })]), [33, Number, 112, /defined otherwise/, { workflow: 'w', version: 1 }]);
  t.equal(rig.journal.get('definition')?.length, 1);
  t.equal(rig.metric('definitionsRefused'), 1);
});

t.test('a bad definition is refused with all of its problems', async (t) => {
  const rig = new WorkflowRig();
  t.match(rig.define([stage('a', { timeoutMs: 0, input: 'b' })], { version: 0 }), [
    33,
    Number,
    100,
    /bad definition: version must be an integer in \[1, 1000000000\], got 0; stages\[0\]\.input must be .*'b'; stages\[0\]\.timeoutMs must be/,
  ]);
  t.match(rig.ask([20, 'w', null, { name: 'v', version: 1, stages: ONE }]), [33, Number, 100, /another name/]);
  for (const definition of [null, 7, [], 'x', new Date(0)])
    t.match(rig.ask([20, 'w', null, definition]), [33, Number, 100, /must be a map/]);
  t.match(rig.ask([20, 'w', null, { name: 'w', version: 1n << 62n, stages: ONE }]), [33, Number, 100, /version/]);
});

t.test('a definition must not hold what the decoder gives a meaning of its own', async (t) => {
  const rig = new WorkflowRig();
  for (const value of [
    [0xd4, 0x42, 0xff],
    [0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1],
    [0xc7, 0, 5],
  ]) {
    const frame = concat(
      packMessage(20, rig.nextId, 'w', null).with(0, 0x95),
      Uint8Array.of(0x81, 0xa1, 0x78, 0x92),
      Uint8Array.from(value),
      Uint8Array.of(0xc0),
    );
    let reply: Any;
    try {
      reply = rig.askBytes(frame);
    } catch {
      continue; // No message at all: the front would not have let it through.
    }
    t.match(reply, [33, Number, 100, /extension types/]);
  }
});

t.test('definitions are bounded', async (t) => {
  const rig = new WorkflowRig({ definitionsMax: 2 });
  rig.define(ONE);
  rig.define(ONE, { version: 2 });
  t.match(rig.define(ONE, { version: 3 }), [33, Number, 104, /no more definitions/, { workflowDefinitionsMax: 2 }]);
  t.equal(rig.metric('definitionsRefused'), 1);
});

t.test('definitions of the configuration are there from the start, for the lane that owns their name', async (t) => {
  const definitions = Array.from({ length: 20 }, (_, index) => ({ name: `w${index}`, version: 1, stages: ONE }));
  const rig = new WorkflowRig({ definitions }, { index: 1, laneCount: 2 });
  const known = definitions.filter(({ name }) => !Array.isArray(rig.start(null, null, name)));
  t.ok(known.length > 0 && known.length < 20);
});

t.test('what is defined is shown with every default', async (t) => {
  const rig = new WorkflowRig();
  rig.define([stage('a', { forEach: 'input' })]);
  t.same(rig.ask([13, 'w', { action: 'definition' }]), {
    workflow: 'w',
    version: 1,
    versions: [1],
    definition: {
      name: 'w',
      version: 1,
      runsInFlightMax: 100,
      stages: [
        {
          name: 'a',
          service: 's',
          method: 'a',
          forEach: 'input',
          timeoutMs: 30_000,
          retries: { max: 3, backoffMs: 200, backoffMsMax: 30_000, factor: 2, jitter: 0.2, nonRetryable: [] },
          concurrency: 16,
          join: 'all',
        },
      ],
    },
  });
  t.match(rig.ask([13, 'v', { action: 'definition' }]), [33, Number, 103]);
});

// ---- START

t.test('a key starts one run, for as long as that is kept', async (t) => {
  const rig = new WorkflowRig({ runsEndedMax: 1 });
  rig.define(ONE);
  const first = rig.start(1, { key: 'k' });
  t.same(rig.start(2, { key: 'k' }), { ...first, duplicate: true });
  rig.result(rig.call, 'x');
  t.same(rig.start(3, { key: 'k' }), { ...first, duplicate: true }, 'ended runs too');
  t.not(rig.start(4, { key: 'l' }).run, first.run);
  rig.result(rig.call, 'x');
  t.not(rig.start(5, { key: 'k' }).run, first.run, 'it was forgotten');
  rig.replace();
  t.equal(rig.start(6, { key: 'l' }).duplicate, true, 'keys survive the lane');
});

t.test('runs in flight are bounded, of the lane and of the workflow', async (t) => {
  const rig = new WorkflowRig({ runsInFlightMax: 3, retryAfterMs: 250 });
  rig.define(ONE, { runsInFlightMax: 2 });
  rig.define(ONE, { name: 'v' });
  rig.start();
  rig.start();
  t.match(rig.start(), [33, Number, 106, /the workflow has all/, { workflow: 'w', runsInFlightMax: 2, retryAfterMs: 250 }]);
  rig.start(null, null, 'v');
  t.match(rig.start(null, null, 'v'), [33, Number, 106, /the lane has all/, { runsInFlightMax: 3, retryAfterMs: 250 }]);
  t.equal(rig.metric('runsRefused'), 2);
  rig.result(rig.callOf('a'), 1);
  t.notOk(Array.isArray(rig.start()), 'an ended run makes room');
});

t.test('a retried run needs room like a new one', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin(ONE, null, { runsInFlightMax: 1 });
  rig.fail(rig.call, 'BAD_REQUEST');
  const other = rig.start();
  t.match(rig.run(run, 'retry'), [33, Number, 106]);
  rig.result(rig.call, 1);
  t.equal(rig.run(run, 'retry').state, 'running');
  t.equal(rig.run(other.run, 'status').state, 'succeeded');
});

t.test('input, payloads and results are bounded', async (t) => {
  const rig = new WorkflowRig({ partBytesMax: 1_000, messageBytesMax: 1_500, runBytesMax: 2_500 });
  rig.define([stage('a'), stage('b', { input: 'a' }), stage('c', { input: { a: 'a', b: 'b' } })]);
  t.match(rig.start('x'.repeat(1_000)), [33, Number, 107, /input is too large/, { inputBytes: 1_003, inputBytesMax: 1_000 }]);
  const long = rig.start('');
  rig.result(rig.call, 'x'.repeat(1_000));
  t.match(rig.run(long.run, 'status').reason, { code: 'TOO_LARGE', text: /result is too large: bytes=1003, bytesMax=1000/ });
  const wide = rig.start('');
  rig.result(rig.call, 'x'.repeat(900));
  rig.result(rig.call, 'x'.repeat(900));
  t.match(rig.run(wide.run, 'status').reason, { code: 'TOO_LARGE', text: /step's call is too large: bytes=\d+, bytesMax=1500/ });
  t.match(rig.run(wide.run, 'status').stages[2], { state: 'failed', failed: 1 });
  const all = rig.start('x'.repeat(900));
  rig.result(rig.call, 'x'.repeat(900));
  rig.result(rig.call, 'x'.repeat(900));
  t.match(rig.run(all.run, 'status'), { state: 'failed', stage: 'b', reason: { code: 'TOO_LARGE', text: /runBytesMax=2500/ } });
});

t.test('a run that has no room fails, whatever its join makes of one step', async (t) => {
  const rig = new WorkflowRig({ runBytesMax: 1_000 });
  const { run } = rig.begin([stage('a', { forEach: 'input', join: { quorum: 1 } })], [1, 2]);
  rig.result(rig.callOf('a', 0), 'x'.repeat(1_000));
  rig.fail(rig.callOf('a', 1), 'CANCELLED');
  t.match(rig.run(run, 'status'), { state: 'failed', reason: { code: 'TOO_LARGE' } });
});

t.test('a payload as deep as a message may be fails the step that would make it deeper, and nothing else', async (t) => {
  const rig = new WorkflowRig();
  rig.define([stage('a'), stage('b', { input: { x: 'a' } })]);
  const { run } = rig.start();
  rig.resultBytes(rig.call, Uint8Array.from([...Array(62).fill(0x91), 0x01]));
  t.equal(rig.call.stage, 'b', '62 deep, and two around it: as deep as a message may be');
  rig.fail(rig.call, 'BAD_REQUEST');
  const deeper = rig.start();
  rig.resultBytes(rig.call, Uint8Array.from([...Array(63).fill(0x91), 0x01]));
  t.match(rig.run(deeper.run, 'status').reason, { code: 'BAD_REQUEST', text: /nested too deeply/ });
  t.equal(rig.run(run, 'status').state, 'failed');
});

t.test('a result that is too deep or too long for an event is left out of it', async (t) => {
  const rig = new WorkflowRig();
  const { topic } = rig.begin(ONE);
  rig.resultBytes(rig.call, Uint8Array.from([...Array(63).fill(0x91), 0x01]));
  t.same(rig.events(topic).at(-1), { kind: 'succeeded', atMs: rig.nowMs, resultBytes: 64 });
  const long = rig.start();
  rig.result(rig.call, 'x'.repeat(66_000));
  t.same(rig.events(long.topic).at(-1), { kind: 'succeeded', atMs: rig.nowMs, resultBytes: 66_005 });
  t.equal(rig.run(long.run, 'result').result.length, 66_000);
});

t.test('steps of all runs share the lane’s bound, a step each in turn', async (t) => {
  const rig = new WorkflowRig({ stepsInFlightMax: 2 });
  rig.define([stage('a', { forEach: 'input' })]);
  const runs = [rig.start([1, 2, 3, 4]), rig.start([5, 6])];
  rig.advance(0);
  t.equal(rig.calls.size, 2);
  t.equal(rig.metric('stepsInFlight'), 2);
  t.equal(rig.metric('stepsWaiting'), 4);
  const order: number[] = [];
  while (rig.calls.size > 0) {
    const call = [...rig.calls.values()][0];
    if (call === undefined) break;
    order.push(call.payload);
    rig.result(call, call.payload);
    t.ok(rig.calls.size <= 2);
  }
  t.same(order, [1, 2, 3, 5, 4, 6]);
  for (const { run } of runs) t.equal(rig.run(run, 'status').state, 'succeeded');
});

t.test(
  'steps of all runs in memory are bounded: ended runs go first, then a stage fails that has no room, and START is refused',
  async (t) => {
    const rig = new WorkflowRig({ stepsMax: 6 });
    rig.define([stage('a', { forEach: 'input' }), stage('b', { forEach: 'a' })]);
    const work = (): void => {
      for (const call of [...rig.calls.values()]) rig.result(call, call.payload);
    };
    const first = rig.start([1]);
    while (rig.calls.size > 0) work();
    rig.advance(0);
    t.equal(rig.metric('steps'), 2);

    const second = rig.start([1, 2, 3]);
    rig.advance(0);
    t.equal(rig.metric('steps'), 5);
    work();
    rig.advance(0);
    t.equal(rig.metric('steps'), 6, 'the second stage took the room of the run that had ended');
    t.match(rig.run(first.run, 'status'), [33, Number, 103, /no such run/]);
    t.match(rig.start([1]), [33, Number, 106, /all the steps/, { laneSteps: 6, stepsMax: 6, retryAfterMs: Number }]);

    while (rig.calls.size > 0) work();
    t.equal(rig.run(second.run, 'status').state, 'succeeded');
    const third = rig.start([1, 2, 3, 4]);
    t.match(rig.run(second.run, 'status'), [33, Number, 103, /no such run/]);
    work();
    t.match(rig.run(third.run, 'status'), {
      state: 'failed',
      stage: 'b',
      reason: { code: 'OVERLOADED', text: /no room for the stage's steps: steps=4, laneSteps=4, stepsMax=6/ },
    });
    rig.advance(0);
    t.equal(rig.metric('steps'), 4);
    rig.replace();
    rig.advance(0);
    t.equal(rig.metric('steps'), 4, 'a lane that takes its place counts the same');
    t.equal(rig.run(third.run, 'status').state, 'failed');
  },
);

t.test('a stage that would have no room even without all ended runs has none of them forgotten', async (t) => {
  const rig = new WorkflowRig({ stepsMax: 4 });
  rig.define([stage('a', { forEach: 'input' })]);
  const ended = rig.start([1]);
  rig.result(rig.call, 1);
  const tooMany = rig.start([1, 2, 3, 4, 5]);
  t.match(rig.run(tooMany.run, 'status'), { state: 'failed', reason: { code: 'OVERLOADED' } });
  t.equal(rig.run(ended.run, 'status').state, 'succeeded');
});

t.test(
  'events of all runs in memory are bounded: ended runs go, then what fails is not tried again, and START is refused',
  async (t) => {
    const rig = new WorkflowRig({ runEventsMax: 20 });
    rig.define([stage('a', { retries: { max: 100, backoffMs: 0 } })]);
    const first = rig.start();
    rig.result(rig.call, 1);
    rig.advance(0);
    const events = rig.metric('runEvents');
    t.equal(events, rig.run(first.run, 'status').offset);

    const second = rig.start();
    let tries = 0;
    for (; rig.calls.size > 0; tries++) {
      rig.fail(rig.call, 'TIMEOUT');
      while (rig.calls.size === 0 && rig.advanceToTimer(10_000));
    }
    t.ok(tries > 5 && tries < 12, `tried ${tries} times`);
    t.match(rig.run(first.run, 'status'), [33, Number, 103, /no such run/]);
    t.match(rig.run(second.run, 'status'), { state: 'failed', reason: { code: 'TIMEOUT' } });
    rig.advance(0);
    const { offset } = rig.run(second.run, 'status');
    t.equal(rig.metric('runEvents'), offset);
    rig.replace();
    rig.advance(0);
    t.equal(rig.metric('runEvents'), offset, 'a lane that takes its place counts the same');

    const third = rig.start();
    t.match(third, { run: String }, 'the failed run makes room');
    t.match(rig.run(second.run, 'status'), [33, Number, 103, /no such run/]);
  },
);

t.test('the steps of a run that is retried are counted once', async (t) => {
  const rig = new WorkflowRig({ stepsMax: 10 });
  const { run } = rig.begin([stage('a', { forEach: 'input', retries: { max: 0 } })], [1, 2, 3]);
  for (const call of [...rig.calls.values()]) rig.fail(call, 'TIMEOUT');
  t.equal(rig.run(run, 'status').state, 'failed');
  rig.run(run, 'retry');
  rig.advance(0);
  t.equal(rig.metric('steps'), 3);
});

t.test('DEFINE has no options: nil or a map, whose keys are passed over', async (t) => {
  const rig = new WorkflowRig();
  const definition = { name: 'w', version: 1, stages: ONE };
  for (const bad of [1, 'x', [], true])
    t.match(rig.ask([20, 'w', bad, definition]), [33, Number, 100, /options must be a map or nil/]);
  t.same(rig.ask([20, 'w', { later: 1 }, definition]), { workflow: 'w', version: 1 });
});

// ---- RUN

t.test('what is not there is NOT_FOUND, what is not so is CONFLICT', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', { forEach: 'input' })], [1, 2]);
  t.match(rig.run('nope', 'status'), [33, Number, 103, /no such run/, { workflow: 'w', run: 'nope' }]);
  t.match(rig.run(run, 'status', {}, 'v'), [33, Number, 103]);
  t.match(rig.run(run, 'result'), [33, Number, 112, /no result/, { state: 'running' }]);
  t.match(rig.run(run, 'result', { stage: 'x' }), [33, Number, 103, /no such stage/]);
  t.match(rig.run(run, 'result', { stage: 'a' }), [33, Number, 112, /no result/]);
  t.match(rig.run(run, 'result', { stage: 'a', index: 1 }), [33, Number, 112, /no result/]);
  t.match(rig.run(run, 'result', { stage: 'a', index: 2 }), [33, Number, 103, /no such step/, { steps: 2 }]);
  rig.result(rig.callOf('a', 1), 'x');
  t.same(rig.run(run, 'result', { stage: 'a', index: 1 }), { result: 'x' });
});

t.test('a result over what an answer holds is TOO_LARGE; its parts can be had', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', { forEach: 'input' })], [1, 2, 3, 4]);
  for (const index of [0, 1, 2, 3]) rig.result(rig.callOf('a', index), 'x'.repeat(80_000));
  t.match(rig.run(run, 'result'), [33, Number, 107, /ask for a stage, or for one part/, { resultBytesMax: 262_144 }]);
  t.equal(rig.run(run, 'result', { stage: 'a', index: 3 }).result.length, 80_000);
});

t.test('lists: newest first, by state, bounded; by pattern as a query of every lane', async (t) => {
  const rig = new WorkflowRig();
  rig.define(ONE);
  rig.define(ONE, { name: 'v.x' });
  const first = rig.start(null, { key: 'k' });
  rig.result(rig.call, 1);
  rig.advance(10);
  const second = rig.start();
  const other = rig.start(null, null, 'v.x');
  const runs = (answer: Any): string[] => answer.runs.map(({ run }: Any) => run);
  t.same(runs(rig.ask([13, 'w', { action: 'list' }])), [second.run, first.run]);
  t.same(runs(rig.ask([13, 'w', { action: 'list', limit: 1 }])), [second.run]);
  t.same(rig.ask([13, 'w', { action: 'list', state: 'succeeded' }]).runs, [
    {
      workflow: 'w',
      run: first.run,
      version: 1,
      state: 'succeeded',
      key: 'k',
      startedAtMs: rig.nowMs - 10,
      endedAtMs: rig.nowMs - 10,
      resultBytes: 1,
    },
  ]);
  t.same(rig.ask([13, 'nothing', { action: 'list' }]), { runs: [] });
  t.same(
    rig.query('>', { action: 'list' }).map(({ run }: Any) => run),
    [other.run, second.run, first.run],
  );
  t.same(
    rig.query('v.*', { action: 'list' }).map(({ run }: Any) => run),
    [other.run],
  );
});

t.test('ended runs beyond the bound are forgotten, oldest end first, and the journal with them', async (t) => {
  const rig = new WorkflowRig({ runsEndedMax: 1 });
  rig.define(ONE);
  const [first, second] = [rig.start(), rig.start()];
  const [one, two] = [...rig.calls.values()];
  if (one === undefined || two === undefined) throw new Error('two calls');
  rig.result(two, 2);
  t.equal(rig.run(second.run, 'status').state, 'succeeded');
  rig.result(one, 1);
  t.match(rig.run(second.run, 'status'), [33, Number, 103]);
  t.equal(rig.run(first.run, 'status').state, 'succeeded');
  t.same([...rig.journal.keys()], ['definition', first.topic]);
  t.equal(rig.metric('runsForgotten'), 1);
  rig.advance(0);
  t.equal(rig.metric('runsEnded'), 1);
  t.equal(rig.metric('runsInFlight'), 0);
});

t.test('none are kept where none may be', async (t) => {
  const rig = new WorkflowRig({ runsEndedMax: 0 });
  const { run, topic } = rig.begin([stage('a', { forEach: 'input', join: { quorum: 1 } })], [1, 2]);
  const slow = rig.callOf('a', 1);
  rig.result(rig.callOf('a', 0), 1);
  t.match(rig.run(run, 'status'), [33, Number, 103]);
  rig.result(slow, 2);
  t.equal(rig.kinds(topic).at(-1), 'succeeded', 'its topic is closed');
  t.same([...rig.journal.keys()], ['definition']);
});

for (const { name, message } of [
  { name: 'START with a bad key', message: [12, 'w', { key: 7 }, null] },
  { name: 'START with a deadline of nothing', message: [12, 'w', { deadlineMs: 0 }, null] },
  { name: 'START with options that are none', message: [12, 'w', [1], null] },
  { name: 'RUN without an action', message: [13, 'w', { run: 'x' }] },
  { name: 'RUN with nothing', message: [13, 'w', null] },
  { name: 'RUN without a run', message: [13, 'w', { action: 'status' }] },
  { name: 'a state that is none', message: [13, 'w', { action: 'list', state: 'sleeping' }] },
  { name: 'an index without a stage', message: [13, 'w', { action: 'result', run: 'x', index: 1 }] },
]) {
  t.test(`BAD_REQUEST: ${name}`, async (t) => {
    const rig = new WorkflowRig();
    rig.define(ONE);
    t.match(rig.ask(message), [33, Number, 100]);
  });
}

t.test('answers that are none are passed over', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin(ONE);
  const { id } = rig.call;
  rig.reply(pack([32, id, null]), pack([37, 999, false, 1]), pack([33, 0, 106, 'x', null]));
  for (const bytes of [[0xc1], [0x94, 37], [0x01], [], [0x93, 32]]) rig.reply(Uint8Array.from(bytes));
  t.equal(rig.run(run, 'status').state, 'running');
  rig.result(rig.call, 1);
  t.equal(rig.run(run, 'status').state, 'succeeded');
});

t.test('an error of a service may hold anything', async (t) => {
  for (const details of [
    [0xc0],
    [0x81, 0xa4, 0x63, 0x6f, 0x64, 0x65, 0xd4, 0x42, 0xff], // {code: an extension}
    [0x81, 0xa4, 0x74, 0x65, 0x78, 0x74, 0xa2, 0xff, 0xfe], // {text: no UTF-8}
    [0x81, 0xa4, 0x63, 0x6f, 0x64, 0x65, 0x81, 0xa1, 0x78, 0x01], // {code: a map}
    [0x92, 0x01, 0x02],
    [0xa1, 0x78],
  ]) {
    const rig = new WorkflowRig();
    const { run } = rig.begin([stage('a', { retries: { max: 0 } })]);
    rig.reply(concat(pack([33, rig.call.id, 120, 'x']).with(0, 0x95), Uint8Array.from(details)));
    t.match(rig.run(run, 'status'), { state: 'failed', reason: { code: 'SERVICE_ERROR' } });
  }
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', { retries: { max: 0 } })]);
  rig.fail(rig.call, 'SERVICE_ERROR', { code: 'E'.repeat(500), text: `${'x'.repeat(999)}\u{1f600}` });
  const { reason } = rig.run(run, 'status');
  t.equal(reason.serviceCode.length, 128);
  t.equal(reason.text.length, 1_000);
});

t.test('several answers in one record are read in their order', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', { forEach: 'input' })], [1, 2]);
  const [one, two] = [...rig.calls.values()];
  rig.reply(pack([37, one?.id, false, 'x']), pack([37, two?.id, false, 'y']));
  t.same(rig.run(run, 'result'), { result: ['x', 'y'] });
});

// ---- topics

t.test('a watcher who subscribes from where START says gets every event, live and after a death', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic, epoch, offset } = rig.begin([stage('a'), stage('b', { input: 'a' })]);
  rig.watch(topic, { epoch, offset });
  rig.result(rig.call, 1);
  rig.replace();
  rig.result(rig.call, 2);
  const offsets = rig.watched.flatMap((frame) => (frame[0] === 34 ? [frame[3]] : []));
  t.same(
    offsets,
    rig.history(topic).messages.map(([at]: Any[]) => at),
  );
  t.equal(rig.history(topic).epoch, epoch);
  t.match(
    rig.watched.find((frame) => frame[3] === 'lost'),
    [35, rig.watched[0]?.[2].sub, null, 'lost', { epoch, offset: 7 }],
  );
  t.equal(rig.run(run, 'status').state, 'succeeded');
});

t.test('a topic that was forgotten while its run slept goes on where it stood', async (t) => {
  const rig = new WorkflowRig({}, { topicIdleMs: 1_000, topicRules: [{ match: '$workflow.>', history: { ageMs: 1_000 } }] });
  const { topic, epoch } = rig.begin([stage('a', { timeoutMs: 500_000 })]);
  for (let minute = 0; minute < 5; minute++) rig.advance(60_000);
  t.equal(rig.metric('topicsEvictedIdle'), 1);
  rig.result(rig.call, 1);
  t.match(rig.history(topic), { epoch, first: 4, offset: 6 });
});

t.test('dead letters of the runs that are kept are there after a death, in another stream', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin(ONE);
  rig.fail(rig.call, 'BAD_REQUEST');
  const before = rig.history('$dead.w');
  rig.replace();
  const after = rig.history('$dead.w');
  t.same(after.messages, before.messages);
  t.not(after.epoch, before.epoch);
  t.equal(rig.run(run, 'retry').state, 'running');
  t.equal(rig.call.attempt, 2);
});
