/**
 * kill -9 of every example service at every stage of a run. The relay and the services are real processes; a service is caught at its work by stopping it
 * (SIGSTOP) before it is called, so the moment of its death is no matter of luck.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import t, { type Test } from 'tap';
import type { Digest, DigestInput } from '../../examples/workflow/types.ts';
import { createClient, type Run, type RunEvent, type Workflow, type WorkflowDefinition } from '../../src/client/full.ts';
import { Program, ROOT } from '../support/program.ts';
import { startRelay } from '../support/relay-process.ts';

const DEFINITION = JSON.parse(readFileSync(`${ROOT}examples/workflow/definition.json`, 'utf8')) as WorkflowDefinition;
const INPUT: DigestInput = {
  documents: Array.from({ length: 12 }, (_, index) => ({
    name: `page ${index}`,
    text: `relay ${'word '.repeat(index + 1)}${index % 3 === 0 ? 'other' : ''}`,
  })),
  keyword: 'relay',
  paceMs: 20,
};
/** A run that hangs fails by this. */
const RUN_MS_MAX = 20_000;

class Services {
  readonly #t: Test;
  readonly #url: string;
  readonly #instances = new Map<string, Program>();

  constructor(t: Test, url: string) {
    this.#t = t;
    this.#url = url;
  }

  async start(name: string): Promise<Program> {
    const file = `${ROOT}examples/workflow/${name}.ts`;
    const program = new Program(this.#t, [process.execPath, '--disable-warning=ExperimentalWarning', file, this.#url]);
    await program.stdout.find(/serving as/);
    this.#instances.set(name, program);
    return program;
  }

  /** The newest instance; an older one has been killed. */
  newest(name: string): Program {
    const program = this.#instances.get(name);
    if (program === undefined) throw new Error(`no instance of ${name}`);
    return program;
  }
}

async function runToEnd(run: Run<Digest>, onEvent: (event: RunEvent<Digest>) => Promise<void>): Promise<RunEvent<Digest>[]> {
  const events: RunEvent<Digest>[] = [];
  for await (const event of run) {
    events.push(event);
    await onEvent(event);
  }
  return events;
}

/** Each step was accepted once, and the run's result is that of a run in which nobody died. */
async function checkRun(t: Test, run: Run<Digest>, events: readonly RunEvent<Digest>[], expected: Digest): Promise<void> {
  t.equal(events.at(-1)?.kind, 'succeeded', JSON.stringify(events.at(-1)));
  const accepted = events.flatMap((event) => (event.kind === 'stepSucceeded' ? [`${event.stage} ${event.index}`] : []));
  t.equal(new Set(accepted).size, accepted.length, 'no step twice');
  t.equal(accepted.length, 3 + INPUT.documents.length, 'and every one');
  t.same(await run.result(), expected);
}

async function setUp(t: Test): Promise<{ readonly services: Services; readonly workflow: Workflow }> {
  const relay = await startRelay(t);
  const services = new Services(t, relay.url);
  await Promise.all(DEFINITION.stages.map(({ service }) => services.start(service)));
  const client = createClient({ url: relay.url });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  const workflow = client.workflow(DEFINITION.name);
  await workflow.define(DEFINITION);
  return { services, workflow };
}

t.test('kill -9 of each service, at its work and after its first result', async (t) => {
  const { services, workflow } = await setUp(t);
  const start = (): Promise<Run<Digest>> => workflow.start<Digest>(INPUT, { deadlineMs: RUN_MS_MAX });
  const undisturbed = await start();
  await runToEnd(undisturbed, async () => {});
  const expected = await undisturbed.result();

  for (const { name, service } of DEFINITION.stages) {
    await t.test(`${name}: while it is called`, async (t) => {
      const victim = services.newest(service);
      victim.kill('SIGSTOP');
      let isDead = false;
      const run = await start();
      const events = await runToEnd(run, async (event) => {
        if (isDead || event.kind !== 'stepStarted' || event.stage !== name) return;
        isDead = true;
        await services.start(service);
        victim.kill('SIGKILL');
      });
      t.ok(isDead);
      await checkRun(t, run, events, expected);
    });

    await t.test(`${name}: after its first result`, async (t) => {
      const victim = services.newest(service);
      await services.start(service);
      const run = await start();
      const events = await runToEnd(run, async (event) => {
        if (event.kind === 'stepSucceeded' && event.stage === name) victim.kill('SIGKILL');
      });
      await checkRun(t, run, events, expected);
    });
  }
});

t.test('a service that dies and does not come back: the run fails, says why, and goes on when it is retried', async (t) => {
  const { services, workflow } = await setUp(t);
  const { name, service } = DEFINITION.stages[1] as WorkflowDefinition['stages'][number];
  const victim = services.newest(service);
  victim.kill('SIGSTOP');
  const run = await workflow.start<Digest>(INPUT, { deadlineMs: RUN_MS_MAX });
  const events = await runToEnd(run, async (event) => {
    if (event.kind === 'stepStarted' && event.stage === name) victim.kill('SIGKILL');
  });
  t.match(
    events.find(({ kind }) => kind === 'failed'),
    { stage: name, reason: { code: /^(NO_RESPONDERS|RESPONDER_LOST)$/ } },
  );
  t.equal(events.at(-1)?.kind, 'deadLettered');
  t.match(await workflow.list({ state: 'failed' }), [{ run: run.id, stage: name, reason: { text: /cast/ } }]);

  await services.start(service);
  const { offset = 0 } = events.at(-1) ?? {};
  await run.retry();
  const goneOn = await runToEnd(workflow.run<Digest>(run.id), async () => {});
  await checkRun(t, run, goneOn, await run.result());
  t.ok(goneOn.some((event) => event.offset > offset && event.kind === 'stepSucceeded' && event.stage === name));
});
