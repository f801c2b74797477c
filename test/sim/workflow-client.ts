/**
 * A client of the simulator's world with workflows: starts runs, follows them over disconnects and lanes' deaths, and works on their steps.
 *
 * It believes nothing: every event must be the next one, or the one that everybody else has seen there.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Prng } from '../../src/base/prng.ts';
import { pack, packMessage, unpackMany } from '../../src/protocol/codec.ts';
import { CLOSE_CODES, wireErrorName } from '../../src/protocol/codes.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { isRefusal, type MemoryClient, type MemoryTransport } from '../../src/transport/memory-transport.ts';
import type { Model } from './model.ts';
import { type RunEventSeen, stepKey } from './run-check.ts';
import { ServiceView, type WorkView } from './service-view.ts';
import { show } from './sim-client.ts';
import { LIST_METHOD, STEP_SERVICES } from './workflow-world.ts';

export interface RunKnown {
  readonly workflow: string;
  readonly run: string;
  readonly topic: string;
  readonly epoch: string;
  /** By offset: everybody sees the same. */
  readonly events: Map<number, RunEventSeen>;
}

export interface WorkflowClientWorld {
  readonly model: Model;
  readonly transport: MemoryTransport;
  readonly laneCount: number;
  readonly workflows: readonly string[];
  readonly runs: Map<string, RunKnown>;
  /** Newest offset of a run that anybody has seen. */
  started(workflow: string, key: string | null, answer: StartAnswer): void;
  event(topic: string, offset: number, event: RunEventSeen): void;
  invoked(work: WorkView): void;
  returned(step: string): void;
  refusalsOf(session: number): number;
  trace(who: string, what: string): void;
  count(what: string): void;
  fail(what: string): never;
}

export interface StartAnswer {
  readonly run: string;
  readonly topic: string;
  readonly epoch: string;
  readonly offset: number;
  readonly duplicate?: boolean;
}

interface Watch {
  readonly topic: string;
  readonly epoch: string;
  /** Everything up to it has come. */
  position: number;
  sub: number;
  /** `lost`: the relay has said that something may be missing; what comes is only compared until we are there again. */
  state: 'none' | 'asking' | 'live' | 'lost';
}

interface Command {
  readonly type: number;
  readonly name: string;
  readonly lives: number;
  readonly options: Readonly<Record<string, unknown>>;
  /** Newest offset that we had seen of the run that it is about. */
  readonly offset: number;
}

const EVERY_RUN = '$workflow.>';

export class WorkflowClient {
  readonly index: number;
  readonly #world: WorkflowClientWorld;
  readonly watches = new Map<string, Watch>();
  readonly #commands = new Map<number, Command>();
  #link: MemoryClient | null = null;
  #session = 0;
  #nextId = 1;
  #noise = 0;
  #services: ServiceView | null = null;
  readonly #registered = new Set<string>();
  /** Of the pattern, once it is subscribed to: newest offset by topic, and topics whose next message may come after a gap. */
  #everySub = 0;
  readonly #newest = new Map<string, number>();
  readonly #mayGap = new Set<string>();
  /** Runs as the last list of each workflow has them. */
  readonly states = new Map<string, string>();

  constructor(index: number, world: WorkflowClientWorld) {
    this.index = index;
    this.#world = world;
  }

  get label(): string {
    return `c${this.index}`;
  }
  get isOnline(): boolean {
    return this.#link?.isOpen ?? false;
  }
  get link(): MemoryClient | null {
    return this.#link;
  }
  get pendingCount(): number {
    return this.#commands.size;
  }
  get work(): readonly WorkView[] {
    return [...(this.#services?.work.values() ?? [])];
  }

  // ---- life

  connect(windowBytes: number): boolean {
    const { model, transport, laneCount } = this.#world;
    const result = transport.connect(
      { message: (bytes) => this.#onFrame(bytes), closed: (closeCode, reason) => this.#onClosed(closeCode, reason) },
      { windowBytes },
    );
    if (isRefusal(result)) return false;
    this.#link = result;
    this.#session = result.session.number;
    const session = this.#session;
    this.#services = new ServiceView({
      model,
      session,
      laneCount,
      callsPendingMax: 0,
      invoked: (work) => this.#world.invoked(work),
      returnsRefused: () => this.#world.refusalsOf(session),
      fail: (what) => this.#fail(what),
    });
    this.#world.trace(this.label, `connects as session ${session}`);
    this.#say([MessageType.HELLO, this.#command(MessageType.HELLO, ''), { client: this.label }]);
    this.followUp();
    return true;
  }

  close(): void {
    this.#link?.close(1000);
  }

  cut(): void {
    this.#world.trace(this.label, 'is cut off');
    this.#link?.cut();
  }

  // ---- what it does

  /** Asks again for whatever it follows and is not sure of. */
  followUp(): void {
    for (const watch of this.watches.values()) {
      if (watch.state !== 'none' && watch.state !== 'lost') continue;
      watch.state = 'asking';
      const since = { epoch: watch.epoch, offset: watch.position };
      this.#say([MessageType.SUBSCRIBE, this.#command(MessageType.SUBSCRIBE, watch.topic, { since }), watch.topic, { since }]);
    }
  }

  watch({ topic, epoch }: RunKnown): void {
    if (this.watches.has(topic)) return;
    this.watches.set(topic, { topic, epoch, position: 0, sub: 0, state: 'none' });
    this.followUp();
  }

  watchAll(): void {
    if (this.#everySub === 0)
      this.#say([MessageType.SUBSCRIBE, this.#command(MessageType.SUBSCRIBE, EVERY_RUN), EVERY_RUN, null]);
  }

  start(workflow: string, options: { readonly key?: string; readonly deadlineMs?: number } | null, input: unknown): void {
    this.#world.count('starts');
    this.#say([MessageType.START, this.#command(MessageType.START, workflow, options ?? {}), workflow, options, input]);
  }

  run(known: RunKnown, action: string, more: object = {}): void {
    const options = { run: known.run, action, ...more };
    const offset = this.watches.get(known.topic)?.position ?? 0;
    this.#say([MessageType.RUN, this.#command(MessageType.RUN, known.workflow, options, offset), known.workflow, options]);
  }

  list(workflow: string): void {
    const options = { action: 'list', limit: 80 };
    this.#say([MessageType.RUN, this.#command(MessageType.RUN, workflow, options), workflow, options]);
  }

  askLetters(workflow: string): void {
    const name = `$dead.${workflow}`;
    this.#say([MessageType.HISTORY, this.#command(MessageType.HISTORY, name), name, { limit: 50, reverse: true }]);
  }
  readonly letters = new Map<string, Set<string>>();

  register(service: string, capacity: number, heartbeatMs?: number): void {
    const options = { version: '1.0.0', methods: ['*'], capacity, ...(heartbeatMs === undefined ? {} : { heartbeatMs }) };
    this.#registered.add(service);
    this.#say([MessageType.REGISTER, this.#command(MessageType.REGISTER, service), service, options]);
  }

  deregister(prng: Prng): void {
    if (this.#registered.size === 0) return;
    const service = prng.pick([...this.#registered]);
    this.#registered.delete(service);
    this.#say([MessageType.DEREGISTER, this.#command(MessageType.DEREGISTER, service), service]);
  }

  heartbeat(prng: Prng): void {
    const service = prng.pick(STEP_SERVICES);
    const options = prng.pick([null, { health: 'ok' }, { health: 'degraded' }]);
    this.#say([MessageType.HEARTBEAT, this.#command(MessageType.HEARTBEAT, service), service, options]);
  }

  /** Publishes what nobody reads, so that rings fill. */
  makeNoise(topic: string, bytes: number): void {
    this.#noise++;
    this.#say([MessageType.PUBLISH, 0, topic, null, 'n'.repeat(bytes)]);
  }

  /** `sure`: the result. */
  answer(work: WorkView, prng: Prng, sure: boolean): void {
    const { callId, method, headers } = work;
    const { stage = '', index = '0', attempt = '0', run = '' } = headers;
    const view = this.#services as ServiceView;
    const roll = sure ? 0 : prng.nextFloat();
    if (roll < 0.7) {
      view.over(callId);
      this.#world.returned(`${stepKey(run, stage, index, headers['compensate'] === 'true')} ${attempt}`);
      const made = { stage, index, attempt };
      const items = Array.from({ length: prng.nextInt(0, 4) }, (_, item) => item);
      const result = method === LIST_METHOD ? items : prng.nextBoolean(0.1) ? { ...made, pad: 'p'.repeat(400) } : made;
      this.#return(callId, null, result);
    } else if (roll < 0.78) {
      view.over(callId);
      this.#return(callId, { error: { code: prng.pick(['E1', 'E2']), text: 'no' } }, null);
    } else if (roll < 0.86) this.#return(callId, { heartbeat: true }, null);
    else if (roll < 0.93) {
      if (work.parts++ < work.credit) this.#return(callId, { more: true }, work.parts);
    } else view.over(callId); // Never answered, or late.
    if (roll >= 0.96) {
      this.#world.returned(`${stepKey(run, stage, index, headers['compensate'] === 'true')} ${attempt}`);
      this.#return(callId, null, { stage, index, attempt });
    }
  }

  #return(callId: number, options: object | null, payload: unknown): void {
    this.#services?.returned(callId);
    this.#say([MessageType.RETURN, callId, options, payload]);
  }

  #command(type: number, name: string, options: object = {}, offset = 0): number {
    const id = this.#nextId++;
    this.#commands.set(id, { type, name, options: options as Command['options'], offset, lives: this.#world.model.lifeCount });
    return id;
  }

  #say(message: readonly unknown[]): void {
    this.#world.trace(`${this.label} >`, show(message));
    const [type, id, ...rest] = message as [number, number];
    this.#link?.send(type === MessageType.RETURN ? packMessage(type, id, ...rest) : pack(message));
  }

  // ---- what comes

  #onFrame(bytes: Uint8Array): void {
    for (const message of unpackMany(bytes) as unknown[][]) {
      this.#world.trace(`${this.label} <`, show(message));
      this.#onMessage(message);
    }
  }

  #onMessage(message: readonly unknown[]): void {
    const [type, first] = message as [number, number];
    const services = this.#services as ServiceView;
    switch (type) {
      case MessageType.OK:
        return this.#onOk(first, message[2]);
      case MessageType.ERROR:
        return this.#onError(first, message[2] as number, message[4]);
      case MessageType.MESSAGE:
        return this.#onEvent(first, message[2] as string | null, message[3] as number, message[5] as RunEventSeen);
      case MessageType.EVENT:
        return this.#onLost(first, message[3] as string, message[4] as { reason: string; epoch: string; offset: number });
      case MessageType.INVOKE:
        this.#world.count('INVOKE');
        return services.invoke(message);
      case MessageType.CANCELLED:
        return services.cancelled(message);
      case MessageType.CREDITED:
        return services.credited(message);
      default:
        this.#fail(`got ${show(message)}`);
    }
  }

  #onOk(id: number, result: unknown): void {
    const command = this.#commands.get(id);
    if (command === undefined) this.#fail(`OK to ${id}, which is no command of ours, or was answered before`);
    this.#commands.delete(id);
    const { type, name, options, offset } = command;
    switch (type) {
      case MessageType.START:
        this.#world.started(name, (options['key'] as string | undefined) ?? null, result as StartAnswer);
        return;
      case MessageType.SUBSCRIBE:
        if (name === EVERY_RUN) this.#everySub = (result as { sub: number }).sub;
        else
          this.#joined(
            name,
            options['since'] as { offset: number },
            result as { sub: number; epoch: string; recovered: boolean },
          );
        return;
      case MessageType.HISTORY: {
        const letters = (result as { messages: [number, unknown, { run: string }][] }).messages.map(([, , letter]) => letter.run);
        this.letters.set(name, new Set(letters));
        return;
      }
      case MessageType.RUN:
        if (options['action'] === 'list') {
          for (const { run, state } of (result as { runs: { run: string; state: string }[] }).runs) this.states.set(run, state);
          return;
        }
        if (options['action'] === 'result') return;
        if ((result as { offset: number }).offset < offset)
          this.#fail(`run ${options['run']} is at ${(result as { offset: number }).offset}, and we have seen ${offset}`);
        this.states.set(options['run'] as string, (result as { state: string }).state);
        return;
      default:
    }
  }

  #joined(
    topic: string,
    since: { readonly offset: number },
    { sub, epoch, recovered }: { sub: number; epoch: string; recovered: boolean },
  ): void {
    const watch = this.watches.get(topic) as Watch;
    if (epoch !== watch.epoch) this.#fail(`${topic} is in epoch ${epoch}, and was in ${watch.epoch}`);
    if (recovered !== true) this.#fail(`${topic} is not recovered from ${since.offset}`);
    if (since.offset !== watch.position) this.#fail(`${topic} went on to ${watch.position} while we asked from ${since.offset}`);
    watch.sub = sub;
    watch.state = 'live';
    this.#world.count('watches recovered');
  }

  #onEvent(sub: number, topic: string | null, offset: number, event: RunEventSeen): void {
    if (topic !== null) {
      if (sub !== this.#everySub) this.#fail(`an event of ${topic} by subscription ${sub}`);
      const newest = this.#newest.get(topic);
      if (newest !== undefined && offset <= newest) this.#fail(`event ${offset} of ${topic} came after ${newest}`);
      if (newest !== undefined && offset > newest + 1 && !this.#mayGap.has(topic))
        this.#fail(`event ${offset} of ${topic} came after ${newest}, and nothing names the gap`);
      this.#newest.set(topic, offset);
      this.#mayGap.delete(topic);
      this.#world.event(topic, offset, event);
      return;
    }
    const watch = [...this.watches.values()].find((candidate) => candidate.sub === sub);
    if (watch === undefined) this.#fail(`an event of subscription ${sub}, which we do not have`);
    this.#world.event(watch.topic, offset, event);
    if (watch.state !== 'live') return;
    if (offset !== watch.position + 1) this.#fail(`event ${offset} of ${watch.topic} came, due is ${watch.position + 1}`);
    watch.position = offset;
  }

  #onLost(sub: number, kind: string, { reason, epoch, offset }: { reason: string; epoch: string; offset: number }): void {
    if (kind !== 'lost' || reason !== 'LANE_RESTARTED') this.#fail(`event ${kind} ${reason} of subscription ${sub}`);
    this.#world.count('lost');
    if (sub === this.#everySub) {
      for (const topic of this.#newest.keys()) this.#mayGap.add(topic);
      return;
    }
    const watch = [...this.watches.values()].find((candidate) => candidate.sub === sub);
    if (watch === undefined) return; // Its OK was lost with the lane.
    if (epoch !== watch.epoch)
      this.#fail(`after its lane's death ${watch.topic} is in epoch ${epoch}, and was in ${watch.epoch}`);
    if (offset < watch.position)
      this.#fail(`after its lane's death ${watch.topic} is at ${offset}, and we have seen ${watch.position}`);
    if (watch.state === 'live') watch.state = 'lost';
  }

  #onError(id: number, errorCode: number, details: unknown): void {
    const name = wireErrorName(errorCode);
    this.#world.count(`ERROR ${name}`);
    if (name === 'INTERNAL') this.#fail('INTERNAL');
    if (id === 0) {
      if (this.#services?.error(0, errorCode, details) === true) return;
      if (this.#noise-- <= 0) this.#fail(`${name} with id 0, and nothing asked for it`);
      return;
    }
    const command = this.#commands.get(id);
    if (command === undefined) this.#fail(`${name} to ${id}, which is no command of ours, or was answered before`);
    this.#commands.delete(id);
    const { type, name: asked, lives, options } = command;
    const watch = type === MessageType.SUBSCRIBE ? this.watches.get(asked) : undefined;
    if (watch?.state === 'asking') watch.state = 'lost';
    const isRight =
      name === 'OVERLOADED' ||
      (name === 'LANE_RESTARTED' && this.#world.model.deathCount > lives) ||
      (name === 'NOT_FOUND' && (type === MessageType.HEARTBEAT || type === MessageType.DEREGISTER)) ||
      (name === 'CONFLICT' && type === MessageType.RUN && options['action'] !== 'status') ||
      (name === 'TOO_LARGE' && type === MessageType.START);
    if (!isRight) this.#fail(`${name} to ${show([type, id, asked, options])}`);
    if (name === 'OVERLOADED' && typeof (details as { retryAfterMs?: unknown }).retryAfterMs !== 'number')
      this.#fail('OVERLOADED without retryAfterMs');
  }

  #onClosed(closeCode: number, reason: string): void {
    this.#world.trace(this.label, `closed ${closeCode} ${reason}`);
    const allowed: number[] = [1000, 1006, CLOSE_CODES.SLOW_CONSUMER.code, CLOSE_CODES.NO_PONG.code, CLOSE_CODES.NO_HELLO.code];
    if (!allowed.includes(closeCode)) this.#fail(`closed with ${closeCode} ${reason}`);
    for (const watch of this.watches.values()) {
      watch.state = 'none';
      watch.sub = 0;
    }
    this.#everySub = 0;
    this.#newest.clear();
    this.#mayGap.clear();
    this.#commands.clear();
    this.#registered.clear();
    this.#noise = 0;
    this.#link = null;
  }

  /** Nothing is under way, and every run has ended. */
  finish(): void {
    if (!this.isOnline) return;
    for (const { type, name } of this.#commands.values()) this.#fail(`no answer to ${type} ${name}`);
    this.#services?.finish();
    for (const { topic, state, position } of this.watches.values()) {
      const known = this.#world.runs.get(topic) as RunKnown;
      const newest = Math.max(0, ...known.events.keys());
      if (state !== 'live' || position < newest) this.#fail(`${topic} is ${state} at ${position}, others have seen ${newest}`);
    }
  }

  /** What everybody has seen there must be the same. */
  static isSameEvent(known: RunEventSeen, event: RunEventSeen): boolean {
    return isDeepStrictEqual(known, event);
  }

  #fail(what: string): never {
    this.#world.fail(`${this.label} (session ${this.#session}): ${what}`);
  }
}
