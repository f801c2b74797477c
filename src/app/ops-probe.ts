/**
 * What only lanes know, for the ops state: the services with their instances, and the workflow runs under way with their stages.
 *
 * Thread: main. A client of the front like the HTTP gateway, with a session of its own; it asks while somebody looks and rests otherwise. What it has is
 * a few seconds old at most. Bounded: one round of questions at a time, and as many runs as the list's limit gives.
 */
import type { Front } from '../front/front.ts';
import { type Connection, SendResult } from '../front/ports.ts';
import type { Session } from '../front/session.ts';
import type { ServiceState, WorkflowState } from '../ops/ops-state.ts';
import { packMessage, unpackMany } from '../protocol/codec.ts';
import { MessageType } from '../protocol/types.ts';

const CLIENT_NAME = '$ops';
const ROUND_INTERVAL_MS = 2_000;
/** Nobody has looked for so long: it rests. */
const LOOKED_MS = 10_000;
const RUNS_MAX = 1_000;
/** Runs whose stages are asked for in a round, the newest first. */
const STATUSES_MAX = 50;

interface RunEntry {
  readonly workflow: string;
  readonly run: string;
  readonly state: string;
}
interface StageEntry {
  readonly stage: string;
  readonly state: string;
  readonly waiting: number;
  readonly backingOff: number;
  readonly inFlight: number;
  readonly failed: number;
}

export class OpsProbe implements Connection {
  readonly remoteAddress = 'ops';
  readonly #front: Front;
  readonly #answers = new Map<number, (result: unknown) => void>();
  #session: Session | null = null;
  #nextId = 1;
  #nextRoundMs = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  services: readonly ServiceState[] = [];
  workflows: readonly WorkflowState[] = [];

  constructor(front: Front) {
    this.#front = front;
  }

  /** Somebody looks. */
  look(nowMs: number): void {
    this.#lookedAtMs = nowMs;
  }

  /** A few times a second. */
  tick(nowMs: number): void {
    if (this.#isClosed || nowMs < this.#nextRoundMs || nowMs - this.#lookedAtMs > LOOKED_MS) return;
    this.#nextRoundMs = nowMs + ROUND_INTERVAL_MS;
    this.#answers.clear(); // Of a round that a dying lane has cut short.
    this.#round();
  }

  stop(): void {
    this.#isClosed = true;
    if (this.#session !== null) this.#front.onClose(this.#session, 1000);
    this.#session = null;
  }

  #round(): void {
    if (this.#session === null) {
      this.#session = this.#front.open(this, true);
      this.#ask([MessageType.HELLO, { client: CLIENT_NAME }], () => undefined);
    }
    this.#ask([MessageType.SERVICES, '>', { instances: true }], (result) => {
      const { services } = result as { services: ServiceState[] };
      this.services = services.sort((one, other) => (one.service < other.service ? -1 : 1));
    });
    this.#ask([MessageType.RUN, '>', { action: 'list', limit: RUNS_MAX }], (result) =>
      this.#listed((result as { runs: RunEntry[] }).runs),
    );
  }

  #listed(runs: readonly RunEntry[]): void {
    const workflows = new Map<string, { readonly runs: Record<string, number>; readonly stages: Map<string, StageEntry> }>();
    for (const { workflow, state } of runs) {
      let known = workflows.get(workflow);
      if (known === undefined) {
        known = { runs: {}, stages: new Map() };
        workflows.set(workflow, known);
      }
      known.runs[state] = (known.runs[state] ?? 0) + 1;
    }
    const underWay = runs.filter(({ state }) => !ENDED_STATES.has(state)).slice(0, STATUSES_MAX);
    let left = underWay.length;
    const done = (): void => {
      this.workflows = [...workflows]
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([workflow, known]) => ({
          workflow,
          runs: known.runs,
          stages: [...known.stages.values()].map(({ stage, inFlight, waiting, backingOff, failed }) => ({
            stage,
            running: inFlight,
            waiting: waiting + backingOff,
            failed,
          })),
        }));
    };
    if (left === 0) done();
    for (const { workflow, run } of underWay) {
      this.#ask([MessageType.RUN, workflow, { action: 'status', run }], (result) => {
        const stages = workflows.get(workflow)?.stages;
        for (const entry of (result as { stages?: StageEntry[] } | null)?.stages ?? []) {
          const sum = stages?.get(entry.stage);
          stages?.set(entry.stage, sum === undefined ? entry : added(sum, entry));
        }
        if (--left === 0) done();
      });
    }
  }

  /** `[type, ...rest]` with an id of its own behind the type. An error counts as an answer that says nothing. */
  #ask([type, ...rest]: readonly [number, ...unknown[]], answer: (result: unknown) => void): void {
    const id = this.#nextId++;
    this.#answers.set(id, answer);
    this.#front.onMessage(this.#session as Session, packMessage(type, id, ...rest), true);
  }

  // ---- Connection

  send(frame: Uint8Array): number {
    for (const [type, id, result] of unpackMany(frame.slice()) as [number, number, unknown][]) {
      const answer = this.#answers.get(id);
      if (answer === undefined) continue;
      this.#answers.delete(id);
      if (type === MessageType.OK) answer(result);
      else if (type === MessageType.ERROR) answer(EMPTY_ANSWER);
    }
    return SendResult.WRITTEN;
  }

  ping(): void {}
  bufferedBytes(): number {
    return 0;
  }
  /** The front has ended the session; the next round opens another. Not now: this is inside a call of the front's. */
  close(): void {
    const session = this.#session;
    this.#session = null;
    if (session !== null) queueMicrotask(() => this.#front.onClose(session, 1000));
  }
  terminate(): void {}
}

const ENDED_STATES: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled']);
const EMPTY_ANSWER = { services: [], runs: [], stages: [] };

function added(one: StageEntry, other: StageEntry): StageEntry {
  return {
    stage: one.stage,
    state: one.state,
    waiting: one.waiting + other.waiting,
    backingOff: one.backingOff + other.backingOff,
    inFlight: one.inFlight + other.inFlight,
    failed: one.failed + other.failed,
  };
}
