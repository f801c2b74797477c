/**
 * What the full client promises of workflows against every relay: one suite, called by each combination.
 * Uses real time and only what docs/protocol.md promises, so the real relay can stand in for the small one.
 */
import type { Test } from 'tap';
import type { FullClient, Position, RunEvent, WorkflowDefinition } from '../../../src/client/full.ts';
import { type ClientUnderTest, contractTests } from './client.contract.ts';

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const code = (codeName: string, more: object = {}): Error => ({ codeName, ...more }) as unknown as Error;

export async function workflowContract(t: Test, open: () => Promise<ClientUnderTest<FullClient>>): Promise<void> {
  const test = contractTests(t, open);

  const definition = (prefix: string, name: string): WorkflowDefinition => ({
    name,
    version: 1,
    stages: [
      { name: 'double', service: `${prefix}.math`, method: 'double', retries: { max: 0 } },
      { name: 'add', service: `${prefix}.math`, method: 'addOne', input: 'double', retries: { max: 0 } },
    ],
  });
  const math = { double: (number: number) => number * 2, addOne: (number: number) => number + 1 };
  const kinds = (events: readonly RunEvent[]): string[] => events.map(({ kind }) => kind);

  await test('a run goes through its stages, and its events and result arrive', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    await server.service(`${prefix}.math`, math, { version: '1.0.0' }).ready();
    const workflow = caller.workflow(`${prefix}.flow`);
    t.match(await workflow.define(definition(prefix, workflow.name)), { workflow: workflow.name, version: 1 });
    t.match(await workflow.definition(), { version: 1, versions: [1], definition: { name: workflow.name } });
    const run = await workflow.start<number>(20);
    t.match(run, { workflow: workflow.name, version: 1, duplicate: false });
    const events: RunEvent<number>[] = [];
    for await (const event of run) events.push(event);
    t.equal(kinds(events)[0], 'started');
    t.same(
      events
        .filter(({ kind }) => kind === 'stageStarted' || kind === 'stageSucceeded')
        .map((event) => 'stage' in event && event.stage),
      ['double', 'double', 'add', 'add'],
    );
    t.match(events.at(-1), { kind: 'succeeded', result: 41 });
    t.equal(await run.result(), 41, 'also after the end');
    t.equal(await run.stageResult(), 41, 'and from the run itself, where it is too large for an event');
    t.match(await run.status(), { run: run.id, state: 'succeeded' });
    t.match(await workflow.list(), [{ run: run.id, state: 'succeeded' }]);
  });

  await test('a key starts one run; a run can be attached to, from its beginning or a stored position', async (t, {
    prefix,
  }, client) => {
    const [server, caller, other] = [await client(), await client(), await client()];
    await server.service(`${prefix}.math`, math, { version: '1.0.0' }).ready();
    const workflow = caller.workflow(`${prefix}.keyed`);
    await workflow.define(definition(prefix, workflow.name));
    const run = await workflow.start(1, { key: 'the-order' });
    const again = await other.workflow(workflow.name).start(1, { key: 'the-order' });
    t.match(again, { id: run.id, duplicate: true });
    const events: RunEvent[] = [];
    for await (const event of again) {
      events.push(event);
      if (event.kind === 'stageStarted') break;
    }
    const stored = again.position;
    const resumed = other.workflow(workflow.name).run(run.id, stored === null ? {} : { since: stored });
    for await (const event of resumed) events.push(event);
    const whole: RunEvent[] = [];
    for await (const event of other.workflow(workflow.name).run(run.id)) whole.push(event);
    t.same(events, whole, 'in two pieces or in one');
    t.match(kinds(whole).slice(-1), ['succeeded']);
    const after = other.workflow(workflow.name).run(run.id, { since: resumed.position as Position });
    for await (const { kind } of after) t.fail(`${kind} came again`);
    t.equal(await after.result(), await run.result(), 'whoever comes back after the end has the result, and no event twice');
    await t.rejects(other.workflow(workflow.name).run('no-such-run').result(), code('NOT_FOUND'));
  });

  await test('a run is followed over cut connections without a hole', async (t, { prefix, cutAll }, client) => {
    const [server, caller] = [await client(), await client()];
    const slow = async (number: number) => {
      await sleep(60);
      return number + 1;
    };
    const service = server.service(`${prefix}.slow`, { slow }, { version: '1.0.0', idempotent: true });
    await service.ready();
    const workflow = caller.workflow(`${prefix}.cutflow`);
    const names = ['a', 'b', 'c', 'd'];
    const stages = names.map((name, index) => ({
      name,
      service: `${prefix}.slow`,
      method: 'slow',
      ...(index > 0 ? { input: names[index - 1] as string } : {}),
    }));
    await workflow.define({ name: workflow.name, version: 1, stages });
    const run = await workflow.start<number>(0);
    const offsets: number[] = [];
    for await (const event of run) {
      offsets.push(event.offset);
      // The service loses its connection too: the run may fail of that, but not in silence.
      if (event.kind === 'stageSucceeded' && event.stage === 'b') cutAll();
      if (event.kind === 'failed') break;
    }
    t.same(
      offsets,
      Array.from({ length: offsets.length }, (_, index) => index + 1),
    );
  });

  await test('runs fail with the reason and go on by retry; cancelled ones say so', async (t, { prefix }, client) => {
    const [server, caller] = [await client(), await client()];
    server.on('error', () => {});
    let isBroken = true;
    const handlers = {
      double: (number: number) => number * 2,
      addOne: (number: number) => {
        if (isBroken) throw new Error('the abacus is broken');
        return number + 1;
      },
    };
    await server.service(`${prefix}.math`, handlers, { version: '1.0.0' }).ready();
    const workflow = caller.workflow(`${prefix}.failing`);
    await workflow.define(definition(prefix, workflow.name));
    const run = await workflow.start<number>(4);
    await t.rejects(
      run.result(),
      code('SERVICE_ERROR', { facts: { run: run.id, stage: 'add', code: 'SERVICE_ERROR', text: /the abacus is broken/ } }),
    );
    t.match(await run.status(), { state: 'failed' });
    await t.rejects(run.pause(), code('CONFLICT'));
    isBroken = false;
    await run.retry();
    t.equal(await run.result(), 9);

    const hang = { double: () => new Promise(() => {}), addOne: () => 0 };
    const other = await client();
    await other.service(`${prefix}.hang`, hang, { version: '1.0.0' }).ready();
    const hanging = caller.workflow(`${prefix}.hanging`);
    await hanging.define({
      name: hanging.name,
      version: 1,
      stages: [{ name: 'wait', service: `${prefix}.hang`, method: 'double' }],
    });
    const second = await hanging.start(1);
    await second.pause();
    await second.resume();
    await second.cancel();
    await t.rejects(second.result(), code('CANCELLED'));
  });
}
