/** Versions and ranges, as npm reads them. */
import t from 'tap';
import {
  compareVersions,
  parseRange,
  parseVersion,
  satisfies,
  type Version,
  type VersionRange,
} from '../../../src/protocol/semver.ts';

const version = (text: string): Version => parseVersion(text) as Version;

for (const text of [
  '0.0.0',
  '1.2.3',
  '10.20.30',
  '1.2.3-rc.1',
  '1.2.3-0a.b-c',
  '1.2.3+build.5',
  '1.2.3-x+y',
  '999999999999999.0.0',
]) {
  t.test(`${text} is a version`, async (t) => {
    t.not(parseVersion(text), null);
  });
}

for (const text of [
  '',
  '1',
  '1.2',
  'v1.2.3',
  '1.2.3.4',
  '01.2.3',
  '1.2.x',
  '-1.2.3',
  '1.2.3-',
  '1.2.3-a..b',
  ' 1.2.3',
  '1.2.3\n',
  '9999999999999999.0.0',
  '1.2.3-ä',
]) {
  t.test(`${JSON.stringify(text)} is none`, async (t) => {
    t.equal(parseVersion(text), null);
  });
}

t.test('precedence is that of semver.org', async (t) => {
  const inOrder = [
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.9.0',
    '1.10.0',
    '2.0.0',
  ];
  const shuffled = inOrder.toReversed().map(version);
  t.same(shuffled.sort(compareVersions), inOrder.map(version));
  t.equal(compareVersions(version('1.2.3+a'), version('1.2.3+b')), 0, 'builds do not count');
});

for (const [range, inside, outside] of [
  ['*', ['0.0.0', '9.9.9'], ['1.0.0-rc']],
  ['', ['1.2.3'], []],
  ['1.2.3', ['1.2.3', '1.2.3+b'], ['1.2.4', '1.2.3-rc']],
  ['=1.2.3', ['1.2.3'], ['1.2.4']],
  ['^1.2', ['1.2.0', '1.9.9'], ['1.1.9', '2.0.0', '2.0.0-rc']],
  ['^1.2.3', ['1.2.3', '1.3.0'], ['1.2.2', '2.0.0']],
  ['^0.2.3', ['0.2.3', '0.2.9'], ['0.3.0', '0.2.2']],
  ['^0.0.3', ['0.0.3'], ['0.0.4', '0.0.2']],
  ['^0.0', ['0.0.0', '0.0.9'], ['0.1.0']],
  ['^0', ['0.9.0'], ['1.0.0']],
  ['^1.x', ['1.0.0', '1.5.0'], ['2.0.0']],
  ['~1.4.2', ['1.4.2', '1.4.9'], ['1.5.0', '1.4.1']],
  ['~1.4', ['1.4.0'], ['1.5.0']],
  ['~1', ['1.9.9'], ['2.0.0']],
  ['1.x', ['1.0.0', '1.9.9'], ['2.0.0', '0.9.9']],
  ['1', ['1.9.9'], ['2.0.0']],
  ['1.2.X', ['1.2.9'], ['1.3.0']],
  ['>=1 <3', ['1.0.0', '2.9.9'], ['0.9.9', '3.0.0']],
  ['>= 1.5   < 2', ['1.5.0'], ['1.4.9', '2.0.0']],
  ['>1', ['2.0.0'], ['1.9.9']],
  ['>1.2.3', ['1.2.4'], ['1.2.3']],
  ['<=1.2', ['1.2.9'], ['1.3.0']],
  ['<=1.2.3', ['1.2.3'], ['1.2.4']],
  ['<1', ['0.9.9'], ['1.0.0']],
  ['1.2.3 || ^3 || 5.x', ['1.2.3', '3.9.0', '5.0.1'], ['1.2.4', '4.0.0']],
  ['^1.2.3-beta.2', ['1.2.3-beta.2', '1.2.3-beta.10', '1.2.3', '1.5.0'], ['1.2.3-beta.1', '1.2.4-beta.3', '2.0.0-a']],
  ['>*', [], ['0.0.0', '1.0.0']],
] as [string, string[], string[]][]) {
  t.test(`range '${range}'`, async (t) => {
    const parsed = parseRange(range) as VersionRange;
    for (const text of inside) t.ok(satisfies(version(text), parsed), `${text} is in it`);
    for (const text of outside) t.notOk(satisfies(version(text), parsed), `${text} is not`);
  });
}

for (const text of ['newest', '1.2.3.4', '1 - 2', '^', '>>1', '1..2', '^a', '1.2.3 foo', '1.x-rc', '==1', '|', '1 | 2', '$(x)']) {
  t.test(`'${text}' is no range`, async (t) => {
    t.equal(parseRange(text), null);
  });
}
