/**
 * Workflow definitions: a DAG of stages, parsed and checked with all problems at once.
 */

export interface WorkflowDefinition {
  readonly name: string;
  readonly version: number;
}
