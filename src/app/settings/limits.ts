/** Settings of rate limits and shedding. Part of the table in ../config-table.ts, which see. */
import type { Setting } from '../setting.ts';

export const LIMIT_SETTINGS = {} as const satisfies Record<string, Setting<unknown>>;
