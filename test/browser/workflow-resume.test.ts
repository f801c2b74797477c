/**
 * A page that starts a workflow run, shows its events and is reloaded in the middle: it goes on at the offset that it has stored, and has every event
 * once in the end. The services are the test's own, which holds each step until it says so: the reload is in the middle, whatever the machine does.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { bundleClient, CLIENT_ENTRIES } from '../../scripts/build-client.ts';
import { type Deferred, deferred } from '../../src/client/deferred.ts';
import { createClient, type FullClient, type RunEvent, type WorkflowDefinition } from '../../src/client/full.ts';
import { openBrowser, Watched } from '../support/browser.ts';
import { startRelay } from '../support/relay-process.ts';
import { range } from '../support/sdk.ts';

interface ShownEvent {
  readonly offset: number;
  readonly kind: string;
  readonly stage?: string;
  readonly index?: number;
}

/** What the page below leaves for the test to look at. */
interface Page {
  /** Everything that it shows, what it has from before a reload included. */
  readonly shown: readonly ShownEvent[];
  /** Offsets of the events that came since it was loaded. */
  readonly received: readonly number[];
  readonly run: string;
  result?: unknown;
}
declare global {
  var progress: Page;
}

/** The page's own code keeps key, run, position and what it shows: the SDK stores nothing. The key goes in before START, so a reload starts nothing twice. */
const PAGE = `<!doctype html><title>progress</title><link rel="icon" href="data:,"><script type="module">
  import { createClient } from './relay-client.js';
  const client = createClient({ url: location.hash.slice(1), reconnect: { baseMs: 10, capMs: 200 } });
  const kept = JSON.parse(sessionStorage.getItem('progress')) ?? { key: crypto.randomUUID(), shown: [] };
  const keep = () => sessionStorage.setItem('progress', JSON.stringify(kept));
  keep();
  await client.connect();
  const workflow = client.workflow('report');
  const run = kept.run ? workflow.run(kept.run, { since: kept.position }) : await workflow.start(5, { key: kept.key });
  Object.assign(kept, { run: run.id, position: run.position });
  keep();
  const progress = { shown: kept.shown, received: [], run: run.id };
  window.progress = progress;
  for await (const { offset, kind, stage, index } of run) {
    progress.received.push(offset);
    kept.shown.push({ offset, kind, stage, index });
    kept.position = run.position;
    keep();
  }
  progress.result = await run.result();
</script>`;

const DEFINITION: WorkflowDefinition = {
  name: 'report',
  version: 1,
  stages: [
    { name: 'plan', service: 'report', method: 'plan' },
    { name: 'write', service: 'report', method: 'write', forEach: 'plan', concurrency: 1 },
    { name: 'bind', service: 'report', method: 'bind', input: 'write' },
  ],
};

/** The run's services. A part is written when the test says so. */
class Writers {
  readonly #calls: { readonly begun: Deferred<void>; readonly done: Deferred<string> }[] = [];

  serve(client: FullClient): Promise<void> {
    const handlers = {
      plan: (count: number) => range(0, count - 1),
      write: (part: number) => {
        this.#call(part).begun.resolve();
        return this.#call(part).done.promise;
      },
      bind: (parts: readonly string[]) => parts.join(' '),
    };
    return client.service('report', handlers, { version: '1.0.0' }).ready();
  }

  begun(part: number): Promise<void> {
    return this.#call(part).begun.promise;
  }

  finish(part: number): void {
    this.#call(part).done.resolve(`part${part}`);
  }

  #call(part: number) {
    return (this.#calls[part] ??= { begun: deferred<void>(), done: deferred<string>() });
  }
}

/** Serves the page and the SDK's build. `hold` keeps the next script back: a page that is loaded but does not run yet. */
class PageServer {
  readonly #code: Uint8Array;
  #held: Deferred<void> | null = null;
  #asked: Deferred<void> = deferred();
  origin = '';

  constructor(code: Uint8Array) {
    this.#code = code;
  }

  async start(): Promise<() => void> {
    const server = createServer(async (request, response) => {
      const isScript = request.url === '/relay-client.js';
      if (isScript) {
        this.#asked.resolve();
        await this.#held?.promise;
      }
      // Or the browser would not ask a second time.
      const headers = { 'content-type': isScript ? 'text/javascript' : 'text/html; charset=utf-8', 'cache-control': 'no-store' };
      response.writeHead(200, headers).end(isScript ? this.#code : PAGE);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return () => server.close();
  }

  /** `asked` resolves when a page has come for the script. */
  hold(): { readonly asked: Promise<void>; readonly release: () => void } {
    const held = deferred<void>();
    this.#held = held;
    this.#asked = deferred();
    return { asked: this.#asked.promise, release: held.resolve };
  }
}

const server = new PageServer((await bundleClient(CLIENT_ENTRIES.full)).code);
t.teardown(await server.start());
const context = await openBrowser(t);

t.test('a refreshed page resumes the progress of a workflow run at its offset', async (t) => {
  const relay = await startRelay(t, { lanes: 1 });
  const client = createClient({ url: relay.url });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  const writers = new Writers();
  await writers.serve(client);
  const workflow = client.workflow('report');
  await workflow.define(DEFINITION);

  const { page, complaints } = await Watched.open(t, context, `${server.origin}/#${relay.url}`);
  const untilBegun = (part: number): Promise<unknown> =>
    page.waitForFunction(
      (wanted) => globalThis.progress?.shown.some(({ kind, index }) => kind === 'stepStarted' && index === wanted && wanted > 0),
      part,
    );
  writers.finish(0);
  await writers.begun(1);
  await untilBegun(1);
  const before = await page.evaluate(() => globalThis.progress);
  t.equal(before.received.length, before.shown.length, 'it is the first load');

  const script = server.hold();
  const reloaded = page.reload();
  await script.asked; // The old page is gone, and the new one does not run yet.
  writers.finish(1);
  writers.finish(2);
  await writers.begun(3);
  const run = workflow.run(before.run);
  const { state, offset } = await run.status();
  t.equal(state, 'running', 'it is in the middle');
  const lastShown = before.shown.length;
  t.ok(offset > lastShown, `it misses something: ${lastShown} of ${offset} events are shown`);
  script.release();
  await reloaded;

  await untilBegun(3);
  const between = await page.evaluate(() => globalThis.progress);
  t.same(between.received, range(lastShown + 1, between.shown.length), 'it goes on behind what it has, and not at the beginning');
  writers.finish(3);
  writers.finish(4);
  await page.waitForFunction(() => globalThis.progress.result !== undefined);
  const after = await page.evaluate(() => globalThis.progress);
  t.equal(after.result, 'part0 part1 part2 part3 part4');
  t.equal(after.run, before.run);

  const events: RunEvent[] = [];
  for await (const event of run) events.push(event);
  t.same(
    after.shown.map(({ offset }) => offset),
    range(1, events.length),
    'every event once, in order',
  );
  t.same(
    after.shown.map(({ kind, stage }) => [kind, stage]),
    events.map((event) => [event.kind, 'stage' in event ? event.stage : undefined]),
  );
  t.equal(after.shown.at(-1)?.kind, 'succeeded');
  t.equal((await workflow.list()).length, 1, 'and it is still the only run');

  await page.reload();
  await page.waitForFunction(() => globalThis.progress?.result !== undefined);
  const later = await page.evaluate(() => globalThis.progress);
  t.same(
    [later.result, later.received],
    [after.result, []],
    'a page that comes back when all is over has the result, and no event twice',
  );
  t.same(
    later.shown.map(({ offset }) => offset),
    range(1, events.length),
  );
  t.same(complaints, []);
});
