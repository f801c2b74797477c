/**
 * The simulator: whole front and lanes, fake time, sockets and rings, random clients; one seed makes one run, always the same.
 *
 * A run is a number of steps. Each step draws from a generator of its own (seed and step number), so that leaving steps out does not
 * change what the others do: that is how a failing run is made small. A step is an action of a client, a turn of some part of the relay,
 * a while of time, or a fault. After the last one everything is let run dry and what is left must add up.
 */
import { AssertionFailed } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { Prng } from '../../src/base/prng.ts';
import { Front } from '../../src/front/front.ts';
import { LaneMetric } from '../../src/lane/lane-metrics.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { MemoryTransport } from '../../src/transport/memory-transport.ts';
import { Model } from './model.ts';
import { type ServiceWorld, serviceStep } from './service-actions.ts';
import { SimClient, type SimWorld } from './sim-client.ts';
import { SimLanes, type Tamper } from './sim-lanes.ts';
import type { Asked, Published, SubscriptionView } from './subscription-view.ts';
import {
  BAD_OPTIONS,
  CALL_DEADLINE_MS_MAX,
  GRAVEYARD,
  PATTERNS,
  RESERVED_TOPIC,
  type WorldConfig,
  worldConfig,
} from './world-config.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly steps: number;
  /** Steps that are left out. */
  readonly skip?: ReadonlySet<number>;
  /** Keeps the trace; without it only its hash. */
  readonly traced?: boolean;
  /** A defect put in on purpose: for tests of the simulator itself. */
  readonly tamper?: Tamper;
}

/** How often what happened: whether the runs reach what they are meant to reach. */
export type SimulationStats = Record<string, number>;

export interface SimulationResult {
  readonly seed: number;
  readonly steps: number;
  /** Of everything that was done and seen. */
  readonly hash: number;
  /** The first contradiction; null if there was none. */
  readonly failure: string | null;
  readonly trace: readonly string[];
  readonly stats: SimulationStats;
}

export class SimulationFailed extends Error {}

export function simulate(options: SimulationOptions): SimulationResult {
  const simulator = new Simulator(options);
  let failure: string | null = null;
  try {
    simulator.run();
  } catch (error) {
    if (error instanceof SimulationFailed) failure = error.message;
    else if (error instanceof AssertionFailed) failure = `assertion: ${error.message}\n${error.stack}`;
    else failure = `threw: ${(error as Error).stack}`;
  }
  return {
    seed: options.seed,
    steps: options.steps,
    hash: simulator.hash,
    failure,
    trace: simulator.lines,
    stats: simulator.stats,
  };
}

/** Turns that the end of a run may take until nothing is left to do; more is a loop that does not end. */
const SETTLE_TURNS_MAX = 20_000;
/** Enough to fill a small ring, should its lane be slow. */
const STORM_MESSAGES = 40;
const SESSION_ID = /(?<=")[0-9bcdfghjkmnpqrstvwxyz_-]{16}(?=")/g;

class Simulator implements SimWorld, ServiceWorld {
  readonly stats: SimulationStats = {};
  readonly lines: string[] = [];
  hash = 0x811c9dc5;
  readonly model: Model;
  readonly transport: MemoryTransport;
  readonly subNames = new Map<number, string>();
  isDraining = false;
  isQuiet = false;
  readonly #options: SimulationOptions;
  readonly #config: WorldConfig;
  readonly #clock = new ManualClock();
  readonly #lanes: SimLanes;
  readonly #front: Front;
  readonly #clients: SimClient[];
  readonly #tasks: (() => void)[] = [];
  readonly #published: Published[] = [];
  readonly #bad = new Set<string>();
  readonly #given = new Set<string>();
  /** By number of a call: may it be given out once only, and how often it was. */
  readonly #calls: { readonly once: boolean; given: number }[] = [];
  readonly #aliases = new Map<string, string>();
  #prng: Prng;
  #step = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const config = worldConfig(new Prng(options.seed, 0x5eed));
    this.#config = config;
    this.#prng = new Prng(options.seed, 0);
    this.model = new Model(config.knowsRetention, (session, id) => this.#bad.has(`${session}:${id}`));
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
    this.#clients = Array.from(
      { length: config.clientCount },
      // Every fourth is nobody in particular; the fifth is the first one's second device.
      (_, index) => new SimClient(index, index % 4 === 3 ? null : `client-${index % 4}`, this),
    );
  }

  // ---- SimWorld

  get subscriptionsMax(): number {
    return this.#config.front.subscriptionsMax;
  }

  get messageBytesMax(): number {
    return this.#config.front.messageBytesMax;
  }

  get mayCut(): boolean {
    return this.#config.transport.closeEvent === 'handshake';
  }

  get laneCount(): number {
    return this.#config.laneCount;
  }

  get callsPendingMax(): number {
    return this.#config.front.callsPendingMax;
  }

  get services(): readonly string[] {
    return this.#config.services;
  }

  get padMax(): number {
    return this.#config.padMax;
  }

  get payloadBytesMax(): number {
    return this.#config.front.payloadBytesMax;
  }

  get mayAskForAll(): boolean {
    return this.#config.egressRingBytes > 32_768;
  }

  newCall(once: boolean): number {
    return this.#calls.push({ once, given: 0 }) - 1;
  }

  invoked(uid: number): void {
    const call = this.#calls[uid];
    if (call === undefined) this.fail(`an instance was given call ${uid}, which nobody made`);
    const { retriesMax = 1 } = this.#config.lane.services.rules[0] ?? {};
    if (++call.given > (call.once ? 1 : 1 + retriesMax)) this.fail(`call ${uid} was given out ${call.given} times`);
  }

  someonesCall(prng: Prng, us: SimClient): number | null {
    const working = this.#clients.filter((client) => client !== us && client.isOnline && (client.services?.work.size ?? 0) > 0);
    if (working.length === 0) return null;
    return prng.pick([...(prng.pick(working).services?.work.keys() ?? [])]);
  }

  refusalsOf(session: number): number {
    return this.#lanes.refusalsOf(session);
  }

  published(uid: number): Published | undefined {
    return this.#published[uid];
  }

  givenOnce(what: string): void {
    if (this.#given.has(what)) this.fail(`a queue group has given ${what} twice`);
    this.#given.add(what);
  }

  markBad(session: number, id: number): void {
    this.#bad.add(`${session}:${id}`);
  }

  trace(who: string, what: string): void {
    const line = `${this.#step} ${who} ${what}`.replace(SESSION_ID, (id) => this.#aliasOf(id));
    for (let index = 0; index < line.length; index++) this.hash = Math.imul(this.hash ^ line.charCodeAt(index), 0x01000193) >>> 0;
    if (this.#options.traced === true) this.lines.push(line);
  }

  count(what: string, times = 1): void {
    this.stats[what] = (this.stats[what] ?? 0) + times;
  }

  fail(what: string): never {
    throw new SimulationFailed(`step ${this.#step}: ${what}`);
  }

  /** Session ids are truly random; a trace calls them by the order of their appearance. */
  #aliasOf(id: string): string {
    let alias = this.#aliases.get(id);
    if (alias === undefined) this.#aliases.set(id, (alias = `id#${this.#aliases.size}`));
    return alias;
  }

  // ---- the run

  run(): void {
    const { seed, steps, skip } = this.#options;
    this.#traceConfig();
    for (this.#step = 1; this.#step <= steps; this.#step++) {
      if (skip?.has(this.#step)) continue;
      this.#prng = new Prng(seed, this.#step);
      this.#doStep();
      this.#checkBounds();
    }
    this.#prng = new Prng(seed, 0xe4d);
    this.#settle();
    this.#probe();
    this.#settle();
    this.#runOut();
    for (const client of this.#clients) client.finish();
    this.#leave();
    this.#checkNothingIsLeft();
    this.count('deaths', this.#lanes.deaths);
    this.count('messages deferred', this.#front.metrics.messagesDeferred);
  }

  #traceConfig(): void {
    const { laneCount, ingressRingBytes, egressRingBytes, front, lane, transport } = this.#config;
    const { sendQueueBytesMax, subscriptionsMax } = front;
    const { historyBytesMax, topicsMax } = lane;
    const { windowBytes, closeEvent } = transport;
    const facts = {
      laneCount,
      ingressRingBytes,
      egressRingBytes,
      sendQueueBytesMax,
      subscriptionsMax,
      historyBytesMax,
      topicsMax,
      windowBytes,
      closeEvent,
    };
    this.trace('world', JSON.stringify(facts));
  }

  #doStep(): void {
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      if (this.#lanes.state(lane) !== 'running' && this.#prng.nextBoolean(this.#config.noticeRatio)) this.#mourn(lane);
    }
    const roll = this.#prng.nextFloat();
    if (roll < 0.44) this.#clientStep(this.#prng.pick(this.#clients));
    else if (roll < 0.64) this.#runTasks(this.#prng.nextInt(1, 12));
    else if (roll < 0.76) this.#runLane();
    else if (roll < 0.88) this.#lanes.drain(this.#anyLane(), this.#prng.nextInt(1, 60));
    else if (roll < 0.88 + this.#config.deathRatio) this.#fault();
    else if (roll < 0.95) this.#burst();
    else if (roll < 0.98) this.#pass(this.#someTimeMs());
    else this.#tick();
  }

  #anyLane(): number {
    return this.#prng.nextInt(0, this.#lanes.count - 1);
  }

  #runLane(): void {
    if (this.#prng.nextBoolean(this.#config.laneSpeed)) this.#lanes.run(this.#anyLane());
  }

  #runTasks(count: number): void {
    for (let done = 0; done < count && this.#tasks.length > 0; done++) this.#runTask();
  }

  #runTask(): void {
    const index = this.#prng.nextInt(0, this.#tasks.length - 1);
    const task = this.#tasks[index] as () => void;
    this.#tasks[index] = this.#tasks[this.#tasks.length - 1] as () => void;
    this.#tasks.pop();
    task();
  }

  /** Everything that is under way goes a good part of its way. */
  #burst(): void {
    for (let turn = 0; turn < 6; turn++) {
      this.#runTasks(20);
      this.#runLane();
      this.#lanes.drain(this.#anyLane(), 100);
    }
  }

  #tick(): void {
    if (this.#prng.nextBoolean()) this.#front.tick();
    else this.#tickLane(this.#anyLane());
  }

  /** Of the calls and who serves them lane and model must be of one mind. */
  #tickLane(lane: number): void {
    this.#lanes.tick(lane);
    if (this.#lanes.state(lane) !== 'running') return;
    const metrics = this.#lanes.metrics(lane);
    const model = this.model.servicesOf(lane);
    for (const [gauge, due] of [
      ['services', model.serviceCount],
      ['instances', model.instanceCount],
      ['callsInFlight', model.inFlightCount],
      ['callsWaiting', model.waitingCount],
    ] as const) {
      const got = metrics[LaneMetric[gauge]];
      if (got !== due) this.fail(`lane ${lane} has ${got} ${gauge}, the model ${due}`);
    }
  }

  #someTimeMs(): number {
    const { front, lane } = this.#config;
    const roll = this.#prng.nextFloat();
    if (roll < 0.7) return this.#prng.nextInt(1, 100);
    if (roll < 0.9) return this.#prng.nextInt(100, 1_500);
    return this.#prng.pick([lane.presenceGraceMs, lane.dedupWindowMs, front.pingIntervalMs, front.helloTimeoutMs, 2_000, 20_000]);
  }

  #pass(ms: number): void {
    this.trace('time', `+${ms}`);
    this.#clock.advance(ms);
    this.#front.tick();
    for (let lane = 0; lane < this.#lanes.count; lane++) if (this.#prng.nextBoolean()) this.#tickLane(lane);
  }

  #fault(): void {
    const lane = this.#anyLane();
    if (this.#lanes.state(lane) !== 'running') return;
    const kind = this.#prng.nextBoolean() ? 'throw' : 'abrupt';
    this.trace(`lane ${lane}`, `is killed: ${kind}`);
    this.#lanes.kill(lane, kind);
  }

  #mourn(lane: number): void {
    if (this.#lanes.state(lane) === 'dead') {
      this.trace(`lane ${lane}`, 'is found dead');
      this.#lanes.notice(lane);
      if (this.#prng.nextBoolean(0.4)) return; // A back-off, during which the front has no such lane.
    }
    if (this.#lanes.state(lane) === 'gone') {
      this.trace(`lane ${lane}`, 'is replaced');
      this.#clock.advance(1); // What a new lane says of the same instances is told from what the last one said by its time.
      this.#lanes.replace(lane);
    }
  }

  // ---- clients

  #clientStep(client: SimClient): void {
    if (!client.isOnline) {
      if (client.link === null) this.#connect(client); // Otherwise it waits for the end of its closing handshake.
      return;
    }
    const work = [...client.views.values()].filter(({ unanswered }) => unanswered.length > 0);
    if (work.length > 0 && this.#prng.nextBoolean(0.35)) {
      client.say(this.#answer(client, this.#prng.pick(work)));
      return;
    }
    if (this.#prng.nextBoolean(this.#config.serviceRatio)) {
      serviceStep(client, this.#prng, this);
      return;
    }
    const roll = this.#prng.nextFloat();
    if (roll < 0.48) client.say(...Array.from({ length: this.#prng.nextInt(1, 5) }, () => this.#publish(client)));
    else if (roll < 0.66) client.say(...Array.from({ length: this.#prng.nextInt(1, 2) }, () => this.#membership(client)));
    else if (roll < 0.73) client.say(this.#question(client));
    else if (roll < 0.92) this.#read(client);
    else if (roll < 0.965) client.say(this.#publish(client), this.#membership(client), this.#publish(client));
    else if (roll < 0.975) this.#misbehave(client);
    else if (roll < 0.985) client.cut();
    else if (roll < 0.99) client.close();
    else if (roll < 0.995) client.say(this.#publish(client), client.ping());
    else client.say(...Array.from({ length: STORM_MESSAGES }, () => this.#publish(client)));
  }

  /** Every third client reads slowly, the others only now and then. */
  #read(client: SimClient): void {
    const link = client.link as NonNullable<typeof client.link>;
    const isSlow = client.index % 3 === 0;
    if (!link.isPaused) {
      if (this.#prng.nextBoolean(isSlow ? 0.9 : 0.3)) link.pauseReading();
    } else if (this.#prng.nextBoolean(isSlow ? 0.25 : 0.6)) link.resumeReading();
    else link.readSome(this.#prng.nextInt(1, 2_500));
  }

  #connect(client: SimClient): void {
    const { windowBytes } = this.#config.transport;
    const refusal = client.connect(this.#prng.nextInt(50, windowBytes));
    if (refusal !== null) {
      if (refusal.status !== 503 || (refusal.retryAfterSeconds ?? 0) < 1) this.fail(`refused with ${JSON.stringify(refusal)}`);
      return;
    }
    this.count('connects');
    const roll = this.#prng.nextFloat();
    if (roll < 0.02)
      client.sayRaw(Uint8Array.of(0x92, MessageType.PING, 0), true, 4500); // Before HELLO.
    else {
      const back = [...client.positions].filter(() => this.#prng.nextBoolean(0.6)).slice(0, 3);
      client.say(client.hello(), ...back.map(([name, since]) => client.subscribe(name, { since })));
    }
  }

  #topic(): string {
    const { topics } = this.#config;
    return this.#prng.nextBoolean(0.6) ? this.#prng.pick(topics.slice(-3)) : this.#prng.pick(topics);
  }

  #publish(client: SimClient): unknown[] {
    const prng = this.#prng;
    const topic = prng.nextBoolean(0.02) ? RESERVED_TOPIC : this.#topic();
    const options: Record<string, unknown> = {};
    if (prng.nextBoolean(0.2)) options['key'] = `k${prng.nextInt(1, 6)}`;
    if (prng.nextBoolean(0.25)) options['headers'] = { k: prng.pick(['x', 'y', 'z']) };
    if (prng.nextBoolean(0.15) && this.#config.knowsRetention) options['ttlMs'] = prng.pick([20, 300, 3_000]);
    if (prng.nextBoolean(0.2)) options['echo'] = prng.nextBoolean();
    const headers = (options['headers'] ?? null) as Published['headers'];
    const published = { uid: this.#published.length, topic, pad: 'x'.repeat(prng.nextInt(0, this.#config.padMax)), headers };
    this.#published.push(published);
    this.count('publishes');
    return client.publish(published, Object.keys(options).length === 0 ? null : options, prng.nextBoolean(0.8));
  }

  #membership(client: SimClient): unknown[] {
    const prng = this.#prng;
    const mine = [...client.views.keys()];
    if (mine.length > 0 && prng.nextBoolean(0.2)) return client.unsubscribe(prng.pick(mine));
    if (prng.nextBoolean(0.05)) return client.unsubscribe(this.#topic());
    if (prng.nextBoolean(this.#config.serviceRatio / 4)) {
      const name = `$service.${prng.pick(this.#config.services)}`;
      return client.subscribe(name, this.#asked(client, name));
    }
    if (prng.nextBoolean(0.25)) {
      const name = prng.pick(PATTERNS);
      const policy = prng.pick(['dropOldest', 'dropNewest', 'conflate', null]);
      return client.subscribe(name, {
        ...(policy === null ? {} : { policy }),
        ...(prng.nextBoolean(0.1) ? { since: { epoch: 'nothing', offset: 3 } } : {}),
      });
    }
    // Most often something new, sometimes again what we have.
    const name = prng.nextBoolean(0.06)
      ? prng.pick([RESERVED_TOPIC, `$dead.${this.#topic()}`, `$service.${prng.pick(this.#config.services)}`])
      : mine.length > 0 && prng.nextBoolean(0.3)
        ? prng.pick(mine)
        : this.#topic();
    return client.subscribe(name, /[*>]/.test(name) ? {} : this.#asked(client, name));
  }

  /** An ACK of some of what a group has given us; now and then of something else, or of the same again. */
  #answer(client: SimClient, { name, unanswered }: SubscriptionView): unknown[] {
    const prng = this.#prng;
    const offsets: number[] = [];
    let epoch = '';
    for (let count = prng.nextInt(1, 3); count > 0 && unanswered.length > 0; count--) {
      const index = prng.nextInt(0, unanswered.length - 1);
      const message = unanswered[index] as { offset: number; epoch: string };
      offsets.push(message.offset + (prng.nextBoolean(0.03) ? 1 : 0));
      epoch = message.epoch;
      if (prng.nextBoolean(0.95)) unanswered.splice(index, 1);
    }
    const delayMs = prng.pick([undefined, undefined, 50, 1_000]);
    return client.ack(
      name,
      {
        ...(offsets.length === 1 && prng.nextBoolean() ? { offset: offsets[0] } : { offsets }),
        ...(prng.nextBoolean() ? { epoch } : {}),
        ...(prng.nextBoolean(0.3) ? { requeue: true, ...(delayMs === undefined ? {} : { delayMs }) } : {}),
      },
      prng.nextBoolean(0.9),
    );
  }

  /** Most often with ack, where it can be foretold what history gives up. */
  #askedGroup(name: string): Asked {
    const prng = this.#prng;
    const group = prng.pick(['g', 'g', 'g', 'h']);
    // A dead letter that was an event of the relay's own would have no number to know it by.
    const ack = this.#config.knowsRetention && prng.nextBoolean(group === 'g' ? 0.9 : 0.2) && !name.startsWith('$service.');
    const policy = prng.pick([undefined, undefined, 'dropOldest', 'dropNewest', 'disconnect']);
    if (!ack) return { group, ...(policy === undefined ? {} : { policy }) };
    return {
      group,
      ack,
      ackTimeoutMs: prng.pick([100, 1_500, 4_000]),
      maxAttempts: prng.pick([1, 2, 3, 8]),
      maxInFlight: prng.pick([1, 2, 5]),
      ...(prng.nextBoolean(0.3) || name.startsWith('$') ? { deadLetter: GRAVEYARD } : {}),
    };
  }

  #asked(client: SimClient, name: string): Asked {
    const prng = this.#prng;
    if (prng.nextBoolean(0.3)) return this.#askedGroup(name);
    const asked: { -readonly [Key in keyof Asked]: Asked[Key] } = {};
    const roll = prng.nextFloat();
    const position = client.views.get(name)?.position ?? client.positions.get(name);
    if (roll < 0.3 && position !== undefined && position !== null) {
      // Where we are, or a little off.
      const offset = Math.max(0, position.offset + (prng.nextBoolean(0.6) ? 0 : prng.nextInt(-8, 5)));
      asked.since = { epoch: prng.nextBoolean(0.05) ? 'another' : position.epoch, offset };
    } else if (roll < 0.45 && this.#config.knowsRetention) asked.last = prng.pick([0, 1, 3, 10, 1_000]);
    const presence = prng.pick([undefined, undefined, undefined, true, 'watch', { mood: prng.nextInt(1, 3) }]);
    if (presence !== undefined) asked.presence = presence;
    const policy = prng.pick([
      undefined,
      undefined,
      undefined,
      'disconnect',
      'dropOldest',
      'dropNewest',
      'conflate',
      'pause',
      'pause',
    ]);
    if (policy !== undefined) asked.policy = policy;
    if (policy === 'conflate' && prng.nextBoolean()) asked.conflateBy = 'k';
    return asked;
  }

  #question(client: SimClient): unknown[] {
    const prng = this.#prng;
    const name = client.views.size > 0 && prng.nextBoolean(0.6) ? prng.pick([...client.views.keys()]) : this.#topic();
    if (/[*>]/.test(name)) return client.ping();
    if (prng.nextBoolean()) return client.presence(name, prng.nextBoolean(0.2) ? { countOnly: true } : null);
    const position = client.views.get(name)?.position ?? client.positions.get(name);
    const since =
      position === undefined || position === null || prng.nextBoolean()
        ? {}
        : { since: { ...position, offset: position.offset + prng.nextInt(0, 4) } };
    return client.history(name, { ...since, limit: prng.nextInt(1, 12), ...(prng.nextBoolean() ? { reverse: true } : {}) });
  }

  #misbehave(client: SimClient): void {
    const prng = this.#prng;
    const bad = (): unknown[] => {
      const { type, options } = prng.pick(BAD_OPTIONS);
      return client.bad(type, this.#topic(), ...options);
    };
    switch (prng.nextInt(0, 7)) {
      case 0:
        client.sayRaw(Uint8Array.of(0x93, MessageType.UNSUBSCRIBE, 7, 0xd9), true, 4500); // Cut.
        return;
      case 1:
        client.sayRaw(new TextEncoder().encode('hello'), false, 1003);
        return;
      case 2:
        client.sayRaw(new Uint8Array(this.#config.front.messageBytesMax + 1), true, 1009);
        return;
      case 3:
        client.say(client.fault([99, 5]), client.fault('text'), client.fault([MessageType.OK, 0, null]));
        return;
      case 4:
        client.say(client.secondHello(), this.#publish(client));
        return;
      case 5:
        client.say(client.bad(MessageType.SUBSCRIBE, prng.pick(['', 'a..b', 'a.*x', 'a b', '>.a']), null));
        return;
      case 6:
        client.say(
          client.bad(MessageType.PUBLISH, prng.pick(['a.*', '', '>']), null, [0, '']),
          client.bad(MessageType.HISTORY, 'a.>', null),
        );
        return;
      default:
        client.say(bad(), this.#publish(client), bad());
    }
  }

  // ---- the end of a run

  /** Everybody reads, lanes are whole again, nothing is under way. */
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
      this.#checkBounds();
    }
    this.fail(`does not come to rest: ${this.#tasks.length} steps under way, lanes idle: ${this.#lanes.isIdle}`);
  }

  /** Asks everything again while nothing else goes on: nobody may be refused now, and every answer must be the model's. */
  #probe(): void {
    this.isQuiet = true;
    for (const client of this.#clients) {
      if (!client.isOnline) continue;
      for (const [name, view] of client.views) {
        if (view.isPattern) continue;
        client.say(client.presence(name, null));
        this.#settle();
        client.say(client.history(name, null));
        this.#settle();
      }
      for (const service of this.#config.services) client.say(client.askServices(service, { instances: true }));
      client.say(client.askServices('>', null));
      this.#settle();
      client.say(...this.#config.topics.slice(0, 2).map(() => this.#publish(client)));
      this.#settle();
    }
    this.isQuiet = false;
  }

  /** Until every call has had its last answer; and of what lanes have sent to other lanes nothing is without one. */
  #runOut(): void {
    const stepMs = 500;
    for (let passedMs = 0; passedMs <= CALL_DEADLINE_MS_MAX; passedMs += stepMs) {
      if (this.model.burialCount > 0)
        this.fail(`${this.model.burialCount} dead letters wait for an answer, and nothing is under way`);
      if (this.#clients.every(({ isOnline, services }) => !isOnline || services?.pendingCount === 0)) return;
      this.#clock.advance(stepMs);
      this.#front.tick();
      for (let lane = 0; lane < this.#lanes.count; lane++) this.#tickLane(lane);
      this.#settle();
    }
  }

  /** Half of the runs end by a drain, the others by every client's own leave. */
  #leave(): void {
    const { windowMs, deadlineMs } = { windowMs: 2_000, deadlineMs: 3_000 };
    let done = 0;
    this.isDraining = this.#prng.nextBoolean();
    if (this.isDraining) {
      this.trace('world', 'drains');
      const online = this.#clients.filter((client) => client.isOnline);
      this.#front.drain({ windowMs, deadlineMs, reason: 'test' }, () => done++);
      this.#settle();
      for (const client of online)
        if (client.isOnline && client.goaways !== 1) this.fail(`${client.label} got ${client.goaways} GOAWAYs`);
      for (const client of this.#clients) if (client.isOnline && this.#prng.nextBoolean()) client.close();
      this.#settle();
      if (this.#front.admit().admitted) this.fail('a connection is admitted during a drain');
    } else for (const client of this.#clients) client.close();
    for (let round = 0; round < 80; round++) {
      this.#settle();
      if (round === 40) this.#clock.advance(this.#config.lane.topicIdleMs);
      this.#clock.advance(500);
      this.#front.tick();
      for (let lane = 0; lane < this.#lanes.count; lane++) this.#lanes.tick(lane);
    }
    this.#settle();
    if (this.isDraining && done === 0) this.fail('the drain does not end');
    if (!this.isDraining) this.#probeNumbers();
  }

  /** Everybody has left: a name that is subscribed to again gets a number that was never given out, or something has kept the old one. */
  #probeNumbers(): void {
    const known = new Set(this.subNames.keys());
    const client = new SimClient(this.#clients.length, 'probe', this);
    if (client.connect(1_000) !== null) this.fail('nobody is there, and nobody is let in');
    client.say(client.hello());
    for (const name of [...PATTERNS, ...this.#config.topics.slice(0, 3)].slice(0, this.subscriptionsMax))
      client.say(client.subscribe(name, {}));
    this.#settle();
    client.finish();
    for (const { name, sub } of client.views.values()) if (known.has(sub)) this.fail(`${name} is still subscription ${sub}`);
    client.close();
    for (let round = 0; round < 4; round++) {
      this.#settle();
      this.#clock.advance(this.#config.lane.topicIdleMs + 1_000);
      for (let lane = 0; lane < this.#lanes.count; lane++) this.#lanes.tick(lane);
    }
  }

  // ---- bounds

  #checkBounds(): void {
    const { front, lane, egressRingBytes } = this.#config;
    // The transport holds what was sent last, one frame, and pings; the rest waits in the send queue, where policies see it.
    const bufferedMax = front.mergedFrameBytesMax + egressRingBytes / 8 + 100;
    for (const session of this.#front.sessions) {
      const queued = session.queue?.bytes ?? 0;
      // One drain's frames may come on top: they are queued before anybody can look.
      if (queued > 2 * front.sendQueueBytesMax + egressRingBytes) this.fail(`session ${session.number} queues ${queued} bytes`);
      if (session.subscribesPending < 0)
        this.fail(`session ${session.number} has ${session.subscribesPending} subscribes pending`);
    }
    for (const client of this.#clients) {
      const buffered = client.link?.bufferedBytes ?? 0;
      if (buffered > bufferedMax) this.fail(`${client.label} has ${buffered} bytes in the transport's buffer`);
    }
    for (let index = 0; index < this.#lanes.count; index++) {
      if (this.#lanes.backlogCount(index) > 0) this.count('steps with a backlog');
      const metrics = this.#lanes.metrics(index);
      const topics = metrics[LaneMetric.topics] as number;
      const historyBytes = metrics[LaneMetric.historyBytes] as number;
      // A dead-letter topic is made whatever the bound says: at most one for each topic.
      if (topics > 2 * lane.topicsMax) this.fail(`lane ${index} has ${topics} topics, topicsMax is ${lane.topicsMax}`);
      if (historyBytes > lane.historyBytesMax)
        this.fail(`lane ${index} keeps ${historyBytes} bytes, historyBytesMax is ${lane.historyBytesMax}`);
    }
  }

  #checkNothingIsLeft(): void {
    const { connectionCount, subscriptionCount } = this.#front;
    if (connectionCount !== 0) this.fail(`${connectionCount} connections are left`);
    // Lanes that have sent a dead letter elsewhere have a session of their own.
    if ([...this.#front.sessions].some(({ internal }) => !internal)) this.fail('sessions are left');
    if (this.#front.heldBytes !== 0) this.fail(`${this.#front.heldBytes} bytes of messages are left that wait for a turn`);
    if (subscriptionCount !== 0) this.fail(`${subscriptionCount} subscriptions are left in the hub`);
    const { callCount, instanceCount, queryCount } = this.#front;
    if (callCount + instanceCount + queryCount > 0)
      this.fail(`the front has ${callCount} calls, ${instanceCount} instances and ${queryCount} queries left`);
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      const metrics = this.#lanes.metrics(lane);
      for (const gauge of [
        'topics',
        'subscriptions',
        'patterns',
        'sessions',
        'historyBytes',
        'groups',
        'groupMembers',
        'groupPending',
        'groupsWaiting',
        'services',
        'instances',
        'callsInFlight',
        'callsWaiting',
      ] as const) {
        const left = metrics[LaneMetric[gauge]] as number;
        if (left > (gauge === 'sessions' ? this.#lanes.count : 0)) this.fail(`lane ${lane} has ${left} ${gauge} left`);
      }
      if (this.#lanes.backlogCount(lane) > 0) this.fail(`lane ${lane} has records left that found no room`);
    }
  }
}
