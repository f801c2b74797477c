/**
 * The CALLs of steps: from a step to a REQUEST record, and from REPLY records back to the step; their time-outs, and the bound on how many are out.
 *
 * Thread: the lane's. Every CALL ends here exactly once: by its answer, by its time-out, by a missing heartbeat, or because nobody wants it any more.
 * What answers after that is late.
 */
import { pack, packMessage, unpack } from '../../protocol/codec.ts';
import { WIRE_ERRORS, wireErrorName } from '../../protocol/codes.ts';
import { MessageHeader, scanMessage } from '../../protocol/header.ts';
import { hasExtension, skipValue } from '../../protocol/skip.ts';
import { MessageType } from '../../protocol/types.ts';
import type { LaneContext } from '../lane-context.ts';
import { LaneMetric } from '../lane-metrics.ts';
import type { Timer } from '../timers.ts';
import type { LiveRun } from './live-run.ts';
import type { Reason } from './run-event.ts';

/** Parts of a stream are signs of life and no more; the instance may send this many before it needs credit again. */
const STREAM_CREDIT = 32;
const REASON_TEXT_LENGTH_MAX = 1_000;
const SERVICE_CODE_LENGTH_MAX = 128;
const TRUE = 0xc3;

export interface StepCall {
  readonly live: LiveRun;
  readonly stage: number;
  readonly index: number;
  readonly attempt: number;
  /** It undoes the step. */
  readonly isUndo: boolean;
  readonly service: string;
  readonly id: number;
  readonly heartbeatTimeoutMs: number | null;
  timeoutTimer: Timer | null;
  heartbeatTimer: Timer | null;
  parts: number;
  /** Ended, as far as the run is concerned: what still comes is late. */
  hasEnded: boolean;
}

export interface NewCall {
  readonly live: LiveRun;
  readonly stage: number;
  readonly index: number;
  readonly attempt: number;
  readonly isUndo: boolean;
  readonly service: string;
  readonly method: string;
  readonly timeoutMs: number;
  readonly heartbeatTimeoutMs: number | null;
}

/** How calls end. The engine's; called after the call has ended. */
export interface CallEvents {
  onResult(call: StepCall, result: Uint8Array): void;
  /** `retryAfterMs`: what an OVERLOADED asked for; 0 otherwise. */
  onFailure(call: StepCall, reason: Reason, isRetryable: boolean, retryAfterMs: number): void;
  onLateResult(call: StepCall, bytes: number): void;
}

export class StepCalls {
  readonly #lane: LaneContext;
  readonly #events: CallEvents;
  /** By id: calls that no final reply has come for. */
  readonly #calls = new Map<number, StepCall>();
  /** Ended and not answered, oldest first: bounded, should an answer never come. */
  readonly #ended = new Set<number>();
  readonly #header = new MessageHeader();
  /** The lane's agent dies with its lane, so ids may begin anew with the next. */
  #nextId = 1;
  #inFlight = 0;

  constructor(lane: LaneContext, events: CallEvents) {
    this.#lane = lane;
    this.#events = events;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get hasRoom(): boolean {
    return this.#inFlight < this.#lane.options.workflows.stepsInFlightMax;
  }

  /** The head of the CALL that `issue` will send; null with a reason where head and payload are no message that the relay would carry. */
  head(call: NewCall, payload: Uint8Array): Uint8Array | Reason {
    const { live, stage, index, attempt, isUndo, service, method, timeoutMs } = call;
    const { plan, run } = live.run;
    const headers = {
      workflow: plan.name,
      run,
      stage: plan.stages[stage]?.name,
      index: String(index),
      attempt: String(attempt),
      ...(isUndo ? { compensate: 'true' } : {}),
    };
    const head = packMessage(MessageType.CALL, this.#nextId, service, method, {
      deadlineMs: timeoutMs,
      headers,
      idempotent: false,
    });
    head[0] = (head[0] as number) + 1; // An array of six: the payload is spliced behind.
    const bytes = head.length + payload.length;
    const { messageBytesMax } = this.#lane.options.workflows;
    if (bytes > messageBytesMax)
      return { code: 'TOO_LARGE', text: `the step's call is too large: bytes=${bytes}, bytesMax=${messageBytesMax}` };
    // A payload may be as deep as a message allows; with a map around it, it may be deeper.
    const depthProbe = new Uint8Array(1 + payload.length);
    depthProbe[0] = 0x91;
    depthProbe.set(payload, 1);
    if (skipValue(depthProbe, 0, depthProbe.length) < 0)
      return { code: 'BAD_REQUEST', text: "the step's payload is nested too deeply" };
    return head;
  }

  /** `head` as `head` made it, with nothing issued in between. */
  issue(call: NewCall, head: Uint8Array, payload: Uint8Array): StepCall {
    const id = this.#nextId++;
    const { timers, nowMs, out } = this.#lane;
    const { live, stage, index, attempt, isUndo, service, heartbeatTimeoutMs } = call;
    const issued: StepCall = {
      live,
      stage,
      index,
      attempt,
      isUndo,
      service,
      id,
      heartbeatTimeoutMs,
      timeoutTimer: null,
      heartbeatTimer: null,
      parts: 0,
      hasEnded: false,
    };
    this.#calls.set(id, issued);
    this.#inFlight++;
    live.inFlight++;
    issued.timeoutTimer = timers.set(nowMs + call.timeoutMs, () =>
      this.#timeOut(issued, `no result in time: timeoutMs=${call.timeoutMs}`),
    );
    this.#armHeartbeat(issued);
    out.request(head, payload);
    return issued;
  }

  /** Asks the service to stop. The call ends with its answer, which may be a result all the same. */
  cancel({ service, id }: StepCall): void {
    this.#lane.out.request(pack([MessageType.CANCEL, 0, service, id]));
  }

  /** Nobody wants it any more. */
  callOff(call: StepCall): void {
    if (call.hasEnded) return;
    this.#end(call);
    this.cancel(call);
  }

  /** REPLY: messages back to back in `bytes[at, end)`, of the front or of a lane. */
  replies(at: number): void {
    const { bytes, end } = this.#lane;
    const header = this.#header;
    while (at < end) {
      // What is no message of the protocol is nobody's answer; after a fault of framing nothing can be read.
      const isMessage = scanMessage(bytes, at, end, header);
      if (header.end <= at) return;
      at = header.end;
      if (!isMessage) continue;
      const call = this.#calls.get(header.id);
      if (call === undefined) continue;
      if (header.type === MessageType.RESULT) this.#result(call, header.bodyStart, header.end);
      else if (header.type === MessageType.ERROR) this.#error(call, header.bodyStart, header.end);
    }
  }

  // ---- ends

  /** `[more, payload]` at `start`. */
  #result(call: StepCall, start: number, end: number): void {
    const { bytes } = this.#lane;
    const payloadStart = skipValue(bytes, start, end);
    if (bytes[start] === TRUE) return this.#part(call);
    this.#forget(call);
    if (call.hasEnded) return this.#events.onLateResult(call, end - payloadStart);
    this.#end(call);
    this.#events.onResult(call, bytes.slice(payloadStart, end));
  }

  /** A part of a stream, or a heartbeat: it is at work. */
  #part(call: StepCall): void {
    if (call.hasEnded) return;
    if (++call.parts % STREAM_CREDIT === 0)
      this.#lane.out.request(pack([MessageType.CREDIT, 0, call.service, call.id, STREAM_CREDIT]));
    this.#armHeartbeat(call);
  }

  #error(call: StepCall, start: number, end: number): void {
    this.#forget(call);
    if (call.hasEnded) return; // It has failed already, or nobody wants it.
    this.#end(call);
    const { reason, retryAfterMs } = readError(this.#lane.bytes, start, end);
    const code = wireErrorCodeOf(reason.code);
    this.#events.onFailure(call, reason, WIRE_ERRORS[code].retryable || code === 'SERVICE_ERROR', retryAfterMs);
  }

  #timeOut(call: StepCall, text: string): void {
    this.callOff(call);
    this.#events.onFailure(call, { code: 'TIMEOUT', text }, true, 0);
  }

  #armHeartbeat(call: StepCall): void {
    const { timers, nowMs } = this.#lane;
    const { heartbeatTimeoutMs } = call;
    if (heartbeatTimeoutMs === null) return;
    timers.cancel(call.heartbeatTimer);
    call.heartbeatTimer = timers.set(nowMs + heartbeatTimeoutMs, () =>
      this.#timeOut(call, `no heartbeat in time: heartbeatTimeoutMs=${heartbeatTimeoutMs}`),
    );
  }

  /** The run goes on without it; its answer may still come. */
  #end(call: StepCall): void {
    const { timers, options } = this.#lane;
    call.hasEnded = true;
    timers.cancel(call.timeoutTimer);
    timers.cancel(call.heartbeatTimer);
    this.#inFlight--;
    call.live.inFlight--;
    if (!this.#calls.has(call.id)) return;
    this.#ended.add(call.id);
    if (this.#ended.size <= options.workflows.stepsInFlightMax) return;
    for (const oldest of this.#ended) {
      this.#ended.delete(oldest);
      this.#calls.delete(oldest);
      this.#lane.metrics[LaneMetric.answersMissed]!++;
      return;
    }
  }

  /** Answered for good. */
  #forget(call: StepCall): void {
    this.#calls.delete(call.id);
    this.#ended.delete(call.id);
  }
}

/** `[code, text, details]` at `start`. Details may hold what a service sent: nothing in them is taken for granted. */
function readError(bytes: Uint8Array, start: number, end: number): { readonly reason: Reason; readonly retryAfterMs: number } {
  let values: unknown = null;
  if (!hasExtension(bytes, start, end)) {
    const array = new Uint8Array(1 + end - start);
    array[0] = 0x93;
    array.set(bytes.subarray(start, end), 1);
    try {
      values = unpack(array);
    } catch {
      // Text that is no UTF-8: the number is read all the same.
    }
  }
  const [number, text, details] = Array.isArray(values) ? (values as unknown[]) : [bytes[start], '', null];
  const code = wireErrorName(Number(number));
  const facts = (typeof details === 'object' && details !== null ? details : {}) as Record<string, unknown>;
  const { retryAfterMs } = facts;
  if (code === 'SERVICE_ERROR') {
    const serviceCode = scalarText(facts['code'], SERVICE_CODE_LENGTH_MAX);
    const serviceText = scalarText(facts['text'], REASON_TEXT_LENGTH_MAX) || scalarText(text, REASON_TEXT_LENGTH_MAX);
    return { reason: { code, text: serviceText, ...(serviceCode === '' ? {} : { serviceCode }) }, retryAfterMs: 0 };
  }
  return {
    reason: { code, text: scalarText(text, REASON_TEXT_LENGTH_MAX) || WIRE_ERRORS[code].text },
    retryAfterMs: typeof retryAfterMs === 'number' && retryAfterMs > 0 && Number.isFinite(retryAfterMs) ? retryAfterMs : 0,
  };
}

function wireErrorCodeOf(name: string): keyof typeof WIRE_ERRORS {
  return name as keyof typeof WIRE_ERRORS;
}

function scalarText(value: unknown, lengthMax: number): string {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return '';
  // Well formed: a pair cut in half would read back from the journal as something else.
  return String(value).slice(0, lengthMax).toWellFormed();
}
