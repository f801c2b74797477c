/**
 * HTTP gateway: requests in, relay messages to the front, replies back as answers. An in-process client of the front like any other, with
 * one session for all requests, so that an HTTP publish meets the same checks and gets the same answer as a PUBLISH.
 *
 * Thread: front only. Promise: every `reply` is called exactly once. Memory is bounded: commands in flight by `httpPendingMax`, bodies by `httpBodyBytesMax`.
 * Not here: sockets and reading bodies (transport/), what a command means (lane/), the table of routes (http-routes.ts).
 *
 * `reply` may be called inside `handle`, or inside a drain of the lanes: it must not call `handle` in turn.
 */
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { pack, unpack } from '../protocol/codec.ts';
import { wireErrorName } from '../protocol/codes.ts';
import { writeUint } from '../protocol/encode.ts';
import { type ErrorFacts, RelayError } from '../protocol/errors.ts';
import { MessageHeader, readHeader } from '../protocol/header.ts';
import { type MessageSpec, MessageType, SPEC_BY_TYPE } from '../protocol/types.ts';
import { AUDIT_BLOCKED_TEXT } from './admission.ts';
import type { Front } from './front.ts';
import { HttpAccess, type HttpCredentials, identify } from './http-access.ts';
import { type BatchEntry, encodeList, endOfRelayValue, joinBytes, pickPairs, proveOneValue, readBatch } from './http-batch.ts';
import { jsonToMessagePack, messagePackToJson } from './http-json.ts';
import { callOptions, encodeOptions, historyOptions, presenceOptions, publishOptions } from './http-options.ts';
import {
  answerTypeOf,
  ERROR_STATUS,
  findRoute,
  HttpFault,
  type HttpRoute,
  type MediaType,
  mediaTypeOf,
  parseQuery,
  type Query,
} from './http-routes.ts';
import { HttpPayer } from './limits/http-payer.ts';
import { type Authenticator, type Connection, type Denial, type Identity, SendResult } from './ports.ts';
import type { Session } from './session.ts';

export { HTTP_ROUTES } from './http-routes.ts';

export interface HttpRequest extends HttpCredentials {
  readonly method: string;
  readonly path: string;
  /** Raw, without `?`. */
  readonly query: string;
  /** Header values; '' without the header. */
  readonly contentType: string;
  readonly accept: string;
  /** The gateway's from now on. A transport may stop reading at `httpBodyBytesMax + 1`: that much is answered 413. */
  readonly body: Uint8Array;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface HttpGatewayOptions {
  /** From the request to the lane's reply; over it: TIMEOUT, 504. */
  readonly httpRequestTimeoutMs: number;
  /** Over it: TOO_LARGE, 413. */
  readonly httpBodyBytesMax: number;
  /** Commands in flight (a batch has one per message); over it: OVERLOADED, 503. */
  readonly httpPendingMax: number;
  /** Over it: TOO_LARGE, 413. At most `httpPendingMax`, or the largest batch would never get in. */
  readonly httpBatchMessagesMax: number;
}

/** What the gateway counts. Plain numbers on the front's thread; read at scrape. */
export class HttpMetrics {
  requests = 0;
  /** Answers by class of their status. */
  responses2xx = 0;
  responses4xx = 0;
  responses5xx = 0;
  timeouts = 0;
  /** Requests turned away at `httpPendingMax`, while the audit log blocks or the relay sheds load, or after `close`. */
  refused = 0;
  /** Replies to commands that had timed out already. */
  repliesLate = 0;
  /** The front has closed the gateway's session and a new one was opened: a bug of ours, or of the front's. */
  sessionsLost = 0;
  /** Calls whose client hung up, or whose result was a stream. */
  callsCancelled = 0;
  /** Requests answered 401, 403 or 503 because of who sent them. */
  unauthenticated = 0;
}

/** Who HTTP publishers are in `meta.publisher`. */
const CLIENT_NAME = 'http';
/** The relay itself ends a call at its deadline; this is for when it cannot. */
const CALL_GRACE_MS = 1_000;
/** Told with refusals of our own. */
const RETRY_AFTER_MS = 1_000;
const CONTENT_TYPES: Readonly<Record<MediaType, string>> = { json: 'application/json', msgpack: 'application/msgpack' };
const ENCODER = new TextEncoder();

/** Why a command failed, as ERROR says it. */
interface Failure {
  readonly code: number;
  readonly text: string;
  readonly details: ErrorFacts | null;
}

/** `result` is one encoded value: memory of its own. */
type Outcome = { readonly result: Uint8Array } | { readonly failure: Failure };

/** A part of a streamed result: HTTP answers are one value. */
const STREAMED: Outcome = {
  failure: failureOf(
    new RelayError('BAD_REQUEST', 'the method streams its result, which takes a WebSocket: the call is cancelled'),
  ),
};

interface Exchange {
  readonly answerType: MediaType;
  readonly payer: HttpPayer;
  readonly reply: (response: HttpResponse) => void;
}

interface PendingCommand {
  readonly deadlineMs: number;
  readonly settle: (outcome: Outcome) => void;
  /** Of a CALL, encoded: for its CANCEL. */
  readonly service: Uint8Array | null;
}

const nothing = (): void => {};

type GatewayState =
  | { readonly name: 'open'; readonly session: Session }
  /** The front has ended the session. Left at the next chance outside the front's calls, by opening another. */
  | { readonly name: 'lost'; readonly session: Session; readonly reason: string }
  | { readonly name: 'closed' };

export class HttpGateway {
  readonly metrics = new HttpMetrics();
  readonly #front: Front;
  readonly #options: HttpGatewayOptions;
  readonly #clock: Clock;
  /** By id of the command. */
  readonly #pending = new Map<number, PendingCommand>();
  readonly #header = new MessageHeader();
  /** Replies that came while a command was being handed over: settled when the front has returned. */
  readonly #arrived: { readonly id: number; readonly outcome: Outcome }[] = [];
  /** Calls whose answer is refused: cancelled at the next tick. */
  readonly #callsToCancel: number[] = [];
  #forwarding = false;
  /** Null: everybody may do everything. */
  readonly #authenticator: Authenticator | null;
  /** Requests whose token is being looked at. They count as in flight. */
  #identifying = 0;
  #nextId = 1;
  #messageBytesMax = 0;
  #state: GatewayState = { name: 'closed' };

  constructor(front: Front, options: HttpGatewayOptions, clock: Clock, authenticator: Authenticator | null = null) {
    for (const [name, value] of Object.entries(options)) {
      if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} must be a positive integer, got ${value}`);
    }
    if (options.httpBatchMessagesMax > options.httpPendingMax) {
      throw new RangeError(
        `httpBatchMessagesMax must not be over httpPendingMax: ${options.httpBatchMessagesMax} > ${options.httpPendingMax}`,
      );
    }
    this.#front = front;
    this.#options = options;
    this.#clock = clock;
    this.#authenticator = authenticator;
    this.#openSession();
  }

  /** Commands in flight. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /**
   * `reply` is called exactly once, perhaps at once. The function that it returns is for when the client has hung up before: a call is cancelled
   * then, and everything else goes on (`reply` is called all the same).
   */
  handle(request: HttpRequest, reply: (response: HttpResponse) => void): () => void {
    this.metrics.requests++;
    const { limits } = this.#front;
    const payer = new HttpPayer(limits, this.#clock, request.address ?? '');
    const exchange: Exchange = { answerType: answerTypeOf(request.accept, request.contentType), payer, reply };
    if (limits.load.level > 0) return this.#try(exchange, () => this.#refuse('the relay is overloaded', {}));
    if (this.#authenticator === null) return this.#try(exchange, () => this.#dispatch(request, exchange, null));
    const identity = identify(this.#authenticator, request);
    if (!(identity instanceof Promise)) return this.#try(exchange, () => this.#dispatchAs(identity, request, exchange));
    return this.#try(exchange, () => this.#dispatchLater(identity, request, exchange));
  }

  /** What goes wrong is the answer. */
  #try(exchange: Exchange, dispatch: () => () => void): () => void {
    try {
      return dispatch();
    } catch (error) {
      if (!(error instanceof RelayError)) throw error;
      const { status, headers } = error instanceof HttpFault ? error : { status: undefined, headers: undefined };
      this.#answerFailure(exchange, failureOf(error), status, headers);
      return nothing;
    }
  }

  #dispatchLater(identity: Promise<Identity | Denial>, request: HttpRequest, exchange: Exchange): () => void {
    this.#reserve(1);
    this.#identifying++;
    let isAbandoned = false;
    let abandon = nothing;
    void identity.then((outcome) => {
      this.#identifying--;
      abandon = this.#try(exchange, () => this.#dispatchAs(outcome, request, exchange));
      if (isAbandoned) abandon();
    });
    return () => {
      isAbandoned = true;
      abandon();
    };
  }

  #dispatchAs(outcome: Identity | Denial, request: HttpRequest, exchange: Exchange): () => void {
    if ('denied' in outcome) {
      this.metrics.unauthenticated++;
      this.#front.noteHttpFailure(request.address ?? '', outcome.denied);
      throw outcome.denied;
    }
    const { grants, subject } = outcome;
    exchange.payer.subject = subject;
    if (grants === null) return this.#dispatch(request, exchange, null);
    const onDenied = (subject: string, right: string, name: string): void => this.#front.noteHttpDenied(subject, right, name);
    return this.#dispatch(request, exchange, new HttpAccess(outcome, grants, onDenied));
  }

  /** Some ten times a second: commands without a reply in time, and a lost session. */
  tick(): void {
    this.#recoverSession();
    for (const id of this.#callsToCancel.splice(0)) this.#cancelCall(id);
    const nowMs = this.#clock.monotonicMs();
    const { httpRequestTimeoutMs } = this.#options;
    for (const [id, { deadlineMs }] of this.#pending) {
      if (deadlineMs > nowMs) continue;
      this.metrics.timeouts++;
      this.#settle(id, { failure: failureOf(new RelayError('TIMEOUT', undefined, { httpRequestTimeoutMs })) });
    }
  }

  /** What is pending may or may not happen, and is answered so; what comes later is refused. */
  close(): void {
    const state = this.#state;
    if (state.name === 'closed') return;
    this.#state = { name: 'closed' };
    this.#failPending(new RelayError('LANE_RESTARTED', 'the relay is shutting down', { retryAfterMs: RETRY_AFTER_MS }));
    this.#front.onClose(state.session, 1000);
  }

  // ---- requests

  #dispatch(request: HttpRequest, exchange: Exchange, access: HttpAccess | null): () => void {
    const route = findRoute(request.method, request.path);
    if (this.#state.name === 'closed') this.#refuse('the relay is shutting down', {});
    if (this.#front.isAuditBlocked()) this.#refuse(AUDIT_BLOCKED_TEXT, {});
    const query = parseQuery(request.query, route.parameters);
    access?.demandRoute(route, query);
    this.#recoverSession();
    const topic = pack(query.texts.get('topic'));
    switch (route.operation) {
      case 'publish':
        this.#request(exchange, MessageType.PUBLISH, [topic, publishOptions(query), this.#readPayload(request, route)]);
        return nothing;
      case 'publishBatch':
        this.#publishBatch(exchange, readBatch(this.#readBody(request, route), this.#options.httpBatchMessagesMax), access);
        return nothing;
      case 'call':
        return this.#call(exchange, query, this.#readPayload(request, route));
      case 'services': {
        const { texts, booleans } = query;
        const options = encodeOptions({ instances: booleans.get('instances') });
        this.#request(exchange, MessageType.SERVICES, [pack(texts.get('service') ?? '>'), options]);
        return nothing;
      }
      case 'history':
        this.#request(exchange, MessageType.HISTORY, [topic, historyOptions(query)]);
        return nothing;
      case 'presence':
        this.#request(exchange, MessageType.PRESENCE, [topic, presenceOptions(query)]);
        return nothing;
      case 'position':
        // One message is the least that HISTORY gives; the newest is found fastest.
        this.#request(exchange, MessageType.HISTORY, [topic, pack({ limit: 1, reverse: true })], toPosition);
        return nothing;
      default:
        return route.operation satisfies never;
    }
  }

  /** A body that is one value, proven. */
  #readPayload(request: HttpRequest, route: HttpRoute): Uint8Array {
    const payload = this.#readBody(request, route);
    proveOneValue(payload);
    return payload;
  }

  /** The body as MessagePack, whatever it came as. Not proven where it was MessagePack already. */
  #readBody(request: HttpRequest, route: HttpRoute): Uint8Array {
    const { body, contentType } = request;
    const { httpBodyBytesMax } = this.#options;
    const type = mediaTypeOf(contentType);
    if (type === null) {
      throw new HttpFault(415, 'BAD_REQUEST', 'Content-Type must be application/json or application/msgpack', {
        contentType: contentType.slice(0, 64),
      });
    }
    if (body.length > httpBodyBytesMax) throw new RelayError('TOO_LARGE', 'the body is too large', { httpBodyBytesMax });
    if (body.length === 0)
      throw new RelayError(
        'BAD_REQUEST',
        `the body is empty; it must be ${route.body === 'batch' ? 'a list of messages' : 'the payload'}`,
      );
    return type === 'json' ? jsonToMessagePack(body) : body;
  }

  /** One command, whose result (or a part of it) is the answer. */
  #request(
    exchange: Exchange,
    type: number,
    elements: readonly Uint8Array[],
    toAnswer: (result: Uint8Array) => Uint8Array = asItIs,
  ): void {
    this.#reserve(1);
    const command = this.#encodeCommand(exchange.payer, type, elements);
    this.#expect(command.id, (outcome) => this.#answerOutcome(exchange, outcome, toAnswer));
    this.#forward(command.bytes);
  }

  /** Answers with the function that cancels it. */
  #call(exchange: Exchange, query: Query, payload: Uint8Array): () => void {
    const { texts, integers } = query;
    const service = pack(texts.get('service'));
    const method = pack(texts.get('method'));
    const deadlineMs = integers.get('deadlineMs') ?? this.#options.httpRequestTimeoutMs;
    this.#reserve(1);
    const elements = [service, method, callOptions(query, deadlineMs), payload];
    const { id, bytes } = this.#encodeCommand(exchange.payer, MessageType.CALL, elements);
    const settle = (outcome: Outcome): void => this.#answerOutcome(exchange, outcome, asItIs);
    this.#expect(id, settle, Math.max(0, deadlineMs) + CALL_GRACE_MS, service);
    this.#forward(bytes);
    return () => this.#cancelCall(id);
  }

  /** The answer to a call that nobody waits for: the relay's CANCELLED ends it. */
  #cancelCall(id: number): void {
    const service = this.#pending.get(id)?.service;
    if (!service) return; // It has its answer.
    this.metrics.callsCancelled++;
    this.#forward(joinBytes([Uint8Array.of(0x94, MessageType.CANCEL, 0), service, pack(id)]));
  }

  #answerOutcome(exchange: Exchange, outcome: Outcome, toAnswer: (result: Uint8Array) => Uint8Array): void {
    if ('failure' in outcome) this.#answerFailure(exchange, outcome.failure);
    else this.#answer(exchange, 200, toAnswer(outcome.result));
  }

  /** A PUBLISH for each entry, in order, as many to a frame as fit. The answer goes out with the last of their replies. */
  #publishBatch(exchange: Exchange, entries: readonly BatchEntry[], access: HttpAccess | null): void {
    this.#reserve(entries.length);
    const answers: Uint8Array[] = new Array(entries.length);
    let left = entries.length;
    let status = 200;
    const settle = (index: number, outcome: Outcome): void => {
      answers[index] = 'result' in outcome ? outcome.result : encodeFailure(outcome.failure);
      if ('failure' in outcome) status = 207;
      if (--left === 0) this.#answer(exchange, status, encodeList(answers));
    };
    if (left === 0) {
      this.#answer(exchange, status, encodeList(answers));
      return;
    }
    let frame: Uint8Array[] = [];
    let frameBytes = 0;
    const problems: { readonly index: number; readonly error: RelayError }[] = [];
    for (const [index, entry] of entries.entries()) {
      try {
        if (entry.problem !== null) throw new RelayError('BAD_REQUEST', entry.problem);
        access?.demandEntry(entry);
        const elements = [entry.topic, entry.options, entry.payload];
        const { id, bytes } = this.#encodeCommand(exchange.payer, MessageType.PUBLISH, elements);
        this.#expect(id, (outcome) => settle(index, outcome));
        if (frameBytes + bytes.length > this.#messageBytesMax) {
          this.#forward(joinBytes(frame));
          frame = [];
          frameBytes = 0;
        }
        frame.push(bytes);
        frameBytes += bytes.length;
      } catch (error) {
        if (!(error instanceof RelayError)) throw error;
        problems.push({ index, error });
      }
    }
    if (frameBytes > 0) this.#forward(joinBytes(frame));
    // Last, so that the answer cannot go out while messages are still to be forwarded.
    for (const { index, error } of problems) settle(index, { failure: failureOf(error) });
  }

  // ---- commands and their replies

  /** Throws OVERLOADED unless so many more commands may be in flight. */
  #reserve(commandCount: number): void {
    const { httpPendingMax } = this.#options;
    if (this.#pending.size + this.#identifying + commandCount > httpPendingMax)
      this.#refuse('too many HTTP requests in flight', { httpPendingMax });
  }

  #refuse(text: string, facts: ErrorFacts): never {
    this.metrics.refused++;
    throw new RelayError('OVERLOADED', text, { ...facts, retryAfterMs: RETRY_AFTER_MS });
  }

  /** `[type, id, ...elements]`; the elements are encoded already. */
  #encodeCommand(
    payer: HttpPayer,
    type: number,
    elements: readonly Uint8Array[],
  ): { readonly id: number; readonly bytes: Uint8Array } {
    const id = this.#nextId++;
    const head = new Uint8Array(11);
    head[0] = 0x90 | (2 + elements.length);
    head[1] = type;
    const headBytes = writeUint(head, 2, id);
    const bytes = joinBytes([head.subarray(0, headBytes), ...elements]);
    // The front would close our session, and everybody's requests with it.
    if (bytes.length > this.#messageBytesMax) {
      throw new RelayError('TOO_LARGE', 'the message is too large', {
        messageBytes: bytes.length,
        messageBytesMax: this.#messageBytesMax,
      });
    }
    payer.pay(type, bytes.length);
    return { id, bytes };
  }

  #expect(
    id: number,
    settle: (outcome: Outcome) => void,
    waitMs = this.#options.httpRequestTimeoutMs,
    service: Uint8Array | null = null,
  ): void {
    this.#pending.set(id, { deadlineMs: this.#clock.monotonicMs() + waitMs, settle, service });
  }

  /** One WebSocket message's worth of commands. */
  #forward(bytes: Uint8Array): void {
    const state = this.#state;
    if (state.name !== 'open') return; // Lost in the middle of a batch: what is pending is failed with the rest.
    this.#forwarding = true;
    this.#front.onMessage(state.session, bytes, true);
    this.#forwarding = false;
    this.#settleArrived();
    this.#recoverSession();
  }

  /** Relay messages from the front. The frame is the ring's memory: copied before anything else. */
  #onFrame(frame: Uint8Array): number {
    const bytes = new Uint8Array(frame);
    const header = this.#header;
    let at = 0;
    while (at < bytes.length) {
      assert(readHeader(bytes, at, bytes.length, header), 'the front sent what is no relay message');
      let end = header.bodyStart;
      const { headElements, arity } = SPEC_BY_TYPE[header.type] as MessageSpec;
      for (let element = headElements; element < arity; element++) end = endOfRelayValue(bytes, end, bytes.length);
      if (header.type === MessageType.OK) {
        this.#arrived.push({ id: header.id, outcome: { result: bytes.subarray(header.bodyStart, end) } });
      } else if (header.type === MessageType.RESULT) {
        // `more`, a boolean of one byte, then the payload.
        const isPart = bytes[header.bodyStart] === 0xc3;
        const outcome = isPart ? STREAMED : { result: bytes.subarray(header.bodyStart + 1, end) };
        this.#arrived.push({ id: header.id, outcome });
      } else if (header.type === MessageType.ERROR) {
        const [, , code, text, details] = unpack(bytes.subarray(at, end)) as [number, number, number, string, ErrorFacts | null];
        this.#arrived.push({ id: header.id, outcome: { failure: { code, text, details } } });
      }
      at = end;
    }
    if (!this.#forwarding) this.#settleArrived();
    return SendResult.WRITTEN;
  }

  #settleArrived(): void {
    const arrived = this.#arrived.splice(0);
    for (const { id, outcome } of arrived) this.#settle(id, outcome);
  }

  #settle(id: number, outcome: Outcome): void {
    const command = this.#pending.get(id);
    if (command === undefined) {
      this.metrics.repliesLate++;
      return;
    }
    if (outcome === STREAMED) {
      if (command.settle === nothing) return;
      // The entry stays for the CANCELLED; and that cannot be asked for here, in the middle of a drain.
      this.#pending.set(id, { ...command, settle: nothing });
      this.#callsToCancel.push(id);
    } else this.#pending.delete(id);
    command.settle(outcome);
  }

  #failPending(error: RelayError): void {
    const failure = failureOf(error);
    for (const id of [...this.#pending.keys()]) this.#settle(id, { failure });
  }

  // ---- the session

  #openSession(): void {
    const connection: Connection = {
      remoteAddress: CLIENT_NAME,
      send: (frame) => this.#onFrame(frame),
      ping: () => undefined,
      bufferedBytes: () => 0,
      close: (code, reason) => this.#onSessionEnded(session, `${code} ${reason}`),
      terminate: () => this.#onSessionEnded(session, 'terminated'),
    };
    const session = this.#front.open(connection, true);
    this.#state = { name: 'open', session };
    const options = pack({ client: CLIENT_NAME });
    const id = this.#nextId++;
    this.#messageBytesMax = 64 + options.length; // Enough for HELLO, whose answer says the true one.
    this.#expect(id, (outcome) => {
      assert('result' in outcome, 'the front refused the HTTP gateway');
      this.#messageBytesMax = (unpack(outcome.result) as { limits: { messageBytesMax: number } }).limits.messageBytesMax;
    });
    this.#forward(joinBytes([Uint8Array.of(0x93, MessageType.HELLO, 0xce, id >>> 24, id >>> 16, id >>> 8, id), options]));
  }

  /** Called by the front. It is in the middle of something: what follows from it waits for `#recoverSession`. */
  #onSessionEnded(session: Session, reason: string): void {
    if (this.#state.name === 'open' && this.#state.session === session) this.#state = { name: 'lost', session, reason };
  }

  #recoverSession(): void {
    const state = this.#state;
    if (state.name !== 'lost') return;
    this.metrics.sessionsLost++;
    this.#front.onClose(state.session, 1000);
    this.#openSession();
    this.#failPending(new RelayError('INTERNAL', "the gateway's session was closed", { reason: state.reason }));
  }

  // ---- answers

  #answerFailure(
    exchange: Exchange,
    failure: Failure,
    status = ERROR_STATUS[wireErrorName(failure.code)],
    headers: Readonly<Record<string, string>> = {},
  ): void {
    // A 503 without a figure of the relay's (nobody there to answer a call) gets ours: clients expect one.
    const retryAfterMs = failure.details?.['retryAfterMs'] ?? (status === 503 ? RETRY_AFTER_MS : undefined);
    const challenge = status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {};
    const waits = typeof retryAfterMs === 'number' ? { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) } : {};
    this.#answer(exchange, status, encodeFailure(failure), { ...headers, ...challenge, ...waits });
  }

  /** `body` is one encoded value. */
  #answer(exchange: Exchange, status: number, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): void {
    if (status < 300) this.metrics.responses2xx++;
    else if (status < 500) this.metrics.responses4xx++;
    else this.metrics.responses5xx++;
    exchange.reply({
      status,
      headers: { 'Content-Type': CONTENT_TYPES[exchange.answerType], 'Cache-Control': 'no-store', ...headers },
      body: exchange.answerType === 'msgpack' ? body : ENCODER.encode(messagePackToJson(body)),
    });
  }
}

function failureOf(error: RelayError): Failure {
  return { code: error.code, text: error.message, details: Object.keys(error.facts).length === 0 ? null : error.facts };
}

function encodeFailure({ code, text, details }: Failure): Uint8Array {
  return pack({ error: { code, name: wireErrorName(code), text, details } });
}

function toPosition(history: Uint8Array): Uint8Array {
  return pickPairs(history, ['epoch', 'first', 'offset']);
}

function asItIs(result: Uint8Array): Uint8Array {
  return result;
}
