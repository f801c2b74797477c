/** Runs from START to their end: data, joins, retries, time-outs, and what RUN can do to them. */
import t from 'tap';
import { stage, WorkflowRig } from './workflow-rig.ts';

const FAST = { retries: { backoffMs: 100, jitter: 0 } };

t.test('a run of one stage: its input goes to the service, the result comes back, every transition is told', async (t) => {
  const rig = new WorkflowRig();
  const { run, topic, epoch, offset, version } = rig.begin([stage('a')], { no: 17 });
  t.match({ topic, offset, version }, { topic: `$workflow.w.${run}`, offset: 0, version: 1 });
  t.match(run, /^[0-9a-z_-]{12}$/);
  t.same(rig.call.payload, { no: 17 });
  t.same(rig.call.options, {
    deadlineMs: 30_000,
    headers: { workflow: 'w', run, stage: 'a', index: '0', attempt: '1' },
    idempotent: false,
  });
  rig.result(rig.call, 'done');
  t.same(rig.events(topic), [
    { kind: 'started', atMs: rig.nowMs, workflow: 'w', run, version: 1, inputBytes: 5 },
    { kind: 'stageStarted', atMs: rig.nowMs, stage: 'a', steps: 1 },
    { kind: 'stepStarted', atMs: rig.nowMs, stage: 'a', index: 0, attempt: 1 },
    { kind: 'stepSucceeded', atMs: rig.nowMs, stage: 'a', index: 0, attempt: 1, bytes: 5 },
    { kind: 'stageSucceeded', atMs: rig.nowMs, stage: 'a', succeeded: 1, failed: 0, leftOut: 0 },
    { kind: 'succeeded', atMs: rig.nowMs, resultBytes: 5, result: 'done' },
  ]);
  t.match(rig.history(topic), { epoch, offset: 6 });
  t.match(rig.run(run, 'status'), { state: 'succeeded', resultBytes: 5, offset: 6, epoch });
  t.same(rig.run(run, 'result'), { result: 'done' });
});
