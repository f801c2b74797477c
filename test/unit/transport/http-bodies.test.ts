/** Bodies while they come in: how large, how long, how many at once, and who is told what. */
import t from 'tap';
import { ManualClock } from '../../../src/base/clock.ts';
import { type BodyBounds, type BodyReading, HttpBodies } from '../../../src/transport/http-bodies.ts';
import type { UwsResponse } from '../../../src/transport/uws-types.ts';

const BOUNDS: BodyBounds = { httpBodyBytesMax: 100, httpBodiesBytesMax: 250, httpBodyTimeoutMs: 1_000 };

class Rig {
  readonly clock = new ManualClock();
  readonly bodies = new HttpBodies(BOUNDS, this.clock);
}

/** One request: its client sends, and what its handlers are told is written down. */
class Client {
  readonly told: string[] = [];
  body: Uint8Array | null = null;
  readonly reading: BodyReading;
  #onData: (chunk: ArrayBuffer, isLast: boolean) => void = () => {};
  #onAborted = (): void => {};

  constructor({ bodies }: Rig) {
    const response = {
      onData: (handler: (chunk: ArrayBuffer, isLast: boolean) => void) => {
        this.#onData = handler;
      },
      onAborted: (handler: () => void) => {
        this.#onAborted = handler;
      },
    } as unknown as UwsResponse;
    this.reading = bodies.read(response, {
      complete: (body) => {
        this.told.push('complete');
        this.body = body;
      },
      refused: (reason) => this.told.push(reason),
      gone: () => this.told.push('gone'),
    });
  }

  /** As uWebSockets.js does: the chunk's memory is another's afterwards. */
  send(byteCount: number, isLast = false, value = 7): void {
    const chunk = new Uint8Array(byteCount).fill(value);
    this.#onData(chunk.buffer, isLast);
    chunk.fill(0);
  }

  hangUp(): void {
    this.#onAborted();
  }
}

t.test('a body in pieces is one body, with memory of its own', async (t) => {
  const client = new Client(new Rig());
  client.send(3, false, 1);
  client.send(0);
  client.send(2, true, 2);
  t.same(client.told, ['complete']);
  t.same([...(client.body ?? [])], [1, 1, 1, 2, 2]);
});

t.test('no body is an empty one', async (t) => {
  const client = new Client(new Rig());
  client.send(0, true);
  t.equal(client.body?.length, 0);
});

t.test('at the bound it is complete, over it it is read on and told as one byte too many', async (t) => {
  const rig = new Rig();
  const exact = new Client(rig);
  exact.send(100, true);
  t.equal(exact.body?.length, 100);
  exact.reading.release();
  const over = new Client(rig);
  over.send(60);
  over.send(60);
  t.same(over.told, [], 'who sends does not read yet');
  over.send(1, true);
  t.equal(over.body?.length, 101);
});

t.test('who sends twice the bound and has not ended is not waited for', async (t) => {
  const client = new Client(new Rig());
  for (let sent = 0; sent < 1_000; sent += 50) client.send(50);
  t.same(client.told, ['complete']);
  t.equal(client.body?.length, 101);
});

t.test('a body that takes too long is refused, whoever else is quick', async (t) => {
  const rig = new Rig();
  const slow = new Client(rig);
  slow.send(1);
  rig.clock.advance(600);
  const later = new Client(rig);
  later.send(1);
  rig.clock.advance(399);
  rig.bodies.tick();
  t.same(slow.told, []);
  rig.clock.advance(1);
  rig.bodies.tick();
  t.same([slow.told, later.told], [['tooSlow'], []]);
  slow.send(1, true);
  t.same(slow.told, ['tooSlow'], 'what comes behind is nobody’s');
  later.send(1, true);
  t.same(later.told, ['complete']);
  rig.clock.advance(10_000);
  rig.bodies.tick();
  t.same(later.told, ['complete'], 'its answer has a time of its own');
  t.equal(rig.bodies.timedOut, 1);
});

t.test('all together: the one too many is refused, and there is room again once one is answered', async (t) => {
  const rig = new Rig();
  const [one, two, three] = [new Client(rig), new Client(rig), new Client(rig)];
  one.send(100, true);
  two.send(100);
  three.send(60);
  t.same([one.told, two.told, three.told], [['complete'], [], ['tooMuchAtOnce']], 'an answer that is waited for counts');
  t.equal(one.reading.release(), true);
  t.equal(one.reading.release(), false, 'only one answer');
  const four = new Client(rig);
  four.send(100, true);
  t.same(four.told, ['complete']);
  t.equal(rig.bodies.refused, 1);
});

t.test('who hangs up frees its memory, gets no answer and is told of no timeout', async (t) => {
  const rig = new Rig();
  for (let round = 0; round < 100; round++) {
    const client = new Client(rig);
    client.send(90);
    client.hangUp();
    t.same(client.told, ['gone']);
    t.equal(client.reading.release(), false);
  }
  rig.clock.advance(10_000);
  rig.bodies.tick();
  t.equal(rig.bodies.timedOut, 0);
  t.equal(rig.bodies.count, 0);
});
