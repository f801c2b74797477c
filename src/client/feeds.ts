/**
 * Feeds: all subscriptions, and the wire subscription that those to one topic share.
 *
 * The rules that keep it exact:
 *   - Every subscription joins by a SUBSCRIBE of its own (several that stand at the same place: one for all) and takes messages only after its OK.
 *     One connection carries one order, so that is its place in the stream; the others drop the replay as duplicates.
 *   - SUBSCRIBE replaces the options of the wire subscription, so each carries the options of all subscriptions to the topic, merged.
 *   - UNSUBSCRIBE goes out when the last one leaves, also behind a SUBSCRIBE that has no answer yet. Then the feed is forgotten;
 *     what still comes for its number finds nobody. A new subscription to the topic begins a new feed behind it, on the same connection.
 */
import { RelayError } from '../protocol/errors.ts';
import { MessageType } from '../protocol/types.ts';
import { retryDelayMs } from './backoff.ts';
import { encodeTail } from './codec.ts';
import type { Connection } from './connection.ts';
import type { ContinuityLoss, SubscribeResult } from './cursor.ts';
import { type FilledOptions, fillBuffer, type SubscribeOptions, throwProblems } from './options.ts';
import { type AnySubscription, Subscription, type SubscriptionHost } from './subscription.ts';

interface Feed {
  readonly topic: string;
  readonly members: Set<AnySubscription>;
  /** The relay may have the subscription on this connection: it has to be told when nobody wants it any more. */
  onRelay: boolean;
  /** SUBSCRIBEs of this connection without an answer yet. */
  unansweredCount: number;
  /** What the last SUBSCRIBE of this connection said, to notice when it no longer fits. */
  shared: SharedOptions;
}

type SharedOptions = Pick<SubscribeOptions, 'presence' | 'policy' | 'conflateBy'>;
/** Options that are none of the relay's business: `undefined` is not sent. */
const CLIENT_ONLY = { buffer: undefined, onMessage: undefined };

export interface FeedsHost {
  /** The connection that takes commands now, or null. */
  link(): Connection | null;
  continuityLost(subscription: AnySubscription, loss: ContinuityLoss): void;
  acknowledge(topic: string, options: object): Promise<void>;
  report(error: unknown): void;
}

export class Feeds implements SubscriptionHost {
  readonly #options: FilledOptions;
  readonly #host: FeedsHost;
  readonly #feeds = new Map<string, Feed>();
  /** By the relay's number, on this connection. */
  readonly #bySub = new Map<number, Feed>();
  readonly #overflowed = new Set<AnySubscription>();
  readonly #timers = new Set<unknown>();

  constructor(options: FilledOptions, host: FeedsHost) {
    this.#options = options;
    this.#host = host;
  }

  subscribe<T>(topic: string, options: SubscribeOptions<T>): Subscription<T> {
    const problems: string[] = [];
    const buffer = fillBuffer(options.buffer, this.#options.buffer, problems);
    if (typeof topic !== 'string' || topic === '') problems.push(`topic must be a string that is not empty, got '${topic}'`);
    if (options.since !== undefined && options.last !== undefined) problems.push("'since' and 'last' exclude each other");
    let feed = this.#feeds.get(topic);
    // On the wire a connection is subscribed to a topic plainly or in one group.
    const [other] = feed?.members ?? [];
    if (other && (options.group ?? other.options.group)) problems.push(`a 'group' must be the only subscription to ${topic}`);
    if (options.group && buffer.policy === 'pause') problems.push("'pause' does not go with a 'group'");
    throwProblems(problems);
    // A copy, proven to be encodable: it is sent again at every reconnect, where nobody could be told of an error.
    const presence = structuredClone(options.presence);
    encodeTail(topic, { ...options, presence, ...CLIENT_ONLY });
    const subscription = new Subscription<T>(
      this,
      topic,
      { ...options, ...(presence === undefined ? {} : { presence }) },
      buffer,
    );
    if (feed === undefined)
      this.#feeds.set(topic, (feed = { topic, members: new Set(), onRelay: false, unansweredCount: 0, shared: {} }));
    feed.members.add(subscription);
    this.#joinWaiting(feed); // At once: who subscribes and then publishes expects to see it.
    return subscription;
  }

  /** A connection is open: everybody joins where it stands. */
  opened(): void {
    for (const feed of this.#feeds.values()) this.#joinWaiting(feed);
  }

  /** The connection is gone, and with it all that the relay knew. */
  cut(): void {
    this.#bySub.clear();
    this.#clearTimers();
    for (const feed of this.#feeds.values()) {
      feed.onRelay = false;
      feed.unansweredCount = 0;
      for (const member of feed.members) if (member.state.name !== 'paused') member.enter({ name: 'waiting' });
    }
  }

  /** Ends one that no relay will ever hear of. */
  endOne(subscription: AnySubscription, error: RelayError): void {
    this.leave(subscription);
    subscription.end(error, true);
  }

  end(error: RelayError | null): void {
    this.cut();
    const members = [...this.#feeds.values()].flatMap((feed) => [...feed.members]);
    this.#feeds.clear();
    for (const member of members) member.end(error, false);
  }

  /** Hot. `[34, sub, topic, offset, meta, payload]` */
  message(message: readonly unknown[]): void {
    const [, sub, topic, offset, meta, payload] = message as [number, number, string | null, number, never, unknown];
    const feed = this.#bySub.get(sub);
    if (feed === undefined) return; // Was on its way when we unsubscribed.
    for (const member of feed.members) member.receive(topic ?? feed.topic, offset, meta ?? null, payload);
  }

  /** `[35, sub, topic, kind, data]` */
  event(message: readonly unknown[]): void {
    const [, sub, topic, kind, data] = message as [number, number, string | null, string, unknown];
    const feed = this.#bySub.get(sub);
    if (feed === undefined) return;
    // Its right was taken away, and so the relay has ended it.
    if (kind === 'lost' && (data as { reason?: unknown } | null)?.reason === 'FORBIDDEN')
      this.#refused(feed, [...feed.members], new RelayError('FORBIDDEN', 'no right to it any more', { topic: feed.topic }));
    else for (const member of feed.members) member.event(topic ?? feed.topic, kind, data);
  }

  ownPublish(topic: string, epoch: string, offset: number): void {
    const feed = this.#feeds.get(topic);
    if (feed !== undefined) for (const member of feed.members) member.cursor.ownPublish(epoch, offset);
  }

  has(topic: string): boolean {
    return this.#feeds.has(topic);
  }

  frameDone(): void {
    if (this.#overflowed.size === 0) return;
    const members = [...this.#overflowed];
    this.#overflowed.clear();
    for (const member of members) member.flushOverflow();
  }

  // ---- SubscriptionHost

  overflowed(subscription: AnySubscription): void {
    this.#overflowed.add(subscription);
  }

  continuityLost(subscription: AnySubscription, loss: ContinuityLoss): void {
    this.#host.continuityLost(subscription, loss);
  }

  acknowledge(topic: string, options: object): Promise<void> {
    return this.#host.acknowledge(topic, options);
  }

  report(error: unknown): void {
    this.#host.report(error);
  }

  rejoin(subscription: AnySubscription): void {
    const feed = this.#feeds.get(subscription.topic);
    if (feed?.members.has(subscription)) this.#joinWaiting(feed);
  }

  leave(subscription: AnySubscription): void {
    this.#overflowed.delete(subscription);
    const feed = this.#feeds.get(subscription.topic);
    if (!feed?.members.delete(subscription)) return;
    if (feed.members.size === 0) this.#forget(feed);
    // Its presence or policy may have been the only reason for theirs: tell the relay what is left.
    else if (isWired(feed) && !sameOptions(sharedOptions(feed), feed.shared)) this.#send(feed, [], {});
  }

  // ----

  #joinWaiting(feed: Feed): void {
    if (this.#host.link() === null || this.#feeds.get(feed.topic) !== feed) return;
    const groups = new Map<string, AnySubscription[]>();
    for (const member of feed.members) {
      if (member.state.name !== 'waiting' || member.state.error !== undefined) continue;
      const wanted = JSON.stringify(member.cursor.wanted());
      const group = groups.get(wanted);
      if (group === undefined) groups.set(wanted, [member]);
      else group.push(member);
    }
    for (const group of groups.values()) this.#send(feed, group, (group[0] as AnySubscription).cursor.wanted());
  }

  #send(feed: Feed, members: readonly AnySubscription[], wanted: object): void {
    const link = this.#host.link();
    if (link === null) return;
    for (const member of members) member.enter({ name: 'joining' });
    feed.unansweredCount++;
    feed.shared = sharedOptions(feed);
    const waiting = () => members.filter((member) => member.state.name === 'joining');
    const reply = {
      ok: (result: unknown) => {
        feed.unansweredCount--;
        feed.onRelay = true;
        if (this.#feeds.get(feed.topic) !== feed) return; // Everybody left meanwhile; the UNSUBSCRIBE is out already.
        this.#bySub.set((result as SubscribeResult).sub, feed);
        for (const member of waiting()) member.joined(result as SubscribeResult);
      },
      failed: (error: RelayError) => {
        feed.unansweredCount--;
        if (error.codeName === 'TIMEOUT') feed.onRelay = true; // Perhaps: better one UNSUBSCRIBE too many.
        if (error.retryable) this.#postponed(feed, members, error);
        else this.#refused(feed, waiting(), error);
      },
      cut() {},
    };
    link.request(
      MessageType.SUBSCRIBE,
      encodeTail(feed.topic, { ...feed.shared, ...wanted }),
      reply,
      this.#options.commandTimeoutMs,
    );
  }

  #postponed(feed: Feed, members: readonly AnySubscription[], error: RelayError): void {
    const waiting = members.filter((member) => member.state.name === 'joining');
    const attempt = Math.max(0, ...waiting.map((member) => member.attempt++));
    for (const member of waiting) member.enter({ name: 'waiting', error });
    this.#later(error, attempt, () => {
      for (const member of waiting) member.enter({ name: 'waiting' });
      if (waiting.length > 0) this.#joinWaiting(feed);
      else if (this.#feeds.get(feed.topic) === feed) this.#send(feed, [], {}); // It was about the shared options.
    });
  }

  #refused(feed: Feed, members: readonly AnySubscription[], error: RelayError): void {
    for (const member of members) feed.members.delete(member);
    if (feed.members.size === 0 && this.#feeds.get(feed.topic) === feed) this.#forget(feed);
    for (const member of members) member.end(error, false);
  }

  #forget(feed: Feed): void {
    this.#feeds.delete(feed.topic);
    for (const [sub, other] of this.#bySub) if (other === feed) this.#bySub.delete(sub);
    if (isWired(feed)) this.#unsubscribe(feed.topic, 0);
  }

  /** Until the relay has taken it: an UNSUBSCRIBE lost to an overloaded relay would leave its messages coming for nobody. */
  #unsubscribe(topic: string, attempt: number): void {
    const link = this.#host.link();
    if (link === null || this.#feeds.has(topic)) return; // A newer feed unsubscribes for itself.
    const reply = {
      ok() {},
      failed: (error: RelayError) => {
        if (error.retryable) this.#later(error, attempt, () => this.#unsubscribe(topic, attempt + 1));
      },
      cut() {},
    };
    link.request(MessageType.UNSUBSCRIBE, encodeTail(topic), reply, this.#options.commandTimeoutMs);
  }

  #later(error: RelayError, attempt: number, callback: () => void): void {
    const { timers, random } = this.#options.platform;
    const timer = timers.setTimeout(
      () => {
        this.#timers.delete(timer);
        callback();
      },
      retryDelayMs(error, attempt, random),
    );
    this.#timers.add(timer);
  }

  #clearTimers(): void {
    for (const timer of this.#timers) this.#options.platform.timers.clearTimeout(timer);
    this.#timers.clear();
  }
}

const isWired = (feed: Feed): boolean => feed.onRelay || feed.unansweredCount > 0;

/** What a topic's subscriptions ask of the relay together: members outrank watchers, the last given policy counts. */
function sharedOptions(feed: Feed): SharedOptions {
  let shared: SharedOptions = {};
  for (const { options } of feed.members) {
    if (options.group ?? options.ack) return { ...options, ...CLIENT_ONLY }; // Nobody else is there.
    const { presence, policy, conflateBy } = options as SharedOptions;
    if (presence && presenceRank(presence) >= presenceRank(shared.presence)) shared = { ...shared, presence };
    if (policy !== undefined) shared = { ...shared, policy };
    if (conflateBy !== undefined) shared = { ...shared, conflateBy };
  }
  return shared;
}

function presenceRank(presence: SharedOptions['presence']): number {
  return typeof presence === 'object' ? 3 : presence === true ? 2 : presence === 'watch' ? 1 : 0;
}

const sameOptions = (one: SharedOptions, other: SharedOptions): boolean =>
  one.presence === other.presence && one.policy === other.policy && one.conflateBy === other.conflateBy;
