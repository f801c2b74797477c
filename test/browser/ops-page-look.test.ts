/** The ops page before a made-up relay: everything it has to show is shown, and can be used by keyboard, by screen reader and on a phone. */
import t from 'tap';
import { openBrowser, Watched } from '../support/browser.ts';
import { sampleState, startSampleOps } from '../support/sample-ops.ts';

const context = await openBrowser(t);

t.test('everything a state holds is on the page', async (t) => {
  const ops = await startSampleOps(t);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  for (const [section, ...wanted] of [
    ['tiles', '9,984', 'of 50,000', '1,201', '10,205', '22,960', '1.14', '108 MiB'],
    ['latency-legend', 'P50 0.34', 'P95 0.79', 'P99 1.65', 'P99.9 4.13'],
    ['stages-share', 'ingress wait 18 %', 'socket write 52 %'],
    ['stages-table', 'publish → last write', 'client round trip', 'workflow stage'],
    ['rates-list', '167 KiB/s', '1.8 MiB/s', '142/s', '2.1/s'],
    ['lanes-table', 'Lane 2', 'running', '31 %', '143 KiB'],
    ['slow-table', 'wallboard-7', '604 KiB', '2,140 ms', 'dropOldest', '(no name)'],
    ['drops-table', 'dropOldest', '18,220', 'conflate'],
    ['drop-topics-table', 'wall.prices.fx', '17,110'],
    ['services-table', 'billing', '2 ok, 1 failing', '1 ok, 1 degraded', '902,118'],
    ['workflows-list', 'report.monthly', '4,211 succeeded', '2. charge925'], // 9 running, 2 waiting, 5 failed: cells are not parted in a text.,
    ['health-table', 'listener', 'port 8080', 'lane 2'],
    ['process-list', '23.0 MiB', '1.42 ms', '0.41 ms', '8,122'],
  ] as const) {
    const shown = (await page.locator(`#${section}`).textContent()) ?? '';
    for (const text of wanted) t.ok(shown.includes(text), `${section} shows ${text}; it shows ${shown}`);
  }
  t.match(await page.locator('#latency-chart').getAttribute('aria-label'), /P99 1\.65 ms/, 'a canvas has its figures in words');
  t.match(await page.locator('#curve-chart').getAttribute('aria-label'), /99\.9 % within [\d.]+ ms/);
  t.notOk((await page.locator('#drops-table').textContent())?.includes('dropNewest'), 'what never happened is not listed');
  t.same(watched.complaints, []);
});

t.test('another window of latency, and the instances of a service, by keyboard alone', async (t) => {
  const ops = await startSampleOps(t);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  const focused = (): Promise<string> =>
    page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      return element.id || element.getAttribute('value') || element.textContent || element.tagName;
    });
  const seen: string[] = [];
  for (let presses = 0; presses < 20 && seen.at(-1) !== 'BODY'; presses++) {
    await page.keyboard.press('Tab');
    seen.push(await focused());
    const outline = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement;
      const ring = element.matches('.segments input') ? (element.nextElementSibling as HTMLElement) : element;
      const box = element.getBoundingClientRect();
      return { width: Number.parseFloat(getComputedStyle(ring).outlineWidth), onScreen: box.top >= 0 && box.left >= 0 };
    });
    if (seen.at(-1) === '/metrics') break;
    t.ok(outline.width >= 2 && outline.onScreen, `the focus on ${seen.at(-1)} can be seen`);
  }
  t.same(seen, ['Skip to the figures', '10s', 'theme', 'billing', 'search.query', 'thumbnails', '/ops/state', '/metrics']);

  await page.locator('#window input[value="10s"]').focus();
  await page.keyboard.press('ArrowRight');
  t.equal(await page.locator('#stages-window').textContent(), 'the last minute');
  const count = await page.locator('#stages-table tbody tr').first().locator('td').first().textContent();
  t.equal(count, '61,200', 'the figures of that window');

  const billing = page.locator('#services-table button', { hasText: 'billing' });
  await billing.focus();
  await page.keyboard.press('Enter');
  t.equal(await billing.getAttribute('aria-expanded'), 'true');
  t.match(await page.locator('#services-table tr', { hasText: 'billing-c' }).textContent(), /failing, breaker open, ejected/);
  const answers = ops.answers;
  await page.waitForFunction(
    () => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/state')).length > 3,
  );
  t.ok(ops.answers > answers);
  t.equal(await focused(), 'billing', 'a refresh takes the focus away from nobody');
  await page.keyboard.press('Space');
  t.equal(await page.locator('#services-table tr', { hasText: 'billing-c' }).count(), 0);
});

t.test('the theme: what the system says, or what was chosen, for the next visit too', async (t) => {
  const ops = await startSampleOps(t);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  const background = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await background();
  t.not(light, dark, 'it follows the system');
  await page.locator('#theme').click();
  t.equal(await background(), light, 'light, whatever the system says');
  await page.reload();
  await watched.untilText('#theme', /theme: light/);
  t.equal(await background(), light);
  t.equal(await page.locator('#latency-chart canvas').count(), 1, 'repainted, not painted twice');
  await page.locator('#theme').click();
  t.equal(await background(), dark);
});

t.test('nothing is wrong for axe, and nothing is pushed sideways: light, dark and on a phone, well and ill', async (t) => {
  const ops = await startSampleOps(t);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  await page.locator('#services-table button').first().click();
  const lookAt = async (how: string): Promise<void> => {
    for (const { name, width, colorScheme } of [
      { name: 'light', width: 1280, colorScheme: 'light' },
      { name: 'dark', width: 1280, colorScheme: 'dark' },
      { name: 'phone', width: 360, colorScheme: 'dark' },
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 780 });
      t.same(await watched.accessibilityProblems(), [], `${name}, ${how}`);
      t.equal(await watched.sidewaysPixels(), 0, `${name}, ${how}`);
    }
  };
  await lookAt('well');
  const state = sampleState();
  state.health.ready = false;
  Object.assign(state.health.components[2] as object, { ok: false, detail: 'running, last heartbeat 3210 ms ago' });
  Object.assign(state.lanes[1] as object, { silentMs: 3_210, ingressUsedBytes: 1_000_000 });
  Object.assign(state.lanes[2] as object, { silentMs: 1_210 });
  ops.state = state;
  await watched.untilText('#conditions', /Lane 1 is stalled: no heartbeat for 3\.2 s/);
  await lookAt('ill');

  await page.evaluate(() => document.querySelector('#theme')?.replaceChildren());
  t.match(await watched.accessibilityProblems(), [/^button-name/], 'and axe would have said so');
});

t.test('a page that nobody sees asks nothing, and asks at once when it is seen again', async (t) => {
  const ops = await startSampleOps(t);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  const { page } = watched;
  await watched.untilText('#state', /^ready$/);
  const see = (state: 'hidden' | 'visible'): Promise<void> =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  await see('hidden');
  await page.waitForTimeout(300); // What was under way when it was hidden.
  const answers = ops.answers;
  await page.waitForTimeout(1_600); // It would have asked once or twice.
  t.equal(ops.answers, answers);
  await see('visible');
  await page.waitForTimeout(500);
  t.equal(ops.answers, answers + 1);
});

t.test('names that clients chose are text, whatever they look like', async (t) => {
  const state = sampleState();
  const hostile = '<img src="https://example.org/x" onerror="document.title=1">';
  Object.assign(state.slow[0] as object, { client: hostile });
  Object.assign(state.services[0] as object, { service: hostile });
  Object.assign(state.workflows[0] as object, { workflow: hostile });
  state.dropTopics = [[hostile, 3]];
  const ops = await startSampleOps(t, state);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  await watched.untilText('#state', /^ready$/);
  for (const section of ['slow-table', 'services-table', 'workflows-list', 'drop-topics-table'])
    t.ok((await watched.page.locator(`#${section}`).textContent())?.includes(hostile), section);
  t.equal(await watched.page.locator('main img').count(), 0);
  t.same(watched.strayRequests(ops.origin), []);
  t.same(watched.complaints, []);
});

t.test('a relay that has nothing yet: every section says so, nothing is NaN', async (t) => {
  const state = sampleState();
  Object.assign(state, {
    services: [],
    workflows: [],
    slow: [],
    drops: {},
    dropTopics: [],
    percentiles: { publishToLastWrite: [] },
  });
  Object.assign(state.latency, { stages: {} });
  const ops = await startSampleOps(t, state);
  const watched = await Watched.open(t, context, `${ops.origin}/ops/`);
  await watched.untilText('#state', /^ready$/);
  const text = (await watched.page.locator('main').textContent()) ?? '';
  for (const words of [
    'No latency has been recorded.',
    'Every client keeps up.',
    'Nothing was dropped.',
    'No services are registered.',
    'No workflows are defined.',
  ])
    t.ok(text.includes(words), words);
  t.notMatch(text, /NaN|undefined|Infinity|null/);
  t.same(watched.complaints, []);
});
