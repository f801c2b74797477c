/** The rules for dependencies: the project keeps them, and each way to break one is told. */
import t from 'tap';
import {
  dependencyProblems,
  fits,
  type LockedPackage,
  type Project,
  readProject,
  renderDependencies,
} from '../../../scripts/check-dependencies.ts';

t.test('the project keeps the rules', async (t) => {
  t.same(dependencyProblems(readProject()), []);
});

const INTEGRITY = `sha512-${'A'.repeat(86)}==`;

/** One shipped dependency `one`, which brings `two`, and a tool. */
function project(
  changes: { one?: Partial<LockedPackage>; tool?: Partial<LockedPackage>; asked?: string; decision?: string } = {},
): Project {
  const dependencies = { one: changes.asked ?? '1.0.0' };
  const devDependencies = { tool: '3.0.0' };
  return {
    manifest: { dependencies, devDependencies },
    locked: {
      '': { version: '0.1.0', dependencies: { one: '1.0.0' }, devDependencies },
      'node_modules/one': {
        version: '1.0.0',
        integrity: INTEGRITY,
        license: 'MIT',
        dependencies: { two: '^2.0.0' },
        ...changes.one,
      },
      'node_modules/two': { version: '2.0.0', integrity: INTEGRITY, license: 'ISC' },
      'node_modules/tool': { version: '3.0.0', integrity: INTEGRITY, license: 'MPL-2.0', dev: true, ...changes.tool },
    },
    decision: changes.decision ?? '| `one` 1.0.0 | the first | because |\n| `tool` | a tool | because |',
    installed: () => null,
    exists: () => false,
  };
}

t.test('one that keeps them', async (t) => {
  t.same(dependencyProblems(project()), []);
});

for (const { name, changed, want } of [
  {
    name: 'a range for a version',
    changed: project({ asked: '^1.0.0' }),
    want: /one must have an exact version, got '\^1\.0\.0'/,
  },
  { name: 'a tag for a version', changed: project({ asked: 'latest' }), want: /exact version/ },
  {
    name: 'another version in the lock file',
    changed: project({ asked: '1.0.1' }),
    want: /one is not 1\.0\.1, as package\.json says/,
  },
  { name: 'no integrity', changed: project({ one: { integrity: '' } }), want: /one 1\.0\.0 has no sha512/ },
  { name: 'a weak integrity', changed: project({ one: { integrity: 'sha1-AAAA' } }), want: /one 1\.0\.0 has no sha512/ },
  {
    name: 'an install script',
    changed: project({ one: { hasInstallScript: true } }),
    want: /one 1\.0\.0 runs a script when it is installed/,
  },
  {
    name: 'a licence that does not fit',
    changed: project({ one: { license: 'GPL-3.0-only' } }),
    want: /one 1\.0\.0 \(shipped\) is under GPL-3\.0-only/,
  },
  {
    name: 'a tool’s licence for what is shipped',
    changed: project({ one: { license: 'MPL-2.0' } }),
    want: /\(shipped\) is under MPL-2\.0/,
  },
  { name: 'a licence of its own', changed: project({ one: { license: 'SEE LICENSE IN FILE' } }), want: /is under SEE LICENSE/ },
  { name: 'no reason', changed: project({ decision: '| `tool` | a tool | because |' }), want: /one has no row/ },
  {
    name: 'a reason for another version',
    changed: project({ decision: '| `one` 0.9.0 | x | y |\n| `tool` | x | y |' }),
    want: /one is 0\.9\.0/,
  },
  {
    name: 'a reason for what is gone',
    changed: project({ decision: '| `one`, `tool`, `old` 1.0.0 | x | y |' }),
    want: /old is not in package\.json/,
  },
])
  t.test(`${name} is told`, async (t) => {
    t.match(dependencyProblems(changed), [want]);
  });

t.test('no licence at all is told, also for a tool', async (t) => {
  const { locked, ...rest } = project();
  const { license: _license, ...tool } = locked['node_modules/tool'] as LockedPackage;
  t.match(dependencyProblems({ ...rest, locked: { ...locked, 'node_modules/tool': tool } }), [/tool 3\.0\.0 names no licence/]);
});

t.test('what is installed is what is locked', async (t) => {
  const installed = (path: string) => (path.endsWith('one') ? { version: '1.0.1', license: 'GPL-3.0-only' } : null);
  t.match(dependencyProblems({ ...project(), installed }), [
    /installed as 1\.0\.1/,
    /its licence is GPL-3\.0-only, in the lock file MIT/,
  ]);
});

for (const { licence, want } of [
  { licence: 'MIT', want: true },
  { licence: '(MIT OR GPL-3.0-only)', want: true },
  { licence: '(MIT AND Zlib)', want: true },
  { licence: 'MIT AND GPL-3.0-only', want: false },
  { licence: 'GPL-3.0-only', want: false },
  { licence: '', want: false },
])
  t.test(`'${licence}' ${want ? 'fits' : 'does not fit'} where MIT and Zlib do`, async (t) => {
    t.equal(fits(licence, ['MIT', 'Zlib']), want);
  });

t.test('the page names every package with version, licence and what it is for', async (t) => {
  const page = renderDependencies(project());
  t.match(page, '| `one` | 1.0.0 | MIT | the first |');
  t.match(page, '| `two` | 2.0.0 | ISC | `one` |');
  t.match(page, '| `tool` | 3.0.0 | MPL-2.0 | a tool |');
  const all = renderDependencies(readProject());
  for (const [path, { version }] of Object.entries(readProject().locked)) {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (path !== '') t.ok(all.includes(`\`${name}\` | ${version}`) || all.includes(`${name} ${version}`), `${name} ${version}`);
  }
});
