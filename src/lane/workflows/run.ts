/**
 * A run: its state, and the fold of events that is the only thing that changes it.
 *
 * Thread: the lane's. `applyEvent` is used live and in replay alike: no clock, no chance, no output, and no choice that the event does not carry.
 * Payload bytes come beside the events, since topics carry none.
 */
import { assert } from '../../base/assert.ts';
import type { RunStateName } from '../../protocol/workflow-options.ts';
import type { Plan, StagePlan } from './plan.ts';
import type { End, Reason, RunEvent } from './run-event.ts';

export type StepState =
  /** To be issued, for the first time or again. */
  | { readonly name: 'waiting' }
  /** A CALL is out, or was when the lane died. */
  | { readonly name: 'inFlight' }
  /** Failed, and to be issued again from then on. */
  | { readonly name: 'backingOff'; readonly dueMs: number }
  | { readonly name: 'succeeded'; readonly result: Uint8Array }
  | { readonly name: 'failed'; readonly reason: Reason }
  /** The stage's join could do without it. */
  | { readonly name: 'leftOut' };

export interface Step {
  state: StepState;
  /** Of the last CALL; 0 before the first. Only grows: the fencing token. */
  attempt: number;
  /** Attempts that failed, against `retries.max`. An attempt that died with its lane is none. */
  failures: number;
  /** `attempt` of the last CALL that was to undo it. */
  undoAttempt: number;
}

export type StageStateName = 'waiting' | 'running' | 'succeeded' | 'failed';

export interface StageRun {
  state: StageStateName;
  startedAtMs: number;
  /** Number of the event that ended it: the order in which stages are undone. */
  endedSequence: number;
  reason: Reason | null;
  steps: Step[];
  succeeded: number;
  failed: number;
  /** Attempts of steps that were forgotten (a retried run begins the stage anew): new ones count on from here. */
  attemptBase: number;
}

/** Steps of one stage that are undone, all before the next stage's. */
export interface UndoStage {
  readonly stage: number;
  /** By index, newest part first. */
  readonly steps: ReadonlyMap<number, UndoStep>;
  /** Neither succeeded nor failed yet. */
  pending: number;
}

export type UndoStep = Pick<Step, 'state' | 'attempt' | 'failures'>;

export type RunState =
  | { readonly name: 'running' }
  /** Nothing is issued; what is in flight may end. */
  | { readonly name: 'paused' }
  /** What is in flight is called off, and waited for. */
  | { readonly name: 'cancelling'; readonly end: End }
  /** What has succeeded is undone. */
  | { readonly name: 'compensating'; readonly end: End }
  | { readonly name: 'succeeded'; readonly endedAtMs: number; readonly resultBytes: number }
  | {
      readonly name: 'failed';
      readonly endedAtMs: number;
      readonly reason: Reason;
      readonly stage: string | null;
      readonly isLetterOut: boolean;
    }
  | { readonly name: 'cancelled'; readonly endedAtMs: number };

/** What only the relay knows of a run that starts. */
export interface StartFacts {
  /** Of the run's topic. */
  readonly epoch: string;
  readonly key: string | null;
  /** Null: none. */
  readonly deadlineMs: number | null;
}

export class Run {
  readonly plan: Plan;
  readonly run: string;
  readonly key: string | null;
  readonly epoch: string;
  readonly deadlineMs: number | null;
  readonly startedAtMs: number;
  readonly input: Uint8Array;
  readonly stages: readonly StageRun[];
  state: RunState = { name: 'running' };
  /** The deadline counts from here: the start, or the last retry. */
  deadlineFromMs: number;
  /** Events so far, which is the newest offset of the run's topic. */
  sequence = 1;
  /** Input and results, against `runBytesMax`. */
  bytes: number;
  /** Of all stages that have begun, against `stepsMax`. */
  stepCount = 0;
  undo: readonly UndoStage[] = [];
  compensationsFailed = 0;
  lateResults = 0;

  constructor(plan: Plan, event: RunEvent & { readonly kind: 'started' }, facts: StartFacts, input: Uint8Array) {
    this.plan = plan;
    this.run = event.run;
    this.key = facts.key;
    this.epoch = facts.epoch;
    this.deadlineMs = facts.deadlineMs;
    this.startedAtMs = event.atMs;
    this.deadlineFromMs = event.atMs;
    this.input = input;
    this.bytes = input.length;
    this.stages = plan.stages.map(() => ({
      state: 'waiting',
      startedAtMs: 0,
      endedSequence: 0,
      reason: null,
      steps: [],
      succeeded: 0,
      failed: 0,
      attemptBase: 0,
    }));
  }

  get hasEnded(): boolean {
    return hasEnded(this.state.name);
  }

  /** When the run's time is up; Infinity: never. */
  get deadlineAtMs(): number {
    return this.deadlineMs === null ? Number.POSITIVE_INFINITY : this.deadlineFromMs + this.deadlineMs;
  }

  stage(index: number): StageRun {
    return this.stages[index] as StageRun;
  }
}

export function hasEnded(state: RunStateName): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled';
}

/** Any event but `started`, which makes the run. `data`: the result of `stepSucceeded`. */
export function applyEvent(run: Run, event: RunEvent, data: Uint8Array | null): void {
  run.sequence++;
  switch (event.kind) {
    case 'started':
      return assert(false, `run ${run.run} was started already`);
    case 'stageStarted': {
      const stage = stageOf(run, event.stage);
      stage.state = 'running';
      stage.startedAtMs = event.atMs;
      run.stepCount += event.steps;
      stage.steps = Array.from({ length: event.steps }, () => ({
        state: WAITING,
        attempt: stage.attemptBase,
        failures: 0,
        undoAttempt: stage.attemptBase,
      }));
      return;
    }
    case 'stepStarted': {
      const step = stepOf(run, event);
      step.state = IN_FLIGHT;
      step.attempt = event.attempt;
      return;
    }
    case 'stepSucceeded': {
      const result = data as Uint8Array;
      stepOf(run, event).state = { name: 'succeeded', result };
      stageOf(run, event.stage).succeeded++;
      run.bytes += result.length;
      return;
    }
    case 'stepRetried': {
      const step = stepOf(run, event);
      step.state = { name: 'backingOff', dueMs: event.atMs + event.afterMs };
      step.failures++;
      return;
    }
    case 'stepFailed':
      stepOf(run, event).state = { name: 'failed', reason: event.reason };
      stageOf(run, event.stage).failed++;
      return;
    case 'stageSucceeded': {
      const stage = stageOf(run, event.stage);
      stage.state = 'succeeded';
      stage.endedSequence = run.sequence;
      for (const step of stage.steps) if (step.state.name !== 'succeeded' && step.state.name !== 'failed') step.state = LEFT_OUT;
      return;
    }
    case 'stageFailed': {
      const stage = stageOf(run, event.stage);
      stage.state = 'failed';
      stage.endedSequence = run.sequence;
      stage.reason = event.reason;
      return;
    }
    case 'lateResult':
      run.lateResults++;
      return;
    case 'paused':
      run.state = { name: 'paused' };
      return;
    case 'resumed':
      run.state = { name: 'running' };
      return;
    case 'cancelling':
      run.state = { name: 'cancelling', end: endOf(event) };
      return;
    case 'compensating':
      run.state = { name: 'compensating', end: endOf(event) };
      run.undo = undoOf(run);
      return;
    case 'compensationStarted': {
      const { step } = undoStepOf(run, event);
      step.state = IN_FLIGHT;
      step.attempt = event.attempt;
      stepOf(run, event).undoAttempt = event.attempt;
      return;
    }
    case 'compensationRetried': {
      const { step } = undoStepOf(run, event);
      step.state = { name: 'backingOff', dueMs: event.atMs + event.afterMs };
      step.failures++;
      return;
    }
    case 'compensationFailed': {
      const { step, stage } = undoStepOf(run, event);
      step.state = { name: 'failed', reason: event.reason };
      stage.pending--;
      run.compensationsFailed++;
      return;
    }
    case 'compensated': {
      const { step, stage } = undoStepOf(run, event);
      step.state = { name: 'succeeded', result: NOTHING };
      stage.pending--;
      return;
    }
    case 'succeeded':
      run.state = { name: 'succeeded', endedAtMs: event.atMs, resultBytes: event.resultBytes };
      return;
    case 'failed':
      run.state = { name: 'failed', endedAtMs: event.atMs, reason: event.reason, stage: event.stage ?? null, isLetterOut: false };
      return;
    case 'cancelled':
      run.state = { name: 'cancelled', endedAtMs: event.atMs };
      return;
    case 'deadLettered':
      assert(run.state.name === 'failed', `a dead letter of run ${run.run}, which is ${run.state.name}`);
      run.state = { ...run.state, isLetterOut: true };
      return;
    case 'retried':
      retry(run, event.atMs);
      return;
    default:
      return event satisfies never;
  }
}

const WAITING: StepState = { name: 'waiting' };
const IN_FLIGHT: StepState = { name: 'inFlight' };
const LEFT_OUT: StepState = { name: 'leftOut' };
const NOTHING = new Uint8Array(0);

function stageOf(run: Run, name: string): StageRun {
  return run.stage((run.plan.stageByName.get(name) as StagePlan).index);
}

function stepOf(run: Run, { stage, index }: { readonly stage: string; readonly index: number }): Step {
  return stageOf(run, stage).steps[index] as Step;
}

function undoStepOf(
  run: Run,
  { stage, index }: { readonly stage: string; readonly index: number },
): { step: UndoStep; stage: UndoStage } {
  const number = (run.plan.stageByName.get(stage) as StagePlan).index;
  const group = run.undo.find((candidate) => candidate.stage === number) as UndoStage;
  return { stage: group, step: group.steps.get(index) as UndoStep };
}

function endOf(event: End): End {
  if (event.outcome === 'cancelled') return { outcome: 'cancelled' };
  const { outcome, reason, stage } = event;
  return { outcome, reason, ...(stage === undefined ? {} : { stage }) };
}

/** Every step that has succeeded and knows how it is undone: the stage that ended last goes first, before it those that never ended. */
export function undoOf(run: Run): UndoStage[] {
  const order = (stage: number): number => run.stage(stage).endedSequence || Number.POSITIVE_INFINITY;
  return run.plan.stages
    .flatMap(({ index, compensate }) => {
      if (compensate === null) return [];
      const steps = new Map<number, UndoStep>();
      const parts = run.stage(index).steps;
      for (let part = parts.length - 1; part >= 0; part--) {
        const { state, undoAttempt } = parts[part] as Step;
        if (state.name === 'succeeded') steps.set(part, { state: WAITING, attempt: undoAttempt, failures: 0 });
      }
      return steps.size === 0 ? [] : [{ stage: index, steps, pending: steps.size }];
    })
    .sort((left, right) =>
      order(left.stage) === order(right.stage) ? right.stage - left.stage : order(right.stage) > order(left.stage) ? 1 : -1,
    );
}

/**
 * A failed run goes on: steps that failed begin anew, steps that succeeded stay, unless they were undone. What took its input from a step that was
 * undone begins anew as well, since its input has.
 */
function retry(run: Run, atMs: number): void {
  const isUndone = new Set<number>();
  for (const { stage, steps } of run.undo) {
    for (const [index, { state }] of steps) {
      if (state.name !== 'succeeded') continue; // It could not be undone: what it did still stands.
      isUndone.add(stage);
      (run.stage(stage).steps[index] as Step).state = WAITING;
    }
  }
  // In the order of the edges: a stage whose source begins anew does so too.
  const isAnew = new Set<number>();
  for (let grew = true; grew; ) {
    grew = false;
    for (const { index, after } of run.plan.stages) {
      if (isAnew.has(index) || !after.some((source) => isAnew.has(source) || isUndone.has(source))) continue;
      isAnew.add(index);
      grew = true;
    }
  }
  run.state = { name: 'running' };
  run.deadlineFromMs = atMs;
  run.undo = [];
  run.compensationsFailed = 0;
  run.bytes = run.input.length;
  run.stepCount = 0;
  run.stages.forEach((stage, index) => {
    if (isAnew.has(index) || stage.steps.length === 0) reset(stage, stage.state === 'succeeded' && !isAnew.has(index));
    else if (stage.state !== 'succeeded' || isUndone.has(index)) reopen(stage, atMs);
    for (const { state } of stage.steps) if (state.name === 'succeeded') run.bytes += state.result.length;
    run.stepCount += stage.steps.length;
  });
}

/** `isDone`: it had no steps and succeeded with none. */
function reset(stage: StageRun, isDone: boolean): void {
  if (isDone) return;
  for (const { attempt, undoAttempt } of stage.steps) stage.attemptBase = Math.max(stage.attemptBase, attempt, undoAttempt);
  stage.state = 'waiting';
  stage.startedAtMs = 0;
  stage.endedSequence = 0;
  stage.reason = null;
  stage.steps = [];
  stage.succeeded = 0;
  stage.failed = 0;
}

function reopen(stage: StageRun, atMs: number): void {
  stage.state = 'running';
  stage.startedAtMs = atMs;
  stage.endedSequence = 0;
  stage.reason = null;
  stage.failed = 0;
  stage.succeeded = 0;
  for (const step of stage.steps) {
    step.failures = 0;
    if (step.state.name === 'succeeded') stage.succeeded++;
    else step.state = WAITING;
  }
}
