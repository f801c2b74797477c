/** Tampering, every way and in random places: `relay audit verify` finds it and says where. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type AuditLine, readLine, sealLine } from '../../../src/audit/line.ts';
import { type ProblemKind, verifyFiles } from '../../../src/audit/verify.ts';
import { Prng } from '../../../src/base/prng.ts';
import { AuditRig, EVERY_EVENT } from './audit-rig.ts';

const SEED = Number(process.env['SEED'] ?? 20_260_101);
const ROUNDS = 25;

/** Three files and some: every kind of event, and many of the same. */
async function wholeChain(t: Test): Promise<AuditRig> {
  const rig = await AuditRig.open(t, { fileBytesMax: 65_536 });
  for (let round = 0; round < 30; round++) {
    for (const event of EVERY_EVENT) rig.log.record(event);
    rig.record(10);
    await rig.advance(1_000);
  }
  await rig.log.close();
  return rig;
}

t.test('a chain over several files is whole', async (t) => {
  const rig = await wholeChain(t);
  const { lines } = rig;
  t.ok(rig.files.length >= 3, `${rig.files.length} files`);
  const { problem, ...found } = await rig.verify();
  t.equal(problem, null);
  t.match(found, {
    lines: lines.length,
    tornLines: 0,
    first: { seq: 1 },
    last: { seq: lines.length, hash: lines.at(-1)?.['hash'] },
  });
});

interface Tampering {
  readonly name: string;
  readonly kinds: readonly ProblemKind[];
  /** Changes lines of one file, of which there are at least ten; says the index of the line that the problem is at. */
  readonly apply: (lines: string[], at: number, random: Prng) => number;
}

const TAMPERINGS: readonly Tampering[] = [
  {
    name: 'a letter changed',
    kinds: ['changed'],
    apply: (lines, at, random) => {
      const line = lines[at] as string;
      const place = random.nextInt(0, line.length - 1);
      lines[at] = `${line.slice(0, place)}${line[place] === 'x' ? 'y' : 'x'}${line.slice(place + 1)}`;
      return at;
    },
  },
  {
    name: 'a year changed, and all else left as it was',
    kinds: ['changed'],
    apply: (lines, at) => {
      lines[at] = (lines[at] as string).replace(/"time":"2/, '"time":"1');
      return at;
    },
  },
  {
    name: 'a line replaced together with its hash',
    kinds: ['foreign'],
    apply: (lines, at) => {
      const { seq, prev } = readLine(Buffer.from(lines[at] as string)) as AuditLine;
      lines[at] = sealLine({ seq: seq - 1, hash: prev }, '"time":"2026-01-01T00:00:00.000Z","event":"nothing"').text.trimEnd();
      return at + 1;
    },
  },
  {
    name: 'a line taken out',
    kinds: ['missing'],
    apply: (lines, at) => {
      lines.splice(at, 1);
      return at;
    },
  },
  {
    name: 'several lines taken out',
    kinds: ['missing'],
    apply: (lines, at, random) => {
      lines.splice(at, random.nextInt(2, 5));
      return at;
    },
  },
  {
    name: 'two neighbours swapped',
    kinds: ['reordered'],
    apply: (lines, at) => {
      const [one, other] = [lines[at] as string, lines[at + 1] as string];
      lines.splice(at, 2, other, one);
      return at;
    },
  },
  {
    name: 'a line moved to a later place',
    kinds: ['reordered'],
    apply: (lines, at, random) => {
      const [line] = lines.splice(at, 1);
      lines.splice(random.nextInt(at + 1, lines.length), 0, line as string);
      return at;
    },
  },
  {
    name: 'a line that stands there twice',
    kinds: ['reordered'],
    apply: (lines, at) => {
      lines.splice(at, 0, lines[at] as string);
      return at + 1;
    },
  },
  {
    name: 'a line cut off in the middle, its end kept',
    kinds: ['changed'],
    apply: (lines, at, random) => {
      lines[at] = (lines[at] as string).slice(0, random.nextInt(1, (lines[at] as string).length - 1));
      return at;
    },
  },
  {
    name: 'two lines made one',
    kinds: ['changed'],
    apply: (lines, at) => {
      lines.splice(at, 2, `${lines[at]}${lines[at + 1]}`);
      return at;
    },
  },
  {
    name: 'a text put in between',
    kinds: ['changed'],
    apply: (lines, at) => {
      lines.splice(at, 0, 'nothing to see here');
      return at;
    },
  },
  {
    name: 'an empty line put in between',
    kinds: ['changed'],
    apply: (lines, at) => {
      lines.splice(at, 0, '');
      return at;
    },
  },
  {
    name: 'spaces put in',
    kinds: ['changed'],
    apply: (lines, at) => {
      lines[at] = (lines[at] as string).replace('{"seq":', '{ "seq": ');
      return at;
    },
  },
  {
    name: 'another chain put in its place from some line on',
    kinds: ['foreign'],
    apply: (lines, at) => {
      let end = { seq: (readLine(Buffer.from(lines[at] as string)) as AuditLine).seq - 1, hash: 'f'.repeat(64) };
      for (let index = at; index < lines.length; index++) {
        const sealed = sealLine(end, '"time":"2026-01-01T00:00:00.000Z","event":"nothing"');
        lines[index] = sealed.text.trimEnd();
        end = sealed.end;
      }
      return at;
    },
  },
];

for (const { name, kinds, apply } of TAMPERINGS) {
  t.test(`${name}: found, with file and line (SEED=${SEED})`, async (t) => {
    const random = new Prng(SEED);
    const rig = await wholeChain(t);
    const folder = join(rig.folder, 'tampered');
    mkdirSync(folder);
    for (let round = 0; round < ROUNDS; round++) {
      const copies = rig.files.map((path, index) => {
        const copy = join(folder, `${index}`);
        copyFileSync(path, copy);
        return copy;
      });
      const file = random.pick(copies);
      const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
      const line = apply(lines, random.nextInt(1, lines.length - 7), random) + 1;
      writeFileSync(file, `${lines.join('\n')}\n`);
      const { problem } = await verifyFiles(copies);
      t.match(problem, { file, line }, `round ${round}: ${problem?.text}`);
      t.ok(kinds.includes(problem?.kind as ProblemKind), `round ${round}: ${problem?.kind}`);
    }
  });
}

t.test('files in another order than that of rotation', async (t) => {
  const { files } = await wholeChain(t);
  t.match(await verifyFiles(files.toReversed()), { problem: { file: files.at(-2), line: 1, kind: 'reordered' } });
});

t.test('a file in between that is not there', async (t) => {
  const { files } = await wholeChain(t);
  const { problem } = await verifyFiles([files[0] as string, files[2] as string]);
  t.match(problem, { file: files[2], line: 1, kind: 'missing' });
});

t.test('a chain that begins anew in the middle', async (t) => {
  const one = await wholeChain(t);
  const other = new AuditRig(join(one.folder, 'other'));
  mkdirSync(other.folder);
  await other.log.open();
  other.record(3);
  await other.log.close();
  const { problem } = await verifyFiles([one.path, other.path]);
  t.match(problem, { file: other.path, line: 1, kind: 'foreign', text: /another chain begins here/ });
});

t.test('the end cut off: in a line it is torn, at a line only an anchor tells', async (t) => {
  const random = new Prng(SEED);
  const rig = await wholeChain(t);
  const anchor = (rig.lines.at(-1) as { hash: string }).hash;
  const bytes = readFileSync(rig.path);
  const lastStart = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
  for (let round = 0; round < ROUNDS; round++) {
    const length = random.nextInt(lastStart + 1, bytes.length - 2);
    writeFileSync(rig.path, bytes.subarray(0, length));
    const lineNumber = bytes.subarray(0, lastStart).toString().split('\n').length;
    t.match(await rig.verify(), { problem: { kind: 'torn', file: rig.path, line: lineNumber } }, `${length} of ${bytes.length}`);
  }
  writeFileSync(rig.path, bytes.subarray(0, lastStart));
  t.match(await rig.verify(), { problem: null }, 'without an anchor nothing is wrong with what is left');
  t.match(await rig.verify(anchor), { problem: { kind: 'anchor', file: rig.path } });
  writeFileSync(rig.path, bytes.subarray(0, -1));
  t.match(await rig.verify(anchor), { problem: null }, 'a whole line that only lacks its line end is whole');
});

t.test('an anchor: any line’s hash, or what the first line follows; a chain made anew has neither', async (t) => {
  const rig = await wholeChain(t);
  const [first, second] = rig.files as [string, string];
  const secondPrev = (await verifyFiles([second])).first?.prev as string;
  t.match(await verifyFiles([second], secondPrev), { problem: null }, 'the last hash of the file before');
  t.match(await verifyFiles([first], secondPrev), { problem: null }, 'the hash of a line');
  t.match(await verifyFiles([first, second], '0'.repeat(64)), { problem: null }, 'the beginning of all chains');
  // Every line sealed again with one of them left out: the chain is whole, and it is not the one that was.
  let end = { seq: 0, hash: '0'.repeat(64) };
  const lines = readFileSync(first, 'utf8').trimEnd().split('\n').toSpliced(3, 1);
  const forged = lines.map((line) => {
    const sealed = sealLine(end, line.replace(/^\{"seq":\d+,/, '').replace(/,"prev":"\w+","hash":"\w+"\}$/, ''));
    end = sealed.end;
    return sealed.text;
  });
  writeFileSync(first, forged.join(''));
  t.match(await verifyFiles([first]), { problem: null });
  t.match(await verifyFiles([first], secondPrev), { problem: { kind: 'anchor' } });
});

for (const { name, text, kind, line } of [
  { name: 'an empty file', text: '', kind: 'missing', line: 0 },
  { name: 'a file without line ends', text: 'x'.repeat(1_000), kind: 'torn', line: 1 },
  { name: 'another text', text: 'one\ntwo\n', kind: 'changed', line: 1 },
])
  t.test(`${name} is no chain`, async (t) => {
    const folder = t.testdir({ 'audit.log': text });
    t.match(await verifyFiles([join(folder, 'audit.log')]), { lines: 0, problem: { kind, line } });
  });

t.test('a file that is not there is no finding', async (t) => {
  await t.rejects(verifyFiles([join(t.testdir({}), 'none')]), { code: 'ENOENT' });
});
