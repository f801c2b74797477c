/** examples/workflow as a person runs it: real processes, a real relay, and the numbers that a plain count gives too. */
import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import t, { type Test } from 'tap';
import { Program, ROOT } from '../support/program.ts';

const DEMO = [process.execPath, '--disable-warning=ExperimentalWarning', `${ROOT}examples/workflow/run.ts`];

/** Words of the pages that the demo kept, counted without any relay. */
function countWords(names: readonly string[]): { readonly words: number; readonly distinct: number } {
  const words = names.flatMap(
    (name) =>
      readFileSync(`${ROOT}${name}`, 'utf8')
        .toLowerCase()
        .match(/\p{L}+/gu) ?? [],
  );
  return { words: words.length, distinct: new Set(words).size };
}

function checkDigest(t: Test, { stdout }: Program): void {
  const lines = stdout.all;
  const kept = lines.flatMap((line) => /^ {2}(docs\/\S+\.md) /.exec(line)?.[1] ?? []);
  t.ok(kept.length > 2, `pages: ${kept.join(', ')}`);
  const { words, distinct } = countWords(kept);
  t.match(
    lines.find((line) => line.includes('different ones')),
    `${words} words, ${distinct} different ones; `,
    'what was counted in parts is what there is',
  );
  const pages = readdirSync(`${ROOT}docs`, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
  t.ok(kept.length < pages.length, 'and not all pages mention it');
  for (const stage of ['SIFT', 'CAST', 'SPAWN', 'STITCH'])
    t.ok(
      lines.some((line) => line.startsWith(`+ ${stage}`)),
      `${stage} is shown as done`,
    );
}

t.test('the demo runs its workflow to the right end', async (t) => {
  const demo = new Program(t, [...DEMO, '--pace-ms', '20']);
  t.same(await demo.exited, { code: 0, signal: null });
  checkDigest(t, demo);
});

t.test('one SPAWN instance is killed in the middle: its parts go to the others, and nothing is missing or double', async (t) => {
  const demo = new Program(t, [...DEMO, '--pace-ms', '300']);
  const line = await demo.stdout.find(/^spawn: serving as \d+/);
  await demo.stdout.find(/^> SPAWN/);
  process.kill(Number(/\d+$/.exec(line)?.[0]), 'SIGKILL');
  t.same(await demo.exited, { code: 0, signal: null });
  checkDigest(t, demo);
});

t.test('a run that fails says why', async (t) => {
  const demo = new Program(t, [...DEMO, '--keyword', 'no page has this word']);
  t.same(await demo.exited, { code: 1, signal: null });
  t.ok(
    demo.stdout.all.some((line) => /^failed: NOTHING_LEFT: no document mentions/.test(line)),
    demo.stdout.all.join('\n'),
  );
});
