/** The declarations beside the builds, as a strict user with an older target and without Node's types meets them. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { CLIENT_ENTRIES, emitTypes } from '../../../scripts/build-client.ts';
import { ROOT } from '../../support/program.ts';

const USER = `
import { createClient as createTopics } from './relay-client.js';
import { createClient, RelayError, type RunEvent } from './relay-client-full.js';
import { createKeyring, encryptedClient, type EncryptedMessage, EncryptionError } from './relay-client-encryption.js';

const client = createClient({ url: 'wss://relay.example', token: async () => 'a token' });
client.on('token-problem', ({ error, retryAtMs }) => console.log(error, retryAtMs + 1));
export const expiresAtMs: number | undefined = client.tokenExpiresAtMs;

export async function use(): Promise<void> {
  const keyring = createKeyring({ keys: [{ id: 'a', key: new Uint8Array(32) }], current: 'a' });
  for (const any of [client, createTopics({ url: 'wss://relay.example' })]) {
    const secret = encryptedClient(any, keyring, { sender: 'ann', onRejected: ({ error }) => console.log(error.codeName) });
    const { offset } = await secret.publish('room', { text: 'hi' });
    for await (const message of secret.subscribe<{ text: string }>('room')) {
      const typed: EncryptedMessage<{ text: string }> = message;
      console.log(typed.payload.text.length + typed.missingCount + offset);
    }
  }
  const run = await client.workflow('digest').start<number>(1);
  for await (const event of run) log(event);
  const sum: number = await client.call<number>('math', 'add', [1, 2]);
  console.log(sum);
}
function log(event: RunEvent<number>): void {
  if (event.kind === 'succeeded') console.log(event.offset, RelayError, EncryptionError);
}
`;
/** What a user of ours would get wrong. */
const MISUSE = `
import { createClient } from './relay-client.js';
createClient({ url: 'wss://relay.example', token: 5 });
`;

const directory = `${t.testdir({})}/`;
emitTypes(directory);

function check(source: string): string {
  writeFileSync(`${directory}user.mts`, source);
  const flags =
    '--noEmit --ignoreConfig --strict --exactOptionalPropertyTypes --target es2022 --module nodenext --lib es2022,dom,dom.asynciterable --types'.split(
      ' ',
    );
  const { stdout, stderr } = spawnSync(`${ROOT}node_modules/.bin/tsc`, [...flags, '', 'user.mts'], {
    cwd: directory,
    encoding: 'utf8',
  });
  return stdout + stderr;
}

t.test('what a user writes has types, of all three builds', async (t) => {
  t.equal(check(USER), '');
  t.equal(Object.keys(CLIENT_ENTRIES).length, 3);
});

t.test('and what is wrong is said', async (t) => {
  t.match(check(MISUSE), /user\.mts.*TS2322: Type 'number' is not assignable/);
});
