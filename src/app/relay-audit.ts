/**
 * The relay's audit log: made from the configuration, fed by lanes and front, asked by admission and health.
 *
 * Thread: main.
 */
import process from 'node:process';
import { AuditFile } from '../audit/audit-file.ts';
import { AuditLog, type AuditNotice } from '../audit/audit-log.ts';
import { cleanFact } from '../audit/facts.ts';
import { sha256 } from '../audit/line.ts';
import type { RelayClock } from '../base/clock.ts';
import type { LaneEvent } from '../pool/lane-pool.ts';
import { CENSOR } from '../telemetry/log.ts';
import { type RelayConfig, SETTING_NAMES, SETTINGS, type SettingName } from './config-table.ts';
import type { ComponentHealth } from './health.ts';

export type ConfigOrigins = ReadonlyMap<SettingName, string>;

/** Null: none is wanted. */
export function createAuditLog(config: RelayConfig, clock: RelayClock, notice: AuditNotice = () => {}): AuditLog | null {
  if (config.auditLogFile === '') return null;
  const options = {
    onFailure: config.auditOnFailure,
    queueLinesMax: config.auditQueueLinesMax,
    fileBytesMax: config.auditFileBytesMax,
    filesMax: config.auditFilesMax,
    syncMs: config.auditSyncMs,
  };
  return new AuditLog(options, new AuditFile(config.auditLogFile), clock, notice);
}

export function recordStart(audit: AuditLog, version: string, config: RelayConfig, origins: ConfigOrigins): void {
  audit.record({ kind: 'started', version, node: process.version, process: process.pid });
  audit.record({ kind: 'configured', settings: configurationFacts(config, origins) });
}

export function recordLane(audit: AuditLog, event: LaneEvent): void {
  if (event.kind === 'lost') audit.record({ kind: 'laneLost', lane: event.lane, cause: event.cause });
  else audit.record({ kind: 'laneReplaced', lane: event.lane, afterMs: Math.round(event.afterMs) });
}

// ---- configuration

/** Of one setting, encoded. What is longer is known by its hash. */
const VALUE_CHARACTERS_MAX = 4_096;
/** By the name of a setting, should its author have forgotten to mark it. Files and numbers are no secrets. */
const SECRET_NAME = /secret|password|passphrase|credential|token|keys?$/i;
const NO_SECRET_NAME = /File$/;

/** `{port: {value, from}, …}`: `from` is a flag, a variable, a key of the file, or `default`. */
export function configurationFacts(
  config: RelayConfig,
  origins: ConfigOrigins,
): Record<string, { readonly value: unknown; readonly from: string }> {
  return Object.fromEntries(
    SETTING_NAMES.map((name) => [name, { value: settingFact(name, config[name]), from: origins.get(name) ?? 'default' }]),
  );
}

export function settingFact(name: string, value: unknown): unknown {
  const isEmpty = value === '' || value === null || (Array.isArray(value) && value.length === 0);
  if (typeof value === 'number' || typeof value === 'boolean' || isEmpty) return value;
  if (isSecret(name)) return CENSOR;
  const clean = cleanFact('', value);
  const encoded = JSON.stringify(clean);
  return encoded.length <= VALUE_CHARACTERS_MAX ? clean : { characters: encoded.length, sha256: sha256(encoded) };
}

function isSecret(name: string): boolean {
  const setting: object = Object.hasOwn(SETTINGS, name) ? SETTINGS[name as SettingName] : {};
  if ('secret' in setting && setting.secret === true) return true;
  return SECRET_NAME.test(name) && !NO_SECRET_NAME.test(name);
}

// ---- health

export function auditHealth(audit: AuditLog | null): ComponentHealth[] {
  if (audit === null) return [];
  const { trouble, end } = audit;
  return [{ name: 'audit log', ok: !audit.isBlocked, detail: trouble ?? `${end.seq} lines in the chain` }];
}
