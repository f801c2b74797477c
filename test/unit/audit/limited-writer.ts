/** For full-disk.test.ts: writes an audit log until it cannot, says so, and goes on when SIGHUP says that the file was moved away. */
import process from 'node:process';
import { AuditFile } from '../../../src/audit/audit-file.ts';
import { AuditLog, type OnFailure } from '../../../src/audit/audit-log.ts';
import { systemClock } from '../../../src/base/clock.ts';

const [path = '', onFailure = 'block'] = process.argv.slice(2);
const options = { onFailure: onFailure as OnFailure, queueLinesMax: 100, fileBytesMax: 0, filesMax: 0, syncMs: 0 };
const log = new AuditLog(options, new AuditFile(path), systemClock, () => {});
await log.open();
const moved = new Promise((resolve) => process.once('SIGHUP', resolve));
const running = setInterval(() => log.tick(), 100); // Keeps the process alive, too.
let recorded = 0;
const record = (): void => log.record({ kind: 'disconnected', session: ++recorded, code: 1_000 });
while (log.trouble === null) {
  for (let count = 0; count < 7; count++) record();
  await log.flush();
}
const cause = /: (E\w+: [^;]*);/.exec(log.trouble)?.[1];
// More than the queue holds, so that some are lost, and less than fits into the next file.
for (let count = 0; count < 300; count++) record();
process.stdout.write(`failing ${log.isBlocked ? 'blocked' : 'open'} ${cause}\n`);
await moved;
log.reopen();
await log.flush();
log.record({ kind: 'stopped' });
await log.close();
clearInterval(running);
process.stdout.write(`recorded ${recorded}\n`);
