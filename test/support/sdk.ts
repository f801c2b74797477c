/**
 * The SDK as tests use it: clients that end with their test, and subscriptions that remember what they were told.
 */
import type { Test } from 'tap';
import { hashBytes } from '../../src/base/hash.ts';
import {
  type Client,
  type ClientOptions,
  type ContinuityLoss,
  createClient,
  type Message,
  type PresenceChange,
  type SkipNotice,
  type Subscribed,
  type SubscribeOptions,
  type Subscription,
} from '../../src/client/index.ts';

/** Connected. */
export async function openClient(t: Test, url: string, options: Omit<ClientOptions, 'url'> = {}): Promise<Client> {
  const client = createClient({ url, ...options });
  t.teardown(() => client.close({ timeoutMs: 0 }));
  await client.connect();
  return client;
}

/** One subscription and everything it was told, in order. */
export class Reader {
  readonly subscription: Subscription;
  readonly messages: Message[] = [];
  readonly losses: ContinuityLoss[] = [];
  readonly skips: SkipNotice[] = [];
  readonly lagged: { readonly from: number; readonly to: number }[] = [];
  readonly presence: PresenceChange[] = [];
  /** One for each time the relay has confirmed the subscription. */
  readonly joins: Subscribed[] = [];
  #waiters: { holds(): boolean; resolve(): void }[] = [];

  constructor(client: Client, topic: string, options: SubscribeOptions = {}) {
    this.subscription = client.subscribe(topic, options);
    const { subscription } = this;
    subscription.on('message', (message) => this.#note(this.messages, message));
    subscription.on('continuity-lost', (loss) => this.#note(this.losses, loss));
    subscription.on('skip', (skip) => this.#note(this.skips, skip));
    subscription.on('lagged', (range) => this.#note(this.lagged, range));
    subscription.on('presence', (change) => this.#note(this.presence, change));
    subscription.on('subscribed', (result) => this.#note(this.joins, result));
  }

  /** Subscribed. */
  static async open(client: Client, topic: string, options: SubscribeOptions = {}): Promise<Reader> {
    const reader = new Reader(client, topic, options);
    await reader.subscription.ready();
    return reader;
  }

  get offsets(): number[] {
    return this.messages.map(({ offset }) => offset);
  }

  get payloads(): unknown[] {
    return this.messages.map(({ payload }) => payload);
  }

  /** Resolves as soon as it holds; asked again whenever this reader is told anything. */
  until(holds: (reader: Reader) => boolean): Promise<void> {
    if (holds(this)) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ holds: () => holds(this), resolve }));
  }

  #note<T>(list: T[], item: T): void {
    list.push(item);
    for (const waiter of this.#waiters.filter(({ holds }) => holds())) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.resolve();
    }
  }
}

/** Resolves when the client enters the state. */
export function untilState(client: Client, name: Client['state']['name']): Promise<void> {
  if (client.state.name === name) return Promise.resolve();
  return new Promise((resolve) => {
    const off = client.on('state', (state) => {
      if (state.name !== name) return;
      off();
      resolve();
    });
  });
}

/** `from`, … `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** A topic under `prefix` that belongs to this lane. */
export function topicOnLane(lane: number, laneCount: number, prefix: string): string {
  for (let number = 0; ; number++) {
    const topic = `${prefix}.${number}`;
    const bytes = new TextEncoder().encode(topic);
    if (hashBytes(bytes, 0, bytes.length) % laneCount === lane) return topic;
  }
}
