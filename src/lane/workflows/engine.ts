/**
 * The engine: what happens next to a run. It decides events, and does what they say: journal, topic, state, in this order; then calls and timers.
 *
 * Thread: the lane's. Everything that lasts goes through `#emit`; calls and timers (live-run.ts) follow from the state and can be made anew. So a lane
 * that takes another's place folds the journal and goes on from where the records ended.
 */
import { pack } from '../../protocol/codec.ts';
import { withFacts } from '../../protocol/errors.ts';
import { DEAD_LETTER_TOPIC_PREFIX } from '../../protocol/placement.ts';
import { JournalOp } from '../../protocol/records.ts';
import { skipValue } from '../../protocol/skip.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import { judgeStage } from './join.ts';
import { encodeRunEntry } from './journal-entry.ts';
import { LiveRun, type LiveStage, Lot, topicOf } from './live-run.ts';
import { forEachElements, runResult, stepPayload, undoPayload } from './payloads.ts';
import type { Plan, StagePlan } from './plan.ts';
import { retryDelayMs } from './retry-delay.ts';
import { applyEvent, Run, type StageRun, type StartFacts, type Step, type UndoStage, undoOf } from './run.ts';
import { type End, encodeEvent, RESULT_IN_EVENT_BYTES_MAX, type Reason, type RunEvent, type Transition } from './run-event.ts';
import { type CallEvents, type NewCall, type StepCall, StepCalls } from './step-calls.ts';

/** What a step makes at least: it starts, it ends. */
const STEP_EVENTS = 2;

/** Told of what concerns all runs in memory. */
export interface EngineEvents {
  onEnded(live: LiveRun): void;
  /** So many steps are to come, and have no room: runs that have ended may be forgotten for them. */
  onRoomWanted(steps: number): void;
}

export class Engine implements CallEvents {
  readonly calls: StepCalls;
  /** Of all runs in memory. */
  stepCount = 0;
  /** Theirs too: as many entries has the journal. */
  eventCount = 0;
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;
  readonly #events: EngineEvents;
  /** Runs with steps that wait for room among the lane's calls, first come first served, one step a turn. */
  #waiting: LiveRun[] = [];

  constructor(lane: LaneContext, topics: OwnTopics, events: EngineEvents) {
    this.#lane = lane;
    this.#topics = topics;
    this.#events = events;
    this.calls = new StepCalls(lane, this);
  }

  /** Steps that could go if the lane had room for their calls. */
  get stepsWaiting(): number {
    let count = 0;
    for (const { stages, undo, run } of this.#waiting) {
      const room = (lot: Lot, stage: number): number =>
        Math.max(0, Math.min(lot.ready.length, (run.plan.stages[stage] as StagePlan).concurrency - lot.calls.size));
      stages.forEach((stage, index) => {
        count += room(stage, index);
      });
      if (undo !== null) count += undo.ready.length;
    }
    return count;
  }

  /** For so many steps more; ended runs make room for them. */
  hasRoomFor(steps: number): boolean {
    if (!this.wouldFit(steps)) this.#events.onRoomWanted(steps);
    return this.wouldFit(steps);
  }

  /** `without`: if so much were forgotten. */
  wouldFit(steps: number, without = { steps: 0, events: 0 }): boolean {
    const { stepsMax, runEventsMax } = this.#lane.options.workflows;
    const events = this.eventCount - without.events + STEP_EVENTS * steps;
    return this.stepCount - without.steps + steps <= stepsMax && events <= runEventsMax;
  }

  // ---- commands

  start(plan: Plan, id: string, key: string | null, deadlineMs: number | null, input: Uint8Array): LiveRun {
    const topic = topicOf(plan.name, id);
    const facts: StartFacts = { epoch: this.#topics.ownPosition(topic).epoch, key, deadlineMs };
    const event = {
      kind: 'started',
      atMs: this.#atMs,
      workflow: plan.name,
      run: id,
      version: plan.version,
      inputBytes: input.length,
    } as const;
    const live = new LiveRun(new Run(plan, event, facts, input));
    this.eventCount++;
    this.#record(live, event, null, facts, input);
    this.#armDeadline(live);
    return live;
  }

  /** After the START was answered. */
  begin(live: LiveRun): void {
    this.#advance(live);
  }

  pause(live: LiveRun): void {
    this.#emit(live, { kind: 'paused' });
  }

  resume(live: LiveRun): void {
    this.#emit(live, { kind: 'resumed' });
    this.#advance(live);
  }

  cancel(live: LiveRun): void {
    this.#fall(live, { outcome: 'cancelled' }, true);
    this.#advance(live);
  }

  retry(live: LiveRun): void {
    this.#emit(live, { kind: 'retried' });
    for (const stage of live.stages) stage.elements = null;
    this.#arm(live);
    this.#advance(live);
  }

  // ---- a lane that takes another's place

  /** A run as the journal has it. */
  revive(live: LiveRun): void {
    const { run } = live;
    if (run.state.name === 'failed' && !run.state.isLetterOut) this.#deadLetter(live);
    if (run.hasEnded) return;
    // What was in flight when its run was falling already is not issued again: nobody knows whether it was done.
    const isFalling = run.state.name === 'cancelling' || run.stages.some(({ state }) => state === 'failed');
    if (isFalling) this.#giveUpLost(live);
    this.#arm(live);
    this.#advance(live);
  }

  #giveUpLost(live: LiveRun): void {
    const reason: Reason = { code: 'LANE_RESTARTED', text: 'the lane was replaced while the step was in flight' };
    live.run.plan.stages.forEach(({ name, index: stage }) => {
      live.run.stage(stage).steps.forEach(({ state, attempt }, index) => {
        if (state.name === 'inFlight') this.#emit(live, { kind: 'stepFailed', stage: name, index, attempt, reason });
      });
    });
  }

  /** Timers and queues, from the state alone. */
  #arm(live: LiveRun): void {
    const { run } = live;
    this.#armDeadline(live);
    if (run.state.name !== 'running' && run.state.name !== 'paused') return;
    run.stages.forEach((stage, index) => {
      if (stage.state !== 'running') return;
      const lot = live.stages[index] as LiveStage;
      this.#armJoin(live, index);
      this.#armLot(live, lot, stage.steps.entries());
    });
  }

  /** Steps that were in flight go first and again; those that back off, when they are due. */
  #armLot(live: LiveRun, lot: Lot, steps: Iterable<readonly [number, Pick<Step, 'state'>]>): void {
    const waiting: number[] = [];
    for (const [index, { state }] of steps) {
      if (state.name === 'inFlight') lot.ready.push(index);
      else if (state.name === 'waiting') waiting.push(index);
      else if (state.name === 'backingOff') this.#armBackoff(live, lot, index, state.dueMs);
    }
    for (const index of waiting) lot.ready.push(index);
  }

  // ---- what happens next

  /** Until there is nothing to decide before something comes in. */
  #advance(live: LiveRun): void {
    while (!live.isForgotten && this.#decide(live));
    this.#serveWaiting();
  }

  /** One decision; false: the run waits. */
  #decide(live: LiveRun): boolean {
    const { run } = live;
    const { state } = run;
    switch (state.name) {
      case 'running':
      case 'paused':
        return this.#decideStages(live, state.name === 'paused');
      case 'cancelling':
        if (live.inFlight > 0) return false;
        this.#compensateOrEnd(live, state.end);
        return true;
      case 'compensating':
        return this.#decideUndo(live, state.end);
      case 'succeeded':
      case 'failed':
      case 'cancelled':
        return false;
      default:
        return state satisfies never;
    }
  }

  #decideStages(live: LiveRun, isPaused: boolean): boolean {
    const { run } = live;
    const { stages } = run.plan;
    let succeeded = 0;
    for (const plan of stages) {
      const stage = run.stage(plan.index);
      if (stage.state === 'failed') {
        this.#fall(live, { outcome: 'failed', reason: stage.reason as Reason, stage: plan.name }, false);
        return true;
      }
      if (stage.state === 'running' && this.#judge(live, plan, stage)) return true;
      if (stage.state === 'succeeded') succeeded++;
    }
    if (isPaused) return false;
    if (succeeded === stages.length) {
      this.#succeed(live);
      return true;
    }
    for (const plan of stages) {
      if (run.stage(plan.index).state !== 'waiting' || !plan.after.every((source) => run.stage(source).state === 'succeeded'))
        continue;
      this.#startStage(live, plan);
      return true;
    }
    return this.#issueReady(live);
  }

  /** Is the stage over, by its join? */
  #judge(live: LiveRun, plan: StagePlan, stage: StageRun): boolean {
    const verdict = judgeStage(plan, stage, this.#lane.nowMs);
    if (verdict === 'goesOn') return false;
    this.#lane.latencies.workflowStage.record((this.#lane.nowMs - stage.startedAtMs) * 1_000);
    if (verdict !== 'succeeded') {
      this.#emit(live, { kind: 'stageFailed', stage: plan.name, reason: verdict });
      return true;
    }
    const { steps, succeeded, failed } = stage;
    this.#emit(live, { kind: 'stageSucceeded', stage: plan.name, succeeded, failed, leftOut: steps.length - succeeded - failed });
    this.#callOff(live.stages[plan.index] as LiveStage, true);
    return true;
  }

  #startStage(live: LiveRun, plan: StagePlan): void {
    let steps = 1;
    if (plan.forEach !== null) {
      const elements = forEachElements(live.run, plan.forEach);
      if (!Array.isArray(elements)) {
        this.#emit(live, { kind: 'stageFailed', stage: plan.name, reason: elements as Reason });
        return;
      }
      steps = elements.length;
      (live.stages[plan.index] as LiveStage).elements = elements;
    }
    if (!this.hasRoomFor(steps)) {
      (live.stages[plan.index] as LiveStage).elements = null;
      const { stepsMax, runEventsMax } = this.#lane.options.workflows;
      const facts = { steps, laneSteps: this.stepCount, stepsMax, laneEvents: this.eventCount, runEventsMax };
      const text = withFacts("the lane has no room for the stage's steps", facts);
      this.#emit(live, { kind: 'stageFailed', stage: plan.name, reason: { code: 'OVERLOADED', text } });
      return;
    }
    this.#emit(live, { kind: 'stageStarted', stage: plan.name, steps });
    this.#armJoin(live, plan.index);
    this.#armLot(live, live.stages[plan.index] as LiveStage, live.run.stage(plan.index).steps.entries());
  }

  /** The run will not succeed: what is in flight is called off and waited for, then what has succeeded is undone. */
  #fall(live: LiveRun, end: End, isAsked: boolean): void {
    this.#lane.timers.cancel(live.deadlineTimer);
    for (const stage of live.stages) this.#callOff(stage, false);
    if (isAsked || live.inFlight > 0) this.#emit(live, { kind: 'cancelling', ...end });
    else this.#compensateOrEnd(live, end);
  }

  #compensateOrEnd(live: LiveRun, end: End): void {
    const undo = undoOf(live.run);
    if (undo.length === 0) return this.#end(live, end);
    this.#emit(live, { kind: 'compensating', ...end, steps: undo.reduce((sum, { steps }) => sum + steps.size, 0) });
  }

  #decideUndo(live: LiveRun, end: End): boolean {
    const undo = live.run.undo.find(({ pending }) => pending > 0);
    if (undo === undefined) {
      live.undo = null;
      this.#end(live, end);
      return true;
    }
    if (live.undo === null || live.undoStage !== undo.stage) {
      live.undo = new Lot();
      live.undoStage = undo.stage;
      this.#armLot(live, live.undo, undo.steps);
    }
    return this.#issueReady(live);
  }

  #succeed(live: LiveRun): void {
    const result = runResult(live.run);
    const { partBytesMax } = this.#lane.options.workflows;
    // As deep as the event makes it: whoever reads the topic must be able to.
    const isTold = result.length <= Math.min(RESULT_IN_EVENT_BYTES_MAX, partBytesMax) && isCarried(result);
    this.#emit(live, { kind: 'succeeded', resultBytes: result.length }, null, isTold ? result : null);
    this.#lane.metrics[LaneMetric.runsSucceeded]!++;
    this.#ended(live);
  }

  #end(live: LiveRun, end: End): void {
    const { compensationsFailed } = live.run;
    if (end.outcome === 'cancelled') {
      this.#emit(live, { kind: 'cancelled', compensationsFailed });
      this.#lane.metrics[LaneMetric.runsCancelled]!++;
    } else {
      const { reason, stage } = end;
      this.#emit(live, { kind: 'failed', reason, ...(stage === undefined ? {} : { stage }), compensationsFailed });
      this.#lane.metrics[LaneMetric.runsFailed]!++;
      this.#deadLetter(live);
    }
    this.#ended(live);
  }

  /** Once at least: the letter may stand in its topic and its event not, if the lane dies in between. */
  #deadLetter(live: LiveRun): void {
    const { run, topic } = live;
    if (run.state.name !== 'failed') return;
    const { plan, compensationsFailed } = run;
    const { reason, stage, endedAtMs } = run.state;
    const letter = pack({
      workflow: plan.name,
      run: run.run,
      version: plan.version,
      topic,
      reason,
      ...(stage === null ? {} : { stage }),
      compensationsFailed,
      failedAtMs: BigInt(endedAtMs),
    });
    const deadTopic = `${DEAD_LETTER_TOPIC_PREFIX}${plan.name}`;
    const { epoch, offset } = this.#topics.publishOwn(deadTopic, letter);
    this.#lane.metrics[LaneMetric.deadLetters]!++;
    this.#emit(live, { kind: 'deadLettered', topic: deadTopic, epoch, offset }, letter);
  }

  #ended(live: LiveRun): void {
    this.#lane.timers.cancel(live.deadlineTimer);
    for (const stage of live.stages) {
      this.#callOff(stage, true);
      stage.elements = null;
    }
    this.#events.onEnded(live);
  }

  // ---- issuing

  /** As much as stages and lane have room for. True: something was decided that the run must look at. */
  #issueReady(live: LiveRun): boolean {
    if (live.isQueued) return false; // Its turn comes.
    for (;;) {
      const next = this.#nextReady(live);
      if (next === null) return false;
      if (!this.calls.hasRoom || this.#waiting.length > 0) {
        live.isQueued = true;
        this.#waiting.push(live);
        return false;
      }
      if (!this.#issue(live, next)) return true;
    }
  }

  /** Runs that wait for room, a step each in turn. */
  #serveWaiting(): void {
    while (this.#waiting.length > 0 && this.calls.hasRoom) {
      const live = this.#waiting.shift() as LiveRun;
      live.isQueued = false;
      const next = this.#nextReady(live);
      if (next === null) continue;
      const isIssued = this.#issue(live, next);
      if (!isIssued) while (!live.isForgotten && this.#decide(live));
      else if (this.#nextReady(live) !== null && !live.isQueued) {
        live.isQueued = true;
        this.#waiting.push(live);
      }
    }
  }

  /** The stage whose next step may go now; null: none, or the run issues nothing now. */
  #nextReady({ run, stages, undo, undoStage }: LiveRun): number | null {
    if (run.state.name === 'compensating')
      return undo !== null && hasRoom(undo, run.plan.stages[undoStage] as StagePlan) ? undoStage : null;
    if (run.state.name !== 'running') return null;
    for (const plan of run.plan.stages)
      if (run.stage(plan.index).state === 'running' && hasRoom(stages[plan.index] as LiveStage, plan)) return plan.index;
    return null;
  }

  /** False: the step could not even be asked for, and has failed. */
  #issue(live: LiveRun, stage: number): boolean {
    const { run } = live;
    const isUndo = run.state.name === 'compensating';
    const lot = isUndo ? (live.undo as Lot) : (live.stages[stage] as LiveStage);
    const plan = run.plan.stages[stage] as StagePlan;
    const index = lot.ready.shift();
    const { attempt: lastAttempt } = isUndo ? this.#undoStep(live, stage, index) : (run.stage(stage).steps[index] as Step);
    const attempt = lastAttempt + 1;
    const call: NewCall = {
      live,
      stage,
      index,
      attempt,
      isUndo,
      ...(isUndo && plan.compensate !== null
        ? { ...plan.compensate, heartbeatTimeoutMs: null }
        : { service: plan.service, method: plan.method, timeoutMs: plan.timeoutMs, heartbeatTimeoutMs: plan.heartbeatTimeoutMs }),
    };
    const payload = this.#payload(live, plan, index, isUndo);
    const head = this.calls.head(call, payload);
    if (!(head instanceof Uint8Array)) {
      const kind = isUndo ? 'compensationFailed' : 'stepFailed';
      this.#emit(live, { kind, stage: plan.name, index, attempt, reason: head });
      return false;
    }
    this.#emit(live, { kind: isUndo ? 'compensationStarted' : 'stepStarted', stage: plan.name, index, attempt });
    lot.calls.add(this.calls.issue(call, head, payload));
    return true;
  }

  #payload(live: LiveRun, plan: StagePlan, index: number, isUndo: boolean): Uint8Array {
    const { run } = live;
    let element: Uint8Array | null = null;
    if (plan.forEach !== null) {
      const lot = live.stages[plan.index] as LiveStage;
      lot.elements ??= forEachElements(run, plan.forEach) as readonly Uint8Array[];
      element = lot.elements[index] as Uint8Array;
    }
    const payload = stepPayload(run, plan, index, element);
    const { state } = run.stage(plan.index).steps[index] as Step;
    return isUndo && state.name === 'succeeded' ? undoPayload(payload, state.result) : payload;
  }

  // ---- answers (CallEvents)

  onResult(call: StepCall, result: Uint8Array): void {
    const { live, index, attempt } = call;
    const { run } = live;
    const stage = (run.plan.stages[call.stage] as StagePlan).name;
    this.#lotOf(call).calls.delete(call);
    if (call.isUndo) this.#emit(live, { kind: 'compensated', stage, index, attempt });
    else {
      const { partBytesMax, runBytesMax } = this.#lane.options.workflows;
      if (result.length > partBytesMax) {
        const text = `the step's result is too large: bytes=${result.length}, bytesMax=${partBytesMax}`;
        this.#failStep(call, { code: 'TOO_LARGE', text });
      } else if (run.bytes + result.length > runBytesMax) {
        const text = `input and results of the run are too large: bytes=${run.bytes + result.length}, runBytesMax=${runBytesMax}`;
        const reason: Reason = { code: 'TOO_LARGE', text };
        this.#failStep(call, reason);
        // Whatever the join makes of one step: the run has no room for what follows.
        const state = run.state.name;
        if (state === 'running' || state === 'paused') this.#emit(live, { kind: 'stageFailed', stage, reason });
      } else this.#emit(live, { kind: 'stepSucceeded', stage, index, attempt, bytes: result.length }, result);
    }
    this.#advance(live);
  }

  onFailure(call: StepCall, reason: Reason, isRetryable: boolean, retryAfterMs: number): void {
    const { live, index, attempt, isUndo } = call;
    const { run } = live;
    const lot = this.#lotOf(call);
    lot.calls.delete(call);
    const plan = run.plan.stages[call.stage] as StagePlan;
    const { retries, name: stage } = plan;
    const { failures } = isUndo ? this.#undoStep(live, call.stage, index) : (run.stage(call.stage).steps[index] as Step);
    const isWanted = isUndo || run.state.name === 'running' || run.state.name === 'paused';
    const isExcluded =
      retries.nonRetryable.has(reason.code) || (reason.serviceCode !== undefined && retries.nonRetryable.has(reason.serviceCode));
    if (!isWanted || !isRetryable || isExcluded || failures >= retries.max || !this.hasRoomFor(1)) this.#failStep(call, reason);
    else {
      const afterMs = retryDelayMs(retries, failures + 1, reason.code, retryAfterMs, this.#lane.prng);
      this.#emit(live, { kind: isUndo ? 'compensationRetried' : 'stepRetried', stage, index, attempt, reason, afterMs });
      this.#lane.metrics[LaneMetric.stepsRetried]!++;
      this.#armBackoff(live, lot, index, this.#atMs + afterMs);
    }
    this.#advance(live);
  }

  onLateResult(call: StepCall, bytes: number): void {
    const { live, index, attempt } = call;
    this.#lane.metrics[LaneMetric.resultsLate]!++;
    // What undoes a step has no result to lose; of a forgotten run nobody can be told.
    if (live.isForgotten || call.isUndo) return;
    const { name: stage } = live.run.plan.stages[call.stage] as StagePlan;
    this.#emit(live, { kind: 'lateResult', stage, index, attempt, bytes });
  }

  #failStep({ live, stage, index, attempt, isUndo }: StepCall, reason: Reason): void {
    const { name } = live.run.plan.stages[stage] as StagePlan;
    this.#emit(live, { kind: isUndo ? 'compensationFailed' : 'stepFailed', stage: name, index, attempt, reason });
  }

  // ---- timers

  #armDeadline(live: LiveRun): void {
    const { timers } = this.#lane;
    const { run } = live;
    timers.cancel(live.deadlineTimer);
    live.deadlineTimer = null;
    if (run.deadlineMs === null || (run.state.name !== 'running' && run.state.name !== 'paused')) return;
    live.deadlineTimer = timers.set(run.deadlineAtMs, () => {
      const reason: Reason = { code: 'TIMEOUT', text: `the run's deadline has passed: deadlineMs=${run.deadlineMs}` };
      this.#fall(live, { outcome: 'failed', reason }, false);
      this.#advance(live);
    });
  }

  #armJoin(live: LiveRun, stage: number): void {
    const { join } = live.run.plan.stages[stage] as StagePlan;
    if (join === 'all' || !('deadlineMs' in join)) return;
    const lot = live.stages[stage] as LiveStage;
    this.#lane.timers.cancel(lot.joinTimer);
    lot.joinTimer = this.#lane.timers.set(live.run.stage(stage).startedAtMs + join.deadlineMs, () => this.#advance(live));
  }

  #armBackoff(live: LiveRun, lot: Lot, index: number, dueMs: number): void {
    const timer = this.#lane.timers.set(dueMs, () => {
      lot.backoffs.delete(index);
      lot.ready.push(index);
      this.#advance(live);
    });
    lot.backoffs.set(index, timer);
  }

  /** Nothing more of the stage is issued. What is in flight is asked to stop; `isOver`: and nobody waits for it. */
  #callOff(stage: LiveStage, isOver: boolean): void {
    const { timers } = this.#lane;
    timers.cancel(stage.joinTimer);
    for (const timer of stage.backoffs.values()) timers.cancel(timer);
    stage.backoffs.clear();
    stage.ready.clear();
    for (const call of stage.calls) {
      if (isOver) this.calls.callOff(call);
      else this.calls.cancel(call);
    }
    if (isOver) stage.calls.clear();
  }

  // ---- events

  get #atMs(): number {
    return Math.floor(this.#lane.nowMs);
  }

  /** `data`: a result, or the dead letter. `shown`: the run's result, for its topic. */
  #emit(live: LiveRun, transition: Transition, data: Uint8Array | null = null, shown: Uint8Array | null = null): void {
    const event = { atMs: this.#atMs, ...transition } as RunEvent;
    const { epoch, sequence } = live.run;
    this.#record(live, event, shown, null, data, { epoch, offset: sequence });
    const { stepCount } = live.run;
    applyEvent(live.run, event, data);
    this.stepCount += live.run.stepCount - stepCount;
    this.eventCount++;
  }

  /** The journal first: whoever sees an event in the topic finds it there after any death. */
  #record(
    live: LiveRun,
    event: RunEvent,
    shown: Uint8Array | null,
    facts: StartFacts | null,
    data: Uint8Array | null,
    last?: { readonly epoch: string; readonly offset: number },
  ): void {
    const { run } = live;
    const message = encodeEvent(event, shown);
    this.#lane.out.journal(JournalOp.APPEND, live.journalKey, encodeRunEntry(run.plan.name, run.run, message, facts, data));
    this.#topics.publishOwn(live.topic, message, { last });
  }

  #lotOf({ live, stage, isUndo }: StepCall): Lot {
    return isUndo ? (live.undo as Lot) : (live.stages[stage] as LiveStage);
  }

  #undoStep({ run }: LiveRun, stage: number, index: number): Pick<Step, 'attempt' | 'failures'> {
    const undo = run.undo.find((candidate) => candidate.stage === stage) as UndoStage;
    return undo.steps.get(index) as Pick<Step, 'attempt' | 'failures'>;
  }
}

function hasRoom(lot: Lot, { concurrency }: StagePlan): boolean {
  return lot.ready.length > 0 && lot.calls.size < concurrency;
}

/** Two levels around it, the message's and the event's, and it is still as deep as a message may be. */
function isCarried(value: Uint8Array): boolean {
  const probe = new Uint8Array(2 + value.length);
  probe[0] = probe[1] = 0x91;
  probe.set(value, 2);
  return skipValue(probe, 0, probe.length) === probe.length;
}
