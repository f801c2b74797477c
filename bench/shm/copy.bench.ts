/**
 * Question: what does it cost to copy bytes that stand anywhere into a ring, by a loop, by set() and by copyToShared()?
 * The source is misaligned by three bytes, like a frame out of a socket; `set aligned` is what the engine does at its best.
 */

import { createRing } from '../../src/shm/ring-layout.ts';
import { copyToShared } from '../../src/shm/shared-copy.ts';
import { RingProducer } from '../../src/shm/spsc-ring.ts';
import { bench, median, param, proveWork, reportFigures } from '../harness.ts';

bench('shm/copy', 'what does it cost to copy bytes that stand anywhere into a ring?');

const copyCount = param('copies', { smoke: 500, full: 100_000 });
const roundCount = param('rounds', { smoke: 1, full: 5 });
const TARGET_STEPS = 1024; // Targets move on word by word, as records do.

const target = new RingProducer(createRing(1 << 20)).bytes;
const sources = new Uint8Array(1 << 16).map((_, index) => index * 31);

type Copy = (target: Uint8Array, offsetBytes: number, source: Uint8Array) => void;
const byLoop: Copy = (target, offsetBytes, source) => {
  for (let index = 0; index < source.length; index++) target[offsetBytes + index] = source[index] as number;
};
const bySet: Copy = (target, offsetBytes, source) => target.set(source, offsetBytes);
const bySetAligned: Copy = (target, offsetBytes, source) => target.set(source, offsetBytes);

function nsPerCopy(copy: Copy, source: Uint8Array): number {
  const elapsedMs: number[] = [];
  for (let round = 0; round < roundCount; round++) {
    target.fill(0);
    const startMs = performance.now();
    for (let number = 0; number < copyCount; number++) copy(target, (number % TARGET_STEPS) * 8, source);
    elapsedMs.push(performance.now() - startMs);
    const lastOffset = ((copyCount - 1) % TARGET_STEPS) * 8;
    let wrongCount = 0;
    for (let index = 0; index < source.length; index++) if (target[lastOffset + index] !== source[index]) wrongCount++;
    proveWork('bytes that differ', wrongCount, 0);
  }
  return (median(elapsedMs) * 1e6) / copyCount;
}

for (const payloadBytes of [8, 16, 32, 64, 96, 128, 256, 512, 1024, 4096, 16_384]) {
  const aligned = sources.subarray(1504, 1504 + payloadBytes);
  const misaligned = sources.subarray(1507, 1507 + payloadBytes);
  reportFigures(`${payloadBytes} B`, {
    loopNs: nsPerCopy(byLoop, misaligned),
    setNs: nsPerCopy(bySet, misaligned),
    setAlignedNs: nsPerCopy(bySetAligned, aligned),
    copyToSharedNs: nsPerCopy(copyToShared, misaligned),
  });
}
