/**
 * Outbox: publishes from the call to their outcome. Bounded queue, in-flight window, retries under one idempotency key.
 *
 *   publish() ──► waiting (bounded, policy) ──► in flight (inFlightMax) ──► answered
 *                        again (in order) ◄──────┘  connection lost, or a retryable error
 *
 * What was sent once is never dropped by a policy: it may have happened, and only an answer can tell. It is sent again only inside
 * `retryWindowMs`, while the relay surely knows its key. Order: publishes leave in the order of the calls, and a retryable refusal holds
 * all of them back; what was already in flight behind the refused one may still overtake it.
 */
import { randomId } from '../base/ids.ts';
import { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import { retryDelayMs } from './backoff.ts';
import { encodeTail } from './codec.ts';
import type { Connection, Limits, Reply } from './connection.ts';
import { type Deferred, deferred } from './deferred.ts';
import type { FilledOptions, PublishOptions, QueuePolicy } from './options.ts';

export interface PublishResult {
  readonly epoch: string;
  /** 0 where the topic keeps no history. */
  readonly offset: number;
  /** The relay had this key already: nothing was published a second time. */
  readonly duplicate: boolean;
}

export interface QueueDrop {
  readonly topic: string;
  readonly key: string | undefined;
  readonly bytes: number;
  readonly policy: QueuePolicy;
  /** All drops of this client so far. */
  readonly droppedCount: number;
}

export interface OutboxHost {
  /** The connection that takes commands now, or null. */
  link(): Connection | null;
  limits(): Limits | null;
  hasSubscription(topic: string): boolean;
  ownPublish(topic: string, epoch: string, offset: number): void;
  dropped(drop: QueueDrop): void;
  /** A publish that nobody waits for failed. */
  failed(error: RelayError): void;
  drained(): void;
  /** One publish fewer is pending: whoever waits for the end may look. */
  settled(): void;
}

interface Entry {
  readonly sequence: number;
  readonly topic: string;
  readonly key: string | undefined;
  readonly ack: boolean;
  readonly echo: boolean | undefined;
  readonly tail: Uint8Array;
  readonly outcome: Deferred<PublishResult | undefined>;
  attempts: number;
  /** Undefined until it was sent. */
  firstSentMs: number | undefined;
  place: 'new' | 'waiting' | 'flying' | 'again' | 'done';
  /** Takes timers and listeners off; called when it is done. */
  readonly release: (() => void)[];
}

const KEY_LENGTH = 20; // 100 bits.
const RETRY_CAP_MS = 5_000;
/** WebSockets have no drain event. */
const BUFFER_POLL_MS = 20;

export class Outbox {
  readonly #options: FilledOptions;
  readonly #host: OutboxHost;
  /** Never sent. In the order of the calls; a set, since a caller may give up anywhere in it. */
  readonly #waiting = new Set<Entry>();
  #waitingBytes = 0;
  /** Sent before. By sequence; at most inFlightMax. */
  #again: Entry[] = [];
  #flyingCount = 0;
  #pendingCount = 0;
  #droppedCount = 0;
  #lastSequence = 0;
  /** Set while nothing is sent because the relay asked for a pause (a reconnect does not end it), or the socket is full. */
  #holdTimer: unknown;
  #holdUntilMs = 0;
  #wasBlocked = false;
  readonly #readyWaiters: Deferred<void>[] = [];
  #ended: RelayError | null = null;

  constructor(options: FilledOptions, host: OutboxHost) {
    this.#options = options;
    this.#host = host;
  }

  /** Publishes without an outcome. */
  get pendingCount(): number {
    return this.#pendingCount;
  }
  get queuedCount(): number {
    return this.#waiting.size + this.#again.length;
  }
  get queuedBytes(): number {
    return this.#again.reduce((sum, entry) => sum + entry.tail.length, this.#waitingBytes);
  }
  get droppedCount(): number {
    return this.#droppedCount;
  }

  publish(topic: string, payload: unknown, options: PublishOptions): Promise<PublishResult | undefined> {
    const { headers, ttlMs, echo, ack = true, signal, timeoutMs } = options;
    const key = options.key ?? (ack ? randomId(KEY_LENGTH) : undefined);
    const outcome = deferred<PublishResult | undefined>();
    try {
      if (this.#ended !== null) throw this.#ended;
      if (signal?.aborted) throw aborted(signal);
      const tail = this.#encode(topic, { key, headers, ttlMs, echo }, payload);
      const sequence = ++this.#lastSequence;
      const entry: Entry = {
        sequence,
        topic,
        key,
        ack,
        echo,
        tail,
        outcome,
        attempts: 0,
        firstSentMs: undefined,
        place: 'new',
        release: [],
      };
      this.#admit(entry);
      if (entry.place === 'done') return outcome.promise;
      if (signal) {
        const onAbort = () => this.#settle(entry, aborted(signal));
        signal.addEventListener('abort', onAbort);
        entry.release.push(() => signal.removeEventListener('abort', onAbort));
      }
      if (timeoutMs !== undefined) this.#expireIn(entry, timeoutMs);
      this.pump();
      if (entry.place === 'waiting') this.#wasBlocked = true;
    } catch (error) {
      outcome.reject(
        error instanceof RelayError
          ? error
          : new RelayError('BAD_REQUEST', 'cannot be encoded', { topic: String(topic) }, { cause: error }),
      );
    }
    return outcome.promise;
  }

  /** Resolves when a publish would go out at once. */
  ready(): Promise<void> {
    const waiter = deferred<void>();
    if (this.#ended !== null) waiter.reject(this.#ended);
    else if (this.#isReady()) waiter.resolve();
    else {
      this.#wasBlocked = true;
      this.#readyWaiters.push(waiter);
    }
    return waiter.promise;
  }

  /** Sends what may be sent. Call when the connection opens. */
  pump(): void {
    const { inFlightMax, bufferedBytesMax } = this.#options;
    while (this.#holdTimer === undefined && this.#flyingCount < inFlightMax) {
      const link = this.#host.link();
      if (link === null) return;
      const entry = this.#again[0] ?? first(this.#waiting);
      if (entry === undefined) break;
      if (link.bufferedBytes > bufferedBytesMax) this.#hold(BUFFER_POLL_MS);
      else this.#fly(entry, link);
    }
    if (this.#flyingCount >= inFlightMax) this.#wasBlocked = true;
    if (!this.#wasBlocked || !this.#isReady()) return;
    this.#wasBlocked = false;
    for (const waiter of this.#readyWaiters.splice(0)) waiter.resolve();
    this.#host.drained();
  }

  end(error: RelayError): void {
    this.#ended = error;
    this.#options.platform.timers.clearTimeout(this.#holdTimer);
    for (const entry of [...this.#again, ...this.#waiting]) this.#settle(entry, error);
    for (const waiter of this.#readyWaiters.splice(0)) waiter.reject(error);
  }

  // ----

  #encode(topic: string, options: object, payload: unknown): Uint8Array {
    if (typeof topic !== 'string' || topic === '')
      throw new RelayError('BAD_REQUEST', 'topic must be a string that is not empty');
    const tail = encodeTail(topic, options, payload);
    const payloadBytesMax = this.#host.limits()?.payloadBytesMax;
    if (payloadBytesMax !== undefined && tail.length > payloadBytesMax) {
      const payloadBytes = tail.length - encodeTail(topic, options).length;
      if (payloadBytes > payloadBytesMax)
        throw new RelayError('TOO_LARGE', 'payload is too large for the relay', { payloadBytes, payloadBytesMax });
    }
    return tail;
  }

  /** Into the queue, as its policy says. */
  #admit(entry: Entry): void {
    const { messagesMax, bytesMax, policy } = this.#options.offlineQueue;
    const isFull = () => this.#waiting.size + 1 > messagesMax || this.#waitingBytes + entry.tail.length > bytesMax;
    this.#pendingCount++;
    // A free way to the network asks for no room in the queue.
    if (!this.#isReady() && isFull()) {
      if (policy === 'reject') {
        const facts = { queued: this.#waiting.size, queuedBytes: this.#waitingBytes };
        this.#settle(entry, new RelayError('OVERLOADED', 'the publish queue is full', facts));
        return;
      }
      // Larger than the whole queue: dropping others for it would be for nothing.
      while (policy === 'dropOldest' && isFull() && this.#waiting.size > 0 && entry.tail.length <= bytesMax)
        this.#drop(first(this.#waiting) as Entry);
      if (isFull()) {
        this.#drop(entry);
        return;
      }
    }
    this.#move(entry, 'waiting');
  }

  #drop(entry: Entry): void {
    const { policy } = this.#options.offlineQueue;
    this.#settle(entry, new RelayError('OVERLOADED', 'dropped from the full publish queue', { policy }));
    const { topic, key, tail } = entry;
    this.#host.dropped({ topic, key, bytes: tail.length, policy, droppedCount: ++this.#droppedCount });
  }

  /** The only place where an entry changes lists. */
  #move(entry: Entry, place: Entry['place']): void {
    if (entry.place === 'waiting' && this.#waiting.delete(entry)) this.#waitingBytes -= entry.tail.length;
    if (entry.place === 'again') this.#again = this.#again.filter((other) => other !== entry);
    entry.place = place;
    if (place === 'waiting') {
      this.#waiting.add(entry);
      this.#waitingBytes += entry.tail.length;
    } else if (place === 'again') {
      const index = this.#again.findIndex((other) => other.sequence > entry.sequence);
      this.#again.splice(index < 0 ? this.#again.length : index, 0, entry);
    }
  }

  #fly(entry: Entry, link: Connection): void {
    const { commandTimeoutMs, retryWindowMs, platform } = this.#options;
    const nowMs = platform.clock.monotonicMs();
    entry.firstSentMs ??= nowMs;
    if (nowMs - entry.firstSentMs > retryWindowMs) {
      this.#settle(entry, undecided(entry));
      return;
    }
    this.#move(entry, 'flying');
    entry.attempts++;
    // Without an answer an own message that is not echoed would look like a gap to our own subscription.
    if (!entry.ack && (entry.echo !== false || !this.#host.hasSubscription(entry.topic))) {
      const refused = link.send(MessageType.PUBLISH, entry.tail);
      this.#settle(entry, refused ?? undefined);
      return;
    }
    this.#flyingCount++;
    const reply: Reply = {
      ok: (result) => {
        const { epoch, offset, duplicate } = result as PublishResult;
        this.#flyingCount--;
        this.#host.ownPublish(entry.topic, epoch, offset);
        this.#settle(entry, { epoch, offset, duplicate: duplicate === true });
        this.pump();
      },
      failed: (error) => {
        this.#flyingCount--;
        this.#failed(entry, error);
        this.pump();
      },
      cut: () => {
        this.#flyingCount--;
        if (entry.place !== 'flying') return;
        this.#move(entry, 'again');
        // Offline for longer than the relay remembers keys: its outcome stays unknown, and the caller should know that.
        const sinceFirstMs = platform.clock.monotonicMs() - (entry.firstSentMs as number);
        this.#expireIn(entry, retryWindowMs - sinceFirstMs, undecided(entry));
      },
    };
    link.request(MessageType.PUBLISH, entry.tail, reply, commandTimeoutMs);
    if (!entry.ack) this.#settle(entry, undefined);
  }

  #failed(entry: Entry, error: RelayError): void {
    if (!entry.ack) {
      this.#host.failed(error);
      return;
    }
    if (entry.place !== 'flying') return;
    // A restarted lane has forgotten the keys: sending again could publish twice, so that is the caller's decision.
    if (!error.retryable || error.codeName === 'LANE_RESTARTED' || entry.attempts >= this.#options.publishAttemptsMax) {
      this.#settle(entry, error);
      return;
    }
    const { random } = this.#options.platform;
    this.#move(entry, 'again');
    this.#hold(retryDelayMs(error, entry.attempts - 1, random, RETRY_CAP_MS));
  }

  #isReady(): boolean {
    const isFree = this.#holdTimer === undefined && this.#flyingCount < this.#options.inFlightMax;
    return isFree && this.#again.length === 0 && this.#waiting.size === 0 && this.#host.link() !== null;
  }

  #hold(delayMs: number): void {
    const { timers, clock } = this.#options.platform;
    const untilMs = clock.monotonicMs() + delayMs;
    this.#wasBlocked = true;
    if (this.#holdTimer !== undefined && untilMs <= this.#holdUntilMs) return;
    timers.clearTimeout(this.#holdTimer);
    this.#holdUntilMs = untilMs;
    this.#holdTimer = timers.setTimeout(() => {
      this.#holdTimer = undefined;
      this.pump();
    }, delayMs);
  }

  #expireIn(
    entry: Entry,
    delayMs: number,
    error = new RelayError('TIMEOUT', 'not published in time', { timeoutMs: delayMs }),
  ): void {
    const { timers } = this.#options.platform;
    const timer = timers.setTimeout(() => this.#settle(entry, error), Math.max(0, delayMs));
    entry.release.push(() => timers.clearTimeout(timer));
  }

  #settle(entry: Entry, outcome: PublishResult | RelayError | undefined): void {
    if (entry.place === 'done') return;
    this.#move(entry, 'done');
    this.#pendingCount--;
    for (const release of entry.release.splice(0)) release();
    if (outcome instanceof RelayError) entry.outcome.reject(outcome);
    else entry.outcome.resolve(outcome);
    this.#host.settled();
  }
}

function first<T>(items: ReadonlySet<T>): T | undefined {
  return items.values().next().value;
}

export function aborted(signal: AbortSignal): RelayError {
  return new RelayError('CANCELLED', 'aborted by the caller', {}, { cause: signal.reason });
}

function undecided({ topic, key }: Entry): RelayError {
  return new RelayError('TIMEOUT', 'no answer to the publish: it may or may not have happened', { topic, key: key ?? null });
}
