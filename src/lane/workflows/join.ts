/** When a stage is over: by all of its steps, by enough of them, or by the clock. */
import type { StagePlan } from './plan.ts';
import type { StageRun } from './run.ts';
import type { Reason } from './run-event.ts';

/** A Reason: it has failed. */
export type Verdict = 'goesOn' | 'succeeded' | Reason;

/** Pure: the same state at the same time is judged alike, before and after a lane's death. */
export function judgeStage({ join }: StagePlan, stage: StageRun, nowMs: number): Verdict {
  const { steps, succeeded, failed, startedAtMs } = stage;
  const count = steps.length;
  const left = count - succeeded - failed;
  if (join === 'all') {
    if (failed > 0) return firstFailure(stage);
    return left === 0 ? 'succeeded' : 'goesOn';
  }
  if ('quorum' in join) {
    if (succeeded >= join.quorum) return 'succeeded';
    if (succeeded + left >= join.quorum) return 'goesOn';
    const text = `the quorum cannot be reached: quorum=${join.quorum}, steps=${count}, failed=${failed}`;
    return { code: failed === 0 ? 'BAD_REQUEST' : firstFailure(stage).code, text };
  }
  if (left > 0 && nowMs < startedAtMs + join.deadlineMs) return 'goesOn';
  if (succeeded > 0 || count === 0) return 'succeeded';
  if (left === 0) return firstFailure(stage);
  return { code: 'TIMEOUT', text: `no step in time: deadlineMs=${join.deadlineMs}, steps=${count}` };
}

/** Of the lowest index: the same one whenever it is asked for. */
function firstFailure({ steps }: StageRun): Reason {
  for (const { state } of steps) if (state.name === 'failed') return state.reason;
  return { code: 'INTERNAL', text: 'no step has failed' };
}
