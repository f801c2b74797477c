/** A short run of each fuzz target. The long one: node scripts/fuzz.ts. A finding prints what is needed to see it again. */
import t from 'tap';
import { Mutator } from '../../scripts/fuzz/mutator.ts';
import { fuzz } from '../../scripts/fuzz.ts';

for (const { target, inputs, seed } of [
  { target: 'codec', inputs: 10_000, seed: 1 },
  { target: 'front', inputs: 6_000, seed: 2 },
  { target: 'server', inputs: 500, seed: 3 },
] as const) {
  t.test(`fuzz ${target}: ${inputs} inputs of seed ${seed}`, async (t) => {
    const { figures } = await fuzz(target, inputs, seed);
    t.comment(
      Object.entries(figures)
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
    );
    // A fuzzer that is refused at the door proves nothing.
    if (target === 'codec') t.ok(figures['routable']! > inputs / 10 && figures['options']! > inputs / 10);
    if (target === 'front') t.ok(figures['publishes']! > 100 && figures['errorsByLane']! > 100 && figures['closed']! > 100);
    if (target === 'server') t.ok(figures['connections']! > 10 && figures['answeredBytes']! > 1_000);
  });
}

t.test('the same seed gives the same inputs, another one others', async (t) => {
  const inputs = (seed: number): string[] => {
    const mutator = new Mutator(seed, 0);
    return Array.from({ length: 200 }, () => Buffer.from(mutator.next()).toString('hex'));
  };
  t.same(inputs(5), inputs(5));
  t.notSame(inputs(5), inputs(6));
});
