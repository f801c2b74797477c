/**
 * A whole front with one lane behind the in-memory transport, clock and event loop moved by hand: what the tests of limits stand on.
 *
 * A token is its subject; without one a client is anonymous. Each step of the event loop is one that somebody has scheduled, in order.
 */
import { ManualClock } from '../../../../src/base/clock.ts';
import { Front } from '../../../../src/front/front.ts';
import type { FrontOptions } from '../../../../src/front/front-options.ts';
import { HttpGateway, type HttpResponse } from '../../../../src/front/http-gateway.ts';
import type { LimitOptions } from '../../../../src/front/limits/limit-options.ts';
import type { Credentials, Denial, Identity } from '../../../../src/front/ports.ts';
import type { SecurityEvent } from '../../../../src/front/security-events.ts';
import { InlineLanes } from '../../../../src/pool/inline-lanes.ts';
import { pack, unpackMany } from '../../../../src/protocol/codec.ts';
import { MessageType } from '../../../../src/protocol/types.ts';
import { isRefusal, type MemoryClient, type MemoryRefusal, MemoryTransport } from '../../../../src/transport/memory-transport.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../../../support/options.ts';
import { GATEWAY_OPTIONS } from '../http-rig.ts';

export type Message = readonly unknown[];

export const { HELLO, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, CALL, CANCEL, RETURN, REGISTER, DEREGISTER, HISTORY, START } = MessageType;
export const { PING, REFRESH, HEARTBEAT, ACK, OK, ERROR, MESSAGE, INVOKE, RESULT } = MessageType;
export const RATE_LIMITED = 105;

export class LimitsRig {
  readonly clock = new ManualClock();
  readonly front: Front;
  readonly lanes: InlineLanes;
  readonly gateway: HttpGateway;
  readonly transport: MemoryTransport;
  readonly events: SecurityEvent[] = [];
  readonly #steps: (() => void)[] = [];

  constructor(limits: Partial<LimitOptions> = {}, options: Partial<FrontOptions> = {}) {
    const schedule = (step: () => void): void => void this.#steps.push(step);
    this.lanes = new InlineLanes(
      {
        ingressRingBytes: 1_048_576,
        egressRingBytes: 4_194_304,
        laneOptions: (index, laneCount, firstSub, life) => ({ ...LANE_DEFAULTS, index, laneCount, firstSub, life }),
        schedule,
      },
      this.clock,
    );
    const authenticator = { authenticate: (credentials: Credentials): Identity | Denial => identityOf(credentials) };
    this.front = new Front(
      { ...FRONT_DEFAULTS, ...options, schedule, limits: { ...FRONT_DEFAULTS.limits, ...limits } },
      this.lanes,
      this.clock,
      { authenticator, subscribeGuard: null },
    );
    this.front.onSecurity = (event) => void this.events.push(event);
    this.lanes.start(this.front.laneEvents);
    this.gateway = new HttpGateway(this.front, GATEWAY_OPTIONS, this.clock, authenticator);
    this.transport = new MemoryTransport(
      { windowBytes: 16_777_216, bufferBytesMax: 16_777_216, messageBytesMax: 1_000_000, closeEvent: 'atOnce', schedule },
      this.front,
    );
  }

  /** Connected and greeted; `token` says who it is. */
  client(token: string | null = null, address?: string): LimitsClient {
    const client = this.tryClient(token, address);
    if (!(client instanceof LimitsClient)) throw new Error(`refused: ${client.status} ${client.text}`);
    return client;
  }

  tryClient(token: string | null = null, address?: string): LimitsClient | MemoryRefusal {
    const client = new LimitsClient(this);
    const refusal = client.connect(address);
    if (refusal !== null) return refusal;
    client.say([HELLO, 1, token === null ? {} : { token }]);
    return client;
  }

  /** One step after the other until nothing is left to do. */
  run(stepsMax = Number.POSITIVE_INFINITY): void {
    for (let done = 0; done < stepsMax; done++) {
      const step = this.#steps.shift();
      if (step === undefined) return;
      step();
    }
  }

  pass(ms: number): void {
    this.clock.advance(ms);
    this.front.tick();
    this.run();
  }

  /** The event loop is as late as that, for a long time. */
  strain(delayMs: number): void {
    this.clock.advance(60_000);
    this.front.sampleLoad({ delayMs, memoryBytes: 0 });
  }

  post(target: string, address: string, token: string | null = null, body: unknown = 'x'): HttpResponse {
    const [path = '', query = ''] = target.split('?');
    const answers: HttpResponse[] = [];
    const request = {
      method: 'POST',
      path,
      query,
      contentType: 'application/msgpack',
      accept: 'application/json',
      body: pack(body),
    };
    this.gateway.handle({ ...request, token, address }, (response) => void answers.push(response));
    this.run();
    if (answers.length !== 1) throw new Error(`${answers.length} answers`);
    return answers[0] as HttpResponse;
  }
}

export class LimitsClient {
  readonly received: Message[] = [];
  closed: { readonly code: number; readonly reason: string } | null = null;
  readonly #rig: LimitsRig;
  #link: MemoryClient | null = null;

  constructor(rig: LimitsRig) {
    this.#rig = rig;
  }

  get link(): MemoryClient {
    return this.#link as MemoryClient;
  }

  connect(address?: string, windowBytes = 16_777_216): MemoryRefusal | null {
    const result = this.#rig.transport.connect(
      {
        message: (bytes) => void this.received.push(...(unpackMany(bytes) as Message[])),
        closed: (code, reason) => {
          this.closed = { code, reason };
        },
      },
      address === undefined ? { windowBytes } : { windowBytes, address },
    );
    if (isRefusal(result)) return result;
    this.#link = result;
    return null;
  }

  /** All of them in one WebSocket message; what follows from it is done. */
  say(...messages: readonly Message[]): void {
    this.sayLater(...messages);
    this.#rig.run();
  }

  /** Under way, until the rig runs. */
  sayLater(...messages: readonly Message[]): void {
    this.link.send(Buffer.concat(messages.map((message) => pack(message))));
  }

  /** What came back since. */
  ask(...messages: readonly Message[]): Message[] {
    const before = this.received.length;
    this.say(...messages);
    return this.received.slice(before);
  }

  of(type: number): Message[] {
    return this.received.filter((message) => message[0] === type);
  }

  /** Codes of ERRORs. */
  get codes(): unknown[] {
    return this.of(ERROR).map((message) => message[2]);
  }
}

function identityOf({ token }: Credentials): Identity {
  return {
    subject: token ?? 'anonymous',
    tokenId: null,
    issuedAtMs: null,
    expiresAtMs: Number.POSITIVE_INFINITY,
    grants: null,
  };
}

export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));
