import t from 'tap';
import { copyToShared } from '../../../src/shm/shared-copy.ts';

t.test('copyToShared copies exactly the source, at every alignment and around every threshold', async (t) => {
  const source = Uint8Array.from({ length: 200_000 }, (_, index) => index * 31 + (index >> 8));
  const target = new Uint8Array(new SharedArrayBuffer(200_100), 4); // Its own start is off by half a word.
  const sizes = [0, 1, 7, 8, 95, 96, 97, 103, 104, 511, 8192, 8199, 8200, 8201, 65_535, 65_536, 65_537, 65_540, 131_073, 199_990];
  for (const sourceBytes of sizes) {
    for (let targetPhase = 0; targetPhase < 8; targetPhase++) {
      for (let sourcePhase = 0; sourcePhase < 8; sourcePhase += 3) {
        const offsetBytes = 16 + targetPhase;
        target.fill(0xee, offsetBytes - 16, offsetBytes + sourceBytes + 16);
        const piece = source.subarray(sourcePhase, sourcePhase + sourceBytes);
        copyToShared(target, offsetBytes, piece);
        const isCopied = Buffer.compare(target.subarray(offsetBytes, offsetBytes + sourceBytes), piece) === 0;
        let spilledCount = 0;
        for (let gap = 1; gap <= 16; gap++) {
          if (target[offsetBytes - gap] !== 0xee) spilledCount++;
          if (target[offsetBytes + sourceBytes + gap - 1] !== 0xee) spilledCount++;
        }
        const at = `sourceBytes=${sourceBytes}, targetPhase=${targetPhase}, sourcePhase=${sourcePhase}`;
        if (!isCopied || spilledCount > 0) t.fail(`${at}: isCopied=${isCopied}, spilledCount=${spilledCount}`);
      }
    }
  }
  t.pass('all the same');
});

t.test('copyToShared takes a shared source too', async (t) => {
  const source = new Uint8Array(new SharedArrayBuffer(300)).map((_, index) => index);
  const target = new Uint8Array(new SharedArrayBuffer(400));
  copyToShared(target, 5, source.subarray(2));
  t.same([...target.subarray(5, 303)], [...source.subarray(2)]);
});

t.test('copyToShared rejects a target that is too small', async (t) => {
  t.throws(() => copyToShared(new Uint8Array(new SharedArrayBuffer(100)), 1, new Uint8Array(100)), RangeError);
});
