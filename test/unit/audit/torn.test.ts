/** What a crash leaves behind: it stays, the next line tells of it, and the chain is whole. What no crash leaves is told too, and is not whole. */
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { AuditRig } from './audit-rig.ts';

const SEED = Number(process.env['SEED'] ?? 20_260_101);

/** A file as a life of the relay leaves it. */
async function life(t: Test, lines: number, folder = t.testdir({})): Promise<AuditRig> {
  const rig = await AuditRig.open(t, {}, folder);
  rig.record(lines);
  await rig.log.close();
  return rig;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

t.test(`a crash in the middle of a line, at every byte of it (SEED=${SEED})`, async (t) => {
  const { path, folder } = await life(t, 20);
  const whole = readFileSync(path);
  const lastStart = whole.lastIndexOf('\n', whole.length - 2) + 1;
  for (let length = lastStart + 1; length < whole.length - 1; length++) {
    const torn = whole.subarray(0, length);
    writeFileSync(path, torn);
    const rig = await life(t, 2, folder);
    t.ok(readFileSync(path).subarray(0, length).equals(torn), 'nothing of what was there is changed');
    t.match(rig.lines.slice(19), [
      { event: 'lineTorn', seq: 20, bytes: length - lastStart, sha256: sha256(whole.subarray(lastStart, length)) },
      { event: 'disconnected', seq: 21 },
      { event: 'disconnected', seq: 22 },
    ]);
    t.match(await rig.verify(), { problem: null, tornLines: 1, lines: 22 }, `cut at byte ${length - lastStart}`);
    t.ok(rig.said('the last line of the audit log was cut off; it stays, and the next line says so'));
  }
});

t.test(`crash after crash, each in the middle of a line (SEED=${SEED})`, async (t) => {
  const random = new Prng(SEED);
  const { path, folder } = await life(t, 3);
  for (let crash = 1; crash <= 40; crash++) {
    const before = readFileSync(path).length;
    await life(t, random.nextInt(1, 3), folder);
    // Back to somewhere in what this life has written: perhaps into the very line that tells of the last crash.
    const after = readFileSync(path);
    writeFileSync(path, after.subarray(0, random.nextInt(before, after.length)));
  }
  const rig = await life(t, 1, folder);
  const { problem, tornLines } = await rig.verify();
  t.equal(problem, null);
  t.ok(tornLines > 5, `${tornLines} torn lines are told of`);
});

t.test('the power fails: a block of zeros where lines should be', async (t) => {
  const { path, folder } = await life(t, 3);
  appendFileSync(path, Buffer.alloc(100_000));
  const rig = await life(t, 1, folder);
  t.match(rig.lines[3], { event: 'lineTorn', seq: 4, bytes: 100_000 });
  t.match(await rig.verify(), { problem: null, tornLines: 1 });
});

t.test('a whole line that lacks its line end is whole', async (t) => {
  const { path, folder } = await life(t, 3);
  writeFileSync(path, readFileSync(path).subarray(0, -1));
  const rig = await life(t, 1, folder);
  t.match(rig.lines, [{ seq: 1 }, { seq: 2 }, { seq: 3 }, { seq: 4, event: 'disconnected' }]);
  t.match(await rig.verify(), { problem: null, tornLines: 0 });
});

t.test('the very first line is cut off', async (t) => {
  const { path, folder } = await life(t, 1);
  writeFileSync(path, readFileSync(path).subarray(0, 50));
  const rig = await life(t, 1, folder);
  t.match(rig.lines, [{ event: 'lineTorn', seq: 1, bytes: 50 }, { seq: 2 }]);
  t.match(await rig.verify(), { problem: null, tornLines: 1 });
});

t.test('torn bytes that are changed afterwards are found', async (t) => {
  const { path, folder } = await life(t, 3);
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, -20));
  const rig = await life(t, 1, folder);
  const bytes = readFileSync(path);
  bytes[whole.length - 40] = 0x78;
  writeFileSync(path, bytes);
  t.match(await rig.verify(), { problem: { kind: 'changed', line: 3 } });
});

for (const { name, change } of [
  {
    name: 'the last line changed while the relay was down',
    change: (text: string) => text.replace(/"code":1000(?=[^\n]*\n$)/, '"code":1001'),
  },
  { name: 'a text written behind the last line', change: (text: string) => `${text}nothing to see here\n` },
  { name: 'a text without a line end', change: (text: string) => `${text}nothing` },
])
  t.test(`${name}: said in the log and in the next line, and never whole again`, async (t) => {
    const { path, folder } = await life(t, 3);
    const changed = change(readFileSync(path, 'utf8'));
    t.not(changed, readFileSync(path, 'utf8'));
    writeFileSync(path, changed);
    const rig = await life(t, 1, folder);
    t.equal(rig.lines.findLast(({ event }) => event !== 'disconnected')?.['event'], 'lineBroken');
    t.match(rig.said('the end of the audit log has been changed; it stays, and the next line says so'), { level: 'error' });
    t.match(await rig.verify(), { problem: { kind: 'changed' } });
  });

for (const { name, text } of [
  { name: 'a text', text: 'root:x:0:0:root\n' },
  { name: 'JSON lines of another kind', text: '{"level":"info","msg":"hello"}\n' },
  { name: 'a long file without line ends', text: 'x'.repeat(300_000) },
])
  t.test(`somebody else’s file is left alone: ${name}`, async (t) => {
    const folder = t.testdir({ 'audit.log': text });
    const rig = new AuditRig(folder);
    await t.rejects(rig.log.open(), { message: /is no audit log/ });
    t.equal(readFileSync(join(folder, 'audit.log'), 'utf8'), text);
  });

t.test('a place that cannot be written to', async (t) => {
  await t.rejects(new AuditRig(join(t.testdir({}), 'none')).log.open(), { code: 'ENOENT' });
});
