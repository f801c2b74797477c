/**
 * Figures as people read them, the same on the ops page and in `relay top`. Nothing here is wider than 9 characters, so that columns hold.
 */

/** Of latencies: three digits that matter, no unit (the column says ms). A dash where nothing was recorded. */
export function msText(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return '–';
  if (ms >= 100_000) return `${Math.round(ms / 1_000)} s`;
  if (ms >= 100) return Math.round(ms).toLocaleString('en');
  if (ms >= 10) return ms.toFixed(1);
  if (ms === 0) return '0';
  return ms.toFixed(ms >= 0.1 ? 2 : 3);
}

/** Of latencies, with the unit. */
export function durationText(ms: number | undefined): string {
  const text = msText(ms);
  return /^[\d.,]+$/.test(text) ? `${text} ms` : text;
}

/** 1,234,567 up to a million, then 12.3M. */
export function countText(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(count >= 1e11 ? 0 : 1)}G`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 1e8 ? 0 : 1)}M`;
  return Math.round(count).toLocaleString('en');
}

/** Per second: small ones keep a digit, or a trickle would look like nothing. */
export function rateText(perSecond: number): string {
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : countText(perSecond);
}

/** Binary units, as memory and rings are sized. */
export function bytesText(bytes: number): string {
  if (bytes < 1_024) return `${Math.round(bytes)} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = -1;
  do {
    value /= 1_024;
    unit++;
  } while (value >= 999.5 && unit < units.length - 1);
  return `${value.toFixed(value >= 99.5 ? 0 : 1)} ${units[unit]}`;
}

/** `share` in [0, 1]. */
export function percentText(share: number): string {
  const percent = 100 * share;
  return `${percent > 0 && percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** Two units at most: 3d 4h, 2h 5m, 4m 10s, 7s. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days}d ${hours}h`;
  if (hours > 0) return `${hours}h ${minutes}m`;
  return minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}

/** Of a stage of a message's way. */
export const STAGE_TITLES: Readonly<Record<string, string>> = {
  ingressWait: 'ingress wait',
  lane: 'lane',
  egressWait: 'egress wait',
  socketWrite: 'socket write',
  publishToLastWrite: 'publish → last write',
  clientRoundTrip: 'client round trip',
  call: 'call',
  workflowStage: 'workflow stage',
};
