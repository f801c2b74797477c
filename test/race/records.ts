/** Records for the ring race: size and every byte follow from the seed and the number, so both threads know them. */

import { Prng } from '../../src/base/prng.ts';
import { RING_FULL, type RingConsumer, type RingProducer } from '../../src/shm/spsc-ring.ts';

export interface RingRace {
  readonly ring: SharedArrayBuffer;
  readonly seed: number;
  readonly recordCount: number;
  readonly payloadBytesMax: number;
  /** Records per publish, at most. */
  readonly publishEveryMax: number;
}

/** One step: writes the next record if there is room. True when all are written and published. */
export function makeWriter(
  { seed, recordCount, payloadBytesMax, publishEveryMax }: RingRace,
  producer: RingProducer,
): () => boolean {
  const sizes = new Prng(seed, 1);
  const publishes = new Prng(seed, 2);
  let number = 0;
  let payloadBytes = sizes.nextInt(0, payloadBytesMax);
  let untilPublish = publishes.nextInt(1, publishEveryMax);
  return () => {
    if (number === recordCount) return true;
    const offsetBytes = producer.claim(kindOf(number), payloadBytes);
    if (offsetBytes === RING_FULL) {
      producer.publish(); // The reader cannot free what it cannot see.
      return false;
    }
    for (let index = 0; index < payloadBytes; index++) producer.bytes[offsetBytes + index] = byteOf(number, index);
    producer.commit(payloadBytes);
    number++;
    payloadBytes = sizes.nextInt(0, payloadBytesMax);
    if (--untilPublish === 0 || number === recordCount) {
      producer.publish();
      untilPublish = publishes.nextInt(1, publishEveryMax);
    }
    return false;
  };
}

export interface ReadResult {
  readonly recordCount: number;
  readonly wrongCount: number;
}

/** One step: drains a few records and compares every byte. True when all have come. */
export function makeReader({ seed, recordCount, payloadBytesMax }: RingRace, consumer: RingConsumer) {
  const sizes = new Prng(seed, 1);
  const batches = new Prng(seed, 3);
  let number = 0;
  let wrongCount = 0;
  const handler = (kind: number, offsetBytes: number, payloadBytes: number) => {
    let isRight = kind === kindOf(number) && payloadBytes === sizes.nextInt(0, payloadBytesMax);
    for (let index = 0; index < payloadBytes; index++) {
      if (consumer.bytes[offsetBytes + index] !== byteOf(number, index)) isRight = false;
    }
    if (!isRight) wrongCount++;
    number++;
  };
  const step = (): boolean => {
    consumer.drain(handler, batches.nextInt(1, 40));
    return number >= recordCount;
  };
  return { step, result: (): ReadResult => ({ recordCount: number, wrongCount }) };
}

const kindOf = (number: number): number => 1 + (number % 1000);
const byteOf = (number: number, index: number): number => (Math.imul(number, 0x9e3779b1) + index) & 0xff;
