/** The limits that the front is told, from the settings and from what the process may have of memory. */
import { totalmem } from 'node:os';
import process from 'node:process';
import type { LimitOptions } from '../front/limits/limit-options.ts';
import type { RelayConfig } from './config-table.ts';

const MIB = 1_048_576;
/** `auto`: shares of the memory that the process may have. */
const SHED_MEMORY_SHARE = 0.85;
const SHED_MEMORY_HARD_SHARE = 0.93;
/** Told with what is refused because of the load: a level lasts for seconds. */
const SHED_RETRY_AFTER_MS = 2_000;

export function limitOptions(config: RelayConfig): LimitOptions {
  const { shedDelayMs, shedDelayHardMs, shedMemoryMb, shedMemoryHardMb } = config;
  return {
    rateLimits: config.rateLimits,
    refusalsMax: config.rateRefusalsMax,
    malformedMax: config.malformedMax,
    offencesWindowMs: config.offencesWindowMs,
    commandsPerTurnMax: config.commandsPerTurnMax,
    commandsPerTurnTotalMax: config.commandsPerTurnTotalMax,
    commandsWaitingBytesMax: config.commandsWaitingBytesMax,
    commandsWaitingBytesTotalMax: config.commandsWaitingBytesTotalMax,
    subjectSubscriptionsMax: config.subjectSubscriptionsMax,
    subjectConnectionsMax: config.subjectConnectionsMax,
    addressConnectionsMax: config.addressConnectionsMax,
    idlePeersMax: config.idlePeersMax,
    shedding: {
      delayMs: [orNever(shedDelayMs), orNever(shedDelayHardMs)],
      memoryBytes: [memoryBytes(shedMemoryMb, SHED_MEMORY_SHARE), memoryBytes(shedMemoryHardMb, SHED_MEMORY_HARD_SHARE)],
      delayLeavePercent: config.shedDelayLeavePercent,
      memoryLeavePercent: config.shedMemoryLeavePercent,
      leaveAfterMs: config.shedLeaveAfterMs,
      retryAfterMs: SHED_RETRY_AFTER_MS,
      calls: config.shedCalls,
    },
  };
}

function memoryBytes(setting: number | 'auto', share: number): number {
  return setting === 'auto' ? share * memoryBytesMax() : orNever(setting * MIB);
}

/** 0 of a setting: it is not looked at. */
function orNever(mark: number): number {
  return mark === 0 ? Number.POSITIVE_INFINITY : mark;
}

/** The cgroup's limit where there is one (without one Node says 0, or more than there is), else the machine's memory. */
function memoryBytesMax(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}
