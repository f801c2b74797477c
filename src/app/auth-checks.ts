/**
 * What only reading can tell of the settings of authentication: keys, permissions, and the files that are named. Said with the other problems of a
 * configuration, before anything is started, and never with a secret in the text.
 */

import { configuredKeys, type ParsedKeys, type ReadFile } from '../auth/key-config.ts';
import { readRevocations } from '../auth/revocation-file.ts';
import { Revocations } from '../auth/revocations.ts';
import { systemClock } from '../base/clock.ts';
import { GrantProblem, Grants } from '../protocol/grants.ts';
import type { RelayConfig, SettingName } from './config-table.ts';
import { BEARER_TOKEN, isBearerToken } from './setting.ts';

export function authProblems(
  config: RelayConfig,
  isValid: (name: SettingName) => boolean,
  originOf: (name: SettingName) => string,
  readFile: ReadFile,
): string[] {
  const problems: string[] = [];
  if (isValid('authKeys') && isValid('authKeysFile')) problems.push(...readKeys(config, readFile, originOf('authKeys')).problems);
  for (const name of ['authDefaultPermissions', 'anonymousPermissions'] as const) {
    const problem = isValid(name) ? permissionsProblem(config[name], name === 'anonymousPermissions') : null;
    if (problem !== null) problems.push(`${originOf(name)}: ${problem}`);
  }
  if (isValid('opsTokenFile')) {
    const { problem } = readOpsToken(config, readFile);
    if (problem !== null) problems.push(problem);
  }
  const problem = isValid('revocationsFile') ? restoreRevocations(config, readFile, revocationsOf(config)) : null;
  if (problem !== null) problems.push(problem);
  return problems;
}

/** `at`: where `authKeys` was said. */
export function readKeys({ authKeys, authKeysFile }: RelayConfig, readFile: ReadFile, at = 'authKeys'): ParsedKeys {
  return configuredKeys({ entries: authKeys, entriesAt: at, file: authKeysFile }, readFile);
}

/** Null: none is asked for. */
export function readOpsToken(
  { opsToken, opsTokenFile }: RelayConfig,
  readFile: ReadFile,
): { readonly token: string | null; readonly problem: string | null } {
  if (opsTokenFile === '') return { token: opsToken === '' ? null : opsToken, problem: null };
  try {
    const token = readFile(opsTokenFile).replace(/\r?\n$/, '');
    return isBearerToken(token)
      ? { token, problem: null }
      : { token: null, problem: `${opsTokenFile} must hold ${BEARER_TOKEN}` };
  } catch (error) {
    return { token: null, problem: `${opsTokenFile} could not be read: ${(error as Error).message}` };
  }
}

export function revocationsOf(
  { tokenLifetimeMsMax, tokenLeewayMs, revocationsMax }: RelayConfig,
  clock = systemClock,
): Revocations {
  return new Revocations({ lifetimeMsMax: tokenLifetimeMsMax, leewayMs: tokenLeewayMs, revocationsMax }, clock);
}

/** Fills the list from its file, where there is one. Returns what is wrong with it. */
export function restoreRevocations(
  { revocationsFile: path }: RelayConfig,
  readFile: ReadFile,
  revocations: Revocations,
): string | null {
  if (path === '') return null;
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    // Not there yet: nothing has been revoked. Anything else hides what was.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : `${path} could not be read: ${(error as Error).message}`;
  }
  try {
    readRevocations(text, revocations);
    return null;
  } catch (error) {
    return `${path} ${(error as Error).message}`;
  }
}

/** With any value for each placeholder: whether a token has the claim is found out when it comes. */
function permissionsProblem(permissions: unknown, isAnonymous: boolean): string | null {
  const names = isAnonymous
    ? []
    : [...JSON.stringify(permissions).matchAll(/\{([A-Za-z_][A-Za-z0-9_-]*)\}/g)].map(([, name]) => name);
  try {
    Grants.compile(permissions, Object.fromEntries(names.map((name) => [name, 'x'])));
    return null;
  } catch (error) {
    if (!(error instanceof GrantProblem)) throw error;
    return error.message;
  }
}
