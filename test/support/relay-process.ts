/**
 * RelayProcess: a real relay in a process of its own, on free ports, ended with its test.
 */
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { buildServer } from '../../scripts/build-server.ts';
import { type Exit, Program } from './program.ts';

/** Settings by their names in the configuration; what is no string goes as JSON. */
export type RelaySettings = Readonly<Record<string, unknown>>;

export interface RelayProcessOptions {
  /** Default: a free one. */
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** What is run instead of `relay serve`, with the same flags. */
  readonly entry?: URL;
}

/** Built as it is for running it, and once per test file: it starts in less than half the time that the sources take, and a test starts many. */
const BUILD = `e2e-${process.pid}`;
await buildServer(BUILD);
const RELAY = new URL(`../../dist/${BUILD}/main.js`, import.meta.url);
process.on('exit', () => rmSync(new URL('.', RELAY), { recursive: true, force: true }));
const NODE = [process.execPath, '--disable-warning=ExperimentalWarning'];
/** Somebody else may take a free port before the relay does. */
const STARTS_MAX = 3;

export interface Readiness {
  readonly status: number;
  readonly text: string;
}

export class RelayProcess {
  readonly program: Program;
  readonly port: number;
  readonly opsPort: number;

  constructor(program: Program, port: number, opsPort: number) {
    this.program = program;
    this.port = port;
    this.opsPort = opsPort;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get exited(): Promise<Exit> {
    return this.program.exited;
  }

  async readiness(): Promise<Readiness> {
    const response = await fetch(`http://127.0.0.1:${this.opsPort}/readyz`);
    return { status: response.status, text: await response.text() };
  }

  /** A metric, added up over its labels where `labels` (a part of `{reason="dropOldest"}`) does not pick some. */
  async metric(name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.opsPort}/metrics`)).text();
    const values = text.split('\n').filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
    if (values.length === 0) throw new Error(`no metric ${name} in:\n${text}`);
    return values.filter((line) => line.includes(labels)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** As an operator would: the exit code after the drain. */
  terminate(): Promise<Exit> {
    this.program.kill('SIGTERM');
    return this.exited;
  }
}

/** Resolves when it listens. */
export async function startRelay(
  t: Test,
  settings: RelaySettings = {},
  options: RelayProcessOptions = {},
): Promise<RelayProcess> {
  for (let attempt = 1; ; attempt++) {
    const [freeOne, opsPort] = (await freePorts(2)) as [number, number];
    const port = options.port ?? freeOne;
    const program = relayProgram(t, ['serve', ...flagsOf({ port, opsPort, ...settings })], options);
    try {
      await program.stderr.find(/listening on /);
      await program.stderr.find(/ops on /);
      return new RelayProcess(program, port, opsPort);
    } catch (error) {
      if (attempt === STARTS_MAX || options.port !== undefined || !/port is taken/.test(String(error))) throw error;
    }
  }
}

/** Any `relay` command. */
export function relayProgram(
  t: Test,
  args: readonly string[],
  options: RelayProcessOptions & { readonly input?: string } = {},
): Program {
  return new Program(t, [...NODE, fileURLToPath(options.entry ?? RELAY), ...args], options);
}

export function flagsOf(settings: RelaySettings): string[] {
  return Object.entries(settings).map(([name, value]) => {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (typeof value === 'boolean') return value ? `--${flag}` : `--no-${flag}`;
    return `--${flag}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0] as number;
}

/** All open at once, so that no two are the same. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => void server.close(() => resolve()))));
  return ports;
}
