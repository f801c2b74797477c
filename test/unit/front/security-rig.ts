/**
 * A front with an authenticator and one lane, clock and event loop moved by hand: what the tests of identities and rights stand on.
 *
 * Tokens here are `subject` or `subject#n`, known to the rig with what they grant. What an authenticator must check of real ones is tested in auth/.
 */
import { ManualClock } from '../../../src/base/clock.ts';
import { Front } from '../../../src/front/front.ts';
import type { FrontOptions } from '../../../src/front/front-options.ts';
import { HttpGateway } from '../../../src/front/http-gateway.ts';
import {
  type Authenticator,
  type Connection,
  type Credentials,
  type Denial,
  type Identity,
  SendResult,
  type SubscribeGuard,
} from '../../../src/front/ports.ts';
import type { SecurityEvent } from '../../../src/front/security-events.ts';
import type { Session } from '../../../src/front/session.ts';
import { InlineLanes } from '../../../src/pool/inline-lanes.ts';
import { pack, unpackMany } from '../../../src/protocol/codec.ts';
import { RelayError } from '../../../src/protocol/errors.ts';
import { type GrantClaims, Grants } from '../../../src/protocol/grants.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../../support/options.ts';
import { GATEWAY_OPTIONS } from './http-rig.ts';

export type Message = readonly unknown[];

export interface KnownToken {
  readonly grants?: GrantClaims | null;
  readonly expiresInMs?: number;
  readonly tokenId?: string;
}

export class SecurityRig {
  readonly clock = new ManualClock();
  readonly lanes: InlineLanes;
  readonly front: Front;
  readonly gateway: HttpGateway;
  readonly events: SecurityEvent[] = [];
  /** What was brought, in order. */
  readonly credentials: Credentials[] = [];
  readonly tokens = new Map<string, KnownToken>();
  /** True: decisions wait for `decide()`. */
  isSlow = false;
  readonly #waiting: (() => void)[] = [];
  readonly #turns: (() => void)[] = [];

  /** `guardedTopics`: those that the guard denies; null: there is no guard. */
  constructor(guardedTopics: readonly string[] | null = null, options: Partial<FrontOptions> = {}) {
    this.lanes = new InlineLanes(
      {
        ingressRingBytes: 1_048_576,
        egressRingBytes: 4_194_304,
        laneOptions: (index, laneCount, firstSub, life) => ({ ...LANE_DEFAULTS, index, laneCount, firstSub, life }),
        schedule: (turn) => void this.#turns.push(turn),
      },
      this.clock,
    );
    const authenticator: Authenticator = {
      authenticate: (credentials) => {
        this.credentials.push(credentials);
        return this.#later(() => this.#judge(credentials.token));
      },
    };
    const subscribeGuard: SubscribeGuard | null =
      guardedTopics === null
        ? null
        : {
            decide: (_identity, topic) =>
              this.#later(() =>
                guardedTopics.includes(topic) ? { denied: new RelayError('FORBIDDEN', 'said the guard', { name: topic }) } : null,
              ),
          };
    const schedule = (turn: () => void): void => void this.#turns.push(turn);
    this.front = new Front({ ...FRONT_DEFAULTS, schedule, ...options }, this.lanes, this.clock, {
      authenticator,
      subscribeGuard,
    });
    this.front.onSecurity = (event) => void this.events.push(event);
    this.lanes.start(this.front.laneEvents);
    this.gateway = new HttpGateway(this.front, GATEWAY_OPTIONS, this.clock, authenticator);
  }

  /** Everything that waits for a decision gets it, and what follows from it is done. */
  async decide(): Promise<void> {
    for (const decide of this.#waiting.splice(0)) decide();
    await new Promise((resolve) => setImmediate(resolve));
    this.run();
  }

  run(): void {
    for (let turn = this.#turns.shift(); turn !== undefined; turn = this.#turns.shift()) turn();
  }

  /** Time goes by, with the ticks that it would have. */
  pass(ms: number): void {
    this.clock.advance(ms);
    this.front.tick();
    this.run();
  }

  connect(facts: Pick<Connection, 'token' | 'origin'> = {}): SecurityClient {
    return new SecurityClient(this, facts);
  }

  /** A client that has said HELLO with the token. */
  client(token: string, known: KnownToken = {}): SecurityClient {
    this.tokens.set(token, known);
    const client = this.connect();
    client.say([1, 1, { token, client: 'calls-itself-so' }]);
    return client;
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  #later<T>(decide: () => T): T | Promise<T> {
    if (!this.isSlow) return decide();
    return new Promise((resolve) => this.#waiting.push(() => resolve(decide())));
  }

  #judge(token: string | null): Identity | Denial {
    const known = token === null ? undefined : this.tokens.get(token);
    if (known === undefined)
      return { denied: new RelayError('UNAUTHENTICATED', token === null ? 'a token is needed' : 'the token is bad') };
    const { grants = null, expiresInMs = Number.POSITIVE_INFINITY, tokenId = null } = known;
    return {
      subject: (token as string).split('#')[0] as string,
      tokenId,
      issuedAtMs: this.clock.nowMs(),
      expiresAtMs: this.clock.nowMs() + expiresInMs,
      grants: grants === null ? null : Grants.compile(grants),
    };
  }
}

export class SecurityClient {
  readonly received: Message[] = [];
  closed: { readonly code: number; readonly reason: string } | null = null;
  readonly session: Session;
  readonly #rig: SecurityRig;

  constructor(rig: SecurityRig, facts: Pick<Connection, 'token' | 'origin'>) {
    this.#rig = rig;
    this.session = rig.front.open({
      ...facts,
      remoteAddress: '192.0.2.7',
      send: (frame) => {
        this.received.push(...(unpackMany(new Uint8Array(frame)) as Message[]));
        return SendResult.WRITTEN;
      },
      ping: () => undefined,
      bufferedBytes: () => 0,
      close: (code, reason) => {
        this.closed = { code, reason };
      },
      terminate: () => undefined,
    });
  }

  /** All of them in one WebSocket message. */
  say(...messages: readonly Message[]): void {
    const frames = messages.map((message) => pack(message));
    this.#rig.front.onMessage(this.session, Buffer.concat(frames), true);
    this.#rig.run();
  }

  /** Sends and returns what came back since. */
  ask(...messages: readonly Message[]): Message[] {
    const before = this.received.length;
    this.say(...messages);
    return this.received.slice(before);
  }
}
