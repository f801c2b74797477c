/**
 * Lanes that die at any record of a run: whatever the front had seen of it by then, the next lane ends it as if nothing had happened.
 *
 * Each seed draws workflows, what the services answer, what clients do meanwhile, and after how many records the lane dies, again and again.
 */
import t, { type Test } from 'tap';
import { Prng } from '../../../../src/base/prng.ts';
import { type StageDefinition, sourcesOf } from '../../../../src/lane/workflows/definition.ts';
import { type Any, type Call, stage, WorkflowRig } from './workflow-rig.ts';

const SEEDS = 120;
const RUNS = 3;
const TURNS_MAX = 20_000;
const VIRTUAL_MS_MAX = 86_400_000;
const QUICK = { retries: { max: 3, backoffMs: 50, backoffMsMax: 400 }, timeoutMs: 2_000 };

const SHAPES: readonly (readonly StageDefinition[])[] = [
  [stage('a', QUICK), stage('b', { ...QUICK, input: 'a' }), stage('c', { ...QUICK, input: 'b' })],
  [
    stage('sift', QUICK),
    stage('cast', { ...QUICK, forEach: 'sift', concurrency: 2, compensate: { service: 's', method: 'uncast', timeoutMs: 500 } }),
    stage('stitch', { ...QUICK, input: 'cast' }),
  ],
  [
    stage('left', { ...QUICK, compensate: { service: 's', method: 'unleft' } }),
    stage('right', { ...QUICK, forEach: 'input', join: { quorum: 2 } }),
    stage('mid', { ...QUICK, forEach: 'input', input: { l: 'left' }, join: { deadlineMs: 1_500 }, heartbeatTimeoutMs: 500 }),
    stage('end', { ...QUICK, input: { l: 'left', r: 'right', m: 'mid' }, after: ['mid'] }),
  ],
];

interface World {
  readonly rig: WorkflowRig;
  readonly prng: Prng;
  readonly deaths: { count: number };
}

/** The next death: anywhere, from the very next record on. Late in the day the lane lives, or nothing would ever end. */
function drawDeath({ prng, deaths }: World): number {
  return deaths.count > 40 ? Number.POSITIVE_INFINITY : prng.nextInt(1, prng.nextBoolean(0.3) ? 4 : 40);
}

function answer({ rig, prng }: World, call: Call): void {
  const dice = prng.nextFloat();
  if (dice < 0.68)
    rig.result(call, call.method === 'sift' ? ['x', 'y', 'z'] : { of: call.stage, index: call.index, attempt: call.attempt });
  else if (dice < 0.78) rig.fail(call, 'SERVICE_ERROR', { code: 'E1', text: 'no' });
  else if (dice < 0.84) rig.fail(call, 'OVERLOADED', { retryAfterMs: 100 });
  else if (dice < 0.88) rig.fail(call, 'RESPONDER_LOST');
  else if (dice < 0.9) rig.fail(call, 'BAD_REQUEST');
  else if (dice < 0.95) rig.part(call);
  else rig.calls.delete(call.id); // Never answered.
}

function act({ rig, prng }: World, runs: readonly Any[]): void {
  const { run } = prng.pick(runs);
  rig.run(run, prng.pick(['pause', 'resume', 'resume', 'resume', 'cancel', 'retry', 'retry']));
}

function stageOf(step: string): string {
  return step.replace('undo ', '').replace(/\[.*/, '');
}

/** Does a stage take anything, however far, from one of these? */
function comesAfter(stages: readonly StageDefinition[], name: string, sources: ReadonlySet<string>): boolean {
  const stage = stages.find((candidate) => candidate.name === name);
  return (
    stage !== undefined &&
    sourcesOf(stage as unknown as Record<string, unknown>).some(
      (source) => sources.has(source) || comesAfter(stages, source, sources),
    )
  );
}

/** Events of one topic, as history has them, and what must hold of any run's. */
function checkEvents(
  t: Test,
  topic: string,
  { epoch, messages }: Any,
  startEpoch: string,
  stages: readonly StageDefinition[],
): void {
  t.equal(epoch, startEpoch, 'the same stream through all deaths');
  t.same(
    messages.map(([offset]: Any[]) => offset),
    messages.map((_: unknown, index: number) => index + 1),
    'no gap, no duplicate',
  );
  let ends = 0;
  let letters = 0;
  let retries = 0;
  const succeeded = new Set<string>();
  const undone = new Set<string>();
  const attempts = new Map<string, number>();
  for (const [, , event] of messages) {
    const step = `${event.kind.startsWith('comp') ? 'undo ' : ''}${event.stage}[${event.index}]`;
    if (event.kind === 'stepStarted' || event.kind === 'compensationStarted') {
      t.notOk(succeeded.has(step), `${topic}: ${step} is not issued again`);
      t.ok(event.attempt > (attempts.get(step) ?? 0), `${topic}: attempts of ${step} grow`);
      attempts.set(step, event.attempt);
    }
    if (event.kind === 'stepSucceeded' || event.kind === 'compensated') {
      t.notOk(succeeded.has(step), `${topic}: ${step} is accepted once`);
      t.equal(event.attempt, attempts.get(step), `${topic}: ${step} is accepted of its last attempt`);
      succeeded.add(step);
      if (event.kind === 'compensated') undone.add(event.stage);
    }
    if (event.kind === 'succeeded' || event.kind === 'failed' || event.kind === 'cancelled') ends++;
    if (event.kind === 'failed') t.ok(event.reason.code.length > 0, 'it fails with a reason');
    if (event.kind === 'deadLettered') t.equal(++letters, ends, 'and one dead letter');
    if (event.kind === 'retried') {
      retries++;
      // What was undone runs again, and with it what came of it: of the other stages nothing does.
      if (undone.size > 0)
        for (const known of [...succeeded])
          if (undone.has(stageOf(known)) || comesAfter(stages, stageOf(known), undone)) succeeded.delete(known);
      undone.clear();
      for (const known of [...succeeded]) if (known.startsWith('undo ')) succeeded.delete(known);
    }
  }
  t.equal(ends, 1 + retries, `${topic} ends once, and once more for every retry`);
}

/** What a watcher saw: every offset once and in order; what is missing was named by a `lost` event. */
function checkWatched(t: Test, frames: readonly Any[][], sub: number, offsetMax: number): void {
  let last = 0;
  let isLost = false;
  for (const frame of frames) {
    if (frame[1] !== sub) continue;
    if (frame[0] === 35 && frame[3] === 'lost') isLost = true;
    if (frame[0] !== 34) continue;
    t.ok(frame[3] > last, `offset ${frame[3]} comes after ${last}`);
    if (frame[3] !== last + 1) t.ok(isLost, `the gap between ${last} and ${frame[3]} was named`);
    isLost = false;
    last = frame[3];
  }
  t.ok(last <= offsetMax);
}

for (let seed = 1; seed <= SEEDS; seed++) {
  t.test(`runs end right whenever their lane dies (seed ${seed})`, async (t) => {
    const prng = new Prng(seed);
    const rig = new WorkflowRig({}, { seed });
    const world: World = { rig, prng, deaths: { count: 0 } };
    const stages = prng.pick(SHAPES);
    rig.define(stages, prng.nextBoolean(0.3) ? { deadlineMs: prng.nextInt(500, 10_000) } : {});
    const runs = Array.from({ length: RUNS }, () => rig.start([1, 2, 3]));
    const subs = new Map<string, number>();
    for (const { topic, epoch } of runs) {
      const before = rig.watched.length;
      rig.watch(topic, { epoch, offset: 0 });
      subs.set(topic, rig.watched[before]?.[2].sub);
    }
    rig.recordsLeft = drawDeath(world);
    const startMs = rig.nowMs;
    let turns = 0;
    const isOver = (): boolean => {
      if (rig.calls.size > 0 || rig.isDead) return false;
      const { recordsLeft } = rig;
      rig.recordsLeft = Number.POSITIVE_INFINITY; // Looking kills nobody.
      const states = runs.map(({ run }) => rig.run(run, 'status').state);
      rig.recordsLeft = recordsLeft;
      return states.every((state) => ['succeeded', 'failed', 'cancelled'].includes(state));
    };
    for (; turns < TURNS_MAX && rig.nowMs < startMs + VIRTUAL_MS_MAX; turns++) {
      if (rig.isDead) {
        world.deaths.count++;
        rig.replace(drawDeath(world));
        continue;
      }
      if (rig.calls.size > 0 && prng.nextBoolean(0.85)) answer(world, prng.pick([...rig.calls.values()]));
      else if (prng.nextBoolean(0.1)) act(world, runs);
      else if (!rig.advanceToTimer(100_000)) {
        if (isOver()) break;
        for (const { run } of runs) rig.run(run, 'resume'); // Paused and forgotten: nothing else would ever happen.
      }
    }
    rig.recordsLeft = Number.POSITIVE_INFINITY;
    t.ok(isOver(), `all runs ended after ${turns} turns, ${world.deaths.count} deaths`);
    for (const { topic, epoch } of runs) {
      const history = rig.history(topic);
      checkEvents(t, topic, history, epoch, stages);
      checkWatched(t, rig.watched, subs.get(topic) as number, history.messages.length);
    }
  });
}
