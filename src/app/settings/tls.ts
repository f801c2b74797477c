/** Settings of tls, origins and proxies. Part of the table in ../config-table.ts, which see. */
import type { Setting } from '../setting.ts';

export const TLS_SETTINGS = {} as const satisfies Record<string, Setting<unknown>>;
