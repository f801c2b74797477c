/** The client, and its build, against the real relay over real sockets (Node's own WebSocket), with a proxy between them that can cut the wires. */
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { bundleClient, CLIENT_ENTRIES, type ClientEntry } from '../../../scripts/build-client.ts';
import { loadConfig } from '../../../src/app/config.ts';
import { Relay } from '../../../src/app/relay.ts';
import * as full from '../../../src/client/full.ts';
import * as topics from '../../../src/client/index.ts';
import { type ClientUnderTest, clientContract } from './client.contract.ts';
import { serviceContract } from './service.contract.ts';
import { workflowContract } from './workflow.contract.ts';

const directory = t.testdir({});

async function load<T>(entry: ClientEntry): Promise<T> {
  const path = `${directory}/${entry.file}.js`;
  writeFileSync(path, (await bundleClient(entry)).code);
  return (await import(pathToFileURL(path).href)) as T;
}

const topicsBundle = await load<typeof topics>(CLIENT_ENTRIES.topics);
const fullBundle = await load<typeof full>(CLIENT_ENTRIES.full);

async function startRelay(): Promise<Relay> {
  const flags = '--port 0 --ops-port 0 --lanes 1 --log-level error --drain-window-ms 0 --drain-deadline-ms 200'.split(' ');
  const { config, problems } = loadConfig({ argv: flags, env: {}, readFile: () => '' });
  if (config === null) throw new Error(problems.join('\n'));
  const relay = new Relay(config);
  await relay.start();
  return relay;
}

/** Forwards bytes, as a load balancer would; `cut` resets every connection in the middle of whatever it was doing. */
async function startProxy(
  targetPort: number,
): Promise<{ port: number; retarget(port: number): void; cut(): void; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket);
      socket.on('data', (data) => other.write(data));
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const close = () => {
    cut();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  };
  const retarget = (port: number) => void (targetPort = port);
  return { port: (server.address() as AddressInfo).port, retarget, cut, close };
}

const relay = await startRelay();
t.teardown(() => relay.drain());
let round = 0;

/** Every test has a proxy and a name prefix of its own. */
const openThrough = <C extends topics.Client>(createClient: (options: topics.ClientOptions) => C) => {
  return async (): Promise<ClientUnderTest<C>> => {
    const proxy = await startProxy(relay.port);
    return {
      createClient,
      options: { url: `ws://127.0.0.1:${proxy.port}` },
      prefix: `contract.${++round}`,
      cutAll: proxy.cut,
      close: proxy.close,
    };
  };
};

t.test('source against the real relay: topics', (t) => clientContract(t, openThrough(topics.createClient)));
t.test('build against the real relay: topics', (t) => clientContract(t, openThrough(topicsBundle.createClient)));
for (const [name, { createClient }] of [
  ['source', full],
  ['build', fullBundle],
] as const) {
  t.test(`${name} against the real relay: services`, (t) => serviceContract(t, openThrough(createClient)));
  t.test(`${name} against the real relay: workflows`, (t) => workflowContract(t, openThrough(createClient)));
}

t.test('a relay that goes away and comes back: GOAWAY, the slot, and a stream that says it began anew', async (t) => {
  const first = await startRelay();
  const proxy = await startProxy(first.port);
  const client = topics.createClient({ url: `ws://127.0.0.1:${proxy.port}`, client: 'stays', reconnect: { capMs: 100 } });
  const states: string[] = [];
  client.on('state', (state) => states.push(state.name));
  await client.connect();
  const seen: unknown[] = [];
  const subscription = client.subscribe('deploy', { onMessage: ({ payload }) => seen.push(payload) });
  subscription.on('continuity-lost', ({ reason }) => seen.push(reason));
  await client.publish('deploy', 'before');
  await first.drain();
  const queued = client.publish('deploy', 'while away');
  const second = await startRelay();
  proxy.retarget(second.port);
  await queued;
  await client.ping();
  t.same(seen, ['before', 'EPOCH_CHANGED', 'while away']);
  t.match(states.slice(0, 5), ['connecting', 'greeting', 'open', 'draining', 'waiting']);
  await client.close();
  await second.drain();
  await proxy.close();
});

t.test('nobody listens: refused connects are retried, and close() ends it', async (t) => {
  const proxy = await startProxy(1);
  await proxy.close();
  const client = topics.createClient({ url: `ws://127.0.0.1:${proxy.port}`, reconnect: { baseMs: 5, capMs: 20 } });
  const attempts: number[] = [];
  const third = new Promise<void>((resolve) => {
    client.on('state', (state) => {
      if (state.name === 'waiting' && attempts.push(state.attempt) === 3) resolve();
    });
  });
  void client.connect();
  await third;
  t.same(attempts, [0, 1, 2]);
  await client.close();
});
