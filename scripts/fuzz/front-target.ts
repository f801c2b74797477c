/**
 * Target `front`: a whole relay in this process, with fake sockets and a clock that moves when told. No exception may come out of it, every
 * frame it sends must be a message of the protocol, a witness must be served throughout, and when all have left nothing may be left of them.
 */
import { frontOptions, laneOptions } from '../../src/app/config.ts';
import { DEFAULTS } from '../../src/app/config-table.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { Prng } from '../../src/base/prng.ts';
import { Front } from '../../src/front/front.ts';
import { HttpGateway } from '../../src/front/http-gateway.ts';
import { messagePackToJson } from '../../src/front/http-json.ts';
import { type Connection, SendResult } from '../../src/front/ports.ts';
import type { Session } from '../../src/front/session.ts';
import { LaneMetric } from '../../src/lane/lane-metrics.ts';
import { InlineLanes } from '../../src/pool/inline-lanes.ts';
import { pack, unpackMany } from '../../src/protocol/codec.ts';
import { HeaderFault, MessageHeader, scanMessage } from '../../src/protocol/header.ts';
import { SKIP_TOO_DEEP, skipValue } from '../../src/protocol/skip.ts';
import { MessageType, SPEC_BY_TYPE } from '../../src/protocol/types.ts';
import { ensure, type FuzzTarget } from './target.ts';

const PEERS_MAX = 12;
/** Of one step, at most. */
const RETRIES_MAX = 100;
const TOPICS_MAX = 500;
const HEAP_BYTES_MAX = 512 * 1_048_576;
const WITNESS_TOPIC = 'witness';
const CLOSING = new Set(['closing', 'closed']);

class FakeSocket implements Connection {
  readonly remoteAddress = 'fuzz';
  readonly #target: FrontTarget;
  session: Session | null = null;
  /** Answers QUEUED until it is drained. */
  isFull = false;
  isClosed = false;

  constructor(target: FrontTarget) {
    this.#target = target;
  }

  send(frame: Uint8Array): number {
    ensure(!this.isClosed, 'a frame after close');
    this.#target.onFrame(this, frame);
    return this.isFull ? SendResult.QUEUED : SendResult.WRITTEN;
  }
  ping(): void {
    this.#target.onPing(this);
  }
  bufferedBytes(): number {
    return this.isFull ? 1 : 0;
  }
  close(code: number, reason: string): void {
    ensure(code >= 1000 && code < 5000, `close code ${code}`);
    ensure(new TextEncoder().encode(reason).length <= 123, `a close reason of ${reason.length} characters`);
    this.isClosed = true;
  }
  terminate(): void {
    this.isClosed = true;
  }
}

export class FrontTarget implements FuzzTarget {
  readonly #prng: Prng;
  readonly #clock = new ManualClock();
  readonly #lanes: InlineLanes;
  readonly #front: Front;
  readonly #gateway: HttpGateway;
  readonly #turns: (() => void)[] = [];
  readonly #peers: FakeSocket[] = [];
  readonly #header = new MessageHeader();
  #witness: FakeSocket;
  readonly #witnessed: unknown[][] = [];
  #witnessCount = 0;
  #closedCount = 0;
  #frameCount = 0;
  #connectCount = 0;
  #requestCount = 0;
  #answerCount = 0;

  constructor(prng: Prng) {
    this.#prng = prng;
    const limits = { presenceBytesMax: 1_024 };
    this.#lanes = new InlineLanes(
      {
        ingressRingBytes: 1_048_576,
        egressRingBytes: 4_194_304,
        laneOptions: (index, laneCount, firstSub, life) => ({
          ...laneOptions(DEFAULTS, { index, laneCount, firstSub, seed: prng.nextUint32(), life }),
          topicRules: [
            { match: '>', history: { count: 50, ageMs: 60_000 } },
            { match: 'plain.>', history: { count: 0 } },
            { match: 'tiny.>', maxPayloadBytes: 8, history: { bytes: 64 } },
            { match: 'paused.>', slowConsumer: 'pause', stampTime: true, stampPublisher: true },
          ],
          topicsMax: TOPICS_MAX,
          topicIdleMs: 60_000,
          historyBytesMax: 4_194_304,
          historyLimitDefault: 100,
          historyLimitMax: 1_000,
          recoveryMessagesMax: 30,
          recoveryBytesMax: 65_536,
          dedupWindowMs: 30_000,
          dedupKeysMax: 50,
          presenceGraceMs: 15_000,
          presenceMembersMax: 20,
          ...limits,
        }),
        schedule: (turn) => void this.#turns.push(turn),
      },
      this.#clock,
    );
    this.#front = new Front(
      {
        ...frontOptions(DEFAULTS),
        schedule: (turn) => void this.#turns.push(turn),
        connectionsMax: 1_000,
        connectRatePerSecond: 1_000_000,
        sendQueueBytesMax: 65_536,
        mergedFrameBytesMax: 4_096,
        messageBytesMax: 65_536,
        payloadBytesMax: 32_768,
        subscriptionsMax: 20,
        helloTimeoutMs: 10_000,
        pingIntervalMs: 25_000,
        pongTimeoutMs: 20_000,
        closeTimeoutMs: 5_000,
        reconnectJitterMs: 1_000,
        retryAfterMs: 250,
        ...limits,
      },
      this.#lanes,
      this.#clock,
    );
    this.#lanes.start(this.#front.laneEvents);
    this.#gateway = new HttpGateway(
      this.#front,
      { httpRequestTimeoutMs: 5_000, httpBodyBytesMax: 65_536, httpPendingMax: 1_000, httpBatchMessagesMax: 50 },
      this.#clock,
    );
    this.#witness = this.#connectWitness();
  }

  take(input: Uint8Array): void {
    const prng = this.#prng;
    if (prng.nextBoolean(0.1)) return this.#request(input);
    const peer = this.#peer();
    if (prng.nextBoolean(0.02)) peer.isFull = true;
    this.#front.onMessage(peer.session as Session, input.slice(), !prng.nextBoolean(0.001));
    if (prng.nextBoolean(0.7)) this.#run(); // Otherwise several inputs meet in one batch.
    if (prng.nextBoolean(0.05)) this.#drain(prng.pick(this.#peers));
    if (prng.nextBoolean(0.01)) this.#leave(prng.pick(this.#peers), prng.pick([1000, 1001, 1006, 4002]));
    if (prng.nextBoolean(0.01)) this.#advance(prng.pick([1, 100, 1_000, 16_000, 61_000]));
    this.#sweepClosed();
  }

  /** The witness publishes, gets its own message and its answer, and can page through the history. */
  check(): void {
    this.#run();
    if (this.#witness.isClosed) this.#witness = this.#connectWitness(); // Silence is what closes it: the clock jumps here.
    this.#witnessed.length = 0;
    const payload = `proof ${++this.#witnessCount}`;
    this.#say(this.#witness, [MessageType.PUBLISH, 7, WITNESS_TOPIC, null, payload]);
    this.#say(this.#witness, [MessageType.PING, 8]);
    this.#say(this.#witness, [MessageType.HISTORY, 9, WITNESS_TOPIC, { limit: 1, reverse: true }]);
    this.#run();
    const got = (type: number, id?: number): unknown[] | undefined =>
      this.#witnessed.find((message) => message[0] === type && (id === undefined || message[1] === id));
    ensure(
      got(MessageType.MESSAGE)?.[5] === payload,
      `the witness did not get its message: ${JSON.stringify(this.#witnessed, noBigInt)}`,
    );
    for (const id of [7, 8, 9])
      ensure(
        got(MessageType.OK, id) !== undefined,
        `the witness got no answer to ${id}: ${JSON.stringify(this.#witnessed, noBigInt)}`,
      );
    ensure(process.memoryUsage().heapUsed < HEAP_BYTES_MAX, `the heap has ${process.memoryUsage().heapUsed} bytes`);
    ensure(this.#front.connectionCount <= PEERS_MAX + 1, `${this.#front.connectionCount} connections`);
  }

  async finish(): Promise<Readonly<Record<string, number>>> {
    this.check();
    for (const peer of [...this.#peers, this.#witness]) this.#leave(peer, 1006);
    this.#gateway.close();
    ensure(this.#answerCount === this.#requestCount, `${this.#requestCount} requests got ${this.#answerCount} answers`);
    ensure(this.#gateway.metrics.sessionsLost === 0, 'the gateway lost its session');
    this.#run();
    const metric = (name: keyof typeof LaneMetric): number => this.#lanes.metrics[LaneMetric[name] as number] as number;
    // Past every grace, window, age and idle time, a week of dead letters among them; runs that try again tell of it, once a round at most. The lane
    // looks at a bounded number of topics a tick.
    for (let round = 0; round < 1 + RETRIES_MAX && (round === 0 || metric('topics') > 0); round++) {
      this.#clock.advance(700_000_000);
      for (let count = 0; count < 2 + (2 * TOPICS_MAX) / 256; count++) {
        this.#front.tick();
        this.#lanes.tick();
        this.#run();
      }
    }
    for (const name of [
      'topics',
      'subscriptions',
      'patterns',
      'historyBytes',
      'groups',
      'services',
      'instances',
      'callsInFlight',
      'callsWaiting',
      'stepsInFlight',
      'stepsWaiting',
    ] as const)
      ensure(metric(name) === 0, `${metric(name)} ${name} are left in the lane`);
    // The lane's own one stays for as long as the lane, once a run has called anything.
    const agents = [...this.#front.sessions].filter(({ id }) => id.startsWith('$lane')).length;
    ensure(metric('sessions') === agents, `${metric('sessions')} sessions are left in the lane, ${agents} of them its own`);
    ensure(this.#front.connectionCount === 0, `${this.#front.connectionCount} connections are left`);
    ensure([...this.#front.sessions].length === agents, 'sessions are left on the front');
    ensure(this.#front.subscriptionCount === 0, `${this.#front.subscriptionCount} subscriptions are left on the front`);
    const { metrics } = this.#front;
    return {
      connections: this.#connectCount,
      requests: this.#requestCount,
      closed: this.#closedCount,
      forwarded: metrics.commandsForwarded,
      malformed: metrics.messagesMalformed,
      errorsByLane: metric('errors'),
      publishes: metric('publishes'),
      replayed: metric('messagesReplayed'),
      frames: this.#frameCount,
      congested: metrics.sessionsCongested,
      dropped: Object.values(this.#front.ledger.byReason).reduce((sum, count) => sum + count, 0),
    };
  }

  /** Every frame to a client is messages of the protocol, and of the relay's kind. */
  onFrame(socket: FakeSocket, frame: Uint8Array): void {
    this.#frameCount++;
    const header = this.#header;
    for (let at = 0; at < frame.length; at = header.end) {
      const isMessage = scanMessage(frame, at, frame.length, header);
      // A payload may be as deep as the scan goes; a HISTORY reply puts four more levels around it.
      if (!isMessage && header.skipFault === SKIP_TOO_DEEP && header.fault === HeaderFault.FRAMING) return;
      ensure(
        isMessage && SPEC_BY_TYPE[header.type]?.sender === 'relay',
        `the relay sent no message of its own: ${Buffer.from(frame).toString('hex')}`,
      );
    }
    if (socket === this.#witness) this.#witnessed.push(...(unpackMany(new Uint8Array(frame)) as unknown[][]));
  }

  onPing(socket: FakeSocket): void {
    if (this.#prng.nextBoolean(0.9) && socket.session !== null) this.#front.onPong(socket.session);
  }

  /** One that is there, or a new one: mostly with its HELLO. */
  #peer(): FakeSocket {
    if (this.#peers.length > 0 && (this.#peers.length >= PEERS_MAX || this.#prng.nextBoolean(0.9)))
      return this.#prng.pick(this.#peers);
    const peer = this.#connect();
    this.#peers.push(peer);
    if (this.#prng.nextBoolean(0.95)) {
      const client = this.#prng.nextBoolean() ? `client-${this.#prng.nextInt(1, 5)}` : null;
      this.#say(peer, [MessageType.HELLO, 1, client === null ? null : { client }]);
    }
    return peer;
  }

  #connect(): FakeSocket {
    const socket = new FakeSocket(this);
    socket.session = this.#front.open(socket);
    this.#connectCount++;
    return socket;
  }

  #connectWitness(): FakeSocket {
    const witness = this.#connect();
    this.#witness = witness;
    this.#say(witness, [MessageType.HELLO, 1, { client: 'witness' }]);
    this.#say(witness, [MessageType.SUBSCRIBE, 2, WITNESS_TOPIC, null]);
    this.#run();
    return witness;
  }

  #say(socket: FakeSocket, message: readonly unknown[]): void {
    this.#front.onMessage(socket.session as Session, pack(message), true);
  }

  #run(): void {
    for (let turn = this.#turns.shift(), count = 0; turn !== undefined; turn = this.#turns.shift()) {
      turn();
      ensure(++count < 10_000, 'the lane does not come to an end');
    }
  }

  #drain(peer: FakeSocket | undefined): void {
    if (peer === undefined || peer.isClosed) return;
    peer.isFull = this.#prng.nextBoolean(0.3);
    this.#front.onDrain(peer.session as Session);
    this.#run();
  }

  #leave(peer: FakeSocket, code: number): void {
    if (!CLOSING.has((peer.session as Session).state.name) || code === 1006) this.#front.onClose(peer.session as Session, code);
    peer.isClosed = true;
  }

  #advance(ms: number): void {
    this.#clock.advance(ms);
    this.#front.tick();
    this.#lanes.tick();
    this.#gateway.tick();
    this.#run();
  }

  /** The input as an HTTP body, as it is or as JSON; every request is answered once. */
  #request(input: Uint8Array): void {
    const prng = this.#prng;
    const end = skipValue(input, 0, input.length);
    const isJson = end > 0 && prng.nextBoolean();
    const body = isJson ? new TextEncoder().encode(messagePackToJson(input.subarray(0, end))) : input.slice();
    const topic = encodeURIComponent(prng.pick(['a', 'a.b', 'plain.a', 'tiny.a', 'paused.a', 'a..b', '>', '$x', 'küche', '']));
    const extra = prng.pick([
      '',
      '&key=k',
      '&echo=false',
      '&ttlMs=5',
      '&limit=2&reverse=true',
      '&sinceEpoch=x&sinceOffset=1',
      '&headers=%7B%22constructor%22%3A%22x%22%7D',
      '&%',
    ]);
    const target = prng.pick(['publish', 'publish-batch', 'history', 'presence', 'position', 'call', 'nothing']);
    let isAnswered = false;
    this.#requestCount++;
    this.#gateway.handle(
      {
        method: target.startsWith('publish') ? 'POST' : prng.pick(['GET', 'GET', 'POST', 'X']),
        path: `/v1/${target}`,
        query: `topic=${topic}${extra}`,
        contentType: isJson ? 'application/json' : prng.pick(['application/msgpack', 'application/json', 'text/plain', '']),
        accept: prng.pick(['application/json', 'application/msgpack', '', '*/*']),
        body,
      },
      ({ status, headers, body: answer }) => {
        ensure(!isAnswered, 'a request was answered twice');
        isAnswered = true;
        this.#answerCount++;
        ensure(status >= 200 && status < 600, `status ${status}`);
        if (headers['Content-Type'] === 'application/json') JSON.parse(new TextDecoder().decode(answer));
      },
    );
    this.#run();
  }

  /** Those that the relay has closed: their transport says so, sooner or later. */
  #sweepClosed(): void {
    for (let index = this.#peers.length - 1; index >= 0; index--) {
      const peer = this.#peers[index] as FakeSocket;
      if (!peer.isClosed) continue;
      this.#peers.splice(index, 1);
      this.#closedCount++;
      this.#front.onClose(peer.session as Session, 1006);
    }
    if (this.#witness.isClosed) this.#front.onClose(this.#witness.session as Session, 1006);
  }
}

function noBigInt(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}
