/** Rotation, by the relay and from outside; and files that are moved, deleted, cut or written to while they are in use. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { verifyFiles } from '../../../src/audit/verify.ts';
import { AuditRig, errorOf, linesIn } from './audit-rig.ts';

const FILE_BYTES_MAX = 65_536;
/** Lines of the rig's are some 250 bytes. */
const LINES_PER_FILE = FILE_BYTES_MAX / 250;

t.test('no file is larger than its bound, and each goes on from the last hash of the one before', async (t) => {
  const rig = await AuditRig.open(t, { fileBytesMax: FILE_BYTES_MAX, queueLinesMax: 10_000 });
  for (let round = 0; round < 5; round++) {
    rig.record(LINES_PER_FILE, round * LINES_PER_FILE);
    await rig.log.flush();
  }
  const { files } = rig;
  t.ok(files.length >= 5, `${files.length} files`);
  for (const [index, path] of files.entries()) {
    const lines = linesIn(path);
    t.ok(statSync(path).size <= FILE_BYTES_MAX, `${statSync(path).size} bytes`);
    if (index === 0) continue;
    const before = files[index - 1] as string;
    t.match(lines[0], {
      event: 'fileRotated',
      previousFile: basename(before),
      prev: linesIn(before).at(-1)?.['hash'],
      removed: [],
    });
  }
  for (const path of files.slice(0, -1))
    t.equal(basename(path), `audit.log.${String(linesIn(path)[0]?.['seq']).padStart(12, '0')}`, 'named by its first line');
  t.match(await rig.verify(), { problem: null });
  t.equal(rig.log.metrics.filesRotated, files.length - 1);
  t.notOk(existsSync(`${rig.path}.next`));
});

t.test('auditFilesMax: the oldest go, and the line that says so names them', async (t) => {
  const rig = await AuditRig.open(t, { fileBytesMax: FILE_BYTES_MAX, filesMax: 2, queueLinesMax: 10_000 });
  const first = new Set<string>();
  for (let round = 0; round < 6; round++) {
    rig.record(LINES_PER_FILE);
    await rig.log.flush();
    for (const path of rig.files.slice(0, -1)) first.add(basename(path));
    t.ok(rig.files.length <= 3);
  }
  const gone = [...first].filter((name) => !existsSync(join(rig.folder, name)));
  t.ok(gone.length >= 3);
  const told = rig.lines.flatMap(({ removed }) => (removed as string[] | undefined) ?? []);
  t.ok(
    gone.slice(-2).every((name) => told.includes(name)),
    `${gone} of ${told}`,
  );
  t.match(await rig.verify(), { problem: null }, 'what is left is whole');
});

t.test('0 keeps all, and never rotates', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(1_000);
  await rig.log.flush();
  t.same(readdirSync(rig.folder), ['audit.log']);
});

t.test('a rotation that fails: lines go on into their file, and it is tried again', async (t) => {
  const rig = await AuditRig.open(t, { fileBytesMax: FILE_BYTES_MAX, queueLinesMax: 10_000 });
  rig.disk.renameError = errorOf('EACCES', 'permission denied');
  rig.record(3 * LINES_PER_FILE);
  await rig.log.flush();
  t.notOk(rig.log.isBlocked);
  t.match(rig.said('the audit log could not be rotated and goes on in its file'), { level: 'error', facts: { cause: /EACCES/ } });
  t.same(
    readdirSync(rig.folder).filter((name) => !name.endsWith('.next')),
    ['audit.log'],
  );
  rig.disk.renameError = null;
  rig.record(1);
  await rig.advance(60_000);
  rig.record(1);
  await rig.log.flush();
  t.equal(rig.files.length, 2);
  t.match(await rig.verify(), { problem: null });
});

t.test('a crash in the middle of a rotation: the chain goes on from the rotated file', async (t) => {
  for (const isEmpty of [true, false]) {
    const folder = t.testdir({});
    const rig = await AuditRig.open(t, {}, folder);
    rig.record(3);
    await rig.log.close();
    renameSync(rig.path, `${rig.path}.000000000001`);
    if (isEmpty) writeFileSync(rig.path, '');
    const next = await AuditRig.open(t, {}, folder);
    next.record(1);
    await next.log.close();
    t.match(await next.verify(), { problem: null, lines: 4 });
    t.match(linesIn(next.path), [{ seq: 4 }]);
  }
});

t.test('a name that is taken is not overwritten', async (t) => {
  const rig = await AuditRig.open(t, { fileBytesMax: FILE_BYTES_MAX, queueLinesMax: 10_000 });
  writeFileSync(`${rig.path}.000000000001`, 'of another chain');
  rig.record(1.5 * LINES_PER_FILE);
  await rig.log.flush();
  t.equal(readFileSync(`${rig.path}.000000000001`, 'utf8'), 'of another chain');
  t.match(await verifyFiles([`${rig.path}.000000000001-2`, rig.path]), { problem: null });
});

// ---- from outside

t.test('moved away and asked to open anew (logrotate, SIGHUP): the chain goes on in a new file', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(3);
  await rig.log.flush();
  renameSync(rig.path, `${rig.path}.1`);
  rig.record(2, 4); // Into the file that was moved: it is open still.
  await rig.log.flush();
  rig.log.reopen();
  await rig.log.flush();
  rig.record(1, 6);
  await rig.log.flush();
  t.equal(linesIn(`${rig.path}.1`).length, 5);
  t.match(linesIn(rig.path), [{ event: 'fileReopened', seq: 6, because: 'asked' }, { seq: 7 }]);
  t.match(await verifyFiles([`${rig.path}.1`, rig.path]), { problem: null, lines: 7 });
});

t.test('asked to open anew where nothing has moved: nothing happens', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(1);
  rig.log.reopen();
  await rig.log.flush();
  rig.log.reopen();
  await rig.log.flush();
  t.same(rig.events, ['disconnected']);
});

for (const { name, act, firstSeq } of [
  { name: 'moved away and nobody has said so', act: (path: string) => renameSync(path, `${path}.1`), firstSeq: 1 },
  { name: 'deleted', act: (path: string) => unlinkSync(path), firstSeq: 4 },
])
  t.test(`${name}: found with the next lines, and said`, async (t) => {
    const rig = await AuditRig.open(t);
    rig.record(3);
    await rig.log.flush();
    act(rig.path);
    rig.record(1, 4);
    await rig.advance(1_000);
    t.match(linesIn(rig.path).at(0), { event: 'fileReopened', because: 'the path led elsewhere' });
    t.match(rig.said('audit log reopened'), { level: 'warn' });
    t.match(await rig.verify(), { problem: null, first: { seq: firstSeq } });
  });

t.test('another file in its place: not written to, and it blocks until that is gone', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(3);
  await rig.log.flush();
  renameSync(rig.path, `${rig.path}.1`);
  writeFileSync(rig.path, 'somebody else’s\n');
  rig.record(1, 4);
  await rig.advance(1_000);
  t.ok(rig.log.isBlocked);
  t.equal(readFileSync(rig.path, 'utf8'), 'somebody else’s\n');
  unlinkSync(rig.path);
  await rig.advance(1_000);
  t.notOk(rig.log.isBlocked);
  t.match(await verifyFiles([`${rig.path}.1`, rig.path]), { problem: null });
  t.same(
    linesIn(rig.path).map(({ event }) => event),
    ['fileReopened', 'disconnected', 'auditResumed'],
  );
});

t.test('cut to nothing by somebody (copytruncate): said, and the chain goes on', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(3);
  await rig.log.flush();
  const copy = `${rig.path}.1`;
  writeFileSync(copy, readFileSync(rig.path));
  const bytes = statSync(rig.path).size;
  truncateSync(rig.path);
  rig.record(1, 4);
  await rig.advance(1_000);
  t.match(linesIn(rig.path), [{ event: 'fileChanged', expectedBytes: bytes, bytes: 0 }, { session: 4 }]);
  t.match(rig.said('somebody else has written to the audit log, or cut it'), { level: 'error' });
  t.match(await verifyFiles([copy, rig.path]), { problem: null });
});

t.test('written to by somebody: said at once, and verify finds it', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(3);
  await rig.log.flush();
  appendFileSync(rig.path, 'nothing to see here');
  rig.record(1, 4);
  await rig.advance(1_000);
  t.match(rig.events, ['disconnected', 'disconnected', 'disconnected', 'fileChanged', 'disconnected']);
  t.match(await rig.verify(), { problem: { kind: 'changed', line: 4 } });
});

t.test('two relays on one file: both say so, and verify finds it', async (t) => {
  const one = await AuditRig.open(t);
  one.record(3);
  await one.log.flush();
  const other = await AuditRig.open(t, {}, one.folder);
  other.record(2);
  await other.log.flush();
  one.record(1);
  await one.advance(1_000);
  other.record(1);
  await other.advance(1_000);
  for (const rig of [one, other]) t.ok(rig.said('somebody else has written to the audit log, or cut it'));
  t.match(await one.verify(), { problem: { kind: 'reordered', line: 6 } });
});

t.test('a folder for the path', async (t) => {
  const rig = new AuditRig(t.testdir({}));
  mkdirSync(rig.path);
  await t.rejects(rig.log.open(), { code: 'EISDIR' });
});
