/** docs/client.md and docs/encryption.md: their examples run, and the table of options is the code's. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { createKeyring, encryptedClient } from '../../../src/client/encryption.ts';
import { type ClientOptions, createClient, type FullClient, ServiceError } from '../../../src/client/full.ts';
import { fillOptions } from '../../../src/client/options.ts';
import { MiniRelay } from '../../contract/client/mini-relay.ts';
import { forbidUnhandledRejections } from './harness.ts';

const [page, encryptionPage] = ['client', 'encryption'].map((name) =>
  readFileSync(new URL(`../../../docs/${name}.md`, import.meta.url), 'utf8'),
) as [string, string];
const examplesOf = (text: string): string[] => [...text.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code as string);
const examples = [...examplesOf(page), ...examplesOf(encryptionPage)];

/** Long enough for an example's own work on a relay in memory; most of their loops have no end. */
const EXAMPLE_MS = 60;

const V1 = { version: '1.0.0' };

/** What the examples leave to their reader. */
const READER = {
  url: 'ws://docs.test',
  readings: [1, 2, 3],
  save: async () => {},
  show() {},
  log() {},
  load: async () => undefined,
  store: async () => {},
  handle: async () => {},
  askForAccess() {},
  tryLater() {},
  console: { log() {}, warn() {} },
  ServiceError,
  fetch: async () => ({ ok: true, text: async () => '' }),
  createKeyring,
  encryptedClient,
  fetchKey: async () => new Uint8Array(32),
};

t.ok(examplesOf(page).length >= 14 && examplesOf(encryptionPage).length >= 3, 'the examples are found');

for (const [index, code] of examples.entries()) {
  t.test(`example ${index + 1}: ${code.trim().split('\n')[0]}`, async (t) => {
    forbidUnhandledRejections(t);
    const relay = new MiniRelay();
    const clients: FullClient[] = [];
    const connectTo = (options: ClientOptions): FullClient => {
      const client = createClient({ ...options, webSocket: relay.WebSocket });
      clients.push(client);
      return client;
    };
    const names = {
      ...READER,
      createClient: connectTo,
      ...(code.includes('const client =') ? {} : { client: connectTo({ url: READER.url }) }),
    };
    await clients[0]?.connect();
    for (const topic of ['orders', 'orders.new', 'prices', 'scores', 'chat.lobby']) void clients[0]?.publish(topic, 'x');
    // What the examples call, follow and start, where they do not serve or define it themselves.
    const server = code.includes('.service(') ? null : connectTo({ url: READER.url });
    await server?.connect();
    await server?.service('math', { add: ([left, right]: number[]) => (left as number) + (right as number) }, V1).ready();
    await server
      ?.service(
        'reports',
        {
          rows: async function* () {
            yield { isLast: true };
          },
        },
        V1,
      )
      .ready();
    if (server !== null && !code.includes('.define(')) {
      const stages = [{ name: 'sum', service: 'math', method: 'add' }];
      await server.workflow('digest').define({ name: 'digest', version: 1, stages });
      await server.workflow('digest').start([1, 2]);
    }
    const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (...args: unknown[]) => Promise<void>;
    const run = new AsyncFunction(...Object.keys(names), code.replace(/^import .*$/gm, ''));
    let failure: unknown;
    const done = run(...Object.values(names)).catch((error) => (failure = error));
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, EXAMPLE_MS))]);
    await Promise.all(clients.map((client) => client.close({ timeoutMs: 20 })));
    t.equal(failure, undefined);
  });
}

t.test('every option stands in the table with its default', async (t) => {
  const rows = new Map(
    [...page.matchAll(/^\| `([\w.]+)` \| ([^|]+) \|/gm)].map(([, name, value]) => [name as string, (value as string).trim()]),
  );
  const {
    url: _,
    client: _client,
    token: _token,
    platform: _platform,
    pingIdleMs: _ping,
    ...filled
  } = fillOptions({ url: 'ws://x' });
  const flat = Object.entries(filled).flatMap(([name, value]) =>
    typeof value === 'object'
      ? Object.entries(value).map(([inner, innerValue]) => [`${name}.${inner}`, innerValue])
      : [[name, value]],
  );
  for (const [name, value] of flat as [string, number | string][]) {
    const stated = rows.get(name);
    t.equal(stated?.replace(/(?<=\d) (?=\d)/g, ''), String(value), name);
  }
});
