/**
 * Peer: NATS over WebSocket, Debian's nats-server with a configuration written for each run. A room is a subject.
 *
 * The plain listener is closed to a port of its own (the server has no way to do without); nothing else is switched on.
 */
import { accessSync, constants, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';

// configuration:begin
/** `compression` is NATS's only setting for the speed of a WebSocket, and off by default. `port: -1` is "any free one". */
export const natsConfig = (port: number): string => `
host: "127.0.0.1"
port: -1
max_payload: 1MB
max_pending: 64MB
websocket {
  host: "127.0.0.1"
  port: ${port}
  no_tls: true
  compression: false
}
`;
// configuration:end

/** NATS_SERVER names one that is not in the PATH. Null: there is none. */
export function natsServer(): string | null {
  const named = process.env['NATS_SERVER'];
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/bin'];
  const candidates = named === undefined ? folders.map((folder) => join(folder, 'nats-server')) : [named];
  return candidates.find(isExecutable) ?? null;
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The file's name. One per process and port: servers of two runs never share one. */
export function writeNatsConfig(port: number): string {
  const file = join(tmpdir(), `relay-bench-nats-${process.pid}-${port}.conf`);
  writeFileSync(file, natsConfig(port));
  return file;
}
