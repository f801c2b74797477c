/**
 * Workflows: starting runs, steering them, and following one as a stream of typed events.
 *
 * A run's transitions are messages on a topic with history, so following one is subscribing, with the same promises: it goes on at its offset after a
 * lost connection, and what the subscription says is lost is read from HISTORY. What even history has lost is an event of its own, `gap`.
 */
import { randomId } from '../base/ids.ts';
import { RelayError } from '../protocol/errors.ts';
import { MessageType, type Position } from '../protocol/types.ts';
import type { Client, ClientCore } from './client.ts';
import { deferred } from './deferred.ts';
import type { RequestOptions } from './requests.ts';
import type { RunEnd, RunEvent, RunState, RunStatus, RunSummary, WorkflowDefinition } from './workflow-types.ts';

const KEY_LENGTH = 20; // 100 bits.
/** Per HISTORY; the relay's own bound is its reply's size. */
const PAGE_EVENTS = 1_000;

export interface StartOptions extends RequestOptions {
  /** The same key gets the same run for as long as the relay keeps it. Made up if absent, so that a repeated START starts once. */
  readonly key?: string;
  /** For the whole run. Default: the definition's. */
  readonly deadlineMs?: number;
  /** Of the definition. Default: the newest. */
  readonly version?: number;
}

/** A definition, and which versions of it there are. */
export interface Defined {
  readonly workflow: string;
  readonly version: number;
  readonly versions: readonly number[];
  readonly definition: WorkflowDefinition;
}

interface Started {
  readonly run: string;
  readonly topic: string;
  readonly epoch: string;
  readonly offset: number;
  readonly version: number;
  readonly duplicate?: boolean;
}

/** Where a follower stands. */
interface Place {
  /** Null: nothing is known, begin with the oldest event. */
  epoch: string | null;
  offset: number;
  /** The last event, or what the relay says of a run that has ended. Undefined: attached to, and nobody has asked yet. */
  end: RunEnd<never> | null | undefined;
}

export class Workflow {
  readonly name: string;
  readonly #client: Client;
  readonly #core: ClientCore;

  constructor(client: Client, core: ClientCore, name: string) {
    this.#client = client;
    this.#core = core;
    this.name = name;
  }

  start<R = unknown>(input: unknown, { key, deadlineMs, version, ...options }: StartOptions = {}): Promise<Run<R>> {
    const wanted = { key: key ?? randomId(KEY_LENGTH), deadlineMs, version };
    const read = ({ run, epoch, offset, version: started, duplicate }: Started) =>
      new Run<R>(this.#client, this.#core, this.name, run, { epoch, offset, end: null }, started, duplicate === true);
    return this.#core.run(MessageType.START, [this.name, wanted, input], read, options);
  }

  /** A run that was started elsewhere or earlier; `since` is a stored `run.position`. Nothing is asked before you do. */
  run<R = unknown>(id: string, { since }: { since?: Position } = {}): Run<R> {
    const place = { epoch: since?.epoch ?? null, offset: since?.offset ?? 0, end: undefined };
    return new Run<R>(this.#client, this.#core, this.name, id, place);
  }

  /** The newest first. With a pattern for a name, of all workflows that it matches. */
  list({ state, limit, ...options }: { state?: RunState; limit?: number } & RequestOptions = {}): Promise<readonly RunSummary[]> {
    const read = ({ runs }: { runs: readonly RunSummary[] }) => runs;
    return this.#core.run(MessageType.RUN, [this.name, { action: 'list', state, limit }], read, options);
  }

  /** Rejects with BAD_REQUEST and all that is wrong with it, or CONFLICT where the version exists with another content. */
  define(
    definition: WorkflowDefinition,
    options?: RequestOptions,
  ): Promise<{ readonly workflow: string; readonly version: number }> {
    return this.#core.run(
      MessageType.DEFINE,
      [this.name, null, definition],
      (defined: { workflow: string; version: number }) => defined,
      options,
    );
  }

  /** Of a version, or the newest. */
  definition({ version, ...options }: { version?: number } & RequestOptions = {}): Promise<Defined> {
    const read = (defined: Defined) => defined;
    return this.#core.run(MessageType.RUN, [this.name, { action: 'definition', version }], read, options);
  }
}

export class Run<R = unknown> implements AsyncIterable<RunEvent<R>> {
  readonly id: string;
  readonly workflow: string;
  readonly topic: string;
  /** Of the definition; undefined on a run that was attached to. */
  readonly version: number | undefined;
  /** START found a run of that key: it was not started again. */
  readonly duplicate: boolean;
  readonly #client: Client;
  readonly #core: ClientCore;
  readonly #place: Place;
  #iterating = false;

  constructor(client: Client, core: ClientCore, workflow: string, id: string, place: Place, version?: number, duplicate = false) {
    this.#client = client;
    this.#core = core;
    this.#place = place;
    this.id = id;
    this.workflow = workflow;
    this.topic = `$workflow.${workflow}.${id}`;
    this.version = version;
    this.duplicate = duplicate;
  }

  /** Of the last event that a loop was given. Store it, and pass it to `workflow.run(id, {since})` later. */
  get position(): Position | null {
    const { epoch, offset } = this.#place;
    return epoch === null ? null : { epoch, offset };
  }

  status(options?: RequestOptions): Promise<RunStatus> {
    return this.#act('status', options);
  }
  /** Steps in flight are cancelled, finished stages compensated where the definition says how. */
  cancel(options?: RequestOptions): Promise<RunStatus> {
    return this.#act('cancel', options);
  }
  /** Steps in flight finish, no new ones begin. */
  pause(options?: RequestOptions): Promise<RunStatus> {
    return this.#act('pause', options);
  }
  resume(options?: RequestOptions): Promise<RunStatus> {
    return this.#act('resume', options);
  }
  /** A failed run goes on: what failed is tried again, what is finished stays. */
  retry(options?: RequestOptions): Promise<RunStatus> {
    return this.#act('retry', options);
  }

  /** Waits for the end: the run's result. Rejects with SERVICE_ERROR if it failed (the facts say why), CANCELLED if it was cancelled. */
  async result(): Promise<R> {
    const place = { ...this.#place }; // A loop of its own: it takes nothing from yours.
    for await (const _ of this.#follow(place)) {
    }
    const { end } = place;
    if (!end) throw new RelayError('CANCELLED', 'the client is closed');
    if (end.kind === 'succeeded') return 'result' in end ? (end.result as R) : await this.stageResult<R>();
    if (end.kind === 'cancelled') throw new RelayError('CANCELLED', 'the run was cancelled', { run: this.id });
    throw new RelayError('SERVICE_ERROR', 'the run failed', { run: this.id, stage: end.stage ?? null, ...end.reason });
  }

  /** What a stage has come to, or one part of a forEach's, also where the run as a whole has failed. Without a stage: the run. */
  stageResult<T = unknown>(stage?: string, index?: number, options?: RequestOptions): Promise<T> {
    const wanted = { run: this.id, action: 'result', stage, index };
    return this.#core.run(MessageType.RUN, [this.workflow, wanted], ({ result }: { result: T }) => result, options);
  }

  /** Every event from `position` on, until the run has ended. One loop at a time; the next one goes on where it was left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent<R>, void, undefined> {
    if (this.#iterating) throw new Error('a run has one reader: workflow.run(id) makes another');
    this.#iterating = true;
    try {
      yield* this.#follow(this.#place);
    } finally {
      this.#iterating = false;
    }
  }

  // ----

  #act(action: string, options?: RequestOptions): Promise<RunStatus> {
    return this.#core.run(MessageType.RUN, [this.workflow, { run: this.id, action }], (status: RunStatus) => status, options);
  }

  async *#follow(place: Place): AsyncGenerator<RunEvent<R>, void, undefined> {
    if (place.end === undefined) {
      const status = await this.status(); // NOT_FOUND, instead of waiting on a topic that nobody will publish to.
      // Its last event may have been seen in another life of this program: it will not come again.
      place.end = status.endedAtMs === undefined ? null : ({ ...status, kind: status.state } as unknown as RunEnd<never>);
    }
    if (place.epoch === null || place.end !== null) yield* this.#fill(place);
    if (place.end !== null) return;
    const since = { epoch: place.epoch as unknown as string, offset: place.offset };
    const subscription = this.#client.subscribe(this.topic, { since });
    let bell = deferred<null>();
    subscription.on('continuity-lost', () => bell.resolve(null));
    const messages = subscription[Symbol.asyncIterator]();
    try {
      for (let next = messages.next(); place.end === null; ) {
        const taken = await Promise.race([next, bell.promise]);
        if (taken === null) {
          bell = deferred<null>();
          yield* this.#fill(place);
        } else if (taken.done) return;
        else {
          const { offset, payload } = taken.value;
          if (offset === place.offset + 1) yield this.#take(place, offset, payload);
          else if (offset > place.offset) yield* this.#fill(place);
          // A run that failed may have been retried since.
          const end = place.end as RunEnd | null; // Not what the loop's condition has narrowed it to.
          if (end !== null && end.kind !== 'succeeded') yield* this.#fill(place);
          next = messages.next();
        }
      }
    } finally {
      subscription.unsubscribe();
    }
  }

  /** Everything behind the place, from history. */
  async *#fill(place: Place): AsyncGenerator<RunEvent<R>, void, undefined> {
    for (let more = true; more; ) {
      const since = place.epoch === null ? {} : { since: { epoch: place.epoch, offset: place.offset } };
      const page = await this.#client.history(this.topic, { limit: PAGE_EVENTS, ...since });
      place.epoch = page.epoch;
      for (const { offset, payload } of page.messages) {
        if (offset > place.offset + 1) yield { kind: 'gap', offset: offset - 1, from: place.offset + 1, to: offset - 1 };
        yield this.#take(place, offset, payload);
      }
      more = page.more;
    }
  }

  #take(place: Place, offset: number, payload: unknown): RunEvent<R> {
    const event = { ...(payload as object), offset } as RunEvent<R>;
    place.offset = offset;
    const isEnd = event.kind === 'succeeded' || event.kind === 'failed' || event.kind === 'cancelled';
    if (isEnd) place.end = event as RunEnd<never>;
    else if (event.kind === 'retried') place.end = null;
    return event;
  }
}
