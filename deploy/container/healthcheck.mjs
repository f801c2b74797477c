/**
 * The image's HEALTHCHECK: exit code 0 while the relay in this container is ready for traffic.
 *
 * Plain JavaScript and node:http: this runs every few seconds beside the relay, and type stripping and fetch would double its cost.
 * Knows the ops port from the environment only; with a flag or a config file for it, set RELAY_OPS_PORT too.
 */
import { get } from 'node:http';
import process from 'node:process';

/** Below the HEALTHCHECK's own timeout, so that what is seen is this text and not a kill. */
const TIMEOUT_MS = 2_000;
const port = Number(process.env['RELAY_OPS_PORT'] ?? 8081);
const host = process.env['RELAY_OPS_HOST'] ?? '127.0.0.1';
/** What it listens on is not always what one can connect to. */
const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;

if (port === 0) end('RELAY_OPS_PORT=0: without the ops port health cannot be seen; run with --no-healthcheck', 1);
else {
  const request = get({ host: target, port, path: '/readyz', timeout: TIMEOUT_MS, agent: false }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (part) => (text += part));
    response.on('end', () => end(`${response.statusCode} ${text}`, response.statusCode === 200 ? 0 : 1));
  });
  request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
  request.on('error', (error) => end(`http://${target}:${port}/readyz: ${error.message}`, 1));
}

/** The engine keeps the last texts: `docker inspect` shows them. */
function end(text, code) {
  process.stdout.write(`${text}\n`);
  process.exitCode = code;
}
