/** Topic rules: every problem at once, and for each setting the last matching rule that has it. */
import t from 'tap';
import {
  DEFAULT_TOPIC_CONFIG,
  OWN_TOPIC_RULES,
  parseTopicRules,
  TopicConfigs,
  type TopicRule,
} from '../../../src/lane/topic-config.ts';
import { SLOW_CONSUMER_POLICIES } from '../../../src/protocol/types.ts';

const PAYLOAD_BYTES_MAX = 65_536;

for (const { name, rules } of [
  { name: 'nothing', rules: undefined },
  { name: 'nil', rules: null },
  { name: 'an empty list', rules: [] },
  { name: 'a rule that sets nothing', rules: [{ match: 'a' }] },
  { name: 'an empty history', rules: [{ match: '>', history: {} }] },
  {
    name: 'every setting',
    rules: [
      {
        match: 'room.*.chat',
        history: { count: 10, bytes: 1_000, ageMs: 60_000 },
        presence: false,
        slowConsumer: 'conflate',
        maxPayloadBytes: 1,
        echo: false,
        stampTime: true,
        stampPublisher: true,
      },
    ],
  },
  { name: 'history at its lower bounds', rules: [{ match: '>', history: { count: 0, bytes: 0, ageMs: 1_000 } }] },
  {
    name: 'history at its upper bounds',
    rules: [{ match: '>', history: { count: 1_000_000, bytes: 268_435_456, ageMs: 31_536_000_000 } }],
  },
  { name: 'the largest payload', rules: [{ match: '>', maxPayloadBytes: PAYLOAD_BYTES_MAX }] },
  { name: 'names of the relay', rules: [{ match: '$service.>' }] },
  ...SLOW_CONSUMER_POLICIES.map((policy) => ({ name: `policy ${policy}`, rules: [{ match: '>', slowConsumer: policy }] })),
  { name: '1000 rules', rules: Array(1_000).fill({ match: 'a' }) },
]) {
  t.test(`topic rules take ${name}`, async (t) => {
    t.same(parseTopicRules(rules, PAYLOAD_BYTES_MAX), { rules: rules ?? [], problems: [] });
  });
}

for (const { name, rules, problems } of [
  { name: 'a map', rules: { match: 'a' }, problems: [/^topics must be a list of rules, got {"match":"a"}$/] },
  { name: 'text', rules: 'a', problems: [/^topics must be a list of rules, got 'a'$/] },
  { name: 'a rule of text', rules: ['a'], problems: [/^topics\[0\] must be a map, got 'a'$/] },
  { name: 'a rule of nil', rules: [null], problems: [/^topics\[0\] must be a map, got null$/] },
  { name: 'a rule that is a list', rules: [[]], problems: [/^topics\[0\] must be a map/] },
  { name: 'no match', rules: [{}], problems: [/^topics\[0\]\.match must be a topic name or pattern, got undefined$/] },
  { name: 'a match of a number', rules: [{ match: 1 }], problems: [/^topics\[0\]\.match must be/] },
  { name: 'a bad pattern', rules: [{ match: 'a*' }], problems: [/^topics\[0\]\.match 'a\*': '\*' must be a whole token$/] },
  { name: 'an empty match', rules: [{ match: '' }], problems: [/^topics\[0\]\.match '': a name must not be empty$/] },
  {
    name: 'an unknown setting',
    rules: [{ match: 'a', retention: 1 }],
    problems: [/^topics\[0\]\.retention is not a setting; known: match, history, presence/],
  },
  {
    name: 'an unknown setting of history',
    rules: [{ match: 'a', history: { size: 1 } }],
    problems: [/^topics\[0\]\.history\.size is not a setting; known: count, bytes, ageMs$/],
  },
  {
    name: 'a history of a number',
    rules: [{ match: 'a', history: 10 }],
    problems: [/^topics\[0\]\.history must be a map {count, bytes, ageMs}, got 10$/],
  },
  { name: 'a history of nil', rules: [{ match: 'a', history: null }], problems: [/^topics\[0\]\.history must be a map/] },
  {
    name: 'a negative count',
    rules: [{ match: 'a', history: { count: -1 } }],
    problems: [/^topics\[0\]\.history\.count must be an integer in \[0, 1000000\], got -1$/],
  },
  {
    name: 'a count over the bound',
    rules: [{ match: 'a', history: { count: 1_000_001 } }],
    problems: [/count must be an integer/],
  },
  { name: 'half a byte', rules: [{ match: 'a', history: { bytes: 0.5 } }], problems: [/bytes must be an integer/] },
  {
    name: 'an age under a second',
    rules: [{ match: 'a', history: { ageMs: 999 } }],
    problems: [/ageMs must be an integer in \[1000,/],
  },
  {
    name: 'a count of text',
    rules: [{ match: 'a', history: { count: '5' } }],
    problems: [/count must be an integer in .*, got '5'$/],
  },
  {
    name: 'presence of text',
    rules: [{ match: 'a', presence: 'yes' }],
    problems: [/^topics\[0\]\.presence must be true or false, got 'yes'$/],
  },
  { name: 'echo of 1', rules: [{ match: 'a', echo: 1 }], problems: [/^topics\[0\]\.echo must be true or false, got 1$/] },
  {
    name: 'stampTime of nil',
    rules: [{ match: 'a', stampTime: null }],
    problems: [/^topics\[0\]\.stampTime must be true or false, got null$/],
  },
  {
    name: 'an unknown policy',
    rules: [{ match: 'a', slowConsumer: 'drop' }],
    problems: [/^topics\[0\]\.slowConsumer must be one of disconnect, dropOldest, .*, got 'drop'$/],
  },
  {
    name: 'a payload of nothing',
    rules: [{ match: 'a', maxPayloadBytes: 0 }],
    problems: [/^topics\[0\]\.maxPayloadBytes must be an integer in \[1, 65536\], got 0$/],
  },
  {
    name: 'a payload over the relay’s own bound',
    rules: [{ match: 'a', maxPayloadBytes: 65_537 }],
    problems: [/maxPayloadBytes must be an integer in \[1, 65536\], got 65537$/],
  },
  { name: '1001 rules', rules: Array(1_001).fill({ match: 'a' }), problems: [/^topics has at most 1000 rules, got 1001$/] },
  {
    name: 'several, and all of them are named',
    rules: [{ match: 'a' }, { match: 'b*', echo: 'no', other: 1 }, { history: { count: -1, size: 2 } }, 7],
    problems: [
      /^topics\[1\]\.other is not a setting/,
      /^topics\[1\]\.match 'b\*'/,
      /^topics\[1\]\.echo must be/,
      /^topics\[2\]\.match must be/,
      /^topics\[2\]\.history\.count must be/,
      /^topics\[2\]\.history\.size is not/,
      /^topics\[3\] must be a map/,
    ],
  },
]) {
  t.test(`topic rules refuse ${name}`, async (t) => {
    const parsed = parseTopicRules(rules, PAYLOAD_BYTES_MAX);
    t.same(parsed.rules, [], 'no rule is used where one is wrong');
    t.equal(parsed.problems.length, problems.length, parsed.problems.join('\n'));
    for (const [index, problem] of problems.entries()) t.match(parsed.problems[index], problem);
  });
}

t.test('a setting that only looks known because every object has it is unknown', async (t) => {
  for (const key of ['constructor', 'toString', '__proto__x', 'hasOwnProperty'])
    t.match(parseTopicRules([{ match: 'a', history: { [key]: 5 } }], PAYLOAD_BYTES_MAX).problems, [
      new RegExp(`history\\.${key} is not a setting`),
    ]);
});

t.test('the problems name the list by the path they were given', async (t) => {
  t.match(parseTopicRules([{}], 1, 'relay.json: topics').problems, [/^relay\.json: topics\[0\]\.match/]);
});

const RULES: readonly TopicRule[] = [
  { match: '>', stampTime: true, maxPayloadBytes: 100 },
  { match: 'room.>', history: { count: 10, ageMs: 5_000 }, echo: false },
  { match: 'room.*.chat', history: { count: 20 }, stampTime: false },
  { match: 'room.lobby.chat', presence: false },
  { match: '*.lobby.>', slowConsumer: 'conflate', history: { bytes: 1_000 } },
  { match: '$service.>', echo: false },
];
const { history } = DEFAULT_TOPIC_CONFIG;

for (const { topic, want } of [
  { topic: 'a', want: { stampTime: true, maxPayloadBytes: 100 } },
  {
    topic: 'room.a',
    want: { stampTime: true, maxPayloadBytes: 100, echo: false, history: { ...history, count: 10, ageMs: 5_000 } },
  },
  { topic: 'room.a.chat', want: { maxPayloadBytes: 100, echo: false, history: { ...history, count: 20, ageMs: 5_000 } } },
  {
    topic: 'room.a.chat.x',
    want: { stampTime: true, maxPayloadBytes: 100, echo: false, history: { ...history, count: 10, ageMs: 5_000 } },
  },
  {
    topic: 'room.lobby.chat',
    want: {
      maxPayloadBytes: 100,
      echo: false,
      presence: false,
      slowConsumer: 'conflate',
      history: { count: 20, bytes: 1_000, ageMs: 5_000 },
    },
  },
  {
    topic: 'other.lobby.x',
    want: { stampTime: true, maxPayloadBytes: 100, slowConsumer: 'conflate', history: { ...history, bytes: 1_000 } },
  },
  { topic: 'room', want: { stampTime: true, maxPayloadBytes: 100 } },
  // Behind the rules for what the relay tells of itself.
  { topic: '$service.math', want: { presence: false, history: OWN_TOPIC_RULES[0]!.history, echo: false } },
  { topic: '$other', want: {} },
]) {
  t.test(`the last matching rule wins per setting: ${topic}`, async (t) => {
    t.same(new TopicConfigs(RULES).resolve(topic), { ...DEFAULT_TOPIC_CONFIG, ...want });
  });
}

t.test('a later rule takes a setting back', async (t) => {
  const configs = new TopicConfigs([
    { match: '>', history: { count: 0 }, echo: false },
    { match: 'a', history: { count: 5 }, echo: true },
  ]);
  t.match(configs.resolve('a'), { echo: true, history: { count: 5 } });
  t.match(configs.resolve('b'), { echo: false, history: { count: 0 } });
});

t.test('topics that match no rule share the defaults', async (t) => {
  const configs = new TopicConfigs([{ match: 'a', echo: false }]);
  t.equal(configs.resolve('b'), DEFAULT_TOPIC_CONFIG);
  t.equal(configs.resolve('b'), configs.resolve('c'));
});
