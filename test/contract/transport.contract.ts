/**
 * What every transport must do, whatever it is made of: one suite, called by each of them.
 *
 * Behind the transport stand a real front and a real lane; only what both transports can show is tested here. What is uWebSockets.js's alone
 * (fragments, HTTP around it) is in uws-transport.test.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { Front } from '../../src/front/front.ts';
import type { FrontOptions } from '../../src/front/front-options.ts';
import { SendResult } from '../../src/front/ports.ts';
import type { Session } from '../../src/front/session.ts';
import type { LaneOptions } from '../../src/lane/lane-options.ts';
import { InlineLanes } from '../../src/pool/inline-lanes.ts';
import { pack, unpackMany } from '../../src/protocol/codec.ts';
import { WIRE_ERRORS } from '../../src/protocol/codes.ts';
import { MessageType } from '../../src/protocol/types.ts';
import { FRONT_DEFAULTS, LANE_DEFAULTS } from '../support/options.ts';

/** One client's end, at the level of WebSocket messages. */
export interface ContractSocket {
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  /** Each is one WebSocket message; all arrive together. */
  send(...messages: readonly Uint8Array[]): void;
  sendText(text: string): void;
  /** The oldest WebSocket message that was not taken. Rejects when the connection ends without one. */
  next(): Promise<Uint8Array>;
  pauseReading(): void;
  resumeReading(): void;
  close(code: number): void;
  cut(): void;
}

export interface ContractRefusal {
  readonly status: number;
  readonly retryAfterSeconds: number | null;
}

export interface TransportUnderTest {
  connect(options?: { readonly subprotocol?: string }): Promise<ContractSocket | ContractRefusal>;
  close(): void;
}

export interface RelayUnderTest {
  readonly front: Front;
  readonly options: FrontOptions;
}

/** Opens the transport in front of this relay. */
export type OpenTransport = (relay: RelayUnderTest) => Promise<TransportUnderTest>;

const FRONT_OPTIONS: FrontOptions = {
  ...FRONT_DEFAULTS,
  connectionsMax: 100,
  connectRatePerSecond: 1_000,
  mergedFrameBytesMax: 65_536,
  messageBytesMax: 131_072,
  subscriptionsMax: 100,
  pongTimeoutMs: 10_000,
  closeTimeoutMs: 300,
  retryAfterMs: 1_000,
};

const LANE_OPTIONS: LaneOptions = {
  ...LANE_DEFAULTS,
  topicsMax: 1_000,
  topicIdleMs: 60_000,
  historyBytesMax: 16_777_216,
  dedupKeysMax: 1_000,
  presenceMembersMax: 100,
};

const TICK_MS = 25;
const { HELLO, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PING, OK, ERROR, MESSAGE, EVENT } = MessageType;
const BULK_BYTES = 60_000;

type Message = readonly unknown[];

/** A client that speaks: messages of the protocol instead of bytes. */
class Talker {
  readonly socket: ContractSocket;
  /** WebSocket messages that came, to see what shares one. */
  frameCount = 0;
  readonly #received: Message[] = [];

  constructor(socket: ContractSocket) {
    this.socket = socket;
  }

  say(...messages: readonly Message[]): void {
    this.socket.send(join(messages));
  }

  async next(): Promise<Message> {
    while (this.#received.length === 0) {
      this.#received.push(...(unpackMany(await this.socket.next()) as Message[]));
      this.frameCount++;
    }
    return this.#received.shift() as Message;
  }

  async take(count: number): Promise<Message[]> {
    const messages: Message[] = [];
    while (messages.length < count) messages.push(await this.next());
    return messages;
  }

  async greet(): Promise<this> {
    this.say([HELLO, 1, {}]);
    await this.next();
    return this;
  }
}

/** Front, lane and transport of one test. */
export class Rig {
  readonly front: Front;
  readonly #lanes: InlineLanes;
  readonly #transport: TransportUnderTest;
  readonly #ticker: NodeJS.Timeout;

  static async open(t: Test, open: OpenTransport, overrides: Partial<FrontOptions> = {}): Promise<Rig> {
    const options = { ...FRONT_OPTIONS, ...overrides };
    const laneOptions = (index: number, laneCount: number, firstSub: number, life: number) => ({
      ...LANE_OPTIONS,
      index,
      laneCount,
      firstSub,
      life,
    });
    const lanes = new InlineLanes({ ingressRingBytes: 1_048_576, egressRingBytes: 4_194_304, laneOptions }, systemClock);
    const front = new Front(options, lanes, systemClock);
    lanes.start(front.laneEvents);
    const rig = new Rig(front, lanes, await open({ front, options }));
    t.teardown(() => rig.#close());
    return rig;
  }

  private constructor(front: Front, lanes: InlineLanes, transport: TransportUnderTest) {
    this.front = front;
    this.#lanes = lanes;
    this.#transport = transport;
    this.#ticker = setInterval(() => {
      front.tick();
      lanes.tick();
    }, TICK_MS);
  }

  tryConnect(subprotocol?: string): Promise<ContractSocket | ContractRefusal> {
    return this.#transport.connect(subprotocol === undefined ? {} : { subprotocol });
  }

  /** Connected, and nothing said yet. */
  async connect(): Promise<Talker> {
    const socket = await this.tryConnect();
    if ('status' in socket) throw new Error(`refused: ${socket.status}`);
    return new Talker(socket);
  }

  /** Connected, and HELLO answered. */
  async join(): Promise<Talker> {
    return (await this.connect()).greet();
  }

  get newestSession(): Session {
    return [...this.front.sessions].at(-1) as Session;
  }

  #close(): void {
    clearInterval(this.#ticker);
    this.#transport.close();
    void this.#lanes.close();
  }
}

export function transportContract(t: Test, open: OpenTransport): void {
  t.test('a client with the subprotocol is let in, another is not', async (t) => {
    const rig = await Rig.open(t, open);
    const client = await rig.connect();
    client.say([HELLO, 1, { client: 'ada' }]);
    const [type, id, welcome] = await client.next();
    t.same([type, id], [OK, 1]);
    t.match(welcome, { version: 1, limits: { messageBytesMax: FRONT_OPTIONS.messageBytesMax } });
    t.equal(rig.front.connectionCount, 1);
    t.match(await rig.tryConnect('graphql-ws'), { status: 400 });
    t.equal(rig.front.connectionCount, 1);
  });

  t.test('who is not admitted is refused before the upgrade, with 503 and Retry-After', async (t) => {
    const rig = await Rig.open(t, open, { connectionsMax: 1 });
    const first = await rig.join();
    const refusal = (await rig.tryConnect()) as ContractRefusal;
    t.equal(refusal.status, 503);
    t.ok((refusal.retryAfterSeconds ?? 0) >= 1, 'says when to come again');
    first.socket.close(1000);
    await first.socket.closed;
    await until(t, () => rig.front.connectionCount === 0, 'the first one is gone');
    await rig.join();
  });

  t.test('anything before HELLO is an error and the end, and the close code says so', async (t) => {
    const rig = await Rig.open(t, open);
    const client = await rig.connect();
    client.say([PING, 5]);
    t.match(await client.next(), [ERROR, 5, WIRE_ERRORS.UNAUTHENTICATED.code]);
    const { code, reason } = await client.socket.closed;
    t.equal(code, 4500);
    t.match(reason, /HELLO/);
    await until(t, () => rig.front.connectionCount === 0, 'the front has forgotten it');
  });

  t.test('a text message closes with 1003', async (t) => {
    const rig = await Rig.open(t, open);
    const client = await rig.join();
    client.socket.sendText('hello');
    t.match(await client.socket.closed, { code: 1003 });
  });

  t.test('a message over messageBytesMax closes with 1009, one far over it ends the connection', async (t) => {
    const rig = await Rig.open(t, open, { messageBytesMax: 1_000 });
    const client = await rig.join();
    client.say([PUBLISH, 2, 'a', null, 'x'.repeat(900)]);
    t.match(await client.next(), [OK, 2]);
    client.say([PUBLISH, 3, 'a', null, 'x'.repeat(1_000)]);
    t.match(await client.socket.closed, { code: 1009 });
    const other = await rig.join();
    other.say([PUBLISH, 3, 'a', null, 'x'.repeat(60_000)]);
    await other.socket.closed;
    await until(t, () => rig.front.connectionCount === 0, 'the front knows that both are gone');
  });

  t.test('many relay messages share one WebSocket message, both ways, and replies keep their order', async (t) => {
    const rig = await Rig.open(t, open);
    const client = await rig.connect();
    const publishes = Array.from({ length: 50 }, (_, index) => [PUBLISH, 10 + index, 'news', null, index]);
    client.say([HELLO, 1, {}], [SUBSCRIBE, 2, 'news', null], ...publishes);
    t.match(await client.next(), [OK, 1]);
    t.match(await client.next(), [OK, 2]);
    const rest = await client.take(100);
    t.same(
      rest.map(([type, id, , , , payload]) => (type === MESSAGE ? payload : `OK ${id}`)),
      publishes.flatMap(([, id, , , payload]) => [payload, `OK ${id}`]),
      'each own copy stands before its OK',
    );
    t.ok(client.frameCount < 10, `${client.frameCount} WebSocket messages for 102`);
  });

  t.test('WebSocket messages that arrive together are handled in order', async (t) => {
    const rig = await Rig.open(t, open);
    const client = await rig.connect();
    const pings = Array.from({ length: 40 }, (_, index) => pack([PING, 2 + index]));
    client.socket.send(pack([HELLO, 1, {}]), ...pings);
    const replies = await client.take(41);
    t.same(
      replies.map(([type]) => type).filter((type) => type !== OK),
      [],
    );
    t.same(
      replies.map(([, id]) => id),
      replies.map((_, index) => 1 + index),
    );
  });

  t.test("the client's own close is answered, and a cut is noticed", async (t) => {
    const rig = await Rig.open(t, open);
    const polite = await rig.join();
    const lost = await rig.join();
    polite.socket.close(4321);
    t.match(await polite.socket.closed, { code: 4321 });
    await until(t, () => rig.front.connectionCount === 1, 'one is left');
    lost.socket.cut();
    await until(t, () => rig.front.connectionCount === 0, 'nobody is left');
  });

  t.test('what waits for a slow reader comes when it reads again, and what was dropped is named', async (t) => {
    const rig = await Rig.open(t, open);
    const slow = await rig.join();
    const { connection } = rig.newestSession;
    slow.say([SUBSCRIBE, 2, 'bulk', { policy: 'dropOldest' }]);
    await slow.next();
    slow.socket.pauseReading();
    const publisher = await rig.join();
    const count = await publishUntil(publisher, () => rig.front.ledger.byReason.dropOldest > 20);
    slow.socket.resumeReading();
    let position = 0;
    let dropped = 0;
    let bufferedMax = 0;
    while (position < count) {
      const [type, , , offsetOrKind, data] = await slow.next();
      bufferedMax = Math.max(bufferedMax, connection.bufferedBytes());
      if (type === EVENT) {
        const { from, to, count: skipped } = data as { from: number; to: number; count: number };
        t.same([offsetOrKind, from], ['skip', position + 1]);
        t.equal(skipped, to - from + 1);
        position = to;
        dropped += skipped;
      } else t.equal(offsetOrKind, ++position);
    }
    t.ok(dropped > 20, `${dropped} of ${count} were dropped, all of them named`);
    // The rest of a drain's frames waits in the send queue; topping up the transport's buffer whenever it shrinks would move it there.
    t.ok(
      bufferedMax <= 2 * BULK_BYTES + FRONT_OPTIONS.mergedFrameBytesMax,
      `the transport buffered ${bufferedMax} bytes at most`,
    );
    slow.say([PING, 9]);
    t.match(await slow.next(), [OK, 9], 'and then it is a connection like any other');
  });

  t.test('a slow reader is closed inside a drain, with 4002, and nobody else notices', async (t) => {
    const rig = await Rig.open(t, open);
    const slow = await rig.join();
    const fast = await Promise.all([rig.join(), rig.join(), rig.join()]);
    for (const client of [slow, ...fast]) {
      client.say([SUBSCRIBE, 2, 'bulk', { policy: 'disconnect' }]);
      await client.next();
    }
    slow.socket.pauseReading();
    const counts = fast.map((client) => countMessages(client));
    const publisher = await rig.join();
    const count = await publishUntil(publisher, () => rig.front.metrics.slowConsumersDisconnected === 1);
    await until(t, () => rig.front.connectionCount === 4, 'the slow one is gone');
    await until(t, () => counts.every((seen) => seen.last === count), 'the others have everything');
    t.same(
      counts.map((seen) => seen.gaps),
      [0, 0, 0],
    );
    slow.socket.resumeReading();
    const { code } = await slow.socket.closed;
    t.ok(code === 4002 || code === 1006, `it learns why once it reads, unless that is over closeTimeoutMs: ${code}`);
  });

  t.test('a publish and an unsubscribe in one message lose nothing', async (t) => {
    const rig = await Rig.open(t, open);
    const client = await rig.join();
    const other = await rig.join();
    for (const each of [client, other]) {
      each.say([SUBSCRIBE, 2, 'news', null]);
      await each.next();
    }
    client.say([PUBLISH, 3, 'news', null, 'last words'], [UNSUBSCRIBE, 4, 'news'], [PUBLISH, 5, 'news', null, 'unheard']);
    t.match(await client.take(4), [
      [MESSAGE, Number, null, 1, null, 'last words'],
      [OK, 3],
      [OK, 4, null],
      [OK, 5],
    ]);
    t.same(
      (await other.take(2)).map((message) => message[5]),
      ['last words', 'unheard'],
    );
  });

  t.test('one that does not read leaves the others unharmed', async (t) => {
    const rig = await Rig.open(t, open);
    const asleep = await rig.join();
    const awake = await Promise.all(Array.from({ length: 5 }, () => rig.join()));
    for (const client of [asleep, ...awake]) {
      client.say([SUBSCRIBE, 2, 'bulk', { policy: 'dropNewest' }]);
      await client.next();
    }
    asleep.socket.pauseReading();
    const counts = awake.map((client) => countMessages(client));
    const publisher = await rig.join();
    const count = await publishUntil(publisher, () => rig.front.ledger.byReason.dropNewest > 20);
    await until(t, () => counts.every((seen) => seen.last === count), 'everybody awake has everything');
    t.same(
      counts.map((seen) => seen.gaps),
      [0, 0, 0, 0, 0],
    );
    t.equal(rig.front.connectionCount, 7, 'and the sleeper is still there');
  });

  t.test('pings are answered by who reads; who does not is closed in time', async (t) => {
    const rig = await Rig.open(t, open, { pingIntervalMs: 100, pongTimeoutMs: 150 });
    const alive = await rig.join();
    const dead = await rig.join();
    dead.socket.pauseReading();
    await until(t, () => rig.front.metrics.pongTimeouts === 1 && rig.front.connectionCount === 1, 'one is given up');
    alive.say([PING, 2]);
    t.match(await alive.next(), [OK, 2]);
  });

  t.test('calls after the end do nothing', async (t) => {
    const rig = await Rig.open(t, open);
    for (const end of ['close', 'cut'] as const) {
      const client = await rig.join();
      const { connection } = rig.newestSession;
      if (end === 'close') client.socket.close(1000);
      else client.socket.cut();
      await until(t, () => rig.front.connectionCount === 0, `gone by ${end}`);
      t.equal(connection.send(Uint8Array.of(0xc0)), SendResult.WRITTEN);
      t.equal(connection.bufferedBytes(), 0);
      connection.ping();
      connection.close(1000, 'again');
      connection.terminate();
    }
    const terminated = await rig.join();
    const { connection } = rig.newestSession;
    connection.terminate();
    connection.terminate();
    connection.close(1000, '');
    await terminated.socket.closed;
    await until(t, () => rig.front.connectionCount === 0, 'gone by terminate');
  });
}

// ---- helpers

function join(messages: readonly Message[]): Uint8Array {
  return Buffer.concat(messages.map((message) => pack(message)));
}

async function until(t: Test, condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = Date.now() + 5_000;
  while (!condition() && Date.now() < deadlineMs) await sleep(5);
  t.ok(condition(), what);
}

/** Publishes to `bulk`, each answered, until `enough`; how many it took. */
async function publishUntil(publisher: Talker, enough: () => boolean): Promise<number> {
  const payload = new Uint8Array(BULK_BYTES);
  for (let count = 1; count <= 2_000; count++) {
    publisher.say([PUBLISH, 2 + count, 'bulk', null, payload]);
    await publisher.next();
    if (enough()) return count;
  }
  throw new Error('2000 messages were not enough');
}

/** Reads MESSAGEs until the end, in the background. */
function countMessages(client: Talker): { readonly last: number; readonly gaps: number } {
  const seen = { last: 0, gaps: 0 };
  const read = async (): Promise<void> => {
    for (;;) {
      const [type, , , offset] = await client.next();
      if (type !== MESSAGE) continue;
      if (offset !== seen.last + 1) seen.gaps++;
      seen.last = offset as number;
    }
  };
  read().catch(() => undefined); // The connection's end is the test's end.
  return seen;
}
