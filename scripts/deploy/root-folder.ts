/**
 * Runs programs in a folder that holds a whole system, as a container engine would: root folder, process and mount namespaces of their own, a /dev of
 * six devices, the root file system read-only if asked for, and the program as process 1. Needs Linux and root. The network is the machine's.
 *
 * The mounts live in the program's own namespace: whatever happens to it, nothing stays mounted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';

export interface RootedOptions {
  /** In the root folder. Default `/`. */
  readonly cwd?: string;
  /** `uid:gid`. Default root. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly isReadOnly?: boolean;
  readonly stdio?: 'inherit' | 'pipe';
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

// `$1` root folder, `$2` ro or rw, `$3` user, then the program. Process 1 of the namespace is this shell, then what it becomes.
// Open files go as high as may be, as an engine has them: a shell's default is too low for a relay.
const ENTER = `set -e
root=$1 mode=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64m tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ulimit -n "$(ulimit -Hn)"
if [ "$mode" = ro ]; then mount -o remount,ro,bind "$root"; fi
exec chroot --userspec="$user" "$root" "$@"`;

/** Starts it; the child is the namespace's keeper, see `processOne`. */
export function startIn(root: string, argv: readonly string[], options: RootedOptions = {}): ChildProcess {
  const { cwd = '/', user = '0:0', env = {}, isReadOnly = false, stdio = 'pipe' } = options;
  const variables = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...env };
  return spawn(
    'unshare',
    [
      ...['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
      ...['sh', '-c', ENTER, 'enter', root, isReadOnly ? 'ro' : 'rw', user],
      ...['/usr/bin/env', '-i', '-C', cwd, ...Object.entries(variables).map(([name, value]) => `${name}=${value}`), ...argv],
    ],
    { stdio: ['ignore', stdio, stdio] },
  );
}

/** The program's process, in the machine's numbers: where a signal goes that an engine would send. */
export function processOne(keeper: ChildProcess): number {
  const [first] = readFileSync(`/proc/${keeper.pid}/task/${keeper.pid}/children`, 'utf8').trim().split(' ');
  if (first === undefined || first === '') throw new Error(`process ${keeper.pid} has no child`);
  return Number(first);
}

/** Runs it to its end; what it prints is kept, or goes to our own output with `stdio: 'inherit'`. */
export async function runIn(root: string, argv: readonly string[], options: RootedOptions = {}): Promise<Ended> {
  return ended(startIn(root, argv, options));
}

export function ended(child: ChildProcess): Promise<Ended> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const stop = (): void => void child.kill('SIGKILL');
  process.once('exit', stop);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      process.off('exit', stop);
      resolve({ code, output });
    });
  });
}
