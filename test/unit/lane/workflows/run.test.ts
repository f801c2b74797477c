/** Runs from START to their end: data, joins, retries, time-outs, and what RUN can do to them. */
import t from 'tap';
import { stage, WorkflowRig } from './workflow-rig.ts';

const FAST = { retries: { backoffMs: 100, jitter: 0 } };

t.test('a run of one stage: its input goes to the service, the result comes back, every transition is told', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic, epoch, offset, version } = rig.begin([stage('a')], { no: 17 });
  t.match({ topic, offset, version }, { topic: `$workflow.w.${run}`, offset: 0, version: 1 });
  t.match(run, /^[0-9a-z_-]{12}$/);
  t.same(rig.call.payload, { no: 17 });
  t.same(rig.call.options, {
    deadlineMs: 30_000,
    headers: { workflow: 'w', run, stage: 'a', index: '0', attempt: '1' },
    idempotent: false,
  });
  rig.result(rig.call, 'done');
  t.same(rig.events(topic), [
    { kind: 'started', atMs: rig.nowMs, workflow: 'w', run, version: 1, inputBytes: 5 },
    { kind: 'stageStarted', atMs: rig.nowMs, stage: 'a', steps: 1 },
    { kind: 'stepStarted', atMs: rig.nowMs, stage: 'a', index: 0, attempt: 1 },
    { kind: 'stepSucceeded', atMs: rig.nowMs, stage: 'a', index: 0, attempt: 1, bytes: 5 },
    { kind: 'stageSucceeded', atMs: rig.nowMs, stage: 'a', succeeded: 1, failed: 0, leftOut: 0 },
    { kind: 'succeeded', atMs: rig.nowMs, resultBytes: 5, result: 'done' },
  ]);
  t.match(rig.history(topic), { epoch, offset: 6 });
  t.match(rig.run(run, 'status'), { state: 'succeeded', resultBytes: 5, offset: 6, epoch });
  t.same(rig.run(run, 'result'), { result: 'done' });
});

// ---- how data moves

t.test('a line of stages: each gets the result of the one it names', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a'), stage('b', { input: 'a' }), stage('c', { input: { x: 'b', y: 'input' } })], 'in');
  rig.result(rig.call, 'of a');
  t.equal(rig.call.payload, 'of a');
  rig.result(rig.call, 'of b');
  t.same(rig.call.payload, { x: 'of b', y: 'in' });
  rig.result(rig.call, 'of c');
  t.same(rig.run(run, 'result'), { result: 'of c' });
  t.same(rig.run(run, 'result', { stage: 'a' }), { result: 'of a' });
});

t.test(
  'a DAG: what depends on nothing begins at once, what joins waits for all; the result is a map of the leaves',
  async (t) => {
    const rig = new WorkflowRig();
    const { run } = rig.begin([
      stage('a'),
      stage('b'),
      stage('join', { input: { a: 'a', b: 'b' } }),
      stage('aside', { after: ['a'] }),
    ]);
    t.equal(rig.calls.size, 2);
    rig.result(rig.callOf('a'), 1);
    t.same([...rig.calls.values()].map(({ stage: name }) => name).sort(), ['aside', 'b']);
    rig.result(rig.callOf('b'), 2);
    t.same(rig.callOf('join').payload, { a: 1, b: 2 });
    rig.result(rig.callOf('join'), 3);
    rig.result(rig.callOf('aside'), 4);
    t.same(rig.run(run, 'result'), { result: { join: 3, aside: 4 } });
  },
);

t.test('sift, cast, spawn, stitch: one step per element, bounded, joined in the order of the parts', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin(
    [
      stage('sift'),
      stage('cast', { forEach: { stage: 'sift', field: 'pages' }, concurrency: 2 }),
      stage('spawn', { forEach: 'cast', input: { of: 'input' } }),
      stage('stitch', { input: 'spawn' }),
    ],
    'doc',
  );
  rig.result(rig.call, { pages: ['p0', 'p1', 'p2'], title: 't' });
  t.equal(rig.calls.size, 2, 'no more at once than concurrency says');
  t.equal(rig.callOf('cast', 1).payload, 'p1', 'the element is the payload');
  rig.result(rig.callOf('cast', 1), 'c1');
  rig.result(rig.callOf('cast', 2), 'c2');
  rig.result(rig.callOf('cast', 0), 'c0');
  t.same(rig.callOf('spawn', 2).payload, { item: 'c2', index: 2, of: 'doc' });
  for (const index of [2, 0, 1]) rig.result(rig.callOf('spawn', index), `s${index}`);
  t.same(rig.call.payload, ['s0', 's1', 's2']);
  rig.result(rig.call, 'whole');
  t.same(rig.run(run, 'result', { stage: 'cast', index: 1 }), { result: 'c1' });
});

t.test('payloads are spliced byte for byte, whatever their encoder made of them', async (t) => {
  const rig = new WorkflowRig();
  rig.define([stage('a'), stage('b', { forEach: 'a' })]);
  // A list of two in its longest form; a text that is no UTF-8, and a number in five bytes too many.
  const list = Uint8Array.of(0xdd, 0, 0, 0, 2, 0xa2, 0xff, 0xfe, 0xcf, 0, 0, 0, 0, 0, 0, 0, 7);
  rig.start();
  rig.resultBytes(rig.call, list);
  t.same([...rig.callOf('b', 0).bytes.slice(-3)], [0xa2, 0xff, 0xfe]);
  t.same([...rig.callOf('b', 1).bytes.slice(-9)], [0xcf, 0, 0, 0, 0, 0, 0, 0, 7]);
});

for (const { name, forEach, result, code, text } of [
  { name: 'no list', forEach: 'a', result: 7, code: 'BAD_REQUEST', text: /the result of 'a' is no list/ },
  { name: 'a map', forEach: 'a', result: { x: 1 }, code: 'BAD_REQUEST', text: /is no list/ },
  {
    name: 'a map without the field',
    forEach: { stage: 'a', field: 'x' },
    result: { y: [] },
    code: 'BAD_REQUEST',
    text: /no map with a field 'x'/,
  },
  {
    name: 'a field that is no list',
    forEach: { stage: 'a', field: 'x' },
    result: { x: 'no' },
    code: 'BAD_REQUEST',
    text: /'x' in the result of 'a' is no list/,
  },
  {
    name: 'a list with a field',
    forEach: { stage: 'a', field: 'x' },
    result: [1],
    code: 'BAD_REQUEST',
    text: /no map with a field/,
  },
  { name: 'too many', forEach: 'a', result: Array(10_001).fill(0), code: 'TOO_LARGE', text: /count=10001, countMax=10000/ },
]) {
  t.test(`forEach over ${name} fails the run, which says why`, async (t) => {
    const rig = new WorkflowRig();
    const { run } = rig.begin([stage('a'), stage('b', { forEach })]);
    rig.result(rig.call, result);
    const { state, reason, stage: failed } = rig.run(run, 'status');
    t.match({ state, reason, failed }, { state: 'failed', reason: { code, text }, failed: 'b' });
  });
}

for (const { name, join, want } of [
  { name: 'all', join: 'all', want: { state: 'succeeded' } },
  { name: 'a deadline', join: { deadlineMs: 100 }, want: { state: 'succeeded' } },
  { name: 'a quorum', join: { quorum: 1 }, want: { state: 'failed', reason: { text: /quorum=1, steps=0/ } } },
] as const) {
  t.test(`forEach over nothing, joined by ${name}`, async (t) => {
    const rig = new WorkflowRig();
    const { run } = rig.begin([stage('b', { forEach: 'input', join })], []);
    t.match(rig.run(run, 'status'), want);
    if (want.state === 'succeeded') t.same(rig.run(run, 'result'), { result: [] });
  });
}

// ---- joins

t.test('a quorum is enough: the others are called off, left out as nil, and late', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin([stage('b', { forEach: 'input', join: { quorum: 2 } })], ['x', 'y', 'z']);
  const slow = rig.callOf('b', 1);
  rig.result(rig.callOf('b', 2), 'Z');
  rig.result(rig.callOf('b', 0), 'X');
  t.same(rig.commands, [[6, 0, 's', slow.id]]);
  t.same(rig.run(run, 'result'), { result: ['X', null, 'Z'] });
  rig.result(slow, 'Y');
  t.same(rig.events(topic).at(-1), { kind: 'lateResult', atMs: rig.nowMs, stage: 'b', index: 1, attempt: 1, bytes: 2 });
  t.same(rig.run(run, 'result'), { result: ['X', null, 'Z'] }, 'and changes nothing');
  t.equal(rig.metric('resultsLate'), 1);
});

t.test('a quorum that cannot be reached any more fails the stage', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('b', { forEach: 'input', join: { quorum: 2 } })], ['x', 'y', 'z']);
  rig.fail(rig.callOf('b', 0), 'BAD_REQUEST');
  t.match(rig.run(run, 'status'), { state: 'running', stages: [{ failed: 1, inFlight: 2 }] });
  rig.fail(rig.callOf('b', 1), 'BAD_REQUEST');
  t.match(rig.run(run, 'status'), { state: 'cancelling', reason: { code: 'BAD_REQUEST', text: /quorum=2, steps=3, failed=2/ } });
});

t.test('a deadline joins what has come; none at all fails', async (t) => {
  const rig = new WorkflowRig();
  rig.define([stage('b', { forEach: 'input', join: { deadlineMs: 500 } })]);
  const some = rig.start(['x', 'y']);
  rig.result(rig.callOf('b', 0), 'X');
  rig.advance(499);
  t.equal(rig.run(some.run, 'status').state, 'running');
  rig.advance(1);
  t.same(rig.run(some.run, 'result'), { result: ['X', null] });
  rig.calls.clear();
  const none = rig.start(['x', 'y']);
  rig.advance(500);
  t.match(
    rig.events(none.topic).find(({ kind }) => kind === 'stageFailed'),
    { reason: { code: 'TIMEOUT', text: /deadlineMs=500, steps=2/ } },
  );
});

// ---- attempts

t.test('a failed step comes back after a growing time, and not for ever', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin([
    stage('a', { retries: { max: 2, backoffMs: 100, backoffMsMax: 150, factor: 2, jitter: 0 } }),
  ]);
  rig.fail(rig.call, 'SERVICE_ERROR', { code: 'E7', text: 'paper jam' });
  rig.advance(99);
  t.equal(rig.calls.size, 0);
  rig.advance(1);
  t.equal(rig.call.attempt, 2);
  rig.fail(rig.call, 'RESPONDER_LOST');
  rig.advance(150);
  t.equal(rig.call.attempt, 3);
  rig.fail(rig.call, 'SERVICE_ERROR', { code: 'E7', text: 'paper jam' });
  t.match(
    rig.events(topic).filter(({ kind }) => kind === 'stepRetried'),
    [
      { attempt: 1, afterMs: 100, reason: { code: 'SERVICE_ERROR', serviceCode: 'E7', text: 'paper jam' } },
      { attempt: 2, afterMs: 150, reason: { code: 'RESPONDER_LOST' } },
    ],
  );
  t.match(rig.run(run, 'status'), {
    state: 'failed',
    stage: 'a',
    reason: { code: 'SERVICE_ERROR', serviceCode: 'E7', text: 'paper jam' },
  });
});

t.test('jitter takes a share off, of the lane’s own chance', async (t) => {
  const rig = new WorkflowRig();
  const { topic } = rig.begin([stage('a', { retries: { max: 50, backoffMs: 1_000, backoffMsMax: 1_000, jitter: 0.5 } })]);
  for (let round = 0; round < 50; round++) {
    rig.fail(rig.call, 'TIMEOUT');
    rig.advance(1_000);
  }
  const delays = rig.events(topic).flatMap(({ kind, afterMs }) => (kind === 'stepRetried' ? [afterMs] : []));
  t.ok(delays.every((delayMs) => delayMs >= 500 && delayMs <= 1_000));
  t.ok(new Set(delays).size > 20);
});

t.test('where nobody has room the full delay holds, and what the service asked for', async (t) => {
  const rig = new WorkflowRig();
  const { topic } = rig.begin([stage('a', { retries: { max: 9, backoffMs: 1_000, factor: 1, jitter: 0.5 } })]);
  rig.fail(rig.call, 'OVERLOADED', { retryAfterMs: 5_000 });
  rig.advance(10_000);
  rig.fail(rig.call, 'NO_RESPONDERS');
  const [overloaded, nobody] = rig.events(topic).flatMap(({ kind, afterMs }) => (kind === 'stepRetried' ? [afterMs] : []));
  t.ok(overloaded >= 5_000 && overloaded <= 7_500, `${overloaded}`);
  t.ok(nobody >= 1_000 && nobody <= 1_500, `${nobody}`);
});

for (const { name, nonRetryable, fail, details } of [
  { name: 'a service’s code', nonRetryable: ['E7'], fail: 'SERVICE_ERROR', details: { code: 'E7' } },
  { name: 'a service’s number', nonRetryable: [404], fail: 'SERVICE_ERROR', details: { code: 404 } },
  { name: 'a wire code', nonRetryable: ['TIMEOUT'], fail: 'TIMEOUT', details: null },
  { name: 'every error of services', nonRetryable: ['SERVICE_ERROR'], fail: 'SERVICE_ERROR', details: { code: 'E8' } },
  { name: 'what is never retried', nonRetryable: [], fail: 'FORBIDDEN', details: null },
] as const) {
  t.test(`not retried: ${name}`, async (t) => {
    const rig = new WorkflowRig();
    const { run } = rig.begin([stage('a', { retries: { nonRetryable } })]);
    rig.fail(rig.call, fail, details);
    t.match(rig.run(run, 'status'), { state: 'failed', reason: { code: fail } });
  });
}

t.test('a step that takes too long is given up and tried again; its late result is told and dropped', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin([stage('a', { timeoutMs: 1_000, ...FAST })]);
  const first = rig.call;
  rig.advance(1_000);
  t.same(rig.commands, [[6, 0, 's', first.id]], 'the service hears of it');
  t.match(rig.events(topic).at(-1), { kind: 'stepRetried', reason: { code: 'TIMEOUT', text: /timeoutMs=1000/ } });
  rig.advance(100);
  rig.calls.delete(first.id);
  const second = rig.call;
  rig.result(first, 'late');
  t.match(rig.events(topic).at(-1), { kind: 'lateResult', attempt: 1 });
  rig.result(second, 'in time');
  t.same(rig.run(run, 'result'), { result: 'in time' });
  rig.result(second, 'twice');
  rig.fail(first, 'CANCELLED');
  t.same(rig.kinds(topic).slice(-2), ['stageSucceeded', 'succeeded'], 'an answer counts once');
});

t.test('without a heartbeat a step is given up, with them it lives up to its time-out', async (t) => {
  const rig = new WorkflowRig();
  const { topic } = rig.begin([stage('a', { timeoutMs: 1_000, heartbeatTimeoutMs: 300, ...FAST })]);
  for (let beat = 0; beat < 3; beat++) {
    rig.advance(299);
    rig.part(rig.call);
  }
  t.equal(rig.events(topic).at(-1).kind, 'stepStarted');
  rig.advance(103);
  t.match(rig.events(topic).at(-1).reason, { code: 'TIMEOUT', text: /timeoutMs=1000/ });
  rig.calls.clear();
  rig.advance(100);
  rig.advance(300);
  t.match(rig.events(topic).at(-1).reason, { code: 'TIMEOUT', text: /heartbeatTimeoutMs=300/ });
});

t.test('a stream of parts is given credit, and its last part is the result', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a')]);
  for (let part = 0; part < 64; part++) rig.part(rig.call, part);
  t.same(rig.commands, [
    [17, 0, 's', 1, 32],
    [17, 0, 's', 1, 32],
  ]);
  rig.result(rig.call, 'last');
  t.same(rig.run(run, 'result'), { result: 'last' });
});

// ---- what RUN does

t.test('paused: nothing new is issued, what is in flight may end; resumed, it goes on', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a'), stage('b', { input: 'a' })]);
  t.equal(rig.run(run, 'pause').state, 'paused');
  rig.result(rig.call, 1);
  t.equal(rig.calls.size, 0);
  t.match(rig.run(run, 'status'), { state: 'paused', stages: [{ state: 'succeeded' }, { state: 'waiting' }] });
  t.equal(rig.run(run, 'resume').state, 'running');
  rig.result(rig.call, 2);
  t.equal(rig.run(run, 'status').state, 'succeeded');
});

t.test('a back-off that ends in a pause waits for its end', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', FAST)]);
  rig.fail(rig.call, 'TIMEOUT');
  rig.run(run, 'pause');
  rig.advance(1_000);
  t.equal(rig.calls.size, 0);
  rig.run(run, 'resume');
  t.equal(rig.call.attempt, 2);
});

t.test('cancelled: what is in flight is called off and waited for', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin([stage('a'), stage('b', { input: 'a' })]);
  t.match(rig.run(run, 'cancel'), { state: 'cancelling', outcome: 'cancelled' });
  t.same(rig.commands, [[6, 0, 's', rig.call.id]]);
  rig.fail(rig.call, 'CANCELLED');
  t.match(rig.run(run, 'status'), { state: 'cancelled', stages: [{ failed: 1 }, { state: 'waiting' }] });
  t.same(rig.kinds(topic).slice(-3), ['cancelling', 'stepFailed', 'cancelled']);
  t.equal(rig.metric('runsCancelled'), 1);
});

t.test('a run that is cancelled while nothing is in flight ends at once', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', FAST)]);
  rig.fail(rig.call, 'TIMEOUT');
  t.equal(rig.run(run, 'cancel').state, 'cancelled');
  rig.advance(10_000);
  t.equal(rig.calls.size, 0, 'its back-off went with it');
});

t.test('every action in every state: done, or CONFLICT with the state', async (t) => {
  const states: Record<string, (rig: WorkflowRig, run: string) => void> = {
    running: () => {},
    paused: (rig, run) => rig.run(run, 'pause'),
    cancelling: (rig, run) => rig.run(run, 'cancel'),
    compensating: (rig, run) => {
      rig.result(rig.callOf('a'), 1);
      rig.run(run, 'cancel');
      rig.fail(rig.callOf('b'), 'CANCELLED');
    },
    succeeded: (rig) => {
      rig.result(rig.callOf('a'), 1);
      rig.result(rig.callOf('b'), 1);
    },
    failed: (rig) => {
      rig.fail(rig.callOf('a'), 'BAD_REQUEST');
    },
    cancelled: (rig, run) => {
      rig.run(run, 'cancel');
      rig.fail(rig.callOf('a'), 'CANCELLED');
    },
  };
  const allowed: Record<string, readonly string[]> = {
    cancel: ['running', 'paused'],
    pause: ['running'],
    resume: ['paused'],
    retry: ['failed'],
  };
  for (const [state, reach] of Object.entries(states)) {
    for (const action of ['cancel', 'pause', 'resume', 'retry']) {
      const rig = new WorkflowRig();
      const { run } = rig.begin([stage('a', { compensate: { service: 's', method: 'undo' } }), stage('b', { after: ['a'] })]);
      reach(rig, run);
      t.equal(rig.run(run, 'status').state, state);
      const answer = rig.run(run, action);
      if (allowed[action]?.includes(state)) t.notOk(Array.isArray(answer), `${action} when ${state}`);
      else t.match(answer, [33, Number, 112, /./, { state, action }], `${action} when ${state}`);
    }
  }
});

t.test('a run’s deadline ends it, paused or not; START may say its own', async (t) => {
  const rig = new WorkflowRig();
  rig.define([stage('a')], { deadlineMs: 5_000 });
  const own = rig.start(null, { deadlineMs: 2_000 });
  const { run } = rig.start();
  rig.run(own.run, 'pause');
  rig.advance(2_000);
  t.match(rig.run(own.run, 'status'), {
    state: 'cancelling',
    outcome: 'failed',
    reason: { code: 'TIMEOUT', text: /deadlineMs=2000/ },
  });
  t.equal(rig.run(run, 'status').state, 'running');
  t.equal(rig.run(run, 'status').deadlineAtMs, rig.nowMs + 3_000);
  rig.advance(3_000);
  t.equal(rig.run(run, 'status').state, 'cancelling');
});

// ---- undoing

const UNDONE = { compensate: { service: 'u', method: 'undo', timeoutMs: 700 } };

t.test('what has succeeded is undone in reverse order, part by part, with its input and result', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin(
    [
      stage('a', UNDONE),
      stage('b', { ...UNDONE, input: 'a' }),
      stage('c', { ...UNDONE, forEach: 'b', concurrency: 1 }),
      stage('d', { input: 'c' }),
    ],
    'in',
  );
  rig.result(rig.call, 'A');
  rig.result(rig.call, ['x', 'y', 'z']);
  rig.result(rig.call, 'X');
  rig.result(rig.call, 'Y');
  rig.fail(rig.call, 'BAD_REQUEST');
  const undone: unknown[] = [];
  while (rig.calls.size > 0) {
    const { service, method, isUndo, options, payload, stage: name, index, attempt } = rig.call;
    t.match(
      { service, method, isUndo, attempt, deadlineMs: options.deadlineMs },
      { service: 'u', method: 'undo', isUndo: true, attempt: 1, deadlineMs: 700 },
    );
    undone.push([name, index, payload]);
    rig.result(rig.call, null);
  }
  t.same(undone, [
    ['c', 1, { input: 'y', result: 'Y' }],
    ['c', 0, { input: 'x', result: 'X' }],
    ['b', 0, { input: 'A', result: ['x', 'y', 'z'] }],
    ['a', 0, { input: 'in', result: 'A' }],
  ]);
  t.match(
    rig.events(topic).find(({ kind }) => kind === 'compensating'),
    { outcome: 'failed', stage: 'c', reason: { code: 'BAD_REQUEST' }, steps: 4 },
  );
  t.match(
    rig.events(topic).find(({ kind }) => kind === 'failed'),
    { stage: 'c', reason: { code: 'BAD_REQUEST' }, compensationsFailed: 0 },
  );
  t.match(rig.run(run, 'status'), { state: 'failed', stage: 'c' });
});

t.test('undoing is retried as its stage is; what cannot be undone is told, and the rest is undone all the same', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin([
    stage('a', UNDONE),
    stage('b', { ...UNDONE, input: 'a', retries: { max: 1, backoffMs: 100, jitter: 0 } }),
    stage('c', { input: 'b' }),
  ]);
  rig.result(rig.call, 1);
  rig.result(rig.call, 2);
  rig.run(run, 'cancel');
  rig.fail(rig.call, 'CANCELLED');
  rig.fail(rig.call, 'TIMEOUT');
  rig.advance(100);
  t.match(rig.call, { stage: 'b', attempt: 2, isUndo: true });
  rig.fail(rig.call, 'SERVICE_ERROR', { code: 'E', text: 'no' });
  t.match(rig.call, { stage: 'a', attempt: 1, isUndo: true });
  rig.result(rig.call, null);
  t.match(rig.run(run, 'status'), { state: 'cancelled', compensationsFailed: 1 });
  t.same(rig.kinds(topic).slice(-7), [
    'compensationStarted',
    'compensationRetried',
    'compensationStarted',
    'compensationFailed',
    'compensationStarted',
    'compensated',
    'cancelled',
  ]);
});

t.test('a result that comes although it was called off has happened: it is undone', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('a', UNDONE)]);
  rig.run(run, 'cancel');
  rig.result(rig.call, 'done');
  t.match(rig.call, { isUndo: true, payload: { result: 'done' } });
});

// ---- dead letters

t.test('a failed run is in the dead letters; retried, its failed steps run again and its finished ones do not', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic } = rig.begin([stage('a'), stage('b', { forEach: 'a', concurrency: 3 }), stage('c', { input: 'b' })]);
  rig.result(rig.call, ['x', 'y', 'z']);
  rig.result(rig.callOf('b', 0), 'X');
  rig.result(rig.callOf('b', 2), 'Z');
  rig.fail(rig.callOf('b', 1), 'BAD_REQUEST');
  const [letter] = rig.events('$dead.w');
  t.same(letter, {
    workflow: 'w',
    run,
    version: 1,
    topic,
    reason: { code: 'BAD_REQUEST', text: 'bad request' },
    stage: 'b',
    compensationsFailed: 0,
    failedAtMs: rig.nowMs,
  });
  t.match(rig.events(topic).at(-1), { kind: 'deadLettered', topic: '$dead.w', epoch: rig.history('$dead.w').epoch, offset: 1 });
  t.equal(rig.run(run, 'retry').state, 'running');
  t.match(rig.call, { stage: 'b', index: 1, attempt: 2 }, 'the only step that is issued again');
  rig.result(rig.call, 'Y');
  t.same(rig.call.payload, ['X', 'Y', 'Z']);
  rig.result(rig.call, 'end');
  t.match(rig.run(run, 'status'), { state: 'succeeded' });
  t.equal(rig.metric('deadLetters'), 1);
});

t.test('retried after it was undone, what was undone runs again, and so does what took its input from it', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([
    stage('a', UNDONE),
    stage('b', { input: 'a' }),
    stage('other'),
    stage('c', { input: { b: 'b', o: 'other' } }),
  ]);
  rig.result(rig.callOf('a'), 1);
  rig.result(rig.callOf('b'), 2);
  rig.result(rig.callOf('other'), 3);
  rig.fail(rig.callOf('c'), 'BAD_REQUEST');
  rig.result(rig.call, null);
  rig.run(run, 'retry');
  t.match(rig.call, { stage: 'a', attempt: 2 });
  rig.result(rig.call, 10);
  t.match(rig.call, { stage: 'b', attempt: 2, payload: 10 });
  rig.result(rig.call, 20);
  t.match(rig.call, { stage: 'c', attempt: 2, payload: { b: 20, o: 3 } });
  rig.fail(rig.call, 'BAD_REQUEST');
  t.match(rig.call, { stage: 'a', isUndo: true, attempt: 2 }, 'tokens never come again');
});

t.test('a forEach that failed over its input begins anew when it is retried', async (t) => {
  const rig = new WorkflowRig();
  const { run } = rig.begin([stage('b', { forEach: 'input' })], 'no list');
  t.equal(rig.run(run, 'retry').state, 'failed', 'and fails again: its input is the same');
  t.equal(rig.events('$dead.w').length, 2);
});
