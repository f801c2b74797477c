/**
 * Generator of bench:workflow, a process of its own: who starts runs, who watches them, and the services' instances, which answer at once. One thread.
 *
 * The watcher is subscribed to the topics of all runs by one pattern, as a dashboard would be: that is how ends and accepted steps are known.
 */
import { availableParallelism } from 'node:os';
import { increment } from '../../src/cli/bench/account.ts';
import { frame, PUBLISH_ID_FIRST } from '../../src/cli/bench/frames.ts';
import { DRAIN_TURN_MS } from '../../src/cli/bench/limits.ts';
import { nowUs } from '../../src/cli/bench/shared-clock.ts';
import { socketTarget } from '../../src/cli/bench/target.ts';
import { packMessage, unpack } from '../../src/protocol/codec.ts';
import type { MessageHeader } from '../../src/protocol/header.ts';
import { CONNECT_PATH, MessageType } from '../../src/protocol/types.ts';
import { LatencyHistogram } from '../../src/telemetry/latency-histogram.ts';
import { rounded } from '../support/figures.ts';
import { answerBench } from '../support/generator-process.ts';
import { Peer, type PeerEvents } from '../support/peer.ts';
import { MeasuredWindow } from '../support/window.ts';
import {
  answerOf,
  definition,
  type Question,
  type RunsReport,
  resultOf,
  STAGES,
  type StageName,
  serviceOf,
  stepsPerRun,
  WORKFLOW,
  type WorkflowLoad,
} from './plan.ts';
import { StepAccount } from './step-account.ts';

/** No bound of the instances' own: what is measured is the relay. */
const CAPACITY = 100_000;
/** Runs of which nothing is heard for so long do not end any more: longer than a step's time limit, after which it is tried again. */
const SILENCE_MS_MAX = 35_000;
const TOPIC_PREFIX = `$workflow.${WORKFLOW}.`;

class WorkflowGenerator implements PeerEvents {
  readonly #load: WorkflowLoad;
  readonly #pid: number;
  readonly #port: number;
  readonly #fail: (text: string) => void;
  readonly #instances: Peer[] = [];
  #starter: Peer | null = null;
  #watcher: Peer | null = null;
  /** Id of the next START; the first of a set is `#idFirst`, and a run's input is its place in the set. */
  #nextId = PUBLISH_ID_FIRST;
  #idFirst = PUBLISH_ID_FIRST;

  // The set of runs under way.
  #account: StepAccount;
  /** By place; '' until START is answered. */
  #names: string[] = [];
  #dueUs: number[] = [];
  readonly #placeOf = new Map<string, number>();
  /** Ends that were heard of before START's answer: when. */
  readonly #endedUs = new Map<string, number>();
  #refused = 0;
  #lastHeardUs = 0;
  #duration = new LatencyHistogram();
  #eventsByKind: Record<string, number> = {};
  #errorsByCode: Record<string, number> = {};
  #retriesByCode: Record<string, number> = {};
  #onEnd: (() => void) | null = null;

  constructor({ port, pid, load }: Extract<Question, { name: 'connect' }>, fail: (text: string) => void) {
    this.#load = load;
    this.#pid = pid;
    this.#port = port;
    this.#fail = fail;
    this.#account = new StepAccount(load.width);
  }

  async connect(): Promise<void> {
    const { instances, width, runs, warmupRuns } = this.#load;
    const destination = { host: '127.0.0.1', port: this.#port, path: CONNECT_PATH, peer: null, spreadsAddresses: false };
    const target = socketTarget(destination, '', 0);
    for (let index = 0; index < instances; index++) {
      const instance = await Peer.connect(`instance ${index}`, target, this);
      for (const stage of STAGES)
        await instance.ask('REGISTER', serviceOf(stage), { version: '1.0.0', methods: ['run'], capacity: CAPACITY });
      this.#instances.push(instance);
    }
    this.#starter = await Peer.connect('starter', target, this);
    await this.#starter.ask('DEFINE', WORKFLOW, null, definition(width, Math.max(runs, warmupRuns, 1)));
    this.#watcher = await Peer.connect('watcher', target, this);
    await this.#watcher.ask('SUBSCRIBE', `${TOPIC_PREFIX}*`, null);
  }

  async runAtOnce(runs: number): Promise<RunsReport> {
    this.#clear();
    const window = new MeasuredWindow(this.#pid);
    for (let run = 0; run < runs; run++) this.#start(window.openedUs);
    this.#starter?.flush();
    await this.#ended(runs);
    return this.#report(window, runs);
  }

  async runAlone(runs: number): Promise<RunsReport> {
    this.#clear();
    const window = new MeasuredWindow(this.#pid);
    for (let run = 0; run < runs; run++) {
      this.#start(nowUs());
      this.#starter?.flush();
      await this.#ended(run + 1);
    }
    return this.#report(window, runs);
  }

  #clear(): void {
    this.#account = new StepAccount(this.#load.width);
    this.#names = [];
    this.#dueUs = [];
    this.#placeOf.clear();
    this.#endedUs.clear();
    this.#refused = 0;
    this.#duration = new LatencyHistogram();
    this.#eventsByKind = {};
    this.#errorsByCode = {};
    this.#retriesByCode = {};
    this.#idFirst = this.#nextId;
  }

  #start(dueUs: number): void {
    const place = this.#names.push('') - 1;
    this.#dueUs.push(dueUs);
    this.#starter?.add(frame(packMessage(MessageType.START, this.#nextId++, WORKFLOW, null, place)));
  }

  /** Resolves when so many runs of the set have ended, or nothing more is heard. */
  #ended(runs: number): Promise<void> {
    this.#lastHeardUs = nowUs();
    return new Promise((resolve) => {
      const done = (): void => {
        clearInterval(watch);
        this.#onEnd = null;
        resolve();
      };
      const watch = setInterval(() => {
        if (nowUs() - this.#lastHeardUs > SILENCE_MS_MAX * 1000) done();
      }, DRAIN_TURN_MS);
      this.#onEnd = () => {
        const isNamed = this.#placeOf.size + this.#refused === this.#names.length;
        if (isNamed && this.#account.ended + this.#refused >= runs) done();
      };
    });
  }

  #report(window: MeasuredWindow, runs: number): RunsReport {
    const figures = window.close();
    const seconds = figures.elapsedSeconds;
    const steps = runs * stepsPerRun(this.#load.width);
    const stages = runs * STAGES.length;
    const started = this.#names.filter((name) => name !== '');
    const succeeded = this.#names.flatMap((name, place) => {
      const result = name === '' ? undefined : this.#account.result(name);
      return result === undefined ? [] : [result === resultOf(place, this.#load.width)];
    });
    const report: RunsReport = {
      ...figures,
      runs,
      runsPerSecond: rounded(runs / seconds, 1),
      stepsPerSecond: rounded(steps / seconds, 1),
      wallUsPerStep: rounded((seconds * 1e6) / steps, 2),
      wallUsPerStage: rounded((seconds * 1e6) / stages, 2),
      serverCpuUsPerStep: rounded((figures.serverCpuSeconds * 1e6) / steps, 2),
      serverCpuUsPerStage: rounded((figures.serverCpuSeconds * 1e6) / stages, 2),
      generatorCpuUsPerStep: rounded((figures.generatorCpuSeconds * 1e6) / steps, 2),
      durationMs: this.#duration.summaryMs(),
      startedRuns: started.length,
      succeededRuns: succeeded.length,
      wrongResults: succeeded.filter((isRight) => !isRight).length,
      // A run that was refused owes no steps; it is missing in `startedRuns`.
      ...this.#account.counts(started),
      foreign: this.#account.foreign,
      eventsByKind: this.#eventsByKind,
      errorsByCode: this.#errorsByCode,
      retriesByCode: this.#retriesByCode,
      cores: availableParallelism(),
    };
    this.#duration.destroy();
    return report;
  }

  // ---- receiving

  peerMessage(peer: Peer, header: MessageHeader, bytes: Uint8Array, start: number): void {
    this.#lastHeardUs = nowUs();
    const message = unpack(bytes.slice(start, header.end)) as readonly unknown[];
    switch (header.type) {
      case MessageType.INVOKE:
        this.#invoked(peer, header.id, message);
        return;
      case MessageType.MESSAGE:
        this.#happened(String(message[2]), message[5] as RunEventMap);
        return;
      case MessageType.OK:
        this.#started(header.id - this.#idFirst, (message[2] as { readonly run: string }).run);
        return;
      case MessageType.ERROR:
        increment(this.#errorsByCode, `${message[2]} ${message[3]}`);
        if (peer === this.#starter) this.#refused++;
        this.#onEnd?.();
        return;
      case MessageType.CANCELLED:
        // Of a call that was returned at once: the RETURN did not arrive, and the step is tried again.
        increment(this.#errorsByCode, 'CANCELLED');
        return;
      default:
        this.#fail(`${peer.name} got what it should not: ${JSON.stringify(message)}`);
    }
  }

  /** `[36, callId, service, method, options, payload]` */
  #invoked(instance: Peer, callId: number, message: readonly unknown[]): void {
    const { headers } = message[4] as { readonly headers: Readonly<Record<string, string>> };
    const { run = '', stage = '', index } = headers;
    this.#account.given(run, stage, Number(index));
    const answer = answerOf(stage as StageName, message[5], this.#load.width);
    instance.add(frame(packMessage(MessageType.RETURN, callId, null, answer)));
  }

  #happened(topic: string, event: RunEventMap): void {
    increment(this.#eventsByKind, event.kind);
    const run = topic.slice(TOPIC_PREFIX.length);
    if (event.kind === 'stepSucceeded') this.#account.accepted(run, event.stage ?? '', event.index ?? -1);
    else if (event.kind === 'stepRetried') increment(this.#retriesByCode, event.reason?.code ?? '');
    else if (event.kind === 'succeeded' || event.kind === 'failed' || event.kind === 'cancelled')
      this.#runEnded(run, event.result);
  }

  #runEnded(run: string, result: unknown): void {
    if (!this.#account.end(run, result)) return;
    const now = nowUs();
    const place = this.#placeOf.get(run);
    if (place === undefined) this.#endedUs.set(run, now);
    else this.#duration.record(now - (this.#dueUs[place] as number));
    this.#onEnd?.();
  }

  #started(place: number, run: string): void {
    this.#names[place] = run;
    this.#placeOf.set(run, place);
    const endedUs = this.#endedUs.get(run);
    if (endedUs !== undefined) this.#duration.record(endedUs - (this.#dueUs[place] as number));
    this.#onEnd?.();
  }

  peerTurnEnd(): void {
    for (const instance of this.#instances) instance.flush();
  }

  peerClosed(peer: Peer, code: number, reason: string): void {
    this.#fail(`the relay closed the connection of ${peer.name}: ${code} ${reason}`);
  }
}

/** What is read of an event; docs/protocol.md has all. */
interface RunEventMap {
  readonly kind: string;
  readonly stage?: string;
  readonly index?: number;
  readonly result?: unknown;
  readonly reason?: { readonly code: string };
}

let generator: WorkflowGenerator | null = null;

const { fail } = answerBench(async (question: Question) => {
  switch (question.name) {
    case 'connect':
      generator = new WorkflowGenerator(question, (text) => fail(text));
      return generator.connect();
    case 'runAtOnce':
      return generator?.runAtOnce(question.runs);
    case 'runAlone':
      return generator?.runAlone(question.runs);
    default:
      return question satisfies never;
  }
});
