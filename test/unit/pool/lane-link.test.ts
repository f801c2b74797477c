/** The front's end of a lane's ring: what is refused while it is full, what waits, and that order holds between the two. */
import t from 'tap';
import { LaneLink } from '../../../src/pool/lane-link.ts';
import { COMMAND_HEAD_BYTES } from '../../../src/protocol/records.ts';
import { createRing } from '../../../src/shm/ring-layout.ts';
import { RingConsumer } from '../../../src/shm/spsc-ring.ts';

const RING_BYTES = 4_096;
const KIND = 1;

class Link {
  readonly link = new LaneLink();
  readonly #consumer: RingConsumer;

  constructor() {
    const ring = createRing(RING_BYTES);
    this.#consumer = new RingConsumer(ring);
    this.link.attach(ring);
  }

  try(number: number, bytes = 100): boolean {
    return this.link.tryWrite(KIND, number, 0, 0, new Uint8Array(bytes), 0, bytes);
  }

  keep(number: number, bytes = 100): boolean {
    return this.link.tryWriteOrKeep(KIND, number, 0, 0, new Uint8Array(bytes), 0, bytes);
  }

  control(number: number): void {
    const payload = new Uint8Array(8);
    new DataView(payload.buffer).setUint32(0, number, true);
    this.link.write(KIND, payload);
  }

  /** The numbers that the lane reads now. */
  read(): number[] {
    const numbers: number[] = [];
    let count = 0;
    do {
      this.link.publish();
      count = this.#consumer.read((_kind, start) => numbers.push(this.#consumer.view.getUint32(start, true)), 100);
      this.#consumer.release();
    } while (count > 0);
    return numbers;
  }
}

function fill(link: Link): number {
  let count = 0;
  while (link.try(count)) count++;
  return count;
}

t.test('a full ring refuses commands and keeps what must not be refused, in order', async (t) => {
  const link = new Link();
  const count = fill(link);
  t.ok(count > 3);
  t.notOk(link.try(99));
  t.ok(link.keep(100));
  link.control(101);
  t.ok(link.keep(102));
  t.notOk(link.try(1, 1), 'a small one that would fit must not overtake');
  t.equal(link.link.backlogCount, 3);
  t.same(link.read(), [...Array(count).keys(), 100, 101, 102]);
  t.equal(link.link.backlogCount, 0);
  t.ok(link.try(103), 'and commands are taken again');
});

t.test('what is kept is bounded: four rings of it, not one record more', async (t) => {
  const link = new Link();
  const bytesMax = 4 * createRing(RING_BYTES).byteLength;
  fill(link);
  let kept = 0;
  while (link.keep(kept)) kept++;
  t.equal(kept, Math.floor(bytesMax / 112));
  link.control(1);
  t.equal(link.link.backlogCount, kept + 1, 'a control record still waits');
  link.read();
  fill(link);
  t.ok(link.keep(1), 'and room is made by reading');
});

// Once they were dropped without a word: a lane's own command (a dead letter on its way to another lane's topic) was never answered, and its message stayed
// out for ever.
t.test('kept commands that have not reached the ring are told of: they are lost with their lane', async (t) => {
  const link = new Link();
  const count = fill(link);
  link.keep(100);
  link.control(101);
  link.keep(102, 120);
  const numbers = (): number[] => link.link.keptCommands.map(({ payload }) => new DataView(payload.buffer).getUint32(0, true));
  t.same(numbers(), [100, 102], 'control records are replayed, they are no loss');
  t.equal(link.link.keptCommands[1]?.payload.length, COMMAND_HEAD_BYTES + 120);
  t.equal(link.link.keptCommands[1]?.kind, KIND);
  t.equal(link.read().length, count + 3);
  t.same(numbers(), []);
  fill(link);
  link.keep(1);
  link.link.attach(null);
  t.same(numbers(), []);
});

t.test('without a lane everything is refused, and a new one begins with nothing', async (t) => {
  const link = new Link();
  fill(link);
  link.keep(1);
  link.link.attach(null);
  t.notOk(link.keep(2));
  t.notOk(link.try(3));
  const ring = createRing(RING_BYTES);
  link.link.attach(ring);
  t.equal(link.link.backlogCount, 0);
  t.ok(link.try(4));
});
