/** Health: live (may go on running) and ready (may get traffic) are different questions. Thread: main. */
import { LanePool } from '../pool/lane-pool.ts';
import type { Relay } from './relay.ts';
import { auditHealth } from './relay-audit.ts';

export interface ComponentHealth {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface RelayHealth {
  readonly live: boolean;
  readonly ready: boolean;
  /** It has been ready once. */
  readonly started: boolean;
  readonly state: string;
  readonly components: readonly ComponentHealth[];
}

export function healthOf(relay: Relay, state: 'new' | 'ready' | 'draining' | 'stopped'): RelayHealth {
  const components: ComponentHealth[] = [
    { name: 'listener', ok: state === 'ready', detail: state === 'ready' ? `port ${relay.port}` : state },
    ...laneHealth(relay),
    ...ringHealth(relay),
    ...(relay.auth?.health() ?? []),
    loadHealth(relay),
    {
      name: 'journal',
      ok: true,
      detail: `${relay.front.journal.entryCount} entries, ${relay.front.journal.bytes} bytes, in memory`,
    },
    ...auditHealth(relay.audit),
  ];
  const ready = components.every((component) => component.ok);
  return { live: state !== 'stopped', ready, started: state !== 'new', state, components };
}

/** While it refuses new connections it should not be sent any. */
function loadHealth({ front }: Relay): ComponentHealth {
  const { level, delayMs, memoryBytes } = front.limits.load;
  const detail = `level ${level}, event loop ${Math.round(delayMs)} ms late, ${Math.round(memoryBytes / 1_048_576)} MiB resident`;
  return { name: 'load', ok: level === 0, detail };
}

/** A ring that is nearly full refuses what comes next: not the time for more traffic. */
const RING_SHARE_MAX = 0.9;

function ringHealth({ lanes, config }: Relay): ComponentHealth[] {
  if (!(lanes instanceof LanePool)) return [];
  return lanes.status().map(({ lane, ingressUsedBytes, backlogCount }) => ({
    name: `ring ${lane}`,
    ok: ingressUsedBytes <= RING_SHARE_MAX * config.ingressRingBytes && backlogCount === 0,
    detail: `${ingressUsedBytes} of ${config.ingressRingBytes} bytes to the lane, ${backlogCount} records wait for room`,
  }));
}

function laneHealth(relay: Relay): ComponentHealth[] {
  if (!(relay.lanes instanceof LanePool)) return [{ name: 'lane 0', ok: true, detail: 'inline' }];
  // Half of what gets a lane replaced: unready comes before the replacement.
  const silentMsMax = relay.config.laneStallMs / 2;
  return relay.lanes.status().map(({ lane, state, silentMs, restarts }) => ({
    name: `lane ${lane}`,
    ok: state === 'running' && silentMs <= silentMsMax,
    detail: `${state}, last heartbeat ${Math.round(silentMs)} ms ago, replaced ${restarts} times`,
  }));
}
