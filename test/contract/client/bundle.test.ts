/** The built files that users get, against the small relay; and what is in them. */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { bundleClient, CLIENT_ENTRIES, type ClientEntry } from '../../../scripts/build-client.ts';
import * as encryptionSource from '../../../src/client/encryption.ts';
import type * as full from '../../../src/client/full.ts';
import type * as topics from '../../../src/client/index.ts';
import { clientContract } from './client.contract.ts';
import { MiniRelay } from './mini-relay.ts';
import { serviceContract } from './service.contract.ts';
import { workflowContract } from './workflow.contract.ts';

const directory = t.testdir({});

async function load<T>(entry: ClientEntry): Promise<T> {
  const { code, gzipBytes } = await bundleClient(entry);
  const file = `${directory}/${entry.file}.js`;
  writeFileSync(file, code);
  t.ok(gzipBytes <= entry.gzipBytesMax, `${entry.file}: ${gzipBytes} bytes gzipped, ${entry.gzipBytesMax} allowed`);
  t.notMatch(
    new TextDecoder().decode(code),
    /\bfrom\s*["']|\brequire\(|\beval\(|new Function|process\.|node:/,
    'no dependency, no Node, no code made from text',
  );
  return (await import(pathToFileURL(file).href)) as T;
}

function openRelay() {
  const relay = new MiniRelay({ latencyMs: () => Math.random() * 3 });
  return {
    options: { url: 'ws://mini.test', webSocket: relay.WebSocket },
    prefix: 'contract',
    cutAll: () => relay.cutAll(),
    close: async () => {},
  };
}

const topicsBundle = await load<typeof topics>(CLIENT_ENTRIES.topics);
const fullBundle = await load<typeof full>(CLIENT_ENTRIES.full);
const EXPORTS = ['CLOSE_CODES', 'Extension', 'RelayError', 'WIRE_ERRORS', 'createClient'];
t.same(Object.keys(topicsBundle).sort(), EXPORTS);
t.same(Object.keys(fullBundle).sort(), [...EXPORTS, 'CallStream', 'FullClient', 'ServiceError'].sort());

t.test('the encryption build, beside either client, reads what the source has encrypted, and the other way round', async (t) => {
  const built = await load<typeof encryptionSource>(CLIENT_ENTRIES.encryption);
  t.same(Object.keys(built).sort(), ['EncryptionError', 'Extension', 'ReplayGuard', 'createKeyring', 'encryptedClient']);
  const keys = { keys: [{ id: 'k1', key: new Uint8Array(32) }], current: 'k1' };
  for (const { createClient } of [topicsBundle, fullBundle]) {
    const under = openRelay();
    const clients = [createClient(under.options), createClient(under.options)] as const;
    t.teardown(() => Promise.all(clients.map((client) => client.close({ timeoutMs: 0 }))));
    await Promise.all(clients.map((client) => client.connect()));
    const one = built.encryptedClient(clients[0], built.createKeyring(keys), { sender: 'one' });
    const other = encryptionSource.encryptedClient(clients[1], encryptionSource.createKeyring(keys), { sender: 'other' });
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const room = to.subscribe('room');
      await room.subscription.ready();
      await from.publish('room', { text: 'hi' });
      for await (const message of room) {
        t.match(message, { payload: { text: 'hi' }, sender: from.sender });
        break;
      }
    }
  }
});

await clientContract(t, async () => ({ ...openRelay(), createClient: topicsBundle.createClient }));
await clientContract(t, async () => ({ ...openRelay(), createClient: fullBundle.createClient }));
await serviceContract(t, async () => ({ ...openRelay(), createClient: fullBundle.createClient }));
await workflowContract(t, async () => ({ ...openRelay(), createClient: fullBundle.createClient }));
