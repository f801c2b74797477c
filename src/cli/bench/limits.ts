/** Bounds of a generator process: none of them is a figure of the run, all of them end something that would hang. */
export const CONNECTS_IN_FLIGHT_MAX = 128;
export const CONNECT_TIMEOUT_MS = 10_000;
export const CONNECT_ATTEMPTS_MAX = 5;
export const CONNECT_BACKOFF_MS = 200;
/** After the last publish: give up when nothing has come for this long … */
export const QUIET_MS = 2_000;
/** … and in any case after this. */
export const DRAIN_MS_MAX = 30_000;
export const DRAIN_TURN_MS = 10;
export const CHURN_TURN_MS = 10;
/** How long slow members are given, once they read again, to find out that the server has ended them. */
export const SLOW_VERDICT_MS = 1_000;
/** One loopback address has 28 K ports for one server. */
export const CONNECTIONS_PER_ADDRESS_MAX = 20_000;
