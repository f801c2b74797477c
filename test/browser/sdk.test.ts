/** The SDK's browser build, as users load it, in a real browser: it connects, subscribes, loses its connection, and misses nothing. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { bundleClient, CLIENT_ENTRIES } from '../../scripts/build-client.ts';
import type { Client, Message, Subscription } from '../../src/client/index.ts';
import { openBrowser, Watched } from '../support/browser.ts';
import { startRelay } from '../support/relay-process.ts';
import { openClient, range } from '../support/sdk.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** What the page below leaves for the test to look at. */
interface Page {
  readonly client: Client;
  readonly subscription: Subscription;
  readonly messages: Message[];
  readonly losses: unknown[];
  readonly states: string[];
}
declare global {
  var sdk: Page;
}

const PAGE = `<!doctype html><title>sdk</title><link rel="icon" href="data:,"><script type="module">
  import { createClient } from './relay-client.js';
  const client = createClient({ url: location.hash.slice(1), client: 'browser', reconnect: { baseMs: 10, capMs: 200 } });
  const sdk = { client, messages: [], losses: [], states: [] };
  client.on('state', ({ name }) => sdk.states.push(name));
  sdk.subscription = client.subscribe('room');
  sdk.subscription.on('message', (message) => sdk.messages.push(message));
  sdk.subscription.on('continuity-lost', (loss) => sdk.losses.push(loss));
  await client.connect();
  await sdk.subscription.ready();
  window.sdk = sdk;
</script>`;

const { code } = await bundleClient(CLIENT_ENTRIES.full);
const server = createServer((request, response) => {
  const isScript = request.url === '/relay-client.js';
  response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html; charset=utf-8' });
  response.end(isScript ? code : PAGE);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
t.teardown(() => server.close());
const context = await openBrowser(t);
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function openPage(t: Test, relayUrl: string): Promise<Watched> {
  const watched = await Watched.open(t, context, `${origin}/#${relayUrl}`);
  await watched.page.waitForFunction(() => globalThis.sdk !== undefined);
  return watched;
}
const received = ({ page }: Watched): Promise<unknown[]> =>
  page.evaluate(() => globalThis.sdk.messages.map(({ payload }) => payload));
const untilReceived = ({ page }: Watched, count: number): Promise<unknown> =>
  page.waitForFunction((wanted) => globalThis.sdk.messages.length >= wanted, count);

t.test('it publishes, receives, keeps what is no text, and leaves no session behind', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const watched = await openPage(t, relay.url);
  const { page } = watched;
  const result = await page.evaluate(() =>
    globalThis.sdk.client.publish('room', { text: 'grüezi', bytes: new Uint8Array([1, 2, 255]), list: [1.5, null, true] }),
  );
  t.match(result, { offset: 1 });
  await untilReceived(watched, 1);
  const told = await page.evaluate(() => {
    const [{ payload }] = globalThis.sdk.messages as unknown as [Message];
    const { bytes, ...rest } = payload as { bytes: Uint8Array };
    return { ...rest, isBytes: bytes instanceof Uint8Array, bytes: [...bytes] };
  });
  t.same(told, { text: 'grüezi', list: [1.5, null, true], isBytes: true, bytes: [1, 2, 255] });
  t.same(watched.complaints, []);
  t.equal(await relay.metric('relay_connections'), 1);
  await page.goto('about:blank');
  while ((await relay.metric('relay_connections')) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
});

t.test('its connection is cut while messages come: it recovers and has every one once, in order', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const proxy = await TcpProxy.start(t, relay.port);
  const watched = await openPage(t, proxy.url);
  const publisher = await openClient(t, relay.url);
  for (const number of range(1, 20)) await publisher.publish('room', number);
  await untilReceived(watched, 20);
  proxy.hold();
  proxy.cut();
  for (const number of range(21, 60)) await publisher.publish('room', number);
  await watched.page.waitForFunction(() => globalThis.sdk.client.state.name !== 'open');
  t.same(await received(watched), range(1, 20), 'it is away');
  proxy.release();
  for (const number of range(61, 80)) await publisher.publish('room', number);
  await untilReceived(watched, 80);
  t.same(await received(watched), range(1, 80));
  t.same(await watched.page.evaluate(() => globalThis.sdk.losses), [], 'nothing was missed, so nothing was said to be');
});

t.test(
  'the relay is killed and another one takes its port: it comes back by itself and is told that this is a new stream',
  async (t) => {
    const first = await startRelay(t, { lanes: 1 });
    const watched = await openPage(t, first.url);
    await watched.page.evaluate(() => globalThis.sdk.client.publish('room', 'before'));
    await untilReceived(watched, 1);
    first.program.kill('SIGKILL');
    await first.exited;
    const second = await startRelay(t, { lanes: 1 }, { port: first.port });
    await watched.page.waitForFunction(() => globalThis.sdk.losses.length === 1 && globalThis.sdk.client.state.name === 'open');
    const publisher = await openClient(t, second.url);
    await publisher.publish('room', 'after');
    await untilReceived(watched, 2);
    t.same(await received(watched), ['before', 'after']);
    t.match(await watched.page.evaluate(() => globalThis.sdk.losses), [{ reason: 'EPOCH_CHANGED' }]);
  },
);
