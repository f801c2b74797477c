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

/** Files that a deployment brings as secrets are not in this repository: for the check they hold these. */
const SAMPLES: Readonly<Record<string, string>> = {
  RELAY_AUTH_KEYS_FILE: JSON.stringify([{ alg: 'HS256', secret: 'known to everybody who reads this check' }]),
  RELAY_OPS_TOKEN_FILE: 'known-to-everybody-who-reads-this-check',
};

/** `readFile` for a deployment with secrets, where `isSecret` says whether a path leads to one that is mounted. */
export function withSecrets(
  env: Readonly<Record<string, string>>,
  isSecret: (path: string) => boolean,
  readFile: (path: string) => string = noFile,
): (path: string) => string {
  return (path) => {
    const [, sample] = Object.entries(SAMPLES).find(([variable]) => env[variable] === path) ?? [];
    return sample !== undefined && isSecret(path) ? sample : readFile(path);
  };
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
