/**
 * EncryptedClient: publish and subscribe as ever, with payloads that only those who have the key can read.
 *
 * A message that cannot be decrypted is left out and told of, since anybody who may publish could send one: it must not end anybody's loop.
 */
import { randomId } from '../base/ids.ts';
import type { Client, HistoryOptions, HistoryPage } from './client.ts';
import { deferred } from './deferred.ts';
import { EncryptionError } from './encryption-errors.ts';
import type { Decrypted, Keyring } from './keyring.ts';
import type { Message, PublishOptions, SubscribeOptions } from './options.ts';
import type { PublishResult } from './outbox.ts';
import { ReplayGuard } from './replay-guard.ts';
import type { Subscription } from './subscription.ts';

export interface EncryptedClientOptions {
  /**
   * Says who sends, and numbers what is sent, inside what is encrypted. Something random is added, so that numbers can begin at 1 with each
   * start of the program. Whoever has the key can claim to be anybody.
   */
  readonly sender?: string;
  /** Leave out what has no sender and number. Default false: numbers are checked where there are some. */
  readonly requireSender?: boolean;
  /** What was left out, and why. Default: to the console. */
  readonly onRejected?: (rejection: Rejection) => void;
}

export interface Rejection {
  readonly topic: string;
  readonly offset: number;
  readonly epoch: string | null;
  readonly error: EncryptionError;
}

/** As it came, with the payload in the clear. */
export interface EncryptedMessage<T = unknown> extends Message<T>, Omit<Decrypted<T>, 'payload'> {
  /** Numbers of this sender that have not come before this one. */
  readonly missingCount: number;
}

export interface EncryptedHistoryPage<T = unknown> extends Omit<HistoryPage, 'messages'> {
  readonly messages: readonly (Message<T> & Decrypted<T>)[];
  readonly rejections: readonly Rejection[];
}

/** A subscription is read by its loop: decrypting takes a moment, and callbacks would have to wait for each other. */
export interface EncryptedSubscribeOptions extends Omit<SubscribeOptions, 'onMessage'> {
  /** Remembers the numbers, of this subscription alone: another one would find each number come before. Default: a new one. */
  readonly guard?: ReplayGuard;
}

const SENDER_LENGTH = 16; // 80 bits.

export class EncryptedClient {
  readonly #client: Pick<Client, 'publish' | 'subscribe' | 'history'>;
  readonly #keyring: Keyring;
  readonly #options: EncryptedClientOptions;
  /** What this one's messages say; undefined: nothing. */
  readonly sender: string | undefined;
  readonly #numbers = new Map<string, number>();
  /** Resolves when the publish before has been handed to the client: encrypting may overtake, publishing must not. */
  #turn: Promise<void> = Promise.resolve();

  constructor(client: Pick<Client, 'publish' | 'subscribe' | 'history'>, keyring: Keyring, options: EncryptedClientOptions) {
    this.#client = client;
    this.#keyring = keyring;
    this.#options = options;
    this.sender = options.sender === undefined ? undefined : `${options.sender}/${randomId(SENDER_LENGTH)}`;
  }

  /** As `client.publish`. Rejects with an EncryptionError where the key may not be used any more. Headers stay readable. */
  publish(topic: string, payload: unknown, options: PublishOptions & { readonly ack: false }): Promise<undefined>;
  publish(topic: string, payload: unknown, options?: PublishOptions & { readonly ack?: true }): Promise<PublishResult>;
  publish(topic: string, payload: unknown, options: PublishOptions = {}): Promise<PublishResult | undefined> {
    const outcome = this.#publish(topic, payload, options);
    outcome.catch(() => {}); // As with the client's: nobody has to look at it.
    return outcome;
  }

  /** As `client.subscribe`, read by a `for await` loop. */
  subscribe<T = unknown>(
    topic: string,
    { guard = new ReplayGuard(), ...options }: EncryptedSubscribeOptions = {},
  ): EncryptedSubscription<T> {
    const subscription = this.#client.subscribe(topic, options);
    // A group's messages come to any of its members, and again where one has failed.
    const checking = options.group === undefined ? guard : null;
    return new EncryptedSubscription<T>(subscription, guard, (message) => this.#open<T>(message, checking));
  }

  /** As `client.history`. Numbers are not checked: history is asked for more than once. */
  async history<T = unknown>(topic: string, options?: HistoryOptions): Promise<EncryptedHistoryPage<T>> {
    const page = await this.#client.history(topic, options);
    const messages: (Message<T> & Decrypted<T>)[] = [];
    const rejections: Rejection[] = [];
    for (const message of page.messages) {
      try {
        messages.push({ ...message, ...(await this.#keyring.decrypt<T>(message.payload, message)) });
      } catch (error) {
        rejections.push(rejection(message, error));
      }
    }
    return { ...page, messages, rejections };
  }

  async #publish(topic: string, payload: unknown, options: PublishOptions): Promise<PublishResult | undefined> {
    const before = this.#turn;
    const handedOver = deferred<void>();
    this.#turn = handedOver.promise;
    let outcome: Promise<PublishResult | undefined>;
    try {
      const envelope = await this.#keyring.encrypt(payload, { topic, ...this.#numbered(topic) });
      await before;
      outcome = this.#client.publish(topic, envelope, options as { ack?: true });
    } finally {
      void before.then(handedOver.resolve);
    }
    return outcome;
  }

  #numbered(topic: string): { sender?: string; number?: number } {
    if (this.sender === undefined) return {};
    const number = (this.#numbers.get(topic) ?? 0) + 1;
    this.#numbers.set(topic, number);
    return { sender: this.sender, number };
  }

  async #open<T>(message: Message, guard: ReplayGuard | null): Promise<EncryptedMessage<T> | null> {
    try {
      const { topic } = message;
      const decrypted = await this.#keyring.decrypt<T>(message.payload, message);
      const { sender, number } = decrypted;
      if (sender === null && this.#options.requireSender) throw new EncryptionError('UNNUMBERED', { topic });
      const missingCount = sender === null || guard === null ? 0 : guard.accept(topic, sender, number);
      return { ...message, ...decrypted, missingCount };
    } catch (error) {
      this.#reject(rejection(message, error));
      return null;
    }
  }

  #reject(rejected: Rejection): void {
    const { onRejected = ({ error }) => console.error('relay client:', error) } = this.#options;
    try {
      onRejected(rejected);
    } catch (error) {
      console.error('relay client:', error); // Of the application's making: no reason to end its loop.
    }
  }
}

/** One loop, as with every subscription. States, events and positions are those of `subscription`. */
export class EncryptedSubscription<T = unknown> implements AsyncIterable<EncryptedMessage<T>> {
  /** For its state, `ready()`, `position` and events. Its messages belong to the loop here. */
  readonly subscription: Subscription;
  /** Its `state` is for storing beside the position. */
  readonly guard: ReplayGuard;
  readonly #open: (message: Message) => Promise<EncryptedMessage<T> | null>;

  constructor(subscription: Subscription, guard: ReplayGuard, open: (message: Message) => Promise<EncryptedMessage<T> | null>) {
    this.subscription = subscription;
    this.guard = guard;
    this.#open = open;
  }

  unsubscribe(): void {
    this.subscription.unsubscribe();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EncryptedMessage<T>, void, undefined> {
    for await (const message of this.subscription) {
      const opened = await this.#open(message);
      if (opened !== null) yield opened;
    }
  }
}

export function encryptedClient(
  client: Pick<Client, 'publish' | 'subscribe' | 'history'>,
  keyring: Keyring,
  options: EncryptedClientOptions = {},
): EncryptedClient {
  return new EncryptedClient(client, keyring, options);
}

function rejection({ topic, offset, epoch }: Message, error: unknown): Rejection {
  return { topic, offset, epoch, error: error as EncryptionError };
}
