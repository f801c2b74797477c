/** Question: what does a lane pay to encode one MESSAGE into its egress ring's memory? Not: claiming the record. */
import { encodeMessage, encodePublishOk, publishResultPrefix } from '../../src/protocol/encode.ts';
import { bench, median, param, report } from '../harness.ts';

bench('protocol/encode', 'cost of one MESSAGE and one OK into shared memory');
const COUNT = param('count', { smoke: 20_000, full: 5_000_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 7 });

const target = new Uint8Array(new SharedArrayBuffer(65_536));
const source = new Uint8Array(new SharedArrayBuffer(4_096));
const topic = new TextEncoder().encode('room.123456');
const prefix = publishResultPrefix('abcdefghij', false);

function time(label: string, encode: (index: number) => number, want: number): void {
  const elapsed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let bytes = 0;
    const startMs = performance.now();
    for (let index = 0; index < COUNT; index++) bytes += encode(index);
    elapsed.push(performance.now() - startMs);
    if (bytes !== COUNT * want) throw new Error(`wrong work done: bytes=${bytes}, want=${COUNT * want}`);
  }
  report(label, median(elapsed), COUNT);
}

// 1 array + 1 type + 3 sub + 1 nil topic + 5 offset + 1 nil meta + 66 payload (a bin of 64)
time(
  'MESSAGE, exact subscription, 64 B payload',
  (index) => encodeMessage(target, (index & 255) * 128, 5_000, null, 100_000, null, source, 100, 166) - (index & 255) * 128,
  78,
);
time(
  'MESSAGE, pattern subscription, 64 B payload',
  (index) => encodeMessage(target, (index & 255) * 128, 5_000, topic, 100_000, null, source, 100, 166) - (index & 255) * 128,
  89,
);
time(
  'OK to a PUBLISH',
  (index) => encodePublishOk(target, (index & 255) * 128, 1_000, prefix, 100_000) - (index & 255) * 128,
  1 + 1 + 3 + prefix.length + 5,
);
