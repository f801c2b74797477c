/** Settings of audit. Part of the table in ../config-table.ts, which see. */
import type { Setting } from '../setting.ts';

export const AUDIT_SETTINGS = {} as const satisfies Record<string, Setting<unknown>>;
