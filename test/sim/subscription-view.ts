/**
 * One client's view of one subscription, held against the model: every message has its place, and what does not come is named.
 *
 * It sees what the client sees, in that order. `fail` ends the run: the first contradiction is the one worth reading.
 */
import { isDeepStrictEqual } from 'node:util';
import type { GroupAsked } from './group-model.ts';
import { GroupView } from './group-view.ts';
import {
  type Entry,
  type JoinPlan,
  type Model,
  matchesPattern,
  type ReplayItem,
  type ResumePlan,
  type TopicModel,
} from './model.ts';

export interface Published {
  readonly uid: number;
  readonly topic: string;
  readonly pad: string;
  readonly headers: Readonly<Record<string, string>> | null;
}

export interface ViewContext {
  readonly model: Model;
  /** The front's number of this connection. */
  readonly session: number;
  published(uid: number): Published | undefined;
  /** A queue group has given it to us. Fails if anybody was given it before. */
  givenOnce(what: string): void;
  fail(what: string): never;
}

/** How far one stream has come: everything up to `position` was received, named or excluded. */
interface Cursor {
  readonly topic: TopicModel;
  position: number;
  /** A lost event came after the topic's lane had died: it may have meant this stream. */
  mayBeLost?: boolean;
}

interface Meta {
  readonly recovered?: boolean;
  readonly attempt?: number;
  readonly headers?: object;
  readonly publisher?: string;
  readonly timeUs?: number;
}

interface SkipData {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
  readonly count: number;
}

interface LostData {
  readonly from: number | null;
  readonly to: number | null;
  readonly reason: string;
  readonly epoch: string | null;
  readonly offset: number;
}

/** What SUBSCRIBE asked for, as far as its answer depends on it. */
export interface Asked extends Partial<GroupAsked> {
  readonly since?: { readonly epoch: string; readonly offset: number };
  readonly last?: number;
  readonly presence?: unknown;
  readonly policy?: string;
  readonly conflateBy?: string;
}

export class SubscriptionView {
  readonly name: string;
  readonly isPattern: boolean;
  readonly sub: number;
  /** An UNSUBSCRIBE is under way: what waits is thrown away, without a word. */
  isLeaving = false;
  /** What was missing meanwhile; if the UNSUBSCRIBE fails, it should not have been. */
  #missing: string | null = null;
  readonly #context: ViewContext;
  readonly #policies = new Set<string>();
  /** Every `conflateBy` that was ever asked for: what it was when a message was dropped cannot be told from here. */
  readonly #conflateBys = new Set<string | null>();
  /** By topic; an exact subscription has one. */
  readonly #cursors = new Map<string, Cursor>();
  /** Pattern on topics without history: skips that came before the first message told where the stream begins. */
  readonly #unplacedSkips = new Map<string, number>();
  /** Replayed messages that must come next, before anything live. */
  #script: ReplayItem[] = [];
  #watch = false;
  #presenceIndex = 0;
  /** Null: a plain subscription. */
  #group: GroupView | null = null;
  /** In a group with ack: what came and was not answered yet. */
  readonly unanswered: { readonly offset: number; readonly epoch: string }[] = [];
  /** Pattern: lost events heard. Which lane each is about they do not say. */
  #lostCount = 0;
  /** Pattern: what was handled later than this must come. Exact: when it was joined. */
  #order = 0;
  /** Pattern: what was handled earlier than this cannot come. */
  #sentOrder = 0;

  constructor(name: string, isPattern: boolean, sub: number, context: ViewContext) {
    this.name = name;
    this.isPattern = isPattern;
    this.sub = sub;
    this.#context = context;
  }

  get isWatching(): boolean {
    return this.#watch;
  }

  /** Does the topic fall under this pattern? */
  covers(topic: string): boolean {
    return matchesPattern(this.name, topic);
  }

  // ---- joining

  /** The OK of a SUBSCRIBE to a topic, first or again. */
  joined(
    asked: Asked,
    plan: JoinPlan,
    result: { readonly recovered?: boolean; readonly replay: number },
    isFirst: boolean,
  ): void {
    const { model } = this.#context;
    const cursor = this.#cursors.get(this.name);
    if (!isFirst && cursor !== undefined) {
      if (cursor.topic !== plan.topic)
        this.#fail(`joined again in epoch ${plan.topic.epoch} without a lost event for ${cursor.topic.epoch}`);
      this.#requireScriptDone('joined again');
      this.#requireGiven('joined again', plan.itemIndex);
      // Who says where it is and was held back gets the rest by the replay, or the reason why not, in or behind the OK.
      const mayBeHeldBack = asked.since !== undefined && this.#policies.has('pause');
      if (this.#group === null && !mayBeHeldBack) this.#account(cursor, plan.ordinal, 'joined again');
      this.#requirePresence(plan.topic, plan.presenceIndex);
    }
    this.#script = model.knowsRetention ? [...plan.script] : this.#scriptFromReply(asked, plan, result);
    const first = this.#script[0];
    const position = first === undefined ? plan.ordinal : (first.kind === 'message' ? first.ordinal : first.from) - 1;
    this.#cursors.set(this.name, { topic: plan.topic, position });
    const { group, itemIndex } = plan;
    const items = model.given(this.#context.session, this.name);
    this.#group = group === null ? null : new GroupView(group.name, items, itemIndex, (what) => this.#fail(what));
    if (group === null) this.unanswered.length = 0;
    this.#watch = plan.watch;
    this.#presenceIndex = plan.presenceIndex;
    this.#order = plan.order;
    this.asking(asked, plan.topic);
  }

  /** The OK of a SUBSCRIBE to a pattern. */
  joinedPattern(asked: Asked, isFirst: boolean, sentOrder: number): void {
    if (isFirst) {
      this.#order = this.#context.model.order;
      this.#sentOrder = sentOrder;
    }
    this.asking(asked, null);
  }

  /** A SUBSCRIBE is under way: its policy may act before its OK comes, on what waits in front of it. */
  asking(asked: Asked, topic: TopicModel | null): void {
    const policy = asked.policy ?? topic?.config.slowConsumer ?? 'disconnect';
    const isForReaders = policy === 'pause' || policy === 'conflate' || asked.ack === true;
    if (asked.group !== undefined) this.#policies.add(isForReaders ? 'disconnect' : policy);
    else this.#policies.add(policy === 'pause' && topic?.hasHistory === false ? 'disconnect' : policy);
    this.#conflateBys.add(asked.conflateBy ?? null);
  }

  /** Again, for a subscription that is there. */
  askingAgain(asked: Asked): void {
    this.asking(asked, this.#cursors.get(this.name)?.topic ?? null);
  }

  #scriptFromReply(
    asked: Asked,
    plan: JoinPlan,
    result: { readonly recovered?: boolean; readonly replay: number },
  ): ReplayItem[] {
    const from = result.recovered === true ? (asked.since as { offset: number }).offset + 1 : plan.ordinal - result.replay + 1;
    return Array.from({ length: plan.ordinal - from + 1 }, (_, index) => ({ kind: 'message', ordinal: from + index }));
  }

  // ---- the stream

  message(topicName: string, offset: number, meta: Meta | null, payload: unknown): void {
    const { model } = this.#context;
    const isOwn = model.isOwn(topicName);
    const [uid = Number.NaN, pad = ''] = isOwn ? [model.ownUid(topicName, payload)] : (payload as [number, string]);
    const place = model.locate(topicName, uid, offset, this.isPattern && this.#lostCount > 0, this.#cursors.get(topicName));
    const published = isOwn ? { topic: topicName, pad: '' } : this.#context.published(uid);
    if (place === undefined || published === undefined)
      this.#fail(`message ${isOwn ? JSON.stringify(payload) : uid} was never accepted`);
    const { topic, ordinal } = place;
    const entry = topic.entry(ordinal);
    if (topic.name !== topicName || (published.topic !== topicName && !entry.isLetter))
      this.#fail(`message ${uid} of ${topic.name} came as one of ${topicName}`);
    if (published.pad !== pad) this.#fail(`message ${uid} has another payload than was published`);
    if (offset !== (topic.hasHistory ? ordinal : 0)) this.#fail(`message ${uid} has offset ${offset}, its place is ${ordinal}`);
    const { recovered, attempt, ...facts } = meta ?? {};
    if (!isDeepStrictEqual(facts, entry.meta ?? {}))
      this.#fail(`message ${uid} has meta ${JSON.stringify(meta)}, due is ${JSON.stringify(entry.meta)}`);
    if (this.#group !== null) {
      this.#group.message(topic, ordinal, attempt ?? 0);
      this.#context.givenOnce(`${topic.epoch} ${this.#group.name} ${ordinal} ${attempt ?? 0}`);
      if (recovered === true) this.#fail(`message ${ordinal} of a group is marked as recovered`);
      if (attempt !== undefined) this.unanswered.push({ offset, epoch: topic.epoch });
      return;
    }
    if (attempt !== undefined) this.#fail(`message ${ordinal} has an attempt, and we are in no group`);
    const due = this.#script[0];
    if (due !== undefined) {
      if (due.kind !== 'message' || due.ordinal !== ordinal)
        this.#fail(`replay is at ${JSON.stringify(due)}, got offset ${ordinal}`);
      if (recovered !== true) this.#fail(`replayed message ${ordinal} is not marked as recovered`);
      this.#script.shift();
      (this.#cursors.get(topicName) as Cursor).position = ordinal;
      return;
    }
    if (recovered === true) this.#fail(`message ${ordinal} is marked as recovered, but no replay is under way`);
    if (entry.excluded === this.#context.session)
      this.#fail(`message ${ordinal} came back to its publisher, who said echo: false`);
    const cursor = this.#cursorFor(topic, ordinal);
    if (ordinal <= cursor.position) this.#fail(`message ${ordinal} came after ${cursor.position}: again, or out of order`);
    this.#account(cursor, ordinal - 1, `before message ${ordinal}`);
    cursor.position = ordinal;
  }

  /** Where this topic's stream stands for us; a pattern learns it from the first message. */
  #cursorFor(topic: TopicModel, ordinal: number): Cursor {
    const cursor = this.#cursors.get(topic.name);
    if (cursor?.topic === topic) return cursor;
    if (!this.isPattern) this.#fail(`message of epoch ${topic.epoch}, the subscription is in ${cursor?.topic.epoch}`);
    const streams = this.#context.model.streams.get(topic.name) as TopicModel[];
    if (cursor !== undefined) {
      if (streams.indexOf(topic) < streams.indexOf(cursor.topic)) this.#fail(`message of an older stream of ${topic.name}`);
      if (!cursor.topic.isDead) this.#account(cursor, cursor.topic.log.length, 'before the topic was forgotten');
    }
    const next: Cursor = { topic, position: this.#firstDue(topic, ordinal) - 1 };
    this.#cursors.set(topic.name, next);
    return next;
  }

  /** First ordinal that must come; messages that the subscription met while it was being joined may come, and are not due. */
  #firstDue(topic: TopicModel, ordinal: number): number {
    let first = 1;
    while (first < ordinal && (topic.log[first - 1] as Entry).order <= this.#order) first++;
    return first;
  }

  event(topicName: string, kind: string, data: unknown): void {
    if (this.#group !== null && 'group' in (data as object)) {
      this.#group.event(kind, data, this.isLeaving);
      return;
    }
    switch (kind) {
      case 'join':
      case 'leave':
      case 'update':
        this.#presence(kind, data);
        return;
      case 'skip':
        this.#skip(topicName, data as SkipData);
        return;
      case 'lagged':
        this.#lagged(data as { readonly from: number; readonly to: number });
        return;
      case 'lost':
        this.#lost(data as LostData);
        return;
      default:
        this.#fail(`unknown event ${kind}`);
    }
  }

  #skip(topicName: string, skip: SkipData): void {
    const { from, to, reason, count } = skip;
    const due = this.#script[0];
    if (due !== undefined || reason === 'expired') {
      const wanted =
        due?.kind === 'expired' ? { from: due.from, to: due.to, reason: 'expired', count: due.to - due.from + 1 } : due;
      if (!isDeepStrictEqual(wanted, { ...skip }))
        this.#fail(`replay is at ${JSON.stringify(due)}, got skip ${JSON.stringify(skip)}`);
      this.#script.shift();
      (this.#cursors.get(topicName) as Cursor).position = to;
      return;
    }
    if (!this.#policies.has(reason)) this.#fail(`skip by ${reason}, the policy is ${[...this.#policies].join(', ')}`);
    if (this.#group !== null) {
      this.#group.dropped(from, to, count);
      return;
    }
    const cursor = this.#cursorOfSkip(topicName, from, to, count);
    if (cursor === null) return;
    if (cursor.topic.hasHistory) this.#skipOffsets(cursor, skip);
    else this.#skipCount(cursor, skip);
  }

  #skipOffsets(cursor: Cursor, { from, to, reason, count }: SkipData): void {
    const { topic } = cursor;
    if (from <= cursor.position || to < from || to > topic.log.length) {
      this.#fail(`skip [${from}, ${to}] does not fit behind ${cursor.position} of ${topic.log.length}`);
    }
    this.#account(cursor, from - 1, `before skip from ${from}`);
    let meant = 0;
    for (let at = from; at <= to; at++) {
      if (this.#isExcluded(topic, at)) continue;
      meant++;
      if (reason === 'conflate') this.#requireSuccessor(topic, at);
    }
    // Lanes that we have left already send nothing, while others still do.
    if (this.isLeaving ? count > meant : count !== meant) {
      this.#fail(`skip [${from}, ${to}] counts ${count}, meant for us were ${meant}`);
    }
    cursor.position = to;
  }

  /** Without history there is only the count; it may reach over streams that were forgotten in between, which nobody can tell apart. */
  #skipCount(cursor: Cursor, { from, to, reason, count }: SkipData): void {
    if (from !== 0 || to !== 0) this.#fail(`skip [${from}, ${to}] on a topic without history`);
    let { topic } = cursor;
    let at = cursor.position;
    for (let left = count; left > 0; ) {
      at++;
      if (at > topic.log.length) {
        const streams = this.#context.model.streams.get(topic.name) as TopicModel[];
        const next = streams[streams.indexOf(topic) + 1];
        if (!this.isPattern || topic.isDead || next === undefined) this.#fail(`skip of ${count} goes beyond what was published`);
        topic = next;
        at = 0;
      } else if (!this.#isExcluded(topic, at)) {
        left--;
        if (reason === 'conflate') this.#requireSuccessor(topic, at);
      }
    }
    this.#cursors.set(topic.name, { topic, position: at });
  }

  /** The stream that a skip speaks of. A pattern may hear of a new one by a skip first. Null: no telling where in it. */
  #cursorOfSkip(topicName: string, from: number, to: number, count: number): Cursor | null {
    const cursor = this.#cursors.get(topicName);
    if (cursor !== undefined && !this.isPattern) return cursor;
    // A stream of ours that may be over: this skip is about it, or about one behind it.
    const isSure = cursor !== undefined && cursor.mayBeLost !== true;
    const fits = (candidate: TopicModel): boolean => candidate !== cursor?.topic || from > cursor.position;
    if (isSure && (from === 0 || (fits(cursor.topic) && to <= cursor.topic.log.length))) return cursor;
    const streams = this.#context.model.streams.get(topicName) ?? [];
    const oldest = cursor === undefined ? 0 : streams.indexOf(cursor.topic);
    const possible = streams.slice(oldest).filter((candidate) => {
      const newest = candidate.log[to - 1];
      return newest !== undefined && newest.order > this.#sentOrder && fits(candidate);
    });
    if (from === 0 || possible.length > 1) {
      this.#unplacedSkips.set(topicName, (this.#unplacedSkips.get(topicName) ?? 0) + count);
      return null;
    }
    const [stream] = possible;
    if (stream === undefined) this.#fail(`skip [${from}, ${to}] on ${topicName}, which has no such messages`);
    return this.#cursorFor(stream, from);
  }

  /** Conflating drops a message for a later one of the same key, and for nothing else: the trailing one is always delivered. */
  #requireSuccessor(topic: TopicModel, ordinal: number): void {
    if (this.#policies.size !== 1 || this.#conflateBys.size !== 1) return;
    const [conflateBy = null] = this.#conflateBys;
    const keyOf = (entry: Entry): string => {
      const headers = (entry.meta as { headers?: Record<string, string> } | null)?.headers;
      return conflateBy === null ? '' : (headers?.[conflateBy] ?? '');
    };
    const wanted = keyOf(topic.entry(ordinal));
    const streams = this.#context.model.streams.get(topic.name) as TopicModel[];
    const later = [...topic.log.slice(ordinal), ...streams.slice(streams.indexOf(topic) + 1).flatMap((stream) => stream.log)];
    if (!later.some((entry) => keyOf(entry) === wanted && entry.excluded !== this.#context.session))
      this.#fail(`message ${ordinal} was conflated, and there is no later one of its key`);
  }

  #lagged({ from, to }: { readonly from: number; readonly to: number }): void {
    if (!this.#policies.has('pause')) this.#fail('lagged without the policy pause');
    const cursor = this.#cursors.get(this.name) as Cursor;
    this.#requireScriptDone('lagged');
    const { model } = this.#context;
    if (model.knowsRetention) {
      const plan = this.#resumePlan(cursor);
      if (plan === undefined || !isDeepStrictEqual(plan.lagged, [from, to])) {
        this.#fail(`lagged [${from}, ${to}], due is ${JSON.stringify(plan?.lagged)}`);
      }
      this.#script = [...plan.script];
      model.takeResume(this.#context.session, this.name);
    } else this.#script = Array.from({ length: to - from + 1 }, (_, index) => ({ kind: 'message', ordinal: from + index }));
    this.#account(cursor, from - 1, `before lagged from ${from}`);
  }

  #lost({ from, to, reason, epoch, offset }: LostData): void {
    if (reason === 'LANE_RESTARTED') {
      if (from !== null || to !== null) this.#fail('a restarted lane knows of no offsets');
      this.#restarted(epoch, offset);
      return;
    }
    if (reason !== 'EVICTED' && reason !== 'RESUBSCRIBED') this.#fail(`lost by ${reason}`);
    if (!this.#policies.has('pause')) this.#fail(`lost by ${reason} without the policy pause`);
    const cursor = this.#cursors.get(this.name) as Cursor;
    this.#requireScriptDone('lost');
    if (reason === 'EVICTED' && this.#context.model.knowsRetention) {
      const plan = this.#resumePlan(cursor);
      if (plan === undefined || !isDeepStrictEqual(plan.lost, [from, to]))
        this.#fail(`lost [${from}, ${to}], due is ${JSON.stringify(plan?.lost)}`);
      if (plan.lagged === null) this.#context.model.takeResume(this.#context.session, this.name);
    }
    if (epoch !== cursor.topic.epoch || offset !== to) this.#fail(`lost [${from}, ${to}] goes on from (${epoch}, ${offset})`);
    this.#account(cursor, (from as number) - 1, `before lost from ${from}`);
    cursor.position = to as number;
  }

  /** Plans of a lane that has died since are not followed. */
  #resumePlan(cursor: Cursor): ResumePlan | undefined {
    const { model, session } = this.#context;
    let plan = model.nextResume(session, this.name);
    while (plan !== undefined && plan.topic !== cursor.topic) {
      model.takeResume(session, this.name);
      plan = model.nextResume(session, this.name);
    }
    return plan;
  }

  #restarted(epoch: string | null, offset: number): void {
    const { model, session } = this.#context;
    const restores = model.restores(session, this.name);
    this.#script = [];
    if (this.isPattern) {
      this.#lostCount++;
      for (const cursor of this.#cursors.values()) if (cursor.topic.isDead) cursor.mayBeLost = true;
      return;
    }
    let restored = restores.shift();
    while (restored !== undefined && restored.topic?.epoch !== epoch) {
      if (!restored.mayBeUnsaid) this.#fail(`lost names epoch ${epoch}, due is ${restored.topic?.epoch}`);
      restored = restores.shift();
    }
    if (restored === undefined) this.#fail(`lost names epoch ${epoch}, and no lane was replaced`);
    if (offset !== 0) this.#fail(`a restarted lane goes on from 0, not ${offset}`);
    const topic = restored.topic as TopicModel;
    this.#cursors.set(this.name, { topic, position: 0 });
    this.#group?.restarted(topic, model.streams.get(this.name) as TopicModel[]);
    this.#presenceIndex = 0;
  }

  // ---- presence

  #presence(kind: string, data: unknown): void {
    if (!this.#watch) this.#fail(`${kind} event without asking for presence`);
    const { topic } = this.#cursors.get(this.name) as Cursor;
    this.#skipOwnPresence(topic);
    const due = topic.presenceLog[this.#presenceIndex];
    if (due === undefined || due.kind !== kind || !isDeepStrictEqual(due.data, data)) {
      this.#fail(`${kind} ${JSON.stringify(data)}, due is ${due?.kind} ${JSON.stringify(due?.data)}`);
    }
    this.#presenceIndex++;
  }

  #skipOwnPresence(topic: TopicModel): void {
    while (topic.presenceLog[this.#presenceIndex]?.causedBy === this.#context.session) this.#presenceIndex++;
  }

  #requirePresence(topic: TopicModel, upTo: number): void {
    if (!this.#watch) return;
    this.#skipOwnPresence(topic);
    const due = topic.presenceLog[this.#presenceIndex];
    if (this.#presenceIndex < upTo) this.#fail(`presence event ${due?.kind} ${JSON.stringify(due?.data)} did not come`);
  }

  // ---- what must be so at certain points

  /** A publish of ours is answered: our own copy came first. */
  requireOwnCopy(entry: Entry, topic: TopicModel): void {
    if (this.#group !== null || this.isLeaving || (this.#unplacedSkips.get(topic.name) ?? 0) > 0) return;
    if (entry.order <= this.#order || this.#policies.has('pause') || entry.excluded === this.#context.session) return;
    const cursor = this.#cursors.get(topic.name);
    if (cursor === undefined) {
      if (!this.isPattern) return;
      this.#fail(`the publish of message ${entry.ordinal} was answered before our own copy came`);
    }
    if (cursor.topic === topic && cursor.position < entry.ordinal) {
      this.#fail(`the publish of message ${entry.ordinal} was answered before our own copy came, at ${cursor.position}`);
    }
  }

  /** Nothing is under way any more: everything has come or was named. */
  finish(): void {
    this.#requireScriptDone('the end');
    const { model, session } = this.#context;
    const due = model.restores(session, this.name).filter((restored) => !restored.mayBeUnsaid && restored.order > this.#order);
    if (due.length > (this.isPattern ? this.#lostCount : 0)) this.#fail('a lane was replaced, and no lost event came');
    for (const { topic, mayBeLost } of this.#cursors.values()) {
      if (topic.isDead && mayBeLost !== true) this.#fail(`the lane of ${topic.name} died, and no lost event came`);
    }
    if (this.#group !== null) {
      this.#requireGiven('the end');
      return;
    }
    if (!this.isPattern) {
      const cursor = this.#cursors.get(this.name) as Cursor;
      this.#account(cursor, cursor.topic.log.length, 'the end');
      this.#requirePresence(cursor.topic, cursor.topic.presenceLog.length);
      return;
    }
    for (const topic of model.liveTopics()) {
      if (!matchesPattern(this.name, topic.name) || topic.log.length === 0) continue;
      this.#account(this.#cursorFor(topic, topic.log.length + 1), topic.log.length, 'the end');
    }
  }

  /** Last position, for a reconnect. Null without history. */
  get position(): { readonly epoch: string; readonly offset: number } | null {
    const cursor = this.#group === null ? this.#cursors.get(this.name) : undefined;
    return cursor?.topic.hasHistory ? { epoch: cursor.topic.epoch, offset: cursor.position } : null;
  }

  /** Moves up to `ordinal`; what lies between must not have been meant for us. */
  #account(cursor: Cursor, ordinal: number, when: string): void {
    if (cursor.position > ordinal) this.#fail(`${when}: the stream goes back from ${cursor.position} to ${ordinal}`);
    for (let at = cursor.position + 1; at <= ordinal; at++) {
      if (!this.#isExcluded(cursor.topic, at) && !this.#isUnplacedSkip(cursor.topic.name)) {
        const { uid } = cursor.topic.entry(at);
        this.#miss(
          `${when}: message ${at} (uid ${uid}) of ${cursor.topic.name} is missing, at ${cursor.position}, and nothing names it`,
        );
      }
    }
    cursor.position = ordinal;
  }

  /** One of those that were skipped, and no telling which. */
  #isUnplacedSkip(topicName: string): boolean {
    const count = this.#unplacedSkips.get(topicName) ?? 0;
    if (count > 0) this.#unplacedSkips.set(topicName, count - 1);
    return count > 0;
  }

  /** What our group has given us has come. */
  #requireGiven(when: string, itemIndex?: number): void {
    const missing = this.#group?.missing(when, itemIndex) ?? null;
    if (missing !== null) this.#miss(missing);
  }

  #miss(what: string): void {
    if (!this.isLeaving) this.#fail(what);
    this.#missing ??= what;
  }

  /** The UNSUBSCRIBE was refused: we are still there. */
  stays(): void {
    this.isLeaving = false;
    if (this.#missing !== null) this.#fail(this.#missing);
  }

  #isExcluded(topic: TopicModel, ordinal: number): boolean {
    return topic.entry(ordinal).excluded === this.#context.session;
  }

  #requireScriptDone(when: string): void {
    if (this.#script.length > 0) this.#fail(`${when}: the replay is not complete, next is ${JSON.stringify(this.#script[0])}`);
  }

  #fail(what: string): never {
    this.#context.fail(`subscription ${this.sub} to ${this.name}: ${what}`);
  }
}
