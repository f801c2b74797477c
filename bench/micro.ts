/**
 * Runs every bench of the pieces in full size, one after the other, each into bench/results/micro-NAME.json. `npm run bench:micro`
 * Not those of whole relays, which have commands of their own: bench:rpc, bench:workflow.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const WHOLE_RELAYS = ['bench/rpc/', 'bench/workflow/'];

const root = fileURLToPath(new URL('..', import.meta.url));
mkdirSync(`${root}bench/results`, { recursive: true });
const files = globSync('bench/**/*.bench.ts', { cwd: root }).filter(
  (file) => !WHOLE_RELAYS.some((folder) => file.startsWith(folder)),
);
for (const file of files.toSorted()) {
  const json = `bench/results/micro-${basename(file, '.bench.ts')}.json`;
  const { status } = spawnSync(process.execPath, [file, '--json', json], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
