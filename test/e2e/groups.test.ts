/** Queue groups of a real relay: members die with work in hand, forget to answer or cannot do it, and every message comes to its end. */
import t, { type Test } from 'tap';
import { startFaultyRelay } from '../support/faults.ts';
import { ACK, ERROR, EVENT, MESSAGE, OK, PUBLISH, RawClient, SUBSCRIBE, type WireMessage } from '../support/raw-client.ts';
import { type RelayProcess, startRelay } from '../support/relay-process.ts';
import { range, topicOnLane } from '../support/sdk.ts';

const TOPICS = [{ match: 'jobs.>', history: { count: 10_000, bytes: 4_194_304 } }];
const MESSAGES = 300;

/** A member that does with each message what it is told, and keeps the books. */
class Worker {
  readonly raw: RawClient;
  readonly topic: string;
  readonly given: WireMessage[] = [];
  /** Offsets whose ACK was answered OK. */
  readonly done: number[] = [];
  readonly #seen = new Set<WireMessage>();

  static async open(t: Test, relay: RelayProcess, topic: string, options: object = {}): Promise<Worker> {
    const raw = await RawClient.open(t, relay.port);
    await raw.ask(SUBSCRIBE, topic, { group: 'workers', ack: true, ...options });
    return new Worker(raw, topic);
  }

  constructor(raw: RawClient, topic: string) {
    this.raw = raw;
    this.topic = topic;
  }

  /** The next message that it is given. */
  async next(): Promise<WireMessage> {
    const message = await this.raw.find((candidate) => candidate[0] === MESSAGE && !this.#seen.has(candidate));
    this.#seen.add(message);
    this.given.push(message);
    return message;
  }

  async ack(offset: number, more: object = {}): Promise<boolean> {
    const [type] = await this.raw.request(ACK, this.topic, { offset, ...more });
    if (type === OK) this.done.push(offset);
    return type === OK;
  }

  /** Acknowledges everything, until its connection ends. */
  async work(after: (offset: number) => void): Promise<void> {
    try {
      for (;;) {
        const [, , , offset] = await this.next();
        if (await this.ack(offset)) after(offset);
      }
    } catch {}
  }
}

const isDeadLetter = ([type, , , , meta]: WireMessage): boolean => type === MESSAGE && meta?.headers?.attempts !== undefined;

for (const lanes of [0, 2]) {
  t.test(`lanes ${lanes}: one of three is killed with messages in hand, and each message is done once`, async (t) => {
    const relay = await startRelay(t, { lanes, topics: TOPICS });
    const topic = 'jobs.kill';
    const publisher = await RawClient.open(t, relay.port);
    await publisher.ask(SUBSCRIBE, topic, null);
    const victim = await Worker.open(t, relay, topic, { maxInFlight: 8 });
    const others = [await Worker.open(t, relay, topic), await Worker.open(t, relay, topic)];
    const done: number[] = [];
    let resolveAll: () => void = () => {};
    const all = new Promise<void>((resolve) => {
      resolveAll = resolve;
    });
    const after = (offset: number): void => {
      done.push(offset);
      if (done.length === MESSAGES) resolveAll();
    };
    for (const worker of others) void worker.work(after);
    publisher.send(...range(1, MESSAGES).map((number) => [PUBLISH, 0, topic, null, number]));
    for (let held = 0; held < 8; held++) await victim.next();
    victim.raw.destroy();
    await all;
    t.same(
      done.toSorted((a, b) => a - b),
      range(1, MESSAGES),
      'each once',
    );
    const held = victim.given.map(([, , , offset]) => offset as number);
    const again = others.flatMap(({ given }) => given).filter(([, , , , { attempt }]) => attempt === 2);
    t.same(
      again.map(([, , , offset]) => offset).toSorted((a, b) => a - b),
      held,
      'what it held, and nothing else, came twice',
    );
    await publisher.find(([type, , , offset]) => type === MESSAGE && offset === MESSAGES);
    t.same(publisher.payloads, range(1, MESSAGES), 'a plain subscriber has seen nothing of all that');
    t.equal(await relay.metric('relay_lane_group_dead_letters_total'), 0);
  });
}

t.test('a poison message lands in the dead-letter topic, the others are done', async (t) => {
  const relay = await startRelay(t, { lanes: 2, topics: TOPICS });
  const topic = 'jobs.poison';
  const undertaker = await RawClient.open(t, relay.port);
  await undertaker.ask(SUBSCRIBE, `$dead.${topic}`, null);
  const workers = [
    await Worker.open(t, relay, topic, { maxAttempts: 3 }),
    await Worker.open(t, relay, topic, { maxAttempts: 3 }),
  ];
  const attempts: number[] = [];
  const loops = workers.map(async (worker) => {
    try {
      for (;;) {
        const [, , , offset, { attempt }, payload] = await worker.next();
        if (payload === 'poison') attempts.push(attempt);
        await worker.ack(offset, payload === 'poison' ? { requeue: true, delayMs: 20 } : {});
      }
    } catch {}
  });
  for (const payload of ['a', 'poison', 'b']) await undertaker.ask(PUBLISH, topic, null, payload);
  const letter = await undertaker.find(isDeadLetter);
  t.same(letter.slice(4), [{ headers: { topic, offset: '2', attempts: '3', reason: 'requeued', group: 'workers' } }, 'poison']);
  t.same(attempts, [1, 2, 3]);
  for (const worker of workers) worker.raw.destroy();
  await Promise.all(loops);
});

t.test('who does not answer in time loses the message to another, and the dead letters may live in another lane', async (t) => {
  const relay = await startRelay(t, { lanes: 2, topics: TOPICS });
  const topic = topicOnLane(0, 2, 'jobs.late');
  const deadLetter = topicOnLane(1, 2, 'graveyard');
  const undertaker = await RawClient.open(t, relay.port);
  await undertaker.ask(SUBSCRIBE, deadLetter, null);
  const options = { ackTimeoutMs: 150, maxAttempts: 2, deadLetter };
  const [first, second] = [await Worker.open(t, relay, topic, options), await Worker.open(t, relay, topic, options)];
  await undertaker.ask(PUBLISH, topic, null, 'slow');
  const [, , , offset, { attempt }] = await first.next();
  t.equal(attempt, 1);
  const again = await second.next();
  t.same([again[3], again[4].attempt], [offset, 2]);
  t.notOk(await first.ack(offset), 'too late');
  const letter = await undertaker.find(isDeadLetter);
  t.match(letter[4].headers, { topic, reason: 'ackTimeout', attempts: '2' });
});

t.test('a lane dies: members are told, stay members, and the group works on', async (t) => {
  const { relay, faults } = await startFaultyRelay(t, { lanes: 2, laneRestartBackoffMsMax: 0, topics: TOPICS });
  const topic = topicOnLane(1, 2, 'jobs.lane');
  const workers = [await Worker.open(t, relay, topic), await Worker.open(t, relay, topic, { maxInFlight: 4 })];
  const publisher = await RawClient.open(t, relay.port);
  await publisher.ask(PUBLISH, topic, null, 'held');
  const [, , , offset] = await (workers[0] as Worker).next();
  await faults.hold(1);
  faults.arm(1, 'throw');
  await Promise.all(workers.map(({ raw }) => raw.find(([type, , , kind]) => type === EVENT && kind === 'lost')));
  const answer = await (workers[0] as Worker).raw.request(ACK, topic, { offset });
  t.same([answer[0], answer[2]], [ERROR, 103], 'what was pending died with the lane');
  for (const number of [1, 2]) await publisher.ask(PUBLISH, topic, null, number);
  const [one, two] = [await (workers[0] as Worker).next(), await (workers[1] as Worker).next()];
  t.same([one[5], two[5]].toSorted(), [1, 2], 'one for each');
  t.ok(await (workers[0] as Worker).ack(one[3]));
});
