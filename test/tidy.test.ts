// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the strings here are source text.
/** The house rules hold for the whole tree, and each rule finds what it is there for. The rules: scripts/tidy.ts. */
import t from 'tap';
import { ALLOWED, fileProblems, importsOf, projectFiles, projectProblems, stripSource } from '../scripts/tidy.ts';

t.test('the tree is tidy', async (t) => {
  t.ok(projectFiles().length > 50, 'the tree was found');
  for (const problem of projectProblems()) t.fail(problem, { diagnostic: false });
});

t.test('the rooms form no circle', async (t) => {
  const reached = new Set<string>();
  // Every room may import only rooms that were reached before it; a circle never gets reached.
  for (let grew = true; grew; ) {
    grew = false;
    for (const [room, allowed] of Object.entries(ALLOWED)) {
      if (reached.has(room) || !allowed.every((other) => reached.has(other))) continue;
      reached.add(room);
      grew = true;
    }
  }
  t.same([...reached].sort(), Object.keys(ALLOWED).sort());
});

// Assembled, so that this file is tidy itself.
const UNFINISHED = ['FIX', 'ME'].join('');
const path = (...names: string[]): string => ['', ...names].join('/');
const FENCE = '```';
const LANE = 'src/lane/topic.ts';

for (const { name, file, text, want } of [
  { name: 'a lower room', file: LANE, text: "import { assert } from '../base/assert.ts';", want: [] },
  { name: 'its own room', file: LANE, text: "import type { Topic } from './topic.ts';", want: [] },
  {
    name: 'a higher room',
    file: LANE,
    text: "import { UwsServer } from '../transport/uws-server.ts';",
    want: ['src/lane/topic.ts:1: lane may not import transport; allowed: base, protocol, telemetry'],
  },
  {
    name: 'anything into base',
    file: 'src/base/ids.ts',
    text: "\nexport { x } from '../protocol/x.ts';",
    want: ['src/base/ids.ts:2: base may not import protocol; allowed: nothing'],
  },
  {
    name: 'a type, over several lines, from a higher room',
    file: 'src/front/a/b.ts',
    text: "import type {\n  Lane,\n} from '../../lane/lane.ts';",
    want: ['src/front/a/b.ts:1: front may not import lane; allowed: base, protocol, telemetry'],
  },
  {
    name: 'a higher room by dynamic import and by URL',
    file: 'src/client/x.ts',
    text: "await import('../app/relay.ts');\nnew URL('../pool/lane-worker.ts', import.meta.url);",
    want: [
      'src/client/x.ts:1: client may not import app; allowed: base, protocol',
      'src/client/x.ts:2: client may not import pool; allowed: base, protocol',
    ],
  },
  {
    name: 'an import inside a comment',
    file: LANE,
    text: "// import { a } from '../app/a.ts';\n/* from '../app/a.ts' */",
    want: [],
  },
  {
    name: 'a room that is none',
    file: 'src/util/x.ts',
    text: '',
    want: [`src/util/x.ts: src/util is no room; rooms: ${Object.keys(ALLOWED).join(', ')} (scripts/tidy.ts)`],
  },
  { name: 'a library in its room', file: 'src/protocol/codec.ts', text: "import { Packr } from 'msgpackr';", want: [] },
  {
    name: 'a library elsewhere',
    file: 'src/app/x.ts',
    text: "import { Packr } from 'msgpackr';",
    want: ['src/app/x.ts:1: only protocol may import msgpackr; use what src/protocol exports'],
  },
  {
    name: 'a part of a library elsewhere',
    file: 'src/app/x.ts',
    text: 'const uws = require(`@uwsjs/linux-x64-${major}`);',
    want: ['src/app/x.ts:1: only transport may import @uwsjs; use what src/transport exports'],
  },
  {
    name: 'a library loaded by a computed name',
    file: 'src/app/x.ts',
    text: "const prefix = '@uwsjs/linux-x64-';",
    want: ['src/app/x.ts:1: only transport may import @uwsjs; use what src/transport exports'],
  },
  {
    name: 'Node in a room without it',
    file: 'src/client/x.ts',
    text: "import { randomUUID } from 'node:crypto';",
    want: ['src/client/x.ts:1: client may not import node:crypto: it runs where there is no Node; pass it in through a port'],
  },
  {
    name: 'Atomics outside shm/',
    file: 'src/pool/x.ts',
    text: 'Atomics.load(words, 0);',
    want: [
      'src/pool/x.ts:1: no Atomics in pool/: shared memory is for shm/: use its rings, doorbells and counters, or add what is missing there',
    ],
  },
  { name: 'Atomics in shm/, and in words', file: 'src/shm/x.ts', text: 'Atomics.load(words, 0);', want: [] },
  {
    name: 'Atomics in a comment or string',
    file: 'src/pool/x.ts',
    text: "// Atomics\nconst a = 'Atomics' + `Atomics`;",
    want: [],
  },
  {
    name: 'a clock in a lane',
    file: LANE,
    text: 'const a = 1;\nconst now = Date.now();',
    want: ['src/lane/topic.ts:2: no Date.now in lane/: a lane has no clock: use the nowMs that handle() and tick() are given'],
  },
  {
    name: 'a timer in a lane',
    file: LANE,
    text: 'setTimeout(f, 1);',
    want: ['src/lane/topic.ts:1: no setTimeout in lane/: a lane has no timers: do it in tick(nowMs)'],
  },
  {
    name: 'chance in a lane, inside a template',
    file: LANE,
    text: 'const id = `a${Math.random()}b`;',
    want: [
      'src/lane/topic.ts:1: no Math.random in lane/: a lane has no random source: use its Prng (base/prng.ts), seeded by its options',
    ],
  },
  { name: 'a clock elsewhere', file: 'src/app/x.ts', text: 'Date.now(); setTimeout(f, 1);', want: [] },
  {
    name: 'a file that is too long',
    file: LANE,
    text: '\n'.repeat(601),
    want: ['src/lane/topic.ts: 601 lines; a file has at most 600, split it by job'],
  },
  { name: 'a long test', file: 'test/x.test.ts', text: '\n'.repeat(601), want: [] },
  {
    name: 'tests that do not run',
    file: 'test/x.test.ts',
    text: "t.test.skip('a');\nt.only('b');\nt.test('c', { skip: true }, f);\nt.test('d', { todo: 'later' }, f);",
    want: [1, 2, 3, 4].map((line) => new RegExp(`^test/x.test.ts:${line}: no .+ in a test: what does not run proves nothing`)),
  },
  { name: 'a skip event', file: 'test/x.test.ts', text: "client.skip(1); t.match(event, { kind: 'skip', todo: 3 });", want: [] },
  {
    name: 'an unfinished place',
    file: 'bench/x.bench.ts',
    text: `a\n// ${UNFINISHED} later`,
    want: [`bench/x.bench.ts:2: ${UNFINISHED} stops a merge: fix it, or write TODO with who or when`],
  },
  {
    name: 'a path of one machine',
    file: 'docs/x.md',
    text: `see \`${path('home', 'me', 'relay')}\``,
    want: ['docs/x.md:1: a path of one machine; use a relative one, import.meta.url or os.tmpdir()'],
  },
  { name: 'a path in a URL', file: 'docs/x.md', text: 'see https://example.org/home/me and /v1/connect', want: [] },
  {
    name: 'a link that leads nowhere',
    file: 'docs/x.md',
    text: 'ok [a](there.md), [b](../README.md#top)\n[c](gone.md), [d](https://example.org)',
    want: ['docs/x.md:2: gone.md leads nowhere: there is no docs/gone.md'],
  },
  {
    name: 'a link to a heading that is not there',
    file: 'docs/x.md',
    text: '# Topic rules: `all`\n[a](#topic-rules-all) [b](#other)',
    want: ['docs/x.md:2: no heading for #other; headings: topic-rules-all'],
  },
  {
    name: 'what looks like a link in code',
    file: 'docs/x.md',
    text: `${FENCE}\n[a](gone.md)\n${FENCE}\n\`[a](gone.md)\``,
    want: [],
  },
]) {
  t.test(`tidy: ${name}`, async (t) => {
    const exists = (target: string): boolean => ['docs/there.md', 'README.md'].includes(target);
    const problems = fileProblems({ path: file, text }, exists);
    t.equal(problems.length, want.length, problems.join('\n'));
    want.forEach((expected, index) => {
      if (typeof expected === 'string') t.equal(problems[index], expected);
      else t.match(problems[index], expected);
    });
  });
}

for (const { name, text, code, bare } of [
  { name: 'comments go', text: 'a // b\nc /* d\n */ e', code: 'a     \nc     \n    e', bare: 'a     \nc     \n    e' },
  { name: 'strings stay in code only', text: 'f(\'//x\', "/*")', code: 'f(\'//x\', "/*")', bare: 'f(\'   \', "  ")' },
  { name: 'an escaped quote ends nothing', text: "'a\\'//b' // c", code: "'a\\'//b'     ", bare: "'      '     " },
  { name: 'a regular expression is no comment', text: 'x = /[/*]\\/"/; y', code: 'x = /[/*]\\/"/; y', bare: 'x = /       /; y' },
  {
    name: 'a division is no regular expression',
    text: 'a / b // "c"\n/ d',
    code: 'a / b       \n/ d',
    bare: 'a / b       \n/ d',
  },
  {
    name: 'templates nest',
    text: '`a${b(`c${{ d: 1 }}//e`)}f` // g',
    code: '`a${b(`c${{ d: 1 }}//e`)}f`     ',
    bare: '`   b(`   { d: 1 }}    )}       ',
  },
]) {
  t.test(`source: ${name}`, async (t) => {
    t.same(stripSource(text), { code, bare });
    t.equal(bare.length, text.length, 'offsets stay');
  });
}

t.test('imports: a word in a text is none', async (t) => {
  t.same(importsOf(stripSource("const a = 'import'; export const b = 1;\nimport './c.ts';")), [{ specifier: './c.ts', line: 2 }]);
});
