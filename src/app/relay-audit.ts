/**
 * The relay's audit log: made from the configuration, fed by lanes and front, asked by admission and health.
 *
 * Thread: main.
 */
import process from 'node:process';
import { AuditFile } from '../audit/audit-file.ts';
import { AuditLog, AuditMetrics, type AuditNotice } from '../audit/audit-log.ts';
import { CENSOR, cleanFact } from '../audit/facts.ts';
import { sha256 } from '../audit/line.ts';
import type { RelayClock } from '../base/clock.ts';
import type { LaneEvent } from '../pool/lane-pool.ts';
import type { MetricReading } from '../telemetry/exposition.ts';
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

// ---- what is seen of it

export function auditHealth(audit: AuditLog | null): ComponentHealth[] {
  if (audit === null) return [];
  const { trouble, end } = audit;
  return [{ name: 'audit log', ok: !audit.isBlocked, detail: trouble ?? `${end.seq} lines in the chain` }];
}

const NO_AUDIT = new AuditMetrics();

export function auditReadings(audit: AuditLog | null): MetricReading[] {
  const { linesWritten, linesLost, eventsCollapsed, writeFailures, filesRotated } = audit?.metrics ?? NO_AUDIT;
  const reading = (name: string, type: 'counter' | 'gauge', help: string, value: number): MetricReading => ({
    name: `relay_audit_${name}`,
    type,
    help,
    values: [{ value }],
  });
  return [
    reading('lines_total', 'counter', 'Lines of the audit log written', linesWritten),
    reading('lines_lost_total', 'counter', 'Lines of the audit log that were lost; a later line says so', linesLost),
    reading('events_collapsed_total', 'counter', 'Events that share a line of the audit log with their like', eventsCollapsed),
    reading('write_failures_total', 'counter', 'Attempts to write the audit log that failed', writeFailures),
    reading('files_rotated_total', 'counter', 'Files of the audit log that were left for a new one', filesRotated),
    reading('queue_lines', 'gauge', 'Lines that wait to be written to the audit log', audit?.queuedLines ?? 0),
    reading('blocked', 'gauge', '1 while nobody new may come in for want of an audit log', audit?.isBlocked ? 1 : 0),
  ];
}
