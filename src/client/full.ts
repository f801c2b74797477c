/**
 * The SDK with services and workflows: all of index.ts, and a `createClient` whose clients also call, serve and run workflows.
 */

export { type CallOptions, CallStream, type StreamOptions } from './calls.ts';
export { createClient, FullClient } from './full-client.ts';
export * from './index.ts';
export type { Service, ServiceHealth, ServiceOptions, ServiceState, StopOptions } from './service.ts';
export { type CallContext, ServiceError, type ServiceHandler, type ServiceHandlers } from './service-call.ts';
export type { InstanceInfo, ServiceInfo } from './services.ts';
export type {
  GapEvent,
  RunEnd,
  RunEvent,
  RunReason,
  RunState,
  RunStatus,
  RunSummary,
  StageDefinition,
  StageStatus,
  WorkflowDefinition,
} from './workflow-types.ts';
export type { Defined, Run, StartOptions, Workflow } from './workflows.ts';
