/**
 * A client of the simulator: speaks the wire protocol over the memory transport, believes nothing, and checks every frame it gets.
 *
 * What to do next is the simulator's to say; here is what is known about one client and what must follow from it.
 */
import { isDeepStrictEqual } from 'node:util';
import { pack, packMessage, unpackMany } from '../../src/protocol/codec.ts';
import { CLOSE_CODES, WIRE_ERRORS, wireErrorName } from '../../src/protocol/codes.ts';
import { MessageType, SPEC_BY_TYPE } from '../../src/protocol/types.ts';
import { isRefusal, type MemoryClient, type MemoryRefusal, type MemoryTransport } from '../../src/transport/memory-transport.ts';
import type { Entry, Expected, JoinPlan, Model, TopicModel } from './model.ts';
import { ServiceView } from './service-view.ts';
import { type Asked, type Published, SubscriptionView } from './subscription-view.ts';

export interface SimWorld {
  readonly model: Model;
  readonly transport: MemoryTransport;
  readonly subscriptionsMax: number;
  readonly messageBytesMax: number;
  readonly laneCount: number;
  readonly callsPendingMax: number;
  /** Which name a subscription number stands for, for the whole run. */
  readonly subNames: Map<number, string>;
  /** A drain has begun. */
  readonly isDraining: boolean;
  /** Nothing else goes on: no ring can be full. */
  readonly isQuiet: boolean;
  /** The front cuts who does not answer its close frame in time. */
  readonly mayCut: boolean;
  published(uid: number): Published | undefined;
  givenOnce(what: string): void;
  /** An instance has been given this call. Fails if that was to happen once. */
  invoked(uid: number): void;
  /** Commands of the session that must not be refused and were, within the documented bounds. */
  refusalsOf(session: number): number;
  markBad(session: number, id: number): void;
  trace(who: string, what: string): void;
  count(what: string): void;
  fail(what: string): never;
}

interface Command {
  readonly id: number;
  readonly type: number;
  readonly name: string;
  readonly asked: Asked;
  /** Subscriptions that the relay could have counted when this was sent. */
  readonly subscriptions: number;
  /** The subscription is there already: asking again needs no room. */
  readonly isAgain: boolean;
  /** Records that the lanes had handled then. */
  readonly order: number;
  /** Wrong on purpose: BAD_REQUEST. */
  readonly isBad: boolean;
  /** Of all lanes, then. */
  readonly lives: number;
}

const code = (name: keyof typeof WIRE_ERRORS): number => WIRE_ERRORS[name].code;
/** Errors that say how long to wait. */
const WAIT_HELPS = ['RATE_LIMITED', 'OVERLOADED', 'NO_RESPONDERS', 'LANE_RESTARTED'];
const PATTERN = /[*>]/;

export class SimClient {
  readonly index: number;
  /** HELLO `client`; null: a new member with every connection. */
  readonly name: string | null;
  readonly #world: SimWorld;
  #link: MemoryClient | null = null;
  #nextId = 1;
  #session = 0;
  readonly #commands = new Map<number, Command>();
  readonly views = new Map<string, SubscriptionView>();
  /** Calls, and work for others; null before the first connection. */
  services: ServiceView | null = null;
  readonly #bySub = new Map<number, SubscriptionView>();
  /** Where each subscription stood when its connection ended. */
  readonly positions = new Map<string, { readonly epoch: string; readonly offset: number }>();
  /** Presence as folded from events, by topic; the member that is us is left out. */
  readonly #folds = new Map<string, Map<string, unknown>>();
  /** Messages sent that are answered with an id 0 at most. */
  #faults = 0;
  /** Close codes that we have asked for. */
  readonly #deserved = new Set<number>();
  #sessionId = '';
  goaways = 0;

  constructor(index: number, name: string | null, world: SimWorld) {
    this.index = index;
    this.name = name;
    this.#world = world;
  }

  get isOnline(): boolean {
    return this.#link?.isOpen ?? false;
  }
  get link(): MemoryClient | null {
    return this.#link;
  }
  get label(): string {
    return `c${this.index}`;
  }
  get pendingCount(): number {
    return this.#commands.size;
  }
  /** Presence id of this connection. */
  get memberId(): string {
    return this.name ?? this.#sessionId;
  }

  // ---- life

  /** True: connected, and HELLO is on its way (with `more` behind it). */
  connect(windowBytes: number): MemoryRefusal | null {
    const result = this.#world.transport.connect(
      { message: (bytes) => this.#onFrame(bytes), closed: (closeCode, reason) => this.#onClosed(closeCode, reason) },
      { windowBytes },
    );
    if (isRefusal(result)) return result;
    this.#link = result;
    this.#session = result.session.number;
    this.services = this.#newServices();
    this.#world.trace(this.label, `connects as session ${this.#session}, window ${windowBytes}`);
    return null;
  }

  hello(): unknown[] {
    const id = this.#command(MessageType.HELLO, '');
    return [MessageType.HELLO, id, this.name === null ? {} : { client: this.name }];
  }

  close(): void {
    this.#deserved.add(1000);
    this.#world.trace(this.label, 'closes');
    this.#link?.close(1000);
  }

  cut(): void {
    this.#deserved.add(1006);
    this.#world.trace(this.label, 'is cut off');
    this.#link?.cut();
  }

  // ---- commands: each makes the message, `say` sends

  subscribe(name: string, asked: Asked): unknown[] {
    const id = this.#command(MessageType.SUBSCRIBE, name, asked);
    this.views.get(name)?.askingAgain(asked);
    return [MessageType.SUBSCRIBE, id, name, Object.keys(asked).length === 0 ? null : asked];
  }

  unsubscribe(name: string): unknown[] {
    const view = this.views.get(name);
    if (view !== undefined) view.isLeaving = true;
    return [MessageType.UNSUBSCRIBE, this.#command(MessageType.UNSUBSCRIBE, name), name];
  }

  publish(published: Published, options: object | null, wantsReply: boolean): unknown[] {
    const id = wantsReply ? this.#command(MessageType.PUBLISH, published.topic) : this.#silent();
    return [MessageType.PUBLISH, id, published.topic, options, [published.uid, published.pad]];
  }

  ack(name: string, options: object, wantsReply: boolean): unknown[] {
    return [MessageType.ACK, wantsReply ? this.#command(MessageType.ACK, name) : this.#silent(), name, options];
  }

  history(name: string, options: object | null): unknown[] {
    return [MessageType.HISTORY, this.#command(MessageType.HISTORY, name), name, options];
  }

  presence(name: string, options: object | null): unknown[] {
    return [MessageType.PRESENCE, this.#command(MessageType.PRESENCE, name), name, options];
  }

  ping(): unknown[] {
    return [MessageType.PING, this.#command(MessageType.PING, '')];
  }

  register(service: string, options: { readonly heartbeatMs?: number }): unknown[] {
    const known = this.services?.serves.get(service);
    const heartbeatMs = Math.max(options.heartbeatMs ?? 0, known?.heartbeatMs ?? 0);
    this.services?.serves.set(service, { isSure: false, heartbeatMs });
    return [MessageType.REGISTER, this.#command(MessageType.REGISTER, service), service, options];
  }

  deregister(service: string): unknown[] {
    this.#unsure(service);
    return [MessageType.DEREGISTER, this.#command(MessageType.DEREGISTER, service), service];
  }

  heartbeat(service: string, options: object | null): unknown[] {
    return [MessageType.HEARTBEAT, this.#command(MessageType.HEARTBEAT, service), service, options];
  }

  askServices(name: string, options: object | null): unknown[] {
    return [MessageType.SERVICES, this.#command(MessageType.SERVICES, name), name, options];
  }

  /** `again`: an id that is in flight; null: a new one; 0: no answer is wanted. */
  call(
    service: string,
    method: string,
    options: object | null,
    payload: readonly [uid: number, pad: string],
    again: number | null,
  ): unknown[] {
    const id = again ?? this.#nextId++;
    if (id === 0) this.#silent();
    else {
      const bad = [...this.#commands.values()].filter(({ type }) => type === MessageType.CALL).length;
      this.services?.called(id, payload[0], service, bad);
    }
    return [MessageType.CALL, id, service, method, options, payload];
  }

  cancel(service: string, id: number): unknown[] {
    return [MessageType.CANCEL, this.#silent(), service, id];
  }

  credit(service: string, id: number, count: number): unknown[] {
    return [MessageType.CREDIT, this.#silent(), service, id, count];
  }

  return(callId: number, options: object | null, payload: unknown): unknown[] {
    this.services?.returned(callId);
    return [MessageType.RETURN, callId, options, payload];
  }

  /** A command whose answer is BAD_REQUEST. */
  bad(type: number, name: string, ...rest: readonly unknown[]): unknown[] {
    const id = this.#command(type, name, {}, true);
    this.#world.markBad(this.#session, id);
    return [type, id, name, ...rest];
  }

  secondHello(): unknown[] {
    return [MessageType.HELLO, this.#command(MessageType.HELLO, 'again'), {}];
  }

  /** Well formed, and no message: answered with id 0. */
  fault(message: unknown): unknown {
    this.#faults++;
    return message;
  }

  /** Several messages in one WebSocket message, or as few as they fit in. */
  say(...messages: readonly unknown[]): void {
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for (const message of messages) {
      this.#world.trace(`${this.label} >`, show(message));
      const part = packed(message);
      if (bytes + part.length > this.#world.messageBytesMax) {
        this.#link?.send(Buffer.concat(parts));
        parts = [];
        bytes = 0;
      }
      parts.push(part);
      bytes += part.length;
    }
    this.#link?.send(Buffer.concat(parts));
  }

  /** Not a message at all; the relay will close with this code. */
  sayRaw(bytes: Uint8Array, isBinary: boolean, closeCode: number): void {
    this.#world.trace(`${this.label} >`, `${bytes.length} raw bytes, for ${closeCode}`);
    this.#deserved.add(closeCode);
    this.#faults++;
    this.#link?.send(bytes, isBinary);
  }

  #command(type: number, name: string, asked: Asked = {}, isBad = false): number {
    const id = this.#nextId++;
    let subscriptions = this.views.size;
    for (const other of this.#commands.values()) if (other.type === MessageType.SUBSCRIBE) subscriptions++;
    const isAgain = this.views.get(name)?.isLeaving === false;
    this.#commands.set(id, {
      id,
      type,
      name,
      asked,
      subscriptions,
      isAgain,
      isBad,
      order: this.#world.model.order,
      lives: this.#world.model.lifeCount,
    });
    return id;
  }

  #silent(): number {
    this.#faults++;
    return 0;
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
    this.#world.count(countName(message));
    if (message.length !== SPEC_BY_TYPE[type]?.arity || SPEC_BY_TYPE[type]?.sender !== 'relay')
      this.#fail(`got ${show(message)}`);
    switch (type) {
      case MessageType.OK:
        this.#onOk(first, message[2]);
        return;
      case MessageType.ERROR:
        this.#onError(first, message[2] as number, message[4]);
        return;
      case MessageType.MESSAGE:
      case MessageType.EVENT: {
        const view = this.#bySub.get(first);
        if (view === undefined) this.#fail(`${SPEC_BY_TYPE[type]?.name} of subscription ${first}, which we do not have`);
        const topic = message[2] as string | null;
        if (type === MessageType.MESSAGE) {
          if ((topic === null) === view.isPattern) this.#fail(`message of ${view.name} with topic ${topic}`);
          view.message(topic ?? view.name, message[3] as number, message[4] as object | null, message[5]);
        } else {
          view.event(topic ?? view.name, message[3] as string, message[4]);
          this.#fold(view.name, message[3] as string, message[4]);
        }
        return;
      }
      case MessageType.INVOKE:
        this.#serving.invoke(message);
        return;
      case MessageType.RESULT:
        this.#serving.result(message);
        return;
      case MessageType.CANCELLED:
        this.#serving.cancelled(message);
        return;
      case MessageType.CREDITED:
        this.#serving.credited(message);
        return;
      case MessageType.GOAWAY:
        this.goaways++;
        if (!this.#world.isDraining || this.goaways > 1) this.#fail('GOAWAY out of the blue');
        return;
      default:
        this.#fail(`got ${show(message)}`);
    }
  }

  get #serving(): ServiceView {
    return this.services as ServiceView;
  }

  #newServices(): ServiceView {
    const { model, laneCount, callsPendingMax } = this.#world;
    const session = this.#session;
    return new ServiceView({
      model,
      session,
      laneCount,
      callsPendingMax,
      invoked: ({ payload }) => this.#world.invoked((payload as [number])[0]),
      returnsRefused: () => this.#world.refusalsOf(session),
      fail: (what) => this.#fail(what),
    });
  }

  #take(id: number, what: string): Command {
    const command = this.#commands.get(id);
    if (command === undefined) this.#fail(`${what} for ${id}, which is no command of ours, or was answered before`);
    this.#commands.delete(id);
    return command;
  }

  #onOk(id: number, result: unknown): void {
    const command = this.#take(id, 'OK');
    if (command.isBad) this.#fail(`OK to ${commandText(command)}, which is wrong`);
    const expected = this.#world.model.takeExpected(this.#session, id);
    switch (command.type) {
      case MessageType.HELLO:
        if (command.name !== '') this.#fail('OK to a second HELLO');
        this.#sessionId = (result as { session: string }).session;
        return;
      case MessageType.PING:
        return;
      case MessageType.SUBSCRIBE:
        this.#onSubscribed(command, expected, result as { sub: number; replay: number; recovered?: boolean });
        return;
      case MessageType.SERVICES:
        this.#onServices(command, id, (result as { services: { service: string }[] }).services);
        return;
      case MessageType.UNSUBSCRIBE:
        if (result !== null) this.#fail(`OK to ${commandText(command)} with ${show(result)}`);
        this.#onUnsubscribed(command);
        return;
      default: {
        const due = this.#dueOk(command, expected);
        const got =
          command.type === MessageType.HISTORY ? this.#withUids(command.name, result as { messages: unknown[][] }) : result;
        if (this.#world.model.knowsRetention || command.type !== MessageType.HISTORY) this.#same(command, got, due.result);
        if (command.type === MessageType.PUBLISH && due.entry !== undefined)
          this.#requireOwnCopies(due.entry, due.topic as TopicModel);
        if (command.type === MessageType.REGISTER) this.#registered(command.name);
        if (command.type === MessageType.PRESENCE)
          this.#compareFold(command.name, result as { count: number; members?: { id: string; data?: unknown }[] });
      }
    }
  }

  /** Registered, unless something that may undo it is under way. */
  #registered(service: string): void {
    const serves = this.#serving.serves.get(service);
    const isLeaving = [...this.#commands.values()].some(({ type, name }) => type === MessageType.DEREGISTER && name === service);
    if (serves !== undefined) serves.isSure = !isLeaving;
  }

  /** Lanes list their services in an order of their own. */
  #onServices(command: Command, id: number, got: { readonly service: string }[]): void {
    const due = this.#world.model.takeReport(this.#session, id) as { service: string }[];
    const sorted = (list: { readonly service: string }[]): object[] =>
      [...list].sort((one, other) => (one.service < other.service ? -1 : 1));
    this.#same(command, sorted(got), sorted(due));
  }

  #withUids(name: string, result: { readonly messages: readonly unknown[][] }): object {
    const { model } = this.#world;
    const uidOf = (payload: unknown): unknown => (model.isOwn(name) ? model.ownUid(name, payload) : (payload as [number])[0]);
    return { ...result, messages: result.messages.map(([offset, meta, payload]) => [offset, meta, uidOf(payload)]) };
  }

  #dueOk(command: Command, expected: Expected | undefined): Extract<Expected, { kind: 'ok' }> {
    if (expected === undefined) this.#fail(`OK to ${commandText(command)}, which no lane has handled`);
    if (expected.kind === 'error') this.#fail(`OK to ${commandText(command)}, due is ERROR ${expected.code}`);
    return expected;
  }

  #same(command: Command, got: unknown, due: unknown): void {
    if (!isDeepStrictEqual(got, due)) this.#fail(`${commandText(command)} is answered ${show(got)}, due is ${show(due)}`);
  }

  #onSubscribed(
    command: Command,
    expected: Expected | undefined,
    result: { sub: number; replay: number; recovered?: boolean },
  ): void {
    const { name, asked } = command;
    const isPattern = PATTERN.test(name);
    const { sub, ...rest } = result;
    const known = this.#world.subNames.get(sub);
    if (known !== undefined && known !== name) this.#fail(`subscription ${sub} is ${name}, and was ${known}`);
    this.#world.subNames.set(sub, name);
    let view = this.views.get(name);
    const isFirst = view === undefined;
    if (view !== undefined && view.sub !== sub) this.#fail(`subscription to ${name} is ${sub}, and was ${view.sub}`);
    if (view === undefined) {
      const { model } = this.#world;
      const published = (uid: number) => this.#world.published(uid);
      const givenOnce = (what: string) => this.#world.givenOnce(what);
      const fail = (what: string): never => this.#fail(what);
      view = new SubscriptionView(name, isPattern, sub, { model, session: this.#session, published, givenOnce, fail });
      view.isLeaving = this.#isLeaving(name);
      for (const other of this.#commands.values()) {
        if (other.type === MessageType.SUBSCRIBE && other.name === name)
          view.asking(other.asked, expected?.kind === 'ok' ? (expected.topic ?? null) : null);
      }
      this.views.set(name, view);
      this.#bySub.set(sub, view);
      if (this.views.size > this.#world.subscriptionsMax)
        this.#fail(`${this.views.size} subscriptions, subscriptionsMax is ${this.#world.subscriptionsMax}`);
    }
    if (isPattern) {
      const recovery = asked.since === undefined ? {} : { recovered: false, reason: 'NO_HISTORY' };
      this.#same(command, rest, { epoch: null, offset: 0, ...recovery, replay: 0 });
      view.joinedPattern(asked, isFirst, command.order);
      return;
    }
    const due = this.#dueOk(command, expected);
    if (this.#world.model.knowsRetention) this.#same(command, rest, due.result);
    view.joined(asked, due.join as JoinPlan, result, isFirst);
    this.#folds.delete(name);
  }

  #isLeaving(name: string): boolean {
    return [...this.#commands.values()].some((command) => command.type === MessageType.UNSUBSCRIBE && command.name === name);
  }

  #onUnsubscribed({ name }: Command): void {
    const view = this.views.get(name);
    if (view === undefined) this.#fail(`unsubscribed from ${name}, which we did not have`);
    this.#dropView(view);
  }

  #dropView(view: SubscriptionView): void {
    const { position } = view;
    if (position !== null && position.offset > 0) this.positions.set(view.name, position);
    this.views.delete(view.name);
    this.#bySub.delete(view.sub);
    this.#folds.delete(view.name);
  }

  #onError(id: number, errorCode: number, details: unknown): void {
    const name = wireErrorName(errorCode);
    if (WAIT_HELPS.includes(name) && !hasRetryAfter(details)) this.#fail(`${name} without retryAfterMs`);
    if (errorCode === code('INTERNAL')) this.#fail('INTERNAL');
    if (this.#serving.error(id, errorCode, details)) return;
    if (id === 0) {
      if (this.#faults-- <= 0) this.#fail(`${name} with id 0, and nothing asked for it`);
      return;
    }
    const command = this.#take(id, name);
    if (command.type === MessageType.UNSUBSCRIBE && !this.#isLeaving(command.name)) this.views.get(command.name)?.stays();
    const expected = this.#world.model.takeExpected(this.#session, id);
    if (command.type === MessageType.DEREGISTER || command.type === MessageType.REGISTER) this.#unsure(command.name);
    if (errorCode === code('LANE_RESTARTED')) {
      if (command.type === MessageType.SERVICES && this.#world.model.deathCount > command.lives) return;
      if (!this.#world.model.wasLost(this.#session, id))
        this.#fail(`LANE_RESTARTED to ${commandText(command)}, which was not lost`);
      return;
    }
    if (expected !== undefined) {
      if (expected.kind === 'ok') this.#fail(`${name} to ${commandText(command)}, due is OK ${show(expected.result)}`);
      if (expected.code !== errorCode) this.#fail(`${name} to ${commandText(command)}, due is ${wireErrorName(expected.code)}`);
      return;
    }
    if (!this.#isFrontError(command, errorCode)) this.#fail(`${name} to ${commandText(command)}`);
  }

  /** What became of it is not known. */
  #unsure(service: string): void {
    const serves = this.#serving.serves.get(service);
    if (serves !== undefined) serves.isSure = false;
  }

  /** Errors that the front answers by itself, and may. */
  #isFrontError(command: Command, errorCode: number): boolean {
    const isPattern = PATTERN.test(command.name);
    switch (errorCode) {
      case code('OVERLOADED'):
        return command.type !== MessageType.HELLO && command.type !== MessageType.PING && !this.#world.isQuiet;
      case code('BAD_REQUEST'):
        return command.isBad;
      case code('LIMIT'):
        if (command.type === MessageType.CALL) return command.isBad; // As any other CALL.
        return (
          command.type === MessageType.SUBSCRIBE && !command.isAgain && command.subscriptions >= this.#world.subscriptionsMax
        );
      case code('CONFLICT'):
        return command.type === MessageType.HELLO && command.name !== '';
      case code('NOT_FOUND'):
        return command.type === MessageType.UNSUBSCRIBE && isPattern && !this.views.has(command.name);
      default:
        return false;
    }
  }

  #requireOwnCopies(entry: Entry, topic: TopicModel): void {
    for (const view of this.views.values()) {
      if (view.name === topic.name || (view.isPattern && view.covers(topic.name))) view.requireOwnCopy(entry, topic);
    }
  }

  // ---- presence, folded from events as a client would

  #fold(name: string, kind: string, data: unknown): void {
    if (kind === 'lost') this.#folds.delete(name);
    const members = this.#folds.get(name);
    if (members === undefined) return;
    const { id, count, ...rest } = data as { id: string; count: number; data?: unknown };
    if (kind === 'join' || kind === 'update') members.set(id, rest.data);
    else if (kind === 'leave') members.delete(id);
  }

  #compareFold(name: string, { members }: { readonly members?: { id: string; data?: unknown }[] }): void {
    if (members === undefined || !(this.views.get(name)?.isWatching ?? false)) return;
    const others = new Map(members.filter(({ id }) => id !== this.memberId).map(({ id, data }) => [id, data]));
    const fold = this.#folds.get(name);
    fold?.delete(this.memberId);
    if (fold !== undefined && !isDeepStrictEqual(fold, others)) {
      this.#fail(`presence of ${name} folds to ${show([...fold])}, the relay says ${show([...others])}`);
    }
    this.#folds.set(name, others);
  }

  // ---- the end

  #onClosed(closeCode: number, reason: string): void {
    this.#world.trace(`${this.label} <`, `closed ${closeCode} ${reason}`);
    this.#world.count(`closed ${closeCode}`);
    const allowed: number[] = [CLOSE_CODES.SLOW_CONSUMER.code, CLOSE_CODES.NO_PONG.code, CLOSE_CODES.NO_HELLO.code];
    if (this.#world.isDraining) allowed.push(CLOSE_CODES.SHUTDOWN.code);
    if (this.#world.mayCut) allowed.push(1006);
    if (!this.#deserved.has(closeCode) && !allowed.includes(closeCode)) this.#fail(`closed with ${closeCode} ${reason}`);
    for (const view of [...this.views.values()]) this.#dropView(view);
    this.#commands.clear();
    this.#deserved.clear();
    this.#faults = 0;
    this.goaways = 0;
    this.#link = null;
  }

  /** Nothing is under way any more. */
  finish(): void {
    if (!this.isOnline) return;
    for (const command of this.#commands.values()) this.#fail(`no answer to ${commandText(command)}`);
    this.#serving.finish();
    for (const view of this.views.values()) view.finish();
  }

  #fail(what: string): never {
    this.#world.fail(`${this.label} (session ${this.#session}): ${what}`);
  }
}

/** Numbers of calls may be larger than `pack` makes integers of. */
function packed(message: unknown): Uint8Array {
  const [type, id, ...rest] = Array.isArray(message) ? (message as unknown[]) : [];
  if (type !== MessageType.RETURN) return pack(message);
  return packMessage(type, id as number, ...rest);
}

function hasRetryAfter(details: unknown): boolean {
  return typeof (details as { retryAfterMs?: unknown } | null)?.retryAfterMs === 'number';
}

function commandText({ type, id, name, asked }: Command): string {
  return `${SPEC_BY_TYPE[type]?.name} ${id} ${name} ${show(asked)}`;
}

/** `EVENT skip conflate`, `ERROR OVERLOADED`, `OK recovered`: what the statistics call a message. */
function countName([type, , second, third, data]: readonly unknown[]): string {
  const name = SPEC_BY_TYPE[type as number]?.name ?? '';
  if (type === MessageType.ERROR) return `${name} ${wireErrorName(second as number)}`;
  if (type === MessageType.EVENT) {
    const { reason, group } = data as { reason?: string; group?: string };
    return [name, third, reason, group === undefined ? '' : 'to a group'].filter(Boolean).join(' ');
  }
  if (type === MessageType.MESSAGE) {
    const { attempt, headers } = (data ?? {}) as { attempt?: number; headers?: { attempts?: string } };
    if (headers?.attempts !== undefined) return `${name} dead letter`;
    return attempt === undefined ? name : `${name} attempt ${attempt === 1 ? '1' : '2 and more'}`;
  }
  if (type !== MessageType.OK) return name;
  const { recovered, reason } = (second ?? {}) as { recovered?: boolean; reason?: string };
  return recovered === undefined ? name : `${name} ${recovered ? 'recovered' : reason}`;
}

/** Short and stable: what a trace prints and the hash is made of. */
export function show(value: unknown): string {
  return (
    JSON.stringify(value, (_, part: unknown) =>
      typeof part === 'bigint' ? Number(part) : typeof part === 'string' && part.length > 40 ? `${part.length} characters` : part,
    ) ?? 'nothing'
  );
}
