/**
 * Chromium for the browser tests: Debian's package, found or, where this machine lets us, installed.
 *
 *   node scripts/chromium.ts     installs it if it is not there, and prints its path
 *
 * Not a browser that a package downloads: what runs in CI is what `apt-get` gives every developer, with its security updates.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const PACKAGES = ['chromium', 'fonts-dejavu-core'];
const INSTALL_TIMEOUT_MS = 300_000;

/** What this machine has and lets us do; tests bring their own. */
export interface Machine {
  has(path: string): boolean;
  readonly isRoot: boolean;
  /** True: done. */
  run(command: string, ...args: readonly string[]): boolean;
}

const THIS_MACHINE: Machine = {
  has: existsSync,
  isRoot: process.getuid?.() === 0,
  run: (command, ...args) => {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      encoding: 'utf8',
      timeout: INSTALL_TIMEOUT_MS,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    // Never to the standard output: whoever calls us may print there what is counted.
    if (status !== 0) process.stderr.write(`${command} ${args.join(' ')} failed: ${error?.message ?? ''}\n${stdout}${stderr}`);
    return status === 0;
  },
};

/** Null: there is none. */
export function findChromium(machine: Machine = THIS_MACHINE): string | null {
  return PATHS.find((path) => machine.has(path)) ?? null;
}

/** The path, or an error of one sentence that says what to do. */
export function requireChromium(machine: Machine = THIS_MACHINE): string {
  const path = findChromium(machine);
  if (path === null)
    throw new Error(`the browser tests need Chromium and this machine has none of ${PATHS.join(', ')}: apt-get install chromium`);
  return path;
}

/** Installs it where it is missing and can be had: root, and Debian's apt. True if it is there in the end. */
export function installChromium(machine: Machine = THIS_MACHINE): boolean {
  if (findChromium(machine) !== null) return true;
  if (!machine.isRoot || !machine.has('/usr/bin/apt-get')) return false;
  // A list of packages may be there and current: then the first try does it, and the update is for where it does not.
  const install = (): boolean => machine.run('apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...PACKAGES);
  if (!install() && machine.run('apt-get', 'update', '-qq')) install();
  return findChromium(machine) !== null;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  installChromium();
  console.log(requireChromium());
}
