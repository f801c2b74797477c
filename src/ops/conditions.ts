/**
 * What an operator should be told about a state, worst first: one judgement for the ops page and `relay top`.
 *
 * The relay's own health components decide what is wrong; here it only gets its words.
 */
import type { LaneState, OpsState } from './ops-state.ts';
import { percentText } from './words.ts';

export type Severity = 'bad' | 'warn';

export interface Condition {
  /** Stays the same while the condition lasts, whatever its figures do: what a screen reader is told once. */
  readonly key: string;
  readonly severity: Severity;
  readonly text: string;
}

export type LaneCondition = 'running' | 'silent' | 'stalled' | 'replacing';

/** Ten heartbeats missed: no reason to take it out of traffic yet, but worth a look. */
const LANE_SILENT_MS = 1_000;
/** Of a ring's bytes. Above it a burst may be answered OVERLOADED. */
const RING_FULL_SHARE = 0.8;

export function laneCondition(state: OpsState, lane: LaneState): LaneCondition {
  if (lane.state === 'replacing') return 'replacing';
  const health = state.health.components.find(({ name }) => name === `lane ${lane.lane}`);
  if (health !== undefined && !health.ok) return 'stalled';
  return lane.silentMs > LANE_SILENT_MS ? 'silent' : 'running';
}

export function conditionsOf(state: OpsState): Condition[] {
  const conditions: Condition[] = [];
  if (state.state === 'draining')
    conditions.push({ key: 'draining', severity: 'warn', text: 'Draining: clients are being sent elsewhere' });
  for (const lane of state.lanes) conditions.push(...laneConditions(state, lane));
  for (const { name, ok, detail } of state.health.components) {
    // Lanes have been told about; while draining the listener is meant to be closed.
    if (ok || /^lane \d+$/.test(name) || (name === 'listener' && state.state === 'draining')) continue;
    conditions.push({ key: `component ${name}`, severity: 'bad', text: `${name} is not well: ${detail}` });
  }
  for (const { service, failing, instances } of state.services) {
    if (failing > 0 && failing === instances)
      conditions.push({ key: `service ${service}`, severity: 'bad', text: `Service ${service}: every instance is failing` });
  }
  return conditions.sort((a, b) => Number(a.severity === 'warn') - Number(b.severity === 'warn'));
}

function laneConditions(state: OpsState, lane: LaneState): Condition[] {
  const name = `Lane ${lane.lane}`;
  const silence = `no heartbeat for ${(lane.silentMs / 1_000).toFixed(1)} s`;
  switch (laneCondition(state, lane)) {
    case 'replacing':
      return [{ key: `${name} replacing`, severity: 'bad', text: `${name} has died and is being replaced` }];
    case 'stalled':
      return [{ key: `${name} stalled`, severity: 'bad', text: `${name} is stalled: ${silence}` }];
    case 'silent':
      return [{ key: `${name} silent`, severity: 'warn', text: `${name} is silent: ${silence}` }];
    case 'running': {
      const share = Math.max(lane.ingressUsedBytes / lane.ingressBytes, lane.egressUsedBytes / lane.egressBytes);
      return share < RING_FULL_SHARE
        ? []
        : [{ key: `${name} full`, severity: 'warn', text: `${name}: its rings are ${percentText(share)} full` }];
    }
  }
}
