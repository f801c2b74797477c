/** Rights by name patterns: what a token's claims allow, and what they must never allow. */
import fc from 'fast-check';
import t from 'tap';
import { GRANT_PATTERNS_MAX, GrantProblem, Grants, RIGHTS } from '../../../src/protocol/grants.ts';
import { checkNameText, matches, NameKind } from '../../../src/protocol/names.ts';

const grants = (claims: unknown, values: Record<string, unknown> = {}): Grants => Grants.compile(claims, values);

t.test('nothing is allowed that no pattern allows', async (t) => {
  for (const right of RIGHTS) {
    t.equal(Grants.none.may(right, 'room.1'), false);
    t.equal(grants({}).covers(right, '>'), false);
    t.equal(grants({ pub: ['>'] }).may(right, 'room.1'), right === 'pub');
  }
});

t.test('deny goes before allow', async (t) => {
  const { may, covers } = bound(grants({ sub: { allow: ['room.>'], deny: ['room.secret.>', 'room.*.draft'] } }));
  t.ok(may('sub', 'room.1'));
  t.notOk(may('sub', 'room.secret.plans'));
  t.notOk(may('sub', 'room.1.draft'));
  t.notOk(covers('sub', 'room.>'), 'a pattern that a denied one meets');
  t.notOk(covers('sub', 'room.*.*'));
  t.ok(covers('sub', 'room.*'), 'no denied pattern has two tokens');
  t.ok(covers('sub', 'room.1.public'));
});

const COVERS: readonly (readonly [allowed: string, asked: string, covers: boolean])[] = [
  ['room.1', 'room.1', true],
  ['room.*', 'room.1', true],
  ['room.*', 'room.*', true],
  ['room.*', 'room.>', false],
  ['room.1', 'room.*', false],
  ['room.>', 'room.*', true],
  ['room.>', 'room.>', true],
  ['room.>', 'room', false],
  ['room.>', '>', false],
  ['room.*.>', 'room.>', false],
  ['room.>', 'room.*.>', true],
  ['*.1', '*.*', false],
  ['*', '>', false],
  ['>', '>', true],
  ['>', '*.a.>', true],
  ['>', '$service.a', false],
  ['>', '$service.>', false],
  ['*.a', '$service.a', false],
  ['$service.>', '$service.a', true],
  ['$service.*', '$service.>', false],
];
for (const [allowed, asked, want] of COVERS) {
  t.test(`'${allowed}' ${want ? 'covers' : 'does not cover'} '${asked}'`, async (t) => {
    t.equal(grants({ sub: [allowed] }).covers('sub', asked), want);
  });
}

t.test('who may start a workflow may follow its runs, and nobody else’s', async (t) => {
  const { mayRead } = bound(grants({ start: ['report.*'] }));
  t.ok(mayRead('sub', '$workflow.report.daily.r1'));
  t.ok(mayRead('hist', '$workflow.report.daily.r1'));
  t.ok(mayRead('sub', '$workflow.report.daily.*'));
  t.notOk(mayRead('sub', '$workflow.report.daily.>'), 'runs of workflows below it');
  t.notOk(mayRead('sub', '$workflow.>'));
  t.notOk(mayRead('sub', '$workflow.other.r1'));
  t.notOk(mayRead('sub', '$workflow.report'), 'too short to be a run');
  t.notOk(mayRead('sub', 'report.daily.r1'));
});

t.test('placeholders stand for one token, or a part of one', async (t) => {
  const claims = { pub: ['user.{sub}.>', 'tenant-{tenant}.*'] };
  const { may } = bound(grants(claims, { sub: 'alice', tenant: 't7' }));
  t.ok(may('pub', 'user.alice.inbox'));
  t.ok(may('pub', 'tenant-t7.a'));
  t.notOk(may('pub', 'user.bob.inbox'));
  t.same(grants(claims, { sub: 'alice', tenant: 't7' }).claims, { pub: ['user.alice.>', 'tenant-t7.*'] });
});

for (const value of [
  '*',
  '>',
  'a.b',
  'a.>',
  '',
  ' ',
  'a b',
  '{sub}',
  'a\n',
  'x'.repeat(65),
  7,
  null,
  undefined,
  ['a'],
  { a: 1 },
]) {
  t.test(`a placeholder's value must not be ${JSON.stringify(value)}`, async (t) => {
    const claims = { sub: ['user.{sub}.>'] };
    t.throws(() => grants(claims, { sub: value }), { name: 'GrantProblem', message: /sub\.allow\[0\].*'sub'.*one token/ });
    t.throws(
      () => grants({ sub: { allow: ['>'], deny: ['user.{sub}'] } }, { sub: value }),
      GrantProblem,
      'nor in what is denied',
    );
  });
}

t.test('a placeholder cannot make a name of the relay’s own', async (t) => {
  for (const pattern of ['{sub}.>', '{sub}.room', '{sub}', '{sub}x.*'])
    t.throws(() => grants({ sub: [pattern] }, { sub: '$dead' }), { name: 'GrantProblem', message: /begin with '\$'/ }, pattern);
  const { may } = bound(grants({ sub: ['$service.{sub}', 'user.{sub}'] }, { sub: '$x' }));
  t.ok(may('sub', '$service.$x'));
  t.ok(may('sub', 'user.$x'));
});

t.test('a placeholder cannot reach an object’s inherited properties', async (t) => {
  for (const name of ['constructor', '__proto__', 'toString'])
    t.throws(() => grants({ pub: [`a.{${name}}`] }, {}), { name: 'GrantProblem' });
});

for (const claims of [
  7,
  'pub',
  ['pub'],
  { publish: ['a'] },
  { pub: 'a' },
  { pub: [7] },
  { pub: { allow: 'a' } },
  { pub: { only: ['a'] } },
  { pub: ['a..b'] },
  { pub: ['a*'] },
  { pub: ['>.a'] },
  { pub: [''] },
  { pub: { deny: ['a..b'] } },
  { __proto__: null, admin: [null] },
]) {
  t.test(`no permissions: ${JSON.stringify(claims)}`, async (t) => {
    t.throws(() => grants(claims), { name: 'GrantProblem' });
  });
}

t.test('the patterns are bounded', async (t) => {
  const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `a.${index}`);
  t.doesNotThrow(() => grants({ pub: many(GRANT_PATTERNS_MAX) }));
  t.throws(() => grants({ pub: many(GRANT_PATTERNS_MAX), sub: ['a'] }), { message: /at most 512/ });
});

t.test('compiled again from their own claims they are the same', async (t) => {
  const first = grants({ pub: ['a.{sub}'], sub: { allow: ['a.>'], deny: ['a.b'] }, call: { deny: ['x'] } }, { sub: 's' });
  t.same(Grants.compile(first.claims).claims, first.claims);
});

t.test('what covers a pattern, covers each name that it matches; what is denied is in none of them', async (t) => {
  const token = fc.constantFrom('a', 'b', '*');
  const pattern = fc
    .tuple(fc.array(token, { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([tokens, open]) => [...tokens, ...(open ? ['>'] : [])].join('.'));
  const name = fc.array(fc.constantFrom('a', 'b', '$a'), { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join('.'));
  fc.assert(
    fc.property(pattern, pattern, pattern, name, (allowed, denied, asked, topic) => {
      const { covers, may } = bound(grants({ sub: { allow: [allowed], deny: [denied] } }));
      if (may('sub', topic) !== (matches(allowed, topic) && !matches(denied, topic))) return false;
      if (covers('sub', asked) && matches(asked, topic)) return may('sub', topic);
      return true;
    }),
    { numRuns: 20_000 },
  );
  t.equal(checkNameText('a.*.>'), NameKind.PATTERN);
});

function bound(of: Grants): Pick<Grants, 'may' | 'covers' | 'mayRead'> {
  return { may: of.may.bind(of), covers: of.covers.bind(of), mayRead: of.mayRead.bind(of) };
}
