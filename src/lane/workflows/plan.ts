/**
 * A definition made ready to run: every default filled in, names resolved to numbers, edges and leaves found.
 *
 * Thread: the lane's. Made once per definition, of input that parseDefinition has passed; immutable.
 */
import { pack } from '../../protocol/codec.ts';
import {
  type JoinDefinition,
  RUN_INPUT,
  RUNS_IN_FLIGHT_MAX_DEFAULT,
  STAGE_DEFAULTS,
  type StageDefinition,
  sourcesOf,
  type WorkflowDefinition,
} from './definition.ts';
import { textBytes } from './splice.ts';

/** Where a value comes from: a stage's number, or the run's input. */
export const FROM_INPUT = -1;

export interface RetryPlan {
  readonly max: number;
  readonly backoffMs: number;
  readonly backoffMsMax: number;
  readonly factor: number;
  readonly jitter: number;
  readonly nonRetryable: ReadonlySet<string>;
}

export interface Argument {
  /** As a MessagePack string. */
  readonly name: Uint8Array;
  readonly source: number;
}

export interface StagePlan {
  readonly index: number;
  readonly name: string;
  readonly service: string;
  readonly method: string;
  /** One step per element of this; null: one step. */
  readonly forEach: { readonly source: number; readonly field: string | null } | null;
  /** The payload: one value as it is; a map of them; or nothing but the element. */
  readonly input: { readonly source: number } | { readonly arguments: readonly Argument[] } | null;
  /** Stages that must have succeeded before this one begins. */
  readonly after: readonly number[];
  readonly timeoutMs: number;
  readonly heartbeatTimeoutMs: number | null;
  readonly retries: RetryPlan;
  readonly concurrency: number;
  readonly join: JoinDefinition;
  readonly compensate: { readonly service: string; readonly method: string; readonly timeoutMs: number } | null;
}

export interface Plan {
  readonly name: string;
  readonly version: number;
  readonly runsInFlightMax: number;
  /** Null: a run may take as long as it takes. */
  readonly deadlineMs: number | null;
  readonly stages: readonly StagePlan[];
  readonly stageByName: ReadonlyMap<string, StagePlan>;
  /** Stages that no other takes its input from: the run's result is theirs. In order of the definition. */
  readonly leaves: readonly number[];
  /** With every default, as RUN `definition` shows it. */
  readonly definition: Required<Pick<WorkflowDefinition, 'name' | 'version' | 'runsInFlightMax'>> & WorkflowDefinition;
  /** Equal for two definitions that mean the same. */
  readonly canonical: Uint8Array;
}

export function planOf(definition: WorkflowDefinition, timeoutMsMax: number): Plan {
  const numbers = new Map(definition.stages.map(({ name }, index) => [name, index]));
  const stageDefinitions = definition.stages.map((stage) => withDefaults(stage, timeoutMsMax));
  const stages = stageDefinitions.map((stage, index) => planStage(stage, index, numbers));
  const depended = new Set(stages.flatMap(({ after }) => after));
  const complete = {
    name: definition.name,
    version: definition.version,
    runsInFlightMax: definition.runsInFlightMax ?? RUNS_IN_FLIGHT_MAX_DEFAULT,
    ...(definition.deadlineMs == null ? {} : { deadlineMs: definition.deadlineMs }),
    stages: stageDefinitions,
  };
  return {
    name: complete.name,
    version: complete.version,
    runsInFlightMax: complete.runsInFlightMax,
    deadlineMs: definition.deadlineMs ?? null,
    stages,
    stageByName: new Map(stages.map((stage) => [stage.name, stage])),
    leaves: stages.flatMap(({ index }) => (depended.has(index) ? [] : [index])),
    definition: complete,
    canonical: pack(complete),
  };
}

/** In one order of keys, without what is nil, so that equal meaning is equal bytes. */
function withDefaults(stage: StageDefinition, timeoutMsMax: number): StageDefinition {
  const { input, forEach, after, heartbeatTimeoutMs, compensate } = stage;
  const defaults = STAGE_DEFAULTS.retries;
  const retries = stage.retries ?? {};
  const timeoutMs = (given: number | null | undefined): number => given ?? Math.min(STAGE_DEFAULTS.timeoutMs, timeoutMsMax);
  return {
    name: stage.name,
    service: stage.service,
    method: stage.method,
    ...(input == null
      ? forEach == null
        ? { input: RUN_INPUT }
        : {}
      : { input: typeof input === 'string' ? input : sortedMap(input) }),
    ...(forEach == null
      ? {}
      : { forEach: typeof forEach === 'string' ? forEach : { stage: forEach.stage, field: forEach.field } }),
    ...(after == null || after.length === 0 ? {} : { after: [...new Set(after)].sort() }),
    timeoutMs: timeoutMs(stage.timeoutMs),
    ...(heartbeatTimeoutMs == null ? {} : { heartbeatTimeoutMs }),
    retries: {
      max: retries.max ?? defaults.max,
      backoffMs: retries.backoffMs ?? defaults.backoffMs,
      backoffMsMax: retries.backoffMsMax ?? defaults.backoffMsMax,
      factor: retries.factor ?? defaults.factor,
      jitter: retries.jitter ?? defaults.jitter,
      nonRetryable: [...new Set((retries.nonRetryable ?? []).map(String))].sort(),
    },
    ...(forEach == null ? {} : { concurrency: stage.concurrency ?? STAGE_DEFAULTS.concurrency, join: stage.join ?? 'all' }),
    ...(compensate == null
      ? {}
      : { compensate: { service: compensate.service, method: compensate.method, timeoutMs: timeoutMs(compensate.timeoutMs) } }),
  };
}

/** By code unit, whatever the machine's language. */
function sortedMap(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).sort(([left], [right]) => (left < right ? -1 : 1)));
}

function planStage(stage: StageDefinition, index: number, numbers: ReadonlyMap<string, number>): StagePlan {
  const sourceOf = (name: string): number => (name === RUN_INPUT ? FROM_INPUT : (numbers.get(name) as number));
  const { input, forEach, retries = {} } = stage;
  return {
    index,
    name: stage.name,
    service: stage.service,
    method: stage.method,
    forEach:
      forEach === undefined
        ? null
        : typeof forEach === 'string'
          ? { source: sourceOf(forEach), field: null }
          : { source: sourceOf(forEach.stage), field: forEach.field },
    input:
      input === undefined
        ? null
        : typeof input === 'string'
          ? { source: sourceOf(input) }
          : { arguments: Object.entries(input).map(([name, source]) => ({ name: textBytes(name), source: sourceOf(source) })) },
    after: sourcesOf(stage as unknown as Record<string, unknown>).map(sourceOf),
    timeoutMs: stage.timeoutMs as number,
    heartbeatTimeoutMs: stage.heartbeatTimeoutMs ?? null,
    retries: { ...(retries as Required<typeof retries>), nonRetryable: new Set(retries.nonRetryable as readonly string[]) },
    concurrency: stage.concurrency ?? 1,
    join: stage.join ?? 'all',
    compensate: (stage.compensate as Required<NonNullable<StageDefinition['compensate']>> | undefined) ?? null,
  };
}
