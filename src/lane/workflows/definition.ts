/**
 * Workflow definitions as people write them, in the configuration or in a DEFINE: a DAG of stages, checked with all problems at once.
 *
 * Pure, and no trust in the input: it may be anything that JSON or MessagePack can hold. What runs is the plan made from it (plan.ts).
 */
import { checkNameText, NameKind, nameProblem } from '../../protocol/names.ts';
import { RUN_DEADLINE_MS_MAX, VERSION_MAX } from '../../protocol/workflow-options.ts';

/** The name by which stages refer to the run's input; no stage may have it. */
export const RUN_INPUT = 'input';
export const STAGES_MAX = 100;
/** Steps of one forEach stage: each has a state of its own in memory and in the journal. */
export const STEPS_PER_STAGE_MAX = 10_000;
const STAGE_REFERENCES_MAX = 100;
const ARGUMENTS_MAX = 32;
const NON_RETRYABLE_MAX = 64;
const METHOD_BYTES_MAX = 128;
/** `$workflow.<name>.<run>` must be a name too. */
const WORKFLOW_NAME_BYTES_MAX = 200;
const WORKFLOW_NAME_TOKENS_MAX = 14;
const BACKOFF_MS_MAX = 3_600_000;
const PROBLEMS_MAX = 1_000;
/** What is told of a definition that is wrong all over. */
const PROBLEMS_TOLD_MAX = 20;
const STAGE_NAME = /^[A-Za-z0-9_-]{1,64}$/;

export interface RetryDefinition {
  /** Attempts after the first. */
  readonly max?: number;
  readonly backoffMs?: number;
  readonly backoffMsMax?: number;
  readonly factor?: number;
  readonly jitter?: number;
  /** Names of wire codes, or codes of the service's own. */
  readonly nonRetryable?: readonly (string | number)[];
}

export type JoinDefinition = 'all' | { readonly quorum: number } | { readonly deadlineMs: number };

export interface StageDefinition {
  readonly name: string;
  readonly service: string;
  readonly method: string;
  readonly input?: string | Readonly<Record<string, string>>;
  readonly forEach?: string | { readonly stage: string; readonly field: string };
  readonly after?: readonly string[];
  readonly timeoutMs?: number;
  readonly retries?: RetryDefinition;
  readonly concurrency?: number;
  readonly join?: JoinDefinition;
  readonly heartbeatTimeoutMs?: number;
  readonly compensate?: { readonly service: string; readonly method: string; readonly timeoutMs?: number };
}

export interface WorkflowDefinition {
  readonly name: string;
  readonly version: number;
  readonly runsInFlightMax?: number;
  readonly deadlineMs?: number;
  readonly stages: readonly StageDefinition[];
}

/** Bounds that other settings draw. */
export interface DefinitionBounds {
  /** A step is a CALL, and asks for no more time than a CALL may. */
  readonly timeoutMsMax: number;
}

export const STAGE_DEFAULTS = {
  timeoutMs: 30_000,
  concurrency: 16,
  retries: { max: 3, backoffMs: 200, backoffMsMax: 30_000, factor: 2, jitter: 0.2 },
} as const;
export const RUNS_IN_FLIGHT_MAX_DEFAULT = 100;

/** Bounds as documented in docs/workflows.md. */
const BOUNDS = {
  version: [1, VERSION_MAX],
  runsInFlightMax: [1, 1_000_000],
  deadlineMs: [1, RUN_DEADLINE_MS_MAX],
  concurrency: [1, 1_000],
  quorum: [1, STEPS_PER_STAGE_MAX],
  retriesMax: [0, 100],
  backoffMs: [0, BACKOFF_MS_MAX],
  heartbeatTimeoutMsMin: 100,
} as const;

const DEFINITION_KEYS = ['name', 'version', 'runsInFlightMax', 'deadlineMs', 'stages'];
const STAGE_KEYS = [
  'name',
  'service',
  'method',
  'input',
  'forEach',
  'after',
  'timeoutMs',
  'retries',
  'concurrency',
  'join',
  'heartbeatTimeoutMs',
  'compensate',
];
const RETRY_KEYS = ['max', 'backoffMs', 'backoffMsMax', 'factor', 'jitter', 'nonRetryable'];

export type ParsedDefinition =
  | { readonly definition: WorkflowDefinition; readonly problems: readonly [] }
  | { readonly definition: null; readonly problems: readonly string[] };

/** `path` stands before what it names in the problems: 'workflows[2].' or ''. */
export function parseDefinition(input: unknown, bounds: DefinitionBounds, path = ''): ParsedDefinition {
  const check = new DefinitionCheck(bounds, path);
  check.definition(input);
  return check.problems.length === 0
    ? { definition: input as WorkflowDefinition, problems: [] }
    : { definition: null, problems: check.problems };
}

/** A list of them: every one by itself, and no version twice. */
export function parseDefinitions(input: readonly unknown[], bounds: DefinitionBounds, path: string): readonly string[] {
  const problems: string[] = [];
  const seen = new Map<string, number>();
  input.forEach((value, index) => {
    const { definition, problems: own } = parseDefinition(value, bounds, `${path}[${index}].`);
    problems.push(...own);
    if (definition === null) return;
    const id = `${definition.name} ${definition.version}`;
    const first = seen.get(id);
    if (first === undefined) seen.set(id, index);
    else problems.push(`${path}[${index}]: ${definition.name} version ${definition.version} stands at ${path}[${first}] already`);
  });
  return problems;
}

/** For one line of an answer: as many as a reader can use. */
export function tellProblems(problems: readonly string[]): string {
  const more = problems.length - PROBLEMS_TOLD_MAX;
  return `${problems.slice(0, PROBLEMS_TOLD_MAX).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

class DefinitionCheck {
  readonly problems: string[] = [];
  readonly #bounds: DefinitionBounds;
  readonly #path: string;

  constructor(bounds: DefinitionBounds, path: string) {
    this.#bounds = bounds;
    this.#path = path;
  }

  definition(input: unknown): void {
    if (!isMap(input)) return this.#problem('', `a definition must be a map, got ${describe(input)}`);
    this.#knownKeys('', input, DEFINITION_KEYS);
    this.#workflowName(input['name']);
    this.#integer('version', input['version'], ...BOUNDS.version);
    this.#optionalInteger('runsInFlightMax', input['runsInFlightMax'], ...BOUNDS.runsInFlightMax);
    this.#optionalInteger('deadlineMs', input['deadlineMs'], ...BOUNDS.deadlineMs);
    const stages = input['stages'];
    if (!Array.isArray(stages) || stages.length === 0 || stages.length > STAGES_MAX)
      return this.#problem('stages', `must be a list of 1 to ${STAGES_MAX} stages, got ${describe(stages)}`);
    this.#stages(stages);
  }

  #stages(stages: readonly unknown[]): void {
    const names = new Map<string, number>();
    for (const [index, stage] of stages.entries()) {
      const name = isMap(stage) ? stage['name'] : undefined;
      if (!isMap(stage)) this.#problem(`stages[${index}]`, `must be a map, got ${describe(stage)}`);
      else if (typeof name !== 'string' || !STAGE_NAME.test(name) || name === RUN_INPUT)
        this.#problem(
          `stages[${index}].name`,
          `must be 1 to 64 of A-Z a-z 0-9 _ - and not '${RUN_INPUT}', got ${describe(name)}`,
        );
      else if (names.has(name)) this.#problem(`stages[${index}].name`, `'${name}' is the name of stages[${names.get(name)}] too`);
      else names.set(name, index);
    }
    stages.forEach((stage, index) => {
      if (isMap(stage)) this.#stage(`stages[${index}]`, stage, names);
    });
    const circle = findCircle(stages, names);
    if (circle !== null) this.#problem('stages', `form a circle: ${circle.join(' -> ')}`);
  }

  #stage(at: string, stage: Record<string, unknown>, names: ReadonlyMap<string, number>): void {
    this.#knownKeys(at, stage, STAGE_KEYS);
    this.#service(`${at}.service`, stage['service']);
    this.#method(`${at}.method`, stage['method']);
    this.#forEach(`${at}.forEach`, stage['forEach'], names);
    this.#input(`${at}.input`, stage['input'], isGiven(stage['forEach']), names);
    const { after } = stage;
    if (isGiven(after)) {
      if (!Array.isArray(after) || after.length > STAGE_REFERENCES_MAX)
        this.#problem(`${at}.after`, `must be a list of at most ${STAGE_REFERENCES_MAX} stages, got ${describe(after)}`);
      else
        after.forEach((name, index) => {
          if (typeof name !== 'string' || !names.has(name))
            this.#problem(`${at}.after[${index}]`, `must be the name of a stage, got ${describe(name)}`);
        });
    }
    this.#optionalInteger(`${at}.timeoutMs`, stage['timeoutMs'], 1, this.#bounds.timeoutMsMax);
    this.#optionalInteger(
      `${at}.heartbeatTimeoutMs`,
      stage['heartbeatTimeoutMs'],
      BOUNDS.heartbeatTimeoutMsMin,
      this.#bounds.timeoutMsMax,
    );
    if (isGiven(stage['retries'])) this.#retries(`${at}.retries`, stage['retries']);
    this.#optionalInteger(`${at}.concurrency`, stage['concurrency'], ...BOUNDS.concurrency);
    if (isGiven(stage['concurrency']) && !isGiven(stage['forEach']))
      this.#problem(`${at}.concurrency`, 'needs forEach: one step has none');
    if (isGiven(stage['join'])) this.#join(`${at}.join`, stage['join'], isGiven(stage['forEach']));
    if (isGiven(stage['compensate'])) this.#compensate(`${at}.compensate`, stage['compensate']);
  }

  #forEach(at: string, forEach: unknown, names: ReadonlyMap<string, number>): void {
    if (!isGiven(forEach)) return;
    if (!isMap(forEach)) return this.#source(at, forEach, names);
    this.#knownKeys(at, forEach, ['stage', 'field']);
    this.#source(`${at}.stage`, forEach['stage'], names);
    this.#text(`${at}.field`, forEach['field'], 255);
  }

  #input(at: string, input: unknown, hasForEach: boolean, names: ReadonlyMap<string, number>): void {
    if (!isGiven(input)) return;
    if (!isMap(input)) {
      if (hasForEach) this.#problem(at, `must be a map of further arguments where there is a forEach, got ${describe(input)}`);
      else this.#source(at, input, names);
      return;
    }
    const entries = Object.entries(input);
    if (entries.length === 0 || entries.length > ARGUMENTS_MAX)
      this.#problem(at, `must have 1 to ${ARGUMENTS_MAX} arguments, got ${entries.length}`);
    for (const [name, source] of entries.slice(0, ARGUMENTS_MAX)) {
      if (name.length === 0 || utf8Bytes(name) > 64)
        this.#problem(at, `has an argument whose name is not 1 to 64 bytes: ${describe(name)}`);
      else if (hasForEach && (name === 'item' || name === 'index'))
        this.#problem(`${at}.${name}`, 'is what forEach itself calls an argument');
      else this.#source(`${at}.${name}`, source, names);
    }
  }

  #retries(at: string, retries: unknown): void {
    if (!isMap(retries)) return this.#problem(at, `must be a map, got ${describe(retries)}`);
    this.#knownKeys(at, retries, RETRY_KEYS);
    this.#optionalInteger(`${at}.max`, retries['max'], ...BOUNDS.retriesMax);
    this.#optionalInteger(`${at}.backoffMs`, retries['backoffMs'], ...BOUNDS.backoffMs);
    this.#optionalInteger(`${at}.backoffMsMax`, retries['backoffMsMax'], ...BOUNDS.backoffMs);
    this.#optionalNumber(`${at}.factor`, retries['factor'], 1, 10);
    this.#optionalNumber(`${at}.jitter`, retries['jitter'], 0, 1);
    const {
      backoffMs = STAGE_DEFAULTS.retries.backoffMs,
      backoffMsMax = STAGE_DEFAULTS.retries.backoffMsMax,
      nonRetryable,
    } = retries;
    if (typeof backoffMs === 'number' && typeof backoffMsMax === 'number' && backoffMs > backoffMsMax)
      this.#problem(`${at}.backoffMsMax`, `must be at least backoffMs; got ${backoffMsMax}, backoffMs=${backoffMs}`);
    if (!isGiven(nonRetryable)) return;
    if (!Array.isArray(nonRetryable) || nonRetryable.length > NON_RETRYABLE_MAX)
      return this.#problem(
        `${at}.nonRetryable`,
        `must be a list of at most ${NON_RETRYABLE_MAX} codes, got ${describe(nonRetryable)}`,
      );
    nonRetryable.forEach((code, index) => {
      if (!Number.isSafeInteger(code)) this.#text(`${at}.nonRetryable[${index}]`, code, 128);
    });
  }

  #join(at: string, join: unknown, hasForEach: boolean): void {
    if (join === 'all') return;
    if (!isMap(join)) return this.#problem(at, `must be 'all', {quorum} or {deadlineMs}, got ${describe(join)}`);
    if (!hasForEach) this.#problem(at, 'needs forEach: one step has nothing to join');
    this.#knownKeys(at, join, ['quorum', 'deadlineMs']);
    const { quorum, deadlineMs } = join;
    if (isGiven(quorum) === isGiven(deadlineMs)) return this.#problem(at, 'must have either quorum or deadlineMs');
    this.#optionalInteger(`${at}.quorum`, quorum, ...BOUNDS.quorum);
    this.#optionalInteger(`${at}.deadlineMs`, deadlineMs, ...BOUNDS.deadlineMs);
  }

  #compensate(at: string, compensate: unknown): void {
    if (!isMap(compensate)) return this.#problem(at, `must be a map {service, method, timeoutMs?}, got ${describe(compensate)}`);
    this.#knownKeys(at, compensate, ['service', 'method', 'timeoutMs']);
    this.#service(`${at}.service`, compensate['service']);
    this.#method(`${at}.method`, compensate['method']);
    this.#optionalInteger(`${at}.timeoutMs`, compensate['timeoutMs'], 1, this.#bounds.timeoutMsMax);
  }

  #workflowName(name: unknown): void {
    if (typeof name !== 'string') return this.#problem('name', `must be the workflow's name, got ${describe(name)}`);
    const kind = checkNameText(name);
    if (kind === NameKind.INVALID) this.#problem('name', `${describe(name)}: ${nameProblem()}`);
    else if (kind === NameKind.PATTERN) this.#problem('name', `must be a name, not a pattern, got ${describe(name)}`);
    else if (name.startsWith('$')) this.#problem('name', "must not begin with '$': such names belong to the relay");
    else if (utf8Bytes(name) > WORKFLOW_NAME_BYTES_MAX || name.split('.').length > WORKFLOW_NAME_TOKENS_MAX)
      this.#problem(
        'name',
        `must have at most ${WORKFLOW_NAME_BYTES_MAX} bytes and ${WORKFLOW_NAME_TOKENS_MAX} tokens: its runs' topics have longer names`,
      );
  }

  #service(at: string, service: unknown): void {
    if (typeof service !== 'string' || checkNameText(service) !== NameKind.EXACT || service.startsWith('$'))
      this.#problem(at, `must be the name of a service, got ${describe(service)}`);
  }

  #method(at: string, method: unknown): void {
    this.#text(at, method, METHOD_BYTES_MAX);
  }

  #source(at: string, source: unknown, names: ReadonlyMap<string, number>): void {
    if (typeof source !== 'string' || (source !== RUN_INPUT && !names.has(source)))
      this.#problem(at, `must be '${RUN_INPUT}' or the name of a stage, got ${describe(source)}`);
  }

  #text(at: string, value: unknown, bytesMax: number): void {
    if (typeof value !== 'string' || value.length === 0 || utf8Bytes(value) > bytesMax)
      this.#problem(at, `must be a string of 1 to ${bytesMax} bytes, got ${describe(value)}`);
  }

  #integer(at: string, value: unknown, min: number, max: number): void {
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
      this.#problem(at, `must be an integer in [${min}, ${max}], got ${describe(value)}`);
  }

  #optionalInteger(at: string, value: unknown, min: number, max: number): void {
    if (isGiven(value)) this.#integer(at, value, min, max);
  }

  #optionalNumber(at: string, value: unknown, min: number, max: number): void {
    if (isGiven(value) && !(typeof value === 'number' && value >= min && value <= max))
      this.#problem(at, `must be a number in [${min}, ${max}], got ${describe(value)}`);
  }

  #knownKeys(at: string, map: Record<string, unknown>, known: readonly string[]): void {
    for (const key of Object.keys(map))
      if (!known.includes(key))
        this.#problem(at === '' ? short(key) : `${at}.${short(key)}`, `is no key; known: ${known.join(', ')}`);
  }

  #problem(at: string, text: string): void {
    // Somebody who means harm may send a map of nothing but mistakes.
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${this.#path}${at}${at === '' ? '' : ' '}${text}`);
  }
}

/** Stages that a stage waits for, as far as they are names of stages: by what it takes from them, and by `after`. */
export function sourcesOf(stage: Readonly<Record<string, unknown>>): string[] {
  const { input, forEach, after } = stage;
  const sources = [
    isMap(forEach) ? forEach['stage'] : forEach,
    ...(isMap(input) ? Object.values(input) : [input]),
    ...(Array.isArray(after) ? after : []),
  ];
  return [...new Set(sources.filter((name): name is string => typeof name === 'string' && name !== RUN_INPUT))];
}

/** One circle, as names, its first stage again at its end; null if there is none. */
function findCircle(stages: readonly unknown[], names: ReadonlyMap<string, number>): string[] | null {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (name: string): string[] | null => {
    if (done.has(name)) return null;
    const start = path.indexOf(name);
    if (start >= 0) return [...path.slice(start), name];
    path.push(name);
    for (const source of sourcesOf(stages[names.get(name) as number] as Record<string, unknown>)) {
      if (!names.has(source)) continue;
      const circle = visit(source);
      if (circle !== null) return circle;
    }
    path.pop();
    done.add(name);
    return null;
  };
  for (const name of names.keys()) {
    const circle = visit(name);
    if (circle !== null) return circle;
  }
  return null;
}

/** Not a list, bytes or a time, which are objects too. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function utf8Bytes(value: string): number {
  return new TextEncoder().encode(value).length;
}

function short(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

/** What was given, short, and on one line. Lists and maps are only named: they may hold anything, in any number. */
function describe(value: unknown): string {
  if (typeof value === 'string') return `'${short(value)}'`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'a map';
  return String(value);
}
