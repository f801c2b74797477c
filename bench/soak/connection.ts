/**
 * The connections of a soak, on the generator's bare sockets: readers that keep books and come back, publishers that count answers, a probe.
 *
 * They decode every message in full: a soak is about what is said, not about how fast.
 */
import { frame, helloFrame } from '../../src/cli/bench/frames.ts';
import { RawWebSocket, type SocketHandler, type SocketTarget } from '../../src/cli/bench/raw-websocket.ts';
import { packMessage, unpackMany } from '../../src/protocol/codec.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { Ledger, type Registry } from './ledger.ts';

const REOPEN_MS = 200;
const RESUBSCRIBE_MS = 100;
const ID_FIRST = 2;

/** One message of the protocol, decoded. */
type Message = readonly unknown[];
type Facts = Readonly<Record<string, unknown>>;

export function increment(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

/** A connection that comes back as long as it is wanted. */
abstract class Connection implements SocketHandler {
  protected socket: RawWebSocket | null = null;
  protected nextId = ID_FIRST;
  readonly closesByCode: Record<string, number> = {};
  readonly #target: SocketTarget;
  #isWanted = true;

  constructor(target: SocketTarget) {
    this.#target = target;
    this.#open();
  }

  #open(): void {
    if (this.#isWanted) this.socket = new RawWebSocket(0, this.#target, this);
  }

  /** Cut without a word; back after `awayMs`. One that is away already stays so: false. */
  cut(awayMs: number): boolean {
    if (this.socket === null) return false;
    this.socket.destroy();
    this.socket = null;
    setTimeout(() => this.#open(), awayMs);
    return true;
  }

  end(): void {
    this.#isWanted = false;
    this.socket?.destroy();
    this.socket = null;
  }

  socketOpened(socket: RawWebSocket): void {
    socket.send(helloFrame());
    this.opened();
  }

  socketMessage(_socket: RawWebSocket, bytes: Uint8Array, start: number, end: number): void {
    for (const message of unpackMany(bytes.slice(start, end))) this.take(message as Message);
  }

  socketClosed(_socket: RawWebSocket, code: number): void {
    increment(this.closesByCode, String(code));
    this.socket = null;
    setTimeout(() => this.#open(), REOPEN_MS);
  }

  /** False: there is no connection. */
  protected send(type: keyof typeof MessageType, id: number, ...rest: readonly unknown[]): boolean {
    if (this.socket?.isOpen !== true) return false;
    this.socket.send(frame(packMessage(MessageType[type], id, ...rest)));
    return true;
  }

  protected abstract opened(): void;
  protected abstract take(message: Message): void;
}

export class SoakReader extends Connection {
  readonly ledgers: readonly Ledger[];
  readonly #policy: string | null;
  /** SUBSCRIBEs under way, by id. */
  readonly #asked = new Map<number, Ledger>();
  readonly #bySub = new Map<unknown, Ledger>();
  /** Messages of no subscription. */
  foreign = 0;

  /** `policy` null: the topic's own, which disconnects. */
  constructor(target: SocketTarget, topics: readonly string[], policy: string | null, registry: Registry) {
    super(target);
    this.#policy = policy;
    this.ledgers = topics.map((topic) => new Ledger(topic, registry));
  }

  /** Subscribed to all of its topics. */
  get isReady(): boolean {
    return this.#bySub.size === this.ledgers.length;
  }

  get hasAll(): boolean {
    return this.ledgers.every((ledger) => ledger.hasAll);
  }

  stopReading(): void {
    this.socket?.pauseReading();
  }

  readOn(): void {
    this.socket?.resumeReading();
  }

  protected opened(): void {
    this.#asked.clear();
    this.#bySub.clear();
    for (const ledger of this.ledgers) this.#subscribe(ledger);
  }

  #subscribe(ledger: Ledger): void {
    const { position } = ledger;
    const options = {
      ...(position === null ? {} : { since: position }),
      ...(this.#policy === null ? {} : { policy: this.#policy }),
    };
    const id = this.nextId++;
    if (this.send('SUBSCRIBE', id, ledger.topic, options)) this.#asked.set(id, ledger);
  }

  protected take([type, first, second, third, fourth]: Message): void {
    if (type === MessageType.MESSAGE) {
      const ledger = this.#bySub.get(first);
      if (ledger === undefined) this.foreign++;
      else ledger.message(Number(third));
    } else if (type === MessageType.EVENT) this.#event(first, third, (fourth ?? {}) as Facts);
    else if (type === MessageType.OK) this.#subscribed(Number(first), second as Facts);
    else if (type === MessageType.ERROR) this.#refused(Number(first));
  }

  #event(sub: unknown, kind: unknown, data: Facts): void {
    const ledger = this.#bySub.get(sub);
    if (ledger === undefined) this.foreign++;
    else if (kind === 'skip') ledger.skip(Number(data['from']), Number(data['to']), Number(data['count']));
    else if (kind === 'lost') ledger.lost(String(data['reason']), String(data['epoch']), Number(data['offset']));
  }

  #subscribed(id: number, result: Facts): void {
    const ledger = this.#asked.get(id);
    if (ledger === undefined) return; // HELLO's.
    this.#asked.delete(id);
    this.#bySub.set(result['sub'], ledger);
    const reason = String(result['reason'] ?? 'without a reason');
    ledger.subscribed(String(result['epoch']), Number(result['offset']), result['recovered'] === true, reason);
  }

  /** Its lane is being replaced: ask again. */
  #refused(id: number): void {
    const ledger = this.#asked.get(id);
    if (ledger === undefined) return;
    this.#asked.delete(id);
    const { socket } = this;
    setTimeout(() => {
      if (this.socket === socket) this.#subscribe(ledger);
    }, RESUBSCRIBE_MS);
  }
}

export class SoakPublisher extends Connection {
  readonly #registry: Registry;
  /** Topic and moment of each publish without an answer. */
  readonly #pending = new Map<number, { readonly topic: string; readonly sentMs: number }>();
  published = 0;
  acknowledged = 0;
  slowestAckMs = 0;
  readonly refusedByCode: Record<string, number> = {};

  constructor(target: SocketTarget, registry: Registry) {
    super(target);
    this.#registry = registry;
  }

  get isReady(): boolean {
    return this.socket?.isOpen === true;
  }

  get unanswered(): number {
    return this.#pending.size;
  }

  publish(topic: string, payload: Uint8Array): void {
    const id = this.nextId++;
    this.published++;
    if (this.send('PUBLISH', id, topic, null, payload)) this.#pending.set(id, { topic, sentMs: performance.now() });
    else increment(this.refusedByCode, 'notConnected');
  }

  protected opened(): void {}

  protected take([type, id, second]: Message): void {
    const asked = this.#pending.get(Number(id));
    if (asked === undefined) return;
    this.#pending.delete(Number(id));
    this.slowestAckMs = Math.max(this.slowestAckMs, performance.now() - asked.sentMs);
    if (type === MessageType.ERROR) return increment(this.refusedByCode, String(second));
    const { epoch, offset } = second as Facts;
    this.acknowledged++;
    this.#registry.note(asked.topic, String(epoch), Number(offset));
  }
}

/** Asks again and again whether the relay's main thread is there: the longest wait is its worst pause. */
export class SoakProbe extends Connection {
  worstMs = 0;
  #sentMs = 0;

  /** Call every few milliseconds; a new PING goes out when the last one is answered. */
  turn(): void {
    if (this.#sentMs !== 0) return;
    this.#sentMs = performance.now();
    if (!this.send('PING', this.nextId++)) this.#sentMs = 0;
  }

  protected opened(): void {
    this.#sentMs = 0;
  }

  protected take([type, id]: Message): void {
    if (type !== MessageType.OK || Number(id) < ID_FIRST || this.#sentMs === 0) return;
    this.worstMs = Math.max(this.worstMs, performance.now() - this.#sentMs);
    this.#sentMs = 0;
  }
}
