/**
 * What a step is given, and what a stage and a run give back: data moves by name, as bytes, and is made from a run's state whenever it is asked for.
 *
 * Thread: the lane's. What cannot be made (a forEach over something that is no list) is a Reason: the run's fault, never the lane's.
 */
import { pack } from '../../protocol/codec.ts';
import { STEPS_PER_STAGE_MAX } from './definition.ts';
import { FROM_INPUT, type StagePlan } from './plan.ts';
import type { Run } from './run.ts';
import type { Reason } from './run-event.ts';
import { arrayCount, arrayElements, type Entry, joinArray, joinMap, mapValue, NIL, textBytes } from './splice.ts';

/** A stage's result: one value, or one per part (null where a quorum or deadline left it out). */
type Output = { readonly one: Uint8Array } | { readonly many: readonly (Uint8Array | null)[] };

const ITEM = textBytes('item');
const INDEX = textBytes('index');
const INPUT = textBytes('input');
const RESULT = textBytes('result');

/** The elements that a forEach stage's steps are made from. */
export function forEachElements(run: Run, { source, field }: NonNullable<StagePlan['forEach']>): readonly Uint8Array[] | Reason {
  const output = outputOf(run, source);
  const name = sourceName(run, source);
  if ('many' in output) {
    if (field !== null) return badInput(`forEach: the result of '${name}' is a list and has no field '${field}'`);
    return output.many.map((part) => part ?? NIL);
  }
  const list = field === null ? output.one : mapValue(output.one, field);
  if (list === null) return badInput(`forEach: the result of '${name}' is no map with a field '${field}'`);
  const count = arrayCount(list);
  const what = field === null ? `the result of '${name}'` : `'${field}' in the result of '${name}'`;
  if (count < 0) return badInput(`forEach: ${what} is no list`);
  if (count > STEPS_PER_STAGE_MAX) {
    const text = `forEach: ${what} has too many elements: count=${count}, countMax=${STEPS_PER_STAGE_MAX}`;
    return { code: 'TOO_LARGE', text };
  }
  return arrayElements(list) as Uint8Array[];
}

/** The payload of one step; `element`: of a forEach. */
export function stepPayload(run: Run, { input, forEach }: StagePlan, index: number, element: Uint8Array | null): Uint8Array {
  if (input === null) return element as Uint8Array;
  if ('source' in input) return packed(outputOf(run, input.source));
  const entries: Entry[] = [];
  if (forEach !== null) entries.push([ITEM, element as Uint8Array], [INDEX, pack(index)]);
  for (const { name, source } of input.arguments) entries.push([name, packed(outputOf(run, source))]);
  return joinMap(entries);
}

/** What the call that undoes a step is told. */
export function undoPayload(payload: Uint8Array, result: Uint8Array): Uint8Array {
  return joinMap([
    [INPUT, payload],
    [RESULT, result],
  ]);
}

export function stageResult(run: Run, stage: number): Uint8Array {
  return packed(outputOf(run, stage));
}

/** That of the one stage that no other takes from; of several, a map by their names. */
export function runResult(run: Run): Uint8Array {
  const { leaves, stages } = run.plan;
  if (leaves.length === 1) return stageResult(run, leaves[0] as number);
  return joinMap(leaves.map((leaf) => [textBytes((stages[leaf] as StagePlan).name), stageResult(run, leaf)]));
}

function outputOf(run: Run, source: number): Output {
  if (source === FROM_INPUT) return { one: run.input };
  const parts = run.stage(source).steps.map(({ state }) => (state.name === 'succeeded' ? state.result : null));
  return (run.plan.stages[source] as StagePlan).forEach === null ? { one: parts[0] ?? NIL } : { many: parts };
}

function packed(output: Output): Uint8Array {
  return 'one' in output ? output.one : joinArray(output.many);
}

function sourceName(run: Run, source: number): string {
  return source === FROM_INPUT ? 'input' : (run.plan.stages[source] as StagePlan).name;
}

function badInput(text: string): Reason {
  return { code: 'BAD_REQUEST', text };
}
