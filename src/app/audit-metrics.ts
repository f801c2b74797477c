/** The metrics of the audit log, read from where they are counted. Thread: main; at scrape only. There without one too, as zeros. */
import { type AuditLog, AuditMetrics } from '../audit/audit-log.ts';
import type { MetricReading } from '../telemetry/exposition.ts';

const NOTHING = new AuditMetrics();

export function auditReadings(audit: AuditLog | null): MetricReading[] {
  const { linesWritten, linesLost, eventsCollapsed, writeFailures, filesRotated } = audit?.metrics ?? NOTHING;
  const reading = (name: string, type: 'counter' | 'gauge', help: string, value: number): MetricReading => ({
    name,
    type,
    help,
    values: [{ value }],
  });
  return [
    reading('relay_audit_lines_total', 'counter', 'Lines of the audit log written', linesWritten),
    reading('relay_audit_lines_lost_total', 'counter', 'Lines of the audit log that were lost; a later line says so', linesLost),
    reading(
      'relay_audit_events_collapsed_total',
      'counter',
      'Events that share a line of the audit log with their like',
      eventsCollapsed,
    ),
    reading('relay_audit_write_failures_total', 'counter', 'Attempts to write the audit log that failed', writeFailures),
    reading('relay_audit_files_rotated_total', 'counter', 'Files of the audit log that were left for a new one', filesRotated),
    reading('relay_audit_queue_lines', 'gauge', 'Lines that wait to be written to the audit log', audit?.queuedLines ?? 0),
    reading('relay_audit_blocked', 'gauge', '1 while nobody new may come in for want of an audit log', audit?.isBlocked ? 1 : 0),
  ];
}
