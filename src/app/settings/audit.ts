/** Settings of audit. Part of the table in ../config-table.ts, which see. */
import { ON_FAILURE_WORDS } from '../../audit/audit-log.ts';
import { integer, path, type Setting, word } from '../setting.ts';

const AUDIT = 'Audit log';

export const AUDIT_SETTINGS = {
  auditLogFile: path('', {
    group: AUDIT,
    what: 'A file for the audit log ([audit](audit.md)): who connected, who was refused what, what operators did, one line each, chained by hashes. `-` is the standard output. Empty: none.',
    atBound:
      'If it cannot be opened or is no audit log, the relay does not start. If it cannot be written later: `auditOnFailure`.',
    metrics: ['relay_audit_lines_total', 'relay_audit_write_failures_total'],
  }),
  auditOnFailure: word('block', ON_FAILURE_WORDS, {
    group: AUDIT,
    what: 'While the audit log cannot be written (a full disk), or its queue is full: `block` refuses new connections, HTTP requests and operators’ actions, and readiness is off; who is connected goes on. `count` goes on, and the first line that can be written again says how many are lost.',
    metrics: ['relay_audit_blocked', 'relay_connections_refused_audit_total', 'relay_audit_lines_lost_total'],
  }),
  auditQueueLinesMax: integer(10_000, [100, 1_000_000], {
    group: AUDIT,
    what: 'Lines that wait to be written, at some 300 bytes of memory each.',
    atBound:
      '`auditOnFailure`. With `block` as many lines again are kept for those who are connected already; what is over that is lost and counted.',
    metrics: ['relay_audit_queue_lines', 'relay_audit_lines_lost_total'],
  }),
  auditFileBytesMax: integer(67_108_864, [65_536, 1_099_511_627_776], {
    orZero: true,
    group: AUDIT,
    what: 'Size of one file. 0: the relay does not rotate.',
    atBound: 'The file gets the number of its first line behind its name, and a new one goes on from its last hash.',
    metrics: ['relay_audit_files_rotated_total'],
  }),
  auditFilesMax: integer(0, [0, 100_000], {
    group: AUDIT,
    what: 'Rotated files that are kept. 0 keeps all.',
    atBound: 'The oldest is deleted, and the first line of the new file names it.',
    metrics: ['relay_audit_files_rotated_total'],
  }),
  auditSyncMs: integer(1_000, [100, 600_000], {
    orZero: true,
    group: AUDIT,
    what: 'Longest time until what is written survives a power failure (fsync). A crash of the relay alone loses only what waits in the queue. 0: when the system likes.',
  }),
} as const satisfies Record<string, Setting<unknown>>;
