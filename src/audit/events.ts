/**
 * What the audit log is told, one kind for each thing that happens. The names and facts are a format: readers of old files go by them
 * (docs/audit.md lists them). None of them has a place for a payload or a token.
 */
import type { SecurityEvent } from '../front/security-events.ts';

export type { SecurityEvent } from '../front/security-events.ts';

/** What an operator did by the ops port. */
export interface AdminAction {
  readonly kind: 'adminAction';
  /** `revoke`, say. */
  readonly action: string;
  /** The way in ('opsToken', 'loopback'): the ops port knows no names. */
  readonly subject: string;
  readonly address: string;
  readonly outcome: 'done' | 'refused';
  /** What it was about: small facts. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** From the relay itself. */
export type LifeEvent =
  | { readonly kind: 'started'; readonly version: string; readonly node: string; readonly process: number }
  /** Every setting: its value and where it came from. */
  | { readonly kind: 'configured'; readonly settings: Readonly<Record<string, unknown>> }
  | {
      readonly kind: 'listening';
      readonly host: string;
      readonly port: number;
      readonly opsHost: string;
      readonly opsPort: number;
    }
  | { readonly kind: 'draining'; readonly reason: string; readonly connections: number }
  /** The last line of a life that ended in order. */
  | { readonly kind: 'stopped' }
  /** Files were read again while the relay runs. */
  | {
      readonly kind: 'reloaded';
      readonly what: 'keys' | 'certificates';
      readonly outcome: 'done' | 'refused';
      readonly details?: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'laneLost'; readonly lane: number; readonly cause: string }
  | { readonly kind: 'laneReplaced'; readonly lane: number; readonly afterMs: number };

export type AuditEvent = SecurityEvent | AdminAction | LifeEvent;

/** What the log says about itself. */
export const OwnEvent = {
  /** A line that was cut off by a crash or a full disk stands before this one: `bytes` and `sha256` of what is there. */
  LINE_TORN: 'lineTorn',
  /** What stands before this one are no lines of the chain and no torn one either: somebody has been at the file. */
  LINE_BROKEN: 'lineBroken',
  /** First line of a file after rotation: `previousFile`, and which old files are `removed` now. */
  FILE_ROTATED: 'fileRotated',
  /** First line after the path led to another file than before. */
  FILE_REOPENED: 'fileReopened',
  /** The file's size is not what was written: `expectedBytes`, `bytes`. */
  FILE_CHANGED: 'fileChanged',
  /** It can be written again, or the queue has room again: since when it was not so, why, and how many lines were `lost`. */
  AUDIT_RESUMED: 'auditResumed',
} as const;
