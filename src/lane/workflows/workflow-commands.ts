/**
 * Commands on workflows: DEFINE, START and RUN; replies to the lane's own CALLs; the journal's entries after a death. And the runs that are in memory:
 * who may start, and who is forgotten.
 *
 * Thread: the lane's. What a run does is the engine's (engine.ts).
 */
import { assert } from '../../base/assert.ts';
import { hashBytes } from '../../base/hash.ts';
import { seededId } from '../../base/ids.ts';
import { pack, unpack } from '../../protocol/codec.ts';
import { RelayError } from '../../protocol/errors.ts';
import type { MessageHeader } from '../../protocol/header.ts';
import { matches } from '../../protocol/names.ts';
import { decodeOptions } from '../../protocol/options.ts';
import { JournalOp, SendFlag } from '../../protocol/records.ts';
import { skipValue } from '../../protocol/skip.ts';
import {
  definitionValue,
  type RunOptions,
  type RunStateName,
  runOptions,
  runPatternOptions,
  startOptions,
} from '../../protocol/workflow-options.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import type { WorkflowDefinition } from './definition.ts';
import { Definitions } from './definitions.ts';
import { Engine } from './engine.ts';
import { decodeEntry, encodeDefinitionEntry, type RunEntry } from './journal-entry.ts';
import { LiveRun, topicOf } from './live-run.ts';
import { runResult, stageResult } from './payloads.ts';
import { applyEvent, Run, type StartFacts } from './run.ts';
import type { RunEvent } from './run-event.ts';
import { runStatus, runSummary } from './run-view.ts';

/** 60 bits: guessing one must not pay. */
const RUN_ID_LENGTH = 12;
const DEFINITION_KEY = new TextEncoder().encode('definition');
/** A reply must fit into one ring record, whatever the ring's size. */
const REPLY_BYTES_MAX = 262_144;
/** The newest ones. */
const VERSIONS_SHOWN_MAX = 1_000;

export class WorkflowCommands {
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;
  readonly #definitions: Definitions;
  readonly #engine: Engine;
  /** By topic, in the order of their starts. */
  readonly #runs = new Map<string, LiveRun>();
  /** The ended ones among them, by topic, in the order of their ends. */
  readonly #ended = new Map<string, LiveRun>();
  /** By workflow and START key. */
  readonly #byKey = new Map<string, LiveRun>();
  /** Runs that have not ended, by workflow. Names without any are not here. */
  readonly #inFlight = new Map<string, number>();

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    this.#topics = topics;
    const { index, laneCount } = lane.options;
    this.#definitions = new Definitions(lane.options.workflows, (name) => {
      const bytes = new TextEncoder().encode(name);
      return hashBytes(bytes, 0, bytes.length) % laneCount === index;
    });
    this.#engine = new Engine(lane, topics, {
      onEnded: (live) => this.#onEnded(live),
      onRoomWanted: (steps) => this.#forgetFor(steps),
    });
  }

  // ---- commands

  define(header: MessageHeader): void {
    const { bytes, end, out, metrics } = this.#lane;
    const name = this.#lane.keyText(header);
    this.#lane.demand('admin', name);
    const start = skipValue(bytes, header.bodyStart, end);
    try {
      decodeOptions(bytes, header.bodyStart, start); // There are none yet; what is no map is refused now, or it could never mean anything.
      const { plan, isNew } = this.#definitions.define(name, definitionValue(bytes, start, end));
      if (isNew) out.journal(JournalOp.APPEND, DEFINITION_KEY, encodeDefinitionEntry(bytes.slice(start, end)));
      out.ok(this.#lane.session, header.id, { workflow: name, version: plan.version });
    } catch (error) {
      if (error instanceof RelayError) metrics[LaneMetric.definitionsRefused]!++;
      throw error;
    }
  }

  start(header: MessageHeader): void {
    const { bytes, end } = this.#lane;
    const name = this.#lane.keyText(header);
    this.#lane.demand('start', name);
    const payloadStart = skipValue(bytes, header.bodyStart, end);
    const { key, deadlineMs, version } = startOptions(decodeOptions(bytes, header.bodyStart, payloadStart));
    const known = key === null ? undefined : this.#byKey.get(keyOf(name, key));
    if (known !== undefined) return this.#answerStart(header, known, true);
    const plan = this.#definitions.get(name, version);
    const { partBytesMax, runBytesMax } = this.#lane.options.workflows;
    const inputBytesMax = Math.min(partBytesMax, runBytesMax);
    if (end - payloadStart > inputBytesMax)
      throw new RelayError('TOO_LARGE', 'the input is too large', { inputBytes: end - payloadStart, inputBytesMax });
    this.#checkRoom(name, plan.runsInFlightMax);
    this.#checkSteps();
    let id = seededId(this.#lane.prng, RUN_ID_LENGTH);
    // A leading dash would be a flag on a command line.
    while (id.startsWith('-') || this.#runs.has(topicOf(name, id))) id = seededId(this.#lane.prng, RUN_ID_LENGTH);
    const deadline = deadlineMs === 0 ? plan.deadlineMs : deadlineMs;
    const live = this.#engine.start(plan, id, key, deadline, bytes.slice(payloadStart, end));
    this.#add(live);
    this.#lane.metrics[LaneMetric.runsStarted]!++;
    this.#answerStart(header, live, false);
    this.#engine.begin(live);
  }

  run(header: MessageHeader): void {
    const name = this.#lane.keyText(header);
    this.#lane.demand('start', name);
    const options = runOptions(this.#lane.optionMap(header));
    switch (options.action) {
      case 'list':
        return this.#ok(header, { runs: this.#list((workflow) => workflow === name, options.state, options.limit) });
      case 'definition':
        return this.#showDefinition(header, name, options.version);
      case 'result':
        return this.#showResult(header, this.#runOf(name, options.run), options);
      case 'status':
        break;
      default:
        this.#act(this.#runOf(name, options.run), options.action);
    }
    this.#ok(header, runStatus(this.#runOf(name, options.run)));
  }

  /** RUN with a pattern, asked of every lane; the front has checked the options. */
  query(header: MessageHeader, query: number): void {
    const pattern = this.#lane.keyText(header);
    const { state, limit } = runPatternOptions(this.#lane.optionMap(header));
    this.#lane.out.answer(
      query,
      this.#list((workflow) => matches(pattern, workflow), state, limit),
    );
  }

  /** REPLY: `bytes[at, end)` holds one or more messages that answer this lane's REQUESTs. */
  replies(at: number): void {
    this.#engine.calls.replies(at);
  }

  tick(): void {
    const { metrics } = this.#lane;
    let bytes = 0;
    for (const { run } of this.#runs.values()) bytes += run.bytes;
    metrics[LaneMetric.runBytes] = bytes;
    metrics[LaneMetric.runsInFlight] = this.#runs.size - this.#ended.size;
    metrics[LaneMetric.runsEnded] = this.#ended.size;
    metrics[LaneMetric.steps] = this.#engine.stepCount;
    metrics[LaneMetric.runEvents] = this.#engine.eventCount;
    metrics[LaneMetric.stepsInFlight] = this.#engine.calls.inFlight;
    metrics[LaneMetric.stepsWaiting] = this.#engine.stepsWaiting;
    metrics[LaneMetric.definitions] = this.#definitions.count;
  }

  // ---- a lane that takes another's place

  /** JOURNAL: `bytes[at, end)` is one entry as this part wrote it. */
  replay(at: number): void {
    const entry = decodeEntry(this.#lane.bytes, at, this.#lane.end);
    if (entry.kind === 'definition') this.#definitions.restore(unpack(entry.definition) as WorkflowDefinition);
    else this.#replayEvent(entry);
  }

  #replayEvent({ workflow, run: id, event: message, facts, data }: RunEntry): void {
    const event = unpack(message) as RunEvent;
    const topic = topicOf(workflow, id);
    if (event.kind === 'started') {
      const plan = this.#definitions.find(workflow, event.version);
      assert(plan !== undefined, `run ${id} is of ${workflow} version ${event.version}, which is not defined`);
      this.#add(new LiveRun(new Run(plan, event, facts as StartFacts, data)));
    } else {
      const live = this.#runs.get(topic);
      assert(live !== undefined, `${event.kind} of run ${id}, which has not started`);
      applyEvent(live.run, event, data);
    }
    const { run } = this.#runs.get(topic) as LiveRun;
    this.#topics.rebuildOwn(topic, run.epoch, [message]);
    // The letters of runs that are not kept any more are gone, so it is another stream.
    if (event.kind === 'deadLettered') this.#topics.rebuildOwn(event.topic, null, [data]);
  }

  /** RESTORE_END: everything is known again, runs may go on. */
  restored(): void {
    const runs = [...this.#runs.values()];
    const endedAtMs = ({ run: { state } }: LiveRun): number => ('endedAtMs' in state ? state.endedAtMs : 0);
    const ended = runs.filter(({ run }) => run.hasEnded).sort((left, right) => endedAtMs(left) - endedAtMs(right));
    for (const live of ended) this.#noteEnd(live);
    for (const { run } of runs) {
      this.#engine.stepCount += run.stepCount;
      this.#engine.eventCount += run.sequence;
    }
    // The ended ones first: those that go on may have some of them forgotten, and a dead letter that is not out yet would be lost.
    for (const live of ended) this.#engine.revive(live);
    for (const live of runs) if (!live.run.hasEnded) this.#engine.revive(live);
    this.#forgetOldest();
  }

  // ---- the runs in memory

  #add(live: LiveRun): void {
    const { plan, key } = live.run;
    this.#runs.set(live.topic, live);
    if (key !== null) this.#byKey.set(keyOf(plan.name, key), live);
    this.#inFlight.set(plan.name, this.#inFlightOf(plan.name) + 1);
  }

  #onEnded(live: LiveRun): void {
    this.#noteEnd(live);
    this.#forgetOldest();
  }

  #noteEnd(live: LiveRun): void {
    this.#ended.set(live.topic, live);
    const { name } = live.run.plan;
    const inFlight = this.#inFlightOf(name) - 1;
    if (inFlight === 0) this.#inFlight.delete(name);
    else this.#inFlight.set(name, inFlight);
  }

  #forgetOldest(): void {
    const { runsEndedMax } = this.#lane.options.workflows;
    for (const live of this.#ended.values()) {
      if (this.#ended.size <= runsEndedMax) return;
      this.#forget(live);
    }
  }

  /** Ended runs go, until there is room for so many steps more; none does if all of them would not be enough. */
  #forgetFor(steps: number): void {
    const ended = { steps: 0, events: 0 };
    for (const { run } of this.#ended.values()) {
      ended.steps += run.stepCount;
      ended.events += run.sequence;
    }
    if (!this.#engine.wouldFit(steps, ended)) return;
    for (const live of this.#ended.values()) {
      if (this.#engine.wouldFit(steps)) return;
      this.#forget(live);
    }
  }

  #forget(live: LiveRun): void {
    const { plan, key, stepCount, sequence } = live.run;
    this.#ended.delete(live.topic);
    this.#runs.delete(live.topic);
    if (key !== null) this.#byKey.delete(keyOf(plan.name, key));
    live.isForgotten = true;
    this.#engine.stepCount -= stepCount;
    this.#engine.eventCount -= sequence;
    this.#lane.out.journal(JournalOp.FORGET, live.journalKey);
    this.#lane.metrics[LaneMetric.runsForgotten]!++;
  }

  #inFlightOf(workflow: string): number {
    return this.#inFlight.get(workflow) ?? 0;
  }

  #checkRoom(workflow: string, ownMax: number): void {
    const { runsInFlightMax, retryAfterMs } = this.#lane.options.workflows;
    const count = this.#runs.size - this.#ended.size;
    const isFull = count >= runsInFlightMax;
    if (!isFull && this.#inFlightOf(workflow) < ownMax) return;
    this.#lane.metrics[LaneMetric.runsRefused]!++;
    const facts = isFull ? { runsInFlightMax } : { workflow, runsInFlightMax: ownMax };
    throw new RelayError(
      'OVERLOADED',
      isFull ? 'the lane has all the runs it may have' : 'the workflow has all the runs it may have',
      {
        ...facts,
        retryAfterMs,
      },
    );
  }

  /** A run has one step at least. */
  #checkSteps(): void {
    if (this.#engine.hasRoomFor(1)) return;
    const { stepsMax, runEventsMax, retryAfterMs } = this.#lane.options.workflows;
    const facts = {
      laneSteps: this.#engine.stepCount,
      stepsMax,
      laneEvents: this.#engine.eventCount,
      runEventsMax,
      retryAfterMs,
    };
    this.#lane.metrics[LaneMetric.runsRefused]!++;
    throw new RelayError('OVERLOADED', 'the lane has all the steps or events of runs it may have', facts);
  }

  #runOf(workflow: string, run: string): LiveRun {
    const live = this.#runs.get(topicOf(workflow, run));
    if (live === undefined) throw new RelayError('NOT_FOUND', 'no such run', { workflow, run });
    return live;
  }

  // ---- parts of commands

  #act(live: LiveRun, action: 'cancel' | 'pause' | 'resume' | 'retry'): void {
    const state = live.run.state.name;
    const isAllowed = ACTION_STATES[action].includes(state);
    if (!isAllowed) throw new RelayError('CONFLICT', `a run that is ${state} cannot be told to ${action}`, { state, action });
    if (action === 'cancel') this.#engine.cancel(live);
    else if (action === 'pause') this.#engine.pause(live);
    else if (action === 'resume') this.#engine.resume(live);
    else {
      const { name, runsInFlightMax } = live.run.plan;
      this.#checkRoom(name, runsInFlightMax);
      this.#ended.delete(live.topic);
      this.#inFlight.set(name, this.#inFlightOf(name) + 1);
      this.#engine.retry(live);
    }
  }

  #answerStart(header: MessageHeader, { run, topic }: LiveRun, isDuplicate: boolean): void {
    // Offset 0: whoever subscribes with it as `since` gets every event, the first among them.
    const answer = { run: run.run, topic, epoch: run.epoch, offset: 0, version: run.plan.version };
    this.#ok(header, isDuplicate ? { ...answer, duplicate: true } : answer, isDuplicate ? 0 : SendFlag.GOES_ON);
  }

  #showDefinition(header: MessageHeader, workflow: string, version: number): void {
    const plan = this.#definitions.get(workflow, version);
    const definitionBytes = plan.canonical.length;
    if (definitionBytes > REPLY_BYTES_MAX)
      throw new RelayError('TOO_LARGE', 'the definition is too large for one answer', {
        definitionBytes,
        definitionBytesMax: REPLY_BYTES_MAX,
      });
    const versions = this.#definitions.versionsOf(workflow).slice(-VERSIONS_SHOWN_MAX);
    this.#ok(header, { workflow, version: plan.version, versions, definition: plan.definition });
  }

  /** Payload bytes as they are, in a map around them. */
  #showResult(header: MessageHeader, { run }: LiveRun, { stage, index }: RunOptions & { readonly action: 'result' }): void {
    let result: Uint8Array;
    const facts = { run: run.run, state: run.state.name };
    if (stage === null) {
      if (run.state.name !== 'succeeded') throw new RelayError('CONFLICT', 'the run has no result', facts);
      result = runResult(run);
    } else {
      const plan = run.plan.stageByName.get(stage);
      if (plan === undefined) throw new RelayError('NOT_FOUND', 'no such stage', { run: run.run, stage });
      const { state, steps } = run.stage(plan.index);
      if (index === null) {
        if (state !== 'succeeded')
          throw new RelayError('CONFLICT', 'the stage has no result', { ...facts, stage, stageState: state });
        result = stageResult(run, plan.index);
      } else {
        const step = steps[index]?.state;
        if (step === undefined)
          throw new RelayError('NOT_FOUND', 'no such step', { run: run.run, stage, index, steps: steps.length });
        if (step.name !== 'succeeded') throw new RelayError('CONFLICT', 'the step has no result', { ...facts, stage, index });
        result = step.result;
      }
    }
    if (result.length > REPLY_BYTES_MAX)
      throw new RelayError('TOO_LARGE', 'the result is too large for one answer; ask for a stage, or for one part of it', {
        resultBytes: result.length,
        resultBytesMax: REPLY_BYTES_MAX,
      });
    this.#lane.out.okSpliced(this.#lane.session, header.id, RESULT_HEAD, result);
  }

  /** Newest first, as many as fit into an answer. */
  #list(isMeant: (workflow: string) => boolean, state: RunStateName | null, limit: number): Record<string, unknown>[] {
    const runs: Record<string, unknown>[] = [];
    let bytes = 0;
    for (const live of [...this.#runs.values()].reverse()) {
      if (runs.length === limit) break;
      if (!isMeant(live.run.plan.name) || (state !== null && live.run.state.name !== state)) continue;
      const summary = runSummary(live);
      bytes += pack(summary).length;
      if (bytes > REPLY_BYTES_MAX) break;
      runs.push(summary);
    }
    return runs;
  }

  #ok(header: MessageHeader, result: unknown, flags = 0): void {
    this.#lane.out.ok(this.#lane.session, header.id, result, flags);
  }
}

/** The states in which a run may be told what to do. */
const ACTION_STATES: Readonly<Record<'cancel' | 'pause' | 'resume' | 'retry', readonly RunStateName[]>> = {
  cancel: ['running', 'paused'],
  pause: ['running'],
  resume: ['paused'],
  retry: ['failed'],
};
/** `{result: `. */
const RESULT_HEAD = Uint8Array.of(0x81, ...pack('result'));

/** No name has a space. */
function keyOf(workflow: string, key: string): string {
  return `${workflow} ${key}`;
}
