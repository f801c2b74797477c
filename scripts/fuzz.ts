/**
 * Fuzzes the relay: the codec by itself, a front with its lane in this process, and a relay process over raw TCP.
 *
 *   node scripts/fuzz.ts                                   a million inputs, split over the targets
 *   node scripts/fuzz.ts --target front --inputs 50000     one target
 *   node scripts/fuzz.ts --seed 7                          another seed; the same seed gives the same inputs
 *   node scripts/fuzz.ts --target codec --replay 92ff01    one input, by itself
 *
 * A finding is printed with target, seed, the number of the input and its bytes. Where it takes more than one input to get there (front,
 * server), run the same seed with `--inputs` one above that number.
 */
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Prng } from '../src/base/prng.ts';
import { CodecTarget } from './fuzz/codec-target.ts';
import { FrontTarget } from './fuzz/front-target.ts';
import { Mutator } from './fuzz/mutator.ts';
import { ServerTarget } from './fuzz/server-target.ts';
import type { FuzzTarget } from './fuzz/target.ts';

export const TARGET_NAMES = ['codec', 'front', 'server'] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

const INPUTS_DEFAULT = 1_000_000;
/** A TCP connection costs what a thousand codec inputs do. */
const SHARES: Readonly<Record<TargetName, number>> = { codec: 0.7, front: 0.28, server: 0.02 };
const CHECK_EVERY: Readonly<Record<TargetName, number>> = { codec: 10_000, front: 500, server: 500 };

export interface FuzzReport {
  readonly target: TargetName;
  readonly seed: number;
  readonly inputs: number;
  readonly elapsedMs: number;
  readonly figures: Readonly<Record<string, number>>;
}

/** Runs one target over `inputs` inputs. Throws at the first finding, with everything in the text that is needed to see it again. */
export async function fuzz(target: TargetName, inputs: number, seed: number): Promise<FuzzReport> {
  const stream = TARGET_NAMES.indexOf(target);
  const mutator = new Mutator(seed, stream);
  const startMs = performance.now();
  const tested = await open(target, new Prng(seed, 100 + stream));
  let input = new Uint8Array(0);
  let number = 0;
  try {
    for (; number < inputs; number++) {
      input = new Uint8Array(mutator.next());
      const taken = tested.take(input);
      if (taken !== undefined) await taken;
      if (number % CHECK_EVERY[target] === CHECK_EVERY[target] - 1) await tested.check();
    }
    await tested.check();
    const figures = await tested.finish();
    return { target, seed, inputs, elapsedMs: performance.now() - startMs, figures };
  } catch (error) {
    if (tested instanceof ServerTarget) tested.kill();
    const hex = Buffer.from(input).toString('hex');
    throw new Error(`target=${target} seed=${seed} input=${number} hex=${hex}\n${(error as Error).stack}`, { cause: error });
  }
}

async function open(target: TargetName, prng: Prng): Promise<FuzzTarget> {
  switch (target) {
    case 'codec':
      return new CodecTarget();
    case 'front':
      return new FrontTarget(prng);
    case 'server':
      return ServerTarget.start(prng);
    default:
      return target satisfies never;
  }
}

async function replay(target: TargetName, hex: string): Promise<void> {
  const tested = await open(target, new Prng(1));
  try {
    await tested.take(Uint8Array.from(Buffer.from(hex, 'hex')));
    await tested.check();
    console.log(JSON.stringify(await tested.finish()));
  } finally {
    if (tested instanceof ServerTarget) tested.kill();
  }
}

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: { inputs: { type: 'string' }, seed: { type: 'string' }, target: { type: 'string' }, replay: { type: 'string' } },
  });
  const targets = values.target === undefined ? TARGET_NAMES : TARGET_NAMES.filter((name) => name === values.target);
  const inputs = Number(values.inputs ?? INPUTS_DEFAULT);
  const seed = Number(values.seed ?? 1);
  if (targets.length === 0 || !Number.isSafeInteger(inputs) || inputs < 1 || !Number.isSafeInteger(seed)) {
    console.error(`usage: node scripts/fuzz.ts [--inputs N] [--seed S] [--target ${TARGET_NAMES.join('|')}] [--replay HEX]`);
    return 2;
  }
  try {
    if (values.replay !== undefined) {
      for (const target of targets) await replay(target, values.replay);
      return 0;
    }
    for (const target of targets) {
      const share = targets.length === 1 ? inputs : Math.ceil(inputs * SHARES[target]);
      const { elapsedMs, figures } = await fuzz(target, share, seed);
      const text = Object.entries(figures).map(([name, value]) => `${name}=${value}`);
      console.log(`${target}: inputs=${share} seed=${seed} seconds=${(elapsedMs / 1_000).toFixed(1)} ${text.join(' ')}`);
    }
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.exitCode = await main(process.argv.slice(2));
