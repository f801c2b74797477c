/** A disk that is full, and a disk that is slow: what each of the two policies does, that nothing is lost in silence, and that the chain stays whole. */
import { renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { AuditFile } from '../../../src/audit/audit-file.ts';
import { AuditLog, type OnFailure } from '../../../src/audit/audit-log.ts';
import { verifyFiles } from '../../../src/audit/verify.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { Prng } from '../../../src/base/prng.ts';
import { Program } from '../../support/program.ts';
import { AuditRig, linesIn, OPTIONS } from './audit-rig.ts';

const SEED = Number(process.env['SEED'] ?? 20_260_101);

for (const onFailure of ['block', 'count'] as const) {
  t.test(`${onFailure}: full and empty again, over and over, in the middle of lines (SEED=${SEED})`, async (t) => {
    const random = new Prng(SEED);
    const rig = await AuditRig.open(t, { onFailure, queueLinesMax: 50, fileBytesMax: 65_536 });
    let recorded = 0;
    for (let round = 0; round < 200; round++) {
      rig.disk.roomBytes = random.nextBoolean(0.7) ? random.nextInt(0, 5_000) : Number.POSITIVE_INFINITY;
      const count = random.nextInt(0, 40);
      rig.record(count, recorded + 1);
      recorded += count;
      await rig.advance(random.nextInt(0, 1_500));
    }
    rig.disk.roomBytes = Number.POSITIVE_INFINITY;
    await rig.advance(1_000);
    await rig.advance(1_000);
    const { lines } = rig;
    const written = lines.filter(({ event }) => event === 'disconnected').map(({ session }) => session as number);
    const lost = lines.reduce((sum, { lost = 0 }) => sum + (lost as number), 0);
    t.equal(written.length + lost, recorded, `${written.length} written, ${lost} told as lost`);
    t.equal(rig.log.metrics.linesLost, lost);
    t.ok(lost > 0);
    t.same(
      written,
      written.toSorted((one, other) => one - other),
      'in order',
    );
    t.match(await rig.verify(), { problem: null, tornLines: 0, lines: lines.length });
    t.notOk(rig.log.isBlocked);
    t.equal(rig.log.trouble, null);
  });
}

t.test(
  'block: nobody new comes in from the first failure to the first line that is written again; then a line tells of it',
  async (t) => {
    const rig = await AuditRig.open(t, { onFailure: 'block', syncMs: 1_000 });
    rig.record(1);
    await rig.log.flush();
    t.notOk(rig.log.isBlocked);
    rig.disk.roomBytes = 30;
    rig.record(2, 2);
    await rig.log.flush();
    t.ok(rig.log.isBlocked);
    t.match(rig.log.trouble, /cannot be written since 2023-.*ENOSPC.*; 1 lines wait, 0 are lost/);
    t.match(rig.said('the audit log cannot be written'), { level: 'error', facts: { cause: /ENOSPC/, auditOnFailure: 'block' } });
    for (let second = 0; second < 5; second++) await rig.advance(1_000);
    t.ok(rig.log.isBlocked);
    t.equal(rig.log.metrics.writeFailures, 6, 'one try a second');
    t.equal(rig.notices.filter(({ level }) => level === 'error').length, 1, 'said once');
    rig.disk.roomBytes = Number.POSITIVE_INFINITY;
    await rig.advance(1_000);
    t.notOk(rig.log.isBlocked);
    t.match(rig.said('the audit log can be written again'), { facts: { afterMs: 6_000 } });
    t.match(rig.lines, [
      { session: 1 },
      { session: 2 },
      { session: 3 },
      { event: 'auditResumed', since: '2023-11-14T22:13:20.000Z', cause: /ENOSPC/, lost: 0 },
    ]);
  },
);

t.test('block: who is connected goes on; twice the queue is kept for them, and what is over it is lost and told', async (t) => {
  const rig = await AuditRig.open(t, { onFailure: 'block', queueLinesMax: 100 });
  rig.disk.roomBytes = 0;
  rig.record(250);
  rig.log.record({ kind: 'revoked', session: 251, subject: 'ada', tokenId: null });
  await rig.log.flush();
  rig.disk.roomBytes = Number.POSITIVE_INFINITY;
  await rig.advance(1_000);
  t.equal(rig.lines.length, 201);
  t.match(rig.lines.at(-1), { event: 'auditResumed', lost: 51, lostByEvent: { disconnected: 50, revoked: 1 } });
  t.match(rig.said('audit lines were lost'), { level: 'error', facts: { lines: 51 } });
});

t.test(
  'count: everybody comes in, the queue is kept, and the line after the hole says how large it is and since when',
  async (t) => {
    const rig = await AuditRig.open(t, { onFailure: 'count', queueLinesMax: 100 });
    rig.disk.roomBytes = 0;
    rig.record(100);
    await rig.log.flush();
    t.equal(rig.log.metrics.linesLost, 0);
    rig.clock.advance(5_000);
    rig.record(30, 101);
    t.equal(rig.log.metrics.linesLost, 30);
    t.notOk(rig.log.isBlocked);
    t.match(rig.log.trouble, /ENOSPC.*; 100 lines wait, 30 are lost/);
    rig.disk.roomBytes = Number.POSITIVE_INFINITY;
    await rig.advance(1_000);
    rig.record(1, 131);
    await rig.log.flush();
    t.match(rig.lines.slice(99), [
      { session: 100 },
      { event: 'auditResumed', since: '2023-11-14T22:13:20.000Z', lost: 30, lostByEvent: { disconnected: 30 } },
      { session: 131 },
    ]);
  },
);

for (const onFailure of ['block', 'count'] as const satisfies readonly OnFailure[])
  t.test(`${onFailure}: a disk that is too slow is the same as a full one once the queue is full`, async (t) => {
    const rig = await AuditRig.open(t, { onFailure, queueLinesMax: 100 });
    rig.record(150); // In one turn: nothing is written in between.
    t.equal(rig.log.isBlocked, onFailure === 'block');
    t.equal(rig.log.metrics.linesLost, onFailure === 'block' ? 0 : 50);
    t.match(rig.said('the audit log is behind: its queue is full'), {
      facts: { auditQueueLinesMax: 100, auditOnFailure: onFailure },
    });
    t.match(rig.log.trouble, /auditQueueLinesMax/);
    await rig.log.flush();
    t.notOk(rig.log.isBlocked);
    t.equal(rig.log.trouble, null);
    if (onFailure === 'count') t.match(rig.lines.at(-1), { event: 'auditResumed', cause: /auditQueueLinesMax/, lost: 50 });
    else t.equal(rig.lines.length, 150);
  });

t.test('the last lines of a life are not those that are lost', async (t) => {
  const rig = await AuditRig.open(t, { onFailure: 'count', queueLinesMax: 100 });
  rig.record(120);
  rig.log.record({ kind: 'stopped' });
  await rig.log.close();
  t.same(rig.events.slice(-2), ['auditResumed', 'stopped']);
});

t.test('the end with a full disk: it does not wait for ever, and says what is lost', async (t) => {
  const rig = await AuditRig.open(t);
  rig.disk.roomBytes = 10;
  rig.record(5);
  await rig.log.close();
  t.match(rig.said('audit lines are lost with the end of the relay'), { level: 'error', facts: { lines: 5, cause: /ENOSPC/ } });
  t.match(await rig.verify(), { problem: { kind: 'torn' } });
  const next = await AuditRig.open(t, {}, rig.folder);
  next.record(1);
  await next.log.flush();
  t.match(await next.verify(), { problem: null, tornLines: 1 }, 'and the next life tells of the line that is torn');
});

t.test('moved to another disk while it was full: the old file ends torn, and the new one tells of it', async (t) => {
  const rig = await AuditRig.open(t);
  rig.record(2);
  await rig.log.flush();
  rig.disk.roomBytes = 70;
  rig.record(2, 3);
  await rig.log.flush();
  t.ok(rig.log.isBlocked);
  renameSync(rig.path, `${rig.path}.1`);
  rig.disk.roomBytes = Number.POSITIVE_INFINITY;
  rig.log.reopen();
  await rig.log.flush();
  t.notOk(rig.log.isBlocked, 'at once, without waiting for the next try');
  t.match(linesIn(rig.path), [
    { event: 'lineTorn', seq: 3, bytes: 70 },
    { event: 'fileReopened', seq: 4 },
    { session: 3 },
    { session: 4 },
    { event: 'auditResumed', lost: 0 },
  ]);
  t.match(await verifyFiles([`${rig.path}.1`, rig.path]), { problem: null, tornLines: 1 });
});

// ---- real ones

t.test('/dev/full, where every write is ENOSPC', async (t) => {
  for (const onFailure of ['block', 'count'] as const) {
    const log = new AuditLog({ ...OPTIONS, onFailure }, new AuditFile('/dev/full'), systemClock, () => {});
    await log.open();
    log.record({ kind: 'disconnected', session: 1, code: 1_000 });
    await log.flush();
    t.equal(log.isBlocked, onFailure === 'block');
    t.match(log.trouble, /ENOSPC/);
    await log.close();
  }
});

for (const onFailure of ['block', 'count'] as const)
  t.test(`${onFailure}: a file that may not grow (ulimit -f) and is moved away, in a process of its own`, async (t) => {
    const folder = t.testdir({});
    const path = join(folder, 'audit.log');
    const writer = fileURLToPath(new URL('limited-writer.ts', import.meta.url));
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', writer, path, onFailure];
    const program = new Program(t, ['sh', '-c', 'ulimit -f 512; exec "$@"', 'sh', ...node]);
    t.equal(
      await program.stdout.find(/failing/),
      `failing ${onFailure === 'block' ? 'blocked' : 'open'} EFBIG: file too large, write`,
    );
    const { size } = statSync(path);
    t.ok(size === 262_144 || size === 524_288, `cut at the limit exactly, in the middle of a line or not: ${size} bytes`);
    renameSync(path, `${path}.1`);
    program.kill('SIGHUP');
    t.same(await program.exited, { code: 0, signal: null });
    const { problem } = await verifyFiles([`${path}.1`, path]);
    t.equal(problem, null);
    t.match(linesIn(path).at(-1), { event: 'stopped' });
    const told = linesIn(path).find(({ event }) => event === 'auditResumed');
    t.match(told, { cause: /EFBIG/ });
    const written = [...linesIn(`${path}.1`), ...linesIn(path)].filter(({ event }) => event === 'disconnected').length;
    t.equal(program.stdout.all.at(-1), `recorded ${written + (told?.['lost'] as number)}`, 'every line is there or counted');
  });
