/**
 * MiniRelay: just enough of a relay, in memory, to hold a client against: streams with history, recovery, keys, patterns, presence
 * counts, services and workflows (in files of their own), and the faults a network has. Its WebSockets are class instances, its time is what it is given, so it runs under a seed too.
 *
 * Written from docs/protocol.md, not from the server's code: where the two disagree, one of them is wrong.
 */
import type { Timers, WebSocketConstructor, WebSocketLike } from '../../../src/client/platform.ts';
import { pack, unpackMany } from '../../../src/protocol/codec.ts';
import { matches } from '../../../src/protocol/names.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import { MiniServices } from './mini-services.ts';
import { MiniWorkflows } from './mini-workflows.ts';

interface Kept {
  readonly offset: number;
  readonly meta: object | null;
  readonly payload: unknown;
  readonly isEcholess: boolean;
}

interface Topic {
  readonly name: string;
  readonly epoch: string;
  readonly sub: number;
  offset: number;
  log: Kept[];
  /** The log without a bound, for what a test wants to know in the end. */
  readonly everything: Kept[];
  readonly keys: Map<string, number>;
}

type Options = Record<string, unknown>;

export interface MiniRelayOptions {
  readonly timers?: Timers;
  /** One way, for each WebSocket message; order is kept. */
  readonly latencyMs?: () => number;
  readonly historyMax?: number;
  readonly recoveryMax?: number;
  /** Asked for each command but HELLO: true refuses it with OVERLOADED. */
  readonly refuses?: () => boolean;
  /** Tokens expire after this time, and after another `tokenGraceMs` their connections end. Asked for each token. */
  readonly tokenLifeMs?: () => number;
  readonly tokenGraceMs?: number;
  readonly nowMs?: () => number;
}

const systemTimers: Timers = {
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

export class MiniRelay {
  readonly WebSocket: WebSocketConstructor;
  readonly connections = new Set<MiniConnection>();
  readonly topics = new Map<string, Topic>();
  readonly timers: Timers;
  readonly latencyMs: () => number;
  readonly services: MiniServices;
  readonly workflows: MiniWorkflows;
  /** False: connects fail. */
  isUp = true;
  /** Commands refused for an expired token, and tokens that were renewed in place. */
  expiredCount = 0;
  refreshedCount = 0;
  readonly nowMs: () => number;
  #refuses: () => boolean;
  readonly #tokenLifeMs: (() => number) | undefined;
  readonly #tokenGraceMs: number;
  #historyMax: number;
  #recoveryMax: number;
  #nextNumber = 1;
  readonly #patternSubs = new Map<string, number>();

  constructor({
    timers = systemTimers,
    latencyMs = () => 0,
    historyMax = 1_000,
    recoveryMax = 300,
    refuses = () => false,
    tokenLifeMs,
    tokenGraceMs = 1_000,
    nowMs = () => Date.now(),
  }: MiniRelayOptions = {}) {
    this.timers = timers;
    this.latencyMs = latencyMs;
    this.#historyMax = historyMax;
    this.#recoveryMax = recoveryMax;
    this.#refuses = refuses;
    this.#tokenLifeMs = tokenLifeMs;
    this.#tokenGraceMs = tokenGraceMs;
    this.nowMs = nowMs;
    this.services = new MiniServices(timers);
    this.workflows = new MiniWorkflows(this.services, {
      publishOwn: (topic, payload) => void this.#publish(null, [MessageType.PUBLISH, 0, topic, null, payload]),
      position: (topic) => this.topic(topic),
    });
    const relay = this;
    this.WebSocket = class extends MiniConnection {
      constructor() {
        super(relay);
      }
    };
  }

  topic(name: string): Topic {
    let topic = this.topics.get(name);
    if (topic === undefined) {
      const number = this.#nextNumber++;
      topic = { name, epoch: `e${number}`, sub: number, offset: 0, log: [], everything: [], keys: new Map() };
      this.topics.set(name, topic);
    }
    return topic;
  }

  everything(name: string): readonly Kept[] {
    return this.topic(name).everything;
  }

  /** Every connection breaks; what is under way in either direction is lost. */
  cutAll(code = 1006): void {
    for (const connection of [...this.connections]) connection.cut(code);
  }

  goAway(deadlineMs: number, reconnectAfterMs: number): void {
    for (const connection of this.connections)
      connection.say([MessageType.GOAWAY, { reason: 'drain', deadlineMs, reconnectAfterMs }]);
  }

  handle(connection: MiniConnection, command: unknown[]): void {
    const [type, id] = command as [number, number];
    if (type !== MessageType.HELLO && this.#refuses()) {
      connection.say([MessageType.ERROR, id, 106, 'full: retryAfterMs=5', { retryAfterMs: 5 }]);
      return;
    }
    const isFree = type === MessageType.HELLO || type === MessageType.REFRESH || type === MessageType.PING;
    if (connection.isExpired && !isFree) {
      this.expiredCount++;
      connection.say([MessageType.ERROR, id, 114, 'token expired', null]);
      return;
    }
    const ok = (result: unknown) => {
      if (id !== 0) connection.say([MessageType.OK, id, result]);
    };
    switch (type) {
      case MessageType.HELLO:
        connection.name = String((command[2] as Options)['client'] ?? '');
        ok({
          session: `s${this.#nextNumber++}`,
          version: 1,
          limits: { messageBytesMax: 65_536, payloadBytesMax: 65_000, subscriptionsMax: 1_000, sendQueueBytesMax: 1_048_576 },
          pingIntervalMs: 1_000,
          reconnectJitterMs: 10,
          features: [],
          ...this.#renew(connection),
        });
        return;
      case MessageType.REFRESH:
        this.refreshedCount++;
        ok(this.#renew(connection));
        return;
      case MessageType.PUBLISH:
        ok(this.#publish(connection, command));
        return;
      case MessageType.SUBSCRIBE:
        this.#subscribe(connection, command, ok);
        return;
      case MessageType.UNSUBSCRIBE:
        connection.subs.delete(command[2] as string);
        connection.groups.delete(command[2] as string);
        ok(null);
        return;
      case MessageType.ACK:
        ok(null); // One member a group, and no timeouts.
        return;
      case MessageType.HISTORY: {
        const topic = this.topic(command[2] as string);
        const { since, limit = 100 } = (command[3] ?? {}) as { since?: { epoch: string; offset: number }; limit?: number };
        if (since !== undefined && since.epoch !== topic.epoch) {
          connection.say([MessageType.ERROR, id, 112, 'another epoch', null]);
          return;
        }
        const wanted = topic.log.filter(({ offset }) => offset > (since?.offset ?? 0));
        const messages = wanted.slice(0, limit).map(({ offset, meta, payload }) => [offset, meta, payload]);
        ok({
          epoch: topic.epoch,
          first: topic.log[0]?.offset ?? topic.offset + 1,
          offset: topic.offset,
          messages,
          more: wanted.length > messages.length,
        });
        return;
      }
      case MessageType.PRESENCE: {
        const members = [...this.connections]
          .filter(({ subs }) => subs.has(command[2] as string))
          .map(({ name }) => ({ id: name }));
        ok({ count: members.length, members });
        return;
      }
      case MessageType.PING:
        ok({ timeUs: this.nowMs() * 1_000 });
        return;
      default:
        if (this.services.handle(connection, command, ok) || this.workflows.handle(connection, command, ok)) return;
        connection.say([MessageType.ERROR, id, 100, 'not supported', null]);
    }
  }

  /** A token of its own life for each connection and each REFRESH. */
  #renew(connection: MiniConnection): object {
    const lifeMs = this.#tokenLifeMs?.();
    if (lifeMs === undefined) return {};
    connection.renew(lifeMs, this.#tokenGraceMs);
    return { subject: connection.name, expiresAtMs: this.nowMs() + lifeMs };
  }

  #publish(publisher: MiniConnection | null, [, , name, options, payload]: unknown[]): object {
    const topic = this.topic(name as string);
    const { key, headers, echo } = (options ?? {}) as { key?: string; headers?: object; echo?: boolean };
    const known = key === undefined ? undefined : topic.keys.get(key);
    if (known !== undefined) return { epoch: topic.epoch, offset: known, duplicate: true };
    const kept: Kept = { offset: ++topic.offset, meta: headers ? { headers } : null, payload, isEcholess: echo === false };
    topic.log.push(kept);
    topic.everything.push(kept);
    if (topic.log.length > this.#historyMax) topic.log.shift();
    if (key !== undefined) topic.keys.set(key, kept.offset);
    for (const connection of this.connections) {
      if (echo === false && connection === publisher) continue;
      for (const sub of connection.subs) {
        const meta = connection.groups.has(sub) ? { ...kept.meta, attempt: 1 } : kept.meta;
        if (sub === topic.name) connection.say([MessageType.MESSAGE, topic.sub, null, kept.offset, meta, payload]);
        else if (matches(sub, topic.name))
          connection.say([MessageType.MESSAGE, this.#patternSub(sub), topic.name, kept.offset, kept.meta, payload]);
      }
    }
    return { epoch: topic.epoch, offset: kept.offset };
  }

  #subscribe(connection: MiniConnection, [, , name, options]: unknown[], ok: (result: unknown) => void): void {
    const { since, last, ack } = (options ?? {}) as { since?: { epoch: string; offset: number }; last?: number; ack?: boolean };
    connection.subs.add(name as string);
    if (ack === true) connection.groups.add(name as string);
    if (/[*>]/.test(name as string)) {
      ok({
        sub: this.#patternSub(name as string),
        epoch: null,
        offset: 0,
        ...(since ? { recovered: false, reason: 'NO_HISTORY' } : {}),
        replay: 0,
      });
      return;
    }
    const topic = this.topic(name as string);
    const { epoch, offset, sub } = topic;
    let from = last ? offset - last + 1 : offset + 1;
    let verdict: object = {};
    if (since) {
      const first = topic.log[0]?.offset ?? offset + 1;
      const lost = [since.offset + 1, offset];
      if (since.epoch !== epoch) verdict = { recovered: false, reason: 'EPOCH_CHANGED' };
      else if (since.offset > offset) verdict = { recovered: false, reason: 'OFFSET_AHEAD' };
      else if (since.offset < offset && since.offset + 1 < first) verdict = { recovered: false, reason: 'EVICTED', lost };
      else if (offset - since.offset > this.#recoveryMax) verdict = { recovered: false, reason: 'TOO_MANY', lost };
      else {
        verdict = { recovered: true };
        from = since.offset + 1;
      }
    }
    const replay = topic.log.filter((kept) => kept.offset >= from);
    ok({ sub, epoch, offset, ...verdict, replay: replay.length });
    for (const kept of replay)
      connection.say([MessageType.MESSAGE, sub, null, kept.offset, { ...kept.meta, recovered: true }, kept.payload]);
  }

  #patternSub(pattern: string): number {
    let sub = this.#patternSubs.get(pattern);
    if (sub === undefined) this.#patternSubs.set(pattern, (sub = this.#nextNumber++));
    return sub;
  }
}

/** Both ends of one WebSocket. */
class MiniConnection implements WebSocketLike {
  binaryType = '';
  bufferedAmount = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  name = '';
  readonly subs = new Set<string>();
  /** Topics on which it is in a group with ack. */
  readonly groups = new Set<string>();
  isExpired = false;
  #expiry: unknown;
  readonly #relay: MiniRelay;
  #isOpen = true;
  #saying: Uint8Array[] = [];

  constructor(relay: MiniRelay) {
    this.#relay = relay;
    if (!relay.isUp) {
      this.#isOpen = false;
      relay.timers.setTimeout(() => this.onclose?.({ code: 1006, reason: '' } as never), 1);
      return;
    }
    relay.connections.add(this);
    this.#travel(() => this.onopen?.({} as never));
  }

  // ---- the client's end

  send(data: Uint8Array<ArrayBuffer>): void {
    this.#travel(() => {
      for (const command of unpackMany(data)) this.#relay.handle(this, command as unknown[]);
    });
  }

  close(code = 1000, reason = ''): void {
    if (!this.#isOpen) return;
    this.#travel(() => this.cut(code, reason));
  }

  // ---- the relay's end

  /** Everything said in one turn travels as one WebSocket message. */
  say(message: unknown[]): void {
    this.#saying.push(pack(message));
    if (this.#saying.length > 1) return;
    queueMicrotask(() => {
      const frame = Buffer.concat(this.#saying);
      this.#saying = [];
      this.#travel(() => this.onmessage?.({ data: Uint8Array.from(frame).buffer } as never));
    });
  }

  renew(lifeMs: number, graceMs: number): void {
    const { timers } = this.#relay;
    timers.clearTimeout(this.#expiry);
    this.isExpired = false;
    this.#expiry = timers.setTimeout(() => {
      this.isExpired = true;
      this.#expiry = timers.setTimeout(() => this.cut(4501, 'token expired'), graceMs);
    }, lifeMs);
  }

  cut(code = 1006, reason = ''): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#relay.timers.clearTimeout(this.#expiry);
    this.#relay.connections.delete(this);
    this.#relay.services.gone(this);
    this.#relay.timers.setTimeout(() => this.onclose?.({ code, reason } as never), 1);
  }

  /** The cable is pulled: nothing comes through any more, and nobody is told. */
  goSilent(): void {
    this.#isOpen = false;
    this.#relay.timers.clearTimeout(this.#expiry);
    this.#relay.connections.delete(this);
    this.#relay.services.gone(this);
  }

  #queue: (() => void)[] = [];

  #travel(arrive: () => void): void {
    // Each hop takes the next in line, so a short latency does not overtake a long one.
    this.#queue.push(arrive);
    this.#relay.timers.setTimeout(() => {
      const next = this.#queue.shift();
      if (this.#isOpen) next?.();
    }, this.#relay.latencyMs());
  }
}
