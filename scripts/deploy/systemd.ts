/** The systemd unit: its keys by rules of our own, and by systemd-analyze where that is installed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { secondsOf, settingsOf, stopMs } from './settings.ts';

/** `systemd-analyze security`, in tenths: 14 now. Above it somebody took a wall down. */
const EXPOSURE_MAX = 20;
const WANTED: Readonly<Record<string, string>> = {
  KillSignal: 'SIGTERM',
  NoNewPrivileges: 'yes',
  ProtectSystem: 'strict',
  ProtectHome: 'yes',
  PrivateTmp: 'yes',
  CapabilityBoundingSet: '',
};

export function unitProblems(path: string, text: string): string[] {
  const problems: string[] = [];
  const expect = (isOk: boolean, problem: string): void => {
    if (!isOk) problems.push(`${path}: ${problem}`);
  };
  const unit = readUnit(text);
  const service = (key: string): string | undefined => unit.get(`Service.${key}`)?.at(-1);
  for (const [key, value] of Object.entries(WANTED))
    expect(service(key) === value, `${key} must be ${value || 'empty'}, is ${service(key) ?? 'not there'}`);
  expect(
    service('MemoryDenyWriteExecute') !== 'yes',
    'MemoryDenyWriteExecute stops V8, which compiles into memory that it executes',
  );
  expect(
    service('User') !== 'root' && (service('User') !== undefined || service('DynamicUser') === 'yes'),
    'must run as somebody else than root',
  );
  const [, flags = ''] = / serve(.*)$/.exec(service('ExecStart') ?? '') ?? [];
  expect(/ serve\b/.test(service('ExecStart') ?? ''), 'ExecStart must be relay serve');
  const { config, problems: settingProblems } = settingsOf(path, {
    env: {},
    argv: flags.split(/\s+/).filter((flag) => flag !== ''),
  });
  problems.push(...settingProblems);
  if (config !== null) {
    const stopSeconds = secondsOf(service('TimeoutStopSec') ?? '') ?? 0;
    expect(
      1_000 * stopSeconds >= stopMs(config),
      `TimeoutStopSec is ${stopSeconds}, a stop takes up to ${stopMs(config) / 1_000} s`,
    );
    const openFiles = Number(service('LimitNOFILE'));
    expect(openFiles > config.connectionsMax, `LimitNOFILE is ${openFiles}, connectionsMax ${config.connectionsMax}`);
  }
  return problems;
}

/** `Section.Key` to its values, in order. */
function readUnit(text: string): Map<string, string[]> {
  const values = new Map<string, string[]>();
  let section = '';
  for (const line of text.split('\n')) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (name !== undefined) section = name;
    const [, key, value = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined) values.set(`${section}.${key}`, [...(values.get(`${section}.${key}`) ?? []), value]);
  }
  return values;
}

/** Null where systemd-analyze is not installed. */
export function systemdAnalyzeProblems(path: string, text: string): string[] | null {
  if (spawnSync('systemd-analyze', ['--version']).error !== undefined) return null;
  const folder = mkdtempSync(join(tmpdir(), 'relay-unit-'));
  try {
    const file = join(folder, 'clari-relay.service');
    // The program is not installed here, and verify wants one that is there.
    writeFileSync(
      file,
      text.replace(/\/opt\/clari-relay\/node_modules\/\.bin\/node/g, process.execPath).replace(/\/opt\/clari-relay/g, folder),
    );
    const problems: string[] = [];
    for (const args of [
      ['verify', '--man=no', file],
      ['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE_MAX}`, file],
    ]) {
      const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
      const said = (args[0] === 'verify' ? stdout + stderr : stdout.split('\n').slice(-2).join(' ')).trim();
      if (status !== 0 || (args[0] === 'verify' && said !== '')) problems.push(`${path}: systemd-analyze ${args[0]}: ${said}`);
    }
    return problems;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
