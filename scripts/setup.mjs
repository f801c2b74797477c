/**
 * Makes a fresh clone runnable: installs the locked dependencies (which include the pinned Node 22) once.
 *
 * With USE_SYSTEM_NODE=1 the Node that runs npm takes the pinned one's place in node_modules/.bin, for everything that is run from then on:
 * the way to Node 24 (glibc 2.38 or later). npm installs the uWebSockets.js build for it, because it goes by the Node that runs it
 * (docs/decisions/0009-node-24.md). The name does not begin with RELAY_: those are the relay's settings, and an unknown one is a mistake.
 *
 * Runs on the system's own Node (20 or later), before anything of the project can; so: no imports but Node's,
 * no TypeScript. Says what it does, or nothing if there is nothing to do.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stampFile = `${root}node_modules/.relay-setup`;
const nodeFile = `${root}node_modules/.bin/node`;
/** npm's own Node: `node` in a script's PATH is the pinned one as soon as that is installed. */
const systemNode = process.env['USE_SYSTEM_NODE'] === '1' ? (process.env['npm_node_execpath'] ?? process.execPath) : null;
const quiet = process.argv.includes('--quiet');
const say = (text) => console.error(`setup: ${text}`);

if (process.platform !== 'linux' || process.arch !== 'x64') {
  say(
    `needs linux x64 (glibc 2.27 or later), this is ${process.platform} ${process.arch}: the pinned uWebSockets.js build exists for that only`,
  );
  process.exit(1);
}

// The stamp is written last, so an install that was cut off is done again.
const lockHash = createHash('sha256')
  .update(readFileSync(`${root}package-lock.json`))
  .digest('hex');
const wanted = systemNode === null ? lockHash : `${lockHash} ${systemNode} ${versionOf(systemNode)}`;
const found = existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : '';

if (found === wanted && existsSync(nodeFile)) {
  if (!quiet)
    say(`dependencies and ${systemNode === null ? 'Node 22' : `the system's Node ${versionOf(systemNode)}`} are in place`);
} else {
  say('installing the locked dependencies and the pinned Node 22 (npm ci, about half a minute) ...');
  const startedMs = Date.now();
  // EBADENGINE warnings are expected here: npm runs on the system's Node, the relay on the one being installed.
  const [file, ...before] = npmCommand();
  // No package's install script is needed (scripts/check-dependencies.ts), so none gets to run.
  const npm = spawnSync(file, [...before, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.status !== 0) {
    say(`npm ci failed (${npm.error?.message ?? `exit code ${npm.status}`}); the lines above say why. Nothing was started.`);
    process.exit(1);
  }
  if (systemNode !== null) takeSystemNode(systemNode);
  const node = spawnSync(nodeFile, ['--version'], { encoding: 'utf8' });
  if (node.status !== 0) {
    say(`the installed Node does not run on this machine: ${node.error?.message ?? node.stderr}`);
    process.exit(1);
  }
  writeFileSync(stampFile, wanted);
  say(`done in ${((Date.now() - startedMs) / 1000).toFixed(0)} s: Node ${node.stdout.trim()}`);
}

/** Under the system's Node if that one is to be used, not under an earlier install's that comes first in PATH: optional packages go by it. */
function npmCommand() {
  const npmFile = process.env['npm_execpath'];
  return systemNode === null || npmFile === undefined ? ['npm'] : [systemNode, npmFile];
}

function versionOf(node) {
  const { stdout, error } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return error === undefined ? stdout.trim() : `(cannot be run: ${error.message})`;
}

function takeSystemNode(node) {
  const major = versionOf(node).slice(1).split('.')[0];
  const build = `@uwsjs/linux-x64-${major}`;
  if (!existsSync(`${root}node_modules/${build}`)) {
    say(`USE_SYSTEM_NODE=1: npm runs on Node ${versionOf(node)} (${node}), and package.json has no ${build}; it has 22 and 24`);
    process.exit(1);
  }
  rmSync(nodeFile);
  symlinkSync(node, nodeFile);
}
