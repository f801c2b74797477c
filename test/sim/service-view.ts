/**
 * One connection's calls and what it works on for others, held against the model: every message in its place, and none that is not due.
 *
 * Messages of one lane come in the lane's order; those of several lanes come as they like. A lane that dies takes back what it had not said: its calls are
 * answered LANE_RESTARTED by the front, and what the model has given of that life beyond what came is void.
 */
import { isDeepStrictEqual } from 'node:util';
import { hashBytes } from '../../src/base/hash.ts';
import { WIRE_ERRORS, wireErrorName } from '../../src/protocol/codes.ts';
import { MessageType } from '../../src/protocol/types.ts';
import type { Model } from './model.ts';
import type { ServiceItem } from './service-model.ts';

export interface ServiceViewContext {
  readonly model: Model;
  readonly session: number;
  readonly laneCount: number;
  readonly callsPendingMax: number;
  /** A call was given to us. Fails if that may happen once only and has happened. */
  invoked(work: WorkView): void;
  /** RETURNs of this session that were refused because what waits for a lane had reached its bound. */
  returnsRefused(): number;
  fail(what: string): never;
}

interface CallView {
  readonly id: number;
  /** Of the CALLs of this id; one of them is in flight, unless the front has refused it. */
  readonly uids: number[];
  readonly service: string;
  readonly lane: number;
  /** Of its lane, when it was sent: that of a dead one that nobody has noticed yet among them. */
  readonly lives: number;
  /** Calls of the session that had no last answer then. */
  others: number;
  parts: number;
  /** CALLs of this id that were sent, each of which gets a last answer. */
  unanswered: number;
}

export interface WorkView {
  readonly callId: number;
  readonly service: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: unknown;
  /** Parts that may be sent, those that were among them. */
  credit: number;
  parts: number;
}

interface InvokeOptions {
  readonly deadlineMs: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly window?: number;
}

const code = (name: keyof typeof WIRE_ERRORS): number => WIRE_ERRORS[name].code;

/** The lane of a service, and of its calls. */
export function laneOf(service: string, laneCount: number): number {
  const bytes = new TextEncoder().encode(service);
  return hashBytes(bytes, 0, bytes.length) % laneCount;
}

export class ServiceView {
  readonly #context: ServiceViewContext;
  /** By lane. */
  readonly #due: ServiceItem[][];
  readonly #items: readonly ServiceItem[];
  #itemsSeen = 0;
  /** Errors without an id that came and were due of a life that is over, by text: they may have been those of the next. */
  readonly #doubtful = new Map<string, number>();
  /** By id, without a last answer. */
  readonly calls = new Map<number, CallView>();
  /** By callId: what we have been given and have not returned. */
  readonly work = new Map<number, WorkView>();
  /** Numbers of calls that we have had: what is returned for them now is late. */
  readonly past: number[] = [];
  /** What we serve; `isSure` while no answer says otherwise. */
  readonly serves = new Map<string, { isSure: boolean; heartbeatMs: number }>();
  readonly #returns: { readonly callId: number; readonly lives: number }[] = [];
  /** RETURNs that may be answered LANE_RESTARTED or, beyond the bound of what waits, OVERLOADED. */
  #returnErrorsMax = 0;

  constructor(context: ServiceViewContext) {
    this.#context = context;
    this.#due = Array.from({ length: context.laneCount }, () => []);
    this.#items = context.model.served(context.session);
  }

  get pendingCount(): number {
    return this.calls.size;
  }

  // ---- what we send

  /** `bad`: CALLs that are answered with BAD_REQUEST, and are in flight until then. */
  called(id: number, uid: number, service: string, bad: number): void {
    const known = this.calls.get(id);
    const others = [...this.calls.values()].reduce((sum, { unanswered }) => sum + unanswered, bad);
    if (known !== undefined) {
      known.others = Math.max(known.others, others);
      known.unanswered++;
      known.uids.push(uid);
      return;
    }
    const { model, laneCount } = this.#context;
    const lane = laneOf(service, laneCount);
    this.calls.set(id, { id, uids: [uid], service, lane, lives: model.livesOf(lane), others, parts: 0, unanswered: 1 });
  }

  returned(callId: number): void {
    const { model, laneCount } = this.#context;
    const lane = callId % laneCount;
    this.#returns.push({ callId, lives: model.livesOf(lane) });
    this.#returnErrorsMax++;
  }

  // ---- what comes

  invoke(message: readonly unknown[]): void {
    this.#take(message, `INVOKE ${message[1]}`);
    const [, callId, service, method, how, payload] = message as [number, number, string, string, InvokeOptions, unknown];
    if (how.deadlineMs < 1) this.#fail(`call ${callId} is given out without time left`);
    if (this.work.has(callId) || this.past.includes(callId)) this.#fail(`call ${callId} was given to us before`);
    const work = { callId, service, method, headers: how.headers ?? {}, payload, credit: how.window ?? 64, parts: 0 };
    this.#context.invoked(work);
    this.work.set(callId, work);
  }

  cancelled(message: readonly unknown[]): void {
    this.#take(message, `CANCELLED ${message[1]}`);
    this.over(message[1] as number);
  }

  credited(message: readonly unknown[]): void {
    this.#take(message, `CREDITED ${message[1]}`);
    const work = this.work.get(message[1] as number);
    if (work !== undefined) work.credit += message[2] as number;
  }

  result(message: readonly unknown[]): void {
    const [, id, more, payload] = message as [number, number, boolean, readonly [number, number | string]];
    const call = this.calls.get(id);
    if (call === undefined) this.#fail(`RESULT for ${id}, which is no call of ours, or was answered before`);
    this.#take(message, `RESULT ${id}`);
    const [uid, part] = payload;
    if (!call.uids.includes(uid)) this.#fail(`call ${id} is answered with the result of another: ${uid}, not ${call.uids}`);
    if (more) {
      if (part !== call.parts) this.#fail(`part ${part} of call ${id} came, due is ${call.parts}`);
      call.parts++;
    } else this.#over(call);
  }

  /** True: an ERROR of a call, or about a RETURN. */
  error(id: number, errorCode: number, details: unknown): boolean {
    const call = id === 0 ? undefined : this.calls.get(id);
    if (id !== 0 && call === undefined) return false;
    const frame = [MessageType.ERROR, id, errorCode, details];
    if (this.#tryTake(frame)) {
      if (call !== undefined) this.#over(call);
      return true;
    }
    if (call === undefined) return this.#isReturnError(errorCode);
    if (!this.#isFrontError(call, errorCode, details))
      this.#fail(
        `${wireErrorName(errorCode)} to call ${id} of ${call.service}: ${JSON.stringify(details)}; due is ${this.#dueText()}`,
      );
    if (errorCode === code('LANE_RESTARTED')) {
      this.#lifeIsOver(call.lane, call.lives);
      this.#over(call);
    } else this.#refused(call);
    return true;
  }

  #isFrontError(call: CallView, errorCode: number, details: unknown): boolean {
    const { model, callsPendingMax } = this.#context;
    switch (errorCode) {
      case code('OVERLOADED'):
        return typeof (details as { lane?: unknown }).lane === 'number';
      case code('LIMIT'):
        return call.others >= callsPendingMax;
      case code('CONFLICT'):
        return call.unanswered > 1;
      case code('LANE_RESTARTED'):
        return model.deathsOf(call.lane) > call.lives;
      default:
        return false;
    }
  }

  /** A RETURN has no id: at most one such error for each of them. */
  #isReturnError(errorCode: number): boolean {
    const isRight =
      (errorCode === code('LANE_RESTARTED') && this.#context.model.deathCount > 0) ||
      (errorCode === code('OVERLOADED') && this.#context.returnsRefused() > 0);
    if (!isRight || this.#returnErrorsMax === 0) return false;
    this.#returnErrorsMax--;
    return true;
  }

  /** The one that was in flight has had its last answer. */
  #over(call: CallView): void {
    call.parts = 0;
    this.#refused(call);
  }

  /** One that never was in flight. */
  #refused(call: CallView): void {
    if (--call.unanswered === 0) this.calls.delete(call.id);
  }

  /** We have returned it for good, or nobody wants it any more. */
  over(callId: number): void {
    if (this.work.delete(callId)) this.past.push(callId);
  }

  // ---- the order of each lane

  #take(message: readonly unknown[], what: string): void {
    if (!this.#tryTake(message)) this.#fail(`got ${what} ${JSON.stringify(message)}; due is ${this.#dueText()}`);
  }

  #tryTake(message: readonly unknown[]): boolean {
    for (; this.#itemsSeen < this.#items.length; this.#itemsSeen++) {
      const item = this.#items[this.#itemsSeen] as ServiceItem;
      this.#due[item.lane]?.push(item);
    }
    for (const due of this.#due) {
      if (isSame(due[0], message)) {
        this.#note(due.shift() as ServiceItem);
        return true;
      }
    }
    // Of a life that is over the rest may never have left the lane.
    for (const [lane, due] of this.#due.entries()) {
      const deaths = this.#context.model.deathsOf(lane);
      for (let at = 0; ; ) {
        const over = due[at]?.life ?? deaths;
        if (over >= deaths) break;
        while (due[at]?.life === over) at++;
        if (!isSame(due[at], message)) continue;
        this.#note(due.splice(0, at + 1).at(-1) as ServiceItem);
        return true;
      }
    }
    return this.#passDoubtful() && this.#tryTake(message);
  }

  /** The front has said so: nothing more comes of it. */
  #lifeIsOver(lane: number, life: number): void {
    const due = this.#due[lane] as ServiceItem[];
    while ((due[0]?.life ?? Number.POSITIVE_INFINITY) <= life) due.shift();
  }

  #note({ lane, life, frame }: ServiceItem): void {
    if (frame[1] !== 0 || life >= this.#context.model.deathsOf(lane)) return;
    const text = JSON.stringify(frame);
    this.#doubtful.set(text, (this.#doubtful.get(text) ?? 0) + 1);
  }

  /** Leaves out one that may have come instead of an equal one of an earlier life. */
  #passDoubtful(): boolean {
    for (const due of this.#due) {
      const text = JSON.stringify(due[0]?.frame);
      const count = this.#doubtful.get(text) ?? 0;
      if (count === 0) continue;
      this.#doubtful.set(text, count - 1);
      due.shift();
      return true;
    }
    return false;
  }

  #dueText(): string {
    return JSON.stringify(this.#due.map((due) => due[0]?.frame ?? null));
  }

  // ---- the end

  /** Nothing is under way, and every deadline has passed. */
  finish(): void {
    const { model, session, laneCount } = this.#context;
    for (const call of this.calls.values()) this.#fail(`no last answer to call ${call.id} of ${call.service}`);
    this.#tryTake([]); // Takes in what the model has given.
    this.#due.forEach((due, lane) => {
      const left = due.find(({ life }) => life >= model.deathsOf(lane));
      if (left !== undefined) this.#fail(`${JSON.stringify(left.frame)} did not come`);
    });
    for (const [service, { isSure, heartbeatMs }] of this.serves) {
      const isThere = model.servicesOf(laneOf(service, laneCount)).instanceOf(session, service) !== null;
      if (isSure && heartbeatMs === 0 && !isThere) this.#fail(`we serve ${service}, and its lane does not know`);
    }
    this.#checkReturns();
  }

  /** Whatever we have returned has reached its lane, unless that died or had more waiting for it than may wait. */
  #checkReturns(): void {
    const { model, session, laneCount } = this.#context;
    const sent = new Map<number, number>();
    for (const { callId, lives } of this.#returns)
      if (model.deathsOf(callId % laneCount) === lives) sent.set(callId, (sent.get(callId) ?? 0) + 1);
    let missing = 0;
    let example = 0;
    for (const [callId, count] of sent) {
      const short = count - model.returnsHandled(session, callId);
      if (short <= 0) continue;
      missing += short;
      example = callId;
    }
    if (missing > this.#context.returnsRefused())
      this.#fail(`${missing} RETURNs did not reach their lane, one of them for call ${example}`);
  }

  #fail(what: string): never {
    this.#context.fail(what);
  }
}

/** Of an ERROR the code and the facts that are due; a text of the relay's own is not compared. */
function isSame(item: ServiceItem | undefined, message: readonly unknown[]): boolean {
  if (item === undefined) return false;
  const { frame } = item;
  if (frame[0] !== MessageType.ERROR || message[0] !== MessageType.ERROR) return isDeepStrictEqual(frame, message);
  if (frame[1] !== message[1] || frame[2] !== message[2]) return false;
  const due = (frame[3] ?? {}) as Record<string, unknown>;
  const got = (message[3] ?? {}) as Record<string, unknown>;
  return Object.keys(due).every((key) => isDeepStrictEqual(due[key], got[key]));
}
