/** Runs as RUN shows them: maps with wire-ready numbers. docs/protocol.md documents the shapes. */
import type { LiveRun } from './live-run.ts';
import type { StagePlan } from './plan.ts';
import type { Run, StageRun, StepState } from './run.ts';

/** BigInt: an integer on the wire, not a float. */
const ms = (atMs: number): bigint => BigInt(atMs);

/** One line of a list. */
export function runSummary({ run }: LiveRun): Record<string, unknown> {
  return {
    workflow: run.plan.name,
    run: run.run,
    version: run.plan.version,
    state: run.state.name,
    ...(run.key === null ? {} : { key: run.key }),
    startedAtMs: ms(run.startedAtMs),
    ...endOf(run),
  };
}

/** Everything but payloads. */
export function runStatus(live: LiveRun): Record<string, unknown> {
  const { run, topic } = live;
  return {
    ...runSummary(live),
    topic,
    epoch: run.epoch,
    offset: run.sequence,
    ...(run.deadlineMs === null ? {} : { deadlineAtMs: ms(run.deadlineAtMs) }),
    bytes: run.bytes,
    lateResults: run.lateResults,
    compensationsFailed: run.compensationsFailed,
    stages: run.plan.stages.map((plan) => stageStatus(plan, run.stage(plan.index))),
  };
}

function endOf({ state }: Run): Record<string, unknown> {
  switch (state.name) {
    case 'running':
    case 'paused':
      return {};
    case 'cancelling':
    case 'compensating':
      return state.end;
    case 'succeeded':
      return { endedAtMs: ms(state.endedAtMs), resultBytes: state.resultBytes };
    case 'failed':
      return { endedAtMs: ms(state.endedAtMs), reason: state.reason, ...(state.stage === null ? {} : { stage: state.stage }) };
    case 'cancelled':
      return { endedAtMs: ms(state.endedAtMs) };
    default:
      return state satisfies never;
  }
}

function stageStatus({ name }: StagePlan, stage: StageRun): Record<string, unknown> {
  const counts: Record<StepState['name'], number> = {
    waiting: 0,
    inFlight: 0,
    backingOff: 0,
    succeeded: 0,
    failed: 0,
    leftOut: 0,
  };
  for (const { state } of stage.steps) counts[state.name]++;
  return {
    stage: name,
    state: stage.state,
    steps: stage.steps.length,
    ...counts,
    ...(stage.reason === null ? {} : { reason: stage.reason }),
  };
}
