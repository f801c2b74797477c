/**
 * Makes a fresh clone runnable: installs the locked dependencies (which include the pinned Node 22) once.
 *
 * Runs on the system's own Node (20 or later), before anything of the project can; so: no imports but Node's,
 * no TypeScript. Says what it does, or nothing if there is nothing to do.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stampFile = `${root}node_modules/.relay-setup`;
const nodeFile = `${root}node_modules/.bin/node`;
const quiet = process.argv.includes('--quiet');
const say = (text) => console.error(`setup: ${text}`);

if (process.platform !== 'linux' || process.arch !== 'x64') {
  say(
    `needs linux x64 (glibc 2.27 or later), this is ${process.platform} ${process.arch}: the pinned uWebSockets.js build exists for that only`,
  );
  process.exit(1);
}

// The stamp is written last, so an install that was cut off is done again.
const wanted = createHash('sha256')
  .update(readFileSync(`${root}package-lock.json`))
  .digest('hex');
const found = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : '';

if (found === wanted && existsSync(nodeFile)) {
  if (!quiet) say('dependencies and Node 22 are in place');
} else {
  say('installing the locked dependencies and the pinned Node 22 (npm ci, about half a minute) ...');
  const startedMs = Date.now();
  // EBADENGINE warnings are expected here: npm runs on the system's Node, the relay on the one being installed.
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] });
  if (npm.status !== 0) {
    say(`npm ci failed (${npm.error?.message ?? `exit code ${npm.status}`}); the lines above say why. Nothing was started.`);
    process.exit(1);
  }
  const node = spawnSync(nodeFile, ['--version'], { encoding: 'utf8' });
  if (node.status !== 0) {
    say(`the installed Node does not run on this machine: ${node.error?.message ?? node.stderr}`);
    process.exit(1);
  }
  writeFileSync(stampFile, wanted);
  say(`done in ${((Date.now() - startedMs) / 1000).toFixed(0)} s: Node ${node.stdout.trim()}`);
}
