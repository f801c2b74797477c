/**
 * Servers under measurement, each in a process of its own: the relay as `npm start` runs it (built, with the young generation kept small), or any script.
 * They end with the bench.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { authFlag } from './bench-token.ts';

const LISTEN_TIMEOUT_MS = 20_000;
const EXIT_GRACE_MS = 5_000;
/** What is shown of a server that did not come up. */
const SAID_LENGTH_MAX = 4_096;

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Once, before the first relay. */
export function buildRelay(): void {
  execFileSync(process.execPath, ['scripts/build-server.ts'], { cwd: root });
}

/** `relay-1`, with settings behind plus signs: `relay-1+doorbell=waitAsync+rearm-empty-turns=4`. Null for any other name. */
export function parseRelayName(name: string): { readonly lanes: string; readonly settings: readonly string[] } | null {
  const [kind = '', ...settings] = name.split('+');
  const lanes = /^relay-(\d+)$/.exec(kind)?.[1];
  return lanes === undefined ? null : { lanes, settings };
}

/** `settings` are `name=value`, or `auth` (bench-token.ts). */
export function relayArgs(port: number, lanes: string, settings: readonly string[]): string[] {
  return [
    ...['--max-semi-space-size=2', 'dist/server/main.js', 'serve', '--ops-port=0', '--connect-rate-per-second=100000'],
    ...[`--port=${port}`, `--lanes=${lanes}`, ...settings.map((setting) => (setting === 'auth' ? authFlag() : `--${setting}`))],
  ];
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

/** What is started, from the project's root. */
export interface ServerCommand {
  /** Default: this Node. */
  readonly executable?: string;
  readonly args: readonly string[];
  /** What it says when it can be connected to. Default: 'listening'. */
  readonly readyText?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** All that it says, as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface ServerProcess {
  readonly pid: number;
  /** As an operator would end it; resolves when it is gone. */
  stop(): Promise<void>;
}

/** A command, or the arguments of node. Resolves when it says that it is listening. */
export async function startServer(command: ServerCommand | readonly string[]): Promise<ServerProcess> {
  const {
    executable,
    args,
    readyText = 'listening',
    env,
    onOutput,
  }: ServerCommand = 'args' in command ? command : { args: command };
  const flags = executable === undefined ? ['--disable-warning=ExperimentalWarning'] : [];
  const child = spawn(executable ?? process.execPath, [...flags, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  if (onOutput !== undefined) {
    child.stdout.on('data', (chunk: Buffer) => onOutput(chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => onOutput(chunk.toString()));
  }
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no '${readyText}' within ${LISTEN_TIMEOUT_MS} ms from: ${args.join(' ')}\n${said}`)),
      LISTEN_TIMEOUT_MS,
    );
    const listen = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-SAID_LENGTH_MAX);
      if (!said.includes(readyText)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.once('error', (error) => {
      clearTimeout(timer);
      children.delete(child);
      reject(error);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`the server ended (${signal ?? code}): ${args.join(' ')}\n${said}`));
    });
  });
  return { pid: child.pid as number, stop: () => stopProcess(child) };
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_GRACE_MS);
  await gone;
  clearTimeout(timer);
}

/** Asked of the kernel and given back: the server takes it a moment later. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
