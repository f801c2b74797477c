/** What `npm test` counts, from outputs as tap writes them. */
import t from 'tap';
import { readTap } from '../../../scripts/tap-output.ts';

const PASSING = `TAP version 14
# Subtest: one
    ok 1 - should be equal
    # Subtest: nested
        ok 1 - inner
        1..1
    ok 2 - nested # time=1.2ms
    
    1..2
ok 1 - one # time=9.3ms

ok 2 - outside of any
1..2
# { total: 3, pass: 3 }
# time=20.1ms
`;

const FAILING = `TAP version 14
# Subtest: good
    ok 1 - fine
    1..1
ok 1 - good # time=1ms

# Subtest: bad
    ok 1 - fine
    not ok 2 - should be equal
      ---
      diff: |
        -4
        +3
      ...
    
    1..2
    # failed 1 of 2 tests
not ok 2 - bad # time=2ms
  ---
  at:
    fileName: x.test.ts
  ...

# Subtest: after
    ok 1 - fine
    1..1
ok 3 - after # time=1ms

1..3
# { total: 4, pass: 3, fail: 1 }
`;

for (const { name, output, want } of [
  { name: 'a file that passes', output: PASSING, want: { passed: 2, failures: [], skipped: 0, isComplete: true } },
  {
    name: 'a failure with its diagnostics, and nothing of its neighbours',
    output: FAILING,
    want: {
      passed: 2,
      failures: [
        {
          name: 'bad',
          lines: [
            '    not ok 2 - should be equal',
            '      ---',
            '      diff: |',
            '        -4',
            '        +3',
            '      ...',
            '    # failed 1 of 2 tests',
            '  ---',
            '  at:',
            '    fileName: x.test.ts',
            '  ...',
          ],
        },
      ],
      skipped: 0,
      isComplete: true,
    },
  },
  {
    name: 'skipped and todo tests, counted apart',
    output: 'ok 1 - a # SKIP not here\nnot ok 2 - b # TODO later\nok 3 - c\n1..3\n',
    want: { passed: 1, failures: [], skipped: 2, isComplete: true },
  },
  {
    name: 'a test printed in one block',
    output: 'ok 1 - a # time=1ms {\n    ok 1 - x\n    1..1\n}\n\n1..1\n',
    want: { passed: 1, failures: [], skipped: 0, isComplete: true },
  },
  {
    name: 'a file that ended early',
    output: 'TAP version 14\n# Subtest: a\n    ok 1 - x\nok 1 - a\n',
    want: { passed: 1, failures: [], skipped: 0, isComplete: false },
  },
  {
    name: 'fewer tests than planned',
    output: '1..3\nok 1 - a\n',
    want: { passed: 1, failures: [], skipped: 0, isComplete: false },
  },
  {
    name: 'a file without tests',
    output: 'TAP version 14\n1..0\n',
    want: { passed: 0, failures: [], skipped: 0, isComplete: false },
  },
  { name: 'nothing at all', output: '', want: { passed: 0, failures: [], skipped: 0, isComplete: false } },
  {
    name: 'words that are no points',
    output: 'okay\nnot okay\nok 1 - a\n1..1\n',
    want: { passed: 1, failures: [], skipped: 0, isComplete: true },
  },
]) {
  t.test(`reads ${name}`, async (t) => {
    t.same(readTap(output), want);
  });
}
