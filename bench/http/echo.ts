/**
 * An instance of the service that `POST /v1/call` is measured with, in a process of its own: it gives back what it gets, by way of the SDK.
 *
 *   node bench/http/echo.ts ws://127.0.0.1:8080        prints `listening` once it is registered; SIGTERM ends it
 */
import process from 'node:process';
import { createClient } from '../../src/client/full.ts';

export const ECHO_SERVICE = 'bench.echo';
/** More than the most connections that ask at once: what is measured is the way there and back, not a queue for want of instances. */
const CAPACITY = 20_000;

const client = createClient({ url: process.argv[2] ?? 'ws://127.0.0.1:8080' });
const service = client.service(ECHO_SERVICE, { echo: (payload) => payload }, { version: '1.0.0', capacity: CAPACITY });
await client.connect();
await service.ready();
process.stdout.write('listening\n');
process.on('SIGTERM', () => process.exit(0));
