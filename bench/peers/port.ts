/** The one flag that every peer has. */
import process from 'node:process';
import { parseArgs } from 'node:util';

/** `--port`, 0 for a free one. Ends the process where it is none. */
export function peerPort(): number {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '9001' } } });
  const port = Number(values.port);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  process.stderr.write(`--port must be an integer in [0, 65535], got '${values.port}'\n`);
  process.exit(2);
}
