/** The ops page before a real relay, in a real browser: it loads, it is live, it outlives the relay, and a stalled lane cannot be missed. */
import t from 'tap';
import { openBrowser, Watched } from '../support/browser.ts';
import { startFaultyRelay } from '../support/faults.ts';
import { freePort, startRelay } from '../support/relay-process.ts';
import { openClient, Reader } from '../support/sdk.ts';

const context = await openBrowser(t);
const tile = (name: string): string => `#tiles div:has(dt:text-is("${name}")) dd`;
const originOf = (relay: { readonly opsPort: number }): string => `http://127.0.0.1:${relay.opsPort}`;

t.test('it loads, asks nobody but its relay, and follows what happens', async (t) => {
  const relay = await startRelay(t, { lanes: 2 });
  const watched = await Watched.open(t, context, `${originOf(relay)}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  t.match(await page.title(), /^ready · Clari RELAY/);
  t.match(await page.locator('#about').textContent(), /^0\.1\.0 · up \d+s · 127\.0\.0\.1:\d+$/);
  t.same(await page.locator('#lanes-table tbody th').allTextContents(), ['Lane 0', 'Lane 1'], 'a row for each lane');
  t.equal(await page.locator('#latency-chart canvas').count(), 1, 'drawn');
  t.equal(await page.locator('#services-table .empty').isVisible(), true, 'says that there are no services');

  const reader = await Reader.open(await openClient(t, relay.url, { client: 'reader' }), 'room');
  const publisher = await openClient(t, relay.url);
  const traffic = setInterval(() => void publisher.publish('room', 'x').catch(() => {}), 5);
  t.teardown(() => clearInterval(traffic));
  await page.locator(tile('Connections')).filter({ hasText: /^2 of/ }).waitFor();
  await page
    .locator(tile('Deliveries'))
    .filter({ hasText: /^[1-9]/ })
    .waitFor();
  await page.locator('#lanes-table tr', { hasText: /[1-9]/ }).first().waitFor();
  clearInterval(traffic);
  t.ok(reader.messages.length > 0);

  t.same(watched.strayRequests(originOf(relay)), [], 'no request leaves the origin');
  t.same(watched.complaints, [], 'nothing in the console');
});

t.test('what it is served with lets nothing in from elsewhere', async (t) => {
  const relay = await startRelay(t, { lanes: 0 });
  for (const path of ['/ops/', '/ops/app.js', '/ops/app.css', '/ops/icon.svg', '/ops/state']) {
    const response = await fetch(originOf(relay) + path);
    t.equal(response.status, 200, path);
    const policy = response.headers.get('content-security-policy') ?? '';
    t.match(policy, /default-src 'none'/, path);
    t.notMatch(policy, /unsafe|\*|https?:/, path);
    t.equal(response.headers.get('x-content-type-options'), 'nosniff', path);
    const text = await response.text();
    if (path !== '/ops/icon.svg') t.notMatch(text, /https?:\/\/(?!www\.w3\.org)/, `${path} names no address elsewhere`);
  }
  const redirect = await fetch(`${originOf(relay)}/ops`, { redirect: 'manual' });
  t.equal(redirect.headers.get('location'), '/ops/');
  t.match(await fetch(`${originOf(relay)}/ops/other.js`), { status: 404 });
});

t.test('the relay is restarted on the same ports: it says so, shows no old figures as new, and goes on', async (t) => {
  const opsPort = await freePort();
  const first = await startRelay(t, { lanes: 1, opsPort });
  const watched = await Watched.open(t, context, `http://127.0.0.1:${opsPort}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  const client = await openClient(t, first.url);
  await page.locator(tile('Connections')).filter({ hasText: /^1 of/ }).waitFor();
  first.program.kill('SIGKILL');
  await first.exited;
  await watched.untilText('#state', /^not reachable$/);
  const text = await watched.untilText('#conditions', /Not reachable since \d\d:\d\d:\d\d/);
  t.match(
    await watched.untilText('#said', /Not reachable/),
    text.match(/since \S+/)?.[0] as string,
    'a screen reader is told too',
  );
  t.equal(await page.locator('body.unreachable').count(), 1, 'the old figures are dimmed');
  await client.close({ timeoutMs: 0 }); // It would be the new relay's first connection.

  await startRelay(t, { lanes: 1, opsPort }, { port: first.port });
  await watched.untilText('#state', /^ready$/);
  await watched.untilText('#said', /has been restarted/);
  await page.locator(tile('Connections')).filter({ hasText: /^0 of/ }).waitFor();
  t.equal(await page.locator('#conditions').isVisible(), false);
  t.equal(await page.locator('body.unreachable').count(), 0);
  t.match(await page.locator('#about').textContent(), /up \d{1,2}s/, 'the new life’s uptime');
  // The browser itself notes requests that found nobody; nothing else may be there.
  t.same(
    watched.complaints.filter((complaint) => !/ERR_CONNECTION_(REFUSED|RESET)|ERR_EMPTY_RESPONSE/.test(complaint)),
    [],
  );
});

t.test('a lane that stands still is named at the top, in its row and in the title, and told when it is over', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, { lanes: 2, laneStallMs: 5_000 });
  const watched = await Watched.open(t, context, `${originOf(relay)}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  await faults.hold(1);
  await watched.untilText('#conditions', /Lane 1 is silent: no heartbeat for \d\.\d s/);
  await watched.untilText('#conditions', /Lane 1 is stalled: no heartbeat for \d\.\d s/);
  t.match(await page.locator('#lanes-table tr', { hasText: 'Lane 1' }).textContent(), /stalled/);
  t.equal(await page.locator('#lanes-table tr', { hasText: 'Lane 1' }).getAttribute('data-tone'), 'bad');
  t.match(await page.locator('#lanes-table tr', { hasText: 'Lane 0' }).textContent(), /running/);
  t.equal(await page.locator('#state').textContent(), 'not ready');
  t.match(await page.title(), /^▲ not ready/);
  t.match(await watched.untilText('#said', /Lane 1 is stalled/), /Lane 1/);

  faults.release(1);
  await watched.untilText('#state', /^ready$/);
  await watched.untilText('#said', /Over: Lane 1/);
  t.equal(await page.locator('#conditions').isVisible(), false);
  t.same(watched.complaints, []);
});
