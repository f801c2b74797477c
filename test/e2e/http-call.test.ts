/** Calls over HTTP through the real server: answers, errors, and what a hang-up does at the instance. */
import t from 'tap';
import { type CallContext, createClient, ServiceError } from '../../src/client/full.ts';
import { startRelay } from '../support/relay-process.ts';

t.test('curl-like callers get results, errors and cancellation', async (t) => {
  const relay = await startRelay(t);
  const base = relay.url.replace(/^ws/, 'http').replace(/\/v1.*/, '');
  const client = createClient({ url: relay.url });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  const hanging: Promise<unknown>[] = [];
  let begun = (): void => {};
  const started = new Promise<void>((resolve) => (begun = resolve));
  const handlers = {
    add: ([left, right]: [number, number]) => ({ sum: left + right }),
    refuse: () => {
      throw new ServiceError('DIV', 'by zero');
    },
    hang: (_: unknown, { signal }: CallContext) => {
      hanging.push(new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason))));
      begun();
      return new Promise(() => {});
    },
  };
  await client.service('math', handlers, { version: '1.0.0' }).ready();
  const call = (method: string, payload: unknown, init: RequestInit = {}): Promise<Response> =>
    fetch(`${base}/v1/call?service=math&method=${method}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(payload),
      ...init,
    });
  const sum = await call('add', [1, 2]);
  t.same([sum.status, await sum.json()], [200, { sum: 3 }]);
  const refused = await call('refuse', null);
  t.match([refused.status, await refused.json()], [422, { error: { code: 120, details: { code: 'DIV' } } }]);
  const nobody = await call('other', null);
  t.match([nobody.status, nobody.headers.get('retry-after')], [503, '1']);

  const controller = new AbortController();
  const hung = t.rejects(call('hang', null, { signal: controller.signal }));
  await started;
  controller.abort();
  await hung;
  t.match(await hanging[0], { codeName: 'CANCELLED' }, 'the instance hears of the hang-up');
  const [info] = (await (await fetch(`${base}/v1/services`)).json()).services;
  t.match(info, { service: 'math', inFlight: 0, calls: 3 });
});
