/**
 * The client under a seed: cut cables, silent ones, GOAWAYs, refusals, a relay that is away; slow loops and short histories; tokens
 * that expire within seconds, and a token function that is slow or fails.
 * Checked at the end: every publish has one outcome and happened at most once; what was acknowledged happened; every subscriber
 * got each message once and in order, or was told what it did not get; nothing is left behind. Run one again with SEED=n.
 */
import t from 'tap';
import { Prng } from '../../../src/base/prng.ts';
import { type Client, createClient, type Message } from '../../../src/client/index.ts';
import { MiniRelay } from '../../contract/client/mini-relay.ts';
import { forbidUnhandledRejections, ManualTime, settle } from './harness.ts';

const SEEDS = process.env['SEED'] ? [Number(process.env['SEED'])] : Array.from({ length: 24 }, (_, index) => index + 1);
const TOPICS = ['a', 'b', 'c'];

interface Reader {
  readonly topic: string;
  readonly offsets: number[];
  readonly lost: [number, number][];
  /** A loss whose range nobody knows. */
  isUnsure: boolean;
  readonly begin: () => number | undefined;
}

const total = { expired: 0, refreshed: 0 };

for (const seed of SEEDS) {
  t.test(`SEED=${seed}: no loss in silence, no doubles, no disorder`, async (t) => {
    forbidUnhandledRejections(t);
    const prng = new Prng(seed, 7);
    const time = new ManualTime();
    const isShort = prng.nextBoolean(0.3);
    const hasTokens = prng.nextBoolean();
    let isCalm = false;
    const relay = new MiniRelay({
      timers: time,
      latencyMs: () => prng.nextInt(1, 30),
      historyMax: isShort ? 20 : 1_000,
      recoveryMax: isShort ? 10 : 300,
      refuses: () => prng.nextBoolean(0.03),
      ...(hasTokens ? { tokenLifeMs: () => (isCalm ? 3_600_000 : prng.nextInt(100, 2_000)), tokenGraceMs: 1_000 } : {}),
      nowMs: () => time.nowMs(),
    });
    const token = async (): Promise<string> => {
      await new Promise<void>((resolve) => void time.setTimeout(resolve, prng.nextInt(0, 300)));
      if (!isCalm && prng.nextBoolean(0.4)) throw new Error('no token today');
      return 'token';
    };
    const newClient = (): Client => {
      const client = createClient({
        url: 'ws://chaos.test',
        webSocket: relay.WebSocket,
        clock: time,
        timers: time,
        random: () => prng.nextFloat(),
        reconnect: { capMs: 500, stableAfterMs: 400 }, // Less than a token's life: none of them is refused when it is fresh.
        token,
        commandTimeoutMs: 1_000,
        pongTimeoutMs: 500,
        helloTimeoutMs: 500,
        publishAttemptsMax: 1_000,
        inFlightMax: prng.nextInt(2, 20),
      });
      void client.connect();
      return client;
    };
    const clients = [newClient(), newClient(), newClient()];
    const readers: Reader[] = [];
    const running: Promise<void>[] = [];

    const read = (client: Client, topic: string): void => {
      const policy = prng.pick(['dropOldest', 'dropNewest', 'pause'] as const);
      const subscription = client.subscribe<string>(topic, { buffer: { messagesMax: prng.nextInt(3, 40), policy } });
      let firstJoin: number | undefined;
      const reader: Reader = { topic, offsets: [], lost: [], isUnsure: false, begin: () => firstJoin };
      readers.push(reader);
      subscription.on('subscribed', ({ offset }) => (firstJoin ??= offset));
      subscription.on('continuity-lost', ({ lost, reason }) => {
        if (reason === 'GAP') t.fail(`the relay names all it drops, and yet there is a gap: ${lost}`);
        if (lost) reader.lost.push([...lost]);
        else reader.isUnsure = true;
      });
      const take = ({ offset }: Message): void => void reader.offsets.push(offset);
      if (prng.nextBoolean()) {
        subscription.on('message', take);
        return;
      }
      const isSlow = prng.nextBoolean();
      running.push(
        (async () => {
          for await (const message of subscription) {
            take(message);
            if (isSlow) await new Promise<void>((resolve) => void time.setTimeout(resolve, 15));
          }
        })(),
      );
    };

    const outcomes: { topic: string; payload: string; offset?: number; code?: string }[] = [];
    const publish = (index: number): void => {
      const topic = prng.pick(TOPICS);
      const outcome: (typeof outcomes)[number] = { topic, payload: `p${index}` };
      outcomes.push(outcome);
      const echo = prng.nextBoolean(0.15) ? { echo: false } : {};
      prng
        .pick(clients)
        .publish(topic, outcome.payload, echo)
        .then(
          ({ offset }) => (outcome.offset = offset),
          (error) => (outcome.code = error.codeName),
        );
    };

    for (const topic of TOPICS) read(prng.pick(clients), topic);
    const passing: (() => void)[] = [];
    for (let step = 0; step < 400; step++) {
      if (prng.nextBoolean(0.6)) publish(step);
      if (prng.nextBoolean(0.02)) read(prng.pick(clients), prng.pick(TOPICS));
      // Comes and goes: shares wire subscriptions with those that stay.
      if (prng.nextBoolean(0.05)) {
        const passer = prng.pick(clients).subscribe(prng.pick(TOPICS), prng.nextBoolean() ? { last: 5 } : {});
        passing.push(() => passer.unsubscribe());
      }
      if (passing.length > 0 && prng.nextBoolean(0.1)) passing.splice(prng.nextInt(0, passing.length - 1), 1)[0]?.();
      if (prng.nextBoolean(0.01)) relay.cutAll(prng.pick([1006, 4001, 4002]));
      if (prng.nextBoolean(0.01)) for (const connection of [...relay.connections]) if (prng.nextBoolean()) connection.goSilent();
      if (prng.nextBoolean(0.005)) relay.goAway(200, prng.nextInt(0, 500));
      if (prng.nextBoolean(0.005)) {
        relay.isUp = false;
        relay.cutAll();
        time.setTimeout(() => (relay.isUp = true), prng.nextInt(1, 2_000));
      }
      await time.advance(prng.nextInt(0, 20));
    }
    isCalm = true;
    await time.advance(20_000);
    for (const leave of passing) leave();
    await time.advance(2_000);

    const facts = `${outcomes.length} publishes, ${readers.length} readers`;
    t.same(
      clients.map((client) => [client.state.name, client.pendingPublishes]),
      clients.map(() => ['open', 0]),
      `all is well again: ${facts}`,
    );
    for (const { topic, payload, offset, code } of outcomes) {
      const copies = relay.everything(topic).filter((kept) => kept.payload === payload);
      if (code !== undefined) t.fail(`${payload} was rejected: ${code}`);
      if (copies.length !== 1 || copies[0]?.offset !== offset)
        t.fail(`${payload}: acknowledged as ${offset}, happened at ${copies.map((copy) => copy.offset)}`);
    }
    for (const [index, reader] of readers.entries()) check(index, reader);

    function check(index: number, { topic, offsets, lost, isUnsure, begin }: Reader): void {
      const end = relay.topic(topic).offset;
      const covered = new Set(offsets);
      for (const [position, offset] of offsets.entries())
        if (position > 0 && offset <= (offsets[position - 1] as number)) t.fail(`reader ${index}: ${offset} out of order`);
      for (const [from, to] of lost) for (let offset = from; offset <= to; offset++) covered.add(offset);
      if (isUnsure) return;
      for (let offset = (begin() as number) + 1; offset <= end; offset++) {
        const isOwn = relay.everything(topic).find((kept) => kept.offset === offset)?.isEcholess;
        if (!covered.has(offset) && !isOwn)
          t.fail(`reader ${index} of ${topic}: ${offset} of ${end} is neither delivered nor named`);
      }
    }

    const closing = Promise.all(clients.map((client) => client.close({ timeoutMs: 1_000 })));
    await time.advance(3_000);
    await closing;
    await Promise.all(running);
    await settle();
    t.equal(time.timerCount, 0, 'no timer is left');
    for (const connection of relay.connections) t.same([...connection.subs], [], 'nobody is subscribed');
    total.expired += relay.expiredCount;
    total.refreshed += relay.refreshedCount;
  });
}

t.test('tokens have expired under commands, and were refreshed', async (t) => {
  if (SEEDS.length === 1) return; // One seed need not have any.
  t.ok(total.expired >= 20 && total.refreshed >= 10, JSON.stringify(total));
});
