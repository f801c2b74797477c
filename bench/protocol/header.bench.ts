/** Question: what does the front pay to find type, id and key of a PUBLISH, and to prove that all of it is well formed? Not: handing it on. */
import { pack } from '../../src/protocol/codec.ts';
import { MessageHeader, readHeader, scanMessage } from '../../src/protocol/header.ts';
import { bench, median, param, report } from '../harness.ts';

bench('protocol/header', 'cost of reading [type, id, key] and of scanning a whole PUBLISH');
const COUNT = param('count', { smoke: 20_000, full: 20_000_000 });
const ROUNDS = param('rounds', { smoke: 1, full: 7 });

const bin64 = pack([2, 1_000, 'room.123456', null, new Uint8Array(64)]);
const nested = pack([
  2,
  1_000,
  'room.123456',
  { headers: { kind: 'move' } },
  { x: 1.5, y: 2.5, path: [1, 2, 3], user: { id: 7, name: 'ada' } },
]);
const header = new MessageHeader();

function time(label: string, bytes: Uint8Array, read: (bytes: Uint8Array) => number, wantPerCall: number): void {
  const elapsed: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let checksum = 0;
    const startMs = performance.now();
    for (let index = 0; index < COUNT; index++) checksum += read(bytes);
    elapsed.push(performance.now() - startMs);
    if (checksum !== COUNT * wantPerCall) throw new Error(`wrong work done: checksum=${checksum}, want=${COUNT * wantPerCall}`);
  }
  report(label, median(elapsed), COUNT);
}

const readOnly = (bytes: Uint8Array): number => {
  readHeader(bytes, 0, bytes.length, header);
  return header.id + header.keyEnd - header.keyStart;
};
const scan = (bytes: Uint8Array): number => {
  scanMessage(bytes, 0, bytes.length, header);
  return header.end;
};
time('header read', bin64, readOnly, 1_011);
time('scan of a PUBLISH, 64 B bin payload', bin64, scan, bin64.length);
time('scan of a PUBLISH, map payload of 10 values', nested, scan, nested.length);
