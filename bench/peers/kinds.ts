/**
 * What can be measured: the relay, its floor and its peers, each as a command that says when it listens.
 *
 * A name is `relay-LANES`, with settings behind plus signs (`relay-1+doorbell=waitAsync`), or one of PEERS.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { BenchOptions } from '../../src/cli/bench/options.ts';
import { parseRelayName, relayArgs, type ServerCommand } from '../support/server-process.ts';
import { isExecutable, natsServer, writeNatsConfig } from './nats-config.ts';

export interface ServerKind {
  readonly target: BenchOptions['target'];
  /** Of the url, with its query. */
  readonly path: string;
  readonly command: (port: number) => ServerCommand;
  /** What is compared, in the results; null: this project. */
  readonly version: () => string | null;
  /** What is not installed and how to get it; null: it can run. */
  readonly missing: () => string | null;
}

const BUN = fileURLToPath(new URL('../../node_modules/@oven/bun-linux-x64/bin/bun', import.meta.url));
const require = createRequire(import.meta.url);

function missingPackages(...names: readonly string[]): string | null {
  const missing = names.filter((name) => {
    try {
      require.resolve(name);
      return false;
    } catch {
      return true;
    }
  });
  return missing.length === 0 ? null : `${missing.join(', ')} not installed (npm ci)`;
}

/** Read from the folder: not every package lets its package.json be imported. */
function packageVersion(name: string): string {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const script = (file: string) => (port: number) => ({ args: [`bench/peers/${file}`, '--port', String(port)] });

/** In the order of the report. */
export const PEERS: Readonly<Record<string, ServerKind>> = {
  floor: {
    target: 'raw',
    path: '/',
    command: script('uws-floor.ts'),
    version: () => packageVersion(`@uwsjs/linux-x64-${process.versions.node.split('.')[0]}`),
    missing: () => null,
  },
  ws: {
    target: 'raw',
    path: '/',
    command: script('ws-server.ts'),
    version: () => packageVersion('ws'),
    missing: () => missingPackages('ws', 'bufferutil'),
  },
  'socket.io': {
    target: 'socket.io',
    path: '/socket.io/?EIO=4&transport=websocket',
    command: script('socket-io-server.ts'),
    version: () => packageVersion('socket.io'),
    missing: () => missingPackages('socket.io', 'socket.io-msgpack-parser', 'bufferutil'),
  },
  bun: {
    target: 'raw',
    path: '/',
    command: (port) => ({ executable: BUN, args: ['bench/peers/bun-server.ts', '--port', String(port)] }),
    version: () => packageVersion('@oven/bun-linux-x64'),
    missing: () => (isExecutable(BUN) ? null : '@oven/bun-linux-x64 not installed (npm ci; Linux on x64 only)'),
  },
  nats: {
    target: 'nats',
    path: '/',
    command: (port) => ({
      executable: natsServer() ?? 'nats-server',
      args: ['--config', writeNatsConfig(port)],
      readyText: 'Server is ready',
    }),
    version: () => /v([\d.]+)/.exec(execFileSync(natsServer() ?? 'nats-server', ['--version']).toString())?.[1] ?? null,
    missing: () =>
      natsServer() === null ? "nats-server not installed (Debian's package nats-server, or NATS_SERVER=its path)" : null,
  },
};

/** Null: no such name. */
export function serverKind(name: string): ServerKind | null {
  if (Object.hasOwn(PEERS, name)) return PEERS[name] as ServerKind;
  const relay = parseRelayName(name);
  if (relay === null) return null;
  const command = (port: number): ServerCommand => ({ args: relayArgs(port, relay.lanes, relay.settings) });
  return { target: 'relay', path: '/v1/connect', command, version: () => null, missing: () => null };
}

/** Commas separate servers, but a setting's value may hold some (JSON): a server begins with its name. */
export function splitServers(list: string): string[] {
  return list.split(new RegExp(`,(?=(?:${Object.keys(PEERS).join('|')})(?:,|$)|relay-)`));
}

/** Those that can run; the others are named on stderr and left out. */
export function installedServers(names: readonly string[]): string[] {
  return names.filter((name) => {
    const missing = serverKind(name)?.missing() ?? null;
    if (missing !== null) process.stderr.write(`skipped: ${name}: ${missing}\n`);
    return missing === null;
  });
}
