/** Queue groups in the SDK: what goes to the relay, messages that can be acknowledged, and that nothing is taken for a gap or a duplicate. */
import t from 'tap';
import type { Message } from '../../../src/client/index.ts';
import { MessageType } from '../../../src/protocol/types.ts';
import {
  code,
  error,
  event,
  FakeNet,
  type FakeSocket,
  forbidUnhandledRejections,
  message,
  settle,
  subscribed,
} from './harness.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

async function confirm(socket: FakeSocket, ...behind: unknown[][]): Promise<unknown> {
  const [, id, , options] = await socket.readOne(MessageType.SUBSCRIBE);
  await socket.reply([MessageType.OK, id, subscribed(7, 'e', 40)], ...behind);
  return options;
}

const WORK = { group: 'g', ack: true, ackTimeoutMs: 9_000, maxAttempts: 3, deadLetter: 'd', maxInFlight: 2 };

t.test('a group’s options go to the relay, the client’s own do not; messages come in any order, and again', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const seen: string[] = [];
  const jobs = client.subscribe('jobs', {
    ...WORK,
    policy: 'disconnect',
    buffer: { messagesMax: 9 },
    onMessage: ({ offset, attempt, epoch }) => seen.push(`${epoch}:${offset}#${attempt}`),
  });
  jobs.on('continuity-lost', ({ reason }) => seen.push(`lost ${reason}`));
  t.same(
    await confirm(
      socket,
      message(7, 43, 'c', { attempt: 1 }),
      message(7, 41, 'a', { attempt: 1 }),
      message(7, 41, 'a', { attempt: 2 }),
    ),
    { ...WORK, policy: 'disconnect' },
  );
  t.same(seen, ['e:43#1', 'e:41#1', 'e:41#2']);
  t.equal(jobs.position, null);
});

t.test('ack and nack: the offset in its epoch, and the relay’s answer', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const seen: Message[] = [];
  client.subscribe('jobs', { ...WORK, onMessage: (message) => seen.push(message) });
  await confirm(socket, ...[41, 42, 43, 44].map((offset) => message(7, offset, offset, { attempt: 1, headers: { h: 'x' } })));
  t.match(seen[0], { attempt: 1, headers: { h: 'x' }, payload: 41 });
  const outcomes = [seen[0]?.ack?.(), seen[1]?.nack?.(), seen[2]?.nack?.({ delayMs: 500 }), seen[3]?.ack?.()];
  const commands = await socket.read();
  t.same(
    commands.map(([type, , topic, options]) => [type, topic, options]),
    [
      [MessageType.ACK, 'jobs', { offset: 41, epoch: 'e' }],
      [MessageType.ACK, 'jobs', { offset: 42, epoch: 'e', requeue: true }],
      [MessageType.ACK, 'jobs', { offset: 43, epoch: 'e', delayMs: 500, requeue: true }],
      [MessageType.ACK, 'jobs', { offset: 44, epoch: 'e' }],
    ],
  );
  t.equal(socket.frames.length, 3, 'in one WebSocket message, behind HELLO and SUBSCRIBE');
  const [first, second, third, fourth] = commands.map(([, id]) => id) as [number, number, number, number];
  await socket.reply(
    [MessageType.OK, first, null],
    [MessageType.OK, second, null],
    [MessageType.OK, third, null],
    error(fourth, 103),
  );
  t.same(await Promise.all(outcomes.slice(0, 3)), [undefined, undefined, undefined]);
  await t.rejects(outcomes[3] as Promise<void>, code('NOT_FOUND'));
  t.equal(await net.end(client), 0);
});

t.test('an ACK whose answer is lost with the connection is asked again on the next: the relay knows', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const seen: Message[] = [];
  client.subscribe('jobs', { ...WORK, onMessage: (message) => seen.push(message) });
  await confirm(socket, message(7, 41, 'a', { attempt: 1 }));
  const outcome = seen[0]?.ack?.();
  await socket.read();
  await socket.lose();
  const next = await net.reopen();
  const commands = await next.read();
  const again = commands.find(([type]) => type === MessageType.ACK);
  t.same(again?.[3], { offset: 41, epoch: 'e' });
  await next.reply(error(again?.[1] as number, 103));
  await t.rejects(outcome as Promise<void>, code('NOT_FOUND'));
});

t.test('without ack a message cannot be acknowledged', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const seen: Message[] = [];
  client.subscribe('jobs', { group: 'g', onMessage: (message) => seen.push(message) });
  t.same(await confirm(socket, message(7, 43, 'c'), message(7, 41, 'a')), { group: 'g' });
  t.same(
    seen.map((message) => [message.offset, 'ack' in message]),
    [
      [43, false],
      [41, false],
    ],
  );
});

t.test('a reconnect is no loss, and asks for no position; a lost event is one, with its epoch', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const seen: string[] = [];
  const jobs = client.subscribe('jobs', { ...WORK, onMessage: ({ offset, epoch }) => seen.push(`${epoch}:${offset}`) });
  jobs.on('continuity-lost', ({ reason }) => seen.push(`lost ${reason}`));
  jobs.on('skip', ({ reason }) => seen.push(`skip ${reason}`));
  await confirm(socket, message(7, 41, 'a', { attempt: 1 }));
  await socket.lose();
  const next = await net.reopen();
  t.same(await confirm(next, message(7, 41, 'a', { attempt: 2 })), WORK);
  await next.reply(
    event(7, 'skip', { from: 50, to: 51, reason: 'expired', count: 2, group: 'g' }),
    event(7, 'lost', { from: null, to: null, reason: 'LANE_RESTARTED', epoch: 'f', offset: 0 }),
    message(7, 1, 'new', { attempt: 1 }),
    event(7, 'lost', { from: 2, to: 3, reason: 'EVICTED', epoch: 'f', offset: 3, group: 'g' }),
    message(7, 2, 'new', { attempt: 1 }),
  );
  t.same(seen, ['e:41', 'e:41', 'skip expired', 'lost LANE_RESTARTED', 'f:1', 'lost EVICTED', 'f:2']);
});

t.test('a loop reads a group; leaving it gives back what it has not acknowledged', async (t) => {
  const net = new FakeNet();
  const { client, socket } = await net.open();
  const jobs = client.subscribe<string>('jobs', WORK);
  const seen: string[] = [];
  const loop = (async () => {
    for await (const message of jobs) {
      seen.push(message.payload);
      void message.ack?.();
      if (message.payload === 'b') break;
    }
  })();
  await confirm(socket, ...['a', 'b', 'c'].map((payload, index) => message(7, 41 + index, payload, { attempt: 1 })));
  await loop;
  t.same(seen, ['a', 'b']);
  t.same(
    (await socket.read()).map(([type]) => type),
    [MessageType.ACK, MessageType.ACK, MessageType.UNSUBSCRIBE],
  );
  await settle();
});

t.test('a group is the only subscription to its topic, and does not pause', async (t) => {
  const net = new FakeNet();
  const { client } = await net.open();
  const group = client.subscribe('jobs', WORK);
  t.throws(() => client.subscribe('jobs'), /'group' must be the only subscription to jobs/);
  t.throws(() => client.subscribe('jobs', { group: 'other' }), /'group' must be the only subscription to jobs/);
  client.subscribe('plain');
  t.throws(() => client.subscribe('plain', WORK), /'group' must be the only subscription to plain/);
  group.unsubscribe();
  t.doesNotThrow(() => client.subscribe('jobs'));
  t.throws(() => client.subscribe('more', { ...WORK, buffer: { policy: 'pause' } }), /'pause' does not go with a 'group'/);
});
