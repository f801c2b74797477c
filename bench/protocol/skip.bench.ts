/**
 * Question: what does it cost to prove that a payload is one well-formed value, by its shape? Every publish pays this on the front.
 * Not: the header in front of it (header.bench.ts). A decoder's price for the same bytes stands beside it: what is saved by not decoding.
 */
import { pack, unpack } from '../../src/protocol/codec.ts';
import { SKIP_TRUNCATED, skipValue } from '../../src/protocol/skip.ts';
import { bench, median, param, proveWork, report } from '../harness.ts';

bench('protocol/skip', 'what does it cost to prove that a payload is well formed, by its shape?');
const VALUES = param('values', { smoke: 50_000, full: 5_000_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 5 });

const tree = (depth: number): unknown => (depth === 0 ? 7 : [tree(depth - 1), tree(depth - 1)]);
const flat = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`field${index}`, index * 1_000]));

/** `valueCount`: what one payload holds, containers and keys included; it sets how often the payload is scanned. */
const SHAPES: readonly { readonly name: string; readonly payload: unknown; readonly valueCount: number }[] = [
  { name: 'bin of 64 B', payload: new Uint8Array(64), valueCount: 1 },
  { name: 'text of 64 KiB', payload: 'x'.repeat(65_536), valueCount: 1 },
  { name: 'map of 20 pairs', payload: flat, valueCount: 41 },
  { name: '1,000 floats', payload: Array.from({ length: 1_000 }, (_, index) => index + 0.5), valueCount: 1_001 },
  { name: '1,000 short texts', payload: Array(1_000).fill('symbol'), valueCount: 1_001 },
  { name: 'tree of 511 values, 9 deep', payload: tree(8), valueCount: 511 },
];

function time(label: string, count: number, valueCount: number, act: () => number, want: number): void {
  const elapsedMs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let checksum = 0;
    const startMs = performance.now();
    for (let index = 0; index < count; index++) checksum += act();
    elapsedMs.push(performance.now() - startMs);
    proveWork(label, checksum, count * want);
  }
  report(label, median(elapsedMs), count, { nsPerValue: (median(elapsedMs) * 1e6) / (count * valueCount) });
}

for (const { name, payload, valueCount } of SHAPES) {
  const bytes = pack(payload);
  const count = Math.ceil(VALUES / (valueCount + 4));
  time(`scan: ${name}`, count, valueCount, () => skipValue(bytes, 0, bytes.length), bytes.length);
  // Less often: it is that much slower.
  time(`decode: ${name}`, Math.ceil(count / 20), valueCount, () => (unpack(bytes) === undefined ? 0 : 1), 1);
}
const cut = pack(tree(8)).slice(0, -1);
time('scan: the same tree, cut at the end', Math.ceil(VALUES / 511), 511, () => skipValue(cut, 0, cut.length), SKIP_TRUNCATED);
