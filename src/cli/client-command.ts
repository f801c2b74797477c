/**
 * What commands that talk to a running relay share: their flags, one client for their time, and how payloads and results are written.
 *
 * Payloads are JSON where they parse as JSON, text otherwise. Results are one JSON line each, so that they can be piped; a person at a terminal gets
 * tables where a command has one.
 */
import process from 'node:process';
import { createClient, type FullClient, type Position, RelayError } from '../client/full.ts';
import type { Flag, FlagValues } from './flags.ts';

export const CLIENT_FLAGS: Readonly<Record<string, Flag>> = {
  url: { type: 'string', default: 'ws://127.0.0.1:8080', about: 'the relay; RELAY_TOKEN has the token, where it wants one' },
  client: { type: 'string', about: 'a name for this client' },
  'connect-timeout-ms': { type: 'string', default: '10000', about: 'give up if no relay answers for so long; 0: never' },
};

export const JSON_FLAG: Readonly<Record<string, Flag>> = {
  json: { type: 'boolean', about: 'JSON lines, also on a terminal' },
};

/** By a variable and not by a flag, which everybody on the machine can see. */
export function tokenOption(): { readonly token?: string } {
  const token = process.env['RELAY_TOKEN'] ?? '';
  return token === '' ? {} : { token };
}

/** The exit code: that of `use`, or 1 with the error's text on the standard error output. */
export async function withClient(values: FlagValues, use: (client: FullClient) => Promise<number>): Promise<number> {
  let client: FullClient | null = null;
  let problem = 'no answer';
  try {
    const timeoutMs = Number(values['connect-timeout-ms']);
    if (!Number.isInteger(timeoutMs) || timeoutMs < 0) throw new Error('--connect-timeout-ms must be a number of milliseconds');
    client = createClient({
      url: values['url'] as string,
      ...tokenOption(),
      ...(values['client'] === undefined ? {} : { client: values['client'] as string }),
    });
    client.on('state', (state) => {
      if (state.name !== 'waiting') return;
      problem = `${state.reason} (${state.closeCode})`;
      process.stderr.write(`relay: not connected to ${values['url']}, trying again: ${problem}\n`);
    });
    let isTooLate = false;
    const giveUp = (): void => {
      isTooLate = true;
      client?.close({ timeoutMs: 0 });
    };
    const timer = timeoutMs === 0 ? undefined : setTimeout(giveUp, timeoutMs);
    try {
      await client.connect();
    } catch (error) {
      throw isTooLate ? new Error(`no relay at ${values['url']} for ${timeoutMs} ms: ${problem}`) : error;
    } finally {
      clearTimeout(timer);
    }
    return await use(client);
  } catch (error) {
    warn(error);
    return 1;
  } finally {
    await client?.close();
  }
}

/** On the standard error output, with the code where there is one. */
export function warn(error: unknown): void {
  const code = error instanceof RelayError ? ` (${error.code} ${error.codeName})` : '';
  process.stderr.write(`relay: ${(error as Error).message}${code}\n`);
}

export function print(value: unknown): void {
  process.stdout.write(
    `${JSON.stringify(value, (_key, field: unknown) => (field instanceof Uint8Array ? { $bin: Buffer.from(field).toString('base64') } : field))}\n`,
  );
}

/** True where a person reads: no pipe, and no `--json`. */
export function isForPeople(values: FlagValues): boolean {
  return process.stdout.isTTY === true && values['json'] !== true;
}

/** Columns as wide as their widest cell; numbers to the right. */
export function printTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => String(row[column]).length)));
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) => {
      const width = widths[column] as number;
      return typeof rows[0]?.[column] === 'number' ? String(cell).padStart(width) : String(cell).padEnd(width);
    });
    process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

export function payloadOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `name=value` pairs of `--header`. */
export function headersOf(values: FlagValues): { readonly headers?: Readonly<Record<string, string>> } {
  const pairs = values['header'] as string[] | undefined;
  if (pairs === undefined) return {};
  const entries = pairs.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new Error(`--header must be name=value, got '${pair}'`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return { headers: Object.fromEntries(entries) };
}

/** `--since`. */
export function positionOf(text: string): Position {
  const at = text.lastIndexOf(':');
  const offset = Number(text.slice(at + 1));
  if (at < 1 || !Number.isInteger(offset)) throw new Error(`--since must be EPOCH:OFFSET, got '${text}'`);
  return { epoch: text.slice(0, at), offset };
}
