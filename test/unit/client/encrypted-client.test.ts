/** A client whose payloads only key holders can read, against the small relay. */
import t, { type Test } from 'tap';
import { type Deferred, deferred } from '../../../src/client/deferred.ts';
import {
  createKeyring,
  type EncryptedClientOptions,
  type EncryptedMessage,
  encryptedClient,
  type Rejection,
  ReplayGuard,
} from '../../../src/client/encryption.ts';
import { type Client, createClient } from '../../../src/client/index.ts';
import { pack } from '../../../src/protocol/codec.ts';
import { MiniRelay } from '../../contract/client/mini-relay.ts';
import { code, forbidUnhandledRejections, settle } from './harness.ts';

t.beforeEach((t) => forbidUnhandledRejections(t));

const newKeyring = () => createKeyring({ keys: [{ id: 'k1', key: new Uint8Array(32).fill(7) }], current: 'k1' });

class Rig {
  readonly relay = new MiniRelay();
  readonly rejections: Rejection[] = [];
  readonly #t: Test;

  constructor(t: Test) {
    this.#t = t;
  }

  async client(): Promise<Client> {
    const client = createClient({ url: 'ws://mini.test', webSocket: this.relay.WebSocket, reconnect: { baseMs: 1, capMs: 5 } });
    this.#t.teardown(() => client.close({ timeoutMs: 0 }));
    await client.connect();
    return client;
  }

  async encrypted(options: EncryptedClientOptions = {}, keyring = newKeyring()) {
    return encryptedClient(await this.client(), keyring, {
      onRejected: (rejection) => this.rejections.push(rejection),
      ...options,
    });
  }

  /** What the relay has of it. */
  seen(topic: string): Buffer {
    return Buffer.concat(this.relay.everything(topic).map(({ payload, meta }) => pack([payload, meta])));
  }
}

async function take<T>(messages: AsyncIterable<EncryptedMessage<T>>, count: number): Promise<EncryptedMessage<T>[]> {
  const taken: EncryptedMessage<T>[] = [];
  for await (const message of messages) if (taken.push(message) === count) break;
  return taken;
}

t.test('what one publishes another reads, and the relay does not', async (t) => {
  const rig = new Rig(t);
  const [ann, ben] = [await rig.encrypted(), await rig.encrypted()];
  const room = ben.subscribe<{ text: string }>('room');
  await room.subscription.ready();
  const result = await ann.publish('room', { text: 'a secret' }, { headers: { kind: 'chat' } });
  const [message] = await take(room, 1);
  t.match(message, {
    topic: 'room',
    payload: { text: 'a secret' },
    headers: { kind: 'chat' },
    offset: result.offset,
    epoch: result.epoch,
    keyId: 'k1',
    sender: null,
    number: 0,
    missingCount: 0,
  });
  t.notOk(rig.seen('room').includes('secret'));
  t.ok(rig.seen('room').includes('chat'), 'headers are not encrypted');
  t.match(room.subscription.state, { name: 'ended' }, 'leaving the loop unsubscribes');
});

t.test('publishes keep the order of the calls, however long each takes to encrypt', async (t) => {
  const rig = new Rig(t);
  const ann = await rig.encrypted({ sender: 'ann' });
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, index) => ann.publish('room', { index, filler: 'x'.repeat(index % 3 === 0 ? 30_000 : 0) })),
  );
  t.same(
    results.map(({ offset }) => offset),
    results.map((_, index) => index + 1),
  );
  const { messages, rejections } = await (await rig.encrypted()).history<{ index: number }>('room', { limit: 100 });
  t.same(rejections, []);
  t.same(
    messages.map(({ payload, number, sender }) => [payload.index, number, sender]),
    results.map((_, index) => [index, index + 1, ann.sender]),
  );
});

t.test('an encryption that is done before an earlier one waits for it; one that fails holds nobody up', async (t) => {
  const sealing: Deferred<unknown>[] = [];
  const encrypt = () => {
    sealing.push(deferred());
    return sealing.at(-1)?.promise;
  };
  const published: unknown[] = [];
  const publish = async (_: string, envelope: unknown) => void published.push(envelope);
  const client = encryptedClient({ publish } as never, { encrypt } as never);
  const outcomes = ['a', 'b', 'c', 'd'].map((payload) => client.publish('room', payload));
  sealing[3]?.resolve('fourth');
  sealing[2]?.resolve('third');
  await settle();
  t.same(published, []);
  sealing[0]?.resolve('first');
  await settle();
  t.same(published, ['first']);
  sealing[1]?.reject(new Error('no'));
  await t.rejects(outcomes[1] as Promise<unknown>, { message: 'no' });
  await Promise.all([outcomes[0], outcomes[2], outcomes[3]]);
  t.same(published, ['first', 'third', 'fourth']);
});

t.test('a payload that cannot be encrypted is refused alone; those behind it go out', async (t) => {
  const rig = new Rig(t);
  const ann = await rig.encrypted();
  const bad = ann.publish('room', () => {});
  const good = ann.publish('room', 1);
  await t.rejects(bad, { name: 'TypeError' });
  t.match(await good, { offset: 1 });
});

t.test('a key that is used up refuses the publish, and nothing goes out in the clear', async (t) => {
  const rig = new Rig(t);
  const keyring = createKeyring({ keys: [{ id: 'k1', key: new Uint8Array(32) }], current: 'k1', messagesMax: 1 });
  const ann = await rig.encrypted({}, keyring);
  await ann.publish('room', 1);
  await t.rejects(ann.publish('room', 2), code('KEY_EXHAUSTED' as never));
  t.equal(rig.relay.everything('room').length, 1);
});

t.test('what is not encrypted, or not for this topic, is left out and told of; the loop goes on', async (t) => {
  const rig = new Rig(t);
  const [ann, stranger, ben] = [await rig.encrypted(), await rig.client(), await rig.encrypted()];
  const room = ben.subscribe('room');
  await room.subscription.ready();
  await ann.publish('elsewhere', 'moved');
  await stranger.publish('room', 'in the clear');
  await stranger.publish('room', rig.relay.everything('elsewhere')[0]?.payload);
  await stranger.publish('room', [1, 'k9', new Uint8Array(12), new Uint8Array(20)]);
  await ann.publish('room', 'for you');
  t.match(await take(room, 1), [{ payload: 'for you', offset: 4 }]);
  t.match(
    rig.rejections.map(({ topic, offset, epoch, error }) => [topic, offset, typeof epoch, error.codeName]),
    [
      ['room', 1, 'string', 'NOT_ENCRYPTED'],
      ['room', 2, 'string', 'NOT_AUTHENTIC'],
      ['room', 3, 'string', 'UNKNOWN_KEY'],
    ],
  );
  const page = await ben.history('room');
  t.match(page.rejections, rig.rejections);
  t.match(page.messages, [{ payload: 'for you' }]);
});

t.test('a listener of rejections that throws does not end the loop', async (t) => {
  const rig = new Rig(t);
  const printed: unknown[] = [];
  const consoleError = console.error;
  console.error = (...args: unknown[]) => printed.push(args);
  t.teardown(() => (console.error = consoleError));
  const onRejected = () => {
    throw new Error('of mine');
  };
  const [ann, stranger, ben] = [await rig.encrypted(), await rig.client(), await rig.encrypted({ onRejected })];
  const room = ben.subscribe('room');
  await room.subscription.ready();
  await stranger.publish('room', 'in the clear');
  await ann.publish('room', 'for you');
  t.match(await take(room, 1), [{ payload: 'for you' }]);
  t.match(printed, [['relay client:', { message: 'of mine' }]]);
});

t.test('a relay that plays a message again, or leaves one out, is found out by the numbers', async (t) => {
  const rig = new Rig(t);
  const [ann, evil, ben] = [await rig.encrypted({ sender: 'ann' }), await rig.client(), await rig.encrypted()];
  await ann.publish('room', 'first');
  const room = ben.subscribe('room', { last: 1 });
  await room.subscription.ready();
  const replay = async (offset: number): Promise<void> =>
    void (await evil.publish('room', rig.relay.everything('room')[offset - 1]?.payload));
  await ann.publish('room', 'second');
  await replay(2);
  // The third never comes: the relay publishes it somewhere else.
  await ann.publish('void', 'own numbers for each topic');
  await ann.publish('room', 'third');
  await replay(1);
  const messages = await take(room, 3);
  t.match(
    messages.map(({ payload, sender, number, missingCount }) => [payload, sender, number, missingCount]),
    [
      ['first', ann.sender, 1, 0],
      ['second', ann.sender, 2, 0],
      ['third', ann.sender, 3, 0],
    ],
  );
  t.match(
    rig.rejections.map(({ error }) => [error.codeName, error.facts['number']]),
    [['REPLAYED', 2]],
  );
});

t.test('what a relay has left out is counted with the next one of that sender', async (t) => {
  const rig = new Rig(t);
  const [ann, evil, ben] = [await rig.encrypted({ sender: 'ann' }), await rig.client(), await rig.encrypted()];
  for (const payload of [1, 2, 3, 4]) await ann.publish('held back', payload);
  const room = ben.subscribe('room');
  await room.subscription.ready();
  const keyring = newKeyring();
  for (const number of [1, 4])
    await evil.publish('room', await keyring.encrypt(number, { topic: 'room', sender: 'ann', number }));
  t.match(
    (await take(room, 2)).map(({ payload, missingCount }) => [payload, missingCount]),
    [
      [1, 0],
      [4, 2],
    ],
  );
});

t.test('two subscriptions check for themselves; a stored guard remembers over a restart', async (t) => {
  const rig = new Rig(t);
  const [ann, ben] = [await rig.encrypted({ sender: 'ann' }), await rig.encrypted()];
  const rooms = [ben.subscribe('room'), ben.subscribe('room')];
  for (const room of rooms) await room.subscription.ready();
  await ann.publish('room', 'for both');
  for (const room of rooms) t.match(await take(room, 1), [{ payload: 'for both' }]);
  t.same(rig.rejections, []);
  const guard = new ReplayGuard({ state: (rooms[0] as (typeof rooms)[0]).guard.state });
  const again = ben.subscribe('room', { last: 1, guard });
  await again.subscription.ready();
  await ann.publish('room', 'new');
  t.match(await take(again, 1), [{ payload: 'new' }]);
  t.match(rig.rejections, [{ offset: 1, error: { codeName: 'REPLAYED' } }]);
});

t.test('messages without a number can be refused altogether', async (t) => {
  const rig = new Rig(t);
  const [plain, ann] = [await rig.encrypted(), await rig.encrypted({ sender: 'ann' })];
  const strict = await rig.encrypted({ requireSender: true });
  const room = strict.subscribe('room');
  await room.subscription.ready();
  await plain.publish('room', 'says nothing');
  await ann.publish('room', 'says who');
  t.match(await take(room, 1), [{ payload: 'says who' }]);
  t.match(rig.rejections, [{ offset: 1, error: { codeName: 'UNNUMBERED' } }]);
});

t.test('patterns decrypt under the name of each topic; groups have acks, and no check of numbers', async (t) => {
  const rig = new Rig(t);
  const [ann, ben] = [await rig.encrypted({ sender: 'ann' }), await rig.encrypted()];
  const rooms = ben.subscribe('rooms.*');
  const jobs = ben.subscribe('jobs', { group: 'workers', ack: true });
  await Promise.all([rooms.subscription.ready(), jobs.subscription.ready()]);
  await ann.publish('rooms.1', 'one');
  await ann.publish('rooms.2', 'two');
  t.match(await take(rooms, 2), [
    { topic: 'rooms.1', payload: 'one' },
    { topic: 'rooms.2', payload: 'two' },
  ]);
  const { offset } = await ann.publish('jobs', 'work');
  await (await rig.client()).publish('jobs', rig.relay.everything('jobs')[offset - 1]?.payload);
  const given = await take(jobs, 2);
  t.match(given, [{ payload: 'work' }, { payload: 'work' }], 'somebody else may have failed at it');
  await given[0]?.ack?.();
});

t.test('over cut connections every message comes once, and none looks like a replay', async (t) => {
  const rig = new Rig(t);
  const [ann, ben] = [await rig.encrypted({ sender: 'ann' }), await rig.encrypted()];
  const room = ben.subscribe<number>('room');
  await room.subscription.ready();
  const taken = take(room, 30);
  for (let number = 1; number <= 30; number++) {
    if (number % 10 === 5) rig.relay.cutAll();
    await ann.publish('room', number);
  }
  t.same(
    (await taken).map(({ payload, missingCount }) => [payload, missingCount]),
    Array.from({ length: 30 }, (_, index) => [index + 1, 0]),
  );
  t.same(rig.rejections, []);
});

t.test('the position is that of the last message that was worked on', async (t) => {
  const rig = new Rig(t);
  const [ann, ben] = [await rig.encrypted(), await rig.encrypted()];
  const room = ben.subscribe('room');
  await room.subscription.ready();
  await ann.publish('room', 1);
  await ann.publish('room', 2);
  const positions: unknown[] = [];
  for await (const { offset } of room) {
    positions.push(room.subscription.position?.offset);
    if (offset === 2) break;
  }
  t.same(positions, [0, 1]);
});

t.test('an unused promise of a failed publish is no unhandled rejection', async (t) => {
  const rig = new Rig(t);
  const ann = await rig.encrypted();
  void ann.publish('room', Symbol('no'));
  await ann.publish('room', 1);
  t.equal(rig.relay.everything('room').length, 1);
});
