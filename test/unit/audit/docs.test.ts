/** docs/audit.md is a format's description: every event with every fact, and what it tells a reader to type. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { OwnEvent } from '../../../src/audit/events.ts';
import { AuditRig, EVERY_EVENT } from './audit-rig.ts';

const PAGE = readFileSync(new URL('../../../docs/audit.md', import.meta.url), 'utf8');
const rows = PAGE.split('\n').filter((line) => line.startsWith('| `'));

t.test('every event has a row with its facts', async (t) => {
  for (const { kind, ...facts } of EVERY_EVENT) {
    const row = rows.find((line) => line.split('|')[1]?.includes(`\`${kind}\``));
    t.ok(row, kind);
    for (const name of Object.keys(facts)) t.ok(row?.includes(`\`${name}\``), `${kind}: ${name}`);
  }
  for (const kind of Object.values(OwnEvent))
    t.ok(
      rows.some((line) => line.startsWith(`| \`${kind}\` |`)),
      kind,
    );
});

t.test('every kind of problem has a row', async (t) => {
  const source = readFileSync(new URL('../../../src/audit/verify.ts', import.meta.url), 'utf8');
  const kinds = /ProblemKind = ([^;]*);/.exec(source)?.[1]?.match(/\w+/g) ?? [];
  t.equal(kinds.length, 6);
  for (const kind of kinds)
    t.ok(
      rows.some((line) => line.startsWith(`| \`${kind}\` |`)),
      kind,
    );
});

t.test('the shell line that checks a line gives its hash', async (t) => {
  const rig = await AuditRig.open(t);
  for (const event of EVERY_EVENT) rig.log.record(event);
  await rig.log.flush();
  const command = /```sh\n(sed -n 8p .*)\n```/.exec(PAGE)?.[1] as string;
  const { stdout } = spawnSync('sh', ['-c', command], { cwd: rig.folder, encoding: 'utf8' });
  t.equal(stdout.split(' ')[0], rig.lines[7]?.['hash']);
});
