/** Settings of authentication. Part of the table in ../config-table.ts, which see. */
import { integer, type Setting } from '../setting.ts';

const AUTHENTICATION = 'Authentication';

export const AUTH_SETTINGS = {
  tokenGraceMs: integer(30_000, [0, 3_600_000], {
    group: AUTHENTICATION,
    what: 'How long a connection stays open after its token has expired, for a REFRESH. It gets what it is subscribed to meanwhile; what it asks for is answered TOKEN_EXPIRED (114).',
    atBound: 'Closed with 4501.',
    metrics: ['relay_sessions_expired_total'],
  }),
  heldBytesMax: integer(262_144, [1_024, 16_777_216], {
    group: AUTHENTICATION,
    what: 'What a connection may send while its token, or a subscription of it, is being decided on.',
    atBound: 'Closed with 4102.',
    metrics: ['relay_held_overflows_total'],
  }),
} as const satisfies Record<string, Setting<unknown>>;
