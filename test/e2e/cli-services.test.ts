/** Calls, services and workflows from the command line, against a running relay. */
import t, { type Test } from 'tap';
import { createClient, type FullClient, ServiceError } from '../../src/client/full.ts';
import type { Program } from '../support/program.ts';
import { relayProgram, startRelay } from '../support/relay-process.ts';

const parsed = (program: Program): Record<string, unknown>[] => program.stdout.all.map((line) => JSON.parse(line));
const DONE = { code: 0, signal: null };
const FAILED = { code: 1, signal: null };

async function openServer(t: Test, url: string): Promise<FullClient> {
  const client = createClient({ url, client: 'abacus' });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  const handlers = {
    add: ([left, right]: [number, number]) => left + right,
    headers: (_: unknown, { headers }: { headers: object }) => headers,
    async *count(to: number) {
      for (let number = 1; number <= to; number++) yield number;
    },
    refuse: () => {
      throw new ServiceError('DIV', 'by zero');
    },
    hang: () => new Promise(() => {}),
  };
  await client.service('math', handlers, { version: '1.2.3', metadata: { zone: 'b' } }).ready();
  return client;
}

t.test('relay call prints a result, the parts of a stream, or why there is none', async (t) => {
  const relay = await startRelay(t);
  await openServer(t, relay.url);
  const call = (...args: string[]): Program => relayProgram(t, ['call', '--url', relay.url, ...args]);
  const sum = call('math', 'add', '[1, 2]', '--version-range', '^1.2');
  const headers = call('math', 'headers', '--header', 'a=b', '--hash-key', 'k');
  const stream = call('math', 'count', '3', '--stream');
  t.same(await Promise.all([sum.exited, headers.exited, stream.exited]), [DONE, DONE, DONE]);
  t.same(parsed(sum), [3]);
  t.same(parsed(headers), [{ a: 'b' }]);
  t.same(parsed(stream), [1, 2, 3]);
  const refusals = [
    [['math', 'refuse'], /by zero.*\(120 SERVICE_ERROR\)/],
    [['nobody', 'there'], /\(109 NO_RESPONDERS\)/],
    [['math', 'add', '1', '--version-range', '^2'], /\(109 NO_RESPONDERS\)/],
    [['math', 'hang', '--deadline-ms', '50'], /\(108 TIMEOUT\)/],
    [['math', 'count', '3'], /use callStream|--stream/],
  ] as const;
  await Promise.all(
    refusals.map(async ([args, says]) => {
      const refused = call(...args);
      t.same(await refused.exited, FAILED, args.join(' '));
      t.match(refused.stderr.all.join('\n'), says);
    }),
  );
});

t.test('commands give up when no relay answers, and say which and why', async (t) => {
  const url = 'ws://127.0.0.1:9'; // Discard: nobody listens there, and nobody will.
  for (const args of [['call', 'math', 'add', '1'], ['services'], ['workflow', 'list'], ['pub', 'a', '1']]) {
    const program = relayProgram(t, [...args, '--url', url, '--connect-timeout-ms', '300']);
    t.same(await program.exited, FAILED, args.join(' '));
    t.match(program.stderr.all.at(-1), /^relay: no relay at ws:..127\.0\.0\.1:9 for 300 ms: .+ \(1006\)$/);
  }
  const wrong = relayProgram(t, ['services', '--url', url, '--connect-timeout-ms', 'soon']);
  t.same(await wrong.exited, FAILED);
});

t.test('relay services lists what is registered', async (t) => {
  const relay = await startRelay(t);
  await openServer(t, relay.url);
  const all = relayProgram(t, ['services', '--url', relay.url]);
  t.same(await all.exited, DONE);
  t.match(parsed(all), [{ service: 'math', instances: 1, versions: ['1.2.3'] }]);
  const instances = relayProgram(t, ['services', '--url', relay.url, '--instances', 'm*']);
  await instances.exited;
  t.match(instances.stderr.all.join(''), /token|pattern/, 'a star stands for a whole token');
  const one = relayProgram(t, ['services', '--url', relay.url, '--instances', 'math']);
  await one.exited;
  t.match(parsed(one), [{ list: [{ client: 'abacus', version: '1.2.3', metadata: { zone: 'b' }, health: 'ok' }] }]);
});

t.test('relay workflow: define, start, watch, list, fail, retry', async (t) => {
  const relay = await startRelay(t);
  const server = await openServer(t, relay.url);
  const workflow = (input: string | null, ...args: string[]): Program =>
    relayProgram(t, ['workflow', ...args, '--url', relay.url], input === null ? {} : { input });
  const stages = [{ name: 'sum', service: 'math', method: 'add', retries: { max: 0 } }];
  const defined = workflow(JSON.stringify({ name: 'adding', version: 1, stages }), 'define', '-');
  t.same(await defined.exited, DONE);
  t.same(parsed(defined), [{ workflow: 'adding', version: 1 }]);
  const wrong = workflow(JSON.stringify({ name: 'adding', version: 2, stages: [] }), 'define', '-');
  t.same(await wrong.exited, FAILED);

  const started = workflow(null, 'start', 'adding', '[20, 22]', '--key', 'k', '--wait');
  t.same(await started.exited, DONE);
  const [head, ...events] = parsed(started);
  const run = head?.['run'] as string;
  t.match(head, { topic: `$workflow.adding.${run}`, version: 1, duplicate: false });
  t.match(events.at(-1), { kind: 'succeeded', result: 42 });
  const again = workflow(null, 'start', 'adding', '[20, 22]', '--key', 'k');
  await again.exited;
  t.match(parsed(again), [{ run, duplicate: true }]);
  const watched = workflow(null, 'watch', 'adding', run, `--since=${head?.['epoch']}:${events.length - 1}`);
  t.same(await watched.exited, DONE);
  t.same(parsed(watched), events.slice(-1), 'behind the position only');
  const result = workflow(null, 'result', 'adding', run, 'sum');
  await result.exited;
  t.same(parsed(result), [42]);

  const broken = [{ name: 'sum', service: 'broken', method: 'add', retries: { max: 0 } }];
  await server.workflow('breaking').define({ name: 'breaking', version: 1, stages: broken });
  const failing = workflow(null, 'start', 'breaking', '[1, 2]', '--wait');
  t.same(await failing.exited, FAILED, 'a run that fails');
  const failed = parsed(failing)[0]?.['run'] as string;
  const list = workflow(null, 'list', '--state', 'failed');
  await list.exited;
  t.match(parsed(list), [{ workflow: 'breaking', run: failed, state: 'failed', reason: { code: 'NO_RESPONDERS' } }]);
  await server.service('broken', { add: () => 'mended' }, { version: '1.0.0' }).ready();
  t.same(await workflow(null, 'retry', 'breaking', failed).exited, DONE);
  const retried = workflow(null, 'watch', 'breaking', failed);
  t.same(await retried.exited, DONE, 'a watcher sees it fail, and then succeed');
  t.match(parsed(retried).at(-1), { kind: 'succeeded', result: 'mended' });
  const missing = workflow(null, 'status', 'breaking', 'none');
  t.same(await missing.exited, FAILED);
  t.match(missing.stderr.all.join(''), /103 NOT_FOUND/);
  t.same(await workflow(null, 'nonsense').exited, { code: 2, signal: null });
});
