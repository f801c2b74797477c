/** The soak in its shortest form: readers cut, others that stop reading, lanes that die; everything is delivered or reported. */
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Program } from '../support/program.ts';

t.test('24 seconds of churn, slow readers and dying lanes leave nothing unaccounted for', async (t) => {
  const soak = new Program(
    t,
    [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      fileURLToPath(new URL('../../bench/soak.ts', import.meta.url)),
      '--minutes',
      '0.4',
    ],
    { env: { BENCH_RESULTS: t.testdir({}) } },
  );
  const { code } = await soak.exited;
  const said = soak.stdout.all.join('\n');
  t.equal(code, 0, said + soak.stderr.all.join('\n'));
  t.match(
    said.trimEnd().split('\n').at(-1),
    /^delivered or reported: 100 %, RSS slope [+-][\d.]+ MB\/h .*, worst pause [\d.]+ ms /,
  );
  t.match(said, /unreported 0; duplicated 0, foreign 0/);
  t.match(said, /lanes died: (throw|exit) \d/);
  t.match(said, /LANE_RESTARTED \d/, 'some of it was reported, not delivered');
});
