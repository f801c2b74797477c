/**
 * Subscription: one reader of a topic or pattern, by callbacks or by one `for await` loop.
 *
 * Keeps two places: the cursor (last received, goes into the next SUBSCRIBE, so that nothing buffered is replayed) and
 * `position` (last processed, for the application to store). Its wire subscription belongs to Feeds and may be shared.
 * After `unsubscribe` it holds no message, no listener and no timer.
 */
import { RelayError } from '../protocol/errors.ts';
import type { Position } from '../protocol/types.ts';
import { type ContinuityLoss, Cursor, type SubscribeResult } from './cursor.ts';
import { type Deferred, deferred } from './deferred.ts';
import { Emitter, type Listener } from './emitter.ts';
import { Fifo } from './fifo.ts';
import type { FilledBuffer, Message, SubscribeOptions } from './options.ts';

export interface PresenceChange {
  readonly kind: 'join' | 'leave' | 'update';
  readonly topic: string;
  readonly id: string;
  readonly data?: unknown;
  readonly count: number;
}

export interface SkipNotice {
  readonly topic: string;
  readonly from: number;
  readonly to: number;
  readonly reason: string;
  readonly count: number;
}

export type Subscribed = Omit<SubscribeResult, 'sub'>;

export type SubscriptionEvents<T = unknown> = {
  message: [message: Message<T>];
  /** Every EVENT as it came, kinds of a newer relay included. */
  event: [event: { readonly kind: string; readonly topic: string; readonly data: unknown }];
  presence: [change: PresenceChange];
  skip: [notice: SkipNotice];
  lagged: [range: { readonly from: number; readonly to: number }];
  'continuity-lost': [loss: ContinuityLoss];
  /** After the first SUBSCRIBE and after every reconnect. */
  subscribed: [result: Subscribed];
  /** A refusal that ended the subscription, or something a listener threw. */
  error: [error: unknown];
  end: [];
};

export type SubscriptionState =
  /** Not on the wire: offline, or to be tried again after a retryable `error`. */
  | { readonly name: 'waiting'; readonly error?: RelayError }
  | { readonly name: 'joining' }
  | { readonly name: 'live' }
  /** Buffer policy `pause`: takes nothing until the loop has caught up, then asks for the rest. */
  | { readonly name: 'paused' }
  | { readonly name: 'ended'; readonly error: RelayError | null };

/** What a subscription needs from its owner. */
export interface SubscriptionHost {
  leave(subscription: AnySubscription): void;
  rejoin(subscription: AnySubscription): void;
  continuityLost(subscription: AnySubscription, loss: ContinuityLoss): void;
  acknowledge(topic: string, options: object): Promise<void>;
  /** Call `flushOverflow` when the WebSocket message at hand has been read. */
  overflowed(subscription: AnySubscription): void;
  report(error: unknown): void;
}

// biome-ignore lint/suspicious/noExplicitAny: the payload's type is the reader's own claim; the owner passes any of them around.
export type AnySubscription = Subscription<any>;

type MessageMeta = Pick<Message, 'publisher' | 'timeUs' | 'headers' | 'recovered' | 'attempt'> | null;

/** A buffered message, or (message null) a place in the stream that counts as processed when the reader gets there. */
interface Item<T> {
  readonly message: Message<T> | null;
  position: Position | null;
}

const ONE_READER = 'a subscription has one reader, a loop or listeners: subscribe again for another';

type Waiter<T> = Deferred<IteratorResult<Message<T>, undefined>>;

export class Subscription<T = unknown> implements AsyncIterable<Message<T>> {
  readonly topic: string;
  readonly options: SubscribeOptions<T>;
  readonly cursor: Cursor;
  /** Consecutive refusals, for the back-off. */
  attempt = 0;
  #state: SubscriptionState = { name: 'waiting' };
  readonly #host: SubscriptionHost;
  readonly #events: Emitter<SubscriptionEvents<T>>;
  readonly #bufferOptions: FilledBuffer;
  readonly #buffer = new Fifo<Item<T>>();
  #bufferedCount = 0;
  #droppedCount = 0;
  #processed: Position | null;
  /** Given to the loop, which has not asked for the next one yet. */
  #yielded: Position | null = null;
  #iterating = false;
  readonly #waiters: Waiter<T>[] = [];
  #overflow: { from: number; to: number; count: number } | null = null;
  #ready: Deferred<void> | null = null;

  constructor(host: SubscriptionHost, topic: string, options: SubscribeOptions<T>, buffer: FilledBuffer) {
    this.topic = topic;
    this.options = options;
    this.cursor = new Cursor(options.since, options.last, options.group !== undefined);
    this.#processed = options.since ?? null;
    this.#bufferOptions = buffer;
    this.#host = host;
    this.#events = new Emitter((error, name) => this.#report(error, name));
    if (options.onMessage !== undefined) this.on('message', options.onMessage);
  }

  get state(): SubscriptionState {
    return this.#state;
  }

  /** Last processed: when the callbacks returned, or when the loop asked for the next one. Store it, and pass it as `since` later. */
  get position(): Position | null {
    return this.#processed;
  }

  /** Messages that wait for the loop. */
  get bufferedCount(): number {
    return this.#bufferedCount;
  }

  /** Messages dropped because the buffer was full; each was named by a `continuity-lost` event. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  on<Name extends keyof SubscriptionEvents<T>>(name: Name, listener: Listener<SubscriptionEvents<T>[Name]>): () => void {
    if (name === 'message' && this.#iterating) throw new Error(ONE_READER);
    if (this.#state.name === 'ended') return () => {};
    const off = this.#events.on(name, listener);
    // What came before the first listener goes to it, but not before the caller has got its function back.
    if (name === 'message' && this.#buffer.length > 0) queueMicrotask(() => this.#drainToListeners());
    return off;
  }

  /** Resolves when the relay has confirmed the subscription, rejects if it ends before. */
  ready(): Promise<void> {
    if (this.#ready === null) {
      this.#ready = deferred<void>();
      if (this.#state.name === 'live' || this.#state.name === 'paused') this.#ready.resolve();
      if (this.#state.name === 'ended') this.#ready.reject(this.#state.error ?? this.#endedEarly());
    }
    return this.#ready.promise;
  }

  /** Leaves for good, in any state. Loops end at once, what is buffered is discarded. */
  unsubscribe(): void {
    if (this.#state.name === 'ended') return;
    this.#host.leave(this);
    this.end(null, true);
  }

  [Symbol.dispose](): void {
    this.unsubscribe();
  }

  /** One loop at a time. `break`, `return` and a throw in the loop's body unsubscribe; the message at hand then does not count as processed. */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined> {
    if (this.#iterating || this.#events.has('message')) throw new Error(ONE_READER);
    this.#iterating = true;
    return {
      next: () => this.#next(),
      return: async () => {
        this.unsubscribe();
        return { done: true, value: undefined };
      },
    };
  }

  // ---- for Feeds only

  enter(state: Exclude<SubscriptionState, { name: 'ended' }>): void {
    if (this.#state.name !== 'ended') this.#state = state;
  }

  joined(result: SubscribeResult): void {
    this.attempt = 0;
    this.#state = { name: 'live' };
    const loss = this.cursor.joined(result);
    this.#mark();
    if (loss !== null) this.#lose(loss);
    const { sub: _, ...subscribed } = result;
    this.#events.emit('subscribed', subscribed);
    this.#ready?.resolve();
  }

  /** Hot. */
  receive(topic: string, offset: number, meta: MessageMeta, payload: T): void {
    if (this.#state.name !== 'live') return; // Before its OK it has no place in the stream yet.
    const { messagesMax, policy } = this.#bufferOptions;
    const listening = this.#events.has('message') && this.#buffer.length === 0;
    if (!listening && this.#bufferedCount >= messagesMax && policy === 'pause') {
      this.#state = { name: 'paused' };
      return;
    }
    if (!this.cursor.accept(offset)) return;
    if (this.cursor.gap !== null) this.#loseRange('GAP', this.cursor.gap);
    const position = this.cursor.position;
    const { epoch } = this.cursor;
    const message: Message<T> = { topic, payload, offset, epoch, ...meta, ...(meta?.attempt && this.#handles(offset, epoch)) };
    const waiter = this.#waiters.shift();
    if (listening) {
      if (this.#events.emit('message', message)) this.#processed = position ?? this.#processed;
    } else if (waiter !== undefined) {
      this.#yielded = position;
      waiter.resolve({ done: false, value: message });
    } else if (this.#bufferedCount < messagesMax) this.#push(message, position);
    else if (policy === 'dropNewest') {
      this.#drop(message);
      this.#mark();
    } else {
      this.#dropOldest();
      this.#push(message, position);
    }
  }

  event(topic: string, kind: string, data: unknown): void {
    if (this.#state.name !== 'live') return;
    const facts = (data ?? {}) as Record<string, never>;
    switch (kind) {
      case 'skip': {
        const notice: SkipNotice = { topic, ...facts } as never;
        const { from, to, count } = notice;
        if (!this.cursor.skip(from, to, count ?? to - from + 1)) return;
        if (this.cursor.gap !== null) this.#loseRange('GAP', this.cursor.gap);
        this.#mark();
        this.#events.emit('skip', notice);
        break;
      }
      case 'lost': {
        const { from, to, reason, epoch, offset } = facts as unknown as {
          from?: number;
          to?: number;
          reason: string;
          epoch: string | null;
          offset: number;
        };
        const lost = typeof from === 'number' && typeof to === 'number' ? { lost: [from, to] as const } : {};
        const loss = this.cursor.lost({ reason, ...lost, epoch, offset });
        if (loss === null) return;
        this.#mark();
        this.#lose(loss);
        break;
      }
      case 'lagged':
        this.#events.emit('lagged', facts as never);
        break;
      case 'join':
      case 'leave':
      case 'update':
        this.#events.emit('presence', { kind, topic, ...facts } as never);
    }
    this.#events.emit('event', { kind, topic, data });
  }

  /** One event for all that was dropped while one WebSocket message was read. */
  flushOverflow(): void {
    const overflow = this.#overflow;
    this.#overflow = null;
    if (overflow !== null)
      this.#loseRange('OVERFLOW', overflow.from === 0 ? undefined : [overflow.from, overflow.to], overflow.count);
  }

  /** `discard` false lets a loop take what is buffered first. */
  end(error: RelayError | null, discard: boolean): void {
    if (this.#state.name === 'ended') return;
    this.#state = { name: 'ended', error };
    if (discard) {
      this.#buffer.clear();
      this.#bufferedCount = 0;
      this.#overflow = null;
    }
    this.flushOverflow();
    this.#ready?.reject(error ?? this.#endedEarly());
    const wanted = this.#waiters.length > 0 || this.#ready !== null;
    for (const waiter of this.#waiters.splice(0)) this.#finish(waiter);
    if (error !== null) {
      // Whoever waits in a loop or in ready() hears of it there; if nobody does, it must not pass in silence.
      if (this.#events.has('error')) this.#events.emit('error', error);
      else if (!wanted && !this.#iterating) this.#host.report(error);
    }
    this.#events.emit('end');
    this.#events.clear();
  }

  // ----

  #next(): Promise<IteratorResult<Message<T>, undefined>> {
    const waiter: Waiter<T> = deferred();
    this.#processed = this.#yielded ?? this.#processed;
    this.#yielded = null;
    const message = this.#take();
    if (message !== undefined) waiter.resolve({ done: false, value: message });
    else if (this.#state.name === 'ended') this.#finish(waiter);
    else this.#waiters.push(waiter);
    return waiter.promise;
  }

  /** The end of a loop: the error that ended the subscription is thrown there. */
  #finish(waiter: Waiter<T>): void {
    const error = this.#state.name === 'ended' ? this.#state.error : null;
    if (error === null) waiter.resolve({ done: true, value: undefined });
    else waiter.reject(error);
  }

  #take(): Message<T> | undefined {
    for (let item = this.#buffer.shift(); item !== undefined; item = this.#buffer.shift()) {
      if (item.message === null) this.#processed = item.position;
      else {
        this.#bufferedCount--;
        this.#yielded = item.position;
        // Half empty, or a reader one message slower than the topic would subscribe anew for each message.
        if (this.#state.name === 'paused' && this.#bufferedCount <= this.#bufferOptions.messagesMax / 2) this.#resume();
        return item.message;
      }
    }
    return undefined;
  }

  #resume(): void {
    this.#state = { name: 'waiting' };
    this.#host.rejoin(this);
  }

  #drainToListeners(): void {
    while (this.#events.has('message')) {
      const message = this.#take();
      const position = this.#yielded;
      this.#yielded = null;
      if (message === undefined) return;
      if (this.#events.emit('message', message)) this.#processed = position ?? this.#processed;
    }
  }

  #handles(offset: number, epoch: string | null): Pick<Message<T>, 'ack' | 'nack'> {
    const settle = (how?: object) => this.#host.acknowledge(this.topic, { offset, epoch, ...how });
    return { ack: () => settle(), nack: (how) => settle({ ...how, requeue: true }) };
  }

  #push(message: Message<T>, position: Position | null): void {
    this.#buffer.push({ message, position });
    this.#bufferedCount++;
  }

  /** The cursor moved without a message: it counts as processed as soon as everything before it is. */
  #mark(): void {
    const position = this.cursor.position;
    if (position === null) return;
    const last = this.#buffer.last();
    if (last?.message === null) last.position = position;
    else if (last !== undefined || this.#yielded !== null) this.#buffer.push({ message: null, position });
    else this.#processed = position;
  }

  #dropOldest(): void {
    for (let item = this.#buffer.shift(); item !== undefined; item = this.#buffer.shift()) {
      if (item.message === null) continue;
      this.#bufferedCount--;
      this.#drop(item.message);
      return;
    }
  }

  #drop({ offset }: Message<T>): void {
    this.#droppedCount++;
    if (this.#overflow === null) {
      this.#overflow = { from: offset, to: offset, count: 1 };
      this.#host.overflowed(this);
    } else {
      this.#overflow.to = offset;
      this.#overflow.count++;
    }
  }

  #loseRange(reason: string, lost?: readonly [number, number], count?: number): void {
    const { epoch, position } = this.cursor;
    this.#lose({
      reason,
      ...(lost ? { lost } : {}),
      ...(count === undefined ? {} : { count }),
      epoch,
      offset: position?.offset ?? 0,
    });
  }

  #lose(loss: ContinuityLoss): void {
    this.#events.emit('continuity-lost', loss);
    this.#host.continuityLost(this, loss);
  }

  #endedEarly(): RelayError {
    return new RelayError('CANCELLED', 'the subscription ended', { topic: this.topic });
  }

  #report(error: unknown, name: string): void {
    // What an error listener throws is not its own to handle.
    if (name !== 'error' && this.#events.has('error')) this.#events.emit('error', error);
    else this.#host.report(error);
  }
}
