/** The relay's settings as a deployment gives them, read by the relay's own code: what it would refuse at the start is found here. */
import { loadConfig, type RelayConfig } from '../../src/app/config.ts';

export interface GivenSettings {
  readonly env: Readonly<Record<string, string>>;
  readonly argv?: readonly string[];
  readonly readFile?: (path: string) => string;
}

export function settingsOf(
  at: string,
  { env, argv = [], readFile = noFile }: GivenSettings,
): { config: RelayConfig | null; problems: string[] } {
  const { config, problems } = loadConfig({ argv, env, readFile });
  return { config, problems: problems.map((problem) => `${at}: ${problem}`) };
}

function noFile(path: string): string {
  throw new Error(`no file ${path} is mounted`);
}

/** What a stop takes at most: the drain, and the closing handshakes after it. */
export function stopMs({ drainDeadlineMs, closeTimeoutMs }: RelayConfig): number {
  return drainDeadlineMs + closeTimeoutMs;
}

/** `25s`, `1m30s`, `25` (seconds, as systemd has it). Null if it is no time. */
export function secondsOf(text: string): number | null {
  if (/^\d+$/.test(text)) return Number(text);
  const [, minutes, seconds] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(text) ?? [];
  return minutes === undefined && seconds === undefined ? null : Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
}
