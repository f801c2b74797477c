/** Service rules: every problem at once, and for each setting the last matching rule that has it. */
import t from 'tap';
import {
  DEFAULT_BREAKER,
  DEFAULT_OUTLIER,
  DEFAULT_SERVICE_CONFIG,
  parseServiceRules,
  ServiceConfigs,
} from '../../../../src/lane/services/service-config.ts';

for (const { name, rules } of [
  { name: 'nothing', rules: undefined },
  { name: 'nil', rules: null },
  { name: 'an empty list', rules: [] },
  { name: 'a rule that sets nothing', rules: [{ match: 'a' }] },
  {
    name: 'every setting',
    rules: [
      {
        match: 'a.*',
        balance: 'sticky',
        waitMs: 0,
        waitingMax: 0,
        retriesMax: 10,
        breaker: DEFAULT_BREAKER,
        outlier: DEFAULT_OUTLIER,
      },
      { match: '>', breaker: false, outlier: false },
      { match: 'b', breaker: {}, outlier: { factor: 1.5 } },
    ],
  },
]) {
  t.test(`service rules take ${name}`, async (t) => {
    t.same(parseServiceRules(rules), { rules: rules ?? [], problems: [] });
  });
}

for (const { name, rules, problems } of [
  { name: 'a map', rules: {}, problems: [/^services must be a list of rules, got {}$/] },
  { name: 'a rule of text', rules: ['a'], problems: [/^services\[0\] must be a map, got 'a'$/] },
  { name: 'no match', rules: [{}], problems: [/^services\[0\]\.match must be a service name or pattern/] },
  { name: 'a bad pattern', rules: [{ match: 'a*' }], problems: [/^services\[0\]\.match 'a\*': '\*' must be a whole token$/] },
  {
    name: 'an unknown setting',
    rules: [{ match: 'a', retries: 1 }],
    problems: [/^services\[0\]\.retries is not a setting; known: match, balance, waitMs/],
  },
  {
    name: 'an unknown strategy',
    rules: [{ match: 'a', balance: 'fair' }],
    problems: [/balance must be one of leastInFlight, roundRobin, .*, got 'fair'$/],
  },
  {
    name: 'a wait of text',
    rules: [{ match: 'a', waitMs: '5' }],
    problems: [/waitMs must be an integer in \[0, 86400000\], got '5'$/],
  },
  { name: 'eleven retries', rules: [{ match: 'a', retriesMax: 11 }], problems: [/retriesMax must be an integer in \[0, 10\]/] },
  {
    name: 'a breaker of true',
    rules: [{ match: 'a', breaker: true }],
    problems: [/breaker must be false or a map {errorRate, volume, .*}, got true$/],
  },
  {
    name: 'an unknown setting of the breaker',
    rules: [{ match: 'a', breaker: { constructor: 5 } }],
    problems: [/breaker\.constructor is not a setting/],
  },
  {
    name: 'a rate over 1',
    rules: [{ match: 'a', breaker: { errorRate: 1.5 } }],
    problems: [/breaker\.errorRate must be a number in \[0\.01, 1\], got 1\.5$/],
  },
  {
    name: 'an opening over its bound',
    rules: [{ match: 'a', breaker: { openMs: 70_000 } }],
    problems: [/breaker\.openMs must be at most openMsMax, got openMs=70000, openMsMax=60000$/],
  },
  {
    name: 'an ejection over its bound',
    rules: [{ match: 'a', outlier: { ejectMs: 500, ejectMsMax: 400 } }],
    problems: [/outlier\.ejectMs must be at most ejectMsMax/],
  },
  {
    name: 'a percentage over 100',
    rules: [{ match: 'a', outlier: { maxEjectedPercent: 101 } }],
    problems: [/outlier\.maxEjectedPercent must be an integer in \[0, 100\]/],
  },
  { name: '1001 rules', rules: Array(1_001).fill({ match: 'a' }), problems: [/^services has at most 1000 rules, got 1001$/] },
  {
    name: 'several, and all of them are named',
    rules: [{ match: 'b*', waitMs: -1, x: 1 }, { breaker: { volume: 0, y: 1 }, outlier: 5 }, 7],
    problems: [
      /\[0\]\.x is not/,
      /\[0\]\.match 'b\*'/,
      /\[0\]\.waitMs must/,
      /\[1\]\.match must/,
      /\[1\]\.breaker\.volume must/,
      /\[1\]\.breaker\.y is not/,
      /\[1\]\.outlier must be/,
      /\[2\] must be a map/,
    ],
  },
]) {
  t.test(`service rules refuse ${name}`, async (t) => {
    const parsed = parseServiceRules(rules);
    t.same(parsed.rules, [], 'no rule is used where one is wrong');
    t.equal(parsed.problems.length, problems.length, parsed.problems.join('\n'));
    for (const [index, problem] of problems.entries()) t.match(parsed.problems[index], problem);
  });
}

t.test('the last matching rule wins per setting, breaker and outlier by their own settings', async (t) => {
  const configs = new ServiceConfigs([
    { match: '>', waitMs: 50, breaker: { errorRate: 0.2, volume: 7 } },
    { match: 'render.>', balance: 'weighted', breaker: false, outlier: { factor: 5 } },
    { match: 'render.fast', breaker: { volume: 9 }, outlier: { volume: 3 } },
  ]);
  t.same(configs.resolve('a'), {
    ...DEFAULT_SERVICE_CONFIG,
    waitMs: 50,
    breaker: { ...DEFAULT_BREAKER, errorRate: 0.2, volume: 7 },
  });
  t.match(configs.resolve('render.slow'), {
    waitMs: 50,
    balance: 'weighted',
    breaker: false,
    outlier: { ...DEFAULT_OUTLIER, factor: 5 },
  });
  t.same(configs.resolve('render.fast').breaker, { ...DEFAULT_BREAKER, volume: 9 }, 'switched on again with the defaults');
  t.same(configs.resolve('render.fast').outlier, { ...DEFAULT_OUTLIER, factor: 5, volume: 3 });
  t.equal(new ServiceConfigs([]).resolve('a'), DEFAULT_SERVICE_CONFIG);
});
