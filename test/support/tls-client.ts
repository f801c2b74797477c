/**
 * The SDK in a process of its own, since Node reads NODE_EXTRA_CA_CERTS at its start: subscribes at one URL, publishes at another, and prints what
 * the reader was told, one JSON line each.
 *
 *   node tls-client.ts READER_URL PUBLISHER_URL
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { createClient } from '../../src/client/index.ts';

const [readerUrl = '', publisherUrl = ''] = process.argv.slice(2);
const say = (line: unknown): void => console.log(JSON.stringify(line));

const [reader, publisher] = [readerUrl, publisherUrl].map((url) => createClient({ url, reconnect: { baseMs: 1, capMs: 50 } }));
if (reader === undefined || publisher === undefined) throw new Error('two URLs are needed');
await Promise.all([reader.connect(), publisher.connect()]);
const subscription = reader.subscribe('room');
subscription.on('message', ({ offset, payload, recovered }) => say({ offset, payload, recovered }));
subscription.on('continuity-lost', ({ reason }) => say({ lost: reason }));
await subscription.ready();
reader.on('state', ({ name }) => say({ state: name }));
say({ state: 'subscribed' });
// Each line of the standard input is published.
for await (const line of createInterface({ input: process.stdin }))
  say({ published: (await publisher.publish('room', line)).offset });
await Promise.all([reader.close(), publisher.close()]);
