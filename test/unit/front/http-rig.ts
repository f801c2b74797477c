/**
 * A gateway over a real front and a real lane, with a clock and an event loop that move when told: what every HTTP test stands on.
 *
 * `schedule` collects the lane's turns and `run` takes them, so a test decides whether a reply has come yet.
 */
import { ManualClock } from '../../../src/base/clock.ts';
import { Front } from '../../../src/front/front.ts';
import type { FrontOptions } from '../../../src/front/front-options.ts';
import { HttpGateway, type HttpGatewayOptions, type HttpRequest, type HttpResponse } from '../../../src/front/http-gateway.ts';
import { SendResult } from '../../../src/front/ports.ts';
import type { Session } from '../../../src/front/session.ts';
import type { LaneOptions } from '../../../src/lane/lane-options.ts';
import type { TopicRule } from '../../../src/lane/topic-config.ts';
import { InlineLanes } from '../../../src/pool/inline-lanes.ts';
import { pack, unpack, unpackMany } from '../../../src/protocol/codec.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../../support/options.ts';

/** The front gives numbers in order, and the gateway comes first. */
export const GATEWAY_SESSION = 1;

const TOPIC_RULES: readonly TopicRule[] = [
  { match: 'plain.>', history: { count: 0 } },
  { match: 'absent.>', presence: false },
  { match: 'small.>', maxPayloadBytes: 16 },
  { match: 'stamped.>', stampPublisher: true },
];

const FRONT_OPTIONS: FrontOptions = {
  ...FRONT_DEFAULTS,
  connectionsMax: 100,
  connectRatePerSecond: 1_000,
  mergedFrameBytesMax: 65_536,
  messageBytesMax: 131_072,
  subscriptionsMax: 100,
  pongTimeoutMs: 10_000,
  retryAfterMs: 1_500,
};

const LANE_OPTIONS: LaneOptions = {
  ...LANE_DEFAULTS,
  topicRules: TOPIC_RULES,
  topicsMax: 1_000,
  topicIdleMs: 60_000,
  historyBytesMax: 16_777_216,
  dedupKeysMax: 1_000,
  presenceMembersMax: 100,
};

export const GATEWAY_OPTIONS: HttpGatewayOptions = {
  httpRequestTimeoutMs: 5_000,
  httpBodyBytesMax: 262_144,
  httpPendingMax: 64,
  httpBatchMessagesMax: 32,
};

export interface RigOptions {
  readonly front?: Partial<FrontOptions>;
  readonly lane?: Partial<LaneOptions>;
  readonly gateway?: Partial<HttpGatewayOptions>;
}

export interface Ask {
  readonly type?: string;
  readonly accept?: string;
  readonly body?: Uint8Array | string;
}

/** An answer with its body decoded. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape.
  readonly body: any;
  readonly raw: Uint8Array;
}

export class Rig {
  readonly clock = new ManualClock();
  readonly front: Front;
  readonly lanes: InlineLanes;
  readonly gateway: HttpGateway;
  /** Answers given, of whatever request. */
  answerCount = 0;
  readonly #turns: (() => void)[] = [];

  constructor({ front = {}, lane = {}, gateway = {} }: RigOptions = {}) {
    this.lanes = new InlineLanes(
      {
        ingressRingBytes: 1_048_576,
        egressRingBytes: 4_194_304,
        laneOptions: (index, laneCount, firstSub, life) => ({ ...LANE_OPTIONS, ...lane, index, laneCount, firstSub, life }),
        schedule: (turn) => void this.#turns.push(turn),
      },
      this.clock,
    );
    const schedule = (turn: () => void): void => void this.#turns.push(turn);
    this.front = new Front({ ...FRONT_OPTIONS, schedule, ...front }, this.lanes, this.clock);
    this.lanes.start(this.front.laneEvents);
    this.gateway = new HttpGateway(this.front, { ...GATEWAY_OPTIONS, ...gateway }, this.clock);
  }

  /** Runs the lane until nothing is left to do. */
  run(): void {
    for (let turn = this.#turns.shift(); turn !== undefined; turn = this.#turns.shift()) turn();
  }

  /** Sends a request without running the lane. The list gets the answer when there is one, and a second one if there is a bug. */
  send(method: string, target: string, ask: Ask = {}): Answer[] {
    const answers: Answer[] = [];
    this.gateway.handle(toRequest(method, target, ask), (response) => {
      this.answerCount++;
      answers.push(decode(response));
    });
    return answers;
  }

  /** Sends a request and runs the lane; the answer. */
  ask(method: string, target: string, ask: Ask = {}): Answer {
    const answers = this.send(method, target, ask);
    this.run();
    if (answers.length !== 1) throw new Error(`${method} ${target} got ${answers.length} answers`);
    return answers[0] as Answer;
  }

  postJson(target: string, value: unknown): Answer {
    return this.ask('POST', target, { type: 'application/json', body: JSON.stringify(value) });
  }

  postPacked(target: string, body: Uint8Array): Answer {
    return this.ask('POST', target, { type: 'application/msgpack', body });
  }

  get(target: string, accept = ''): Answer {
    return this.ask('GET', target, { accept });
  }

  /** A WebSocket client beside HTTP. */
  connect(client: string): WebSocketClient {
    return new WebSocketClient(this, client);
  }
}

export class WebSocketClient {
  readonly frames: Uint8Array[] = [];
  readonly #rig: Rig;
  readonly #session: Session;

  constructor(rig: Rig, client: string) {
    this.#rig = rig;
    this.#session = rig.front.open({
      remoteAddress: 'test',
      send: (frame) => {
        this.frames.push(new Uint8Array(frame));
        return SendResult.WRITTEN;
      },
      ping: () => undefined,
      bufferedBytes: () => 0,
      close: () => undefined,
      terminate: () => undefined,
    });
    this.say([1, 1, { client }]);
  }

  /** Sends one message and runs the lane. */
  say(message: readonly unknown[]): void {
    this.#rig.front.onMessage(this.#session, pack(message), true);
    this.#rig.run();
  }

  /** The connection ends. */
  leave(): void {
    this.#rig.front.onClose(this.#session, 1006);
    this.#rig.run();
  }

  /** Messages of this type, decoded. */
  received(type: number): unknown[][] {
    return this.frames.flatMap((frame) => unpackMany(frame) as unknown[][]).filter((message) => message[0] === type);
  }
}

function toRequest(method: string, target: string, { type = '', accept = '', body = '' }: Ask): HttpRequest {
  const question = target.indexOf('?');
  const [path, query] = question < 0 ? [target, ''] : [target.slice(0, question), target.slice(question + 1)];
  return {
    method,
    path,
    query,
    contentType: type,
    accept,
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
  };
}

function decode({ status, headers, body }: HttpResponse): Answer {
  const isJson = headers['Content-Type'] === 'application/json';
  return { status, headers, raw: body, body: isJson ? JSON.parse(new TextDecoder().decode(body)) : unpackLeniently(body) };
}

/** msgpackr does not take every value that the relay carries; such a test looks at `raw`. */
function unpackLeniently(body: Uint8Array): unknown {
  try {
    return unpack(body);
  } catch {
    return undefined;
  }
}
