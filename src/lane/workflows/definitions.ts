/**
 * The definitions that a lane knows: those of the configuration whose names hash to it, and what DEFINE brought. By name and version, never changed.
 *
 * Thread: the lane's. A version that is there stays: its runs go on by it, and RUN `definition` shows it.
 */
import { assert } from '../../base/assert.ts';
import { RelayError } from '../../protocol/errors.ts';
import { parseDefinition, tellProblems, type WorkflowDefinition } from './definition.ts';
import { type Plan, planOf } from './plan.ts';
import type { WorkflowOptions } from './workflow-options.ts';

export class Definitions {
  readonly #options: WorkflowOptions;
  /** By name, by version. */
  readonly #plans = new Map<string, Map<number, Plan>>();
  readonly #newest = new Map<string, number>();
  #count = 0;

  constructor(options: WorkflowOptions, isMine: (name: string) => boolean) {
    this.#options = options;
    for (const definition of options.definitions)
      if (isMine(definition.name)) this.#add(planOf(definition, options.timeoutMsMax));
  }

  /** Names and versions. */
  get count(): number {
    return this.#count;
  }

  /** Newest version where `version` is 0. */
  find(name: string, version = 0): Plan | undefined {
    const versions = this.#plans.get(name);
    if (versions === undefined) return undefined;
    return versions.get(version === 0 ? (this.#newest.get(name) as number) : version);
  }

  get(name: string, version: number): Plan {
    const plan = this.find(name, version);
    if (plan !== undefined) return plan;
    const facts = { workflow: name, ...(version === 0 ? {} : { version }) };
    throw new RelayError('NOT_FOUND', this.#plans.has(name) ? 'no such version of the workflow' : 'no such workflow', facts);
  }

  /** Ascending. */
  versionsOf(name: string): number[] {
    return [...(this.#plans.get(name)?.keys() ?? [])].sort((left, right) => left - right);
  }

  /** `isNew` false: exactly this is defined already. */
  define(name: string, input: Readonly<Record<string, unknown>>): { readonly plan: Plan; readonly isNew: boolean } {
    const { timeoutMsMax, definitionsMax } = this.#options;
    const { definition, problems } = parseDefinition(input, { timeoutMsMax });
    if (definition === null) throw new RelayError('BAD_REQUEST', `bad definition: ${tellProblems(problems)}`);
    if (definition.name !== name)
      throw new RelayError('BAD_REQUEST', 'the definition has another name than the command', {
        workflow: name,
        name: definition.name,
      });
    const plan = planOf(definition, timeoutMsMax);
    const known = this.find(name, plan.version);
    if (known !== undefined) {
      if (isSame(known.canonical, plan.canonical)) return { plan: known, isNew: false };
      throw new RelayError('CONFLICT', 'the version is defined otherwise', { workflow: name, version: plan.version });
    }
    if (this.#count >= definitionsMax)
      throw new RelayError('LIMIT', 'no more definitions', { workflowDefinitionsMax: definitionsMax });
    this.#add(plan);
    return { plan, isNew: true };
  }

  /** From the journal. */
  restore(definition: WorkflowDefinition): void {
    const { timeoutMsMax } = this.#options;
    const { problems } = parseDefinition(definition, { timeoutMsMax });
    assert(problems.length === 0, `a definition in the journal is bad: ${tellProblems(problems)}`);
    this.#add(planOf(definition, timeoutMsMax));
  }

  #add(plan: Plan): void {
    let versions = this.#plans.get(plan.name);
    if (versions === undefined) {
      versions = new Map();
      this.#plans.set(plan.name, versions);
    }
    if (!versions.has(plan.version)) this.#count++;
    versions.set(plan.version, plan);
    this.#newest.set(plan.name, Math.max(plan.version, this.#newest.get(plan.name) ?? 0));
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
