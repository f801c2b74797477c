/**
 * What every build of the client promises against every relay: one suite, called by each combination.
 * Uses real time and only what docs/protocol.md promises, so the real relay can stand in for the small one.
 */
import type { Test } from 'tap';
import type { Client, ClientOptions, Message, Subscription } from '../../../src/client/index.ts';

export interface ClientUnderTest<C extends Client = Client> {
  readonly createClient: (options: ClientOptions) => C;
  /** Url, and a WebSocket where the platform's own will not do. */
  readonly options: ClientOptions;
  /** A name prefix under which topics keep at least 100 messages of history. */
  readonly prefix: string;
  /** Breaks every connection; the relay stays up. */
  cutAll(): void;
  close(): Promise<void>;
}

const FAST = { reconnect: { baseMs: 10, capMs: 100 } } as const;

/** One test of a contract: what is under test, and clients of it that are open, and closed in the end. */
export type ContractTest<C extends Client> = (
  name: string,
  run: (t: Test, under: ClientUnderTest<C>, client: (options?: Partial<ClientOptions>) => Promise<C>) => Promise<void>,
) => Promise<unknown>;

export function contractTests<C extends Client>(t: Test, open: () => Promise<ClientUnderTest<C>>): ContractTest<C> {
  const onRejection = (reason: unknown) => t.fail(`unhandled rejection: ${reason}`);
  process.on('unhandledRejection', onRejection);
  t.teardown(() => process.off('unhandledRejection', onRejection));

  return (name, run) =>
    t.test(name, async (t) => {
      const under = await open();
      const clients: C[] = [];
      try {
        await run(t, under, async (options) => {
          const client = under.createClient({ ...under.options, ...FAST, ...options });
          clients.push(client);
          await client.connect();
          return client;
        });
      } finally {
        await Promise.all(clients.map((client) => client.close({ timeoutMs: 500 })));
        await under.close();
      }
    });
}

export async function clientContract(t: Test, open: () => Promise<ClientUnderTest>): Promise<void> {
  const test = contractTests(t, open);

  await test('what is published arrives: order, payloads of every kind, positions', async (t, { prefix }, client) => {
    const [publisher, reader] = [await client(), await client()];
    const subscription = reader.subscribe(`${prefix}.kinds`);
    await subscription.ready();
    const payloads = [
      null,
      true,
      'text äöü 😀',
      -5,
      1.5,
      Number.MAX_SAFE_INTEGER,
      { a: [1, { b: null }] },
      Uint8Array.of(1, 2, 3),
      new Date(1_700_000_000_123),
    ];
    const results = await Promise.all(
      payloads.map((payload) => publisher.publish(`${prefix}.kinds`, payload, { headers: { h: '1' } })),
    );
    const received = await take(subscription, payloads.length);
    t.strictSame(
      received.map(({ payload }) => payload),
      payloads,
    );
    t.strictSame(
      received.map(({ offset }) => offset),
      results.map(({ offset }) => offset),
    );
    t.match(received[0], { topic: `${prefix}.kinds`, epoch: results[0]?.epoch, headers: { h: '1' } });
  });

  await test('a key is published once', async (t, { prefix }, client) => {
    const publisher = await client();
    const first = await publisher.publish(`${prefix}.keys`, 1, { key: 'k' });
    const second = await publisher.publish(`${prefix}.keys`, 2, { key: 'k' });
    t.same(second, { ...first, duplicate: true });
    const { messages } = await publisher.history(`${prefix}.keys`);
    t.same(
      messages.map(({ payload }) => payload),
      [1],
    );
  });

  await test('over cut connections nothing is lost, doubled or out of order, on either side', async (t, {
    prefix,
    cutAll,
  }, client) => {
    const [publisher, reader] = [await client(), await client()];
    const losses: unknown[] = [];
    reader.on('continuity-lost', (loss) => losses.push(loss.reason));
    const subscription = reader.subscribe<number>(`${prefix}.cuts`);
    await subscription.ready();
    const count = 60;
    const results: Promise<unknown>[] = [];
    for (let index = 0; index < count; index++) {
      if (index % 20 === 10) cutAll();
      results.push(publisher.publish(`${prefix}.cuts`, index));
      await new Promise((resolve) => setTimeout(resolve, 2)); // One after the other: of many timers a late one may overtake another.
    }
    const received = await take(subscription, count);
    await Promise.all(results);
    t.same(
      received.map(({ payload }) => payload),
      results.map((_, index) => index),
    );
    t.same(losses, []);
  });

  await test('since goes on where a stored position ends; last begins with the newest', async (t, { prefix }, client) => {
    const one = await client();
    for (let index = 1; index <= 5; index++) await one.publish(`${prefix}.since`, index);
    const { epoch, offset } = await one.publish(`${prefix}.since`, 6);
    const resumed = one.subscribe(`${prefix}.since`, { since: { epoch, offset: offset - 2 } });
    t.same(
      (await take(resumed, 2)).map(({ payload, recovered }) => [payload, recovered]),
      [
        [5, true],
        [6, true],
      ],
    );
    const newest = one.subscribe(`${prefix}.since`, { last: 3 });
    t.same(
      (await take(newest, 3)).map(({ payload }) => payload),
      [4, 5, 6],
    );
    const impossible = one.subscribe(`${prefix}.since`, { since: { epoch: 'of another life', offset: 1 } });
    const loss = new Promise((resolve) => impossible.on('continuity-lost', resolve));
    t.match(await loss, { reason: 'EPOCH_CHANGED', epoch, offset });
  });

  await test('patterns deliver under the topic’s name', async (t, { prefix }, client) => {
    const one = await client();
    const subscription = one.subscribe(`${prefix}.p.*`);
    await subscription.ready();
    await one.publish(`${prefix}.p.x`, 1);
    await one.publish(`${prefix}.q.x`, 2);
    await one.publish(`${prefix}.p.y`, 3);
    t.match(await take(subscription, 2), [
      { topic: `${prefix}.p.x`, payload: 1, epoch: null },
      { topic: `${prefix}.p.y`, payload: 3 },
    ]);
  });

  await test('echo: false leaves the own subscription without message and without gap', async (t, { prefix }, client) => {
    const [one, other] = [await client(), await client()];
    const losses: unknown[] = [];
    one.on('continuity-lost', (loss) => losses.push(loss.reason));
    const subscription = one.subscribe(`${prefix}.echo`);
    await subscription.ready();
    await one.publish(`${prefix}.echo`, 'own', { echo: false });
    await other.publish(`${prefix}.echo`, 'other');
    t.match(await take(subscription, 1), [{ payload: 'other' }]);
    t.same(losses, []);
  });

  await test('unsubscribe ends it, subscribing again begins anew; two share and leave one by one', async (t, {
    prefix,
  }, client) => {
    const one = await client();
    const seen: string[] = [];
    const first = one.subscribe(`${prefix}.leave`, { onMessage: ({ payload }) => seen.push(`first ${payload}`) });
    const second = one.subscribe(`${prefix}.leave`, { onMessage: ({ payload }) => seen.push(`second ${payload}`) });
    await Promise.all([first.ready(), second.ready()]);
    await one.publish(`${prefix}.leave`, 1);
    first.unsubscribe();
    await one.publish(`${prefix}.leave`, 2);
    second.unsubscribe();
    const third = one.subscribe(`${prefix}.leave`, { onMessage: ({ payload }) => seen.push(`third ${payload}`) });
    await third.ready();
    await one.publish(`${prefix}.leave`, 3);
    t.same(seen, ['first 1', 'second 1', 'second 2', 'third 3']);
  });

  await test('ping, history and closing in order', async (t, { prefix }, client) => {
    const one = await client();
    const us = await one.ping();
    t.ok(us >= 0 && us < 5_000_000, `${us} us`);
    const pending = Array.from({ length: 20 }, (_, index) => one.publish(`${prefix}.close`, index));
    await one.close();
    t.equal((await Promise.all(pending)).length, 20, 'close() waits for the answers');
    const { messages } = await (await client()).history(`${prefix}.close`);
    t.equal(messages.length, 20);
  });
}

async function take<T>(subscription: Subscription<T>, count: number): Promise<Message<T>[]> {
  const messages: Message<T>[] = [];
  const timer = setTimeout(() => subscription.unsubscribe(), 8_000); // A failed test, not a hanging one.
  for await (const message of subscription) if (messages.push(message) === count) break;
  clearTimeout(timer);
  return messages;
}
