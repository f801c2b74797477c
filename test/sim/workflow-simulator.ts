/**
 * The simulator's world with workflows: whole front and lanes, fake time, clients that start and follow runs and work on their steps, and lanes that die.
 *
 * Calls are held against the model of services, as in simulator.ts. Runs are held against what must be so of any run (run-check.ts), against what every other
 * watcher has seen, and against what the instances know that they did. At the end everybody who works works, and every run must end.
 */
import { AssertionFailed } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { Prng } from '../../src/base/prng.ts';
import { Front } from '../../src/front/front.ts';
import { LaneMetric } from '../../src/lane/lane-metrics.ts';
import type { StageDefinition } from '../../src/lane/workflows/definition.ts';
import { MemoryTransport } from '../../src/transport/memory-transport.ts';
import { Model } from './model.ts';
import { type CheckedRun, checkRun, type RunEventSeen, stepKey } from './run-check.ts';
import type { WorkView } from './service-view.ts';
import { SimLanes } from './sim-lanes.ts';
import { SimulationFailed, type SimulationOptions, type SimulationResult, type SimulationStats } from './simulator.ts';
import { type RunKnown, type StartAnswer, WorkflowClient, type WorkflowClientWorld } from './workflow-client.ts';
import { RUN_MS_MAX, STEP_SERVICES, type WorkflowWorldConfig, workflowWorld } from './workflow-world.ts';

export function simulateWorkflows(options: SimulationOptions): SimulationResult {
  const simulator = new WorkflowSimulator(options);
  let failure: string | null = null;
  try {
    simulator.run();
  } catch (error) {
    if (error instanceof SimulationFailed) failure = error.message;
    else if (error instanceof AssertionFailed) failure = `assertion: ${error.message}\n${error.stack}`;
    else failure = `threw: ${(error as Error).stack}`;
  }
  const { hash, lines: trace, stats } = simulator;
  return { seed: options.seed, steps: options.steps, hash, failure, trace, stats };
}

const SETTLE_TURNS_MAX = 20_000;
const ROUND_MS = 200;
const SESSION_ID = /(?<=")[0-9bcdfghjkmnpqrstvwxyz_-]{16}(?=")/g;
const ENDED = ['succeeded', 'failed', 'cancelled'];

class WorkflowSimulator implements WorkflowClientWorld {
  readonly stats: SimulationStats = {};
  readonly lines: string[] = [];
  hash = 0x811c9dc5;
  readonly model: Model;
  readonly transport: MemoryTransport;
  readonly runs = new Map<string, RunKnown>();
  readonly #options: SimulationOptions;
  readonly #config: WorkflowWorldConfig;
  readonly #clock = new ManualClock();
  readonly #lanes: SimLanes;
  readonly #front: Front;
  readonly #clients: WorkflowClient[];
  readonly #tasks: (() => void)[] = [];
  readonly #byKey = new Map<string, string>();
  /** Runs whose START was answered as the first of its key. */
  readonly #firsts = new Set<string>();
  readonly #invoked = new Set<string>();
  readonly #returned = new Set<string>();
  #prng: Prng;
  #step = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const config = workflowWorld(new Prng(options.seed, 0x3a9e));
    this.#config = config;
    this.#prng = new Prng(options.seed, 0);
    this.model = new Model(false, () => false);
    const schedule = (step: () => void): void => void this.#tasks.push(step);
    const { laneCount, ingressRingBytes, egressRingBytes, ringStart, deathRatio } = config;
    this.#lanes = new SimLanes(
      {
        laneCount,
        ingressRingBytes,
        egressRingBytes,
        ringStart,
        schedule,
        mayDie: deathRatio > 0,
        ...(options.tamper === undefined ? {} : { tamper: options.tamper }),
        laneOptions: (index, count, firstSub, life) => ({
          ...config.lane,
          index,
          laneCount: count,
          firstSub,
          life,
          seed: options.seed + 1_000 * life + index,
        }),
      },
      this.#clock,
      new Prng(options.seed, 0x1a9e5),
      this.model,
    );
    this.#front = new Front({ ...config.front, schedule }, this.#lanes, this.#clock);
    this.transport = new MemoryTransport({ ...config.transport, schedule }, this.#front);
    this.#lanes.start(this.#front.laneEvents);
    this.#clients = Array.from({ length: config.clientCount }, (_, index) => new WorkflowClient(index, this));
  }

  // ---- WorkflowClientWorld

  get laneCount(): number {
    return this.#config.laneCount;
  }

  get workflows(): readonly string[] {
    return this.#config.definitions.map(({ name }) => name);
  }

  /** The same key is the same run, whoever asks and whatever died meanwhile. */
  started(workflow: string, key: string | null, { run, topic, epoch, duplicate }: StartAnswer): void {
    const known = this.runs.get(topic);
    if (known !== undefined && known.epoch !== epoch) this.fail(`run ${run} is in epoch ${epoch}, and was in ${known.epoch}`);
    if (known === undefined) this.runs.set(topic, { workflow, run, topic, epoch, events: new Map() });
    if (duplicate !== true) {
      if (this.#firsts.has(run)) this.fail(`run ${run} is started twice`);
      this.#firsts.add(run);
    }
    if (key === null) return;
    const at = `${workflow} ${key}`;
    const first = this.#byKey.get(at);
    if (first !== undefined && first !== run) this.fail(`key ${key} of ${workflow} is run ${run}, and was ${first}`);
    this.#byKey.set(at, run);
  }

  event(topic: string, offset: number, event: RunEventSeen): void {
    const known = this.runs.get(topic);
    if (known === undefined) return; // Its START was not answered yet, or never.
    const seen = known.events.get(offset);
    if (seen === undefined) {
      known.events.set(offset, event);
      this.count(`run ${event.kind}`);
    } else if (!WorkflowClient.isSameEvent(seen, event))
      this.fail(`event ${offset} of ${topic} is ${JSON.stringify(event)}, and was ${JSON.stringify(seen)}`);
  }

  /** A step's call is idempotent for nobody: each attempt is given out once. */
  invoked({ headers }: WorkView): void {
    const { run = '', stage = '', index = '', attempt = '' } = headers;
    const step = `${stepKey(run, stage, index, headers['compensate'] === 'true')} ${attempt}`;
    if (this.#invoked.has(step)) this.fail(`${step} is given out twice`);
    this.#invoked.add(step);
  }

  returned(step: string): void {
    this.#returned.add(step);
  }

  refusalsOf(session: number): number {
    return this.#lanes.refusalsOf(session);
  }

  trace(who: string, what: string): void {
    const line = `${this.#step} ${who} ${what}`.replace(SESSION_ID, 'id');
    for (let index = 0; index < line.length; index++) this.hash = Math.imul(this.hash ^ line.charCodeAt(index), 0x01000193) >>> 0;
    if (this.#options.traced === true) this.lines.push(line);
  }

  count(what: string): void {
    this.stats[what] = (this.stats[what] ?? 0) + 1;
  }

  fail(what: string): never {
    throw new SimulationFailed(`step ${this.#step}: ${what}`);
  }

  // ---- the run

  run(): void {
    const { seed, steps, skip } = this.#options;
    const { laneCount, ingressRingBytes, laneSpeed, deathRatio } = this.#config;
    const { stepsInFlightMax, runsInFlightMax, runBytesMax } = this.#config.lane.workflows;
    const facts = { laneCount, ingressRingBytes, laneSpeed, deathRatio, stepsInFlightMax, runsInFlightMax, runBytesMax };
    this.trace('world', JSON.stringify(facts));
    for (this.#step = 1; this.#step <= steps; this.#step++) {
      if (skip?.has(this.#step)) continue;
      this.#prng = new Prng(seed, this.#step);
      this.#doStep();
    }
    this.#prng = new Prng(seed, 0xe4d);
    this.#settle();
    this.#endRuns();
    this.#audit();
    this.#leave();
    this.stats['deaths'] = this.#lanes.deaths;
  }

  #doStep(): void {
    for (let lane = 0; lane < this.#lanes.count; lane++)
      if (this.#lanes.state(lane) !== 'running' && this.#prng.nextBoolean(0.06)) this.#mourn(lane);
    const { deathRatio, laneSpeed } = this.#config;
    const lane = this.#prng.nextInt(0, this.#lanes.count - 1);
    const roll = this.#prng.nextFloat();
    if (roll < 0.45) this.#clientStep(this.#prng.pick(this.#clients));
    else if (roll < 0.62) this.#runTasks(this.#prng.nextInt(1, 12));
    else if (roll < 0.74 && this.#prng.nextBoolean(laneSpeed)) this.#lanes.run(lane);
    else if (roll < 0.84) this.#lanes.drain(lane, this.#prng.nextInt(1, 60));
    else if (roll < 0.84 + deathRatio) this.#kill(lane);
    else if (roll < 0.94) this.#burst();
    else this.#pass(this.#prng.nextBoolean(0.8) ? this.#prng.nextInt(1, 120) : this.#prng.nextInt(100, 1_500));
  }

  #kill(lane: number): void {
    if (this.#lanes.state(lane) !== 'running') return;
    const kind = this.#prng.nextBoolean() ? 'throw' : 'abrupt';
    this.trace(`lane ${lane}`, `is killed: ${kind}`);
    this.#lanes.kill(lane, kind);
  }

  #mourn(lane: number): void {
    if (this.#lanes.state(lane) === 'dead') {
      this.trace(`lane ${lane}`, 'is found dead');
      this.#lanes.notice(lane);
      if (this.#prng.nextBoolean(0.4)) return;
    }
    if (this.#lanes.state(lane) !== 'gone') return;
    this.trace(`lane ${lane}`, 'is replaced');
    this.#clock.advance(1);
    this.#lanes.replace(lane);
  }

  #runTasks(count: number): void {
    for (let done = 0; done < count && this.#tasks.length > 0; done++) {
      const index = this.#prng.nextInt(0, this.#tasks.length - 1);
      const task = this.#tasks[index] as () => void;
      this.#tasks[index] = this.#tasks[this.#tasks.length - 1] as () => void;
      this.#tasks.pop();
      task();
    }
  }

  #burst(): void {
    for (let turn = 0; turn < 6; turn++) {
      this.#runTasks(20);
      const lane = this.#prng.nextInt(0, this.#lanes.count - 1);
      if (this.#prng.nextBoolean(this.#config.laneSpeed)) this.#lanes.run(lane);
      this.#lanes.drain(lane, 100);
    }
  }

  #pass(ms: number): void {
    this.trace('time', `+${ms}`);
    this.#clock.advance(ms);
    this.#front.tick();
    for (let lane = 0; lane < this.#lanes.count; lane++) if (this.#prng.nextBoolean(0.7)) this.#lanes.tick(lane);
  }

  #clientStep(client: WorkflowClient): void {
    const prng = this.#prng;
    if (!client.isOnline) {
      if (client.link === null && client.connect(prng.nextInt(100, this.#config.transport.windowBytes)))
        for (const service of STEP_SERVICES) if (prng.nextBoolean(0.7)) client.register(service, prng.pick([1, 3, 20]));
      return;
    }
    client.followUp();
    const { work } = client;
    if (work.length > 0 && prng.nextBoolean(0.75)) {
      for (let count = prng.nextInt(1, 3); count > 0 && client.work.length > 0; count--)
        client.answer(prng.pick(client.work), prng, false);
      return;
    }
    const known = [...this.runs.values()];
    const roll = prng.nextFloat();
    if (roll < 0.3 || known.length === 0) this.#start(client);
    else if (roll < 0.5) client.watch(prng.pick(known));
    else if (roll < 0.55) client.watchAll();
    else if (roll < 0.68)
      client.run(
        prng.pick(known),
        prng.pick(['status', 'status', 'cancel', 'pause', 'resume', 'resume', 'retry', 'retry', 'result']),
      );
    else if (roll < 0.72) client.register(prng.pick(STEP_SERVICES), prng.pick([1, 3, 20]), prng.pick([undefined, 200, 1_000]));
    else if (roll < 0.74) client.deregister(prng);
    else if (roll < 0.77) client.heartbeat(prng);
    else if (roll < 0.87)
      for (let count = 4; count > 0; count--) client.makeNoise(`noise.${prng.nextInt(1, 6)}`, this.#noiseBytes);
    else if (roll < 0.94) this.#read(client);
    else if (roll < 0.96) client.cut();
    else if (roll < 0.97) client.close();
    else client.list(prng.pick(this.workflows));
  }

  get #noiseBytes(): number {
    return this.#config.front.messageBytesMax - 100;
  }

  #start(client: WorkflowClient): void {
    const prng = this.#prng;
    const workflow = prng.pick(this.workflows);
    const input = Array.from({ length: prng.nextInt(0, 3) }, (_, index) => index);
    const options = {
      ...(prng.nextBoolean(0.4) ? { key: `k${prng.nextInt(1, 4)}` } : {}),
      ...(prng.nextBoolean(0.1) ? { deadlineMs: prng.pick([300, 3_000]) } : {}),
    };
    client.start(workflow, Object.keys(options).length === 0 ? null : options, input);
  }

  #read({ index, link }: WorkflowClient): void {
    if (link === null) return;
    const isSlow = index % 3 === 0;
    if (!link.isPaused) {
      if (this.#prng.nextBoolean(isSlow ? 0.8 : 0.2)) link.pauseReading();
    } else if (this.#prng.nextBoolean()) link.resumeReading();
    else link.readSome(this.#prng.nextInt(1, 2_500));
  }

  // ---- the end

  #settle(): void {
    for (const client of this.#clients) client.link?.resumeReading();
    for (let turn = 0; turn < SETTLE_TURNS_MAX; turn++) {
      if (this.#tasks.length === 0 && this.#lanes.isIdle) return;
      this.#runTasks(50);
      for (let lane = 0; lane < this.#lanes.count; lane++) {
        if (this.#lanes.state(lane) !== 'running') this.#mourn(lane);
        this.#lanes.run(lane);
        this.#lanes.drain(lane, 1_000);
      }
    }
    this.fail(`does not come to rest: ${this.#tasks.length} steps under way`);
  }

  #passRound(): void {
    this.#clock.advance(ROUND_MS);
    this.#front.tick();
    for (let lane = 0; lane < this.#lanes.count; lane++) this.#lanes.tick(lane);
    this.#settle();
  }

  /** Somebody serves everything and answers at once; what is paused is resumed. Then every run must end. */
  #endRuns(): void {
    const [boss] = this.#clients as [WorkflowClient];
    for (let round = 0; round * ROUND_MS < RUN_MS_MAX; round++) {
      if (!boss.isOnline && boss.link === null && boss.connect(4_000)) this.#settle();
      if (!boss.isOnline) {
        this.#passRound();
        continue;
      }
      if (round % 10 === 0) {
        for (const service of STEP_SERVICES) boss.register(service, 100);
        for (const workflow of this.workflows) boss.list(workflow);
        this.#settle();
        for (const known of this.runs.values()) {
          const state = boss.states.get(known.run);
          if (state === 'paused') boss.run(known, 'resume');
          if (state === undefined) boss.run(known, 'status');
        }
        this.#settle();
      }
      for (const client of this.#clients) {
        if (!client.isOnline) continue;
        client.followUp();
        for (const work of client.work) client.answer(work, this.#prng, true);
      }
      this.#settle();
      const open = [...this.runs.values()].filter(({ run }) => !ENDED.includes(boss.states.get(run) ?? ''));
      const isListed = [...boss.states.values()].every((state) => ENDED.includes(state));
      if (round % 10 === 0 && open.length === 0 && isListed) break;
      this.#passRound();
    }
    const open = [...this.runs.values()].filter(({ run }) => !ENDED.includes(boss.states.get(run) ?? ''));
    for (const { topic, run } of open) this.fail(`${topic} does not end: it is ${boss.states.get(run)}`);
    // Calls that nobody waits for any more have a deadline still.
    for (let passedMs = 0; passedMs <= this.#config.lane.services.callDeadlineMsMax; passedMs += ROUND_MS) this.#passRound();
  }

  /** Every run from its first event on, by somebody who has seen nothing of it. */
  #audit(): void {
    const auditor = new WorkflowClient(this.#clients.length, this);
    if (!auditor.connect(100_000)) this.fail('the auditor is not let in');
    this.#settle();
    for (const known of this.runs.values()) {
      auditor.watch(known);
      auditor.run(known, 'status');
      this.#settle();
    }
    for (const workflow of this.workflows) auditor.askLetters(workflow);
    this.#settle();
    auditor.finish();
    for (const client of this.#clients) {
      if (client.isOnline) client.followUp();
      this.#settle();
      client.finish();
    }
    for (const { topic, run, workflow, events } of this.runs.values()) {
      const ordered = Array.from({ length: events.size }, (_, index) => events.get(index + 1));
      const gap = ordered.indexOf(undefined);
      if (gap >= 0) this.fail(`event ${gap + 1} of ${topic} was never seen`);
      const { stages } = this.#config.definitions.find(({ name }) => name === workflow) as { stages: readonly StageDefinition[] };
      const seen = { invoked: this.#invoked, returned: this.#returned };
      const checked: CheckedRun = checkRun(run, ordered as RunEventSeen[], stages, seen, (what) => this.fail(what));
      const state = auditor.states.get(run);
      if (checked.end !== state) this.fail(`${topic} is ${state}, its events say ${checked.end}`);
      if (checked.end === 'failed' && auditor.letters.get(`$dead.${workflow}`)?.has(run) !== true)
        this.fail(`${topic} has failed, and is not among the dead letters`);
      this.count(`ended ${checked.end}`);
    }
    auditor.close();
    this.#settle();
  }

  #leave(): void {
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      const metrics = this.#lanes.metrics(lane);
      for (const gauge of ['stepsInFlight', 'stepsWaiting', 'runsInFlight', 'callsInFlight', 'callsWaiting'] as const) {
        const left = metrics[LaneMetric[gauge]] as number;
        if (left > 0) this.fail(`lane ${lane} has ${left} ${gauge} left`);
      }
    }
    if (this.#front.callCount > 0) this.fail(`the front has ${this.#front.callCount} calls left`);
    for (const client of this.#clients) client.close();
    for (let round = 0; round < 20; round++) this.#passRound();
    const { callCount, instanceCount, queryCount, subscriptionCount, connectionCount } = this.#front;
    const left = { callCount, instanceCount, queryCount, subscriptionCount, connectionCount };
    for (const [what, count] of Object.entries(left)) if (count > 0) this.fail(`the front has ${what} ${count} at the end`);
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      const metrics = this.#lanes.metrics(lane);
      if ((metrics[LaneMetric.instances] as number) > 0) this.fail(`lane ${lane} has instances left`);
      // Lanes' own sessions stay.
      if ((metrics[LaneMetric.sessions] as number) > this.#lanes.count) this.fail(`lane ${lane} has sessions left`);
      if (this.#lanes.backlogCount(lane) > 0) this.fail(`lane ${lane} has records left that found no room`);
    }
  }
}
