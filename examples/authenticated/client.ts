/**
 * A client with a token function: it is asked at every connect, and again before the token expires, so the connection outlives its tokens.
 *
 *   node client.ts USER [RELAY-URL [ISSUER-URL]]
 */
import process from 'node:process';
import { createClient } from '../../src/client/index.ts';

const [user = 'ann', url = 'ws://127.0.0.1:8080', issuer = 'http://127.0.0.1:8090/token'] = process.argv.slice(2);

async function token(): Promise<string> {
  const response = await fetch(`${issuer}?user=${encodeURIComponent(user)}`, { method: 'POST' });
  if (!response.ok) throw new Error(`the issuer answered ${response.status}`);
  return response.text();
}

const client = createClient({ url, token });
client.on('state', ({ name }) => console.log(`state: ${name}`));
client.on('token-refreshed', () => console.log('token: refreshed'));
client.on('token-problem', ({ error, retryAtMs }) =>
  console.log(`token: ${error}; again at ${new Date(retryAtMs).toISOString()}`),
);
await client.connect();
console.log(`the relay knows us as ${client.subject}`);

const room = client.subscribe<string>('rooms.lobby', {
  onMessage: ({ publisher, payload }) => console.log(`${publisher}: ${payload}`),
});
await room.ready();
await client.publish('rooms.lobby', 'hello');

// Somebody else's inbox: the token has no right to it, and the relay says so.
const prying = client.subscribe('inbox.somebody-else');
await prying.ready().catch((error) => console.log(`inbox.somebody-else: ${error.codeName}`));

process.on('SIGTERM', () => void client.close());
process.on('SIGINT', () => void client.close());
