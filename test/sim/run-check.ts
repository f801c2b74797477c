/** What must hold of the events of any run (docs/workflows.md, docs/protocol.md), whatever died meanwhile. */
import type { StageDefinition } from '../../src/lane/workflows/definition.ts';

export interface RunEventSeen {
  readonly kind: string;
  readonly atMs: number;
  readonly stage?: string;
  readonly index?: number;
  readonly attempt?: number;
  readonly reason?: { readonly code?: string };
  readonly result?: unknown;
}

/** What workers know of the attempts: each was given to them at most once. */
export interface AttemptsSeen {
  /** Given to an instance. */
  readonly invoked: ReadonlySet<string>;
  /** Some instance has returned a result for it. */
  readonly returned: ReadonlySet<string>;
}

export interface CheckedRun {
  readonly hasEnded: boolean;
  readonly end: string | null;
  readonly deadLetters: number;
}

export function stepKey(run: string, stage: string, index: number | string, isUndo: boolean): string {
  return `${run} ${isUndo ? 'undo ' : ''}${stage}[${index}]`;
}

/** All events of one run, from the first. */
export function checkRun(
  run: string,
  events: readonly RunEventSeen[],
  stages: readonly StageDefinition[],
  seen: AttemptsSeen,
  fail: (what: string) => never,
): CheckedRun {
  /** Attempts that count, by step: of those whose results a run is made of. */
  const accepted = new Map<string, number>();
  const attempts = new Map<string, number>();
  const issued = new Set<string>();
  const undone = new Set<string>();
  let end: string | null = null;
  let deadLetters = 0;
  let ends = 0;
  let atMs = 0;
  if (events[0]?.kind !== 'started') fail(`run ${run} begins with ${events[0]?.kind}`);
  events.forEach((event, at) => {
    const { kind, stage = '', index = 0, attempt = 0 } = event;
    const isUndo = kind.startsWith('comp');
    const step = stepKey(run, stage, index, isUndo);
    const where = `event ${at + 1} of run ${run}, ${kind} of ${step} attempt ${attempt}`;
    if (at > 0 && kind === 'started') fail(`${where}: a second time`);
    if (event.atMs < atMs) fail(`${where}: time goes back`);
    atMs = event.atMs;
    if (end !== null && kind !== 'lateResult' && kind !== 'deadLettered' && kind !== 'retried')
      fail(`${where}: after it was ${end}`);
    switch (kind) {
      case 'stepStarted':
      case 'compensationStarted':
        if (accepted.has(step)) fail(`${where}: it has succeeded already`);
        if (attempt <= (attempts.get(step) ?? 0)) fail(`${where}: after attempt ${attempts.get(step)}`);
        attempts.set(step, attempt);
        issued.add(`${step} ${attempt}`);
        return;
      case 'stepSucceeded':
      case 'compensated':
        if (accepted.has(step)) fail(`${where}: accepted twice`);
        if (attempt !== attempts.get(step)) fail(`${where}: its last attempt is ${attempts.get(step)}`);
        if (!seen.returned.has(`${step} ${attempt}`)) fail(`${where}: nobody has returned that`);
        accepted.set(step, attempt);
        if (kind === 'compensated') undone.add(stage);
        return;
      case 'succeeded':
      case 'failed':
      case 'cancelled':
        end = kind;
        ends++;
        if (kind === 'failed' && !event.reason?.code) fail(`${where}: without a reason`);
        if (kind === 'succeeded' && 'result' in event) checkResult(run, event.result, accepted, fail);
        return;
      case 'deadLettered':
        if (++deadLetters > ends) fail(`${where}: ${deadLetters} letters for ${ends} ends`);
        return;
      case 'retried':
        if (end !== 'failed') fail(`${where}: it was ${end}`);
        end = null;
        for (const known of [...accepted.keys()]) {
          const name = known
            .slice(run.length + 1)
            .replace(/^undo /, '')
            .replace(/\[.*/, '');
          const isGone = undone.size > 0 && (undone.has(name) || comesAfter(stages, name, undone));
          if (isGone || known.startsWith(`${run} undo `)) accepted.delete(known);
        }
        undone.clear();
        return;
      default:
    }
  });
  for (const attempt of seen.invoked)
    if (attempt.startsWith(`${run} `) && !issued.has(attempt))
      fail(`an instance was given ${attempt}, of which the run tells nothing`);
  return { hasEnded: end !== null, end, deadLetters };
}

/** Every part of a result says which attempt made it: the one that was accepted. */
function checkResult(run: string, value: unknown, accepted: ReadonlyMap<string, number>, fail: (what: string) => never): void {
  if (typeof value !== 'object' || value === null) return;
  const { stage, index, attempt } = value as { stage?: string; index?: string; attempt?: string };
  if (stage !== undefined && attempt !== undefined) {
    const due = accepted.get(stepKey(run, stage, index ?? '0', false));
    if (Number(attempt) !== due)
      fail(`the result of run ${run} has attempt ${attempt} of ${stage}[${index}], accepted was ${due}`);
  }
  for (const part of Object.values(value)) checkResult(run, part, accepted, fail);
}

/** Does a stage take anything, however far, from one of these? */
function comesAfter(stages: readonly StageDefinition[], name: string, sources: ReadonlySet<string>): boolean {
  const stage = stages.find((candidate) => candidate.name === name);
  return stage !== undefined && takenFrom(stage).some((source) => sources.has(source) || comesAfter(stages, source, sources));
}

function takenFrom({ input, forEach, after = [] }: StageDefinition): string[] {
  const inputs = input === undefined ? [] : typeof input === 'string' ? [input] : Object.values(input);
  const lists = forEach === undefined ? [] : [typeof forEach === 'string' ? forEach : forEach.stage];
  return [...inputs, ...lists, ...after];
}
