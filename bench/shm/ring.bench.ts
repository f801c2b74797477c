/**
 * Question: how many 64 B records a second does one ring move, on one thread and between two?
 * Not: wake-up latency (idle.bench.ts): both threads are busy here, and an idle consumer spins.
 *
 * Between two threads this is also a measure of the machine: with fewer than two free cores the figures are the scheduler's.
 */

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createRing } from '../../src/shm/ring-layout.ts';
import { type RecordHandler, RING_FULL, RingConsumer, RingProducer } from '../../src/shm/spsc-ring.ts';
import { bench, median, param, proveWork, report } from '../harness.ts';

const KIND = 1;
const PAYLOAD_BYTES = 64;
const WORD_BYTES = 8; // Float64: the widest that JavaScript writes without allocating, and exact for whole numbers.
const PAYLOAD_WORDS = PAYLOAD_BYTES / WORD_BYTES;

interface Job {
  readonly ring: SharedArrayBuffer;
  readonly recordCount: number;
  /** Rounds without a fresh thread in between: only the first one runs cold. */
  readonly roundCount: number;
}

/** Every word of every payload goes into the checksum, so both threads touch all the bytes. */
function makeSummer(consumer: RingConsumer): { handler: RecordHandler; sum: () => number; reset: () => void } {
  const { view } = consumer;
  let sum = 0;
  const handler: RecordHandler = (_kind, offsetBytes, payloadBytes) => {
    let payloadSum = 0;
    for (let at = offsetBytes; at < offsetBytes + payloadBytes; at += WORD_BYTES) payloadSum += view.getFloat64(at, true);
    sum += payloadSum;
  };
  return {
    handler,
    sum: () => sum,
    reset: () => {
      sum = 0;
    },
  };
}

/** What `recordCount` payloads of their own number, over and over, sum up to: exact far beyond the full size. */
const expectedSum = (recordCount: number): number => (PAYLOAD_WORDS * recordCount * (recordCount - 1)) / 2;

/** Waits without hammering the line that the other thread is about to write. */
function spinBriefly(turns: number): number {
  let noise = 0;
  for (let turn = 0; turn < turns; turn++) noise = Math.imul(noise ^ turn, 0x9e3779b1);
  return noise;
}

function writeClaimed(producer: RingProducer, recordCount: number, publishEvery: number): void {
  const { view } = producer;
  for (let number = 0; number < recordCount; number++) {
    let offsetBytes = producer.claim(KIND, PAYLOAD_BYTES);
    while (offsetBytes === RING_FULL) {
      producer.publish();
      spinBriefly(100);
      offsetBytes = producer.claim(KIND, PAYLOAD_BYTES);
    }
    for (let at = offsetBytes; at < offsetBytes + PAYLOAD_BYTES; at += WORD_BYTES) view.setFloat64(at, number, true);
    producer.commit(PAYLOAD_BYTES);
    if ((number + 1) % publishEvery === 0) producer.publish();
  }
  producer.publish();
}

function writeCopied(producer: RingProducer, recordCount: number): void {
  const payload = new Uint8Array(PAYLOAD_BYTES);
  const words = new Float64Array(payload.buffer);
  for (let number = 0; number < recordCount; number++) {
    words.fill(number);
    while (!producer.tryWrite(KIND, payload)) spinBriefly(100);
  }
}

function consume({ ring, recordCount, roundCount }: Job): void {
  const consumer = new RingConsumer(ring);
  const { handler, sum, reset } = makeSummer(consumer);
  for (let round = 0; round < roundCount; round++) {
    reset();
    let left = recordCount;
    while (left > 0) {
      const drained = consumer.drain(handler, 256);
      if (drained === 0) spinBriefly(60);
      left -= drained;
    }
    parentPort?.postMessage(sum());
  }
}

async function main(): Promise<void> {
  bench('shm/ring', 'how many 64 B records a second does one ring move, on one thread and between two?');
  const recordCount = param('records', { smoke: 20_000, full: 4_000_000 });
  const roundCount = param('rounds', { smoke: 2, full: 7 });
  const capacityBytes = param('capacityBytes', { smoke: 1 << 16, full: 1 << 20 });
  oneThread(recordCount, roundCount, capacityBytes);
  await twoThreads('claim+commit+publish each', recordCount, roundCount, capacityBytes, (p) => writeClaimed(p, recordCount, 1));
  await twoThreads('claim+commit, publish per 16', recordCount, roundCount, capacityBytes, (p) =>
    writeClaimed(p, recordCount, 16),
  );
  await twoThreads('tryWrite (copies 64 B)', recordCount, roundCount, capacityBytes, (p) => writeCopied(p, recordCount));
}

function oneThread(recordCount: number, roundCount: number, capacityBytes: number): void {
  const elapsedMs: number[] = [];
  for (let round = 0; round < roundCount; round++) {
    const ring = createRing(capacityBytes);
    const producer = new RingProducer(ring);
    const consumer = new RingConsumer(ring);
    const { handler, sum } = makeSummer(consumer);
    const { view } = producer;
    const startMs = performance.now();
    for (let number = 0; number < recordCount; number++) {
      const offsetBytes = producer.claim(KIND, PAYLOAD_BYTES);
      for (let at = offsetBytes; at < offsetBytes + PAYLOAD_BYTES; at += WORD_BYTES) view.setFloat64(at, number, true);
      producer.commit(PAYLOAD_BYTES);
      producer.publish();
      consumer.drain(handler, 1);
    }
    elapsedMs.push(performance.now() - startMs);
    proveWork('one thread', sum(), expectedSum(recordCount));
  }
  report('one thread: write and drain one by one', median(elapsedMs), recordCount);
}

async function twoThreads(
  label: string,
  recordCount: number,
  roundCount: number,
  capacityBytes: number,
  write: (producer: RingProducer) => void,
): Promise<void> {
  const ring = createRing(capacityBytes);
  const job: Job = { ring, recordCount, roundCount };
  const worker = new Worker(new URL(import.meta.url), { workerData: job, execArgv: [] });
  try {
    const producer = new RingProducer(ring);
    const elapsedMs: number[] = [];
    await new Promise((resolve) => worker.once('online', resolve));
    for (let round = 0; round < roundCount; round++) {
      const summed = new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject));
      const startMs = performance.now();
      write(producer);
      // The message only carries the checksum; the clock stops when the ring is empty, i.e. the last record is released.
      while (producer.usedBytes > 0) spinBriefly(100);
      elapsedMs.push(performance.now() - startMs);
      proveWork(label, await summed, expectedSum(recordCount));
      worker.removeAllListeners('error');
    }
    const warm = roundCount > 2 ? elapsedMs.slice(1) : elapsedMs; // The first round compiles.
    const best = Math.round((recordCount / Math.min(...warm)) * 1000);
    report(`two threads: ${label}`, median(warm), recordCount, { opsPerSecondBest: best });
  } finally {
    await worker.terminate();
  }
}

if (isMainThread) await main();
else consume(workerData as Job);
