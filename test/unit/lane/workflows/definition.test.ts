/** Definitions: every kind of problem, all of them at once, and the plan that a good one becomes. */
import t from 'tap';
import { parseDefinition, parseDefinitions, STAGES_MAX, tellProblems } from '../../../../src/lane/workflows/definition.ts';
import { FROM_INPUT, planOf } from '../../../../src/lane/workflows/plan.ts';
import { type Any, stage } from './workflow-rig.ts';

const BOUNDS = { timeoutMsMax: 600_000 };
const good = (stages: readonly unknown[], more: object = {}): Any => ({ name: 'w', version: 1, stages, ...more });
const one = (more: object): Any => good([{ ...stage('a'), ...more }]);
const two = (more: object): Any => good([stage('a'), { ...stage('b'), ...more }]);
const problemsOf = (input: unknown): readonly string[] => parseDefinition(input, BOUNDS).problems;

for (const { name, input, want } of [
  { name: 'nothing', input: null, want: [/a definition must be a map, got null/] },
  { name: 'a list', input: [], want: [/must be a map, got a list of 0/] },
  {
    name: 'an empty map',
    input: {},
    want: [/name must be the workflow's name/, /version must be an integer/, /stages must be a list/],
  },
  { name: 'an unknown key', input: good([stage('a')], { nmae: 1 }), want: [/^nmae is no key; known: name, version/] },
  { name: 'a bad name', input: good([stage('a')], { name: 'a..b' }), want: [/^name 'a\.\.b': a token must not be empty/] },
  { name: 'a pattern', input: good([stage('a')], { name: 'a.*' }), want: [/not a pattern/] },
  { name: 'a name of the relay', input: good([stage('a')], { name: '$a' }), want: [/belong to the relay/] },
  {
    name: 'a name whose topics would be too long',
    input: good([stage('a')], { name: Array(15).fill('a').join('.') }),
    want: [/14 tokens/],
  },
  {
    name: 'a name with too many bytes',
    input: good([stage('a')], { name: Array(4).fill('a'.repeat(60)).join('.') }),
    want: [/200 bytes/],
  },
  {
    name: 'version 0',
    input: good([stage('a')], { version: 0 }),
    want: [/^version must be an integer in \[1, 1000000000\], got 0$/],
  },
  { name: 'half a version', input: good([stage('a')], { version: 1.5 }), want: [/^version/] },
  { name: 'no room for runs', input: good([stage('a')], { runsInFlightMax: 0 }), want: [/^runsInFlightMax/] },
  { name: 'a deadline over a month', input: good([stage('a')], { deadlineMs: 2_592_000_001 }), want: [/^deadlineMs/] },
  { name: 'no stages', input: good([]), want: [/stages must be a list of 1 to 100/] },
  {
    name: 'too many stages',
    input: good(Array.from({ length: STAGES_MAX + 1 }, (_, i) => stage(`s${i}`))),
    want: [/1 to 100 stages, got a list of 101/],
  },
  { name: 'a stage that is no map', input: good([7]), want: [/stages\[0\] must be a map, got 7/] },
  {
    name: 'a stage without anything',
    input: good([{}]),
    want: [/stages\[0\]\.name must be/, /stages\[0\]\.service must be/, /stages\[0\]\.method must be/],
  },
  { name: 'a stage called input', input: good([stage('input')]), want: [/stages\[0\]\.name must be .* not 'input'/] },
  { name: 'a name with a dot', input: good([stage('a.b')]), want: [/stages\[0\]\.name/] },
  {
    name: 'two of a name',
    input: good([stage('a'), stage('a')]),
    want: [/stages\[1\]\.name 'a' is the name of stages\[0\] too/],
  },
  { name: 'a service that is a pattern', input: one({ service: 'x.*' }), want: [/service must be the name of a service/] },
  {
    name: 'a method that is too long',
    input: one({ method: 'x'.repeat(129) }),
    want: [/method must be a string of 1 to 128 bytes/],
  },
  {
    name: 'an input that is nowhere',
    input: one({ input: 'b' }),
    want: [/stages\[0\]\.input must be 'input' or the name of a stage, got 'b'/],
  },
  { name: 'an input that is a number', input: one({ input: 7 }), want: [/stages\[0\]\.input/] },
  { name: 'an input without arguments', input: one({ input: {} }), want: [/must have 1 to 32 arguments, got 0/] },
  { name: 'an argument from nowhere', input: one({ input: { x: 'zz' } }), want: [/stages\[0\]\.input\.x must be/] },
  { name: 'a forEach over nothing known', input: one({ forEach: 'zz' }), want: [/stages\[0\]\.forEach must be/] },
  { name: 'a forEach without a field', input: two({ forEach: { stage: 'a' } }), want: [/forEach\.field must be a string/] },
  {
    name: 'a forEach with a plain input',
    input: two({ forEach: 'a', input: 'a' }),
    want: [/must be a map of further arguments/],
  },
  {
    name: 'an argument that is forEach’s',
    input: two({ forEach: 'a', input: { item: 'a', index: 'a' } }),
    want: [/input\.item is what forEach/, /input\.index/],
  },
  {
    name: 'after what is none',
    input: two({ after: ['zz', 7] }),
    want: [/after\[0\] must be the name of a stage, got 'zz'/, /after\[1\].*got 7/],
  },
  { name: 'after no list', input: two({ after: 'a' }), want: [/after must be a list/] },
  {
    name: 'a time-out over what a CALL may',
    input: one({ timeoutMs: 600_001 }),
    want: [/timeoutMs must be an integer in \[1, 600000\]/],
  },
  { name: 'a heartbeat that is too quick', input: one({ heartbeatTimeoutMs: 99 }), want: [/heartbeatTimeoutMs/] },
  { name: 'retries that are no map', input: one({ retries: 3 }), want: [/retries must be a map, got 3/] },
  {
    name: 'retries all wrong',
    input: one({ retries: { max: -1, backoffMs: -1, backoffMsMax: 1e9, factor: 0.5, jitter: 2, nonRetryable: 'x', min: 1 } }),
    want: [
      /retries\.min is no key/,
      /retries\.max/,
      /retries\.backoffMs /,
      /retries\.backoffMsMax/,
      /retries\.factor/,
      /retries\.jitter/,
      /nonRetryable must be a list/,
    ],
  },
  {
    name: 'a back-off above its bound',
    input: one({ retries: { backoffMs: 500, backoffMsMax: 100 } }),
    want: [/backoffMsMax must be at least backoffMs; got 100, backoffMs=500/],
  },
  {
    name: 'a code that is none',
    input: one({ retries: { nonRetryable: ['', null, 7] } }),
    want: [/nonRetryable\[0\]/, /nonRetryable\[1\]/],
  },
  { name: 'concurrency of one step', input: one({ concurrency: 2 }), want: [/concurrency needs forEach/] },
  {
    name: 'too much concurrency',
    input: two({ forEach: 'a', concurrency: 1_001 }),
    want: [/concurrency must be an integer in \[1, 1000\]/],
  },
  { name: 'a join of one step', input: one({ join: { quorum: 1 } }), want: [/join needs forEach/] },
  {
    name: 'a join of both',
    input: two({ forEach: 'a', join: { quorum: 1, deadlineMs: 5 } }),
    want: [/either quorum or deadlineMs/],
  },
  { name: 'a join of neither', input: two({ forEach: 'a', join: {} }), want: [/either quorum or deadlineMs/] },
  {
    name: 'a join that is a word',
    input: two({ forEach: 'a', join: 'any' }),
    want: [/join must be 'all', \{quorum\} or \{deadlineMs\}, got 'any'/],
  },
  { name: 'a quorum of none', input: two({ forEach: 'a', join: { quorum: 0 } }), want: [/join\.quorum/] },
  { name: 'a compensation without a method', input: one({ compensate: { service: 's' } }), want: [/compensate\.method/] },
  { name: 'a compensation that is a name', input: one({ compensate: 'undo' }), want: [/compensate must be a map/] },
  { name: 'a stage that waits for itself', input: one({ after: ['a'] }), want: [/stages form a circle: a -> a/] },
  {
    name: 'a circle over three',
    input: good([stage('a', { input: 'c' }), stage('b', { forEach: 'a' }), stage('c', { after: ['b'] })]),
    want: [/stages form a circle: a -> c -> b -> a/],
  },
] as const) {
  t.test(`a definition is refused: ${name}`, async (t) => {
    const problems = problemsOf(input);
    t.equal(problems.length, want.length, problems.join('\n'));
    want.forEach((expected, index) => {
      t.match(problems[index], expected);
    });
  });
}

t.test('all problems come at once, each with its place', async (t) => {
  const problems = problemsOf({
    name: '',
    version: 0,
    stages: [
      { ...stage('a'), timeoutMs: 0, input: 'x' },
      { name: 'a', service: '', method: '' },
    ],
  });
  t.equal(problems.length, 7, problems.join('\n'));
  t.match(tellProblems(Array(25).fill('bad')), /^(bad; ){20}and 5 more$/);
});

t.test('hostile values are described, not decoded', async (t) => {
  for (const value of [
    new Uint8Array(9),
    new Date(0),
    () => 1,
    Symbol('x'),
    1n,
    Number.NaN,
    'x'.repeat(1e6),
    Array(1e6),
    Object.create(null),
  ]) {
    for (const problem of problemsOf(
      good([{ ...stage('a'), timeoutMs: value, input: value, forEach: value, retries: value, join: value, compensate: value }]),
    ))
      t.ok(problem.length < 400);
    t.ok(problemsOf(value).length > 0);
  }
});

t.test('a list of the configuration names its entries, and no version stands twice', async (t) => {
  const w = good([stage('a')]);
  t.same(parseDefinitions([w, { ...w, version: 2 }], BOUNDS, 'workflows'), []);
  t.match(parseDefinitions([w, 7, { ...w, version: 0 }, w], BOUNDS, 'relay.json: workflows'), [
    /^relay\.json: workflows\[1\]\.a definition must be a map/,
    /^relay\.json: workflows\[2\]\.version must be/,
    /^relay\.json: workflows\[3\]: w version 1 stands at relay\.json: workflows\[0\] already/,
  ]);
});

t.test('a plan has every default, edges as numbers and the leaves', async (t) => {
  const plan = planOf(
    {
      name: 'w',
      version: 3,
      stages: [
        stage('sift'),
        stage('cast', {
          forEach: { stage: 'sift', field: 'x' },
          input: { of: 'input' },
          retries: { max: 9, nonRetryable: [7, 'E', 7] },
        }),
        stage('stitch', { input: { parts: 'cast' }, after: ['sift'], join: 'all', compensate: { service: 'u', method: 'm' } }),
        stage('aside'),
      ],
    },
    20_000,
  );
  const [sift, cast, stitch] = plan.stages;
  t.match(sift, { input: { source: FROM_INPUT }, forEach: null, after: [], timeoutMs: 20_000, concurrency: 1, join: 'all' });
  t.match(cast, { forEach: { source: 0, field: 'x' }, after: [0], concurrency: 16, retries: { max: 9, backoffMs: 200 } });
  t.same([...(cast?.retries.nonRetryable ?? [])], ['7', 'E']);
  t.match(stitch, { after: [1, 0], compensate: { service: 'u', method: 'm', timeoutMs: 20_000 } });
  t.same(plan.leaves, [2, 3]);
  t.equal(plan.runsInFlightMax, 100);
  t.same(problemsOf(plan.definition), [], 'what is shown can be defined again');
  t.same(planOf(plan.definition, 20_000).canonical, plan.canonical, 'and means the same');
});
